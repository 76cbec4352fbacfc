import { qualifiedName } from '@chaperone/policy';
import type { Catalog, CatalogColumn, CatalogRelation } from './catalog.ts';
import { refuseRelation, SET_CONFIG } from './functions.ts';
import { type Command, type Major, RTE } from './majors.ts';
import {
  child,
  compares,
  field,
  integer,
  isColumn,
  isConstant,
  list,
  nodes,
  outputEntries,
  rangeEntry,
  token,
  viewOf,
} from './nodes.ts';
import { failing, isBounded } from './fails.ts';
import type { Found, ReferenceKind } from './found.ts';
import { grows, isTotal } from './total.ts';
import { isNode, type TreeNode, type TreeValue } from './tree.ts';
import { FUNCTION_FIELDS, type Lineage, type Scopes, type Value } from './values.ts';

/** Where an expression stands. */
interface Place {
  readonly scopes: Scopes;
  readonly found: Found;
  /** Inside the body of a view that is not the agent's own: its conditions are the owner's, not the agent's guesses. */
  readonly inView: boolean;
}

const FIRST_COLUMN = -7;
const PERMISSIONS = [
  [1, 'insert', 'insertedCols'],
  [2, 'select', 'selectedCols'],
  [4, 'update', 'updatedCols'],
  [8, 'delete', ''],
] as const;
const KNOWN_PERMISSIONS = 1 + 2 + 4 + 8;
const SELECT = 2;
/** What shows the bounds of partitions. */
const PARTITION_DEFINITION = 'pg_get_partition_constraintdef';
const PARTITION_BOUND = 'relpartbound';
/** Owner's conditions (row security, views WITH CHECK OPTION): never shown, and not the agent's to choose. */
const OWNERS_FIELDS: ReadonlySet<string> = new Set(['securityQuals', 'withCheckOptions']);
/** Fields that hold OIDs of operators, by tag. */
const OPERATOR_FIELDS: Readonly<Record<string, readonly string[]>> = {
  SORTGROUPCLAUSE: ['eqop', 'sortop'],
  ROWCOMPAREEXPR: ['opnos'],
};
const WRITES: ReadonlySet<Command> = new Set(['insert', 'update', 'delete', 'merge']);
/** Branches that cannot fail: which of them is taken shows nowhere but in the value. */
const SIMPLE_BRANCHES: ReadonlySet<string> = new Set(['CONST', 'PARAM', 'VAR', 'RELABELTYPE', 'CASETESTEXPR', 'NULLTEST']);

const carries = (value: Value): boolean => value.top !== undefined || value.sources.size > 0;

/** Walks a statement once: what it does, what it writes, and where labelled columns steer it. */
export class Visitor {
  readonly #catalog: Catalog;
  readonly #lineage: Lineage;
  readonly #major: Major;
  /** AND nodes of conditions, judged part by part. */
  readonly #conjunctions = new WeakSet<TreeNode>();

  constructor(catalog: Catalog, lineage: Lineage, major: Major) {
    this.#catalog = catalog;
    this.#lineage = lineage;
    this.#major = major;
  }

  walk(query: TreeNode): Found {
    const lists = { references: [], assigns: [], targets: [], effects: [], refused: [] };
    const found: Found = {
      ...lists,
      touches: false,
      firesOwnersCode: false,
      readsAnyType: false,
      ownersCode: false,
      readsSession: false,
      setConfigs: 0,
      top: undefined,
    };
    this.#query(query, { scopes: [], found, inView: false });
    return found;
  }

