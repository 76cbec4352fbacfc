import type { IncomingMessage } from 'node:http';
import type { ClusterFlags, Transport } from '../collector/transport.ts';
import { CliError, usage } from '../errors.ts';
import { ApiServer } from './api-server.ts';
import { DirectRoute } from './direct-route.ts';
import { findInstallation, readTrust } from './installation.ts';
import { type Environment, loadKubeconfig } from './kubeconfig.ts';
import { Login } from './login.ts';
import { isNotTrusted, noAnswer, type Route, type Sending } from './route.ts';
import { TunnelError } from './tunnel.ts';
import { TunnelRoute } from './tunnel-route.ts';

/** A request is made again over another connection this often where one is lost before the answer begins. */
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
 * Reaches the collector of the cluster that the flags choose: at the URL that they name, else through a tunnel to one of its ready
 * pods; each request signed with the key of an EvidenceLogin. What the kubeconfig holds goes to the API server only. Throws CliError
 * NoContext, ClusterUnreachable, NotInstalled, NotPermitted, CollectorUnreachable, Usage; so do the transport's methods.
 */
export async function openClusterTransport(flags: ClusterFlags, options: ClusterOptions = {}): Promise<ClusterTransport> {
  const { collector, collectorCa, chaperoneNamespace } = flags;
  if (collector === undefined && collectorCa !== undefined) throw usage('--collector-ca needs --collector');
  using stack = new DisposableStack();
  const api = stack.use(new ApiServer(loadKubeconfig(flags, options.env ?? process.env)));
  let installation: Promise<string> | undefined;
  // Asked for where it is needed: somebody who knows the URL may be one who may not look for Services.
  const find = (): Promise<string> => (installation ??= findInstallation(api, chaperoneNamespace));
  const route = stack.use(
    collector === undefined
      ? new TunnelRoute(api, await find(), options.onNotice ?? (() => undefined))
      : new DirectRoute(collector, collectorCa),
  );
  const trust = async (): ReturnType<Transport['trust']> => readTrust(api, await find());
  return new SignedTransport({ api, route, trust, now: options.now, owned: stack.move() });
}

interface SignedOptions {
  readonly api: ApiServer;
  readonly route: Route;
  readonly trust: Transport['trust'];
  readonly now: (() => number) | undefined;
  /** What ends with the transport. */
  readonly owned: Disposable;
}

class SignedTransport implements ClusterTransport {
  readonly namespace: string;
  readonly trust: Transport['trust'];
  readonly #timeoutMs: number | undefined;
  readonly #login: Login;
  readonly #route: Route;
  readonly #owned: Disposable;
  /** Whether the collector has believed the login: only then can it have ended meanwhile. */
  #believed = false;

  constructor({ api, route, trust, now, owned }: SignedOptions) {
    this.namespace = api.access.namespace;
    this.trust = trust;
    this.#timeoutMs = api.access.timeoutMs;
    this.#login = new Login({ api, ...(now === undefined ? {} : { now }) });
    this.#route = route;
    this.#owned = owned;
  }

  async fetch(path: string, body?: string): Promise<Response> {
    let response = await this.#signed(path, body);
    if (response.status === 401 && this.#believed) {
      await response.body?.cancel();
      await this.#login.renew();
      response = await this.#signed(path, body);
    }
    if (response.status !== 401) this.#believed = true;
    return response;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#login[Symbol.asyncDispose]();
    this.#owned[Symbol.dispose]();
  }

  async #signed(path: string, body: string | undefined): Promise<Response> {
    const method = body === undefined ? 'GET' : 'POST';
    for (let attempt = 1; ; attempt++) {
      // Signed anew each time: the collector takes a nonce once.
      const headers = { ...(await this.#login.sign(path, method)), host: this.#route.host };
      try {
        return await this.#send({ path, headers, method }, body);
      } catch (error) {
        const silent = error instanceof TunnelError && error.code === 'Silent';
        // An order that may have been taken is not given again.
        if (silent || error instanceof CliError || isNotTrusted(error) || attempt === ATTEMPTS || body !== undefined)
          throw this.#route.unreachable(error);
      }
    }
  }

  async #send(sending: Sending, body: string | undefined): Promise<Response> {
    const timeoutMs = this.#timeoutMs;
    const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = this.#route.request({ ...sending, ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }) });
      sent.on('response', resolve);
      sent.on('timeout', () => sent.destroy(noAnswer(timeoutMs ?? 0)));
      sent.on('error', (error) => {
        // A connection that was kept may have ended meanwhile; that says nothing about its pod.
        if (!sent.reusedSocket && sent.socket !== null) this.#route.lost(sent.socket);
        reject(error);
      });
      sent.end(body);
    });
    const status = incoming.statusCode ?? 0;
    const hasBody = status !== 204 && status !== 304;
    return new Response(hasBody ? ReadableStream.from(bodyOf(incoming, this.#route)) : null, {
      status,
      headers: Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
    });
  }
}

async function* bodyOf(incoming: IncomingMessage, route: Route): AsyncGenerator<Uint8Array> {
  try {
    yield* incoming as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw route.unreachable(error, 'the collector was lost in the middle of its answer');
  }
}
