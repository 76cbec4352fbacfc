import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  ApiError,
  type EvidenceLedger,
  HeldAnswer,
  newSessionId,
  RecordPage,
  SessionDetail,
  SessionList,
  TrustInfo,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Access, createTokenAccess } from './access.ts';
import { type Collector, createCollector } from './collector.ts';
import { aPod, aSession, judged, readers, silent, trust } from './evidence.fixture.ts';

const shop = { namespace: 'shop', serviceAccount: 'seller' };
const PREFIX = 's-abcd';
const twins = [`${PREFIX}aaaaaaaaaaaa`, `${PREFIX}bbbbbbbbbbbb`];
const hidden = `${PREFIX}cccccccccccc`;

/** The name of a person is the bearer token; each may do in each namespace what stands here. */
const rights: Record<string, readonly string[]> = {
  alice: ['list agents', 'get agents', 'replay agents', 'list shop', 'get shop', 'replay shop', 'export shop'],
  bob: ['list agents', 'get agents'],
  carol: [],
};
const access: Access = {
  authorise(request) {
    const user = request.header('authorization')?.slice('Bearer '.length) ?? '';
    return Promise.resolve(user in rights ? { user, groups: [] } : { refused: 'unknown' });
  },
  allowed: ({ user }, verb, namespace) => Promise.resolve(rights[user]?.includes(`${verb} ${namespace}`) ?? false),
};

let path: string;
let collector: Collector;
const mira = { issuer: 'https://login.corp', user: 'mira@corp', groups: ['support'] };
const long = aSession({ segments: 5, startedAt: 5000, onBehalfOf: mira });
beforeAll(async () => {
  const directory = await temporaryDirectory();
  path = directory.path;
  collector = await createCollector({ directory: path, trust, readers, access, logger: silent });
  const sessions = [
    ...twins.map((session, at) => aSession({ session, startedAt: 1000 + at * 1000, close: at === 0 })),
    aSession({ session: hidden, agent: shop, startedAt: 3000, resource: 'stock-db' }),
    long,
  ];
  for (const { sealed } of sessions) for (const { parcel } of sealed) await collector.ingest(parcel);
  return async () => {
    await collector.close();
    await directory[Symbol.asyncDispose]();
  };
});

interface Answer {
  readonly status: number;
  readonly bytes: Buffer;
  readonly text: string;
  readonly json: () => unknown;
}

async function ask(target: string, user?: string): Promise<Answer> {
  const headers: Record<string, string> = user === undefined ? {} : { authorization: `Bearer ${user}` };
  const response = await collector.fetch(new Request(`http://collector${target}`, { headers }));
  const bytes = Buffer.from(await response.arrayBuffer());
  const text = bytes.toString();
  return { status: response.status, bytes, text, json: () => JSON.parse(text) };
}
const evidenceOf = async (session: string): Promise<Buffer> => (await ask(`/v1/sessions/${session}/evidence`, 'alice')).bytes;
const names = async (target: string, user: string): Promise<string[]> =>
  SessionList.parse((await ask(target, user)).json()).items.map((item) => item.name);

