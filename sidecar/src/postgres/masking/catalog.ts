import { FIRST_USER_OID, judgeFunction, type FunctionVerdict } from './functions.ts';

/** Most rows of the system catalog that are held; a database with more objects than this is not served. */
export const MAX_CATALOG_ROWS = 200_000;

export interface CatalogColumn {
  readonly name: string;
  readonly type: number;
}
export interface CatalogRelation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** pg_class.relkind: r, p, v, m, f or S. */
  readonly kind: string;
  readonly owner: number;
  readonly hasTriggers: boolean;
  /** Of these, or of those of its partitions and children, some that a person wrote: they may change rows. Others hold foreign keys. */
  readonly hasOwnTriggers: boolean;
  /**
   * Changing its rows may run triggers that a person wrote: its own, or those of tables that inheritance and foreign keys lead to.
   */
  readonly runsOwnersCode: boolean;
  /** Tables whose rows its foreign keys change or delete with its own. */
  readonly cascadesTo: readonly number[];
  /** By attribute number. */
  readonly columns: ReadonlyMap<number, CatalogColumn>;
}
export interface CatalogOperator {
  readonly function: number;
  /** The server's own equality of a type that can be hashed or merged. */
  readonly equality: boolean;
}

/** What one database looked like at one moment, and where its labelled columns are. Immutable. */
export interface Catalog {
  readonly relations: ReadonlyMap<number, CatalogRelation>;
  /** Relation → attribute number → labels: what the owner said, closed over generated columns, partitions and inheritance. */
  readonly labelled: ReadonlyMap<number, ReadonlyMap<number, ReadonlySet<string>>>;
  /** Materialised views whose definition reaches a labelled relation or an unknown function: any column may hold anything. */
  readonly opaque: ReadonlySet<number>;
  readonly functions: ReadonlyMap<number, FunctionVerdict>;
  readonly operators: ReadonlyMap<number, CatalogOperator>;
  /** Some table is partitioned by a labelled column: which partition a row is in tells of its value. */
  readonly labelledPartitions: boolean;
  /**
   * Code of the owner's runs where no tree shows it: in constraints (of domains too), indexes, keys of partitions, defaults or row
   * security. Whatever names a relation or type of the owner's may run it.
   */
  readonly impliesCode: boolean;
  /** Every label of the resource, those without columns included. */
  readonly labels: ReadonlySet<string>;
  /** Columns that the owner labelled and that do not exist, as they were written. */
  readonly labelledColumnsMissing: readonly string[];
  /** OID of the role that asked. */
  readonly role: number;
}

export interface SensitiveColumns {
  readonly label: string;
  readonly columns?: readonly string[] | undefined;
}
/** Runs one statement and returns its rows as text. */
export type CatalogQuery = (sql: string) => Promise<readonly (readonly (string | null)[])[]>;

export class CatalogError extends Error {
  override readonly name = 'CatalogError';
  readonly code: 'CatalogTooLarge' | 'CatalogUnreadable';
  constructor(code: 'CatalogTooLarge' | 'CatalogUnreadable', message: string) {
    super(message);
    this.code = code;
  }
}

const EQ = 'OPERATOR(pg_catalog.=)';
const text = (expression: string): string => `${expression}::pg_catalog.text`;
const regclass = (name: string): string => `'pg_catalog.${name}'::pg_catalog.regclass::pg_catalog.oid`;

/** One branch of the union: a tag and up to seven columns of text. */
function branch(tag: string, columns: readonly string[], from: string): string {
  const padded = [...columns.map(text), ...Array<string>(7 - columns.length).fill('NULL::pg_catalog.text')];
  return `SELECT '${tag}'::pg_catalog.text, ${padded.join(', ')} FROM ${from}`;
}

