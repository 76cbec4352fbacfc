import { type ApiError, RecordPage, SearchList, SessionFacets, SessionList } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Access } from './access.ts';
import { type Collector, createCollector } from './collector.ts';
import { parseSearch } from './evidence-index/commands.ts';
import { ENGINES } from './evidence-index/engines.test-support.ts';
import { aSession, silent, readers, trust } from './evidence.fixture.ts';

const shop = { namespace: 'shop', serviceAccount: 'seller' };
const rights: Record<string, readonly string[]> = {
  alice: ['list agents', 'replay agents', 'get agents', 'list shop', 'replay shop'],
  lister: ['list agents', 'list shop'],
};
const access: Access = {
  authorise: (request) => Promise.resolve({ user: request.header('authorization') ?? '', groups: [] }),
  allowed: ({ user }, verb, namespace) => Promise.resolve(rights[user]?.includes(`${verb} ${namespace}`) ?? false),
};

const drop = aSession({ text: 'DROP TABLE tmp_x', startedAt: 1000 });
const split = aSession({ text: 'dr\u200bop ta\u00adble secrets', startedAt: 2000 });
const wide = aSession({ text: 'ｄｒｏｐ view v', startedAt: 3000, resource: 'stock-db', segments: 1 });
const other = aSession({ text: 'drop index i', startedAt: 4000, agent: shop, segments: 1 });
const plain = aSession({ text: 'select name from customers', startedAt: 5000, close: false });

const names = ({ items }: SessionList): string[] => items.map(({ name }) => name);

