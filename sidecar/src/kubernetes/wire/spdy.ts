import { StreamError } from './error.ts';
import { HeaderReader, HeaderWriter, type SpdyHeaders, uint32 } from './header-block.ts';
import { Pending } from './pending.ts';

export type { SpdyHeaders } from './header-block.ts';

/** Frames of SPDY/3.1 (Draft 3.1, section 2.6) that Kubernetes uses. `fin`: the sender sends no more on the stream. */
export type SpdyFrame =
  | { readonly kind: 'open'; readonly stream: number; readonly fin: boolean; readonly headers: SpdyHeaders }
  | { readonly kind: 'reply' | 'headers'; readonly stream: number; readonly fin: boolean; readonly headers: SpdyHeaders }
  /** A piece of a data frame; the last has its `fin`. */
  | { readonly kind: 'data'; readonly stream: number; readonly fin: boolean; readonly data: Buffer }
  | { readonly kind: 'reset'; readonly stream: number; readonly status: number }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'goaway'; readonly lastStream: number; readonly status: number }
  /** `stream` 0 is the whole connection. */
  | { readonly kind: 'window'; readonly stream: number; readonly delta: number }
  /** Read and passed over: settings have no meaning for Kubernetes. */
  | { readonly kind: 'settings' };

export const RESET = {
  protocolError: 1,
  invalidStream: 2,
  refused: 3,
  cancel: 5,
  internalError: 6,
  flowControlError: 7,
} as const;
const TYPE = { open: 1, reply: 2, reset: 3, settings: 4, ping: 6, goaway: 7, headers: 8, window: 9 } as const;
const FIN = 1;
const VERSION = 3;
const HEAD = 8;
/** Of a control frame. Those of Kubernetes have some hundred bytes; data frames pass in pieces and need no bound. */
export const MAX_CONTROL_BYTES = 65_536;

/** A data frame whose bytes are coming. */
interface Passing {
  readonly stream: number;
  readonly fin: boolean;
  left: number;
}

/** Makes frames of bytes as they come, in any pieces. Holds one control frame at most. */
export class SpdyReader {
  readonly #headers = new HeaderReader();
  readonly #parity: 0 | 1;
  readonly #pending = new Pending();
  #lastOpened = 0;
  #passing: Passing | undefined;

  /** @param peer - who sends: streams of clients are odd, those of servers even (section 2.3.2) */
  constructor(peer: 'client' | 'server') {
    this.#parity = peer === 'client' ? 1 : 0;
  }

  /** @throws StreamError; nothing must be pushed behind that */
  push(chunk: Buffer): SpdyFrame[] {
    const frames: SpdyFrame[] = [];
    let bytes = this.#pending.take(chunk);
    if (bytes === undefined) return frames;
    let need = this.#next(bytes);
    while (bytes.length >= need) {
      bytes = this.#passing === undefined ? this.#frame(bytes, frames) : this.#pass(this.#passing, bytes, frames);
      need = this.#next(bytes);
    }
    this.#pending.keep(bytes, need);
    return frames;
  }

  /** How many bytes there must be to go on. */
  #next(bytes: Buffer): number {
    if (this.#passing !== undefined) return this.#passing.left === 0 ? 0 : 1;
    if (bytes.length < HEAD || !isControl(bytes)) return HEAD;
    const length = bytes.readUIntBE(5, 3);
    if (length > MAX_CONTROL_BYTES) throw new StreamError('a control frame is too long');
    return HEAD + length;
  }

  /** One control frame, or the head of a data frame; the bytes behind it are returned. */
  #frame(bytes: Buffer, frames: SpdyFrame[]): Buffer {
    const length = bytes.readUIntBE(5, 3);
    if (!isControl(bytes)) {
      this.#begin(bytes, length);
      return bytes.subarray(HEAD);
    }
    frames.push(this.#control(bytes.readUInt32BE() & 0x7fffffff, bytes[4] as number, bytes.subarray(HEAD, HEAD + length)));
    return bytes.subarray(HEAD + length);
  }

