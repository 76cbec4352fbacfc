import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { judge, type Verdict } from '@chaperone/policy';
import { maskedFinds } from '../../masking/labels.ts';
import { refusalOf } from '../../session/refusal.ts';
import { type FileRecord, fileRecord } from '../../running/file-record.ts';
import { KeptFiles } from '../../running/kept-files.ts';
import { masksOf, standing } from '../../running/standing.ts';
import { untold } from '../../ssh/actions/index.ts';
import { denial, type Opening, type RawRequest, type ResourceRequest } from '../actions/index.ts';
import { CHANNELS } from '../wire/index.ts';
import { isOfAnotherSite, rawOf } from './accept.ts';
import { type Accepted, type AcceptedProcess, acceptanceOf, headOf } from './acceptance.ts';
import { Archive } from './archive.ts';
import { callOf } from './call.ts';
import { SocketCarrier, TunnelCarrier } from './carrier.ts';
import { type ExchangeOptions, RefusedRequest, type RelayContext, refusedBy, withReference } from './exchange.ts';
import { PodForward } from './forward.ts';
import { isWhole, prepare, type Prepared, shownRequest, verdictOn } from './prepare.ts';
import { PodProcess, type Running } from './process.ts';
import { ChannelSide, type Opened, type Side, type SideEvents, SpdySide } from './side.ts';
import { isProtectedPod } from './protected-pod.ts';
import { statusObject, type Answer } from './status.ts';
import { answerOf, type RequestRefusal } from './texts.ts';
import { openChannels, openTunnel } from './upstream-channels.ts';

/** A policy that changes while its request is recorded has it judged again; more often nobody changes one. */
const MAX_JUDGEMENTS = 3;
const SHELL_WHY = 'what is typed into it is not judged; it is recorded, and its time is limited';
const CHANGED = 'the policy changed while it ran';

type Opens = Prepared & {
  readonly request: ResourceRequest;
  readonly opening: Opening;
  /** Of its pod. */
  readonly isProtected: boolean;
};

/** A request that leaves HTTP: exec, attach or port-forward, from its head to the end of its connection. */
export class Upgrade {
  readonly #request: IncomingMessage;
  readonly #socket: Duplex;
  readonly #head: Buffer;
  readonly #o: ExchangeOptions;
  readonly #gone = Promise.withResolvers<undefined>();
  readonly #abort = new AbortController();
  #context: RelayContext | undefined;
  /** Ends what it has opened, and tells why. */
  #end: ((refusal: RequestRefusal) => void) | undefined;
  #check: () => void = () => undefined;
  #ended: RequestRefusal | undefined;
  #isAnswered = false;
  #key = '';

  constructor(request: IncomingMessage, socket: Duplex, head: Buffer, options: ExchangeOptions) {
    this.#request = request;
    this.#socket = socket;
    this.#head = head;
    this.#o = options;
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#leave());
    if (socket.destroyed) this.#leave();
  }

  /** Never rejects. */
  async serve(): Promise<void> {
    try {
      await this.#serve();
    } catch (error) {
      this.#fail(error);
    }
    await this.#gone.promise;
  }

  end(refusal: RequestRefusal): void {
    this.#ended ??= refusal;
    this.#end?.(refusal);
  }

  check(): void {
    this.#check();
  }

