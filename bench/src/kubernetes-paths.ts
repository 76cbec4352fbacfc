import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { hasApiServer, hasPods, startApiServer, startPods, testAuthority } from '@chaperone/testing';
import { reachable, startSidecar } from './alone.ts';
import { startTlsRelay } from './bare.ts';
import type { Collected } from './collected.ts';
import { ended } from './ended.ts';
import { newPod } from './kubernetes-pod.ts';

const START_TIMEOUT_MS = 30_000;
export const PODS = '/api/v1/namespaces/shop/pods';
const TOKEN = 'of-the-owner';
const COUNT = 5_000;
/** Requests at once that make them. */
const MAKERS = 20;

export interface Target extends AsyncDisposable {
  readonly at: At;
  readonly get: (path: string) => Promise<IncomingMessage>;
}

export interface At {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  /** By which the server proves who it is, where that is not its address. */
  readonly name?: string;
  readonly token?: string;
  /** Of the process in between. */
  readonly pid?: number;
}

/** Connections are kept, as clients keep them. */
function target(at: At): Target {
  const { host, port, ca, name, token } = at;
  const agent = new HttpsAgent({ keepAlive: true, ca, ...(name !== undefined && { servername: name }) });
  const headers = { accept: 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  return {
    at,
    get: async (path) => {
      const asked = httpsRequest({ host, port, path, agent, headers });
      asked.end();
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      if (response.statusCode !== 200) throw new Error(`${path} is answered ${response.statusCode}`);
      return response;
    },
    [Symbol.asyncDispose]: async () => agent.destroy(),
  };
}

export interface Server extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly ca: string;
  readonly token: string;
}

/** What answers at once, so that nothing but the proxy is measured. */
export async function startStandIn(directory: string): Promise<Server> {
  const authority = await testAuthority();
  const host = reachable();
  const leaf = await authority.issue([host]);
  const files = ['server.crt', 'server.key'].map((name) => join(directory, name)) as [string, string];
  await mkdir(directory, { recursive: true });
  await writeFile(files[0], leaf.certificate);
  await writeFile(files[1], leaf.key, { mode: 0o600 });
  const child = spawn(process.execPath, [join(import.meta.dirname, 'kubernetes-server.ts'), ...files, host], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = ended(child);
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line', { signal: AbortSignal.timeout(START_TIMEOUT_MS) })) as [string];
  return { host, port: Number(line), ca: authority.ca, token: TOKEN, [Symbol.asyncDispose]: stop };
}

/** kube-apiserver, which holds the pods. @throws Error where it is missing */
export async function startReal(): Promise<Server> {
  if (!hasApiServer) throw new Error('kube-apiserver, etcd or kubectl is missing');
  const host = reachable();
  const server = await startApiServer(host);
  const { ca, token } = server;
  const port = Number(server.address.split(':')[1]);
  try {
    const agent = new HttpsAgent({ keepAlive: true, ca, maxSockets: MAKERS });
    const create = async (path: string, object: object): Promise<void> => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
      const asked = httpsRequest({ host, port, path, agent, method: 'POST', headers });
      asked.end(JSON.stringify(object));
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      response.resume();
      if (response.statusCode !== 201) throw new Error(`${path} is answered ${response.statusCode}`);
      await once(response, 'end');
    };
    await create('/api/v1/namespaces', { kind: 'Namespace', apiVersion: 'v1', metadata: { name: 'shop' } });
    const all = Array.from({ length: COUNT }, (_, at) => at);
    const make = async (): Promise<void> => {
      for (let at = all.pop(); at !== undefined; at = all.pop()) await create(PODS, newPod(at));
    };
    await Promise.all(Array.from({ length: MAKERS }, make));
    agent.destroy();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return { host, port, ca, token, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** What stands before every pod there is, and runs commands on this machine. @throws Error where it is missing */
export async function startRunning(): Promise<Server> {
  if (!hasPods) throw new Error('the pods of scripts/kubernetes-peers, or kubectl, are missing');
  const host = reachable();
  const pods = await startPods({}, host);
  const port = Number(pods.address.split(':')[1]);
  return { host, port, ca: pods.ca, token: TOKEN, [Symbol.asyncDispose]: () => pods[Symbol.asyncDispose]() };
}

/**
 * `direct`: none between; `bare`: a relay in Node that ends TLS and begins it anew, and only pipes; `sidecar`: that of a cluster, which masks
 * a variable in each pod and finds mail addresses.
 */
export const KUBERNETES_SLOTS = ['direct', 'bare', 'sidecar'] as const;
export type KubernetesSlot = (typeof KUBERNETES_SLOTS)[number];
export type Paths = AsyncDisposable & Readonly<Record<KubernetesSlot, Target>>;

export interface Between {
  readonly directory: string;
  readonly collected: Collected;
  /** For the Node that runs the sidecar. */
  readonly flags: readonly string[];
}

const NAME = 'bench-api';
/** Not the API server's own, which may be in use on this machine. */
const PORT = 7443;

/** Starts what stands before a server. Needs root. @throws Error */
export async function pathsTo(server: Server, { directory, collected, flags }: Between): Promise<Paths> {
  const { host, port, ca, token } = server;
  await using started = new AsyncDisposableStack();
  const authority = await testAuthority();
  const relay = started.use(await startTlsRelay(server, await authority.issue(['127.0.0.1'])));
  const sidecar = started.use(await startSidecar(directory, { manifests: manifestsOf(server), collected, flags }));
  const paths = {
    direct: started.use(target({ host, port, ca, token })),
    bare: started.use(target({ host: '127.0.0.1', port: relay.port, ca: authority.ca, token, pid: relay.pid })),
    sidecar: started.use(target({ host: sidecar.addressOf(NAME), port: PORT, ca: sidecar.ca, name: NAME, pid: sidecar.pid })),
  };
  const all = started.move();
  return { ...paths, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

function manifestsOf({ host, port, ca, token }: Server): string {
  return [
    `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${NAME}, namespace: data}
spec:
  protocol: kubernetes
  hosts: [${NAME}]
  port: ${PORT}
  upstream: {address: "${host}:${port}", tls: {caRef: {name: bench-ca}}}
  credentials: {secretRef: {name: bench-token}}
  kubernetes: {identity: credential}
  sensitive:
    - {label: shop.password, fields: ["env:*_PASSWORD"]}
    - {label: found.mail, detector: email}
  grantedTo: [{namespace: agents, operations: [get, list, watch, exec]}]
`,
    `
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: bench, namespace: agents}
spec:
  agents: {podSelector: {matchLabels: {app: bench}}}
  purpose: measure what the proxy costs
  rules:
    - {name: look, effect: Allow, resource: {namespace: data, name: ${NAME}}, kubernetes: {verbs: [get, list, watch], resources: [pods]}}
    - name: run
      effect: Allow
      resource: {namespace: data, name: ${NAME}}
      kubernetes: {verbs: [exec], resources: [pods/exec], commands: ["cat *"]}
`,
    `
apiVersion: v1
kind: Secret
metadata: {name: bench-ca, namespace: data}
stringData:
  ca.crt: |
    ${ca.trimEnd().replaceAll('\n', '\n    ')}
`,
    `
apiVersion: v1
kind: Secret
metadata: {name: bench-token, namespace: data, annotations: {chaperone.dev/upstream: "${host}:${port}"}}
stringData: {token: ${token}}
`,
  ].join('---');
}
