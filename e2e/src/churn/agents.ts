import { eventually } from '@chaperone/testing';
import { AGENTS } from '../harness/shop.ts';
import { traffic } from './traffic.ts';
import type { World } from './world.ts';

/** Longer than any run. */
const ALWAYS_S = 86_400;
const JOB_S = 15;
const READY_MS = 120_000;
const SERVED_MS = 60_000;
const LABEL = 'churn';

type Template = { metadata: object; spec: { containers: object[] } & Record<string, unknown> };

/** A pod that asks for so long, of a workload. */
function template(world: World, workload: string, seconds: number): Template {
  const { spec } = world.shop.agentPod(workload) as Template;
  const containers = spec.containers.map((container) => ({ ...container, ...traffic(seconds) }));
  return {
    metadata: { labels: { app: 'support-agent', [LABEL]: workload } },
    spec: { ...spec, containers, terminationGracePeriodSeconds: 30 },
  };
}
const metadata = (name: string): object => ({ name, namespace: AGENTS, labels: { [LABEL]: name } });

/** Names of the pods of a workload. */
async function podsOf(world: World, workload: string): Promise<string[]> {
  const { items } = await world.json<{ items: { metadata: { name: string } }[] }>(
    'pods',
    '-n',
    AGENTS,
    '-l',
    `${LABEL}=${workload}`,
  );
  return items.map((pod) => pod.metadata.name);
}

/** Waits until so many pods of a workload are ready and each was answered. */
async function serve(world: World, workload: string, count: number): Promise<void> {
  const served = world.begins(workload);
  try {
    const ready = ['wait', '--for=condition=Ready', 'pod', '-n', AGENTS, '-l', `${LABEL}=${workload}`, '--timeout=1s'];
    await eventually(
      `${count} ready pods of ${workload}`,
      async () => {
        const pods = await podsOf(world, workload);
        if (pods.length < count) return undefined;
        await world.kubectl(ready);
        return true;
      },
      READY_MS,
    );
    const pods = await podsOf(world, workload);
    const isServed = (pod: string): boolean => (world.answered.get(pod) ?? 0) > 0;
    await eventually(`answers to ${pods.join(', ')}`, () => (pods.every(isServed) ? true : undefined), SERVED_MS);
  } finally {
    served();
  }
}

/** A bare pod of this name that asks for ever. */
export async function makePod(world: World, name: string): Promise<void> {
  const { metadata: _labels, spec } = template(world, name, ALWAYS_S);
  const labels = { app: 'support-agent', [LABEL]: name };
  await world.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: AGENTS, labels }, spec });
  await serve(world, name, 1);
}

export async function makeDeployment(world: World, name: string): Promise<void> {
  await world.apply({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadata(name),
    spec: { replicas: 2, selector: { matchLabels: { [LABEL]: name } }, template: template(world, name, ALWAYS_S) },
  });
  await serve(world, name, 2);
}

/** A Job that asks for a while, and completes with its sidecar. */
export async function runJob(world: World, name: string): Promise<void> {
  const { metadata: labels, spec } = template(world, name, JOB_S);
  const job = { backoffLimit: 0, template: { metadata: labels, spec: { ...spec, restartPolicy: 'Never' } } };
  const served = world.begins(name);
  await world.apply({ apiVersion: 'batch/v1', kind: 'Job', metadata: metadata(name), spec: job });
  try {
    const isComplete = async (): Promise<true | undefined> => {
      const { status } = await world.json<{ status: { succeeded?: number; failed?: number } }>('job', name, '-n', AGENTS);
      if (status.failed !== undefined) throw new Error('its pod failed');
      return status.succeeded === undefined ? undefined : true;
    };
    await eventually(`${name} to complete`, isComplete, READY_MS + SERVED_MS);
    const pods = await podsOf(world, name);
    if (pods.every((pod) => !world.answered.has(pod))) throw new Error(`nobody answered ${name}`);
  } finally {
    served();
    await world.kubectl(['delete', 'job', name, '-n', AGENTS, '--ignore-not-found']);
  }
}

/** Deletes a workload as people do, and waits until its pods are gone. */
export async function end(world: World, workload: string): Promise<void> {
  const named = ['-n', AGENTS, '-l', `${LABEL}=${workload}`, '--ignore-not-found'];
  await world.kubectl(['delete', 'deployment', ...named]);
  await world.kubectl(['delete', 'pod', ...named, '--timeout=90s']);
  await eventually(
    `the end of ${workload}`,
    async () => ((await podsOf(world, workload)).length === 0 ? true : undefined),
    90_000,
  );
}

/** Kills the sidecar of one pod, and waits until that is answered again. */
export async function killSidecar(world: World, workload: string): Promise<void> {
  const [pod] = await podsOf(world, workload);
  if (pod === undefined) throw new Error(`${workload} has no pod`);
  await world.shop.cluster.signal(pod, AGENTS, 'chaperone-sidecar', 'SIGKILL');
  const at = Date.now() + 1_000;
  const isServed = (): true | undefined => {
    const last = world.last(pod);
    return last !== undefined && last.from > at && / [=] |refused D/.test(last.what) ? true : undefined;
  };
  await eventually(`answers to ${pod}`, isServed, READY_MS);
}
