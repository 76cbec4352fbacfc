import { setTimeout as sleep } from 'node:timers/promises';
import type { AccessPolicy } from '@chaperone/api';
import { getObject, KINDS, type KubeObject, pathOf } from '@chaperone/kube';
import { eventually } from '@chaperone/testing';
import { AGENTS } from './operator.test-support.ts';
import type { OperatorOptions } from './operator.ts';
import { RealCluster, type Replica, SYSTEM } from './real-cluster.test-support.ts';

/** A leader that is silent is followed within four seconds. */
export const ELECTION: NonNullable<OperatorOptions['election']> = { leaseMs: 3_000, renewDeadlineMs: 2_400, retryMs: 200 };
const INBOUND = 'chaperone.dev/inbound-ports';
/** Informers wait up to 30 s between tries. */
const PATIENCE_MS = 60_000;

/** Pods that are created all the time, and what was said of those that were refused. */
export class Creating implements AsyncDisposable {
  readonly refused: string[] = [];
  created = 0;
  #isOver = false;
  readonly #running: Promise<void>;

  constructor(cluster: RealCluster) {
    this.#running = this.#run(cluster);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
  async #run(cluster: RealCluster): Promise<void> {
    while (!this.#isOver) {
      const name = `made-${this.created++}`;
      await cluster.createPod(name).then(
        () => cluster.deletePod(name),
        (error: unknown) => this.refused.push((error as Error).message),
      );
      await sleep(20);
    }
  }
}

/** Lets pods of `app: support` be reached at this port: both replicas say so in the pods that they inject. */
export async function openPort(cluster: RealCluster, name: string, port: number): Promise<void> {
  const resource = { namespace: 'data', name: 'orders-db' };
  const rules = [{ name: 'read', effect: 'Allow', resource, sql: { statements: ['select'], relations: ['**'] } }];
  const spec = { agents: { podSelector: { matchLabels: { app: 'support' } } }, inbound: { ports: [port] }, rules };
  await cluster.create(KINDS.accessPolicies, { metadata: { namespace: AGENTS, name }, spec });
}
export async function closePort(cluster: RealCluster, name: string): Promise<void> {
  await cluster.kube.request({ method: 'DELETE', path: pathOf(KINDS.accessPolicies, { namespace: AGENTS, name }) });
}

/** Resolves once either replica, asked in turn, injects exactly these ports, and the leader has judged their policies. */
export async function isHeard(cluster: RealCluster, ...ports: readonly number[]): Promise<void> {
  const wanted = ports.toSorted((a, b) => a - b).join(',');
  const heard = async (): Promise<true | undefined> => {
    for (let at = 0; at < 2 * cluster.replicas.length; at++) {
      const { metadata } = await cluster.createPod('asked');
      await cluster.deletePod('asked');
      if (metadata.annotations?.[INBOUND] !== wanted)
        throw new Error(`${metadata.annotations?.[INBOUND]} is injected, not ${wanted}`);
    }
    const { items } = await cluster.kube.request<{ items: (KubeObject & Pick<AccessPolicy, 'status'>)[] }>({
      path: pathOf(KINDS.accessPolicies, { namespace: AGENTS }),
    });
    return items.every(({ metadata, status }) => status?.observedGeneration === metadata.generation) ? true : undefined;
  };
  await eventually(`ports ${wanted} to be injected`, heard, PATIENCE_MS);
}

async function leaderBut(cluster: RealCluster, not?: Replica): Promise<Replica> {
  const found = async (): Promise<Replica | undefined> => {
    const leader = await cluster.leader();
    return leader === not ? undefined : leader;
  };
  return await eventually('a leader', found, PATIENCE_MS);
}

/** Where sidecars are led. */
async function servedFrom(cluster: RealCluster): Promise<string | undefined> {
  const slice = await getObject(cluster.kube, KINDS.endpointSlices, { namespace: SYSTEM, name: 'chaperone-operator-leader' });
  return (slice?.endpoints as { addresses: string[] }[] | undefined)?.[0]?.addresses[0];
}