describe('the list of sessions', () => {
  test('shows what a table needs, newest first', async () => {
    const { items, truncated } = SessionList.parse((await ask('/v1/sessions', 'alice')).json());
    expect(truncated).toBe(false);
    expect(items.map((item) => item.name)).toEqual([long.session, hidden, twins[1], twins[0]]);
    expect(items[0]).toEqual({
      name: long.session,
      agent: { namespace: 'agents', serviceAccount: 'bot' },
      resource: { namespace: 'data', name: 'orders-db', protocol: 'postgres' },
      purpose: 'tests',
      mode: 'Enforce',
      onBehalfOf: { issuer: 'https://login.corp', user: 'mira@corp' },
      actions: 10,
      denied: 5,
      held: 0,
      masked: 0,
      state: 'ended',
      evidence: 'received',
      erased: false,
      onHold: false,
      startedAt: 5000,
      endedAt: 5012,
    });
    expect(items[2]).toMatchObject({ state: 'open' });
  });

  test.each([
    ['?namespace=shop', [hidden]],
    ['?agent=seller', [hidden]],
    ['?resource=data/stock-db', [hidden]],
    ['?resource=other/stock-db', []],
    ['?since=4000', [long.session]],
    ['?limit=2', [long.session, hidden]],
  ])('is narrowed by %s', async (query, expected) => {
    expect(await names(`/v1/sessions${query}`, 'alice')).toEqual(expected);
  });

  test('says when there is more than was asked for, and how much there is that the person may list', async () => {
    expect((await ask('/v1/sessions?limit=2', 'alice')).json()).toMatchObject({ truncated: true, total: 4 });
    expect((await ask('/v1/sessions?limit=2', 'bob')).json()).toMatchObject({ truncated: true, total: 3 });
    expect((await ask('/v1/sessions?limit=1&agent=bot&since=2000', 'alice')).json()).toMatchObject({ truncated: true, total: 2 });
    expect((await ask('/v1/sessions?agent=seller', 'bob')).json()).toEqual({ items: [], truncated: false, total: 0 });
  });

  test.each([1, 2, 3, 4])(
    'comes whole and in order in pages of %i, also where sessions began at the same time',
    async (limit) => {
      const pod = aPod();
      const directory = await temporaryDirectory();
      onTestFinished(() => directory[Symbol.asyncDispose]());
      const other = await createCollector({ directory: directory.path, trust, readers, access, logger: silent });
      onTestFinished(() => other.close());
      for (const startedAt of [1000, 2000, 2000, 2000.123456789, 1e15, 1e-7, -5])
        for (const { parcel } of aSession({ pod, startedAt, segments: 1 }).sealed) await other.ingest(parcel);
      const page = async (query: string): Promise<SessionList> => {
        const request = new Request(`http://collector/v1/sessions?${query}`, { headers: { authorization: 'Bearer alice' } });
        return SessionList.parse(await (await other.fetch(request)).json());
      };
      const whole = (await page('')).items.map(({ name }) => name);
      const seen: string[] = [];
      const totals: unknown[] = [];
      for (let after: string | undefined = ''; after !== undefined; ) {
        const found: SessionList = await page(`limit=${limit}${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`);
        expect(found.truncated).toBe(found.next !== undefined);
        seen.push(...found.items.map(({ name }) => name));
        totals.push(found.total);
        after = found.next;
      }
      expect([whole.length, seen]).toEqual([7, whole]);
      expect(totals).toEqual([7, ...Array.from({ length: totals.length - 1 }, () => undefined)]);
    },
  );

  test('holds only what the person may list', async () => {
    expect(await names('/v1/sessions', 'bob')).toEqual([long.session, twins[1], twins[0]]);
    expect(await ask('/v1/sessions?namespace=shop', 'bob')).toMatchObject({ status: 403 });
  });

  test.each([
    '?limit=0',
    '?limit=1001',
    '?limit=x',
    '?since=-1',
    '?resource=a',
    '?namespace=A_B',
    '?other=1',
    '?after=1',
    '?after=,s-aaaaaaaaaaaaaaaa',
    '?after=1,s-x',
    '?after=1-1,s-aaaaaaaaaaaaaaaa',
  ])('refuses %s without repeating it', async (query) => {
    const { status, json } = await ask(`/v1/sessions${query}`, 'alice');
    expect(status).toBe(400);
    expect(ApiError.parse(json()).code).toBe('BadRequest');
  });
});

