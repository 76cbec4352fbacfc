import type { Catalog } from './catalog.ts';
import { type Major, RTE } from './majors.ts';
import { child, field, integer, list, nodes, outputEntries, rangeEntry, SUBLINK, token, viewOf } from './nodes.ts';
import { isNode, type TreeNode, type TreeValue } from './tree.ts';

/** What may be inside one value. */
export interface Value {
  /** Labelled columns that reach it, as `relation.attnum`. */
  readonly sources: ReadonlySet<string>;
  /** Whatever of `sources` reaches it does so unchanged: the value is one column's own value. */
  readonly exact: boolean;
  /** Nothing else can be in it: no constant, no parameter, no column without a label. */
  readonly pure: boolean;
  /** Set: anything may be inside, because of this. */
  readonly top?: string | undefined;
}

/** Queries around an expression, the innermost first. */
export type Scopes = readonly TreeNode[];

const NOTHING: Value = { sources: new Set(), exact: true, pure: false };
const anything = (because: string): Value => ({ sources: new Set(), exact: false, pure: false, top: because });

function union(values: readonly Value[]): Value {
  const relevant = values.filter((value) => value.top !== undefined || value.sources.size > 0);
  if (relevant.length === 0) return NOTHING;
  const pure = values.every((value) => value.pure);
  if (relevant.length === 1) return { ...(relevant[0] ?? NOTHING), pure };
  return {
    sources: new Set(relevant.flatMap((value) => [...value.sources])),
    exact: relevant.every((value) => value.exact),
    pure,
    top: relevant.find((value) => value.top !== undefined)?.top,
  };
}

const derived = (value: Value): Value =>
  value.exact && value.sources.size > 0 ? { sources: value.sources, exact: false, pure: false, top: value.top } : value;

const sameValues = (a: readonly Value[], b: readonly Value[]): boolean =>
  a.length === b.length &&
  a.every((value, at) => {
    const other = b[at];
    return (
      other?.sources.size === value.sources.size &&
      other.exact === value.exact &&
      other.pure === value.pure &&
      other.top === value.top
    );
  });

const TABLE_OID = -6;
/** Passes until a recursive query's columns must have settled; each pass can only add. */
const MAX_PASSES = 12;
/** Values resolved for one statement: bounds the work that nested aliases and views can ask for. */
const MAX_STEPS = 2_000_000;
/** Nodes that hand on what they are given: casts between types that store a value alike, collations, domains. */
const TRANSPARENT: ReadonlySet<string> = new Set(['RELABELTYPE', 'COLLATEEXPR', 'COERCETODOMAIN']);
/** Where nodes name the function that they call. */
export const FUNCTION_FIELDS: Readonly<Record<string, string>> = {
  FUNCEXPR: 'funcid',
  OPEXPR: 'opfuncid',
  SCALARARRAYOPEXPR: 'opfuncid',
  DISTINCTEXPR: 'opfuncid',
  NULLIFEXPR: 'opfuncid',
  AGGREF: 'aggfnoid',
  WINDOWFUNC: 'winfnoid',
};
/** relkind of range entries whose columns are what the catalog says; 'c' stands for EXCLUDED. */
const PLAIN_RELATIONS: ReadonlySet<string> = new Set(['r', 'p', 'f', 'm', 'c', 'S']);

/** The server's line folding turns a space inside a name into a line end, not at the same place twice. */
const cteName = (node: TreeNode): string => token(node, 'ctename').replace(/\s/g, ' ');

/** The work that one statement may ask for is used up. */
export class TooComplex extends Error {
  override readonly name = 'TooComplex';
}

/**
 * Follows every expression of one statement's tree to the labelled columns it is made of. A look-up that fails is
 * "anything", never "nothing".
 */
export class Lineage {
  readonly #catalog: Catalog;
  readonly #major: Major;
  #memo = new Map<TreeNode, readonly Value[]>();
  #before = new Map<TreeNode, readonly Value[]>();
  #active = new Set<TreeNode>();
  #recursive = new Set<TreeNode>();
  #passes = 0;
  #steps = 0;
  /** An object was met that the catalog does not know: it is older than the object. */
  stale = false;

  constructor(catalog: Catalog, major: Major) {
    this.#catalog = catalog;
    this.#major = major;
  }

