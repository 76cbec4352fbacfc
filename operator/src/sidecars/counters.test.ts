import { createHash } from 'node:crypto';
import {
  COUNTER_MAPS,
  type Counter,
  createEpoch,
  encodeNkey,
  generateSigner,
  newSessionId,
  type Signed,
  type SignedCounter,
  signCounter,
  signRegistration,
} from '@chaperone/evidence';
import { KINDS } from '@chaperone/kube';
import { eventually, type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { PodCounters, type PodCountersOptions } from './counters.ts';

const SYSTEM = 'chaperone-system';
const enrolment = generateSigner();
let api: FakeApiServer;
beforeAll(async () => {
  api = await startFakeApiServer();
});
afterAll(() => api.close());
beforeEach(() => {
  for (const name of COUNTER_MAPS) api.remove(KINDS.configMaps, { namespace: SYSTEM, name });
});

interface Pod {
  readonly uid: string;
  readonly nkey: string;
  readonly registration: Signed;
  says(mods?: Partial<Counter>, epoch?: number): SignedCounter;
}
function aPod(uid: string, { origin = 'test', namespace = 'agents' } = {}): Pod {
  const signer = generateSigner();
  const nkey = encodeNkey(signer.publicKey);
  const agent = { namespace, serviceAccount: 'bot', pod: 'bot-1', podUid: uid };
  const registration = signRegistration({ nkey, agent, origin, issuedAt: 1 }, enrolment);
  const says = (mods: Partial<Counter> = {}, number = 1): SignedCounter => {
    const counter: Counter = {
      origin,
      nkey,
      number: 1,
      opened: 1,
      newest: null,
      sealed: 0,
      last: null,
      pending: [],
      more: 0,
      clock: { wall: 1, mono: 1 },
      ...mods,
    };
    return signCounter(counter, createEpoch({ nkey: signer, registration }, number, 0));
  };
  return { uid, nkey, registration, says };
}
async function counters(mods: Partial<PodCountersOptions> = {}, exists: (uid: string) => boolean = () => true) {
  const options = { kube: api.kube, namespace: SYSTEM, origin: 'test', policiesOf: () => ['support'], writeMs: 0 };
  const kept = new PodCounters({ ...options, ...mods });
  await kept.load(exists);
  onTestFinished(() => kept.close());
  return kept;
}
const stored = (): Record<string, string> =>
  Object.assign(
    {},
    ...COUNTER_MAPS.map((name) => {
      const found = api.get(KINDS.configMaps, { namespace: SYSTEM, name });
      return (found as { data?: object } | undefined)?.data ?? {};
    }),
  );

describe('the counter of a pod', () => {
  test('outlives the operator, and after it nothing goes back', async () => {
    const pod = aPod('uid-1');
    const session = newSessionId();
    const first = await counters();
    first.enrolled(pod.uid, pod.nkey, pod.registration);
    first.take(pod.uid, pod.says({ number: 2, opened: 2, pending: [[session, 3]] }));
    await eventually(() => expect(stored()[pod.uid]).toContain(session));
    await first.close();
    const second = await counters();
    expect(second.list()).toMatchObject([
      { podUid: pod.uid, agent: { namespace: 'agents', pod: 'bot-1' }, policies: ['support'], goneAt: undefined },
    ]);
    expect(second.list()[0]?.counter.pending).toEqual([[session, 3]]);
    expect(() => second.take(pod.uid, pod.says({ number: 3, opened: 2 }))).toThrow(
      expect.objectContaining({ code: 'NotEnrolled' }),
    );
    second.enrolled(pod.uid, pod.nkey, pod.registration);
    const same = pod.says({ number: 3, opened: 2 });
    second.take(pod.uid, same);
    second.take(pod.uid, same);
    for (const older of [
      pod.says({ number: 2, opened: 2 }),
      pod.says({ number: 4 }),
      pod.says({ number: 3, opened: 2, more: 1 }),
    ])
      expect(() => second.take(pod.uid, older)).toThrow(expect.objectContaining({ code: 'CounterRefused' }));
  });

  test.each<[string, (pod: Pod) => SignedCounter]>([
    ['of another pod', () => aPod('uid-2').says()],
    ['of another origin', () => aPod('uid-1', { origin: 'other' }).says()],
    [
      'that was changed',
      (pod) => ({ ...pod.says(), counter: { ...pod.says().counter, body: pod.says({ more: 9 }).counter.body } }),
    ],
    ['under another certificate', (pod) => ({ ...pod.says(), certificate: aPod('uid-1').says().certificate })],
    ['that is none', (pod) => ({ ...pod.says(), counter: pod.registration })],
  ])('%s is refused', async (_, said) => {
    const pod = aPod('uid-1');
    const kept = await counters();
    kept.enrolled(pod.uid, pod.nkey, pod.registration);
    expect(() => kept.take(pod.uid, said(pod))).toThrow(expect.objectContaining({ code: 'CounterRefused' }));
    expect(kept.list()).toEqual([]);
  });

  test('stays when its pod goes, until it is forgotten or was shown for a week', async () => {
    let now = 1_000;
    const [a, b] = [aPod('uid-a'), aPod('uid-b')];
    const kept = await counters({ now: () => now });
    for (const pod of [a, b]) {
      kept.enrolled(pod.uid, pod.nkey, pod.registration);
      kept.take(pod.uid, pod.says());
    }
    kept.gone(a.uid);
    expect(() => kept.take(a.uid, a.says({ number: 2 }))).toThrow(expect.objectContaining({ code: 'NotEnrolled' }));
    await eventually(() => expect(stored()[a.uid]).toContain('"goneAt":1000'));
    kept.forget(b.uid);
    await eventually(() => expect(Object.keys(stored())).toEqual([a.uid]));
    now += 8 * 86_400_000;
    kept.sweep();
    await eventually(() => expect(stored()).toEqual({}));
    await kept.close();
    expect((await counters({}, () => false)).list()).toEqual([]);
  });

  test('of a pod that went while nobody led is one of a pod that is gone', async () => {
    const pod = aPod('uid-1');
    const kept = await counters();
    kept.enrolled(pod.uid, pod.nkey, pod.registration);
    kept.take(pod.uid, pod.says());
    await kept.close();
    expect((await counters({ now: () => 5 }, () => false)).list()).toMatchObject([{ goneAt: 5 }]);
  });

  test('is written with what others said, once in a while', async () => {
    const kept = await counters({ writeMs: 3_600_000 });
    const pods = Array.from({ length: 3 * COUNTER_MAPS.length }, (_, at) => aPod(`uid-${at}`));
    for (const pod of pods) kept.enrolled(pod.uid, pod.nkey, pod.registration);
    for (const pod of pods) kept.take(pod.uid, pod.says());
    await eventually(() => expect(Object.keys(stored())).toHaveLength(pods.length));
    for (const pod of pods) kept.take(pod.uid, pod.says({ number: 2 }));
    await kept.close();
    expect(Object.values(stored()).every((text) => text.includes('\\"number\\":2'))).toBe(true);
  });

  test('that another leader was told meanwhile stands where it counts further', async () => {
    const [old, young] = [await counters(), await counters()];
    const pod = aPod('uid-1');
    for (const each of [old, young]) each.enrolled(pod.uid, pod.nkey, pod.registration);
    young.take(pod.uid, pod.says({ number: 9 }));
    await eventually(() => expect(stored()[pod.uid]).toContain('\\"number\\":9'));
    old.take(pod.uid, pod.says({ number: 8 }));
    await old.close();
    expect(stored()[pod.uid]).toContain('\\"number\\":9');
  });
});

/** Pods of one ConfigMap, so that they are in each other's way. */
const mapOf = (uid: string): number => (createHash('sha256').update(uid).digest()[0] ?? 0) % COUNTER_MAPS.length;
function ofOneMap(prefix: string, count: number): string[] {
  return Array.from({ length: 100 * count * 64 }, (_, at) => `${prefix}-${at}`)
    .filter((uid) => mapOf(uid) === 0)
    .slice(0, count);
}
async function aFullMap() {
  let now = 0;
  const refused: string[] = [];
  const kept = await counters({
    now: () => now++,
    maxShardChars: 16_000,
    onFull: ({ namespace }) => void refused.push(namespace),
  });
  const [shop, agents] = [aPod('uid', { namespace: 'shop' }), aPod('uid')];
  const session = newSessionId();
  const take = (uid: string, pod: Pod, mods: Partial<Counter> = { pending: [[session, 1]] }): boolean => {
    kept.enrolled(uid, pod.nkey, pod.registration);
    try {
      kept.take(uid, pod.says(mods));
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: 'CountersFull' });
      return false;
    }
  };
  const names = (): string[] => kept.list().map(({ podUid }) => podUid);
  return { kept, take, names, refused, shop, agents };
}

