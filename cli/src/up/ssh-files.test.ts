import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram, hasSshd } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type SshWorld, startSshWorld, Talk } from './ssh.test-support.ts';

// Files by stock scp and sftp, where their content is kept up to a cap, and where people approve what is done to them.

const policies = (area: string): string => `apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: files, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  recording: {fileBytes: 1Ki}
  rules:
  - {name: area, effect: Allow, resource: {namespace: data, name: host}, ssh: {files: {operations: [read, write, list], paths: ["${area}/**"]}}}
  - {name: asked, effect: RequireApproval, resource: {namespace: data, name: host}, ssh: {files: {operations: [write], paths: ["${area}/held/**"]}}, approval: {approvers: {groups: [ops]}, timeout: 30s}}
`;
const HOSTILE = 'a\u001b]52;c;aGk=\u0007\u202eb, card 4111 1111 1111 1111.\n';

describe.runIf(hasSshd && findProgram('scp') !== undefined)('files over ssh', () => {
  let world: SshWorld;
  let area: string;
  beforeAll(async () => {
    world = await startSshWorld(['host'], ({ directory }) => policies(join(directory, 'area')));
    area = join(world.sshd.directory, 'area');
    await mkdir(join(area, 'held'), { recursive: true });
    await writeFile(join(area, 'held', 'x'), 'x');
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  const copy = async (name: string, content: string | Buffer): Promise<Record<string, unknown>[]> => {
    const here = join(world.folder, name);
    await writeFile(here, content);
    const { code, err } = await new Talk('scp', [...world.options('host'), here, `bot@127.0.0.1:${join(area, name)}`]).ended;
    expect([code, err]).toEqual([0, '']);
    return world.session((all) => all.some((record) => record['type'] === 'file' && String(record['path']).endsWith(name)));
  };
  const sftp = (...commands: string[]): Talk => {
    const talk = new Talk('sftp', ['-q', ...world.options('host'), '-b', '-', 'bot@127.0.0.1']);
    talk.child.stdin?.end(`${commands.join('\n')}\n`);
    return talk;
  };

  test('are kept masked up to the cap, shown as kept, and exported as they are or as text that does nothing', async () => {
    const records = await copy('small', HOSTILE);
    const file = records.find(({ type }) => type === 'file') ?? {};
    expect(file).toMatchObject({ operation: 'write', bytes: Buffer.byteLength(HOSTILE), file: 0 });
    expect(file['truncated']).toBeUndefined();
    const session = String(records[0]?.['session']);
    const exported = await world.chaperone('sessions', 'export', session, '--file', String(file['seq']));
    expect(exported).toEqual({ code: 0, out: HOSTILE.replace('4111 1111 1111 1111', '*****'), err: '' });
    const shown = await world.chaperone('sessions', 'show', session);
    expect(shown.out).toMatch(new RegExp(`write +${Buffer.byteLength(HOSTILE)}, kept `));
    const replayed = await world.chaperone('sessions', 'replay', session);
    expect(replayed.out).toMatch(/kept {3}\d+ bytes of file 0, from byte 0/);
    const none = await world.chaperone('sessions', 'export', session, '--file', '0');
    expect([none.code, none.err]).toEqual([5, expect.stringContaining('is no file of which content was kept')]);
  });

  test('are kept to the cap and no further', async () => {
    const records = await copy('large', Buffer.alloc(5_000, 'y\n'));
    const file = records.find(({ type }) => type === 'file') ?? {};
    expect(file).toMatchObject({ bytes: 5_000, truncated: true, digest: expect.stringMatching(/^[0-9a-f]{64}$/) });
    const { out, err } = await world.chaperone(
      'sessions',
      'export',
      String(records[0]?.['session']),
      '--file',
      String(file['seq']),
    );
    expect([out, err]).toEqual(['y\n'.repeat(512), 'Only its beginning was kept, of 5000 bytes that went by.\n']);
  });

  test('get attributes that people have read', async () => {
    const path = join(area, 'held', 'x');
    await chmod(path, 0o600);
    const agent = sftp(`chmod 4755 ${path}`);
    const { spec } = await world.approve('mode=');
    expect(spec.text).toBe(`attributes: write "${path}", mode=4755`);
    expect(await agent.ended).toMatchObject({ code: 0 });
    expect((await stat(path)).mode & 0o7777).toBe(0o4755);
    const copied = new Talk('scp', ['-p', ...world.options('host'), join(world.folder, 'small'), `bot@127.0.0.1:${path}`]);
    const { spec: asked } = await world.approve('mtime=');
    expect(asked.text).toMatch(/^write ".*\/held\/x", mode=0644 atime=\d{4}-\S+Z mtime=\d{4}-\S+Z$/);
    expect((await copied.ended).code).toBe(0);
    expect(await readFile(path, 'utf8')).toBe(HOSTILE);
  });

  test('are not touched, and it is said so, where an agent left before it was approved', async () => {
    const agent = sftp(`chmod 777 ${join(area, 'held', 'x')}`);
    await agent.says('waiting for approval');
    agent.child.kill('SIGKILL');
    const records = await world.session((all) => all.some(({ text }) => String(text).includes('mode=0777')));
    expect(records.find(({ type }) => type === 'approval')).toMatchObject({ state: 'Withdrawn' });
    expect((await stat(join(area, 'held', 'x'))).mode & 0o777).not.toBe(0o777);
  });
});
