import { ProtocolError } from './error.ts';
import { type Decide, type Decision, MAX_MESSAGE_BYTES } from './limits.ts';
import { HEADER_BYTES, typeName } from './protocol.ts';

/**
 * A message, or a part of one. `length` counts the header too, so a message's `bytes.length` is its length.
 *
 * ```text
 *  0      1           5
 *  +------+-----------+------------- - -
 *  | type | length−1  | content
 *  +------+-----------+------------- - -
 * ```
 */
export type Piece =
  | { readonly kind: 'message'; readonly type: number; readonly bytes: Buffer }
  /** Several messages of one type, one behind the other; only of the types that were asked for as `runs`. */
  | { readonly kind: 'run'; readonly type: number; readonly bytes: Buffer; readonly count: number }
  /** A streamed message begins; at least one `more` follows, the last of which says so. `bytes` begins with the header. */
  | { readonly kind: 'start'; readonly type: number; readonly length: number; readonly bytes: Buffer }
  | { readonly kind: 'more'; readonly bytes: Buffer; readonly last: boolean }
  /** A message was read over to its end. */
  | { readonly kind: 'skipped'; readonly type: number; readonly length: number };

/** Room first taken for a message that came in pieces; more is taken only as content arrives. */
const FIRST_ALLOCATION_BYTES = 64 * 1024;
/** Used-up slots of the queue of chunks that are worth moving the rest for. */
const COMPACT_AT = 1024;
const EMPTY = Buffer.alloc(0);

/**
 * Cuts a byte stream into messages. Pure: no socket, no clock.
 *
 * A message that lies in one chunk is a slice of that chunk, and neighbouring messages are neighbouring slices of one
 * ArrayBuffer, so a consumer may join them into one write. A message that comes in several chunks is gathered in a buffer of its
 * own that doubles up to the announced length: linear in time, and a header alone cannot make us allocate what it announces.
 *
 * Once `next()` has answered undefined the reader keeps no reference to any chunk: a static read buffer may be filled again
 * (as far as the pieces themselves are no longer used).
 */
export class MessageReader {
  readonly #decide: Decide;
  readonly #runs: readonly number[];
  #chunks: Buffer[] = [];
  /** Chunks of the queue that were taken already. */
  #taken = 0;
  #chunk: Buffer = EMPTY;
  #at = 0;
  /** Where a message in several chunks is gathered; at first only its header. */
  #gathered: Buffer = EMPTY;
  #have = 0;
  #mode: Decision | 'header' = 'header';
  #type = 0;
  #length = 0;
  /** Bytes of a streamed or skipped message still to come. */
  #left = 0;
  #failure: ProtocolError | undefined;

  /** `runs`: whole messages of one of these types that lie one behind the other in one chunk come as one piece. */
  constructor(options: { decide: Decide; runs?: readonly number[] }) {
    this.#decide = options.decide;
    this.#runs = options.runs ?? [];
  }

  /** Takes bytes. The caller bounds how much it pushes before it asks for pieces. */
  push(chunk: Buffer): void {
    if (chunk.length > 0) this.#chunks.push(chunk);
  }

  /**
   * The next piece, or undefined when more bytes are needed.
   * @throws ProtocolError InvalidLength or Refused; every later call throws the same.
   */
  next(): Piece | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    for (;;) {
      if (this.#at === this.#chunk.length && !this.#advance()) return undefined;
      const piece = this.#step();
      if (piece !== undefined) return piece;
    }
  }

  /**
   * Every byte that was pushed and not given, for whoever reads on in another way. The reader is then empty.
   * Not to be called within a streamed or skipped message.
   */
  takeRest(): Buffer {
    const rest = [this.#gathered.subarray(0, this.#have), this.#chunk.subarray(this.#at), ...this.#chunks.slice(this.#taken)];
    this.#chunks = [];
    this.#taken = 0;
    this.#chunk = EMPTY;
    this.#at = 0;
    this.#gathered = EMPTY;
    this.#have = 0;
    this.#mode = 'header';
    return Buffer.concat(rest);
  }

  /** Goes on to the next chunk. False: there is none, and no chunk is held any more. */
  #advance(): boolean {
    const chunk = this.#chunks[this.#taken];
    this.#at = 0;
    if (chunk === undefined) {
      this.#chunks.length = 0;
      this.#taken = 0;
      this.#chunk = EMPTY;
      return false;
    }
    this.#chunk = chunk;
    this.#chunks[this.#taken++] = EMPTY;
    if (this.#taken >= COMPACT_AT && this.#taken * 2 >= this.#chunks.length) {
      this.#chunks.splice(0, this.#taken);
      this.#taken = 0;
    }
    return true;
  }

