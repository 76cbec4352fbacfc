import { CLOSE, StreamError } from './error.ts';
import type { WebSocketEvent } from './websocket.ts';

/** Sub-protocols of exec and attach over WebSockets, the best first; `base64` ones are of text, for clients that send nothing else. */
export const CHANNEL_PROTOCOLS = [
  'v5.channel.k8s.io',
  'v4.channel.k8s.io',
  'v4.base64.channel.k8s.io',
  'channel.k8s.io',
  'base64.channel.k8s.io',
] as const;
export type ChannelProtocol = (typeof CHANNEL_PROTOCOLS)[number];

/** Streams of a process. `error` carries how it ended, since v4 as a Status in JSON, before that as text. */
export const CHANNELS = ['stdin', 'stdout', 'stderr', 'error', 'resize'] as const;
export type Channel = (typeof CHANNELS)[number];

export type ChannelMessage =
  | { readonly kind: 'data'; readonly channel: Channel; readonly data: Buffer }
  /** Nothing more comes on the channel; v5 alone can say so. */
  | { readonly kind: 'close'; readonly channel: Channel };

const CLOSE_CHANNEL = 255;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Of those that a client offers the one to speak; undefined: none that is spoken here. Kubernetes takes its own order, not the client's. */
export function chooseProtocol(offered: readonly string[]): ChannelProtocol | undefined {
  return CHANNEL_PROTOCOLS.find((known) => offered.includes(known));
}

const isBase64 = (protocol: ChannelProtocol): boolean => protocol.includes('base64');

/**
 * Reads the messages of a WebSocket: the channel in the first byte (a digit where it is of base64), then data. An empty message is
 * nothing, as to the API server.
 */
export class ChannelReader {
  readonly #protocol: ChannelProtocol;
  /** Of the message that is coming. */
  #channel: Channel | undefined;
  #close: Buffer | undefined;

  constructor(protocol: ChannelProtocol) {
    this.#protocol = protocol;
  }

  /**
   * What a piece of a message says; undefined: nothing.
   * @throws StreamError for the wrong type of message, an unknown channel, what is no base64, a close that v5 does not have
   */
  push(event: Extract<WebSocketEvent, { kind: 'text' | 'binary' }>): ChannelMessage | undefined {
    if ((event.kind === 'text') !== isBase64(this.#protocol))
      throw new StreamError('a message is of the wrong type', CLOSE.unsupported);
    const message = event.kind === 'text' ? textOf(event.data) : this.#piece(event.data);
    if (event.kind === 'text' || !event.isLast) return message;
    const closed = this.#close;
    this.#channel = undefined;
    this.#close = undefined;
    if (closed === undefined) return message;
    if (closed.length !== 1) throw new StreamError('a channel is closed that is not told');
    return { kind: 'close', channel: channelOf(closed[0] as number) };
  }

  #piece(data: Buffer): ChannelMessage | undefined {
    if (data.length === 0) return undefined;
    if (this.#close !== undefined) {
      this.#close = Buffer.concat([this.#close, data.subarray(0, 2)]).subarray(0, 2);
      return undefined;
    }
    if (this.#channel !== undefined) return { kind: 'data', channel: this.#channel, data };
    const rest = data.subarray(1);
    if (data[0] === CLOSE_CHANNEL && this.#protocol === 'v5.channel.k8s.io') {
      this.#close = Buffer.from(rest.subarray(0, 2));
      return undefined;
    }
    this.#channel = channelOf(data[0] as number);
    return { kind: 'data', channel: this.#channel, data: rest };
  }
}

function textOf(message: Buffer): ChannelMessage | undefined {
  const [first] = message;
  if (first === undefined) return undefined;
  const text = message.toString('latin1', 1);
  if (!BASE64.test(text)) throw new StreamError('a message is no base64');
  return { kind: 'data', channel: channelOf(first - 0x30), data: Buffer.from(text, 'base64') };
}

export type ChannelToSend =
  | Extract<ChannelMessage, { kind: 'close' }>
  /** Parts, in order. */
  | { readonly kind: 'data'; readonly channel: Channel; readonly data: readonly Buffer[] };

/** A message as parts, what it carries among them, so that it is not copied. @throws StreamError where the protocol cannot say it */
export function encodeChannel(
  message: ChannelToSend,
  protocol: ChannelProtocol,
): { readonly type: 'text' | 'binary'; readonly data: readonly Buffer[] } {
  const number = CHANNELS.indexOf(message.channel);
  if (message.kind === 'close') {
    if (protocol !== 'v5.channel.k8s.io') throw new StreamError('the protocol cannot close a channel', CLOSE.internal);
    return { type: 'binary', data: [Buffer.from([CLOSE_CHANNEL, number])] };
  }
  if (!isBase64(protocol)) return { type: 'binary', data: [Buffer.from([number]), ...message.data] };
  return { type: 'text', data: [Buffer.from(`${number}${Buffer.concat(message.data).toString('base64')}`)] };
}

function channelOf(number: number): Channel {
  const channel = CHANNELS[number];
  if (channel === undefined) throw new StreamError('a message is on a channel that does not exist');
  return channel;
}
