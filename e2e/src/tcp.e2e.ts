import { testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Installation } from './harness/installation.ts';
import { sessionOf } from './harness/sessions.ts';
import { AGENTS, DATA, Shop } from './harness/shop.ts';

/** A service that is forwarded unseen: reached by its name, on each port by a resource of its own. */
const HOST = 'models.data.svc';
const SERVER = `const { createServer } = require('node:tls');
const { readFileSync } = require('node:fs');
const options = { cert: readFileSync('/etc/models/tls.crt'), key: readFileSync('/etc/models/tls.key') };
for (const port of [8443, 9443])
  createServer(options, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => socket.end('HTTP/1.1 200 OK\\r\\nconnection: close\\r\\n\\r\\nmodel on ' + port + '\\n'));
  }).listen(port);`;
let shop: Shop;
let bot: Agent;
let ca: string;

const resource = (name: string, port: number): object => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ProtectedResource',
  metadata: { name, namespace: DATA },
  spec: {
    protocol: 'tcp',
    hosts: [HOST],
    port,
    upstream: { address: `${HOST}:${port}`, tls: { mode: 'verify-full', caRef: { name: 'models-ca', key: 'ca.crt' } } },
    grantedTo: [{ namespace: AGENTS }],
  },
});
const curl = (url: string, ...args: string[]): ReturnType<Agent['feed']> =>
  bot.feed(ca, 'curl', '-sS', '-m', '8', '--cacert', '/dev/stdin', ...args, url);

async function serve(): Promise<void> {
  const authority = await testAuthority('models CA');
  const leaf = await authority.issue([HOST]);
  ca = authority.ca;
  const labels = { app: 'models' };
  const container = {
    name: 'models',
    image: shop.installation.image('agent'),
    command: ['node', '-e', SERVER],
    readinessProbe: { tcpSocket: { port: 9443 }, periodSeconds: 1 },
    volumeMounts: [{ name: 'tls', mountPath: '/etc/models' }],
  };
  const ports = [8443, 9443].map((port) => ({ name: `p${port}`, port }));
  await shop.cluster.apply({
    apiVersion: 'v1',
    kind: 'List',
    items: [
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'models-ca', namespace: DATA }, stringData: { 'ca.crt': ca } },
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'models', namespace: DATA },
        stringData: { 'tls.crt': leaf.certificate, 'tls.key': leaf.key },
      },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'models', namespace: DATA, labels },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [container],
          volumes: [{ name: 'tls', secret: { secretName: 'models' } }],
        },
      },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'models', namespace: DATA }, spec: { selector: labels, ports } },
      resource('model-a', 8443),
      resource('model-b', 9443),
      {
        apiVersion: 'chaperone.dev/v1alpha1',
        kind: 'AccessPolicy',
        metadata: { name: 'models', namespace: AGENTS },
        spec: {
          agents: { podSelector: { matchLabels: { app: 'support-agent' } } },
          purpose: 'ask the models',
          rules: ['model-a', 'model-b'].map((name) => ({
            name,
            effect: 'Allow',
            resource: { namespace: DATA, name },
          })),
        },
      },
    ],
  });
  await shop.cluster.demand(['wait', '--for=condition=Ready', 'pod/models', '-n', DATA, '--timeout=60s']);
}

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  await serve();
  bot = await shop.startAgent('bot');
});
afterAll(() => shop.close());

describe('protocol tcp', () => {
  test('two resources on one name are told apart by their port, and the agent sees the server’s own certificate', async () => {
    await expect.poll(async () => (await curl(`https://${HOST}:8443/`)).stdout).toBe('model on 8443\n');
    expect(await curl(`https://${HOST}:9443/`)).toEqual({ status: 0, stdout: 'model on 9443\n', stderr: '' });
  });

  test('a port that no resource names is closed', async () => {
    const { status, stdout } = await curl(`https://${HOST}:7443/`);
    expect([stdout, status === 0]).toEqual(['', false]);
  });

  test('another server name, or none, is not carried', async () => {
    const elsewhere = await curl('https://elsewhere.example:8443/', '--connect-to', `elsewhere.example:8443:${HOST}:8443`);
    expect([elsewhere.stdout, elsewhere.status === 0]).toEqual(['', false]);
    const plain = await curl(`http://${HOST}:8443/`);
    expect(plain.stdout).not.toContain('model on');
  });

  test('its owner sees that it was reached, and no condition about a database', async () => {
    await shop.condition('protectedresource/model-a', DATA, 'Reachable', 60_000);
    const path = 'jsonpath={.status.conditions[*].type}';
    const types = await shop.cluster.demand(['get', 'protectedresource', 'model-a', '-n', DATA, '-o', path]);
    expect(types.split(' ')).toEqual(['Accepted', 'ResolvedRefs', 'AddressAllocated', 'Reachable', 'Ready']);
  });

  test('the record says host and bytes, and that nothing inside was seen', async () => {
    const { name } = await sessionOf(shop.cluster, () => curl(`https://${HOST}:8443/`));
    const { stdout } = await shop.cluster.chaperone('sessions', 'replay', name);
    expect(stdout).toContain(HOST);
    expect(stdout).toMatch(/bytes/);
    expect(stdout).not.toContain('model on');
  });
});
