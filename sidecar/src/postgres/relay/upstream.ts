import type { OnReadOpts, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  BACKEND,
  type CancelKey,
  type Decide,
  decodeAuthentication,
  decodeBackendKeyData,
  decodeErrorResponse,
  decodeParameterStatus,
  decodeReadyForQuery,
  encodeSASLInitialResponse,
  encodeSASLResponse,
  encodeStartup,
  encodeTerminate,
  MessageReader,
  ProtocolError,
} from '../wire/index.ts';
import { ScramClient } from './scram.ts';
import { aborted, openTransport, type Transport, type UpstreamAddress } from './upstream-transport.ts';
import { UpstreamError, type UpstreamErrorCode } from './upstream-error.ts';

export { UpstreamError, type UpstreamErrorCode } from './upstream-error.ts';

export interface UpstreamOptions extends UpstreamAddress {
  readonly username: string;
  readonly password: string;
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
  BACKEND.NoticeResponse,
  BACKEND.ParameterStatus,
  BACKEND.ReadyForQuery,
]);
const decideLogin: Decide = (type, length) => (LOGIN_TYPES.has(type) && length <= MAX_LOGIN_BYTES ? 'whole' : 'refuse');

/**
 * Dials a database and logs in with our credential. The credential is proved by SCRAM-SHA-256 only and never sent in a form that
 * a listener could use: a server that asks for it as clear text or MD5 is refused. A server that asks for nothing is taken at
 * its word: TLS has proved who it is, or the resource says `disable`.
 * @throws UpstreamError
 */
export async function connectUpstream(options: UpstreamOptions): Promise<Upstream> {
  const timeout = AbortSignal.timeout(options.connectTimeoutMs ?? DEFAULT_TIMEOUT_MS);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  const startup = startupPacket(options);
  const login = new LoginInbox();
  const onread = options.onread;
  const transport = await openTransport(
    options,
    signal,
    onread && {
      buffer: onread.buffer,
      callback: (bytes, buffer) =>
        login.done ? onread.callback(bytes, buffer) : login.push(Buffer.from(buffer.subarray(0, bytes))),
    },
  );
  const { socket } = transport;
  const listen = (chunk: Buffer): void => {
    if (!(login.done ? (onread?.callback(chunk.length, chunk) ?? false) : login.push(chunk))) socket.pause();
  };
  if (options.tls.mode !== 'disable' || onread === undefined) socket.on('data', listen);
  const stop = (): void => login.fail(aborted(signal));
  const close = (): void =>
    login.fail(new UpstreamError('UpstreamUnreachable', 'the database closed the connection during the login'));
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  socket.once('close', close);
  socket.on('error', close);
  try {
    socket.write(startup);
    const result = await logIn(options.password, transport, login);
    socket.pause();
    if (onread === undefined) socket.off('data', listen);
    return { socket, ...result };
  } catch (error) {
    if (signal.aborted) socket.destroy();
    else socket.end(encodeTerminate(), () => socket.destroy());
    throw error instanceof ProtocolError
      ? new UpstreamError('UpstreamViolation', 'the database broke the protocol', { cause: error })
      : error;
  } finally {
    signal.removeEventListener('abort', stop);
    socket.off('close', close);
  }
}

/** Whatever the parameters say, the user is that of the credential. */
function startupPacket({ username, parameters }: UpstreamOptions): Buffer {
  try {
    return encodeStartup(new Map([...Object.entries(parameters), ['user', username]]));
  } catch (cause) {
    throw new UpstreamError('UpstreamLoginRefused', 'the user name or a startup parameter has no form that can be sent', {
      cause,
    });
  }
}

/** https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-START-UP */
async function logIn(password: string, transport: Transport, inbox: LoginInbox): Promise<Omit<Upstream, 'socket'>> {
  await authenticate(password, transport, inbox);
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
        break;
      case BACKEND.ReadyForQuery:
        if (decodeReadyForQuery(bytes) !== 'I') throw violation('began inside a transaction');
        return { parameters, key, rest: inbox.finish() };
      default:
        throw violation('asked for credentials after the login');
    }
  }
}

/** Answers what the server asks until AuthenticationOk. */
async function authenticate(password: string, { socket, endPoint }: Transport, inbox: LoginInbox): Promise<void> {
  let scram: ScramClient | undefined;
  let state: 'open' | 'began' | 'answered' | 'proved' = 'open';
  for (;;) {
    const bytes = await inbox.next();
    if (bytes[0] !== BACKEND.Authentication) throw violation('spoke before the login was done');
    const message = decodeAuthentication(bytes);
    if (message.kind === 'ok') {
      if (state === 'open' || state === 'proved') return;
      throw new UpstreamError('UpstreamNotAuthentic', 'the database did not prove that it knows the credential');
    }
    if (message.kind === 'sasl' && state === 'open') {
      scram = new ScramClient({ password, mechanisms: message.mechanisms, endPoint });
      socket.write(encodeSASLInitialResponse(scram.mechanism, scram.first));
      state = 'began';
    } else if (message.kind === 'saslContinue' && state === 'began' && scram !== undefined) {
      socket.write(encodeSASLResponse(await scram.respond(message.data)));
      state = 'answered';
    } else if (message.kind === 'saslFinal' && state === 'answered' && scram !== undefined) {
      scram.verify(message.data);
      state = 'proved';
    } else if (state === 'open') {
      throw unsupported(message.kind);
    } else {
      throw violation('left the order of the SASL exchange');
    }
  }
}

const ASKED: Readonly<Record<string, string>> = { cleartext: 'in clear text', md5: 'as MD5' };

function unsupported(kind: string): UpstreamError {
  const how = ASKED[kind] ?? 'in a form that Chaperone does not speak';
  return new UpstreamError('UpstreamAuthUnsupported', `the database asks for the credential ${how}; it must offer SCRAM-SHA-256`);
}

function violation(what: string): UpstreamError {
  return new UpstreamError('UpstreamViolation', `the database ${what}`);
}

const LOGIN_ERRORS: ReadonlyMap<string, readonly [UpstreamErrorCode, string]> = new Map([
  ['28P01', ['CredentialsRejected', 'the database refused the credential']],
  ['28000', ['CredentialsRejected', 'the database refused the credential']],
  ['3D000', ['UpstreamDatabaseMissing', 'the database of that name does not exist']],
  ['53300', ['UpstreamBusy', 'the database has no connection free']],
]);

function loginError(bytes: Buffer): UpstreamError {
  const given = decodeErrorResponse(bytes).C ?? '';
  const sqlstate = /^[0-9A-Z]{5}$/.test(given) ? given : undefined;
  const [code, message] = LOGIN_ERRORS.get(given) ?? ['UpstreamLoginRefused', 'the database refused the login'];
  return new UpstreamError(code, `${message} (${sqlstate ?? 'no SQLSTATE'})`, { sqlstate });
}

/** The server's messages during the login, one at a time. Notices are passed over, an ErrorResponse is thrown. */
class LoginInbox {
  readonly #reader = new MessageReader({ decide: decideLogin });
  #count = 0;
  #bytes = 0;
  #waiting: PromiseWithResolvers<void> | undefined;
  #failure: UpstreamError | undefined;
  #done = false;

  /** True once bytes are no longer ours. */
  get done(): boolean {
    return this.#done;
  }

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

  async next(): Promise<Buffer> {
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
    this.#done = true;
    return this.#reader.takeRest();
  }
}
