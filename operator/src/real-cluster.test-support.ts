import { spawnSync } from 'node:child_process';
import { sign } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { createTransport, getObject, type Kube, KINDS, type KubeObject, type KubeRequest, pathOf } from '@chaperone/kube';
import {
  eventually,
  findProgram,
  hasApiServer,
  KUBECTL,
  startApiServer,
  type ApiServer,
  temporaryDirectory,
} from '@chaperone/testing';
import { parseConfig } from './config.ts';
import { createMetrics } from './metrics.ts';
import { AGENTS, ENVIRONMENT } from './operator.test-support.ts';
import { type Operator, type OperatorOptions, startOperator } from './operator.ts';

const HELM = findProgram('helm');
const CHART = join(import.meta.dirname, '../../helm');
export const SYSTEM = ENVIRONMENT.POD_NAMESPACE;
export const hasRealCluster = hasApiServer && HELM !== undefined;

const BOT = { name: 'bot', image: 'bot:1', securityContext: { runAsUser: 1000 } };

/** A TCP port before others. What goes through it may be cut, and is silent from then on, as where a network is parted. */
export class Joint implements Disposable {
  /** Asked in turn. */
  targets: { readonly host: string; readonly port: number }[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #pairs = new Map<Socket, Socket>();
  readonly #waiting: Socket[] = [];
  #isCut = false;
  #turn = 0;

  constructor() {
    this.#server = createServer((near) => this.#join(near));
  }
  #join(near: Socket): void {
    const target = this.targets[this.#turn++ % this.targets.length];
    this.#hold(near);
    if (this.#isCut) this.#waiting.push(near.pause());
    else if (target === undefined) near.destroy();
    else {
      const far = connect(target);
      this.#hold(far);
      near.pipe(far).pipe(near);
      this.#pairs.set(near, far);
      near.on('close', () => {
        this.#pairs.delete(near);
        far.destroy();
      });
      far.on('close', () => near.destroy());
    }
  }
  async listen(at: { readonly host: string; readonly port: number } = { host: '127.0.0.1', port: 0 }): Promise<number> {
    this.#server.listen(at);
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.pause();
    }
  }
  /** What was said meanwhile arrives now, as where packets are sent again. */
  heal(): void {
    this.#isCut = false;
    for (const [near, far] of this.#pairs) near.pipe(far).pipe(near);
    for (const near of this.#waiting.splice(0).filter(({ destroyed }) => !destroyed)) this.#join(near);
  }
  [Symbol.dispose](): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket));
  }
}

/** One process of the operator, as far as the API server and the Service of its webhook can tell. */
export interface Replica {
  readonly name: string;
  readonly operator: Operator;
  readonly errors: unknown[];
  /** What it asked to be written, when (ms since the test began), and what was answered: a status, 0 where nothing came. */
  readonly writes: { readonly method: string; readonly path: string; readonly at: number; status: number | undefined }[];
  /** Where sidecars find it, as the EndpointSlice of the leader says. */
  readonly address: string;
  /** Its way to the API server. */
  readonly way: Pick<Joint, 'cut' | 'heal'>;
  /** Something that happens before a write gets there: it waits until that is over. */
  readonly meanwhile: { before?: ((write: { readonly method: string; readonly path: string }) => Promise<void>) | undefined };
}

/**
 * A real API server with the chart's CRDs and admission, a governed namespace, and operators that it calls: what a cluster is but for
 * controllers and kubelets.
 */
export class RealCluster implements AsyncDisposable {
  readonly api: ApiServer;
  /** Of one that may do everything. */
  readonly kube: Kube;
  readonly replicas: Replica[] = [];
  readonly #directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  readonly #service = new Joint();
  readonly #closing: (() => void)[] = [];
  /** UID of the agents' ServiceAccount. */
  #account: string | undefined;

  private constructor(api: ApiServer, directory: Awaited<ReturnType<typeof temporaryDirectory>>) {
    this.api = api;
    this.#directory = directory;
    this.kube = this.#transport(api.address);
    this.#closing.push(() => this.kube.close());
  }

