import type { Pod } from '@chaperone/operator/internal';
import { eventually } from '@chaperone/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Cluster, GOVERNED } from './harness/cluster.ts';
import { Installation } from './harness/installation.ts';
import { OtherWebhook } from './harness/other-webhook.ts';
import type { Result } from './harness/run.ts';

/** Other people's webhooks around ours: what is stored is what the profile says, or nothing is. */
const NAMESPACE = 'e2e-webhooks';
const FREE = 'e2e-webhooks-free';
const OURS = ['chaperone-init', 'chaperone-sidecar', 'chaperone-verify'];
let cluster: Cluster;
let other: OtherWebhook;

beforeAll(async () => {
  const installation = await Installation.create();
  cluster = installation.cluster;
  other = await OtherWebhook.start(installation);
  await Promise.all([cluster.namespace(NAMESPACE, GOVERNED), cluster.namespace(FREE)]);
  for (const namespace of [NAMESPACE, FREE])
    await cluster.demand(['wait', '--for=create', 'serviceaccount/default', '-n', namespace, '--timeout=30s']);
});
afterEach(() => other.quiet());
afterAll(async () => {
  await other.stop();
  await cluster.demand(['delete', 'namespace', NAMESPACE, FREE, '--ignore-not-found', '--wait=false']);
});

/** As somebody creates it who knows nothing of either webhook. */
const create = (namespace: string): Promise<Result> =>
  cluster.dryRun({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'bot', namespace, labels: { app: 'bot' } },
    spec: { containers: [{ name: 'bot', image: 'bot:1', securityContext: { runAsUser: 1000 } }] },
  });
const created = async (namespace: string): Promise<Pod> => {
  const { status, stdout, stderr } = await create(namespace);
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Pod;
};
const initsOf = ({ spec }: Pod): string[] => (spec.initContainers ?? []).map(({ name }) => name);
/** Has it called, and waits until the API server does: where nobody governs, its label is there. */
async function called(order: 'before' | 'after', path: string, shows: (pod: Pod) => boolean): Promise<void> {
  await other.call(order, path, [NAMESPACE, FREE]);
  await eventually('the other webhook to be called', async () => (shows(await created(FREE)) ? true : undefined));
}

test.each(['before', 'after'] as const)(
  '23, 52 a container that a webhook %s ours puts in front, once, stands behind ours',
  async (order) => {
    await called(order, '/prepend', (pod) => initsOf(pod)[0] === 'first');
    await expect.poll(async () => initsOf(await created(NAMESPACE))).toEqual([...OURS, 'first']);
  },
);

test.each([
  ['23, 52 the order of containers', '/insist', '[NotInjected]'],
  ['52 the sidecar’s image', '/image', '[ReservedName]'],
  ['52 the sidecar’s restart policy', '/restart', '[ReservedName]'],
  ['52 the network', '/network', '[HostNetwork]'],
  ['52 what a container may', '/capability', '[CapabilityAdded]'],
])('%s, changed by a webhook after ours, is refused', async (_what, path, text) => {
  await called('after', '/label', ({ metadata }) => metadata.labels?.['role'] === 'other');
  await other.call('after', path, [NAMESPACE]);
  await expect.poll(async () => (await create(NAMESPACE)).stderr).toContain(text);
});

test('52 the sidecar’s environment, changed by a webhook after ours, is ours or is refused', async () => {
  const wanted = await created(NAMESPACE);
  await other.call('after', '/environment', [NAMESPACE]);
  await expect.poll(async () => (await create(NAMESPACE)).stderr).toContain('[ProfileMismatch]');
  await other.quiet();
  await expect.poll(async () => (await create(NAMESPACE)).stderr).toBe('');
  expect((await created(NAMESPACE)).spec.initContainers).toEqual(wanted.spec.initContainers);
});

test('52 a label from a webhook after ours is part of who the pod is', async () => {
  await called('after', '/label', ({ metadata }) => metadata.labels?.['role'] === 'other');
  await expect.poll(async () => (await created(NAMESPACE)).metadata.labels?.['role']).toBe('other');
});
