import { z } from 'zod';
import { sentence, text } from './fields.ts';
import { API_VERSION, ObjectMeta } from './meta.ts';
import { immutable, withRules } from './rules.ts';

/** How long a SessionKill is kept after it was sent, in ms. */
export const SESSION_KILL_LIFE_MS = 60 * 60 * 1000;

export const SessionKillSpec = withRules(
  z.object({
    session: text(18, /^s-[a-z2-7]{16}$/, 'write the whole name of a session, s- and 16 characters').describe(
      'The session that ends. Example: s-7hq2kz4mwc3t5xqd',
    ),
    reason: sentence(256).describe('Why; its agent reads it.'),
    by: sentence(256).describe('Who ends it; admission refuses any but the author of the object. Example: jane@corp'),
  }),
  immutable('a SessionKill never changes; create another'),
).describe('Which session ends, and why.');

export const SessionKillStatus = z
  .object({
    sent: z.int().min(0).max(100_000).optional().describe('Sidecars of the namespace that were told.'),
    at: z.string().max(64).optional().describe('When they were told, RFC 3339.'),
    endedAt: z
      .string()
      .max(64)
      .optional()
      .describe('When the sidecar that had the session said that it is over, RFC 3339. Absent: none has said so.'),
  })
  .describe('What the operator did.');
export type SessionKillStatus = z.infer<typeof SessionKillStatus>;

export const SessionKill = z
  .object({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal('SessionKill'),
    metadata: ObjectMeta,
    spec: SessionKillSpec,
    status: SessionKillStatus.optional(),
  })
  .describe('Ends one session of an agent of this namespace, at once. chaperone sessions kill creates it, and kubectl can.');
export type SessionKill = z.infer<typeof SessionKill>;
