import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { SshError } from '../wire/error.ts';
import type { FileRecord } from '../../running/file-record.ts';
import { type FileRule, judgeBy, SFTP_SERVER } from './files.test-support.ts';
import { asWritten } from './path-lookup.ts';
import { ScpRelay } from './scp.ts';
import { Turns } from './turns.ts';

const BRIDGE = join(import.meta.dirname, 'scp-bridge.test-support.ts');

/** A server's directory, `there`, and a client's, `here`. */
async function aPlace(): Promise<{ root: string } & AsyncDisposable> {
  const directory = await temporaryDirectory('scp-');
  const root = await realpath(directory.path);
  for (const path of ['there/tree/sub', 'there/tree/secret', 'there/empty', 'here/upload/sub', 'outside'])
    mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, 'there/file'), 'content\n');
  writeFileSync(join(root, 'there/nil'), '');
  writeFileSync(join(root, 'there/big'), Buffer.alloc(300_000, 'abcdefg'));
  writeFileSync(join(root, 'there/tree/sub/leaf'), 'leaf');
  writeFileSync(join(root, 'there/tree/secret/key'), 'secret');
  writeFileSync(join(root, 'here/up'), Buffer.alloc(200_000, 'uvw'));
  writeFileSync(join(root, 'here/upload/sub/leaf'), 'leaf');
  symlinkSync('../outside', join(root, 'there/out'));
  symlinkSync('/etc/hostname', join(root, 'here/away'));
  for (const path of ['there/file', 'here/up']) utimesSync(join(root, path), 1_700_000_000, 1_700_000_000);
  return { root, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

interface Run {
  readonly code: number;
  readonly stderr: string;
  readonly tree: string[];
  readonly records: FileRecord[];
}

/** Runs scp in its old mode, through the machine or not. `$` in arguments is the server's directory. */
async function scp(args: readonly string[], rules?: (there: string) => FileRule[]): Promise<Run> {
  await using place = await aPlace();
  const { root } = place;
  const there = join(root, 'there');
  const ssh = join(root, 'ssh');
  const last = 'for last; do :; done';
  const command = rules ? `exec '${process.execPath}' '${BRIDGE}' "$last"` : `cd '${there}' && exec $last`;
  writeFileSync(ssh, `#!/bin/sh\n${last}\n${command}\n`, { mode: 0o755 });
  const records = join(root, 'records');
  writeFileSync(records, '');
  const env = { ...process.env, BRIDGE: JSON.stringify({ rules: rules?.(there), records, cwd: there }) };
  const all = ['-O', '-S', ssh, ...args.map((arg) => arg.replaceAll('$', there))];
  const done = await new Promise<Pick<Run, 'code' | 'stderr'>>((resolve) => {
    execFile('scp', all, { cwd: join(root, 'here'), env }, (error, _, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stderr: stderr.replaceAll(root, '') }),
    );
  });
  const files = ['there', 'here', 'outside'].flatMap((top) =>
    readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
      .toSorted()
      .map((name) => describeFile(join(root, top, name), `${top}/${name}`, args.includes('-p'))),
  );
  const lines = readFileSync(records, 'utf8').split('\n').filter(Boolean);
  const tidy = lines.map((line) => JSON.parse(line.replaceAll(there, '')) as FileRecord);
  return { ...done, tree: files, records: tidy };
}

function describeFile(path: string, name: string, withTimes: boolean): string {
  const stat = statSync(path);
  const content = stat.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
  return [name, stat.mode.toString(8), content, ...(withTimes && stat.isFile() ? [stat.mtimeMs > 1_750_000_000_000] : [])].join(
    ' ',
  );
}

const everything = (there: string): FileRule[] => [['Allow', ['read', 'write', 'list', 'delete'], [`${there}/**`]]];
const butSecret = (there: string): FileRule[] => [
  ...everything(there),
  ['Deny', ['read', 'write', 'list', 'delete'], [`${there}/tree/secret/**`, `${there}/empty/**`]],
];
const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');

