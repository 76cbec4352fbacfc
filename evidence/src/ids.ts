import { randomBytes } from 'node:crypto';
import { encodeBase32 } from './encoding.ts';

/** A whole session id: `s-` and 16 base32 characters (80 random bits), lower case. */
export const SESSION_ID = /^s-[a-z2-7]{16}$/;
/** What a person may type for one: the id or the beginning of it. */
export const SESSION_ID_PREFIX = /^s-[a-z2-7]{1,16}$/;

export function newSessionId(random: (bytes: number) => Buffer = randomBytes): string {
  return `s-${encodeBase32(random(10)).toLowerCase()}`;
}

/** Names an AccessRequest: `ar-` and 16 base32 characters. */
export function newRequestName(random: (bytes: number) => Buffer = randomBytes): string {
  return `ar-${encodeBase32(random(10)).toLowerCase()}`;
}
