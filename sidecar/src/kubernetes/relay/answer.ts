import type { IncomingHttpHeaders } from 'node:http';
import { maskedText, StreamMask } from '../../masking/stream.ts';
import { isDiscovery, type PathRequest, type ResourceRequest } from '../actions/index.ts';
import { AnswerMask, DiscoveryMask, type Plan, quotesValue, type Shape } from '../masking/index.ts';

/** Takes the body of an answer in chunks, and gives what the agent may see, in memory that is not used again. */
export interface BodyMask {
  push(chunk: Buffer): Buffer;
  end(): Buffer;
  /** Values that were hidden. */
  readonly masked: number;
  /** Bytes that it holds back. */
  readonly held: number;
}

export type Read =
  /** It goes to the agent, masked by `mask`. */
  | {
      readonly kind: 'shown';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly mask: BodyMask;
    }
  /** Its body is no object of the API; what it means is said by its status alone. */
  | { readonly kind: 'failed'; readonly status: number; readonly retryAfterSeconds: number | undefined }
  /** Nothing of it is shown. */
  | { readonly kind: 'foreign'; readonly code: ForeignCode; readonly why: string };
export type ForeignCode = 'CredentialsRejected' | 'UpstreamRedirect' | 'AnswerForeign';

const PLAIN = /^[\x20-\x7e]{0,1024}$/;
const JSON_TYPE = 'application/json';
const VIEW = /^application\/json(; ?[a-z]{1,16}=[\w.-]{1,64}){1,6}$/;
const OPENAPI_TYPE = /^application\/com\.github\.proto-openapi\.spec\.v[23](\.v1|[.@]v1\.0)\+protobuf$/;
/** The positive list: none of them tells where else to ask, or who is asked. */
const HEADERS = [
  'audit-id',
  'cache-control',
  'etag',
  'last-modified',
  'vary',
  'x-kubernetes-pf-flowschema-uid',
  'x-kubernetes-pf-prioritylevel-uid',
];

/** By these a client asks whether it has changed. */
const VERSIONS: ReadonlySet<string> = new Set(['etag', 'last-modified']);

