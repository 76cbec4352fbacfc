import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/** What was answered. `text` is empty where it is longer than was asked for. */
export interface Posted {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
}

const TIMEOUT_MS = 10_000;
const MAX_ANSWER = 4096;

/**
 * Posts JSON to somebody beside the API server, by Node's own HTTP: the platform's `fetch` takes 10 MiB of each process. Follows nobody
 * elsewhere. Rejects where no answer came within 10 s.
 */
export async function postJson(url: string, body: string): Promise<Posted> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = url.startsWith('https:') ? requestHttps : requestHttp;
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const sent = request(url, { method: 'POST', headers, signal: AbortSignal.timeout(TIMEOUT_MS) }, resolve).on('error', reject);
  sent.end(body);
  const response = await promise;
  let text = '';
  for await (const part of response.setEncoding('utf8')) {
    text += part as string;
    if (text.length > MAX_ANSWER) break;
  }
  const retryAfter = response.headers['retry-after'];
  return { status: response.statusCode ?? 0, retryAfter, text: text.length > MAX_ANSWER ? '' : text };
}
