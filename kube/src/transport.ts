import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import * as https from 'node:https';
import { ApiError } from './errors.ts';
import type { KubeObject } from './objects.ts';

/** A list of 500 large objects stays under this; more is refused, not buffered. */
const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;
/** One watch event; etcd refuses objects over 1.5 MiB. */
const MAX_EVENT_BYTES = 8 * 1024 * 1024;
const MAX_RETRY_AFTER_SECONDS = 300;
const REQUEST_TIMEOUT_MS = 30_000;
/** Credentials and CA files are looked at this often, so that their rotation is noticed. */
const CREDENTIALS_TTL_MS = 10_000;

export interface KubeRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: KubeObject;
}
export interface WatchRequest {
  readonly path: string;
  readonly query: NonNullable<KubeRequest['query']>;
  readonly signal: AbortSignal;
  /** The stream is given up when no byte came for this long. */
  readonly idleMs: number;
}

/** The API server, as the rest of the operator sees it. */
export interface Kube {
  /** Sends one request and returns the parsed answer. Throws ApiError. */
  request<T = KubeObject>(request: KubeRequest): Promise<T>;
  /** Events until the server ends the stream. Throws ApiError when it breaks or stalls. */
  watch(request: WatchRequest): AsyncIterable<WatchEvent>;
  close(): void;
}

/** Where the API server is and how to sign in: what `inCluster` finds, or a KubeConfig of @kubernetes/client-node. */
export interface ClusterAccess {
  getCurrentCluster(): { readonly server: string } | null;
  /** Adds authority, certificate and headers. Called every few seconds, so that what was renewed is used. */
  applyToHTTPSOptions(options: https.RequestOptions): Promise<void>;
}

export interface TransportOptions {
  readonly config: ClusterAccess;
  /** Who asks, in the API server's audit log. */
  readonly userAgent: string;
  readonly onRequest?: (verb: string, code: string) => void;
  readonly now?: () => number;
}

interface Connection {
  readonly server: URL;
  readonly agent: https.Agent;
  readonly headers: Record<string, string>;
  readonly at: number;
}

/** HTTPS to the API server with the credentials of its config: one connection pool, made anew only when they change. */
export function createTransport(options: TransportOptions): Kube {
  const now = options.now ?? Date.now;
  let connection: Connection | undefined;
  let agentKey = '';

  async function connect(): Promise<Connection> {
    if (connection !== undefined && now() - connection.at < CREDENTIALS_TTL_MS) return connection;
    const cluster = options.config.getCurrentCluster();
    if (cluster === null) throw new ApiError(0, 'Protocol', 'the kubeconfig has no current cluster');
    const server = new URL(cluster.server);
    if (server.protocol !== 'https:') throw new ApiError(0, 'Protocol', 'the API server is spoken to over https only');
    const found: https.RequestOptions = {};
    await options.config.applyToHTTPSOptions(found);
    const tls = {
      ca: found.ca,
      cert: found.cert,
      key: found.key,
      servername: found.servername,
      rejectUnauthorized: found.rejectUnauthorized,
    };
    const key = createHash('sha256').update(JSON.stringify(tls)).digest('hex');
    let agent = connection?.agent;
    if (agent === undefined || key !== agentKey) {
      agent = new https.Agent({ keepAlive: true, keepAliveMsecs: 15_000, scheduling: 'lifo', ...defined(tls) });
      agentKey = key;
    }
    connection = { server, agent, headers: { ...(found.headers as Record<string, string> | undefined) }, at: now() };
    return connection;
  }

  async function send(request: KubeRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const to = await connect();
    const method = request.method ?? 'GET';
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const headers: Record<string, string | number> = {
      ...to.headers,
      accept: 'application/json',
      'user-agent': options.userAgent,
    };
    if (body !== undefined) {
      headers['content-type'] = request.contentType ?? 'application/json';
      headers['content-length'] = body.length;
    }
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const path = `${to.server.pathname.replace(/\/$/, '')}${request.path}${queryOf(request.query)}`;
      const sent = https.request(
        {
          method,
          hostname: to.server.hostname.replace(/^\[|\]$/g, ''),
          port: to.server.port || 443,
          path,
          headers,
          agent: to.agent,
          signal,
        },
        (response) => {
          options.onRequest?.(method, String(response.statusCode ?? 0));
          if (response.statusCode === 401) connection = connection && { ...connection, at: Number.NEGATIVE_INFINITY };
          resolve(response);
        },
      );
      sent.on('error', (cause) => {
        options.onRequest?.(method, '0');
        reject(networkError(cause, signal));
      });
      sent.end(body);
    });
  }

  return {
    async request<T>(request: KubeRequest): Promise<T> {
      const timeout = AbortSignal.timeout(request.timeoutMs ?? REQUEST_TIMEOUT_MS);
      const signal = request.signal === undefined ? timeout : AbortSignal.any([timeout, request.signal]);
      const response = await send(request, signal);
      const text = await readAll(response, signal);
      if (!isSuccess(response)) throw statusError(response, text);
      return parseJson(text) as T;
    },

    async *watch(request: WatchRequest): AsyncIterable<WatchEvent> {
      const idle = new AbortController();
      const signal = AbortSignal.any([request.signal, idle.signal]);
      const timer = setTimeout(() => idle.abort(new ApiError(0, 'Timeout', 'the watch went silent')), request.idleMs);
      try {
        const response = await send({ path: request.path, query: { ...request.query, watch: true } }, signal);
        if (!isSuccess(response)) throw statusError(response, await readAll(response, signal));
        yield* watchEvents(response, signal, () => timer.refresh());
      } finally {
        clearTimeout(timer);
      }
    },

    close() {
      connection?.agent.destroy();
    },
  };
}

