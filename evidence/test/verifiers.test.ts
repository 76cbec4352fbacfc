import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, expect, test } from 'vitest';
import {
  type FileVerdict,
  MAX_CHUNK,
  MAX_COUNTERS,
  MAX_HEADER_BYTES,
  MAX_NOTE_BYTES,
  MAX_PLAIN_BYTES,
  MAX_RANGE,
  MAX_READINGS,
  MAX_SEGMENT_BYTES,
  mostOf,
  parsePolicy,
  verifyEvidence,
} from '../src/index.ts';
import { FLIPS, TABLE } from './corpus.ts';
import { a as A, type Case, type Expected } from './files.ts';
import { POLICY, TRUST } from './world.ts';

const VERIFIER = join(import.meta.dirname, '../verifier/verify.mjs');
type Said = Pick<FileVerdict, 'verdict' | 'log' | 'counters' | 'readings' | 'sessions'> & {
  readonly break?: { readonly member?: string; readonly code: string };
  readonly exit?: number;
};

const policy = parsePolicy(Buffer.from(POLICY));
const ours = (each: Case): Promise<FileVerdict> =>
  verifyEvidence([each.bytes], { ...TRUST, policy, ...(each.since === undefined ? {} : { since: each.since }) });

/** What the verifier in one file says, of many files in one process. */
let theirs: ReadonlyMap<Case, Said & { readonly exit: number }>;
beforeAll(async () => {
  await using directory = await temporaryDirectory();
  const path = (name: string): string => join(directory.path, name);
  writeFileSync(path('trust.json'), JSON.stringify(TRUST));
  writeFileSync(path('trust.policy'), POLICY);
  const all = [...TABLE, ...FLIPS];
  const bySince = Map.groupBy(all, ({ since }) => since?.toString() ?? '');
  const found = new Map<Case, Said & { readonly exit: number }>();
  for (const [since, list] of bySince) {
    mkdirSync(path('files'), { recursive: true });
    const files = list.map((each, at) => {
      writeFileSync(path(`files/${at}`), each.bytes);
      return path(`files/${at}`);
    });
    writeFileSync(path('since'), since);
    const out = run([
      ...files,
      '--policy',
      path('trust.policy'),
      '--trust',
      path('trust.json'),
      ...(since === '' ? [] : ['--since', path('since')]),
    ]);
    for (const [at, line] of out.trimEnd().split('\n').entries()) {
      const each = list[at];
      if (each !== undefined) found.set(each, JSON.parse(line) as Said & { readonly exit: number });
    }
  }
  theirs = found;
});

function run(args: readonly string[]): string {
  try {
    return execFileSync(process.execPath, [VERIFIER, ...args], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: 'pipe' });
  } catch (error) {
    // Whatever it found, it says.
    const { stdout, stderr, status } = error as { stdout: string; stderr: string; status: number };
    expect([stderr, [3, 8, 9].includes(status)]).toEqual(['', true]);
    return stdout;
  }
}

/** What has to be the same: words, numbers and codes, not sentences. */
function core({ verdict, break: found, log, counters, readings, sessions }: Said): unknown {
  return {
    verdict,
    ...(found === undefined ? {} : { member: found.member, code: found.code }),
    ...(log === undefined ? {} : { log }),
    ...(counters === undefined ? {} : { counters }),
    ...(readings === undefined ? {} : { readings }),
    sessions: sessions.map(({ session, verdict: word, segments, records, contents, agent, logged, erasure, break: at }) => ({
      session,
      word,
      segments,
      records,
      contents,
      agent,
      logged,
      erasure,
      ...(at === undefined ? {} : { segment: at.segment, record: at.record, code: at.code }),
    })),
  };
}

test('both verifiers have the same bounds', () => {
  const text = readFileSync(VERIFIER, 'utf8');
  const found = [...text.matchAll(/^const \[(MAX_[^\]]+)\] = \[([^\]]+)\];$/gm)].flatMap(([, names = '', values = '']) =>
    names.split(', ').map((name, at) => [name, Number(values.split(', ')[at])] as const),
  );
  expect(Object.fromEntries(found)).toEqual({
    MAX_SEGMENT: MAX_SEGMENT_BYTES,
    MAX_PLAIN: MAX_PLAIN_BYTES,
    MAX_TEXT: MAX_HEADER_BYTES,
    MAX_NOTE: MAX_NOTE_BYTES,
    MAX_PROOF: mostOf('log/range'),
    MAX_RANGE,
    MAX_CHUNK,
    MAX_COUNTERS,
    MAX_READINGS,
  });
});

test('names of cases say which is meant', () => {
  expect(new Set(TABLE.map(({ name }) => name)).size).toBe(TABLE.length);
});

test.each(TABLE.map((each) => [each.name, each] as const))('%s: both verifiers say what the table says', async (_, each) => {
  const said = await ours(each);
  const other = theirs.get(each);
  expect(core(other ?? { verdict: 'sound', sessions: [] })).toEqual(core(said));
  expect(other?.exit).toBe(each.expected.exit);
  expect(asExpected(said, each.expected)).toEqual(each.expected);
});

/** What was said of that of which something is expected. */
function asExpected(said: FileVerdict, { exit, a, since }: Expected): Expected {
  const file = said.break?.code ?? (said.verdict === 'empty' ? 'empty' : undefined);
  return {
    exit,
    ...(file === undefined ? {} : { file }),
    ...(a === undefined ? {} : { a: ofA(said, a.length) }),
    ...(since === undefined ? {} : { since: said.log?.since?.verdict ?? '' }),
  };
}

function ofA({ sessions }: FileVerdict, words: number): NonNullable<Expected['a']> {
  const found = sessions.find(({ session }) => session === A.session);
  const { segment, code } = found?.break ?? {};
  return [found?.verdict ?? '', segment, code].slice(0, words) as unknown as NonNullable<Expected['a']>;
}

test('no bit of a file can be changed unnoticed, and both verifiers say the same of each', async () => {
  for (const each of FLIPS) {
    const other = theirs.get(each);
    expect(core(other ?? { verdict: 'sound', sessions: [] }), each.name).toEqual(core(await ours(each)));
    expect(other?.exit, each.name).not.toBe(0);
  }
});
