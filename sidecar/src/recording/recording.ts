import {
  createEpoch,
  type Epoch,
  EPOCH_MS,
  encodeNkey,
  type PodIdentity,
  type Recipient,
  Registration,
  SESSION_ID,
  type TrustPolicy,
} from '@chaperone/evidence';
import { PodCounter, type TellCounter } from './pod-counter.ts';
import { Journal } from './journal.ts';
import { type LogStatus, LogView } from './log-view.ts';
import { type Logger, Outbox } from './outbox.ts';
import { type Delivery, type Recording, RecordingError, type SessionRecorder } from './recorder.ts';
import { readJournal, recoverSession } from './recovery.ts';
import { type Clock, LiveSession, type SessionHost } from './session.ts';
import { nextEpoch, Spool, type SpoolFiles } from './spool.ts';

export type { Clock } from './session.ts';
export type { Logger } from './outbox.ts';

/** New sessions are refused above this part of maxBytes, appends above the other; the rest is for ends of sessions. */
const FULL_FOR_SESSIONS = 0.8;
const FULL_FOR_RECORDS = 0.95;
/** 'written' promises an fdatasync within 10 ms; a round is begun after this long. */
const COMMIT_DELAY_MS = 5;
/** Of what the spool may fill, one file of the journal at most; and in bytes. */
const JOURNAL_PART = 1 / 32;
const JOURNAL_BYTES = 8 * 1024 * 1024;
/** What failed to be recovered is tried again at every so many sweeps. */
const SWEEPS_PER_RECOVERY = 10;
/** Where freed segments wait for the end of a file of the journal, they wait for so many sweeps. */
const SWEEPS_PER_FILE = 60;

export interface RecordingLimits {
  /** What the spool may fill on disk, in bytes. */
  readonly maxBytes: number;
  /** Records wait at most about this long before they are sealed and sent. */
  readonly sealAfterMs: number;
  /** First wait for a receipt before a segment is sent again; doubles up to 64 times. */
  readonly redeliverAfterMs: number;
  /** How long an append with durability 'stored' waits for the broker before it rejects. */
  readonly storedTimeoutMs: number;
  /** Unsealed records of all sessions in memory; above it the largest session is sealed early. */
  readonly maxBufferedBytes: number;
}

export const DEFAULT_LIMITS: RecordingLimits = {
  maxBytes: 400 * 1024 * 1024,
  sealAfterMs: 2_000,
  redeliverAfterMs: 15_000,
  storedTimeoutMs: 10_000,
  maxBufferedBytes: 32 * 1024 * 1024,
};

export interface RecordingOptions {
  /** The spool, on disk. One process at a time. */
  readonly directory: string;
  /** Keys and the epoch's number; memory that survives a restart of the process. */
  readonly runDirectory: string;
  readonly identity: PodIdentity;
  readonly delivery: Delivery;
  /** Which log is believed, and what witnesses must have said; while it is undefined nothing is freed. */
  readonly logPolicy: () => TrustPolicy | undefined;
  /** Who may read what is recorded, one at least. Asked whenever a session opens. */
  readonly recipients: () => readonly Recipient[];
  /** Where the pod's signed counters go, which the collector cannot change. */
  readonly tellCounter: TellCounter;
  /** As {@link PodCounter} has them. */
  readonly counterTimings?: ConstructorParameters<typeof PodCounter>[0]['timings'];
  readonly limits?: Partial<RecordingLimits>;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly logger: Logger;
}

export interface RecordingStatus {
  readonly usedBytes: number;
  readonly maxBytes: number;
  readonly sessions: number;
  readonly unacknowledged: number;
  /** Files that could not be read and were set aside since the start. */
  readonly unreadable: number;
  readonly oldestUnacknowledgedMs: number;
  readonly log: LogStatus;
}

export interface SpoolRecording extends Recording {
  status(): RecordingStatus;
}

/**
 * Opens the spool, seals what an earlier process left open, and begins to deliver. Rejects with RecordingError or a file
 * system error where the spool cannot be used at all; a damaged file in it is set aside.
 */
export async function createRecording(options: RecordingOptions): Promise<SpoolRecording> {
  const spool = await Spool.open(options.directory, options.runDirectory);
  const log = await LogView.open({
    runDirectory: options.runDirectory,
    spoolDirectory: options.directory,
    origin: originOf(options.identity),
    policy: options.logPolicy,
    logger: options.logger,
  });
  const recording = new SpooledRecording(options, { spool, log, journals: (await spool.files()).journals });
  await recording.recover();
  return recording;
}

function originOf({ registration }: PodIdentity): string {
  return Registration.parse(JSON.parse(registration.body)).origin;
}

interface Found {
  readonly spool: Spool;
  readonly log: LogView;
  /** Numbers of the journal's files. */
  readonly journals: readonly number[];
}

