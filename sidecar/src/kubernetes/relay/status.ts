import type { AgentCode } from '@chaperone/api';

/** `reason` of a Status by its code, as k8s.io/apimachinery (pkg/apis/meta/v1, StatusReason) has them; clients match it. */
const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  406: 'NotAcceptable',
  409: 'Conflict',
  410: 'Gone',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  429: 'TooManyRequests',
  500: 'InternalError',
  502: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** An answer of our own, as the API server would give one. */
export interface Answer {
  /** Of HTTP. */
  readonly status: number;
  readonly message: string;
  /** Ours, and what explains it further; each becomes a cause. */
  readonly codes: readonly string[];
  readonly retryAfterSeconds?: number;
}

/** The Status object of the API, of which clients show the message. */
export function statusObject({ status, message, codes, retryAfterSeconds }: Answer): Buffer {
  return Buffer.from(
    JSON.stringify({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason: REASONS[status] ?? '',
      details: {
        causes: codes.map((code) => ({ reason: code, message })),
        ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
      },
      code: status,
    }),
  );
}

const STATUS: Partial<Record<AgentCode, number>> = {
  ResourceNotReady: 503,
  PolicyStale: 503,
  RecordingBlocked: 503,
  InternalFault: 500,
  TokenRequired: 401,
  TokenRejected: 401,
  TooManyConnections: 503,
};

/** The status of HTTP that goes with a code; what a policy decided is forbidden. */
export function httpStatus(code: AgentCode): number {
  return STATUS[code] ?? 403;
}
