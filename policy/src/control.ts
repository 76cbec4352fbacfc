import { z } from 'zod';
import { Snapshot } from './access.ts';
import { MAX_WHOLE_TEXT_BYTES, RequestView } from './approval/question.ts';

/**
 * What a sidecar and the operator say to each other: HTTPS with JSON bodies, the sidecar's projected ServiceAccount token
 * (audience {@link SIDECAR_AUDIENCE}) as `Authorization: Bearer` on every request. The sidecar trusts the certificate authority
 * that injection sealed into its environment, which nobody in its namespace can change, until a snapshot
 * names another bundle (`ca`): from then on that one, so that the operator's CA may change while pods run.
 *
 * ```
 * POST /v1/enrol    EnrolRequest      → EnrolResponse    once per start of the sidecar; the same nkey again is fine
 * GET  /v1/stream                     → StreamLine…      newline-delimited JSON, a snapshot first, then as things change
 * POST /v1/ack      AckRequest        → 204              after a snapshot is in force
 * POST /v1/report   ReportRequest     → 204              what was seen at upstreams
 * POST /v1/capture  CaptureRequest    → 204              whether the pod's capture is proven: once enrolled, and as it changes
 * POST /v1/counter  CounterRequest    → 204              before a session's first byte goes upstream, and at a steady interval
 * POST /v1/nats     NatsRequest       → NatsResponse     before the user JWT expires
 * POST /v1/ask      Question          → RequestView      people are asked to approve an action; the same name again is fine
 * POST /v1/looked   LookedRequest     → 204              what it would meet, once people are asked; said again it changes nothing
 * POST /v1/release  ReleaseRequest    → RequestView      state Released is said once: it runs now; any other: it does not
 * POST /v1/ended    EndRequest        → 204              how it ended, or that nobody waits for it any more
 * POST /v1/closed   ClosedRequest     → 204              a session that a revocation named is over here
 * ```
 * `/v1/counter` is refused with CounterRefused where it goes back or no key of the pod signed it; said again it changes nothing.
 * `/v1/closed` changes nothing of a session that another pod made: its name says which did.
 * The stream says of every open request of the pod what became of it. `/v1/ask` may answer with a request of another name: the
 * pod has an open one for the very same action.
 * Errors are ControlError with a 4xx or 5xx. 503 with Retry-After (seconds) comes from a replica that does not lead: connect
 * again, to the Service. All but `/v1/enrol` answer 409 NotEnrolled when this operator has not
 * seen the pod's enrolment (after a change of leader): enrol again, with the same keys. Losing the stream is not a revocation;
 * a snapshot holds for `validForMs` after the last line that was received.
 */
/**
 * The protocols that this release speaks, oldest first: its own, and that of the release before where that is another. A sidecar asks in the
 * newest and, where that is refused, in the one before; the operator answers in the one that it was asked in. What a reader may ignore (a
 * field, a code of an error) is added within a protocol; a new kind of line, or what has to be understood, makes a new one, and the messages
 * of the last one stay in `testdata/control-N.json`.
 */
export const CONTROL_PROTOCOLS: readonly number[] = [1];
export const SIDECAR_AUDIENCE = 'chaperone-sidecar';
export const CONTROL_PATHS = {
  enrol: '/v1/enrol',
  stream: '/v1/stream',
  ack: '/v1/ack',
  report: '/v1/report',
  capture: '/v1/capture',
  counter: '/v1/counter',
  nats: '/v1/nats',
  ask: '/v1/ask',
  looked: '/v1/looked',
  release: '/v1/release',
  ended: '/v1/ended',
  closed: '/v1/closed',
} as const;

/**
 * What a sidecar calls the Secret with the credential, whose name it is not told. The operator writes the name in its place, where
 * owners read it.
 */
export const UNNAMED_SECRET = 'the Secret of spec.credentials';

/** One line of the stream or one response, at most; a snapshot larger than this is refused by both sides. */
export const MAX_CONTROL_BYTES = 4 * 1024 * 1024;
/** Bodies that a sidecar sends. */
export const MAX_CONTROL_REQUEST_BYTES = 64 * 1024;
/** Of one that tells what an action would meet: 160 cells of 128 characters, or 200 lines of 200, of six bytes at most, and a text of which JSON doubles each byte. */
export const MAX_LOOKED_BYTES = 256 * 1024 + 2 * MAX_WHOLE_TEXT_BYTES;

/** Room for a log and 32 witnesses with ML-DSA-44 keys. */
export const MAX_LOG_POLICY_CHARS = 96 * 1024;

/** The public half of a NATS user key: U and 55 characters of base32. */
export const UserNkey = z.string().regex(/^U[A-Z2-7]{55}$/);

export const EnrolRequest = z.object({
  protocol: z.int().min(1).max(1000),
  /** Version of the sidecar, for people. */
  version: z.string().min(1).max(64),
  /** Public key of the leaf that the sidecar shows to agents: P-256, SPKI, PEM. The private key never leaves the pod. */
  tlsPublicKey: z.string().max(1024),
  nkey: UserNkey,
  /** Signature of {@link enrolmentProof} by the nkey, base64: the pod holds the key it registers. */
  nkeyProof: z.string().length(88),
});
export type EnrolRequest = z.infer<typeof EnrolRequest>;

