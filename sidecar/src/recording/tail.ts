import { Counters, WrappedKey } from '@chaperone/evidence';
import { z } from 'zod';

/** What a journal says of a segment before its first record: what recovery needs to seal it, though every earlier one may be freed. */
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
  /** The session's data key: `secret` for what is still to be sealed (base64), `wrapped` for what is sent. */
  key: z.strictObject({ secret: z.base64().length(44), wrapped: WrappedKey }),
});
export type TailHead = z.infer<typeof TailHead>;

const FIRST_CHUNK_BYTES = 1024;
/** Four records of what a packet of SSH carries. */
const CHUNK_BYTES = 132 * 1024;

/**
 * The records of a session that are not sealed yet: one behind the other in few large buffers, since a buffer for each would outlive the
 * young generation of the heap, some ten thousand of them per second.
 */
export class Tail {
  readonly head: TailHead;
  /** Records so far. */
  count = 0;
  /** Bytes of the records with their length prefixes. */
  plainBytes = 0;
  /** Its head is in the journal. */
  isBegun = false;
  readonly #full: Buffer[] = [];
  readonly #lengths: number[] = [];
  // A slice of Node's pool would keep all of the pool's 64 KiB for as long as a session is silent.
  #chunk: Buffer = Buffer.alloc(0);
  #end = 0;

  constructor(head: TailHead) {
    this.head = head;
  }

  /** Takes a record of so many bytes, and returns where it ends in {@link chunk}. */
  append(bytes: number, text: string, data?: Buffer): number {
    if (this.#chunk.length - this.#end < bytes) this.#grow(bytes);
    this.#end += this.#chunk.write(text, this.#end);
    if (data !== undefined) this.#end += data.copy(this.#chunk, this.#end);
    this.#lengths.push(bytes);
    this.count++;
    this.plainBytes += 4 + bytes;
    return this.#end;
  }

  /** What the last record is in. */
  get chunk(): Buffer {
    return this.#chunk;
  }

  /** What was appended, in order; made anew at each call. */
  get records(): readonly Buffer[] {
    const chunks = [...this.#full, this.#chunk.subarray(0, this.#end)];
    let [at, chunk] = [0, chunks.shift() ?? this.#chunk];
    return this.#lengths.map((length) => {
      while (chunk.length - at < length) [at, chunk] = [0, chunks.shift() ?? this.#chunk];
      at += length;
      return chunk.subarray(at - length, at);
    });
  }

  /** Frees what it keeps, once that is sealed. */
  free(): void {
    for (const chunk of [...this.#full, this.#chunk]) (chunk.buffer as ArrayBuffer).transfer(0);
  }

  #grow(bytes: number): void {
    if (this.#end > 0) this.#full.push(this.#chunk.subarray(0, this.#end));
    const next = Math.max(FIRST_CHUNK_BYTES, Math.min(CHUNK_BYTES, 2 * Math.max(this.#chunk.length, bytes)), bytes);
    this.#chunk = Buffer.allocUnsafeSlow(next);
    this.#end = 0;
  }
}
