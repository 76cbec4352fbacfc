import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { HeldAnswer } from '@chaperone/evidence';
import { readBody } from '../notify/http.ts';
import type { AskHeld } from './comparison.ts';

const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Asks the collector what it has of sessions.
 * @param url - of the collector
 * @param ca - PEM of the only authority that its certificate may come from
 */
export function askCollector(url: string, ca: () => string): AskHeld {
  return async (sessions) => {
    const asked = new URL('/v1/held', url);
    for (const session of sessions) asked.searchParams.append('session', session);
    const answer = HeldAnswer.parse(JSON.parse(await get(asked, ca())));
    return new Map(Object.entries(answer.sessions));
  };
}

async function get(url: URL, ca: string): Promise<string> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  request(url, { ca, minVersion: 'TLSv1.2', agent: false, signal }, resolve).on('error', reject).end();
  const answer = await promise;
  const { body, truncated } = await readBody(answer, MAX_ANSWER_BYTES);
  if (truncated) throw new Error('the answer of the collector is too large');
  if (answer.statusCode !== 200) throw new Error(`the collector answered ${answer.statusCode ?? 0}`);
  return body.toString();
}