describe.skipIf(!SFTP_SERVER)('what a rule denies', () => {
  it('stays behind in a download, is said, and the rest comes', async () => {
    const { code, stderr, tree, records } = await scp(['-p', '-r', 'host:tree', '.'], butSecret);
    expect(code).toBe(1);
    expect(stderr).toContain('scp: chaperone: LIST on /there/tree/secret is denied by rule "rule-1" (DeniedByRule)');
    const got = tree.map((line) => line.split(' ')[0] ?? '').filter((name) => name.startsWith('here/tree'));
    expect(got).toEqual(['here/tree', 'here/tree/sub', 'here/tree/sub/leaf']);
    expect(records).toContainEqual({
      operation: 'read',
      path: '/tree/sub/leaf',
      bytes: 4,
      digest: sha256('leaf'),
      outcome: 'ok',
    });
    expect(records).toContainEqual({ operation: 'list', path: '/tree/secret', outcome: 'denied' });
  });

  it.each([
    ['a file', ['host:tree/secret/key', '.']],
    ['a file by a way that leads there', ['host:tree/sub/../secret/key', '.']],
  ])('is not downloaded: %s', async (_, args) => {
    const { code, stderr, tree } = await scp(args, butSecret);
    expect([code, stderr]).toEqual([1, expect.stringContaining('READ on /there/tree/secret/key is denied')]);
    expect(tree.some((line) => line.startsWith('here/key'))).toBe(false);
  });

  it.each([
    ['a file, by a directory beside', 'host:../outside/../there/file', 'host:../nobody/../there/file'],
    ['a link beside', 'host:../here/away', 'host:../here/nothing'],
  ])('is not told of, there or not: %s', async (_, there, none) => {
    const [is, isNot] = [await scp([there, '.'], butSecret), await scp([none, '.'], butSecret)];
    expect([is.code, is.stderr]).toEqual([1, expect.stringMatching(/NotAnalysable|NoRuleAllows/)]);
    expect(is.stderr.replace('here/away', 'PATH')).toBe(isNot.stderr.replace('here/nothing', 'PATH'));
  });

  it.each([
    ['into a directory', ['up', 'host:empty']],
    ['to a name', ['up', 'host:empty/name']],
    ['a tree', ['-r', 'upload', 'host:empty']],
    ['by a link that leads out', ['up', 'host:out']],
    ['by a link that leads out, and on', ['up', 'host:out/name']],
    ['above', ['up', 'host:../outside/name']],
  ])('is not uploaded: %s', async (_, args) => {
    const [{ tree }, before] = await Promise.all([scp(args, butSecret), scp(['--no-such-option'])]);
    expect(tree).toEqual(before.tree);
  });
});

/** The machine between two ends that the test plays. */
function played(
  direction: 'upload' | 'download',
  paths: string[],
  { isRecursive = true, ...options }: Partial<ConstructorParameters<typeof ScpRelay>[0]> & { isRecursive?: boolean } = {},
) {
  const sent = { server: '', agent: '' };
  const ends: unknown[] = [];
  const blamed: string[] = [];
  const records: FileRecord[] = [];
  const relay = new ScpRelay({
    transfer: { kind: 'transfer', protocol: 'scp', direction, paths, recursive: isRecursive, deletes: false },
    judge: judgeBy([['Allow', ['read', 'write', 'list'], ['/ok/**']]]),
    resolve: asWritten,
    toServer: (bytes) => {
      sent.server += bytes.toString('latin1');
    },
    toAgent: (bytes) => {
      sent.agent += bytes.toString('latin1');
    },
    toStderr: () => {},
    onRecord: (record) => void records.push(record),
    onServerEnd: () => void ends.push('server'),
    onEnd: (error, by) => {
      ends.push(error);
      blamed.push(by);
    },
    ...options,
  });
  return { relay, sent, ends, blamed, records };
}

/** Says one after the other, by turns, beginning with the sink. */
async function talk({ relay }: ReturnType<typeof played>, sinkIsAgent: boolean, ...said: string[]): Promise<void> {
  for (const [index, text] of said.entries()) {
    if ((index % 2 === 0) === sinkIsAgent) relay.fromAgent(Buffer.from(text, 'latin1'));
    else relay.fromServer(Buffer.from(text, 'latin1'));
    await turn();
  }
}

