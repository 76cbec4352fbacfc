import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasSshd, startSshd, temporaryDirectory, type TestSshd } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Program, run } from '../program.test-support.ts';
import { Talk } from './ssh.test-support.ts';

const EXAMPLE = join(import.meta.dirname, '../../../examples/ssh');
const AGENT = 'agents/operator-agent';
const OPERATOR = ['--agent', AGENT] as const;

test.each<[what: string, asked: object, verdict: string, code: string, rule: string]>([
  ['a command that a rule allows', { command: 'tail -n 5 /tmp/host/app/app.log' }, 'allow', 'Allowed', 'look'],
  ['a secret by a command', { command: 'cat /tmp/host/app/secrets/token' }, 'deny', 'NoRuleAllows', ''],
  ['one that a rule denies', { command: 'rm -rf /' }, 'deny', 'DeniedByRule', 'never'],
  ['one that a shell would read further', { command: 'ls /tmp/host/app/*.log' }, 'deny', 'DeniedByRule', 'never'],
  ['one that people are asked about', { command: 'touch /tmp/host/app/restart' }, 'approve', 'ApprovalPending', 'restart'],
  ['a shell', { shell: true }, 'approve', 'ApprovalPending', 'repair'],
  ['a file', { file: { operation: 'write', path: '/tmp/host/app/x' } }, 'allow', 'Allowed', 'app-files'],
  ['a secret', { file: { operation: 'read', path: '/tmp/host/app/secrets/token' } }, 'deny', 'DeniedByRule', 'no-secrets'],
  ['a tree with secrets', { command: 'rsync --server --sender -r . /tmp/host/app' }, 'deny', 'DeniedByRule', 'no-secrets'],
  ['anything else', { command: 'id' }, 'deny', 'NoRuleAllows', ''],
])('the example says of %s what its text says', async (_, asked, verdict, code, rule) => {
  const resource = ['--resource', 'data/web-1'] as const;
  const { out, err } = await run(['policy', 'check', '--manifests', EXAMPLE, ...OPERATOR, ...resource], {
    input: `${JSON.stringify(asked)}\n`,
  });
  expect([JSON.parse(out), err]).toEqual([expect.objectContaining({ verdict, code, rule }), '']);
});

/** The files of the example, for this server. */
async function fill(directory: string, sshd: TestSshd): Promise<void> {
  await mkdir(directory);
  for (const name of (await readdir(EXAMPLE)).filter((each) => each.endsWith('.yaml'))) {
    const text = (await readFile(join(EXAMPLE, name), 'utf8'))
      .replaceAll('/tmp/host', sshd.directory)
      .replaceAll('127.0.0.1:2200', `127.0.0.1:${sshd.port}`)
      .replace(/ssh-ed25519 AAAA.*/, sshd.hostKey)
      .replace('replace with the account', sshd.user)
      .replace(/ssh-privatekey: .*/, `ssh-privatekey: |\n    ${sshd.privateKey.trimEnd().replaceAll('\n', '\n    ')}`);
    await writeFile(join(directory, name), text);
  }
}

describe.runIf(hasSshd)('the example of SSH', () => {
  test('runs under chaperone up, which says how to get there and when other manifests are in force', async () => {
    const folder = await temporaryDirectory('chaperone-example-');
    onTestFinished(() => folder[Symbol.asyncDispose]());
    const sshd = await startSshd();
    onTestFinished(() => sshd[Symbol.asyncDispose]());
    const app = join(sshd.directory, 'app');
    await mkdir(join(app, 'secrets'), { recursive: true });
    await writeFile(join(app, 'app.log'), 'paid with 4111 1111 1111 1111\n');
    const [manifests, data] = [join(folder.path, 'manifests'), join(folder.path, 'data of it')];
    await fill(manifests, sshd);
    const up = new Program(['up', '--manifests', manifests, ...OPERATOR, '--data', data]);
    onTestFinished(() => up[Symbol.asyncDispose]());

    const [, port, line = ''] = /^ready {3}data\/web-1 {3}ssh {3}127\.0\.0\.1:(\d+) {3}(.*)$/.exec(await up.firstLine()) ?? [];
    expect(line).toBe(`ssh -o 'UserKnownHostsFile="${data}/known_hosts"' -p ${port} 127.0.0.1`);
    const ssh = (command: string) => new Talk('sh', ['-c', `${line} ${command}`]).ended;
    expect(await ssh(`tail -n 5 ${app}/app.log`)).toEqual({ code: 0, out: 'paid with *****\n', err: '' });
    expect(await ssh(`rm -rf ${app}`)).toMatchObject({ code: 126, err: expect.stringContaining('deployment pipeline') });
    const policy = join(manifests, 'policy.yaml');
    await writeFile(policy, (await readFile(policy, 'utf8')).replace('uptime, ', 'uptime, "true", '));
    await up.says('manifests changed, and are in force');
    expect(await ssh('true')).toMatchObject({ code: 0 });

    await sshd[Symbol.asyncDispose]();
    expect(await ssh('true')).toMatchObject({ code: 75, err: expect.stringContaining('(ResourceNotReady)') });
    await up.says('UpstreamRefused');
    const { code, err } = await up.signal('SIGTERM');
    expect([code, err.match(/UpstreamRefused/g)]).toEqual([0, ['UpstreamRefused']]);
  });
});
