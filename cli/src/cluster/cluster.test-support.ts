import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, createConnection } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { type Certified, type TestAuthority, temporaryDirectory, testAuthority } from '@chaperone/testing';
import { onTestFinished } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { CliError } from '../errors.ts';

export const NAMESPACE = 'chaperone-system';
export const SERVERNAME = `chaperone-collector.${NAMESPACE}.svc`;
export const TOKEN = 'the-token-of-a-kubeconfig';
const GROUPS = ['dba', 'system:authenticated'];

export interface AnyLogin {
  readonly metadata: { readonly name: string; readonly creationTimestamp: string };
  readonly spec: { readonly publicKey: string; readonly user: string; readonly groups: readonly string[] };
}

export interface AnyPod {
  readonly name: string;
  readonly ready?: boolean;
  readonly waiting?: string;
  /** Where its port really is; without one nothing listens. */
  readonly backend?: number;
}

/** What the API server of a test answers; tests change it as they go. */
export interface ClusterState {
  crds: boolean;
  /** Namespaces with a collector's Service; undefined: they may not be listed. */
  services: string[] | undefined;
  pods: AnyPod[];
  configMaps: Record<string, Record<string, string>>;
  /** Answers of this status to requests whose method and path begin so, as `POST /apis/…`. */
  refuse: Map<string, number>;
  /** The cluster's clock. */
  now: () => number;
  allowed: (review: { user: string; verb: string; namespace: string }) => boolean;
  /** Answers what is asked of it in place of all below, where it returns true. */
  serve?: (asked: Asked, response: ServerResponse) => boolean;
  /** What is done with a tunnel in place of forwarding. */
  onTunnel?: (socket: WebSocket, pod: string) => void;
}

/** A request by somebody who is known. */
export interface Asked {
  readonly method: string;
  readonly url: URL;
  readonly body: unknown;
  readonly person: { readonly username: string; readonly groups: readonly string[] };
}

export interface TestCluster {
  readonly state: ClusterState;
  readonly logins: Map<string, AnyLogin>;
  /** Every login that was ever made. */
  readonly made: AnyLogin[];
  /** Method and path of each request. */
  readonly asked: string[];
  readonly authority: TestAuthority;
  readonly url: string;
  readonly kubeconfig: string;
}

