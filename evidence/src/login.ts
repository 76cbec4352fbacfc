import type { Signer } from './keys.ts';

/** Headers by which a request is signed with the key of an EvidenceLogin. */
export const LOGIN_HEADERS = {
  login: 'chaperone-login',
  timestamp: 'chaperone-timestamp',
  nonce: 'chaperone-nonce',
  signature: 'chaperone-signature',
} as const;

export interface SignedRequest {
  readonly login: string;
  readonly method: string;
  /** Path and query exactly as sent, for example `/v1/sessions?limit=10`. */
  readonly target: string;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** At least 16 characters, never used twice. */
  readonly nonce: string;
}

/** The bytes that a request's signature is over. */
export function loginMessage(request: SignedRequest): Buffer {
  const { login, method, target, timestamp, nonce } = request;
  return Buffer.from(`chaperone/login/v1\0${[login, method.toUpperCase(), target, timestamp, nonce].join('\n')}`);
}

/** The headers that sign a request to the collector. */
export function signRequest(request: SignedRequest, key: Signer): Record<string, string> {
  return {
    [LOGIN_HEADERS.login]: request.login,
    [LOGIN_HEADERS.timestamp]: String(request.timestamp),
    [LOGIN_HEADERS.nonce]: request.nonce,
    [LOGIN_HEADERS.signature]: key.sign(loginMessage(request)).toString('base64url'),
  };
}
