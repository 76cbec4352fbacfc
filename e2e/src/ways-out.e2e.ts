import { once } from 'node:events';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Agent } from './harness/agent.ts';
import { Far } from './harness/far.ts';
import { forward, leaderBehind } from './harness/forward.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import { AGENTS, CREDENTIAL, DATA, OUTSIDE, Shop } from './harness/shop.ts';
import { waysOut } from './harness/ways.ts';

/** Every way that a program in an agent's container may try to somewhere else, each beside one that is not governed and gets there. */
let shop: Shop;
let bot: Agent;
let far: Far;

beforeAll(async () => {
  shop = new Shop(await Installation.create());
  await shop.open();
  [bot, far] = await Promise.all([shop.startAgent('bot'), Far.start(shop)]);
  await bot.serves();
});
afterAll(() => shop.close());

waysOut(() => ({ shop, bot, far }));

describe('beside its sidecar an agent', () => {
  test('20 sees no process of it', async () => {
    const list = `import os, re
for one in os.listdir('/proc'):
  try: print(re.search(r'Uid:\\t(\\d+)', open(f'/proc/{one}/status').read()).group(1))
  except (OSError, AttributeError): pass`;
    const metadata = { name: 'shared', namespace: OUTSIDE };
    const container = { name: 'bot', image: shop.installation.image('agent'), securityContext: { runAsUser: 1000 } };
    const containers = [container, { ...container, name: 'other', securityContext: { runAsUser: 24_601 } }];
    await shop.cluster.apply({ apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers, shareProcessNamespace: true } });
    await shop.cluster.demand(['wait', '--for=condition=Ready', 'pod/shared', '-n', OUTSIDE, '--timeout=60s']);
    const shared = await shop.cluster.kubectl(['exec', '-i', 'shared', '-n', OUTSIDE, '-c', 'bot', '--', 'python3', '-'], list);
    expect(shared.stdout.split('\n')).toContain('24601');
    const own = (await bot.python(list)).stdout.split('\n');
    expect(own).toContain('1000');
    expect(own).not.toContain('24601');
  });

  test('51 answers nobody outside on a port that it took while the sidecar was down', async ({ skip }) => {
    if (!shop.cluster.local) skip('containers are killed from the node');
    const take = `import socket, time
while True:
  try: server = socket.create_server(('::', 15021), family=socket.AF_INET6, dualstack_ipv6=True); break
  except OSError: time.sleep(0.005)
print('taken', flush=True)
end = time.time() + 12
server.settimeout(1)
while time.time() < end:
  try: server.accept()[0].sendall(b'borrowed')
  except OSError: pass`;
    const taking = bot.begin('python3', '-u', '-c', take);
    await shop.cluster.signal('bot', AGENTS, 'chaperone-sidecar', 'SIGKILL');
    const [said] = (await once(taking.stdout, 'data')) as [Buffer];
    expect(said.toString()).toContain('taken');
    const address = await shop.cluster.demand(['get', 'pod', 'bot', '-n', AGENTS, '-o', 'jsonpath={.status.podIP}']);
    expect(await bot.dial('127.0.0.1', 15_021)).toContain('borrowed');
    expect(await far.control.dial(address, 15_021)).toBe('timeout');
    await once(taking, 'close');
    await bot.serves();
    expect(await far.control.dial(address, 15_021)).toContain('answer HTTP/1.1');
  });
});