/** The bytes that `nkeyProof` signs. The token is in them, so a proof is of no use to another pod. */
export function enrolmentProof(token: string, tlsPublicKey: string): Uint8Array {
  return new TextEncoder().encode(`chaperone-enrol-v1\n${token}\n${tlsPublicKey}`);
}

/**
 * The enrolment key's word that this nkey belongs to this agent; part of every evidence bundle. The same shape as `Signed` of
 * the evidence package: `body` is JSON text that is signed as it is and never written anew.
 */
export const SignedRegistration = z.strictObject({ body: z.string().max(2048), signature: z.string().max(100) });
export type SignedRegistration = z.infer<typeof SignedRegistration>;

/** To whom the data key of each session is wrapped, as the evidence package names recipients. */
const Recipients = z.array(z.string().min(1).max(1024)).min(1).max(8);

export const NatsAccess = z.object({
  /** Server URLs, comma separated. */
  url: z.string(),
  /** User JWT for the nkey: publish `evidence.<nkey>.>`, subscribe `_INBOX.<nkey>.>` and `receipt.<nkey>`; nothing else. */
  jwt: z.string(),
  /** ms since 1970. Renew at two thirds of the time that is left. */
  expiresAt: z.number(),
  /** PEM; absent: the system's roots. */
  ca: z.string().optional(),
  /** C2SP tlog-policy: whose receipts are believed, and which witnesses must have cosigned; absent: nobody's yet. Ask again. */
  log: z.string().max(MAX_LOG_POLICY_CHARS).optional(),
  /** Those of now; absent: those of before. */
  recipients: Recipients.optional(),
});
export type NatsAccess = z.infer<typeof NatsAccess>;

export const EnrolResponse = z.object({
  protocol: z.int(),
  /** Name of the evidence log that this cluster writes to; part of every signature. */
  origin: z.string(),
  registration: SignedRegistration,
  recipients: Recipients,
  nats: NatsAccess,
  /** Carries the certificate for `tlsPublicKey` and the CA of the agent leg. */
  snapshot: Snapshot,
});
export type EnrolResponse = z.infer<typeof EnrolResponse>;

export const StreamLine = z.discriminatedUnion('type', [
  z.object({ type: z.literal('snapshot'), snapshot: Snapshot }),
  /** Renews the snapshot in force for this long, counted from receipt. */
  z.object({ type: z.literal('heartbeat'), validForMs: z.int() }),
  /** Ends sessions: the one named, else all of them. The stream of a deleted pod ends after it. */
  z.object({
    type: z.literal('revoke'),
    code: z.enum(['SessionEnded', 'PolicyStale']),
    reason: z.string(),
    session: z.string().optional(),
    /** Who ends it, for its record; its agent is not told. */
    by: z.string().max(256).optional(),
  }),
  /** An approval that this pod asked for changed. */
  z.object({ type: z.literal('request'), request: RequestView }),
]);
export type StreamLine = z.infer<typeof StreamLine>;

export const AckRequest = z.object({ revision: z.string().min(1).max(128) });
export type AckRequest = z.infer<typeof AckRequest>;

export const ResourceObservation = z.object({
  resource: z.object({ namespace: z.string().max(253), name: z.string().max(253) }),
  type: z.enum(['Reachable', 'UpstreamSuitable', 'CredentialsAvailable']),
  status: z.enum(['True', 'False', 'Unknown']),
  /** CamelCase code. */
  reason: z.string().regex(/^[A-Z][A-Za-z0-9]{0,63}$/),
  message: z.string().max(512),
});
export type ResourceObservation = z.infer<typeof ResourceObservation>;
export const ReportRequest = z.object({ observations: z.array(ResourceObservation).min(1).max(64) });
export type ReportRequest = z.infer<typeof ReportRequest>;

/** Whether nothing of the pod goes around its sidecar, as the sidecar sees it. `message` is a sentence where it is not proven. */
export const CaptureRequest = z.object({ proven: z.boolean(), message: z.string().max(512).optional() });
export type CaptureRequest = z.infer<typeof CaptureRequest>;

/** How much evidence there is, as the pod signed it: a `SignedCounter` of the evidence package, whose parts have one shape. */
export const CounterRequest = z.strictObject({ certificate: SignedRegistration, counter: SignedRegistration });
export type CounterRequest = z.infer<typeof CounterRequest>;

export const ClosedRequest = z.object({ session: z.string().regex(/^s-[a-z2-7]{16}$/) });
export type ClosedRequest = z.infer<typeof ClosedRequest>;

export const NatsRequest = z.object({ nkey: UserNkey });
export type NatsRequest = z.infer<typeof NatsRequest>;
export const NatsResponse = NatsAccess;
export type NatsResponse = NatsAccess;

/** Codes of {@link ControlError}. Only NotLeader, NotEnrolled, CountersFull, Busy and Unavailable are worth another try. */
export const CONTROL_ERROR_CODES = [
  'NotLeader',
  'NotEnrolled',
  'Unauthenticated',
  'PodNotGoverned',
  'PodNotInjected',
  'NkeyMismatch',
  'ApprovalUnavailable',
  'RequestUnknown',
  'CounterRefused',
  'CountersFull',
  'ProtocolUnsupported',
  'Malformed',
  'TooLarge',
  'Busy',
  'Unavailable',
] as const;
export type ControlErrorCode = (typeof CONTROL_ERROR_CODES)[number];
export const ControlError = z.object({ code: z.enum(CONTROL_ERROR_CODES), message: z.string() });
export type ControlError = z.infer<typeof ControlError>;
