import { type KubeObject, KINDS, pathOf, type ResourceKind } from '@chaperone/kube';
import type { InjectionProfile } from '@chaperone/api';
import type { Snapshot } from '@chaperone/policy';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operatorCaOf } from './injection/profile.ts';
import { AGENTS } from './operator.test-support.ts';
import { follow } from './propagation.test-support.ts';
import { hasRealCluster, RealCluster, type Replica } from './real-cluster.test-support.ts';

const PATIENCE_MS = 30_000;
const OPERATIONS = 40;
/** Of a status, for one edit: its generation, its conditions as they come to hold, what sidecars acknowledge. */
const MOST_WRITES = 8;
const POLICY = { namespace: AGENTS, name: 'support' };
const RESOURCE = { namespace: 'data', name: 'orders' };
const SECRET = { namespace: 'data', name: 'orders' };
const ADDRESS = 'orders.data.svc:5432';
const KIND_OF = { policy: KINDS.accessPolicies, resource: KINDS.protectedResources, secret: KINDS.secrets } as const;
const AT = { policy: POLICY, resource: RESOURCE, secret: SECRET } as const;
type What = keyof typeof KIND_OF;

type Conditioned = KubeObject & {
  readonly spec: {
    readonly rules?: readonly { readonly name: string }[];
    readonly sensitive?: readonly { readonly label: string }[];
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly rules?: number;
    readonly labels?: string;
    readonly programmed?: string;
    readonly conditions?: readonly { readonly type: string; readonly reason: string; readonly observedGeneration?: number }[];
  };
};

/** A policy of so many rules, whose names nobody else has. */
const policySpec = (mark: string, rules = 1): object => ({
  agents: { serviceAccounts: ['support'] },
  rules: Array.from({ length: rules }, (_, at) => ({
    name: `${mark}-${at}`,
    effect: 'Allow',
    resource: RESOURCE,
    sql: { statements: ['select'], relations: ['**'] },
  })),
});
const resourceSpec = (mark: string): object => ({
  protocol: 'postgres',
  hosts: ['orders.data.svc'],
  port: 5432,
  upstream: { address: ADDRESS, tls: { mode: 'verify-full' } },
  credentials: { secretRef: { name: SECRET.name } },
  postgres: { database: 'orders' },
  sensitive: [{ label: `pii.${mark}`, columns: [`public.customers.${mark}`] }],
  grantedTo: [{ namespace: AGENTS }],
});
const secretOf = (mark: string): object => ({
  metadata: { ...SECRET, annotations: { 'chaperone.dev/upstream': ADDRESS } },
  stringData: { username: 'agent', password: mark },
});

/** Edits of one policy, one resource and its Secret, each with a mark of its own, before one operator and the stream of one sidecar. */
class Edits {
  readonly cluster: RealCluster;
  readonly leader: Replica;
  /** Every snapshot that the sidecar was sent, as text. */
  readonly snapshots: string[] = [];
  /** What is wrong with what was seen of any object at any time. */
  readonly faults: string[] = [];
  readonly #stop = new AbortController();
  readonly #observed = new Map<string, number>();
  #last: Snapshot | undefined;
  #marks = 0;

