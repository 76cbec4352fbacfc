import type { IncomingMessage } from 'node:http';
import { MAX_CHANGE, type Preview } from '@chaperone/policy';
import type { Memory } from '../../session/memory.ts';
import type { ResourceRequest } from '../actions/index.ts';
import { isObject, type Json, JsonError, type JsonObject, MAX_BODY_BYTES, readJson } from '../actions/json.ts';
import { type Parameters, writeQuery } from '../actions/query.ts';
import { AnswerMask, type Plan, shownChange } from '../masking/index.ts';
import type { Prepared } from './prepare.ts';
import { Room } from './room.ts';
import { type Upstream, UpstreamError } from './upstream.ts';

/** For all of it. */
const TIMEOUT_MS = 5_000;
/** Objects that are counted, and named, of those that one request deletes. */
const COUNTED = 500;
const NAMED = 5;
/** What a byte of an answer takes in memory while it is read and shown. */
const MEMORY_PER_BYTE = 6;
const MAX_WHY = 256;
/** That a dry run is one is known of these alone: whoever serves another group may take it for the write itself. */
const BUILT_IN: ReadonlySet<string> = new Set([
  '',
  'apps',
  'autoscaling',
  'batch',
  'coordination.k8s.io',
  'discovery.k8s.io',
  'events.k8s.io',
  'networking.k8s.io',
  'node.k8s.io',
  'policy',
  'resource.k8s.io',
  'scheduling.k8s.io',
  'storage.k8s.io',
]);
/** In place of a difference that is none: what the API server keeps for itself, such as managedFields, is not shown. */
const UNCHANGED = '  (nothing that is shown changes)';

/** These are read, changed and tried at one address; what others do when they are written is their own. */
const SUBRESOURCES: ReadonlySet<string> = new Set(['', 'scale', 'status']);
const OBJECTS = 'application/json';
const NAMES_ALONE = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json';

export interface PreviewOptions {
  readonly prepared: Prepared;
  readonly upstream: Pick<Upstream, 'call'>;
  readonly plan: Plan;
  readonly memory: Memory;
  /** Ends it: nobody wants to know any more. */
  readonly signal: AbortSignal;
}

/**
 * Looks at what a write would do, with the credential by which it would run: of create, update and patch the difference between the
 * object and what the API server makes of it by the same request as a dry run; of delete the object; of deletecollection how many
 * there are. All of it masked as the agent would see it. Never rejects.
 */
export async function preview(options: PreviewOptions): Promise<Preview> {
  const { request } = options.prepared;
  if (request.kind === 'path') return { why: 'it changes nothing' };
  const why = untried(request);
  if (why !== undefined) return { why };
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const signal = AbortSignal.any([options.signal, timeout]);
  const room = new Room(options.memory);
  try {
    return await new Look({ ...options, signal }, request, room).of();
  } catch (error) {
    if (timeout.aborted) return { why: 'the API server did not answer in time' };
    return { why: error instanceof PreviewError ? error.message.slice(0, MAX_WHY) : 'the API server could not be asked' };
  } finally {
    room.hold(0);
  }
}

const WRITES: ReadonlySet<string> = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

function untried({ verb, group, subresource }: ResourceRequest): string | undefined {
  if (!WRITES.has(verb)) return 'only writes are tried before they run';
  if (!BUILT_IN.has(group)) return 'a dry run is safe of built-in kinds alone';
  const isKnown = SUBRESOURCES.has(subresource) && (subresource === '' || verb === 'update' || verb === 'patch');
  return isKnown ? undefined : 'what this subresource does cannot be tried';
}

/** Says why, for people, masked. */
class PreviewError extends Error {
  override readonly name = 'PreviewError';
}

interface Asked {
  readonly method: string;
  readonly target: string;
  readonly accept?: string;
  readonly body?: Buffer | undefined;
}

class Look {
  readonly #o: PreviewOptions;
  readonly #request: ResourceRequest;
  readonly #room: Room;
  #held = 0;

  constructor(options: PreviewOptions, request: ResourceRequest, room: Room) {
    this.#o = options;
    this.#request = request;
    this.#room = room;
  }

  async of(): Promise<Preview> {
    const { verb } = this.#request;
    if (verb === 'deletecollection') return this.#many();
    if (verb === 'delete') return this.#change(whoItIs(await this.#object()), undefined);
    const before = verb === 'create' ? undefined : await this.#object();
    return this.#change(before, await this.#tried());
  }

  #change(before: JsonObject | undefined, after: JsonObject | undefined): Preview {
    const { lines, width } = MAX_CHANGE;
    // The sign before a line counts too, and one more line says that there are others.
    const change = shownChange(this.#o.plan, this.#request, before, after, { lines: lines - 1, width });
    return { change: change.length > 0 ? change : [UNCHANGED] };
  }

