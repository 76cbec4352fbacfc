import type { IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request as httpsRequest } from 'node:https';
import { visible } from '@chaperone/api';
import { z } from 'zod';
import { boundedLines } from '../commands/lines.ts';
import { CliError, EXIT } from '../errors.ts';
import type { ClusterAccess } from './kubeconfig.ts';

/** Lists asked for here hold a few pods or Services. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** An object of a watch; etcd takes none of more than 1.5 MiB. */
const MAX_LINE_BYTES = 2 * 1024 * 1024;
const MAX_MESSAGE = 300;

const Status = z.object({ reason: z.string().optional(), message: z.string().optional() });

/** The API server's own no: `status` is that of HTTP, `message` what its Status object says, made printable. */
export class ApiStatusError extends Error {
  override readonly name = 'ApiStatusError';
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

export const isStatus = (error: unknown, ...statuses: readonly number[]): boolean =>
  error instanceof ApiStatusError && statuses.includes(error.status);

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** Requests to the API server with the person's own credentials. Throws ApiStatusError and CliError ClusterUnreachable. */
export class ApiServer implements Disposable {
  readonly access: ClusterAccess;
  #agent: Agent | undefined;

  constructor(access: ClusterAccess) {
    this.access = access;
  }

  /** Sends a request and reads the answer by `schema`. */
  async request<T>(schema: z.ZodType<T>, request: ApiRequest): Promise<T> {
    const { status, text } = await this.#send(request);
    const body = parseJson(text);
    this.#demandSuccess(status, body);
    const parsed = schema.safeParse(body);
    if (!parsed.success) throw this.unreachable('its answer is not one of the Kubernetes API');
    return parsed.data;
  }

  /** The lines of an answer that goes on, as a watch does, until its end or the signal's. The request's timeout is for its beginning. */
  async *lines(request: ApiRequest, signal: AbortSignal): AsyncGenerator<string> {
    const options = await this.#options(request);
    const { timeoutMs } = this.access;
    const silence = new AbortController();
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => silence.abort(), timeoutMs);
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const sent = httpsRequest({ ...options, signal: AbortSignal.any([signal, silence.signal]) }, resolve);
        sent.on('error', reject);
        sent.end();
      });
      clearTimeout(timer);
      const status = response.statusCode ?? 0;
      if (status !== 200) this.#demandSuccess(status, parseJson(await readAll(response)));
      for await (const line of boundedLines(response as AsyncIterable<Buffer>, MAX_LINE_BYTES)) {
        if (line.kind === 'bad') throw this.unreachable(line.problem);
        if (line.text !== '') yield line.text;
      }
    } catch (error) {
      if (error instanceof CliError || error instanceof ApiStatusError) throw error;
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
      throw this.unreachable(silence.signal.aborted ? `no answer in ${seconds(timeoutMs ?? 0)}` : code, error);
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.#agent?.destroy();
  }

  /** "API server of context X (URL): why" */
  unreachable(why: string, cause?: unknown): CliError {
    const { context, server } = this.access;
    return new CliError('ClusterUnreachable', `API server of context ${context} (${server.origin}): ${why}`, {
      cause,
      exit: EXIT.unreachable,
      fix: [`kubectl --context ${context} version`],
    });
  }

  #demandSuccess(status: number, body: unknown): void {
    if (status === 401) throw this.#notAccepted();
    if (status >= 200 && status <= 299) return;
    const said = Status.safeParse(body).data;
    const message = visible(said?.message ?? `the API server answers ${status}`).slice(0, MAX_MESSAGE);
    throw new ApiStatusError(status, said?.reason ?? '', message);
  }

  #notAccepted(): CliError {
    const { context, server } = this.access;
    return new CliError('NotPermitted', `API server of context ${context} (${server.origin}) does not accept its credentials`, {
      exit: EXIT.notPermitted,
      fix: [`kubectl --context ${context} auth whoami`],
    });
  }

  async #send(request: ApiRequest): Promise<{ status: number; text: string }> {
    const options = await this.#options(request);
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const startedAt = performance.now();
    const { timeoutMs } = this.access;
    const signal = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const sent = httpsRequest({ ...options, ...(signal === undefined ? {} : { signal }) }, resolve);
        sent.on('error', reject);
        sent.end(body);
      });
      return { status: response.statusCode ?? 0, text: await readAll(response) };
    } catch (error) {
      const waited = seconds(performance.now() - startedAt);
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
      throw this.unreachable(signal?.aborted === true ? `no answer in ${waited}` : `${code} after ${waited}`, error);
    }
  }

  async #options({ method = 'GET', path, query, body }: ApiRequest): Promise<RequestOptions> {
    const { server } = this.access;
    const { headers, ...options } = await this.access.connectOptions();
    const { ca, cert, key, servername, rejectUnauthorized } = options;
    // client-node's agent opens a connection for every request; only one that knows a proxy is worth that.
    if (options.agent instanceof Agent && options.agent.constructor === Agent) {
      this.#agent ??= new Agent({ keepAlive: true, ...defined({ ca, cert, key, servername, rejectUnauthorized }) });
      options.agent = this.#agent;
    }
    return {
      ...options,
      method,
      hostname: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port === '' ? 443 : server.port,
      path: `${server.pathname.replace(/\/$/, '')}${path}${query === undefined ? '' : `?${new URLSearchParams(query).toString()}`}`,
      headers: {
        ...headers,
        accept: 'application/json',
        'user-agent': 'kubectl-chaperone',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
    };
  }
}

/** A duration for people: `0.4 s`, `10 s`. */
export function seconds(ms: number): string {
  return ms < 950 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw Object.assign(new Error('the answer is too large'), { code: 'TooLarge' });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // A proxy in between answers in its own format; the status says enough.
    return undefined;
  }
}

function defined<T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
