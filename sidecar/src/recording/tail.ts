import { close, closeSync, fdatasync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Counters } from '@chaperone/evidence';
import { z } from 'zod';
import type { FrameEncoder } from './frames.ts';
import type { Syncable } from './group-commit.ts';
import { RecordingError } from './recorder.ts';
import { type Spool, syncDirectory } from './spool.ts';

const datasync = promisify(fdatasync);
const closeFile = promisify(close);

/** The first frame of a tail: what recovery needs to seal it, though every earlier segment may be freed already. */
export const TailHead = z.strictObject({
  nkey: z.string(),
  session: z.string(),
  number: z.int().min(0),
  prev: z.string().nullable(),
  firstSeq: z.int().min(0),
  policy: z.string(),
  counters: Counters,
  at: z.number(),
  mono: z.number(),
});
export type TailHead = z.infer<typeof TailHead>;

/**
 * The file that a session's records go into until they are sealed. A failed write or sync is final: what the file then
 * holds is unknown, so every later call fails too.
 */
export class Tail implements Syncable {
  readonly head: TailHead;
  /** Records so far. */
  count = 0;
  /** Bytes of the records with their length prefixes. */
  plainBytes = 0;
  readonly createdAt: number;
  readonly #spool: Spool;
  readonly #path: string;
  readonly #encoder: FrameEncoder;
  /** Undefined while it is being made. */
  readonly #onFailure: ((error: RecordingError) => void) | undefined;
  readonly #fd: number;
  readonly #plain = new PlainRecords();
  #waiting: PromiseWithResolvers<void>[] = [];
  #syncing: Promise<void> = Promise.resolve();
  #size = 0;
  #named = false;
  #failed: RecordingError | undefined;
  #closed = false;

  constructor(spool: Spool, head: TailHead, onFailure: (error: RecordingError) => void) {
    this.#spool = spool;
    this.head = head;
    this.createdAt = head.mono;
    this.#path = spool.path(head.session, head.number, 'tail');
    this.#encoder = spool.encoder(head.session, head.number, 'tail');
    this.#fd = openSync(this.#path, 'wx', 0o600);
    try {
      this.#write(Buffer.concat([this.#encoder.preamble, this.#encoder.encode(Buffer.from(JSON.stringify(head)))]));
    } catch (error) {
      // Nothing is in it; what is thrown here is all that its owner hears.
      closeSync(this.#fd);
      rmSync(this.#path, { force: true });
      throw error;
    }
    this.#onFailure = onFailure;
  }

  /** What was appended, in order; made anew at each call. */
  get records(): readonly Buffer[] {
    return this.#plain.whole.flatMap(splitRecords);
  }

  /** Takes one record, which `flush` or `sync` brings into the file. Throws RecordingError once a write has failed. */
  append(record: Buffer): void {
    if (this.#failed !== undefined) throw this.#failed;
    this.#plain.append(record);
    this.count++;
    this.plainBytes += 4 + record.length;
  }

  /** Writes what was appended as one frame. Throws RecordingError RecordingFailed: what is not written counts as not recorded. */
  flush(): void {
    const plain = this.#plain.take();
    if (plain !== undefined) this.#write(this.#encoder.encode(plain));
  }

  #write(bytes: Buffer): void {
    if (this.#failed !== undefined) throw this.#failed;
    try {
      const written = writeSync(this.#fd, bytes);
      if (written !== bytes.length) throw new Error('the file system took only a part of the write');
    } catch (error) {
      throw this.#fail(error);
    }
    this.#size += bytes.length;
    this.#spool.resize(this.#path, this.#size);
  }

  #fail(cause: unknown): RecordingError {
    this.#failed ??= new RecordingError('RecordingFailed', 'the spool file could not be written', { cause });
    for (const waiter of this.#waiting.splice(0)) waiter.reject(this.#failed);
    this.#onFailure?.(this.#failed);
    return this.#failed;
  }

  /** Resolves when everything appended so far is durable, by a sync or because its segment is. */
  durable(): Promise<void> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed);
    const waiter = Promise.withResolvers<void>();
    this.#waiting.push(waiter);
    return waiter.promise;
  }

  sync(): Promise<void> {
    this.#syncing = this.#syncing.then(() => this.#sync());
    return this.#syncing;
  }

  async #sync(): Promise<void> {
    if (this.#closed || this.#failed !== undefined) return;
    const waiting = this.#waiting.splice(0);
    try {
      this.flush();
      await datasync(this.#fd);
      if (!this.#named) {
        await syncDirectory(join(this.#path, '..'));
        await syncDirectory(this.#spool.directory);
        this.#named = true;
      }
      for (const waiter of waiting) waiter.resolve();
    } catch (error) {
      this.#waiting.unshift(...waiting);
      this.#fail(error);
    }
  }

  /** Ends the use of the file: after `stored`, because the segment holds its records; otherwise its waiters fail. */
  async release(stored: boolean): Promise<void> {
    await this.#syncing;
    if (this.#closed) return;
    this.#closed = true;
    // The name may be gone already: closing then frees the blocks, which takes the file system a while.
    await closeFile(this.#fd);
    const failure = this.#failed ?? new RecordingError('RecordingFailed', 'the records could not be sealed');
    for (const waiter of this.#waiting.splice(0)) {
      if (stored) waiter.resolve();
      else waiter.reject(failure);
    }
  }
}

const FIRST_CHUNK_BYTES = 1024;
const CHUNK_BYTES = 32 * 1024;

/**
 * Records one behind the other, each behind its length (32 bit), in few large buffers: a buffer for each would outlive the
 * young generation of the heap, some ten thousand of them per second.
 */
class PlainRecords {
  readonly #full: Buffer[] = [];
  // A slice of Node's pool would keep all of the pool's 64 KiB for as long as a session is silent.
  #chunk: Buffer = Buffer.alloc(0);
  #taken = 0;
  #end = 0;

  append(record: Buffer): void {
    const bytes = 4 + record.length;
    if (this.#chunk.length - this.#end < bytes) this.#grow(bytes);
    this.#end = this.#chunk.writeUInt32BE(record.length, this.#end);
    this.#end += record.copy(this.#chunk, this.#end);
  }

  /** What was appended since the last call, in one piece: one frame of the file. */
  take(): Buffer | undefined {
    if (this.#taken === this.#end) return undefined;
    const plain = this.#chunk.subarray(this.#taken, this.#end);
    this.#taken = this.#end;
    return plain;
  }

  get whole(): Buffer[] {
    return [...this.#full, this.#chunk.subarray(0, this.#end)];
  }

  /** What is not taken yet moves along, since it is to be one piece. */
  #grow(bytes: number): void {
    const waiting = this.#chunk.subarray(this.#taken, this.#end);
    const next = Math.max(FIRST_CHUNK_BYTES, Math.min(CHUNK_BYTES, 2 * this.#chunk.length), 2 * (waiting.length + bytes));
    if (this.#taken > 0) this.#full.push(this.#chunk.subarray(0, this.#taken));
    this.#chunk = Buffer.allocUnsafeSlow(next);
    this.#end = waiting.copy(this.#chunk);
    this.#taken = 0;
  }
}

/** What {@link Tail.flush} put into one frame. Throws RecordingError where the lengths do not fit; a frame that was written by it fits. */
export function splitRecords(frame: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < frame.length; ) {
    const length = at + 4 <= frame.length ? frame.readUInt32BE(at) : Number.POSITIVE_INFINITY;
    if (length > frame.length - at - 4) throw new RecordingError('RecordingFailed', 'a frame of the spool file has a wrong form');
    records.push(frame.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return records;
}
