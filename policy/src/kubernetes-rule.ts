import type { KubernetesSelector, KubernetesVerb, SshSelector } from '@chaperone/api';
import type { AccessRule } from './access.ts';
import type { ApiObject, Effect } from './action.ts';
import { MAX_GLOB_LENGTH, matchPathGlob, matchWord, parsePathGlob, parseSegment, type SegmentGlob } from './glob.ts';
import { isOfSsh, sshCovers, sshTouches, unreadableField } from './ssh-rule.ts';

/** A resource, or a subresource of one. */
export type ApiType = Pick<ApiObject, 'group' | 'resource' | 'subresource'>;

/** What is done by the Kubernetes API, as against SQL and SSH. */
export type KubernetesEffect = Effect & { readonly kind: 'api-object' | 'api-path' };

export function isOfKubernetes(effect: Effect): effect is KubernetesEffect {
  return effect.kind === 'api-object' || effect.kind === 'api-path';
}

/**
 * Patterns of resources, as kubectl writes them:
 *
 *     pods                      of the core group, and no subresource
 *     pods/log, pods/*          that subresource, or any, and not the pods
 *     deployments.apps/scale    of another group
 *     *.apps, *.*.example.com   `*` stands for any characters of resource, group or subresource, also none: `*.*` is every group
 *     **                        everything, subresources too
 *
 * RBAC's own `apps/deployments` is not written here: it could not be told from a resource with a subresource.
 */
export type ResourceGlob =
  | 'everything'
  | {
      readonly resource: SegmentGlob;
      readonly group: SegmentGlob;
      readonly subresource: SegmentGlob;
      readonly isSubresource: boolean;
    };

/** Reads a pattern; undefined when it is not one (a part is empty, `**` within it, too long). */
export function parseResourceGlob(pattern: string): ResourceGlob | undefined {
  if (pattern === '**') return 'everything';
  if (pattern.length > MAX_GLOB_LENGTH || pattern.includes('**')) return undefined;
  const [, resource, , group = '', , subresource = ''] = /^([^./]+)([.]([^/]+))?([/]([^/]+))?$/.exec(pattern) ?? [];
  if (resource === undefined) return undefined;
  return {
    resource: parseSegment(resource),
    group: parseSegment(group),
    subresource: parseSegment(subresource),
    isSubresource: subresource !== '',
  };
}

export function matchResource(glob: ResourceGlob, { resource, group, subresource }: ApiType): boolean {
  if (glob === 'everything') return true;
  if (glob.isSubresource !== (subresource !== '')) return false;
  return matchWord(glob.resource, resource) && matchWord(glob.group, group) && matchWord(glob.subresource, subresource);
}

/** {@link covers} for the Kubernetes API. A rule without `kubernetes` lets nothing through. */
export function kubernetesCovers(rule: AccessRule, effect: KubernetesEffect): boolean {
  const { kubernetes } = rule;
  if (kubernetes === undefined) return false;
  if (effect.kind === 'api-path')
    return (kubernetes.nonResourcePaths ?? []).some((pattern) => matchesPath(pattern, effect.object, false));
  const { verbs, resources, namespaces, names } = kubernetes;
  const { api } = effect;
  return (
    api !== undefined &&
    verbs !== undefined &&
    hasVerb(verbs, effect.verb) &&
    (resources ?? []).some((pattern) => matchesResource(pattern, api, false)) &&
    isNamed(namespaces, api.namespace, false) &&
    isNamed(names, api.name, false) &&
    coversInside(rule, effect)
  );
}

/** A port-forward as it begins, before a port is asked for: a grant of any port opens it, and each port is judged by itself. */
export function isForwardStart({ kind, verb, inside }: Effect): boolean {
  return kind === 'api-object' && verb === 'portforward' && inside === undefined;
}

/** Of what opens a pod a rule lets through what it names, and nothing else. */
function coversInside({ kubernetes = {}, effect }: AccessRule, of: KubernetesEffect): boolean {
  const { verb, inside } = of;
  if (verb === 'portforward') return (kubernetes.ports ?? []).some((port) => inside === undefined || isPort(inside, port));
  if (verb !== 'exec' && verb !== 'attach') return true;
  return inside !== undefined && isOfSsh(inside) && sshCovers({ effect, ssh: asSsh(kubernetes) }, inside);
}

/** A rule that names nothing of what is done in pods is about all of it. */
function touchesInside(kubernetes: KubernetesSelector, { verb, inside }: KubernetesEffect): boolean {
  const { ports, commands, files, shell } = kubernetes;
  if (verb === 'portforward') return ports === undefined || (inside !== undefined && ports.some((port) => isPort(inside, port)));
  if (verb !== 'exec' && verb !== 'attach') return true;
  const isAboutAll = commands === undefined && files === undefined && shell === undefined;
  return isAboutAll || inside === undefined || !isOfSsh(inside) || sshTouches({ ssh: asSsh(kubernetes) }, inside);
}

