import type { OnReadOpts, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Authentication } from '@chaperone/api';
import { kept } from '../../lent.ts';
import {
  BACKEND,
  type CancelKey,
  type Decide,
  decodeBackendKeyData,
  decodeErrorResponse,
  decodeNegotiateProtocolVersion,
  decodeParameterStatus,
  decodeReadyForQuery,
  encodeStartup,
  encodeTerminate,
  MessageReader,
  MIN_SECRET_BYTES,
  ProtocolError,
  type ProtocolMinor,
} from '../wire/index.ts';
import { signIn, violation } from './upstream-sign-in.ts';
import { aborted, openTransport, refusedCertificate, type UpstreamAddress } from './upstream-transport.ts';
import { UpstreamError, type UpstreamErrorCode } from './upstream-error.ts';

export { UpstreamError, type UpstreamErrorCode } from './upstream-error.ts';

export interface UpstreamOptions extends UpstreamAddress {
  readonly username: string;
  readonly password?: string | undefined;
  /** How the server may ask for the credential; scram where absent. What else it says counts in mode verify-full alone. */
  readonly authentication?: readonly Authentication[];
  /** Startup parameters besides the user: database, application_name, options, settings. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** For everything from the resolver to ReadyForQuery. */
  readonly connectTimeoutMs?: number;
  /**
   * Reads after the login: `callback(bytes, buffer)` gets what comes, as with net.connect, and returns false to pause. Over plain
   * text the buffer is yours and is filled again by the next read; over TLS it is a fresh one. Without it, listen to 'data'.
   */
  readonly onread?: OnReadOpts;
}

export interface Upstream {
  /** Logged in, idle and paused: `resume()` starts it. Errors are swallowed, 'close' tells. */
  readonly socket: Socket | TLSSocket;
  /** What the server reported, server_version say. */
  readonly parameters: Map<string, string>;
  /** Undefined: the server cannot cancel (some poolers). */
  readonly key: CancelKey | undefined;
  /** What came after ReadyForQuery with it; mostly empty. */
  rest: Buffer;
}

/** Major version of the server; 0 where it does not say. */
export function majorOf({ parameters }: Pick<Upstream, 'parameters'>): number {
  return Number(/^\d{1,3}/.exec(parameters.get('server_version') ?? '')?.[0] ?? 0);
}

const DEFAULT_TIMEOUT_MS = 10_000;
/** Of one message during the login. */
const MAX_LOGIN_BYTES = 64 * 1024;
/** Of all messages of a login; a server sends about a thousand. What comes faster than it is read would pile up here. */
const MAX_LOGIN_TOTAL_BYTES = 1024 * 1024;
/** Messages of one login; a server sends about twenty. */
const MAX_LOGIN_MESSAGES = 256;

const LOGIN_TYPES: ReadonlySet<number> = new Set([
  BACKEND.Authentication,
  BACKEND.BackendKeyData,
  BACKEND.ErrorResponse,
  BACKEND.NegotiateProtocolVersion,
  BACKEND.NoticeResponse,
  BACKEND.ParameterStatus,
  BACKEND.ReadyForQuery,
]);
const decideLogin: Decide = (type, length) => (LOGIN_TYPES.has(type) && length <= MAX_LOGIN_BYTES ? 'whole' : 'refuse');

/**
 * Dials a database and logs in with our credential. A server that asks for the credential in a way that `authentication` does
 * not name is refused, and so is one that asks for nothing. Protocol 3.2 is asked for, for its longer cancel keys; a pooler that
 * turns away what it does not know is dialled again with 3.0.
 * @throws UpstreamError
 */
export async function connectUpstream(options: UpstreamOptions): Promise<Upstream> {
  const timeout = AbortSignal.timeout(options.connectTimeoutMs ?? DEFAULT_TIMEOUT_MS);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  try {
    return await connectOnce(options, 2, signal);
  } catch (error) {
    if (!(error instanceof TurnedAway)) throw error;
  }
  return connectOnce(options, 0, signal);
}