/** Catalogues whose objects may have the server run a function that stands in no tree. */
const IMPLYING = ['pg_constraint', 'pg_class', 'pg_attrdef', 'pg_policy', 'pg_type', 'pg_statistic_ext'];
/** From an object that something depends on to the functions that it runs. */
const RUNS = [
  ['pg_proc', `pg_catalog.pg_proc p ON p.oid ${EQ} d.refobjid`],
  [
    'pg_operator',
    `pg_catalog.pg_operator o ON o.oid ${EQ} d.refobjid JOIN pg_catalog.pg_proc p ON p.oid ${EQ} o.oprcode::pg_catalog.oid`,
  ],
  [
    'pg_opclass',
    `pg_catalog.pg_opclass o ON o.oid ${EQ} d.refobjid JOIN pg_catalog.pg_amproc a ON a.amprocfamily ${EQ} o.opcfamily
     JOIN pg_catalog.pg_proc p ON p.oid ${EQ} a.amproc::pg_catalog.oid`,
  ],
] as const;
/** Whether one of them was not written in C: that can do what SQL can. What came with the server is pinned, and has no entry. */
const IMPLIES = RUNS.map(
  ([kind, joined]) => `EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN ${joined}
     JOIN pg_catalog.pg_language l ON l.oid ${EQ} p.prolang
     WHERE d.refclassid ${EQ} ${regclass(kind)} AND d.classid ${EQ} ANY (ARRAY[${IMPLYING.map(regclass).join(', ')}])
     AND NOT (l.lanname ${EQ} ANY ('{c,internal}'::pg_catalog.name[])))`,
).join(' OR ');

/**
 * One statement and so one snapshot. Nothing in it depends on search_path: names and operators are qualified, and the
 * forms that look an operator up by themselves (IN, CASE, JOIN USING, BETWEEN) are not used.
 */
const CATALOG_SQL = `${[
  branch('me', ['r.oid', `(${IMPLIES})`], `pg_catalog.pg_roles r WHERE r.rolname ${EQ} CURRENT_USER`),
  branch(
    'relation',
    [
      'c.oid',
      'n.nspname',
      'c.relname',
      'c.relkind',
      'c.relowner',
      'c.relhastriggers',
      `EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid ${EQ} c.oid AND NOT g.tgisinternal)`,
    ],
    `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} c.relnamespace
     WHERE c.relkind ${EQ} ANY ('{r,p,v,m,f,S}'::pg_catalog."char"[])`,
  ),
  branch(
    'column',
    ['a.attrelid', 'a.attnum', 'a.attname', 'a.atttypid'],
    `pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid ${EQ} a.attrelid
     WHERE a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
     AND c.relkind ${EQ} ANY ('{r,p,v,m,f,S}'::pg_catalog."char"[])`,
  ),
  branch('partitioned', ['p.partrelid', 'p.partattrs'], 'pg_catalog.pg_partitioned_table p'),
  branch('inherits', ['i.inhrelid', 'i.inhparent'], 'pg_catalog.pg_inherits i'),
  // Every action but NO ACTION and RESTRICT changes rows of the table that refers to this one.
  branch(
    'cascades',
    ['k.confrelid', 'k.conrelid'],
    `pg_catalog.pg_constraint k WHERE k.contype ${EQ} 'f'::pg_catalog."char"
     AND (k.confdeltype ${EQ} ANY ('{c,n,d}'::pg_catalog."char"[]) OR k.confupdtype ${EQ} ANY ('{c,n,d}'::pg_catalog."char"[]))`,
  ),
  branch(
    'generated',
    ['d.objid', 'd.objsubid', 'd.refobjsubid'],
    `pg_catalog.pg_depend d WHERE d.classid ${EQ} ${regclass('pg_class')} AND d.refclassid ${EQ} ${regclass('pg_class')}
     AND d.objid ${EQ} d.refobjid AND d.objsubid OPERATOR(pg_catalog.>) 0 AND d.refobjsubid OPERATOR(pg_catalog.>) 0`,
  ),
  branch(
    'generated',
    ['t.adrelid', 't.adnum', 'd.refobjsubid'],
    `pg_catalog.pg_attrdef t JOIN pg_catalog.pg_depend d ON d.objid ${EQ} t.oid AND d.refobjid ${EQ} t.adrelid
     WHERE d.classid ${EQ} ${regclass('pg_attrdef')} AND d.refclassid ${EQ} ${regclass('pg_class')}
     AND d.refobjsubid OPERATOR(pg_catalog.>) 0`,
  ),
  branch(
    'defined',
    ['w.ev_class', 'd.refclassid', 'd.refobjid'],
    `pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d ON d.objid ${EQ} w.oid
     JOIN pg_catalog.pg_class c ON c.oid ${EQ} w.ev_class
     WHERE d.classid ${EQ} ${regclass('pg_rewrite')} AND c.relkind ${EQ} ANY ('{v,m}'::pg_catalog."char"[])
     AND (d.refclassid ${EQ} ${regclass('pg_class')} OR d.refclassid ${EQ} ${regclass('pg_proc')})`,
  ),
  branch(
    'function',
    ['p.oid', 'n.nspname', 'p.proname', 'l.lanname', 'p.provolatile'],
    `pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} p.pronamespace
     JOIN pg_catalog.pg_language l ON l.oid ${EQ} p.prolang`,
  ),
  branch(
    'operator',
    [
      'o.oid',
      'o.oprcode::pg_catalog.oid',
      `(o.oprname ${EQ} '='::pg_catalog.name AND n.nspname ${EQ} 'pg_catalog'::pg_catalog.name AND (o.oprcanhash OR o.oprcanmerge))`,
    ],
    `pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} o.oprnamespace`,
  ),
].join(' UNION ALL ')} LIMIT ${MAX_CATALOG_ROWS + 1}`;