describe('one session', () => {
  test('is found by its name or the beginning of it', async () => {
    for (const name of [long.session, long.session.slice(0, 9)])
      expect(SessionDetail.parse((await ask(`/v1/sessions/${name}`, 'bob')).json())).toMatchObject({
        name: long.session,
        segments: 5,
        highWater: 4,
        missing: [],
        findings: [],
      });
  });

  test('is asked for more exactly where a beginning fits several, and only those that the person may see count', async () => {
    const { status, json } = await ask(`/v1/sessions/${PREFIX}`, 'alice');
    expect(status).toBe(409);
    expect(json()).toMatchObject({ code: 'AmbiguousName', matches: [...twins, hidden] });
    expect((await ask(`/v1/sessions/${PREFIX}`, 'bob')).json()).toMatchObject({ matches: twins });
    expect(await ask(`/v1/sessions/${PREFIX}a`, 'bob')).toMatchObject({ status: 200 });
  });

  test('that the person may not see is not there', async () => {
    const unseen = await ask(`/v1/sessions/${hidden}`, 'bob');
    const missing = await ask('/v1/sessions/s-zzzzzzzzzzzzzzzz', 'bob');
    expect([unseen.status, missing.status]).toEqual([404, 404]);
    expect(unseen.text.replace(hidden, '')).toBe(missing.text.replace('s-zzzzzzzzzzzzzzzz', ''));
  });

  test.each(['s-', 'x', 's-%25', "s-a'--", 's-ABC', '..'])('named %s is refused', async (name) => {
    expect([400, 404]).toContain((await ask(`/v1/sessions/${encodeURIComponent(name)}`, 'alice')).status);
  });

  test('is not replayed by who may only get it', async () => {
    for (const part of ['records', 'evidence'])
      expect(await ask(`/v1/sessions/${long.session}/${part}`, 'bob')).toMatchObject({ status: 403 });
  });
});

describe('records', () => {
  test.each([1, 2, 3, 7, 200])('come whole and in order in pages of %i', async (limit) => {
    const seen: number[] = [];
    for (let from: number | undefined = 0; from !== undefined; ) {
      const page: RecordPage = RecordPage.parse(
        (await ask(`/v1/sessions/${long.session}/records?from=${from}&limit=${limit}`, 'alice')).json(),
      );
      expect(page.items.length).toBeLessThanOrEqual(limit);
      seen.push(...page.items.map((record) => record.seq));
      from = page.next;
    }
    expect(seen).toEqual(Array.from({ length: 12 }, (_, seq) => seq));
  });

  test('stop before a missing segment', async () => {
    const { session, sealed } = aSession({ pod: aPod(), session: newSessionId(), startedAt: 1 });
    for (const at of [0, 2]) await collector.ingest(sealed[at]?.parcel ?? Buffer.alloc(0));
    const first = RecordPage.parse((await ask(`/v1/sessions/${session}/records`, 'alice')).json());
    expect(first).toMatchObject({ items: { length: 3 }, next: 3 });
    const second = RecordPage.parse((await ask(`/v1/sessions/${session}/records?from=3`, 'alice')).json());
    expect(second).toEqual({ items: [], next: 5, end: 5, gap: { from: 3, to: 4 } });
    expect((await ask(`/v1/sessions/${session}`, 'alice')).json()).toMatchObject({ evidence: 'incomplete', missing: [1] });
  });

  test('of a damaged object are refused, and the verifier says where the damage is', async () => {
    const { session, sealed } = aSession({ startedAt: 2 });
    for (const { parcel } of sealed) await collector.ingest(parcel);
    const { digest = '', bytes = Buffer.alloc(0) } = sealed[1] ?? {};
    const changed = Buffer.from(bytes);
    changed[300] = (changed[300] ?? 0) ^ 1;
    writeFileSync(join(path, 'objects', 'seg', digest.slice(0, 2), digest), changed);
    const refused = await ask(`/v1/sessions/${session}/records`, 'alice');
    expect(refused.status).toBe(409);
    expect(ApiError.parse(refused.json()).code).toBe('EvidenceAltered');
    expect(await judged(await evidenceOf(session), session)).toMatchObject({ verdict: 'altered', break: { segment: 1 } });
  });

  test('of an object that is gone are refused as incomplete, and the verifier says which segment is missing', async () => {
    const { session, sealed } = aSession({ startedAt: 3 });
    for (const { parcel } of sealed) await collector.ingest(parcel);
    const { digest = '' } = sealed[1] ?? {};
    rmSync(join(path, 'objects', 'seg', digest.slice(0, 2), digest));
    const refused = await ask(`/v1/sessions/${session}/records`, 'alice');
    expect([refused.status, ApiError.parse(refused.json()).code]).toEqual([409, 'EvidenceIncomplete']);
    expect(await judged(await evidenceOf(session), session)).toMatchObject({ verdict: 'incomplete', break: { segment: 1 } });
  });
});

