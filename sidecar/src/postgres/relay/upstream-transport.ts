import { createHash } from 'node:crypto';
import { connect, isIP, type OnReadOpts, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { DialError, permittedAddresses } from '../../capture/dial.ts';
import type { DialGuard } from '../../capture/guard.ts';
import { issuerOf } from '../../capture/issuer.ts';
import { alpn } from '../../lent.ts';
import { encodeSSLRequest } from '../wire/index.ts';
import { UpstreamError } from './upstream-error.ts';

export interface UpstreamTls {
  /** disable: plain text, for a database on the same node · verify-ca: any name · verify-full: the name too. */
  readonly mode: 'disable' | 'verify-ca' | 'verify-full';
  /** PEM; the system's authorities where absent. */
  readonly ca?: string | readonly string[] | undefined;
  /** Name or IP address that the certificate must be for; the host where absent. */
  readonly serverName?: string | undefined;
}

/** Where a database is and how it is reached. */
export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: UpstreamTls;
  /** Certificate with its chain, and its key (PEM), for a server that asks who we are within TLS. */
  readonly client?: { readonly cert: string; readonly key: string } | undefined;
  /** Sees every address before it is dialled; the address that it saw is the one that is dialled. */
  readonly guard: DialGuard;
  /** Resolves a name; the system's resolver where absent. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

export interface Transport {
  readonly socket: Socket | TLSSocket;
  /** tls-server-end-point (RFC 5929 §4); undefined without TLS, or where the certificate's algorithm has no one hash. */
  readonly endPoint: Buffer | undefined;
  /** The server asked within TLS for our certificate, and we had one to show. */
  readonly certified: boolean;
}

/** ALPN name registered for the protocol; servers since PostgreSQL 17 look at it. */
export const ALPN = 'postgresql';
const KEEP_ALIVE_MS = 60_000;

/**
 * Resolves, judges, connects and secures. Nothing but the TLS request has been said when it resolves. The socket has an error
 * handler, so an error shows as 'close'.
 * @param onread as net.connect takes it; used for plain text only
 * @throws UpstreamError
 */
export async function openTransport(address: UpstreamAddress, signal: AbortSignal, onread?: OnReadOpts): Promise<Transport> {
  const addresses = await untilAborted(permittedAddresses(address), signal).catch(asUpstreamError);
  const { tls } = address;
  const socket = await dialFirst(addresses, address.port, signal, tls.mode === 'disable' ? onread : undefined);
  if (tls.mode === 'disable') return { socket, endPoint: undefined, certified: false };
  try {
    await requestTls(socket, signal);
    const secured = await handshake(socket, address, signal);
    // A server's signature algorithms for certificates of clients are known only where it asked for one.
    const certified = address.client !== undefined && secured.getSharedSigalgs().length > 0;
    return { socket: secured, endPoint: endPointOf(secured), certified };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function dialFirst(addresses: readonly string[], port: number, signal: AbortSignal, onread?: OnReadOpts): Promise<Socket> {
  let last: unknown;
  for (const host of addresses) {
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      ...(onread === undefined ? {} : { onread }),
    });
    socket.on('error', ignored);
    try {
      await happens(socket, 'connect', signal);
      return socket;
    } catch (error) {
      socket.destroy();
      if (error instanceof UpstreamError) throw error;
      last = error;
    }
  }
  const refused = (last as NodeJS.ErrnoException).code === 'ECONNREFUSED';
  throw new UpstreamError(
    refused ? 'UpstreamRefused' : 'UpstreamUnreachable',
    refused ? 'the database refuses connections' : 'the database cannot be reached',
    { cause: last },
  );
}

/** https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-SSL */
async function requestTls(socket: Socket, signal: AbortSignal): Promise<void> {
  socket.write(encodeSSLRequest());
  const answer = await firstBytes(socket, signal);
  // What follows the one byte came before TLS and is nobody's word (CVE-2021-23222).
  if (answer.length !== 1) throw new UpstreamError('UpstreamViolation', 'the database said more than it was asked before TLS');
  if (answer[0] === 'N'.charCodeAt(0)) throw new UpstreamError('TLSUnavailable', 'the database does not speak TLS');
  if (answer[0] !== 'S'.charCodeAt(0)) {
    throw new UpstreamError('UpstreamViolation', 'the database did not answer the request for TLS');
  }
}

async function firstBytes(socket: Socket, signal: AbortSignal): Promise<Buffer> {
  const data = Promise.withResolvers<Buffer>();
  const take = (chunk: Buffer): void => {
    socket.pause();
    data.resolve(chunk);
  };
  socket.once('data', take);
  try {
    return await Promise.race([data.promise, happens(socket, 'end', signal).then(closed)]);
  } catch (error) {
    throw asClosed(error);
  } finally {
    socket.off('data', take);
  }
}

