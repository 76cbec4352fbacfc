/** VaultUnavailable: asking again may help by itself. VaultRefused: somebody has to change something. */
export type VaultCode = 'VaultUnavailable' | 'VaultRefused';

/** Why Vault gave nothing, in words of ours: what it answered may hold anything and is not repeated. */
export class VaultError extends Error {
  override readonly name = 'VaultError';
  readonly code: VaultCode;
  /** Of the answer; absent: there was none. */
  readonly status: number | undefined;

  constructor(code: VaultCode, message: string, status?: number) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

const WORDS: Readonly<Record<number, string>> = {
  400: 'it takes the request for a wrong one (400)',
  403: 'it does not permit it (403)',
  404: 'nothing is there (404); a path of KV version 2 has data/ behind its mount',
  429: 'it has too much to do (429)',
  503: 'it is sealed or stands by (503)',
};

/** What a status that is no success means, as the documentation of Vault's HTTP API lists them. */
export function errorOf(status: number): VaultError {
  const words = WORDS[status] ?? `it answers with status ${status}`;
  const transient = status < 400 || status >= 500 || status === 412 || status === 429 || status === 472 || status === 473;
  return new VaultError(transient ? 'VaultUnavailable' : 'VaultRefused', words, status);
}
