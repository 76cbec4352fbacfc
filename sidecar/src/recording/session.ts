import {
  type Counters,
  DataKey,
  type Epoch,
  encodeParcel,
  encodeRecord,
  isRefused,
  MAX_PLAIN_BYTES,
  MAX_RECORD_BYTES,
  MAX_RECORDS,
  type PodIdentity,
  type RecordBody,
  type Recipient,
  type SealedSegment,
  type SegmentFlag,
  type SessionRecord,
  type StampedRecord,
  sealSegment,
  type WrappedKey,
  wrapKey,
} from '@chaperone/evidence';
import type { PodCounter } from './pod-counter.ts';
import { type Journal, type JournalUser, WRITTEN } from './journal.ts';
import type { Outbox } from './outbox.ts';
import { type Durability, RecordingError, type SessionRecorder } from './recorder.ts';
import type { Spool } from './spool.ts';
import { Tail } from './tail.ts';

/** A segment is sealed once its records pass this, so that segments are worth their overhead and messages stay small. */
const TARGET_PLAIN_BYTES = 256 * 1024;
/** Sealed segments of one session that may wait to be written before its appends wait too. */
const MAX_UNSTORED = 2;

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds that never go backwards. */
  monotonic(): number;
}

/** What all sessions share. */
export interface SessionHost {
  readonly spool: Spool;
  readonly outbox: Outbox;
  readonly counter: Pick<PodCounter, 'sealed'>;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly identity: PodIdentity;
  readonly nkey: string;
  readonly origin: string;
  readonly storedTimeoutMs: number;
  /** The key that signs now, and what the clock says: within the time of that key. */
  epoch(): { readonly epoch: Epoch; readonly at: number };
  /** Who may read what is recorded from now on. */
  recipients(): readonly Recipient[];
  /** Whether the spool has room for one more record; ends of sessions may use the last of it. */
  hasRoom(record: RecordBody): boolean;
  /** Told of every change of what a session holds in memory. */
  buffered(deltaBytes: number): void;
  /** `unsealed`: it failed, and these files of the journal, which it held, have records of it. */
  ended(session: LiveSession, unsealed: readonly number[] | undefined): void;
}

/** The recorder of one session that is open. */
export class LiveSession implements SessionRecorder, JournalUser {
  readonly session: string;
  readonly #host: SessionHost;
  readonly #policy: string;
  readonly #startedAt: number;
  readonly #key: DataKey;
  readonly #wrapped: WrappedKey;
  #tail: Tail;
  /** Files of the journal that hold what is not stored yet, of the oldest segment first. */
  readonly #held: number[] = [];
  readonly #counters: Counters = { actions: 0, denied: 0, masked: 0, dropped: 0 };
  #seq = 0;
  #times: { wall: [number, number]; mono: [number, number] };
  #storing: Promise<void> = Promise.resolve();
  #unstored = 0;
  #isCarried = false;
  #closed = false;
  #failed: RecordingError | undefined;
  #closing: Promise<void> | undefined;

  constructor(host: SessionHost, session: string, policy: string) {
    this.#host = host;
    this.session = session;
    this.#policy = policy;
    this.#key = DataKey.random(session);
    this.#wrapped = wrapKey(this.#key, host.recipients());
    this.#startedAt = host.clock.monotonic();
    this.#times = this.#timesNow();
    this.#tail = this.#newTail(0, null);
  }

  get bufferedBytes(): number {
    return this.#tail.plainBytes;
  }

  /** Milliseconds since the oldest record that is not sealed, or 0. */
  get unsealedForMs(): number {
    return this.#tail.count === 0 ? 0 : this.#host.clock.monotonic() - this.#startedAt - this.#times.mono[0];
  }

  append(body: RecordBody, durability: Durability): Promise<void> {
    try {
      return this.#append(body, durability);
    } catch (error) {
      return Promise.reject(
        error instanceof RecordingError
          ? error
          : new RecordingError('RecordingFailed', 'the record could not be written', { cause: error }),
      );
    }
  }

