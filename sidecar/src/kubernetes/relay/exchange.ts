import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { constants } from 'node:http2';
import { setImmediate as turn } from 'node:timers/promises';
import { type Access, judge, type Preview, type Verdict } from '@chaperone/policy';
import type { Clock } from '../../platform.ts';
import type { ActionRecords } from '../../session/action-records.ts';
import type { Approval } from '../../session/approval.ts';
import type { Memory } from '../../session/memory.ts';
import { refusalOf } from '../../session/refusal.ts';
import type { Shown } from '../../session/shown.ts';
import { denial, MAX_BODY_BYTES, type RawRequest, type Surroundings } from '../actions/index.ts';
import { AnswerError, type Plan } from '../masking/index.ts';
import { type AgentRequest, type AgentResponse, rawOf, write, writeHead } from './accept.ts';
import { callOf, runWords } from './call.ts';
import { isEndless, readAnswer, type Read } from './answer.ts';
import { isWhole, prepare, type Prepared, shownRequest, type Unfit, verdictOn } from './prepare.ts';
import { preview } from './preview.ts';
import type { Refusals } from './refusals.ts';
import { Room } from './room.ts';
import { type Answer, statusObject } from './status.ts';
import { answerOf, type RequestRefusal } from './texts.ts';
import { type Upstream, UpstreamError } from './upstream.ts';

/** For a whole body, which the agent's own pod sends. */
const BODY_MS = 30_000;
/** For each part of an answer that has an end. */
const STALL_MS = 60_000;
/** API servers send pieces of 1.5 KB: a long answer that has an end is masked and goes on by so much. */
const BATCH_BYTES = 64 * 1024;
/** What a byte of a body takes in memory while it is read and judged. */
const MEMORY_PER_BYTE = 6;
/** A policy that changes while its request is recorded has it judged again; more often nobody changes one. */
const MAX_JUDGEMENTS = 3;

/** What a session that somebody was let into gives each request. */
export interface RelayContext {
  readonly session: string;
  readonly access: () => Access;
  readonly plan: () => Plan;
  readonly surroundings: () => Surroundings;
  readonly records: ActionRecords;
  readonly approval: Approval;
  readonly shown: Shown;
  readonly upstream: Upstream;
  readonly refusals: Refusals;
  readonly clock: Clock;
  /** Bytes of a body went either way. */
  readonly onBytes: (bytes: number) => void;
  /** As of the session. */
  readonly leftMs: () => number;
  /** Whether the API server took the credential. */
  readonly signedIn: (isAccepted: boolean) => void;
}

export interface ExchangeOptions {
  /** Lets in whoever asks first. @throws RefusedRequest */
  readonly admit: (raw: RawRequest) => Promise<RelayContext>;
  readonly memory: Memory;
  /** Told of what nobody expected, and of records that fail. */
  readonly onFault: (error: unknown) => void;
  readonly access: () => Access | undefined;
}

/** It is answered by us; `refusal` says how. */
export class RefusedRequest extends Error {
  override readonly name = 'RefusedRequest';
  readonly refusal: RequestRefusal;
  /** Its record. */
  readonly reference: string | undefined;
  constructor(refusal: RequestRefusal, reference?: string) {
    super(refusal.code);
    this.refusal = refusal;
    this.reference = reference;
  }
}

/** Nobody is there to be answered. */
class Gone extends Error {
  override readonly name = 'Gone';
}

/** One request of an agent, from its head to the last byte of its answer. */
export class Exchange {
  readonly #request: AgentRequest;
  readonly #response: AgentResponse;
  readonly #o: ExchangeOptions;
  readonly #room: Room;
  readonly #abort = new AbortController();
  /** Its answer is out, or never will be. */
  readonly #closed: Promise<void>;
  #context: RelayContext | undefined;
  /** Of the policy by which an answer without an end is shown. */
  #shownBy: string | undefined;
  #isBodyLeft = false;