test('the evidence of a session is a file that verifies offline', async () => {
  expect(await judged(await evidenceOf(long.session), long.session)).toMatchObject({
    verdict: 'complete',
    segments: 5,
    records: 12,
  });
});

test('health and metrics need no sign-in and show no session; everything else does', async () => {
  expect(await ask('/healthz')).toMatchObject({ status: 200 });
  expect(await ask('/readyz')).toMatchObject({ status: 200 });
  const metrics = await ask('/metrics');
  expect(metrics.text).toContain('chaperone_collector_segments_total{result="stored"}');
  expect(metrics.text).not.toContain(long.session);
  for (const target of [
    '/v1/sessions',
    `/v1/sessions/${long.session}`,
    `/v1/sessions/${long.session}/evidence`,
    '/v1/evidence?from=0&to=1',
    '/v1/trust',
  ]) {
    expect(await ask(target), target).toMatchObject({ status: 401 });
    expect(await ask(target, 'mallory'), target).toMatchObject({ status: 401 });
  }
  expect(TrustInfo.parse((await ask('/v1/trust', 'bob')).json())).toEqual({ origin: 'test' });
});

test('what is stored of a session is told to who knows its name, and of others nothing', async () => {
  const [first = '', second = ''] = twins;
  const query = [first, second, newSessionId()].map((session) => `session=${session}`).join('&');
  const { sessions } = HeldAnswer.parse((await ask(`/v1/held?${query}`)).json());
  expect(sessions[first]).toEqual({ segments: expect.any(Number), ended: true });
  expect(sessions[second]).toEqual({ segments: expect.any(Number), ended: false });
  expect(Object.keys(sessions)).toEqual([first, second]);
  for (const bad of ['', 'session=', `session=${PREFIX}`, `session=${first}%00`, `session=${first}&`.repeat(65)])
    expect(await ask(`/v1/held?${bad}`), bad).toMatchObject({ status: 400 });
});

test('a bearer token opens embedded mode, and nothing near it does', async () => {
  const token = createTokenAccess('correct');
  const authorise = (header: string | undefined) => token.authorise({ method: 'GET', target: '/', header: () => header });
  expect(await authorise('Bearer correct')).toEqual({ user: 'local', groups: [] });
  for (const header of [undefined, '', 'Bearer ', 'Bearer correc', 'Bearer correctx', 'Basic correct', 'correct'])
    expect(await authorise(header)).toHaveProperty('refused');
});

test('what is not ready is said', async () => {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const waiting = await createCollector({
    directory: directory.path,
    trust,
    readers,
    access,
    logger: silent,
    notReady: () => 'no broker',
  });
  const response = await waiting.fetch(new Request('http://collector/readyz'));
  expect([response.status, await response.text()]).toEqual([503, 'no broker\n']);
  await waiting.close();
});

test('how the evidence stands is told of namespaces that somebody may list, and to nobody else', async () => {
  const told = async (user: string): Promise<EvidenceLedger> => (await ask('/v1/ledger', user)).json() as EvidenceLedger;
  expect((await ask('/v1/ledger')).status).toBe(401);
  expect(await told('carol')).toEqual({ orders: [], reads: [], gaps: [], truncated: false });
  expect((await told('bob')).checkpoint?.root).toMatch(/^[\w+/]{43}=$/);
});
