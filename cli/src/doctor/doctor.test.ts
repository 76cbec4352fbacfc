import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ApiServer,
  findProgram,
  hasApiServer,
  KUBECTL,
  startApiServer,
  temporaryDirectory,
  testAuthority,
} from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CliError, EXIT } from '../errors.ts';
import { runProgram } from '../program.ts';
import type { Finding } from './checks.ts';

const HELM = findProgram('helm');
const CHART = join(import.meta.dirname, '../../../helm');
const SYSTEM = 'chaperone-system';

let api: ApiServer;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;

function kubectl(args: readonly string[], input?: object | string): string {
  const text = typeof input === 'object' ? JSON.stringify(input) : input;
  const { status, stdout, stderr } = spawnSync(KUBECTL ?? '', ['--kubeconfig', join(directory.path, 'config'), ...args], {
    encoding: 'utf8',
    input: text,
  });
  if (status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
  return stdout;
}
const apply = (...items: object[]): string =>
  kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { apiVersion: 'v1', kind: 'List', items });
const status = (kind: string, name: string, namespace: string, value: object): string =>
  kubectl([
    'patch',
    kind,
    name,
    '-n',
    namespace,
    '--subresource=status',
    '--type=merge',
    '-p',
    JSON.stringify({ status: value }),
  ]);

/** Runs `chaperone doctor`. @returns what it found and how it ended */
async function doctor(...args: string[]): Promise<{ findings: Finding[]; text: string; code: number }> {
  let text = '';
  let code = 0;
  const stream = { write: (more: string) => ((text += more), true) };
  const io = {
    in: process.stdin,
    out: stream,
    err: stream,
    env: { KUBECONFIG: join(directory.path, 'config') },
    terminal: { in: false, out: false, err: false },
  };
  await runProgram(['doctor', ...args], {
    io: io as never,
    name: 'chaperone',
    stopped: () => new Promise(() => undefined),
    openCluster: () => Promise.reject(new CliError('NotPermitted', 'no collector runs', { exit: EXIT.notPermitted })),
    exit: (ended) => (code = ended),
  });
  const findings = args.includes('json') ? (JSON.parse(text) as { findings: Finding[] }).findings : [];
  return { findings, text, code };
}
const wrong = async (): Promise<string[]> => {
  const { findings } = await doctor('-o', 'json');
  return findings
    .filter(({ level, check }) => check !== 'ca' && (level === 'FAIL' || level === 'warn'))
    .map(({ check, level, message }) => `${level} ${check} ${message}`);
};

const meta = (name: string, namespace?: string): object => ({ name, ...(namespace === undefined ? {} : { namespace }) });
const pod = { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'x', image: 'x' }] } };
const selector = { matchLabels: { app: 'x' } };
const PROFILE_IMAGE = 'chaperone/sidecar:1';
const resource = (name: string, address: string, spec: object = {}): object => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ProtectedResource',
  metadata: meta(name, 'data'),
  spec: {
    protocol: 'postgres',
    hosts: [`${name}.data.svc`],
    port: 5432,
    upstream: { address },
    credentials: { secretRef: { name } },
    postgres: { database: 'orders' },
    grantedTo: [{ namespace: 'agents' }],
    ...spec,
  },
});
const EXTRA = '/spec/versions/0/schema/openAPIV3Schema/properties/extra';
const patchCrd = (change: object): string =>
  kubectl(['patch', 'crd', 'sessionkills.chaperone.dev', '--type=json', '-p', JSON.stringify([change])]);
