import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import {
  CLOSE,
  type CloseCode,
  closeData,
  encodeFrame,
  OPCODE,
  StreamError,
  type WebSocketEvent,
  WebSocketReader,
} from '../wire/index.ts';

/** A side that was told that it is over has so long to read it. */
const LINGER_MS = 1000;
/** kubectl gives up on a WebSocket on which it hears nothing for a minute. */
const ALIVE_MS = 10_000;
/** Bytes of one message: as many as kubectl and kubelets send at most. */
export const MAX_PIECE = 32 * 1024;

/** What carries bytes both ways. What is written to it is sent in order; nothing is lost by `end`. */
export interface Carrier {
  /** Parts of what is written at once. */
  write(...parts: readonly Buffer[]): void;
  /** Nothing more is written. */
  end(): void;
  destroy(): void;
  pause(): void;
  resume(): void;
  /** More waits to be sent than should. */
  readonly isFull: boolean;
}

export interface CarrierEvents {
  readonly onBytes: (bytes: Buffer) => void;
  /** It is full no more. */
  readonly onDrain: () => void;
  /** Nothing more comes; at most once. */
  readonly onClose: () => void;
}

/** A connection that left HTTP. */
export class SocketCarrier implements Carrier {
  readonly #socket: Duplex;
  #isClosed = false;

  /** @param head - what came behind the request for it */
  constructor(socket: Duplex, head: Buffer, events: CarrierEvents) {
    this.#socket = socket;
    const closed = (): void => {
      if (this.#isClosed) return;
      this.#isClosed = true;
      events.onClose();
    };
    socket.on('error', () => socket.destroy());
    if (head.length > 0) socket.unshift(head);
    socket.on('data', (bytes: Buffer) => (this.#isClosed ? undefined : events.onBytes(bytes)));
    socket.on('drain', () => events.onDrain());
    socket.once('end', () => {
      closed();
      socket.end();
    });
    socket.once('close', closed);
    if (socket.destroyed) setImmediate(closed);
  }

  get isFull(): boolean {
    return this.#socket.writableNeedDrain;
  }

  write(...parts: readonly Buffer[]): void {
    if (!this.#socket.writable) return;
    this.#socket.cork();
    for (const part of parts) if (part.length > 0) this.#socket.write(part);
    this.#socket.uncork();
  }

  end(): void {
    this.#socket.end();
    // Whoever does not read it to the end is cut off.
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.once('close', () => clearTimeout(timer));
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }
}

export interface WebSocketEvents extends Omit<CarrierEvents, 'onBytes'> {
  readonly onMessage: (message: Extract<WebSocketEvent, { kind: 'text' | 'binary' }>) => void;
  readonly onPing: () => void;
}

/** A WebSocket over a connection on which both agreed on it. What breaks the protocol ends it. */
export class WebSocketLine {
  readonly #role: 'server' | 'client';
  readonly #reader: WebSocketReader;
  readonly #events: WebSocketEvents;
  readonly #carrier: SocketCarrier;
  readonly #alive: NodeJS.Timeout | undefined;
  #isPaused = false;
  #isClosing = false;
  #isOver = false;

  constructor(socket: Duplex, head: Buffer, role: 'server' | 'client', events: WebSocketEvents) {
    this.#role = role;
    this.#reader = new WebSocketReader(role);
    this.#events = events;
    this.#carrier = new SocketCarrier(socket, head, {
      onBytes: (bytes) => this.#take(bytes),
      onDrain: () => events.onDrain(),
      onClose: () => this.#over(),
    });
    // Its pings wait behind what is not read.
    if (role === 'server')
      this.#alive = setInterval(() => (this.#isPaused ? this.#frame(OPCODE.pong) : undefined), ALIVE_MS).unref();
  }

  get isFull(): boolean {
    return this.#carrier.isFull;
  }

  send(type: 'text' | 'binary', ...data: readonly Buffer[]): void {
    if (!this.#isClosing) this.#frame(OPCODE[type], ...data);
  }

  ping(): void {
    if (!this.#isClosing) this.#frame(OPCODE.ping);
  }

  /** Says that it is over, behind all that was sent. */
  close(code: CloseCode = CLOSE.normal): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#frame(OPCODE.close, closeData(code));
    this.#carrier.end();
  }

  destroy(): void {
    this.#carrier.destroy();
  }

  pause(): void {
    this.#isPaused = true;
    this.#carrier.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#carrier.resume();
  }

  #frame(opcode: (typeof OPCODE)[keyof typeof OPCODE], ...data: readonly Buffer[]): void {
    const mask = this.#role === 'client' ? randomBytes(4) : undefined;
    this.#carrier.write(...encodeFrame({ fin: true, opcode, data }, mask));
  }

  #take(bytes: Buffer): void {
    try {
      for (const event of this.#reader.push(bytes)) if (!this.#isOver) this.#event(event);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.close(error.close);
      this.#over();
    }
  }

  #event(event: WebSocketEvent): void {
    if (event.kind === 'text' || event.kind === 'binary') return this.#events.onMessage(event);
    if (event.kind === 'close') {
      this.close();
      return this.#over();
    }
    // Whoever reads nothing gets no answers either.
    if (event.kind === 'pong' || this.isFull) return undefined;
    this.#frame(OPCODE.pong, event.data);
    return this.#events.onPing();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#alive);
    this.#events.onClose();
  }
}

/** Bytes that go through a WebSocket in binary messages. */
export class TunnelCarrier implements Carrier {
  readonly #line: WebSocketLine;

  constructor(socket: Duplex, head: Buffer, role: 'server' | 'client', events: CarrierEvents) {
    this.#line = new WebSocketLine(socket, head, role, {
      onMessage: ({ kind, data }) => {
        if (kind === 'text') throw new StreamError('a message is of the wrong type', CLOSE.unsupported);
        events.onBytes(data);
      },
      onPing: () => undefined,
      onDrain: events.onDrain,
      onClose: events.onClose,
    });
  }

  get isFull(): boolean {
    return this.#line.isFull;
  }

  write(...parts: readonly Buffer[]): void {
    for (const part of parts)
      for (let at = 0; at < part.length; at += MAX_PIECE) this.#line.send('binary', part.subarray(at, at + MAX_PIECE));
  }

  end(): void {
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
}
