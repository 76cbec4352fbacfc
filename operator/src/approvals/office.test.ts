import { setTimeout as sleep } from 'node:timers/promises';
import type { AccessPolicy, AccessRequest, RequestSpec, RequestState } from '@chaperone/api';
import { Informer, KINDS, type KubeObject } from '@chaperone/kube';
import type { RequestView, Snapshot } from '@chaperone/policy';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually, type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { Contents } from './contents.ts';
import { ApprovalDesk } from './desk.ts';
import { ApprovalOffice } from './office.ts';
import { RequestStore } from './store.ts';

const HOUR = 3_600_000;
const DIGEST = 'a'.repeat(64);
const BOT = { namespace: 'agents', serviceAccount: 'bot', pod: 'bot', podUid: 'bot-uid' };
let api: FakeApiServer;
let now: number;
let enrolled: boolean;
let office: ApprovalOffice;
let pods: Informer<KubeObject>;
let policies: Informer<AccessPolicy>;
const stop = new AbortController();

const at = (name: string) => ({ namespace: 'agents', name });
const get = (name: string): AccessRequest | undefined => api.get(KINDS.accessRequests, at(name)) as unknown as AccessRequest;
function aSpec(mods: Partial<RequestSpec> = {}): RequestSpec {
  return {
    session: `s-${'a'.repeat(16)}`,
    action: 1,
    agent: { serviceAccount: 'bot', pod: 'bot', podUid: 'bot-uid', purpose: 'tests' },
    resource: { namespace: 'data', name: 'orders-db' },
    protocol: 'postgres',
    sentence: 'UPDATE on public.tickets',
    effects: [],
    text: 'update tickets set a = 1',
    textBytes: 24,
    transaction: false,
    mode: 'hold',
    digest: DIGEST,
    rules: [
      {
        policy: { namespace: 'agents', name: 'support' },
        generation: 1,
        rule: 'fix',
        groups: ['dba'],
        users: [],
        minimum: 1,
        all: [],
        reason: false,
      },
    ],
    expiresAt: new Date(now + HOUR).toISOString(),
    ...mods,
  };
}
/** A request that is in `state` since `since`. */
function put(name: string, state: RequestState, since = now): void {
  const time = new Date(since).toISOString();
  const condition = (type: string) => ({ type, status: 'True', reason: state, message: 'x', lastTransitionTime: time });
  const conditions = [condition('Decided'), condition('Executed')];
  api.put(KINDS.accessRequests, {
    metadata: { ...at(name), creationTimestamp: time },
    spec: aSpec(),
    status: { state, conditions },
  });
}
function decide(name: string, request: string, since = now): void {
  const metadata = { ...at(name), creationTimestamp: new Date(since).toISOString() };
  const spec = {
    request,
    requestUid: get(request)?.metadata.uid ?? 'none',
    digest: DIGEST,
    decision: 'Approve',
    by: 'jane',
    groups: ['dba'],
  };
  api.put(KINDS.approvalDecisions, { metadata, spec });
}
const snapshot = (): Snapshot => ({ resources: [] }) as unknown as Snapshot;

beforeEach(async () => {
  api = await startFakeApiServer();
  now = Date.now();
  enrolled = true;
  api.put(KINDS.pods, { metadata: { ...at('bot'), uid: 'bot-uid' }, status: { phase: 'Running' } });
  api.put(KINDS.accessPolicies, { metadata: at('support'), spec: {} });
  const { kube } = api;
  pods = new Informer<KubeObject>({ kube, kind: KINDS.pods, parse: (pod) => pod }).start();
  policies = new Informer({ kube, kind: KINDS.accessPolicies, parse: (policy) => policy as unknown as AccessPolicy }).start();
  await Promise.all([pods.synced, policies.synced]);
  office = new ApprovalOffice({
    kube,
    hub: { has: () => enrolled, snapshotOf: () => (enrolled ? snapshot() : undefined), tell: () => undefined },
    pods,
    policies,
    signal: stop.signal,
    now: () => now,
    onError: () => undefined,
  });
  office.open();
});
afterEach(async () => {
  await Promise.all([office.close(), pods.stop(), policies.stop()]);
  await api.close();
});

