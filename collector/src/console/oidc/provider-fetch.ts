import { readFileSync } from 'node:fs';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { CustomFetch } from 'openid-client';
import { SignInError } from '../provider/sign-in-error.ts';

/** A discovery document has 2 to 6 KiB, a key set up to 20, an answer with tokens and many groups up to 64. */
const MAX_BODY_BYTES = 256 * 1024;
/** For name, connection, TLS and answer together. */
const TIMEOUT_MS = 5_000;
const NO_BODY = new Set([204, 205, 304]);

/**
 * Asks the provider: over TLS that is checked, bounded in size and time, without following redirects.
 * The function throws SignInError ProviderUnavailable; its cause may name addresses.
 */
export function createProviderFetch(caFile: string | undefined): CustomFetch {
  return async (url, { method, headers, body }) => {
    let sent: ClientRequest | undefined;
    try {
      sent = request(url, {
        method,
        headers: { ...headers, accept: 'application/json' },
        minVersion: 'TLSv1.2',
        ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const response = await answerTo(sent.end(formOf(body)));
      const status = response.statusCode ?? 0;
      if (status >= 500) throw new Error(`the provider answers with status ${status}`);
      const bytes = await readBounded(response);
      return new Response(NO_BODY.has(status) ? null : bytes, {
        status,
        headers: Object.entries(response.headers).flatMap(([name, value]) =>
          typeof value === 'string' ? [[name, value] as [string, string]] : [],
        ),
      });
    } catch (cause) {
      throw new SignInError('ProviderUnavailable', 'the identity provider does not answer', { cause });
    } finally {
      sent?.destroy();
    }
  };
}

function answerTo(sent: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => sent.once('response', resolve).on('error', reject));
}

function formOf(body: Parameters<CustomFetch>[1]['body']): string | undefined {
  if (body === undefined || body === null) return undefined;
  if (body instanceof URLSearchParams) return body.toString();
  throw new TypeError('a form is all that is sent');
}

async function readBounded(response: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
