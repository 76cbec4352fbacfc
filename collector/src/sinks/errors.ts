/**
 * SinkRefused: the receiver will never take this, however often it is sent · SinkUnconfirmed: it may have it and has not said so · the others
 * say why it has it not yet.
 */
export type SinkErrorCode =
  | 'SinkUnreachable'
  | 'SinkUnauthorized'
  | 'SinkBusy'
  | 'SinkRefused'
  | 'SinkUnconfirmed'
  | 'SinkMisconfigured'
  | 'SinkSecretUnreadable'
  | 'SinkStateTaken'
  | 'DeadLettersFull';

/** Its message holds nothing of what was sent, and nothing of a secret. */
export class SinkError extends Error {
  override readonly name = 'SinkError';
  readonly code: SinkErrorCode;
  /** How long the receiver wants to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** Whether the receiver was there and failed: it may do so for everything, or for this alone. */
  readonly failed: boolean;

  constructor(
    code: SinkErrorCode,
    message: string,
    options?: ErrorOptions & { readonly retryAfterMs?: number | undefined; readonly failed?: boolean },
  ) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options?.retryAfterMs;
    this.failed = options?.failed ?? false;
  }
}

/** The code of whatever went wrong with a receiver: what is not known better cannot be reached. */
export function sinkErrorOf(error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
  return new SinkError('SinkUnreachable', `the receiver cannot be reached (${code.slice(0, 64)})`, { cause: error });
}