  /** Undefined: it is not there, and server-side apply would make it. */
  async #object(): Promise<JsonObject | undefined> {
    const { target, body } = this.#request;
    return this.#ask({ method: 'GET', target: pathOf(target) }, body === 'apply-patch');
  }

  #tried(): Promise<JsonObject | undefined> {
    const { method, target, parameters } = this.#request;
    const { body } = this.#o.prepared;
    return this.#ask({ method, target: withQuery(target, new Map([...parameters, ['dryRun', ['All']]])), body: body?.send });
  }

  async #many(): Promise<Preview> {
    const { target, parameters, resource } = this.#request;
    const asked = Number(parameters.get('limit')?.[0] ?? 0);
    const selectors = [...parameters].filter(([name]) => name === 'fieldSelector' || name === 'labelSelector');
    const limit = String(asked > 0 ? Math.min(asked, COUNTED) : COUNTED);
    const listed = withQuery(target, new Map([...selectors, ['limit', [limit]]]));
    const list = await this.#ask({ method: 'GET', target: listed, accept: NAMES_ALONE });
    const { items, metadata } = list ?? {};
    if (!Array.isArray(items)) throw new PreviewError('the API server answers with no list');
    const rest = asked === 0 && isObject(metadata) ? metadata['remainingItemCount'] : 0;
    const count = items.length + (typeof rest === 'number' && rest > 0 ? Math.trunc(rest) : 0);
    const names = (items as readonly Json[]).slice(0, NAMED).map((item) => `- ${resource} ${this.#name(item)}`);
    const more = asked === 0 && isObject(metadata) && typeof metadata['continue'] === 'string' && rest === undefined;
    const others = count - names.length;
    return { count, change: [...names, ...(others > 0 ? [`  … ${others} more${more ? ', or even more' : ''}`] : [])] };
  }

  #name(item: Json): string {
    const metadata = isObject(item) ? item['metadata'] : undefined;
    const name = isObject(metadata) ? metadata['name'] : undefined;
    return typeof name === 'string' ? name.slice(0, MAX_CHANGE.width / 2) : '?';
  }

  /** @returns undefined where it is not there, and that `mayMiss` */
  async #ask({ method, target, accept = OBJECTS, body }: Asked, mayMiss = false): Promise<JsonObject | undefined> {
    const { upstream, signal } = this.#o;
    const { headers } = this.#request;
    const type = headers['content-type'];
    const agent = headers['user-agent'];
    const call = {
      method,
      target,
      headers: {
        accept,
        // Whoever reads the API server's audit log finds both requests by it.
        ...(agent !== undefined && { 'user-agent': agent }),
        ...(body !== undefined && type !== undefined && { 'content-type': type }),
      },
      body,
    };
    const answer = await upstream.call(call, signal);
    const status = answer.statusCode ?? 0;
    const read = objectOf(await this.#body(answer));
    if (status === 404 && mayMiss) return undefined;
    if (status >= 200 && status < 300) return read;
    throw new PreviewError(`the API server refuses ${method === 'GET' ? 'to show it' : 'it'} (${status})${this.#said(read)}`);
  }

  async #body(answer: IncomingMessage): Promise<Buffer> {
    const parts: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_BODY_BYTES || !this.#room.hold((this.#held + size) * MEMORY_PER_BYTE)) {
        answer.destroy();
        throw new PreviewError('it is too large to be looked at');
      }
      parts.push(chunk);
    }
    if (!answer.complete) throw new UpstreamError('UpstreamUnreachable', 'the connection to the upstream was lost');
    this.#held += size;
    return Buffer.concat(parts);
  }

  /** What a Status says, as the agent would read it. */
  #said(status: JsonObject): string {
    const mask = new AnswerMask(this.#o.plan, this.#request, 'object');
    const shown = Buffer.concat([Buffer.from(mask.push(Buffer.from(JSON.stringify(status)))), mask.end()]);
    const { message } = objectOf(shown);
    return typeof message === 'string' ? `: ${message}` : '';
  }
}

/** Of a deleted object: what it is, whose, and since when; its content stays out. */
function whoItIs(object: JsonObject | undefined): JsonObject | undefined {
  if (object === undefined) return undefined;
  const { apiVersion, kind, metadata } = object;
  const kept = isObject(metadata) ? Object.entries(metadata).filter(([key]) => OF_DELETED.has(key)) : [];
  return {
    ...(apiVersion !== undefined && { apiVersion }),
    ...(kind !== undefined && { kind }),
    metadata: Object.fromEntries(kept),
  };
}

const OF_DELETED: ReadonlySet<string> = new Set([
  'name',
  'namespace',
  'labels',
  'ownerReferences',
  'finalizers',
  'creationTimestamp',
]);

function objectOf(bytes: Buffer): JsonObject {
  try {
    const read = readJson(bytes);
    if (isObject(read)) return read;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
  }
  throw new PreviewError('the API server answers with what cannot be read');
}

const pathOf = (target: string): string => target.split('?')[0] ?? target;

function withQuery(target: string, parameters: Parameters): string {
  return `${pathOf(target)}?${writeQuery(parameters)}`;
}
