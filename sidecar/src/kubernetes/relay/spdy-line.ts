import { type SpdyFrame, SpdyReader, SpdyWriter, StreamError } from '../wire/index.ts';
import type { Carrier, CarrierEvents } from './carrier.ts';

export interface SpdyEvents extends Omit<CarrierEvents, 'onBytes'> {
  /** @throws StreamError where it breaks the protocol, which ends it */
  readonly onFrame: (frame: SpdyFrame) => void;
  readonly onPing?: () => void;
}

/** SPDY/3.1 over whatever carries its bytes. Pings are answered; what breaks the protocol ends it. */
export class SpdyLine {
  readonly #carrier: Carrier;
  readonly #reader: SpdyReader;
  readonly #writer = new SpdyWriter();
  readonly #events: SpdyEvents;
  /** Pings of a client have odd numbers. */
  readonly #parity: 0 | 1;

  /** @param peer - who is on the other side */
  constructor(carry: (events: CarrierEvents) => Carrier, peer: 'client' | 'server', events: SpdyEvents) {
    this.#events = events;
    this.#reader = new SpdyReader(peer);
    this.#parity = peer === 'client' ? 1 : 0;
    this.#carrier = carry({
      onBytes: (bytes) => this.#take(bytes),
      onDrain: events.onDrain,
      onClose: events.onClose,
    });
  }

  get isFull(): boolean {
    return this.#carrier.isFull;
  }

  write(frame: SpdyFrame): void {
    this.#carrier.write(this.#writer.write(frame));
  }

  ping(): void {
    this.write({ kind: 'ping', id: this.#parity + 1 });
  }

  end(): void {
    this.#carrier.end();
  }

  destroy(): void {
    this.#carrier.destroy();
  }

  pause(): void {
    this.#carrier.pause();
  }

  resume(): void {
    this.#carrier.resume();
  }

  #take(bytes: Buffer): void {
    try {
      for (const frame of this.#reader.push(bytes)) this.#frame(frame);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.destroy();
    }
  }

  #frame(frame: SpdyFrame): void {
    if (frame.kind !== 'ping') return this.#events.onFrame(frame);
    // Others are answers to ours; and whoever reads nothing gets none.
    if (frame.id % 2 !== this.#parity || this.isFull) return;
    this.write(frame);
    this.#events.onPing?.();
  }
}