  constructor(request: AgentRequest, response: AgentResponse, options: ExchangeOptions) {
    this.#request = request;
    this.#response = response;
    this.#o = options;
    this.#room = new Room(options.memory);
    this.#closed = new Promise((resolve) => {
      response.once('close', () => {
        this.#abort.abort(new Gone());
        resolve();
      });
    });
    response.on('error', () => this.#abort.abort(new Gone()));
    request.on('error', () => this.#abort.abort(new Gone()));
  }

  /** Never rejects. */
  async serve(): Promise<void> {
    try {
      await this.#serve();
    } catch (error) {
      this.#fail(this.#abort.signal.aborted ? this.#abort.signal.reason : error);
    } finally {
      this.#room.hold(0);
    }
    await this.#closed;
  }

  /** Ends it, and says why where nothing was answered yet. */
  end(refusal: RequestRefusal): void {
    this.#abort.abort(new RefusedRequest(refusal));
  }

  /** What was shown by another policy goes on no longer: the client asks again. */
  check(): void {
    if (this.#shownBy !== undefined && this.#shownBy !== this.#context?.access().digest) this.#abort.abort(new PolicyChanged());
  }

  async #serve(): Promise<void> {
    const raw = rawOf(this.#request);
    const bytes = await this.#body();
    const [traceparent] = [this.#request.headers['traceparent']].flat();
    const context = await this.#o.admit(raw);
    this.#context = context;
    context.onBytes(bytes.length);
    for (let round = 0; round < MAX_JUDGEMENTS; round++) {
      this.#abort.signal.throwIfAborted();
      const { digest } = context.access();
      const prepared = withinHttp(prepare(raw, bytes, { surroundings: context.surroundings(), plan: context.plan() }));
      const lines = shownRequest(raw, prepared, context.plan());
      const judged = prepared.kind === 'unfit' ? verdictOn(prepared) : judge(context.access(), prepared.action);
      const verdict = context.shown.verdict(judged);
      const text = context.shown.text(lines.join('\n'));
      const { request, body } = prepared;
      const writes = request === undefined || !READS.has(request.verb);
      const kubernetes =
        request?.kind === 'resource' ? callOf(request, raw, (each) => context.shown.text(each), body) : undefined;
      const size = raw.target.length + bytes.length;
      const action = await context.records.judged({ text, bytes: size, verdict, writes, kubernetes, traceparent });
      const reference = `${context.session}/${action}`;
      if (prepared.kind === 'unfit') throw new RefusedRequest({ ...prepared.refusal, verdict }, reference);
      if (verdict.verdict === 'deny') throw new RefusedRequest(refusalOf(verdict), reference);
      if (verdict.verdict === 'approve') return await this.#ask(prepared, { verdict, lines, action, note: runWords(raw) });
      if (context.access().digest === digest) return await this.#send(prepared, action, () => undefined);
    }
    throw new RefusedRequest({ code: 'PolicyStale', reason: 'the policy changes too often' });
  }

  /** All of the body, within its bounds. */
  async #body(): Promise<Buffer> {
    const request = this.#request;
    // A body that comes too slowly ends the connection, or of HTTP/2 its stream.
    const timer = setTimeout(() => request.destroy(), BODY_MS);
    const parts: Buffer[] = [];
    let size = 0;
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        request.on('data', (chunk: Buffer) => {
          size += chunk.length;
          const hasRoom = this.#room.hold(size * MEMORY_PER_BYTE);
          if (size <= MAX_BODY_BYTES && hasRoom) return void parts.push(chunk);
          this.#isBodyLeft = true;
          request.removeAllListeners('data').pause();
          return reject(new RefusedRequest(size > MAX_BODY_BYTES ? TOO_LARGE : NO_ROOM));
        });
        request.once('end', () => resolve(Buffer.concat(parts)));
        request.once('close', () => reject(new Gone()));
      });
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask(prepared: Prepared, { verdict, lines, action, note }: Held): Promise<void> {
    const { approval, surroundings, upstream, session } = this.#c;
    const reference = `${session}/${action}`;
    const { request, body } = prepared;
    if (!isWhole(lines))
      throw new RefusedRequest({ code: 'NotAnalysable', verdict, reason: 'it is too long for people to read' }, reference);
    const state = {
      identity: upstream.identity,
      request: `${request.method} ${request.target}`,
      contentType: request.headers['content-type'] ?? '',
      body: sha256(body?.send ?? Buffer.alloc(0)),
    };
    const look = (signal: AbortSignal): Promise<Preview> =>
      preview({ prepared, upstream, plan: this.#c.plan(), memory: this.#o.memory, signal });
    const asked = { action, unit: 'request', verdict, text: lines.join('\n'), state, look, note } as const;
    const gone = once(this.#abort.signal, 'abort');
    const outcome = await approval.ask(asked, gone, () => undefined);
    if (outcome.kind === 'gone') throw new Gone();
    if (outcome.kind === 'refused') throw new RefusedRequest(outcome.refusal, reference);
    // Namespaces and Secrets may be others than when it was asked.
    const isDenied = request.kind === 'resource' && denial(request, surroundings(), body) !== undefined;
    if (this.#abort.signal.aborted || !outcome.isCurrent() || isDenied) {
      outcome.ended('Failed', 'it did not run: the agent left, or its policy changed');
      throw new RefusedRequest({ code: 'ApprovalVoided', verdict }, reference);
    }
    await this.#send(prepared, action, outcome.ended);
  }

  /** Exactly what was judged goes upstream, once. */
  async #send(prepared: Prepared, action: number, ended: (state: 'Ran' | 'Failed', result: string) => void): Promise<void> {
    const { upstream, access, clock, records } = this.#c;
    const { request, body } = prepared;
    const { statementDurationMs } = access().limits;
    const timer =
      statementDurationMs === undefined
        ? undefined
        : setTimeout(() => this.end({ code: 'LimitReached', reason: `it took ${statementDurationMs} ms` }), statementDurationMs);
    const sent = new Sent(action, clock.monotonic());
    try {
      const { method, target, headers } = request;
      const answer = await upstream.call({ method, target, headers, body: body?.send }, this.#abort.signal);
      // What is held is from here on what an answer needs.
      this.#room.hold(0);
      await this.#relay(answer, prepared, sent);
      ended(sent.status < 400 ? 'Ran' : 'Failed', sent.tag);
    } catch (error) {
      const cause: unknown = this.#abort.signal.aborted ? this.#abort.signal.reason : error;
      sent.error = codeOf(cause);
      ended('Failed', sent.error);
      throw withReference(cause, `${this.#c.session}/${action}`);
    } finally {
      clearTimeout(timer);
      records.totals.maskedValues += sent.mask?.masked ?? 0;
      records.note([sent.done(clock.monotonic())]);
    }
  }

  async #relay(answer: IncomingMessage, { request }: Prepared, sent: Sent): Promise<void> {
    const head = { status: answer.statusCode ?? 0, headers: answer.headers };
    const read = readAnswer(head, request, this.#c.plan());
    sent.head(head.status, answer.headers['audit-id']);
    const isAccepted = read.kind !== 'foreign' || read.code !== 'CredentialsRejected';
    this.#c.signedIn(isAccepted);
    if (read.kind === 'shown') return this.#show(answer, read, isEndless(request) && read.status < 300, sent);
    answer.destroy();
    if (read.kind === 'foreign') throw upstreamFault(read.code, read.why, isAccepted ? 502 : 503);
    const message = `chaperone: the API server answers ${read.status}, and nothing that can be shown (AnswerForeign)`;
    const { retryAfterSeconds } = read;
    return this.#reply({
      status: read.status,
      message,
      codes: ['AnswerForeign'],
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    });
  }

  async #show(answer: IncomingMessage, read: Extract<Read, { kind: 'shown' }>, hasNoEnd: boolean, sent: Sent): Promise<void> {
    const { status, headers, mask } = read;
    const response = this.#response;
    sent.mask = mask;
    const begin = (): void => {
      if (!response.headersSent) writeHead(response, status, headers);
    };
    if (hasNoEnd) {
      this.#shownBy = this.#c.access().digest;
      begin();
      if (!('stream' in response)) response.flushHeaders();
    }
    const give = async (shown: Buffer): Promise<void> => {
      if (shown.length === 0) return;
      this.#delivers(sent, shown);
      begin();
      if (!write(response, shown)) await this.#drained();
    };
    // Either side may be the one that waits.
    const stalled = (): void => this.#abort.abort(new UpstreamError('UpstreamTimeout', 'its answer came to a halt'));
    const timer = hasNoEnd ? undefined : setTimeout(stalled, STALL_MS);
    try {
      for await (const bytes of batches(answer, hasNoEnd, () => timer?.refresh())) {
        this.#c.onBytes(bytes.length);
        this.#abort.signal.throwIfAborted();
        await give(mask.push(bytes));
        if (!this.#room.hold(mask.held)) throw new RefusedRequest(NO_ROOM);
      }
      if (!answer.complete) throw new UpstreamError('UpstreamUnreachable', 'the connection to the upstream was lost');
      await give(mask.end());
    } catch (error) {
      if (!(error instanceof AnswerError)) throw error;
      throw upstreamFault(error.code, 'the upstream answers with what can not be masked', 502);
    } finally {
      clearTimeout(timer);
    }
    begin();
    response.end();
  }

  /** Counts what the agent gets. @throws RefusedRequest LimitReached */
  #delivers(sent: Sent, shown: Buffer): void {
    const { bytesPerStatement = Infinity } = this.#c.access().limits;
    if (sent.delivered + shown.length > bytesPerStatement)
      throw new RefusedRequest({ code: 'LimitReached', reason: `its answer has more than ${bytesPerStatement} bytes` });
    sent.deliver(shown);
  }

  async #drained(): Promise<void> {
    const { signal } = this.#abort;
    await once(this.#response, 'drain', { signal }).catch(() => signal.throwIfAborted());
  }

  #fail(error: unknown): void {
    if (error instanceof Gone) return this.#cut();
    if (error instanceof PolicyChanged) return void this.#response.end();
    const access = this.#context?.access() ?? this.#o.access();
    const refused = refusedBy(error);
    if (refused !== undefined) return this.#reply(answerOf(refused.refusal, access, refused.reference));
    const isRecording = error instanceof Error && error.name === 'RecordingError';
    this.#reply(answerOf({ code: isRecording ? 'RecordingBlocked' : 'InternalFault' }, access));
    return this.#o.onFault(error);
  }

  /** Answers in our own words, or cuts off an answer that has begun. */
  #reply(answer: Answer): void {
    const response = this.#response;
    if (response.headersSent || response.destroyed) return this.#cut();
    const bytes = statusObject(answer);
    const { status, retryAfterSeconds } = answer;
    const isHttp1 = !('stream' in response);
    writeHead(response, status, {
      'content-type': 'application/json',
      'content-length': bytes.length,
      'cache-control': 'no-store',
      ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
      ...(isHttp1 && this.#isBodyLeft && { connection: 'close' }),
    });
    response.end(bytes);
    // What is left of a body is not read.
    if (this.#isBodyLeft && 'stream' in response)
      response.once('finish', () => response.stream.close(constants.NGHTTP2_NO_ERROR));
  }

  #cut(): void {
    const response = this.#response;
    if ('stream' in response) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    else response.destroy();
  }

  get #c(): RelayContext {
    if (this.#context === undefined) throw new Error('nobody was let in');
    return this.#context;
  }
}

