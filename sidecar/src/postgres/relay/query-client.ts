import { BACKEND, dataRowCells, decodeErrorResponse, encodeQuery, encodeTerminate, MessageReader } from '../wire/index.ts';
import { deferred, type Deferred } from '../../platform.ts';
import { decideServer } from './limits.ts';
import { majorOf, type Upstream } from './upstream.ts';

/** Rows that one of our own catalogue queries may give. */
const MAX_ROWS = 400_000;
const QUERY_TIMEOUT_MS = 15_000;

export class QueryError extends Error {
  override readonly name = 'QueryError';
  /** SQLSTATE, or 'closed' and 'timeout'. */
  readonly code: string;
  constructor(code: string) {
    super(`a catalogue query failed (${code})`);
    this.code = code;
  }
}

/** Runs our own queries, one at a time, in text format. */
export class QueryClient implements AsyncDisposable {
  readonly #upstream: Upstream;
  readonly #reader = new MessageReader({ decide: (type, length) => decideServer(type, length) });
  #rows: (string | null)[][] = [];
  #pending: Deferred<(string | null)[][]> | undefined;
  #failure: QueryError | undefined;

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
    upstream.socket.on('data', (chunk: Buffer) => this.#take(chunk));
    upstream.socket.on('close', () => this.#pending?.reject(new QueryError('closed')));
    upstream.socket.on('error', () => this.#pending?.reject(new QueryError('closed')));
    if (upstream.rest.length > 0) this.#take(upstream.rest);
    upstream.socket.resume();
  }

  /** Major version of the server; 0 where it does not say. */
  get major(): number {
    return majorOf(this.#upstream);
  }

  /** @throws QueryError without the server's text. */
  async query(sql: string): Promise<(string | null)[][]> {
    this.#rows = [];
    this.#failure = undefined;
    const pending = deferred<(string | null)[][]>();
    this.#pending = pending;
    this.#upstream.socket.write(encodeQuery(sql));
    const timer = setTimeout(() => pending.reject(new QueryError('timeout')), QUERY_TIMEOUT_MS);
    try {
      return await pending.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #take(chunk: Buffer): void {
    try {
      this.#reader.push(chunk);
      for (let piece = this.#reader.next(); piece !== undefined; piece = this.#reader.next()) {
        if (piece.kind === 'message') this.#message(piece.type, piece.bytes);
      }
    } catch {
      this.#pending?.reject(new QueryError('protocol'));
      this.#upstream.socket.destroy();
    }
  }

  #message(type: number, bytes: Buffer): void {
    if (type === BACKEND.DataRow) {
      if (this.#rows.length >= MAX_ROWS) this.#failure = new QueryError('too many rows');
      else this.#rows.push([...dataRowCells(bytes)].map((cell) => cell?.toString('utf8') ?? null));
    } else if (type === BACKEND.ErrorResponse) {
      this.#failure = new QueryError(decodeErrorResponse(bytes).C ?? 'XX000');
    } else if (type === BACKEND.ReadyForQuery) {
      if (this.#failure !== undefined) this.#pending?.reject(this.#failure);
      else this.#pending?.resolve(this.#rows);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#upstream.socket.end(encodeTerminate());
    this.#upstream.socket.destroySoon();
    await Promise.resolve();
  }
}
