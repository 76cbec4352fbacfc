import { keyOf, KINDS } from '@chaperone/kube';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Collector, createCollector } from '../collector.ts';
import { silent, trust } from '../evidence.fixture.ts';
import { ClusterPolicies } from './cluster-source.ts';
import { aPolicy, aResource } from './policies.fixture.ts';

let api: FakeApiServer;
let source: ClusterPolicies;
let errors: unknown[];
let later: number;
let collector: Collector;

async function ask(path: string): Promise<{ status: number; keys: string[]; message?: string }> {
  const response = await collector.fetch(new Request(`http://127.0.0.1${path}`));
  const { items = [], message } = (await response.json()) as {
    items?: { metadata: { name: string; namespace: string } }[];
    message?: string;
  };
  return { status: response.status, keys: items.map(keyOf), ...(message !== undefined && { message }) };
}
const ready = (): Promise<true> => eventually('both lists', () => (source.notReady() === undefined ? true : undefined));

beforeEach(async () => {
  api = await startFakeApiServer();
  errors = [];
  later = 0;
  source = new ClusterPolicies({ kube: api.kube, now: () => Date.now() + later, onError: (error) => errors.push(error) });
  const { path: directory } = await temporaryDirectory();
  collector = await createCollector({
    directory,
    trust,
    access: {
      authorise: () => Promise.resolve({ user: 'mira', groups: [] }),
      allowed: (_who, verb, namespace) => Promise.resolve(verb === 'get' && namespace !== 'secret'),
    },
    logger: silent,
    policies: source,
  });
  return () => collector.close();
});
afterEach(async () => {
  await source.stop();
  await api.close();
});

test('policies and resources of the cluster are there as they change, to whoever may get them', async () => {
  const [policy, resource] = [aPolicy(), aResource()];
  api.put(KINDS.accessPolicies, policy);
  api.put(KINDS.accessPolicies, aPolicy({ namespace: 'secret' }));
  api.put(KINDS.protectedResources, resource);
  source.start();
  await ready();
  expect(await ask('/v1/policies')).toEqual({ status: 200, keys: [keyOf(policy)] });
  expect(await ask('/v1/resources')).toEqual({ status: 200, keys: [keyOf(resource)] });
  const { namespace = '', name } = policy.metadata;
  api.remove(KINDS.accessPolicies, { namespace, name });
  await eventually('it to be gone', async () => ((await ask('/v1/policies')).keys.length === 0 ? true : undefined));
  expect(api.asked.filter(({ method }) => method !== 'GET')).toEqual([]);
});

test('what has not been read, or not been heard of for long, is told as that', async () => {
  expect(await ask('/v1/resources')).toMatchObject({ status: 503, message: 'policies and resources have not been read yet' });
  source.start();
  await ready();
  later = 200_000;
  expect((await ask('/v1/policies')).message).toMatch(/not been heard for \d+ s; policies and resources may have changed/);
});

test('one that cannot be read is left out and reported, and the others are there', async () => {
  api.put(KINDS.accessPolicies, { metadata: { namespace: 'agents', name: 'broken' }, spec: { rules: 7 } });
  const good = aPolicy();
  api.put(KINDS.accessPolicies, good);
  source.start();
  await ready();
  expect((await ask('/v1/policies')).keys).toEqual([keyOf(good)]);
  expect(errors).toHaveLength(1);
});