  /**
   * Runs `collect` until the columns of recursive queries no longer change; only its last result counts.
   *
   * @throws TooComplex
   */
  settle<T>(collect: () => T): T {
    for (;;) {
      const result = collect();
      const settled = [...this.#recursive].every((query) =>
        sameValues(this.#before.get(query) ?? this.#unknownYet(query), this.#memo.get(query) ?? []),
      );
      if (settled) return result;
      if (++this.#passes >= MAX_PASSES) throw new TooComplex('a recursive query does not settle');
      this.#before = this.#memo;
      this.#memo = new Map();
      this.#recursive = new Set();
    }
  }

  /** The columns that a query shows; `outer` are the queries around it. */
  columns(query: TreeNode, outer: Scopes): readonly Value[] {
    const known = this.#memo.get(query);
    if (known) return known;
    if (this.#active.has(query)) {
      this.#recursive.add(query);
      return this.#before.get(query) ?? this.#unknownYet(query);
    }
    this.#active.add(query);
    const scopes = [query, ...outer];
    let columns = outputEntries(query).map((entry) => this.value(field(entry, 'expr'), scopes));
    const operations = field(query, 'setOperations');
    if (operations !== null) {
      const branches = this.#branches(query, operations, scopes);
      columns = columns.map((column, at) =>
        union([column, ...branches.map((branch) => branch[at] ?? anything('a set operation’s columns'))]),
      );
    }
    this.#active.delete(query);
    this.#memo.set(query, columns);
    return columns;
  }

  #unknownYet(query: TreeNode): readonly Value[] {
    return outputEntries(query).map(() => NOTHING);
  }

  #branches(query: TreeNode, operation: TreeValue, scopes: Scopes): (readonly Value[])[] {
    if (isNode(operation) && operation.tag === 'SETOPERATIONSTMT') {
      return [
        ...this.#branches(query, field(operation, 'larg'), scopes),
        ...this.#branches(query, field(operation, 'rarg'), scopes),
      ];
    }
    const entry =
      isNode(operation) && operation.tag === 'RANGETBLREF' ? rangeEntry(query, integer(operation, 'rtindex')) : undefined;
    const branch = entry && token(entry, 'rtekind') === RTE.subquery ? child(entry, 'subquery', 'QUERY') : undefined;
    return [branch ? this.columns(branch, scopes) : []];
  }

