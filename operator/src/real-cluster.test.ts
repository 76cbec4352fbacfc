import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { InjectionProfile } from '@chaperone/api';
import { generateSigner } from '@chaperone/evidence';
import { type ApiError, KINDS, type KubeObject, pathOf } from '@chaperone/kube';
import { eventually, testAuthority } from '@chaperone/testing';
import { CA_TIMES } from './ca/authority.ts';
import { type Churn, churn } from './ca/rotations.test-support.ts';
import type { EnvVar } from './injection/pod.ts';
import { OPERATOR_CA, operatorCaOf } from './injection/profile.ts';
import { answerTo, enrolment } from './operator.test-support.ts';
import { closePort, Creating, ELECTION, isHeard, openPort, part } from './outages.test-support.ts';
import { hasRealCluster, RealCluster } from './real-cluster.test-support.ts';

const isCa = ({ name }: EnvVar): boolean => name === OPERATOR_CA;

const container = (at: number) => ({ name: `bot-${at}`, image: 'bot:1', securityContext: { runAsUser: 1000 } });

const large = (bytes: number) => [{ ...container(0), env: [{ name: 'X', value: 'x'.repeat(bytes) }] }];

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
  });

  test('of which the leader is parted from it: the other leads, no pod is refused, no change lost, and what arrives late changes nothing', async () => {
    await using making = new Creating(cluster);
    expect(await part(cluster, 9_000)).toEqual([]);
    expect(making.refused).toEqual([]);
    expect(making.created).toBeGreaterThan(20);
  });

  test('know whose a token is: no other pod, no dead one, no other time and no other audience gets anything by it', async () => {
    const { servers } = (await eventually('a leader', () => cluster.leader())).operator;
    const profile = await cluster.kube.request({ path: pathOf(KINDS.injectionProfiles, { name: 'default' }) });
    const ca = operatorCaOf(profile.spec as InjectionProfile['spec']) ?? '';
    const enrol = async (token: string, body: object): Promise<string> => {
      const answer = await answerTo({ server: servers.sidecars, ca, method: 'POST', path: '/v1/enrol', token, body });
      return answer.status === 200 ? 'enrolled' : (answer.body as { code: string }).code;
    };
    const [pod, neighbour] = [await cluster.createPod('whole'), await cluster.createPod('neighbour')];
    const [token, theirs] = [cluster.tokenOf(pod), cluster.tokenOf(neighbour)];
    const [own, foreign] = [generateSigner(), generateSigner()];
    await expect.poll(() => enrol(token, enrolment(token, own))).toBe('enrolled');
    const asked = async (mods: Parameters<RealCluster['tokenOf']>[1]): Promise<string> => {
      const odd = cluster.tokenOf(pod, mods);
      return await enrol(odd, enrolment(odd, own));
    };
    const HOUR_MS = 3_600_000;
    expect({
      'again, as after a restart': await enrol(token, enrolment(token, own)),
      'by who has the token, with another key': await enrol(token, enrolment(token, foreign)),
      'by who heard the whole enrolment, with their own token': await enrol(theirs, enrolment(token, own)),
      'with the key of another pod, proved anew': await enrol(theirs, enrolment(theirs, own)),
      expired: await asked({ issuedAt: Date.now() - HOUR_MS }),
      'of tomorrow': await asked({ issuedAt: Date.now() + HOUR_MS }),
      // kube-apiserver allows no skew to `nbf`; the kubelet gets its tokens from the same clock.
      'of an agent': await asked({ audience: 'chaperone-agent' }),
      'of the API server': await asked({ audience: 'https://kubernetes.default.svc' }),
    }).toEqual({
      'again, as after a restart': 'enrolled',
      'by who has the token, with another key': 'NkeyMismatch',
      'by who heard the whole enrolment, with their own token': 'NkeyMismatch',
      'with the key of another pod, proved anew': 'NkeyMismatch',
      expired: 'Unauthenticated',
      'of tomorrow': 'Unauthenticated',
      'of an agent': 'Unauthenticated',
      'of the API server': 'Unauthenticated',
    });
    await cluster.deletePod('whole');
    // API servers take a token for ten seconds more; the pod itself is looked at.
    await expect.poll(() => enrol(token, enrolment(token, own))).toBe('Unauthenticated');
    const next = await cluster.createPod('whole');
    expect(await enrol(token, enrolment(token, own))).toBe('Unauthenticated');
    expect(next.metadata.uid).not.toBe(pod.metadata.uid);
  });

  test('take pods of 64 containers, and leave what is too large to be stored to the API server', async () => {
    const many = await cluster.createPod(
      'many',
      Array.from({ length: 64 }, (_, at) => container(at)),
    );
    const { containers } = many.spec as { containers: { volumeMounts: { name: string }[] }[] };
    expect(containers.filter(({ volumeMounts }) => volumeMounts.some(({ name }) => name === 'chaperone-ca'))).toHaveLength(64);
    await cluster.createPod('large', large(1_000_000));
    await expect(cluster.createPod('too-large', large(2_000_000))).rejects.toThrow(/too large|larger than/);
    await expect(cluster.createPod('far-too-large', large(4_000_000))).rejects.toThrow(/too large/i);
  });

  test('leave a governed namespace alone that is being deleted and cannot go', async () => {
    const labels = { 'chaperone.dev/inject': 'enabled' };
    await cluster.create(KINDS.namespaces, { metadata: { name: 'leaving', labels } });
    const at = pathOf(KINDS.configMaps, { namespace: 'leaving', name: 'chaperone-ca' });
    await eventually('its CA', () => cluster.kube.request({ path: at }));
    const refusals = (): unknown[] =>
      cluster.replicas.flatMap(({ errors }) => errors.filter((error) => (error as ApiError).status === 403));
    // Nobody takes its finalizer away here.
    await cluster.kube.request({ method: 'DELETE', path: pathOf(KINDS.namespaces, { name: 'leaving' }) });
    await cluster.kube.request({ method: 'DELETE', path: at });
    await openPort(cluster, 'meanwhile', 9_300);
    await isHeard(cluster, 9_300);
    await closePort(cluster, 'meanwhile');
    await expect(cluster.kube.request({ path: at })).rejects.toThrow('not found');
    expect(refusals()).toEqual([]);
  });

  test('hold what was stored under earlier CRDs, and under later ones: read, defaulted and pruned as it was', async () => {
    await cluster.create(KINDS.namespaces, { metadata: { name: 'stored' } });
    const text = await readFile(join(import.meta.dirname, '../../api/src/testdata/stored-1.json'), 'utf8');
    const objects = JSON.parse(text) as (KubeObject & { kind: string; spec: Record<string, object> })[];
    for (const object of objects) {
      const kind = object.kind === 'AccessPolicy' ? KINDS.accessPolicies : KINDS.protectedResources;
      const path = pathOf(kind, { namespace: 'stored' });
      for (const more of [{}, { addedLater: { a: [1] } }]) {
        const body = { ...object, spec: { ...object.spec, ...more } };
        const stored = await cluster.kube.request({ method: 'POST', path, body, query: { dryRun: 'All' } });
        expect(stored.spec, object.metadata.name).toEqual(object.spec);
      }
    }
    expect(objects.length).toBeGreaterThan(15);
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
