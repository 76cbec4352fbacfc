import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually, type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { runElection } from './leader.ts';

let api: FakeApiServer;
let stop: AbortController;
let running: Promise<void>[];
let leaders: Set<string>;
let most: number;

beforeEach(async () => {
  api = await startFakeApiServer();
  stop = new AbortController();
  running = [];
  leaders = new Set();
  most = 0;
});
afterEach(async () => {
  stop.abort();
  await Promise.all(running);
  await api.close();
});

function join(identity: string, { signal = stop.signal, leaseMs = 1000 } = {}): void {
  const options = { kube: api.kube, namespace: 'system', name: 'op', identity, leaseMs, renewDeadlineMs: 500, retryMs: 40 };
  running.push(
    runElection(options, signal, async (term) => {
      leaders.add(identity);
      most = Math.max(most, leaders.size);
      await sleep(60_000, undefined, { signal: term }).catch(() => undefined);
      leaders.delete(identity);
    }),
  );
}
interface Spec {
  holderIdentity?: string;
  renewTime?: string;
  leaseTransitions?: number;
}
const lease = (): Spec => api.get(KINDS.leases, { namespace: 'system', name: 'op' })?.spec as Spec;

test('of three candidates one leads', async () => {
  join('a');
  join('b');
  join('c');
  await eventually(() => expect(leaders.size).toBe(1));
  await sleep(300);
  expect(most).toBe(1);
  expect(lease().holderIdentity).toBe([...leaders][0]);
  expect(lease().renewTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
});

test('a leader is known once it is seen to renew, not by the lease that a dead one left', async () => {
  const past = { holderIdentity: 'gone', leaseDurationSeconds: 60, renewTime: '2026-01-01T00:00:00.000000Z' };
  api.put(KINDS.leases, { metadata: { namespace: 'system', name: 'op' }, spec: past });
  let known = false;
  const options = { kube: api.kube, namespace: 'system', name: 'op', identity: 'a', retryMs: 20, onLeader: () => (known = true) };
  running.push(runElection(options, stop.signal, () => Promise.resolve()));
  await sleep(200);
  expect(known).toBe(false);
  api.put(KINDS.leases, {
    metadata: { namespace: 'system', name: 'op' },
    spec: { ...past, renewTime: '2026-01-01T00:00:02.000000Z' },
  });
  await eventually(() => expect(known).toBe(true));
});

test('a leader that leaves gives the lease back, and another takes it at once', async () => {
  const first = new AbortController();
  join('a', { signal: first.signal, leaseMs: 60_000 });
  await eventually(() => expect([...leaders]).toEqual(['a']));
  join('b', { leaseMs: 60_000 });
  await sleep(100);
  const started = performance.now();
  first.abort();
  await eventually(() => expect([...leaders]).toEqual(['b']));
  expect(performance.now() - started).toBeLessThan(30_000);
  expect(lease().leaseTransitions).toBeGreaterThanOrEqual(1);
});

test('a dead leader is replaced only after its lease was seen unchanged for its whole time', async () => {
  const spec = { holderIdentity: 'dead', leaseDurationSeconds: 1, renewTime: '2000-01-01T00:00:00.000000Z' };
  api.put(KINDS.leases, { metadata: { namespace: 'system', name: 'op' }, spec });
  const started = performance.now();
  join('a');
  await eventually(() => expect([...leaders]).toEqual(['a']));
  expect(performance.now() - started).toBeGreaterThanOrEqual(950);
});

test.each([
  ['hangs', () => true],
  [
    'refuses',
    (response: { writeHead(status: number): { end(): void } }) => {
      response.writeHead(500).end();
      return true;
    },
  ],
] as const)('a leader steps down before its lease runs out when the API server %s', async (_name, behave) => {
  join('a', { leaseMs: 60_000 });
  await eventually(() => expect([...leaders]).toEqual(['a']));
  api.intercept = (_asked, response) => behave(response);
  const started = performance.now();
  await eventually(() => expect(leaders.size).toBe(0));
  expect(performance.now() - started).toBeLessThan(30_000);
  api.intercept = undefined;
  await eventually(() => expect([...leaders]).toEqual(['a']));
});

test('a leader whose lease another took steps down at once', async () => {
  join('a');
  await eventually(() => expect([...leaders]).toEqual(['a']));
  api.put(KINDS.leases, {
    metadata: { namespace: 'system', name: 'op' },
    spec: { holderIdentity: 'b', leaseDurationSeconds: 60 },
  });
  await eventually(() => expect(leaders.size).toBe(0));
  await sleep(100);
  expect(lease().holderIdentity).toBe('b');
});