  /** What may be inside an expression that stands in the first of `scopes`. */
  value(expression: TreeValue, scopes: Scopes): Value {
    if (++this.#steps > MAX_STEPS) throw new TooComplex('the statement is too complex');
    if (expression === null || typeof expression === 'string') return NOTHING;
    if (!isNode(expression)) return derived(union(expression.map((item) => this.value(item, scopes))));
    switch (expression.tag) {
      case 'VAR':
        return this.#variable(expression, scopes);
      case 'CONST':
        return NOTHING;
      case 'PARAM':
        return this.#parameter(expression, scopes);
      case 'QUERY':
        return derived(union(this.columns(expression, scopes)));
      default:
        return this.#compound(expression, scopes);
    }
  }

  #compound(node: TreeNode, scopes: Scopes): Value {
    const inner = child(node, 'subselect', 'QUERY');
    if (node.tag === 'SUBLINK' && inner && token(node, 'subLinkType') === SUBLINK.expression) {
      return union(this.columns(inner, scopes));
    }
    if (TRANSPARENT.has(node.tag)) return this.value(field(node, 'arg'), scopes);
    const parts = Object.values(node.fields).map((part) => this.value(part, scopes));
    if (!this.#major.tags.has(node.tag)) parts.push(anything(`a node ${node.tag}`));
    const called = this.opaqueCall(node);
    if (called !== undefined) parts.push(anything(`the function ${called}`));
    return derived(union(parts));
  }

  /** The function that a node calls, where its body is not known; undefined otherwise. */
  opaqueCall(node: TreeNode): string | undefined {
    const name = FUNCTION_FIELDS[node.tag];
    if (name === undefined) return undefined;
    let oid = integer(node, name);
    if (oid === 0) oid = this.#catalog.operators.get(integer(node, 'opno'))?.function ?? 0;
    const verdict = this.#catalog.functions.get(oid);
    if (verdict === undefined) this.stale = true;
    if (verdict?.kind === 'allowed') return undefined;
    return verdict?.name ?? 'of an unknown number';
  }

  /** PARAM_MULTIEXPR stands for one column of a sub-select elsewhere in the same query; the others for what is bound. */
  #parameter(node: TreeNode, scopes: Scopes): Value {
    const kind = token(node, 'paramkind');
    if (kind === '0' || kind === '2') return NOTHING;
    const [query] = scopes;
    if (kind !== '3' || !query) return anything('a parameter of an unknown kind');
    const found = ['targetList', 'onConflict', 'mergeActionList'].flatMap((name) => this.#multiple(field(query, name), scopes));
    return found.length > 0 ? derived(union(found)) : anything('a parameter without its sub-select');
  }

  #multiple(part: TreeValue, scopes: Scopes): Value[] {
    if (part === null || typeof part === 'string') return [];
    if (!isNode(part)) return part.flatMap((item) => this.#multiple(item, scopes));
    if (part.tag === 'QUERY') return [];
    if (part.tag === 'SUBLINK' && token(part, 'subLinkType') === SUBLINK.multiple)
      return [this.value(field(part, 'subselect'), scopes)];
    return Object.values(part.fields).flatMap((item) => this.#multiple(item, scopes));
  }

  #variable(node: TreeNode, scopes: Scopes): Value {
    const around = scopes.slice(integer(node, 'varlevelsup'));
    const entry = around[0] && rangeEntry(around[0], integer(node, 'varno'));
    const attribute = integer(node, 'varattno');
    if (!entry || Number.isNaN(attribute) || Number.isNaN(integer(node, 'varlevelsup'))) return anything('a column out of range');
    const kind = token(entry, 'rtekind');
    if (!this.#major.rangeKinds.has(kind)) return anything('a range entry of an unknown kind');
    switch (kind) {
      case RTE.relation:
        return PLAIN_RELATIONS.has(token(entry, 'relkind'))
          ? this.relation(integer(entry, 'relid'), attribute)
          : anything('a relation of an unknown kind');
      case RTE.subquery:
        return this.#subquery(entry, attribute, around);
      case RTE.join:
        return this.#pick(list(entry, 'joinaliasvars'), attribute, (item) => this.#joined(item, around));
      case RTE.function:
      case RTE.tableFunction:
        return derived(union([this.value(field(entry, 'functions'), around), this.value(field(entry, 'tablefunc'), around)]));
      case RTE.values:
        return this.#rows(entry, attribute, around);
      case RTE.cte:
        return this.#cte(entry, attribute, around);
      case RTE.group:
        return this.#pick(list(entry, 'groupexprs'), attribute, (item) => this.value(item, around));
      default:
        return anything('a range entry of an unknown kind');
    }
  }

  /** One column of a relation; 0 is the whole row, negative numbers are the server's own columns. */
  relation(oid: number, attribute: number): Value {
    const relation = this.#catalog.relations.get(oid);
    if (!relation || (attribute > 0 && !relation.columns.has(attribute))) {
      this.stale = true;
      return anything('a relation or column that is newer than the catalog');
    }
    const labelled = this.#catalog.labelled.get(oid);
    // tableoid says which partition a row is in, and so what is between its bounds.
    if (attribute === TABLE_OID && labelled !== undefined && this.#catalog.labelledPartitions)
      return { sources: new Set([...labelled.keys()].map((at) => `${oid}.${at}`)), exact: false, pure: false };
    if (attribute < 0) return NOTHING;
    if (this.#catalog.opaque.has(oid)) return anything('a materialised view over labelled data');
    if (attribute === 0)
      return { sources: new Set([...(labelled?.keys() ?? [])].map((at) => `${oid}.${at}`)), exact: false, pure: false };
    return labelled?.has(attribute) ? { sources: new Set([`${oid}.${attribute}`]), exact: true, pure: true } : NOTHING;
  }

  #pick<T>(items: readonly T[], attribute: number, valueOf: (item: T) => Value): Value {
    if (attribute === 0) return derived(union(items.map(valueOf)));
    const item = items[attribute - 1];
    return attribute > 0 && item !== undefined ? valueOf(item) : anything('a column out of range');
  }

  /** The merged column of a FULL JOIN is whichever side has a value. */
  #joined(item: TreeValue, around: Scopes): Value {
    if (isNode(item) && item.tag === 'COALESCEEXPR') return union(list(item, 'args').map((side) => this.value(side, around)));
    return this.value(item, around);
  }

  #subquery(entry: TreeNode, attribute: number, around: Scopes): Value {
    const query = child(entry, 'subquery', 'QUERY');
    if (!query) return anything('a sub-query that is missing');
    const value = this.#pick(this.columns(query, around), attribute, (column) => column);
    const view = viewOf(entry);
    // A label on the view adds to what its query shows, and nothing else does.
    return view > 0 ? { ...union([value, this.relation(view, attribute)]), pure: value.pure } : value;
  }

  #rows(entry: TreeNode, attribute: number, around: Scopes): Value {
    const rows = list(entry, 'values_lists');
    if (rows.length === 0) return anything('VALUES without rows');
    return union(
      rows.map((row) =>
        Array.isArray(row)
          ? this.#pick(row as readonly TreeValue[], attribute, (item) => this.value(item, around))
          : anything('VALUES of an unknown form'),
      ),
    );
  }

  #cte(entry: TreeNode, attribute: number, around: Scopes): Value {
    const scopes = around.slice(integer(entry, 'ctelevelsup'));
    const [owner] = scopes;
    const named = owner ? nodes(owner, 'cteList', 'COMMONTABLEEXPR').filter((cte) => cteName(cte) === cteName(entry)) : [];
    const query = named[0] && child(named[0], 'ctequery', 'QUERY');
    if (!query || named.length !== 1 || Number.isNaN(integer(entry, 'ctelevelsup'))) return anything('a CTE that is not found');
    const columns = this.columns(query, scopes);
    const marked = field(named[0] as TreeNode, 'search_clause') !== null || field(named[0] as TreeNode, 'cycle_clause') !== null;
    // SEARCH and CYCLE add columns that are made of the others.
    if (marked && attribute > columns.length) return derived(union(columns));
    return this.#pick(columns, attribute, (column) => column);
  }
}
