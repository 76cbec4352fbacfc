import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ended, run } from '../program.test-support.ts';

const resource = (name: string, upstream: string): string => `apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${name}, namespace: data}
spec:
  protocol: ssh
  hosts: [${name}.corp]
  port: 22
  upstream: {address: "${upstream}:22"}
  credentials: {secretRef: {name: agent}}
  ssh: {hostKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHxjKNhC2FyrlxgDCNC5yGZopBL9tHKLB/R0hk8H9pXa]}
  grantedTo: [{namespace: agents, operations: [exec, shell, forward, read, write, list]}]
---
`;
const rule = (name: string, effect: string, ssh: string, more = ''): string =>
  `  - {name: ${name}, effect: ${effect}, resource: {namespace: data, name: web-1}, ssh: ${ssh}${more}}\n`;
const APPROVERS = ', approval: {approvers: {groups: [sre]}}';
const policy = (...rules: string[]): string => `apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: bot, namespace: agents}
spec:
  agents: {serviceAccounts: [bot]}
  rules:
${rules.join('')}  - {name: other, effect: Allow, resource: {namespace: data, name: web-2}, ssh: {commands: [ls]}}
`;

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  folder = await temporaryDirectory();
  const text =
    resource('web-1', '10.0.4.17') +
    resource('web-2', '10.0.4.18') +
    resource('hidden', '10.0.4.19').replace('namespace: agents', 'namespace: others') +
    policy(
      rule('look', 'Allow', '{commands: [ls **, sudo -n **, systemctl status *]}'),
      rule('files', 'Allow', '{files: {operations: [read, list], paths: [/srv/**]}}'),
      rule('database', 'Allow', '{forward: ["db.corp:5432", "*.corp:22"]}'),
      rule('log-in', 'RequireApproval', '{shell: true}', APPROVERS),
      rule('ask', 'RequireApproval', '{commands: ["**"]}', APPROVERS),
    );
  await writeFile(join(folder.path, 'hosts.yaml'), text);
});
afterAll(() => folder[Symbol.asyncDispose]());

const check = (input: string): Promise<Ended> =>
  run(['policy', 'check', '--manifests', folder.path, '--agent', 'agents/bot', '--resource', 'data/web-1'], { input });
const lines = (out: string): object[] =>
  out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as object);

const upstream = (text: string): object => ({ upstream: text });
const ask = (command: string): string => `${JSON.stringify({ command })}\n`;

test('requests of SSH are judged as a session judges them: commands, files, forwards, subsystems and shells', async () => {
  const cases: [object, string, string, string, object?][] = [
    [{ command: 'ls   -l "a b"' }, 'approve', 'ApprovalPending', 'ask', upstream("ls -l 'a b'")],
    [{ command: 'ls -l', terminal: true }, 'approve', 'ApprovalPending', 'log-in', upstream('ls -l')],
    [{ command: 'git-upload-pack /srv/a.git' }, 'approve', 'ApprovalPending', 'ask', upstream("git-upload-pack '/srv/a.git'")],
    [{ command: 'rsync --server --delete -r . /srv/a' }, 'deny', 'NoRuleAllows', ''],
    [{ command: '' }, 'deny', 'ProtocolViolation', ''],
    [{ file: { operation: 'read', path: '/srv/a' } }, 'allow', 'Allowed', 'files'],
    [{ file: { operation: 'write', path: '/srv/a' } }, 'deny', 'NoRuleAllows', ''],
    [{ file: { operation: 'read', path: '/srv/../etc/shadow' } }, 'deny', 'NotAnalysable', ''],
    [{ file: { operation: 'read', path: 'a' } }, 'deny', 'NotAnalysable', ''],
    [{ forward: 'db.corp:5432' }, 'allow', 'Allowed', 'database'],
    [{ forward: 'db.corp:5433' }, 'deny', 'NoRuleAllows', ''],
    [{ forward: 'web-2.corp:22' }, 'deny', 'NotGranted', ''],
    [{ forward: 'hidden.corp:22' }, 'deny', 'NotGranted', ''],
    [{ forward: 'nobodys.corp:22' }, 'allow', 'Allowed', 'database'],
    [{ forward: '0x7f.1:22' }, 'deny', 'NotAnalysable', ''],
    [{ subsystem: 'sftp' }, 'allow', 'Allowed', 'files'],
    [{ subsystem: 'netconf' }, 'deny', 'NoRuleAllows', ''],
    [{ shell: true }, 'approve', 'ApprovalPending', 'log-in'],
  ];
  const { code, out, err } = await check(cases.map(([action]) => `${JSON.stringify(action)}\n`).join(''));
  expect([code, err]).toEqual([0, '']);
  const found = lines(out);
  for (const [index, [action, verdict, word, ruleName, more = {}]] of cases.entries())
    expect(found[index], JSON.stringify(action)).toMatchObject({ verdict, code: word, rule: ruleName, ...more });
});

test('what cannot be told of a command is said, with what is nested in one', async () => {
  const { out } = await check(ask('ls $HOME') + ask('sudo -n systemctl stop nginx') + ask('\u001b[2J'));
  const [expansion, nested, odd] = lines(out);
  expect(expansion).toEqual({
    verdict: 'approve',
    rule: 'ask',
    code: 'ApprovalPending',
    reason: 'EXEC ls $HOME needs approval by rule "ask"',
    effects: [{ verb: 'exec', object: 'ls $HOME', via: 'direct', verdict: 'approve', rule: 'ask' }],
    unknown: { code: 'Expansion', why: 'a shell would put something in place of $ or a backtick', at: 3 },
    upstream: 'ls $HOME',
  });
  expect(nested).toMatchObject({
    effects: [
      { object: 'sudo -n systemctl stop nginx', via: 'direct', rule: 'ask' },
      { object: 'systemctl stop nginx', via: 'nested', rule: 'ask' },
    ],
  });
  expect(odd).toMatchObject({ unknown: { code: 'ControlCharacter', at: 0 } });
  expect(out).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
});

test('a denial says what an agent is told of it', async () => {
  const { out } = await check(
    ask('rsync --server --sender -r . srv') +
      ask('rsync --server --delete -r . /srv/a') +
      `${JSON.stringify({ subsystem: 'netconf' })}\n`,
  );
  expect(lines(out)).toMatchObject([
    { why: 'its path is relative, and what lies there is not known', instead: expect.stringContaining('the whole path') },
    { code: 'NoRuleAllows' },
    { why: 'it wants a rule with ssh.subsystems' },
  ]);
});

test.each<[string, string, RegExp]>([
  ['no JSON', 'ls', /not JSON; write for example \{"command":/],
  ['a statement of SQL', '{"sql":"select 1"}', /none of "command", "file", "forward", "subsystem", "shell"/],
  ['a command that is no text', '{"command":["ls"]}', /"command" is not one/],
  ['two requests in one', '{"command":"ls","shell":true}', /something is beside it/],
  ['an operation that there is not', '{"file":{"operation":"reed","path":"/x"}}', /one of read, write, list, delete/],
  ['a shell that is none', '{"shell":false}', /write \{"shell":true\}/],
])('%s is no action: denied with Usage and how to write one, exit 2', async (_, line, reason) => {
  const { code, out } = await check(`${line}\n{"command":"id"}\n`);
  expect(lines(out)).toMatchObject([{ verdict: 'deny', code: 'Usage' }, { verdict: 'approve' }]);
  expect((lines(out)[0] as { reason: string }).reason).toMatch(reason);
  expect(code).toBe(2);
});
