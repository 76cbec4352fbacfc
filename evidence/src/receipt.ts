import { z } from 'zod';
import { SESSION_ID } from './ids.ts';

/**
 * The collector's word that it stores segments 0 to `number` of a session for good. `digest` is the SHA-256 (hex) of the
 * bytes of segment `number`, by which the sender checks that what is stored is what it sent.
 */
export const Receipt = z.strictObject({
  session: z.string().regex(SESSION_ID),
  number: z.int().min(0),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
});
export type Receipt = z.infer<typeof Receipt>;
