import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { SinkError, type SinkErrorCode } from '../errors.ts';

/** For connection, TLS, sending and the whole answer together. */
const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_RETRY_AFTER_S = 86_400;

export interface PostParts {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** PEM; undefined: the authorities that Node knows. */
  readonly ca: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly retryAfterMs: number | undefined;
}

/** Posts to one receiver over TLS, which is verified. Follows no redirect: a secret goes where it was sent alone. */
export class Poster {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4, timeout: TIMEOUT_MS });

  async post({ url, headers, body, ca }: PostParts, signal: AbortSignal): Promise<Answer> {
    const bytes = Buffer.from(body);
    const answered = Promise.withResolvers<IncomingMessage>();
    const sent = request(url, {
      method: 'POST',
      agent: this.#agent,
      headers: { ...headers, 'content-length': bytes.length, 'user-agent': 'chaperone' },
      maxHeaderSize: MAX_HEADER_BYTES,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      ...(ca === undefined ? {} : { ca }),
    });
    sent.on('response', answered.resolve);
    sent.on('error', answered.reject);
    sent.end(bytes);
    const response = await answered.promise;
    const { statusCode: status = 0, headers: said } = response;
    return { status, body: await readAll(response), retryAfterMs: parseRetryAfter(said['retry-after']) };
  }

  close(): void {
    this.#agent.destroy();
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let room = MAX_ANSWER_BYTES;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    room -= chunk.length;
    if (room < 0) throw new SinkError('SinkMisconfigured', 'the receiver’s answer is too long for one');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseRetryAfter(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,6}$/.test(value) ? Math.min(Number(value), MAX_RETRY_AFTER_S) * 1_000 : undefined;
}

/** What a status is about: what was sent, who sent it, or the receiver. Others are the receiver's. */
const STATUSES: Readonly<Record<number, SinkErrorCode>> = {
  400: 'SinkRefused',
  413: 'SinkRefused',
  415: 'SinkRefused',
  422: 'SinkRefused',
  401: 'SinkUnauthorized',
  403: 'SinkUnauthorized',
  404: 'SinkMisconfigured',
  405: 'SinkMisconfigured',
  410: 'SinkMisconfigured',
  408: 'SinkBusy',
  425: 'SinkBusy',
  429: 'SinkBusy',
  503: 'SinkBusy',
};

/** Throws SinkError unless the answer says that all is well; the receiver's own words are not repeated, since they may be ours. */
export function demandSuccess({ status, retryAfterMs }: Answer): void {
  if (status >= 200 && status < 300) return;
  const code = STATUSES[status] ?? (status >= 300 && status < 500 ? 'SinkMisconfigured' : 'SinkUnreachable');
  throw new SinkError(code, `HTTP ${status}`, { retryAfterMs, failed: code === 'SinkUnreachable' });
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
