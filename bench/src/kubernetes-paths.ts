import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { hasApiServer, hasPods, startApiServer, startPods, testAuthority } from '@chaperone/testing';
import { startUp } from './chaperone.ts';
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
  /** Absent: without TLS. */
  readonly ca?: string;
  readonly token?: string;
  /** Of the process in between. */
  readonly pid?: number;
}

/** Connections are kept, as clients keep them. */
function target(at: At): Target {
  const { host, port, ca, token } = at;
  const agent = ca === undefined ? new HttpAgent({ keepAlive: true }) : new HttpsAgent({ keepAlive: true, ca });
  const request = ca === undefined ? httpRequest : httpsRequest;
  const headers = { accept: 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  return {
    at,
    get: async (path) => {
      const asked = request({ host, port, path, agent, headers });
      asked.end();
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      if (response.statusCode !== 200) throw new Error(`${path} is answered ${response.statusCode}`);
      return response;
    },
    [Symbol.asyncDispose]: async () => agent.destroy(),
  };
}

export interface Server extends AsyncDisposable {
  readonly port: number;
  readonly ca: string;
  readonly token: string;
}

/** What answers at once, so that nothing but the proxy is measured. */
export async function startStandIn(directory: string): Promise<Server> {
  const authority = await testAuthority();
  const leaf = await authority.issue(['127.0.0.1']);
  const files = ['server.crt', 'server.key'].map((name) => join(directory, name)) as [string, string];
  await mkdir(directory, { recursive: true });
  await writeFile(files[0], leaf.certificate);
  await writeFile(files[1], leaf.key, { mode: 0o600 });
  const child = spawn(process.execPath, [join(import.meta.dirname, 'kubernetes-server.ts'), ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = ended(child);
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line', { signal: AbortSignal.timeout(START_TIMEOUT_MS) })) as [string];
  return { port: Number(line), ca: authority.ca, token: TOKEN, [Symbol.asyncDispose]: stop };
}

/** kube-apiserver, which holds the pods. @throws Error where it is missing */
export async function startReal(): Promise<Server> {
  if (!hasApiServer) throw new Error('kube-apiserver, etcd or kubectl is missing');
  const server = await startApiServer();
  const { ca, token } = server;
  const port = Number(server.address.split(':')[1]);
  try {
    const agent = new HttpsAgent({ keepAlive: true, ca, maxSockets: MAKERS });
    const create = async (path: string, object: object): Promise<void> => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
      const asked = httpsRequest({ host: '127.0.0.1', port, path, agent, method: 'POST', headers });
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
  return { port, ca, token, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** What stands before every pod there is, and runs commands on this machine. @throws Error where it is missing */
export async function startRunning(): Promise<Server> {
  if (!hasPods) throw new Error('the pods of scripts/kubernetes-peers, or kubectl, are missing');
  const pods = await startPods();
  const port = Number(pods.address.split(':')[1]);
  return { port, ca: pods.ca, token: TOKEN, [Symbol.asyncDispose]: () => pods[Symbol.asyncDispose]() };
}

/** `direct`: none between; `chaperone`: `chaperone up`, which masks a variable in each pod and finds mail addresses. */
export interface Paths extends AsyncDisposable {
  readonly direct: Target;
  readonly chaperone: Target;
}

/** Starts `chaperone up` before a server. @throws Error */
export async function pathsTo(server: Server, directory: string, flags: readonly string[]): Promise<Paths> {
  const up = await startUp(manifestsOf(server), directory, flags);
  const direct = target({ host: '127.0.0.1', port: server.port, ca: server.ca, token: server.token });
  const chaperone = target({ ...up.addressOf('bench-api'), pid: up.pid });
  return {
    direct,
    chaperone,
    [Symbol.asyncDispose]: async () => {
      await direct[Symbol.asyncDispose]();
      await chaperone[Symbol.asyncDispose]();
      await up[Symbol.asyncDispose]();
    },
  };
}

function manifestsOf({ port, ca, token }: Server): string {
  return [
    `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: bench-api, namespace: data}
spec:
  protocol: kubernetes
  hosts: [bench-api]
  port: 6443
  upstream: {address: "127.0.0.1:${port}", tls: {caRef: {name: bench-ca}}}
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
    - {name: look, effect: Allow, resource: {namespace: data, name: bench-api}, kubernetes: {verbs: [get, list, watch], resources: [pods]}}
    - name: run
      effect: Allow
      resource: {namespace: data, name: bench-api}
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
metadata: {name: bench-token, namespace: data, annotations: {chaperone.dev/upstream: "127.0.0.1:${port}"}}
stringData: {token: ${token}}
`,
  ].join('---');
}
