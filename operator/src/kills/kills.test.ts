import { API_VERSION } from '@chaperone/api';
import { newSessionId } from '@chaperone/evidence';
import { KINDS } from '@chaperone/kube';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually, type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { Kills } from './kills.ts';

let server: FakeApiServer;
let kills: Kills;
let told: string[];
let now: number;
const POD = { namespace: 'agents', podUid: 'bot-uid' };
const SESSION = newSessionId(POD.podUid);

function aKill(name: string, metadata: object = {}): object {
  return {
    apiVersion: API_VERSION,
    kind: 'SessionKill',
    metadata: { name, namespace: 'agents', ...metadata },
    spec: { session: SESSION, reason: 'wrong table', by: 'jane@corp' },
  };
}
const statusOf = (name: string): unknown => server.get(KINDS.sessionKills, { namespace: 'agents', name })?.status;

async function lead(): Promise<void> {
  kills = new Kills({
    kube: server.kube,
    hub: { kill: (namespace, { session, reason, by }) => told.push(`${namespace} ${session} ${reason} (${by})`) },
    now: () => now,
    onError: (error) => {
      throw error;
    },
  });
  await kills.start();
}
beforeEach(async () => {
  server = await startFakeApiServer();
  told = [];
  now = Date.now();
  await lead();
});
afterEach(async () => {
  await kills.stop();
  await server.close();
});

test('a session that somebody names is ended once, and its sidecar is told why, and by whom for the record', async () => {
  server.put(KINDS.sessionKills, aKill('one'));
  await eventually(() => expect(statusOf('one')).toEqual({ sent: 1, at: new Date(now).toISOString() }));
  expect(told).toEqual([`agents ${SESSION} a person ended it: wrong table (jane@corp)`]);
});

test('that its sidecar says that it is over is written, once, and of no other namespace', async () => {
  server.put(KINDS.sessionKills, aKill('one'));
  await eventually(() => expect(statusOf('one')).toBeDefined());
  await kills.closed({ ...POD, namespace: 'others' }, SESSION);
  await kills.closed(POD, newSessionId(POD.podUid));
  expect(statusOf('one')).not.toHaveProperty('endedAt');
  const sentAt = new Date(now).toISOString();
  now += 400;
  await kills.closed(POD, SESSION);
  const ended = { sent: 1, at: sentAt, endedAt: new Date(now).toISOString() };
  await eventually(() => expect(statusOf('one')).toEqual(ended));
  now += 400;
  await kills.closed(POD, SESSION);
  expect(statusOf('one')).toEqual(ended);
});

test('that another pod says so of a session that it did not make changes nothing', async () => {
  server.put(KINDS.sessionKills, aKill('one'));
  await eventually(() => expect(statusOf('one')).toBeDefined());
  await kills.closed({ ...POD, podUid: 'other-uid' }, SESSION);
  expect(statusOf('one')).not.toHaveProperty('endedAt');
  await kills.closed(POD, SESSION);
  await eventually(() => expect(statusOf('one')).toHaveProperty('endedAt'));
});

test('an end that is told before it is written that it was asked for keeps both', async () => {
  const gate = Promise.withResolvers<void>();
  let patches = 0;
  server.intercept = ({ method }) => {
    if (method !== 'PATCH' || patches++ > 0) return false;
    void gate.promise.then(() => kills.closed(POD, SESSION));
    gate.resolve();
    return false;
  };
  server.put(KINDS.sessionKills, aKill('one'));
  await eventually(() => expect(statusOf('one')).toMatchObject({ sent: 1, endedAt: expect.any(String) as string }));
});

test('a sidecar that connects later is told of what was ended lately, in its own namespace', async () => {
  server.put(KINDS.sessionKills, aKill('one'));
  await eventually(() =>
    expect(kills.of('agents')).toEqual([{ session: SESSION, reason: 'a person ended it: wrong table', by: 'jane@corp' }]),
  );
  expect(kills.of('others')).toEqual([]);
  now += 16 * 60_000;
  expect(kills.of('agents')).toEqual([]);
});

test('what was sent before a leader changed is not sent again', async () => {
  await kills.stop();
  server.put(KINDS.sessionKills, { ...aKill('old'), status: { sent: 1, at: '2026-01-01T00:00:00Z' } });
  await lead();
  server.put(KINDS.sessionKills, aKill('new'));
  await eventually(() => expect(statusOf('new')).toBeDefined());
  expect(told).toHaveLength(1);
});

test('what is over is cleared away', async () => {
  server.put(KINDS.sessionKills, aKill('one'));
  await eventually(() => expect(statusOf('one')).toBeDefined());
  await kills.sweep();
  expect(statusOf('one')).toBeDefined();
  now += 61 * 60_000;
  await kills.sweep();
  expect(server.get(KINDS.sessionKills, { namespace: 'agents', name: 'one' })).toBeUndefined();
});
