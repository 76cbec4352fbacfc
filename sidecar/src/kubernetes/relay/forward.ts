import { createHash } from 'node:crypto';
import { judge } from '@chaperone/policy';
import { refusalOf } from '../../session/refusal.ts';
import { standing } from '../../running/standing.ts';
import { Waiting } from '../../running/waiting.ts';
import { objectText, portAction, type ResourceRequest } from '../actions/index.ts';
import { RESET, type SpdyFrame, type SpdyHeaders, StreamError } from '../wire/index.ts';
import type { Carrier, CarrierEvents } from './carrier.ts';
import type { RelayContext } from './exchange.ts';
import { SpdyLine } from './spdy-line.ts';
import { answerOf, type RequestRefusal } from './texts.ts';

/** Connections at once through one port-forward. */
const MAX_PAIRS = 100;
/** What an agent sends on connections that nobody has decided on yet waits up to here; then nothing more of it is read. */
const MAX_WAITING = 64 * 1024;
const MAX_TEXT = 4096;
const CHANGED: RequestRefusal = { code: 'ResourceNotReady', reason: 'the policy changed; connect again' };
const PROTECTED: RequestRefusal = {
  code: 'NotGranted',
  reason: 'it is the upstream of a protected resource; connect to that by its name',
};

export interface ForwardOptions {
  readonly context: RelayContext;
  readonly request: ResourceRequest;
  readonly carryAgent: (events: CarrierEvents) => Carrier;
  readonly carryServer: (events: CarrierEvents) => Carrier;
  /** The pod runs what is protected elsewhere. */
  readonly isProtected: boolean;
  /** What has to come to its end before the session's record does. */
  readonly track: (work: Promise<unknown>) => void;
  readonly onFault: (error: unknown) => void;
}

/** One connection: a stream of data and one of errors, of the same request, as the agent and as the API server number them. */
class Pair {
  readonly port: number;
  readonly agent: { data?: number; error?: number } = {};
  server: { readonly data: number; readonly error: number } | undefined;
  /** Of the data, before anybody decided. */
  readonly waiting = new Waiting();
  waitingBytes = 0;
  isInputEnded = false;
  isOver = false;
  sent = 0;
  received = 0;
  stands: () => boolean = () => false;
  ended: (state: 'Ran' | 'Failed', result: string) => void = () => undefined;
  readonly gone = Promise.withResolvers<undefined>();
  /** Of each side, which streams have ended. */
  readonly endedBy = { agent: false, server: false };

  constructor(port: number) {
    this.port = port;
  }
}

/**
 * Forwards ports of a pod: SPDY on both sides, stream by stream. Each connection is judged by its port, and opened at the API server
 * only once it may be; what goes through is opaque, and counted.
 */
export class PodForward {
  readonly #o: ForwardOptions;
  readonly #agent: SpdyLine;
  readonly #server: SpdyLine;
  readonly #pairs = new Map<string, Pair>();
  readonly #byAgent = new Map<number, { readonly pair: Pair; readonly kind: 'data' | 'error' }>();
  readonly #byServer = new Map<number, { readonly pair: Pair; readonly kind: 'data' | 'error' }>();
  #nextStream = 1;
  #nextRequest = 0;
  #waitingBytes = 0;
  #isOver = false;
  /** Bytes of all connections, and a digest of what the agent was given. */
  sent = 0;
  received = 0;
  readonly digest = createHash('sha256');
  readonly #gone = Promise.withResolvers<undefined>();