/** What enters a pod leaves HTTP; whoever names a protocol and does not ask for it (Connection) is answered by nobody else. */
function withinHttp(prepared: Prepared | Unfit): Prepared | Unfit {
  return prepared.kind === 'prepared' && prepared.opening !== undefined
    ? { ...prepared, kind: 'unfit', refusal: NOT_ASKED_FOR }
    : prepared;
}

const NOT_ASKED_FOR: RequestRefusal = {
  code: 'NotAnalysable',
  reason: 'it names a protocol in Upgrade, and does not ask for it by Connection',
  detail: 'Upgrade',
  status: 400,
};

interface Held {
  readonly verdict: Verdict;
  readonly lines: readonly string[];
  readonly action: number;
  readonly note: string | undefined;
}

/** A body as it comes, and a long one that has an end then in pieces of {@link BATCH_BYTES} at least, but for the last. */
async function* batches(answer: IncomingMessage, hasNoEnd: boolean, onChunk: () => void): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  let all = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    onChunk();
    parts.push(chunk);
    size += chunk.length;
    all += chunk.length;
    if (!hasNoEnd && all > BATCH_BYTES && size < BATCH_BYTES) continue;
    yield parts.length === 1 ? chunk : Buffer.concat(parts);
    [parts, size] = [[], 0];
    // Events that came meanwhile are one piece.
    if (hasNoEnd) await turn();
  }
  if (size > 0) yield Buffer.concat(parts);
}

