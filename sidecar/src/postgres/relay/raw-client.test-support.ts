import { connect, type Socket } from 'node:net';
import {
  BACKEND,
  type CancelKey,
  dataRowCells,
  decodeBackendKeyData,
  decodeCommandComplete,
  decodeErrorResponse,
  decodeReadyForQuery,
  encodeBind,
  encodeClose,
  encodeCopyDone,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeQuery,
  encodeStartup,
  encodeSync,
  encodeTerminate,
  MessageReader,
  type ProtocolMinor,
} from '../wire/index.ts';

/** Longer than a busy machine takes; only who is never answered waits for it. */
const STEP_TIMEOUT_MS = 30_000;

/** What a server said, as far as a test compares it: type letter, then what the message tells. */
export type Heard = readonly [type: string, ...string[]];

/** Messages of an agent, short enough to be written in tables. */
export const say = {
  parse: (query: string, name = '', parameterTypes: readonly number[] = []) => encodeParse({ name, query, parameterTypes }),
  bind: (statement = '', portal = '', parameters: readonly (string | null)[] = []) =>
    encodeBind({
      portal,
      statement,
      parameterFormats: [],
      parameters: parameters.map((value) => (value === null ? null : Buffer.from(value))),
      resultFormats: [],
    }),
  describe: (kind: 'statement' | 'portal', name = '') => encodeDescribe({ kind, name }),
  execute: (portal = '', maxRows = 0) => encodeExecute({ portal, maxRows }),
  close: (kind: 'statement' | 'portal', name = '') => encodeClose({ kind, name }),
  flush: encodeFlush,
  sync: encodeSync,
  query: encodeQuery,
  copyData: (text: string) => {
    const bytes = Buffer.from(`d0000${text}`);
    bytes.writeInt32BE(bytes.length - 1, 1);
    return bytes;
  },
  copyDone: encodeCopyDone,
  terminate: encodeTerminate,
};

/** A client that says exactly the bytes it is told to, in the clear, and keeps every byte it is answered. */
export class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  /** Everything that ever came, for canaries. */
  readonly bytes: Buffer[] = [];
  readonly heard: Heard[] = [];
  /** What it may cancel with. */
  key: CancelKey | undefined;
  closed = false;
  readonly #reader = new MessageReader({ decide: () => 'whole' });
  #waiting: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.bytes.push(Buffer.from(chunk));
      this.#reader.push(chunk);
      for (let piece = this.#reader.next(); piece !== undefined; piece = this.#reader.next())
        if (piece.kind === 'message') {
          if (piece.type === BACKEND.BackendKeyData) this.key = decodeBackendKeyData(piece.bytes);
          this.heard.push(heardOf(piece.type, piece.bytes));
        }
      this.#waiting?.();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#waiting?.();
    });
  }

  /** Connects and logs in; the server must not ask for a password. */
  static async open(port: number, parameters: Readonly<Record<string, string>> = {}): Promise<RawClient> {
    const client = RawClient.begin(port, parameters);
    await client.ready();
    return client;
  }

  /** Connects and says its startup packet; what is answered is not read yet. */
  static begin(port: number, parameters: Readonly<Record<string, string>> = {}, minor: ProtocolMinor = 0): RawClient {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const client = new RawClient(socket);
    socket.write(encodeStartup(new Map(Object.entries({ user: 'bot', database: 'orders', ...parameters })), minor));
    return client;
  }

  get text(): string {
    return Buffer.concat(this.bytes).toString('latin1');
  }

  send(...messages: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** What comes up to and with the `count`th ReadyForQuery, or up to the end of the connection. */
  ready(count = 1): Promise<Heard[]> {
    return this.until((heard) => heard.filter(([type]) => type === 'Z').length >= count);
  }

  async until(enough: (heard: readonly Heard[]) => boolean): Promise<Heard[]> {
    let had = -1;
    let timeout = AbortSignal.timeout(STEP_TIMEOUT_MS);
    while (!enough(this.heard) && !this.closed) {
      // Much that comes slowly is not silence.
      if (this.bytes.length > had) timeout = AbortSignal.timeout(STEP_TIMEOUT_MS);
      had = this.bytes.length;
      if (timeout.aborted) throw new Error(`no answer; so far: ${JSON.stringify(this.heard)}`);
      const silence = timeout;
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
        silence.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    return this.heard.splice(0);
  }

  /** Says something and gives what is answered up to ReadyForQuery. */
  async ask(...messages: readonly Buffer[]): Promise<Heard[]> {
    const syncs = messages.filter((message) => message[0] === 0x53 || message[0] === 0x51).length;
    this.send(...messages);
    return this.ready(Math.max(1, syncs));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.closed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.socket.once('close', () => resolve());
    this.socket.end(Buffer.from([0x58, 0, 0, 0, 4]));
    this.socket.destroySoon();
    await promise;
  }
}

/** The type letters of what was heard, in order. */
export const typesOf = (heard: readonly Heard[]): string => heard.map(([type]) => type).join('');

/** The rows that were heard, cells divided by a blank. */
export const rowsOf = (heard: readonly Heard[]): string[] =>
  heard.filter(([type]) => type === 'D').map(([, ...cells]) => cells.join(' '));

function heardOf(type: number, bytes: Buffer): Heard {
  const letter = String.fromCharCode(type);
  switch (type) {
    case BACKEND.DataRow:
      return [letter, ...[...dataRowCells(bytes)].map((cell) => cell?.toString('utf8') ?? 'NULL')];
    case BACKEND.CommandComplete:
      return [letter, decodeCommandComplete(bytes)];
    case BACKEND.ErrorResponse:
    case BACKEND.NoticeResponse: {
      const { C = '', M = '' } = decodeErrorResponse(bytes);
      return [letter, C, M];
    }
    case BACKEND.ReadyForQuery:
      return [letter, decodeReadyForQuery(bytes)];
    default:
      return [letter];
  }
}