function asSsh({ commands, files, shell }: KubernetesSelector): SshSelector {
  return { commands, files, shell };
}

function isPort({ kind, object }: Effect, port: number): boolean {
  return kind === 'address' && object === String(port);
}

/** {@link touches} for the Kubernetes API: a rule without `kubernetes` is about all of it, and what is not known may be anything. */
export function kubernetesTouches({ kubernetes }: AccessRule, effect: KubernetesEffect): boolean {
  if (kubernetes === undefined) return true;
  const { verbs, resources, namespaces, names, nonResourcePaths } = kubernetes;
  if (effect.kind === 'api-path') return (nonResourcePaths ?? []).some((pattern) => matchesPath(pattern, effect.object, true));
  const isAboutObjects = [verbs, resources, namespaces, names].some((list) => list !== undefined);
  if (!isAboutObjects) return false;
  const { api } = effect;
  if (api === undefined) return true;
  if (verbs !== undefined && !hasVerb(verbs, effect.verb)) return false;
  if (resources !== undefined && !resources.some((pattern) => matchesResource(pattern, api, true))) return false;
  // What has a name and no namespace is in none.
  const mayBeInAny = api.namespace === '' && api.name === '';
  const isMeant = isNamed(namespaces, api.namespace, mayBeInAny) && isNamed(names, api.name, true);
  return isMeant && touchesInside(kubernetes, effect);
}

/** Whether a selector speaks of a verb on a resource whatever name and namespace an object has. */
export function kubernetesSpeaksOf({ verbs, resources }: KubernetesSelector, api: ApiType, verb: string): boolean {
  return (
    (verbs === undefined || hasVerb(verbs, verb)) &&
    (resources === undefined || resources.some((pattern) => matchesResource(pattern, api, false)))
  );
}

/** Whether a selector names resources of a group. */
export function kubernetesNamesGroup({ resources = [] }: KubernetesSelector, group: string): boolean {
  return resources.some((pattern) => {
    const glob = parseResourceGlob(pattern);
    return glob === 'everything' || (glob !== undefined && matchWord(glob.group, group));
  });
}

function hasVerb(verbs: readonly KubernetesVerb[], verb: string): boolean {
  return verbs.some((each) => each === '*' || each === verb);
}

/** @param unknown - the answer where there is no name, and for a pattern that cannot be read */
function isNamed(patterns: readonly string[] | undefined, name: string, unknown: boolean): boolean {
  if (patterns === undefined) return true;
  if (name === '') return unknown;
  return patterns.some((pattern) => (isWordGlob(pattern) ? matchWord(parseSegment(pattern), name) : unknown));
}

function isWordGlob(pattern: string): boolean {
  return pattern.length > 0 && pattern.length <= MAX_GLOB_LENGTH && !pattern.includes('**');
}

function matchesResource(pattern: string, api: ApiType, unknown: boolean): boolean {
  const glob = parseResourceGlob(pattern);
  return glob === undefined ? unknown : matchResource(glob, api);
}

function matchesPath(pattern: string, path: string, unknown: boolean): boolean {
  const glob = parsePathGlob(pattern);
  return glob === undefined ? unknown : matchPathGlob(glob, path);
}

/** Verbs that a rule is about; paths are read. */
export function kubernetesVerbs({ verbs = [], nonResourcePaths }: KubernetesSelector): KubernetesVerb[] {
  return [...new Set([...verbs, ...(nonResourcePaths === undefined ? [] : (['get'] as const))])];
}

/** What a rule names for one verb, for people to read. */
export function kubernetesObjects(
  { verbs, resources = [], nonResourcePaths = [], commands }: KubernetesSelector,
  verb: string,
): readonly string[] {
  if (verb === 'exec' && commands !== undefined) return commands;
  const objects = verbs === undefined || hasVerb(verbs, verb) ? resources : [];
  return [...objects, ...(verb === 'get' ? nonResourcePaths : [])];
}

/** Whether every pattern is one, and no list is empty. */
export function isReadableKubernetes(kubernetes: KubernetesSelector): boolean {
  const { verbs, resources, namespaces, names, nonResourcePaths, ports } = kubernetes;
  const lists = [verbs, resources, namespaces, names, nonResourcePaths, ports];
  return (
    unreadableField(asSsh(kubernetes)) === undefined &&
    lists.every((list) => list?.length !== 0) &&
    (resources ?? []).every((pattern) => parseResourceGlob(pattern) !== undefined) &&
    [...(namespaces ?? []), ...(names ?? [])].every(isWordGlob) &&
    (nonResourcePaths ?? []).every((pattern) => parsePathGlob(pattern) !== undefined)
  );
}
