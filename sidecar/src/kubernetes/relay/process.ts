import { sshTimeText } from '@chaperone/api';
import { maskedFinds } from '../../masking/labels.ts';
import { type Size, Streams } from '../../running/streams.ts';
import { ownTimeMs, watchTime } from '../../running/time-limit.ts';
import { Waiting } from '../../running/waiting.ts';
import type { Opening } from '../actions/index.ts';
import type { Channel } from '../wire/index.ts';
import type { Archive } from './archive.ts';
import type { RelayContext } from './exchange.ts';
import { exitStatus, MAX_STATUS_BYTES, type Outcome, readOutcome } from './outcome.ts';
import { RESIZE_MS, Resizes, sizeMessage } from './resizes.ts';
import type { Side } from './side.ts';
import { statusObject } from './status.ts';
import { answerOf, type RequestRefusal } from './texts.ts';

/** What an agent sends before anything runs waits up to here; then it is not read. */
const MAX_WAITING = 64 * 1024;
/** What may be the beginning of a value waits for so long on a terminal, where somebody waits for it. */
const QUIET_MS = 100;
/** Until a terminal says its own. */
const FIRST_SIZE: Size = { columns: 80, rows: 24 };
const MAX_RESULT = 64;
const limit = (reason: string): RequestRefusal => ({ code: 'LimitReached', reason });

export interface ProcessOptions {
  readonly context: RelayContext;
  readonly opening: Opening;
  readonly agent: Side;
  /** Resolves when nothing of it is left. */
  readonly gone: Promise<unknown>;
  readonly onFault: (error: unknown) => void;
}

/** What decided on it, and has to go on doing so. */
export interface Running {
  readonly action: number;
  readonly stands: () => boolean;
  /** Why it does not stand any more. */
  readonly fallen: () => RequestRefusal;
  readonly ended: (state: 'Ran' | 'Failed', result: string) => void;
  /** Files are judged as they pass, where it copies some. */
  readonly archive?: Archive | undefined;
}

type End = Parameters<Streams['done']>[0];

/** A process in a pod between an agent and the API server: what it prints is masked, and every channel is recorded. */
export class PodProcess {
  readonly #o: ProcessOptions;
  readonly #waiting = new Waiting();
  readonly #resizes = new Resizes();
  #waitingBytes = 0;
  #isInputEnded = false;
  #size: Size | undefined;
  #recordedSize = FIRST_SIZE;
  #resizing: NodeJS.Timeout | undefined;
  #running: Running | undefined;
  #server: Side | undefined;
  #streams: Streams | undefined;
  #printed = 0;
  #status: Buffer = Buffer.alloc(0);
  #isReleasing = false;
  #isOver = false;

  constructor(options: ProcessOptions) {
    this.#o = options;
  }

