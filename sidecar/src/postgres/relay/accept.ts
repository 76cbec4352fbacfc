import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { agentText } from '@chaperone/api';
import { alpn, kept } from '../../lent.ts';
import {
  type CancelKey,
  decodeStartup,
  encodeAuthenticationOk,
  encodeBackendKeyData,
  encodeFatal,
  encodeNegotiateProtocolVersion,
  encodeParameterStatus,
  encodeReadyForQuery,
  ProtocolError,
  type ProtocolMinor,
  type StartupPacket,
} from '../wire/index.ts';
import { nextBytes } from './next-bytes.ts';
import { ALPN } from './upstream-transport.ts';

/**
 * HandshakeTimeout, Aborted, Closed: it never came to a startup packet · PlaintextBeforeTLS: bytes that came before TLS were to
 * be taken as if they came within · RepeatedNegotiation: TLS or GSS asked for twice · ForeignProtocol: not PostgreSQL ·
 * ProtocolViolation: PostgreSQL, but not well-formed · UnsupportedProtocol: another major version · ReplicationRefused ·
 * TLSFailed: the TLS handshake failed.
 */
export type AcceptErrorCode =
  | 'HandshakeTimeout'
  | 'Aborted'
  | 'Closed'
  | 'PlaintextBeforeTLS'
  | 'RepeatedNegotiation'
  | 'ForeignProtocol'
  | 'ProtocolViolation'
  | 'UnsupportedProtocol'
  | 'ReplicationRefused'
  | 'TLSFailed';

/** Why a connection did not become a session. The agent was told where that was possible, and the socket is closed. */
export class AcceptError extends Error {
  override readonly name = 'AcceptError';
  readonly code: AcceptErrorCode;
  /** SQLSTATE to tell the agent; undefined: there is no way or no sense in telling. */
  readonly sqlstate: string | undefined;
  constructor(code: AcceptErrorCode, message: string, options: ErrorOptions & { sqlstate?: string } = {}) {
    super(message, options);
    this.code = code;
    this.sqlstate = options.sqlstate;
  }
}

export interface AcceptOptions {
  /** Our leaf for the agent's side, PEM, or a context made of it; absent: TLS is answered with N. */
  readonly tls?:
    | { readonly cert: string; readonly key: string; readonly ca?: string }
    | { readonly secureContext: SecureContext };
  /** For everything up to the startup packet. */
  readonly handshakeTimeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface AcceptedSession {
  readonly kind: 'session';
  /** The agent's socket, or TLS over it. Errors on it are swallowed; 'close' tells. */
  readonly socket: Socket | TLSSocket;
  /** Startup parameters as the agent gave them; nothing of them is checked but their form. */
  readonly parameters: Map<string, string>;
  /** Minor version of protocol 3 that is spoken from here on. */
  readonly protocolMinor: ProtocolMinor;
  /** What came with the startup packet, after it. */
  readonly rest: Buffer;
}

/** A CancelRequest: it has no answer. The caller closes the socket once the request was passed on; clients wait for that. */
export interface AcceptedCancel {
  readonly kind: 'cancel';
  readonly socket: Socket | TLSSocket;
  readonly key: CancelKey;
}

export type Accepted = AcceptedSession | AcceptedCancel;

/** After this a peer that was told an error and does not leave is cut off. */
const LINGER_MS = 1_000;
const EMPTY = Buffer.alloc(0);
/** https://www.postgresql.org/docs/18/protocol-message-formats.html: one byte in answer to SSLRequest and GSSENCRequest. */
const YES = Buffer.from('S');
const NO = Buffer.from('N');

/**
 * Takes an agent's connection from its first byte to its startup packet. Says nothing of the login: no password is asked for,
 * the pod is the identity; the caller answers with `greet`.
 * https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-SSL
 * @throws AcceptError
 */
export async function acceptAgent(socket: Socket, options: AcceptOptions): Promise<Accepted> {
  const failure = Promise.withResolvers<never>();
  // The race below may be over before somebody gives up.
  failure.promise.catch(() => undefined);
  const timer = setTimeout(
    () => failure.reject(new AcceptError('HandshakeTimeout', 'the client did not finish its startup in time')),
    options.handshakeTimeoutMs,
  );
  const abort = (): void => failure.reject(new AcceptError('Aborted', 'the connection was given up'));
  const close = (): void =>
    failure.reject(new AcceptError('Closed', 'the client closed the connection before its startup packet'));
  if (options.signal?.aborted) abort();
  options.signal?.addEventListener('abort', abort, { once: true });
  socket.setNoDelay(true);
  socket.on('error', ignored);
  socket.once('close', close);
  const handshake = new Handshake(socket, options);
  try {
    return await Promise.race([failure.promise, handshake.run()]);
  } catch (error) {
    throw await refuse(handshake.socket, error);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
    socket.off('close', close);
  }
}

/** The answer to a startup packet: the login is done and the session idle. */
export function greet({ parameters, key }: { parameters: ReadonlyMap<string, string>; key: CancelKey }): Buffer {
  return Buffer.concat([
    encodeAuthenticationOk(),
    ...[...parameters].map(([name, value]) => encodeParameterStatus(name, value)),
    encodeBackendKeyData(key),
    encodeReadyForQuery('I'),
  ]);
}

class Handshake {
  socket: Socket | TLSSocket;
  readonly #options: AcceptOptions;
  #bytes: Buffer = EMPTY;
  /** Each may be asked for once, in any order, and neither within TLS. */
  #asked = { ssl: false, gss: false };

  constructor(socket: Socket, options: AcceptOptions) {
    this.socket = socket;
    this.#options = options;
  }

