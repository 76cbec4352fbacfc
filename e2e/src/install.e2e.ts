import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '@chaperone/operator/internal';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Cluster, GOVERNED, ROOT } from './harness/cluster.ts';
import { install, scaleOperator, SYSTEM } from './harness/installation.ts';

/** The chart as people install it: operator, webhook and policies together, and what holds while the operator is away. */
const NAMESPACE = 'e2e-install';
let cluster: Cluster;

beforeAll(async () => {
  cluster = await install();
  await cluster.namespace(NAMESPACE, GOVERNED);
  await cluster.demand(['wait', '--for=create', 'configmap/chaperone-ca', '-n', NAMESPACE, '--timeout=30s']);
});

afterAll(() => cluster.demand(['delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false']));

const aPod = (name: string, container: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: NAMESPACE, labels: { app: name } },
  spec: {
    containers: [
      {
        name: 'bot',
        image: 'chaperone.test/sidecar:dev',
        command: ['/usr/local/bin/node', '-e', 'setInterval(() => {}, 1000000)'],
        securityContext: { runAsUser: 1000 },
        ...container,
      },
    ],
  },
});

describe('an installed chart', () => {
  test('injects a pod, and the policies accept what the webhook made of it', async () => {
    const { status, stdout, stderr } = await cluster.dryRun(aPod('fresh'));
    expect([status, stderr]).toEqual([0, '']);
    const { spec } = JSON.parse(stdout) as Pod;
    expect(spec.initContainers?.map(({ name }) => name)).toEqual(['chaperone-init', 'chaperone-sidecar', 'chaperone-verify']);
    expect(spec.automountServiceAccountToken).toBe(false);
  });

  test('tells everything that is in the way at once', async () => {
    const { stderr } = await cluster.dryRun(aPod('bad', { securityContext: { privileged: true } }));
    expect(stderr).toContain(
      'pod "bad" cannot run in governed namespace e2e-install, 2 problems: (1) container "bot": set spec.containers[0].securityContext.runAsUser',
    );
    expect(stderr).toContain('[Privileged] [AgentPodRejected]');
  });

  test('offers the user that a namespace names', async () => {
    await cluster.demand(['annotate', 'namespace', NAMESPACE, 'chaperone.dev/default-run-as-user=1234', '--overwrite']);
    await expect
      .poll(async () => (await cluster.dryRun(aPod('plain', { securityContext: {} }))).stdout, { timeout: 15_000 })
      .toContain('"runAsUser": 1234');
  });

  test('gives agents no token that the API server takes', async () => {
    const { stdout } = await cluster.dryRun(aPod('token'));
    const audiences = stdout.match(/"audience": "[^"]*"/g);
    expect(audiences).toEqual(['"audience": "chaperone-agent"', '"audience": "chaperone-sidecar"']);
  });

  test('installs capture in a pod that really starts', async () => {
    await cluster.demand(['delete', 'pod', 'captured', '-n', NAMESPACE, '--ignore-not-found']);
    await cluster.demand(['create', '-f', '-'], aPod('captured'));
    const state = (): Promise<string> =>
      cluster.demand([
        'get',
        'pod',
        'captured',
        '-n',
        NAMESPACE,
        '-o',
        'jsonpath={.status.initContainerStatuses[0].state.terminated.exitCode}',
      ]);
    await expect.poll(state, { timeout: 60_000, interval: 500 }).toBe('0');
    expect(await cluster.demand(['logs', 'captured', '-n', NAMESPACE, '-c', 'chaperone-init'])).toContain('capture is installed');
  });

  test('serves its CRDs with every schema rule accepted', async () => {
    for (const name of readdirSync(join(ROOT, 'crds')))
      await cluster.demand(
        ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '-f', '-'],
        readFileSync(join(ROOT, 'crds', name), 'utf8'),
      );
  });
});

describe('33 while the operator is away', () => {
  beforeAll(() => scaleOperator(cluster, 0));
  afterAll(() => scaleOperator(cluster, 2));

  test('no pod of a governed namespace starts', async () => {
    const { status, stderr } = await cluster.dryRun(aPod('orphan'));
    expect(status).toBe(1);
    expect(stderr).toContain('failed calling webhook "pods.chaperone.dev"');
  });

  test('none starts either where somebody made the webhook optional', async () => {
    const patch = JSON.stringify([{ op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Ignore' }]);
    await cluster.demand(['patch', 'mutatingwebhookconfiguration', 'chaperone', '--type=json', '-p', patch]);
    await expect.poll(async () => (await cluster.dryRun(aPod('orphan'))).stderr, { timeout: 15_000 }).toContain('[NotInjected]');
    await cluster.demand([
      'patch',
      'mutatingwebhookconfiguration',
      'chaperone',
      '--type=json',
      '-p',
      patch.replace('Ignore', 'Fail'),
    ]);
  });

  test('pods elsewhere start as ever', async () => {
    const pod = aPod('elsewhere') as { metadata: { namespace: string } };
    const { status, stderr } = await cluster.dryRun({ ...pod, metadata: { ...pod.metadata, namespace: SYSTEM } });
    expect([status, stderr]).toEqual([0, '']);
  });
});

describe('once the chart is removed', () => {
  beforeAll(() => cluster.helm(['uninstall', 'chaperone', '-n', SYSTEM, '--wait', '--timeout', '90s']));

  test('pods start again in what was governed, and policies and resources stay', async () => {
    await expect.poll(async () => (await cluster.dryRun(aPod('after'))).stderr, { timeout: 30_000 }).toBe('');
    expect(await cluster.demand(['get', 'crd', '-o', 'name'])).toContain('accesspolicies.chaperone.dev');
  });
});