class PolicyChanged extends Error {
  override readonly name = 'PolicyChanged';
}

/** What became of a request that went upstream, for its record. */
class Sent {
  readonly #action: number;
  readonly #since: number;
  readonly #digest = createHash('sha256');
  status = 0;
  tag = '';
  delivered = 0;
  error: string | undefined;
  mask: { readonly masked: number } | undefined;

  constructor(action: number, since: number) {
    this.#action = action;
    this.#since = since;
  }

  head(status: number, auditId: string | string[] | undefined): void {
    this.status = status;
    const isId = typeof auditId === 'string' && /^[\w-]{1,64}$/.test(auditId);
    this.tag = isId ? `${status} audit-id ${auditId}` : String(status);
  }

  deliver(bytes: Buffer): void {
    this.delivered += bytes.length;
    this.#digest.update(bytes);
  }

  done(now: number): Parameters<ActionRecords['note']>[0][number] {
    return {
      type: 'done',
      action: this.#action,
      ...(this.tag !== '' && { tag: this.tag }),
      ...(this.error !== undefined && { error: { code: this.error, message: 'it did not come to its end' } }),
      rows: 0,
      bytes: this.delivered,
      digest: this.#digest.digest('hex'),
      truncated: this.delivered > 0,
      maskedValues: this.mask?.masked ?? 0,
      durationMs: now - this.#since,
    };
  }
}

