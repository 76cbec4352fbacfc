import { once } from 'node:events';
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type SecureContext, TLSSocket } from 'node:tls';
import { isLoopback } from '../../capture/guard.ts';
import { alpn } from '../../lent.ts';
import type { HeaderList, RawRequest } from '../actions/index.ts';

/** TLS and, of HTTP/1.1, each head of a request. */
const HANDSHAKE_MS = 15_000;
/** All headers of a request, as much as is read of them. */
const MAX_HEAD_BYTES = 64 * 1024;
/** Of one connection of HTTP/2; each of HTTP/1.1 has one. */
export const MAX_AT_ONCE = 100;
/** First byte of a TLS record that begins a handshake (RFC 8446, section 5.1). */
const HANDSHAKE = 0x16;

export type AgentRequest = IncomingMessage | Http2ServerRequest;
export type AgentResponse = ServerResponse | Http2ServerResponse;
export interface Handler {
  readonly request: (request: AgentRequest, response: AgentResponse) => void;
  /** Of HTTP/1.1: it asks to go on in another protocol, and the socket is its own from here on. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

export interface AcceptOptions {
  readonly secureContext: SecureContext | undefined;
  /** Plain HTTP/1.1 is taken from the loopback of this machine. */
  readonly local: boolean;
}

/**
 * What HTTP is spoken on within TLS.
 * @returns undefined: it spoke none in time, or left
 */
export async function secure(socket: Socket, { secureContext, local }: AcceptOptions): Promise<Socket | undefined> {
  const timer = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
  try {
    if (local && isLoopback(socket.remoteAddress ?? '') && (await firstByte(socket)) !== HANDSHAKE) return alive(socket);
    if (secureContext === undefined) return undefined;
    const secured = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: alpn('h2', 'http/1.1') });
    secured.on('error', () => secured.destroy());
    await Promise.race([once(secured, 'secure'), once(secured, 'close'), once(socket, 'close')]);
    return alive(secured);
  } finally {
    clearTimeout(timer);
  }
}

function alive(socket: Socket): Socket | undefined {
  return socket.destroyed ? undefined : socket;
}

async function firstByte(socket: Socket): Promise<number | undefined> {
  if (socket.destroyed) return undefined;
  await Promise.race([once(socket, 'readable'), once(socket, 'close')]);
  const first = socket.read() as Buffer | null;
  if (first === null) return undefined;
  socket.unshift(first);
  return first[0];
}

/** Serves HTTP/2 or HTTP/1.1, whichever TLS agreed on, until the connection is over. */
export async function serveHttp(socket: Socket, handler: Handler): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    if (socket.destroyed) resolve();
    socket.once('close', () => resolve());
  });
  if (socket instanceof TLSSocket && socket.alpnProtocol === 'h2') serveHttp2(socket, handler);
  else serveHttp1(socket, handler);
  await closed;
}

function serveHttp2(socket: Socket, { request: handle }: Handler): void {
  const server = createHttp2Server(
    {
      settings: { maxConcurrentStreams: MAX_AT_ONCE, maxHeaderListSize: MAX_HEAD_BYTES, enablePush: false },
      maxHeaderListPairs: 160,
    },
    handle,
  );
  server.on('sessionError', () => socket.destroy());
  server.emit('connection', socket);
  // Node's session waits for it on a socket that no TLS server of its own made.
  socket.emit('secureConnect');
}

function serveHttp1(socket: Socket, { request: handle, upgrade }: Handler): void {
  let [asked, read, since] = [0, 0, performance.now()];
  const mark = (): void => {
    [read, since] = [socket.bytesRead, performance.now()];
  };
  const server = createServer(
    { maxHeaderSize: MAX_HEAD_BYTES, insecureHTTPParser: false, keepAliveTimeout: 0 },
    (request, response) => {
      asked++;
      response.once('close', () => {
        asked--;
        mark();
      });
      handle(request, response);
    },
  );
  server.on('upgrade', (request: IncomingMessage, upgraded: Duplex, head: Buffer) => {
    // An answer that is still on its way would be read as what follows this one.
    if (asked++ > 0) return void upgraded.destroy();
    return upgrade(request, upgraded, head);
  });
  server.on('connect', (_, refused) => refused.destroy());
  // A server that listens nowhere has no clock for heads of requests.
  const watch = setInterval(() => {
    if (asked > 0 || socket.bytesRead === read) mark();
    else if (performance.now() - since > HANDSHAKE_MS) socket.destroy();
  }, 1000).unref();
  socket.once('close', () => clearInterval(watch));
  server.emit('connection', socket);
}

/** Whether a request in the clear names this machine; a page in a browser that reaches us by a name of its own does not. */
export function isForThisMachine({ headers }: RawRequest): boolean {
  const [host, ...more] = headers.filter(([name]) => name.toLowerCase() === 'host');
  return more.length === 0 && /^(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?$/i.test(host?.[1] ?? '');
}

/** Whether a page of another site asks, in a browser: it may open WebSockets to everybody, and says whence. */
export function isOfAnotherSite({ headers }: RawRequest): boolean {
  const one = (wanted: string): string | undefined => headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
  const origin = one('origin');
  return origin !== undefined && URL.parse(origin)?.host !== one('host')?.toLowerCase();
}

/** A request as it came. */
export function rawOf(request: AgentRequest): RawRequest {
  const { rawHeaders } = request;
  const headers: HeaderList = rawHeaders
    .flatMap((name, at) => (at % 2 === 0 ? [[name, rawHeaders[at + 1] ?? ''] as const] : []))
    .filter(([name]) => !name.startsWith(':'));
  const hasBody =
    'stream' in request
      ? !request.stream.endAfterHeaders
      : Number(request.headers['content-length'] ?? 0) > 0 || request.headers['transfer-encoding'] !== undefined;
  return { method: request.method ?? '', target: request.url ?? '', headers, hasBody };
}

/** For both versions, whose types TypeScript cannot call as one. */
export function writeHead(response: AgentResponse, status: number, headers: OutgoingHttpHeaders): void {
  if ('stream' in response) response.writeHead(status, headers);
  else response.writeHead(status, headers);
}

/** @returns false: wait for drain */
export function write(response: AgentResponse, bytes: Buffer): boolean {
  return 'stream' in response ? response.write(bytes) : response.write(bytes);
}
