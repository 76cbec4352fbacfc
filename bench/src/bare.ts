import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Database, ROLE } from './database.ts';
import { ended } from './ended.ts';
import type { Path } from './path.ts';
import type { Started } from './sidecar.ts';

/** The least that a proxy in Node can be: two sockets for each session and nothing between them. No import: each costs memory. */
const PROGRAM = `
const { createServer, connect } = require('node:net');
const [host, port] = process.argv.slice(1);
const server = createServer({ noDelay: true }, (agent) => {
  const upstream = connect({ port: Number(port), host, noDelay: true });
  agent.pipe(upstream).pipe(agent);
  for (const socket of [agent, upstream]) socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => process.stdout.write(server.address().port + '\\n'));
`;

/**
 * The least that a relay of PostgreSQL can be: it finds where each message ends, and passes on whole ones only, what came in one read by
 * one write. Nothing is judged, masked or recorded. Reads of the server go into one buffer, as the sidecar's do.
 */
const FRAMING_PROGRAM = `
const { createServer, connect } = require('node:net');
const [host, port] = process.argv.slice(1);
function framed(head) {
  let rest;
  return (chunk) => {
    if (rest !== undefined) chunk = Buffer.concat([rest, chunk]);
    rest = undefined;
    let at = 0;
    for (let end = 0; chunk.length - at >= head; at = end) {
      end = at + head - 4 + chunk.readUInt32BE(at + head - 4);
      if (end > chunk.length) break;
      head = 5;
    }
    if (at < chunk.length) rest = Buffer.from(chunk.subarray(at));
    return chunk.subarray(0, at);
  };
}
const server = createServer({ noDelay: true }, (agent) => {
  const [asked, answered, buffer] = [framed(4), framed(5), Buffer.allocUnsafeSlow(65536)];
  const callback = (length) => {
    const bytes = answered(buffer.subarray(0, length));
    if (bytes.length > 0) agent.write(Buffer.from(bytes));
    return true;
  };
  const upstream = connect({ port: Number(port), host, noDelay: true, onread: { buffer, callback } });
  agent.on('data', (chunk) => {
    const bytes = asked(chunk);
    if (bytes.length > 0) upstream.write(bytes);
  });
  for (const [socket, other] of [[agent, upstream], [upstream, agent]]) {
    socket.on('error', () => socket.destroy());
    socket.on('close', () => other.destroy());
  }
});
server.listen(0, '127.0.0.1', () => process.stdout.write(server.address().port + '\\n'));
`;

/** Starts a relay that only finds messages, as the floor of what a statement may take; no backpressure, so for short ones only. */
export async function startFraming({ host, port }: Database): Promise<Started> {
  const relay = await startListening(['-e', FRAMING_PROGRAM, host, String(port)]);
  const path: Path = { name: 'framing relay', host: '127.0.0.1', port: relay.port, ...ROLE, ca: undefined, pid: relay.pid };
  return { paths: [path], [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose]() };
}

/** Starts a bare relay to the database, as the floor of what a session may take. */
export async function startBare(database: Database): Promise<Started> {
  const relay = await startRelay(database);
  const common = { host: '127.0.0.1', port: relay.port, ...ROLE, ca: undefined, pid: relay.pid };
  return { paths: [{ name: 'bare relay', ...common }], [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose]() };
}

/** The same with TLS on both legs: its arguments go on with PEM of the server's authority, and of its own certificate and key. */
const TLS_PROGRAM = `
const { createServer, connect } = require('node:tls');
const [host, port, ca, cert, key] = process.argv.slice(1);
const server = createServer({ cert, key, noDelay: true }, (agent) => {
  const upstream = connect({ port: Number(port), host, ca, noDelay: true });
  agent.pipe(upstream).pipe(agent);
  for (const socket of [agent, upstream]) socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => process.stdout.write(server.address().port + '\\n'));
`;

/** Starts one to anywhere, on a port of 127.0.0.1. */
export function startRelay(to: Readonly<{ host: string; port: number }>): Promise<Relay> {
  return startListening(['-e', PROGRAM, to.host, String(to.port)]);
}

export interface Relay extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
}

/** Starts one that ends TLS with a certificate of its own, and begins it anew. */
export function startTlsRelay(
  to: Readonly<{ host: string; port: number; ca: string }>,
  own: Readonly<{ certificate: string; key: string }>,
): Promise<Relay> {
  return startListening(['-e', TLS_PROGRAM, to.host, String(to.port), to.ca, own.certificate, own.key]);
}

/** Starts a program of Node's that says its port on its first line. */
export async function startListening(args: readonly string[]): Promise<Relay> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = ended(child);
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the bare relay ended')));
    createInterface({ input: child.stdout }).once('line', (line) => resolve(Number(line)));
  });
  return { port, pid: child.pid ?? Number.NaN, [Symbol.asyncDispose]: stop };
}
