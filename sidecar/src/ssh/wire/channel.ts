import { CHANNEL, channelMessage } from './channel-messages.ts';
import { boolean, Reader, string, uint32 } from './data.ts';
import { DISCONNECT, SshError } from './error.ts';
import { free } from '../../lent.ts';
import { Replies } from './replies.ts';

/** Bytes in one data message, ours and the most that we take. OpenSSH's own; it drops what is longer without a word. */
export const MAX_DATA = 32 * 1024;
/** Under this a peer would have us send packets that are mostly heads; 0 would have us send them for ever. */
const MIN_DATA = 64;
const MAX_WINDOW = 0xffff_ffff;
/** Bytes that wait for the peer's window. The sender of what we relay is held back by a smaller one, and our own texts are short. */
const MAX_QUEUED = 8 * 1024 * 1024;
/** What one thing that waits costs beside its bytes. */
const ITEM_BYTES = 128;
/** What waits is copied into buffers of this size; where more of the same kind follows, into larger ones. */
const SMALL_ROOM = 4 * 1024;
/** RFC 4254, section 5.2: the one kind of extended data that there is. */
const STDERR = 1;
/** Say how a program ended, and so stand behind all that it printed. */
const BEHIND_DATA: ReadonlySet<string> = new Set(['exit-status', 'exit-signal']);

export type Stream = 'data' | 'stderr';

/** A request that came on a channel. */
export interface ChannelRequest {
  readonly name: string;
  /** What follows the name and the flag, for the parser of that name. */
  readonly payload: Buffer;
  /** Absent where no answer is wanted. Answers leave in the order of their requests, whenever each is given. */
  readonly reply?: (isGranted: boolean) => void;
}

/** What happens on a channel. */
export interface ChannelHandler {
  /**
   * The peer may send as much again once {@link Channel.consumed} says that it went on. `data` is gone when this returns: who keeps it
   * copies it.
   */
  onData(data: Buffer, stream: Stream): void;
  onEof(): void;
  onRequest(request: ChannelRequest): void;
  /**
   * The peer closed it, and takes no more data, but still hears how its program ended: OpenSSH closes as soon as both sides have said EOF.
   * True: there is more to say, and {@link Channel.close} follows. Absent, or false: nothing more is sent but our own CLOSE.
   */
  onClosing?(): boolean;
  /** The last event: both sides have closed it, or its connection is over. */
  onClose(): void;
}

/** What a channel needs of its connection. */
export interface ChannelHost {
  /** Runs `entry`; what it throws ends the connection. */
  guard(entry: () => void): void;
  send(parts: readonly Buffer[]): void;
  /** Whether data may go out now, and none of another channel waits for that. */
  isFree(): boolean;
  /** Takes room for a window of `size` bytes to grow. @returns by how many bytes */
  widen(size: number): number;
  /** Calls {@link Channel.step} once data may go out. */
  schedule(channel: Channel): void;
  /** Both sides have closed it. */
  release(channel: Channel): void;
}

/** One direction's agreement (RFC 4254, section 5.1). */
export interface Peer {
  /** Its number of the channel. */
  readonly remote: number;
  readonly window: number;
  readonly maxData: number;
}

type OnWritten = ((bytes: number) => void) | undefined;
interface Data {
  readonly kind: 'data';
  readonly stream: Stream;
  readonly onWritten: OnWritten;
  /** Its own; from `from` to `to` it holds what waits. */
  readonly buffer: Buffer;
  from: number;
  to: number;
}
type Item = Data | { readonly kind: 'request'; readonly parts: readonly Buffer[] } | { readonly kind: 'eof' | 'close' };

/**
 * One open channel (RFC 4254, sections 5 and 6). What is written leaves in its order as the peer's window allows: data of both
 * streams, how the program ended, EOF and CLOSE stand in one queue. Nothing here throws to its caller.
 */
