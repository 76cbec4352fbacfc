import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '@chaperone/operator/internal';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent } from './harness/agent.ts';
import { type Cluster, GOVERNED, type Places, ROOT } from './harness/cluster.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import type { Result } from './harness/run.ts';

/** The chart as people install it: operator, webhook and policies together, and what holds while the operator is away. */
const NAMESPACE = 'e2e-install';
const OURS = ['chaperone-init', 'chaperone-sidecar', 'chaperone-verify'];
const INJECT = 'chaperone.dev/inject';
/** What the system, or the sidecar's reset, says to a connection that leads nowhere. */
const CLOSED = /^(closed|ECONNRESET|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|EPERM|EACCES)$/;
let installation: Installation;
let cluster: Cluster;

beforeAll(async () => {
  installation = await Installation.create();
  cluster = installation.cluster;
  await cluster.namespace(NAMESPACE, GOVERNED);
  await cluster.demand(['wait', '--for=create', 'configmap/chaperone-ca', '-n', NAMESPACE, '--timeout=30s']);
});

afterAll(() => cluster.demand(['delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false']));

interface ObjectMeta {
  readonly name: string;
  readonly namespace: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Created {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec: object;
}

const aPod = (name: string, container: object = {}): Created => ({
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
    expect(spec.initContainers?.map(({ name }) => name)).toEqual(OURS);
    expect(spec.automountServiceAccountToken).toBe(false);
  });

  test.each<[string, Pick<ObjectMeta, 'labels' | 'annotations'>]>([
    ['24 a label that opts out', { labels: { [INJECT]: 'false' } }],
    ['24 an annotation that opts out', { annotations: { [INJECT]: 'false' } }],
    ['24 a status that says it was injected', { annotations: { 'chaperone.dev/status': 'injected' } }],
  ])('injects a pod all the same that brings %s', async (_name, metadata) => {
    const pod = aPod('optout');
    const { stdout, stderr } = await cluster.dryRun({ ...pod, metadata: { ...pod.metadata, ...metadata } });
    expect(stderr).toBe('');
    expect((JSON.parse(stdout) as Pod).spec.initContainers?.map(({ name }) => name)).toEqual(OURS);
  });

