import { readdirSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  type ApiError,
  DataKey,
  decodeParcel,
  encodeParcel,
  openSegment,
  parsePolicy,
  readSegments,
  RecordPage,
  SearchList,
  verifyEvidence,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { createTokenAccess } from './access.ts';
import { type Collector, createCollector } from './collector.ts';
import { ENGINES } from './evidence-index/engines.test-support.ts';
import { aSession, readers, silent, trust } from './evidence.fixture.ts';

/** What is bad for whoever takes it for something else: heads of HTTP, C, shells, spreadsheets, terminals, SQL, HTML, paths, JSON, Unicode. */
const TEXTS = [
  'a\r\nset-cookie: x=1\r\n\r\nb',
  'a\0b',
  '../../../../etc/passwd',
  '=cmd|calc!A1',
  '+1+1',
  '-2+3',
  '@SUM(1)',
  '\t=1',
  '"a","b"\n"c"',
  '\u001b]52;c;aGk=\u0007\u001b[2J\u001b]8;;http://x\u001b\\',
  '\u009b31m\u0085',
  '\u202e\u2066\u200b\ufeff\u00ad',
  '\ud800 alone',
  'alone \udfff',
  "'; DROP TABLE commands; --",
  '<script>alert(1)</script><img src=x onerror=1>',
  '{"type":"session.close"}',
  '%2e%2e%2f%00',
  '$(id) `id` ${x}',
  'e\u0301 é \u212b',
  '__proto__ constructor toString',
] as const;
const IDS = [
  '..',
  '..%2f..%2fkeys',
  '%2e%2e',
  's-%00',
  's-aaaaaaaaaaaaaaa%0a',
  's-AAAAAAAAAAAAAAAA',
  's-%25',
  's-_',
  '%1b[2J',
  '%ff%fe',
  `s-${'a'.repeat(5_000)}`,
  "s-'%20or%201=1--",
  '__proto__',
];

const objectsIn = (path: string): Set<string> =>
  new Set(readdirSync(join(path, 'objects'), { recursive: true, encoding: 'utf8' }));

describe.each(ENGINES)('over $engine', ({ use }) => {
  const newIndex = use();
  let collector: Collector;
  let path = '';
  const sessions = TEXTS.map((text, at) => ({
    text: `needle${at} ${text}`,
    at,
    made: aSession({ text: `needle${at} ${text}`, segments: 1 }),
  }));
  beforeAll(async () => {
    const directory = await temporaryDirectory();
    path = directory.path;
    const index = await (await newIndex())();
    const access = createTokenAccess('t');
    collector = await createCollector({ directory: path, trust, readers, access, logger: silent, ...(index && { index }) });
    for (const { made } of sessions) for (const { parcel } of made.sealed) await collector.ingest(parcel);
    return async () => {
      await collector.close();
      await directory[Symbol.asyncDispose]();
    };
  });
  const ask = async (target: string, init: RequestInit = {}): Promise<Response> =>
    collector.fetch(new Request(`http://collector/v1/${target}`, { ...init, headers: { authorization: 'Bearer t' } }));
  /** What JSON makes of a lone surrogate when it is written as UTF-8 is its escape; nothing is replaced. */
  const found = async (at: number): Promise<SearchList> =>
    SearchList.parse(
      await (await ask('sessions/search', { method: 'POST', body: JSON.stringify({ text: `needle${at}` }) })).json(),
    );

  test('hostile text comes back to the letter: found, listed, exported, verified, from an index that was built again too', async () => {
    const policy = parsePolicy(Buffer.from(`log ${await (await ask('log/key')).text()}quorum none\n`));
    for (let round = 0; round < 2; round++) {
      for (const { text, at, made } of sessions) {
        const { session, key } = made;
        const page = RecordPage.parse(await (await ask(`sessions/${session}/records`)).json());
        expect(page.items[1]).toMatchObject({ type: 'action', text });
        const outline = RecordPage.parse(await (await ask(`sessions/${session}/outline`)).json());
        expect(outline.items[1]).toMatchObject({ type: 'action', text });
        const hits = (await found(at)).items.filter(({ name }) => name === session);
        expect(hits, JSON.stringify(text)).toHaveLength(1);
        const file = Buffer.from(await (await ask(`sessions/${session}/evidence`)).arrayBuffer());
        const { sessions: judged } = await verifyEvidence([file], { ...trust, policy });
        expect(judged).toMatchObject([{ verdict: 'complete', contents: 'verified' }]);
        for await (const { segment } of readSegments([file]))
          expect(openSegment(segment, new DataKey(session, key.secret)).records[1]).toMatchObject({ text });
      }
      await collector.reindex();
    }
  });

  test.each(IDS)('the id %j is nobody’s, on every way', async (id) => {
    const body = JSON.stringify({ kind: 'erasure', reason: 'x' });
    const order = `orders?body=${createHash('sha256').update(body).digest('hex')}`;
    for (const way of ['', '/records', '/outline', '/evidence', '/key', '/stream']) {
      const response = await ask(`sessions/${id}${way}`);
      expect([response.status >= 400 && response.status < 500, way]).toEqual([true, way]);
      const { code } = (await response.json().catch(() => ({ code: '' }))) as ApiError;
      expect(code).not.toBe('Internal');
    }
    const ordered = await ask(`sessions/${id}/${order}`, { method: 'POST', body });
    expect([400, 404]).toContain(ordered.status);
    expect(await (await ask('sessions')).json()).toMatchObject({ items: { length: TEXTS.length } });
  });

  test('a parcel whose names lead elsewhere is refused, and nothing is written', async () => {
    const [{ made }] = sessions as [(typeof sessions)[number]];
    const { key, segment } = decodeParcel(made.sealed[0]?.parcel ?? Buffer.alloc(0));
    const before = objectsIn(path);
    for (const session of ['../../../x', 's-aaaaaaaaaaaaaaaa/..', 's-AAAAAAAAAAAAAAAA', 's-aaaaaaaaaaaaaaa\0', '', '__proto__'])
      expect(await collector.ingest(encodeParcel({ key: { ...key, session }, segment }))).toEqual({
        kind: 'refused',
        code: 'MalformedParcel',
      });
    for (const id of ['../x', 'A'.repeat(64), ''])
      expect(await collector.ingest(encodeParcel({ key: { ...key, id }, segment }))).toEqual({
        kind: 'refused',
        code: 'MalformedParcel',
      });
    expect(objectsIn(path)).toEqual(before);
  });
});