describe('the node dials for an agent', () => {
  const SERVER = `const at = process.argv[1];
require('node:http').createServer((request, answer) => {
  console.log('asked');
  answer.writeHead(302, { location: 'http://' + at + ':7001/for-the-agent' }).end();
}).listen(8080);`;
  const probing = (name: string, namespace: string, httpGet: object): object => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      containers: [
        {
          name: 'bot',
          image: shop.installation.image('agent'),
          command: ['node', '-e', SERVER, '--', far.address],
          securityContext: { runAsUser: 1000 },
          livenessProbe: { httpGet, periodSeconds: 1 },
        },
      ],
      terminationGracePeriodSeconds: 1,
    },
  });

  test('43 not by a probe that is redirected', async () => {
    await shop.cluster.demand(['create', '-f', '-'], probing('redirecting', AGENTS, { path: '/', port: 8080 }));
    const asked = async (): Promise<number> =>
      (await shop.cluster.kubectl(['logs', 'redirecting', '-n', AGENTS, '-c', 'bot'])).stdout.split('asked').length - 1;
    await expect.poll(asked, { timeout: 60_000 }).toBeGreaterThan(2);
    expect(await far.log()).not.toContain('/for-the-agent');
  });

  test('43 where a probe may name a host it does', async () => {
    const elsewhere = { host: far.address, path: '/from-the-node', port: 7001 };
    expect((await shop.cluster.dryRun(probing('naming', AGENTS, elsewhere))).stderr).toContain('[ProbeHost]');
    await shop.cluster.demand(['create', '-f', '-'], probing('naming', OUTSIDE, elsewhere));
    await expect.poll(() => far.log(), { timeout: 60_000 }).toContain('GET /from-the-node');
  });
});

const postgres = (name: string, namespace: string, host: string, address: string): object => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ProtectedResource',
  metadata: { name, namespace },
  spec: {
    protocol: 'postgres',
    hosts: [host],
    port: 5432,
    upstream: { address, tls: { mode: 'disable' } },
    credentials: { secretRef: { name } },
    postgres: { database: 'orders' },
    grantedTo: [{ namespace: AGENTS }],
  },
});
const secret = (name: string, namespace: string, upstream: string): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace, annotations: { 'chaperone.dev/upstream': upstream } },
  stringData: CREDENTIAL,
});
const ask = async (): Promise<string> => (await bot.psql('select 1', 'host=model.corp dbname=orders user=bot')).stderr;

const probedIn = (namespace: string): object => ({ name: 'probed', namespace, labels: { app: 'probed' } });