export class Channel {
  readonly local: number;
  readonly remote: number;
  readonly #host: ChannelHost;
  readonly #handler: ChannelHandler;
  readonly #maxData: number;
  #sendWindow: number;
  #windowSize: number;
  /** What the peer may still send. */
  #receiveWindow: number;
  /** What was consumed, and is not yet given back to the peer. */
  #credit = 0;
  readonly #queue: Item[] = [];
  #queued = 0;
  /** No more data is taken: EOF or CLOSE is queued. */
  #isEnding = false;
  #isCloseQueued = false;
  #isCloseSent = false;
  #isEofReceived = false;
  /** CLOSE came while there was more to say. */
  #isPeerDone = false;
  #isClosed = false;
  /** Answers that the peer owes us. */
  readonly #awaited: ((isGranted: boolean) => void)[] = [];
  readonly #replies = new Replies<boolean>((isGranted) => this.#send(isGranted ? CHANNEL.success : CHANNEL.failure));

  constructor(local: number, peer: Peer, windowSize: number, host: ChannelHost, handler: ChannelHandler) {
    this.local = local;
    this.remote = peer.remote;
    this.#maxData = Math.min(peer.maxData, MAX_DATA);
    this.#sendWindow = peer.window;
    this.#windowSize = windowSize;
    this.#receiveWindow = windowSize;
    this.#host = host;
    this.#handler = handler;
  }

  /** How much we let the peer send before anything is consumed, in bytes; it grows while the peer makes use of it. */
  get windowSize(): number {
    return this.#windowSize;
  }