  #begin(head: Buffer, left: number): void {
    const stream = idOf(head.readUInt32BE());
    this.#passing = { stream, fin: fin(head[4] as number), left };
  }

  /** What of the data frame is there; the bytes behind it are returned. */
  #pass(passing: Passing, bytes: Buffer, frames: SpdyFrame[]): Buffer {
    const data = bytes.subarray(0, passing.left);
    passing.left -= data.length;
    const isLast = passing.left === 0;
    if (isLast) this.#passing = undefined;
    const ends = isLast && passing.fin;
    if (data.length > 0 || ends) frames.push({ kind: 'data', stream: passing.stream, fin: ends, data: Buffer.from(data) });
    return bytes.subarray(data.length);
  }

  #control(word: number, flags: number, body: Buffer): SpdyFrame {
    if (word >>> 16 !== VERSION) throw new StreamError('a frame is of another version of SPDY');
    const type = word & 0xffff;
    switch (type) {
      case TYPE.open:
        return this.#open(flags, body);
      case TYPE.reply:
      case TYPE.headers:
        atLeast(body, 4);
        return {
          kind: type === TYPE.reply ? 'reply' : 'headers',
          stream: idOf(body.readUInt32BE()),
          fin: fin(flags),
          headers: this.#headers.read(body.subarray(4)),
        };
      case TYPE.settings:
        return settings(flags, body);
      case TYPE.ping:
        return { kind: 'ping', id: exactly(body, flags, 4).readUInt32BE() };
      default:
        return pairOf(type, exactly(body, flags, 8));
    }
  }

  #open(flags: number, body: Buffer): SpdyFrame {
    atLeast(body, 10);
    const stream = idOf(body.readUInt32BE());
    const isFlat = idOrNone(body.readUInt32BE(4)) === 0 && body[9] === 0;
    if (!isFlat) throw new StreamError('a stream depends on another, or has a credential of its own');
    if (stream % 2 !== this.#parity || stream <= this.#lastOpened)
      throw new StreamError('a stream has a number that it cannot have');
    this.#lastOpened = stream;
    return { kind: 'open', stream, fin: fin(flags), headers: this.#headers.read(body.subarray(10)) };
  }
}

function isControl(head: Buffer): boolean {
  return (head.readUInt32BE() & 0x80000000) !== 0;
}

/** Whether FLAG_FIN is set. Others are of what Kubernetes does not use (FLAG_UNIDIRECTIONAL). */
function fin(flags: number): boolean {
  if ((flags & ~FIN) !== 0) throw new StreamError('a frame has a flag that is not spoken here');
  return flags === FIN;
}

function pairOf(type: number, body: Buffer): SpdyFrame {
  const [first, second] = [body.readUInt32BE(), body.readUInt32BE(4)];
  if (type === TYPE.reset) return { kind: 'reset', stream: idOf(first), status: second };
  if (type === TYPE.goaway) return { kind: 'goaway', lastStream: idOrNone(first), status: second };
  if (type !== TYPE.window) throw new StreamError('a frame is of a type that does not exist');
  return { kind: 'window', stream: idOrNone(first), delta: idOf(second) };
}

function settings(flags: number, body: Buffer): SpdyFrame {
  atLeast(body, 4);
  const isWhole = flags <= 1 && body.length === 4 + 8 * body.readUInt32BE();
  if (!isWhole) throw new StreamError('a frame has not the length of what it holds');
  return { kind: 'settings' };
}

function atLeast(body: Buffer, length: number): void {
  if (body.length < length) throw new StreamError('a frame is shorter than what it holds');
}

function exactly(body: Buffer, flags: number, length: number): Buffer {
  if (body.length !== length || flags !== 0) throw new StreamError('a frame has not the length of what it holds');
  return body;
}

/** 31 bits and not 0. */
function idOf(word: number): number {
  if (word === 0) throw new StreamError('a frame is about no stream');
  return idOrNone(word);
}

function idOrNone(word: number): number {
  if (word > 0x7fffffff) throw new StreamError('a reserved bit is set');
  return word;
}

/** Writes the frames of one side. */
export class SpdyWriter {
  readonly #headers = new HeaderWriter();

  /** @throws StreamError where headers or data are longer than a frame may be */
  write(frame: SpdyFrame): Buffer {
    switch (frame.kind) {
      case 'open':
        return control(TYPE.open, frame.fin ? FIN : 0, uint32(frame.stream), Buffer.alloc(6), this.#headers.write(frame.headers));
      case 'reply':
      case 'headers':
        return control(TYPE[frame.kind], frame.fin ? FIN : 0, uint32(frame.stream), this.#headers.write(frame.headers));
      case 'data':
        if (frame.data.length > 0xffffff) throw new StreamError('data are longer than a frame');
        return Buffer.concat([uint32(frame.stream), flagsAndLength(frame.fin ? FIN : 0, frame.data.length), frame.data]);
      case 'settings':
        return control(TYPE.settings, 0, uint32(0));
      case 'ping':
        return control(TYPE.ping, 0, uint32(frame.id));
      default:
        return control(TYPE[frame.kind], 0, ...pairWords(frame));
    }
  }
}

function pairWords(frame: Extract<SpdyFrame, { kind: 'reset' | 'goaway' | 'window' }>): [Buffer, Buffer] {
  if (frame.kind === 'reset') return [uint32(frame.stream), uint32(frame.status)];
  if (frame.kind === 'goaway') return [uint32(frame.lastStream), uint32(frame.status)];
  return [uint32(frame.stream), uint32(frame.delta)];
}

function control(type: number, flags: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([uint32((0x80000000 | (VERSION << 16) | type) >>> 0), flagsAndLength(flags, body.length), body]);
}

function flagsAndLength(flags: number, length: number): Buffer {
  return uint32(((flags << 24) | length) >>> 0);
}