  async run(): Promise<Accepted> {
    for (;;) {
      const packet = await this.#packet();
      switch (packet.kind) {
        case 'ssl':
          await this.#answerSsl();
          break;
        case 'gss':
          this.#once('gss');
          this.socket.write(NO);
          break;
        case 'cancel':
          return { kind: 'cancel', socket: this.socket, key: packet.key };
        default:
          return this.#session(packet);
      }
    }
  }

  async #packet(): Promise<StartupPacket> {
    for (;;) {
      const result = decodeStartup(this.#bytes);
      if (result.kind === 'frame') {
        this.#bytes = this.#bytes.subarray(result.consumed);
        return result.packet;
      }
      if (result.kind === 'foreign') {
        // Only as the very first thing: `asked` is set once anything was asked for, TLS itself included.
        const direct = result.protocol === 'tls' && !this.#asked.ssl && !this.#asked.gss;
        if (!direct || this.#options.tls === undefined) throw foreign(result.protocol);
        await this.#direct();
        continue;
      }
      // At most 10,000 bytes are ever joined.
      this.#bytes = Buffer.concat([this.#bytes, await this.#read()]);
    }
  }

  async #answerSsl(): Promise<void> {
    this.#once('ssl');
    if (this.#options.tls === undefined) {
      this.socket.write(NO);
      return;
    }
    this.socket.write(YES);
    await this.#secure();
  }

  /** TLS from the first byte, as PostgreSQL 17 has it: the client must name the protocol by ALPN. */
  async #direct(): Promise<void> {
    this.socket.unshift(this.#bytes);
    this.#bytes = EMPTY;
    const secured = await this.#secure();
    if (secured.alpnProtocol !== ALPN) throw new AcceptError('ForeignProtocol', 'TLS without the ALPN protocol postgresql');
  }

  async #secure(): Promise<TLSSocket> {
    const { tls } = this.#options;
    const secureContext =
      tls === undefined || 'secureContext' in tls ? tls?.secureContext : createSecureContext({ ...tls, minVersion: 'TLSv1.2' });
    const secured = new TLSSocket(this.socket, {
      isServer: true,
      ALPNProtocols: alpn(ALPN),
      ...(secureContext === undefined ? {} : { secureContext }),
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const failed = (cause: Error): void =>
      reject(new AcceptError('TLSFailed', 'the TLS handshake with the client failed', { cause }));
    const closed = (): void => reject(new AcceptError('TLSFailed', 'the client closed the connection within the TLS handshake'));
    secured.once('secure', resolve);
    secured.on('error', ignored);
    secured.once('error', failed);
    secured.once('close', closed);
    this.socket = secured;
    this.#asked = { ssl: true, gss: true };
    await promise;
    secured.off('error', failed);
    secured.off('close', closed);
    return secured;
  }

  #once(what: 'ssl' | 'gss'): void {
    if (this.#asked[what]) {
      throw new AcceptError('RepeatedNegotiation', 'encryption was asked for twice', { sqlstate: '08P01' });
    }
    this.#asked[what] = true;
    // A client waits for the answer. What is here already would be taken for something said after it (CVE-2021-23214).
    if (this.#bytes.length > 0) {
      throw new AcceptError('PlaintextBeforeTLS', 'received unencrypted data after an encryption request', { sqlstate: '08P01' });
    }
  }

  #session({ major, minor, parameters }: Extract<StartupPacket, { kind: 'startup' }>): AcceptedSession {
    if (major !== 3) {
      throw new AcceptError('UnsupportedProtocol', `protocol ${major}.${minor} is not spoken here, 3.0 and 3.2 are`, {
        sqlstate: '0A000',
      });
    }
    if (parameters.has('replication')) {
      throw new AcceptError('ReplicationRefused', 'replication connections are not served', { sqlstate: '0A000' });
    }
    const options = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'));
    const spoken = minor >= 2 ? 2 : 0;
    if (minor !== spoken || options.length > 0) this.socket.write(encodeNegotiateProtocolVersion({ minor: spoken, options }));
    const plain = new Map([...parameters].filter(([name]) => !options.includes(name)));
    return {
      kind: 'session',
      socket: this.socket,
      parameters: plain,
      protocolMinor: spoken,
      rest: this.#bytes.length === 0 ? EMPTY : kept(this.#bytes),
    };
  }

  async #read(): Promise<Buffer> {
    const bytes = await nextBytes(this.socket);
    if (bytes === undefined) throw new AcceptError('Closed', 'the client closed the connection before its startup packet');
    return bytes;
  }
}

/** An error after hand-over must not end the process; 'close' follows it. It refers to nothing, since it stays as long as a connection. */
function ignored(): void {
  // Nothing to do.
}

function foreign(protocol: 'tls' | 'unknown'): AcceptError {
  if (protocol === 'tls') return new AcceptError('ForeignProtocol', 'TLS is not expected here');
  return new AcceptError('ForeignProtocol', 'this port speaks the PostgreSQL protocol and nothing else', { sqlstate: '08P01' });
}

/** Tells the peer where there is something to tell, closes, and gives the error to throw. */
async function refuse(socket: Socket | TLSSocket, error: unknown): Promise<Error> {
  const known = error instanceof ProtocolError ? violation(error) : error;
  if (!(known instanceof AcceptError) || known.sqlstate === undefined || !socket.writable) {
    socket.destroy();
    return known as Error;
  }
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once('close', resolve);
  // Whatever of these it was, one explanation fits.
  socket.end(encodeFatal(known.sqlstate, agentText({ code: 'ProtocolViolation', reason: known.message }).message));
  // What is still on its way is read and dropped: closing before would take the answer back.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  await promise;
  clearTimeout(timer);
  return known;
}

function violation(error: ProtocolError): AcceptError {
  return new AcceptError('ProtocolViolation', error.message, { cause: error, sqlstate: error.sqlstate });
}