const policy = (rules: object[]): object => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: meta('support', 'agents'),
  spec: { agents: { podSelector: { matchLabels: { app: 'bot' } } }, purpose: 'test', rules },
});
const READ = {
  name: 'read',
  effect: 'Allow',
  resource: { namespace: 'data', name: 'orders' },
  sql: { statements: ['select'], relations: ['public.orders'] },
};
const good = (type: string): object => ({
  type,
  status: 'True',
  reason: type,
  message: 'all is well',
  lastTransitionTime: '2026-01-01T00:00:00Z',
});
const healthy = { conditions: [good('Accepted'), good('Ready')] };
const lease = (renewed: number): object => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: meta('chaperone-operator', SYSTEM),
  spec: { holderIdentity: 'operator-0', renewTime: new Date(renewed).toISOString().replace('Z', '000Z') },
});
const ca = (pem: string, namespace: string): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: meta('chaperone-ca', namespace),
  data: { 'ca.crt': pem },
});
const networkPolicy = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: meta('chaperone-agents', 'agents'),
  spec: { podSelector: {} },
};
const profile = {
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'InjectionProfile',
  metadata: meta('default'),
  spec: { uid: 24601, containers: [{ name: 'chaperone-sidecar', image: PROFILE_IMAGE }], volumes: [] },
};
/** What the API server says of a good pod where no operator answers, which is so in all of this. */
const UNANSWERED = /^FAIL trial a pod that may run in agents is refused: .*failed calling webhook/;

