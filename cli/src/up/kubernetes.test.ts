import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { eventually, temporaryDirectory, testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, Up } from '../program.test-support.ts';

describe('the Kubernetes API through chaperone up', () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  let server: Server;
  let up: Awaited<ReturnType<typeof Up.start>>;
  let data: string;
  const seen: IncomingMessage[] = [];

  beforeAll(async () => {
    folder = await temporaryDirectory('chaperone-kubernetes-');
    data = join(folder.path, 'data');
    const authority = await testAuthority();
    const leaf = await authority.issue(['127.0.0.1']);
    server = createServer({ cert: leaf.certificate, key: leaf.key }, (asked, response) => {
      seen.push(asked);
      const secret = {
        metadata: { name: 'db', labels: { app: 'web' } },
        data: { password: Buffer.from('hunter2').toString('base64') },
      };
      const one = { kind: 'Secret', apiVersion: 'v1', ...secret };
      const found = asked.url?.endsWith('/db') === true ? one : { kind: 'SecretList', items: [secret] };
      response.setHeader('content-type', 'application/json').end(JSON.stringify(found));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const manifests = join(folder.path, 'manifests');
    await mkdir(manifests);
    await writeFile(
      join(manifests, 'cluster.yaml'),
      `apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: cluster, namespace: data}
spec:
  protocol: kubernetes
  hosts: [cluster]
  port: 6443
  upstream: {address: "${address}", tls: {caRef: {name: cluster-ca}}}
  credentials: {secretRef: {name: cluster-agent}}
  kubernetes: {identity: credential}
  grantedTo: [{namespace: agents, operations: [get, list, delete]}]
---
apiVersion: v1
kind: Secret
metadata: {name: cluster-ca, namespace: data}
stringData:
  ca.crt: |
    ${authority.ca.trimEnd().replaceAll('\n', '\n    ')}
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
  rules:
  - {name: look, effect: Allow, resource: {namespace: data, name: cluster}, kubernetes: {verbs: [get, list], resources: [secrets], namespaces: [shop]}}
  - {name: drop, effect: RequireApproval, resource: {namespace: data, name: cluster}, kubernetes: {verbs: [delete], resources: [secrets], namespaces: [shop], names: [db]}, approval: {approvers: {groups: [sre]}}}
`,
    );
    up = await Up.start(manifests, data);
  });
  afterAll(async () => {
    await up?.[Symbol.asyncDispose]();
    server?.closeAllConnections();
    server?.close();
    await folder?.[Symbol.asyncDispose]();
  });

  const ask = async (method: string, path: string): Promise<{ status: number | undefined; body: string }> => {
    const [host, port] = (up.ready.resources[0]?.address ?? '').split(':');
    const asked = request({ host, port, method, path, agent: false }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return { status: response.statusCode, body: await text(response) };
  };

  test('is judged, masked, asked with the credential of the owner, and recorded', async () => {
    const listed = await ask('GET', '/api/v1/namespaces/shop/secrets');
    expect(listed.status).toBe(200);
    expect(listed.body).toContain(Buffer.from('*****').toString('base64'));
    expect(await ask('DELETE', '/api/v1/namespaces/shop/secrets/other')).toMatchObject({
      status: 403,
      body: expect.stringContaining('DELETE on secrets other in shop is not covered by any rule (NoRuleAllows)'),
    });
    expect(seen.map(({ method, headers }) => [method, headers.authorization])).toEqual([['GET', 'Bearer of-the-owner']]);
    const session = await eventually('its session', async () => {
      const { items } = await up.get<{
        items: { name: string; resource: { protocol: string }; denied: number; state: string }[];
      }>('/v1/sessions');
      return items.find(({ denied, state }) => denied === 1 && state !== 'open');
    });
    expect(session.resource.protocol).toBe('kubernetes');
    const { out } = await run(['sessions', 'replay', session.name, '--data', data]);
    expect(out).toContain('DELETE /api/v1/namespaces/shop/secrets/other');
    expect(out).toContain('NoRuleAllows');
    const shown = await run(['sessions', 'show', session.name, '--data', data]);
    expect(shown.out).toMatch(/deny +NoRuleAllows +- +- +delete +v1\/secrets +shop\/other/);
    expect(await run(['verify', '--data', data, session.name])).toMatchObject({ code: 0 });
  });

  test('is held where a rule asks people, who see what goes, and runs once they approve', async () => {
    seen.length = 0;
    const answered = ask('DELETE', '/api/v1/namespaces/shop/secrets/db');
    const held = await eventually('its request', async () => {
      const { items } = await up.get<{ items: { metadata: { name: string }; status?: { preview?: object } }[] }>('/v1/requests');
      return items.find(({ status }) => status?.preview !== undefined);
    });
    const { out } = await run(['requests', 'show', held.metadata.name, '--data', data]);
    expect(out).toContain('Asks for  DELETE on secrets db in shop on data/cluster (kubernetes)');
    expect(out).toContain('Change    tried as a dry run when it was asked for');
    expect(out).toMatch(/ - kind: Secret\n[^]* -   name: db\n[^]* - {5}app: web\n/);
    expect(out).not.toMatch(/password|hunter2/);
    expect(seen.map(({ method }) => method)).toEqual(['GET']);
    const digest = /Digest +(\S+)/.exec(out)?.[1] ?? '';
    expect(await run(['approve', held.metadata.name, '--digest', digest, '--data', data])).toMatchObject({ code: 0 });
    expect((await answered).status).toBe(200);
    expect(seen.map(({ method }) => method)).toEqual(['GET', 'DELETE']);
  });
});
