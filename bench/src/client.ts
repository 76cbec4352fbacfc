import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { Client } from 'pg';
import { DATABASE } from './database.ts';
import type { Path } from './path.ts';

const BULK_TIMEOUT_MS = 120_000;
/** ReadyForQuery, idle: the last bytes of every answer. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);
/** DataRow, and CopyData where rows are copied. */
const ROWS: readonly (number | undefined)[] = [0x44, 0x64];

export function connect(path: Path): Promise<Client> {
  const client = new Client({
    host: path.host,
    port: path.port,
    user: path.user,
    password: path.password,
    database: DATABASE,
    ssl: path.ca === undefined ? false : { ca: path.ca },
    connectionTimeoutMillis: 10_000,
  });
  client.on('error', () => undefined);
  return client.connect().then(() => client);
}

/** True once something listens on a port of this machine. Rejects until then. */
export async function accepting(port: number): Promise<true> {
  const socket = createConnection(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } finally {
    socket.destroy();
  }
}

/** Whether a client gets in. */
export async function accepts(path: Path): Promise<boolean> {
  try {
    const client = await connect(path);
    await client.end();
    return true;
  } catch {
    return false;
  }
}

export interface Bulk {
  readonly firstRowMs: number;
  readonly totalMs: number;
  readonly bytes: number;
  /** As CommandComplete says. */
  readonly rows: number;
}

/**
 * Runs one simple query and throws its rows away as they come, looking only for the first and the end: reading them with a
 * client library would measure that library. The login is the library's.
 */
export async function readAway(path: Path, sql: string): Promise<Bulk> {
  const client = await connect(path);
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  stream.removeAllListeners('data');
  try {
    return await new Promise<Bulk>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the result took too long')), BULK_TIMEOUT_MS);
      const search = new FirstRow();
      let firstRowMs: number | undefined;
      let bytes = 0;
      let tail: Buffer = Buffer.alloc(0);
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (firstRowMs === undefined && search.push(chunk)) firstRowMs = performance.now() - began;
        tail = chunk.length >= 64 ? chunk.subarray(-64) : Buffer.concat([tail, chunk]).subarray(-64);
        if (!tail.subarray(-READY.length).equals(READY)) return;
        clearTimeout(timer);
        const rows = Number(/(?:SELECT|COPY) (\d+)\0/.exec(tail.toString('latin1'))?.[1] ?? Number.NaN);
        if (firstRowMs === undefined || Number.isNaN(rows)) reject(new Error('the query was refused'));
        else resolve({ firstRowMs, totalMs: performance.now() - began, bytes, rows });
      });
      stream.once('close', () => reject(new Error('the connection was closed')));
      const text = Buffer.from(`${sql}\0`);
      const message = Buffer.alloc(5 + text.length);
      message.write('Q', 'latin1');
      message.writeInt32BE(4 + text.length, 1);
      text.copy(message, 5);
      const began = performance.now();
      stream.write(message);
    });
  } finally {
    stream.destroy();
  }
}

/** Walks message by message to the first DataRow; the messages before it are few and small. */
class FirstRow {
  #bytes: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): boolean {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (;;) {
      if (ROWS.includes(this.#bytes[0])) return true;
      if (this.#bytes.length < 5) return false;
      const length = 1 + this.#bytes.readInt32BE(1);
      if (this.#bytes.length < length) return false;
      this.#bytes = this.#bytes.subarray(length);
    }
  }
}
