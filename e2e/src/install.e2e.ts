import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '@chaperone/operator/internal';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Cluster, GOVERNED, ROOT } from './harness/cluster.ts';
import { Installation, SYSTEM } from './harness/installation.ts';

/** The chart as people install it: operator, webhook and policies together, and what holds while the operator is away. */
const NAMESPACE = 'e2e-install';
let installation: Installation;
let cluster: Cluster;

beforeAll(async () => {
  installation = await Installation.create();
  cluster = installation.cluster;
  await cluster.namespace(NAMESPACE, GOVERNED);
  await cluster.demand(['wait', '--for=create', 'configmap/chaperone-ca', '-n', NAMESPACE, '--timeout=30s']);
});

afterAll(() => cluster.demand(['delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false']));

const aPod = (name: string, container: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: NAMESPACE, labels: { app: name } },
  spec: {
    containers: [
      {
        name: 'bot',
        image: installation.image('agent'),
        command: ['/usr/local/bin/node', '-e', 'setInterval(() => {}, 1000000)'],
        securityContext: { runAsUser: 1000 },
        ...container,
      },
    ],
  },
});

describe('an installed chart', () => {
  test('injects a pod, and the policies accept what the webhook made of it', async () => {
    const { status, stdout, stderr } = await cluster.dryRun(aPod('fresh'));
    expect([status, stderr]).toEqual([0, '']);
    const { spec } = JSON.parse(stdout) as Pod;
    expect(spec.initContainers?.map(({ name }) => name)).toEqual(['chaperone-init', 'chaperone-sidecar', 'chaperone-verify']);
    expect(spec.automountServiceAccountToken).toBe(false);
  });

  test('tells everything that is in the way at once', async () => {
    const { stderr } = await cluster.dryRun(aPod('bad', { securityContext: { privileged: true } }));
    expect(stderr).toContain(
      'pod "bad" cannot run in governed namespace e2e-install, 2 problems: (1) container "bot": set spec.containers[0].securityContext.runAsUser',
    );
    expect(stderr).toContain('[Privileged] [AgentPodRejected]');
  });

  test('offers the user that a namespace names', async () => {
    await cluster.demand(['annotate', 'namespace', NAMESPACE, 'chaperone.dev/default-run-as-user=1234', '--overwrite']);
    await expect
      .poll(async () => (await cluster.dryRun(aPod('plain', { securityContext: {} }))).stdout, { timeout: 15_000 })
      .toContain('"runAsUser": 1234');
  });

  test('gives agents no token that the API server takes', async () => {
    const { stdout } = await cluster.dryRun(aPod('token'));
    const audiences = stdout.match(/"audience": "[^"]*"/g);
    expect(audiences).toEqual(['"audience": "chaperone-agent"', '"audience": "chaperone-sidecar"']);
  });

  test('serves its CRDs with every schema rule accepted', async () => {
    for (const name of readdirSync(join(ROOT, 'crds')))
      await cluster.demand(
        ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '-f', '-'],
        readFileSync(join(ROOT, 'crds', name), 'utf8'),
      );
  });
});

/** Runs in the agent's container: what a connection to HOST PORT brings. */
const DIAL = `const [host, port] = process.argv.slice(1);
const socket = require('node:net').connect({ host, port: Number(port), timeout: 3000 });
const end = (what) => { console.log(what); process.exit(0); };
socket.on('connect', () => socket.write('GET / HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n'));
socket.on('data', (data) => end('answer ' + data.toString('latin1').slice(0, 40)));
socket.on('end', () => end('closed'));
socket.on('error', (error) => end(error.code));
socket.on('timeout', () => end('timeout'));`;
const SEND = `const [host, port] = process.argv.slice(1);
require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4').send('x', Number(port), host, (error) => { console.log(error ? error.code : 'sent'); process.exit(0); });`;

const inAgent = (script: string, ...args: string[]): Promise<string> =>
  cluster.demand(['exec', 'captured', '-n', NAMESPACE, '-c', 'bot', '--', '/usr/local/bin/node', '-e', script, '--', ...args]);

