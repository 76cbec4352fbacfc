import type { Effect } from '@chaperone/policy';
import type { Catalog } from './catalog.ts';
import { FIRST_USER_OID } from './functions.ts';
import { type Command, majorOf } from './majors.ts';
import { field, outputEntries, token } from './nodes.ts';
import { isNode, type TreeNode, type TreeValue } from './tree.ts';
import { Lineage, TooComplex, type Value } from './values.ts';
import type { Found, ReferenceKind, Refused, Target } from './found.ts';
import { Visitor } from './visit.ts';

export type { Command } from './majors.ts';
export type { Refused, Target } from './found.ts';

export interface Source {
  readonly relation: number;
  readonly attnum: number;
  readonly labels: ReadonlySet<string>;
}
export interface OutputColumn {
  readonly name: string;
  /** Labelled columns whose values reach this one. */
  readonly sources: readonly Source[];
  /** Every labelled value in it is a column's own, unchanged. */
  readonly exact: boolean;
  /** Nothing but labelled values can be in it. */
  readonly pure?: boolean | undefined;
  /** Set: anything may be in it, because of this. */
  readonly top?: string | undefined;
}
/** A labelled column that steers the statement without being shown. */
export interface Reference {
  readonly kind: ReferenceKind;
  readonly labels: ReadonlySet<string>;
  readonly equality: boolean;
  readonly top?: string | undefined;
}
/** A labelled value that is written to a column, or any value that is written to a labelled column. */
export interface Assign {
  readonly relation: number;
  readonly attnum: number;
  /** Labels of the value. */
  readonly labels: ReadonlySet<string>;
  /** Labels of the column that takes it. */
  readonly kept: ReadonlySet<string>;
  readonly top?: string | undefined;
}

/** What one statement does and shows, by the server's own resolution of it. */
export interface Analysis {
  readonly command: Command;
  readonly columns: readonly OutputColumn[];
  readonly effects: readonly Effect[];
  readonly references: readonly Reference[];
  readonly assigns: readonly Assign[];
  readonly targets: readonly Target[];
  /** Set: the statement must not run (NotAnalysable), whatever was approved. The first reason of several. */
  readonly refused: Refused | undefined;
  /** Labelled values may be in its errors and notices. */
  readonly touchesLabelled: boolean;
  /** It may run code of the owner's that stands in no tree. */
  readonly impliesCode: boolean;
  /** A relation takes part whose rows cannot be changed without running code of the owner's. */
  readonly firesOwnersCode: boolean;
  /** Row security of what it reads runs code of the owner's, whose results a plan would show. */
  readonly ownersCode: boolean;
  /** It reads what earlier statements of the session may have left there: settings, sequences, temporary tables. */
  readonly readsSession: boolean;
  /** Calls of set_config, which are not among what is `refused`. */
  readonly setConfigs: number;
  /** It names an object that the catalog does not know, and is refused: load the catalog again and analyse once more. */
  readonly unknownObjects: boolean;
  /** The catalog's labels, for the check of what the server says of each column. */
  readonly labelled: Catalog['labelled'];
}

function without(command: Command, catalog: Catalog, refused?: Refused): Analysis {
  const nothing = { columns: [], effects: [], references: [], assigns: [], targets: [], unknownObjects: false } as const;
  return {
    command,
    ...nothing,
    refused,
    impliesCode: catalog.impliesCode,
    firesOwnersCode: true,
    ownersCode: true,
    readsSession: true,
    setConfigs: 0,
    touchesLabelled: catalog.labels.size > 0,
    labelled: catalog.labelled,
  };
}

/** Fields that hold types, by themselves or in lists, and relations. */
const OBJECT_FIELD = /typ(?!mod)|relid/i;

function namesUsersObject(value: TreeValue, name = ''): boolean {
  if (value === null) return false;
  if (typeof value === 'string') return OBJECT_FIELD.test(name) && Number(value) >= FIRST_USER_OID;
  if (!isNode(value)) return value.some((item) => namesUsersObject(item, name));
  return Object.entries(value.fields).some(([each, item]) => namesUsersObject(item, each));
}

class Labels {
  readonly #catalog: Catalog;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  of(relation: number, attnum: number): ReadonlySet<string> {
    return this.#catalog.labelled.get(relation)?.get(attnum) ?? new Set();
  }

  sources(value: Value): Source[] {
    return [...value.sources].map((source) => {
      const [relation = 0, attnum = 0] = source.split('.').map(Number);
      return { relation, attnum, labels: this.of(relation, attnum) };
    });
  }

  all(value: Value): Set<string> {
    return new Set(this.sources(value).flatMap(({ labels }) => [...labels]));
  }
}

