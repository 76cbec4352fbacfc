import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../ingest.ts';
import type { TransparencyLog } from '../log/transparency-log.ts';
import { SinkError, type SinkErrorCode, sinkErrorOf } from './errors.ts';
import type { OcsfEvent } from './ocsf/classes.ts';
import type { MapOptions } from './ocsf/subject.ts';
import { asciiJson, type Batch, type Outgoing, type Sink } from './sink.ts';
import type { EventSource } from './source.ts';
import { type DeadLetter, MAX_DEAD_LETTERS, type SinkState, type StateStore } from './state.ts';

const LINGER_MS = 1_000;
/** Before the second try, and the longest: a receiver that was away for hours is found within these. */
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 300_000;
/** What a receiver may ask for at most. */
const MAX_RETRY_AFTER_MS = 3_600_000;
/** What may be about what was sent as well as about who sent it. */
const AMBIGUOUS: ReadonlySet<SinkErrorCode> = new Set(['SinkUnauthorized', 'SinkMisconfigured']);
/** An event at which a receiver fails that takes a checkpoint is tried so often and for so long, in ms, before it is a dead letter. */
const FAILED_TRIES = 10;
const FAILED_MS = 3_600_000;
/** Entries that one look goes through, of which most have few events or none. */
const MAX_ENTRIES = 4_096;

export interface DeliveryOptions {
  readonly name: string;
  readonly sink: Sink;
  readonly source: EventSource;
  readonly state: StateStore;
  readonly map: MapOptions;
  /** Where a sink begins that never delivered. */
  readonly start: 'beginning' | 'now';
  readonly log: () => Promise<TransparencyLog>;
  /** The newest checkpoint, with its cosignatures where it has some. */
  readonly checkpoint: (log: TransparencyLog) => Buffer;
  /** Runs what reads index and objects while nobody rebuilds them. */
  readonly reading: <T>(work: () => Promise<T>) => Promise<T>;
  readonly onOutcome: (
    outcome: { readonly delivered: number } | { readonly dead: true } | { readonly failed: SinkErrorCode },
  ) => void;
  readonly logger: Logger;
  readonly now: () => number;
  readonly random: () => number;
  /** Times, for tests. */
  readonly lingerMs?: number;
  readonly retryMs?: number;
}

export interface DeliveryStatus {
  /** The first entry of the log of which not all is confirmed. */
  readonly cursor: number;
  readonly delivered: number;
  readonly deadLetters: readonly DeadLetter[];
  /** What the last try failed with; undefined where it did not. */
  readonly error?: { readonly code: SinkErrorCode; readonly message: string; readonly at: number; readonly tries: number };
}

/** What a look into the log found: a batch, which may be empty, and where the sink is when it is confirmed. */
interface Look {
  readonly events: readonly Outgoing[];
  readonly checkpoint: Batch['checkpoint'];
  readonly next: Pick<SinkState, 'leaf' | 'done'>;
}

/**
 * Delivers the log to one receiver, in order, each event until it is confirmed: its cursor moves behind the confirmation, so that after a crash
 * in between the same events come again under the same ids. What a receiver refuses for ever becomes a dead letter; to find it, batches are
 * halved until the refused one is alone.
 */
export class Delivery {
  readonly #o: DeliveryOptions;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #running: Promise<void> | undefined;
  #state: SinkState | undefined;
  /** Of the next batch: fewer than the sink takes while something in it is refused. */
  #most: number;
  #failures = 0;
  #error: DeliveryStatus['error'];
  /** The event at which the receiver fails, alone. */
  #stuck: { readonly id: string; readonly since: number; tries: number } | undefined;
  #jobs: (() => Promise<void>)[] = [];

  constructor(options: DeliveryOptions) {
    this.#o = options;
    this.#most = options.sink.limits.events;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    for (const job of this.#jobs) await job();
    await this.#o.sink.close();
  }

