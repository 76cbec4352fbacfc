import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { CLOSE, type CloseCode, StreamError } from './error.ts';
import { Pending } from './pending.ts';

/** Who reads: a server gets masked frames, a client gets none (RFC 6455, section 5.1). */
export type Role = 'server' | 'client';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export type Opcode = (typeof OPCODE)[keyof typeof OPCODE];
const OPCODES: ReadonlySet<number> = new Set(Object.values(OPCODE));

/**
 * What stands before the data of a frame:
 *
 *     FIN RSV1-3 opcode(4) | MASK length(7) | [length 16 or 64] | [mask 32] | data
 */
export interface FrameHead {
  readonly fin: boolean;
  readonly opcode: Opcode;
  /** Of its data, bytes. */
  readonly length: number;
  readonly mask: Buffer | undefined;
}

export type WebSocketEvent =
  | { readonly kind: 'text'; readonly data: Buffer }
  /** What of a binary message came by now: a part of what was pushed, where that came without a mask. */
  | { readonly kind: 'binary'; readonly data: Buffer; readonly isLast: boolean }
  | { readonly kind: 'ping' | 'pong'; readonly data: Buffer }
  /** Nothing comes behind it. Without a code the other side gave none. */
  | { readonly kind: 'close'; readonly code?: number; readonly reason: string };

/** Bytes of a message, all its fragments together. kubectl and kubelets send 32 KiB at most; servers of Go's read no more than 1 MiB by habit. */
export const MAX_MESSAGE_BYTES = 2 ** 20;
/** RFC 6455, section 5.5. */
const MAX_CONTROL_BYTES = 125;
/** Of one message. Empty ones cost nothing to send. */
const MAX_FRAGMENTS = 1_024;

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** The answer to Sec-WebSocket-Key (section 4.2.2); undefined: it is no key of 16 bytes. */
export function acceptKey(key: string): string | undefined {
  const isKey = /^[A-Za-z0-9+/]{22}==$/.test(key);
  return isKey ? createHash('sha1').update(`${key}${GUID}`).digest('base64') : undefined;
}

/**
 * The head of the frame with which `bytes` begins, or how many bytes there must be to say more. Its length is judged before what it
 * counts is there.
 *
 * @throws StreamError for what is no frame: extensions, unknown opcodes, a wrong mask, a length written longer than need be, more than
 * {@link MAX_MESSAGE_BYTES}
 */
export function decodeHead(
  bytes: Buffer,
  role: Role,
):
  | { readonly kind: 'head'; readonly head: FrameHead; readonly consumed: number }
  | { readonly kind: 'need'; readonly atLeast: number } {
  if (bytes.length < 2) return { kind: 'need', atLeast: 2 };
  const [first = 0, second = 0] = bytes;
  const opcode = checkedOpcode(first, second);
  if (((second & 0x80) !== 0) !== (role === 'server')) throw new StreamError('a frame is masked, or not, as its sender must not');
  const short = second & 0x7f;
  const end = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
  if (bytes.length < end) return { kind: 'need', atLeast: end };
  const length = lengthOf(bytes, short);
  const consumed = end + (role === 'server' ? 4 : 0);
  if (bytes.length < consumed) return { kind: 'need', atLeast: consumed };
  const mask = role === 'server' ? Buffer.from(bytes.subarray(end, consumed)) : undefined;
  return { kind: 'head', head: { fin: (first & 0x80) !== 0, opcode, length, mask }, consumed };
}

function checkedOpcode(first: number, second: number): Opcode {
  const opcode = first & 0x0f;
  if ((first & 0x70) !== 0) throw new StreamError('a frame uses an extension, and none was agreed on');
  if (!OPCODES.has(opcode)) throw new StreamError('a frame has an opcode that means nothing');
  if (opcode >= 8 && ((first & 0x80) === 0 || (second & 0x7f) > MAX_CONTROL_BYTES))
    throw new StreamError('a control frame is fragmented or too long');
  return opcode as Opcode;
}

function lengthOf(bytes: Buffer, short: number): number {
  if (short < 126) return short;
  const length = short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (length > MAX_MESSAGE_BYTES) throw new StreamError('a message is too long', CLOSE.tooBig);
  if (length < (short === 126 ? 126 : 65_536)) throw new StreamError('a length is written longer than it must be');
  return length;
}

/** @param from - of the frame's data, where these begin */
function unmasked(data: Buffer, mask: Buffer, from: number): Buffer {
  const turned = Buffer.from([0, 1, 2, 3].map((at) => mask[(from + at) & 3] as number));
  const own = Buffer.from(data);
  applyMask(own, turned);
  return own;
}

/** @param data - memory of its own; where it begins at a multiple of four, as what Buffer allots does, it takes a quarter of the time */
function applyMask(data: Buffer, mask: Buffer): void {
  const words = data.byteOffset % 4 === 0 ? new Uint32Array(data.buffer, data.byteOffset, data.length >>> 2) : [];
  const [word = 0] = new Uint32Array(Uint8Array.from(mask).buffer);
  for (let at = 0; at < words.length; at++) words[at] = (words[at] as number) ^ word;
  for (let at = words.length * 4; at < data.length; at++) data[at] = (data[at] as number) ^ (mask[at & 3] as number);
}

export interface FrameToSend extends Pick<FrameHead, 'fin' | 'opcode'> {
  /** Parts, in order. */
  readonly data: readonly Buffer[];
}

/**
 * A frame as parts, the data of a server's among them, so that they are not copied.
 *
 * @param mask - four random bytes for each frame of a client; a server has none
 */
