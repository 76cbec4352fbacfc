/** A small damage to one file of this room; `find` stands in it exactly once. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** Majors on which it changes nothing that is asked. */
  readonly except?: readonly number[];
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a branch of CASE decides unseen',
    file: 'visit.ts',
    find: `for (const branch of nodes(node, 'args', 'CASEWHEN')) refer(field(branch, 'expr'));`,
    replace: '',
  },
  {
    name: 'what MERGE assigns is not seen',
    file: 'visit.ts',
    find: `...nodes(query, 'mergeActionList', 'MERGEACTION').flatMap((action) => nodes(action, 'targetList', 'TARGETENTRY')),`,
    replace: '',
    except: [14],
  },
  {
    name: 'what ON CONFLICT assigns is not seen',
    file: 'visit.ts',
    find: `conflict ? nodes(conflict, 'onConflictSet', 'TARGETENTRY') : [],`,
    replace: '[],',
  },
  {
    name: 'a refused function passes',
    file: 'visit.ts',
    find: `place.found.refused.push({ object: verdict.name, why: verdict.why });`,
    replace: '',
  },
  {
    name: 'set operations compare unseen',
    file: 'visit.ts',
    find: 'if (operations && compares(operations))',
    replace: 'if (operations && false)',
  },
  {
    name: 'OR is taken for AND',
    file: 'visit.ts',
    find: `token(part, 'boolop') === 'and'`,
    replace: `token(part, 'boolop') !== 'not'`,
  },
  {
    name: 'a function’s argument that can fail is not seen',
    file: 'visit.ts',
    find: `for (const value of values) this.#refer('argument', value, place);`,
    replace: '',
  },
  { name: 'INSERT is not said', file: 'visit.ts', find: `[1, 'insert', 'insertedCols'],`, replace: '' },
  { name: 'DELETE is not said', file: 'visit.ts', find: `[8, 'delete', ''],`, replace: '' },
  {
    name: 'errors of labelled relations are shown',
    file: 'visit.ts',
    find: 'if (this.#catalog.labelled.has(oid) || this.#catalog.opaque.has(oid)) found.touches = true;',
    replace: '',
  },
  {
    name: 'a call of a function of one’s own is not said',
    file: 'visit.ts',
    find: `place.found.effects.push({ verb: 'execute', object`,
    replace: `[].push({ verb: 'execute', object`,
  },
  {
    name: 'code of row security is not looked for',
    file: 'visit.ts',
    find: `place.found.ownersCode ||= this.#callsUnknown(field(entry, 'securityQuals'));`,
    replace: '',
  },
  {
    name: 'of several statements that a rule makes the first is judged',
    file: 'lineage.ts',
    find: 'if (!query || queries.length !== 1)',
    replace: 'if (!query)',
  },
  {
    name: 'a value that may be anything counts as nothing',
    file: 'lineage.ts',
    find: `top: found.top ?? (value ? value.top : 'a column that is missing'),`,
    replace: 'top: found.top,',
  },
  {
    name: 'what may be anything may be written anywhere',
    file: 'lineage.ts',
    find: 'top: found.top ?? value.top,\n    })),\n    targets',
    replace: 'top: found.top,\n    })),\n    targets',
  },
  {
    name: 'the right side of a set operation is not followed',
    file: 'values.ts',
    find: `...this.#branches(query, field(operation, 'rarg'), scopes),`,
    replace: '',
  },
  {
    name: 'a whole row holds nothing',
    file: 'values.ts',
    find: 'if (attribute === 0)\n      return { sources',
    replace: 'if (attribute === 0) return NOTHING;\n    if (attribute === -99)\n      return { sources',
  },
  {
    name: 'the merged column of a join is its left side',
    file: 'values.ts',
    find: `union(list(item, 'args').map((side) => this.value(side, around)))`,
    replace: `this.value(list(item, 'args')[0] ?? null, around)`,
  },
  {
    name: 'a recursive query is followed once',
    file: 'values.ts',
    find: 'if (settled) return result;',
    replace: 'if (settled || true) return result;',
  },
  {
    name: 'a function of one’s own returns what it was given',
    file: 'values.ts',
    find: `if (verdict?.kind === 'allowed') return undefined;`,
    replace: `if (verdict !== undefined) return undefined;`,
  },
  {
    name: 'the label of a view’s own column is lost',
    file: 'values.ts',
    find: 'return view > 0 ? { ...union([value, this.relation(view, attribute)]), pure: value.pure } : value;',
    replace: 'return value;',
  },
  {
    name: 'columns of a function in FROM hold nothing',
    file: 'values.ts',
    find: `return derived(union([this.value(field(entry, 'functions'), around), this.value(field(entry, 'tablefunc'), around)]));`,
    replace: 'return NOTHING;',
  },
  { name: 'of VALUES the first row is followed', file: 'values.ts', find: '      rows.map((row) =>', replace: '      rows.slice(0, 1).map((row) =>' },
  {
    name: 'columns of an outer query are looked up in the inner one',
    file: 'values.ts',
    find: `const around = scopes.slice(integer(node, 'varlevelsup'));`,
    replace: 'const around = scopes;',
  },
  {
    name: 'a column of a sub-select that is assigned holds nothing',
    file: 'values.ts',
    find: `if (kind === '0' || kind === '2') return NOTHING;`,
    replace: 'if (kind !== "1") return NOTHING;',
  },
  {
    name: 'a cut token is read',
    file: 'tree.ts',
    find: `if (this.#tooLong()) throw new TreeError('a token may have been cut');`,
    replace: '',
  },
  {
    name: 'a field that is there twice is read',
    file: 'tree.ts',
    find: `if (key in fields) throw new TreeError('a field is there twice');`,
    replace: '',
  },
  {
    name: 'a name that is not UTF-8 is read',
    file: 'tree.ts',
    find: `if (token.includes(REPLACEMENT_CHARACTER)) throw new TreeError('a token is not valid UTF-8');`,
    replace: '',
  },
  {
    name: 'functions that read text as SQL or show sessions are allowed',
    file: 'functions.ts',
    find: `if (family) return { kind: 'refused', name, why: family[1] };`,
    replace: '',
  },
  {
    name: 'volatile functions are allowed',
    file: 'functions.ts',
    find: `if (facts.volatility === 'v' && !HARMLESS_VOLATILE.has(name))`,
    replace: 'if (facts.oid === -1)',
  },
  {
    name: 'functions of one’s own count as the server’s',
    file: 'functions.ts',
    find: 'const builtIn = facts.oid < FIRST_USER_OID && BUILT_IN_SCHEMAS.has(schema) &&',
    replace: 'const builtIn = facts.oid > 0 &&',
  },
  {
    name: 'statistics may be read',
    file: 'functions.ts',
    find: 'return labels && VALUE_RELATIONS.test(name)',
    replace: 'return labels && !labels',
  },
  {
    name: 'labels do not go up from a child',
    file: 'catalog.ts',
    find: 'copy(parent, child) || copy(child, parent) || changed',
    replace: 'copy(parent, child) || changed',
  },
  {
    name: 'labels do not go to generated columns',
    file: 'catalog.ts',
    find: 'if (names && column !== from)',
    replace: 'if (names && column === from)',
  },
  {
    name: 'MERGE counts as a utility statement',
    file: 'majors.ts',
    find: `5: 'merge', `,
    replace: '',
    except: [14],
  },
  {
    name: 'rights are looked for where later majors print them',
    file: 'majors.ts',
    find: `commands: COMMANDS_14, rights: 'rtable'`,
    replace: 'commands: COMMANDS_14',
    except: [18],
  },
];

