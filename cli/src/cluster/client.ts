import { Agent, type ClientRequestArgs, type IncomingMessage, request as httpRequest } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { CliError, EXIT } from '../errors.ts';
import type { ClusterFlags, Transport } from '../collector/transport.ts';
import { ApiServer, seconds } from './api-server.ts';
import { type CollectorPod, findInstallation, notPermitted, readCa, readTrust, readyPods } from './installation.ts';
import { type ClusterAccess, type Environment, loadKubeconfig } from './kubeconfig.ts';
import { Login } from './login.ts';
import { openTunnel, TunnelError } from './tunnel.ts';

/** A request is made again over another tunnel this often where one is lost before the answer begins. */
const ATTEMPTS = 3;

export interface ClusterOptions {
  readonly env?: Environment;
  readonly now?: () => number;
  /** Told when a tunnel was lost and another pod is asked: a line for people, without its end. */
  readonly onNotice?: (text: string) => void;
}

export interface ClusterTransport extends Transport {
  /** Of --namespace, else of the context, else `default`: what a list without -A is about. */
  readonly namespace: string;
}

/**
 * Reaches the collector of the cluster that the flags choose: a tunnel to one of its ready pods, HTTPS inside it against the CA in
 * ConfigMap chaperone-ca, each request signed with the key of an EvidenceLogin. What the kubeconfig holds goes to the API server only.
 * Throws CliError NoContext, ClusterUnreachable, NotInstalled, NotPermitted, CollectorUnreachable, Usage; so do the transport's methods.
 */
export async function openClusterTransport(flags: ClusterFlags, options: ClusterOptions = {}): Promise<ClusterTransport> {
  const api = new ApiServer(loadKubeconfig(flags, options.env ?? process.env));
  try {
    return new TunnelTransport(api, await findInstallation(api, flags.chaperoneNamespace), options);
  } catch (error) {
    api[Symbol.dispose]();
    throw error;
  }
}

class TunnelTransport implements ClusterTransport {
  readonly namespace: string;
  readonly #api: ApiServer;
  readonly #namespace: string;
  readonly #login: Login;
  readonly #dialer: Dialer;
  readonly #agent: TunnelAgent;
  /** Whether the collector has believed the login: only then can it have ended meanwhile. */
  #believed = false;

  constructor(api: ApiServer, namespace: string, { now, onNotice }: ClusterOptions) {
    this.namespace = api.access.namespace;
    this.#api = api;
    this.#namespace = namespace;
    this.#login = new Login({ api, ...(now === undefined ? {} : { now }) });
    this.#dialer = new Dialer(api, namespace, onNotice ?? (() => undefined));
    this.#agent = new TunnelAgent(this.#dialer);
  }

  async fetch(path: string): Promise<Response> {
    let response = await this.#signed(path);
    if (response.status === 401 && this.#believed) {
      await response.body?.cancel();
      await this.#login.renew();
      response = await this.#signed(path);
    }
    if (response.status !== 401) this.#believed = true;
    return response;
  }

  trust(): ReturnType<Transport['trust']> {
    return readTrust(this.#api, this.#namespace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    await this.#login[Symbol.asyncDispose]();
    this.#api[Symbol.dispose]();
  }

  async #signed(path: string): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      // Signed anew each time: the collector takes a nonce once.
      const headers = { ...(await this.#login.sign(path)), host: this.#dialer.servername };
      try {
        return await this.#send(path, headers);
      } catch (error) {
        const silent = error instanceof TunnelError && error.code === 'Silent';
        if (silent || error instanceof CliError || attempt === ATTEMPTS) throw asUnreachable(error, this.#namespace);
      }
    }
  }

  async #send(path: string, headers: Record<string, string>): Promise<Response> {
    const { timeoutMs } = this.#api.access;
    const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
      const timeout = timeoutMs === undefined ? {} : { timeout: timeoutMs };
      const sent = httpRequest({ agent: this.#agent, path, headers, ...timeout }, resolve);
      sent.on('timeout', () => sent.destroy(noAnswer(timeoutMs ?? 0)));
      sent.on('error', (error) => {
        // A connection that was kept may have ended meanwhile; that says nothing about its pod.
        if (!sent.reusedSocket && sent.socket !== null) this.#dialer.lost(sent.socket);
        reject(error);
      });
      sent.end();
    });
    const status = incoming.statusCode ?? 0;
    const hasBody = status !== 204 && status !== 304;
    return new Response(hasBody ? ReadableStream.from(bodyOf(incoming, this.#namespace)) : null, {
      status,
      headers: Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
    });
  }
}

async function* bodyOf(incoming: IncomingMessage, namespace: string): AsyncGenerator<Uint8Array> {
  try {
    yield* incoming as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw asUnreachable(error, namespace, 'the collector was lost in the middle of its answer');
  }
}

/** Keeps a tunnel open between requests. */
class TunnelAgent extends Agent {
  readonly #dialer: Dialer;

  constructor(dialer: Dialer) {
    super({ keepAlive: true, maxSockets: 4 });
    this.#dialer = dialer;
  }

  override createConnection(_options: ClientRequestArgs, done: (error: Error | null, stream: Duplex) => void): undefined {
    this.#dialer.dial().then(
      // oxlint-disable-next-line promise/no-callback-in-promise -- this is how an agent is given a connection that takes time
      (socket) => done(null, socket),
      // oxlint-disable-next-line promise/no-callback-in-promise -- Node takes an error without a stream, its types do not
      (error: unknown) => (done as (error: unknown) => void)(error),
    );
    return undefined;
  }
}

/** Opens TLS connections to the collector, to another pod where one fails. */
class Dialer {
  readonly servername: string;
  readonly #api: ApiServer;
  readonly #namespace: string;
  readonly #onNotice: (text: string) => void;
  /** Names of pods that were lost, the last one at the end: they are asked after those that were not. */
  #lost: readonly string[] = [];
  readonly #pods = new WeakMap<object, string>();
  #ca: string | undefined;