async function connectOnce(options: UpstreamOptions, minor: ProtocolMinor, signal: AbortSignal): Promise<Upstream> {
  const startup = startupPacket(options, minor);
  const { onread } = options;
  const login = new LoginInbox();
  const reads = new Reads(login, onread);
  const transport = await openTransport(options, signal, reads.onread);
  const { socket } = transport;
  const listen = listenerOf(socket, reads);
  if (options.tls.mode !== 'disable' || onread === undefined) socket.on('data', listen);
  const stop = (): void => login.fail(aborted(signal));
  const close = (): void => login.close();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  socket.once('close', close);
  const broke = (error: Error): void => {
    const refused = refusedCertificate(error);
    if (refused !== undefined) login.fail(refused);
    close();
  };
  socket.on('error', broke);
  try {
    socket.write(startup);
    const spoken = await negotiated(login, minor);
    await signIn(options, transport, () => login.next());
    const result = await untilReady(login, spoken);
    socket.pause();
    reads.pass();
    if (onread === undefined) socket.off('data', listen);
    return { socket, ...result };
  } catch (error) {
    if (signal.aborted || error instanceof TurnedAway) socket.destroy();
    else socket.end(encodeTerminate(), () => socket.destroy());
    throw error instanceof ProtocolError
      ? new UpstreamError('UpstreamViolation', 'the database broke the protocol', { cause: error })
      : error;
  } finally {
    signal.removeEventListener('abort', stop);
    socket.off('close', close);
    socket.off('error', broke);
  }
}

/**
 * Hands what is read to the login, and from `pass` on to `onread`. A connection keeps it for as long as it lives, so it keeps nothing of
 * the login after that.
 */
class Reads {
  #login: LoginInbox | undefined;
  readonly #after: OnReadOpts | undefined;

  constructor(login: LoginInbox, after: OnReadOpts | undefined) {
    this.#login = login;
    this.#after = after;
  }

