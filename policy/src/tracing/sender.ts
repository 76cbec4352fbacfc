/** What became of one request: `again` where the same may be sent once more, after so many ms if the receiver said it. */
export type Sent =
  | { readonly kind: 'taken'; readonly rejected: number }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'again'; readonly why: string; readonly afterMs: number | undefined };
export type Sender = (body: string) => Promise<Sent>;

/** As `fetch` of the platform. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const TIMEOUT_MS = 10_000;
/** Longer answers are not read; they would only say what was wrong. */
const MAX_ANSWER = 4096;
const MAX_AFTER_S = 60;
/** "OTLP Specification", Retryable Response Codes. */
const RETRYABLE = new Set([429, 502, 503, 504]);

/** Posts to `/v1/traces` of an OTLP/HTTP receiver. Follows nobody elsewhere, waits a bounded time, never rejects. */
export function otlpSender(endpoint: string, fetch: Fetch): Sender {
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`;
  return async (body) => {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      return await read(response);
    } catch (error) {
      return { kind: 'again', why: error instanceof Error ? error.name : 'Error', afterMs: undefined };
    }
  };
}

async function read(response: Response): Promise<Sent> {
  const { status, ok, headers } = response;
  const isShort = Number(headers.get('content-length') ?? Infinity) <= MAX_ANSWER;
  const text = ok && isShort ? await response.text() : '';
  if (!response.bodyUsed) await response.body?.cancel();
  if (ok) return { kind: 'taken', rejected: rejectedIn(text) };
  const why = `HTTP ${status}`;
  if (!RETRYABLE.has(status)) return { kind: 'refused', why };
  const after = headers.get('retry-after') ?? '';
  return { kind: 'again', why, afterMs: /^\d{1,5}$/.test(after) ? Math.min(MAX_AFTER_S, Number(after)) * 1_000 : undefined };
}

/** ExportTracePartialSuccess; an int64 is a string or a number in protobuf's JSON. */
function rejectedIn(text: string): number {
  const count = /"rejected_?[sS]pans"\s*:\s*"?(\d{1,9})\b/.exec(text)?.[1];
  return count === undefined ? 0 : Number(count);
}
