import {
  FILE_OPERATIONS,
  KUBERNETES_VERBS,
  KubernetesSelector,
  PolicyRule,
  SqlSelector,
  SshSelector,
  STATEMENTS,
} from '@chaperone/api';
import type { ApiObject, Effect } from '@chaperone/policy';
import type { z } from 'zod';
import { commandPatterns, namePatterns, pathPatterns } from './generalise.ts';

/** What of a rule says what it covers: one selector, or none where the protocol has none. */
export type Selector = Pick<z.input<typeof PolicyRule>, 'sql' | 'ssh' | 'kubernetes'>;

/** A selector, and the word that its rule's name begins with. */
export interface Draft {
  readonly word: string;
  readonly selector: Selector;
}

/** Items that a list of each selector takes; see api's selectors. */
const MAX = { globs: 64, paths: 32 } as const;

/**
 * Whether a rule can name exactly this: what has a star in it would be a pattern of more, and what holds characters that patterns do not
 * take, such as a blank in a word, is no pattern at all.
 */
export function isNameable(effect: Effect, wanted: 'Allow' | 'RequireApproval'): boolean {
  // A forward begins before a port is asked for, and what lets any port through lets it begin.
  if (isForwardStart(effect)) return true;
  if (wanted === 'Allow' && (effect.inside ?? effect).kind === 'shell') return false;
  const [draft, ...more] = draftsOf([effect], true);
  if (draft === undefined || more.length > 0 || isUnwritable(effect)) return false;
  const { sql, ssh, kubernetes } = draft.selector;
  if (sql !== undefined) return SqlSelector.safeParse(sql).success;
  if (ssh !== undefined) return SshSelector.safeParse(ssh).success;
  return kubernetes === undefined || KubernetesSelector.safeParse(kubernetes).success;
}

function isForwardStart({ kind, verb, inside }: Effect): boolean {
  return kind === 'api-object' && verb === 'portforward' && inside === undefined;
}

/** A star would be a pattern, and half a character is none that YAML can hold. */
function isUnwritable({ object, words = [], api, inside }: Effect): boolean {
  const parts = [object, ...words, ...(api === undefined ? [] : [api.namespace, api.name, api.resource, api.group])];
  return parts.some((part) => part.includes('*') || !part.isWellFormed()) || (inside !== undefined && isUnwritable(inside));
}

/** The fewest selectors that together cover these effects, and no other but by the patterns of `generalise.ts`. All of one protocol. */
export function draftsOf(effects: readonly Effect[], exact: boolean): Draft[] {
  const of = (...kinds: readonly Effect['kind'][]): Effect[] => effects.filter(({ kind }) => kinds.includes(kind));
  return [
    ...relationDrafts(of('relation')),
    ...functionDrafts(of('function')),
    ...connectDrafts(of('other')),
    ...commandDrafts(of('command'), exact),
    ...fileDrafts(of('path'), exact),
    ...plainDrafts(of('subsystem', 'address', 'shell'), of('path').length > 0),
    ...apiDrafts(of('api-object'), exact),
    ...apiPathDrafts(of('api-path')),
  ];
}

/** Items that are used in the same ways, each with those. In a fixed order. */
function byUse<T extends string>(uses: readonly (readonly [item: string, way: T])[]): { ways: T[]; items: string[] }[] {
  const waysOf = new Map<string, Set<T>>();
  for (const [item, way] of uses) waysOf.set(item, (waysOf.get(item) ?? new Set<T>()).add(way));
  const alike = Map.groupBy([...waysOf], ([, ways]) => JSON.stringify([...ways].toSorted()));
  return [...alike]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([ways, items]) => ({ ways: JSON.parse(ways) as T[], items: items.map(([item]) => item).toSorted() }));
}

function chunks<T>(items: readonly T[], most: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / most) }, (_, at) => items.slice(at * most, (at + 1) * most));
}

function known<T extends string>(all: readonly T[], verb: string): T[] {
  return all.filter((each) => each === verb && each !== '*');
}