  constructor(cluster: RealCluster, leader: Replica) {
    this.cluster = cluster;
    this.leader = leader;
  }
  async open(): Promise<void> {
    const { cluster } = this;
    const profile = await cluster.kube.request({ path: pathOf(KINDS.injectionProfiles, { name: 'default' }) });
    const ca = operatorCaOf(profile.spec as InjectionProfile['spec']) ?? '';
    const pod = await cluster.createPod('bot');
    const onSnapshot = (snapshot: Snapshot): void => {
      this.#last = snapshot;
      this.snapshots.push(JSON.stringify(snapshot));
    };
    await follow(this.leader, cluster.tokenOf(pod), { ca, onSnapshot });
    for (const kind of [KINDS.accessPolicies, KINDS.protectedResources]) await this.#watch(kind);
  }
  close(): void {
    this.#stop.abort();
  }
  mark(): string {
    return `m${++this.#marks}`;
  }
  /** What the sidecar has now. */
  get inForce(): string {
    return this.snapshots.at(-1) ?? '';
  }
  get rulesInForce(): string[] {
    return (this.#last?.resources ?? []).flatMap(({ access }) => access.rules.map(({ name }) => name)).toSorted();
  }

  async put(what: What, mark: string, rules?: number): Promise<void> {
    const body = what === 'secret' ? secretOf(mark) : { metadata: AT[what], spec: specOf(what, mark, rules) };
    await this.cluster.create(KIND_OF[what], body as never);
  }
  async edit(what: What, mark: string, rules?: number): Promise<void> {
    const body = what === 'secret' ? { stringData: { password: mark } } : { spec: specOf(what, mark, rules) };
    const contentType = 'application/merge-patch+json';
    await this.cluster.kube.request({ method: 'PATCH', path: pathOf(KIND_OF[what], AT[what]), contentType, body });
  }
  async remove(what: What): Promise<void> {
    await this.cluster.kube.request({ method: 'DELETE', path: pathOf(KIND_OF[what], AT[what]) });
  }
  async replace(what: What, mark: string, rules?: number): Promise<void> {
    await this.remove(what);
    await this.put(what, mark, rules);
  }
  async read(what: What): Promise<Conditioned> {
    return await this.cluster.kube.request<Conditioned>({ path: pathOf(KIND_OF[what], AT[what]) });
  }
  /** Writes of statuses so far. */
  writes(what: What = 'policy'): number {
    const path = pathOf(KIND_OF[what], { ...AT[what], subresource: 'status' });
    return this.leader.writes.filter((write) => write.path === path).length;
  }
  /** Does this after the operator has decided on a status of the object, before its write arrives; once. @returns when it is done */
  beforeStatusOf(what: What, edit: () => Promise<void>): Promise<void> {
    const done = Promise.withResolvers<void>();
    const path = pathOf(KIND_OF[what], { ...AT[what], subresource: 'status' });
    this.leader.meanwhile.before = async (write) => {
      if (write.path !== path) return;
      this.leader.meanwhile.before = undefined;
      await edit().then(done.resolve, done.reject);
    };
    return done.promise;
  }
  /** Resolves once both objects say of their newest generation that it is in force, and the sidecar has it. */
  async isSettled(): Promise<{ policy: Conditioned; resource: Conditioned }> {
    return await eventually(
      'statuses of the newest generations',
      async () => {
        const [policy, resource] = [await this.read('policy'), await this.read('resource')];
        const isSaid = [policy, resource].every(({ metadata, status }) => status?.observedGeneration === metadata.generation);
        const has = policy.spec.rules?.every(({ name }) => this.rulesInForce.includes(name)) ?? false;
        return isSaid && has && policy.status?.programmed === '1/1' ? { policy, resource } : undefined;
      },
      PATIENCE_MS,
    );
  }

  /** Resolves once the operator has looked at everything, for the sake of a policy that has to do with nothing else. */
  async looksAgain(name: string): Promise<void> {
    const metadata = { namespace: AGENTS, name };
    const resource = { namespace: 'data', name: 'none' };
    const rules = [{ name: 'none', effect: 'Allow', resource, sql: { statements: ['select'], relations: ['**'] } }];
    await this.cluster.create(KINDS.accessPolicies, { metadata, spec: { agents: { serviceAccounts: ['nobody'] }, rules } });
    await eventually('its status', async () => {
      const other = await this.cluster.kube.request<Conditioned>({ path: pathOf(KINDS.accessPolicies, metadata) });
      return other.status?.observedGeneration === other.metadata.generation ? true : undefined;
    });
  }

  /** Judges each version of each object: no status is older than one before it, or of another object, or says what is not so. */
  async #watch(kind: ResourceKind): Promise<void> {
    const list = await this.cluster.kube.request<{ metadata: { resourceVersion: string } }>({ path: pathOf(kind) });
    const { resourceVersion } = list.metadata;
    const versions = this.cluster.kube.watch({
      path: pathOf(kind),
      query: { resourceVersion },
      signal: this.#stop.signal,
      idleMs: 600_000,
    });
    void (async () => {
      for await (const { type, object } of versions) if (type !== 'DELETED') this.#judge(object as Conditioned);
    })().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) this.faults.push(`the watch ended: ${String(error)}`);
    });
  }
  #judge(object: Conditioned): void {
    const { uid = '', generation = 0, name } = object.metadata;
    const observed = object.status?.observedGeneration ?? 0;
    const before = this.#observed.get(uid) ?? 0;
    this.#observed.set(uid, observed);
    const wrong = [
      ...(observed > generation ? [`observed ${observed}`] : []),
      ...(observed < before ? [`observed ${observed} after ${before}`] : []),
      ...(observed > 0 && observed === generation ? this.#untrue(object) : []),
    ];
    this.faults.push(...wrong.map((what) => `${name} ${generation} of ${uid}: ${what}`));
  }
  /** What a status says of this generation that is not so. */
  #untrue({ spec: { sensitive, rules }, status = {} }: Conditioned): string[] {
    const labels = sensitive?.map(({ label }) => label).join(',');
    const isHeld = rules?.every(({ name }) => this.snapshots.some((snapshot) => snapshot.includes(`"${name}"`)));
    return [
      ...(status.labels === labels ? [] : [`labels ${status.labels} of ${labels}`]),
      ...(status.rules === rules?.length ? [] : [`${status.rules} rules of ${rules?.length}`]),
      ...(status.programmed === '1/1' && isHeld !== true ? ['programmed before any sidecar had it'] : []),
    ];
  }
}

