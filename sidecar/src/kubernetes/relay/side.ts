import type { Duplex } from 'node:stream';
import {
  type Channel,
  type ChannelProtocol,
  ChannelReader,
  CLOSE,
  encodeChannel,
  RESET,
  type SpdyFrame,
  StreamError,
} from '../wire/index.ts';
import { MAX_PIECE, SocketCarrier, WebSocketLine } from './carrier.ts';
import { SpdyLine } from './spdy-line.ts';

/** Streams of one process, as one side of it carries them. */
export interface Side {
  /** Pieces of it may arrive apart, or parts together. */
  send(channel: Channel, ...parts: readonly Buffer[]): void;
  /** Nothing more comes on it; passed over where the side cannot say so. */
  end(channel: Channel): void;
  /** How it ended is a Status in JSON; before v4 it is a text, and nothing where all went well. */
  readonly takesStatus: boolean;
  /** It is over, behind all that was sent. */
  close(): void;
  destroy(): void;
  pause(): void;
  resume(): void;
  ping(): void;
  readonly isFull: boolean;
}

export interface SideEvents {
  readonly onData: (channel: Channel, data: Buffer) => void;
  readonly onEnd: (channel: Channel) => void;
  readonly onPing: () => void;
  readonly onDrain: () => void;
  /** Nothing more comes; at most once. */
  readonly onClose: () => void;
}

export interface Opened {
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** The channels of Kubernetes over a WebSocket, as server to an agent or as client of the API server. */
export class ChannelSide implements Side {
  readonly #protocol: ChannelProtocol;
  readonly #line: WebSocketLine;

  constructor({ socket, head }: Opened, role: 'server' | 'client', protocol: ChannelProtocol, events: SideEvents) {
    this.#protocol = protocol;
    const reader = new ChannelReader(protocol);
    this.#line = new WebSocketLine(socket, head, role, {
      onMessage: (event) => {
        const message = reader.push(event);
        if (message?.kind === 'close') events.onEnd(message.channel);
        else if (message !== undefined) events.onData(message.channel, message.data);
      },
      onPing: events.onPing,
      onDrain: events.onDrain,
      onClose: events.onClose,
    });
  }

  get takesStatus(): boolean {
    return this.#protocol.startsWith('v');
  }

  get isFull(): boolean {
    return this.#line.isFull;
  }

  send(channel: Channel, ...parts: readonly Buffer[]): void {
    for (const data of messagesOf(parts)) {
      const message = encodeChannel({ kind: 'data', channel, data }, this.#protocol);
      this.#line.send(message.type, ...message.data);
    }
  }

  end(channel: Channel): void {
    if (this.#protocol !== 'v5.channel.k8s.io') return;
    const { type, data } = encodeChannel({ kind: 'close', channel }, this.#protocol);
    this.#line.send(type, ...data);
  }

  close(): void {
    this.#line.close();
  }

  destroy(): void {
    this.#line.destroy();
  }

  pause(): void {
    this.#line.pause();
  }

  resume(): void {
    this.#line.resume();
  }

  ping(): void {
    this.#line.ping();
  }
}

const piecesOf = (data: Buffer): Buffer[] =>
  Array.from({ length: Math.ceil(data.length / MAX_PIECE) }, (_, at) => data.subarray(at * MAX_PIECE, (at + 1) * MAX_PIECE));

/** Parts by messages: together where one may hold all of them. */
function messagesOf(parts: readonly Buffer[]): readonly (readonly Buffer[])[] {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length === 0) return [];
  return length <= MAX_PIECE ? [parts] : parts.flatMap(piecesOf).map((piece) => [piece]);
}

/** Streams are opened at once, or never. */
const OPEN_MS = 30_000;
export const SPDY_PROTOCOL = 'v4.channel.k8s.io';

/** An agent's streams of SPDY/3.1, one for each channel (v4.channel.k8s.io, as kubelets serve it). */
export class SpdySide implements Side {
  readonly takesStatus = true;
  readonly #line: SpdyLine;
  readonly #events: SideEvents;
  readonly #wanted: ReadonlySet<Channel>;
  readonly #streams = new Map<Channel, number>();
  readonly #ended = new Set<Channel>();
  readonly #opened = Promise.withResolvers<boolean>();
  readonly #timer: NodeJS.Timeout;

  /** @param wanted - the channels for which it opens streams, each once */
  constructor({ socket, head }: Opened, wanted: readonly Channel[], events: SideEvents) {
    this.#events = events;
    this.#wanted = new Set(wanted);
    this.#timer = setTimeout(() => this.destroy(), OPEN_MS);
    this.#line = new SpdyLine((carried) => new SocketCarrier(socket, head, carried), 'client', {
      onFrame: (frame) => this.#frame(frame),
      onPing: events.onPing,
      onDrain: events.onDrain,
      onClose: () => {
        clearTimeout(this.#timer);
        this.#opened.resolve(false);
        events.onClose();
      },
    });
  }

  /** Whether all its streams are open; false: it left. */
  get opened(): Promise<boolean> {
    return this.#opened.promise;
  }

  get isFull(): boolean {
    return this.#line.isFull;
  }

  send(channel: Channel, ...parts: readonly Buffer[]): void {
    const stream = this.#streams.get(channel);
    if (stream === undefined || this.#ended.has(channel)) return;
    for (const data of parts.flatMap(piecesOf)) this.#line.write({ kind: 'data', stream, fin: false, data });
  }

  end(channel: Channel): void {
    const stream = this.#streams.get(channel);
    if (stream === undefined || this.#ended.has(channel)) return;
    this.#ended.add(channel);
    this.#line.write({ kind: 'data', stream, fin: true, data: Buffer.alloc(0) });
  }

  close(): void {
    for (const channel of this.#streams.keys()) this.end(channel);
    this.#line.end();
  }

  destroy(): void {
    this.#line.destroy();
  }

  pause(): void {
    this.#line.pause();
  }

  resume(): void {
    this.#line.resume();
  }

  ping(): void {
    this.#line.ping();
  }

  #frame(frame: SpdyFrame): void {
    if (frame.kind === 'open') return this.#open(frame);
    if (frame.kind !== 'data' && frame.kind !== 'reset') return;
    const channel = this.#channelOf(frame.stream);
    if (frame.kind === 'data' && frame.data.length > 0) this.#events.onData(channel, frame.data);
    if (frame.kind === 'reset' || frame.fin) this.#events.onEnd(channel);
  }

  #open({ stream, fin, headers }: Extract<SpdyFrame, { kind: 'open' }>): void {
    const [type = ''] = headers.get('streamtype') ?? [];
    const channel = [...this.#wanted].find((known) => known === type);
    if (channel === undefined || this.#streams.has(channel)) {
      this.#line.write({ kind: 'reset', stream, status: RESET.refused });
      throw new StreamError('a stream is of a type that was not asked for', CLOSE.protocol);
    }
    this.#streams.set(channel, stream);
    this.#line.write({ kind: 'reply', stream, fin: false, headers: new Map() });
    if (fin) this.#events.onEnd(channel);
    if (this.#streams.size < this.#wanted.size) return;
    clearTimeout(this.#timer);
    this.#opened.resolve(true);
  }

  #channelOf(stream: number): Channel {
    for (const [channel, known] of this.#streams) if (known === stream) return channel;
    throw new StreamError('a frame is of a stream that is not open');
  }
}