describe('an agent’s pod that really starts', () => {
  beforeAll(async () => {
    await cluster.demand(['create', '-f', '-'], aPod('captured'));
    await cluster.demand(['wait', '--for=condition=Ready', 'pod/captured', '-n', NAMESPACE, '--timeout=60s']);
  });

  test('is ready only when capture was verified and the operator knows its sidecar', async () => {
    const codes = 'jsonpath={range .status.initContainerStatuses[*]}{.name}:{.state.terminated.exitCode}:{.ready} {end}';
    expect(await cluster.demand(['get', 'pod', 'captured', '-n', NAMESPACE, '-o', codes])).toBe(
      'chaperone-init:0:true chaperone-sidecar::true chaperone-verify:0:true ',
    );
  });

  test.each<[string, string, string]>([
    ['11 an address elsewhere', '192.0.2.1', '80'],
    ['32 the node', '10.244.0.1', '6443'],
    ['32 the kubelet', '10.244.0.1', '10250'],
    ['32 the metadata of a cloud', '169.254.169.254', '80'],
    ['37 the API server’s address', '10.96.0.1', '443'],
    ['12 an IPv6 address elsewhere', '2001:db8::1', '80'],
  ])('does not reach %s', async (_name, host, port) => {
    expect((await inAgent(DIAL, host, port)).trim()).toMatch(
      /^(closed|ECONNRESET|ECONNREFUSED|ENETUNREACH|EADDRNOTAVAIL|EPERM|EACCES)$/,
    );
  });

  test.each<[string, string]>([
    ['13 QUIC', '192.0.2.1'],
    ['13 QUIC over IPv6', '2001:db8::1'],
  ])('sends nothing by %s', async (_name, host) => {
    expect((await inAgent(SEND, host, '443')).trim()).toMatch(/^(EPERM|ENETUNREACH|EADDRNOTAVAIL|EACCES)$/);
  });

  test('30 holds a token that the API server refuses', async () => {
    const read =
      "process.stdout.write(require('node:fs').readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/token', 'utf8'))";
    const token = await inAgent(read);
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } };
    const { stdout } = await cluster.kubectl(['create', '-o', 'json', '-f', '-'], review);
    expect((JSON.parse(stdout) as { status: { authenticated?: boolean } }).status.authenticated ?? false).toBe(false);
  });

  test('21 cannot read what belongs to the sidecar', async () => {
    const list =
      "console.log(['/run/chaperone','/var/run/secrets/chaperone','/var/lib/chaperone'].filter((path) => require('node:fs').existsSync(path)).length)";
    expect((await inAgent(list)).trim()).toBe('0');
  });
});

describe('33 while the operator is away', () => {
  beforeAll(() => installation.scale('deployment/chaperone-operator', 0));
  afterAll(() => installation.scale('deployment/chaperone-operator', 2));

  test('no pod of a governed namespace starts', async () => {
    const { status, stderr } = await cluster.dryRun(aPod('orphan'));
    expect(status).toBe(1);
    expect(stderr).toContain('failed calling webhook "pods.chaperone.dev"');
  });

  test('none starts either where somebody made the webhook optional', async () => {
    const patch = JSON.stringify([{ op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Ignore' }]);
    await cluster.demand(['patch', 'mutatingwebhookconfiguration', 'chaperone', '--type=json', '-p', patch]);
    await expect.poll(async () => (await cluster.dryRun(aPod('orphan'))).stderr, { timeout: 15_000 }).toContain('[NotInjected]');
    await cluster.demand([
      'patch',
      'mutatingwebhookconfiguration',
      'chaperone',
      '--type=json',
      '-p',
      patch.replace('Ignore', 'Fail'),
    ]);
  });

  test('pods elsewhere start as ever', async () => {
    const pod = aPod('elsewhere') as { metadata: { namespace: string } };
    const { status, stderr } = await cluster.dryRun({ ...pod, metadata: { ...pod.metadata, namespace: SYSTEM } });
    expect([status, stderr]).toEqual([0, '']);
  });
});

describe('once the chart is removed', () => {
  beforeAll(() => cluster.helm(['uninstall', 'chaperone', '-n', SYSTEM, '--wait', '--timeout', '90s']));

  test('pods start again in what was governed, and policies and resources stay', async () => {
    await expect.poll(async () => (await cluster.dryRun(aPod('after'))).stderr, { timeout: 30_000 }).toBe('');
    expect(await cluster.demand(['get', 'crd', '-o', 'name'])).toContain('accesspolicies.chaperone.dev');
  });
});