  constructor(options: ForwardOptions) {
    this.#o = options;
    this.#agent = new SpdyLine(options.carryAgent, 'client', {
      onFrame: (frame) => this.#fromAgent(frame),
      onPing: () => this.#server.ping(),
      onDrain: () => {
        this.#server.resume();
        this.#resumeAgent();
      },
      onClose: () => this.end(),
    });
    this.#server = new SpdyLine(options.carryServer, 'server', {
      onFrame: (frame) => this.#fromServer(frame),
      onDrain: () => this.#resumeAgent(),
      onClose: () => this.end(),
    });
  }

  /** Resolves once it is over. */
  get over(): Promise<unknown> {
    return this.#gone.promise;
  }

  /** Ends it; why is told on what is open. */
  end(refusal?: RequestRefusal): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const pair of this.#pairs.values()) this.#cut(pair, refusal);
    this.#agent.end();
    this.#server.end();
    this.#gone.resolve(undefined);
  }

  /** What was opened by another policy goes on only where this one lets it. */
  check(): void {
    for (const pair of this.#pairs.values()) if (pair.server !== undefined && !pair.stands()) this.#cut(pair, CHANGED);
  }

  #fromAgent(frame: SpdyFrame): void {
    if (this.#isOver) return;
    if (frame.kind === 'open') return this.#open(frame);
    if (frame.kind !== 'data' && frame.kind !== 'reset') return;
    const found = this.#byAgent.get(frame.stream);
    // It may be of one that was just cut.
    if (found === undefined) return;
    const { pair, kind } = found;
    if (frame.kind === 'reset') return this.#cut(pair);
    if (kind === 'data') this.#toServer(pair, frame.data, frame.fin);
  }

  #open({ stream, fin, headers }: Extract<SpdyFrame, { kind: 'open' }>): void {
    // Each is answered, so that whoever reads nothing opens no more.
    if (this.#agent.isFull) this.#agent.pause();
    const { kind, port, request } = readHeaders(headers);
    let pair = this.#pairs.get(request);
    if (pair === undefined) {
      if (this.#pairs.size >= MAX_PAIRS) return this.#agent.write({ kind: 'reset', stream, status: RESET.refused });
      pair = new Pair(port);
      this.#pairs.set(request, pair);
    }
    if (pair.port !== port || pair.agent[kind] !== undefined)
      throw new StreamError('two streams are of one connection and differ');
    pair.agent[kind] = stream;
    this.#byAgent.set(stream, { pair, kind });
    this.#agent.write({ kind: 'reply', stream, fin: false, headers: new Map() });
    if (fin && kind === 'data') pair.isInputEnded = true;
    if (pair.agent.data === undefined || pair.agent.error === undefined) return;
    const decided = this.#decide(pair).catch((error: unknown) => {
      const isRecording = error instanceof Error && error.name === 'RecordingError';
      this.#cut(pair, { code: isRecording ? 'RecordingBlocked' : 'InternalFault' });
      this.#o.onFault(error);
    });
    this.#o.track(decided);
  }

  /** Judges and records a connection, asks people where a rule wants that, and opens it. */
  async #decide(pair: Pair): Promise<void> {
    const { context, request, isProtected } = this.#o;
    const { access, records, shown, session, approval, upstream } = context;
    const action = portAction(request, pair.port);
    const judged = shown.verdict(judge(access(), action));
    const isRefused = isProtected && judged.verdict !== 'deny';
    const verdict = isRefused
      ? { ...judged, verdict: 'deny' as const, code: PROTECTED.code, reason: PROTECTED.reason ?? '' }
      : judged;
    const text = `kubectl port-forward -n ${request.namespace} ${request.name} ${pair.port}`;
    const number = await records.judged({ text, bytes: text.length, verdict, writes: true });
    const reference = `${session}/${number}`;
    if (isRefused) return this.#cut(pair, PROTECTED, reference);
    if (verdict.verdict === 'deny') return this.#cut(pair, refusalOf(verdict), reference);
    pair.stands = standing(access, action, verdict.verdict === 'approve');
    if (verdict.verdict === 'approve') {
      const state = { identity: upstream.identity, target: request.target, port: String(pair.port) };
      const asked = { action: number, unit: 'forward', verdict, text, state, isRepeatable: false } as const;
      const answer = await approval.ask(asked, pair.gone.promise, () => undefined);
      if (answer.kind === 'gone') return;
      if (answer.kind === 'refused') return this.#cut(pair, answer.refusal, reference);
      pair.ended = answer.ended;
      if (!answer.isCurrent()) return this.#cut(pair, { code: 'ApprovalVoided', verdict }, reference);
    }
    if (!pair.stands()) return this.#cut(pair, CHANGED, reference);
    if (!pair.isOver) this.#begin(pair);
  }

  #begin(pair: Pair): void {
    const request = String(this.#nextRequest++);
    const open = (kind: 'data' | 'error'): number => {
      const stream = this.#nextStream;
      this.#nextStream += 2;
      const headers = { streamtype: kind, port: String(pair.port), requestid: request };
      this.#byServer.set(stream, { pair, kind });
      this.#server.write({
        kind: 'open',
        stream,
        fin: false,
        headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])),
      });
      return stream;
    };
    const error = open('error');
    this.#server.write({ kind: 'data', stream: error, fin: true, data: Buffer.alloc(0) });
    pair.server = { error, data: open('data') };
    this.#waitingBytes -= pair.waitingBytes;
    for (const data of pair.waiting.takeAll()) this.#toServer(pair, data, false);
    if (pair.isInputEnded) this.#endInput(pair);
    this.#resumeAgent();
  }

  #toServer(pair: Pair, data: Buffer, fin: boolean): void {
    if (pair.isOver) return;
    if (pair.server === undefined) {
      pair.waiting.push(data);
      pair.waitingBytes += data.length;
      this.#waitingBytes += data.length;
      if (fin) pair.isInputEnded = true;
      if (this.#waitingBytes > MAX_WAITING) this.#agent.pause();
      return;
    }
    if (!pair.stands()) return this.#cut(pair, CHANGED);
    pair.sent += data.length;
    this.sent += data.length;
    this.#o.context.onBytes(data.length);
    if (data.length > 0) this.#server.write({ kind: 'data', stream: pair.server.data, fin: false, data });
    if (fin) this.#endInput(pair);
    if (this.#server.isFull) this.#agent.pause();
  }

  #endInput(pair: Pair): void {
    if (pair.server === undefined || pair.endedBy.agent) return;
    pair.endedBy.agent = true;
    this.#server.write({ kind: 'data', stream: pair.server.data, fin: true, data: Buffer.alloc(0) });
    this.#settle(pair);
  }

  #fromServer(frame: SpdyFrame): void {
    if (this.#isOver || (frame.kind !== 'data' && frame.kind !== 'reset')) return;
    const found = this.#byServer.get(frame.stream);
    if (found === undefined) return;
    const { pair, kind } = found;
    if (frame.kind === 'reset') return kind === 'data' ? this.#cut(pair) : undefined;
    if (kind === 'error') return this.#errorOf(pair, frame.data);
    if (!pair.stands()) return this.#cut(pair, CHANGED);
    pair.received += frame.data.length;
    this.received += frame.data.length;
    this.digest.update(frame.data);
    this.#o.context.onBytes(frame.data.length);
    const { data: stream = 0 } = pair.agent;
    if (frame.data.length > 0) this.#agent.write({ kind: 'data', stream, fin: false, data: frame.data });
    if (this.#agent.isFull) this.#server.pause();
    if (!frame.fin) return;
    pair.endedBy.server = true;
    this.#agent.write({ kind: 'data', stream, fin: true, data: Buffer.alloc(0) });
    this.#settle(pair);
  }

  /** Why the pod did not take it; what it says of that may quote anything. */
  #errorOf(pair: Pair, data: Buffer): void {
    if (data.length === 0 || pair.agent.error === undefined) return;
    const said = this.#o.context.shown.text(data.toString().slice(0, MAX_TEXT));
    this.#agent.write({ kind: 'data', stream: pair.agent.error, fin: false, data: Buffer.from(said) });
  }

  /** Both directions have ended. */
  #settle(pair: Pair): void {
    if (pair.endedBy.agent && pair.endedBy.server) this.#over(pair, 'Ran');
  }

  #cut(pair: Pair, refusal?: RequestRefusal, reference?: string): void {
    if (pair.isOver) return;
    if (refusal !== undefined && pair.agent.error !== undefined) {
      const { message } = answerOf(refusal, this.#o.context.access(), reference, false);
      this.#agent.write({ kind: 'data', stream: pair.agent.error, fin: false, data: Buffer.from(message) });
    }
    if (pair.server !== undefined) this.#server.write({ kind: 'reset', stream: pair.server.data, status: RESET.cancel });
    this.#over(pair, 'Failed', refusal?.reason ?? refusal?.code);
    if (pair.agent.data !== undefined) this.#agent.write({ kind: 'reset', stream: pair.agent.data, status: RESET.cancel });
  }

  #over(pair: Pair, state: 'Ran' | 'Failed', result = `${pair.sent} bytes sent, ${pair.received} received`): void {
    pair.isOver = true;
    if (pair.agent.error !== undefined)
      this.#agent.write({ kind: 'data', stream: pair.agent.error, fin: true, data: Buffer.alloc(0) });
    for (const [request, each] of this.#pairs) if (each === pair) this.#pairs.delete(request);
    for (const streams of [this.#byAgent, this.#byServer])
      for (const [stream, each] of streams) if (each.pair === pair) streams.delete(stream);
    if (pair.server === undefined) this.#waitingBytes -= pair.waitingBytes;
    else {
      const host = `${objectText({ ...this.#o.request, subresource: '' })}: ${pair.port}`;
      this.#o.context.records.note([{ type: 'bytes', host, sent: pair.sent, received: pair.received }]);
    }
    pair.ended(state, result);
    pair.gone.resolve(undefined);
    this.#resumeAgent();
  }

  #resumeAgent(): void {
    if (this.#waitingBytes <= MAX_WAITING && !this.#server.isFull && !this.#agent.isFull) this.#agent.resume();
  }
}

/** @throws StreamError for a stream that is none of a port-forward */
function readHeaders(headers: SpdyHeaders): { kind: 'data' | 'error'; port: number; request: string } {
  const one = (name: string): string => {
    const [value = '', ...more] = headers.get(name) ?? [];
    return more.length === 0 ? value : '';
  };
  const [kind, port, request] = [one('streamtype'), one('port'), one('requestid')];
  const isPort = /^[1-9][0-9]{0,4}$/.test(port) && Number(port) <= 65_535;
  if ((kind !== 'data' && kind !== 'error') || !isPort || request === '' || request.length > 64)
    throw new StreamError('a stream says not which connection to which port it is of');
  return { kind, port: Number(port), request };
}
