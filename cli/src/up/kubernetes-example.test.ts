import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory, testAuthority } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { Program, run } from '../program.test-support.ts';

const EXAMPLE = join(import.meta.dirname, '../../../examples/kubernetes');
const AGENT = ['--agent', 'agents/release-agent'] as const;
const SHOP = '/api/v1/namespaces/shop';
const DEPLOYMENT = '/apis/apps/v1/namespaces/shop/deployments/web';
const GREETING = { contentType: 'application/merge-patch+json', body: { data: { greeting: 'hello' } } };

test.each<[what: string, asked: object, verdict: string, code: string, rule: string]>([
  ['a list', { method: 'GET', path: `${SHOP}/pods` }, 'allow', 'Allowed', 'look'],
  ['a masked object', { method: 'GET', path: `${SHOP}/secrets/payments` }, 'allow', 'Allowed', 'look'],
  ['a log', { method: 'GET', path: `${SHOP}/pods/web-1/log` }, 'allow', 'Allowed', 'look'],
  ['all namespaces', { method: 'GET', path: '/api/v1/pods' }, 'deny', 'NoRuleAllows', ''],
  ['what a rule denies', { method: 'DELETE', path: `${SHOP}/secrets/payments` }, 'deny', 'DeniedByRule', 'never'],
  ['a command', { method: 'POST', path: `${SHOP}/pods/web-1/exec?command=ls&command=/` }, 'allow', 'Allowed', 'look-inside'],
  ['another', { method: 'POST', path: `${SHOP}/pods/web-1/exec?command=id` }, 'deny', 'NoRuleAllows', ''],
  ['more pods', { method: 'PATCH', path: `${DEPLOYMENT}/scale`, ...GREETING }, 'deny', 'NeverAllowed', ''],
  [
    'what people are asked about',
    { method: 'PATCH', path: `${SHOP}/configmaps/settings`, ...GREETING },
    'approve',
    'ApprovalPending',
    'change',
  ],
])('the example says of %s what its text says', async (_, asked, verdict, code, rule) => {
  const { out, err } = await run(['policy', 'check', '--manifests', EXAMPLE, ...AGENT, '--resource', 'data/staging'], {
    input: `${JSON.stringify(asked)}\n`,
  });
  expect([JSON.parse(out), err]).toEqual([expect.objectContaining({ verdict, code, rule }), '']);
});

test('the example runs under chaperone up, which says how to get there', async () => {
  const folder = await temporaryDirectory('chaperone-example-');
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const pem = (await testAuthority()).ca.trimEnd().replaceAll('\n', '\n    ');
  const manifests = join(folder.path, 'manifests');
  await mkdir(manifests);
  for (const name of ['policy.yaml', 'resource.yaml', 'secret.yaml']) {
    const text = await readFile(join(EXAMPLE, name), 'utf8');
    await writeFile(
      join(manifests, name),
      text.replace(/token: .*/, 'token: of-the-owner').replace(/ca\.crt: .*/, `ca.crt: |\n    ${pem}`),
    );
  }
  const up = new Program(['up', '--manifests', manifests, ...AGENT, '--data', join(folder.path, 'data')]);
  onTestFinished(() => up[Symbol.asyncDispose]());
  expect(await up.firstLine()).toMatch(
    /^ready {3}data\/staging {3}kubernetes {3}127\.0\.0\.1:(\d+) {3}kubectl --kubeconfig \/dev\/null --server http:\/\/127\.0\.0\.1:\1$/,
  );
  expect(await up.signal('SIGTERM')).toMatchObject({ code: 0 });
});