  static async start(): Promise<RealCluster> {
    const [api, directory] = await Promise.all([startApiServer(), temporaryDirectory()]);
    const cluster = new RealCluster(api, directory);
    writeFileSync(join(directory.path, 'config'), api.kubeconfig(`https://${api.address}`, api.ca, 'default'));
    const port = await cluster.#service.listen();
    const chart = spawnSync(HELM ?? '', ['template', 'chaperone', CHART, '-n', SYSTEM, '--kube-version', '1.34.4'], {
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    }).stdout;
    const kinds = (...wanted: string[]): string =>
      chart
        .split(/^---$/m)
        .filter((text) => wanted.some((kind) => text.includes(`\nkind: ${kind}\n`)))
        .join('\n---\n');
    cluster.kubectl(['apply', '--server-side', '-f', '-'], kinds('CustomResourceDefinition'));
    cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
    cluster.kubectl(
      ['apply', '--server-side', '-f', '-'],
      kinds('ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding', 'MutatingWebhookConfiguration'),
    );
    // No Service leads anywhere here.
    await cluster.kube.request({
      method: 'PATCH',
      path: pathOf(KINDS.mutatingWebhooks, { name: 'chaperone' }),
      contentType: 'application/json-patch+json',
      body: [{ op: 'replace', path: '/webhooks/0/clientConfig', value: { url: `https://127.0.0.1:${port}/mutate-pods` } }],
    });
    for (const metadata of [{ name: SYSTEM }, { name: 'data' }, { name: AGENTS, labels: { 'chaperone.dev/inject': 'enabled' } }])
      await cluster.create(KINDS.namespaces, { metadata });
    const account = await cluster.kube.request({
      method: 'POST',
      path: `/api/v1/namespaces/${AGENTS}/serviceaccounts`,
      body: { metadata: { name: 'support' } },
    });
    cluster.#account = account.metadata.uid;
    // From its cache, which an API server fills in its own time: who watches before that is told to come again.
    for (const kind of [KINDS.injectionProfiles, KINDS.protectedResources, KINDS.accessPolicies])
      await eventually(kind.kind, () => cluster.kube.request({ path: pathOf(kind), query: { resourceVersion: '0' } }));
    return cluster;
  }

