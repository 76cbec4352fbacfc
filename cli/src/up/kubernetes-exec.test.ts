import { readFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, hasPods, KUBECTLS, type Pods, runProgram, startPods, temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, Up } from '../program.test-support.ts';

describe.skipIf(!hasPods)('kubectl exec through chaperone up', () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  let pods: Pods;
  let up: Awaited<ReturnType<typeof Up.start>>;
  let data: string;

  beforeAll(async () => {
    folder = await temporaryDirectory('chaperone-exec-');
    pods = await startPods();
    data = join(folder.path, 'data');
    const manifests = join(folder.path, 'manifests');
    await mkdir(manifests);
    await mkdir(join(folder.path, 'pod'));
    await writeFile(
      join(manifests, 'cluster.yaml'),
      `apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: cluster, namespace: data}
spec:
  protocol: kubernetes
  hosts: [cluster]
  port: 6443
  upstream: {address: "${pods.address}", tls: {caRef: {name: cluster-ca}}}
  credentials: {secretRef: {name: cluster-agent}}
  kubernetes: {identity: credential}
  sensitive: [{label: pii.email, detector: email}]
  grantedTo: [{namespace: agents, operations: [get, exec]}]
---
apiVersion: v1
kind: Secret
metadata: {name: cluster-ca, namespace: data}
stringData:
  ca.crt: |
    ${pods.ca.trimEnd().replaceAll('\n', '\n    ')}
---
apiVersion: v1
kind: Secret
metadata: {name: cluster-agent, namespace: data}
stringData: {token: of-the-owner}
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ops, namespace: agents}
spec:
  agents: {serviceAccounts: [support-agent]}
  recording: {fileBytes: 64Ki}
  rules:
  - {name: look, effect: Allow, resource: {namespace: data, name: cluster}, kubernetes: {verbs: [get], resources: [pods]}}
  - name: run
    effect: Allow
    resource: {namespace: data, name: cluster}
    kubernetes: {verbs: [exec], resources: [pods/exec], commands: [echo **, "false"], files: {operations: [write], paths: ["${folder.path}/pod/**"]}}
`,
    );
    up = await Up.start(manifests, data);
  });
  afterAll(async () => {
    await up?.[Symbol.asyncDispose]();
    await pods?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  test('runs, masked, and is shown, replayed, exported and verified as commands of SSH are', async () => {
    const server = `http://${up.ready.resources[0]?.address ?? ''}`;
    const config = join(folder.path, 'config');
    const names = { cluster: 'c', user: 'u', namespace: 'shop' };
    const clusters = [{ name: 'c', cluster: { server } }];
    await writeFile(
      config,
      JSON.stringify({
        clusters,
        users: [{ name: 'u', user: {} }],
        contexts: [{ name: 'x', context: names }],
        'current-context': 'x',
      }),
    );
    const kubectl = (...args: string[]): ReturnType<typeof runProgram> =>
      runProgram(KUBECTLS[0] ?? '', ['--kubeconfig', config, '--cache-dir', join(folder.path, 'cache'), ...args]);
    expect(await kubectl('exec', 'web', '--', 'echo', 'mail', 'ann@example.com')).toMatchObject({
      stdout: 'mail *****\n',
      status: 0,
    });
    expect((await kubectl('exec', 'web', '--', 'id')).stderr).toContain('NoRuleAllows');
    await writeFile(join(folder.path, 'here'), 'content');
    expect((await kubectl('cp', join(folder.path, 'here'), `web:${folder.path}/pod/there`)).status).toBe(0);
    expect(await readFile(join(folder.path, 'pod', 'there'), 'utf8')).toBe('content');
    const there = `${folder.path}/pod/there`;
    const sessions = await eventually('its sessions', async () => {
      const { items } = await up.get<{ items: { name: string; state: string }[] }>('/v1/sessions');
      if (items.some(({ state }) => state === 'open')) return undefined;
      const records = JSON.stringify(await Promise.all(items.map(({ name }) => up.get<object>(`/v1/sessions/${name}/records`))));
      return ['mail *****', 'NoRuleAllows', there].every((each) => records.includes(each)) ? items : undefined;
    });
    const told = await Promise.all(
      sessions.map(async ({ name }) => {
        const of = (verb: string): ReturnType<typeof run> => run(['sessions', verb, name, '--data', data]);
        const [shown, replayed, exported, verified] = [
          await of('show'),
          await of('replay'),
          await of('export'),
          await run(['verify', '--data', data, name]),
        ];
        return { shown: shown.out, replayed: replayed.out, exported: exported.out, code: verified.code };
      }),
    );
    expect(told.every(({ code }) => code === 0)).toBe(true);
    const all = (what: 'shown' | 'replayed' | 'exported'): string => told.map((each) => each[what]).join('\n');
    expect(all('replayed')).toMatch(/kubectl exec -n shop web -c app -- echo mail \*+[^]*mail \*+/);
    expect(all('replayed')).toContain(there);
    expect(all('shown')).toMatch(/exit 0 [^\n]*kubectl exec -n shop web -c app -- echo mail/);
    expect(all('shown')).not.toContain('/api/v1/namespaces/shop/pods/web ');
    expect(all('exported')).toMatch(/"o","mail \*+/);
    expect(JSON.stringify(told)).not.toContain('ann@example.com');
  });
});
