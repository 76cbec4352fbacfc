import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { eventually } from '@chaperone/testing';
import {
  type Channel,
  ChannelReader,
  type ChannelProtocol,
  encodeChannel,
  encodeFrame,
  OPCODE,
  WebSocketReader,
} from '../wire/index.ts';

export interface Answered {
  readonly socket: TLSSocket;
  readonly status: number;
  readonly headers: string;
  /** What followed the head of the answer by then. */
  readonly rest: Buffer;
}

/** Asks a server on this machine for a connection of its own, or whatever the lines of the head say. */
export async function askToUpgrade(
  { port, ca }: { readonly port: number; readonly ca: string },
  lines: readonly string[],
  behind = Buffer.alloc(0),
): Promise<Answered> {
  const socket = connectTls({ port, host: '127.0.0.1', ca, ALPNProtocols: ['http/1.1'] });
  socket.on('error', () => socket.destroy());
  await once(socket, 'secureConnect');
  socket.write(Buffer.concat([Buffer.from([...lines, 'host: cluster', '', ''].join('\r\n')), behind]));
  let bytes = Buffer.alloc(0);
  const ended = once(socket, 'close').then(() => []);
  while (!bytes.includes('\r\n\r\n')) {
    const [chunk] = (await Promise.race([once(socket, 'data'), ended])) as [Buffer?];
    if (chunk === undefined) throw new Error('the connection ended without an answer');
    bytes = Buffer.concat([bytes, chunk]);
  }
  socket.pause();
  const end = bytes.indexOf('\r\n\r\n') + 4;
  const headers = bytes.toString('latin1', 0, end);
  return { socket, headers, status: Number(headers.slice(9, 12)), rest: bytes.subarray(end) };
}

export const webSocketHead = (path: string, ...protocols: readonly string[]): string[] => [
  `GET ${path} HTTP/1.1`,
  'connection: Upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
  ...(protocols.length === 0 ? [] : [`sec-websocket-protocol: ${protocols.join(', ')}`]),
];

/** A client of the channels of Kubernetes that is no kubectl. */
export class ChannelClient {
  readonly socket: TLSSocket;
  readonly protocol: ChannelProtocol;
  readonly #reader = new WebSocketReader('client');
  readonly #channels: ChannelReader;
  readonly #said = new Map<Channel, Buffer[]>();
  pongs = 0;
  closed: number | undefined;

  constructor({ socket, rest }: Answered, protocol: ChannelProtocol) {
    this.socket = socket;
    this.protocol = protocol;
    this.#channels = new ChannelReader(protocol);
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    this.#take(rest);
    socket.resume();
  }

  said(channel: Channel): string {
    return Buffer.concat(this.#said.get(channel) ?? []).toString();
  }

  bytes(channel: Channel): Buffer {
    return Buffer.concat(this.#said.get(channel) ?? []);
  }

  frame(channel: Channel, data: Buffer | string): Buffer {
    const message = encodeChannel({ kind: 'data', channel, data: [Buffer.from(data)] }, this.protocol);
    return Buffer.concat(encodeFrame({ fin: true, opcode: OPCODE[message.type], data: message.data }, randomBytes(4)));
  }

  closing(channel: Channel): Buffer {
    const { data } = encodeChannel({ kind: 'close', channel }, this.protocol);
    return Buffer.concat(encodeFrame({ fin: true, opcode: OPCODE.binary, data }, randomBytes(4)));
  }

  /** Nothing more comes. */
  async over(): Promise<void> {
    await eventually('the end of a connection', () => this.socket.destroyed || this.closed !== undefined || undefined);
  }

  #take(bytes: Buffer): void {
    for (const event of this.#reader.push(bytes)) {
      if (event.kind === 'pong') this.pongs++;
      if (event.kind === 'close') this.closed = event.code ?? 0;
      if (event.kind !== 'text' && event.kind !== 'binary') continue;
      const message = this.#channels.push(event);
      if (message?.kind !== 'data') continue;
      const said = this.#said.get(message.channel) ?? [];
      said.push(message.data);
      this.#said.set(message.channel, said);
    }
  }
}
