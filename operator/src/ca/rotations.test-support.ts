import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateSigner, type Signer } from '@chaperone/evidence';
import { getObject, KINDS, type KubeObject } from '@chaperone/kube';
import { EnrolResponse, StreamLine } from '@chaperone/policy';
import { eventually } from '@chaperone/testing';
import { operatorCaOf } from '../injection/profile.ts';
import type { LeadTimes } from '../term.ts';
import { answerTo, enrolment, send } from '../operator.test-support.ts';
import { RealCluster, type Replica, SYSTEM } from '../real-cluster.test-support.ts';
import { CA_SECRET } from './authority.ts';

export interface Churn {
  /** Ends once the CA that signs was another this often. */
  readonly rotations: number;
  /** Pods are created this far apart at least. */
  readonly everyMs: number;
  /** Told after each look at how far a rotation is. */
  readonly onLook?: (seen: { readonly isPublished: boolean; readonly isInjected: boolean }) => void;
}
export interface Churned {
  readonly rotations: number;
  readonly pods: number;
  /** New pods that enrolled by the CA which they were injected with, and looks of one that had lived through up to six rotations. */
  readonly enrolled: number;
  readonly looks: number;
  /** What was refused, in the words of who refused it. It must be nothing. */
  readonly faults: readonly string[];
}

/** One pod in so many enrols. */
const ENROLS = 5;
/** Rotations that an old pod lives through: the profile lists the bundles of eight. */
const LIVES = 6;
/** After so many nothing new is learned. */
const MAX_FAULTS = 100;

/** Creates pods, one after the other, while the leader makes one CA after the other, and says what was refused. */
export async function churn(cluster: RealCluster, { rotations, everyMs, onLook }: Churn): Promise<Churned> {
  const leader = await eventually('a leader', () => cluster.leader());
  const signing = new Set<string>();
  const faults: string[] = [];
  let [pods, enrolled, looks, until, injected] = [0, 0, 0, LIVES, 0];
  /** 1 where it did what it should. */
  const tried = async (what: string, attempt: () => Promise<unknown>): Promise<number> => {
    try {
      await attempt();
      return 1;
    } catch (error) {
      const { message, cause } = error as Error;
      faults.push(`${what}: ${message}${cause instanceof Error ? ` (${cause.message})` : ''}`);
      return 0;
    }
  };
  const grown = async (): Promise<Enroller> => {
    const old = Enroller.of(cluster, leader, await cluster.createPod(`old-${signing.size}`));
    await old.enrol();
    return old;
  };
  let old = await grown();
  const enrol = async (pod: KubeObject): Promise<void> => {
    enrolled += await tried(`sidecar of ${pod.metadata.name}`, () => Enroller.of(cluster, leader, pod).enrol());
    looks += await tried('sidecar of old', () => old.look());
    const secret = await getObject(cluster.kube, KINDS.secrets, { namespace: SYSTEM, name: CA_SECRET });
    const { 'tls.crt': current = '', 'next.crt': next } = (secret?.data ?? {}) as Record<string, string | undefined>;
    signing.add(current);
    const isInjected = next !== undefined && injectedCa(pod).includes(Buffer.from(next, 'base64').toString());
    injected = isInjected ? injected + 1 : 0;
    // By either replica.
    onLook?.({ isPublished: next !== undefined, isInjected: injected > 1 });
    if (signing.size >= until) {
      until += LIVES;
      old = await grown();
    }
  };
  while (signing.size <= rotations && faults.length < MAX_FAULTS) {
    const began = performance.now();
    const name = `bot-${pods++}`;
    await tried(`pod ${name}`, async () => {
      const pod = await cluster.createPod(name);
      if (pods % ENROLS === 0) await enrol(pod);
      await cluster.deletePod(name);
    });
    await sleep(Math.max(0, everyMs - (performance.now() - began)));
  }
  return { rotations: signing.size - 1, pods, enrolled, looks, faults };
}

function injectedCa(pod: KubeObject): string {
  const { initContainers } = pod.spec as { initContainers: Record<string, unknown>[] };
  return operatorCaOf({ uid: 1, containers: initContainers, volumes: [] }) ?? '';
}

/** A sidecar as far as the operator sees it: it trusts what its pod was injected with, then what it was told last. */
class Enroller {
  readonly #leader: Replica;
  readonly #token: string;
  readonly #nkey: Signer = generateSigner();
  #ca: string;

  private constructor(leader: Replica, token: string, ca: string) {
    this.#leader = leader;
    this.#token = token;
    this.#ca = ca;
  }
  static of(cluster: RealCluster, leader: Replica, pod: KubeObject): Enroller {
    return new Enroller(leader, cluster.tokenOf(pod), injectedCa(pod));
  }
  async enrol(): Promise<void> {
    await eventually(
      'an enrolment',
      async () => {
        const body = enrolment(this.#token, this.#nkey);
        const { status, body: said } = await answerTo({ ...this.#to('/v1/enrol'), method: 'POST', body });
        if (status !== 200) throw new Error(JSON.stringify(said));
        this.#ca = EnrolResponse.parse(said).snapshot.ca;
        return true;
      },
      2_000,
    );
  }
  /** Connects anew and takes the first snapshot. */
  async look(): Promise<void> {
    const response = await send({ ...this.#to('/v1/stream'), method: 'GET' });
    if (response.statusCode !== 200) throw new Error(`the stream answered ${response.statusCode}`);
    for await (const text of createInterface({ input: response })) {
      const line = StreamLine.parse(JSON.parse(text));
      if (line.type === 'snapshot') this.#ca = line.snapshot.ca;
      break;
    }
    response.destroy();
  }
  #to(path: string) {
    return { server: this.#leader.operator.servers.sidecars, ca: this.#ca, path, token: this.#token };
  }
}

/** Times with which a CA is in office for `everyMs`. */
export const rotatingEvery = (everyMs: number): LeadTimes => ({
  tickMs: everyMs / 10,
  ca: { lifeMs: everyMs * 6, renewMs: everyMs, aheadMs: everyMs / 2 },
});

/** `node rotations.test-support.ts EVERY_MS ROTATIONS`: prints what it found, a line of JSON. */
if (import.meta.main) {
  const [everyMs = 10_000, rotations = 30] = process.argv.slice(2).map(Number);
  await using cluster = await RealCluster.start();
  for (const name of ['one', 'two']) await cluster.startReplica(name, { times: rotatingEvery(everyMs) });
  await cluster.admits();
  const churned = await churn(cluster, { rotations, everyMs: 50 });
  const errors = cluster.replicas.flatMap((replica) => replica.errors.map(String));
  process.stdout.write(`${JSON.stringify({ ...churned, faults: [...churned.faults, ...errors] })}\n`);
}