/** pg_proc's own OID, the same in every version. */
const PG_PROC = 1255;

type Row = readonly (string | null)[];
type Mutable<K, V> = Map<K, V>;

interface Gathered {
  role: number;
  impliesCode: boolean;
  readonly relations: Mutable<number, CatalogRelation>;
  readonly columns: Mutable<number, Map<number, CatalogColumn>>;
  readonly functions: Mutable<number, FunctionVerdict>;
  readonly operators: Mutable<number, CatalogOperator>;
  readonly inherits: (readonly [number, number])[];
  /** From the table that is referred to, to the one whose rows change with it. */
  readonly cascades: (readonly [number, number])[];
  /** Attributes that a table is partitioned by; 0 stands for an expression. */
  readonly partitioned: (readonly [number, readonly number[]])[];
  readonly generated: { relation: number; column: number; from: number }[];
  readonly defined: { view: number; byFunction: boolean; object: number }[];
}

const number = (row: Row, at: number): number => {
  const value = Number(row[at] ?? Number.NaN);
  if (!Number.isInteger(value)) throw new CatalogError('CatalogUnreadable', 'the system catalog answered something unexpected');
  return value;
};
const string = (row: Row, at: number): string => row[at] ?? '';
/** A boolean as `::text` prints it. */
const isTrue = (row: Row, at: number): boolean => row[at] === 'true' || row[at] === 't';

function mapIn<K, V extends object>(map: Map<K, V>, key: K, make: () => V): V {
  let found = map.get(key);
  if (found === undefined) map.set(key, (found = make()));
  return found;
}

