export { CLOCK_SKEW_MS } from './claims.ts';
export { TokenError, type TokenErrorCode } from './errors.ts';
export { IssuerKeys, type IssuerKeysOptions, type KeySource } from './issuer-keys.ts';
export { MAX_TOKEN_BYTES } from './token.ts';
export { type Verified, verifyToken } from './verify.ts';
