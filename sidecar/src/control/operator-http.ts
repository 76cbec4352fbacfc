import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { type Agent, type RequestOptions, request } from 'node:https';
import { ControlError, type ControlErrorCode, MAX_CONTROL_BYTES } from '@chaperone/policy';
import type { z } from 'zod';

/** What went wrong between sidecar and operator. Codes of {@link ControlError}, and four of our own. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
  readonly code: ControlErrorCode | 'Unreachable' | 'Garbage' | 'Stalled' | 'TokenUnreadable';
  /** Seconds that the operator asked us to wait. */
  readonly retryAfterS: number | undefined;
  constructor(code: OperatorError['code'], message: string, options: ErrorOptions & { retryAfterS?: number | undefined } = {}) {
    super(message, options);
    this.code = code;
    this.retryAfterS = options.retryAfterS;
  }
}

export interface OperatorEndpoint {
  /** `https://host:port`. */
  readonly url: string;
  /** PEM; the only authority that the operator's certificate may come from. */
  readonly ca: string;
  /** Projected token; read anew for every request, as the kubelet replaces it. */
  readonly tokenFile: string;
  readonly timeoutMs: number;
}

const MAX_TOKEN_BYTES = 16_384;
const MAX_ERROR_BYTES = 64 * 1024;

/** @throws OperatorError TokenUnreadable */
export async function readToken({ tokenFile }: OperatorEndpoint): Promise<string> {
  const token = await readFile(tokenFile, 'utf8').catch((cause: unknown) => {
    throw new OperatorError('TokenUnreadable', 'the token of this pod cannot be read', { cause });
  });
  if (token.length === 0 || token.length > MAX_TOKEN_BYTES || !/^[\x21-\x7e]+\s*$/.test(token))
    throw new OperatorError('TokenUnreadable', 'the token of this pod is no token');
  return token.trim();
}

interface CallOptions<T> {
  readonly body: unknown;
  readonly schema?: z.ZodType<T>;
  readonly token?: string;
  readonly signal: AbortSignal;
  /** Keeps the connection for the next request; default: one for each. */
  readonly agent?: Agent;
}

/** One request; resolves with its answer's body checked against `schema`. @throws OperatorError */
export async function call<T>(
  endpoint: OperatorEndpoint,
  path: string,
  { body, schema, token, signal, agent }: CallOptions<T>,
): Promise<T | undefined> {
  const response = await send(endpoint, { method: 'POST', path, body: JSON.stringify(body), signal, token, agent });
  const text = await readAll(response, MAX_CONTROL_BYTES, endpoint.timeoutMs);
  return schema === undefined ? undefined : parseAs(schema, text);
}

/** Opens a request and resolves with its 2xx answer, unread. @throws OperatorError */
export async function send(
  endpoint: OperatorEndpoint,
  what: {
    method: 'GET' | 'POST';
    path: string;
    body?: string;
    signal: AbortSignal;
    token?: string | undefined;
    agent?: Agent | undefined;
  },
): Promise<IncomingMessage> {
  const token = what.token ?? (await readToken(endpoint));
  const url = new URL(what.path, endpoint.url);
  const options: RequestOptions = {
    method: what.method,
    ca: endpoint.ca,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    agent: what.agent ?? false,
    signal: what.signal,
    headers: {
      authorization: `Bearer ${token}`,
      ...(what.body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(what.body) }),
    },
  };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request(url, options);
    // A request's own timeout begins when it is connected: to an address that is gone it would wait for two minutes.
    const timer = setTimeout(
      () => outgoing.destroy(new OperatorError('Stalled', 'the operator did not answer in time')),
      endpoint.timeoutMs,
    );
    // A stream is silent for longer than an answer may take; its own watchdog begins with its answer.
    outgoing.on('close', () => clearTimeout(timer));
    outgoing.on('response', (answer) => {
      clearTimeout(timer);
      resolve(answer);
    });
    outgoing.on('error', (cause) =>
      reject(
        cause instanceof OperatorError ? cause : new OperatorError('Unreachable', 'the operator cannot be reached', { cause }),
      ),
    );
    outgoing.end(what.body);
  });
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return response;
  throw await refusal(response, status, endpoint.timeoutMs);
}

async function refusal(response: IncomingMessage, status: number, timeoutMs: number): Promise<OperatorError> {
  const text = await readAll(response, MAX_ERROR_BYTES, timeoutMs).catch(() => '');
  const header = response.headers['retry-after'] ?? '';
  const retryAfterS = /^\d{1,4}$/.test(header) ? Number(header) : undefined;
  const parsed = ControlError.safeParse(parseJson(text));
  if (parsed.success) return new OperatorError(parsed.data.code, parsed.data.message.slice(0, 512), { retryAfterS });
  return new OperatorError(status >= 500 ? 'Unavailable' : 'Garbage', `the operator answered ${status}`, { retryAfterS });
}

function readAll(response: IncomingMessage, maxBytes: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const timer = setTimeout(
      () => response.destroy(new OperatorError('Stalled', 'the operator did not finish its answer')),
      timeoutMs,
    );
    response.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > maxBytes) response.destroy(new OperatorError('Garbage', 'the answer of the operator is too large'));
      else chunks.push(chunk);
    });
    response.on('error', (cause) =>
      reject(cause instanceof OperatorError ? cause : new OperatorError('Unreachable', 'the answer broke off', { cause })),
    );
    response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    response.on('close', () => {
      clearTimeout(timer);
      reject(new OperatorError('Unreachable', 'the answer broke off'));
    });
  });
}

/**
 * The lines of a stream, each checked. Ends when the operator ends it. Throws Garbage for a line that is not in the protocol or
 * beyond {@link MAX_CONTROL_BYTES}, Stalled where none came for `stallMs`.
 */
export async function* linesOf<T>(response: IncomingMessage, schema: z.ZodType<T>, stallMs: number): AsyncGenerator<T> {
  const stalled = new OperatorError('Stalled', 'the stream of the operator is silent');
  const timer = setTimeout(() => response.destroy(stalled), stallMs);
  let pending: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      let rest = chunk;
      for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
        const line = bounded(Buffer.concat([...pending, rest.subarray(0, at)]));
        [pending, length, rest] = [[], 0, rest.subarray(at + 1)];
        timer.refresh();
        yield parseAs(schema, line.toString('utf8'));
      }
      length += rest.length;
      bounded({ length });
      if (rest.length > 0) pending.push(rest);
    }
  } catch (cause) {
    throw cause instanceof OperatorError
      ? cause
      : new OperatorError('Unreachable', 'the stream of the operator broke off', { cause });
  } finally {
    clearTimeout(timer);
    response.destroy();
  }
}

/** What there is of a line, which may not be longer than {@link MAX_CONTROL_BYTES}. */
function bounded<T extends { readonly length: number }>(line: T): T {
  if (line.length > MAX_CONTROL_BYTES) throw new OperatorError('Garbage', 'a line of the operator is too large');
  return line;
}

function parseAs<T>(schema: z.ZodType<T>, text: string): T {
  const parsed = schema.safeParse(parseJson(text));
  // The cause is left out: it may quote what was sent, and that holds credentials.
  if (!parsed.success) throw new OperatorError('Garbage', 'the operator said something that is not in the protocol');
  return parsed.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
