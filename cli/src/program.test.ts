import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CODES } from '@chaperone/api';
import { expect, test } from 'vitest';
import { EXIT } from './errors.ts';
import { run } from './program.test-support.ts';

const BIN = join(import.meta.dirname, '../bin/chaperone');
const GOLDEN = join(import.meta.dirname, 'testdata/help.txt');
const PAGES = [
  '',
  'up',
  'sessions',
  'sessions ls',
  'sessions show',
  'sessions replay',
  'explain',
  'policy',
  'policy check',
  'verify',
  'version',
];
const HEAVY = ['sidecar/src', 'collector/src', '@kubernetes', 'libpg', 'zod', 'yaml', 'hono', 'kysely'];

test('every help page is as testdata/help.txt has it, and begins with examples', async () => {
  const pages = await Promise.all(
    PAGES.map(async (page) => {
      const { code, out, err } = await run([...page.split(' ').filter(Boolean), '--help']);
      expect([code, err]).toEqual([0, '']);
      if (page !== 'version') expect(out).toMatch(/^Examples:\n {2}\S/);
      return `$ chaperone ${page} --help\n${out}`;
    }),
  );
  const text = pages.join('\n');
  if (process.env['UPDATE_GOLDEN'] !== undefined) await writeFile(GOLDEN, text);
  expect(text).toBe(await readFile(GOLDEN, 'utf8'));
});

test.each<[string, number, RegExp]>([
  ['sesions', 2, /^error: unknown verb "sesions"; did you mean "sessions"\? \(Usage\)\n/],
  ['sessions lst', 2, /unknown verb "lst"; did you mean "ls"\? \(Usage\)/],
  ['sessions ls --resourc x', 2, /unknown option "--resourc"; did you mean "--resource"\? \(Usage\)/],
  ['up --manifests x', 2, /required option "--agent <NAMESPACE\/SERVICEACCOUNT>" not specified/],
  ['verify', 2, /name a session, or a file with --file/],
  ['verify --file x', 2, /--file needs --trust/],
  ['verify x', 2, /"x" is not the name of a session/],
  ['verify s-7hq2 more', 2, /too many arguments/],
  ['sessions ls --limit many', 2, /--limit is written as a number from 0 to 1000; "many" is not/],
  ['sessions ls --since yesterday', 2, /--since is written like 45s, 10m, 2h or 7d/],
  ['sessions ls --data /nonexistent', 7, /no chaperone up has run with --data \/nonexistent \(CollectorUnreachable\)/],
  ['sessions ls --as-uid 7 --kubeconfig /nonexistent', 2, /kubeconfig \/nonexistent does not exist \(NoContext\)/],
  ['sessions ls --as-uid 7', 2, /has no current context \(NoContext\)/],
  ['explain NoRuleAlows', 5, /there is no code NoRuleAlows; did you mean "NoRuleAllows"\? \(NotFound\)/],
  ['explain constructor', 5, /there is no code constructor \(NotFound\)/],
  ['policy', 2, /^Examples:/],
  ['', 2, /^Examples:/],
])('%j ends with %i and a sentence on standard error', async (line, code, text) => {
  const ended = await run(line.split(' ').filter(Boolean));
  expect(ended).toMatchObject({ code, out: '' });
  expect(ended.err).toMatch(text);
});

test('an error is an object where JSON was asked for, also where the command line is wrong', async () => {
  for (const flags of [['-o', 'json'], ['-ojson'], ['--output=json'], ['--output', 'json']]) {
    const { code, err } = await run(['sessions', 'ls', '--no-such-flag', ...flags]);
    expect(code).toBe(2);
    expect(Object.keys((JSON.parse(err) as { error: object }).error)).toEqual(['code', 'message', 'why', 'fix', 'docs', 'retry']);
  }
});

test('explain knows every code, in any case, and the exit codes', async () => {
  const { out } = await run(['explain']);
  expect(out.trimEnd().split('\n')).toEqual(Object.keys(CODES));
  const script = Object.keys(CODES).map((code) => `"$0" "$1" explain ${code.toLowerCase()} || exit 1`);
  // Every twelfth: a process for each code would take long.
  const some = script.filter((_, at) => at % 12 === 0).join('\n');
  const pages = await run(['-c', some, process.execPath, join(import.meta.dirname, 'main.ts')], { command: ['bash'] });
  expect([pages.code, pages.err]).toEqual([0, '']);
  for (const part of ['what', 'why', 'fix', 'retry', 'example'])
    expect(pages.out.match(new RegExp(`^ {2}${part} +\\S`, 'gm'))).toHaveLength(Math.ceil(Object.keys(CODES).length / 12));
  const exits = (await run(['explain', 'ExitCodes'])).out;
  for (const code of Object.values(EXIT)) expect(exits).toMatch(new RegExp(`^ *${code} {2}\\S`, 'm'));
});

test.each(['--help', 'explain Usage', 'version', 'up --help'])(
  '%s loads neither sidecar, collector nor client of a cluster',
  async (line) => {
    const traced = await run(line.split(' '), {
      command: [
        'bash',
        '-c',
        'exec "$0" --import "$1" "$2" "${@:3}"',
        process.execPath,
        LISTER,
        join(import.meta.dirname, 'main.ts'),
      ],
    });
    expect(traced.code).toBe(0);
    expect(traced.err).toContain('cli/src/program.ts');
    for (const part of HEAVY) expect(traced.err).not.toContain(part);
  },
);

/** Prints the address of every module that is loaded. */
const LISTER = `data:text/javascript,${encodeURIComponent(
  "import { registerHooks } from 'node:module'; registerHooks({ load(url, context, next) { process.stderr.write(url + '\\n'); return next(url, context); } });",
)}`;

test('bin/chaperone runs from anywhere, through links, and under kubectl’s name says so', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-bin-'));
  for (const [name, usage] of [
    ['chaperone', 'Usage: chaperone [options]'],
    ['kubectl-chaperone', 'Usage: kubectl chaperone [options]'],
  ] as const) {
    await symlink(BIN, join(folder, name));
    await symlink(name, join(folder, `link-${name}`));
    const { code, out } = await run(['--help'], { command: [join(folder, name)] });
    expect([code, out]).toEqual([0, expect.stringContaining(usage)]);
    expect((await run(['version'], { command: [join(folder, `link-${name}`)] })).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  }
  await rm(folder, { recursive: true });
  expect(existsSync(join(import.meta.dirname, '../../node_modules/.bin/kubectl-chaperone'))).toBe(true);
});