  #append(body: RecordBody, durability: Durability): Promise<void> {
    this.#check();
    if (this.#closing !== undefined) throw new RecordingError('RecordingFailed', 'the session is closed');
    if (!this.#host.hasRoom(body)) throw new RecordingError('RecordingBlocked', 'the spool is full');
    const record = this.#stamp(body);
    const { text, data } = encodeRecord(record);
    const bytes = Buffer.byteLength(text) + (data?.length ?? 0);
    if (bytes > MAX_RECORD_BYTES) throw new RecordingError('RecordingFailed', 'the record is too large');
    if (this.#tail.plainBytes + 4 + bytes > MAX_PLAIN_BYTES) {
      this.#seal();
      this.#check();
    }
    const { session } = this;
    const { journal } = this.#host;
    const tail = this.#tail;
    if (!tail.isBegun) this.#begin(tail);
    const to = tail.append(bytes, text, data);
    journal.add({ kind: 'record', session, number: tail.head.number, body: tail.chunk, from: to - bytes, to }, this);
    this.#count(record);
    this.#host.buffered(4 + bytes);
    let waiting: Promise<void> | undefined;
    if (durability === 'synced') waiting = journal.durable('now');
    else journal.soon();
    if (durability === 'written') waiting = journal.written();
    const full = tail.plainBytes >= TARGET_PLAIN_BYTES || tail.count >= MAX_RECORDS;
    if (full && this.#closing === undefined) this.#seal();
    this.#check();
    const isSettled = durability === 'soon' || waiting === WRITTEN;
    if (isSettled && this.#unstored < MAX_UNSTORED) return WRITTEN;
    return this.#settled(durability, tail, waiting);
  }

  async #settled(durability: Durability, tail: Tail, waiting: Promise<void> | undefined): Promise<void> {
    await waiting;
    if (this.#unstored >= MAX_UNSTORED) await this.#storing;
    if (durability === 'stored') {
      if (this.#closing !== undefined) await this.#closing;
      else if (tail === this.#tail) this.#seal();
      await this.#host.outbox.delivered(this.session, tail.head.number, this.#storing, this.#host.storedTimeoutMs);
    }
    this.#check();
  }

  #check(): void {
    if (this.#failed !== undefined) throw this.#failed;
  }

  /** Who may write is checked when a segment is opened, at the collector; here a record's shape is its type. */
  #stamp(body: RecordBody): StampedRecord {
    const opens = body.type === 'session.open';
    if (opens !== (this.#seq === 0) || (opens && body.session !== this.session))
      throw new RecordingError('RecordingFailed', 'a session begins with the record of its opening, and only once');
    const { clock } = this.#host;
    return { ...body, seq: this.#seq, at: clock.now(), mono: clock.monotonic() - this.#startedAt };
  }

  #count(record: StampedRecord): void {
    countRecord(this.#counters, record);
    this.#seq = record.seq + 1;
    const { wall, mono } = this.#times;
    wall[1] = record.at;
    mono[1] = record.mono;
    if (this.#tail.count === 1) {
      wall[0] = record.at;
      mono[0] = record.mono;
    }
    if (record.type !== 'session.close') return;
    this.#closed = true;
    this.#closing ??= this.#end();
  }

  /** Signs what the tail holds as a segment and begins the next tail; writing it goes on behind. */
  seal(): void {
    if (this.#failed === undefined && this.#closing === undefined && this.#tail.count > 0) {
      try {
        this.#seal();
      } catch {
        // The session has failed by it: its appends say so, and recovery seals what its files hold.
      }
    }
  }

  #seal(flag?: 'close' | 'torn'): void {
    try {
      this.#sealTail(flag);
    } catch (cause) {
      this.fail(new RecordingError('RecordingFailed', 'the segment could not be sealed', { cause }));
      this.#check();
    }
  }

  #sealTail(flag: 'close' | 'torn' | undefined): void {
    const { head, records, plainBytes } = this.#tail;
    const flags: SegmentFlag[] = head.number === 0 ? ['open'] : [];
    if (flag !== undefined) flags.push(flag);
    const { epoch, at } = this.#host.epoch();
    const sealed = sealSegment({
      origin: this.#host.origin,
      session: this.session,
      number: head.number,
      prev: head.prev,
      policy: this.#policy,
      key: this.#key,
      registration: this.#host.identity.registration,
      epoch,
      firstSeq: head.firstSeq,
      records,
      clock: { ...this.#times, sealed: at },
      counters: this.#counters,
      flags,
    });
    this.#tail.free();
    this.#times = this.#timesNow();
    if (flag === undefined) {
      this.#tail = this.#newTail(head.number + 1, sealed.link);
      this.#begin(this.#tail);
    }
    // Until the segment is stored the journal is what survives a crash; from then on it says that the session goes on.
    this.#host.journal.flush();
    this.#unstored++;
    this.#storing = this.#storing.then(() => this.#store(head.number, sealed, plainBytes));
  }

  async #store(number: number, { bytes, link }: SealedSegment, plainBytes: number): Promise<void> {
    const { spool, journal, outbox, counter } = this.#host;
    try {
      if (this.#failed !== undefined) return;
      const parcel = encodeParcel({ key: this.#wrapped, segment: bytes });
      const [size] = await Promise.all([spool.store(this.session, number, parcel), journal.durable('soon')]);
      counter.sealed(this.session, number, link);
      outbox.add({ session: this.session, number, size, bytes: parcel });
      const held = this.#held.shift();
      if (held !== undefined) journal.release(held);
    } catch (error) {
      this.fail(new RecordingError('RecordingFailed', 'the segment could not be stored', { cause: error }));
    } finally {
      this.#unstored--;
      this.#host.buffered(-plainBytes);
    }
  }

  /** Says in the journal what recovery has to know of it. */
  #begin(tail: Tail): void {
    const { journal } = this.#host;
    this.#held.push(journal.hold());
    this.#say(tail, this);
    tail.isBegun = true;
  }

  #say({ head }: Tail, user: JournalUser): void {
    const { session } = this;
    this.#host.journal.add({ kind: 'begin', session, number: head.number, body: Buffer.from(JSON.stringify(head)) }, user);
  }

  /** Where nothing came since long ago, says in the journal's newest file that the session goes on, so that an older one can go. */
  async carry(): Promise<void> {
    const { journal } = this.#host;
    const tail = this.#tail;
    const old = this.#held.at(-1);
    if (tail.count > 0 || !tail.isBegun || this.#isCarried || old === undefined || !journal.isOld(old)) return;
    this.#isCarried = true;
    const next = journal.hold();
    let isSaid = true;
    this.#say(tail, {
      // The old file says it still.
      fail: () => {
        isSaid = false;
      },
    });
    await journal.durable('soon');
    this.#isCarried = false;
    const isNeeded = isSaid && tail === this.#tail && this.#closing === undefined;
    if (isNeeded) this.#held[this.#held.length - 1] = next;
    journal.release(isNeeded ? old : next);
  }

  #newTail(number: number, prev: string | null): Tail {
    const { clock, nkey } = this.#host;
    return new Tail({
      nkey,
      session: this.session,
      number,
      prev,
      firstSeq: this.#seq,
      policy: this.#policy,
      counters: { ...this.#counters },
      at: clock.now(),
      mono: clock.monotonic() - this.#startedAt,
      key: { secret: this.#key.secret.toString('base64'), wrapped: this.#wrapped },
    });
  }

  #timesNow(): { wall: [number, number]; mono: [number, number] } {
    const [wall, mono] = [this.#host.clock.now(), this.#host.clock.monotonic() - this.#startedAt];
    return { wall: [wall, wall], mono: [mono, mono] };
  }

  /** From the first failure on nothing more is recorded; what the journal holds is sealed by recovery. */
  fail(error: RecordingError): void {
    if (this.#failed !== undefined) return;
    this.#failed = error;
    this.#closing ??= this.#end();
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  /** Runs once: after the record of closing, after a failure, or when the owner lets go without either. */
  async #end(): Promise<void> {
    // A microtask later the append that led here has returned, so a closing record is part of what is sealed.
    await Promise.resolve();
    const tail = this.#tail;
    if (this.#failed === undefined && tail.isBegun) {
      try {
        this.#seal(this.#closed ? 'close' : 'torn');
      } catch {
        // Said by #failed; recovery seals what the journal holds.
      }
    }
    await this.#storing;
    if (this.#failed !== undefined) this.#host.buffered(-tail.plainBytes);
    this.#host.ended(this, this.#failed === undefined ? undefined : this.#held);
  }
}

/** Adds one more record to a session's totals. */
export function countRecord(counters: Counters, record: SessionRecord | RecordBody): void {
  if (record.type === 'action') {
    counters.actions++;
    if (record.verdict === 'deny') counters.denied++;
  } else if (record.type === 'approval') {
    // What nobody let run did not run, whoever or whatever was in the way.
    if (isRefused(record)) counters.denied++;
  } else if (record.type === 'done') counters.masked += record.maskedValues;
}
