import { decodeBase32, encodeBase32 } from './encoding.ts';
import { randomBytes, sha256 } from './primitives.ts';

/** A whole session id: `s-` and 16 base32 characters (56 random bits, and 24 that say which pod made it), lower case. */
export const SESSION_ID = /^s-[a-z2-7]{16}$/;
/** What a person may type for one: the id or the beginning of it. */
export const SESSION_ID_PREFIX = /^s-[a-z2-7]{1,16}$/;

const CHANCE_BYTES = 7;
const MARK_BYTES = 3;

/** @param pod - UID of the pod whose session it is; without one the mark is random too */
export function newSessionId(pod?: string): string {
  const chance = randomBytes(CHANCE_BYTES);
  const mark = pod === undefined ? randomBytes(MARK_BYTES) : markOf(chance, pod);
  return `s-${encodeBase32(Buffer.concat([chance, mark])).toLowerCase()}`;
}

/** Whether a session is one that this pod could have made: of another pod's one in 2^24 seems to be. */
export function isSessionOf(session: string, pod: string): boolean {
  if (!SESSION_ID.test(session)) return false;
  const bytes = decodeBase32(session.slice(2).toUpperCase());
  return markOf(bytes.subarray(0, CHANCE_BYTES), pod).equals(bytes.subarray(CHANCE_BYTES));
}

function markOf(chance: Buffer, pod: string): Buffer {
  return sha256(Buffer.from('chaperone.dev/session/v1'), chance, Buffer.from(pod)).subarray(0, MARK_BYTES);
}

/** Names an AccessRequest: `ar-` and 16 base32 characters. */
export function newRequestName(random: (bytes: number) => Buffer = randomBytes): string {
  return `ar-${encodeBase32(random(10)).toLowerCase()}`;
}
