import { Agent, type ClientRequestArgs, type ClientRequest, request } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { CliError } from '../errors.ts';
import type { ApiServer } from './api-server.ts';
import { type CollectorPod, notPermitted, readCa, readyPods } from './installation.ts';
import type { ClusterAccess } from './kubeconfig.ts';
import { noAnswer, reasonOf, type Route, type Sending, unreachable } from './route.ts';
import { openTunnel, TunnelError } from './tunnel.ts';

/** To a ready pod of the collector, through the API server, with TLS inside against the CA in ConfigMap chaperone-ca. */
export class TunnelRoute implements Route {
  readonly host: string;
  readonly #namespace: string;
  readonly #dialer: Dialer;
  readonly #agent: TunnelAgent;

  constructor(api: ApiServer, namespace: string, onNotice: (text: string) => void) {
    this.host = `chaperone-collector.${namespace}.svc`;
    this.#namespace = namespace;
    this.#dialer = new Dialer({ api, namespace, servername: this.host, onNotice });
    this.#agent = new TunnelAgent(this.#dialer);
  }

  request(sending: Sending): ClientRequest {
    return request({ ...sending, agent: this.#agent });
  }

  lost(connection: object): void {
    this.#dialer.lost(connection);
  }

  unreachable(error: unknown, what?: string): CliError {
    return asUnreachable(error, this.#namespace, what);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
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

interface DialerOptions {
  readonly api: ApiServer;
  readonly namespace: string;
  readonly servername: string;
  readonly onNotice: (text: string) => void;
}

/** Opens TLS connections to the collector, to another pod where one fails. */
class Dialer {
  readonly #servername: string;
  readonly #api: ApiServer;
  readonly #namespace: string;
  readonly #onNotice: (text: string) => void;
  /** Names of pods that were lost, the last one at the end: they are asked after those that were not. */
  #lost: readonly string[] = [];
  readonly #pods = new WeakMap<object, string>();
  #ca: string | undefined;

  constructor({ api, namespace, servername, onNotice }: DialerOptions) {
    this.#servername = servername;
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
    const socket = await secure(tunnel, { ca, servername: this.#servername, access });
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

function asUnreachable(error: unknown, namespace: string, what = `the collector in ${namespace} does not answer`): CliError {
  return unreachable(error, {
    said: `${what}: ${reasonOf(error, 'that ConfigMap chaperone-ca vouches for')}`,
    fix: [`kubectl -n ${namespace} logs statefulset/chaperone-collector`],
  });
}
