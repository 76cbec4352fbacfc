import { PassThrough } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import { type Collector, createCollector, createTokenAccess } from '@chaperone/collector';
import { generateSigner, parsePolicy, REPORT_KINDS, type RecordBody, reportEvidence, type ReportKind } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { CollectorClient } from '../collector/client.ts';
import type { Io } from '../io.ts';
import { asked, finished, recordSession, type Step } from '../recorded.test-support.ts';
import { KINDS } from '../verbs/report.ts';
import { type ReportQuery, writeReport } from './report.ts';
import { ownPolicy } from './verify.ts';

const enrolment = generateSigner();
const trust = { origin: 'test/report', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
/** What a spreadsheet calculates, breaks lines by, or shows otherwise. */
const HOSTILE = '=HYPERLINK("http://x","a")\r\n@SUM(1)\0\u001b[2J\u202e\ud800';
const held: RecordBody = {
  type: 'approval',
  action: 1,
  request: 'ar-7f3kq2mzt4hcnw5e',
  digest: 'ab'.repeat(32),
  state: 'Released',
  waitedMs: 38_000,
  decisions: [
    { by: 'jane@corp', decision: 'Approve', at: '2026-01-01T12:00:00Z', assurance: 'signed', via: 'page', reason: HOSTILE },
    { by: 'jon@corp', decision: 'Approve', at: '2026-01-01T12:00:09Z', assurance: 'kubernetes' },
  ],
};
const masked = [{ column: 1, name: '+ssn', labels: ['pii.ssn'], strategy: 'redact' as const }];
const STEPS: Step[] = [
  asked({ action: 0, text: 'uname -a' }),
  asked({ action: 1, text: 'systemctl restart nginx', verdict: 'approve' }),
  { after: 38_000, body: held },
  finished(1, 'exit 0'),
  asked({ action: 2, text: `${HOSTILE} x`, verdict: 'deny' }),
  asked({ action: 3, text: 'reboot', verdict: 'approve' }),
  { after: 9, body: { ...held, action: 3, state: 'Denied', request: 'ar-aaaaaaaaaaaaaaaa', decisions: [] } },
  asked({ action: 4, text: 'psql' }),
  {
    after: 3,
    body: {
      ...(finished(4, 'SELECT 2').body as RecordBody & { type: 'done' }),
      maskedValues: 2,
      result: { columns: [{ name: '+ssn', type: 25 }], masked, rows: [] },
    },
  },
];

let collector: Collector;
let client: CollectorClient;
let [whole, endless, other] = ['', '', ''];
beforeAll(async () => {
  const directory = await temporaryDirectory();
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
  collector = await createCollector({ directory: directory.path, trust, access: createTokenAccess('t'), logger });
  const told = { collector, origin: trust.origin, enrolment };
  whole = await recordSession({ ...told, steps: STEPS });
  endless = await recordSession({ ...told, steps: [asked({ action: 0, text: 'true' })], end: false });
  other = await recordSession({ ...told, steps: [asked({ action: 0, text: 'id' })], serviceAccount: 'support-agent' });
  client = new CollectorClient({
    fetch: (path, body) =>
      Promise.resolve(
        collector.fetch(
          new Request(`http://collector${path}`, {
            headers: { authorization: 'Bearer t' },
            ...(body === undefined ? {} : { method: 'POST', body }),
          }),
        ),
      ),
    trust: () => Promise.resolve(trust),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  return async () => {
    await collector.close();
    await directory[Symbol.asyncDispose]();
  };
});

const period = { from: 0, to: 4e12 };
const taken = async (from: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of from) chunks.push(chunk);
  return Buffer.concat(chunks);
};
async function* of(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
const exported = (): Promise<AsyncIterable<Uint8Array>> => client.evidence(period);

interface Said {
  readonly out: string;
  readonly err: string;
  readonly code: number;
}

async function report(
  kind: ReportKind,
  output: ReportQuery['output'],
  given: Partial<ReportQuery> = {},
  source?: AsyncIterable<Uint8Array>,
): Promise<Said> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const texts = Promise.all([readText(out), readText(err)]);
  const io: Io = { out, err, in: new PassThrough(), env: {}, now: () => 0, terminal: { in: false, out: false, err: false } };
  const believed = { ...trust, policy: await ownPolicy(client) };
  const code = await writeReport(source ?? (await exported()), believed, { kind, filter: {}, period, output, ...given }, io);
  out.end();
  err.end();
  const [said, beside] = await texts;
  return { out: said, err: beside, code };
}

interface Document {
  readonly count: number;
  readonly digest: string;
  readonly populationDigest?: string;
  readonly unread: number;
  readonly unknown: number;
  readonly supportsEvidenceFor: readonly string[];
  readonly checkpoint: { readonly size: number; readonly root: string };
  readonly rows: readonly Readonly<Record<string, string | number | null>>[];
}

async function json(kind: ReportKind, given: Partial<ReportQuery> = {}, source?: AsyncIterable<Uint8Array>): Promise<Document> {
  return JSON.parse((await report(kind, 'json', given, source)).out) as Document;
}

/** As RFC 4180 reads it. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain = '', end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end === '\r\n') rows.push([]);
  }
  expect(rows.pop()).toEqual([]);
  return rows;
}

describe('a population', () => {
  test('has every session of the time, the same digest at every reading of its checkpoint, and an export of the time gives the same', async () => {
    // That somebody reads it is an entry of its own.
    await json('population');
    const [first, again] = [await json('population'), await json('population')];
    expect(first).toEqual(again);
    expect(first.rows.map(({ session, verdict, agent }) => [session, verdict, agent])).toEqual([
      [whole, 'complete', 'infra-agent'],
      [endless, 'interrupted', 'infra-agent'],
      [other, 'complete', 'support-agent'],
    ]);
    expect(first.rows[0]).toMatchObject({ actions: 5, denied: 2, opened: 'yes', closed: 'yes', resource: 'ops/web-3' });
    const { digest, populationDigest } = await json('population', {}, await exported());
    expect([digest, populationDigest]).toEqual([first.digest, first.populationDigest]);
    expect(first.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(first.checkpoint.size).toBe(Number(first.rows.at(-1)?.['lastEntry']) + 2);
  });

  test('of one agent leaves the others out, and still proves how many there are', async () => {
    const all = await json('population');
    const one = await json('population', { filter: { agent: 'support-agent', namespace: 'agents' } });
    expect([one.rows.map(({ session }) => session), one.unknown, one.populationDigest]).toEqual([
      [other],
      0,
      all.populationDigest,
    ]);
    expect((await json('population', { filter: { namespace: 'elsewhere' } })).rows).toEqual([]);
  });
});

test.each<[ReportKind, object[]]>([
  [
    'access',
    [
      { verb: 'exec', rule: 'look', verdict: 'allow', effects: 3, policies: 'agents/infra-agent@3', agent: 'infra-agent' },
      { verb: 'exec', rule: 'never', verdict: 'deny', effects: 1, policyDigest: 'p', mode: 'Enforce' },
      { verb: 'exec', rule: 'restart', verdict: 'approve', effects: 2 },
    ],
  ],
  [
    'approvals',
    [
      { rule: 'restart', by: 'jane@corp', assurance: 'signed', via: 'page', reason: HOSTILE, ownRequest: 'no' },
      { by: 'jon@corp', decidedAt: '2026-01-01T12:00:09Z', assurance: 'kubernetes', via: null },
      { state: 'Denied', by: null, request: 'ar-aaaaaaaaaaaaaaaa', rule: 'restart' },
    ],
  ],
  [
    'denials',
    [
      { outcome: 'denied', code: 'RuleDenies', rule: 'never', action: 2, effects: `exec ${HOSTILE}` },
      { outcome: 'not approved', code: 'Denied', rule: 'restart', action: 3 },
    ],
  ],
  [
    'masking',
    [
      { label: 'pii.ssn', strategy: 'redact', column: '+ssn', answers: 1, values: 0 },
      { label: null, answers: 1, values: 2 },
    ],
  ],
  ['gaps', [{ kind: 'interrupted', agent: 'infra-agent' }]],
])('%s says what was recorded, in rows, to the letter in JSON', async (kind, expected) => {
  const found = await json(kind, { filter: { agent: 'infra-agent' } });
  expect(found.rows).toMatchObject(expected);
  expect(found.supportsEvidenceFor.join()).toMatch(/SOC 2 CC\d.*ISO 27001 A\.\d.*PCI DSS \d.*HIPAA 164\.\d/);
});

test('keys says who signed, since when, and which keys are believed', async () => {
  const { rows } = await json('keys');
  const kinds = rows.map(({ kind }) => kind);
  expect(kinds.slice(0, 2)).toEqual(['enrolment key that is believed', 'log key that is believed']);
  expect(kinds.filter((kind) => kind === 'pod key')).toHaveLength(3);
  expect(rows.find(({ kind }) => kind === 'epoch key')).toMatchObject({
    number: 1,
    since: expect.stringMatching(/^2/) as string,
  });
});

test('reads says who read evidence: of one session, and of a time', async () => {
  for await (const _ of client.records(whole));
  const { rows } = await json('reads');
  expect(rows).toContainEqual(
    expect.objectContaining({ by: 'local', way: 'replay', session: whole, agent: 'infra-agent', to: null }),
  );
  expect(rows[0]).toMatchObject({ by: 'local', way: 'export', session: null, from: '1970-01-01T00:00:00.000Z' });
  const entries = rows.map(({ entry }) => Number(entry));
  expect(entries).toEqual(entries.toSorted((a, b) => a - b));
  // Who took a time took the sessions of every agent.
  const several = rows.filter(({ session }) => session === null).length;
  const filtered = await json('reads', { filter: { agent: 'infra-agent' } });
  const sessions = filtered.rows.map(({ session }) => session);
  expect(sessions.filter((session) => session !== null)).toEqual([whole]);
  expect(sessions.filter((session) => session === null).length).toBeGreaterThanOrEqual(several);
  expect(filtered.unknown).toBe(0);
});

test('reads with a filter says how many sessions were read of which nothing says whose they are', async () => {
  await using directory = await temporaryDirectory();
  let now = 1_000;
  const later = await createCollector({
    directory: directory.path,
    trust,
    access: createTokenAccess('t'),
    logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    now: () => now,
  });
  const session = await recordSession({
    collector: later,
    origin: trust.origin,
    enrolment,
    steps: [asked({ action: 0, text: 'id' })],
  });
  const from = { headers: { authorization: 'Bearer t' } };
  const get = (path: string): Promise<Response> => Promise.resolve(later.fetch(new Request(`http://collector/v1/${path}`, from)));
  now = 50_000_000;
  await (await get(`sessions/${session}/records`)).text();
  const file = Buffer.from(await (await get('evidence?from=40000000&to=60000000')).arrayBuffer());
  const policy = parsePolicy(Buffer.from(`log ${await (await get('log/key')).text()}quorum none\n`));
  const found = await reportEvidence([file], { ...trust, policy }, 'reads', { agent: 'infra-agent' });
  expect([found.rows.length, found.unknown]).toEqual([0, 1]);
  await later.close();
});

test('CSV reads back as it was, and no cell of it is a formula or has lines', async () => {
  for (const kind of ['approvals', 'denials', 'masking'] as const) {
    const { out, err } = await report(kind, 'csv');
    const [head = [], ...rows] = parseCsv(out);
    const { rows: wanted } = await json(kind);
    expect(rows).toHaveLength(wanted.length);
    for (const row of rows) expect(row).toHaveLength(head.length);
    expect(rows.flat().filter((cell) => /^\s*[=+\-@|%]|\p{C}/u.test(cell))).toEqual([]);
    expect(err).toMatch(/supports evidence for: SOC 2/);
    expect(`${out}${err}`).not.toContain('complian');
  }
  const [, first = []] = parseCsv((await report('approvals', 'csv')).out);
  expect(first).toContain('\'=HYPERLINK("http://x","a")\\r\\n@SUM(1)\\u{0}\\u{1b}[2J\\u{202e}\\u{d800}');
});

test('a table ends with what it is of, its digests and what it supports evidence for', async () => {
  const { out } = await report('population', 'table');
  const { digest, populationDigest, checkpoint } = await json('population');
  expect(out).toMatch(/^SESSION +FIRST ENTRY +LAST ENTRY/);
  expect(out).toContain(`\npopulation: 3 rows, stored from 1970-01-01T00:00:00.000Z until before `);
  expect(out).toContain(`\ncheckpoint: size ${checkpoint.size}, root ${checkpoint.root}, `);
  expect(out).toContain(
    `\ndigest of these rows: ${digest}\ndigest of the population, of all sessions by the log alone: ${populationDigest}\n`,
  );
  expect(out).toMatch(/\nsupports evidence for: [^\n]+\n$/);
});

describe('nothing is reported', () => {
  test('of a file that is altered', async () => {
    const bytes = await taken(await exported());
    const at = bytes.indexOf('log/entries/');
    bytes.writeUInt8(bytes.readUInt8(at + 700) ^ 1, at + 700);
    await expect(report('population', 'csv', {}, of(bytes))).rejects.toMatchObject({ code: 'EvidenceAltered', exit: 3 });
  });

  test('of a file of one session', async () => {
    const single = await client.evidence({ session: whole });
    await expect(report('gaps', 'csv', {}, single)).rejects.toMatchObject({ code: 'Usage', exit: 2 });
  });
});

test('an altered session keeps its place in the population, and says so there and among the gaps', async () => {
  const bytes = await taken(await exported());
  const at = bytes.indexOf('CHEVSEG', bytes.indexOf(`segment/${whole}/0`));
  bytes.writeUInt8(bytes.readUInt8(at + 300) ^ 1, at + 300);
  const population = await json('population', {}, of(bytes));
  expect(population.rows.find(({ session }) => session === whole)).toMatchObject({ verdict: 'altered', actions: 5, agent: null });
  expect(population.populationDigest).toBe((await json('population')).populationDigest);
  const gaps = await json('gaps', {}, of(bytes));
  expect(gaps.rows.find(({ session }) => session === whole)).toMatchObject({
    kind: 'altered',
    detail: expect.stringMatching(/^segment 0: /) as string,
  });
});

test('a report over evidence that is altered, or that the log’s witnesses do not prove, does not end as one over sound evidence', async () => {
  expect(await report('population', 'csv')).toMatchObject({ code: 0, err: expect.not.stringContaining('altered:') as string });
  const bytes = await taken(await exported());
  const at = bytes.indexOf('CHEVSEG', bytes.indexOf(`segment/${whole}/0`));
  bytes.writeUInt8(bytes.readUInt8(at + 300) ^ 1, at + 300);
  for (const output of ['table', 'csv', 'json'] as const)
    for (const kind of ['population', 'denials'] as const)
      expect((await report(kind, output, { filter: { agent: 'support-agent' } }, of(bytes))).code).toBe(3);
  const { err } = await report('denials', 'csv', {}, of(bytes));
  expect(err).toContain('altered: the evidence of 1 session, of which rows end before that (EvidenceAltered)\n');
});

test('an erasure and a hold are told, and the digest of the population outlives them', async () => {
  const before = await json('population');
  await client.order(other, { kind: 'hold', reason: 'case 23' });
  await client.order(whole, { kind: 'erasure', reason: HOSTILE.slice(0, 30) });
  const after = await json('population');
  expect([after.populationDigest === before.populationDigest, after.digest === before.digest, after.unread]).toEqual([
    true,
    false,
    1,
  ]);
  expect(after.rows[0]).toMatchObject({ session: whole, agent: 'infra-agent', resource: null });
  expect((await json('denials')).rows).toEqual([]);
  const gaps = await json('gaps');
  expect(gaps.rows).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ kind: 'erased', session: whole, by: 'local', reason: HOSTILE.slice(0, 30).trim() }),
    ]),
  );
});

test('the command line knows the reports that there are', () => {
  expect([...KINDS]).toEqual(REPORT_KINDS);
});