  status(): DeliveryStatus {
    const { leaf = 0, delivered = 0, dead = [] } = this.#state ?? {};
    return { cursor: leaf, delivered, deadLetters: dead, ...(this.#error === undefined ? {} : { error: this.#error }) };
  }

  /** Looks now, in place of when it would. */
  wake(): void {
    this.#wake.abort();
  }

  /** Sends the dead letters again, and resolves with how many are none any more. Rejects where the receiver cannot be reached. */
  resend(): Promise<number> {
    const done = Promise.withResolvers<number>();
    this.#jobs.push(() => this.#resend().then(done.resolve, done.reject));
    this.wake();
    return done.promise;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const jobs = this.#jobs;
      this.#jobs = [];
      for (const job of jobs) await job();
      let waitMs: number;
      try {
        waitMs = await this.#step();
        this.#failures = 0;
        this.#error = undefined;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        waitMs = this.#failed(error);
      }
      await this.#sleep(waitMs);
    }
  }

  async #sleep(ms: number): Promise<void> {
    if (ms === 0 || this.#jobs.length > 0) return;
    this.#wake = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, this.#wake.signal]);
    await delay(ms, undefined, { ref: false, signal }).catch(() => undefined);
  }

  /** Delivers one batch; resolves with how long to wait for the next. */
  async #step(): Promise<number> {
    const state = await this.#open();
    if (state.dead.length >= MAX_DEAD_LETTERS)
      throw new SinkError('DeadLettersFull', `${MAX_DEAD_LETTERS} events were refused; look at them and send them again`);
    const look = await this.#look(state);
    const { events, next } = look;
    if (events.length > 0) await this.#deliver(look, state);
    else if (next.leaf !== state.leaf) await this.#save({ ...state, ...next });
    const isBehind = events.length > 0 || next.leaf !== state.leaf;
    return isBehind && next.leaf < look.checkpoint.size ? 0 : (this.#o.lingerMs ?? this.#o.sink.lingerMs ?? LINGER_MS);
  }

  async #open(): Promise<SinkState> {
    if (this.#state !== undefined) return this.#state;
    const { state: store, start, log } = this.#o;
    const found = await store.load();
    if (found !== undefined) {
      this.#state = found;
      return found;
    }
    const leaf = start === 'now' ? (await log()).head.size : 0;
    return this.#save({ version: 1, leaf, done: '', delivered: 0, dead: [] });
  }

  async #save(state: SinkState): Promise<SinkState> {
    try {
      await this.#o.state.save(state);
    } catch (error) {
      // Whoever wrote it may be further: looked at anew before anything more is sent.
      this.#state = undefined;
      throw error;
    }
    this.#state = state;
    return state;
  }

