import type { AccessRequest } from '@chaperone/api';
import { keyOf, KINDS } from '@chaperone/kube';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Access } from '../access.ts';
import { type Collector, createCollector } from '../collector.ts';
import { silent, trust } from '../evidence.fixture.ts';
import { ClusterRequests } from './cluster-source.ts';
import { aRequest } from './requests.fixture.ts';

let api: FakeApiServer;
let source: ClusterRequests;
let errors: unknown[];
let later: number;
let collector: Collector;

/** Everybody is mira, who may get what is in the namespace of agents. */
const access: Access = {
  authorise: () => Promise.resolve({ user: 'mira', groups: ['dba'] }),
  allowed: (_who, verb, namespace, resource) =>
    Promise.resolve(`${verb} ${resource ?? 'sessions'} ${namespace}` === 'get accessrequests agents'),
};
const ask = async (path: string): Promise<Response> => collector.fetch(new Request(`http://127.0.0.1${path}`));
async function names(): Promise<string[]> {
  const { items } = (await (await ask('/v1/requests')).json()) as { items: AccessRequest[] };
  return items.map(keyOf);
}
const put = (request: AccessRequest): AccessRequest => {
  api.put(KINDS.accessRequests, request);
  return request;
};

beforeEach(async () => {
  api = await startFakeApiServer();
  errors = [];
  later = 0;
  source = new ClusterRequests({ kube: api.kube, now: () => Date.now() + later, onError: (error) => errors.push(error) });
  const { path: directory } = await temporaryDirectory();
  collector = await createCollector({ directory, trust, access, logger: silent, requests: source });
  return () => collector.close();
});
afterEach(async () => {
  await source.stop();
  await api.close();
});

test('requests of the cluster are there as they change, to whoever may get them', async () => {
  const [first] = [put(aRequest()), put(aRequest({ namespace: 'secret' }))];
  source.start();
  await eventually('the first list', () => (source.notReady() === undefined ? true : undefined));
  expect(await names()).toEqual([keyOf(first)]);
  const second = put(aRequest());
  await eventually('the second', async () => ((await names()).includes(keyOf(second)) ? true : undefined));
  api.remove(KINDS.accessRequests, { namespace: 'agents', name: first.metadata.name });
  await eventually('the first to be gone', async () => ((await names()).length === 1 ? true : undefined));
});

test('nothing is decided here: there is no content and no decision', async () => {
  const { metadata } = put(aRequest());
  source.start();
  await eventually('the first list', () => (source.notReady() === undefined ? true : undefined));
  expect((await ask(`/v1/requests/agents/${metadata.name}/content`)).status).toBe(404);
  const sent = new Request(`http://127.0.0.1/v1/requests/agents/${metadata.name}/decisions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ requestUid: metadata.uid, digest: '0'.repeat(64), decision: 'Approve' }),
  });
  expect((await collector.fetch(sent)).status).toBe(404);
  expect(api.asked.filter(({ method }) => method !== 'GET')).toEqual([]);
});

test('what has not been read, or not been heard of for long, is told as that, and sessions are there meanwhile', async () => {
  const unread = await ask('/v1/requests');
  expect([unread.status, await unread.json()]).toEqual([
    503,
    { code: 'ClusterUnreachable', message: 'requests for approval have not been read yet' },
  ]);
  expect((await ask('/v1/sessions')).status).toBe(200);
  source.start();
  await eventually('the first list', () => (source.notReady() === undefined ? true : undefined));
  later = 200_000;
  const old = (await (await ask('/v1/requests')).json()) as { message: string };
  expect(old.message).toMatch(/has not been heard for \d+ s; requests for approval may have changed/);
});

test('one that cannot be read is left out and reported, and the others are there', async () => {
  api.put(KINDS.accessRequests, { metadata: { namespace: 'agents', name: 'ar-broken' }, spec: { text: 7 } });
  const good = put(aRequest());
  source.start();
  await eventually('the first list', () => (source.notReady() === undefined ? true : undefined));
  expect(await names()).toEqual([keyOf(good)]);
  expect(errors).toHaveLength(1);
});