  #query(query: TreeNode, around: Place): void {
    const place: Place = { ...around, scopes: [query, ...around.scopes] };
    this.#conditions(query, place);
    for (const [name, part] of Object.entries(query.fields)) {
      if (name === 'rteperminfos') continue;
      if (!OWNERS_FIELDS.has(name)) this.#expression(part, place);
    }
    this.#permissions(query, place);
    this.#ordering(query, place);
    this.#writes(query, place);
  }

  /** Descends into everything once; what has a meaning of its own is taken apart by tag. */
  #expression(part: TreeValue, place: Place): void {
    if (part === null || typeof part === 'string') return;
    if (!isNode(part)) {
      for (const item of part) this.#expression(item, place);
      return;
    }
    if (part.tag === 'QUERY') return this.#query(part, place);
    if (part.tag === 'RANGETBLENTRY') return this.#rangeEntry(part, place);
    if (!this.#major.tags.has(part.tag)) place.found.top ??= `a node ${part.tag}`;
    this.#call(part, place);
    this.#decides(part, place);
    for (const [name, item] of Object.entries(part.fields)) if (!OWNERS_FIELDS.has(name)) this.#expression(item, place);
  }

  #rangeEntry(entry: TreeNode, place: Place): void {
    const kind = token(entry, 'rtekind');
    if (!this.#major.rangeKinds.has(kind)) place.found.top ??= 'a range entry of an unknown kind';
    const view = kind === RTE.subquery ? viewOf(entry) : 0;
    if (kind === RTE.relation) this.#relation(integer(entry, 'relid'), token(entry, 'relkind'), place, this.#read(entry, place));
    if (view > 0) this.#relation(view, 'v', place);
    const owners = view > 0 && this.#catalog.relations.get(view)?.owner !== this.#catalog.role;
    const inside = { ...place, inView: place.inView || owners };
    place.found.ownersCode ||= this.#callsUnknown(field(entry, 'securityQuals'));
    for (const [name, part] of Object.entries(entry.fields)) {
      // What a join shows again was walked where it stands first.
      if (!OWNERS_FIELDS.has(name) && name !== 'joinaliasvars') this.#expression(part, inside);
    }
    if (kind === RTE.tableFunction) this.#refer('argument', this.#lineage.value(field(entry, 'tablefunc'), place.scopes), place);
  }

  /** Attributes that are read of a relation, where the server asks for the right to select alone; undefined otherwise. */
  #read(entry: TreeNode, { scopes: [query] }: Place): number[] | undefined {
    const asked =
      this.#major.rights === 'rteperminfos' && query
        ? nodes(query, 'rteperminfos', 'RTEPERMISSIONINFO')[integer(entry, 'perminfoindex') - 1]
        : entry;
    const own = asked !== undefined && integer(asked, 'relid') === integer(entry, 'relid');
    return own && integer(asked, 'requiredPerms') === SELECT ? attributes(list(asked, 'selectedCols')) : undefined;
  }

  #relation(oid: number, kind: string, place: Place, read?: readonly number[]): void {
    const { found } = place;
    const relation = this.#catalog.relations.get(oid);
    if (kind === 't') found.refused.push({ object: 'pg_toast', why: 'holds values of tables in pieces' });
    if (!relation) {
      this.#lineage.stale = true;
      found.touches = true;
      return;
    }
    found.readsSession ||= relation.kind === 'S' || relation.schema.startsWith('pg_temp');
    const columns = read && columnsOf(relation, read).map(({ name }) => name);
    found.firesOwnersCode ||= relation.runsOwnersCode || relation.kind === 'f';
    const why = refuseRelation(relation.schema, relation.name, this.#catalog.labels.size > 0, columns);
    if (why !== undefined) found.refused.push({ object: nameOf(relation), why });
    if (columns?.includes(PARTITION_BOUND) !== false && relation.name === 'pg_class') this.#bounds(place);
    if (this.#catalog.labelled.has(oid) || this.#catalog.opaque.has(oid)) found.touches = true;
  }

  /** Bounds of partitions are values of labelled columns where these are what is partitioned by. */
  #bounds({ found }: Place): void {
    if (this.#catalog.labelledPartitions)
      found.refused.push({ object: 'a partition’s bound', why: 'holds values of labelled columns' });
  }

  #call(node: TreeNode, place: Place): void {
    const called = this.#functionsOf(node);
    for (const oid of called) {
      const verdict = this.#catalog.functions.get(oid);
      if (verdict?.kind === 'allowed') {
        if (verdict.name === PARTITION_DEFINITION) this.#bounds(place);
        place.found.readsSession ||= verdict.session === true;
        place.found.readsAnyType ||= verdict.input === true;
        continue;
      }
      if (verdict === undefined) {
        this.#lineage.stale = true;
        place.found.refused.push({ object: `function ${oid}`, why: 'is newer than the catalog' });
      } else if (verdict.kind === 'refused' && verdict.name === SET_CONFIG) {
        place.found.setConfigs++;
      } else if (verdict.kind === 'refused') {
        place.found.refused.push({ object: verdict.name, why: verdict.why });
      } else {
        place.found.touches = true;
        const via = place.inView ? 'view' : 'direct';
        place.found.effects.push({ verb: 'execute', object: qualifiedName(verdict.schema, verdict.name), via, kind: 'function' });
      }
    }
  }

  #callsUnknown(part: TreeValue): boolean {
    if (part === null || typeof part === 'string') return false;
    if (!isNode(part)) return part.some((item) => this.#callsUnknown(item));
    const unknown = this.#functionsOf(part).some((oid) => this.#catalog.functions.get(oid)?.kind !== 'allowed');
    return unknown || Object.values(part.fields).some((item) => this.#callsUnknown(item));
  }

  #functionsOf(node: TreeNode): number[] {
    const operator = (oid: number): number => this.#catalog.operators.get(oid)?.function ?? oid;
    const name = FUNCTION_FIELDS[node.tag];
    const found: number[] = [];
    if (name !== undefined) {
      const oid = integer(node, name);
      found.push(oid === 0 ? operator(integer(node, 'opno')) : oid);
    }
    for (const operatorField of OPERATOR_FIELDS[node.tag] ?? []) {
      const value = field(node, operatorField);
      const written = Array.isArray(value) ? (value as readonly TreeValue[]).slice(1) : [value];
      found.push(
        ...written
          .map(Number)
          .filter((oid) => oid > 0)
          .map(operator),
      );
    }
    if (node.tag === 'WINDOWCLAUSE') found.push(integer(node, 'startInRangeFunc'), integer(node, 'endInRangeFunc'));
    if (node.tag === 'TABLESAMPLECLAUSE') found.push(integer(node, 'tsmhandler'));
    return found.filter((oid) => oid > 0);
  }

  /** Expressions that run, fail or return rows depending on a value inside them. */
  #decides(node: TreeNode, place: Place): void {
    const { scopes } = place;
    const refer = (part: TreeValue, kind: ReferenceKind = 'predicate'): void => {
      if (part !== null) this.#refer(kind, this.#lineage.value(part, scopes), place);
    };
    switch (node.tag) {
      case 'CASEEXPR':
        for (const branch of nodes(node, 'args', 'CASEWHEN')) refer(field(branch, 'expr'));
        return refer(field(node, 'arg'));
      case 'COALESCEEXPR':
      case 'BOOLEXPR':
        if (!this.#conjunctions.has(node) && !list(node, 'args').every((item) => isNode(item) && SIMPLE_BRANCHES.has(item.tag)))
          refer(list(node, 'args'));
        return;
      case 'AGGREF':
      case 'WINDOWFUNC':
        refer(field(node, 'aggfilter'));
        if (list(node, 'aggorder').length + list(node, 'aggdistinct').length > 0) refer(field(node, 'args'), 'order');
        return this.#arguments(node, place);
      case 'COERCEVIAIO':
        if (!['25', '1043', '1042', '19'].includes(token(node, 'resulttype'))) refer(field(node, 'arg'), 'argument');
        return;
      default:
        if (FUNCTION_FIELDS[node.tag] !== undefined) return this.#arguments(node, place);
        return refer(failing(node) ?? null, node.tag === 'TABLESAMPLECLAUSE' ? 'predicate' : 'argument');
    }
  }

  #arguments(node: TreeNode, place: Place): void {
    if (place.inView) return;
    const values = list(node, 'args').map((item) => this.#lineage.value(item, place.scopes));
    const labelled = values.map(carries);
    if (!labelled.includes(true)) return;
    const names = this.#functionsOf(node).map((oid) => this.#catalog.functions.get(oid)?.name ?? '');
    const total = names.length > 0 && names.every((name) => isTotal(name, labelled));
    if (total && (!names.some(grows) || this.#bounded(list(node, 'args'), place))) return;
    for (const value of values) this.#refer('argument', value, place);
  }

  #bounded(items: readonly TreeValue[], { scopes }: Place): boolean {
    return isBounded(items, scopes, (call) => this.#catalog.functions.get(this.#functionsOf(call)[0] ?? 0)?.name ?? '');
  }

  #refer(kind: ReferenceKind, value: Value, place: Place, equality = false): void {
    if (!place.inView && carries(value)) place.found.references.push({ kind, value, equality });
  }

  #conditions(query: TreeNode, place: Place): void {
    const tree = child(query, 'jointree', 'FROMEXPR');
    if (tree) this.#joins(tree, place);
    this.#condition(field(query, 'mergeJoinCondition'), place);
    for (const action of nodes(query, 'mergeActionList', 'MERGEACTION')) this.#condition(field(action, 'qual'), place);
    for (const name of ['havingQual', 'limitOffset', 'limitCount']) this.#steered(field(query, name), place);
    for (const clause of nodes(query, 'windowClause', 'WINDOWCLAUSE')) {
      for (const name of ['startOffset', 'endOffset']) this.#steered(field(clause, name), place);
    }
    const conflict = child(query, 'onConflict', 'ONCONFLICTEXPR');
    if (!conflict) return;
    for (const name of ['arbiterElems', 'arbiterWhere', 'onConflictWhere']) this.#steered(field(conflict, name), place);
  }

  #joins(node: TreeNode, place: Place): void {
    this.#condition(field(node, 'quals'), place);
    const parts = [...list(node, 'fromlist'), field(node, 'larg'), field(node, 'rarg')];
    for (const part of parts) if (isNode(part) && part.tag !== 'RANGETBLREF') this.#joins(part, place);
  }

  #steered(part: TreeValue, place: Place): void {
    if (part !== null) this.#refer('predicate', this.#lineage.value(part, place.scopes), place);
  }

  /** A condition of WHERE or ON: its AND-ed parts are judged one by one. */
  #condition(part: TreeValue, place: Place): void {
    if (!isNode(part)) return this.#steered(part, place);
    if (part.tag === 'BOOLEXPR' && token(part, 'boolop') === 'and') {
      this.#conjunctions.add(part);
      for (const item of list(part, 'args')) this.#condition(item, place);
      return;
    }
    const compared = this.#compared(part, place);
    if (compared) this.#refer('predicate', compared, place, true);
    else this.#steered(part, place);
  }

  /** The column of `column = constant`, if the condition is one. */
  #compared(node: TreeNode, place: Place): Value | undefined {
    if (node.tag !== 'OPEXPR' || this.#catalog.operators.get(integer(node, 'opno'))?.equality !== true) return undefined;
    const sides = list(node, 'args');
    if (sides.length !== 2 || this.#functionsOf(node).some((oid) => this.#catalog.functions.get(oid)?.kind !== 'allowed'))
      return undefined;
    for (const [column, other] of [sides, sides.toReversed()]) {
      if (column === undefined || other === undefined || !isColumn(column) || !isConstant(other)) continue;
      const value = this.#lineage.value(column, place.scopes);
      if (value.exact && value.top === undefined) return value;
    }
    return undefined;
  }

  #ordering(query: TreeNode, place: Place): void {
    const { scopes } = place;
    const clauses = [
      ...['groupClause', 'distinctClause', 'sortClause'].flatMap((name) => nodes(query, name, 'SORTGROUPCLAUSE')),
      ...nodes(query, 'windowClause', 'WINDOWCLAUSE').flatMap((clause) =>
        ['partitionClause', 'orderClause'].flatMap((name) => nodes(clause, name, 'SORTGROUPCLAUSE')),
      ),
    ];
    const operations = child(query, 'setOperations', 'SETOPERATIONSTMT');
    const references = new Set(clauses.map((clause) => token(clause, 'tleSortGroupRef')));
    const columns = operations ? this.#lineage.columns(query, scopes.slice(1)) : [];
    for (const entry of nodes(query, 'targetList', 'TARGETENTRY')) {
      if (!references.has(token(entry, 'ressortgroupref')) || token(entry, 'ressortgroupref') === '0') continue;
      const column = operations && token(entry, 'resjunk') !== 'true' ? columns[outputEntries(query).indexOf(entry)] : undefined;
      this.#refer('order', column ?? this.#lineage.value(field(entry, 'expr'), scopes), place);
    }
    // Every set operation but UNION ALL compares rows: how many come back says which values are equal.
    if (operations && compares(operations)) for (const column of columns) this.#refer('order', column, place);
  }

  #writes(query: TreeNode, place: Place): void {
    const command = this.#major.commands[token(query, 'commandType')];
    if (command === undefined || command === 'utility')
      place.found.refused.push({ object: 'the statement', why: 'holds a query of an unknown kind' });
    if (command === undefined || !WRITES.has(command)) return;
    const entry = rangeEntry(query, integer(query, 'resultRelation'));
    const relation = entry && this.#catalog.relations.get(integer(entry, 'relid'));
    const { found } = place;
    if (!relation) {
      found.refused.push({ object: 'the target', why: 'is newer than the catalog' });
      this.#lineage.stale = true;
      return;
    }
    found.targets.push({
      relation: relation.oid,
      name: nameOf(relation),
      hasTriggers: relation.hasTriggers || relation.kind === 'v' || relation.kind === 'f',
      hasOwnTriggers: relation.hasOwnTriggers || relation.kind === 'f',
      runsOwnersCode: relation.runsOwnersCode || relation.kind === 'f',
      labelled: this.#catalog.labelled.has(relation.oid),
    });
    const assigned = [
      ...(command === 'merge' ? [] : nodes(query, 'targetList', 'TARGETENTRY')),
      ...nodes(query, 'mergeActionList', 'MERGEACTION').flatMap((action) => nodes(action, 'targetList', 'TARGETENTRY')),
      ...[child(query, 'onConflict', 'ONCONFLICTEXPR')].flatMap((conflict) =>
        conflict ? nodes(conflict, 'onConflictSet', 'TARGETENTRY') : [],
      ),
    ];
    for (const target of assigned) {
      if (token(target, 'resjunk') === 'true') continue;
      const value = this.#lineage.value(field(target, 'expr'), place.scopes);
      const attnum = integer(target, 'resno');
      const kept = this.#catalog.labelled.get(relation.oid)?.has(attnum) === true;
      // Whether a constraint takes what is made of a masked value tells of it.
      if (!value.exact) this.#refer('argument', value, place);
      if (kept || carries(value)) found.assigns.push({ relation: relation.oid, attnum, value });
    }
  }

  /** The rights that the server will ask for: the effects, as the server itself resolved them. */
  #permissions(query: TreeNode, place: Place): void {
    const asked =
      this.#major.rights === 'rteperminfos'
        ? nodes(query, 'rteperminfos', 'RTEPERMISSIONINFO')
        : nodes(query, 'rtable', 'RANGETBLENTRY').filter((entry) => integer(entry, 'relid') > 0);
    for (const info of asked) {
      const rights = integer(info, 'requiredPerms');
      if (rights === 0) continue;
      const relation = this.#catalog.relations.get(integer(info, 'relid'));
      if (!relation) {
        place.found.refused.push({ object: 'a relation', why: 'is newer than the catalog' });
        this.#lineage.stale = true;
        continue;
      }
      this.#relation(relation.oid, relation.kind, place, rights === SELECT ? attributes(list(info, 'selectedCols')) : undefined);
      if (Number.isNaN(rights) || (rights & ~KNOWN_PERMISSIONS) !== 0) {
        place.found.refused.push({ object: nameOf(relation), why: 'is used in an unknown way' });
      }
      const via = integer(info, 'checkAsUser') === 0 ? 'direct' : 'view';
      for (const [bit, verb, columnsField] of PERMISSIONS) {
        if ((rights & bit) === 0) continue;
        const columns = columnsField === '' ? undefined : columnNames(relation, list(info, columnsField));
        // FOR UPDATE and its kin ask for UPDATE on no column.
        const named = verb === 'update' && columns?.length === 0 ? 'lock' : verb;
        const common = { verb: named, object: nameOf(relation), via, kind: 'relation' } as const;
        place.found.effects.push(columns === undefined ? common : { ...common, columns });
      }
    }
  }
}

const nameOf = (relation: CatalogRelation): string => qualifiedName(relation.schema, relation.name);

/** Attribute numbers of a printed bitmap. */
const attributes = (bitmap: readonly TreeValue[]): number[] => bitmap.slice(1).map((member) => Number(member) + FIRST_COLUMN);

/** Attribute 0 stands for the whole row. */
const columnsOf = (relation: CatalogRelation, read: readonly number[]): CatalogColumn[] =>
  [...relation.columns].filter(([attribute]) => read.includes(0) || read.includes(attribute)).map(([, column]) => column);

const columnNames = (relation: CatalogRelation, bitmap: readonly TreeValue[]): string[] =>
  columnsOf(relation, attributes(bitmap)).map(({ name }) => qualifiedName(relation.schema, relation.name, name));
