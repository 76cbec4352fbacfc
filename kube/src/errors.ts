const MAX_MESSAGE = 512;

/**
 * The API server said no, or could not be heard. `status` is the HTTP status, 0 where no answer came; `reason` is the one of the
 * Status object (NotFound, Conflict, Expired…) or Network, Timeout, TooLarge, Protocol.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly reason: string;
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    reason: string,
    message: string,
    options: { retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(message.slice(0, MAX_MESSAGE), options.cause === undefined ? {} : { cause: options.cause });
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export const isNotFound = (error: unknown): boolean => error instanceof ApiError && error.status === 404;
export const isConflict = (error: unknown): boolean => error instanceof ApiError && error.status === 409;
/** The resourceVersion is too old to go on from: list again. */
export const isExpired = (error: unknown): boolean =>
  error instanceof ApiError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');