  /** As net.connect takes it: what it reads into is filled again. */
  get onread(): OnReadOpts | undefined {
    if (this.#after === undefined) return undefined;
    const { buffer } = this.#after;
    return { buffer, callback: (bytes, from) => this.#take(bytes, from, true) };
  }

  /** Takes bytes that stay as they are. False: read no more. */
  take(chunk: Buffer): boolean {
    return this.#take(chunk.length, chunk, false);
  }

  #take(bytes: number, from: Uint8Array, reused: boolean): boolean {
    if (this.#login === undefined) return this.#after?.callback(bytes, from) ?? false;
    const read = from.subarray(0, bytes);
    return this.#login.push(reused ? kept(read) : Buffer.from(read.buffer, read.byteOffset, bytes));
  }

  pass(): void {
    this.#login = undefined;
  }
}

/** Apart from the login, all of which would stay with it otherwise. */
function listenerOf(socket: Socket, reads: Reads): (chunk: Buffer) => void {
  return (chunk) => {
    if (!reads.take(chunk)) socket.pause();
  };
}

/** What greets protocol 3.2 does not know it, and does not know either how to say so. */
class TurnedAway extends Error {}

/** SQLSTATEs of servers that know no such version: feature_not_supported, protocol_violation; poolers name others, or none. */
const NOT_THIS_VERSION: ReadonlySet<string | undefined> = new Set(['0A000', '08P01', undefined]);

/**
 * The minor version that the server agrees to. Its word comes first of all, or not at all where it speaks what it was asked for.
 * https://www.postgresql.org/docs/18/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NEGOTIATEPROTOCOLVERSION
 */
async function negotiated(inbox: LoginInbox, asked: ProtocolMinor): Promise<ProtocolMinor> {
  let first: number | undefined;
  try {
    first = await inbox.peek();
  } catch (error) {
    if (asked === 0 || !(error instanceof UpstreamError)) throw error;
    const away =
      (error.code === 'UpstreamLoginRefused' && NOT_THIS_VERSION.has(error.sqlstate)) ||
      (error.code === 'UpstreamUnreachable' && inbox.closed);
    throw away ? new TurnedAway() : error;
  }
  if (first !== BACKEND.NegotiateProtocolVersion) return asked;
  const { minor, options } = decodeNegotiateProtocolVersion(await inbox.next());
  // We name no options, and there is nothing between 3.0 and 3.2.
  if (asked === 0 || minor !== 0 || options.length > 0) throw violation('negotiates a version that it was not asked for');
  return minor;
}

/** Whatever the parameters say, the user is that of the credential. */
function startupPacket({ username, parameters }: UpstreamOptions, minor: ProtocolMinor): Buffer {
  try {
    return encodeStartup(new Map([...Object.entries(parameters), ['user', username]]), minor);
  } catch (cause) {
    throw new UpstreamError('UpstreamLoginRefused', 'the user name or a startup parameter has no form that can be sent', {
      cause,
    });
  }
}

/** https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-START-UP */
async function untilReady(inbox: LoginInbox, minor: ProtocolMinor): Promise<Omit<Upstream, 'socket'>> {
  const parameters = new Map<string, string>();
  let key: CancelKey | undefined;
  for (;;) {
    const bytes = await inbox.next();
    switch (bytes[0]) {
      case BACKEND.ParameterStatus: {
        const { name, value } = decodeParameterStatus(bytes);
        parameters.set(name, value);
        break;
      }
      case BACKEND.BackendKeyData:
        key = decodeBackendKeyData(bytes);
        if (minor === 0 && key.secret.length !== MIN_SECRET_BYTES) throw violation('gives a cancel key of another protocol');
        break;
      case BACKEND.ReadyForQuery:
        if (decodeReadyForQuery(bytes) !== 'I') throw violation('began inside a transaction');
        return { parameters, key, rest: inbox.finish() };
      default:
        throw violation('asked for credentials after the login');
    }
  }
}

const LOGIN_ERRORS: ReadonlyMap<string, readonly [UpstreamErrorCode, string]> = new Map([
  ['28P01', ['CredentialsRejected', 'the database refused the credential']],
  ['28000', ['CredentialsRejected', 'the database refused the credential']],
  ['3D000', ['UpstreamDatabaseMissing', 'the database of that name does not exist']],
  ['53300', ['UpstreamBusy', 'the database has no connection free']],
]);

/** How PgBouncer, Odyssey and their like refuse `options`, or a setting in it: there is no SQLSTATE of its own for that. */
const STARTUP_PARAMETER = /startup parameter/i;

function loginError(bytes: Buffer): UpstreamError {
  const { C: given = '', M: said = '' } = decodeErrorResponse(bytes);
  if (given === '08P01' && STARTUP_PARAMETER.test(said))
    return new UpstreamError('PoolerDropsOptions', 'the server or a pooler before it refuses the settings that judging needs');
  const sqlstate = /^[0-9A-Z]{5}$/.test(given) ? given : undefined;
  const [code, message] = LOGIN_ERRORS.get(given) ?? ['UpstreamLoginRefused', 'the database refused the login'];
  return new UpstreamError(code, `${message} (${sqlstate ?? 'no SQLSTATE'})`, { sqlstate });
}

/** The server's messages during the login, one at a time. Notices are passed over, an ErrorResponse is thrown. */
class LoginInbox {
  #peeked: Buffer | undefined;
  #closed = false;
  readonly #reader = new MessageReader({ decide: decideLogin });
  #count = 0;
  #bytes = 0;
  #waiting: PromiseWithResolvers<void> | undefined;
  #failure: UpstreamError | undefined;
  /** Takes bytes that stay as they are. False: read no more. */
  push(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_LOGIN_TOTAL_BYTES) {
      this.fail(violation('says too much during the login'));
      return false;
    }
    this.#reader.push(chunk);
    this.#waiting?.resolve();
    return true;
  }

  fail(error: UpstreamError): void {
    this.#failure ??= error;
    this.#waiting?.resolve();
  }

  /** The connection ended by itself. */
  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
    this.fail(new UpstreamError('UpstreamUnreachable', 'the database closed the connection during the login'));
  }

  /** Type of the message that `next` gives. */
  async peek(): Promise<number | undefined> {
    this.#peeked ??= await this.next();
    return this.#peeked[0];
  }

  async next(): Promise<Buffer> {
    const peeked = this.#peeked;
    this.#peeked = undefined;
    if (peeked !== undefined) return peeked;
    for (;;) {
      const piece = this.#reader.next();
      if (piece?.kind === 'message') {
        if (++this.#count > MAX_LOGIN_MESSAGES) throw violation('does not come to the end of the login');
        if (piece.type === BACKEND.ErrorResponse) throw loginError(piece.bytes);
        if (piece.type !== BACKEND.NoticeResponse) return piece.bytes;
        continue;
      }
      // Only after what came was read: a refusal is mostly followed by the end of the connection.
      if (this.#failure !== undefined) throw this.#failure;
      this.#waiting = Promise.withResolvers();
      await this.#waiting.promise;
    }
  }

  finish(): Buffer {
    return this.#reader.takeRest();
  }
}
