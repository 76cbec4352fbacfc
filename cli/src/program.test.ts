import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CODES, RETRY_ADVICE } from '@chaperone/api';
import { expect, onTestFinished, test } from 'vitest';
import { EXIT } from './errors.ts';
import { MAIN, run } from './program.test-support.ts';

const BIN = join(import.meta.dirname, '../bin/chaperone');
const GOLDEN = join(import.meta.dirname, 'testdata/help.txt');
const PAGES = [
  '',
  'up',
  'sessions',
  'sessions ls',
  'sessions show',
  'sessions replay',
  'console',
  'explain',
  'requests',
  'requests ls',
  'requests show',
  'requests verify',
  'approve',
  'deny',
  'policy',
  'policy check',
  'policy diff',
  'policy suggest',
  'export',
  'verify',
  'report',
  'log reindex',
  'witness',
  'witness key',
  'witness run',
  'erase',
  'hold',
  'hold add',
  'hold release',
  'backup',
  'backup key',
  'identity',
  'restore',
  'version',
];
const HEAVY = ['sidecar/src', 'collector/src', '@kubernetes', 'libpg', 'zod', 'yaml', 'hono', 'kysely'];

test('every help page is as testdata/help.txt has it, begins with two examples and ends with where to read more', async () => {
  const pages = await Promise.all(
    PAGES.map(async (page) => {
      const { code, out, err } = await run([...page.split(' ').filter(Boolean), '--help']);
      expect([code, err]).toEqual([0, '']);
      expect(out).toMatch(/^Examples:\n {2}\S.*\n {2}\S.*\n\nUsage: /);
      const heading = page === '' ? '' : `#${page.replaceAll(' ', '-')}`;
      expect(out.endsWith(`\n\nMore: docs/reference/cli.md${heading}\n`), page).toBe(true);
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
  ['verify', 2, /name a session, or a file that chaperone export wrote/],
  ['verify x', 2, /x needs --policy and --trust: what is in the evidence cannot vouch for itself/],
  ['verify s-7hq2 --since /dev/null', 2, /--since is for files/],
  ['export', 2, /write --session ID, or --from TIME and perhaps --to TIME/],
  ['export --session s-7hq2 --from 2026-11-01', 2, /write --session ID, or --from TIME/],
  ['export --session s-7hq2 --to 2026-11-01', 2, /--to ends what --from begins/],
  ['export --session s-7hq2 -o json', 2, /-o names a file here; .* write --output json/],
  ['export --session s-7hq2 --since /dev/null', 2, /\/dev\/null is not a checkpoint/],
  ['export --session x', 2, /"x" is not the name of a session/],
  ['backup --recipient x', 2, /write --to FILE, or --to DIR/],
  ['backup --to x', 2, /write --recipient KEY; chaperone backup key --key FILE --new makes one/],
  ['backup key', 2, /required option "--key <FILE>" not specified/],
  ['restore --from x', 2, /required option "--key <FILE>" not specified/],
  ['restore --from x --key /dev/null', 2, /\/dev\/null is not the key of backups/],
  ['restore --from x --key y --since z --without-checkpoint', 2, /--since gives a checkpoint, and/],
  ['report', 2, /missing required argument "REPORT"/],
  ['report all', 2, /"all" is invalid .* Allowed choices are population, access, approvals/],
  ['report gaps', 2, /write --from TIME and perhaps --to TIME, or name an evidence file/],
  ['report gaps --from 2026-11-02 --to 2026-11-01', 2, /--from is not before --to/],
  ['report gaps --from 9999-01-01', 2, /--from is later than now/],
  [
    'report gaps --from 2026-11-01 --agent agents/bot',
    2,
    /--agent is the name of a pod or ServiceAccount; its namespace is for --namespace/,
  ],
  ['report gaps x', 2, /x needs --policy and --trust/],
  ['report gaps x --from 2026-11-01', 2, /a file is of one period/],
  ['verify s-7hq2 more', 2, /too many arguments/],
  ['sessions ls --limit many', 2, /--limit is written as a number from 0 to 1000000; "many" is not/],
  ['sessions ls --since yesterday', 2, /--since is written like 45s, 10m, 2h or 7d/],
  ['sessions ls --data /nonexistent', 7, /no chaperone up has run with --data \/nonexistent \(CollectorUnreachable\)/],
  ['sessions ls --as-uid 7 --kubeconfig /nonexistent', 2, /kubeconfig \/nonexistent does not exist \(NoContext\)/],
  ['sessions ls --as-uid 7', 2, /has no current context \(NoContext\)/],
  ['sessions ls -o csv', 2, /sessions ls has no output "csv"; it has table, wide, json, jsonl, yaml, name \(Usage\)/],
  ['sessions show s-7hq2 -o name', 2, /sessions show has no output "name"; it has table, json, yaml \(Usage\)/],
  ['sessions replay s-7hq2 -o wide', 2, /sessions replay has no output "wide"; it has table, json, jsonl, yaml \(Usage\)/],
  ['verify s-7hq2 --output=name', 2, /verify has no output "name"; it has table, json, jsonl, yaml \(Usage\)/],
  ['aprove ar-7f3k', 2, /unknown verb "aprove"; did you mean "approve"\? \(Usage\)/],
  ['approve', 2, /missing required argument "NAME"/],
  [
    'requests ls --data /nonexistent',
    7,
    /no chaperone up runs with --data \/nonexistent, and requests end with it \(CollectorUnreachable\)/,
  ],
  ['requests ls -n agents', 2, /has no current context \(NoContext\)/],
  ['deny ar-7f3k -o name', 2, /deny has no output "name"; it has text, json, yaml \(Usage\)/],
  ['version --color red', 2, /"red" is invalid\. Allowed choices are auto, always, never \(Usage\)/],
  ['explain NoRuleAlows', 5, /there is no code NoRuleAlows; did you mean "NoRuleAllows"\? \(NotFound\)/],
  ['explain constructor', 5, /there is no code constructor \(NotFound\)/],
  ['policy', 2, /^Examples:/],
  ['policy suggest', 2, /required option "--agent <NAMESPACE\/SERVICEACCOUNT>" not specified/],
  ['policy suggest --agent a/b --name A', 2, /--name is written in lower-case letters, digits and -/],
  ['policy suggest --agent a/b --evidence x --data y', 2, /--evidence is a file, and --data and --collector name a collector/],
  ['policy suggest --agent a/b --evidence /nonexistent', 5, /\/nonexistent cannot be read \(NotFound\)/],
  ['policy diff a', 2, /missing required argument "NEW"/],
  ['policy diff a b --since x', 2, /--since is written like 45s, 10m, 2h or 7d/],
  ['policy diff a b --data /nonexistent', 2, /no chaperone up has run with --data \/nonexistent \(CollectorUnreachable\)/],
  ['', 2, /^Examples:/],
])('%j ends with %i and a sentence on standard error', async (line, code, text) => {
  const ended = await run(line.split(' ').filter(Boolean));
  expect(ended).toMatchObject({ code, out: '' });
  expect(ended.err).toMatch(text);
  expect(ended.err).not.toMatch(STACK);
});

test.each([
  ['explain NoRuleAlows', 'codes are the words in parentheses at the end of what Chaperone says'],
  ['verify s-7hq2 --since /nonexistent', 'there is no such file'],
  ['verify s-7hq2 --since /', 'it is a directory'],
  ['requests verify -f /nonexistent', 'there is no such file'],
])('%j says what was not found, and why, in its own words', async (line, why) => {
  const { code, err } = await run(line.split(' '));
  expect([code, err.split('\n')[1]]).toEqual([5, `  why  ${why}; exit code 5`]);
  const json = await run([...line.split(' '), '-o', 'json']);
  expect(JSON.parse(json.err)).toMatchObject({ error: { code: 'NotFound', why: `${why}; exit code 5` } });
});

/** Lines of a stack, and what Node writes beside one. */
const STACK = /^\s+at \S|node:internal|^Node\.js v/m;

test('files that are something else end with a sentence, never with a stack', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-files-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = async (name: string, text: string | Buffer): Promise<string> => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const bytes = await file('bytes', Buffer.from(Array.from({ length: 256 }, (_, at) => at)));
  const policy = await file('trust.policy', 'quorum none\n');
  const trust = await file('trust.json', '{"origin":"test","enrolmentKeys":["x"]}');
  const data = join(folder, 'data');
  await mkdir(data);
  await file('data/collector.json', '{"url":');
  for (const [line, code, said] of [
    [`sessions ls --kubeconfig ${folder}`, 2, 'is not a kubeconfig that can be read (NoContext)'],
    [`sessions ls --kubeconfig ${bytes}`, 2, 'is not a kubeconfig that can be read (NoContext)'],
    [`sessions ls --data ${data}`, 7, `no chaperone up has run with --data ${data} (CollectorUnreachable)`],
    [`sessions ls --data ${bytes}`, 7, '(CollectorUnreachable)'],
    [`verify ${folder} --policy ${policy} --trust ${trust}`, 5, 'cannot be read (NotFound)'],
    [`verify x --policy ${bytes} --trust ${trust}`, 2, 'is not a trust policy: the policy ends in the middle of a line'],
    [`verify x --policy ${policy} --trust ${bytes}`, 2, 'is not a trust file'],
    [`verify x --policy ${policy} --trust ${folder}/none`, 5, 'none cannot be read (NotFound)'],
    [`verify x --policy ${policy} --trust ${trust} --since ${bytes}`, 3, 'the checkpoint that was kept: '],
    [`up --manifests ${folder} --agent a/b --data ${data}`, 1, 'holds no YAML file'],
    [`up --manifests ${bytes} --agent a/b --data ${data}`, 1, '--manifests names a directory of YAML files (ManifestInvalid)'],
    [`policy check --manifests ${bytes} --agent a/b --resource c/d`, 1, '(ManifestInvalid)'],
  ] as const) {
    const ended = await run(line.split(' '));
    expect([ended.code, ended.out], line).toEqual([code, '']);
    expect(ended.err, line).toContain(said);
    expect(ended.err, line).not.toMatch(STACK);
  }
});

test.each<[string, string]>([
  ['sesions', 'chaperone'],
  ['sessions ls --no-such-flag', 'chaperone sessions ls'],
  ['sessions kill --reason x', 'chaperone sessions kill'],
  ['requests show up', 'chaperone requests show'],
  ['approve not-a-name', 'chaperone approve'],
  ['up --listen a/b=1', 'chaperone up'],
])('wrong usage (%s) names the help of its verb', async (line, verb) => {
  const { code, err } = await run(line.split(' '));
  expect([code, /^ {2}fix {2}(.*)$/m.exec(err)?.[1]]).toEqual([2, `${verb} --help`]);
});

test('an error is an object where JSON was asked for, also where the command line is wrong', async () => {
  for (const flags of [['-o', 'json'], ['-ojson'], ['--output=json'], ['--output', 'json'], ['-o', 'jsonl']]) {
    const { code, err } = await run(['sessions', 'ls', '--no-such-flag', ...flags]);
    expect(code).toBe(2);
    expect(Object.keys((JSON.parse(err) as { error: object }).error)).toEqual(['code', 'message', 'why', 'fix', 'docs', 'retry']);
  }
});

test('has colour where --color says so, and then in errors too', async () => {
  const env = { NO_COLOR: '1', TERM: 'dumb' };
  const wrong = async (...flags: string[]): Promise<string> =>
    (await run(['explain', 'x', ...flags], { env })).err.split(' ')[0] ?? '';
  expect(await wrong('--color', 'always')).toBe('\u001b[31merror:\u001b[0m');
  for (const flags of [[], ['--color=never'], ['--color', 'auto']]) expect(await wrong(...flags)).toBe('error:');
});

test('a terminal has colour, unless it is told otherwise', async () => {
  const command = `${process.execPath} ${MAIN} explain x`;
  const onTerminal = async (env: Record<string, string>, flags = ''): Promise<string> =>
    (await run(['-qec', `${command} ${flags}`, '/dev/null'], { command: ['script'], env: { TERM: 'xterm', ...env } })).out;
  expect(await onTerminal({})).toContain('\u001b[31merror:\u001b[0m there is no code x');
  for (const said of [
    await onTerminal({ NO_COLOR: '1' }),
    await onTerminal({ TERM: 'dumb' }),
    await onTerminal({}, '--color never'),
  ]) {
    expect(said).toContain('error: there is no code x');
    expect(said).not.toContain('\u001b[');
  }
});

test('explain knows every code, in any case, and the exit codes', async () => {
  const { out } = await run(['explain']);
  expect(out.trimEnd().split('\n')).toEqual(Object.keys(CODES));
  const script = Object.keys(CODES).map((code) => `"$0" "$1" explain ${code.toLowerCase()} || exit 1`);
  // Every twelfth: a process for each code would take long.
  const some = script.filter((_, at) => at % 12 === 0).join('\n');
  const pages = await run(['-c', some, process.execPath, MAIN], { command: ['bash'] });
  expect([pages.code, pages.err]).toEqual([0, '']);
  for (const part of ['what', 'why', 'fix', 'retry', 'example'])
    expect(pages.out.match(new RegExp(`^ {2}${part} +\\S`, 'gm'))).toHaveLength(Math.ceil(Object.keys(CODES).length / 12));
  const exits = (await run(['explain', 'ExitCodes'])).out;
  for (const code of Object.values(EXIT)) expect(exits).toMatch(new RegExp(`^ *${code} {2}\\S`, 'm'));
});

test('explain answers programs with one document', async () => {
  const one = JSON.parse((await run(['explain', 'norulealLOWS', '-o', 'json'])).out) as Record<string, string>;
  const { what, why, fix, retry, example } = CODES.NoRuleAllows;
  const docs = 'docs/reference/codes.md#noruleallows';
  expect(one).toEqual({ code: 'NoRuleAllows', what, why, fix, retry, advice: RETRY_ADVICE[retry], example, docs });
  const all = JSON.parse((await run(['explain', '--output', 'json'])).out) as { code: string }[];
  expect(all.map(({ code }) => code)).toEqual(Object.keys(CODES));
  expect((await run(['explain', 'ExitCodes', '-o', 'yaml'])).out).toMatch(/^- exit: 0\n {2}means: done/);
  expect(await run(['explain', 'Nonsense', '-o', 'json'])).toMatchObject({ code: 5, out: '' });
  expect(await run(['explain', 'Usage', '-o', 'xml'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('it has text, json, yaml') as string,
  });
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

test('bin/chaperone runs what make joined, unless something that it is made of is newer', async () => {
  const checkout = await mkdtemp(join(tmpdir(), 'chaperone-checkout-'));
  onTestFinished(() => rm(checkout, { recursive: true }));
  const file = async (path: string, text: string, at: Date): Promise<void> => {
    await mkdir(join(checkout, path, '..'), { recursive: true });
    await writeFile(join(checkout, path), text);
    await utimes(join(checkout, path), at, at);
  };
  const [before, joined, after] = [new Date('2026-01-01'), new Date('2026-01-02'), new Date('2026-01-03')];
  const says = async (): Promise<string> =>
    (await run([], { command: [join(checkout, 'cli/bin/chaperone')], env: { NODE_COMPILE_CACHE: '' } })).out.trim();
  await cp(BIN, join(checkout, 'cli/bin/chaperone'));
  await mkdir(join(checkout, 'node_modules/commander'), { recursive: true });
  for (const each of ['api', 'cli', 'collector', 'evidence', 'kube', 'policy', 'sidecar']) {
    await file(`${each}/src/main.ts`, 'process.stdout.write("sources");', before);
    await utimes(join(checkout, each, 'src'), before, before);
  }
  await file('package-lock.json', '{}', before);
  expect(await says(), 'nothing is joined').toBe('sources');
  await file('.cache/program/src/main.js', 'process.stdout.write("joined");', joined);
  expect(await says()).toBe('joined');
  for (const newer of ['package-lock.json', 'sidecar/src/main.ts', 'kube/src']) {
    await utimes(join(checkout, newer), after, after);
    expect(await says(), newer).toBe('sources');
    await utimes(join(checkout, newer), before, before);
    expect(await says()).toBe('joined');
  }
  await rm(join(checkout, 'kube/src'), { recursive: true });
  expect(await says(), 'what cannot be compared').toBe('sources');
});