/** Its requests are looked at; where nothing becomes of them, nothing shows that they were. */
async function looked(): Promise<void> {
  office.podChanged('bot-uid');
  await sleep(30);
}

const left = (): string[] =>
  ['d-old', 'd-young', 'd-lost', 'd-new'].filter((name) => api.get(KINDS.approvalDecisions, at(name)) !== undefined);
const desks = (): ApprovalDesk[] =>
  Array.from(
    { length: 6 },
    () =>
      new ApprovalDesk({
        store: new RequestStore(api.kube, stop.signal),
        contents: new Contents(),
        hub: { snapshotOf: snapshot },
        known: () => undefined,
        ofPod: () => [],
        generationOf: () => 1,
        now: () => now,
      }),
  );

describe('a sidecar that is away', () => {
  const NAME = `ar-${'b'.repeat(16)}`;
  test('for no longer than 30 s keeps its requests', async () => {
    put(NAME, 'Pending');
    await looked();
    enrolled = false;
    await looked();
    now += 29_000;
    await looked();
    enrolled = true;
    await looked();
    now += 60_000;
    await looked();
    expect(get(NAME)?.status?.state).toBe('Pending');
  });

  test('for longer loses them', async () => {
    put(NAME, 'Approved');
    decide('d', NAME);
    await eventually(() => expect(get(NAME)?.status?.votes).toBe('1/1'));
    enrolled = false;
    await looked();
    now += 30_001;
    await looked();
    await eventually(() => expect(get(NAME)?.status?.state).toBe('Withdrawn'));
  });

  test('since before this operator leads has the time to find it besides', async () => {
    enrolled = false;
    put(NAME, 'Pending');
    for (const passed of [0, 20_000, 60_000, 69_000]) {
      now += passed;
      await looked();
      expect(get(NAME)?.status?.state).toBe('Pending');
    }
    now += 2_000;
    await looked();
    await eventually(() => expect(get(NAME)?.status?.state).toBe('Withdrawn'));
  });
});

describe('the sweep', () => {
  test('removes what is over for a day, with its decisions, and decisions on nothing after an hour', async () => {
    const [old, young, open] = ['b', 'c', 'd'].map((letter) => `ar-${letter.repeat(16)}`) as [string, string, string];
    put(old, 'Ran', now - 25 * HOUR);
    decide('d-old', old, now - 26 * HOUR);
    put(young, 'Denied', now - 23 * HOUR);
    decide('d-young', young, now - 23 * HOUR);
    put(open, 'Pending', now - 26 * HOUR);
    decide('d-lost', `ar-${'e'.repeat(16)}`, now - 2 * HOUR);
    decide('d-new', `ar-${'e'.repeat(16)}`, now - HOUR / 2);
    await eventually(async () => {
      await office.sweep();
      expect([old, young, open].filter((name) => get(name) !== undefined)).toEqual([young, open]);
      expect(left()).toEqual(['d-young', 'd-new']);
    });
  });
});