async function* watchEvents(response: IncomingMessage, signal: AbortSignal, alive: () => void): AsyncIterable<WatchEvent> {
  let parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      alive();
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        const line = Buffer.concat([...parts, chunk.subarray(start, end)]).toString('utf8');
        parts = [];
        size = 0;
        start = end + 1;
        yield* eventsIn(line);
      }
      parts.push(chunk.subarray(start));
      size += chunk.length - start;
      if (size > MAX_EVENT_BYTES) throw new ApiError(0, 'TooLarge', `a watch event is larger than ${MAX_EVENT_BYTES} bytes`);
    }
  } catch (cause) {
    throw cause instanceof ApiError ? cause : networkError(cause, signal);
  } finally {
    response.destroy();
  }
}

/** One, or none where the line is blank. */
function eventsIn(line: string): WatchEvent[] {
  return line.trim() === '' ? [] : [parseEvent(line)];
}

function parseEvent(line: string): WatchEvent {
  const event = parseJson(line) as WatchEvent | null;
  if (typeof event?.type !== 'string' || typeof event.object !== 'object' || event.object === null) {
    throw new ApiError(0, 'Protocol', 'a watch event has no type or object');
  }
  return event;
}

async function readAll(response: IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_RESPONSE_BYTES) throw new ApiError(0, 'TooLarge', `an answer is larger than ${MAX_RESPONSE_BYTES} bytes`);
      chunks.push(chunk);
    }
  } catch (cause) {
    throw cause instanceof ApiError ? cause : networkError(cause, signal);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const isSuccess = (response: IncomingMessage): boolean => (response.statusCode ?? 0) >= 200 && (response.statusCode ?? 0) < 300;

function statusError(response: IncomingMessage, text: string): ApiError {
  const status = response.statusCode ?? 0;
  let body: { reason?: unknown; message?: unknown } = {};
  try {
    body = JSON.parse(text) as typeof body;
  } catch {
    // A proxy in between answers in its own format; the status says enough.
  }
  const seconds = Number(response.headers['retry-after']);
  const retryAfterMs = seconds > 0 ? Math.min(seconds, MAX_RETRY_AFTER_SECONDS) * 1000 : undefined;
  const reason = typeof body?.reason === 'string' && body.reason !== '' ? body.reason : `Http${status}`;
  const message = typeof body?.message === 'string' ? body.message : `the API server answered ${status}`;
  return new ApiError(status, reason, message, { retryAfterMs });
}

function networkError(cause: unknown, signal: AbortSignal): ApiError {
  const reason: unknown = signal.aborted ? signal.reason : undefined;
  if (reason instanceof ApiError) return reason;
  if (reason instanceof DOMException && reason.name === 'TimeoutError') {
    return new ApiError(0, 'Timeout', 'the API server did not answer in time', { cause });
  }
  if (signal.aborted) return new ApiError(0, 'Aborted', 'stopped', { cause });
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';
  return new ApiError(0, 'Network', `the connection to the API server broke (${code})`, { cause });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ApiError(0, 'Protocol', 'the API server did not answer in JSON');
  }
}

function queryOf(query: KubeRequest['query']): string {
  const set = Object.entries(query ?? {}).filter((entry): entry is [string, string | number | boolean] => entry[1] !== undefined);
  return set.length === 0 ? '' : `?${new URLSearchParams(set.map(([name, value]) => [name, String(value)])).toString()}`;
}

function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