/** https://github.com/bryc/code/blob/master/jshash/PRNGs.md: numbers from 0 to 1, the same for the same seed. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const specOf = (what: What, mark: string, rules?: number): object =>
  what === 'policy' ? policySpec(mark, rules) : resourceSpec(mark);

describe.runIf(hasRealCluster)('objects that change while the operator decides about them', () => {
  let edits: Edits;
  beforeAll(async () => {
    const cluster = await RealCluster.start();
    edits = new Edits(cluster, await cluster.startReplica('one'));
    await cluster.admits();
    for (const what of ['secret', 'resource', 'policy'] as const) await edits.put(what, edits.mark());
    await edits.open();
    await edits.isSettled();
  });
  afterAll(async () => {
    edits.close();
    await edits.cluster[Symbol.asyncDispose]();
  });

  /** Per case: which status is on its way, and what becomes of an object before it arrives. */
  const CASES: readonly (readonly [string, What, (mark: string) => Promise<void>])[] = [
    ['a policy that is edited', 'policy', (mark) => edits.edit('policy', mark, 3)],
    ['a policy that is deleted and made anew', 'policy', (mark) => edits.replace('policy', mark, 2)],
    [
      'a policy that is made anew twice',
      'policy',
      async (mark) => {
        await edits.replace('policy', edits.mark(), 4);
        await edits.replace('policy', mark, 1);
      },
    ],
    ['a resource that is edited', 'resource', (mark) => edits.edit('resource', mark)],
    ['a resource that is deleted and made anew', 'resource', (mark) => edits.replace('resource', mark)],
    ['the Secret of a resource that is deleted and made anew', 'resource', (mark) => edits.replace('secret', mark)],
    ['a resource that is made anew while its policy is written', 'policy', (mark) => edits.replace('resource', mark)],
  ];

  test.each(CASES)(
    'of %s the status is about what is there, and what was there is in force no more',
    async (what, status, edit) => {
      const [mark, first] = [edits.mark(), edits.mark()];
      const [errors, before] = [edits.leader.errors.length, edits.writes(status)];
      const done = edits.beforeStatusOf(status, () => edit(mark));
      // What brings the status on its way.
      await edits.edit(status, first, 2);
      await done;
      await edits.isSettled();
      await eventually('it to be in force', () => (edits.inForce.includes(mark) ? true : undefined), PATIENCE_MS);
      if (!what.startsWith('the Secret') && status !== 'policy') expect(edits.inForce).not.toContain(`pii.${first}"`);
      if (status === 'policy' && what.startsWith('a policy'))
        expect(edits.rulesInForce.every((name) => name.startsWith(`${mark}-`))).toBe(true);
      expect(edits.leader.errors.slice(errors)).toEqual([]);
      expect(edits.faults).toEqual([]);
      expect(edits.writes(status) - before, 'writes of its status').toBeLessThan(20);
    },
  );

  test.each([1, 2, 3])(
    'that are edited and made anew all the time, as seed %i has it, settle on what is there; then nothing is written any more',
    async (seed) => {
      const random = mulberry32(seed);
      const pick = <T>(...all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
      const [errors, before] = [edits.leader.errors.length, edits.writes('policy') + edits.writes('resource')];
      for (let op = 0; op < OPERATIONS; op++) {
        const rules = pick(1, 2, 3);
        // Two objects at once, or one.
        const [first, second] = [pick('policy', 'resource', 'secret'), pick('policy', 'resource', 'secret')] as const;
        const act = (what: What): Promise<void> =>
          random() < 0.5 ? edits.edit(what, edits.mark(), rules) : edits.replace(what, edits.mark(), rules);
        await Promise.all([...new Set([first, second])].map(act));
      }
      const { policy } = await edits.isSettled();
      expect(edits.rulesInForce).toEqual((policy.spec.rules ?? []).map(({ name }) => name).toSorted());
      expect(edits.faults).toEqual([]);
      expect(edits.leader.errors.slice(errors)).toEqual([]);
      const written = (): number => edits.writes('policy') + edits.writes('resource');
      expect(written() - before, 'writes of statuses').toBeLessThan(OPERATIONS * 2 * MOST_WRITES);
      // The operator looks at everything again, for the sake of others.
      await edits.looksAgain(`first-${seed}`);
      const settled = written();
      await edits.looksAgain(`second-${seed}`);
      expect(written() - settled).toBe(0);
    },
  );
});