  #leave(): void {
    this.#abort.abort();
    this.#gone.resolve(undefined);
  }

  async #serve(): Promise<void> {
    const raw = rawOf(this.#request);
    if (isOfAnotherSite(raw)) throw new RefusedRequest(OTHER_SITE);
    this.#context = await this.#o.admit(raw);
    const prepared = await this.#opens(raw);
    const { request } = prepared;
    const accepted = acceptanceOf(this.#request, request.verb, request.upgrade?.protocols ?? []);
    if (accepted === undefined) return await this.#refused(raw, { ...prepared, kind: 'unfit', refusal: UNKNOWN_PROTOCOL });
    if (this.#ended !== undefined) throw new RefusedRequest(this.#ended);
    if (accepted.kind === 'forward') return await this.#forward(raw, prepared, accepted);
    return await this.#process(raw, { ...prepared, opening: this.#lessOf(prepared.opening) }, accepted);
  }

  /** What it opens. @throws RefusedRequest where no rule decides on that, or it was refused just now */
  async #opens(raw: RawRequest): Promise<Opens> {
    const plain = this.#prepared(raw, false);
    const isProtected = await this.#isProtected(plain);
    const prepared = isProtected ? this.#prepared(raw, true) : plain;
    this.#key = keyOf(this.#c, this.#request, prepared.request?.target ?? raw.target);
    const known = this.#isByWebSocket ? undefined : this.#c.refusals.take(this.#key);
    if (known !== undefined) throw known;
    if (prepared.kind === 'unfit') return await this.#refused(raw, prepared);
    const { request, opening } = prepared;
    if (opening === undefined || request.kind !== 'resource')
      return await this.#refused(raw, { ...prepared, kind: 'unfit', refusal: NO_UPGRADE });
    return { ...prepared, request, opening, isProtected };
  }

  #prepared(raw: RawRequest, isProtected: boolean): ReturnType<typeof prepare> {
    const { surroundings, plan } = this.#c;
    return prepare(raw, Buffer.alloc(0), { surroundings: surroundings(), plan: plan(), isProtected });
  }

  /** The same taken for less, where the whole of it may not be and that may. */
  #lessOf(opening: Opening): Opening {
    const may = ({ action }: Opening): boolean => judge(this.#c.access(), action).verdict !== 'deny';
    return opening.less !== undefined && !may(opening) && may(opening.less) ? opening.less : opening;
  }

  /** Asked of the API server only where a rule lets through or asks about what it opens: nobody else makes us ask. */
  async #isProtected(prepared: ReturnType<typeof prepare>): Promise<boolean> {
    const { access, upstream, surroundings } = this.#c;
    if (prepared.kind === 'unfit' || prepared.opening === undefined || prepared.request.kind !== 'resource') return false;
    if (judge(access(), this.#lessOf(prepared.opening).action).verdict === 'deny') return false;
    return isProtectedPod(upstream, surroundings().places, prepared.request, this.#abort.signal);
  }

  async #refused(raw: RawRequest, unfit: Parameters<typeof verdictOn>[0]): Promise<never> {
    const { shown, session } = this.#c;
    const verdict = shown.verdict(verdictOn(unfit));
    const action = await this.#recorded(raw, unfit, verdict);
    const refused = new RefusedRequest({ ...unfit.refusal, verdict }, `${session}/${action}`);
    // By SPDY the client may speak what is known.
    throw unfit.refusal === UNKNOWN_PROTOCOL ? refused : this.#remembered(refused);
  }

  /** Records what was decided. @returns its number */
  #recorded(raw: RawRequest, prepared: ReturnType<typeof prepare>, verdict: Verdict): Promise<number> {
    const { records, shown, plan } = this.#c;
    const { request } = prepared;
    const text = shown.text(shownRequest(raw, prepared, plan()).join('\n'));
    const kubernetes = request?.kind === 'resource' ? callOf(request, raw, (each) => shown.text(each)) : undefined;
    return records.judged({ text, bytes: raw.target.length, verdict, writes: true, kubernetes });
  }

  /** A refusal by which kubectl is led to ask once more. */
  #remembered(refused: RefusedRequest): RefusedRequest {
    if (this.#isByWebSocket) this.#c.refusals.remember(this.#key, refused);
    return refused;
  }

  get #isByWebSocket(): boolean {
    return this.#request.headers.upgrade?.toLowerCase() === 'websocket';
  }

  /** The connection is there before anything is decided: within it a refusal reaches people whole, and nothing is asked twice. */
  async #process(raw: RawRequest, prepared: Opens, accepted: AcceptedProcess): Promise<void> {
    const { opening } = prepared;
    const context = this.#c;
    const { promise: gone, resolve: left } = Promise.withResolvers<undefined>();
    const events: SideEvents = {
      onData: (channel, data) => process.fromAgent(channel, data),
      onEnd: (channel) => process.agentEnded(channel),
      onPing: () => server?.ping(),
      onDrain: () => process.agentDrained(),
      onClose: () => {
        left(undefined);
        process.agentGone();
      },
    };
    let server: Side | undefined;
    const agent = this.#accept(accepted, opening, events);
    const process = new PodProcess({ context, opening, agent, gone, onFault: this.#o.onFault });
    this.#end = (refusal) => process.refuse(refusal);
    this.#check = () => process.check();
    if (this.#ended !== undefined) return process.refuse(this.#ended);
    try {
      if (agent instanceof SpdySide && !(await agent.opened)) return;
      const running = await this.#judged(raw, prepared, opening, process, gone);
      if (running === undefined) return;
      process.begin(running);
      server = await openChannels(
        context.upstream,
        prepared.request,
        this.#abort.signal,
        {
          onData: (channel, data) => process.fromServer(channel, data),
          onEnd: () => undefined,
          onPing: () => undefined,
          onDrain: () => process.serverDrained(),
          onClose: () => process.serverGone(),
        },
        context.shown,
      );
      context.signedIn(true);
      if (!running.stands()) {
        server.destroy();
        return process.refuse(running.fallen());
      }
      process.run(server);
    } catch (error) {
      if (this.#abort.signal.aborted) return process.agentGone();
      const refused = refusedBy(error);
      if (refused === undefined) {
        const isRecording = error instanceof Error && error.name === 'RecordingError';
        process.refuse({ code: isRecording ? 'RecordingBlocked' : 'InternalFault' });
        return this.#o.onFault(error);
      }
      if (refused.refusal.detail === 'CredentialsRejected') context.signedIn(false);
      process.refuse(refused.refusal, refused.reference);
    }
  }

  /** Judges and records it, and asks people where a rule wants that. Undefined: it was refused, and told so. */
  async #judged(
    raw: RawRequest,
    prepared: Prepared,
    opening: Opening,
    process: PodProcess,
    gone: Promise<unknown>,
  ): Promise<Running | undefined> {
    const { access, shown, session, plan } = this.#c;
    const lines = shownRequest(raw, prepared, plan());
    for (let round = 0; round < MAX_JUDGEMENTS; round++) {
      const { digest } = access();
      const judged = shown.verdict(judge(access(), opening.action));
      const verdict = opening.tells === true && judged.verdict === 'approve' ? toldOf(judged) : judged;
      const action = await this.#recorded(raw, prepared, verdict);
      if (verdict.verdict === 'deny') {
        process.refuse(
          { ...(opening.unknown && { reason: untold(opening.unknown) }), ...refusalOf(verdict) },
          `${session}/${action}`,
        );
        return undefined;
      }
      const decided = this.#standing(opening, action, verdict);
      if (verdict.verdict === 'approve') return await this.#ask(prepared, lines, decided, verdict, process, gone);
      if (access().digest === digest) return decided;
    }
    process.refuse({ code: 'PolicyStale', reason: 'the policy changes too often' });
    return undefined;
  }

  /** A port-forward begins by a right to any port; that is decided, and the API server asked, before the agent hears that it may. */
  async #forward(raw: RawRequest, prepared: Opens, accepted: Accepted & { kind: 'forward' }): Promise<void> {
    const context = this.#c;
    const { access, shown, records, session, upstream, clock } = context;
    const { request, opening, isProtected } = prepared;
    const verdict = shown.verdict(judge(access(), opening.action));
    const action = await this.#recorded(raw, prepared, verdict);
    const reference = `${session}/${action}`;
    if (verdict.verdict !== 'allow') throw this.#remembered(new RefusedRequest(refusalOf(verdict), reference));
    const since = clock.monotonic();
    const carryServer = await openTunnel(upstream, request, this.#abort.signal, shown).catch((error: unknown) => {
      throw withReference(error, reference);
    });
    context.signedIn(true);
    this.#isAnswered = true;
    this.#socket.write(accepted.answer);
    const { isTunnel } = accepted;
    const tracked: Promise<unknown>[] = [];
    const forward = new PodForward({
      context,
      request,
      carryAgent: (events) =>
        isTunnel
          ? new TunnelCarrier(this.#socket, this.#head, 'server', events)
          : new SocketCarrier(this.#socket, this.#head, events),
      carryServer,
      isProtected,
      track: (work) => void tracked.push(work),
      onFault: this.#o.onFault,
    });
    this.#end = (refusal) => forward.end(refusal);
    this.#check = () => forward.check();
    if (this.#ended !== undefined) forward.end(this.#ended);
    await forward.over;
    await Promise.all(tracked);
    const { sent, received } = forward;
    const durationMs = clock.monotonic() - since;
    const done = {
      rows: 0,
      bytes: received,
      digest: forward.digest.digest('hex'),
      truncated: received > 0,
      maskedValues: 0,
      durationMs,
    };
    records.note([{ type: 'done', action, tag: `${sent} bytes sent, ${received} received`, ...done }]);
  }

  #standing(opening: Opening, action: number, verdict: Verdict): Running {
    const { access, shown, records } = this.#c;
    const record = (file: FileRecord): void => records.note([fileRecord(action, file, (text) => shown.text(text))]);
    return {
      action,
      stands: standing(access, opening.action, verdict.verdict === 'approve' || opening.tells === true, masksOf),
      fallen: () => {
        const now = shown.verdict(judge(access(), opening.action));
        if (now.verdict === 'deny') return { ...refusalOf(now), reason: CHANGED };
        return { code: 'ResourceNotReady', reason: `${CHANGED}; ask again` };
      },
      ended: () => undefined,
      archive: opening.copy && new Archive({ copy: opening.copy, record, capture: this.#capture(action) }),
    };
  }

  /** What of files is kept, where the policy says so. */
  #capture(action: number): KeptFiles | undefined {
    const { access, records } = this.#c;
    const { content, fileBytes: bytes = 0 } = access().recording;
    if (content !== 'results' || bytes === 0) return undefined;
    return new KeptFiles({ action, bytes, masks: maskedFinds(access()), note: (more) => records.note(more) });
  }

  async #ask(
    { request, opening }: Prepared,
    lines: readonly string[],
    decided: Running,
    verdict: Verdict,
    process: PodProcess,
    gone: Promise<unknown>,
  ): Promise<Running | undefined> {
    const { approval, upstream, access, session } = this.#c;
    const reference = `${session}/${decided.action}`;
    const refuse = (refusal: RequestRefusal): undefined => {
      process.refuse(refusal, reference);
      return undefined;
    };
    if (!isWhole(lines)) return refuse({ code: 'NotAnalysable', verdict, reason: 'it is too long for people to read' });
    const { unit = 'command', streams, unknown } = opening ?? {};
    const isShell = unit === 'shell' || streams?.tty === true;
    const answer = await approval.ask(
      {
        action: decided.action,
        unit,
        verdict,
        text: lines.join('\n'),
        note: unknown && untold(unknown),
        why: isShell ? SHELL_WHY : undefined,
        // Whichever way it came, it is one request.
        state: { identity: upstream.identity, target: request.target },
        once:
          unit !== 'command' || isShell || unknown !== undefined
            ? `a ${isShell ? 'shell' : unit} may be another one each time`
            : undefined,
      },
      gone,
      (refusal) => process.say(answerOf(refusal, access(), reference).message),
    );
    if (answer.kind === 'gone') return undefined;
    if (answer.kind === 'refused') return refuse(answer.refusal);
    if (answer.isCurrent() && !this.#isDenied(request)) return { ...decided, ended: answer.ended };
    answer.ended('Failed', 'it did not run: its policy changed');
    return refuse({ code: 'ApprovalVoided', verdict });
  }

  /** What no rule can allow may be more than when people were asked. */
  #isDenied(request: Prepared['request']): boolean {
    return request.kind === 'resource' && denial(request, this.#c.surroundings(), undefined) !== undefined;
  }

  #accept(accepted: AcceptedProcess, { streams }: Opening, events: SideEvents): Side {
    this.#isAnswered = true;
    this.#socket.write(accepted.answer);
    const opened: Opened = { socket: this.#socket, head: this.#head };
    if (accepted.kind === 'websocket') return new ChannelSide(opened, 'server', accepted.protocol, events);
    const { tty, ...others } = streams;
    const wanted = CHANNELS.filter((channel) => channel === 'error' || (channel === 'resize' ? tty : others[channel]));
    return new SpdySide(opened, wanted, events);
  }

  #fail(error: unknown): void {
    if (this.#isAnswered || this.#abort.signal.aborted) {
      this.#socket.destroy();
      if (refusedBy(error) === undefined) this.#o.onFault(error);
      return;
    }
    const access = this.#context?.access() ?? this.#o.access();
    const refused = refusedBy(error);
    if (refused?.refusal.detail === 'CredentialsRejected') this.#context?.signedIn(false);
    if (refused !== undefined) return this.#reply(answerOf(refused.refusal, access, refused.reference, true));
    const isRecording = error instanceof Error && error.name === 'RecordingError';
    this.#reply(answerOf({ code: isRecording ? 'RecordingBlocked' : 'InternalFault' }, access));
    return this.#o.onFault(error);
  }

  /** An answer in HTTP, behind which the connection ends: nothing that follows the request is read. */
  #reply(answer: Answer): void {
    this.#isAnswered = true;
    const body = statusObject(answer);
    this.#socket.end(
      Buffer.concat([
        headOf(answer.status, { 'content-type': 'application/json', 'content-length': String(body.length), connection: 'close' }),
        body,
      ]),
    );
    this.#socket.resume();
  }

  get #c(): RelayContext {
    if (this.#context === undefined) throw new Error('nobody was let in');
    return this.#context;
  }
}

/** Of all that decides on a request: whose it is, by which policy, and what it asks for. */
function keyOf({ access }: RelayContext, { headers }: IncomingMessage, target: string): string {
  const { resource, digest } = access();
  const token = createHash('sha256')
    .update(headers.authorization ?? '')
    .digest('hex');
  return JSON.stringify([resource.namespace, resource.name, digest, token, target]);
}

/** Whoever may do it after approval may know of it before. */
function toldOf(verdict: Verdict): Verdict {
  const effects = verdict.effects.map((effect) => ({ ...effect, verdict: 'allow' as const }));
  return { verdict: 'allow', code: 'Allowed', reason: verdict.reason, effects };
}

/** Found to be no connection of its own. */
const NO_UPGRADE: RequestRefusal = {
  code: 'NotAnalysable',
  reason: 'it asks for a connection of its own where there is none',
  detail: 'Upgrade',
  status: 400,
};
const OTHER_SITE: RequestRefusal = { code: 'ProtocolViolation', reason: 'it comes from a page of another site', status: 403 };
const UNKNOWN_PROTOCOL: RequestRefusal = {
  code: 'NotAnalysable',
  reason: 'it speaks no protocol on its connection that is spoken here',
  detail: 'Upgrade',
  status: 400,
};