describe.skipIf(!hasApiServer || HELM === undefined)('chaperone doctor', () => {
  let chart = '';
  let authority = '';
  beforeAll(async () => {
    directory = await temporaryDirectory();
    api = await startApiServer();
    writeFileSync(join(directory.path, 'config'), api.kubeconfig(`https://${api.address}`, api.ca, 'default'));
    authority = (await testAuthority()).ca;
    chart = spawnSync(HELM ?? '', ['template', 'chaperone', CHART, '-n', SYSTEM, '--kube-version', '1.34.4'], {
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    }).stdout;
    const objects = chart.split(/^---$/m);
    const kinds = (...wanted: string[]): string =>
      objects.filter((text) => wanted.some((kind) => text.includes(`\nkind: ${kind}\n`))).join('\n---\n');
    const namespaces = [{ name: SYSTEM }, { name: 'data' }, { name: 'agents' }].map((metadata) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata,
    }));
    apply(...namespaces);
    kubectl(['apply', '--server-side', '-f', '-'], kinds('CustomResourceDefinition'));
    kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
    kubectl(['apply', '--server-side', '-n', SYSTEM, '-f', '-'], kinds('MutatingWebhookConfiguration', 'Service'));
    apply(
      profile,
      lease(Date.now()),
      ca(authority, SYSTEM),
      ca(authority, 'agents'),
      networkPolicy,
      resource('orders', 'orders.data.svc:5432'),
      policy([READ]),
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: meta('chaperone-operator', SYSTEM),
        spec: { replicas: 2, selector, template: pod },
      },
      ...['collector', 'nats'].map((name) => ({
        apiVersion: 'apps/v1',
        kind: 'StatefulSet',
        metadata: meta(`chaperone-${name}`, SYSTEM),
        spec: { replicas: 1, serviceName: 'x', selector, template: pod },
      })),
    );
    const bundle = {
      webhooks: [
        { name: 'pods.chaperone.dev', timeoutSeconds: 1, clientConfig: { caBundle: Buffer.from(authority).toString('base64') } },
      ],
    };
    kubectl(['patch', 'mutatingwebhookconfiguration', 'chaperone', '--type=strategic', '-p', JSON.stringify(bundle)]);
    status('deployment', 'chaperone-operator', SYSTEM, { replicas: 2, readyReplicas: 2 });
    for (const name of ['chaperone-collector', 'chaperone-nats'])
      status('statefulset', name, SYSTEM, { replicas: 1, readyReplicas: 1 });
    status('protectedresource', 'orders', 'data', healthy);
    status('accesspolicy', 'support', 'agents', { ...healthy, selectedPods: 1 });
    kubectl(['apply', '--server-side', '-f', '-'], kinds('ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding'));
    kubectl(['label', 'namespace', 'agents', 'chaperone.dev/inject=enabled']);
  });
  afterAll(async () => {
    await api?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  test('of an installation whose operator does not answer says that, and nothing else', async () => {
    expect(await wrong()).toEqual([expect.stringMatching(UNANSWERED)]);
    const { text, code } = await doctor();
    expect(code).toBe(3);
    expect(text).toMatch(/^ok {4}version +Kubernetes v1\.34/m);
    expect(text).toMatch(/^ok {4}admission-policies +12 policies are installed, bound, and fail closed$/m);
    expect(text).toMatch(/^ {6}fix +kubectl -n chaperone-system get pods/m);
    expect(text).toMatch(/\n\d+ ok, 1 warning, 1 failed, 1 not seen\n$/);
    // That of a test holds for a day.
    expect(text).toMatch(/^warn {2}ca +the CA ends in 0 days, and the operator has made no other$/m);
    expect(text).not.toContain('\u001b');
  });

  const condition = {
    type: 'CredentialsAvailable',
    status: 'False',
    reason: 'CredentialsNotFound',
    message: 'Secret data/orders does not exist',
    lastTransitionTime: '2026-01-01T00:00:00Z',
  };
  test.each<[string, () => void, RegExp, () => void]>([
    [
      'nobody leads',
      () => apply(lease(Date.now() - 120_000)),
      /^FAIL leader nobody has held lease chaperone-operator for 1[12]\d s$/,
      () => apply(lease(Date.now() + 60_000)),
    ],
    [
      'the broker is down',
      () => status('statefulset', 'chaperone-nats', SYSTEM, { replicas: 1, readyReplicas: 0 }),
      /^FAIL parts chaperone-nats: 0 of 1 pods are ready; evidence waits in the agents’ spools/,
      () => status('statefulset', 'chaperone-nats', SYSTEM, { replicas: 1, readyReplicas: 1 }),
    ],
    [
      'a namespace asks for the agent of nodes, and there is none',
      () => kubectl(['annotate', 'namespace', 'agents', 'chaperone.dev/capture=node']),
      /^FAIL node-agent pods of agents have their rules written by the node, and DaemonSet chaperone-node is not installed: none starts$/,
      () => kubectl(['annotate', 'namespace', 'agents', 'chaperone.dev/capture-']),
    ],
    [
      'the agent of one of two nodes is down',
      () => {
        apply({
          apiVersion: 'apps/v1',
          kind: 'DaemonSet',
          metadata: meta('chaperone-node', SYSTEM),
          spec: { selector, template: pod },
        });
        const counts = { currentNumberScheduled: 2, numberMisscheduled: 0, desiredNumberScheduled: 2, numberReady: 1 };
        status('daemonset', 'chaperone-node', SYSTEM, counts);
      },
      /^FAIL node-agent chaperone-node is ready on 1 of 2 nodes; on the others no pod of mode node starts$/,
      () => kubectl(['delete', 'daemonset', 'chaperone-node', '-n', SYSTEM]),
    ],
    [
      'one of two operators is down',
      () => status('deployment', 'chaperone-operator', SYSTEM, { readyReplicas: 1 }),
      /^warn parts chaperone-operator: 1 of 2 pods are ready$/,
      () => status('deployment', 'chaperone-operator', SYSTEM, { readyReplicas: 2 }),
    ],
    [
      'the namespace’s CA is another',
      () => apply(ca(`${authority}\n`, 'agents')),
      /^FAIL namespaces ConfigMap chaperone-ca of agents is missing or old/,
      () => apply(ca(authority, 'agents')),
    ],
    [
      'the NetworkPolicy is gone',
      () =>
        kubectl([
          'delete',
          'networkpolicy',
          'chaperone-agents',
          '-n',
          'agents',
          '--as=root',
          '--as-group=system:masters',
          '--as-group=chaperone:namespace-admins',
        ]),
      /^warn network-policy agents has no NetworkPolicy chaperone-agents/,
      () =>
        kubectl(
          ['apply', '-f', '-', '--as=root', '--as-group=system:masters', '--as-group=chaperone:namespace-admins'],
          networkPolicy,
        ),
    ],
    [
      'a resource has no credentials',
      () => status('protectedresource', 'orders', 'data', { conditions: [condition] }),
      /^FAIL resources resource data\/orders: CredentialsAvailable is False: Secret data\/orders does not exist \(CredentialsNotFound\)$/,
      () => status('protectedresource', 'orders', 'data', healthy),
    ],
    [
      'a policy selects nobody',
      () => status('accesspolicy', 'support', 'agents', { selectedPods: 0 }),
      /^warn policies policy agents\/support selects no pod that runs$/,
      () => status('accesspolicy', 'support', 'agents', { selectedPods: 1 }),
    ],
    [
      'a rule lets a forward through to a protected upstream',
      () =>
        apply(
          policy([
            READ,
            {
              name: 'hop',
              effect: 'Allow',
              resource: { namespace: 'data', name: 'bastion' },
              ssh: { forward: ['*.data.svc:5432'] },
            },
          ]),
        ),
      /^warn side-doors policy agents\/support, rule "hop" lets through a forward that reaches the upstream of data\/orders beside its proxy$/,
      () => apply(policy([READ])),
    ],
    [
      'a rule lets programs run in pods of a protected upstream’s namespace',
      () =>
        apply(
          policy([
            READ,
            {
              name: 'in',
              effect: 'Allow',
              resource: { namespace: 'data', name: 'api' },
              kubernetes: { verbs: ['exec'], resources: ['pods/exec'], namespaces: ['d*'], commands: ['psql **'] },
            },
          ]),
        ),
      /^warn side-doors .*rule "in" lets through a way into pods that reaches the upstream of data\/orders/,
      () => apply(policy([READ])),
    ],
    [
      'a CRD is of another version',
      () => patchCrd({ op: 'add', path: EXTRA, value: { type: 'string' } }),
      /^warn crds sessionkills\.chaperone\.dev are of another version than this program$/,
      () => patchCrd({ op: 'remove', path: EXTRA }),
    ],
    [
      'a binding of admission only audits',
      () =>
        kubectl([
          'patch',
          'validatingadmissionpolicybinding',
          'chaperone-tokens',
          '--type=merge',
          '-p',
          '{"spec":{"validationActions":["Audit"]}}',
        ]),
      /^FAIL admission-policies the binding of policy chaperone-tokens only says Audit; it denies nothing$/,
      () =>
        kubectl([
          'patch',
          'validatingadmissionpolicybinding',
          'chaperone-tokens',
          '--type=merge',
          '-p',
          '{"spec":{"validationActions":["Deny","Audit"]}}',
        ]),
    ],
    [
      'a policy of admission lets errors through',
      () =>
        kubectl([
          'patch',
          'validatingadmissionpolicy',
          'chaperone-services',
          '--type=merge',
          '-p',
          '{"spec":{"failurePolicy":"Ignore"}}',
        ]),
      /^FAIL admission-policies policy chaperone-services was edited: failurePolicy is Ignore/,
      () =>
        kubectl([
          'patch',
          'validatingadmissionpolicy',
          'chaperone-services',
          '--type=merge',
          '-p',
          '{"spec":{"failurePolicy":"Fail"}}',
        ]),
    ],
    [
      'the webhook was made optional',
      () =>
        kubectl([
          'patch',
          'mutatingwebhookconfiguration',
          'chaperone',
          '--type=json',
          '-p',
          '[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]',
        ]),
      /^FAIL webhook the webhook was edited: failurePolicy is Ignore$/,
      () =>
        kubectl([
          'patch',
          'mutatingwebhookconfiguration',
          'chaperone',
          '--type=json',
          '-p',
          '[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}]',
        ]),
    ],
  ])('says where %s', async (_what, make, said, undo) => {
    make();
    try {
      expect((await wrong()).filter((line) => !line.includes(' trial '))).toEqual([expect.stringMatching(said)]);
    } finally {
      undo();
    }
  });

  test('of what a person may not look at says so, and judges nothing by it', async () => {
    const { findings } = await doctor('--as', 'nobody', '-o', 'json', '--chaperone-namespace', SYSTEM);
    expect(findings.filter(({ level }) => level === 'FAIL' || level === 'warn')).toEqual([]);
    expect(findings.find(({ check }) => check === 'policies')).toEqual({
      check: 'policies',
      level: 'skip',
      message: 'you may not list accesspolicies of all namespaces',
    });
    expect((await doctor('--as', 'nobody', '--chaperone-namespace', SYSTEM)).code).toBe(0);
  });
});
