import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ended, run } from '../program.test-support.ts';

const MANIFESTS = `apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: staging, namespace: data}
spec:
  protocol: kubernetes
  hosts: [staging.corp]
  port: 6443
  upstream: {address: "10.0.4.2:6443"}
  credentials: {secretRef: {name: staging-agent}}
  kubernetes: {identity: credential}
  grantedTo: [{namespace: agents, operations: ["*"]}]
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: bot, namespace: agents}
spec:
  agents: {serviceAccounts: [bot]}
  rules:
  - {name: look, effect: Allow, resource: {namespace: data, name: staging}, kubernetes: {verbs: [get, list, watch], resources: [configmaps, pods/log, deployments.apps], namespaces: [shop], nonResourcePaths: [/healthz]}}
  - {name: scale, effect: RequireApproval, resource: {namespace: data, name: staging}, kubernetes: {verbs: [patch, create, update, delete], resources: [configmaps, secrets, deployments.apps/scale], namespaces: [shop]}, approval: {approvers: {groups: [sre]}}}
  - {name: keep, effect: Deny, resource: {namespace: data, name: staging}, kubernetes: {verbs: [delete], resources: [configmaps], names: [keep-*]}}
`;

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  folder = await temporaryDirectory();
  await writeFile(join(folder.path, 'cluster.yaml'), MANIFESTS);
});
afterAll(() => folder[Symbol.asyncDispose]());

const check = (...actions: (object | string)[]): Promise<Ended> =>
  run(['policy', 'check', '--manifests', folder.path, '--agent', 'agents/bot', '--resource', 'data/staging'], {
    input: actions.map((action) => `${typeof action === 'string' ? action : JSON.stringify(action)}\n`).join(''),
  });
const lines = ({ out }: Ended): object[] =>
  out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as object);

const IN_SHOP = '/api/v1/namespaces/shop';
const APPS = '/apis/apps/v1/namespaces/shop';
const MAP = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } };
const POD = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec: { containers: [{ name: 'a', image: 'a' }] } };

test('requests of the Kubernetes API are judged as a session of chaperone up judges them', async () => {
  const cases: [action: object, verdict: string, code: string, rule: string, more?: object][] = [
    [{ method: 'GET', path: `${IN_SHOP}/configmaps` }, 'allow', 'Allowed', 'look', { effects: [{ verb: 'list' }] }],
    [{ method: 'GET', path: `${IN_SHOP}/configmaps?watch=1` }, 'allow', 'Allowed', 'look', { effects: [{ verb: 'watch' }] }],
    [{ method: 'GET', path: `${IN_SHOP}/pods/web/log?follow=true` }, 'allow', 'Allowed', 'look'],
    [{ method: 'GET', path: '/apis' }, 'allow', 'Allowed', ''],
    [{ method: 'GET', path: '/healthz' }, 'allow', 'Allowed', 'look'],
    [{ method: 'GET', path: '/metrics' }, 'deny', 'NoRuleAllows', ''],
    [{ method: 'GET', path: '/api/v1/configmaps' }, 'deny', 'NoRuleAllows', ''],
    [{ method: 'DELETE', path: `${IN_SHOP}/configmaps/keep-me` }, 'deny', 'DeniedByRule', 'keep'],
    [{ method: 'POST', path: `${IN_SHOP}/configmaps`, body: MAP }, 'approve', 'ApprovalPending', 'scale'],
    [
      { method: 'PATCH', path: `${APPS}/deployments/web/scale`, body: { spec: { replicas: 3 } } },
      'deny',
      'NeverAllowed',
      '',
      { detail: 'Ungoverned', effects: [{ object: 'deployments.apps/scale web in shop', verdict: 'deny' }] },
    ],
    [
      { method: 'PATCH', path: `${IN_SHOP}/configmaps/a`, body: [{ op: 'remove', path: '/data/a' }] },
      'approve',
      'ApprovalPending',
      'scale',
      { upstream: `PATCH ${IN_SHOP}/configmaps/a` },
    ],
    [
      {
        method: 'PATCH',
        path: `${IN_SHOP}/configmaps/a?fieldManager=x`,
        body: 'apiVersion: v1\nkind: ConfigMap\n',
        contentType: 'application/apply-patch+yaml',
      },
      'deny',
      'NotAnalysable',
      '',
      { detail: 'BodyUnreadable' },
    ],
    [
      { method: 'POST', path: `${IN_SHOP}/configmaps`, body: '{"a":1,"a":2}' },
      'deny',
      'NotAnalysable',
      '',
      { detail: 'BodyAmbiguous' },
    ],
    [{ method: 'POST', path: `${IN_SHOP}/pods`, body: POD }, 'deny', 'NeverAllowed', '', { detail: 'Ungoverned' }],
    [{ method: 'GET', path: `${IN_SHOP}/services/a/proxy/` }, 'deny', 'NotAnalysable', '', { detail: 'PathSegment' }],
    [{ method: 'GET', path: `${IN_SHOP}/services/a/proxy` }, 'deny', 'NeverAllowed', '', { detail: 'Proxy' }],
    [{ method: 'GET', path: `${IN_SHOP}//configmaps` }, 'deny', 'NotAnalysable', '', { detail: 'PathSegment' }],
    [{ method: 'PATCH', path: `${IN_SHOP}/secrets/a`, body: { data: { a: 'KioqKio=' } } }, 'deny', 'MaskedValueWrite', ''],
  ];
  const ended = await check(...cases.map(([action]) => action));
  expect([ended.code, ended.err]).toEqual([0, '']);
  const found = lines(ended);
  for (const [index, [action, verdict, code, rule, more = {}]] of cases.entries())
    expect(found[index], JSON.stringify(action)).toMatchObject({ verdict, code, rule, ...more });
});