const READS: ReadonlySet<string> = new Set(['get', 'list', 'watch']);
const TOO_LARGE: RequestRefusal = { code: 'NotAnalysable', reason: 'its body is too long', detail: 'BodyTooLarge', status: 413 };
const NO_ROOM: RequestRefusal = {
  code: 'ResourceNotReady',
  reason: 'there is no memory for it now',
  detail: 'NoRoom',
  status: 503,
};

function upstreamFault(detail: string, reason: string, status: number): RefusedRequest {
  return new RefusedRequest({ code: 'ResourceNotReady', reason, detail, status });
}

export function refusedBy(error: unknown): RefusedRequest | undefined {
  if (error instanceof RefusedRequest) return error;
  if (error instanceof UpstreamError)
    return upstreamFault(error.code, error.message, error.code === 'UpstreamTimeout' ? 504 : 503);
  // How Node says that an answer was cut off.
  const isCut = error instanceof Error && 'code' in error && error.code === 'ECONNRESET';
  return isCut ? upstreamFault('UpstreamUnreachable', 'the connection to the upstream was lost', 503) : undefined;
}

export function withReference(error: unknown, reference: string): unknown {
  const refused = refusedBy(error);
  return refused === undefined ? error : new RefusedRequest(refused.refusal, reference);
}

function codeOf(error: unknown): string {
  if (error instanceof Gone) return 'AgentClosed';
  if (error instanceof PolicyChanged) return 'PolicyChanged';
  const refusal = refusedBy(error)?.refusal;
  return refusal?.detail ?? refusal?.code ?? 'InternalFault';
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
