import { boolean, byte, string } from './data.ts';

/** Message numbers of RFC 4252, section 6, and RFC 4256, section 5. 60 and 61 mean what the method at hand says. */
export const AUTH = {
  request: 50,
  failure: 51,
  success: 52,
  banner: 53,
  publicKeyOk: 60,
  infoRequest: 60,
  infoResponse: 61,
} as const;

/** RFC 4253, section 10, and what may be asked for there. */
export const SERVICE = { request: 5, accept: 6 } as const;
export const USERAUTH = 'ssh-userauth';
export const CONNECTION = 'ssh-connection';

export type AuthMethod = 'publickey' | 'password' | 'keyboard-interactive';

/** Bytes. An OIDC token of a person with many groups has 4,000. */
export const MAX_PASSWORD = 16 * 1024;

/** The beginning of every request to be let in (RFC 4252, section 5). */
export const authRequest = (user: string, method: string): Buffer =>
  Buffer.concat([byte(AUTH.request), string(user), string(CONNECTION), string(method)]);

/** What a key signs to let its holder in, but for the signature itself (RFC 4252, section 7). */
export const publicKeyRequest = (user: string, algorithm: string, blob: Buffer): Buffer =>
  Buffer.concat([authRequest(user, 'publickey'), boolean(true), string(algorithm), string(blob)]);
