import { MAX_OPERATOR_CAS } from '@chaperone/api';
import { startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { expect, test } from 'vitest';
import { injectPod } from './injection/inject.ts';
import { profileMismatch } from './injection/match.ts';
import { buildProfile, operatorCaOf, withOperatorCa } from './injection/profile.ts';
import { aConfig, aPod } from './injection/sample.test-support.ts';
import { during, followingProfile, writeProfile } from './term.ts';

const profile = (operatorCa: string, image = 'sidecar:1') =>
  JSON.parse(JSON.stringify(buildProfile(aConfig({ operatorCa, image })))) as ReturnType<typeof buildProfile>;
const following = (...wanted: string[]) =>
  wanted.reduce<ReturnType<typeof profile>['spec'] | undefined>(
    (spec, ca) => followingProfile(spec, profile(ca).spec),
    undefined,
  );

test('a CA bundle is accepted before it is injected, and the ones before it after it was', () => {
  const seen = [['A'], ['A', 'B'], ['A', 'B', 'B'], ['A', 'B', 'B', 'C'], ['A', 'B', 'B', 'C', 'C']].map((way) => {
    const spec = following(...way);
    return [spec && operatorCaOf(spec), spec?.operatorCas?.join('')];
  });
  expect(seen).toEqual([
    ['A', 'A'],
    ['A', 'BA'],
    ['B', 'BA'],
    ['B', 'CBA'],
    ['C', 'CBA'],
  ]);
});

test('a release with other containers is injected at once; so many bundles are kept', () => {
  const next = followingProfile(following('A'), profile('B', 'sidecar:2').spec);
  expect([operatorCaOf(next), next.operatorCas]).toEqual(['B', ['B', 'A']]);
  const many = following(...Array.from({ length: 40 }, (_, at) => `${at >> 1}`));
  expect(many?.operatorCas).toHaveLength(MAX_OPERATOR_CAS);
  expect(many?.operatorCas?.[0]).toBe('19');
});

test('a profile of before the list, or that somebody spoiled, is followed by a whole one', () => {
  const { operatorCas: _cas, ...old } = following('A') ?? profile('A').spec;
  expect(followingProfile(old, profile('B').spec)).toEqual({ ...profile('A').spec, operatorCas: ['B', 'A'] });
  for (const env of [null, 5, 'x', [null, 7, {}]]) {
    const spoiled = { ...old, containers: [{ name: 'chaperone-sidecar', env }] };
    expect(followingProfile(spoiled, profile('B').spec)).toEqual({ ...profile('B').spec, operatorCas: ['B'] });
  }
});

test('pods of the last release stay known while the CA changes', async () => {
  const api = await startFakeApiServer();
  for (const wanted of [
    profile('A', 'sidecar:1'),
    profile('A', 'sidecar:2'),
    profile('B', 'sidecar:2'),
    profile('B', 'sidecar:2'),
  ])
    await writeProfile(api.kube, wanted);
  const stored = (name: string) => api.get(KINDS.injectionProfiles, { name }) as unknown as ReturnType<typeof profile>;
  const old = injectPod({ pod: aPod(), config: aConfig({ operatorCa: 'A', image: 'sidecar:1' }) });
  expect(profileMismatch(old, stored('previous'))).toBeUndefined();
  expect(operatorCaOf(stored('default').spec)).toBe('B');
  await api.close();
});

test.each<[string, string, readonly string[] | undefined, string | undefined]>([
  ['the one of the profile', 'A', undefined, undefined],
  ['another that it lists', 'B', ['C', 'B', 'A'], undefined],
  ['one that it does not list', 'B', ['C', 'A'], 'spec.initContainers[1].env'],
  ['another, where it lists none', 'B', undefined, 'spec.initContainers[1].env'],
  ['none', '', ['C', 'A'], 'spec.initContainers[1].env'],
])('a pod whose CA is %s', (_what, operatorCa, operatorCas, different) => {
  const pod = injectPod({ pod: aPod(), config: aConfig({ operatorCa }) });
  const { spec, ...rest } = buildProfile(aConfig({ operatorCa: 'A' }));
  expect(profileMismatch(pod, { ...rest, spec: { ...spec, ...(operatorCas && { operatorCas: [...operatorCas] }) } })).toBe(
    different,
  );
});

test('a pod with two CAs, or with none and another variable twice, is no pod of the profile', () => {
  const pod = injectPod({ pod: aPod(), config: aConfig({ operatorCa: 'A' }) });
  const [init, sidecar, ...others] = pod.spec.initContainers ?? [];
  const env = sidecar?.env ?? [];
  const own = env.filter(({ name }) => name !== 'CHAPERONE_OPERATOR_CA');
  const { spec, ...rest } = buildProfile(aConfig({ operatorCa: 'A' }));
  const accepting = { ...rest, spec: { ...withOperatorCa(spec, 'A'), operatorCas: ['A', 'B'] } };
  for (const odd of [[...env, { name: 'CHAPERONE_OPERATOR_CA', value: 'B' }], own, [...own, ...own.slice(-1)]]) {
    const initContainers = [init, { ...sidecar, env: odd }, ...others] as NonNullable<typeof pod.spec.initContainers>;
    expect(profileMismatch({ ...pod, spec: { ...pod.spec, initContainers } }, accepting)).toBe('spec.initContainers[1].env');
  }
});

test('a leader whose term is over asks nothing more, and what it asked is given up', async () => {
  const api = await startFakeApiServer();
  const term = new AbortController();
  const kube = during(api.kube, term.signal);
  api.intercept = ({ method }) => method === 'PATCH';
  const asked = writeProfile(kube, profile('A'));
  await expect.poll(() => api.asked.map(({ method }) => method)).toEqual(['GET', 'PATCH']);
  term.abort();
  await expect(asked).rejects.toMatchObject({ reason: 'Aborted' });
  await expect(writeProfile(kube, profile('A'))).rejects.toMatchObject({ reason: 'Aborted' });
  expect(api.asked).toHaveLength(2);
  await api.close();
});