const READERS: Readonly<Record<string, (row: Row, into: Gathered) => void>> = {
  me: (row, into) => {
    into.role = number(row, 1);
    into.impliesCode = isTrue(row, 2);
  },
  relation: (row, into) => {
    const oid = number(row, 1);
    into.relations.set(oid, {
      oid,
      schema: string(row, 2),
      name: string(row, 3),
      kind: string(row, 4),
      owner: number(row, 5),
      hasTriggers: isTrue(row, 6),
      hasOwnTriggers: isTrue(row, 7),
      runsOwnersCode: false,
      cascadesTo: [],
      columns: mapIn(into.columns, oid, () => new Map<number, CatalogColumn>()),
    });
  },
  column: (row, into) => {
    const columns = mapIn(into.columns, number(row, 1), () => new Map<number, CatalogColumn>());
    columns.set(number(row, 2), { name: string(row, 3), type: number(row, 4) });
  },
  partitioned: (row, into) => into.partitioned.push([number(row, 1), string(row, 2).split(' ').map(Number)]),
  inherits: (row, into) => into.inherits.push([number(row, 1), number(row, 2)]),
  cascades: (row, into) => into.cascades.push([number(row, 1), number(row, 2)]),
  generated: (row, into) => into.generated.push({ relation: number(row, 1), column: number(row, 2), from: number(row, 3) }),
  defined: (row, into) =>
    into.defined.push({ view: number(row, 1), byFunction: number(row, 2) === PG_PROC, object: number(row, 3) }),
  function: (row, into) => {
    const oid = number(row, 1);
    const facts = { oid, schema: string(row, 2), name: string(row, 3), language: string(row, 4), volatility: string(row, 5) };
    into.functions.set(oid, judgeFunction(facts));
  },
  operator: (row, into) => {
    into.operators.set(number(row, 1), { function: number(row, 2), equality: isTrue(row, 3) });
  },
};

/** Splits SCHEMA.TABLE.COLUMN; a part with a dot is written in double quotes. Undefined where it is not three names. */
export function splitColumnName(written: string): readonly [string, string, string] | undefined {
  const parts = [...written.matchAll(/(?:^|\.)(?:"((?:[^"]|"")+)"|([^".]+))(?=\.|$)/g)];
  if (parts.map(([whole]) => whole).join('') !== written) return undefined;
  const [schema, table, column, ...rest] = parts.map((part) => part[1]?.replaceAll('""', '"') ?? part[2] ?? '');
  return schema !== undefined && table !== undefined && column !== undefined && rest.length === 0
    ? [schema, table, column]
    : undefined;
}

type Labels = Map<number, Map<number, Set<string>>>;

/** Adds labels to one column; whether that changed anything. */
function addLabels(labels: Labels, relation: number, column: number, more: Iterable<string>): boolean {
  const set = mapIn(
    mapIn(labels, relation, () => new Map<number, Set<string>>()),
    column,
    () => new Set<string>(),
  );
  const before = set.size;
  for (const name of more) set.add(name);
  return set.size > before;
}

function label(gathered: Gathered, sensitive: readonly SensitiveColumns[]): { labels: Labels; missing: string[] } {
  const labels: Labels = new Map();
  const missing: string[] = [];
  const byName = new Map(
    [...gathered.relations.values()].map((relation) => [JSON.stringify([relation.schema, relation.name]), relation]),
  );
  for (const { label: name, columns = [] } of sensitive) {
    for (const written of columns) {
      const parts = splitColumnName(written);
      const relation = parts && byName.get(JSON.stringify(parts.slice(0, 2)));
      const column = [...(relation?.columns ?? [])].find(([, { name: columnName }]) => columnName === parts?.[2]);
      if (relation && column) addLabels(labels, relation.oid, column[0], [name]);
      else missing.push(written);
    }
  }
  return { labels, missing };
}

/** Carries labels between parents and children by column name, both ways, and from columns to those generated from them. */
function close(gathered: Gathered, labels: Labels): void {
  const copy = (from: number, to: number): boolean => {
    let changed = false;
    for (const [attribute, names] of labels.get(from) ?? []) {
      const name = gathered.columns.get(from)?.get(attribute)?.name;
      for (const [target, column] of gathered.columns.get(to) ?? []) {
        if (column.name === name) changed = addLabels(labels, to, target, names) || changed;
      }
    }
    return changed;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const [child, parent] of gathered.inherits) changed = copy(parent, child) || copy(child, parent) || changed;
    for (const { relation, column, from } of gathered.generated) {
      const names = labels.get(relation)?.get(from);
      if (names && column !== from) changed = addLabels(labels, relation, column, [...names]) || changed;
    }
  }
}

