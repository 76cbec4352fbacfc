import type { SessionSummary } from '@chaperone/evidence';
import { expect, test } from 'vitest';
import { CollectorClient, type Transport } from './client.ts';

/** A collector's answers, made by a function of the query. */
function aTransport(answer: (query: URLSearchParams) => object): Transport & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    fetch: (path) => {
      asked.push(path);
      return Promise.resolve(Response.json(answer(new URL(path, 'http://collector').searchParams)));
    },
    trust: () => Promise.reject(new Error('nobody asks')),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const aSession = (at: number): SessionSummary => ({
  name: `s-${at}`,
  agent: { namespace: 'agents', serviceAccount: 'bot' },
  actions: 0,
  denied: 0,
  held: 0,
  masked: 0,
  state: 'ended',
  evidence: 'received',
  erased: false,
  onHold: false,
});

/** As many sessions, in pages as the collector's API has them. */
const paged = (total: number) => (query: URLSearchParams) => {
  const [from, limit] = [Number(query.get('after') ?? 0), Number(query.get('limit'))];
  if (!(limit >= 1 && limit <= 1000)) throw new Error(`the collector takes no limit of ${limit}`);
  const end = Math.min(from + limit, total);
  return {
    items: Array.from({ length: end - from }, (_, at) => aSession(from + at)),
    truncated: end < total,
    ...(from === 0 ? { total } : {}),
    ...(end < total ? { next: String(end) } : {}),
  };
};

test.each<[string, number, number, { listed: number; truncated: boolean; requests: number }]>([
  ['all of many', Number.POSITIVE_INFINITY, 2345, { listed: 2345, truncated: false, requests: 3 }],
  ['all of exactly a page', Number.POSITIVE_INFINITY, 1000, { listed: 1000, truncated: false, requests: 1 }],
  ['all of none', Number.POSITIVE_INFINITY, 0, { listed: 0, truncated: false, requests: 1 }],
  ['some', 50, 1204, { listed: 50, truncated: true, requests: 1 }],
  ['more than a page', 1001, 1204, { listed: 1001, truncated: true, requests: 2 }],
  ['exactly what there is', 1204, 1204, { listed: 1204, truncated: false, requests: 2 }],
])('lists %s', async (_, limit, total, expected) => {
  const transport = aTransport(paged(total));
  const found = await new CollectorClient(transport).list({ limit, agent: 'bot' });
  expect({ listed: found.items.length, truncated: found.truncated, requests: transport.asked.length }).toEqual(expected);
  expect(found.items.map(({ name }) => name)).toEqual(Array.from({ length: expected.listed }, (__, at) => `s-${at}`));
  expect(Object.keys(found).toSorted()).toEqual(['items', 'total', 'truncated']);
  expect(found.total).toBe(total);
  for (const path of transport.asked) expect(path).toContain('agent=bot');
});

test('a collector that has no pages gives what it has, and says that there is more', async () => {
  const transport = aTransport(() => ({ items: [aSession(0)], truncated: true }));
  const found = await new CollectorClient(transport).list({ limit: Number.POSITIVE_INFINITY });
  expect(found).toEqual({ items: [aSession(0)], truncated: true });
  expect(transport.asked).toHaveLength(1);
});
