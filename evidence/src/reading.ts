import { z } from 'zod';
import { EvidenceError } from './errors.ts';
import { SESSION_ID } from './ids.ts';
import type { Signer } from './keys.ts';
import { READ_WAYS } from './log/leaf.ts';
import { hasDigest, type SealedOrder, sealStatement } from './order.ts';

/**
 * That a person read evidence: one session's, or, where `session` is null, that of all whom they might read; `period` where it was of one,
 * its end excluded. As of an order the log has the digest of this text alone, so that who it was can be forgotten; `salt`, 32 hex digits, keeps
 * it from being guessed.
 */
export const Reading = z.strictObject({
  kind: z.literal('read'),
  session: z.string().regex(SESSION_ID).nullable(),
  period: z.strictObject({ from: z.number(), to: z.number() }).optional(),
  way: z.enum(READ_WAYS),
  by: z.string().min(1).max(256),
  at: z.number(),
  salt: z.string().regex(/^[0-9a-f]{32}$/),
});
export type Reading = z.infer<typeof Reading>;

/** The entry that says that evidence was read, signed by the log's key. Throws ZodError for what is no reading. */
export function sealReading(reading: Reading, logKey: Signer): SealedOrder {
  const { session, at, way } = Reading.parse(reading);
  return sealStatement('read', Buffer.from(JSON.stringify(reading)), (order) => ({ session, order, at, way }), logKey);
}

/** What an entry of a reading says without its text. */
export type ReadingLeafStatement = Pick<Reading, 'session' | 'at' | 'way'> & { readonly order: string };

/** The reading that an entry of the log is of; throws EvidenceError PayloadAltered where the text is another one. */
export function openReading(text: Buffer, { order, session, at, way }: ReadingLeafStatement): Reading {
  if (!hasDigest(text, order)) throw new EvidenceError('PayloadAltered', 'the reading is not the one that the log names');
  const reading = parsed(text);
  if (reading.session === session && reading.at === at && reading.way === way) return reading;
  throw new EvidenceError('PayloadAltered', 'the reading is not the one that the log names');
}

function parsed(text: Buffer): Reading {
  try {
    return Reading.parse(JSON.parse(text.toString()));
  } catch (cause) {
    throw new EvidenceError('PayloadAltered', 'the reading does not have the expected shape', { cause });
  }
}
