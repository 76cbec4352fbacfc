import { z } from 'zod';
import { SESSION_ID } from './ids.ts';
import { Signed } from './keys.ts';

const Digest = z.string().regex(/^[0-9a-f]{64}$/);
const Counter = z.int().min(0);

export const SegmentFlag = z.enum(['open', 'close', 'torn']);
export type SegmentFlag = z.infer<typeof SegmentFlag>;

/** Totals of the session up to the end of this segment. `dropped` counts records that were lost and says so. */
export const Counters = z.strictObject({ actions: Counter, denied: Counter, masked: Counter, dropped: Counter });
export type Counters = z.infer<typeof Counters>;

/**
 * What a segment's signature covers; its JSON text is stored and checked verbatim. It names no person, pod or resource, and
 * stays when the session's data key is destroyed. `prev` is the SHA-256 of the previous segment's header text and signature
 * (null for segment 0), `root` the RFC 6962 tree hash over the records, each behind its salt. `key` says which data key sealed
 * the payload, and the salt of this sealing; `payload` has digest and length of what is encrypted, `plain` the records' bytes.
 * Times are milliseconds, `wall` and `mono` of the first and last record, `sealed` when the key signed; `policy` is the digest of the policies in force at the start.
 */
export const SegmentHeader = z.strictObject({
  version: z.literal(2),
  origin: z.string().min(1).max(253),
  session: z.string().regex(SESSION_ID),
  number: z.int().min(0).max(0xffff_ffff),
  prev: Digest.nullable(),
  certificate: Signed,
  registration: Digest,
  records: z.strictObject({ first: Counter, last: z.int().min(-1), count: Counter }),
  root: Digest,
  key: z.strictObject({ id: Digest, salt: z.string().regex(/^[0-9a-f]{32}$/) }),
  payload: z.strictObject({ codec: z.literal('zstd+aes-256-gcm'), digest: Digest, length: Counter, plain: Counter }),
  policy: z.string().max(128),
  clock: z.strictObject({
    wall: z.tuple([z.number(), z.number()]),
    mono: z.tuple([z.number(), z.number()]),
    sealed: z.number(),
  }),
  counters: Counters,
  flags: z.array(SegmentFlag).max(3),
});
export type SegmentHeader = z.infer<typeof SegmentHeader>;
