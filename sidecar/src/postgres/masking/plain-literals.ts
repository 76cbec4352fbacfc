import type { Catalog } from './catalog.ts';
import { majorOf } from './majors.ts';
import { child, field, integer, list, nodes, rangeEntry, token } from './nodes.ts';
import { isNode, type TreeNode, type TreeValue } from './tree.ts';
import { FUNCTION_FIELDS, Lineage, TooComplex, type Scopes } from './values.ts';

/** What a statement's author gave to it and a person may read: see {@link plainLiterals}. */
export interface PlainLiterals {
  /** Where constants begin, in bytes of the text. */
  readonly locations: ReadonlySet<number>;
  /** Numbers of parameters, from 1. */
  readonly parameters: ReadonlySet<number>;
}

const BOOLEAN = '16';
const BOUND = '0';
const NONE: PlainLiterals = { locations: new Set(), parameters: new Set() };

/**
 * The constants and parameters of one statement that are nothing but compared with, or assigned to, columns without a label: their
 * values say nothing of labelled data, so that whoever decides on the statement may read them. A positive list: whatever stands
 * anywhere else, or once more somewhere else, is not on it.
 *
 * @param query - the statement's only tree (parseTree)
 */
export function plainLiterals(query: TreeNode, catalog: Catalog, major: number): PlainLiterals {
  const known = majorOf(major);
  if (known === undefined) return NONE;
  const finder = new Finder(catalog, new Lineage(catalog, known));
  try {
    finder.query(query);
    return finder.found(query);
  } catch (error) {
    if (error instanceof TooComplex) return NONE;
    throw error;
  }
}

class Finder {
  readonly #catalog: Catalog;
  readonly #lineage: Lineage;
  /** Nodes that stand in a place where a value may be read. */
  readonly #plain = new Set<TreeNode>();

  constructor(catalog: Catalog, lineage: Lineage) {
    this.#catalog = catalog;
    this.#lineage = lineage;
  }

  query(query: TreeNode): void {
    const tree = child(query, 'jointree', 'FROMEXPR');
    if (tree !== undefined) this.#joins(tree, [query]);
    this.#assigned(query);
  }

  found(query: TreeNode): PlainLiterals {
    const locations = new Map<number, boolean>();
    const parameters = new Map<number, boolean>();
    const walk = (part: TreeValue): void => {
      if (part === null || typeof part === 'string') return;
      if (!isNode(part)) return part.forEach(walk);
      if (part.tag === 'CONST') note(locations, integer(part, 'location'), this.#plain.has(part));
      if (part.tag === 'PARAM')
        note(parameters, integer(part, 'paramid'), this.#plain.has(part) && token(part, 'paramkind') === BOUND);
      Object.values(part.fields).forEach(walk);
    };
    walk(query);
    return this.#lineage.stale ? NONE : { locations: onlyPlain(locations), parameters: onlyPlain(parameters) };
  }

  #joins(node: TreeNode, scopes: Scopes): void {
    this.#condition(field(node, 'quals'), scopes);
    for (const part of [...list(node, 'fromlist'), field(node, 'larg'), field(node, 'rarg')])
      if (isNode(part) && part.tag !== 'RANGETBLREF') this.#joins(part, scopes);
  }

  #condition(part: TreeValue, scopes: Scopes): void {
    if (!isNode(part)) return;
    if (part.tag === 'BOOLEXPR') for (const item of list(part, 'args')) this.#condition(item, scopes);
    const compares =
      (part.tag === 'OPEXPR' && token(part, 'opresulttype') === BOOLEAN) ||
      part.tag === 'SCALARARRAYOPEXPR' ||
      part.tag === 'DISTINCTEXPR';
    if (!compares || !this.#isKnown(part)) return;
    const sides = list(part, 'args');
    if (sides.length !== 2) return;
    for (const [other, given] of [sides, sides.toReversed()])
      if (other !== undefined && given !== undefined && this.#carriesNothing(other, scopes)) this.#given(given, scopes);
  }

  /** What is assigned to a column without a label, as it is. */
  #assigned(query: TreeNode): void {
    const entry = rangeEntry(query, integer(query, 'resultRelation'));
    const relation = entry && this.#catalog.relations.get(integer(entry, 'relid'));
    // What triggers or another's view make of a value nobody knows.
    if (relation?.kind !== 'r' && relation?.kind !== 'p') return;
    for (const target of nodes(query, 'targetList', 'TARGETENTRY')) {
      const labelled = this.#catalog.labelled.get(relation.oid)?.has(integer(target, 'resno')) === true;
      if (token(target, 'resjunk') !== 'true' && !labelled) this.#given(field(target, 'expr'), [query]);
    }
  }

  /** A constant, a parameter, a list of them, or what functions of the server's own make of them and of columns without a label. */
  #given(part: TreeValue, scopes: Scopes): void {
    if (!isNode(part)) return;
    if (part.tag === 'CONST' || part.tag === 'PARAM') this.#plain.add(part);
    else if (part.tag === 'RELABELTYPE' || part.tag === 'ARRAYCOERCEEXPR') this.#given(field(part, 'arg'), scopes);
    else if (part.tag === 'ARRAYEXPR') for (const item of list(part, 'elements')) this.#given(item, scopes);
    else if ((part.tag === 'FUNCEXPR' || part.tag === 'OPEXPR') && this.#isKnown(part) && this.#carriesNothing(part, scopes))
      for (const item of list(part, 'args')) this.#given(item, scopes);
  }

  #carriesNothing(part: TreeValue, scopes: Scopes): boolean {
    const { sources, top } = this.#lineage.value(part, scopes);
    return sources.size === 0 && top === undefined;
  }

  #isKnown(node: TreeNode): boolean {
    return FUNCTION_FIELDS[node.tag] !== undefined && this.#lineage.opaqueCall(node) === undefined;
  }
}

function onlyPlain(found: ReadonlyMap<number, boolean>): Set<number> {
  return new Set([...found].flatMap(([key, plain]) => (plain && key >= 0 ? [key] : [])));
}

function note(found: Map<number, boolean>, key: number, plain: boolean): void {
  found.set(key, (found.get(key) ?? true) && plain);
}
