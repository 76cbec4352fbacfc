import { z } from 'zod';
import { SESSION_ID } from './ids.ts';
import { READ_WAYS } from './log/leaf.ts';
import { MAX_REASON } from './order.ts';
import { SessionRecord } from './record.ts';

/** The collector's HTTP API, as its server answers and its clients read it. Times are milliseconds since 1970. */
export const SessionState = z.enum(['open', 'ended', 'interrupted']);
/** received: everything known of is stored · incomplete: segments before the last one are missing · altered: see findings. */
export const EvidenceState = z.enum(['received', 'incomplete', 'altered']);

/** What somebody ordered about a session; `entry` is its number in the log. Without `by` and `reason` these were destroyed. */
export const GivenOrder = z.object({
  kind: z.enum(['erasure', 'hold', 'release']),
  at: z.number(),
  entry: z.int(),
  by: z.string().optional(),
  reason: z.string().optional(),
});
export type GivenOrder = z.infer<typeof GivenOrder>;
/** That a person read evidence, and which entry of the log says so. Without `session` it was of more than one; without `by` who it was was destroyed. */
export const GivenReading = z.object({
  session: z.string().optional(),
  way: z.enum(READ_WAYS),
  at: z.number(),
  entry: z.int(),
  by: z.string().optional(),
  /** Which time it was of, the end excluded. */
  period: z.object({ from: z.number(), to: z.number() }).optional(),
});
export type GivenReading = z.infer<typeof GivenReading>;
/** What is asked for. The request's address has the SHA-256 of this body as `body`, so that what signs the one signs the other. */
export const OrderRequest = z.strictObject({
  kind: z.enum(['erasure', 'hold', 'release']),
  reason: z.string().trim().min(1).max(MAX_REASON),
});
export type OrderRequest = z.infer<typeof OrderRequest>;

export const SessionSummary = z.object({
  name: z.string(),
  agent: z.object({
    namespace: z.string(),
    serviceAccount: z.string(),
    pod: z.string().optional(),
    podUid: z.string().optional(),
  }),
  resource: z.object({ namespace: z.string(), name: z.string(), protocol: z.string() }).optional(),
  purpose: z.string().optional(),
  mode: z.enum(['Enforce', 'Audit']).optional(),
  /** Whom the agent acted for, as a verified token said; its groups are in the opening record. */
  onBehalfOf: z.object({ issuer: z.string(), user: z.string() }).optional(),
  actions: z.int(),
  /** Of the actions, refused by a rule or by what became of an approval: denied, expired, void. */
  denied: z.int(),
  /** Of the actions, those that a rule held and that did not run so far: they wait, or their agent was told to repeat them. */
  held: z.int().default(0),
  masked: z.int(),
  state: SessionState,
  evidence: EvidenceState,
  /** What was recorded is nobody's to read any more; what is known of it comes from headers. */
  erased: z.boolean().default(false),
  /** It must not be erased. */
  onHold: z.boolean().default(false),
  startedAt: z.number().optional(),
  endedAt: z.number().optional(),
});
export type SessionSummary = z.infer<typeof SessionSummary>;

/**
 * Newest first; `truncated` says that more matched than `limit`, and `next` is then what `after` takes for those that follow.
 * `total` is how many matched and may be listed by who asks; only a page that begins at the first one has it.
 */
export const SessionList = z.object({
  items: z.array(SessionSummary),
  truncated: z.boolean(),
  total: z.int().optional(),
  next: z.string().optional(),
});
export type SessionList = z.infer<typeof SessionList>;

/** What a list may be narrowed to: sessions in which something was denied, in which values were masked, or neither. */
export const SessionVerdictFilter = z.enum(['denied', 'masked', 'clean']);
export type SessionVerdictFilter = z.infer<typeof SessionVerdictFilter>;