/** An HTTPS server that answers as an API server does, and a kubeconfig for it. */
export async function aCluster(mods: Partial<ClusterState> = {}): Promise<TestCluster> {
  const authority = await testAuthority();
  const state: ClusterState = {
    crds: true,
    services: [NAMESPACE],
    pods: [],
    configMaps: { 'chaperone-ca': { 'ca.crt': authority.ca } },
    refuse: new Map(),
    now: Date.now,
    allowed: () => true,
    ...mods,
  };
  const cluster = { state, logins: new Map<string, AnyLogin>(), made: [] as AnyLogin[], asked: [] as string[] };
  const server = createServer(tlsOf(await authority.issue(['localhost'])), (request, response) => {
    void answer(cluster, request, response);
  });
  const tunnels = new WebSocketServer({ noServer: true, handleProtocols: () => 'v4.channel.k8s.io' });
  server.on('upgrade', (request: IncomingMessage, socket, head) => {
    cluster.asked.push(`UPGRADE ${request.url}`);
    const pod = /^\/api\/v1\/namespaces\/chaperone-system\/pods\/([^/]+)\/portforward\?ports=8443$/.exec(request.url ?? '')?.[1];
    const known = state.pods.find(({ name }) => name === pod);
    const status = authenticate(request) === undefined ? 401 : (refusal(state, request) ?? (known === undefined ? 404 : 101));
    if (status !== 101 || known === undefined) {
      socket.end(`HTTP/1.1 ${status} no\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    tunnels.handleUpgrade(request, socket, head, (opened) => {
      if (state.onTunnel === undefined) forward(opened, known.backend ?? 1);
      else state.onTunnel(opened, known.name);
    });
  });
  const url = `https://localhost:${await listening(server)}`;
  onTestFinished(() => {
    for (const client of tunnels.clients) client.terminate();
  });
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const kubeconfig = join(directory.path, 'config');
  writeFileSync(kubeconfig, JSON.stringify(aKubeconfig(url, authority.ca)));
  return { ...cluster, authority, url, kubeconfig };
}

export function aKubeconfig(server: string, ca: string): object {
  return {
    clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name: 'jane', user: { token: TOKEN } }],
    contexts: [{ name: 'test', context: { cluster: 'c', user: 'jane' } }],
    'current-context': 'test',
  };
}

/** A collector of the test's own behind the name that the chart's Service has. @returns Its port. */
export async function aBackend(authority: TestAuthority, listener: RequestListener, names = [SERVERNAME]): Promise<number> {
  return listening(createServer(tlsOf(await authority.issue(names)), listener));
}

async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

/** The error that `work` ends with; a result or another kind of error fails the test. */
export async function cliError(work: Promise<unknown>): Promise<CliError> {
  const error = await work.then(
    () => new Error('it did not fail'),
    (caught: unknown) => caught,
  );
  if (error instanceof CliError) return error;
  throw error;
}

type Cluster = Pick<TestCluster, 'state' | 'logins' | 'made' | 'asked'>;

const tlsOf = ({ certificate, key }: Certified): { cert: string; key: string } => ({ cert: certificate, key });

function refusal(state: ClusterState, request: IncomingMessage): number | undefined {
  const asked = `${request.method} ${request.url}`;
  return [...state.refuse].find(([begin]) => asked.startsWith(begin))?.[1];
}

/** Who sent a request, impersonation included. */
function authenticate(request: IncomingMessage): { username: string; groups: string[] } | undefined {
  if (request.headers.authorization !== `Bearer ${TOKEN}`) return undefined;
  const user = request.headers['impersonate-user'];
  if (typeof user !== 'string') return { username: 'jane', groups: GROUPS };
  return { username: user, groups: request.headersDistinct['impersonate-group'] ?? [] };
}

async function answer(cluster: Cluster, request: IncomingMessage, response: ServerResponse): Promise<void> {
  cluster.asked.push(`${request.method} ${request.url}`);
  response.setHeader('content-type', 'application/json');
  const body = request.method === 'POST' ? await json(request) : undefined;
  const send = (status: number, object: object): void => void response.writeHead(status).end(JSON.stringify(object));
  const refuse = (status: number, reason: string): void =>
    send(status, { kind: 'Status', reason, message: `refused: ${reason}` });
  const person = authenticate(request);
  const refused = person === undefined ? 401 : refusal(cluster.state, request);
  if (person === undefined || refused !== undefined) return refuse(refused ?? 401, refused === 403 ? 'Forbidden' : 'Other');
  const url = new URL(request.url ?? '', 'https://localhost');
  if (cluster.state.serve?.({ method: request.method ?? '', url, body, person }, response) === true) return;
  const found = route(cluster, request, body, person);
  if (typeof found === 'number') refuse(found, found === 404 ? 'NotFound' : 'Forbidden');
  else send(request.method === 'POST' ? 201 : 200, found);
}

function route(
  cluster: Cluster,
  request: IncomingMessage,
  body: unknown,
  person: { username: string; groups: string[] },
): object | 403 | 404 {
  const { state } = cluster;
  const { pathname } = new URL(request.url ?? '', 'https://localhost');
  const named = /^\/apis\/chaperone\.dev\/v1alpha1\/evidencelogins\/([a-z0-9-]+)$/.exec(pathname)?.[1];
  const configMap = /^\/api\/v1\/namespaces\/chaperone-system\/configmaps\/(.+)$/.exec(pathname)?.[1];
  if (pathname.startsWith('/apis/chaperone.dev/') && !state.crds) return 404;
  if (named !== undefined) return ofLogin(cluster.logins, request.method, named);
  if (configMap !== undefined) return configMap in state.configMaps ? { data: state.configMaps[configMap] } : 404;
  return collection(cluster, pathname, body, person);
}

/** What has no name in its path: collections, reviews, and the group itself. */
function collection(
  cluster: Cluster,
  pathname: string,
  body: unknown,
  person: { username: string; groups: string[] },
): object | 403 | 404 {
  const { state, logins } = cluster;
  switch (pathname) {
    case '/apis/chaperone.dev/v1alpha1':
      return { kind: 'APIResourceList' };
    case '/apis/chaperone.dev/v1alpha1/evidencelogins':
      return body === undefined ? { items: [...logins.values()] } : admit(cluster, body as AnyLogin, person);
    case '/apis/authentication.k8s.io/v1/selfsubjectreviews':
      return { status: { userInfo: person } };
    case '/apis/authorization.k8s.io/v1/subjectaccessreviews': {
      const { spec } = body as { spec: { user: string; resourceAttributes: { verb: string; namespace: string } } };
      return { status: { allowed: state.allowed({ user: spec.user, ...spec.resourceAttributes }) } };
    }
    case '/api/v1/services':
      return state.services === undefined ? 403 : { items: state.services.map((namespace) => ({ metadata: { namespace } })) };
    case '/api/v1/namespaces/chaperone-system/pods':
      return { items: state.pods.map(podObject) };
    default:
      return 404;
  }
}

function ofLogin(logins: Map<string, AnyLogin>, method: string | undefined, name: string): object | 404 {
  const login = logins.get(name);
  if (login === undefined) return 404;
  if (method === 'DELETE') logins.delete(name);
  return login;
}

/** As admission has it: nobody writes another's name. */
function admit(
  { state, logins, made }: Cluster,
  object: AnyLogin,
  { username, groups }: { username: string; groups: string[] },
): object | 403 {
  if (object.spec.user !== username || object.spec.groups.join() !== groups.join()) return 403;
  const creationTimestamp = new Date(state.now()).toISOString().replace(/\.\d+/, '');
  const stored = { ...object, metadata: { ...object.metadata, creationTimestamp } };
  logins.set(object.metadata.name, stored);
  made.push(stored);
  return stored;
}

function podObject({ name, ready = true, waiting }: AnyPod): object {
  return {
    metadata: { name },
    spec: { containers: [{ ports: [{ name: 'https', containerPort: 8443 }] }] },
    status: {
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      containerStatuses: [{ state: waiting === undefined ? { running: {} } : { waiting: { reason: waiting } } }],
    },
  };
}

const PORT_8443 = Buffer.of(0xfb, 0x20);

/** As the kubelet does it: the port first on either channel, then bytes as they come. */
function forward(socket: WebSocket, port: number): void {
  const upstream = createConnection(port, '127.0.0.1');
  const send = (channel: number, data: Buffer): void => socket.send(Buffer.concat([Buffer.of(channel), data]));
  send(0, PORT_8443);
  send(1, PORT_8443);
  upstream.on('data', (data: Buffer) => send(0, data));
  upstream.on('error', () => send(1, Buffer.from(`error forwarding port 8443: connection refused`)));
  upstream.on('close', () => socket.close());
  socket.on('message', (data: Buffer) => void upstream.write(data.subarray(1)));
  socket.on('close', () => void upstream.destroy());
}