describe('where there is no more room', () => {
  test('a namespace that makes many pods is refused at half of it, and pushes out none of which something may be missing', async () => {
    const { kept, take, names, refused, shop, agents } = await aFullMap();
    const [victim = ''] = ofOneMap('victim', 1);
    expect(take(victim, agents)).toBe(true);
    kept.gone(victim);
    const flood = ofOneMap('flood', 20);
    // Each is gone, and by nobody's word is all of it there.
    const taken = flood.filter((uid) => take(uid, shop) && (kept.gone(uid), true));
    expect(taken.length).toBeGreaterThan(1);
    expect(taken.length).toBeLessThan(20);
    expect(names()).toEqual([victim, ...taken]);
    expect(new Set(refused)).toEqual(new Set(['shop']));
    expect(kept.fill).toBeGreaterThan(0.4);
    expect(ofOneMap('others', 2).map((uid) => take(uid, agents))).toEqual([true, true]);
  });

  test('pods that are gone make place when nothing is missing of them, the oldest first, and only as many as it takes', async () => {
    const { kept, take, names, shop, agents } = await aFullMap();
    const flood = ofOneMap('flood', 20).filter((uid) => take(uid, shop));
    const settled = flood.slice(1, 3);
    for (const uid of flood) kept.gone(uid);
    for (const uid of settled) kept.settle(uid);
    const [next = '', third = '', fourth = ''] = ofOneMap('next', 3);
    expect(take(next, shop)).toBe(true);
    expect(names()).toEqual([...flood.filter((uid) => uid !== settled[0]), next]);
    expect([take(third, shop), take(fourth, shop)]).toEqual([true, false]);
    expect(names()).toContain(flood[0]);
    expect(take(fourth, agents)).toBe(true);
  });

  test('one that named nothing makes place too; one that is there does not, and may say less', async () => {
    const { kept, take, names, shop } = await aFullMap();
    const idle = ofOneMap('idle', 20).filter((uid) => take(uid, shop, {}));
    const [next = ''] = ofOneMap('next', 1);
    expect(take(next, shop)).toBe(false);
    kept.settle(idle[0] ?? '');
    expect(take(next, shop)).toBe(false);
    kept.gone(idle[0] ?? '');
    expect(take(next, shop, {})).toBe(true);
    expect(names()).not.toContain(idle[0]);
    expect(take(idle[1] ?? '', shop, { number: 2 })).toBe(true);
  });
});

test('what nobody can read is said, and the rest is read', async () => {
  const errors: unknown[] = [];
  api.put(KINDS.configMaps, {
    metadata: { namespace: SYSTEM, name: 'chaperone-counters-0' },
    data: { 'uid-1': '{', 'uid-2': '{}' },
  });
  expect((await counters({ onError: (error) => errors.push(error) })).list()).toEqual([]);
  expect(errors).toHaveLength(2);
});
