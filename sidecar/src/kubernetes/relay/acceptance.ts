import { type IncomingMessage, STATUS_CODES } from 'node:http';
import { acceptKey, type ChannelProtocol, chooseProtocol } from '../wire/index.ts';
import { SPDY_PROTOCOL } from './side.ts';
import { PORT_FORWARD, TUNNEL } from './upstream-channels.ts';

/** How a connection is accepted: `answer` is what says so. */
export type Accepted = AcceptedProcess | { readonly kind: 'forward'; readonly isTunnel: boolean; readonly answer: Buffer };
export type AcceptedProcess =
  | { readonly kind: 'websocket'; readonly protocol: ChannelProtocol; readonly answer: Buffer }
  | { readonly kind: 'spdy'; readonly answer: Buffer };

/** Undefined: none of the protocols is spoken here. */
export function acceptanceOf({ headers }: IncomingMessage, verb: string, offered: readonly string[]): Accepted | undefined {
  const isForward = verb === 'portforward';
  if (headers.upgrade?.toLowerCase() !== 'websocket') {
    const protocol = isForward ? PORT_FORWARD : SPDY_PROTOCOL;
    const answer = switching('SPDY/3.1', { 'x-stream-protocol-version': protocol });
    if (!offered.includes(protocol)) return undefined;
    return isForward ? { kind: 'forward', isTunnel: false, answer } : { kind: 'spdy', answer };
  }
  const accept = acceptKey(headers['sec-websocket-key'] ?? '');
  if (accept === undefined || headers['sec-websocket-version'] !== '13') return undefined;
  const answer = (protocol: string): Buffer =>
    switching('websocket', { 'sec-websocket-accept': accept, 'sec-websocket-protocol': protocol });
  if (isForward) return offered.includes(TUNNEL) ? { kind: 'forward', isTunnel: true, answer: answer(TUNNEL) } : undefined;
  const protocol = chooseProtocol(offered);
  return protocol && { kind: 'websocket', protocol, answer: answer(protocol) };
}

function switching(upgrade: string, headers: Readonly<Record<string, string>>): Buffer {
  return headOf(101, { connection: 'Upgrade', upgrade, ...headers });
}

/** Head of an answer in HTTP/1.1. */
export function headOf(status: number, headers: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n`);
}
