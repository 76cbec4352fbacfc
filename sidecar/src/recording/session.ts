import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Counters,
  type Epoch,
  isRefused,
  MAX_PLAIN_BYTES,
  MAX_RECORD_BYTES,
  MAX_RECORDS,
  type PodIdentity,
  type RecordBody,
  type SegmentFlag,
  type SessionRecord,
  sealSegment,
} from '@chaperone/evidence';
import type { GroupCommit } from './group-commit.ts';
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

const NOTHING_TO_WAIT_FOR = Promise.resolve();

/** What all sessions share. */
export interface SessionHost {
  readonly spool: Spool;
  readonly outbox: Outbox;
  readonly commit: GroupCommit;
  readonly clock: Clock;
  readonly identity: PodIdentity;
  readonly nkey: string;
  readonly origin: string;
  readonly storedTimeoutMs: number;
  epoch(): Epoch;
  /** Whether the spool has room for one more record; ends of sessions may use the last of it. */
  hasRoom(record: RecordBody): boolean;
  /** Told of every change of what a session holds in memory. */
  buffered(deltaBytes: number): void;
  ended(session: LiveSession, failed: boolean): void;
}

/** The recorder of one session that is open. */
export class LiveSession implements SessionRecorder {
  readonly session: string;
  readonly #host: SessionHost;
  readonly #policy: string;
  readonly #startedAt: number;
  #tail: Tail;
  #counters: Counters = { actions: 0, denied: 0, masked: 0, dropped: 0 };
  #seq = 0;
  #times: { wall: [number, number]; mono: [number, number] };
  #storing: Promise<void> = Promise.resolve();
  #unstored = 0;
  #closed = false;
  #failed: RecordingError | undefined;
  #closing: Promise<void> | undefined;