/** What `edges` lead to from `start`, walked backwards: `start` is what is found at the end of a walk. */
function leadingTo(start: Iterable<number>, edges: readonly (readonly [number, number])[]): Set<number> {
  const from = new Map<number, number[]>();
  for (const [source, target] of edges) mapIn(from, target, () => []).push(source);
  const reached = new Set(start);
  for (const oid of reached) for (const source of from.get(oid) ?? []) reached.add(source);
  return reached;
}

function withOwnersCode({ relations, inherits, cascades }: Gathered): Map<number, CatalogRelation> {
  const down = inherits.map(([child, parent]) => [parent, child] as const);
  const own = [...relations.values()].filter(({ hasOwnTriggers }) => hasOwnTriggers).map(({ oid }) => oid);
  const triggers = leadingTo(own, down);
  const code = leadingTo(triggers, [...down, ...cascades]);
  const targets = new Map<number, number[]>();
  for (const [source, target] of cascades) mapIn(targets, source, () => []).push(target);
  for (const oids of targets.values()) oids.sort((a, b) => a - b);
  return new Map(
    [...relations].map(([oid, relation]) => [
      oid,
      {
        ...relation,
        hasOwnTriggers: triggers.has(oid),
        runsOwnersCode: code.has(oid),
        cascadesTo: targets.get(oid) ?? [],
      },
    ]),
  );
}

function opaqueViews(gathered: Gathered, labels: Labels): Set<number> {
  const reached = new Set<number>();
  for (let changed = true; changed; ) {
    changed = false;
    for (const { view, byFunction, object } of gathered.defined) {
      if (view === object || reached.has(view)) continue;
      const unknown = byFunction ? gathered.functions.get(object)?.kind !== 'allowed' : labels.has(object) || reached.has(object);
      if (unknown) {
        reached.add(view);
        changed = true;
      }
    }
  }
  return new Set([...reached].filter((oid) => gathered.relations.get(oid)?.kind === 'm' && oid >= FIRST_USER_OID));
}

/**
 * Reads what the analysis needs of one database, in one round trip. Needs no right beyond CONNECT.
 *
 * @param sensitive - the resource's labels; columns as SCHEMA.TABLE.COLUMN
 * @throws CatalogError CatalogTooLarge beyond {@link MAX_CATALOG_ROWS}; CatalogUnreadable when an answer is not understood
 */
export async function loadCatalog(query: CatalogQuery, sensitive: readonly SensitiveColumns[]): Promise<Catalog> {
  const rows = await query(CATALOG_SQL);
  if (rows.length > MAX_CATALOG_ROWS) {
    throw new CatalogError('CatalogTooLarge', `the database's catalog has more than ${MAX_CATALOG_ROWS} entries`);
  }
  const gathered: Gathered = {
    role: 0,
    impliesCode: false,
    relations: new Map(),
    columns: new Map(),
    functions: new Map(),
    operators: new Map(),
    inherits: [],
    cascades: [],
    partitioned: [],
    generated: [],
    defined: [],
  };
  for (const row of rows) {
    const read = READERS[row[0] ?? ''];
    if (!read) throw new CatalogError('CatalogUnreadable', 'the system catalog answered something unexpected');
    read(row, gathered);
  }
  if (gathered.role === 0) throw new CatalogError('CatalogUnreadable', 'the role that asks is not in the system catalog');
  const { labels, missing } = label(gathered, sensitive);
  close(gathered, labels);
  return {
    relations: withOwnersCode(gathered),
    labelled: labels,
    opaque: opaqueViews(gathered, labels),
    labelledPartitions: gathered.partitioned.some(([oid, keys]) => {
      const own = labels.get(oid);
      return own !== undefined && own.size > 0 && keys.some((key) => key === 0 || own.has(key));
    }),
    functions: gathered.functions,
    operators: gathered.operators,
    impliesCode: gathered.impliesCode,
    labels: new Set(sensitive.map((entry) => entry.label)),
    labelledColumnsMissing: missing,
    role: gathered.role,
  };
}