/** A command that a search found; `text` is what it says there. */
export const SearchHit = z.object({ seq: z.int(), at: z.number(), verdict: z.string(), text: z.string() });
export type SearchHit = z.infer<typeof SearchHit>;
/**
 * Sessions with a command that has every word of the search, newest first, each with the newest such command. `partial` says that so
 * many commands matched that older ones were not looked at.
 */
export const SearchList = SessionList.extend({
  items: z.array(SessionSummary.extend({ hit: SearchHit, hits: z.int() })),
  partial: z.boolean(),
});
export type SearchList = z.infer<typeof SearchList>;

/** What there is to narrow a list to, with how many sessions each has; of what who asks may list. The most used come first. */
export const SessionFacets = z.object({
  agents: z.array(z.object({ namespace: z.string(), name: z.string(), sessions: z.int() })),
  resources: z.array(z.object({ namespace: z.string(), name: z.string(), protocol: z.string(), sessions: z.int() })),
  /** Whom agents acted for, by a verified token; a collector of before has none. */
  people: z.array(z.object({ user: z.string(), sessions: z.int() })).default([]),
});
export type SessionFacets = z.infer<typeof SessionFacets>;

export const Finding = z.object({
  code: z.string(),
  message: z.string(),
  number: z.int(),
  digest: z.string(),
  at: z.number(),
});
export type Finding = z.infer<typeof Finding>;

export const SessionDetail = SessionSummary.extend({
  segments: z.int(),
  records: z.int(),
  bytes: z.int(),
  /** The last segment up to which nothing is missing; -1 while segment 0 is. */
  highWater: z.int(),
  missing: z.array(z.int()),
  findings: z.array(Finding),
  /** Erasures and holds, the first first. */
  orders: z.array(GivenOrder).default([]),
  /** Who read it, the newest first and at most some. */
  reads: z.array(GivenReading).default([]),
  /** The last segment up to which all are in the log, so that its pod was given a receipt or will be; -1 where the first is not. */
  logged: z.int().optional(),
});
export type SessionDetail = z.infer<typeof SessionDetail>;

/**
 * How the evidence stands that who asks may list: what was ordered and what is missing, the newest first and at most some of each, and the
 * checkpoint that is shown to everybody. `signers` are names of who signed it, its log first; nothing here was verified.
 */
export const EvidenceLedger = z.object({
  checkpoint: z.object({ size: z.int(), root: z.string(), signers: z.array(z.string()) }).optional(),
  orders: z.array(GivenOrder.extend({ session: z.string() })),
  reads: z.array(GivenReading).default([]),
  gaps: z.array(SessionSummary),
  truncated: z.boolean(),
});
export type EvidenceLedger = z.infer<typeof EvidenceLedger>;

/**
 * `next` is the `from` of the page after this one; absent at the end of what is stored. `end` is the number after the last record
 * that was looked at. A page with a `gap` holds nothing else: records `from` to `to` are not stored.
 */
export const RecordPage = z.object({
  items: z.array(SessionRecord),
  next: z.int().optional(),
  end: z.int().optional(),
  gap: z.object({ from: z.int(), to: z.int() }).optional(),
});
export type RecordPage = z.infer<typeof RecordPage>;

/** A session's data key, in base64url, to read and verify its segments with. */
export const DataKeyInfo = z.object({ session: z.string().regex(SESSION_ID), key: z.base64url().length(43) });
export type DataKeyInfo = z.infer<typeof DataKeyInfo>;

/** Sessions that may be asked for at once. */
export const MAX_HELD = 64;
/** What is stored of a session: segments 0 to `segments`, excluded, and whether one of them says that it is over, be it torn. */
export const HeldSession = z.object({ segments: z.int().min(0), ended: z.boolean() });
export type HeldSession = z.infer<typeof HeldSession>;
/** What is stored of the sessions that were asked for by their whole names; of others nothing is said. */
export const HeldAnswer = z.object({ sessions: z.record(z.string(), HeldSession) });
export type HeldAnswer = z.infer<typeof HeldAnswer>;
/** A refused event: where it is in the log, and what was said against it. */
export const SinkDeadLetter = z.object({ id: z.string(), leaf: z.int(), at: z.number(), cause: z.string() });
/**
 * How far a sink is. `cursor` is the first entry of the log that its receiver has not confirmed whole, of `size`. delivering: it catches up ·
 * waiting: all is confirmed · failing: see `error` · off: it is configured no more.
 */