  fromAgent(channel: Channel, data: Buffer): void {
    if (this.#isOver) return;
    this.#o.context.onBytes(data.length);
    const { stdin, tty } = this.#o.opening.streams;
    if (channel === 'resize' && tty) return this.#resize(this.#resizes.push(data));
    if (channel !== 'stdin' || !stdin || this.#isInputEnded) return;
    if (this.#server !== undefined) return this.#toServer(data);
    this.#waiting.push(data);
    this.#waitingBytes += data.length;
    if (this.#waitingBytes > MAX_WAITING) this.#o.agent.pause();
  }

  agentEnded(channel: Channel): void {
    if (channel !== 'stdin' || this.#isInputEnded || this.#isOver) return;
    this.#isInputEnded = true;
    if (this.#server !== undefined) this.#endInput();
  }

  /** The agent takes more. */
  agentDrained(): void {
    this.#server?.resume();
  }

  agentGone(): void {
    this.#finish({ error: { code: 'AgentClosed', message: 'the agent closed it' } });
  }

  /** It may run: its record begins, also of what never comes to run. */
  begin(running: Running): void {
    this.#running = running;
    this.#recordedSize = this.#size ?? FIRST_SIZE;
    const { access, clock, records } = this.#o.context;
    const { streams, copy } = this.#o.opening;
    this.#streams = new Streams({
      action: running.action,
      recording: access().recording,
      masks: maskedFinds(access()),
      plain: copy?.verb === 'read' ? 'stdout' : undefined,
      terminal: streams.tty ? this.#recordedSize : undefined,
      now: () => clock.monotonic(),
      note: (more) => records.note(more),
    });
    if (this.#isOver) this.#close({ error: { code: 'AgentClosed', message: 'the agent was gone; it did not run' } });
  }

  /** It runs: what comes from `server` is given to {@link fromServer} and {@link serverGone}. */
  run(server: Side): void {
    if (this.#isOver) return server.destroy();
    this.#server = server;
    this.#sendSize();
    for (const data of this.#waiting.takeAll()) this.#toServer(data);
    if (this.#isOver) return;
    if (this.#isInputEnded) this.#endInput();
    if (!server.isFull) this.#o.agent.resume();
    this.#watchTime().catch((error: unknown) => this.#o.onFault(error));
  }

  fromServer(channel: Channel, data: Buffer): void {
    if (this.#isOver) return;
    this.#o.context.onBytes(data.length);
    if (channel === 'error') return this.#ends(data);
    if (channel !== 'stdout' && channel !== 'stderr') return;
    if (!this.#o.opening.streams[channel]) return;
    this.#printed += data.length;
    const { bytesPerStatement = Infinity } = this.#o.context.access().limits;
    if (this.#printed > bytesPerStatement) return this.refuse(limit(`it gave more than ${bytesPerStatement} bytes`));
    if (this.#running?.stands() !== true) return this.#fall();
    const passed = channel === 'stdout' ? this.#passed('fromPod', data) : data;
    if (passed === undefined) return;
    this.#o.agent.send(channel, ...(this.#streams?.outputParts(this.#nameOf(channel), passed) ?? [passed]));
    this.#releaseSoon();
    if (this.#o.agent.isFull) this.#server?.pause();
  }

  serverDrained(): void {
    this.#o.agent.resume();
  }

  serverGone(): void {
    if (this.#isOver) return;
    const outcome = readOutcome(this.#status);
    if (outcome !== undefined) return this.#ended(outcome);
    this.#flush();
    const reason = 'the API server ended it without saying how';
    this.#sayRefusal({ code: 'ResourceNotReady', reason, status: 502 }, this.#reference);
    this.#finish({ error: { code: 'UpstreamClosed', message: reason } });
  }

  /** The policy may have changed while nothing came that would be stopped by it. */
  check(): void {
    if (!this.#isOver && this.#server !== undefined && this.#running?.stands() === false) this.#fall();
  }

  /** Says why it does not run, or not any longer. */
  refuse(refusal: RequestRefusal, reference = this.#reference): void {
    if (this.#isOver) return;
    if (refusal.code === 'LimitReached') this.#flush();
    this.#sayRefusal(refusal, reference);
    this.#finish({ error: { code: refusal.code, message: refusal.reason ?? 'it did not run' } });
  }

  /** A line for whoever looks; it is none of the program's. */
  say(line: string): void {
    const { tty, stdout, stderr } = this.#o.opening.streams;
    if (tty && stdout) this.#o.agent.send('stdout', Buffer.from(`${line}\r\n`));
    else if (stderr && !tty) this.#o.agent.send('stderr', Buffer.from(`${line}\n`));
  }

  get #reference(): string | undefined {
    return this.#running && `${this.#o.context.session}/${this.#running.action}`;
  }

  #fall(): void {
    this.refuse(this.#running?.fallen() ?? { code: 'InternalFault' });
  }

  #toServer(data: Buffer): void {
    if (this.#running?.stands() !== true) return this.#fall();
    const passed = this.#passed('toPod', data);
    if (passed === undefined) return;
    if (this.#running.archive === undefined) this.#streams?.input(passed);
    this.#server?.send('stdin', passed);
    if (this.#server?.isFull === true) this.#o.agent.pause();
  }

  /** What of an archive may pass; undefined: it is refused. */
  #passed(way: 'toPod' | 'fromPod', data: Buffer): Buffer | undefined {
    const archive = this.#running?.archive;
    if (archive === undefined || archive.way !== way) return data;
    const passed = archive.push(data);
    if (archive.refusal !== undefined) this.refuse(archive.refusal);
    return archive.refusal === undefined ? passed : undefined;
  }

  #endInput(): void {
    this.#server?.end('stdin');
  }

  /** At most one size in 100 ms, and always the last. */
  #resize(size: Size | undefined): void {
    if (size === undefined) return;
    this.#size = size;
    this.#resizing ??= setTimeout(() => {
      this.#resizing = undefined;
      this.#sendSize();
    }, RESIZE_MS);
  }

  #sendSize(): void {
    const size = this.#size;
    if (this.#isOver || size === undefined || this.#server === undefined) return;
    const { columns, rows } = this.#recordedSize;
    if (size.columns !== columns || size.rows !== rows) this.#streams?.resized(size);
    this.#recordedSize = size;
    this.#server.send('resize', sizeMessage(size));
  }

  /** How it ended may come in pieces. */
  #ends(data: Buffer): void {
    this.#status = Buffer.concat([this.#status, data]);
    if (this.#status.length > MAX_STATUS_BYTES) return this.#server?.destroy();
    const outcome = readOutcome(this.#status);
    if (outcome !== undefined) this.#ended(outcome);
  }

  #ended({ exit, message }: Outcome): void {
    this.#flush();
    if (exit !== undefined) {
      this.#sayStatus(exitStatus(exit));
      return this.#finish({ tag: `exit ${exit}` });
    }
    const said = this.#o.context.shown.text(message).slice(0, 1024);
    this.#sayStatus(statusObject({ status: 500, message: said, codes: ['ResourceNotReady'] }));
    return this.#finish({ error: { code: 'UpstreamRefused', message: 'the API server did not run it, or lost it' } });
  }

  #sayRefusal(refusal: RequestRefusal, reference: string | undefined): void {
    this.#sayStatus(statusObject(answerOf(refusal, this.#o.context.access(), reference, true)));
  }

  #sayStatus(status: Buffer): void {
    const { agent } = this.#o;
    if (agent.takesStatus) return agent.send('error', status);
    const outcome = readOutcome(status);
    if (outcome?.exit !== 0) agent.send('error', Buffer.from(outcome?.message ?? ''));
    return undefined;
  }

  #nameOf(channel: 'stdout' | 'stderr'): 'stdout' | 'stderr' | 'terminal' {
    return this.#o.opening.streams.tty ? 'terminal' : channel;
  }

  /** Whoever is at a terminal sees what they type, and its prompt: there values are found as far as they come at once. */
  #releaseSoon(): void {
    if (!this.#o.opening.streams.tty || this.#isReleasing || this.#streams?.isHeld('terminal') !== true) return;
    this.#isReleasing = true;
    this.#release().catch((error: unknown) => this.#o.onFault(error));
  }

  async #release(): Promise<void> {
    await this.#o.context.clock.after(QUIET_MS);
    this.#isReleasing = false;
    if (!this.#isOver) this.#flush();
  }

  /** What was held back. */
  #flush(): void {
    for (const channel of ['stdout', 'stderr'] as const) {
      const name = this.#nameOf(channel);
      if (name === 'terminal' && channel === 'stderr') continue;
      const rest = this.#streams?.ended(name) ?? Buffer.alloc(0);
      if (rest.length > 0) this.#o.agent.send(channel, rest);
    }
  }

  /** A policy may bound how long a command runs, and always does for a shell, which is told so. */
  async #watchTime(): Promise<void> {
    const { access, clock, leftMs } = this.#o.context;
    const { unit, streams, unknown } = this.#o.opening;
    const isShell = unit === 'shell' || streams.tty;
    const isOpenEnded = isShell || unknown !== undefined;
    const ownMs = ownTimeMs(access().limits, isShell, isOpenEnded);
    if (ownMs === Infinity) return;
    const what = streams.tty ? 'terminal' : unit;
    const tell = (said: 'begins' | 'ends', endsAt: number): void =>
      this.say(`${said === 'ends' && streams.tty ? '\r\n' : ''}${sshTimeText(said, what, endsAt, clock.now())}`);
    const { gone } = this.#o;
    const isLate = await watchTime({ ownMs, leftMs: leftMs(), clock, gone, tell: isOpenEnded ? tell : undefined });
    if (isLate) this.refuse(limit(`it ran for longer than ${ownMs} ms`));
  }

  #finish(end: End): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#resizing);
    this.#close(end);
    this.#o.agent.close();
    this.#server?.close();
  }

  #close(end: End): void {
    const [streams, running] = [this.#streams, this.#running];
    if (streams === undefined || running === undefined) return;
    this.#streams = undefined;
    running.archive?.close();
    const { records } = this.#o.context;
    records.totals.maskedValues += streams.maskedValues;
    records.note([streams.done(end)]);
    if ('tag' in end) running.ended(end.tag === 'exit 0' ? 'Ran' : 'Failed', end.tag.slice(0, MAX_RESULT));
    else running.ended('Failed', end.error.message);
  }
}