  #step(): Piece | undefined {
    switch (this.#mode) {
      case 'header':
        return this.#have === 0 && this.#chunk.length - this.#at >= HEADER_BYTES ? this.#begin() : this.#gatherHeader();
      case 'whole':
        return this.#gather();
      case 'stream':
        return this.#more();
      default:
        return this.#skip();
    }
  }

  /** A header lies in the chunk: the fast path. */
  #begin(): Piece | undefined {
    const chunk = this.#chunk;
    const at = this.#at;
    this.#judge(chunk[at] as number, chunk.readInt32BE(at + 1));
    const end = at + this.#length;
    if (end <= chunk.length && this.#mode !== 'skip') {
      this.#at = end;
      this.#mode = 'header';
      if (this.#runs.includes(this.#type)) return this.#run(at);
      return { kind: 'message', type: this.#type, bytes: chunk.subarray(at, end) };
    }
    if (this.#mode === 'stream') {
      this.#at = chunk.length;
      this.#left = end - chunk.length;
      return { kind: 'start', type: this.#type, length: this.#length, bytes: chunk.subarray(at) };
    }
    if (this.#mode === 'whole') this.#make();
    else {
      this.#left = this.#length - HEADER_BYTES;
      this.#at = at + HEADER_BYTES;
      return this.#left === 0 ? this.#skipped() : undefined;
    }
    return undefined;
  }

  /** Goes on over whole messages of the same type; any other, also one that is not accepted, is left for the next piece. */
  #run(from: number): Piece {
    const chunk = this.#chunk;
    const type = this.#type;
    let at = this.#at;
    let count = 1;
    while (at + HEADER_BYTES <= chunk.length && chunk[at] === type) {
      const length = chunk.readInt32BE(at + 1) + 1;
      if (length < HEADER_BYTES || length > chunk.length - at) break;
      const decision = this.#decide(type, length);
      if (decision !== 'whole' && decision !== 'stream') break;
      at += length;
      count++;
    }
    this.#at = at;
    const bytes = chunk.subarray(from, at);
    return count === 1 ? { kind: 'message', type, bytes } : { kind: 'run', type, bytes, count };
  }

  #gatherHeader(): Piece | undefined {
    if (this.#have === 0) this.#gathered = Buffer.allocUnsafeSlow(HEADER_BYTES);
    this.#fill(HEADER_BYTES);
    if (this.#have < HEADER_BYTES) return undefined;
    const header = this.#gathered;
    this.#judge(header[0] as number, header.readInt32BE(1));
    if (this.#length === HEADER_BYTES && this.#mode !== 'skip') return this.#complete(header);
    this.#left = this.#length - HEADER_BYTES;
    if (this.#mode === 'whole') {
      this.#make();
      header.copy(this.#gathered);
      return undefined;
    }
    this.#gathered = EMPTY;
    this.#have = 0;
    if (this.#mode === 'stream') return { kind: 'start', type: this.#type, length: this.#length, bytes: header };
    return this.#left === 0 ? this.#skipped() : undefined;
  }

  /** Checks a header and asks what to do with its message. */
  #judge(type: number, word: number): void {
    // As a signed number: 2^31 and above come out negative.
    if (word < 4 || word + 1 > MAX_MESSAGE_BYTES) this.#fail('InvalidLength', type, 'has an impossible length');
    this.#type = type;
    this.#length = word + 1;
    this.#mode = this.#decide(type, word + 1);
    if (this.#mode === 'refuse') this.#fail('Refused', type, `of ${word + 1} bytes is not accepted here`);
  }

  #make(): void {
    this.#gathered = Buffer.allocUnsafeSlow(Math.min(this.#length, FIRST_ALLOCATION_BYTES));
  }

  #gather(): Piece | undefined {
    if (this.#have === this.#gathered.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#length, this.#have * 2));
      this.#gathered.copy(larger);
      this.#gathered = larger;
    }
    this.#fill(this.#gathered.length);
    return this.#have === this.#length ? this.#complete(this.#gathered) : undefined;
  }

  /** Copies from the chunk until `#have` is `end` or the chunk is used up. */
  #fill(end: number): void {
    const copied = this.#chunk.copy(this.#gathered, this.#have, this.#at, this.#at + end - this.#have);
    this.#have += copied;
    this.#at += copied;
  }

  /** The gathered message is complete. */
  #complete(bytes: Buffer): Piece {
    this.#gathered = EMPTY;
    this.#have = 0;
    this.#mode = 'header';
    return { kind: 'message', type: this.#type, bytes };
  }

  #more(): Piece {
    const bytes = this.#chunk.subarray(this.#at, this.#at + this.#left);
    this.#at += bytes.length;
    this.#left -= bytes.length;
    const last = this.#left === 0;
    if (last) this.#mode = 'header';
    return { kind: 'more', bytes, last };
  }

  #skip(): Piece | undefined {
    const passed = Math.min(this.#left, this.#chunk.length - this.#at);
    this.#at += passed;
    this.#left -= passed;
    return this.#left === 0 ? this.#skipped() : undefined;
  }

  #skipped(): Piece {
    this.#mode = 'header';
    return { kind: 'skipped', type: this.#type, length: this.#length };
  }

  #fail(code: 'InvalidLength' | 'Refused', type: number, what: string): never {
    this.#failure = new ProtocolError(code, `message ${typeName(type)} ${what}`);
    throw this.#failure;
  }
}