  test('says by helm test that it works', async () => {
    const out = await cluster.helm(['test', 'chaperone', '-n', SYSTEM, '--timeout', '100s', '--logs']);
    expect(out.match(/^(ok|FAIL) .*$/gm)).toEqual([
      'ok    a pod of a governed namespace gets its sidecar',
      'ok    a pod that could undo capture is refused',
      'ok    the operator has metrics',
      'ok    the collector is ready',
    ]);
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
      .poll(async () => (await cluster.dryRun(aPod('plain', { securityContext: {} }))).stdout)
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

describe('an agent’s pod that really starts', () => {
  let agent: Agent;
  let places: Places;

  beforeAll(async () => {
    places = await cluster.places();
    await cluster.demand(['create', '-f', '-'], aPod('captured'));
    await cluster.demand(['wait', '--for=condition=Ready', 'pod/captured', '-n', NAMESPACE, '--timeout=120s']);
    agent = new Agent(cluster, 'captured', NAMESPACE);
  });

  test('is ready only when capture was verified and the operator knows its sidecar', async () => {
    const codes = 'jsonpath={range .status.initContainerStatuses[*]}{.name}:{.state.terminated.exitCode}:{.ready} {end}';
    expect(await cluster.demand(['get', 'pod', 'captured', '-n', NAMESPACE, '-o', codes])).toBe(
      'chaperone-init:0:true chaperone-sidecar::true chaperone-verify:0:true ',
    );
  });

  test('lives in an installation in which doctor finds nothing wrong, spools and log included', async () => {
    const { status, stdout } = await cluster.chaperone('doctor');
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^ok +spools +\d+ pods count their evidence, and none lags$/m)]);
    expect(stdout).toMatch(/^ok +log +the log has \d+ entries, and its key signed that$/m);
    expect(stdout).toMatch(/^ok +trial +a pod in \S+ is injected/m);
    expect(stdout).toMatch(/, 0 failed, 0 not seen\n$/);
  });

  test.each<[string, (at: Places) => string, number]>([
    ['11 an address elsewhere', () => '192.0.2.1', 80],
    ['12 an IPv6 address elsewhere', () => '2001:db8::1', 80],
    ['32 the node', ({ node }) => node, 6443],
    ['32 the kubelet', ({ node }) => node, 10_250],
    ['32 the metadata of a cloud', () => '169.254.169.254', 80],
    ['32 the metadata of a cloud, over IPv6', () => 'fd00:ec2::254', 80],
    ['37 the API server’s address', ({ apiServer }) => apiServer, 443],
  ])('does not reach %s', async (_name, host, port) => {
    expect(await agent.dial(host(places), port)).toMatch(CLOSED);
  });

  test.each<[string, string]>([
    ['13 QUIC', '192.0.2.1'],
    ['13 QUIC over IPv6', '2001:db8::1'],
  ])('sends nothing by %s', async (_name, host) => {
    expect(await agent.send(host, 443)).toMatch(/^(EPERM|ENETUNREACH|EADDRNOTAVAIL|EACCES)$/);
  });

  test('30 holds a token that the API server refuses', async () => {
    const read =
      "process.stdout.write(require('node:fs').readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/token', 'utf8'))";
    const token = await agent.node(read);
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } };
    const { stdout } = await cluster.kubectl(['create', '-o', 'json', '-f', '-'], review);
    expect((JSON.parse(stdout) as { status: { authenticated?: boolean } }).status.authenticated ?? false).toBe(false);
  });

  test('21 cannot read what belongs to the sidecar', async () => {
    const list =
      "console.log(['/run/chaperone','/var/run/secrets/chaperone','/var/lib/chaperone'].filter((path) => require('node:fs').existsSync(path)).length)";
    expect(await agent.node(list)).toBe('0');
  });
});

/** Asks once, as somebody does who creates a pod by hand. */
const inject = (pod: object): Promise<Result> => cluster.kubectl(['create', '--dry-run=server', '-f', '-'], pod);

describe('33 while the operator is away', () => {
  beforeAll(() => installation.stop('deployment/chaperone-operator'));
  afterAll(() => installation.start('deployment/chaperone-operator'));

  test('no pod of a governed namespace starts', async () => {
    const { status, stderr } = await inject(aPod('orphan'));
    expect(status).toBe(1);
    expect(stderr).toContain('failed calling webhook "pods.chaperone.dev"');
  });

  test('none starts either where somebody made the webhook optional', async () => {
    const patch = JSON.stringify([{ op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Ignore' }]);
    await cluster.demand(['patch', 'mutatingwebhookconfiguration', 'chaperone', '--type=json', '-p', patch]);
    await expect.poll(async () => (await inject(aPod('orphan'))).stderr).toContain('[NotInjected]');
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
    const pod = aPod('elsewhere');
    const { status, stderr } = await cluster.dryRun({ ...pod, metadata: { ...pod.metadata, namespace: SYSTEM } });
    expect([status, stderr]).toEqual([0, '']);
  });
});

describe('once the chart is removed', () => {
  beforeAll(() => cluster.helm(['uninstall', 'chaperone', '-n', SYSTEM, '--wait', '--timeout', '90s']));

  test('pods start again in what was governed, and policies and resources stay', async () => {
    await expect.poll(async () => (await cluster.dryRun(aPod('after'))).stderr).toBe('');
    expect(await cluster.demand(['get', 'networkpolicy', 'chaperone-agents', '-n', NAMESPACE, '--ignore-not-found'])).toBe('');
    expect(await cluster.demand(['get', 'crd', '-o', 'name'])).toContain('accesspolicies.chaperone.dev');
  });
});
