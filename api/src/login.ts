import { z } from 'zod';
import { sentence, text } from './fields.ts';
import { API_VERSION, ObjectMeta } from './meta.ts';
import { immutable, withRules } from './rules.ts';

/** Identity providers send long lists of groups; a token with more does not fit an HTTP header either. */
const MAX_GROUPS = 512;

/** How long an EvidenceLogin is believed after its creation, in ms. */
export const EVIDENCE_LOGIN_LIFE_MS = 10 * 60 * 1000;

export const EvidenceLoginSpec = withRules(
  z.object({
    publicKey: text(44, /^[A-Za-z0-9+/]{43}=$/, 'write the 32 bytes of an Ed25519 public key in base64').describe(
      'Ed25519 public key, base64. Requests signed by its private key are this person’s.',
    ),
    user: sentence(256).describe('Name of the person; admission refuses any but the author of the object. Example: jane@corp'),
    groups: z
      .array(sentence(256))
      .max(MAX_GROUPS)
      .default([])
      .describe('Groups of the person, as admission sees them. Default: none'),
  }),
  immutable('an EvidenceLogin never changes; create another'),
).describe('Who signs in, and with which key.');
export const EvidenceLogin = z
  .object({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal('EvidenceLogin'),
    metadata: ObjectMeta,
    spec: EvidenceLoginSpec,
  })
  .describe(
    'One sign-in of one person at the collector, believed for 10 minutes. The command line creates it, so that no kubeconfig token leaves the machine.',
  );
export type EvidenceLogin = z.infer<typeof EvidenceLogin>;
