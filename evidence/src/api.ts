import { z } from 'zod';
import { SessionRecord } from './record.ts';

/** The collector's HTTP API, as its server answers and its clients read it. Times are milliseconds since 1970. */
export const SessionState = z.enum(['open', 'ended', 'interrupted']);
/** received: everything known of is stored · incomplete: segments before the last one are missing · altered: see findings. */
export const EvidenceState = z.enum(['received', 'incomplete', 'altered']);

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
  denied: z.int(),
  masked: z.int(),
  state: SessionState,
  evidence: EvidenceState,
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
});
export type SessionDetail = z.infer<typeof SessionDetail>;

/** `next` is the `from` of the page after this one; absent at the end of what is stored. */
export const RecordPage = z.object({ items: z.array(SessionRecord), next: z.int().optional() });
export type RecordPage = z.infer<typeof RecordPage>;

export const TrustInfo = z.object({ origin: z.string() });
export type TrustInfo = z.infer<typeof TrustInfo>;

export const ApiErrorCode = z.enum([
  'BadRequest',
  'NotSignedIn',
  'Forbidden',
  'NotFound',
  'AmbiguousName',
  'EvidenceAltered',
  'EvidenceIncomplete',
  'Unavailable',
]);
export type ApiErrorCode = z.infer<typeof ApiErrorCode>;
/** `matches` lists the sessions that an ambiguous name fits, at most ten. */
export const ApiError = z.object({ code: ApiErrorCode, message: z.string(), matches: z.array(z.string()).optional() });
export type ApiError = z.infer<typeof ApiError>;
