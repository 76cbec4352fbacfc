import { MAX_REQUEST_TEXT, REQUEST_NAME, REQUEST_STATES, Ref } from '@chaperone/api';
import { z } from 'zod';
import { digestOf } from '../canonical.ts';

const name = z.string().regex(REQUEST_NAME);
const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** What an approval is for: exactly this. Whatever of it differs when the action is to run, the agent has to ask again. */
export interface SealedAction {
  readonly agent: { readonly namespace: string; readonly serviceAccount: string; readonly podUid?: string | undefined };
  readonly onBehalfOf?: { readonly issuer: string; readonly user: string } | undefined;
  readonly resource: { readonly namespace: string; readonly name: string; readonly generation: number };
  /** Digest of the access in force: every policy, its generation, and the owner's grant. */
  readonly access: string;
  readonly protocol: string;
  /** The action as its protocol has it, whole: a statement, a command, a request. */
  readonly text: string;
  /** What is bound to it: values (base64), their types and formats. */
  readonly bound?: unknown;
  /** All that gives the text another meaning: settings, role, search path, whether a transaction is open. */
  readonly state: Readonly<Record<string, string>>;
}

/** Names the action: equal digests are the same action in the same state. SHA-256, hex. */
export function sealAction(action: SealedAction): string {
  return digestOf({ v: 'chaperone-approval-1', ...action });
}

/** Lines and characters of a line of what a write would change. */
export const MAX_CHANGE = { lines: 200, width: 200 } as const;

/** What an action would meet, as it was at one moment. */
export const Preview = z.object({
  /** What the upstream expects, without running it. */
  estimate: z.int().min(0).optional(),
  count: z.int().min(0).optional(),
  /** Why nobody looked. */
  why: z.string().max(256).optional(),
  /** Some of the rows, masked; null is NULL. */
  columns: z.array(z.string().max(64)).max(32).optional(),
  rows: z
    .array(z.array(z.string().max(128).nullable()).max(32))
    .max(5)
    .optional(),
  /** What a write would change, masked: lines that begin with `- ` (before), `+ ` (after) or two blanks (where it stands). */
  change: z.array(z.string().max(MAX_CHANGE.width)).max(MAX_CHANGE.lines).optional(),
});
export type Preview = z.infer<typeof Preview>;

/** What a sidecar asks for. Who asks, whom to ask and until when is the control plane's to say. */
export const Question = z.object({
  /** Made by whoever asks, so that asking twice is asking once. */
  name,
  session: z.string().regex(/^s-[a-z2-7]{16}$/),
  action: z.int().min(0),
  resource: Ref,
  protocol: z.string().min(1).max(32),
  asks: z
    .array(z.object({ policy: Ref, rule: z.string().min(1).max(63) }))
    .min(1)
    .max(16),
  sentence: z.string().min(1).max(512),
  effects: z
    .array(
      z.object({
        verb: z.string().max(64),
        object: z.string().max(400),
        via: z.string().max(16),
        verdict: z.enum(['allow', 'deny', 'approve']),
        rule: z.string().max(63).optional(),
      }),
    )
    .max(64),
  /** Masked, with what nobody can see written out. */
  text: z.string().max(MAX_REQUEST_TEXT),
  textBytes: z.int().min(0),
  parameters: z.array(z.string().max(256)).max(64).optional(),
  /** What the agent did in the last minutes, the newest last. */
  recent: z
    .array(
      z.object({
        at: z.iso.datetime(),
        sentence: z.string().max(160),
        verdict: z.enum(['allow', 'deny', 'approve']),
        result: z.string().max(64).optional(),
      }),
    )
    .max(8)
    .optional(),
  /** Names the action but for its values: what people may approve to run again. */
  template: digest.optional(),
  /** The same for people: `?` in place of each value. */
  templateText: z.string().max(MAX_REQUEST_TEXT).optional(),
  /** Why there is no template. */
  once: z.string().max(256).optional(),
  transaction: z.boolean(),
  onBehalfOf: z.object({ issuer: z.string().max(512), user: z.string().max(256) }).optional(),
  digest,
});
export type Question = z.infer<typeof Question>;

/** What the one who asked is told of a request, now and whenever it changes. */
export const RequestView = z.object({
  name,
  digest,
  state: z.enum(REQUEST_STATES),
  mode: z.enum(['hold', 'retry']),
  /** Whether what it would meet is known. */
  looked: z.boolean().optional(),
  /** The request with whose approval people granted this one. */
  grantedBy: name.optional(),
  /** ms from now until nothing runs any more; the other side's clock has no say. */
  expiresInMs: z.int(),
  /** How long it was held for in all, ms. */
  timeoutMs: z.int(),
  decisions: z
    .array(
      z.object({
        by: z.string().max(256),
        decision: z.enum(['Approve', 'Deny']),
        reason: z.string().max(1024).optional(),
        at: z.string(),
        /** How it is known to be theirs, and by which way it came; a word that is new here is no fault. Absent: nobody says. */
        assurance: z.string().max(32).optional(),
        via: z.string().max(32).optional(),
      }),
    )
    .max(64),
});
export type RequestView = z.infer<typeof RequestView>;

/** Of a text that a request has only the beginning of, in UTF-8. */
export const MAX_WHOLE_TEXT_BYTES = 256 * 1024;

/** What is said of an action once people are asked. */
export const Looked = z.object({
  preview: Preview,
  /** All of its text, masked, where the request has only the beginning. */
  text: z.string().max(MAX_WHOLE_TEXT_BYTES).optional(),
});
export type Looked = z.infer<typeof Looked>;

/** Tells what an action would meet that people were asked about: once, and while they may still decide. */
export const LookedRequest = Looked.extend({ name, digest });
export type LookedRequest = z.infer<typeof LookedRequest>;

/** Lets an approved action run, once. */
export const ReleaseRequest = z.object({ name, digest });
export type ReleaseRequest = z.infer<typeof ReleaseRequest>;

/** How it ended for the one who asked. */
export const EndRequest = z.object({
  name,
  state: z.enum(['Withdrawn', 'Voided', 'Ran', 'Failed']),
  result: z.string().max(256).optional(),
});
export type EndRequest = z.infer<typeof EndRequest>;