describe('a hostile server', () => {
  it.each<[string, string[], string[], object?]>([
    ['sends another file', ['/ok/a'], ['\0', 'C0644 1 b\n']],
    ['sends a file above', ['/ok/a'], ['\0', 'C0644 1 ../a\n']],
    ['changes the directory itself', ['/ok/a'], ['\0', 'D0777 0 .\n']],
    ['sends a directory that nobody asked for', ['/ok/a'], ['\0', 'D0755 0 a\n'], { isRecursive: false }],
    ['leaves the directory of the client', ['/ok/a'], ['\0', 'E\n']],
    ['leaves more directories than it entered', ['/ok/a'], ['\0', 'D0755 0 a\n', '\0', 'E\n', '\0', 'E\n']],
    ['sends a line without end', ['/ok/a'], ['\0', `C0644 1 ${'a'.repeat(5_000)}`]],
    ['speaks without being asked', ['/ok/a'], ['', 'C'.repeat(5_000)]],
    ['says nonsense', ['/ok/a'], ['\0', 'hello\n']],
  ])('that %s ends the channel, and the agent gets nothing of it', async (_, paths, said, options) => {
    const copy = played('download', paths, options);
    await talk(copy, true, ...said.slice(0, -1));
    const before = copy.sent.agent;
    copy.relay.fromServer(Buffer.from(said.at(-1) ?? ''));
    expect([copy.ends, copy.blamed, copy.sent.agent]).toEqual([[expect.any(SshError)], ['host'], before]);
  });

  it('nests directories no deeper than there are bounds', async () => {
    const copy = played('download', ['/ok']);
    await talk(copy, true, '\0', 'D0755 0 ok\n', ...Array.from({ length: 200 }, () => ['\0', 'D0755 0 d\n']).flat());
    expect(copy.ends).toEqual([expect.any(SshError)]);
  });
});

describe('a hostile client', () => {
  it.each<[string, string[]]>([
    ['sends a file above', ['\0', 'C0644 1 ../a\n']],
    ['sends a file elsewhere', ['\0', 'C0644 1 /etc/passwd\n']],
    ['enters a directory above', ['\0', 'D0755 0 ..\n']],
    ['leaves its directory', ['\0', 'E\n']],
  ])('that %s ends the channel, and the server gets nothing of it', async (_, said) => {
    const copy = played('upload', ['/ok/d/']);
    await talk(copy, false, ...said);
    expect([copy.ends, copy.blamed]).toEqual([[expect.any(SshError)], ['agent']]);
    expect(copy.sent.server).toBe('');
  });

  it('does not pass data off as a line, nor a line as data', async () => {
    const copy = played('upload', ['/ok/d/']);
    await talk(copy, false, '\0', 'C0644 20 a\n', '\0', 'C0644 1 /etc/passwd\n\0', '\0', 'C0644 1 x\n');
    expect(copy.ends).toEqual([]);
    expect(copy.sent.server).toBe('C0644 20 a\nC0644 1 /etc/passwd\n\0C0644 1 x\n');
    expect(copy.records).toEqual([
      { operation: 'write', path: '/ok/d/a', bytes: 20, digest: sha256('C0644 1 /etc/passwd\n'), outcome: 'ok' },
    ]);
  });

  it('sends to a place that may be a file or a directory only where both are allowed', async () => {
    const rules: FileRule[] = [['Allow', ['write'], ['/ok/d']]];
    const copy = played('upload', ['/ok/d'], { judge: judgeBy(rules) });
    await talk(copy, false, '\0', 'C0644 1 x\n');
    expect([copy.sent.server, copy.ends]).toEqual(['', []]);
    expect(copy.sent.agent).toContain('\x01scp: chaperone: WRITE on /ok/d/x is not covered by any rule');
  });

  it.each(['relative', '/ok/../etc', '/ok//d', '/ok/./d'])('is refused where nobody can say where it leads: %s', async (path) => {
    const copy = played('upload', [path]);
    await talk(copy, false, '\0', 'C0644 1 x\n');
    expect([copy.sent.server, copy.ends]).toEqual(['', []]);
    expect(copy.sent.agent).toContain('NotAnalysable');
  });
});

it('what is on its way when the channel goes is recorded as cut off', async () => {
  const copy = played('upload', ['/ok/d/']);
  await talk(copy, false, '\0', 'C0644 20 a\n', '\0', 'begin');
  copy.relay.close();
  expect(copy.records).toEqual([{ operation: 'write', path: '/ok/d/a', bytes: 5, outcome: 'cut off' }]);
});

