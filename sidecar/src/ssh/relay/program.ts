import { sshTimeText, type Unit } from '@chaperone/api';
import { judge } from '@chaperone/policy';
import { maskedFinds } from '../../masking/labels.ts';
import { RecordingError } from '../../recording/recorder.ts';
import { type Refusal, refusalOf } from '../../session/refusal.ts';
import { isOpenEnded, untold } from '../actions/index.ts';
import type { Channel, ChannelHandler, ChannelRequest, Stream } from '../wire/channel.ts';
import { encode, parse, type Terminal, type Variable } from '../wire/channel-messages.ts';
import type { OpenResult } from '../wire/channels.ts';
import { SshError } from '../wire/error.ts';
import { Credit } from './credit.ts';
import { isPassedOn, MAX_VARIABLES } from './environment.ts';
import { type Asking, readAsking, withTerminal } from './asking.ts';
import type { Side } from '../../running/file-record.ts';
import { FileSession } from './file-session.ts';
import { locate } from './located.ts';
import { RsyncRules } from './rsync-rules.ts';
import { masksOf, standing } from '../../running/standing.ts';
import { Streams } from '../../running/streams.ts';
import { ownTimeMs, watchTime } from '../../running/time-limit.ts';
import { Waiting } from '../../running/waiting.ts';
import type { ProgramContext } from './program-context.ts';
import { brokenBy, OPEN_ENDED, refusalOfSsh, textOf } from './texts.ts';

/** Requests for something to run; all others are about what runs. */
const ASKING: ReadonlySet<string> = new Set(['exec', 'shell', 'subsystem']);
/** About a program that runs, and nobody's business but its own (RFC 4254, sections 6.7 and 6.9; OpenSSH's PROTOCOL, section 2.1). */
const PASSED_ON: ReadonlySet<string> = new Set(['signal', 'window-change', 'eow@openssh.com', 'break']);
const MAX_RESULT = 64;
const RESIZE_MS = 100;
/** What may be the beginning of a value waits for so long on a terminal, where somebody waits for it. */
const QUIET_MS = 100;
/** For a host to be there, to open a channel and to say whether it runs what it is asked to. */
const START_MS = 20_000;
const CHANGED = 'the policy changed while it ran';
const limit = (reason: string): Refusal => ({ code: 'LimitReached', reason });

/**
 * One channel of an agent on which something runs, from its opening to its end. The agent is told at once that what it asked for
 * runs; the server is asked only once that is allowed, and what the agent sends meanwhile waits within its window.
 */
