import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { customResourceDefinitions } from '@chaperone/api';
import { eventually, freePort, startApiServer, temporaryDirectory } from '@chaperone/testing';
import { type Api, ask, each } from './fleet-api.ts';
import { FleetPod } from './fleet-pods.ts';
import { cpuMicros, memoryKiB } from './proc.ts';

/**
 * What the operator costs with a fleet: a real kube-apiserver, the operator as its image runs it, pods that nobody schedules but that its
 * webhook injected, and a stream of each from one process. Prints JSON. `node bench/src/fleet.ts --pods 2000 --policies 500 --resources 200`
 */
const { values } = parseArgs({
  options: {
    pods: { type: 'string', default: '2000' },
    policies: { type: 'string', default: '500' },
    resources: { type: 'string', default: '200' },
    rate: { type: 'string', default: '20' },
  },
});
const [PODS, POLICIES, RESOURCES, RATE] = [values.pods, values.policies, values.resources, values.rate].map(Number) as [
  number,
  number,
  number,
  number,
];
const SYSTEM = 'chaperone-system';
const PER_NAMESPACE = 100;
/** Pods that are created at the rate at which the webhook is measured; the others come as fast as they do. */
const MEASURED_SECONDS = 15;
const PATIENCE_MS = 240_000;
const OURS = '/apis/chaperone.dev/v1alpha1';
/** An address of this machine that may stand in an EndpointSlice. */
const HOST = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
if (HOST === undefined) throw new Error('this machine has no address but its own loopback');
const ROOT = join(import.meta.dirname, '../..');

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const seconds = (since: number): number => Math.round((performance.now() - since) / 10) / 100;
const namespaces = Array.from({ length: Math.ceil(PODS / PER_NAMESPACE) }, (_, at) => `agents-${at}`);
const namespaceOf = (at: number): string => namespaces[at % namespaces.length] ?? '';

await using directory = await temporaryDirectory();
await using server = await startApiServer();
const api: Api = { server: `https://${server.address}`, ca: server.ca, token: server.token };
const config = join(directory.path, 'config');
writeFileSync(config, server.kubeconfig(api.server, server.ca, 'default'));
const ports = { sidecars: await freePort(), webhook: await freePort(), health: await freePort() };

const create = (path: string, body: object): Promise<{ metadata: { name: string; uid: string } }> =>
  ask(api, { method: 'POST', path, body });

const policy = (name: string, app: string, resources: readonly string[], mark: string): object => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: { name },
  spec: {
    agents: { podSelector: { matchLabels: { app } } },
    purpose: mark,
    rules: resources.map((resource) => ({
      name: resource,
      effect: 'Allow',
      resource: { namespace: 'data', name: resource },
      sql: { statements: ['select'], relations: ['public.orders', 'public.customers'] },
    })),
  },
});

async function prepare(): Promise<void> {
  for (const crd of customResourceDefinitions()) await create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
  await create('/api/v1/namespaces', { metadata: { name: SYSTEM } });
  await create('/api/v1/namespaces', { metadata: { name: 'data' } });
  await create('/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations', {
    metadata: { name: 'chaperone' },
    webhooks: [
      {
        name: 'pods.chaperone.dev',
        admissionReviewVersions: ['v1'],
        sideEffects: 'NoneOnDryRun',
        timeoutSeconds: 5,
        reinvocationPolicy: 'IfNeeded',
        namespaceSelector: { matchLabels: { 'chaperone.dev/inject': 'enabled' } },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'], scope: 'Namespaced' }],
        clientConfig: { url: `https://${HOST}:${ports.webhook}/mutate-pods` },
      },
    ],
  });
  await eventually('the kinds to be served', () => ask(api, { path: `${OURS}/accesspolicies` }), 30_000);
}

async function publish(): Promise<void> {
  await each(
    Array.from({ length: RESOURCES }, (_, at) => `r${at}`),
    16,
    async (name) => {
      const address = `${name}.data.svc:5432`;
      await create('/api/v1/namespaces/data/secrets', {
        metadata: { name, annotations: { 'chaperone.dev/upstream': address } },
        stringData: { username: 'agent', password: 'x' },
      });
      await create(`${OURS}/namespaces/data/protectedresources`, {
        apiVersion: 'chaperone.dev/v1alpha1',
        kind: 'ProtectedResource',
        metadata: { name },
        spec: {
          protocol: 'postgres',
          hosts: [`${name}.data.svc`],
          port: 5432,
          upstream: { address, tls: { mode: 'verify-full' } },
          credentials: { secretRef: { name } },
          postgres: { database: 'orders' },
          grantedTo: namespaces.map((namespace) => ({ namespace })),
        },
      });
    },
  );
  await each(
    Array.from({ length: POLICIES }, (_, at) => at),
    16,
    (at) =>
      create(
        `${OURS}/namespaces/${namespaceOf(at)}/accesspolicies`,
        policy(
          `p${at}`,
          `a${Math.floor(at / namespaces.length)}`,
          [`r${at % RESOURCES}`, `r${(at + 1) % RESOURCES}`],
          'measuring',
        ),
      ),
  );
  // One that selects every pod of its namespace.
  await create(`${OURS}/namespaces/${namespaceOf(0)}/accesspolicies`, {
    ...policy('wide', 'none', ['r0'], 'measuring'),
    spec: { ...(policy('wide', 'none', ['r0'], 'measuring') as { spec: object }).spec, agents: { podSelector: {} } },
  });
}

