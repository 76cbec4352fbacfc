/** What became of one request: `again` where the same may be sent once more, after so many ms if the receiver said it. */
export type Sent =
  | { readonly kind: 'taken'; readonly rejected: number }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'again'; readonly why: string; readonly afterMs: number | undefined };
export type Sender = (body: string) => Promise<Sent>;

/** Posts JSON; follows nobody elsewhere, waits a bounded time, reads a bounded answer. Rejects where none came. */
export type Post = (
  url: string,
  body: string,
) => Promise<{ readonly status: number; readonly retryAfter: string | undefined; readonly text: string }>;

const MAX_AFTER_S = 60;
/** "OTLP Specification", Retryable Response Codes. */
const RETRYABLE = new Set([429, 502, 503, 504]);

/** Sends to `/v1/traces` of an OTLP/HTTP receiver. Never rejects. */
export function otlpSender(endpoint: string, post: Post): Sender {
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`;
  return async (body) => {
    try {
      const { status, retryAfter = '', text } = await post(url, body);
      if (status >= 200 && status < 300) return { kind: 'taken', rejected: rejectedIn(text) };
      const why = `HTTP ${status}`;
      if (!RETRYABLE.has(status)) return { kind: 'refused', why };
      return {
        kind: 'again',
        why,
        afterMs: /^\d{1,5}$/.test(retryAfter) ? Math.min(MAX_AFTER_S, Number(retryAfter)) * 1_000 : undefined,
      };
    } catch {
      return { kind: 'again', why: 'no answer', afterMs: undefined };
    }
  };
}

/** ExportTracePartialSuccess; an int64 is a string or a number in protobuf's JSON. */
function rejectedIn(text: string): number {
  const count = /"rejected_?[sS]pans"\s*:\s*"?(\d{1,9})\b/.exec(text)?.[1];
  return count === undefined ? 0 : Number(count);
}
