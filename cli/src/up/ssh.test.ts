import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { eventually, hasSshd, startSshd, temporaryDirectory, type TestSshd } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, Up } from '../program.test-support.ts';
import { hostManifests, type Said } from './ssh.test-support.ts';

const plain = async (program: string, args: readonly string[], input = ''): Promise<Said> => {
  const child = spawn(program, args, { stdio: 'pipe', env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' } });
  child.stdin.on('error', () => undefined).end(input);
  const [out, err, [code]] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, 'close')]);
  return { code: code as number | null, out: out.toString('latin1'), err: err.toString() };
};

describe.runIf(hasSshd)('stock ssh through chaperone up', () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  let sshd: TestSshd;
  let up: Awaited<ReturnType<typeof Up.start>>;
  let data: string;

  beforeAll(async () => {
    folder = await temporaryDirectory('chaperone-ssh-');
    sshd = await startSshd();
    data = join(folder.path, 'data');
    const manifests = join(folder.path, 'manifests');
    await mkdir(manifests);
    await writeFile(
      join(manifests, 'ssh.yaml'),
      `${hostManifests(sshd)}apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ops, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  limits: {bytesPerStatement: 30Mi, statementDuration: 15s}
  rules:
  - {name: look, effect: Allow, resource: {namespace: data, name: build}, ssh: {commands: [echo **, cat **, printf **, sh **, head **, "true", "false", sleep *, kill **, git-upload-pack **, git-receive-pack **]}}
  - {name: files, effect: Allow, resource: {namespace: data, name: build}, ssh: {files: {operations: [read, write, list], paths: ["${sshd.directory}/area/**"]}}}
  - {name: hidden, effect: Deny, resource: {namespace: data, name: build}, ssh: {files: {paths: ["${sshd.directory}/area/hidden.git/**"]}}}
  - {name: ask, effect: RequireApproval, resource: {namespace: data, name: build}, ssh: {files: {operations: [write], paths: ["${sshd.directory}/area/asked/**"]}}, approval: {approvers: {groups: [ops]}, timeout: 30s}}
  - {name: fix, effect: RequireApproval, resource: {namespace: data, name: build}, ssh: {commands: [touch **]}, approval: {approvers: {groups: [ops]}, timeout: 30s}}
  - {name: never, effect: Deny, resource: {namespace: data, name: build}, ssh: {commands: [rm **]}, message: Files are removed by the cleaner.}
`,
    );
    up = await Up.start(manifests, data);
  });
  afterAll(async () => {
    await up?.[Symbol.asyncDispose]();
    await sshd?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const portOf = (): string => (up.ready.resources[0]?.address ?? '').split(':')[1] ?? '';
  const options = (): string[] => {
    const settings = [`UserKnownHostsFile=${join(data, 'known_hosts')}`, 'StrictHostKeyChecking=yes', 'BatchMode=yes'];
    return ['-F', 'none', ...settings.flatMap((setting) => ['-o', setting])];
  };
  const tool = (program: string, args: readonly string[], input = ''): Promise<Said> =>
    plain(program, [...options(), ...args], input);
  /** All records of all sessions, as the collector has them. */
  const evidence = async (): Promise<string> => {
    const { url, token } = JSON.parse(await readFile(join(data, 'collector.json'), 'utf8')) as { url: string; token: string };
    const get = async (path: string): Promise<string> =>
      (await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } })).text();
    const { items } = JSON.parse(await get('/v1/sessions')) as { items: { name: string }[] };
    return (await Promise.all(items.map(({ name }) => get(`/v1/sessions/${name}/records`)))).join('\n');
  };
  const start = (args: readonly string[], program = 'ssh', port = '-p') => {
    return spawn(program, [...options(), port, portOf(), ...args], {
      stdio: 'pipe',
      env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' },
    });
  };
  const ofAll = async <T>(...command: string[]): Promise<T[]> => {
    const { out } = await run([...command, '--data', data, '-o', 'json']);
    return (JSON.parse(out) as { items: T[] }).items;
  };
  /** The request that waits for people and says `text`. */
  const waiting = (text: string): Promise<{ name: string; digest: string }> =>
    eventually('a request', async () => {
      const items = await ofAll<{
        metadata: { name: string };
        status?: { state?: string };
        spec: { text: string; digest: string };
      }>('requests', 'ls');
      const found = items.find(({ status, spec }) => status?.state === 'Pending' && spec.text.includes(text));
      return found && { name: found.metadata.name, digest: found.spec.digest };
    });
  const approve = async ({ name, digest }: { name: string; digest: string }): Promise<void> => {
    expect(await run(['approve', name, '--data', data, '--digest', digest])).toMatchObject({ code: 0 });
  };
  const ssh = async (args: readonly string[], input: string | Buffer = ''): Promise<Said> => {
    const child = start(args);
    child.stdin.on('error', () => undefined).end(input);
    const [out, err, [code]] = await Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, 'close')]);
    return { code: code as number | null, out: out.toString('latin1'), err: err.toString() };
  };
  const on = (command: string, input?: string | Buffer): Promise<Said> => ssh(['bot@127.0.0.1', command], input);

  test('runs what a rule allows, with both streams, its input and its exit status', async () => {
    expect(await on('echo hello')).toEqual({ code: 0, out: 'hello\n', err: '' });
    expect(await on("sh -c 'echo out; echo err >&2'")).toMatchObject({ out: 'out\n', err: 'err\n' });
    expect(await on('false')).toMatchObject({ code: 1, out: '' });
    expect(await on('cat', 'some input')).toEqual({ code: 0, out: 'some input', err: '' });
  });

  test('refuses what no rule allows, and what one denies, in a line and with 126', async () => {
    expect(await on('id')).toMatchObject({ code: 126, out: '' });
    const denied = await on('/bin/rm -rf /tmp/x');
    expect(denied.code).toBe(126);
    expect(denied.err).toMatch(
      /^chaperone: \/bin\/rm -rf \/tmp\/x is denied by rule "never" \(DeniedByRule\)\. Do not retry: Files are removed by the cleaner\./,
    );
    for (const text of ['echo $(rm x)', 'echo `id`', 'cat < /etc/shadow', 'X=1 echo', 'echo a & rm b', '$0'])
      expect(await on(text), text).toMatchObject({
        code: 126,
        out: '',
        err: expect.stringContaining('it runs cannot be told, since '),
      });
  });

  test('masks what detectors find, across chunks', async () => {
    const { out } = await on('sh -c \'printf "card 4111 1111 "; sleep 0.2; printf "1111 1111 ok"\'');
    expect(out).toBe('card ***** ok');
    expect(await on('id 4111111111111111')).toMatchObject({ code: 126, err: expect.stringContaining('id') });
    for (const mode of ['-s', '-O'])
      await tool('scp', [
        mode,
        '-P',
        portOf(),
        `bot@127.0.0.1:${sshd.directory}/area/4111111111111111.txt`,
        join(folder.path, 'not'),
      ]);
    expect(await evidence()).not.toMatch(/4111.?1111.?1111/);
  });

  test('bounds what a command gives', async () => {
    const { code, out, err } = await on('head -c 40000000 /dev/zero');
    expect([code, err]).toEqual([
      126,
      expect.stringMatching(/reached a limit of the policy: it gave more than 31457280 bytes \(LimitReached\)/),
    ]);
    expect(out.length).toBeGreaterThan(20_000_000);
    expect(out.length).toBeLessThanOrEqual(31_457_280);
  });

  test('bounds how long a command runs', async () => {
    expect(await on('sleep 20')).toMatchObject({
      code: 126,
      err: expect.stringContaining('it ran for longer than 15000 ms (LimitReached)'),
    });
  });

  test('gives the agent neither a shell nor a way further', async () => {
    expect(await ssh(['-T', 'bot@127.0.0.1'])).toMatchObject({ code: 126 });
    const { err, code } = await ssh(['-W', '127.0.0.1:1', 'bot@127.0.0.1']);
    expect([code, err]).toEqual([255, expect.stringContaining('NoRuleAllows')]);
    expect(await ssh(['-R', '0:127.0.0.1:1', 'bot@127.0.0.1', 'echo', 'x'])).toMatchObject({
      out: 'x\n',
      err: expect.stringMatching(/remote port forwarding failed[^]*\(NeverAllowed\)\. Change it: leave out -R/),
    });
  });

  test('holds what people are asked about, and runs it once they approve', async () => {
    const file = join(sshd.directory, 'touched');
    const child = start(['bot@127.0.0.1', `touch ${file}`]);
    child.stdin.end();
    const ended = Promise.all([buffer(child.stdout), buffer(child.stderr), once(child, 'close')]);
    const request = await waiting('touch');
    await approve(request);
    const [, err, [code]] = await ended;
    expect([code, err.toString()]).toEqual([0, expect.stringContaining(`waiting for approval ${request.name} of touch ${file}`)]);
    expect(await readFile(file, 'utf8')).toBe('');
  });

  test('records that nobody waits any more where an agent leaves', async () => {
    const child = start(['bot@127.0.0.1', `touch ${join(sshd.directory, 'never')}`]);
    child.stdin.end();
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    await eventually('the question', () => (err.includes('waiting for approval') ? true : undefined));
    child.kill('SIGKILL');
    await eventually('its end', async () => (/"state":"Withdrawn"/.test(await evidence()) ? true : undefined));
    await expect(readFile(join(sshd.directory, 'never'))).rejects.toThrow('ENOENT');
  });

  test.each([
    ['SFTP', '-s', /NoRuleAllows|ermission denied|NotAnalysable/],
    ['its old protocol', '-O', /NoRuleAllows/],
  ])('moves files by scp with %s as far as rules go, and each is recorded with its digest', async (_, mode, why) => {
    const area = join(sshd.directory, 'area');
    await mkdir(area, { recursive: true });
    const [here, there] = [join(folder.path, 'here'), join(area, `there${mode}`)];
    const content = `content of a file ${mode}\n`;
    const copy = (...args: string[]): Promise<Said> => tool('scp', [mode, '-P', portOf(), ...args]);
    await writeFile(here, content);
    expect(await copy(here, `bot@127.0.0.1:${there}`)).toMatchObject({ code: 0 });
    expect(await readFile(there, 'utf8')).toBe(content);
    expect(await copy(`bot@127.0.0.1:${there}`, `${here}-again`)).toMatchObject({ code: 0 });
    expect(await readFile(`${here}-again`, 'utf8')).toBe(content);
    const [own, none] = [join(sshd.directory, 'agent'), join(sshd.directory, 'nothing')];
    const told: string[] = [];
    for (const path of [own, none, '/etc/passwd', `${area}/../agent`]) {
      const { code, err } = await copy(`bot@127.0.0.1:${path}`, `${here}-not`);
      expect([path, code, err]).toEqual([path, 1, expect.stringMatching(why)]);
      const lines = err.match(/chaperone: .*(?= Reference )/g) ?? [];
      expect(lines, 'each is said once').toEqual([...new Set(lines)]);
      // scp and the ssh that it started write as they come.
      told.push(
        err
          .replaceAll(path, 'PATH')
          .replaceAll(/Reference \S+/g, '')
          .split('\n')
          .toSorted()
          .join('\n'),
      );
    }
    expect(told[1]).toBe(told[0]);
    for (const path of [own, none, `${area}/../other`])
      expect(await copy(here, here, `bot@127.0.0.1:${path}`)).toMatchObject({ err: expect.stringMatching(why) });
    expect(await readFile(own, 'utf8')).toBe(sshd.privateKey);
    const digest = createHash('sha256').update(content).digest('hex');
    await eventually('both records', async () => ((await evidence()).split(digest).length === 3 ? true : undefined));
  });

  test('lists by sftp, and removes nothing that may not be', async () => {
    const area = join(sshd.directory, 'area');
    await writeFile(join(area, 'stays'), '');
    const batch = await tool('sftp', ['-P', portOf(), '-b', '-', 'bot@127.0.0.1'], `ls ${area}\nrm ${area}/stays\n`);
    expect(batch).toMatchObject({ code: 1, out: expect.stringContaining('stays') });
    expect(await readFile(join(area, 'stays'), 'utf8')).toBe('');
  });

  test("holds each file of scp's old protocol, and writes none of a session that is killed", async () => {
    const asked = join(sshd.directory, 'area', 'asked');
    await mkdir(asked, { recursive: true });
    const here = join(folder.path, 'asked');
    await writeFile(here, 'approved\n');
    const copy = (name: string) => {
      const child = start(['-O', here, `bot@127.0.0.1:${asked}/${name}`], 'scp', '-P');
      return Promise.all([buffer(child.stderr), once(child, 'close')]);
    };
    const first = copy('first');
    await approve(await waiting('asked/first'));
    const [said, [code]] = await first;
    expect([code, said.toString()]).toEqual([0, expect.stringContaining('waiting for approval')]);
    expect(await readFile(join(asked, 'first'), 'utf8')).toBe('approved\n');
    const second = copy('second');
    await waiting('asked/second');
    const { name } = await eventually('its session', async () => {
      const sessions = await ofAll<{ name: string; state: string }>('sessions', 'ls');
      return sessions.find(({ state }) => state === 'open');
    });
    await run(['sessions', 'kill', name, '--data', data, '--reason', 'gone wrong']);
    const [why, [killed]] = await second;
    expect([killed, why.toString()]).toEqual([1, expect.stringContaining('SessionEnded')]);
    await expect(readFile(join(asked, 'second'))).rejects.toThrow('ENOENT');
  });

  test('carries rsync and git on the paths of rules, and on no other', async () => {
    const area = join(sshd.directory, 'area');
    await mkdir(area, { recursive: true });
    const tree = join(folder.path, 'tree');
    await mkdir(join(tree, 'below'), { recursive: true });
    await writeFile(join(tree, 'below', 'file'), 'of a tree\n');
    const shell = ['ssh', ...options(), '-p', portOf()].join(' ');
    const rsync = (...args: string[]) => plain('rsync', ['-a', '-e', shell, ...args]);
    expect(await rsync(`${tree}/`, `bot@127.0.0.1:${area}/tree/`)).toMatchObject({ code: 0 });
    expect(await readFile(join(area, 'tree', 'below', 'file'), 'utf8')).toBe('of a tree\n');
    expect(await rsync(`bot@127.0.0.1:${area}/tree/`, `${tree}-again/`)).toMatchObject({ code: 0 });
    expect(await readFile(join(`${tree}-again`, 'below', 'file'), 'utf8')).toBe('of a tree\n');
    expect((await rsync(`${tree}/`, `bot@127.0.0.1:${sshd.directory}/other/`)).code).not.toBe(0);
    const links = join(folder.path, 'links');
    await mkdir(links);
    await symlink(sshd.directory, join(links, 'out'));
    expect(await rsync(`${links}/`, `bot@127.0.0.1:${area}/links/`)).toMatchObject({ code: 0 });
    expect((await rsync(`bot@127.0.0.1:${area}/links/out/agent`, `${links}-stolen`)).code).not.toBe(0);
    expect((await rsync(join(tree, 'below', 'file'), `bot@127.0.0.1:${area}/links/out/planted`)).code).not.toBe(0);
    await expect(readFile(join(sshd.directory, 'planted'))).rejects.toThrow('ENOENT');
    expect((await rsync('-L', `bot@127.0.0.1:${area}/links/`, `${links}-followed/`)).err).toContain(
      'chaperone: rsync --server --sender',
    );
    expect(await rsync(`bot@127.0.0.1:${area}/links/`, `${links}-again/`)).toMatchObject({ code: 0 });
    expect(await readlink(join(`${links}-again`, 'out'))).toBe(sshd.directory);
    // Links that the host has.
    await symlink(sshd.directory, join(area, 'away'));
    await symlink(join(area, 'tree'), join(area, 'within'));
    expect(await rsync(`bot@127.0.0.1:${area}/within/`, `${tree}-within/`)).toMatchObject({ code: 0 });
    expect(await readFile(join(`${tree}-within`, 'below', 'file'), 'utf8')).toBe('of a tree\n');
    expect(await rsync('--mkpath', `${tree}/`, `bot@127.0.0.1:${area}/new/and/newer/`)).toMatchObject({ code: 0 });
    expect(await readFile(join(area, 'new', 'and', 'newer', 'below', 'file'), 'utf8')).toBe('of a tree\n');
    const led = `READ on ${sshd.directory}/agent is not covered by any rule (NoRuleAllows)`;
    expect((await rsync(`bot@127.0.0.1:${area}/away/agent`, `${links}-away`)).err).toContain(led);
    await expect(readFile(`${links}-away`)).rejects.toThrow('ENOENT');
    const deep = ['--mkpath', join(tree, 'below', 'file'), `bot@127.0.0.1:${area}/away/deep/er/planted`];
    expect((await rsync(...deep)).err).toContain(`WRITE on ${sshd.directory}/deep/er/planted is not covered`);
    await expect(readFile(join(sshd.directory, 'deep', 'er', 'planted'))).rejects.toThrow('ENOENT');
    // Rules that the host's rsync would read out of a file, and tell of.
    const ruled = (...args: string[]) => rsync(...args, `bot@127.0.0.1:${area}/tree/`, `${tree}-ruled/`);
    const named = 'a filter rule of rsync may name a file of the host';
    expect((await ruled('-f', `:- ${sshd.directory}/agent`)).err).toContain(named);
    expect((await ruled('-F')).err).toContain(named);
    expect((await rsync('-m', '-f', ': /x', `${tree}/`, `bot@127.0.0.1:${area}/tree/`)).err).toContain(named);
    await expect(readdir(`${tree}-ruled`)).rejects.toThrow('ENOENT');
    expect(await ruled('--exclude', 'file', '--include', 'below')).toMatchObject({ code: 0 });
    expect(await readdir(join(`${tree}-ruled`, 'below'))).toEqual([]);
    const git = (...args: string[]) =>
      plain('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.c', '-c', `core.sshCommand=${shell}`, ...args]);
    expect(await git('init', '-q', '--bare', join(area, 'repo.git'))).toMatchObject({ code: 0 });
    expect(await git('init', '-q', '-b', 'main', tree)).toMatchObject({ code: 0 });
    expect(await git('-C', tree, 'add', '.')).toMatchObject({ code: 0 });
    expect(await git('-C', tree, 'commit', '-qm', 'first')).toMatchObject({ code: 0 });
    const url = `ssh://bot@127.0.0.1${area}/repo.git`;
    expect(await git('-C', tree, 'push', '-q', url, 'main')).toMatchObject({ code: 0 });
    expect(await git('clone', '-q', '-b', 'main', url, `${tree}-cloned`)).toMatchObject({ code: 0 });
    expect(await readFile(join(`${tree}-cloned`, 'below', 'file'), 'utf8')).toBe('of a tree\n');
    const refused = await git('clone', '-q', `ssh://bot@127.0.0.1${sshd.directory}/repo.git`, `${tree}-not`);
    expect([refused.code, refused.err]).toEqual([128, expect.stringContaining('NoRuleAllows')]);
    // By a link to a repository that no rule names, and by a name that git completes to one that a rule denies.
    expect(await git('clone', '-q', '--bare', url, join(sshd.directory, 'other.git'))).toMatchObject({ code: 0 });
    expect(await git('clone', '-q', '--bare', url, join(area, 'hidden.git'))).toMatchObject({ code: 0 });
    for (const [name, why] of [
      ['away/other.git', `READ on ${sshd.directory}/other.git is not covered`],
      ['away/other', `READ on ${sshd.directory}/other is not covered`],
      ['hidden', `READ on ${area}/hidden.git is denied by rule "hidden"`],
    ] as const) {
      const { code, err } = await git('clone', '-q', `ssh://bot@127.0.0.1${area}/${name}`, `${tree}-${name}`);
      expect([name, code, err]).toEqual([name, 128, expect.stringContaining(why)]);
    }
    // What git would not take for a command, a shell would.
    const ran = join(sshd.directory, 'ran');
    for (const command of [
      `git-upload-pack '--timeout=$(touch ${ran})' ${area}/repo.git`,
      `git-upload-pack '${area}/$(touch ${ran})' --strict`,
      `git upload-pack '${area}/x;touch ${ran};' --strict`,
    ])
      expect((await plain('ssh', [...options(), '-p', portOf(), 'bot@127.0.0.1', command])).code).not.toBe(0);
    await expect(readFile(ran)).rejects.toThrow('ENOENT');
  });

  test('ends a session that somebody kills, and says so', async () => {
    const child = start(['bot@127.0.0.1', 'sleep 100']);
    child.stdin.end();
    const ended = Promise.all([buffer(child.stderr), once(child, 'close')]);
    const name = await eventually('a session', async () => {
      const { items } = await up.get<{ items: { name: string; state: string; actions: number }[] }>('/v1/sessions');
      return items.find(({ state, actions }) => state === 'open' && actions === 1)?.name;
    });
    expect(await run(['sessions', 'kill', name, '--data', data, '--reason', 'gone wrong'])).toMatchObject({ code: 0 });
    const [err, [code]] = await ended;
    expect([code, err.toString()]).toEqual([255, expect.stringMatching(/this session was ended.*\(SessionEnded\)/)]);
  });

  test('leaves evidence of each, that verifies', async () => {
    const { out } = await run(['sessions', 'ls', '--data', data, '-o', 'json']);
    const sessions = (JSON.parse(out) as { items: { name: string; actions: number }[] }).items;
    expect(sessions.length).toBeGreaterThan(5);
    expect(await run(['verify', '--data', data, sessions[0]?.name ?? ''])).toMatchObject({ code: 0 });
  });
});