function startOperator(): ChildProcess {
  const env = {
    ...process.env,
    NODE_ENV: 'production',
    KUBECONFIG: config,
    POD_NAME: 'operator-0',
    POD_UID: `uid-${Date.now()}`,
    POD_IP: HOST,
    POD_NAMESPACE: SYSTEM,
    CHAPERONE_CLUSTER_NAME: 'bench',
    CHAPERONE_IMAGE: 'chaperone.test/sidecar:1',
    CHAPERONE_NATS_URL: 'tls://nats.chaperone-system.svc:4222',
    // As a cluster's own Services make it: never empty.
    CHAPERONE_FORBIDDEN_RANGES: '10.96.0.10',
    CHAPERONE_SIDECAR_PORT: String(ports.sidecars),
    CHAPERONE_WEBHOOK_PORT: String(ports.webhook),
    CHAPERONE_HEALTH_PORT: String(ports.health),
  };
  const args = ['--conditions=chaperone-dist', join(ROOT, 'operator/dist/main.js')];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.on('data', (text: Buffer) => {
    if (text.includes('"error"')) say(text.toString().slice(0, 300).trim());
  });
  return child;
}

const text = (path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    get(`http://127.0.0.1:${ports.health}${path}`, (response) => {
      let said = '';
      response.setEncoding('utf8').on('data', (more: string) => (said += more));
      response.on('end', () => (response.statusCode === 200 ? resolve(said) : reject(new Error(said))));
    }).on('error', reject);
  });
/** Requests of the operator to the API server so far. */
const calls = async (): Promise<number> =>
  [...(await text('/metrics')).matchAll(/^chaperone_kube_requests_total\{[^}]*\} (\d+)$/gm)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
/** Part of the webhook's answers within so many seconds, and all of them, as its histogram has them. */
async function webhookWithin(limit: string): Promise<readonly [number, number]> {
  const said = await text('/metrics');
  const count = (le: string): number =>
    Number(
      new RegExp(`^chaperone_webhook_duration_seconds_bucket\\{le="${le}",webhook="pods"\\} (\\d+)$`, 'm').exec(said)?.[1] ?? 0,
    );
  return [count(limit), count('\\+Inf')];
}

interface Status {
  readonly metadata: { readonly name: string; readonly generation: number };
  readonly status?: { readonly observedGeneration?: number; readonly selectedPods?: number; readonly programmedPods?: number };
}
const isCurrent = ({ metadata, status }: Status): boolean =>
  status?.observedGeneration === metadata.generation &&
  status.selectedPods !== undefined &&
  status.programmedPods === status.selectedPods;
const ownsCurrent = async (): Promise<boolean> => {
  const { items } = await ask<{ items: Status[] }>(api, { path: `${OURS}/accesspolicies` });
  const selected = items.reduce((sum, { status }) => sum + (status?.selectedPods ?? 0), 0);
  return items.every(isCurrent) && selected >= PODS;
};
async function until(what: string, isSo: () => Promise<boolean> | boolean, everyMs = 100): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > end) {
      const problem = fleet.find(({ isConnected }) => !isConnected)?.problem ?? 'all are connected';
      throw new Error(`${what} took more than ${PATIENCE_MS / 1_000} s: ${problem}`);
    }
    await sleep(everyMs);
  }
}

