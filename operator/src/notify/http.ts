import { lookup as resolve } from 'node:dns';
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { NotifyError } from './errors.ts';
import type { AddressGuard } from './guard.ts';

/** For name, connection, TLS, sending and the whole answer together. */
export const TIMEOUT_MS = 5_000;
export const MAX_ANSWER_BYTES = 64 * 1024;
/** Answers beyond are of a page, not of an endpoint. */
const MAX_HEADER_BYTES = 16 * 1024;

export interface PostOptions {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly mayDial: AddressGuard;
  readonly signal: AbortSignal;
  /** PEM; default: the authorities that Node knows. */
  readonly ca?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly maxBytes?: number | undefined;
}
export interface Answer {
  readonly status: number;
  /** Seconds that the other side wants left alone, where it says so in seconds. */
  readonly retryAfter: number | undefined;
  readonly body: Buffer;
  /** There was more than was asked for; it was not read. */
  readonly truncated: boolean;
}

/**
 * Posts once and reads the answer, within {@link TIMEOUT_MS}. Follows no redirect and keeps no connection; the address is judged
 * after its name was resolved.
 * @throws NotifyError AddressForbidden, Unreachable
 */
export async function post(options: PostOptions): Promise<Answer> {
  const { url, mayDial } = options;
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS)]);
  const literal = url.hostname.replace(/^\[|\]$/g, '');
  // A literal address is never looked up. Unencrypted is for tests on one machine.
  if (isIP(literal) !== 0 && !mayDial(literal)) throw forbidden(url);
  if (url.protocol !== 'https:' && !mayDial('127.0.0.1')) throw forbidden(url);
  try {
    const response = await exchange(options, signal);
    return {
      status: response.statusCode ?? 0,
      retryAfter: parseRetryAfter(response.headers['retry-after']),
      ...(await readBody(response, options.maxBytes ?? MAX_ANSWER_BYTES)),
    };
  } catch (error) {
    if (error instanceof NotifyError) throw error;
    const why = (error as NodeJS.ErrnoException).code ?? (error as Error).name;
    throw new NotifyError('Unreachable', `${url.host} gave no answer (${why})`);
  }
}

async function exchange(options: PostOptions, signal: AbortSignal): Promise<IncomingMessage> {
  const { url, headers, body, mayDial, ca } = options;
  const common = {
    method: 'POST',
    headers: { ...headers, 'content-length': Buffer.byteLength(body), 'user-agent': 'chaperone' },
    agent: false as const,
    lookup: guarded(url, mayDial),
    maxHeaderSize: MAX_HEADER_BYTES,
    signal,
  };
  const { promise, resolve: answered, reject } = Promise.withResolvers<IncomingMessage>();
  const request: ClientRequest =
    url.protocol === 'https:'
      ? requestHttps(url, { ...common, minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) })
      : requestHttp(url, common);
  request.on('response', answered);
  request.on('error', reject);
  request.end(body);
  return await promise;
}

/** Where one of the addresses of a name may not be dialled, none of them is. */
function guarded(url: URL, mayDial: AddressGuard): LookupFunction {
  return (name, options, done) => {
    resolve(name, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, '');
      const first = addresses[0];
      if (first === undefined || addresses.some(({ address }) => !mayDial(address))) return done(forbidden(url), '');
      if (options.all === true) return done(null, addresses);
      return done(null, first.address, first.family);
    });
  };
}

function forbidden(url: URL): NotifyError {
  return new NotifyError('AddressForbidden', `${url.host} is an address that notices are never sent to`);
}

/** Reads up to so many bytes; the connection of an answer that has more is given up. */
export async function readBody(response: IncomingMessage, maxBytes: number): Promise<{ body: Buffer; truncated: boolean }> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    // Leaving the loop destroys the connection.
    if (bytes > maxBytes) return { body: Buffer.concat(parts), truncated: true };
    parts.push(part);
  }
  return { body: Buffer.concat(parts), truncated: false };
}

function parseRetryAfter(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) : undefined;
}