  constructor(api: ApiServer, namespace: string, onNotice: (text: string) => void) {
    this.servername = `chaperone-collector.${namespace}.svc`;
    this.#api = api;
    this.#namespace = namespace;
    this.#onNotice = onNotice;
  }

  /** Throws CliError. */
  async dial(): Promise<TLSSocket> {
    const [ca, pods] = await Promise.all([this.#ca ?? readCa(this.#api, this.#namespace), readyPods(this.#api, this.#namespace)]);
    this.#ca = ca;
    let last: unknown;
    for (const pod of pods.toSorted((a, b) => this.#lost.indexOf(a.name) - this.#lost.indexOf(b.name))) {
      if (last !== undefined) this.#onNotice(`asking pod ${pod.name} instead`);
      try {
        return await this.#connect(pod, ca);
      } catch (error) {
        if (error instanceof TunnelError && error.status === 403)
          throw notPermitted(this.#api, this.#namespace, `may not open a tunnel to pod ${pod.name} of ${this.#namespace}`, error);
        if (error instanceof CliError) throw error;
        this.#markLost(pod.name);
        last = error;
      }
    }
    throw asUnreachable(last, this.#namespace);
  }

  async #connect(pod: CollectorPod, ca: string): Promise<TLSSocket> {
    const { access } = this.#api;
    const tunnel = await openTunnel(access, { namespace: this.#namespace, pod: pod.name, port: pod.port });
    const socket = await secure(tunnel, { ca, servername: this.servername, access });
    socket.once('close', () => tunnel.destroy());
    this.#pods.set(socket, pod.name);
    return socket;
  }

  /** Says that a connection broke before it answered. */
  lost(connection: object): void {
    const name = this.#pods.get(connection);
    if (name !== undefined) this.#markLost(name);
  }

  #markLost(name: string): void {
    this.#onNotice(`lost collector pod ${name}`);
    this.#lost = [...this.#lost.filter((each) => each !== name), name];
  }
}

interface SecureOptions {
  readonly ca: string;
  readonly servername: string;
  readonly access: ClusterAccess;
}

/** TLS inside the tunnel; the tunnel is closed where the other side is not who the CA says. */
async function secure(tunnel: Duplex, { ca, servername, access }: SecureOptions): Promise<TLSSocket> {
  const socket = connect({ socket: tunnel, ca, servername, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] });
  const { timeoutMs } = access;
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => socket.destroy(noAnswer(timeoutMs)), timeoutMs);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      tunnel.once('error', reject);
      socket.once('close', () => reject(new TunnelError('Lost', 'the tunnel was closed')));
      // Does nothing where the socket closed the tunnel: its error says why.
      tunnel.once('close', () => socket.destroy());
    });
    // The tunnel's own error says why; the socket tells its reader that it ended.
    tunnel.on('error', (error) => socket.destroy(error));
    return socket;
  } catch (error) {
    tunnel.on('error', () => undefined);
    socket.on('error', () => undefined);
    socket.destroy();
    tunnel.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function noAnswer(timeoutMs: number): TunnelError {
  return new TunnelError('Silent', `no answer in ${seconds(timeoutMs)}`);
}

/** Why the collector could not be spoken to, as CollectorUnreachable. */
function asUnreachable(error: unknown, namespace: string, what = `the collector in ${namespace} does not answer`): CliError {
  if (error instanceof CliError) return error;
  return new CliError('CollectorUnreachable', `${what}: ${reasonOf(error)}`, {
    cause: error,
    exit: EXIT.unreachable,
    fix: [`kubectl -n ${namespace} logs statefulset/chaperone-collector`],
  });
}

function reasonOf(error: unknown): string {
  if (error instanceof TunnelError) return error.message;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  if (/CERT|SIGNATURE|ISSUER|ALTNAME|CHAIN|SELF_SIGNED/.test(code))
    return `its certificate is not the one that ConfigMap chaperone-ca vouches for (${code})`;
  return `the connection broke (${code})`;
}
