import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '@chaperone/testing';
import { createAuthority } from '../../../operator/src/ca/pem.ts';
import { ROOT } from '../harness/cluster.ts';
import { SYSTEM } from '../harness/installation.ts';
import { demand } from '../harness/run.ts';
import { CREDENTIAL, DATA } from '../harness/shop.ts';
import type { World } from './world.ts';

const BACK_MS = 150_000;
const DAY_MS = 86_400_000;
const LEASE = 'chaperone-operator';

interface Part {
  readonly namespace: string;
  /** What waits until it is there again. */
  readonly rollout: string;
  readonly container: string;
  readonly selector: string;
}
const part = (rollout: string, component: string, container = component): Part => ({
  namespace: SYSTEM,
  rollout,
  container,
  selector: `app.kubernetes.io/component=${component}`,
});
const PARTS = {
  operator: part('deployment/chaperone-operator', 'operator'),
  collector: part('statefulset/chaperone-collector', 'collector'),
  broker: part('statefulset/chaperone-nats', 'nats'),
  node: part('daemonset/chaperone-node', 'node'),
  database: { namespace: DATA, rollout: 'deployment/orders', container: 'postgres', selector: 'app=orders' },
} as const satisfies Record<string, Part>;

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
    readonly status: {
      readonly containerStatuses?: readonly { readonly name: string; readonly ready: boolean; readonly restartCount: number }[];
    };
  }[];
}