it('does not run what was approved when its path leads elsewhere by then', async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const rules: FileRule[] = [['RequireApproval', ['write'], ['/ok/**']]];
  let leads = '/ok/d/x';
  const copy = played('upload', ['/ok/d/'], {
    judge: judgeBy(rules, () => promise),
    resolve: (written) => Promise.resolve({ path: leads, canBe: true, written, detours: [] }),
  });
  await talk(copy, false, '\0', 'C0644 1 x\n');
  leads = '/ok/other';
  resolve(true);
  await turn();
  expect([copy.sent.server, copy.sent.agent]).toEqual(['', expect.stringContaining('ApprovalVoided')]);
});

it('waits for people as long as it takes, and for nothing once the channel is gone', async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const rules: FileRule[] = [['RequireApproval', ['write'], ['/ok/**']]];
  const [waits, gone] = [1, 2].map(() => played('upload', ['/ok/d/'], { judge: judgeBy(rules, () => promise) }));
  for (const copy of [waits, gone]) if (copy) await talk(copy, false, '\0', 'C0644 1 x\n');
  gone?.relay.close();
  expect([waits?.sent.server, gone?.sent.server]).toEqual(['', '']);
  resolve(true);
  await turn();
  expect([waits?.sent.server, gone?.sent.server]).toEqual(['C0644 1 x\n', '']);
});

it('passes what came without waiting for answers, and then the end of it', async () => {
  const copy = played('upload', ['/ok/d/']);
  copy.relay.fromServer(Buffer.from('\0'));
  copy.relay.fromAgent(Buffer.from('C0644 1 x\ny\0'));
  copy.relay.endOfAgent();
  expect([copy.sent.server, copy.ends]).toEqual(['', []]);
  await turn();
  copy.relay.fromServer(Buffer.from('\0'));
  expect([copy.sent.server, copy.ends]).toEqual(['C0644 1 x\ny\0', ['server']]);
});

it('begins nothing that was approved after the agent had gone', async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const copy = played('upload', ['/ok/d/'], { judge: judgeBy([['RequireApproval', ['write'], ['/ok/**']]], () => promise) });
  await talk(copy, false, '\0', 'C0644 1 x\n');
  copy.relay.endOfAgent();
  expect(copy.ends).toEqual(['server']);
  resolve(true);
  await turn();
  expect([copy.sent.server, copy.ends]).toEqual(['', ['server']]);
});

/** Whether somebody who changes links would have to wait. */
async function isTaken(turns: Turns): Promise<boolean> {
  let hasTurn = false;
  const take = async (): Promise<void> => {
    const end = await turns.take(true);
    hasTurn = true;
    end();
  };
  void take();
  await turn();
  return !hasTurn;
}

describe('while a server opens a file', () => {
  it.each<['upload' | 'download', string[], string[], boolean]>([
    ['upload', ['/ok/d/'], ['\0'], false],
    ['upload', ['/ok/d/'], ['\0', 'C0644 1 x\n'], true],
    ['upload', ['/ok/d/'], ['\0', 'C0644 1 x\n', '\0'], false],
    ['upload', ['/ok/d/'], ['\0', 'T1 0 1 0\n', '', 'C0644 1 x\n', '\0'], true],
    ['upload', ['/no/d/'], ['\0', 'C0644 1 x\n'], false],
    ['download', ['/ok/x'], [], false],
    ['download', ['/ok/x'], ['\0'], true],
    ['download', ['/ok/x'], ['\0', 'T1 0 1 0\n'], true],
    ['download', ['/ok/x'], ['\0', 'C0644 1 x\n'], false],
    ['download', ['/ok/x'], ['\0', 'C0644 1 x\n', '\0', 'y\0', '\0'], true],
    ['download', ['/no/x'], ['\0'], false],
  ])('of %s %j no links change: after %j it is %s', async (direction, paths, said, expected) => {
    const turns = new Turns();
    const copy = played(direction, paths, { turns });
    await talk(copy, direction === 'download', ...said);
    expect(await isTaken(turns)).toBe(expected);
    copy.relay.close();
    expect(await isTaken(turns)).toBe(false);
  });
});

it('tells no more of a path that the agent may not know of than that it may not', async () => {
  const copy = played('download', ['/no/x']);
  await talk(copy, true, '\0', '\x01scp: /no/x: No such file or directory\n');
  expect(copy.sent).toEqual({ server: '', agent: expect.stringContaining('\x01scp: chaperone: READ on /no/x is not covered') });
  expect([copy.ends, copy.records]).toEqual([['server'], [{ operation: 'read', path: '/no/x', outcome: 'denied' }]]);
});
