import { request } from 'node:http';
import { isIP, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { dialUpstream } from '../capture/dial.ts';
import type { DialGuard } from '../capture/guard.ts';
import { TokenError } from './errors.ts';

/** A discovery document has 2 to 6 KiB, a key set up to 20. */
const MAX_BODY_BYTES = 256 * 1024;
/** For name, connection, TLS and answer together. */
const TIMEOUT_MS = 5_000;

export interface FetchOptions {
  readonly guard: DialGuard;
  /** PEM; absent: the system's roots. */
  readonly ca?: string | undefined;
  readonly resolve?: ((host: string) => Promise<readonly string[]>) | undefined;
}

/**
 * Gets a JSON document of an issuer: over TLS that is checked, from an address that the guard permits, bounded in size and time.
 * Redirects are not followed. Plain http is left to the caller's judgement of the URL.
 * @throws TokenError IssuerUnavailable; its cause may name addresses.
 */
export async function fetchJson(url: URL, options: FetchOptions): Promise<unknown> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  let socket: Socket | undefined;
  try {
    socket = await open(url, options, signal);
    return JSON.parse(await get(url, socket, signal));
  } catch (error) {
    throw new TokenError('IssuerUnavailable', 'the issuer of tokens does not answer', { cause: error });
  } finally {
    socket?.destroy();
  }
}

async function open(url: URL, { guard, ca, resolve }: FetchOptions, signal: AbortSignal): Promise<Socket> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const tls = url.protocol === 'https:';
  const port = url.port === '' ? (tls ? 443 : 80) : Number(url.port);
  const socket = await dialUpstream({ host, port, guard, signal, ...(resolve === undefined ? {} : { resolve }) });
  if (!tls) return socket;
  const secured = connect({
    socket,
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca }),
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
  });
  return handshake(secured, signal);
}

function handshake(secured: TLSSocket, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      secured.destroy();
      reject(new Error('the TLS handshake took too long'));
    };
    signal.addEventListener('abort', abort, { once: true });
    secured.once('secureConnect', () => {
      signal.removeEventListener('abort', abort);
      resolve(secured);
    });
    // Stays: an error after this must not end the process.
    secured.on('error', reject);
    secured.once('close', () => reject(new Error('the connection was closed within the TLS handshake')));
  });
}

function get(url: URL, socket: Socket, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({
      createConnection: () => socket,
      method: 'GET',
      path: `${url.pathname}${url.search}`,
      headers: { host: url.host, accept: 'application/json', connection: 'close' },
      signal,
    });
    sent.once('error', reject);
    sent.once('response', (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.once('error', reject);
      if (response.statusCode !== 200) return reject(new Error(`the answer has status ${String(response.statusCode)}`));
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_BODY_BYTES) return reject(new Error('the answer is too large'));
        chunks.push(chunk);
      });
      response.once('end', () => {
        try {
          resolve(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)));
        } catch (error) {
          reject(error);
        }
      });
    });
    sent.end();
  });
}