async function podsOf(world: World, { namespace, selector }: Part): Promise<PodList['items']> {
  const { items } = await world.json<PodList>('pods', '-n', namespace, '-l', selector);
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

/** The operator's pod that leads, or the other one. */
async function operatorThat(world: World, leads: boolean): Promise<string> {
  return await eventually(
    leads ? 'a leader' : 'an operator that does not lead',
    async () => {
      const lease = await world.json<{ spec: { holderIdentity?: string } }>('lease', LEASE, '-n', SYSTEM);
      const holder = lease.spec.holderIdentity?.split('_')[0];
      const pods = (await podsOf(world, PARTS.operator)).map(({ metadata }) => metadata.name);
      return pods.find((name) => (name === holder) === leads && pods.includes(holder ?? ''));
    },
    BACK_MS,
  );
}
const onlyPod = async (world: World, of: Part): Promise<string> =>
  await eventually(`a pod of ${of.rollout}`, async () => (await podsOf(world, of))[0]?.metadata.name, BACK_MS);

async function isBack(world: World, { namespace, rollout }: Part): Promise<void> {
  await world.kubectl(['rollout', 'status', rollout, '-n', namespace, `--timeout=${BACK_MS / 1000}s`]);
}

/** Deletes the pod as `kubectl delete` does. */
async function remove(world: World, of: Part, pod: string): Promise<void> {
  await world.kubectl(['delete', 'pod', pod, '-n', of.namespace, '--ignore-not-found', '--timeout=90s']);
  await isBack(world, of);
}

/** Kills its process from the node, and waits until the container was started again. */
async function kill(world: World, of: Part, pod: string): Promise<void> {
  const restarts = async (): Promise<number | undefined> => {
    const found = (await podsOf(world, of)).find(({ metadata }) => metadata.name === pod);
    const status = found?.status.containerStatuses?.find(({ name }) => name === of.container);
    return status?.ready === true ? status.restartCount : undefined;
  };
  const before = await eventually(`${pod} to be ready`, restarts, BACK_MS);
  await world.shop.cluster.signal(pod, of.namespace, of.container, 'SIGKILL');
  await eventually(`${pod} to be back`, async () => (((await restarts()) ?? 0) > before ? true : undefined), BACK_MS);
  await isBack(world, of);
}

export const deleteLeader = async (world: World): Promise<void> => {
  await remove(world, PARTS.operator, await operatorThat(world, true));
  await operatorThat(world, true);
};
export const killLeader = async (world: World): Promise<void> => {
  await kill(world, PARTS.operator, await operatorThat(world, true));
  await operatorThat(world, true);
};
export const deleteFollower = async (world: World): Promise<void> =>
  await remove(world, PARTS.operator, await operatorThat(world, false));
export const killFollower = async (world: World): Promise<void> =>
  await kill(world, PARTS.operator, await operatorThat(world, false));

const deleted =
  (of: Part) =>
  async (world: World): Promise<void> =>
    await remove(world, of, await onlyPod(world, of));
const killed =
  (of: Part) =>
  async (world: World): Promise<void> =>
    await kill(world, of, await onlyPod(world, of));
export const deleteCollector = deleted(PARTS.collector);
export const killCollector = killed(PARTS.collector);
export const deleteBroker = deleted(PARTS.broker);
export const killBroker = killed(PARTS.broker);
export const deleteNodeAgent = deleted(PARTS.node);

/** It has no disk: it comes back as it was in the beginning. */
const anew =
  (act: (world: World) => Promise<void>) =>
  (world: World): Promise<void> =>
    world.alone(async () => {
      await act(world);
      await world.shop.setSecret(CREDENTIAL.password);
      world.password = CREDENTIAL.password;
    });
export const deleteDatabase = anew(deleted(PARTS.database));
export const killDatabase = anew(killed(PARTS.database));

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** So long a successor is published before it signs: the kubelet brings a ConfigMap into pods within about a minute. A day, else. */
const PUBLISHED_MS = 100_000;
const ROTATED_MS = PUBLISHED_MS + BACK_MS;

/** Puts a successor beside the CA that is published long enough in a while; then it signs, as the next one does after a day. */
export async function rotateCa(world: World): Promise<void> {
  const next = await createAuthority({
    name: 'chaperone-ca churn',
    now: Date.now() - DAY_MS + PUBLISHED_MS,
    lifeMs: 365 * DAY_MS,
  });
  const data = { 'next.crt': base64(next.certificate), 'next.key': base64(next.key) };
  const secret = ['secret', 'chaperone-ca', '-n', SYSTEM];
  await world.kubectl(['patch', ...secret, '--type=merge', '-p', JSON.stringify({ data })]);
  await eventually(
    'the next CA to sign',
    async () => {
      const found = await world.json<{ data: Record<string, string> }>(...secret);
      return found.data['tls.crt'] === data['next.crt'] ? true : undefined;
    },
    ROTATED_MS,
  );
  await signedBy(world, 'chaperone-nats-tls', 'chaperone-collector-tls');
  await isBack(world, PARTS.broker);
  await isBack(world, PARTS.collector);
}

/** Waits until certificates of services are by the CA that signs. */
async function signedBy(world: World, ...names: readonly string[]): Promise<void> {
  const read = async (name: string): Promise<X509Certificate> => {
    const { data } = await world.json<{ data: Record<string, string> }>('secret', name, '-n', SYSTEM);
    return new X509Certificate(Buffer.from(data['tls.crt'] ?? '', 'base64'));
  };
  for (const name of names)
    await eventually(
      `${name} by the CA`,
      async () => ((await read(name)).verify((await read('chaperone-ca')).publicKey) ? true : undefined),
      BACK_MS,
    );
}

export async function renewCertificate(world: World): Promise<void> {
  await world.kubectl(['delete', 'secret', 'chaperone-collector-tls', '-n', SYSTEM]);
  await signedBy(world, 'chaperone-collector-tls');
}

/** Kills the API server's process of the cluster on this host; `up` starts what is not running. */
export async function killApiServer(): Promise<void> {
  const directory = process.env['CLUSTER_DIR'] ?? '/var/lib/local-cluster';
  const [pid] = (await readFile(join(directory, 'run/apiserver.pid'), 'utf8')).split(' ').map(Number);
  if (pid === undefined || !(await readFile(`/proc/${pid}/cmdline`, 'utf8')).startsWith('kube-apiserver'))
    throw new Error('the API server is not there');
  process.kill(pid, 'SIGKILL');
  await eventually(
    'its end',
    async () => ((await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z ')).includes(') Z ') ? true : undefined),
    10_000,
  );
  await demand(join(ROOT, 'e2e/cluster/up'), [], { timeoutMs: 180_000 });
}