  /** Makes the session's directory and first file. Throws RecordingError or a file system error. */
  constructor(host: SessionHost, session: string, policy: string) {
    this.#host = host;
    this.session = session;
    this.#policy = policy;
    this.#startedAt = host.clock.monotonic();
    mkdirSync(join(host.spool.directory, session), { mode: 0o700 });
    this.#times = this.#timesNow();
    try {
      this.#tail = this.#newTail(0, null);
    } catch (error) {
      rmSync(join(host.spool.directory, session), { recursive: true, force: true });
      throw error;
    }
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
    if (this.#failed !== undefined) throw this.#failed;
    if (this.#closing !== undefined) throw new RecordingError('RecordingFailed', 'the session is closed');
    if (!this.#host.hasRoom(body)) throw new RecordingError('RecordingBlocked', 'the spool is full');
    const record = this.#stamp(body);
    const text = Buffer.from(JSON.stringify(record));
    if (text.length > MAX_RECORD_BYTES) throw new RecordingError('RecordingFailed', 'the record is too large');
    if (this.#tail.plainBytes + 4 + text.length > MAX_PLAIN_BYTES) this.#seal();
    const tail = this.#tail;
    tail.append(text);
    if (durability !== 'soon') tail.flush();
    this.#count(record);
    this.#host.buffered(4 + text.length);
    const waiting = durability === 'synced' ? tail.durable() : undefined;
    if (durability === 'synced') this.#host.commit.now(tail);
    else this.#host.commit.soon(tail);
    const full = tail.plainBytes >= TARGET_PLAIN_BYTES || tail.count >= MAX_RECORDS;
    if (full && this.#closing === undefined) this.#seal();
    if (waiting === undefined && durability !== 'stored' && this.#unstored < MAX_UNSTORED) return NOTHING_TO_WAIT_FOR;
    return this.#settled(durability, tail, waiting);
  }

  async #settled(durability: Durability, tail: Tail, waiting: Promise<void> | undefined): Promise<void> {
    if (this.#unstored >= MAX_UNSTORED) await this.#storing;
    if (durability === 'stored') {
      if (this.#closing !== undefined) await this.#closing;
      else if (tail === this.#tail) this.#seal();
      await this.#host.outbox.delivered(this.session, tail.head.number, this.#storing, this.#host.storedTimeoutMs);
    } else await waiting;
    if ((durability === 'synced' || durability === 'stored') && this.#failed !== undefined) throw this.#failed;
  }

  /** Who may write is checked when a segment is opened, at the collector; here a record's shape is its type. */
  #stamp(body: RecordBody): SessionRecord {
    const opens = body.type === 'session.open';
    if (opens !== (this.#seq === 0) || (opens && body.session !== this.session))
      throw new RecordingError('RecordingFailed', 'a session begins with the record of its opening, and only once');
    const { clock } = this.#host;
    return { ...body, seq: this.#seq, at: clock.now(), mono: clock.monotonic() - this.#startedAt };
  }

  #count(record: SessionRecord): void {
    this.#counters = countRecord(this.#counters, record);
    this.#seq = record.seq + 1;
    const first = this.#tail.count === 1;
    this.#times = {
      wall: [first ? record.at : this.#times.wall[0], record.at],
      mono: [first ? record.mono : this.#times.mono[0], record.mono],
    };
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
      const error = new RecordingError('RecordingFailed', 'the segment could not be sealed', { cause });
      this.#fail(error);
      throw error;
    }
  }

  #sealTail(flag: 'close' | 'torn' | undefined): void {
    // Until the segment is stored the file is what survives a crash.
    this.#tail.flush();
    const { head, records, plainBytes } = this.#tail;
    const flags: SegmentFlag[] = head.number === 0 ? ['open'] : [];
    if (flag !== undefined) flags.push(flag);
    const sealed = sealSegment({
      origin: this.#host.origin,
      session: this.session,
      number: head.number,
      prev: head.prev,
      policy: this.#policy,
      registration: this.#host.identity.registration,
      epoch: this.#host.epoch(),
      firstSeq: head.firstSeq,
      records,
      clock: this.#times,
      counters: this.#counters,
      flags,
    });
    const tail = this.#tail;
    this.#times = this.#timesNow();
    if (flag === undefined) this.#tail = this.#newTail(head.number + 1, sealed.link);
    this.#unstored++;
    this.#storing = this.#storing.then(() => this.#store(tail, sealed.bytes, plainBytes));
  }

  async #store(tail: Tail, bytes: Buffer, plainBytes: number): Promise<void> {
    try {
      if (this.#failed === undefined) {
        const size = await this.#host.spool.store(this.session, tail.head.number, bytes);
        this.#host.outbox.add({ session: this.session, number: tail.head.number, size });
        await tail.release(true);
      } else await tail.release(false);
    } catch (error) {
      this.#fail(new RecordingError('RecordingFailed', 'the segment could not be stored', { cause: error }));
      await tail.release(false);
    } finally {
      this.#unstored--;
      this.#host.buffered(-plainBytes);
    }
  }

  #newTail(number: number, prev: string | null): Tail {
    const { clock, nkey, spool } = this.#host;
    const head = {
      nkey,
      session: this.session,
      number,
      prev,
      firstSeq: this.#seq,
      policy: this.#policy,
      counters: this.#counters,
      at: clock.now(),
      mono: clock.monotonic() - this.#startedAt,
    };
    return new Tail(spool, head, (error) => this.#fail(error));
  }

  #timesNow(): { wall: [number, number]; mono: [number, number] } {
    const [wall, mono] = [this.#host.clock.now(), this.#host.clock.monotonic() - this.#startedAt];
    return { wall: [wall, wall], mono: [mono, mono] };
  }

  /** From the first failure on nothing more is recorded; what the files hold is sealed by recovery. */
  #fail(error: RecordingError): void {
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
    const began = tail.count > 0 || tail.head.number > 0;
    if (this.#failed === undefined && began) {
      try {
        this.#seal(this.#closed ? 'close' : 'torn');
      } catch {
        // Said by #failed; recovery seals what the file holds.
      }
    }
    await this.#storing;
    await this.#tail.release(false);
    if (!began) {
      await this.#host.spool.remove(this.session, 0, 'tail');
      await this.#host.spool.forget(this.session);
    }
    if (this.#failed !== undefined) this.#host.buffered(-tail.plainBytes);
    this.#host.ended(this, this.#failed !== undefined);
  }
}

/** A session's totals after one more record. */
export function countRecord(counters: Counters, record: SessionRecord): Counters {
  if (record.type === 'action')
    return {
      ...counters,
      actions: counters.actions + 1,
      denied: counters.denied + (record.verdict === 'deny' ? 1 : 0),
    };
  // What nobody let run did not run, whoever or whatever was in the way.
  if (record.type === 'approval') return { ...counters, denied: counters.denied + (isRefused(record) ? 1 : 0) };
  if (record.type === 'done') return { ...counters, masked: counters.masked + record.maskedValues };
  return counters;
}
