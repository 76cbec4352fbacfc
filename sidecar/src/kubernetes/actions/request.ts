import {
  acceptOf,
  type BodyFormat,
  bodyFormat,
  type HeaderList,
  mediaTypeOf,
  type ReadHeaders,
  readHeaders,
  type Upgrade,
} from './headers.ts';
import { type ApiPath, isDiscovery, readPath } from './path.ts';
import { type Parameters, readQuery, writeQuery } from './query.ts';
import { Refusal, type Refused, refusable } from './refusal.ts';
import { readFieldSelector } from './selectors.ts';
import { isStream, type Method, METHODS, type Verb, verbOf } from './verb.ts';

/** A request as it came, judged by nobody yet. */
export interface RawRequest {
  readonly method: string;
  /** Path and query as they stand in the request line, or in :path. */
  readonly target: string;
  readonly headers: HeaderList;
  /** Whether any byte of a body follows: Content-Length is more than 0, Transfer-Encoding is there, or HEADERS do not end the stream. */
  readonly hasBody: boolean;
}

/** What goes upstream in place of what the client wrote, and is what was judged. */
interface Sent {
  readonly method: Method;
  /** Path and query, written anew. */
  readonly target: string;
  /** All headers that go upstream, lower case, but for the host, the credential, the length of a body, and those of an upgrade. */
  readonly headers: Readonly<Record<string, string>>;
  readonly parameters: Parameters;
}

/** A call about objects of the API, in the words of RBAC. What is not there is ''. */
export interface ResourceRequest extends Sent {
  readonly kind: 'resource';
  readonly verb: Verb;
  /** '' is the core group. */
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  /** '': all namespaces, or the object is in none. */
  readonly namespace: string;
  /** '': all objects, or its name is in the body. Of list and watch: the one that a field selector leaves. */
  readonly name: string;
  /** Nothing is to be stored. It is judged as if it were: whether options in parameters count depends on the API server. */
  readonly dryRun: boolean;
  /** Absent: there is no body. */
  readonly body?: BodyFormat;
  /** Of exec, attach and portforward, and always there: without it the API server answers 400. */
  readonly upgrade?: Upgrade;
}

/** A read of something that is no object: /version, /openapi/v3, /healthz. */
export interface PathRequest extends Sent {
  readonly kind: 'path';
  readonly verb: 'get';
  readonly path: string;
}

/** Longer ones are refused; the longest are those of exec, whose command stands in the address. */
export const MAX_TARGET_BYTES = 32_768;

