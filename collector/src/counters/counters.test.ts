import {
  type Counter,
  COUNTER_MAPS,
  createEpoch,
  encodeNkey,
  type FileVerdict,
  generateSigner,
  newSessionId,
  parsePolicy,
  type PodIdentity,
  signCounter,
  verifyEvidence,
} from '@chaperone/evidence';
import { KINDS } from '@chaperone/kube';
import { startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Access } from '../access.ts';
import { createCollector } from '../collector.ts';
import { aPod, aSession, readers, type SessionOptions, silent, trust } from '../evidence.fixture.ts';
import { ClusterCounters } from './cluster-source.ts';
import { type KeptStatement, settledCounters } from './source.ts';

const NOW = 1_790_000_000_000;
const access: Access = {
  authorise: () => Promise.resolve({ user: 'auditor', groups: [] }),
  allowed: (_, __, namespace) => Promise.resolve(namespace === 'agents'),
};

function counted(
  pod: PodIdentity,
  pending: Counter['pending'],
  mods: Partial<Counter> = {},
  receivedAt = NOW - 60_000,
): KeptStatement {
  const counter: Counter = {
    origin: 'test',
    nkey: encodeNkey(pod.nkey.publicKey),
    number: 1,
    opened: 9,
    newest: null,
    sealed: 9,
    last: null,
    pending,
    more: 0,
    clock: { wall: NOW, mono: 1 },
    ...mods,
  };
  return { statement: { registration: pod.registration, ...signCounter(counter, createEpoch(pod, 1, NOW)) }, receivedAt };
}

async function aPlace(list: () => readonly KeptStatement[]) {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const counters = { list: async () => list() };
  const given = { directory: directory.path, trust, readers, access, logger: silent, counters, now: () => NOW };
  const collector = await createCollector(given);
  onTestFinished(() => collector.close());
  const ask = (path: string): Promise<Response> => Promise.resolve(collector.fetch(new Request(`http://collector/v1/${path}`)));
  return {
    ask,
    take: async (options: SessionOptions, segments = Number.POSITIVE_INFINITY): Promise<string> => {
      const { session, sealed } = aSession(options);
      for (const { parcel } of sealed.slice(0, segments)) await collector.ingest(parcel);
      return session;
    },
    verified: async (path: string): Promise<FileVerdict> => {
      const policy = parsePolicy(Buffer.from(`log ${await (await ask('log/key')).text()}quorum none\n`));
      return verifyEvidence([Buffer.from(await (await ask(path)).arrayBuffer())], { ...trust, policy });
    },
  };
}
const PERIOD = `evidence?from=0&to=${NOW * 2}`;
const words = ({ sessions }: FileVerdict): Record<string, string> =>
  Object.fromEntries(sessions.map(({ session, verdict }) => [session, verdict]));

describe('an export', () => {
  test('of a period has what pods that are gone counted, so that a verifier names what never came', async () => {
    const pod = aPod();
    const list: KeptStatement[] = [];
    const { take, verified } = await aPlace(() => list);
    const whole = await take({ pod });
    const cut = await take({ pod, segments: 4 }, 2);
    const gone = newSessionId();
    list.push(
      counted(
        pod,
        [
          [whole, 3],
          [cut, 4],
          [gone, 0],
        ],
        { more: 2 },
      ),
    );
    const found = await verified(PERIOD);
    expect(words(found)).toEqual({ [whole]: 'complete', [cut]: 'incomplete', [gone]: 'missing' });
    expect(found.sessions.find(({ session }) => session === cut)?.break).toMatchObject({ segment: 2, code: 'SegmentMissing' });
    expect(found.counters).toEqual([
      { agent: { namespace: 'agents', serviceAccount: 'bot' }, at: NOW, opened: 9, sealed: 9, pending: 5, more: 2 },
    ]);
    const ofOne = await verified(`evidence?session=${cut}`);
    expect(words(ofOne)).toEqual({ [cut]: 'incomplete' });
    expect((await verified(`sessions/${whole}/evidence`)).sessions).toMatchObject([{ session: whole, verdict: 'complete' }]);
  });

  test('has of each pod the newest that can be believed, and none of what is on its way, is of others, or says nothing', async () => {
    const [pod, live, hidden, idle, stranger] = [
      aPod(),
      aPod(),
      aPod({ namespace: 'shop', serviceAccount: 'seller' }),
      aPod(),
      aPod(undefined, generateSigner()),
    ];
    const missing = newSessionId();
    const list = [
      counted(pod, [[missing, 1]], { number: 3 }),
      counted(pod, [[newSessionId(), 1]], { number: 2 }),
      counted(live, [[newSessionId(), 1]], {}, NOW - 59_999),
      counted(hidden, [[newSessionId(), 1]]),
      counted(idle, []),
      counted(stranger, [[newSessionId(), 1]]),
    ];
    const { take, verified } = await aPlace(() => list);
    const whole = await take({ pod });
    const found = await verified(PERIOD);
    expect(words(found)).toEqual({ [whole]: 'complete', [missing]: 'missing' });
    expect(found.counters).toHaveLength(1);
  });

  test('with more of them than a file holds is refused, and leaves none out', async () => {
    const counters = [1, 2, 3].map(() => counted(aPod(), [[newSessionId(), 1]]));
    const wanted = { namespace: () => true, counter: () => true };
    const source = { list: async () => counters };
    expect(await settledCounters(source, wanted, { trust, now: NOW, most: 3 })).toHaveLength(3);
    await expect(settledCounters(source, wanted, { trust, now: NOW, most: 2 })).rejects.toMatchObject({
      code: 'BadRequest',
      message: expect.stringContaining('3 pods counted evidence') as unknown,
    });
  });

  test('fails where nobody can say what pods counted: what is missing would not be named', async () => {
    const { ask, take } = await aPlace(() => {
      throw new Error('away');
    });
    await take({});
    expect((await ask(PERIOD)).status).toBe(503);
  });
});

test('in a cluster the operator’s ConfigMaps say what pods counted; what cannot be read there is left out', async () => {
  const api = await startFakeApiServer();
  onTestFinished(() => api.close());
  const { statement, receivedAt } = counted(aPod(), [[newSessionId(), 1]]);
  const stored = JSON.stringify({ ...statement, receivedAt, goneAt: 1, policies: ['support'] });
  const data = { 'uid-1': stored, 'uid-2': '{', 'uid-3': JSON.stringify({ ...statement, receivedAt }), 'uid-4': 'null' };
  api.put(KINDS.configMaps, { metadata: { namespace: 'system', name: COUNTER_MAPS[63] ?? '' }, data });
  expect(await new ClusterCounters(api.kube, 'system').list()).toEqual([{ statement, receivedAt }]);
});