test('a way into a pod is judged as one by either method, and by no rule about get', async () => {
  const path = `${IN_SHOP}/pods/web/exec?command=sh`;
  const answers = lines(await check({ method: 'GET', path }, { method: 'POST', path }));
  for (const answer of answers) expect(answer).toMatchObject({ verdict: 'deny', effects: [{ verb: 'exec' }] });
  expect(answers).toHaveLength(2);
});

test.each(['copy', 'move', 'test'])('is refused where a JSON Patch tells what a Secret holds: %s', async (op) => {
  const path = '/data/password';
  const operation = { op, path, ...(op === 'test' ? { value: 'aHVudGVyMg==' } : { from: '/data/other' }) };
  const [secret, map] = lines(
    await check(
      { method: 'PATCH', path: `${IN_SHOP}/secrets/db`, body: [operation] },
      { method: 'PATCH', path: `${IN_SHOP}/configmaps/db`, body: [operation] },
    ),
  );
  expect(secret).toMatchObject({ verdict: 'deny', code: 'LabelledValueWrite' });
  expect(map).toMatchObject({ verdict: 'approve', rule: 'scale' });
});

test('what would go upstream is told, written anew', async () => {
  const [answer] = lines(await check({ method: 'GET', path: `${IN_SHOP}/configmaps?labelSelector=app%3Dweb` }));
  expect(answer).toEqual({
    verdict: 'allow',
    rule: 'look',
    code: 'Allowed',
    reason: expect.any(String),
    effects: [{ verb: 'list', object: 'configmaps in shop', via: 'direct', verdict: 'allow', rule: 'look' }],
    upstream: `GET ${IN_SHOP}/configmaps?labelSelector=app%3Dweb`,
  });
});

test.each<[string, object | string, RegExp]>([
  ['no JSON', 'GET /api', /not JSON; write for example \{"method":/],
  ['a statement of SQL', { sql: 'select 1' }, /not "method" and "path"/],
  ['a request without a path', { method: 'GET' }, /not "method" and "path"/],
  ['a typing error', { method: 'GET', path: '/api', bdoy: {} }, /with "body" and "contentType"/],
])('%s is no action: denied with Usage and how to write one, exit 2', async (_, line, reason) => {
  const ended = await check(line, { method: 'GET', path: '/api' });
  expect(lines(ended)).toMatchObject([{ verdict: 'deny', code: 'Usage' }, { verdict: 'allow' }]);
  expect((lines(ended)[0] as { reason: string }).reason).toMatch(reason);
  expect(ended.code).toBe(2);
});
