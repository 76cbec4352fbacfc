import { PassThrough } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import { type Collector, createCollector, createTokenAccess } from '@chaperone/collector';
import {
  contentRecords,
  generateSigner,
  MAX_OUTPUT_BYTES,
  type RecordBody,
  parsePolicy,
  RecordPage,
  verifyEvidence,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { CollectorClient } from '../collector/client.ts';
import type { Io } from '../io.ts';
import { asked, finished, recordSession, resized, type Step, wrote } from '../recorded.test-support.ts';
import { exportFile, exportSession, replaySession, showSession } from './sessions.ts';

const enrolment = generateSigner();
const trust = { origin: 'test/streams', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const HOSTILE = 'cat \u001b]52;c;aGk=\u0007\u202e/etc/x';
const digest = 'ab'.repeat(32);
const held: RecordBody = {
  type: 'approval',
  action: 2,
  request: 'ar-7f3kq2mzt4hcnw5e',
  digest: '',
  state: 'Released',
  waitedMs: 38_000,
  decisions: [{ by: 'jane@corp', decision: 'Approve', at: '2026-01-01T12:00:00Z', assurance: 'signed' }],
};
const file: RecordBody = {
  type: 'file',
  action: 3,
  operation: 'write',
  path: '/srv/\u202eapp.conf',
  bytes: 3,
  digest,
  outcome: 'ok',
};
const EURO = Buffer.from('€');
const STEPS: Step[] = [
  asked({ action: 0, text: 'uname -a' }),
  ...wrote(0, 'stdout', 'Linux web-3\n', 100),
  ...wrote(0, 'stderr', Buffer.from([0xff, 0x0a]), 50),
  finished(0, 'exit 0', { bytes: 14 }),
  asked({ action: 1, text: 'rm -rf /', verdict: 'deny' }),
  asked({ action: 2, text: 'systemctl restart nginx', verdict: 'approve' }),
  { after: 38_000, body: held },
  resized(2, 100, 30),
  ...wrote(2, 'terminal', Buffer.concat([Buffer.from('\u001b[1mprice: '), EURO.subarray(0, 1)]), 10),
  ...wrote(2, 'terminal', EURO.subarray(1), 250),
  ...wrote(2, 'stdin', 'q', 1_000),
  resized(2, 0, 4_000_000_000, 500),
  finished(2, 'signal TERM', { bytes: 4_000_000, truncated: true }),
  asked({ action: 3, text: HOSTILE }),
  { after: 5, body: file },
  { after: 1, body: { type: 'line', action: 2, text: '$ \u202els' } },
  ...contentRecords({ action: 3, file: 0, offset: 0, bytes: 8 }, Buffer.from('\u001b]0;x\u0007y')).map((body) => ({
    after: 1,
    body,
  })),
  { after: 1, body: { ...file, path: '/srv/kept', file: 0, truncated: true } },
  ...wrote(3, 'stdout', '\u009d8;;http://x\u009c', 5),
  finished(3, 'exit 3', { bytes: 9 }),
];

let client: CollectorClient;
let collector: Collector;
let name: string;
let silentOne: string;
beforeAll(async () => {
  const directory = await temporaryDirectory();
  const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
  collector = await createCollector({ directory: directory.path, trust, access: createTokenAccess('t'), logger });
  name = await recordSession({ collector, origin: trust.origin, enrolment, steps: STEPS });
  silentOne = await recordSession({ collector, origin: trust.origin, enrolment, steps: [asked({ action: 0, text: 'true' })] });
  client = new CollectorClient({
    fetch: (path) =>
      Promise.resolve(collector.fetch(new Request(`http://collector${path}`, { headers: { authorization: 'Bearer t' } }))),
    trust: () => Promise.resolve(trust),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  return async () => {
    await collector.close();
    await directory[Symbol.asyncDispose]();
  };
});

/** What a command writes to standard output. */
async function said(run: (io: Io) => Promise<void>, isTerminal = false): Promise<string> {
  const out = new PassThrough();
  const whole = readText(out);
  const terminal = { in: false, out: isTerminal, err: false };
  await run({ out, err: new PassThrough(), in: new PassThrough(), env: {}, now: Date.now, terminal });
  out.end();
  return whole;
}
const paint = (_: unknown, word: string): string => word;
const UNSEEN = /[^\P{C}\n]|[\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;

describe('what was kept of a file', () => {
  test('is written as it is, and to a terminal as text in which nothing acts', async () => {
    expect(await said((io) => exportFile(client, name, 18, io))).toBe('\u001b]0;x\u0007y');
    expect(await said((io) => exportFile(client, name, 18, io), true)).toBe('\\u{1b}]0;x\\u{7}y\n');
  });

  test.each([15, 1, 999])('is not there where none was: record %i', async (seq) => {
    await expect(said((io) => exportFile(client, name, seq, io))).rejects.toMatchObject({ code: 'NotFound' });
  });
});

describe('a session of programs', () => {
  test('was recorded as evidence that verifies from its first record to its last', async () => {
    const policy = parsePolicy(Buffer.from(`log ${await client.logKey()}quorum none\n`));
    expect(await verifyEvidence(await client.sessionEvidence(name), { ...trust, policy })).toMatchObject({
      verdict: 'sound',
      sessions: [{ verdict: 'complete', contents: 'verified', records: STEPS.length + 2 }],
    });
  });

  test('is shown with what ran, who approved it, how it ended, and the files', async () => {
    const out = await said((io) => showSession(client, name, { output: 'table', paint, again: String }, io));
    const rows = out.split('\n').map((line) => line.trimEnd().split(/ {2,}/));
    expect(rows).toContainEqual(['0', 'allow', 'exit 0', '14', '-', 'uname -a']);
    expect(rows).toContainEqual(['1', 'deny', 'RuleDenies', '-', '-', 'rm -rf /']);
    expect(rows).toContainEqual([
      '2',
      'approved',
      'signal TERM',
      '4000000, not all recorded',
      'approve by jane@corp, signed',
      'systemctl restart nginx',
    ]);
    expect(rows).toContainEqual(['3', 'allow', 'exit 3', '9', '-', 'cat \\u{1b}]52;c;aGk=\\u{7}\\u{202e}/etc/x']);
    expect(rows).toContainEqual(['15', 'write', '3', digest, 'ok', '/srv/\\u{202e}app.conf']);
    expect(out).toContain('ENTERED (best effort: as the screen showed it)');
    expect(rows).toContainEqual(['2', '$ \\u{202e}ls']);
    expect(out).toContain('Approvals: 1 asked for: 1 approved; approve by jane@corp, signed\n');
    expect(out).not.toMatch(UNSEEN);
  });

  test('is shown to programs with all of it', async () => {
    const out = await said((io) => showSession(client, name, { output: 'json', paint, again: String }, io));
    expect(out).not.toMatch(UNSEEN);
    const { commands } = JSON.parse(out) as { commands: object[] };
    expect(commands).toMatchObject([
      { seq: 1, action: 0, text: 'uname -a', length: 8, verdict: 'allow', rule: 'look', ended: 'exit 0', bytes: 14, files: [] },
      { verdict: 'deny', code: 'RuleDenies', reason: 'rule "never" denies rm', files: [] },
      {
        state: 'Released',
        decided: ['approve by jane@corp, signed'],
        ended: 'signal TERM',
        truncated: true,
        lines: [{ seq: 16, text: '$ \u202els' }],
      },
      {
        text: HOSTILE,
        files: [
          { operation: 'write', path: '/srv/\u202eapp.conf', bytes: 3, digest, outcome: 'ok' },
          { path: '/srv/kept', file: 0, truncated: true },
        ],
      },
    ]);
  });

  test('is told with what went by, a cut character whole, and nothing that a terminal obeys', async () => {
    const out = await said((io) => replaySession(client, name, { all: false, output: 'table' }, io));
    expect(out).toContain('out    Linux web-3\\n\n');
    expect(out).toContain('err    \ufffd\\n\n');
    expect(out).toContain('screen \\u{1b}[1mprice: \n');
    expect(out).toContain('screen €\n');
    expect(out).toContain('in     q\n');
    expect(out).toContain('size   100 columns, 30 rows\n');
    expect(out).toContain(`file   write /srv/\\u{202e}app.conf, 3 bytes, sha256 ${digest}: ok\n`);
    expect(out).toContain('done   signal TERM, 4000000 bytes (not all recorded), 12.0 ms\n');
    expect(out).not.toMatch(UNSEEN);
  });
});

/** A reader of asciicast version 3 that takes nothing which its description does not have. */
function parseCast(cast: string): { header: Record<string, unknown>; events: [at: number, code: string, data: string][] } {
  expect(cast.endsWith('\n')).toBe(true);
  const [first = '', ...lines] = cast.trimEnd().split('\n');
  const header = JSON.parse(first) as { version: number; term: { cols: number; rows: number } };
  expect(header.version).toBe(3);
  for (const cells of [header.term.cols, header.term.rows])
    expect(cells > 0 && cells <= 65_535 && Number.isInteger(cells)).toBe(true);
  let at = 0;
  return {
    header,
    events: lines.map((line, index) => {
      const event = JSON.parse(line) as [number, string, string];
      expect(event).toEqual([expect.any(Number), expect.stringMatching(/^[oirmx]$/), expect.any(String)]);
      const [interval, code, data] = event;
      expect(interval).toBeGreaterThanOrEqual(0);
      if (code === 'r') expect(data).toMatch(/^[1-9]\d{0,4}x[1-9]\d{0,4}$/);
      if (code === 'x') expect([index, data]).toEqual([lines.length - 1, expect.stringMatching(/^\d+$/)]);
      at = Math.round((at + interval) * 1e6) / 1e6;
      return [at, code, data];
    }),
  };
}

describe('an export as asciicast', () => {
  test('of one command has its size, what was shown and told, at its times', async () => {
    const out = await said((io) => exportSession(client, name, 2, io));
    const { header, events } = parseCast(out);
    expect(header).toMatchObject({ term: { cols: 100, rows: 30 }, timestamp: expect.any(Number) as number });
    expect(events).toEqual([
      [0, 'm', 'systemctl restart nginx'],
      [38.01, 'o', '\u001b[1mprice: '],
      [38.26, 'o', '€'],
      [39.26, 'i', 'q'],
      [39.76, 'r', '80x65535'],
      [39.78, 'm', 'signal TERM'],
    ]);
    expect(out).not.toMatch(UNSEEN);
  });

  test('of the whole session has every command as a marker and one exit at the end', async () => {
    const { events } = parseCast(await said((io) => exportSession(client, name, undefined, io)));
    expect(events.filter(([, code]) => code === 'm').map(([, , data]) => data)).toEqual([
      'uname -a',
      'exit 0',
      'denied: rm -rf /',
      'systemctl restart nginx',
      'signal TERM',
      HOSTILE,
    ]);
    expect(events.slice(0, 3)).toEqual([
      [0, 'm', 'uname -a'],
      [0.1, 'o', 'Linux web-3\r\n'],
      [0.15, 'o', '\ufffd\r\n'],
    ]);
    expect(events.at(-1)?.slice(1)).toEqual(['x', '3']);
  });

  test.each([
    ['a session that showed nothing', () => silentOne, undefined],
    ['an action that was denied', () => name, 1],
    ['an action that is none', () => name, 99],
  ])('of %s is refused', async (_, which, action) => {
    await expect(said((io) => exportSession(client, which(), action, io))).rejects.toMatchObject({ code: 'NotFound' });
  });
});

const page = async (of: string, query: string, token = 't'): Promise<Response> =>
  collector.fetch(
    new Request(`http://collector/v1/sessions/${of}/stream?${query}`, { headers: { authorization: `Bearer ${token}` } }),
  );
const noise = (action: number): Step[] => wrote(action, 'stdout', Buffer.alloc(MAX_OUTPUT_BYTES, 'noise '), 1);

describe('the stream of an action', () => {
  test('holds its output, sizes and end, and nothing of another action', async () => {
    const { items, next } = RecordPage.parse(await (await page(name, 'action=2')).json());
    expect(items.map((record) => [record.type, 'action' in record && record.action])).toEqual(
      ['resize', 'output', 'output', 'output', 'resize', 'done'].map((type) => [type, 2]),
    );
    expect(next).toBeUndefined();
    expect(RecordPage.parse(await (await page(name, 'action=1')).json()).items).toEqual([]);
  });

  test('comes in pages of bounded size, each of which says where the next begins, also past what others wrote', async () => {
    const steps = [
      asked({ action: 0, text: 'yes' }),
      asked({ action: 1, text: 'yes yes' }),
      ...Array.from({ length: 60 }, () => noise(1)).flat(),
      ...Array.from({ length: 60 }, () => noise(0)).flat(),
      finished(0, 'exit 0'),
      ...noise(1),
    ];
    const long = await recordSession({ collector, origin: trust.origin, enrolment, steps });
    const sizes: number[] = [];
    let count = 0;
    for (let from: number | undefined = 0; from !== undefined; ) {
      const text = await (await page(long, `action=0&from=${from}`)).text();
      const { items, next } = RecordPage.parse(JSON.parse(text));
      sizes.push(text.length);
      count += items.length;
      from = next;
    }
    expect(count).toBe(61);
    expect(sizes.length).toBeGreaterThan(4);
    expect(Math.max(...sizes)).toBeLessThan(2.5e6);
    expect(Math.min(...sizes)).toBeLessThan(100);
  });

  test.each([
    ['without an action', '', 't', 400],
    ['of an action that is no number', 'action=-1', 't', 400],
    ['with a question that it does not know', 'action=0&limit=5', 't', 400],
    ['by somebody who is not signed in', 'action=0', 'x', 401],
  ])('%s is refused', async (_, query, token, status) => {
    expect((await page(name, query, token)).status).toBe(status);
  });
});
