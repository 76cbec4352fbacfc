import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { type Clock, type Logger, systemClock } from '../platform.ts';

/** An issuer on loopback whose every answer a test can change; it speaks HTTP for real. */
export interface TestIssuer extends AsyncDisposable {
  readonly issuer: string;
  /** What it publishes; changed by tests. */
  keys: object[];
  /** Answers in place of the ordinary ones, by path. */
  readonly answers: Map<string, Answer>;
  /** Paths that were asked for. */
  readonly asked: string[];
  /** Down: connections are reset. */
  down: boolean;
}
export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Never answers. */
  readonly hangs?: boolean;
}
export const DISCOVERY = '/.well-known/openid-configuration';

export async function startIssuer(tls?: { certificate: string; key: string }): Promise<TestIssuer> {
  const asked: string[] = [];
  const answers = new Map<string, Answer>();
  const server: Server = tls === undefined ? createServer() : createTlsServer({ cert: tls.certificate, key: tls.key });
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    if (made.down) socket.resetAndDestroy();
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.on('request', (request, response) => {
    const path = request.url ?? '';
    asked.push(path);
    const ordinary: Record<string, object> = {
      [DISCOVERY]: { issuer: made.issuer, jwks_uri: `${made.issuer}/jwks` },
      '/jwks': { keys: made.keys },
    };
    const own = ordinary[path];
    const answer: Answer = answers.get(path) ?? (own === undefined ? { status: 404 } : { body: JSON.stringify(own) });
    if (answer.hangs === true) return;
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers });
    response.end(answer.body ?? '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const made: TestIssuer = {
    issuer: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    keys: [],
    answers,
    asked,
    down: false,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return made;
}

export interface Signer {
  readonly publicKey: JWK;
  readonly privateKey: CryptoKey;
  readonly alg: string;
  readonly kid: string;
}

export async function aSigner(alg = 'RS256', kid = `${alg}-1`): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { publicKey: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }, privateKey, alg, kid };
}

/** `undefined` in `claims` or `header` takes a member away. */
export function sign(signer: Signer, claims: object, header: object = {}): Promise<string> {
  const protectedHeader = defined({ alg: signer.alg, kid: signer.kid, typ: 'JWT', ...header }) as { alg: string };
  return new SignJWT(defined(claims)).setProtectedHeader(protectedHeader).sign(signer.privateKey);
}

function defined(value: object): Record<string, unknown> {
  return JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
}

const part = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A compact serialisation of whatever is said, with this signature. */
export function compact(header: unknown, payload: unknown, signature = ''): string {
  return `${part(header)}.${part(payload)}.${signature}`;
}

/** A clock that a test moves, and a log that it reads. */
export function anOutside(): { clock: Clock; advance: (ms: number) => void; logger: Logger; logged: string[] } {
  let moved = 0;
  const logged: string[] = [];
  const note = (event: string, fields?: object): void => void logged.push(JSON.stringify({ event, ...fields }));
  return {
    clock: {
      now: () => systemClock.now() + moved,
      monotonic: () => systemClock.monotonic() + moved,
      after: (ms) => systemClock.after(ms),
    },
    advance: (ms) => {
      moved += ms;
    },
    logger: { info: note, warn: note, error: note },
    logged,
  };
}
