import { Refusal } from './refusal.ts';

/** Headers in the order of the wire, each with its value; of HTTP/2 without those that begin with a colon. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** How a body is written. The patches are those of kube-apiserver: RFC 6902, RFC 7396, its own strategic merge, server-side apply. */
export const BODY_FORMATS = [
  'json',
  'yaml',
  'protobuf',
  'json-patch',
  'merge-patch',
  'strategic-merge-patch',
  'apply-patch',
] as const;
export type BodyFormat = (typeof BODY_FORMATS)[number];

/** A connection that leaves HTTP: exec, attach and port-forward. */
export interface Upgrade {
  readonly transport: 'websocket' | 'spdy';
  /** Sub-protocols that the client speaks, by its own preference; tokens that hide among them are left out. */
  readonly protocols: readonly string[];
}

/** What headers say of how a request is read. */
export interface ReadHeaders {
  readonly mediaType: string | undefined;
  readonly accept: string | undefined;
  readonly upgrade: Upgrade | undefined;
  /** Headers that go upstream as they are, lower case. Nothing that says who asks is among them. */
  readonly forwarded: Readonly<Record<string, string>>;
}

/** As many as Node's own HTTP server lets through, roughly. */
const MAX_HEADERS = 128;
const MAX_HEADER_BYTES = 65_536;
const MAX_PROTOCOLS = 32;

/** The positive list. They tell what the client is and what it has already, and change nothing of what is asked for. */
const FORWARDED: ReadonlySet<string> = new Set(['user-agent', 'if-none-match', 'if-modified-since']);
/** Each says how the request is read, so that two of it could be read in two ways. */
const ONCE: ReadonlySet<string> = new Set([
  'accept',
  'authorization',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'sec-websocket-key',
  'sec-websocket-version',
  'transfer-encoding',
  'upgrade',
  ...FORWARDED,
]);
const OVERRIDES: ReadonlySet<string> = new Set(['x-http-method', 'x-http-method-override', 'x-method-override']);
/** The API server takes a bearer token as a sub-protocol of WebSockets. */
const TOKEN_PROTOCOL = 'base64url.bearer.authorization.k8s.io.';
const TOKEN = /^[!-~]{1,128}$/;
const PLAIN = /^[\x20-\x7e]{0,512}$/;

/**
 * Reads the headers of a request. What is not on the list goes nowhere: Authorization, cookies, X-Remote-*, X-Forwarded-*, traces.
 * Impersonate-* is refused, since the agent would get what it did not ask for.
 *
 * @throws Refusal HeadersTooLarge, HeaderRepeated, MethodOverride, Impersonation, MediaType (a compressed body), Upgrade
 */
export function readHeaders(list: HeaderList): ReadHeaders {
  const size = list.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (list.length > MAX_HEADERS || size > MAX_HEADER_BYTES) throw new Refusal('HeadersTooLarge');
  const headers = new Map<string, string[]>();
  for (const [name, value] of list) {
    const key = name.toLowerCase();
    if (key.startsWith('impersonate-')) throw new Refusal('Impersonation');
    if (OVERRIDES.has(key)) throw new Refusal('MethodOverride');
    const held = headers.get(key);
    if (held !== undefined && ONCE.has(key)) throw new Refusal('HeaderRepeated');
    if (held === undefined) headers.set(key, [value]);
    else held.push(value);
  }
  const one = (name: string): string | undefined => headers.get(name)?.[0]?.trim();
  if (one('content-encoding') !== undefined && one('content-encoding') !== 'identity') throw new Refusal('MediaType');
  const forwarded = [...FORWARDED].flatMap((name) => {
    const value = one(name);
    return value !== undefined && PLAIN.test(value) ? [[name, value] as const] : [];
  });
  return {
    mediaType: one('content-type'),
    accept: one('accept'),
    upgrade: readUpgrade(one('upgrade'), (name) => headers.get(name) ?? []),
    forwarded: Object.fromEntries(forwarded),
  };
}

