import { timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { isMissingFamily } from './missing-family.ts';

/**
 * How chaperone-verify asks whether a connection that it opened to somewhere else arrived at this pod's own sidecar: it sends
 * `CHAPERONE-VERIFY <nonce>\n` and gets `CHAPERONE-CAPTURED <nonce>\n`. The nonce is made by the sidecar at start and lies in a
 * volume that only chaperone-* containers mount. Whoever sends anything else gets a reset and no byte.
 */
export const VERIFY_REQUEST = 'CHAPERONE-VERIFY ';
export const VERIFY_ANSWER = 'CHAPERONE-CAPTURED ';

/** Time for the first line of chaperone-verify; long enough for a busy node, short enough for who waits for a server's banner. */
const FIRST_LINE_MS = 500;
const MAX_OPEN = 128;

export interface DenyListenerOptions {
  /** Where to listen; by default 127.0.0.1 and ::1, which is where the redirect leads. */
  readonly hosts?: readonly string[];
  readonly port: number;
  readonly nonce: string;
  /** What the sidecar asks itself with just now, as chaperone-verify does; undefined while it does not ask. */
  readonly own?: () => OwnQuestion | undefined;
  /** Called for every connection that was refused, which excludes those of chaperone-verify. */
  readonly onDenied: () => void;
}

/** A look of the sidecar at its own capture. */
export interface OwnQuestion {
  /** As long as the nonce of chaperone-verify, made for this look alone. */
  readonly nonce: string;
  /** It came in. */
  readonly arrived: () => void;
}

/** Refuses and counts every connection to what is not granted. Rejects where a port is taken. */
export async function startDenyListener(options: DenyListenerOptions): Promise<{ port: number; stop(): Promise<void> }> {
  const hosts = options.hosts ?? ['127.0.0.1', '::1'];
  const servers: Server[] = [];
  const open = new Set<Socket>();
  const stop = async (): Promise<void> => {
    for (const socket of open) socket.destroy();
    await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  };
  const listen = async (host: string, at: number): Promise<number> => {
    const server = createServer((socket) => {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      serve(socket, options);
    });
    server.maxConnections = MAX_OPEN;
    server.on('drop', options.onDenied);
    server.listen({ host, port: at, ipv6Only: true });
    try {
      await once(server, 'listening');
    } catch (error) {
      if (host === hosts[0] || !isMissingFamily(error)) throw error;
      return at;
    }
    server.on('error', () => undefined);
    servers.push(server);
    const bound = server.address();
    return bound !== null && typeof bound === 'object' ? bound.port : at;
  };
  let port = options.port;
  try {
    for (const host of hosts) port = await listen(host, port);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, stop };
}

function serve(socket: Socket, { nonce, own, onDenied }: DenyListenerOptions): void {
  const length = VERIFY_REQUEST.length + nonce.length + 1;
  let line = Buffer.alloc(0);
  let decided = false;
  const deny = (): void => {
    if (decided) return;
    decided = true;
    onDenied();
    socket.resetAndDestroy();
  };
  socket.setTimeout(FIRST_LINE_MS, deny);
  socket.on('error', () => socket.destroy());
  socket.on('end', deny);
  socket.on('data', (chunk: Buffer) => {
    if (decided) return;
    line = Buffer.concat([line, chunk.subarray(0, length + 1 - line.length)]);
    if (line.length < length && VERIFY_REQUEST.startsWith(line.toString('latin1', 0, VERIFY_REQUEST.length))) return;
    const question = own?.();
    const asked = [nonce, question?.nonce].find((each) => each !== undefined && asks(line, each));
    if (asked === undefined) return deny();
    decided = true;
    if (asked === question?.nonce) question.arrived();
    socket.end(`${VERIFY_ANSWER}${asked}\n`);
  });
}

function asks(line: Buffer, nonce: string): boolean {
  const expected = Buffer.from(`${VERIFY_REQUEST}${nonce}\n`);
  return line.length === expected.length && timingSafeEqual(line, expected);
}
