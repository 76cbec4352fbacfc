import { Refusal } from './refusal.ts';

/** Parts of a path of the API, as the API server's own RequestInfo has them. What is not there is ''. */
export interface ApiPath {
  readonly kind: 'resource';
  /** Of the deprecated paths with /watch/ before the resource. */
  readonly legacyWatch: boolean;
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly resource: string;
  readonly name: string;
  readonly subresource: string;
}
/** Whatever is no object of the API: /version, /openapi/v3, /apis/apps/v1. */
export interface OtherPath {
  readonly kind: 'path';
  readonly path: string;
}

/** Parts of a path; the API has eight at most, but behind `proxy`. */
const MAX_PARTS = 32;
/** Names may be any path segment to the API server; those that need no encoding, and are longer than none (RFC 3986, section 3.3). */
const SEGMENT = /^[A-Za-z0-9._~:@+=-]{1,253}$/;
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const GROUP = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const VERSION = /^v[0-9][a-z0-9]{0,20}$/;
/** By these it is told which resources there are; the agent sees those that it may use. */
export function isDiscovery(path: string): boolean {
  return /^\/(api(\/[^/]+)?|apis(\/[^/]+){0,2})$/.test(path);
}

/** What follows the name of a namespace and is no resource of its own. */
const OF_NAMESPACES: ReadonlySet<string> = new Set(['status', 'finalize']);
/** No resources, but words before one: `watch` stands there once, `proxy` is gone since Kubernetes 1.10. */
const SPECIAL: ReadonlySet<string> = new Set(['watch', 'proxy']);

/**
 * Reads the path of a request (without its query) as kube-apiserver does: /api/VERSION/… and /apis/GROUP/VERSION/…, with
 * namespaces/NAMESPACE where the object is in one, then RESOURCE, NAME and SUBRESOURCE. What servers could read in two ways is refused:
 * anything encoded, empty parts (but for a / behind a path of discovery, which is left out), `.` and `..`, more parts than have a meaning.
 *
 * @throws Refusal PathEncoded, PathSegment, PathUnknown
 */
export function readPath(path: string): ApiPath | OtherPath {
  if (path === '/') return { kind: 'path', path };
  // Clients that are made of the API's own description ask so.
  if (path.endsWith('/') && isDiscovery(path.slice(0, -1))) return readPath(path.slice(0, -1));
  if (path.includes('%')) throw new Refusal('PathEncoded');
  const parts = path.slice(1).split('/');
  if (parts.length > MAX_PARTS || !parts.every(isSegment)) throw new Refusal('PathSegment');
  const [prefix = '', ...rest] = parts;
  if (prefix === 'api' && rest.length > 1) return readApiPath('', rest);
  if (prefix === 'apis' && rest.length > 2) return readApiPath(rest[0] ?? '', rest.slice(1));
  return { kind: 'path', path };
}

function isSegment(part: string): boolean {
  return SEGMENT.test(part) && part !== '.' && part !== '..';
}

function readApiPath(group: string, [version = '', ...rest]: readonly string[]): ApiPath {
  const legacyWatch = rest[0] === 'watch';
  const below = legacyWatch ? rest.slice(1) : rest;
  const namespace = below[0] === 'namespaces' ? (below[1] ?? '') : '';
  const [resource = '', name = '', subresource = '', ...more] = isInNamespace(below) ? below.slice(2) : below;
  const isDeep = more.length > 0 && subresource !== 'proxy';
  const isDeepWatch = legacyWatch && subresource !== '';
  if (SPECIAL.has(below[0] ?? '') || isDeep || isDeepWatch) throw new Refusal('PathUnknown');
  return checked({ kind: 'resource', legacyWatch, group, version, namespace, resource, name, subresource });
}

function checked(path: ApiPath): ApiPath {
  const { group, version, namespace, resource, subresource } = path;
  const labels = [resource, ...[namespace, subresource].filter((label) => label !== '')];
  const fits = isGroupOrCore(group) && VERSION.test(version) && labels.every((label) => LABEL.test(label));
  if (!fits) throw new Refusal('PathSegment');
  return path;
}

/** Whether it goes on behind the namespace with a resource; the namespace itself has subresources, too. */
function isInNamespace([first, , third]: readonly string[]): boolean {
  return first === 'namespaces' && third !== undefined && !OF_NAMESPACES.has(third);
}

function isGroupOrCore(group: string): boolean {
  return group === '' || (group.length <= 253 && GROUP.test(group));
}
