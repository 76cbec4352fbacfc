import { request } from 'node:https';
import { HeldAnswer } from '@chaperone/evidence';
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

function get(url: URL, ca: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const asking = request(url, { ca, minVersion: 'TLSv1.2', agent: false, signal }, (answer) => {
    const chunks: Buffer[] = [];
    let length = 0;
    answer.on('error', reject);
    answer.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) answer.destroy(new Error('the answer of the collector is too large'));
      else chunks.push(chunk);
    });
    answer.on('end', () => {
      if (answer.statusCode === 200) resolve(Buffer.concat(chunks).toString());
      else reject(new Error(`the collector answered ${answer.statusCode ?? 0}`));
    });
  });
  asking.on('error', reject);
  asking.end();
  return promise;
}
