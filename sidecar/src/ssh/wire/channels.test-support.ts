import { type Channel, type ChannelHandler, type ChannelRequest, MAX_DATA } from './channel.ts';
import { CHANNEL } from './channel-messages.ts';
import { Channels, type GlobalRequest, type Offer, type Room } from './channels.ts';
import { boolean, byte, string, uint32 } from './data.ts';

export const cat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
export const NOTHING: Buffer = Buffer.alloc(0);
export const WIDE = 2 * 1024 * 1024;

/** A channel's events, as text. */
export class Log implements ChannelHandler {
  readonly events: string[] = [];
  readonly requests: ChannelRequest[] = [];
  bytes = 0;
  closed = 0;
  /** Set where there is something to say behind the peer's CLOSE. */
  onClosing?: () => boolean;

  onData(data: Buffer, stream: string): void {
    this.bytes += data.length;
    this.events.push(`${stream} ${data.length > 20 ? data.length : data.toString()}`);
  }
  onEof(): void {
    this.events.push('eof');
  }
  onRequest(request: ChannelRequest): void {
    this.requests.push(request);
    this.events.push(`${request.name}${request.reply === undefined ? '' : '?'} ${request.payload.toString('hex')}`);
  }
  onClose(): void {
    this.closed++;
    this.events.push('close');
  }
}

/** One side with what it sends, and the first error of any entry. */
export class Side {
  readonly sent: Buffer[] = [];
  readonly offers: Offer[] = [];
  readonly globals: GlobalRequest[] = [];
  readonly errors: unknown[] = [];
  isWritable = true;
  /** Bytes that are left for windows. */
  left = 64 * 1024 * 1024;
  readonly room: Room = {
    take: (bytes) => {
      if (bytes > this.left) return false;
      this.left -= bytes;
      return true;
    },
    free: (bytes) => {
      this.left += bytes;
    },
  };
  readonly channels: Channels;

  constructor() {
    this.channels = new Channels({
      room: this.room,
      guard: (entry) => {
        try {
          entry();
        } catch (error) {
          this.errors.push(error);
        }
      },
      send: (parts) => this.sent.push(cat(...parts)),
      isWritable: () => this.isWritable,
      onOffer: (offer) => this.offers.push(offer),
      onGlobal: (request) => this.globals.push(request),
    });
  }

  hear(...payloads: readonly Buffer[]): void {
    for (const payload of payloads) this.channels.receive(payload);
  }

  /** What was sent since the last look. */
  take(): Buffer[] {
    return this.sent.splice(0);
  }
}

export const message = (number: number, ...fields: readonly Buffer[]): Buffer => cat(byte(number), ...fields);
export const open = (remote: number, window = WIDE, max = MAX_DATA, type = 'session'): Buffer =>
  message(CHANNEL.open, string(type), uint32(remote), uint32(window), uint32(max));
export const confirmation = (local: number, remote: number, window = WIDE, max = MAX_DATA): Buffer =>
  message(CHANNEL.openConfirmation, uint32(local), uint32(remote), uint32(window), uint32(max));
export const data = (local: number, bytes: Buffer | string): Buffer => message(CHANNEL.data, uint32(local), string(bytes));
export const stderr = (local: number, bytes: Buffer | string, kind = 1): Buffer =>
  message(CHANNEL.extendedData, uint32(local), uint32(kind), string(bytes));
export const adjust = (local: number, bytes: number): Buffer => message(CHANNEL.windowAdjust, uint32(local), uint32(bytes));
export const eof = (local: number): Buffer => message(CHANNEL.eof, uint32(local));
export const close = (local: number): Buffer => message(CHANNEL.close, uint32(local));
export const request = (local: number, name: string, isAnswered: boolean, payload = NOTHING): Buffer =>
  message(CHANNEL.request, uint32(local), string(name), boolean(isAnswered), payload);
export const globalRequest = (name: string, isAnswered: boolean, payload = NOTHING): Buffer =>
  message(CHANNEL.globalRequest, string(name), boolean(isAnswered), payload);

/** A side with one channel open: its number here is 0, and the peer's `remote`. */
export function opened(window = WIDE, max = MAX_DATA, remote = 70): { side: Side; channel: Channel; log: Log } {
  const side = new Side();
  side.hear(open(remote, window, max));
  const log = new Log();
  const channel = (side.offers[0] as Offer).accept(log);
  side.take();
  return { side, channel, log };
}