/** What must be said of a statement, besides what its rows show: a decision, an effect, or that its first column is masked. */
export type Expected = 'inference' | 'write' | 'refused' | 'unread' | 'masked' | 'explain' | `effect ${string}`;

export const PROBES: readonly (readonly [sql: string, expected: Expected])[] = [
  [`select case when ssn like '2%' then 1 else 2 end from app.customers`, 'inference'],
  [`select id from app.customers where ssn = 'x' or id = 1`, 'inference'],
  [`select ssn from app.customers union select 'x'`, 'inference'],
  ['select 1 / (ascii(ssn) - 50) from app.customers', 'inference'],
  ['select repeat(name, ascii(ssn)) from app.customers', 'inference'],
  ['select id from app.customers order by ssn', 'inference'],
  ['merge into app.orders o using app.customers c on o.id = c.id when matched then update set note = c.ssn', 'write'],
  [`insert into app.customers(id, name, ssn) values (1, 'n', 's') on conflict (id) do update set name = excluded.ssn`, 'write'],
  ['update app.customers set (name, note) = (select ssn, name from app.customers where id = 1)', 'write'],
  ['update app.orders set note = app.echo(item)', 'write'],
  ['update app.orders set note = (select ssn from app.customers where id = 1)', 'write'],
  ['delete from app.instead', 'refused'],
  ['select most_common_vals::text from pg_stats', 'refused'],
  ['select query from pg_stat_get_activity(null)', 'refused'],
  [`select query_to_xml('select 1', true, false, '')`, 'refused'],
  ['select pg_terminate_backend(0)', 'refused'],
  [`select labelled_here || '' from app.v_owner`, 'masked'],
  [`select b from (values ('x'), ((select ssn from app.customers where id = 1))) v(b)`, 'masked'],
  ['select (select c.ssn from app.orders o where o.id = 1) from app.customers c', 'masked'],
  ['select ssn_tail from app.customers', 'masked'],
  ['select explained from (select app.echo(name) as explained from app.customers) x', 'explain'],
  ['select id from app.guarded', 'explain'],
  [`insert into app.orders(id) values (900)`, 'effect insert app.orders'],
  ['delete from app.orders', 'effect delete app.orders'],
  [`select app.echo('x')`, 'effect execute app.echo'],
];

/** What a hostile name might bring about in the printed tree, in place of the name of a column; none may be read. */
export const DAMAGES: readonly string[] = [
  's'.repeat(76),
  'ssn :resname ssn',
  'ssn odd :x y',
  '\uFFFD',
  '(ssn',
];