export function encodeFrame({ fin, opcode, data }: FrameToSend, mask?: Buffer): readonly Buffer[] {
  const length = data.reduce((sum, part) => sum + part.length, 0);
  const short = length < 126 ? length : length < 65_536 ? 126 : 127;
  const head = Buffer.allocUnsafe(2 + (short < 126 ? 0 : short === 126 ? 2 : 8));
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = (mask ? 0x80 : 0) | short;
  if (short === 127) head.writeBigUInt64BE(BigInt(length), 2);
  else if (short === 126) head.writeUInt16BE(length, 2);
  if (mask === undefined) return [head, ...data];
  const masked = Buffer.concat(data);
  applyMask(masked, mask);
  return [head, mask, masked];
}

/** Data of a close frame. */
export function closeData(code: CloseCode, reason = ''): Buffer {
  const text = Buffer.from(reason).subarray(0, MAX_CONTROL_BYTES - 2);
  // A character that was cut is none.
  let end = text.length;
  while (!isUtf8(text.subarray(0, end))) end--;
  const data = Buffer.alloc(2 + end);
  data.writeUInt16BE(code);
  text.copy(data, 2, 0, end);
  return data;
}

/** Reads bytes as they come, in any pieces. Holds one head, one control frame and one text at most. */
export class WebSocketReader {
  readonly #role: Role;
  readonly #pending = new Pending();
  /** Of the message that is coming: */
  #type: 'text' | 'binary' | undefined;
  #size = 0;
  #fragments = 0;
  #text: Buffer[] = [];
  /** The frame of it whose data are coming, and how many of them came. */
  #frame: FrameHead | undefined;
  #came = 0;
  #isClosed = false;

  constructor(role: Role) {
    this.#role = role;
  }

  /** @throws StreamError; nothing must be pushed behind that, or behind a close */
  push(chunk: Buffer): WebSocketEvent[] {
    const events: WebSocketEvent[] = [];
    let bytes = this.#isClosed ? undefined : this.#pending.take(chunk);
    while (bytes !== undefined && !this.#isClosed) {
      if (this.#frame !== undefined) {
        if (bytes.length === 0) break;
        bytes = this.#data(this.#frame, bytes, events);
        continue;
      }
      const found = decodeHead(bytes, this.#role);
      const { length = 0 } = found.kind === 'head' && found.head.opcode >= OPCODE.close ? found.head : {};
      const need = found.kind === 'need' ? found.atLeast : found.consumed + length;
      if (found.kind === 'need' || bytes.length < need) {
        this.#pending.keep(bytes, need);
        break;
      }
      const rest = bytes.subarray(found.consumed);
      if (found.head.opcode >= OPCODE.close) events.push(this.#control(found.head, rest.subarray(0, length)));
      else this.#begin(found.head, events);
      bytes = rest.subarray(length);
    }
    return events;
  }

  #control({ opcode, mask }: FrameHead, data: Buffer): WebSocketEvent {
    const said = mask === undefined ? data : unmasked(data, mask, 0);
    if (opcode === OPCODE.close) return this.#close(said);
    return { kind: opcode === OPCODE.ping ? 'ping' : 'pong', data: said };
  }

  #begin(head: FrameHead, events: WebSocketEvent[]): void {
    if ((head.opcode === OPCODE.continuation) !== (this.#type !== undefined))
      throw new StreamError('a message begins within another, or goes on without one');
    this.#type ??= head.opcode === OPCODE.text ? 'text' : 'binary';
    this.#size += head.length;
    if (this.#size > MAX_MESSAGE_BYTES || ++this.#fragments > MAX_FRAGMENTS)
      throw new StreamError('a message is too long', CLOSE.tooBig);
    this.#frame = head;
    this.#came = 0;
    if (head.length === 0) this.#data(head, Buffer.alloc(0), events);
  }

  /** What of the frame's data is there; the bytes behind them are returned. */
  #data({ fin, length, mask }: FrameHead, bytes: Buffer, events: WebSocketEvent[]): Buffer {
    const part = bytes.subarray(0, length - this.#came);
    const data = mask === undefined ? part : unmasked(part, mask, this.#came);
    this.#came += part.length;
    const isEnd = this.#came === length;
    if (isEnd) this.#frame = undefined;
    if (this.#type === 'binary') events.push({ kind: 'binary', data, isLast: isEnd && fin });
    // What waits for the rest of its message holds nothing else.
    else this.#text.push(Buffer.from(data));
    if (isEnd && fin) this.#end(events);
    return bytes.subarray(part.length);
  }

  #end(events: WebSocketEvent[]): void {
    const data = Buffer.concat(this.#text);
    if (!isUtf8(data)) throw new StreamError('a text is not UTF-8', CLOSE.notText);
    if (this.#type === 'text') events.push({ kind: 'text', data });
    this.#type = undefined;
    this.#text = [];
    this.#size = 0;
    this.#fragments = 0;
  }

  #close(data: Buffer): WebSocketEvent {
    this.#isClosed = true;
    if (data.length === 0) return { kind: 'close', reason: '' };
    const code = data.length < 2 ? 0 : data.readUInt16BE();
    const reason = data.subarray(2);
    if (!isCloseCode(code)) throw new StreamError('a close frame has no code that it may have');
    if (!isUtf8(reason)) throw new StreamError('a text is not UTF-8', CLOSE.notText);
    return { kind: 'close', code, reason: reason.toString() };
  }
}

/** Sections 7.4.1 and 7.4.2, and 1012 to 1014 as registered since. */
function isCloseCode(code: number): boolean {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}
