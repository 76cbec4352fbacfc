import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, expect, test } from 'vitest';
import {
  type FileVerdict,
  formatVerifierKey,
  MAX_CHUNK,
  MAX_COUNTERS,
  MAX_HEADER_BYTES,
  MAX_NOTE_BYTES,
  MAX_PLAIN_BYTES,
  MAX_RANGE,
  MAX_READINGS,
  MAX_SEGMENT_BYTES,
  members,
  mostOf,
  noteSigner,
  parsePolicy,
  verifyEvidence,
} from '../src/index.ts';
import { entriesOf, own } from './broken-log.ts';
import { FLIPS, TABLE } from './corpus.ts';
import { a as A, type Case, type Expected, sessionFile, size, tree, written } from './files.ts';
import { POLICIES } from './policies.ts';
import { aSigner, anErasure, ORIGIN, POLICY, stranger, TRUST } from './world.ts';

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

test('a policy is read by both as the table says, or by neither', async () => {
  await using directory = await temporaryDirectory();
  const [file, trust, policyFile] = ['session.evidence', 'trust.json', 'trust.policy'].map((name) => join(directory.path, name));
  const bytes = written(sessionFile);
  writeFileSync(file ?? '', bytes);
  writeFileSync(trust ?? '', JSON.stringify(TRUST));
  const args = [VERIFIER, file ?? '', '--policy', policyFile ?? '', '--trust', trust ?? ''];
  for (const [name, text, quorum] of POLICIES) {
    writeFileSync(policyFile ?? '', text);
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const their = stdout === '' ? undefined : (JSON.parse(stdout) as Said).log?.quorum;
    expect([their, stderr.includes('(MalformedPolicy)')], name).toEqual([quorum, quorum === undefined]);
    expect(await quorumOf(bytes, text), name).toBe(quorum);
  }
});

async function quorumOf(bytes: Buffer, text: string): Promise<'met' | 'missing' | undefined> {
  try {
    return (await verifyEvidence([bytes], { ...TRUST, policy: parsePolicy(Buffer.from(text)) })).log?.quorum;
  } catch (error) {
    expect(error).toMatchObject({ code: 'MalformedPolicy' });
    return undefined;
  }
}

test('what another log of the policy signed is nothing of this one, to both', async () => {
  await using directory = await temporaryDirectory();
  const path = (name: string): string => join(directory.path, name);
  const key = aSigner();
  const other = noteSigner('elsewhere', key);
  const note = tree.checkpoint(size, { by: [other], origin: 'elsewhere' });
  const text = `log ${formatVerifierKey(other.key)}\n${POLICY}`;
  writeFileSync(path('policy'), text);
  writeFileSync(path('trust'), JSON.stringify(TRUST));
  for (const [list, word] of [
    [[members.head(ORIGIN), members.checkpoint(note)], 'OriginMismatch'],
    [own([...entriesOf(A), anErasure(A.session, key).leaf], []), 'not exported'],
  ] as const) {
    const bytes = written(list);
    writeFileSync(path('file'), bytes);
    const out = JSON.parse(run([path('file'), '--policy', path('policy'), '--trust', path('trust')])) as Said;
    const said = await verifyEvidence([bytes], { ...TRUST, policy: parsePolicy(Buffer.from(text)) });
    for (const { break: found, sessions } of [out, said]) expect(found?.code ?? sessions[0]?.verdict).toBe(word);
  }
});

test('what was called wrongly ends with 2, and a kept checkpoint that nobody believes with 3', async () => {
  await using directory = await temporaryDirectory();
  const path = (name: string): string => join(directory.path, name);
  for (const [name, bytes] of [
    ['file', written(sessionFile)],
    ['policy', POLICY],
    ['trust', JSON.stringify(TRUST)],
  ] as const)
    writeFileSync(path(name), bytes);
  const ends = (...args: readonly string[]): number | null => spawnSync(process.execPath, [VERIFIER, ...args]).status;
  const [policyFile, trust] = [['--policy', path('policy')] as const, ['--trust', path('trust')] as const];
  expect(ends(path('file'), ...policyFile, ...trust)).toBe(0);
  for (const args of [
    [...policyFile, ...trust],
    [path('file'), ...policyFile],
    [path('file'), ...trust],
    [path('file'), ...policyFile, ...trust, '--unknown'],
    [path('nothing'), ...policyFile, ...trust],
  ])
    expect(ends(...args), args.join(' ')).toBe(2);
  for (const since of ['no checkpoint', tree.checkpoint(size, { by: [stranger] }), Buffer.alloc(MAX_NOTE_BYTES + 1, 'x')]) {
    writeFileSync(path('since'), since);
    expect(ends(path('file'), ...policyFile, ...trust, '--since', path('since'))).toBe(3);
  }
});