export class Program implements ChannelHandler {
  readonly #c: ProgramContext;
  readonly #agent: Channel;
  readonly #gone = Promise.withResolvers<undefined>();
  readonly #variables: Variable[] = [];
  #terminal: Terminal | undefined;
  #asked = false;
  /** What the agent sent before the server took it. */
  readonly #waiting = new Waiting();
  /** The newest size that the server has not heard of, as the agent sent it. */
  #size: Buffer | undefined;
  #isEnded = false;
  #isGone = false;
  /** The host has said that it prints no more. */
  #isServerEnded = false;
  #upstream: Channel | undefined;
  #isRunning = false;
  #streams: Streams | undefined;
  #files: FileSession | undefined;
  #rules: RsyncRules | undefined;
  /** Of the server, for what it gave; of the agent, for what it sent. */
  readonly #owed = {
    server: new Credit((bytes) => this.#upstream?.consumed(bytes)),
    agent: new Credit((bytes) => this.#agent.consumed(bytes)),
  };
  /** Bytes that it gave, of all streams. */
  #printed = 0;
  #stop: (refusal: Refusal) => void = () => undefined;
  /** Nobody can judge it by its text: it ends in time, and says so. */
  #isOpenEnded = false;
  /** The exit of a shell is that of its last command, and says nothing of the rest. */
  #hasOwnExit = true;
  #isReleasing = false;
  /** It went beyond a limit, or was refused: nothing of it goes on. */
  #isStopped = false;
  /** Whether what was decided still holds; asked again at the last moment. */
  #mayRun: () => boolean = () => false;
  /** The same, while it runs; and why it does not. */
  #stands: () => boolean = () => false;
  #fallen: () => Refusal = () => ({ code: 'ResourceNotReady', reason: CHANGED });
  #result: string | undefined;
  #onEnd: ((state: 'Ran' | 'Failed', result: string) => void) | undefined;

  /** Resolves once nothing of it is left. */
  get over(): Promise<unknown> {
    return this.#gone.promise;
  }

  /** `accept` opens the agent's side with this as its handler. */
  constructor(context: ProgramContext, accept: (handler: ChannelHandler) => Channel) {
    this.#c = context;
    this.#agent = accept(this);
  }

  onData(data: Buffer): void {
    this.#c.onActivity(data.length);
    if (this.#isRunning) this.#toServer(data);
    else this.#waiting.push(data);
  }

  onEof(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (this.#isRunning) this.#endInput();
  }

  onRequest({ name, payload, reply }: ChannelRequest): void {
    this.#c.onActivity();
    if (ASKING.has(name)) return this.#ask(readAsking(name, payload), reply);
    if (PASSED_ON.has(name)) return this.#pass(name, payload, reply);
    // Clients send variables without asking whether they count.
    const counts = this.#prepare(name, payload);
    reply?.(counts);
  }

  /** What the host has yet to say is how it ended. */
  onClosing(): boolean {
    if (!this.#isRunning || this.#isStopped || !this.#isServerEnded) return false;
    this.onEof();
    return true;
  }

  onClose(): void {
    this.#isGone = true;
    this.#gone.resolve(undefined);
    this.#upstream?.close();
    this.#finish({ error: { code: 'AgentClosed', message: 'the agent closed it' } });
  }

  /** The session is over: says why, as far as anybody listens. */
  end(line: string, { code, reason }: { readonly code: string; readonly reason: string }): void {
    if (this.#isGone) return;
    this.#agent.write(Buffer.from(`${line}\r\n`), 'stderr');
    this.#isStopped = true;
    this.#finish({ error: { code, message: reason || 'its session ended' } });
    this.#agent.close();
  }

  /** Says something about the connection that has no other place. */
  tell(line: string): void {
    this.#say(line);
  }

  /** The policy may have changed, while nothing came that would be stopped by it. */
  check(): void {
    if (this.#isRunning && !this.#isStopped && !this.#stands()) this.#stop(this.#fallen());
  }

  /** What comes before a program. Returns whether it counts. */
  #prepare(name: string, payload: Buffer): boolean {
    if (this.#asked) return false;
    if (name === 'pty-req') {
      this.#terminal = parse.ptyReq(payload);
      return true;
    }
    if (name !== 'env') return false;
    const variable = parse.env(payload);
    if (!isPassedOn(variable) || this.#variables.length >= MAX_VARIABLES) return false;
    this.#variables.push(variable);
    return true;
  }

  #pass(name: string, payload: Buffer, reply: ChannelRequest['reply']): void {
    if (this.#upstream === undefined || !this.#isRunning) return reply?.(false);
    if (name !== 'window-change') return this.#upstream.request(name, payload, reply);
    reply?.(this.#terminal !== undefined);
    if (this.#terminal === undefined) return;
    // What is no size ends the connection at once.
    parse.windowChange(payload);
    if (this.#size === undefined) this.#resize().catch((error: unknown) => this.#c.onFault(error));
    this.#size = payload;
  }

  /** Sizes come as fast as somebody drags a window, and each is a record: one in 100 ms, and always the last. */
  async #resize(): Promise<void> {
    await this.#c.clock.after(RESIZE_MS);
    const size = this.#size;
    this.#size = undefined;
    if (size === undefined || this.#isGone || this.#isStopped) return;
    this.#streams?.resized(parse.windowChange(size));
    this.#upstream?.request('window-change', size);
  }

  #ask(asking: Asking, reply: ChannelRequest['reply']): void {
    // RFC 4254, section 6.5: one program on a channel.
    if (this.#asked) return reply?.(false);
    this.#asked = true;
    reply?.(true);
    const run = this.#run(asking).catch((error: unknown) => {
      if (error instanceof RecordingError) this.#refuse({ code: 'RecordingBlocked' }, asking, 0);
      this.#c.onFault(error);
    });
    this.#c.track(run);
    return undefined;
  }

  async #run(asking: Asking): Promise<void> {
    const { records, approval, shown, access, whyNot } = this.#c;
    const named = this.#terminal === undefined ? asking.action : withTerminal(asking.action);
    const action = await locate(this.#c, named);
    this.#isOpenEnded = isOpenEnded(action);
    this.#hasOwnExit = asking.unit !== 'shell';
    const verdict = shown.verdict(judge(access(), action));
    const [text, bytes] = [shown.text(asking.text), asking.bytes];
    const number = await records.judged({ text, bytes, verdict, writes: true });
    const away = action.notAnalysable === undefined ? undefined : whyNot();
    if (away !== undefined) return this.#refuse({ code: 'ResourceNotReady', reason: away }, asking, number);
    if (verdict.verdict === 'deny') return this.#refuse(refusalOfSsh(access(), action, verdict, asking), asking, number);
    this.#stands = standing(access, action, verdict.verdict === 'approve', asking.isText ? masksOf : undefined);
    this.#fallen = () => {
      const now = shown.verdict(judge(access(), action));
      if (now.verdict === 'deny') return { ...refusalOf(now), reason: CHANGED };
      return { code: 'ResourceNotReady', reason: `${CHANGED}; ask again` };
    };
    if (verdict.verdict === 'approve') {
      const asked = {
        action: number,
        unit: asking.unit,
        verdict,
        text: asking.send,
        note: asking.unknown && untold(asking.unknown),
        state: { ...this.#state(), request: asking.request, payload: asking.payload.toString('base64') },
        why: this.#isOpenEnded ? OPEN_ENDED : undefined,
        once: asking.unit !== 'command' || this.#isOpenEnded ? `a ${this.#kind(asking)} may be another one each time` : undefined,
      };
      const answer = await approval.ask(asked, this.#gone.promise, (refusal) => this.#say(this.#line(refusal, asking, number)));
      if (answer.kind === 'gone') return undefined;
      if (answer.kind === 'refused') return this.#refuse(answer.refusal, asking, number);
      this.#onEnd = answer.ended;
      if (JSON.stringify(await locate(this.#c, named)) !== JSON.stringify(action))
        return this.#refuse({ code: 'ApprovalVoided', reason: 'the path leads elsewhere by now' }, asking, number);
      this.#mayRun = answer.isCurrent;
    } else this.#mayRun = this.#stands;
    this.#streams = this.#streamsOf(asking, number);
    if (this.#isGone) return this.#finish({ error: { code: 'AgentClosed', message: 'the agent was gone; it did not run' } });
    return this.#start(asking, number);
  }

  #state(): Record<string, string> {
    const variables = this.#variables.map(({ name, value }) => [name.toString('base64'), value.toString('base64')]);
    const { term, modes } = this.#terminal ?? {};
    return {
      variables: JSON.stringify(variables),
      terminal: JSON.stringify(term === undefined ? null : [term, modes?.toString('base64')]),
    };
  }

  #streamsOf(asking: Asking, action: number): Streams {
    const { access, clock, records } = this.#c;
    return new Streams({
      action,
      recording: access().recording,
      masks: asking.isText ? maskedFinds(access()) : new Map(),
      terminal: this.#terminal,
      now: () => clock.monotonic(),
      note: (more) => records.note(more),
    });
  }

  #start(asking: Asking, action: number): void {
    const handler: ChannelHandler = {
      onData: (data, stream) => this.#fromServer(data, stream),
      onEof: () => this.#afterServer(() => this.#serverEnded()),
      onRequest: (request) => this.#serverSaid(request),
      onClose: () => this.#afterServer(() => this.#serverClosed()),
    };
    this.#c.openUpstream('session', Buffer.alloc(0), handler, (result) => this.#opened(result, asking, action));
    this.#expectStart(asking, action).catch((error: unknown) => this.#c.onFault(error));
  }

  async #expectStart(asking: Asking, action: number): Promise<void> {
    await Promise.race([this.#gone.promise, this.#c.clock.after(START_MS)]);
    if (this.#isRunning || this.#isStopped || this.#isGone) return;
    this.#refuse({ code: 'ResourceNotReady', reason: 'the host did not answer in time' }, asking, action);
  }

  #opened(result: OpenResult, asking: Asking, action: number): void {
    if (this.#isStopped) return result.kind === 'opened' ? result.channel.close() : undefined;
    if (result.kind === 'refused')
      return this.#refuse({ code: 'ResourceNotReady', reason: this.#c.whyNot() ?? 'the host opens no session' }, asking, action);
    const { channel } = result;
    this.#upstream = channel;
    if (this.#isGone) return channel.close();
    if (!this.#mayRun())
      return this.#refuse({ code: 'ResourceNotReady', reason: 'the policy changed before it ran; ask again' }, asking, action);
    for (const variable of this.#variables) channel.request('env', encode.env(variable));
    if (this.#terminal !== undefined) channel.request('pty-req', encode.ptyReq(this.#terminal));
    return channel.request(asking.request, asking.payload, (isGranted) => {
      if (this.#isStopped) return undefined;
      if (!isGranted) return this.#refuse({ code: 'ResourceNotReady', reason: 'the host does not run it' }, asking, action);
      return this.#begin(channel, asking, action);
    });
  }

  #begin(server: Channel, asking: Asking, action: number): void {
    this.#isRunning = true;
    this.#stop = (refusal) => this.#overrun(refusal, asking, action);
    const { files: transfer, rules } = asking;
    if (rules !== undefined) this.#rules = new RsyncRules(rules);
    const agent = this.#agent;
    if (transfer === undefined) this.#watchTime(asking).catch((error: unknown) => this.#c.onFault(error));
    else {
      const onBroken = (error: Error, by: Side): void => this.#broken(error.message, by, asking, action);
      this.#files = new FileSession({ context: this.#c, action, transfer, agent, server, gone: this.#gone.promise, onBroken });
    }
    for (const data of this.#waiting.takeAll()) this.#toServer(data);
    if (this.#isEnded) this.#endInput();
  }

  /** What people are asked about, and the agent is told of. */
  #kind({ unit }: Asking): Unit | 'terminal' {
    return this.#terminal === undefined ? unit : 'terminal';
  }

  /** A policy may bound how long a command runs, and always does for what is as open as a shell, which is told so. */
  async #watchTime(asking: Asking): Promise<void> {
    const { access, clock, leftMs } = this.#c;
    const what = this.#kind(asking);
    const isInteractive = what === 'shell' || what === 'terminal';
    const own = ownTimeMs(access().limits, isInteractive, this.#isOpenEnded);
    if (own === Infinity) return;
    const tell = (said: 'begins' | 'ends', endsAt: number): void =>
      this.#say(
        `${said === 'ends' && this.#terminal !== undefined ? '\r\n' : ''}${sshTimeText(said, what, endsAt, clock.now())}`,
      );
    const isLate = await watchTime({
      ownMs: own,
      leftMs: leftMs(),
      clock,
      gone: this.#gone.promise,
      tell: this.#isOpenEnded ? tell : undefined,
    });
    if (isLate && this.#streams !== undefined) this.#stop(limit(`it ran for longer than ${own} ms`));
  }

  /** What comes through it is no protocol of files any more. An agent is not told that it broke what the host did. */
  #broken(message: string, by: Side, asking: Asking, action: number): void {
    if (by === 'host') this.#finish({ error: { code: 'UpstreamViolation', message } });
    this.#overrun(brokenBy(by, message), asking, action);
  }

  /** It went beyond a limit, or is not permitted any more: what runs at the host loses its channel. */
  #overrun(refusal: Refusal, asking: Asking, action: number): void {
    this.#stop = () => undefined;
    if (refusal.code === 'LimitReached') this.#flush();
    this.#refuse(refusal, asking, action);
  }

  #endInput(): void {
    if (this.#files === undefined) this.#upstream?.eof();
    else this.#files.endOfAgent();
  }

  #toServer(data: Buffer): void {
    if (this.#isStopped) return;
    if (!this.#stands()) return this.#stop(this.#fallen());
    if (this.#files !== undefined) return this.#files.fromAgent(data);
    this.#streams?.input(data);
    const passed = this.#withRules(data);
    const { agent } = this.#owed;
    agent.waits(passed.length);
    this.#upstream?.write(passed, 'data', agent.went);
    agent.came(data.length);
  }

  /** What of it goes on, as far as there are rules of rsync to look at first. */
  #withRules(data: Buffer): Buffer {
    try {
      return this.#rules?.push(data) ?? data;
    } catch (error) {
      if (!(error instanceof SshError)) throw error;
      this.#stop({ code: 'NeverAllowed', reason: error.message, instead: 'leave out -F, -C and filters that name a file' });
      return Buffer.alloc(0);
    }
  }

  #fromServer(data: Buffer, stream: Stream): void {
    this.#c.onActivity(data.length);
    if (this.#isStopped) return this.#upstream?.consumed(data.length);
    // Nothing runs yet that could have said it, and nobody would look into it.
    if (!this.#isRunning) return this.#upstream?.close();
    this.#printed += data.length;
    const { bytesPerStatement = Infinity } = this.#c.access().limits;
    if (this.#printed > bytesPerStatement) return this.#stop(limit(`it gave more than ${bytesPerStatement} bytes`));
    if (!this.#stands()) return this.#stop(this.#fallen());
    if (this.#files !== undefined && stream === 'data') return this.#files.fromServer(data);
    const shown = this.#streams?.output(this.#nameOf(stream), data) ?? Buffer.alloc(0);
    this.#releaseSoon();
    // What is held back is bounded, so the server may go on.
    const { server } = this.#owed;
    server.waits(shown.length);
    this.#agent.write(shown, stream, server.went);
    server.came(data.length);
    return undefined;
  }

  /** Whoever is at a terminal sees what they type, and its prompt: there values are found as far as they come at once. */
  #releaseSoon(): void {
    if (this.#terminal === undefined || this.#isReleasing || this.#streams?.isHeld('terminal') !== true) return;
    this.#isReleasing = true;
    this.#release().catch((error: unknown) => this.#c.onFault(error));
  }

  async #release(): Promise<void> {
    await this.#c.clock.after(QUIET_MS);
    this.#isReleasing = false;
    if (!this.#isStopped) this.#flush();
  }

  #nameOf(stream: Stream): 'stdout' | 'stderr' | 'terminal' {
    if (stream === 'stderr') return 'stderr';
    return this.#terminal === undefined ? 'stdout' : 'terminal';
  }

  #afterServer(then: () => void): void {
    if (this.#files === undefined) then();
    else this.#files.endOfServer(then);
  }

  #serverEnded(): void {
    this.#isServerEnded = true;
    this.#flush();
    this.#agent.eof();
  }

  /** What was held back of both streams. */
  #flush(): void {
    for (const stream of ['data', 'stderr'] as const) {
      const rest = this.#streams?.ended(this.#nameOf(stream)) ?? Buffer.alloc(0);
      if (rest.length > 0) this.#agent.write(rest, stream);
    }
  }

  #serverSaid({ name, payload, reply }: ChannelRequest): void {
    if (name === 'exit-status') this.#result = `exit ${parse.exitStatus(payload)}`;
    else if (name === 'exit-signal') {
      const { name: signal, isCoreDumped } = parse.exitSignal(payload);
      this.#result = `signal ${signal}`;
      // What the host says beside is not looked into.
      return this.#agent.request(name, encode.exitSignal({ name: signal, isCoreDumped, message: '' }));
    } else return reply?.(false);
    return this.#agent.request(name, payload);
  }

  #serverClosed(): void {
    if (this.#isStopped) return;
    this.#flush();
    if (this.#result === undefined && !this.#isGone)
      this.#say('chaperone: the host ended the channel without saying how the command ended');
    // Before the channel, whose end may be the agent's own.
    this.#finish(
      this.#result === undefined
        ? { error: { code: 'UpstreamClosed', message: 'the host did not say how it ended' } }
        : { tag: this.#result },
    );
    this.#agent.close();
  }

  #finish(end: Parameters<Streams['done']>[0]): void {
    this.#files?.close();
    const streams = this.#streams;
    if (streams === undefined) return this.#tellEnd(end);
    this.#streams = undefined;
    this.#c.records.totals.maskedValues += streams.maskedValues;
    this.#c.records.note([streams.done(end)]);
    return this.#tellEnd(end);
  }

  #tellEnd(end: Parameters<Streams['done']>[0]): void {
    const tell = this.#onEnd;
    this.#onEnd = undefined;
    if ('tag' in end) {
      const isRan = end.tag === 'exit 0' || (!this.#hasOwnExit && end.tag.startsWith('exit '));
      tell?.(isRan ? 'Ran' : 'Failed', end.tag.slice(0, MAX_RESULT));
    } else tell?.('Failed', end.error.message);
  }

  /** Says why it does not run, and ends as a command that failed would. */
  #refuse(refusal: Refusal, asking: Asking, action: number): void {
    const { line, exit } = textOf(this.#c.access(), refusal, { unit: asking.unit, reference: `${this.#c.session}/${action}` });
    this.#isStopped = true;
    this.#say(line);
    this.#finish({ error: { code: refusal.code, message: refusal.reason ?? 'it did not run' } });
    this.#agent.request('exit-status', encode.exitStatus(exit));
    this.#agent.eof();
    this.#agent.close();
    this.#upstream?.close();
  }

  #line(refusal: Refusal, asking: Asking, action: number): string {
    return textOf(this.#c.access(), refusal, { unit: asking.unit, reference: `${this.#c.session}/${action}` }).line;
  }

  /** A terminal begins no line by a line feed alone. */
  #say(line: string): void {
    this.#agent.write(Buffer.from(this.#terminal === undefined ? `${line}\n` : `${line}\r\n`), 'stderr');
  }
}
