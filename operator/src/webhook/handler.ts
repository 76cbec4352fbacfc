import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Regarding } from '../kube/events.ts';
import { type ReviewOptions, reviewPod } from './review.ts';

/** Where the API server posts reviews. */
export const WEBHOOK_PATH = '/mutate-pods';

/** An object in etcd is at most 1.5 MiB; a review holds it once, with its JSON overhead. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;
/** The API server gives up after 5 s itself. */
const BODY_TIMEOUT_MS = 5_000;

export interface WebhookOptions extends ReviewOptions {
  /** Told about every answer; fields hold no part of the pod but its namespace. */
  readonly onReview?: (outcome: {
    readonly result: 'patched' | 'denied' | 'failed';
    readonly durationMs: number;
    readonly error?: string;
  }) => void;
  /** Told why a pod was refused, where something made it that a person looks at. */
  readonly onDenied?: (owner: Regarding, message: string) => void;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
}

/**
 * The HTTP handler of the mutating webhook; the server around it brings TLS, `headersTimeout` and `keepAliveTimeout`.
 * Whatever goes wrong is an answer that is no permission: the API server denies the pod on every status but 200.
 */
export function createWebhook(options: WebhookOptions): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    // It settles always: every failure is answered inside.
    void answerReview(request, response, options);
  };
}

async function answerReview(request: IncomingMessage, response: ServerResponse, options: WebhookOptions): Promise<void> {
  const monotonic = options.monotonic ?? (() => performance.now());
  const started = monotonic();
  try {
    const allowed = await serveReview(request, response, options);
    options.onReview?.({ result: allowed ? 'patched' : 'denied', durationMs: monotonic() - started });
  } catch (error) {
    const { status, code } = error instanceof HttpError ? error : new HttpError(500, errorCode(error));
    sendText(response, status, code);
    options.onReview?.({ result: 'failed', durationMs: monotonic() - started, error: code });
  }
}

/** A request that gets no review. `code` is all that the caller and the log are told. */
class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

function errorCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'AdmissionFailed';
}

async function serveReview(request: IncomingMessage, response: ServerResponse, options: WebhookOptions): Promise<boolean> {
  if (new URL(request.url ?? '/', 'https://webhook').pathname !== WEBHOOK_PATH) throw new HttpError(404, 'NotFound');
  if (request.method !== 'POST') throw new HttpError(405, 'MethodNotAllowed');
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) throw new HttpError(415, 'NotJson');
  const review = reviewPod(parseJson(await readBody(request)), options);
  const answer = review.allowed
    ? { uid: review.uid, allowed: true, ...patchFields(review.patch) }
    : { uid: review.uid, allowed: false, status: { code: 403, reason: 'Forbidden', message: review.message } };
  const body = JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer });
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
  if (!review.allowed && review.owner !== undefined) options.onDenied?.(review.owner, review.message);
  return review.allowed;
}

function patchFields(patch: readonly unknown[]): Record<string, unknown> {
  if (patch.length === 0) return {};
  return { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (!(announced <= MAX_BODY_BYTES)) throw new HttpError(413, 'BodyTooLarge');
  const timer = setTimeout(() => request.destroy(new HttpError(408, 'BodyTimeout')), BODY_TIMEOUT_MS);
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) throw new HttpError(413, 'BodyTooLarge');
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, size);
  } finally {
    clearTimeout(timer);
  }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new HttpError(400, 'NotJson');
  }
}

function sendText(response: ServerResponse, status: number, code: string): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  // A body that nobody reads any more must not hold the connection.
  response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' }).end(`${code}\n`);
}