const CHARACTERS = /^[A-Za-z0-9._~:/?@!$&'()*+,;=%[\]-]*$/;

/**
 * Reads what a request to the Kubernetes API asks for, as kube-apiserver's RequestInfo does, and stricter: what two readers could take
 * for two things is refused, and what goes on is written anew from what was read. Takes time linear in its length, which is bounded.
 *
 * @returns never anything of the credentials that the client sent
 */
export function readRequest(raw: RawRequest): ResourceRequest | PathRequest | Refused {
  return refusable(() => {
    const headers = readHeaders(raw.headers);
    const method = METHODS.find((known) => known === raw.method);
    if (method === undefined) throw new Refusal('Method');
    const [path, query] = splitTarget(raw.target);
    const found = readPath(path);
    return found.kind === 'path'
      ? readOther({ ...raw, method }, headers, found.path, query)
      : readResource({ ...raw, method }, headers, found, path, query);
  });
}

type KnownRequest = RawRequest & { readonly method: Method };

function splitTarget(target: string): [path: string, query: string] {
  if (target.length > MAX_TARGET_BYTES) throw new Refusal('TargetTooLong');
  if (!target.startsWith('/') || target.startsWith('//')) throw new Refusal('TargetForm');
  if (!CHARACTERS.test(target)) throw new Refusal('TargetCharacter');
  const at = target.indexOf('?');
  if (at === target.length - 1) throw new Refusal('Encoding');
  return at < 0 ? [target, ''] : [target.slice(0, at), target.slice(at + 1)];
}

function readOther({ method, hasBody }: KnownRequest, headers: ReadHeaders, path: string, query: string): PathRequest {
  if (method !== 'GET') throw new Refusal('Method');
  if (hasBody) throw new Refusal('Body');
  if (headers.upgrade !== undefined) throw new Refusal('Upgrade');
  const parameters = readQuery(query, 'path');
  const accept = acceptOf(headers.accept, path.startsWith('/openapi/') ? 'openapi' : 'text');
  return {
    kind: 'path',
    verb: 'get',
    path,
    method,
    target: written(path, parameters),
    headers: { ...(isDiscovery(path) ? unconditional(headers.forwarded) : headers.forwarded), accept },
    parameters,
  };
}

/** What the client has of it was shown by another policy, maybe. */
function unconditional({ 'user-agent': userAgent }: ReadHeaders['forwarded']): Record<string, string> {
  return userAgent === undefined ? {} : { 'user-agent': userAgent };
}

function readResource(
  { method, hasBody }: KnownRequest,
  headers: ReadHeaders,
  at: ApiPath,
  path: string,
  query: string,
): ResourceRequest {
  const { group, version, resource, subresource, namespace } = at;
  const known = verbOf(method, at);
  const parameters = readQuery(query, known === 'get' && isLog(at) ? 'log' : known);
  const verb = known === 'list' && (at.legacyWatch || isTrue(parameters, 'watch')) ? 'watch' : known;
  checkUpgrade(verb, method, headers);
  const body = readBody(verb, headers.mediaType, hasBody);
  if (body !== undefined && method === 'DELETE' && OPTIONS.some((name) => parameters.has(name)))
    throw new Refusal('OptionsTwice');
  return {
    kind: 'resource',
    verb,
    group,
    version,
    resource,
    subresource,
    namespace,
    name: nameOf(verb, at, parameters),
    dryRun: parameters.has('dryRun'),
    ...(body !== undefined && { body }),
    ...(headers.upgrade !== undefined && { upgrade: headers.upgrade }),
    method,
    target: written(path, parameters),
    headers: {
      ...headers.forwarded,
      accept: acceptOf(headers.accept, isLog(at) ? 'text' : 'objects'),
      ...(body !== undefined && { 'content-type': mediaTypeOf(body) }),
    },
    parameters,
  };
}

/** With a body the API server passes over these of the address. */
const OPTIONS = ['dryRun', 'gracePeriodSeconds', 'propagationPolicy', 'orphanDependents'];

function isLog({ group, resource, subresource }: ApiPath): boolean {
  return group === '' && resource === 'pods' && subresource === 'log';
}

function checkUpgrade(verb: Verb, method: Method, { upgrade }: ReadHeaders): void {
  if (isStream(verb) !== (upgrade !== undefined)) throw new Refusal('Upgrade');
  if (upgrade?.transport === 'websocket' && method !== 'GET') throw new Refusal('Method');
}

/** The one of the path; of lists and watches the one that the API server takes from the selector where it authorizes them. */
function nameOf(verb: Verb, { name, legacyWatch }: ApiPath, parameters: Parameters): string {
  if (name !== '' || legacyWatch || (verb !== 'list' && verb !== 'watch')) return name;
  const selected = readFieldSelector(parameters.get('fieldSelector')?.[0] ?? '')?.name ?? '';
  return selected === '.' || selected === '..' || selected.includes('/') ? '' : selected;
}

function readBody(verb: Verb, mediaType: string | undefined, hasBody: boolean): BodyFormat | undefined {
  const takes = verb === 'create' || verb === 'update' || verb === 'patch';
  const may = takes || verb === 'delete' || verb === 'deletecollection';
  if (hasBody && !may) throw new Refusal('Body');
  if (!hasBody && takes) throw new Refusal('BodyMissing');
  return hasBody ? bodyFormat(mediaType, verb === 'patch') : undefined;
}

function isTrue(parameters: Parameters, name: string): boolean {
  const value = parameters.get(name)?.[0];
  return value === 'true' || value === '1';
}

function written(path: string, parameters: Parameters): string {
  return parameters.size === 0 ? path : `${path}?${writeQuery(parameters)}`;
}