  /** Whether both sides have closed it, or the connection is over. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Sends data, in as many messages as the peer wants; what cannot go yet is copied. Behind EOF and CLOSE it is dropped.
   * @param onWritten told how many bytes have gone, or were dropped, whenever some have
   */
  write(data: Buffer, stream: Stream = 'data', onWritten?: (bytes: number) => void): void {
    this.#host.guard(() => {
      if (this.#isEnding || this.#isClosed) return onWritten?.(data.length);
      const rest = this.#writeNow(data, stream, onWritten);
      return rest.length === 0 ? undefined : this.#enqueueData(rest, stream, onWritten);
    });
  }

  /** Says that no more data follows. */
  eof(): void {
    this.#host.guard(() => {
      if (this.#isEnding || this.#isClosed) return;
      this.#isEnding = true;
      this.#enqueue({ kind: 'eof' });
    });
  }

  /** Closes the channel, once all that was written has gone. The peer's own close is what {@link ChannelHandler.onClose} tells. */
  close(): void {
    this.#host.guard(() => {
      if (this.#isCloseQueued || this.#isClosed) return;
      this.#isEnding = true;
      this.#isCloseQueued = true;
      this.#enqueue({ kind: 'close' });
    });
  }

  /**
   * Sends a request at once; behind all data where it says how a program ended.
   * @param onReply told what the peer answers, or false where it never will. Absent: no answer is asked for
   */
  request(name: string, payload: Buffer, onReply?: (isGranted: boolean) => void): void {
    this.#host.guard(() => {
      if (this.#isCloseQueued || this.#isClosed) return onReply?.(false);
      if (onReply !== undefined) this.#awaited.push(onReply);
      const fields = [string(name), boolean(onReply !== undefined), payload];
      const parts = channelMessage(CHANNEL.request, this.remote, ...fields);
      if (BEHIND_DATA.has(name)) return this.#enqueue({ kind: 'request', parts });
      return this.#host.send(parts);
    });
  }

  /** Says that `bytes` of what {@link ChannelHandler.onData} gave have really gone on, so that the peer may send as much again. */
  consumed(bytes: number): void {
    this.#host.guard(() => {
      this.#credit += bytes;
      if (this.#receiveWindow + this.#credit > this.#windowSize)
        throw new SshError('more was consumed of a channel than came', DISCONNECT.byApplication);
      if (this.#credit < this.#windowSize / 2 || this.#isEofReceived || this.#isCloseSent || this.#isPeerDone) return;
      // Whoever uses half of it would use more.
      const wider = this.#host.widen(this.#windowSize);
      this.#windowSize += wider;
      this.#credit += wider;
      this.#receiveWindow += this.#credit;
      this.#send(CHANNEL.windowAdjust, uint32(this.#credit));
      this.#credit = 0;
    });
  }

  /** A message to this channel, read up to its number. @throws SshError */
  receive(message: number, reader: Reader): void {
    if (this.#isPeerDone) throw new SshError('a message behind the end of its channel');
    switch (message) {
      case CHANNEL.windowAdjust:
        return this.#receiveAdjust(reader);
      case CHANNEL.data:
        return this.#receiveData(reader, 'data');
      case CHANNEL.extendedData:
        if (reader.uint32() !== STDERR) throw new SshError('extended data of a kind that there is not');
        return this.#receiveData(reader, 'stderr');
      case CHANNEL.eof:
        return this.#receiveEof(reader);
      case CHANNEL.close:
        reader.end();
        return this.#receiveClose();
      case CHANNEL.request:
        return this.#receiveRequest(reader);
      default:
        return this.#receiveReply(message === CHANNEL.success, reader);
    }
  }

  /** Sends one message of what waits. @returns whether the next could go too */
  step(): boolean {
    const item = this.#queue[0];
    if (item === undefined || (item.kind === 'data' && this.#sendWindow === 0)) return false;
    if (item.kind !== 'data') this.#sendItem(item);
    else if (!this.#sendWaiting(item)) return true;
    this.#queue.shift();
    this.#queued -= ITEM_BYTES;
    return this.#queue.length > 0;
  }

  /** The connection is over. */
  abandon(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isCloseSent = true;
    this.#dropData();
    this.#queue.splice(0);
    for (const onReply of this.#awaited.splice(0)) onReply(false);
    this.#handler.onClose();
  }

  #receiveAdjust(reader: Reader): void {
    const bytes = reader.uint32();
    reader.end();
    if (this.#sendWindow + bytes > MAX_WINDOW) throw new SshError('a window that cannot be');
    this.#sendWindow += bytes;
    if (this.#queue.length > 0) this.#host.schedule(this);
  }

  #receiveData(reader: Reader, stream: Stream): void {
    const data = reader.string();
    reader.end();
    if (data.length > MAX_DATA || data.length > this.#receiveWindow) throw new SshError('more data than was allowed');
    if (this.#isEofReceived) throw new SshError('data behind its end');
    this.#receiveWindow -= data.length;
    // What is empty takes nothing of the window, and so would hold back nobody.
    if (!this.#isCloseSent && data.length > 0) this.#handler.onData(data, stream);
  }

  #receiveEof(reader: Reader): void {
    reader.end();
    if (this.#isEofReceived) return;
    this.#isEofReceived = true;
    if (!this.#isCloseSent) this.#handler.onEof();
  }

  /** The peer takes no more data, so what waits of it is dropped. When we close is ours to say (RFC 4254, section 5.3). */
  #receiveClose(): void {
    if (!this.#isCloseSent && (this.#isCloseQueued || this.#handler.onClosing?.() === true)) {
      this.#isPeerDone = true;
      this.#isEnding = true;
      this.#dropData();
      if (this.#queue.length > 0) this.#host.schedule(this);
      return;
    }
    if (!this.#isCloseSent) this.#sendItem({ kind: 'close' });
    this.#over();
  }

  #over(): void {
    this.#host.release(this);
    this.abandon();
  }

  #dropData(): void {
    const dropped = this.#queue.filter((item) => item.kind === 'data');
    const rest = this.#queue.filter((item) => item.kind !== 'data');
    this.#queue.splice(0, this.#queue.length, ...rest);
    for (const item of dropped) {
      this.#queued -= ITEM_BYTES + item.buffer.length;
      item.onWritten?.(item.to - item.from);
    }
  }

  #receiveRequest(reader: Reader): void {
    const name = reader.ascii();
    const isAnswered = reader.boolean();
    if (this.#isCloseSent) return;
    const request = { name, payload: reader.rest() };
    this.#handler.onRequest(isAnswered ? { ...request, reply: this.#owe() } : request);
  }

  #owe(): (isGranted: boolean) => void {
    const answer = this.#replies.owe();
    return (isGranted) => this.#host.guard(() => answer(isGranted));
  }

  #receiveReply(isGranted: boolean, reader: Reader): void {
    reader.end();
    const onReply = this.#awaited.shift();
    if (onReply === undefined) throw new SshError('an answer that nobody asked for');
    onReply(isGranted);
  }

  #enqueue(item: Item, bytes = 0): void {
    this.#queue.push(item);
    this.#count(ITEM_BYTES + bytes);
    this.#host.schedule(this);
  }

  /** Sends what may go at once, past nothing that waits. @returns what may not */
  #writeNow(data: Buffer, stream: Stream, onWritten: OnWritten): Buffer {
    let rest = data;
    while (rest.length > 0 && this.#queue.length === 0 && this.#sendWindow > 0 && this.#host.isFree()) {
      const part = rest.subarray(0, this.#sendData(rest, stream));
      rest = rest.subarray(part.length);
      onWritten?.(part.length);
    }
    return rest;
  }

  #enqueueData(data: Buffer, stream: Stream, onWritten: OnWritten): void {
    const last = this.#queue.at(-1);
    const isAlike = last?.kind === 'data' && last.stream === stream && last.onWritten === onWritten;
    const fitting = isAlike ? Math.min(data.length, last.buffer.length - last.to) : 0;
    if (isAlike && fitting > 0) {
      data.copy(last.buffer, last.to, 0, fitting);
      last.to += fitting;
    }
    const rest = data.subarray(fitting);
    if (rest.length === 0) return;
    const buffer = Buffer.allocUnsafeSlow(Math.max(rest.length, isAlike ? MAX_DATA : SMALL_ROOM));
    rest.copy(buffer);
    this.#enqueue({ kind: 'data', stream, onWritten, buffer, from: 0, to: rest.length }, buffer.length);
  }

  #count(bytes: number): void {
    this.#queued += bytes;
    if (this.#queued > MAX_QUEUED) throw new SshError('more waits for a channel than may', DISCONNECT.byApplication);
  }

  #sendItem(item: Exclude<Item, { kind: 'data' }>): void {
    if (this.#isCloseSent) return;
    if (item.kind === 'request') return this.#host.send(item.parts);
    this.#send(item.kind === 'eof' ? CHANNEL.eof : CHANNEL.close);
    this.#isCloseSent = item.kind === 'close';
    return this.#isCloseSent && this.#isPeerDone ? this.#over() : undefined;
  }

  /** Sends one message of what waits. @returns whether it was the last of `item` */
  #sendWaiting(item: Data): boolean {
    const bytes = this.#sendData(item.buffer.subarray(item.from, item.to), item.stream);
    item.from += bytes;
    const isSent = item.from === item.to;
    if (isSent) {
      this.#queued -= item.buffer.length;
      // Nothing is added to it any more, whatever is written by who is told.
      item.to = item.from = item.buffer.length;
    }
    item.onWritten?.(bytes);
    if (isSent) free(item.buffer);
    return isSent;
  }

  /** Sends the beginning of `data` in one message. @returns how many bytes */
  #sendData(data: Buffer, stream: Stream): number {
    const bytes = Math.min(data.length, this.#maxData, this.#sendWindow);
    const isError = stream === 'stderr';
    const head = Buffer.allocUnsafe(isError ? 13 : 9);
    head[0] = isError ? CHANNEL.extendedData : CHANNEL.data;
    let at = head.writeUInt32BE(this.remote, 1);
    if (isError) at = head.writeUInt32BE(STDERR, at);
    head.writeUInt32BE(bytes, at);
    this.#sendWindow -= bytes;
    this.#host.send([head, data.subarray(0, bytes)]);
    return bytes;
  }

  #send(message: number, ...fields: readonly Buffer[]): void {
    if (!this.#isCloseSent) this.#host.send(channelMessage(message, this.remote, ...fields));
  }
}

/** Reads what both sides say of a channel as they open it. @throws SshError */
export function readPeer(reader: Reader): Peer {
  const peer = { remote: reader.uint32(), window: reader.uint32(), maxData: reader.uint32() };
  if (peer.maxData < MIN_DATA) throw new SshError('packets that are too small to hold anything');
  return peer;
}