describe('whoever may write in the namespace of agents', () => {
  test('40 leads nobody outside to a probed port by a port of the node', async () => {
    const port = 8080;
    const container = {
      name: 'bot',
      image: shop.installation.image('agent'),
      command: ['python3', '-m', 'http.server', String(port)],
      securityContext: { runAsUser: 1000 },
      readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
    };
    const opened = async (namespace: string, externalTrafficPolicy: string): Promise<string> => {
      const spec = { type: 'NodePort', selector: { app: 'probed' }, ports: [{ port }], externalTrafficPolicy };
      await shop.cluster.apply({ apiVersion: 'v1', kind: 'Service', metadata: probedIn(namespace), spec });
      const path = 'jsonpath={.spec.ports[0].nodePort}';
      return await shop.cluster.demand(['get', 'service', 'probed', '-n', namespace, '-o', path]);
    };
    for (const namespace of [AGENTS, OUTSIDE])
      await shop.cluster.demand(['create', '-f', '-'], {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: probedIn(namespace),
        spec: { containers: [container], terminationGracePeriodSeconds: 1 },
      });
    for (const namespace of [AGENTS, OUTSIDE])
      await shop.cluster.demand(['wait', '--for=condition=Ready', 'pod/probed', '-n', namespace, '--timeout=90s']);
    await expect(opened(AGENTS, 'Cluster')).rejects.toThrow('[CallersHidden]');
    const { node } = await shop.cluster.places();
    const dial = async (nodePort: string): Promise<string> => await far.control.dial(node, Number(nodePort));
    const free = await opened(OUTSIDE, 'Local');
    await expect.poll(() => dial(free)).toContain('answer HTTP');
    // Refused for a moment, until the node knows the Service.
    const governed = await opened(AGENTS, 'Local');
    await expect.poll(() => dial(governed)).toBe('timeout');
  });

  test('42 has no resource with credentials there', async () => {
    const address = 'orders.data.svc:5432';
    await shop.cluster.apply(secret('own', AGENTS, address));
    await shop.cluster.apply(postgres('own', AGENTS, 'own.agents.svc', address));
    const reason = 'jsonpath={.status.conditions[?(@.type=="Accepted")].reason}';
    const of = (name: string, namespace: string): Promise<string> =>
      shop.cluster.demand(['get', 'protectedresource', name, '-n', namespace, '-o', reason]);
    await expect.poll(() => of('own', AGENTS)).toBe('CredentialsReachableByAgents');
    expect(await of('orders-db', DATA)).toBe('Accepted');
  });

  test('56 does not lead a sidecar elsewhere by a Service of the upstream’s name', async () => {
    for (const namespace of [AGENTS, OUTSIDE])
      await shop.cluster.apply({
        apiVersion: 'v1',
        kind: 'List',
        items: [
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name: 'elsewhere', namespace },
            spec: { clusterIP: 'None', ports: [{ port: 7001 }] },
          },
          {
            apiVersion: 'discovery.k8s.io/v1',
            kind: 'EndpointSlice',
            metadata: { name: 'elsewhere', namespace, labels: { 'kubernetes.io/service-name': 'elsewhere' } },
            addressType: 'IPv4',
            ports: [{ port: 7001 }],
            endpoints: [{ addresses: [far.address], hostname: 'db' }],
          },
        ],
      });
    const found = async (): Promise<string> => (await far.control.run('getent', 'hosts', 'db.elsewhere')).stdout;
    await expect.poll(found).toContain(far.address);
    await shop.cluster.apply(secret('steered', DATA, 'db.elsewhere:7001'));
    await shop.cluster.apply(postgres('steered', DATA, 'model.corp', 'db.elsewhere:7001'));
    const rule =
      "    - {name: steered, effect: Allow, resource: {namespace: data, name: steered}, sql: {statements: [select], relations: ['public.*']}}\n";
    await shop.cluster.demand(['apply', '-f', '-'], shop.policy().replace('  rules:\n', `  rules:\n${rule}`));
    // What the pod outside sent before this may be written down only now.
    const others = async (): Promise<string[]> => (await far.log()).split('\n').filter((line) => !line.startsWith('control by '));
    const before = await others();
    await expect.poll(ask, { timeout: 60_000, interval: 1_000 }).toContain('the name of the upstream does not resolve');
    expect(await others()).toEqual(before);
  });
});

/** What the operator says to who enrols: asked where it answers, past the NetworkPolicy that lets nobody but sidecars there. */
async function enrolling(token: string): Promise<string> {
  const leader = `pod/${await leaderBehind(shop.cluster, 'chaperone-operator')}`;
  using way = await forward(shop.cluster, SYSTEM, leader, 8443);
  const authorization = `Bearer ${token}`;
  return await new Promise<string>((resolve, reject) => {
    const options = {
      port: way.port,
      path: '/v1/enrol',
      method: 'POST',
      headers: { authorization },
      rejectUnauthorized: false,
    };
    request(options, (response) => void text(response).then(resolve, reject))
      .on('error', reject)
      .end('{}');
  });
}

describe('at the operator', () => {
  test('31 an agent’s token makes nobody a sidecar', async () => {
    const { stdout: token } = await bot.run('cat', '/var/run/secrets/kubernetes.io/serviceaccount/token');
    await expect.poll(() => enrolling(token)).toContain('Unauthenticated');
  });

  test('31 a token of the right audience does not either, from a pod that is not governed', async () => {
    const bound = ['--bound-object-kind=Pod', '--bound-object-name=control'];
    const create = ['create', 'token', 'default', '-n', OUTSIDE, '--audience=chaperone-sidecar', ...bound];
    const token = (await shop.cluster.demand(create)).trim();
    await expect.poll(() => enrolling(token)).toContain('PodNotGoverned');
  });
});