async function handshake(socket: Socket, { host, tls, client }: UpstreamAddress, signal: AbortSignal): Promise<TLSSocket> {
  const name = tls.serverName ?? host;
  const secured = connectTls({
    socket,
    ...(isIP(name) === 0 ? { servername: name } : {}),
    secureContext: secureContext(tls, client),
    ALPNProtocols: alpn(ALPN),
    rejectUnauthorized: true,
    checkServerIdentity: (_, certificate) => (tls.mode === 'verify-full' ? checkServerIdentity(name, certificate) : undefined),
  });
  secured.on('error', ignored);
  const issuer = issuerOf(secured);
  try {
    await happens(secured, 'secureConnect', signal);
  } catch (error) {
    secured.destroy();
    throw signal.aborted ? aborted(signal) : tlsError(error, secured, issuer());
  }
  if (!secured.authorized) {
    secured.destroy();
    throw tlsError(undefined, secured, issuer());
  }
  return secured;
}

function secureContext({ ca }: UpstreamTls, client: UpstreamAddress['client']): SecureContext {
  try {
    return createSecureContext({ ...(ca === undefined ? {} : { ca: [ca].flat() }), ...client, minVersion: 'TLSv1.2' });
  } catch (cause) {
    throw new UpstreamError('TLSFailed', 'the certificates for TLS with the database cannot be used', { cause });
  }
}

function tlsError(error: unknown, socket: TLSSocket, issuer: string | undefined): UpstreamError {
  const { code, cert } = (error ?? {}) as { code?: string; cert?: { subjectaltname?: string } };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new UpstreamError('TLSNameMismatch', "the database's certificate is for another name", {
      cause: error,
      certificateNames: cert?.subjectaltname?.slice(0, 256),
    });
  }
  // Set to the verifier's code (CERT_HAS_EXPIRED say) when the chain was refused, and only then.
  if (socket.authorizationError) {
    const reason = String((socket.authorizationError as { code?: string }).code ?? socket.authorizationError);
    return new UpstreamError('TLSUntrusted', `the database's certificate is not trusted (${verifierCode(reason)})`, {
      cause: error,
      issuer,
    });
  }
  return refusedCertificate(error) ?? new UpstreamError('TLSFailed', 'TLS with the database failed', { cause: error });
}

/** Alerts by which a server turns our certificate away (RFC 8446 §6.2), as Node names them. */
const CERTIFICATE_ALERT = /^ERR_SSL_.*_ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED)$/;

/** The error that such an alert is; in TLS 1.3 it comes after the handshake. */
export function refusedCertificate(error: unknown): UpstreamError | undefined {
  const { code = '' } = (error ?? {}) as { code?: string };
  if (!CERTIFICATE_ALERT.test(code)) return undefined;
  return new UpstreamError('CredentialsRejected', "the database refused the proxy's certificate", { cause: error });
}

function verifierCode(reason: string): string {
  return /^[A-Z0-9_]{1,64}$/.test(reason) ? reason : 'verification failed';
}

/** Hash of the server's certificate by the hash of its signature, and SHA-256 in place of MD5 and SHA-1 (RFC 5929 §4.1). */
function endPointOf(socket: TLSSocket): Buffer | undefined {
  const certificate = socket.getPeerX509Certificate();
  const algorithm = certificate?.signatureAlgorithm?.toLowerCase() ?? '';
  const hash = /(md5|sha1|sha224|sha256|sha384|sha512)(?![-0-9])/.exec(algorithm)?.[1];
  if (certificate === undefined || hash === undefined) return undefined;
  return createHash(hash === 'md5' || hash === 'sha1' ? 'sha256' : hash)
    .update(certificate.raw)
    .digest();
}

/** An error after hand-over must not end the process; 'close' follows it. It refers to nothing, since it stays as long as a connection. */
function ignored(): void {
  // Nothing to do.
}

/** Waits for an event. Rejects with the socket's own error, UpstreamUnreachable when it closes, or what the signal means. */
export function happens(
  socket: Socket,
  event: 'connect' | 'secureConnect' | 'end' | 'close',
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(aborted(signal));
  const close = (): void =>
    event === 'close' ? resolve() : reject(new UpstreamError('UpstreamUnreachable', 'the database closed the connection'));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  socket.once(event, resolve);
  socket.once('close', close);
  socket.on('error', reject);
  return promise.finally(() => {
    signal.removeEventListener('abort', abort);
    socket.off(event, resolve);
    socket.off('close', close);
    socket.off('error', reject);
  });
}

export function aborted(signal: AbortSignal): UpstreamError {
  const timedOut = (signal.reason as { name?: string } | undefined)?.name === 'TimeoutError';
  return timedOut
    ? new UpstreamError('UpstreamUnreachable', 'the database did not answer in time')
    : new UpstreamError('UpstreamAborted', 'the connection to the database was given up');
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const stop = Promise.withResolvers<never>();
  const abort = (): void => stop.reject(aborted(signal));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, stop.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function closed(): never {
  throw new UpstreamError('UpstreamUnreachable', 'the database closed the connection');
}

function asClosed(error: unknown): UpstreamError {
  if (error instanceof UpstreamError) return error;
  return new UpstreamError('UpstreamUnreachable', 'the connection to the database broke', { cause: error });
}

function asUpstreamError(error: unknown): never {
  if (!(error instanceof DialError)) throw error;
  const code = error.code === 'UpstreamForbidden' ? 'UpstreamForbidden' : 'UpstreamUnreachable';
  throw new UpstreamError(code, error.message, { cause: error });
}
