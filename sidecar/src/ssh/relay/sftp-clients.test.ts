import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import type { FileRecord } from '../../running/file-record.ts';
import { type FileRule, SFTP_SERVER } from './files.test-support.ts';

const BRIDGE = join(import.meta.dirname, 'bridge.test-support.ts');

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where one client works: `there` is the server's directory, `here` its own. */
interface Side {
  readonly root: string;
  readonly there: string;
  readonly here: string;
}

async function sides(): Promise<{ direct: Side; through: Side } & AsyncDisposable> {
  const directory = await temporaryDirectory('sftp-clients-');
  const root = await realpath(directory.path);
  const fixture = join(root, 'direct');
  for (const path of ['there/tree/sub', 'there/empty', 'here/upload/sub']) mkdirSync(join(fixture, path), { recursive: true });
  writeFileSync(join(fixture, 'there/file'), 'content\n');
  writeFileSync(join(fixture, 'there/with space'), 'x');
  writeFileSync(join(fixture, 'there/ünïcode'), 'y');
  writeFileSync(join(fixture, 'there/big'), Buffer.alloc(300_000, 'abcdefg'));
  writeFileSync(join(fixture, 'there/tree/sub/leaf'), 'leaf');
  writeFileSync(join(fixture, 'here/part'), Buffer.alloc(100_000, 'abcdefg'));
  writeFileSync(join(fixture, 'here/up'), Buffer.alloc(200_000, 'uvw'));
  writeFileSync(join(fixture, 'here/upload/sub/leaf'), 'leaf');
  chmodSync(join(fixture, 'there/file'), 0o640);
  for (const path of ['there/file', 'there/big', 'here/up']) utimesSync(join(fixture, path), 1_700_000_000, 1_700_000_000);
  cpSync(fixture, join(root, 'through'), { recursive: true, preserveTimestamps: true });
  const side = (name: string): Side => ({
    root: join(root, name),
    there: join(root, name, 'there'),
    here: join(root, name, 'here'),
  });
  return { direct: side('direct'), through: side('through'), [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

function run(
  program: string,
  args: readonly string[],
  options: { cwd: string; env?: Record<string, string>; input?: string },
): Promise<Run> {
  return new Promise((resolve) => {
    const env = { ...process.env, NODE_NO_WARNINGS: '1', ...options.env };
    const child = execFile(program, [...args], { cwd: options.cwd, env }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    );
    child.stdin?.end(options.input ?? '');
  });
}

function bridgeOf(side: Side, rules?: FileRule[]): Record<string, string> {
  const all: FileRule[] = [['Allow', ['read', 'write', 'list', 'delete'], [`${side.root}/**`]]];
  return { BRIDGE: JSON.stringify({ rules: rules ?? all, records: join(side.root, 'records') }) };
}

function recordsOf(side: Side): FileRecord[] {
  const lines = readFileSync(join(side.root, 'records'), 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as FileRecord);
}

/** All files below a directory: mode, size or target, and content. */
function treeOf(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const stat = statSync(join(root, name));
      const content = stat.isFile() ? readFileSync(join(root, name), 'base64') : '';
      return `${name} ${stat.mode.toString(8)} ${stat.nlink} ${content}`;
    });
}

async function batch(side: Side, commands: string, rules?: FileRule[] | 'direct'): Promise<Run> {
  const server = rules === 'direct' ? (SFTP_SERVER ?? '') : `${process.execPath} ${BRIDGE}`;
  const env = rules === 'direct' ? {} : bridgeOf(side, rules);
  const done = await run('sftp', ['-b', '-', '-D', server], { cwd: side.there, env, input: commands });
  const tidy = (text: string): string => text.replaceAll(side.root, '$').replace(/[A-Z][a-z]{2} +\d+ \d\d:\d\d/g, 'NOW');
  return { ...done, stdout: tidy(done.stdout), stderr: tidy(done.stderr) };
}

/**
 * What is listed, without what differs: the server's own lines show a count of links and no directory; a link is as long as its
 * target, which is absolute through the machine; free space changes.
 */
const listed = (text: string): string =>
  text
    .replace(/^ +\d+ .*%$/gm, 'SPACE')
    .replace(/^([-dl]\S{9}) +\S+ /gm, '$1 N ')
    .replace(/^(l.*?) +\d+ NOW/gm, '$1 N NOW')
    .replace(/NOW [^ ]*\//gm, 'NOW ');

describe.skipIf(!SFTP_SERVER)('OpenSSH’s sftp gets through the machine what it gets without', () => {
  const COMMANDS = `
pwd
lcd ../here
ls -l
ls -la tree
-ls nothing
get file
get -p big kept
reget big part
get -r tree
put up
put -p up kept-up
put -r upload
reput up up
put up "with space"
get "with space"
get ünïcode
rename up moved
rename moved file
rename -l kept-up linked
-rename -l file empty
symlink file soft
ln linked hard
ln -s tree/sub short
ls -l short/leaf
cd short
pwd
get leaf by-link
cd ..
cd ..
chmod 600 file
chmod 755 soft
mkdir made
-mkdir made
rmdir made
-rmdir tree
-rm nothing
cp big copied
df
df -h file
rm linked
cd tree
get sub/../sub/leaf again
ls -1 ..
cd /no/such/place
ls`;

  it('each file, line and exit code', async () => {
    await using both = await sides();
    const [direct, through] = await Promise.all([batch(both.direct, COMMANDS, 'direct'), batch(both.through, COMMANDS)]);
    expect(listed(through.stdout)).toBe(listed(direct.stdout));
    expect([through.code, through.stderr]).toEqual([direct.code, direct.stderr]);
    expect(direct.code).toBe(1);
    expect(treeOf(both.through.there)).toEqual(treeOf(both.direct.there));
    expect(treeOf(both.through.here)).toEqual(treeOf(both.direct.here));
    const records = recordsOf(both.through);
    expect(
      records.filter(({ operation, digest }) => operation === 'read' && digest === undefined).map(({ path }) => path),
    ).toEqual([join(both.through.there, 'big')]);
  });

  it('and is told what is denied, on standard error, while it goes on', async () => {
    await using both = await sides();
    const { through } = both;
    const rules: FileRule[] = [
      ['Allow', ['read', 'list'], [`${through.root}/**`]],
      ['Deny', ['read'], [`${through.there}/tree/**`]],
    ];
    const done = await batch(
      through,
      '-put ../here/up\n-get tree/sub/leaf ../here/leaf\n-rm file\nget file ../here/got\n',
      rules,
    );
    expect(done.code).toBe(0);
    expect(done.stderr).toContain('WRITE on $/there/up is not covered by any rule (NoRuleAllows)');
    expect(done.stderr).toContain('READ on $/there/tree/sub/leaf is denied by rule "rule-1" (DeniedByRule)');
    expect(done.stderr).toContain('Permission denied');
    expect(readFileSync(join(through.here, 'got'), 'utf8')).toBe('content\n');
    expect(treeOf(through.there)).toEqual(treeOf(both.direct.there));
  });
});