/** One effect per verb, object and way, with the columns of all its mentions. */
function merged(effects: readonly Effect[]): Effect[] {
  const found = new Map<string, Effect>();
  for (const effect of effects) {
    const key = JSON.stringify([effect.verb, effect.object, effect.via, effect.kind]);
    const before = found.get(key);
    const columns =
      effect.columns || before?.columns ? [...new Set([...(before?.columns ?? []), ...(effect.columns ?? [])])] : undefined;
    found.set(key, columns ? { ...effect, columns } : effect);
  }
  return [...found.values()];
}

function distinct(references: readonly Reference[]): Reference[] {
  const seen = new Set<string>();
  return references.filter((reference) => {
    // Each equality is one guess; anything else is the same thing however often it is said.
    if (reference.equality) return true;
    const key = JSON.stringify([reference.kind, [...reference.labels].toSorted(), reference.top]);
    return seen.has(key) ? false : seen.add(key);
  });
}

/**
 * Says what a statement shows, does, writes and is steered by. A utility statement's tree says nothing of that: its analysis is empty.
 *
 * @param queries - one statement's tree (parseTree); a rule that made several of it is refused
 * @param catalog - of the same database, no older than what the statement names (see {@link Analysis.unknownObjects})
 * @param major - the server's major version
 */
export function analyse(queries: readonly TreeNode[], catalog: Catalog, major: number): Analysis {
  const [query] = queries;
  const known = majorOf(major);
  const command = query && known?.commands[token(query, 'commandType')];
  const refuse = (why: string): Analysis =>
    without(command ?? 'utility', catalog, { object: 'the statement', why: `the statement ${why}` });
  if (known === undefined) return refuse('runs on a version of PostgreSQL that is not supported');
  if (!query || queries.length !== 1) return refuse('is rewritten by a rule into none or several');
  if (command === undefined) return refuse('is of an unknown kind');
  if (command === 'utility') return without(command, catalog);
  const lineage = new Lineage(catalog, known);
  const visitor = new Visitor(catalog, lineage, known);
  try {
    const { found, values } = lineage.settle(() => ({ found: visitor.walk(query), values: lineage.columns(query, []) }));
    return describe(query, command, catalog, lineage.stale, found, values);
  } catch (error) {
    if (error instanceof TooComplex) return refuse('is too complex to be followed');
    throw error;
  }
}

function describe(
  query: TreeNode,
  command: Command,
  catalog: Catalog,
  stale: boolean,
  found: Found,
  values: readonly Value[],
): Analysis {
  const labels = new Labels(catalog);
  const columns = outputEntries(query).map((entry, at): OutputColumn => {
    const value = values[at];
    const name = field(entry, 'resname');
    return {
      name: typeof name === 'string' ? name : '',
      sources: value ? labels.sources(value) : [],
      exact: value?.exact === true && found.top === undefined,
      pure: value?.pure === true && found.top === undefined,
      top: found.top ?? (value ? value.top : 'a column that is missing'),
    };
  });
  const references = found.references.map(
    ({ kind, value, equality }): Reference => ({ kind, labels: labels.all(value), equality, top: value.top }),
  );
  if (found.top !== undefined) references.push({ kind: 'predicate', labels: new Set(), equality: false, top: found.top });
  const [first] = found.refused;
  const newer = { object: 'an object', why: 'it names an object that is newer than the catalog' };
  const refused = first ? { object: first.object, why: `${first.object} ${first.why}` } : stale ? newer : undefined;
  const impliesCode = catalog.impliesCode && (found.readsAnyType || namesUsersObject(query));
  const triggers = found.targets.some((target) => target.hasTriggers);
  return {
    command,
    columns,
    effects: merged(found.effects),
    references: distinct(references),
    assigns: found.assigns.map(({ relation, attnum, value }) => ({
      relation,
      attnum,
      labels: labels.all(value),
      kept: labels.of(relation, attnum),
      top: found.top ?? value.top,
    })),
    targets: found.targets,
    refused,
    touchesLabelled: catalog.labels.size > 0 && (found.touches || triggers || stale || found.top !== undefined),
    impliesCode,
    firesOwnersCode: found.firesOwnersCode,
    ownersCode: found.ownersCode,
    readsSession: found.readsSession,
    setConfigs: found.setConfigs,
    unknownObjects: stale,
    labelled: catalog.labelled,
  };
}