function relationDrafts(effects: readonly Effect[]): Draft[] {
  const uses = effects.flatMap(({ object, verb }) => known(STATEMENTS, verb).map((way) => [object, way] as const));
  return byUse(uses).flatMap(({ ways, items }) =>
    chunks(items, MAX.globs).map((relations) => ({ word: ways.join('-'), selector: { sql: { statements: ways, relations } } })),
  );
}

function functionDrafts(effects: readonly Effect[]): Draft[] {
  const uses = effects.flatMap(({ object, verb }) => known(STATEMENTS, verb).map((way) => [object, way] as const));
  return byUse(uses).flatMap(({ ways, items }) =>
    chunks(items, MAX.globs).map((functions) => ({ word: ways.join('-'), selector: { sql: { statements: ways, functions } } })),
  );
}

/** Of protocol tcp; a rule that says no more is about nothing else there. What else has this kind no rule can name. */
function connectDrafts(effects: readonly Effect[]): Draft[] {
  return effects.some(({ verb }) => verb === 'connect') ? [{ word: 'connect', selector: {} }] : [];
}

function commandDrafts(effects: readonly Effect[], exact: boolean): Draft[] {
  const commands = effects.flatMap(({ words }) => (words === undefined || !areBare(words) ? [] : [words]));
  return chunks(commandPatterns(commands, exact), MAX.globs).map((each) => ({
    word: 'run',
    selector: { ssh: { commands: each } },
  }));
}

/** A pattern has one blank between its words, and `**` of its own meaning. */
function areBare(words: readonly string[]): boolean {
  return words.every((word) => word !== '' && !/[ *]/.test(word));
}

function fileDrafts(effects: readonly Effect[], exact: boolean): Draft[] {
  const uses = effects.flatMap(({ object, verb, below }) =>
    known(FILE_OPERATIONS, verb).map((way) => [below === true ? `${object === '/' ? '' : object}/**` : object, way] as const),
  );
  return byUse(uses).flatMap(({ ways, items }) => {
    const [trees, files] = [items.filter((item) => item.endsWith('/**')), items.filter((item) => !item.endsWith('/**'))];
    // What was deleted once is not there any more: another file has the name of none of them.
    const paths = [...pathPatterns(files, exact || ways.includes('delete')), ...trees];
    return chunks(paths, MAX.paths).map((each) => ({
      word: ways.join('-'),
      selector: { ssh: { files: { operations: ways, paths: each } } },
    }));
  });
}

/** A rule about files lets sftp start as well. */
function plainDrafts(effects: readonly Effect[], hasFiles: boolean): Draft[] {
  const objects = (kind: Effect['kind']): string[] =>
    [...new Set(effects.filter((effect) => effect.kind === kind).map(({ object }) => object))].toSorted();
  const subsystems = objects('subsystem').filter((name) => !(hasFiles && name === 'sftp'));
  return [
    ...chunks(subsystems, 8).map((each): Draft => ({ word: 'start', selector: { ssh: { subsystems: each } } })),
    ...chunks(objects('address'), MAX.paths).map((forward): Draft => ({ word: 'forward', selector: { ssh: { forward } } })),
    ...(objects('shell').length > 0 ? [{ word: 'shell', selector: { ssh: { shell: true as const } } }] : []),
  ];
}

type OnObject = Effect & { readonly api: ApiObject };

/** `deployments.apps/scale`. */
function patternOfType({ group, resource, subresource }: ApiObject): string {
  return `${resource}${group === '' ? '' : `.${group}`}${subresource === '' ? '' : `/${subresource}`}`;
}

/** Objects of one kind of place are named together; what has no name, as a list has none, has a rule of its own without names. */
function apiDrafts(effects: readonly Effect[], exact: boolean): Draft[] {
  const objects = effects.filter((effect): effect is OnObject => effect.api !== undefined && !isForwardStart(effect));
  const places = Map.groupBy(objects, ({ api, inside }) =>
    JSON.stringify([patternOfType(api), api.namespace, api.name === '', inside !== undefined]),
  );
  const drafts = [...places.values()].flatMap((list) => {
    const [first] = list;
    return first?.inside === undefined ? callDrafts(list, exact) : insideDrafts(list, exact);
  });
  return merged(drafts);
}