describe.each(ENGINES)('over $engine', ({ use }) => {
  const newIndex = use();
  let collector: Collector;
  beforeAll(async () => {
    const directory = await temporaryDirectory();
    const index = await (await newIndex())();
    collector = await createCollector({
      directory: directory.path,
      trust,
      readers,
      access,
      logger: silent,
      ...(index === undefined ? {} : { index }),
    });
    for (const { sealed } of [drop, split, wide, other, plain]) for (const { parcel } of sealed) await collector.ingest(parcel);
    return async () => {
      await collector.close();
      await directory[Symbol.asyncDispose]();
    };
  });

  const get = async (target: string, user = 'alice'): Promise<unknown> =>
    (await collector.fetch(new Request(`http://collector${target}`, { headers: { authorization: user } }))).json();
  async function search(body: object, user = 'alice'): Promise<SearchList> {
    const request = new Request('http://collector/v1/sessions/search', {
      method: 'POST',
      headers: { authorization: user },
      body: JSON.stringify(body),
    });
    return SearchList.parse(await (await collector.fetch(request)).json());
  }

  describe('a search over commands', () => {
    test.each<[string, string[]]>([
      ['drop', [other.session, wide.session, split.session, drop.session]],
      ['TMP_X', [drop.session]],
      ['dro tab', [split.session, drop.session]],
      ['table drop', [split.session, drop.session]],
      ['secrets', [split.session]],
      ['tmp', [drop.session]],
      ['name customers', [plain.session]],
      ['nothing', []],
      ['drop OR select', []],
      ['"drop" NOT table*', []],
    ])('for %j finds every word or beginning of one, also hidden and in other letters', async (text, expected) => {
      expect(names(await search({ text }))).toEqual(expected);
    });

    test('says which command of the session it was, the newest first', async () => {
      const [item] = (await search({ text: 'tmp_x' })).items;
      expect(item).toMatchObject({
        name: drop.session,
        hits: 6,
        hit: { seq: 6, verdict: 'deny', text: 'DROP TABLE tmp_x' },
        agent: { namespace: 'agents', serviceAccount: 'bot' },
      });
    });

    test('is narrowed and cut into pages as a list is', async () => {
      expect(names(await search({ text: 'drop', resource: 'data/stock-db' }))).toEqual([wide.session]);
      expect(names(await search({ text: 'drop', agent: 'seller' }))).toEqual([other.session]);
      expect(names(await search({ text: 'drop', until: 2000 }))).toEqual([drop.session]);
      const first = await search({ text: 'drop', limit: 3 });
      expect([first.truncated, first.partial, names(first)]).toEqual([true, false, [other.session, wide.session, split.session]]);
      expect(names(await search({ text: 'drop', limit: 3, after: first.next }))).toEqual([drop.session]);
    });

    test('tells nobody of commands that they may not see', async () => {
      const found = await search({ text: 'drop' }, 'lister');
      expect(found).toEqual({ items: [], truncated: false, partial: false });
      const request = { method: 'POST', headers: { authorization: 'lister' }, body: '{"text":"drop","namespace":"shop"}' };
      const response = await collector.fetch(new Request('http://collector/v1/sessions/search', request));
      expect([response.status, ((await response.json()) as ApiError).code]).toEqual([403, 'Forbidden']);
    });

    test.each(['{"text":"--"}', '{"text":""}', '{', '{"text":"a","more":1}', `{"text":"${'a '.repeat(17)}"}`])(
      'refuses %s',
      async (body) => {
        const request = new Request('http://collector/v1/sessions/search', {
          method: 'POST',
          headers: { authorization: 'alice' },
          body,
        });
        expect((await collector.fetch(request)).status).toBe(400);
      },
    );

    test('never becomes an expression of the index', () => {
      expect(parseSearch('a" OR text:*')).toEqual(['a', 'OR', 'text']);
      expect(parseSearch("NEAR(a b) 'c' & !d:*")).toEqual(['NEAR', 'a', 'b', 'c', 'd']);
    });

    test('is the same after the index was built again', async () => {
      const before = await collector.dump();
      await collector.reindex();
      expect(await collector.dump()).toEqual(before);
      expect(names(await search({ text: 'secrets' }))).toEqual([split.session]);
    });
  });

  describe('a list', () => {
    test.each<[string, string[]]>([
      ['?verdict=denied&agent=bot', [plain.session, wide.session, split.session, drop.session]],
      ['?verdict=masked', []],
      ['?verdict=clean', []],
      ['?until=2000', [drop.session]],
      ['?since=3000&until=5000', [other.session, wide.session]],
    ])('is narrowed by %s', async (query, expected) => {
      expect(names(SessionList.parse(await get(`/v1/sessions${query}`)))).toEqual(expected);
    });

    test('has facets, of what may be listed', async () => {
      expect(SessionFacets.parse(await get('/v1/facets'))).toEqual({
        agents: [
          { namespace: 'agents', name: 'bot', sessions: 4 },
          { namespace: 'shop', name: 'seller', sessions: 1 },
        ],
        people: [],
        resources: [
          { namespace: 'data', name: 'orders-db', protocol: 'postgres', sessions: 4 },
          { namespace: 'data', name: 'stock-db', protocol: 'postgres', sessions: 1 },
        ],
      });
      expect(await get('/v1/facets', 'nobody')).toEqual({ agents: [], resources: [], people: [] });
    });
  });

  test('a list is narrowed to a person behind the agent, of whom facets say only who may be listed', async () => {
    const mira = { issuer: 'https://login.corp', user: 'mira@corp', groups: [] };
    const own = aSession({ text: 'select 7', segments: 1, onBehalfOf: mira });
    const elsewhere = aSession({ segments: 1, onBehalfOf: mira, agent: { namespace: 'hidden', serviceAccount: 'bot' } });
    for (const { sealed } of [own, elsewhere]) for (const { parcel } of sealed) await collector.ingest(parcel);
    expect(names(SessionList.parse(await get('/v1/sessions?person=mira%40corp', 'alice')))).toEqual([own.session]);
    expect(SessionFacets.parse(await get('/v1/facets', 'alice')).people).toEqual([{ user: 'mira@corp', sessions: 1 }]);
    expect(names(await search({ text: 'select', person: 'mira@corp' }, 'alice'))).toEqual([own.session]);
    expect(names(SessionList.parse(await get('/v1/sessions?person=nobody', 'alice')))).toEqual([]);
  });

  describe('an outline', () => {
    test('has every record but results, and the beginning of each command', async () => {
      const long = aSession({ text: `select '${'😀'.repeat(400)}'`, segments: 1 });
      for (const { parcel } of long.sealed) await collector.ingest(parcel);
      const { items, end } = RecordPage.parse(await get(`/v1/sessions/${long.session}/outline`));
      expect([items.map(({ type }) => type), end]).toEqual([['session.open', 'action', 'action', 'session.close'], 4]);
      const [, action] = items;
      expect(action).toMatchObject({ type: 'action', text: `select '${'😀'.repeat(246)}`, bytes: 809 });
    });

    test('says where a session has a gap', async () => {
      const gapped = aSession({ segments: 3 });
      for (const { parcel } of [gapped.sealed[0], gapped.sealed[2]].flatMap((each) => each ?? [])) await collector.ingest(parcel);
      const pages: RecordPage[] = [];
      for (let from: number | undefined = 0; from !== undefined; ) {
        const page: RecordPage = RecordPage.parse(await get(`/v1/sessions/${gapped.session}/outline?from=${from}`));
        pages.push(page);
        from = page.next;
      }
      expect(pages.map(({ items, gap }) => gap ?? items.map(({ seq }) => seq))).toEqual([
        [0, 1, 2],
        { from: 3, to: 4 },
        [5, 6, 7],
      ]);
    });

    test('is for those who may replay', async () => {
      const response = await collector.fetch(
        new Request(`http://collector/v1/sessions/${drop.session}/outline`, { headers: { authorization: 'lister' } }),
      );
      expect(response.status).toBe(404);
    });
  });

  describe('a long command', () => {
    test('shows the part of a long command that has what was searched for', async () => {
      const far = aSession({ text: `select ${'a, '.repeat(500)} needle from t`, segments: 1 });
      for (const { parcel } of far.sealed) await collector.ingest(parcel);
      expect((await search({ text: 'need' })).items[0]?.hit.text).toMatch(/^[a, ]{60}needle from t$/);
    });
  });
});