const fleet: FleetPod[] = [];
let ca = '';
const aPod = (at: number): object => ({
  metadata: {
    name: `bot-${at}`,
    labels: { app: `a${Math.floor(at / namespaces.length) % Math.ceil(POLICIES / namespaces.length)}` },
  },
  spec: { serviceAccountName: 'bot', containers: [{ name: 'bot', image: 'bot', securityContext: { runAsUser: 1000 } }] },
});
async function startPod(at: number): Promise<void> {
  const namespace = namespaceOf(at);
  const pod = await create(`/api/v1/namespaces/${namespace}/pods`, aPod(at));
  const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: pod.metadata.name, uid: pod.metadata.uid };
  const { status } = await ask<{ status: { token: string } }>(api, {
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/serviceaccounts/bot/token`,
    body: { spec: { audiences: ['chaperone-sidecar'], expirationSeconds: 3600, boundObjectRef } },
  });
  fleet.push(new FleetPod(status.token, at, () => ({ port: ports.sidecars, ca })));
}

/** Changes an object and waits until `isDone`; `sidecarsSeconds` is when the last of those concerned had it. */
async function change(path: string, purpose: object, isDone: () => Promise<boolean>): Promise<object> {
  await sleep(3_000);
  const [before, cpu, confirmed] = [
    await calls(),
    cpuMicros(operator.pid ?? 0),
    fleet.reduce((sum, pod) => sum + pod.confirmed, 0),
  ];
  const began = performance.now();
  await ask(api, { method: 'PATCH', path, body: purpose, contentType: 'application/merge-patch+json' });
  await until('a change', isDone, 50);
  const took = seconds(began);
  await sleep(2_000);
  const last = Math.max(...fleet.map(({ confirmedAt }) => confirmedAt));
  return {
    statusesSeconds: took,
    sidecarsSeconds: Math.round((last - began) / 10) / 100,
    apiCalls: (await calls()) - before,
    snapshots: fleet.reduce((sum, pod) => sum + pod.confirmed, 0) - confirmed,
    cpuSeconds: Math.round((cpuMicros(operator.pid ?? 0) - cpu) / 10_000) / 100,
  };
}

await prepare();
let operator = startOperator();
try {
  await until('the operator', () =>
    text('/readyz').then(
      () => true,
      () => false,
    ),
  );
  for (const name of namespaces) {
    await create('/api/v1/namespaces', { metadata: { name, labels: { 'chaperone.dev/inject': 'enabled' } } });
    await create(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'bot' } });
  }
  await publish();
  say(`${RESOURCES} resources and ${POLICIES + 1} policies are there`);
  await until('the CA', async () => {
    const path = `/api/v1/namespaces/${namespaces.at(-1) ?? ''}/configmaps/chaperone-ca`;
    const map = await ask<{ data: Record<string, string> }>(api, { path }).catch(() => undefined);
    ca = map?.data['ca.crt'] ?? '';
    return ca !== '';
  });
  await sleep(3_000);

  const measured = Math.min(PODS, RATE * MEASURED_SECONDS);
  const [quickBefore, allBefore] = await webhookWithin('0\\.02');
  const due = performance.now();
  await Promise.all(
    Array.from({ length: measured }, async (_, at) => {
      await sleep(Math.max(0, due + (at * 1_000) / RATE - performance.now()));
      await startPod(at);
    }),
  );
  const [quick, all] = await webhookWithin('0\\.02');
  const webhook = {
    perSecond: RATE,
    pods: measured,
    within20ms: (quick - quickBefore) / (all - allBefore),
    answers: all - allBefore,
  };
  say(`webhook: ${JSON.stringify(webhook)}`);
  const began = performance.now();
  await each(
    Array.from({ length: PODS - measured }, (_, at) => at + measured),
    16,
    startPod,
  );
  say(`${PODS} pods were made, ${seconds(began)} s`);
  const filling = performance.now();
  const running = fleet.map((pod) => pod.run());
  await until('the fleet', () => fleet.every(({ isConnected }) => isConnected));
  await until('all statuses', ownsCurrent, 500);
  const enrolSeconds = seconds(filling);
  say(`all are enrolled and in every status, ${enrolSeconds} s`);

  // As after an update of the operator: everything is there, and every sidecar comes at once.
  const gone = once(operator, 'exit');
  operator.kill('SIGTERM');
  await gone;
  const cold = performance.now();
  operator = startOperator();
  await until('the fleet again', () => fleet.every(({ confirmedAt, isConnected }) => isConnected && confirmedAt > cold), 50);
  const coldSync = { streamsSeconds: seconds(cold), statusesSeconds: 0, cpuSeconds: 0, apiCalls: 0 };
  await until('all statuses again', ownsCurrent, 250);
  Object.assign(coldSync, {
    statusesSeconds: seconds(cold),
    cpuSeconds: Math.round(cpuMicros(operator.pid ?? 0) / 10_000) / 100,
    apiCalls: await calls(),
  });
  say(`cold: ${JSON.stringify(coldSync)}`);

  const wide = `${OURS}/namespaces/${namespaceOf(0)}/accesspolicies/wide`;
  const onePolicy = await change(wide, { spec: { purpose: 'changed' } }, async () =>
    isCurrent(await ask<Status>(api, { path: wide })),
  );
  say(`a policy: ${JSON.stringify(onePolicy)}`);
  const resource = `${OURS}/namespaces/data/protectedresources/r0`;
  const before = fleet.reduce((sum, pod) => sum + pod.confirmed, 0);
  const oneResource = await change(resource, { spec: { postgres: { database: 'other' } } }, async () => {
    const isHeard = fleet.reduce((sum, pod) => sum + pod.confirmed, 0) > before;
    return isHeard && (await ownsCurrent());
  });
  say(`a resource: ${JSON.stringify(oneResource)}`);
  const memory = memoryKiB(operator.pid ?? 0);
  const memoryMiB = { now: Math.round(memory.now / 1024), peak: Math.round(memory.peak / 1024) };
  const size = { pods: PODS, policies: POLICIES + 1, resources: RESOURCES, namespaces: namespaces.length };
  process.stdout.write(
    `${JSON.stringify({ size, webhook, enrolSeconds, coldSync, onePolicy, oneResource, memoryMiB }, undefined, 2)}\n`,
  );
  for (const pod of fleet) pod.stop();
  await Promise.race([Promise.all(running), sleep(1_000)]);
} finally {
  operator.kill('SIGKILL');
}