function readUpgrade(upgrade: string | undefined, valuesOf: (name: string) => readonly string[]): Upgrade | undefined {
  if (upgrade === undefined) return undefined;
  const isWebSocket = upgrade.toLowerCase() === 'websocket';
  if (!isWebSocket && upgrade !== 'SPDY/3.1') throw new Refusal('Upgrade');
  const values = valuesOf(isWebSocket ? 'sec-websocket-protocol' : 'x-stream-protocol-version');
  const protocols = values.flatMap((value) => value.split(',').map((each) => each.trim()));
  if (protocols.length > MAX_PROTOCOLS) throw new Refusal('Upgrade');
  const named = protocols.filter((protocol) => !protocol.startsWith(TOKEN_PROTOCOL));
  if (!named.every((protocol) => TOKEN.test(protocol))) throw new Refusal('Upgrade');
  return { transport: isWebSocket ? 'websocket' : 'spdy', protocols: named };
}

const OF_PATCHES: Readonly<Record<string, BodyFormat>> = {
  'application/json-patch+json': 'json-patch',
  'application/merge-patch+json': 'merge-patch',
  'application/strategic-merge-patch+json': 'strategic-merge-patch',
  'application/apply-patch+yaml': 'apply-patch',
};
const OF_OBJECTS: Readonly<Record<string, BodyFormat>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
  'application/vnd.kubernetes.protobuf': 'protobuf',
};

/**
 * The format of a body by its Content-Type. Without one it is JSON, as to the API server, and goes upstream as such.
 *
 * CBOR is refused: clients of Go's client-go that were told to send it fall back to JSON on 415.
 *
 * @throws Refusal MediaType
 */
export function bodyFormat(mediaType: string | undefined, isPatch: boolean): BodyFormat {
  const [type = '', parameter, ...more] = (mediaType ?? (isPatch ? '' : 'application/json')).toLowerCase().split(';');
  const known = isPatch ? OF_PATCHES : OF_OBJECTS;
  const format = Object.hasOwn(known, type.trim()) ? known[type.trim()] : undefined;
  const isUtf8 = parameter === undefined || /^charset="?utf-8"?$/.test(parameter.trim());
  if (format === undefined || !isUtf8 || more.length > 0) throw new Refusal('MediaType');
  return format;
}

/** The Content-Type that goes upstream for a format. */
export function mediaTypeOf(format: BodyFormat): string {
  // What is read as JSON goes on as that.
  if (format === 'json' || format === 'yaml' || format === 'protobuf') return 'application/json';
  return format === 'apply-patch' ? 'application/apply-patch+yaml' : `application/${format}+json`;
}

/** Forms of an answer that are JSON, too: tables for people, metadata alone, the discovery of all groups at once. */
const VIEWS: Readonly<Record<string, RegExp>> = {
  as: /^(Table|PartialObjectMetadata|PartialObjectMetadataList|APIGroupDiscoveryList)$/,
  g: /^(meta|apidiscovery)\.k8s\.io$/,
  v: /^v[12](beta[12])?$/,
  stream: /^watch$/,
  charset: /^utf-8$/i,
};
const OPENAPI = /^application\/com\.github\.proto-openapi\.spec\.v[23](\.v1|@v1\.0)\+protobuf$/;

/**
 * The Accept that goes upstream: of what the client takes, what is JSON. What else it would take is left out, since no answer that
 * cannot be read goes to an agent; the descriptions of the API are the same for everybody and may be what they are.
 *
 * @throws Refusal Accept
 */
export function acceptOf(accept: string | undefined, of: 'objects' | 'text' | 'openapi'): string {
  const wanted = (accept ?? '*/*').split(',').map((each) => each.trim());
  if (wanted.length > MAX_PROTOCOLS) throw new Refusal('Accept');
  const taken = wanted.flatMap((each) => acceptable(each, of === 'openapi') ?? []);
  const any = wanted.some((each) => each.startsWith('*/*') || each.startsWith('application/*'));
  const all = [...new Set([...taken, ...(any ? ['application/json'] : []), ...(any && of === 'text' ? ['*/*'] : [])])];
  if (all.length === 0) throw new Refusal('Accept');
  return all.join(', ');
}

function acceptable(item: string, isOpenApi: boolean): string | undefined {
  const [type = '', ...parameters] = item.split(';').map((each) => each.trim());
  if (isOpenApi && OPENAPI.test(type)) return type;
  if (type !== 'application/json') return undefined;
  const kept = parameters.filter((parameter) => !parameter.startsWith('q='));
  const isKnown = kept.every((parameter) => {
    const [name = '', value = ''] = parameter.split('=', 2);
    return Object.hasOwn(VIEWS, name) && VIEWS[name]?.test(value) === true;
  });
  return isKnown ? [type, ...kept].join(';') : undefined;
}
