import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

/** The API server, as far as measurements ask it. */
export interface Api {
  readonly server: string;
  readonly ca: string;
  readonly token: string;
}

const agent = new Agent({ keepAlive: true, maxSockets: 32 });

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly body?: object;
  readonly contentType?: string;
}

/** Asks once; where it is told to wait (429), again. Throws an Error with the API server's words. */
export async function ask<T = unknown>(api: Api, asked: Asked): Promise<T> {
  for (;;) {
    const { status, text, retryAfter } = await send(api, asked);
    if (status === 429) {
      await sleep((retryAfter || 1) * 1_000);
      continue;
    }
    if (status >= 400) throw new Error(`${asked.method ?? 'GET'} ${asked.path}: ${status} ${text.slice(0, 400)}`);
    return JSON.parse(text) as T;
  }
}

function send(
  { server, ca, token }: Api,
  { method = 'GET', path, body, contentType = 'application/json' }: Asked,
): Promise<{ status: number; text: string; retryAfter: number }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': contentType };
    const sent = request(new URL(path, server), { method, ca, headers, agent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (more: string) => (text += more));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text, retryAfter: Number(response.headers['retry-after'] ?? 0) }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Does `work` for each, so many at a time. */
export async function each<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<unknown>): Promise<void> {
  const waiting = [...items];
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) await work(item);
    }),
  );
}