export interface Head {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/**
 * Reads the head of an answer. JSON is masked as what was asked for, texts (logs, /healthz) as text; descriptions of the API are the
 * same for everybody. What is anything else is shown to nobody.
 */
export function readAnswer({ status, headers }: Head, request: ResourceRequest | PathRequest, plan: Plan): Read {
  if (status === 401) return { kind: 'foreign', ...NOT_SIGNED_IN };
  // Its agent has the very text already, and the text is the same for everybody.
  if (status === 304 && request.kind === 'path' && !isDiscovery(request.path))
    return { kind: 'shown', status, headers: shownHeaders(headers, request, plan), mask: NOTHING };
  if (status >= 300 && status < 400) return { kind: 'foreign', ...ELSEWHERE };
  // Has no body (RFC 9110 §15.3.5): the log of a pod that runs nowhere yet.
  if (status === 204) return { kind: 'shown', status, headers: shownHeaders(headers, request, plan), mask: NOTHING };
  const body = bodyOf(headers, request, plan, status >= 400);
  if (body !== undefined) {
    // What is shown of discovery changes with the policy, too.
    const names = body.mask instanceof DiscoveryMask ? HEADERS.filter((name) => !VERSIONS.has(name)) : HEADERS;
    return {
      kind: 'shown',
      status,
      headers: { ...shownHeaders(headers, request, plan, names), 'content-type': body.type },
      mask: body.mask,
    };
  }
  return status >= 400
    ? { kind: 'failed', status, retryAfterSeconds: seconds(headers['retry-after']) }
    : { kind: 'foreign', ...UNSEEN };
}

const NOT_SIGNED_IN = {
  code: 'CredentialsRejected',
  why: 'the upstream does not accept the credential of the resource',
} as const;
const ELSEWHERE = {
  code: 'UpstreamRedirect',
  why: 'the upstream answers with another address, which nobody follows',
} as const;
const UNSEEN = {
  code: 'AnswerForeign',
  why: 'the upstream answers with what can not be looked into, neither JSON nor a log',
} as const;

/** How a body is masked, and the type that the agent is told; undefined: it cannot be. */
function bodyOf(
  headers: IncomingHttpHeaders,
  request: ResourceRequest | PathRequest,
  plan: Plan,
  isError: boolean,
): { readonly type: string; readonly mask: BodyMask } | undefined {
  const whole = headers['content-type'] ?? '';
  const type = whole.split(';')[0]?.trim().toLowerCase() ?? '';
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') return undefined;
  if (type === JSON_TYPE) {
    // Which view of an object it is, discovery of all groups or a table, is said there.
    return { type: VIEW.test(whole) ? whole : type, mask: jsonMask(request, plan, isError) };
  }
  if (isError) return undefined;
  if (type === 'text/plain' && isText(request)) return { type, mask: new StreamMask(plan.finds) };
  return isOpenApi(request) && OPENAPI_TYPE.test(type) ? { type, mask: NOTHING } : undefined;
}

function jsonMask(request: ResourceRequest | PathRequest, plan: Plan, isError: boolean): BodyMask {
  if (request.kind === 'resource') return new AnswerMask(plan, request, isError ? 'object' : shapeOf(request));
  const isShown = isError || !isDiscovery(request.path);
  return isShown ? new AnswerMask(plan, { resource: '', group: '' }, 'object') : new DiscoveryMask(plan);
}

function isOpenApi(request: ResourceRequest | PathRequest): boolean {
  return request.kind === 'path' && request.path.startsWith('/openapi/');
}

function shapeOf(request: ResourceRequest): Shape {
  if (request.verb === 'watch') return 'watch';
  return request.verb === 'list' || request.verb === 'deletecollection' ? 'list' : 'object';
}

/** The index of OpenAPI says to be a text. */
function isText(request: ResourceRequest | PathRequest): boolean {
  return request.kind === 'path' || isLog(request);
}

export function isLog({ group, resource, subresource, verb }: ResourceRequest): boolean {
  return verb === 'get' && group === '' && resource === 'pods' && subresource === 'log';
}

/** Whether it has no end of its own. */
export function isEndless(request: ResourceRequest | PathRequest): boolean {
  if (request.kind === 'path') return false;
  const follow = request.parameters.get('follow')?.[0];
  return request.verb === 'watch' || (isLog(request) && (follow === 'true' || follow === '1'));
}

function shownHeaders(
  from: IncomingHttpHeaders,
  request: ResourceRequest | PathRequest,
  plan: Plan,
  names = HEADERS,
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of names) {
    const value = from[name];
    if (typeof value === 'string' && PLAIN.test(value)) headers[name] = value;
  }
  const retryAfter = seconds(from['retry-after']);
  if (retryAfter !== undefined) headers['retry-after'] = String(retryAfter);
  const warning = warningsOf(from['warning'], request, plan);
  if (warning !== '') headers['warning'] = warning;
  return headers;
}

/** What people read of a warning may quote what is stored. */
function warningsOf(value: string | string[] | undefined, request: ResourceRequest | PathRequest, plan: Plan): string {
  const text = (Array.isArray(value) ? value.join(', ') : (value ?? '')).slice(0, 8192);
  if (!/^[\x20-\x7e]*$/.test(text)) return '';
  const object = request.kind === 'resource' ? plan.object(request) : undefined;
  const mayQuote = object?.isQuoted === true && quotesValue(text, plan.hidesCells(object));
  return mayQuote ? '' : maskedText(text, plan.finds);
}

function seconds(value: string | undefined): number | undefined {
  return value !== undefined && /^[0-9]{1,5}$/.test(value) ? Number(value) : undefined;
}

const NOTHING: BodyMask = { masked: 0, held: 0, push: (chunk) => chunk, end: () => Buffer.alloc(0) };