export const SinkStatus = z.object({
  name: z.string(),
  kind: z.string().optional(),
  content: z.string().optional(),
  state: z.enum(['delivering', 'waiting', 'failing', 'off']),
  cursor: z.int(),
  size: z.int(),
  /** How long ago the entry at `cursor` came; 0 where there is none. */
  lagSeconds: z.number(),
  /** Events that were confirmed, repeats included. */
  delivered: z.int(),
  deadLetters: z.array(SinkDeadLetter),
  /** Why the last tries failed. */
  error: z.object({ code: z.string(), message: z.string(), at: z.number(), tries: z.int() }).optional(),
});
export type SinkStatus = z.infer<typeof SinkStatus>;
export const SinkList = z.object({ items: z.array(SinkStatus) });
export type SinkList = z.infer<typeof SinkList>;
/** Dead letters that were confirmed when they were sent again, or are erased. */
export const SinkResent = z.object({ resent: z.int() });
export type SinkResent = z.infer<typeof SinkResent>;

export const TrustInfo = z.object({ origin: z.string() });
export type TrustInfo = z.infer<typeof TrustInfo>;

export const ApiErrorCode = z.enum([
  'BadRequest',
  'NotSignedIn',
  'Forbidden',
  'NotFound',
  'AmbiguousName',
  'LinkUnusable',
  'EvidenceAltered',
  'EvidenceIncomplete',
  'EvidenceErased',
  'OrderRefused',
  'ReadNotRecorded',
  'TooManyReads',
  'Unavailable',
]);
export type ApiErrorCode = z.infer<typeof ApiErrorCode>;
/** `matches` lists the sessions that an ambiguous name fits, at most ten. */
export const ApiError = z.object({ code: ApiErrorCode, message: z.string(), matches: z.array(z.string()).optional() });
export type ApiError = z.infer<typeof ApiError>;

/** Why a sign-in through an identity provider came to nothing: `failed` in the address of the page that says so. */
export const SignInFailure = z.enum([
  'ProviderUnavailable',
  'ProviderRefused',
  'SignInDenied',
  'SignInUnknown',
  'SignInRejected',
  'ClaimMissing',
  'ClaimUnreadable',
  'NameReserved',
]);
export type SignInFailure = z.infer<typeof SignInFailure>;

/** Whether a browser is signed in, and how one signs in here: `provider` is the host to which `oidc` and `saml` lead. `now` is the collector's clock. */
export const AuthState = z.object({
  way: z.enum(['link', 'oidc', 'saml', 'none']),
  provider: z.string().optional(),
  origin: z.string(),
  /** Whether there are requests for approval here. */
  requests: z.boolean(),
  /** Whether policies and resources are known here. */
  policies: z.boolean(),
  now: z.number(),
  user: z.string().optional(),
  expiresAt: z.number().optional(),
  /** What a command line needs beside a verb to reach this collector; told to whoever is signed in. Example: ` --data /srv/shop` */
  place: z.string().optional(),
});
export type AuthState = z.infer<typeof AuthState>;
export const SignInRequest = z.strictObject({ proof: z.string().min(1).max(2048) });
/** `path` is where the page goes on. */
export const SignInResult = z.object({ path: z.string() });
export type SignInResult = z.infer<typeof SignInResult>;
export const LinkRequest = z.strictObject({ path: z.string().max(600).optional() });
/** `link` is a path below the collector's address. */
export const NewLink = z.object({ link: z.string(), expiresAt: z.number() });
export type NewLink = z.infer<typeof NewLink>;