  kubectl(args: readonly string[], input = ''): string {
    const { status, stdout, stderr } = spawnSync(KUBECTL ?? '', ['--kubeconfig', join(this.#directory.path, 'config'), ...args], {
      encoding: 'utf8',
      input,
    });
    if (status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }
  async create(
    kind: (typeof KINDS)[keyof typeof KINDS],
    object: { metadata: object; [field: string]: unknown },
  ): Promise<KubeObject> {
    const { namespace } = object.metadata as { namespace?: string };
    const body = { apiVersion: kind.apiVersion, kind: kind.kind, ...object };
    return await this.kube.request({ method: 'POST', path: pathOf(kind, { namespace }), body });
  }
  async createPod(name: string, containers: readonly object[] = [BOT]): Promise<KubeObject> {
    return await this.create(KINDS.pods, {
      metadata: { namespace: AGENTS, name, labels: { app: 'support' } },
      spec: { serviceAccountName: 'support', containers },
    });
  }
  /** From now on pods reach admission policies as they are. */
  async passByWebhook(): Promise<void> {
    await this.kube.request({ method: 'DELETE', path: pathOf(KINDS.mutatingWebhooks, { name: 'chaperone' }) });
    await eventually('a pod to be refused as it is', () =>
      this.createPod('bare').then(
        () => this.deletePod('bare').then(() => undefined),
        () => true,
      ),
    );
  }
  /** A token as the kubelet gets one for this pod, whom alone the chart's policies let have it; so it is signed here. */
  tokenOf({ metadata: { name, uid } }: KubeObject, mods: { audience?: string; issuedAt?: number } = {}): string {
    const { audience = 'chaperone-sidecar', issuedAt = Date.now() } = mods;
    const iat = Math.floor(issuedAt / 1000);
    const claims = {
      iss: 'https://kubernetes.default.svc',
      sub: `system:serviceaccount:${AGENTS}:support`,
      aud: [audience],
      iat,
      nbf: iat,
      exp: iat + 600,
      'kubernetes.io': { namespace: AGENTS, pod: { name, uid }, serviceaccount: { name: 'support', uid: this.#account } },
    };
    const signed = `${text({ alg: 'RS256' })}.${text(claims)}`;
    return `${signed}.${sign('sha256', Buffer.from(signed), this.api.tokenKey).toString('base64url')}`;
  }
  /** Who leads, as the Lease says; undefined where it is none of these. */
  async leader(): Promise<Replica | undefined> {
    const lease = await getObject(this.kube, KINDS.leases, { namespace: SYSTEM, name: 'chaperone-operator' });
    const holder = (lease?.spec as { holderIdentity?: string } | undefined)?.holderIdentity;
    return this.replicas.find(({ name }) => holder === `${name}_${name}-uid`);
  }
  async deletePod(name: string): Promise<void> {
    const body = { gracePeriodSeconds: 0 };
    await this.kube.request({ method: 'DELETE', path: pathOf(KINDS.pods, { namespace: AGENTS, name }), body });
  }
  /** Resolves once pods are injected and admitted. */
  async admits(): Promise<void> {
    const tried = async (): Promise<true> => {
      await this.createPod('first');
      await this.deletePod('first');
      return true;
    };
    await eventually('a pod to be admitted', tried, 30_000);
  }

  async startReplica(name: string, options: Pick<OperatorOptions, 'times' | 'election'> = {}): Promise<Replica> {
    const way = new Joint();
    const [host = '', port = ''] = this.api.address.split(':');
    way.targets = [{ host, port: Number(port) }];
    const kube = this.#transport(`127.0.0.1:${await way.listen()}`);
    const address = `192.0.2.${this.replicas.length + 1}`;
    const meanwhile: Replica['meanwhile'] = {};
    const replica = { name, errors: [] as unknown[], writes: [] as Replica['writes'], address, way, meanwhile };
    const operator = await startOperator({
      kube: noting(kube, replica),
      config: parseConfig({ ...ENVIRONMENT, POD_NAME: name, POD_UID: `${name}-uid` }),
      metrics: createMetrics(),
      natsCa: undefined,
      onError: (error) => replica.errors.push(error),
      ...options,
    });
    const started = { ...replica, operator };
    this.replicas.push(started);
    this.#service.targets.push({ host: '127.0.0.1', port: (operator.servers.webhook.address() as AddressInfo).port });
    this.#closing.push(
      () => way[Symbol.dispose](),
      () => kube.close(),
    );
    return started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { way } of this.replicas) way.heal();
    await Promise.all(this.replicas.map(({ operator }) => operator.stop()));
    this.#service[Symbol.dispose]();
    for (const close of this.#closing) close();
    await this.api[Symbol.asyncDispose]();
    await this.#directory[Symbol.asyncDispose]();
  }

  #transport(address: string): Kube {
    const config = new KubeConfig();
    config.loadFromString(this.api.kubeconfig(`https://${address}`, this.api.ca, 'default'));
    return createTransport({ config, userAgent: 'test' });
  }
}

const text = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

/** Keeps what is written. The API server lets no endpoint be on the loopback interface, where these replicas are: each has an address in its place. */
function noting(kube: Kube, { writes, address, meanwhile }: Pick<Replica, 'writes' | 'address' | 'meanwhile'>): Kube {
  return {
    ...kube,
    request: async <T>(request: KubeRequest): Promise<T> => {
      const { method = 'GET', path } = request;
      // What was given up before it was sent is no write.
      if (method === 'GET' || path.endsWith('/tokenreviews') || request.signal?.aborted === true)
        return await kube.request<T>(request);
      const write: Replica['writes'][number] = { method, path, at: performance.now(), status: undefined };
      writes.push(write);
      await meanwhile.before?.(write);
      const body = path.includes('/endpointslices/')
        ? { ...(request.body as object), endpoints: [{ addresses: [address], conditions: { ready: true } }] }
        : request.body;
      try {
        const answer = await kube.request<T>({ ...request, body });
        write.status = 200;
        return answer;
      } catch (error) {
        write.status = (error as { status?: number }).status ?? 0;
        throw error;
      }
    },
  };
}
