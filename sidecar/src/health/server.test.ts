import { connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createMetrics, type Metrics } from './metrics.ts';
import { MAX_LAG_MS, startHealth } from './server.ts';

let starting: string | undefined;
let unready: string | undefined;
let lagMs: number;
let metrics: Metrics;
let server: Awaited<ReturnType<typeof startHealth>>;
const at = (path: string, method = 'GET'): Promise<Response> => fetch(`http://127.0.0.1:${server.port}${path}`, { method });

beforeEach(async () => {
  [starting, unready, lagMs] = [undefined, undefined, 0];
  metrics = createMetrics({
    sessions: () => 3,
    spoolFill: () => 0.5,
    unreceiptedMs: () => 1_500,
    policyFresh: () => true,
    captureProven: () => true,
    receiptsRefused: () => new Map([['LogForked', 2]]),
    logSize: () => 17,
    spansDropped: () => undefined,
  });
  server = await startHealth({
    port: 0,
    host: '127.0.0.1',
    starting: () => starting,
    unready: () => unready,
    lagMs: () => lagMs,
    registry: metrics.registry,
  });
});
afterEach(() => server.stop());

test('before the policy has come it is alive, neither started nor ready, and says why', async () => {
  starting = 'the policy has not arrived';
  expect((await at('/livez')).status).toBe(200);
  const started = await at('/startz');
  expect([started.status, (await at('/readyz')).status]).toEqual([503, 503]);
  expect(await started.text()).toContain('the policy has not arrived');
});

test('with a stale policy it is started and not ready', async () => {
  unready = 'the policy is stale';
  expect([(await at('/startz')).status, (await at('/readyz')).status]).toEqual([200, 503]);
});

test('a stuck event loop is not alive', async () => {
  lagMs = MAX_LAG_MS + 1;
  expect((await at('/livez')).status).toBe(503);
});

test('metrics are those of this sidecar, with labels of resources alone', async () => {
  metrics.accepted('data/orders-db', 'postgres');
  metrics.denied('NotGranted');
  const text = await (await at('/metrics')).text();
  expect(text).toContain('chaperone_connections_total{resource="data/orders-db",protocol="postgres"} 1');
  expect(text).toContain('chaperone_denied_total{reason="NotGranted"} 1');
  expect(text).toContain('chaperone_sessions_open 3');
  expect(text).toContain('chaperone_evidence_unreceipted_seconds 1.5');
  expect(text).toContain('chaperone_receipts_refused{reason="LogForked"} 2');
  expect(text).toContain('chaperone_evidence_log_size 17');
});

test.each([
  ['another path', '/admin', 'GET', 404],
  ['a path with a query', '/livez?quit', 'GET', 404],
  ['another method', '/livez', 'POST', 405],
])('%s does nothing', async (_what, path, method, status) => {
  expect((await at(path, method)).status).toBe(status);
});

test('a header beyond 4 KiB and a reset in the middle leave it running', async () => {
  for (const text of [`GET /livez HTTP/1.1\r\nX: ${'x'.repeat(8_000)}\r\n\r\n`, 'GET /li', '\0\0\0']) {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await new Promise<void>((resolve) => socket.write(text, () => resolve()));
    socket.resetAndDestroy();
  }
  expect((await at('/livez')).status).toBe(200);
});