  async #look({ leaf, done }: SinkState): Promise<Look> {
    const { log: open, source, map, sink, reading, checkpoint } = this.#o;
    return reading(async () => {
      const log = await open();
      const { size } = log.head;
      if (leaf > size)
        throw new SinkError(
          'SinkMisconfigured',
          `the receiver has ${leaf} entries of a log of ${size}: an older copy was restored`,
        );
      const note = checkpoint(log).toString();
      const events: Outgoing[] = [];
      let next = { leaf, done };
      let room = sink.limits.bytes;
      let looked = 0;
      for await (const entry of source.entries(log, leaf, map)) {
        if (entry.leaf >= size || looked++ >= MAX_ENTRIES) break;
        // Where it is not there any more, as after an erasure, all that is there now goes out.
        const from = entry.leaf === leaf ? entry.events.findIndex(({ metadata }) => metadata.uid === done) + 1 : 0;
        for (const event of entry.events.slice(from)) {
          const outgoing = outgoingOf(entry.leaf, event);
          room -= outgoing.text.length;
          if (events.length > 0 && (room < 0 || events.length >= this.#most)) return { events, checkpoint: { note, size }, next };
          events.push(outgoing);
          next = { leaf: entry.leaf, done: outgoing.id };
        }
        next = { leaf: entry.leaf + 1, done: '' };
      }
      return { events, checkpoint: { note, size }, next };
    });
  }

  async #deliver({ events, checkpoint, next }: Look, state: SinkState): Promise<void> {
    const { sink, onOutcome, name, logger, now } = this.#o;
    const refused = await this.#refusal({ events, checkpoint });
    if (refused !== undefined) {
      const [event] = events;
      if (event === undefined || events.length > 1) {
        this.#most = Math.ceil(events.length / 2);
        return;
      }
      const { id, leaf } = event;
      logger.error('a receiver refuses an event; it is kept as a dead letter', { sink: name, event: id, cause: refused.message });
      await this.#save({
        ...state,
        ...next,
        dead: [...state.dead, { id, leaf, at: now(), cause: refused.message.slice(0, 200) }],
      });
      onOutcome({ dead: true });
      return;
    }
    await this.#save({ ...state, ...next, delivered: state.delivered + events.length });
    onOutcome({ delivered: events.length });
    this.#most = Math.min(this.#most * 2, sink.limits.events);
  }

  /**
   * What the receiver has against these events themselves; undefined where it has confirmed them. Rejects with what it has against us, or why it
   * says nothing now. Something before a receiver that dislikes a text answers as one does that dislikes a token: what tells them apart is
   * whether a checkpoint alone is taken. One event alone is tried again behind that, so that a moment's answer makes no dead letter. A receiver
   * that fails (5xx) is told from one that fails at an event in the same way; since it may only have been busy, that takes an hour.
   */
  async #refusal(batch: Batch): Promise<SinkError | undefined> {
    const { sink } = this.#o;
    const signal = this.#stop.signal;
    const said = await answerOf(sink.deliver(batch, signal));
    if (said === undefined || said.code === 'SinkRefused') return said;
    if (!(AMBIGUOUS.has(said.code) || said.failed) || sink.probe === undefined) throw said;
    if ((await answerOf(sink.probe(batch.checkpoint, signal))) !== undefined) throw said;
    if (batch.events.length > 1) return said;
    if (said.failed) {
      if (this.#isStuck(batch.events[0]?.id ?? '')) return said;
      throw said;
    }
    const again = await answerOf(sink.deliver(batch, signal));
    if (again !== undefined && again.code !== said.code) throw again;
    return again;
  }

  /** Counts a try of an event at which the receiver failed; true once that was often and long enough. One that is a dead letter is stuck. */
  #isStuck(id: string): boolean {
    if (this.#state?.dead.some((letter) => letter.id === id)) return true;
    const now = this.#o.now();
    if (this.#stuck?.id !== id) this.#stuck = { id, since: now, tries: 0 };
    return ++this.#stuck.tries >= FAILED_TRIES && now - this.#stuck.since >= FAILED_MS;
  }

  /** ms until the next try. */
  #failed(error: unknown): number {
    const { onOutcome, logger, name, now, random, retryMs } = this.#o;
    const failure = sinkErrorOf(error);
    const { code, message, retryAfterMs = 0 } = failure;
    this.#failures += 1;
    this.#error = { code, message, at: now(), tries: this.#failures };
    onOutcome({ failed: code });
    // Once for each outage, and then less and less often.
    if (Number.isInteger(Math.log2(this.#failures)))
      logger.warn('events are not delivered; they will be', { sink: name, code, cause: message, tries: this.#failures });
    return retryIn({
      failures: this.#failures,
      retryAfterMs,
      random: random(),
      ...(retryMs === undefined ? {} : { firstMs: retryMs }),
    });
  }

  async #resend(): Promise<number> {
    const { checkpoint, log: open, now, onOutcome } = this.#o;
    this.#stop.signal.throwIfAborted();
    const before = (await this.#open()).dead.length;
    for (const letter of (await this.#open()).dead) {
      const log = await open();
      const event = await this.#find(log, letter);
      const cause =
        event === undefined
          ? undefined
          : (
              await this.#refusal({
                events: [event],
                checkpoint: { note: checkpoint(log).toString(), size: log.head.size },
              })
            )?.message.slice(0, 200);
      if (event !== undefined && cause === undefined) onOutcome({ delivered: 1 });
      const state = await this.#open();
      const dead = state.dead.flatMap((each) => {
        if (each.id !== letter.id) return [each];
        return cause === undefined ? [] : [{ ...each, at: now(), cause }];
      });
      await this.#save({ ...state, dead });
    }
    return before - (await this.#open()).dead.length;
  }

  /** The event of a dead letter as it is now; of a session that was erased since, that it was. */
  async #find(log: TransparencyLog, { id, leaf }: DeadLetter): Promise<Outgoing | undefined> {
    return this.#o.reading(async () => {
      for await (const entry of this.#o.source.entries(log, leaf, this.#o.map)) {
        const event = entry.events.find(({ metadata }) => metadata.uid === id) ?? entry.events[0];
        return event === undefined ? undefined : outgoingOf(leaf, event);
      }
      return undefined;
    });
  }
}

/** What a receiver answered instead of a confirmation. */
async function answerOf(delivered: Promise<void>): Promise<SinkError | undefined> {
  try {
    await delivered;
    return undefined;
  } catch (error) {
    return sinkErrorOf(error);
  }
}

interface Retry {
  /** Tries that failed since the last that did not; at least 1. */
  readonly failures: number;
  readonly retryAfterMs?: number;
  readonly firstMs?: number;
  /** From 0 to 1: of many who wait for one receiver, not all come back at once. */
  readonly random: number;
}

/** ms until the next try: twice as long each time up to five minutes, less up to half of it, and as long as the receiver asks for up to an hour. */
export function retryIn({ failures, retryAfterMs = 0, firstMs = FIRST_RETRY_MS, random }: Retry): number {
  const backoff = Math.min(firstMs * 2 ** Math.min(failures - 1, 16), LAST_RETRY_MS) * (0.5 + random / 2);
  return Math.max(backoff, Math.min(retryAfterMs, MAX_RETRY_AFTER_MS));
}

function outgoingOf(leaf: number, event: OcsfEvent): Outgoing {
  return { id: event.metadata.uid, leaf, event, text: asciiJson(event) };
}
