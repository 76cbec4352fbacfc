import { randomBytes } from 'node:crypto';
import { Agent, type AgentOptions, request as httpsRequest, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { GrantedResource } from '@chaperone/policy';
import { DialError, dialUpstream } from '../../capture/dial.ts';
import type { DialGuard } from '../../capture/guard.ts';
import { issuerOf } from '../../capture/issuer.ts';
import { alpn } from '../../lent.ts';
import { ProofError } from '../../tcp/proof.ts';
import { acceptKey } from '../wire/index.ts';

const DIAL_MS = 10_000;
const TLS_MS = 10_000;
/** kube-apiserver ends a request that is no watch after a minute (its --request-timeout). */
const ANSWER_MS = 65_000;
/** Connections that nobody uses are kept so long; the API server keeps them for 90 s. */
const KEPT_MS = 30_000;
const MAX_HEAD_BYTES = 64 * 1024;

/** Why the API server gave no answer. The message names neither host nor address: agents may see it. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly code: DialError['code'] | 'TLSUntrusted' | 'CredentialsRejected' | 'UpstreamViolation';

  constructor(code: UpstreamError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Of the agent, where calls are made as its ServiceAccount. */
export interface AgentName {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export interface UpstreamOptions {
  readonly resource: GrantedResource;
  readonly agent: AgentName;
  readonly guard: DialGuard;
  /** How the server was found; undefined: it is who it must be. */
  readonly reached: (error: Error | undefined) => void;
}

export interface Call {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | undefined;
}

export interface UpgradeCall {
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sub-protocols, the best first. */
  readonly protocols: readonly string[];
}

export type Upgraded =
  | { readonly kind: 'opened'; readonly socket: Duplex; readonly head: Buffer; readonly protocol: string }
  /** An answer in HTTP, with as much of its body as is read. */
  | { readonly kind: 'refused'; readonly status: number; readonly body: Buffer };

/** The API server's side of a session, with the owner's credential. Each call goes out once: none is repeated, no redirect followed. */
export class Upstream {
  readonly #o: UpstreamOptions;
  readonly #agent: Agent;
  readonly #headers: Credentials;

  /** @throws UpstreamError where there is nothing to sign in with */
  constructor(options: UpstreamOptions) {
    this.#o = options;
    this.#headers = credentialHeaders(options.resource, options.agent);
    this.#agent = new DialledAgent({ keepAlive: true, timeout: KEPT_MS }, () => this.#dial());
  }

  /** As whom calls are made: a part of what people approve. */
  get identity(): string {
    return this.#headers['impersonate-user'] ?? 'credential';
  }

  /**
   * Sends one request, and resolves with the head of its answer.
   * @throws UpstreamError
   */
  async call({ method, target, headers, body }: Call, signal: AbortSignal): Promise<IncomingMessage> {
    const { host, port, tls } = this.#o.resource.upstream;
    const name = tls.serverName ?? host;
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    return new Promise((resolve, reject) => {
      const request = httpsRequest({
        agent: this.#agent,
        host,
        port,
        method,
        path: target,
        setHost: false,
        signal,
        maxHeaderSize: MAX_HEAD_BYTES,
        headers: { host: hostHeader(name, port), 'accept-encoding': 'identity', ...headers, ...length, ...this.#headers },
      });
      const timer = setTimeout(
        () => request.destroy(new UpstreamError('UpstreamTimeout', 'the upstream did not answer in time')),
        ANSWER_MS,
      );
      request.once('close', () => clearTimeout(timer));
      request.once('response', (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      request.once('upgrade', (_, socket) => {
        socket.destroy();
        reject(new UpstreamError('UpstreamViolation', 'the upstream left HTTP, and was not asked to'));
      });
      request.on('error', (error) => reject(asUpstreamError(error)));
      request.end(body);
    });
  }

  /**
   * Asks for a WebSocket, by GET.
   * @throws UpstreamError
   */
  async upgrade({ target, headers, protocols }: UpgradeCall, signal: AbortSignal): Promise<Upgraded> {
    const { host, port, tls } = this.#o.resource.upstream;
    const key = randomBytes(16).toString('base64');
    return new Promise((resolve, reject) => {
      const request = httpsRequest({
        agent: this.#agent,
        host,
        port,
        method: 'GET',
        path: target,
        setHost: false,
        signal,
        maxHeaderSize: MAX_HEAD_BYTES,
        headers: {
          host: hostHeader(tls.serverName ?? host, port),
          ...headers,
          // What is asked for is no document. kube-apiserver 1.34 answers 406 to a port-forward that takes JSON alone.
          accept: '*/*',
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': key,
          'sec-websocket-protocol': protocols.join(', '),
          ...this.#headers,
        },
      });
      const late = new UpstreamError('UpstreamTimeout', 'the upstream did not answer in time');
      const timer = setTimeout(() => request.destroy(late), ANSWER_MS);
      request.once('close', () => clearTimeout(timer));
      request.once('response', (answer) => {
        clearTimeout(timer);
        readAll(answer).then(
          (body) => resolve({ kind: 'refused', status: answer.statusCode ?? 0, body }),
          (error: unknown) => reject(asUpstreamError(error)),
        );
      });
      request.once('upgrade', (answer, socket, head) => {
        clearTimeout(timer);
        const protocol = agreedOn(answer, key, protocols);
        if (protocol !== undefined) return resolve({ kind: 'opened', socket, head, protocol });
        socket.destroy();
        return reject(new UpstreamError('UpstreamViolation', 'the upstream opened a connection that was not asked for'));
      });
      request.on('error', (error) => reject(asUpstreamError(error)));
      request.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #dial(): Promise<TLSSocket> {
    try {
      const secured = await this.#connect();
      this.#o.reached(undefined);
      return secured;
    } catch (error) {
      this.#o.reached(error as Error);
      throw error;
    }
  }

  async #connect(): Promise<TLSSocket> {
    const { guard, resource } = this.#o;
    const { host, port, tls } = resource.upstream;
    // A token is shown to nobody else.
    if (tls.mode !== 'verify-full') throw new UpstreamError('TLSUntrusted', 'the upstream would not prove who it is');
    const socket = await dialUpstream({ host, port, guard, timeoutMs: DIAL_MS });
    const name = tls.serverName ?? host;
    const { client } = resource.credentials ?? {};
    return new Promise((resolve, reject) => {
      const secured = connectTls({
        socket,
        host: name,
        ...(isIP(name) === 0 && { servername: name }),
        ...(tls.ca !== undefined && { ca: tls.ca }),
        ...(resource.kubernetes?.authentication === 'cert' && client !== undefined && { cert: client.cert, key: client.key }),
        ALPNProtocols: alpn('http/1.1'),
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
      });
      const issuer = issuerOf(secured);
      const timer = setTimeout(
        () => secured.destroy(new DialError('UpstreamTimeout', 'the upstream did not answer in time')),
        TLS_MS,
      );
      secured.once('close', () => {
        clearTimeout(timer);
        reject(new DialError('UpstreamUnreachable', 'the upstream closed the connection'));
      });
      secured.on('error', (error) =>
        reject(
          error instanceof DialError
            ? error
            : new ProofError('the upstream shows no valid certificate for the name', { cause: error, issuer: issuer() }),
        ),
      );
      secured.once('secureConnect', () => {
        clearTimeout(timer);
        resolve(secured);
      });
    });
  }
}

/** Of an answer in place of a connection; more is cut off. */
const MAX_REFUSAL_BYTES = 64 * 1024;

async function readAll(answer: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    parts.push(part);
    size += part.length;
    if (size > MAX_REFUSAL_BYTES) break;
  }
  return Buffer.concat(parts).subarray(0, MAX_REFUSAL_BYTES);
}

/** The sub-protocol of a WebSocket that was opened as it was asked for (RFC 6455, section 4.1). */
function agreedOn({ headers }: IncomingMessage, key: string, protocols: readonly string[]): string | undefined {
  const isIt =
    headers.upgrade?.toLowerCase() === 'websocket' &&
    headers['sec-websocket-accept'] === acceptKey(key) &&
    headers['sec-websocket-extensions'] === undefined;
  return isIt ? protocols.find((protocol) => protocol === headers['sec-websocket-protocol']) : undefined;
}

/** Headers that say who asks. */
interface Credentials {
  readonly authorization?: string;
  readonly 'impersonate-user'?: string;
  readonly 'impersonate-group'?: string[];
}

class DialledAgent extends Agent {
  readonly #dial: () => Promise<TLSSocket>;

  constructor(options: AgentOptions, dial: () => Promise<TLSSocket>) {
    super(options);
    this.#dial = dial;
  }

  override createConnection(
    _options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    if (callback !== undefined) void this.#connect(callback);
    return undefined;
  }

  async #connect(callback: (error: Error | null, stream: Duplex) => void): Promise<void> {
    let socket: TLSSocket;
    try {
      socket = await this.#dial();
    } catch (error) {
      // Without an error there would be a socket.
      return callback(error as Error, undefined as unknown as Duplex);
    }
    return callback(null, socket);
  }
}

const NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

function credentialHeaders({ kubernetes, credentials }: GrantedResource, agent: AgentName): Credentials {
  const isToken = kubernetes?.authentication === 'token';
  if (kubernetes === undefined || credentials?.[isToken ? 'token' : 'client'] === undefined)
    throw new UpstreamError('CredentialsRejected', 'the resource has no credential of the kind that it asks for');
  return {
    ...(isToken && { authorization: `Bearer ${credentials.token ?? ''}` }),
    ...(kubernetes.identity === 'agent' && impersonated(agent)),
  };
}

/** What the API server takes a token of the ServiceAccount for (k8s.io/apiserver, pkg/authentication/serviceaccount). */
function impersonated({ namespace, serviceAccount }: AgentName): Credentials {
  if (!NAME.test(namespace) || !NAME.test(serviceAccount))
    throw new UpstreamError('CredentialsRejected', 'the agent has no ServiceAccount as which it could ask');
  return {
    'impersonate-user': `system:serviceaccount:${namespace}:${serviceAccount}`,
    // Node sends one header for each.
    'impersonate-group': ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}

function hostHeader(name: string, port: number): string {
  return `${isIP(name) === 6 ? `[${name}]` : name}:${port}`;
}

/** Faults of certificates, as Node names them. */
const CERTIFICATE = /CERT|ALTNAME|SELF_SIGNED|UNABLE_TO_|ERR_SSL|ERR_TLS|HOSTNAME/;

function asUpstreamError(error: unknown): UpstreamError {
  if (error instanceof UpstreamError) return error;
  if (error instanceof DialError) return new UpstreamError(error.code, error.message, { cause: error });
  const { code = '' } = (error instanceof ProofError ? error.cause : error) as NodeJS.ErrnoException;
  if (CERTIFICATE.test(code)) return new UpstreamError('TLSUntrusted', 'the upstream did not prove who it is', { cause: error });
  if (code.startsWith('HPE_')) return new UpstreamError('UpstreamViolation', 'the upstream broke HTTP', { cause: error });
  return new UpstreamError('UpstreamUnreachable', 'the connection to the upstream was lost', { cause: error });
}