/**
 * The leader loses its way to the API server; the other follows it; the way is there again, with what was said on it meanwhile; then the
 * other loses its own. @returns what the first one wrote in between, which must be nothing
 */
export async function part(cluster: RealCluster, port: number): Promise<string[]> {
  const first = await leaderBut(cluster);
  await openPort(cluster, 'before', port);
  first.way.cut();
  const cutAt = performance.now();
  await openPort(cluster, 'during', port + 1);
  const second = await leaderBut(cluster, first);
  const tookAt = performance.now();
  await eventually('sidecars to be led to the other', async () =>
    (await servedFrom(cluster)) === second.address ? true : undefined,
  );
  first.way.heal();
  await isHeard(cluster, port, port + 1);
  await closePort(cluster, 'before');
  const served = await servedFrom(cluster);
  second.way.cut();
  const backAt = performance.now();
  await closePort(cluster, 'during');
  await leaderBut(cluster, second);
  second.way.heal();
  await isHeard(cluster);
  const late = first.writes
    .filter(({ at }) => at > tookAt && at < backAt)
    .map(({ method, path, at, status }) => `${method} ${path} ${Math.round(at - tookAt)} ms later: ${status}`);
  const took = tookAt - cutAt;
  if (took > 20_000) late.push(`a leader after ${Math.round(took)} ms`);
  if (served !== second.address) late.push(`sidecars led to ${served}`);
  return late;
}

/** The API server is killed and started anew. What watches ask for is too old for it (410); what changed is told all the same. */
export async function restart(cluster: RealCluster, port: number): Promise<void> {
  await openPort(cluster, 'before', port);
  await isHeard(cluster, port);
  await cluster.api.restart();
  await eventually('the API server to take changes', async () => {
    await closePort(cluster, 'before');
    return true;
  });
  await openPort(cluster, 'after', port + 1);
  await isHeard(cluster, port + 1);
  await closePort(cluster, 'after');
  await isHeard(cluster);
}

/** The API server takes a kind's storage anew, ends its watches, and sends whoever comes away for a second (429 with Retry-After). */
export async function throttle(cluster: RealCluster, round: number, port: number): Promise<void> {
  await cluster.kube.request({
    method: 'PATCH',
    path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/accesspolicies.chaperone.dev',
    contentType: 'application/json-patch+json',
    body: [{ op: 'add', path: '/spec/names/shortNames/-', value: `round${round}` }],
  });
  await eventually('a policy to be taken', async () => {
    await openPort(cluster, 'while', port);
    return true;
  });
  await isHeard(cluster, port);
  await closePort(cluster, 'while');
  await isHeard(cluster);
}

/** `node outages.test-support.ts ROUNDS`: prints what it found, a line of JSON. */
if (import.meta.main) {
  const rounds = Number(process.argv[2] ?? 5);
  await using cluster = await RealCluster.start();
  for (const name of ['one', 'two']) await cluster.startReplica(name, { election: ELECTION });
  await cluster.admits();
  const late: string[] = [];
  const creating: Creating[] = [];
  const whilePodsAreMade = async (outage: () => Promise<unknown>): Promise<void> => {
    await using making = new Creating(cluster);
    creating.push(making);
    await outage();
  };
  for (let round = 0; round < rounds; round++) {
    await whilePodsAreMade(async () => late.push(...(await part(cluster, 9_000))));
    await whilePodsAreMade(() => throttle(cluster, round, 9_100));
    await restart(cluster, 9_200);
  }
  const pods = creating.reduce((sum, { created }) => sum + created, 0);
  process.stdout.write(`${JSON.stringify({ rounds, pods, faults: [...late, ...creating.flatMap(({ refused }) => refused)] })}\n`);
}
