import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { RawRequest } from '../../src/kubernetes/actions/index.ts';
import { type Channel, ChannelReader, chooseProtocol, encodeChannel } from '../../src/kubernetes/wire/channels.ts';
import { SpdyReader, type SpdyFrame, SpdyWriter } from '../../src/kubernetes/wire/spdy.ts';
import { acceptKey, closeData, encodeFrame, OPCODE, WebSocketReader } from '../../src/kubernetes/wire/websocket.ts';
import { frameBytes } from '../../src/kubernetes/wire/websocket.test-support.ts';

/**
 * An API server with one pod, made of the codecs that it tests: exec echoes stdin, says the command on stderr and ends with 7;
 * port-forward echoes. It speaks plain HTTP, which kubectl takes from a server on this machine.
 */
export interface PodServer extends AsyncDisposable {
  readonly url: string;
  /** What was spoken, one word for each connection: `exec v5.channel.k8s.io`. */
  readonly spoken: string[];
  /** Every request, to be read. */
  readonly requests: RawRequest[];
}

const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'shop' },
  spec: { containers: [{ name: 'app', image: 'x', ports: [{ containerPort: 80 }] }] },
  status: { phase: 'Running' },
};
/** By which kubectl finds what pods are. */
const DISCOVERY: Readonly<Record<string, object>> = {
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [{ name: 'pods', singularName: 'pod', namespaced: true, kind: 'Pod', verbs: ['get', 'list'] }],
  },
};
const STATUS = Buffer.from(
  JSON.stringify({
    metadata: {},
    status: 'Failure',
    reason: 'NonZeroExitCode',
    message: 'command terminated with exit code 7',
    details: { causes: [{ reason: 'ExitCode', message: '7' }] },
  }),
);
const TUNNEL = 'SPDY/3.1+portforward.k8s.io';

export async function startPodServer(): Promise<PodServer> {
  const spoken: string[] = [];
  const requests: RawRequest[] = [];
  const sockets = new Set<Duplex>();
  const server: Server = createServer((request, response) => {
    requests.push(rawOf(request));
    const [path = ''] = (request.url ?? '').split('?');
    response.setHeader('content-type', 'application/json').end(JSON.stringify(DISCOVERY[path] ?? POD));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    sockets.add(socket.on('error', () => socket.destroy()));
    if (head.length > 0) socket.unshift(head);
    requests.push(rawOf(request));
    serveUpgrade(request, socket, spoken);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spoken,
    requests,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function rawOf({ method = '', url = '', rawHeaders, headers }: IncomingMessage): RawRequest {
  const list = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name, rawHeaders[at + 1] ?? ''] as const] : []));
  return { method, target: url, headers: list, hasBody: Number(headers['content-length'] ?? 0) > 0 };
}

function serveUpgrade({ url = '', headers, rawHeaders }: IncomingMessage, socket: Duplex, spoken: string[]): void {
  const at = new URL(url, 'http://x');
  const verb = at.pathname.split('/').at(-1) ?? '';
  const command = at.searchParams.getAll('command').join(' ');
  if (headers.upgrade === 'websocket') {
    const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
    const protocol = offered.includes(TUNNEL) ? TUNNEL : chooseProtocol(offered);
    spoken.push(`${verb} ${protocol ?? 'nothing'}`);
    answer(socket, 'websocket', {
      'Sec-WebSocket-Accept': acceptKey(headers['sec-websocket-key'] ?? '') ?? '',
      'Sec-WebSocket-Protocol': protocol ?? '',
    });
    if (protocol === TUNNEL) tunnel(socket);
    else if (protocol !== undefined) execByChannels(socket, protocol, command);
    return;
  }
  const offered = rawHeaders.filter((_, index) => rawHeaders[index - 1]?.toLowerCase() === 'x-stream-protocol-version');
  const protocol = offered[0] ?? '';
  spoken.push(`${verb} SPDY ${protocol}`);
  answer(socket, 'SPDY/3.1', { 'X-Stream-Protocol-Version': protocol });
  const streams = new Streams(
    (bytes) => void socket.write(bytes),
    verb,
    command,
    () => socket.end(),
  );
  socket.on('data', (chunk: Buffer) => streams.push(chunk));
}

