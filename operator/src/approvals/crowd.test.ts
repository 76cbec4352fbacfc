import type { ClientRequest } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { newSessionId } from '@chaperone/evidence';
import { KINDS } from '@chaperone/kube';
import { eventually, type FakeApiServer } from '@chaperone/kube/fake-api-server';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { AGENTS, putAgentPod, tokenOf } from '../operator.test-support.ts';
import { MAX_LARGE_BODIES } from '../sidecars/bodies.ts';
import { MAX_PENDING_REQUESTS } from '../sidecars/server.ts';
import { askingCluster } from './asking.test-support.ts';

const cluster = askingCluster();
const { ask, call, question } = cluster;
let api: FakeApiServer;
let me = '';
let other = '';
let slow: ClientRequest[];
beforeAll(async () => {
  api = await cluster.open();
});
beforeEach(async () => {
  slow = [];
  ({ me, other } = await cluster.renew());
});
afterEach(() => {
  for (const sent of slow) sent.destroy();
});
afterAll(() => cluster.close());

/** Requests of a pod whose bodies do not come; which of them were answered, and with what. */
function stall(pod: string, path: string, count: number): { readonly answers: number[] } {
  const answers: number[] = [];
  const { port } = cluster.server().address() as AddressInfo;
  const headers = { authorization: `Bearer ${tokenOf(pod)}`, 'content-type': 'application/json' };
  const options = { port, path, headers, method: 'POST', ca: cluster.ca(), agent: false };
  for (let each = 0; each < count; each++) {
    const sent = request({ ...options, host: '127.0.0.1', servername: 'chaperone-operator.chaperone-system.svc' });
    sent.on('error', () => undefined).on('response', (response) => answers.push(response.resume().statusCode ?? 0));
    sent.write('{');
    slow.push(sent);
  }
  return { answers };
}

test('a pod whose requests do not end has a share of them, and another asks meanwhile', async () => {
  const { answers } = stall(me, '/v1/ask', MAX_PENDING_REQUESTS / 4 + 32);
  await eventually(() => expect(answers).toEqual(Array.from({ length: 32 }, () => 503)));
  expect((await ask(question(), other)).state).toBe('Pending');
  expect(await call('POST', '/v1/ask', me, question())).toMatchObject({ status: 503, body: { code: 'Busy' } });
});

test('a pod whose large bodies do not end has a share of those, and another tells what it met', async () => {
  const asked = question();
  await ask(asked, other);
  const { answers } = stall(me, '/v1/looked', MAX_LARGE_BODIES);
  await eventually(() => expect(answers).toHaveLength((MAX_LARGE_BODIES * 3) / 4));
  const { name, digest } = asked;
  const told = { name, digest, preview: { count: 1 }, text: 'x'.repeat(100_000) };
  expect((await call('POST', '/v1/looked', other, told)).status).toBe(204);
});

test('the end of a session counts of an enrolled pod, and of the one whose session it is, whether it asked for anything or not', async () => {
  const [session, name] = [newSessionId(`${other}-uid`), 'kill'];
  api.put(KINDS.sessionKills, { metadata: { namespace: AGENTS, name }, spec: { session, reason: 'stop', by: 'jane' } });
  const status = (): unknown => api.get(KINDS.sessionKills, { namespace: AGENTS, name })?.status;
  await eventually(() => expect(status()).toHaveProperty('at'));
  putAgentPod(api, 'stranger');
  await eventually(async () =>
    expect(await call('POST', '/v1/closed', 'stranger', { session })).toMatchObject({ body: { code: 'NotEnrolled' } }),
  );
  // As a pod may that heard of the session by its end.
  await ask(question({ session }), me);
  expect((await call('POST', '/v1/closed', me, { session })).status).toBe(204);
  expect(status()).not.toHaveProperty('endedAt');
  expect((await call('POST', '/v1/closed', other, { session })).status).toBe(204);
  expect(status()).toHaveProperty('endedAt');
});