function callDrafts(list: readonly OnObject[], exact: boolean): KubernetesDraft[] {
  const uses = list.flatMap(({ api, verb }) => known(KUBERNETES_VERBS, verb).map((way) => [api.name, way] as const));
  return byUse(uses).flatMap(({ ways, items }) => onObjects(list, items, exact, { verbs: ways }));
}

type KubernetesDraft = NonNullable<Selector['kubernetes']>;

/** The selectors of some verbs on objects of one type and namespace. */
function onObjects(
  [first]: readonly OnObject[],
  names: readonly string[],
  exact: boolean,
  rest: KubernetesDraft,
): KubernetesDraft[] {
  if (first === undefined) return [];
  const { api } = first;
  const place = {
    ...rest,
    resources: [patternOfType(api)],
    ...(api.namespace === '' ? {} : { namespaces: [api.namespace] }),
  };
  if (api.name === '') return [place];
  return chunks(namePatterns(names, exact), MAX.globs).map((each) => ({ ...place, names: each }));
}

/** What is done in pods, for each pod by itself: pods in which the same was done share a rule. */
function insideDrafts(list: readonly OnObject[], exact: boolean): KubernetesDraft[] {
  const done = [...Map.groupBy(list, ({ api }) => api.name)].map(
    ([name, of]) => [name, JSON.stringify(insideSelectors(of, exact))] as const,
  );
  return byUse(done).flatMap(({ ways: [same = '[]'], items }) =>
    (JSON.parse(same) as KubernetesDraft[]).flatMap((rest) => onObjects(list, items, exact, rest)),
  );
}

function insideSelectors(list: readonly OnObject[], exact: boolean): KubernetesDraft[] {
  const within = (verb: string): Effect[] =>
    list.flatMap((effect) => (effect.verb === verb && effect.inside !== undefined ? [effect.inside] : []));
  const ran = within('exec');
  const ssh = [
    ...commandDrafts(
      ran.filter(({ kind }) => kind === 'command'),
      exact,
    ),
    ...fileDrafts(
      ran.filter(({ kind }) => kind === 'path'),
      exact,
    ),
  ].flatMap(({ selector }) => (selector.ssh === undefined ? [] : [selector.ssh]));
  const ports = [...new Set(within('portforward').map(({ object }) => Number(object)))].toSorted((a, b) => a - b);
  const shells = ['exec', 'attach'] as const;
  return [
    ...ssh.map((each) => ({ verbs: ['exec' as const], ...each }) as KubernetesDraft),
    ...chunks(ports, MAX.paths).map((each): KubernetesDraft => ({ verbs: ['portforward'], ports: each })),
    ...shells
      .filter((verb) => within(verb).some(({ kind }) => kind === 'shell'))
      .map((verb): KubernetesDraft => ({ verbs: [verb], shell: true })),
  ];
}

/** Resources of which all else is the same share a rule. */
function merged(drafts: readonly KubernetesDraft[]): Draft[] {
  const alike = Map.groupBy(drafts, (each) => JSON.stringify({ ...each, resources: [] }));
  return [...alike.values()].flatMap((list) => {
    const resources = [...new Set(list.flatMap((each) => each.resources ?? []))].toSorted();
    return chunks(resources, MAX.globs).map((each): Draft => {
      const kubernetes = { ...list[0], resources: each };
      return { word: (kubernetes.verbs ?? []).join('-'), selector: { kubernetes } };
    });
  });
}

function apiPathDrafts(effects: readonly Effect[]): Draft[] {
  const paths = [...new Set(effects.map(({ object }) => object))].toSorted();
  return chunks(paths, MAX.paths).map((each) => ({ word: 'read', selector: { kubernetes: { nonResourcePaths: each } } }));
}