class SpooledRecording implements SpoolRecording {
  readonly #spool: Spool;
  readonly #log: LogView;
  readonly #outbox: Outbox;
  readonly #host: SessionHost;
  readonly #limits: RecordingLimits;
  readonly #logger: Logger;
  readonly #runDirectory: string;
  readonly #journal: Journal;
  readonly #live = new Map<string, LiveSession>();
  /** Sessions that failed, with the files of the journal that they hold; what is in these is sealed as soon as that works again. */
  readonly #abandoned = new Map<string, readonly number[]>();
  #timer: NodeJS.Timeout | undefined;
  readonly #delivery: Delivery;
  readonly #counter: PodCounter;
  #epoch: Epoch | undefined;
  #epochSince = 0;
  #bufferedBytes = 0;
  #recovering: Promise<void> = Promise.resolve();
  #stopped = false;
  #sweeps = 0;

  constructor(options: RecordingOptions, { spool, log, journals }: Found) {
    const clock = options.clock ?? { now: () => Date.now(), monotonic: () => performance.now() };
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#spool = spool;
    this.#log = log;
    this.#logger = options.logger;
    this.#runDirectory = options.runDirectory;
    this.#delivery = options.delivery;
    this.#journal = new Journal({
      spool,
      maxFileBytes: Math.min(JOURNAL_BYTES, this.#limits.maxBytes * JOURNAL_PART),
      delayMs: COMMIT_DELAY_MS,
      found: journals,
      onError: (error) =>
        options.logger.error('a file of the journal could not be removed', {
          cause: error instanceof Error ? error.name : 'unknown',
        }),
    });
    const nkey = encodeNkey(options.identity.nkey.publicKey);
    const origin = originOf(options.identity);
    const epoch: SessionHost['epoch'] = () => this.#epochNow(options.identity, clock);
    this.#counter = new PodCounter({
      runDirectory: options.runDirectory,
      registration: options.identity.registration,
      origin,
      nkey,
      epoch,
      clock,
      tell: options.tellCounter,
      ...(options.counterTimings === undefined ? {} : { timings: options.counterTimings }),
    });
    this.#outbox = new Outbox({
      spool,
      counter: this.#counter,
      onEmpty: (session) => this.#settle(session),
      journal: this.#journal,
      log,
      delivery: options.delivery,
      logger: options.logger,
      monotonic: () => clock.monotonic(),
      random: options.random ?? Math.random,
      redeliverAfterMs: this.#limits.redeliverAfterMs,
    });
    this.#host = {
      spool,
      clock,
      outbox: this.#outbox,
      identity: options.identity,
      journal: this.#journal,
      counter: this.#counter,
      nkey,
      origin,
      storedTimeoutMs: this.#limits.storedTimeoutMs,
      epoch,
      recipients: options.recipients,
      // What is buffered is on disk twice while it is sealed.
      hasRoom: ({ type }) =>
        type === 'session.close' || spool.usedBytes + this.#bufferedBytes < this.#limits.maxBytes * FULL_FOR_RECORDS,
      buffered: (delta) => this.#buffered(delta),
      ended: (session, unsealed) => this.#ended(session, unsealed),
    };
  }

  /**
   * One that is over is forgotten: by the clock, which may be set to any time, so that whoever verifies sees it kept; and by time that
   * passed, so that no clock that goes back makes it last.
   */
  #epochNow(identity: PodIdentity, clock: Clock): { epoch: Epoch; at: number } {
    const [at, monotonic] = [clock.now(), clock.monotonic()];
    const found = this.#epoch;
    const isOver = found === undefined || at < found.notBefore || at > found.notAfter || monotonic - this.#epochSince > EPOCH_MS;
    const epoch = isOver ? createEpoch(identity, nextEpoch(this.#runDirectory), at) : found;
    if (isOver) this.#epochSince = monotonic;
    this.#epoch = epoch;
    return { epoch, at };
  }

  /** Brings to their end the sessions that an earlier process left. */
  async recover(): Promise<void> {
    const { segments, journals } = await this.#spool.files();
    const contents = await this.#read(journals, segments, () => true);
    const [oldest] = journals;
    for (const session of new Set([...segments.keys(), ...contents.keys()]))
      this.#abandoned.set(session, oldest === undefined ? [] : [this.#journal.hold(oldest)]);
    await this.#recoverThese(segments, journals, contents);
    this.#journal.rest(true);
    // Not before: what is swept is what nobody holds, and found files are held by what was read of them.
    this.#timer = setInterval(() => this.#sweep(), Math.max(20, this.#limits.sealAfterMs / 4));
    this.#timer.unref();
  }

  // Declared async so that a throw is a rejection, as the interface says.
  async open(session: string, policyDigest: string): Promise<SessionRecorder> {
    if (this.#stopped) throw new RecordingError('RecordingBlocked', 'recording has stopped');
    if (!SESSION_ID.test(session)) throw new RecordingError('RecordingFailed', 'the session id has a wrong form');
    if (this.#spool.usedBytes >= this.#limits.maxBytes * FULL_FOR_SESSIONS)
      throw new RecordingError('RecordingBlocked', 'the spool is too full for a new session');
    try {
      const live = new LiveSession(this.#host, session, policyDigest);
      this.#live.set(session, live);
      this.#counter.opened(session);
      return live;
    } catch (cause) {
      if (cause instanceof RecordingError) throw cause;
      throw new RecordingError('RecordingFailed', 'the session could not be opened in the spool', { cause });
    }
  }

  counted(): Promise<void> {
    return this.#counter.taken();
  }

  /** Where nobody records the session any more and every segment has its receipt, all of it is in the log. */
  #settle(session: string): void {
    const isOver = !this.#live.has(session) && !this.#abandoned.has(session) && !this.#outbox.has(session);
    if (isOver) this.#counter.settled(session);
  }

  #buffered(delta: number): void {
    this.#bufferedBytes += delta;
    if (delta <= 0 || this.#bufferedBytes <= this.#limits.maxBufferedBytes) return;
    let largest: LiveSession | undefined;
    for (const session of this.#live.values())
      if (largest === undefined || session.bufferedBytes > largest.bufferedBytes) largest = session;
    largest?.seal();
  }

  #ended(session: LiveSession, unsealed: readonly number[] | undefined): void {
    this.#live.delete(session.session);
    if (unsealed === undefined) return this.#settle(session.session);
    this.#logger.error('the recording of a session failed; the session is cut', { session: session.session });
    this.#abandoned.set(session.session, unsealed);
  }

  #sweep(): void {
    for (const session of this.#live.values()) {
      if (session.unsealedForMs >= this.#limits.sealAfterMs) session.seal();
      // It never rejects: what fails in it is told to the session.
      void session.carry();
    }
    this.#sweeps++;
    this.#journal.rest(this.#sweeps % SWEEPS_PER_FILE === 0);
    if (this.#abandoned.size > 0 && this.#sweeps % SWEEPS_PER_RECOVERY === 0)
      this.#recovering = this.#recovering.then(() => this.#recoverAbandoned());
  }

  async #recoverAbandoned(): Promise<void> {
    try {
      const { segments } = await this.#spool.files();
      const numbers = this.#journal.from(Math.min(...[...this.#abandoned.values()].flat()));
      const contents = await this.#read(numbers, segments, (session) => this.#abandoned.has(session));
      await this.#recoverThese(segments, numbers, contents);
    } catch (error) {
      this.#logger.error('the spool cannot be read to recover sessions', {
        cause: error instanceof Error ? error.name : 'unknown',
      });
    }
  }

  /** Seals what the journal has of abandoned sessions. */
  async #recoverThese(
    segments: SpoolFiles['segments'],
    numbers: readonly number[],
    contents: Awaited<ReturnType<typeof readJournal>>,
  ): Promise<void> {
    const { spool, outbox, identity, nkey, origin, counter } = this.#host;
    const epoch: SessionHost['epoch'] = () => this.#host.epoch();
    const options = { spool, journal: this.#journal, outbox, identity, nkey, origin, counter, epoch, logger: this.#logger };
    for (const [session, held] of this.#abandoned) {
      try {
        const found = { unsealed: contents.get(session) ?? new Map(), segments: segments.get(session) ?? new Map() };
        const outcome = await recoverSession(session, found, options);
        if (outcome === 'unreadable') numbers.forEach((number) => this.#journal.damaged(number));
        if (outcome === 'unreadable') this.#counter.lost(session);
        this.#abandoned.delete(session);
        this.#settle(session);
        held.forEach((number) => this.#journal.release(number));
      } catch (error) {
        this.#logger.error('the spool of a session cannot be recovered yet', {
          session,
          cause: error instanceof Error ? error.name : 'unknown',
        });
      }
    }
  }

  /** What nobody sealed of these sessions. */
  #read(
    numbers: readonly number[],
    segments: SpoolFiles['segments'],
    isWanted: (session: string) => boolean,
  ): ReturnType<typeof readJournal> {
    return readJournal(
      numbers,
      ({ session, number }) => isWanted(session) && segments.get(session)?.has(number) !== true,
      this.#host,
      this.#logger,
    );
  }

  async flush(timeoutMs: number): Promise<{ unacknowledged: number }> {
    for (const session of this.#live.values()) session.seal();
    this.#outbox.sendAgain(0);
    await this.#outbox.empty(timeoutMs);
    return { unacknowledged: this.#outbox.size };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await Promise.all([...this.#live.values()].map((session) => session.close()));
    await this.#recovering;
    await this.#journal.stop();
    await this.#counter.stop();
    this.#outbox.stop();
    await this.#delivery.close();
  }

  status(): RecordingStatus {
    return {
      usedBytes: this.#spool.usedBytes,
      maxBytes: this.#limits.maxBytes,
      sessions: this.#live.size,
      unacknowledged: this.#outbox.size,
      unreadable: this.#outbox.unreadable,
      oldestUnacknowledgedMs: this.#outbox.oldestMs,
      log: this.#log.status(),
    };
  }
}
