import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KINDS } from '@chaperone/kube';
import { testAuthority } from '@chaperone/testing';
import { CA_TIMES } from './ca/authority.ts';
import { type Churn, churn } from './ca/rotations.test-support.ts';
import type { EnvVar } from './injection/pod.ts';
import { OPERATOR_CA } from './injection/profile.ts';
import { Creating, ELECTION, part } from './outages.test-support.ts';
import { hasRealCluster, RealCluster } from './real-cluster.test-support.ts';

const isCa = ({ name }: EnvVar): boolean => name === OPERATOR_CA;

/** What only an API server can show: operators that it calls, under its own rules of admission. */
describe.runIf(hasRealCluster)('operators of a real API server', () => {
  const times = { tickMs: 100, ca: CA_TIMES };
  let cluster: RealCluster;
  beforeAll(async () => {
    cluster = await RealCluster.start();
    for (const name of ['one', 'two']) await cluster.startReplica(name, { times, election: ELECTION });
    await cluster.admits();
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  test('make one CA after the other while pods are created: none is refused, and sidecars of before and after trust their leader', async () => {
    // One step after the other, however busy the machine is.
    const onLook: Churn['onLook'] = ({ isPublished, isInjected }) => {
      times.ca = { ...CA_TIMES, ...(isInjected ? { aheadMs: 0 } : !isPublished && { renewMs: 0 }) };
    };
    const { rotations, pods, enrolled, looks, faults } = await churn(cluster, { rotations: 3, everyMs: 0, onLook });
    times.ca = CA_TIMES;
    expect(faults).toEqual([]);
    expect(rotations).toBe(3);
    expect(Math.min(pods / 5, enrolled, looks)).toBeGreaterThan(2);
    expect(cluster.replicas.flatMap(({ errors }) => errors)).toEqual([]);
  });

  test('of which the leader is parted from it: the other leads, no pod is refused, no change lost, and what arrives late changes nothing', async () => {
    await using making = new Creating(cluster);
    expect(await part(cluster, 9_000)).toEqual([]);
    expect(making.refused).toEqual([]);
    expect(making.created).toBeGreaterThan(20);
  });

  test('where the webhook is passed by, a pod has a CA that the profile lists, and one alone', async () => {
    const { metadata, spec } = await cluster.createPod('injected');
    const { initContainers = [], ...others } = spec as { initContainers?: { name: string; env?: EnvVar[] }[] };
    await cluster.passByWebhook();
    const own = (initContainers[1]?.env ?? []).filter((variable) => !isCa(variable));
    const ca = (initContainers[1]?.env ?? []).filter(isCa);
    const foreign = { name: OPERATOR_CA, value: (await testAuthority()).ca };
    const tried = async (name: string, env: readonly EnvVar[]): Promise<string> => {
      const containers = initContainers.map((one, at) => (at === 1 ? { ...one, env: [...env] } : one));
      const { namespace, labels, annotations } = metadata;
      const pod = { metadata: { namespace, labels, annotations, name }, spec: { ...others, initContainers: containers } };
      return await cluster.create(KINDS.pods, pod as never).then(
        () => 'admitted',
        (error: unknown) => /\[\w+\]$/.exec((error as Error).message)?.[0] ?? String(error),
      );
    };
    expect(await tried('same', [...ca, ...own])).toBe('admitted');
    expect(await tried('foreign', [foreign, ...own])).toBe('[ProfileMismatch]');
    expect(await tried('two', [...ca, foreign, ...own])).toBe('[ProfileMismatch]');
    expect(await tried('twice', [...ca, ...ca, ...own])).toBe('[ProfileMismatch]');
    expect(await tried('none', own)).toBe('[ProfileMismatch]');
    expect(await tried('altered', [...ca, ...own.slice(1), { name: 'CHAPERONE_OPERATOR', value: 'evil:1' }])).toBe(
      '[ProfileMismatch]',
    );
  });
});