function answer(socket: Duplex, upgrade: string, headers: Readonly<Record<string, string>>): void {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\n${lines.join('')}\r\n`);
}

function execByChannels(socket: Duplex, protocol: NonNullable<ReturnType<typeof chooseProtocol>>, command: string): void {
  const reader = new WebSocketReader('server');
  const channels = new ChannelReader(protocol);
  const say = (channel: Channel, data: Buffer): void => {
    const { type, data: message } = encodeChannel({ kind: 'data', channel, data: [data] }, protocol);
    socket.write(Buffer.concat(encodeFrame({ fin: true, opcode: OPCODE[type], data: message })));
  };
  say('stderr', Buffer.from(`ran ${command}\n`));
  socket.on('data', (chunk: Buffer) => {
    for (const event of reader.push(chunk)) {
      if (event.kind === 'ping') socket.write(frameBytes({ fin: true, opcode: OPCODE.pong, data: event.data }));
      if (event.kind !== 'text' && event.kind !== 'binary') continue;
      const message = channels.push(event);
      if (message?.channel !== 'stdin') continue;
      if (message.kind === 'data') say('stdout', message.data);
      else {
        say('error', STATUS);
        socket.end(frameBytes({ fin: true, opcode: OPCODE.close, data: closeData(1000) }));
      }
    }
  });
}

/** SPDY within messages, as port-forward does since kubectl 1.31. */
function tunnel(socket: Duplex): void {
  const reader = new WebSocketReader('server');
  const streams = new Streams(
    (bytes) => void socket.write(frameBytes({ fin: true, opcode: OPCODE.binary, data: bytes })),
    'portforward',
    '',
    () => {},
  );
  socket.on('data', (chunk: Buffer) => {
    for (const event of reader.push(chunk)) {
      if (event.kind === 'binary') streams.push(event.data);
      if (event.kind === 'ping') socket.write(frameBytes({ fin: true, opcode: OPCODE.pong, data: event.data }));
    }
  });
}

class Streams {
  readonly #reader = new SpdyReader('client');
  readonly #writer = new SpdyWriter();
  readonly #types = new Map<number, string>();
  readonly #send: (bytes: Buffer) => void;
  readonly #verb: string;
  readonly #command: string;
  readonly #end: () => void;

  constructor(send: (bytes: Buffer) => void, verb: string, command: string, end: () => void) {
    this.#send = send;
    this.#verb = verb;
    this.#command = command;
    this.#end = end;
  }

  push(chunk: Buffer): void {
    for (const frame of this.#reader.push(chunk)) this.#frame(frame);
  }

  #say(frame: SpdyFrame): void {
    this.#send(this.#writer.write(frame));
  }

  #of(type: string): number {
    return [...this.#types].find(([, each]) => each === type)?.[0] ?? 0;
  }

  #frame(frame: SpdyFrame): void {
    if (frame.kind === 'ping') this.#say(frame);
    if (frame.kind === 'open') {
      this.#types.set(frame.stream, frame.headers.get('streamtype')?.[0] ?? '');
      this.#say({ kind: 'reply', stream: frame.stream, fin: false, headers: new Map() });
      if (this.#types.get(frame.stream) === 'stderr') this.#data('stderr', Buffer.from(`ran ${this.#command}\n`), false);
    }
    if (frame.kind !== 'data') return;
    const type = this.#types.get(frame.stream) ?? '';
    if (this.#verb === 'portforward' && type === 'data') this.#say(frame);
    if (type !== 'stdin') return;
    if (frame.data.length > 0) this.#data('stdout', frame.data, false);
    if (!frame.fin) return;
    this.#data('error', STATUS, true);
    for (const each of ['stdout', 'stderr']) this.#data(each, Buffer.alloc(0), true);
    this.#end();
  }

  #data(type: string, data: Buffer, fin: boolean): void {
    this.#say({ kind: 'data', stream: this.#of(type), fin, data });
  }
}