describe('the rows that a request would meet', () => {
  const NAME = `ar-${'b'.repeat(16)}`;
  const ROWS = { columns: ['note'], rows: [['CANARY-4711']] };
  const LOOK = { name: NAME, digest: DIGEST, preview: { count: 1, ...ROWS }, text: 'CANARY-4712' };
  const open = (): AccessRequest => {
    const request = get(NAME);
    if (request === undefined) throw new Error('there is none');
    return structuredClone(request);
  };
  const LOST = expect.stringContaining('in the memory of an operator that leads no more') as string;

  test('are in the memory of the operator that leads, and nowhere else', async () => {
    put(NAME, 'Pending');
    await office.desk.looked(BOT, LOOK);
    expect(open().status?.preview).toEqual({ count: 1 });
    expect(office.desk.contentOf(open())).toEqual({ ...ROWS, text: 'CANARY-4712' });
    expect(api.asked.filter(({ body }) => JSON.stringify(body ?? '').includes('CANARY'))).toEqual([]);
    const [next] = desks();
    expect(next?.contentOf(open())).toEqual(LOST);
  });

  test('are those that were told first', async () => {
    put(NAME, 'Pending');
    await office.desk.looked(BOT, LOOK);
    await office.desk.looked(BOT, { ...LOOK, preview: { count: 9, rows: [['another']] } });
    await expect(office.desk.looked({ ...BOT, podUid: 'other' }, LOOK)).rejects.toMatchObject({ code: 'RequestUnknown' });
    expect(office.desk.contentOf(open())).toEqual({ ...ROWS, text: 'CANARY-4712' });
  });

  test.each<[string, () => void]>([
    ['is over', () => put(NAME, 'Denied')],
    ['is removed', () => api.remove(KINDS.accessRequests, at(NAME))],
  ])('are forgotten when it %s', async (_, end) => {
    put(NAME, 'Pending');
    await office.desk.looked(BOT, LOOK);
    const before = open();
    end();
    await eventually(() => expect(office.desk.contentOf(before)).toEqual(LOST));
  });

  test('are not kept where that they were looked at could not be written', async () => {
    put(NAME, 'Pending');
    api.intercept = ({ method }, response) => {
      if (method === 'PUT') response.writeHead(500, { 'content-type': 'application/json' }).end('{}');
      return method === 'PUT';
    };
    await expect(office.desk.looked(BOT, LOOK)).rejects.toThrow();
    expect(office.desk.contentOf({ ...open(), status: { state: 'Pending', preview: { count: 1 } } })).toEqual(LOST);
  });

  test('of one that is over already are not kept', async () => {
    put(NAME, 'Pending');
    const before = open();
    put(NAME, 'Denied');
    await office.desk.looked(BOT, LOOK);
    expect(office.desk.contentOf({ ...before, status: { state: 'Pending', preview: { count: 1 } } })).toEqual(LOST);
  });
});

describe('a release', () => {
  const NAME = `ar-${'b'.repeat(16)}`;
  const OTHER = `ar-${'c'.repeat(16)}`;
  const released = async (): Promise<string | undefined> =>
    (await desks()[0]?.release(BOT, { name: NAME, digest: DIGEST }))?.state;

  test('is not stopped by what others decide on, however much that is', async () => {
    await office.close();
    put(NAME, 'Approved');
    decide('d', NAME);
    for (let each = 0; each <= 20_000; each++) decide(`d-${each}`, OTHER);
    expect(await released()).toBe('Released');
  });

  test('goes on where the API server cannot select decisions', async () => {
    await office.close();
    api.intercept = ({ url }, response) => {
      const isSelecting = url.searchParams.get('fieldSelector')?.startsWith('spec.') === true;
      if (isSelecting) response.writeHead(400, { 'content-type': 'application/json' }).end('{"reason":"BadRequest"}');
      return isSelecting;
    };
    put(NAME, 'Approved');
    decide('d', NAME);
    decide('d-other', OTHER);
    expect(await released()).toBe('Released');
  });
});

describe('several operators at once', () => {
  test('release a request once', async () => {
    await office.close();
    const name = `ar-${'b'.repeat(16)}`;
    put(name, 'Approved');
    decide('d', name);
    let writes = 0;
    api.intercept = ({ method }) => {
      if (method === 'PUT') writes += 1;
      return false;
    };
    const answers = await Promise.all(desks().map((desk) => desk.release(BOT, { name, digest: DIGEST })));
    expect(answers.map(({ state }: RequestView) => state).toSorted()).toEqual([
      'Released',
      ...Array.from({ length: 5 }, () => 'Voided'),
    ]);
    // More than one believed that it was its to release.
    expect(writes).toBeGreaterThan(1);
    expect(get(name)?.status?.state).toBe('Released');
  });

  test('release none that the policy in force does not know', async () => {
    await office.close();
    const name = `ar-${'b'.repeat(16)}`;
    put(name, 'Approved');
    decide('d', name);
    const [desk] = desks();
    const drifted = new ApprovalDesk({
      store: new RequestStore(api.kube, stop.signal),
      contents: new Contents(),
      hub: { snapshotOf: snapshot },
      known: () => undefined,
      ofPod: () => [],
      generationOf: () => 2,
      now: () => now,
    });
    expect((await drifted.release(BOT, { name, digest: DIGEST })).state).toBe('Voided');
    expect((await desk?.release(BOT, { name, digest: DIGEST }))?.state).toBe('Voided');
  });
});
