import { z } from 'zod';
import { ASSURANCES, Attestation } from './attestation.ts';
import { namespaceName, objectName, sentence, shortName, text } from './fields.ts';
import { API_VERSION, Conditions, ObjectMeta, Ref } from './meta.ts';
import { MAX_GRANT_SECONDS, MIN_GRANT_SECONDS } from './request-grants.ts';
import { MAX_REQUEST_TEXT } from './request-words.ts';
import { immutable, withRules } from './rules.ts';

export { MAX_GRANT_SECONDS, MIN_GRANT_SECONDS } from './request-grants.ts';
export { MAX_REQUEST_TEXT, shortDigest } from './request-words.ts';

const MAX = { effects: 64, rules: 16, parameters: 64, approvers: 32, groups: 512, votes: 64 } as const;

/** How a held action is named everywhere: ar- and 16 characters of base32. */
export const REQUEST_NAME = /^ar-[a-z2-7]{16}$/;
const requestName = text(19, REQUEST_NAME, 'write the name of an AccessRequest, ar- and 16 characters');
const DIGEST = /^[0-9a-f]{64}$/;
const digest = text(64, DIGEST, 'write a SHA-256 digest, 64 hexadecimal digits');
const time = z.string().max(64);

/** Who may decide on what one rule asks for. */
export const Approvers = z.object({
  policy: Ref.describe('Policy of the rule.'),
  generation: z.int().min(0).describe('Its generation when it asked.'),
  rule: shortName.describe('The rule that asks.'),
  groups: z.array(sentence(256)).max(MAX.approvers).describe('Groups who may decide.'),
  users: z.array(sentence(256)).max(MAX.approvers).describe('Users who may decide.'),
  minimum: z.int().min(1).max(16).describe('How many distinct people must approve.'),
  all: z.array(sentence(256)).max(MAX.approvers).describe('Groups of each of which somebody must approve.'),
  reason: z.boolean().describe('A decision needs a reason.'),
  grant: z
    .int()
    .min(1)
    .max(MAX_GRANT_SECONDS)
    .optional()
    .describe('Seconds for which people may approve the same again, at most. Absent: one execution only.'),
  assurance: z
    .enum(ASSURANCES)
    .optional()
    .describe('How an approval must be known to be the person’s, at least. Default: kubernetes'),
  escalation: z
    .object({
      at: time.describe('From then on these may decide too, RFC 3339.'),
      groups: z.array(sentence(256)).max(MAX.approvers).describe('Groups who may.'),
      users: z.array(sentence(256)).max(MAX.approvers).describe('Users who may.'),
    })
    .optional()
    .describe('Who may decide too, once nobody has for some time.'),
});
export type Approvers = z.infer<typeof Approvers>;

export const REQUEST_STATES = [
  'Pending',
  'Approved',
  'Denied',
  'Expired',
  'Withdrawn',
  'Voided',
  'Released',
  'Ran',
  'Failed',
] as const;
export type RequestState = (typeof REQUEST_STATES)[number];

export const RequestSpec = withRules(
  z.object({
    session: text(18, /^s-[a-z2-7]{16}$/, 'write the name of a session').describe('Session that asked.'),
    action: z.int().min(0).describe('Number of the action in the session’s record.'),
    agent: z
      .object({
        serviceAccount: objectName.describe('Its ServiceAccount.'),
        pod: objectName.optional().describe('Its pod.'),
        podUid: sentence(64).optional().describe('UID of the pod.'),
        purpose: z.string().max(512).describe('What the agent is for.'),
        onBehalfOf: z
          .object({
            issuer: sentence(512).describe('Who vouches for the person.'),
            user: sentence(256).describe('Name of the person, as the issuer has it.'),
          })
          .optional()
          .describe('Person or task behind the agent, by a verified token.'),
      })
      .describe('Who asks; its namespace is the object’s.'),
    resource: Ref.describe('The ProtectedResource that the action is for.'),
    access: digest
      .optional()
      .describe('Seals what the agent might do on the resource when it asked: its policies, and what the owner grants.'),
    protocol: sentence(32).describe('What is spoken. Example: postgres'),
    sentence: z.string().min(1).max(512).describe('What would run, in our words. Example: UPDATE on public.tickets'),
    effects: z
      .array(
        z.object({
          verb: z.string().max(64).describe('What is done. Example: update'),
          object: z.string().max(400).describe('To what. Example: public.tickets'),
          via: z.string().max(16).describe('How it is reached: direct, view, function or nested.'),
          verdict: z.enum(['allow', 'deny', 'approve']).describe('What the rules say of it.'),
          rule: z.string().max(63).optional().describe('The rule that says so.'),
        }),
      )
      .max(MAX.effects)
      .describe('What it would do, one by one.'),
    text: z
      .string()
      .max(MAX_REQUEST_TEXT)
      .describe('The action as evidence keeps it: masked, with what nobody can see written out.'),
    textBytes: z.int().min(0).describe('Length of the whole action in bytes; the text above may be its beginning.'),
    parameters: z
      .array(z.string().max(256))
      .max(MAX.parameters)
      .optional()
      .describe('Bound values, masked by label, with what nobody can see written out.'),
    recent: z
      .array(
        z.object({
          at: time.describe('When, RFC 3339.'),
          sentence: z.string().max(160).describe('What, in our words. Example: SELECT on public.tickets'),
          verdict: z.enum(['allow', 'deny', 'approve']).describe('What the rules said of it.'),
          result: z.string().max(64).optional().describe('What became of it. Example: SELECT 12'),
        }),
      )
      .max(8)
      .optional()
      .describe('What the agent did in the last minutes, the newest last.'),
    transaction: z.boolean().describe('It is part of an open transaction, whose locks are held meanwhile.'),
    mode: z
      .enum(['hold', 'retry'])
      .describe('hold: the connection waits; retry: the agent repeats the action once it is approved.'),
    digest: digest.describe('Seals statement, values, session state, agent, resource and policies. A decision names it.'),
    template: digest
      .optional()
      .describe('Seals the same without its values: what an approval may let run again. Absent: one execution only.'),
    templateText: z
      .string()
      .max(MAX_REQUEST_TEXT)
      .optional()
      .describe('What template seals, for people: the statement with ? for each value; it may be its beginning.'),
    once: z
      .string()
      .max(256)
      .optional()
      .describe(
        'Why it has no template, where it can be approved for one execution only. Example: its values may say what a function does',
      ),
    grantedBy: requestName.optional().describe('The AccessRequest with whose approval people granted this one.'),
    rules: z.array(Approvers).min(1).max(MAX.rules).describe('What asks for approval; every one of them must be satisfied.'),
    expiresAt: time.describe('Nothing runs after it, RFC 3339.'),
  }),
  immutable('what is asked for never changes; the agent asks anew'),
).describe('What one agent wants to do.');
export type RequestSpec = z.infer<typeof RequestSpec>;

/** The ways by which a person's word comes to the operator: its page, or chat. */
export const DECISION_WAYS = ['page', 'slack'] as const;
export type DecisionWay = (typeof DECISION_WAYS)[number];

export const CountedDecision = z.object({
  name: z.string().max(253).describe('The ApprovalDecision.'),
  decision: z.enum(['Approve', 'Deny']).describe('The answer.'),
  by: z.string().max(256).describe('Who gave it.'),
  reason: z.string().max(1024).optional().describe('Why, in their words.'),
  at: time.describe('When it was given.'),
  grantFor: z.int().optional().describe('Seconds for which it approves the same again.'),
  assurance: z.enum(ASSURANCES).optional().describe('How it is known to be theirs.'),
  via: z
    .enum(DECISION_WAYS)
    .optional()
    .describe('The way by which it came to the operator, which wrote it for them. Absent: they wrote it themselves.'),
  counted: z.boolean().describe('Whether it counts.'),
  why: z.string().max(256).optional().describe('Why it does not.'),
});
export type CountedDecision = z.infer<typeof CountedDecision>;

export const RequestStatus = z
  .object({
    state: z.enum(REQUEST_STATES).optional().describe('Pending, then what became of it.'),
    votes: z.string().max(32).optional().describe('Approvals given of those needed, for kubectl get. Example: 1/2'),
    asked: z.int().min(1).optional().describe('How often the agent asked for the very same while it was pending.'),
    preview: z
      .object({
        estimate: z
          .int()
          .min(0)
          .max(Number.MAX_SAFE_INTEGER)
          .optional()
          .describe('Rows that the upstream expects it to return or to change, without having run it.'),
        count: z
          .int()
          .min(0)
          .max(Number.MAX_SAFE_INTEGER)
          .optional()
          .describe(
            'Rows that it would have changed when they were looked at; of the Kubernetes API objects, where one request deletes many.',
          ),
        why: z.string().max(256).optional().describe('Why nobody looked at the rows, or tried the write.'),
      })
      .optional()
      .describe(
        'What it would meet, looked at once people are asked: rows, or what a write to the Kubernetes API would change, are shown to approvers and not stored here.',
      ),
    decisions: z.array(CountedDecision).max(MAX.votes).optional().describe('Answers so far.'),
    decidedAt: time.optional().describe('When it was decided, or ended without.'),
    grantedUntil: time
      .optional()
      .describe('Until then the same runs again without being asked for, unless somebody denies it, RFC 3339.'),
    revokedBy: z.string().max(256).optional().describe('Who ended what was granted.'),
    grantEnded: z
      .object({
        at: time.describe('When, RFC 3339.'),
        why: z.string().max(256).describe('Why. Example: its policy changed'),
      })
      .optional()
      .describe('When what was granted reached nothing any more before its time, though nobody ended it.'),
    result: z.string().max(256).optional().describe('What the protocol said in the end. Example: UPDATE 1'),
    conditions: Conditions.optional(),
  })
  .describe('What became of it.');
export type RequestStatus = z.infer<typeof RequestStatus>;

export const AccessRequest = z
  .object({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal('AccessRequest'),
    metadata: ObjectMeta,
    spec: RequestSpec,
    status: RequestStatus.optional(),
  })
  .describe(
    'One action that a rule holds for approval. Written by the operator alone; people answer it with an ApprovalDecision. It lies in the agent’s namespace.',
  );
export type AccessRequest = z.infer<typeof AccessRequest>;

export const DecisionSpec = withRules(
  z.object({
    request: requestName.describe('The AccessRequest in the same namespace. Example: ar-7f3kq2mzt4hcnw5e'),
    requestUid: sentence(64).describe('Its uid, so that another of the same name is not meant.'),
    digest: digest.describe('Digest of what was shown to the person.'),
    decision: z.enum(['Approve', 'Deny']).describe('The answer.'),
    by: sentence(256).describe('Who answers; admission refuses any but the author of the object. Example: jane@corp'),
    groups: z
      .array(sentence(256))
      .max(MAX.groups)
      .default([])
      .describe('Groups of the author that the rule asks for; admission refuses any that the author is not in.'),
    reason: sentence(1024).optional().describe('Why; the agent reads it.'),
    grantFor: z
      .int()
      .min(MIN_GRANT_SECONDS)
      .max(MAX_GRANT_SECONDS)
      .optional()
      .describe('Seconds for which the same agent may do the same again, with other values. Default: once. Example: 1800'),
    attestation: Attestation.optional().describe(
      'Proof of an answer that was given on the operator’s page, for whoever checks it later; admission takes it from the operator alone.',
    ),
  }),
  {
    cel: "!has(self.grantFor) || self.decision == 'Approve'",
    message: 'only an approval grants anything; remove grantFor',
    fieldPath: '.grantFor',
    check: (self) => self.grantFor === undefined || self.decision === 'Approve',
  },
  immutable('a decision never changes; a later Deny may be given beside an Approve while nothing ran'),
).describe('One person’s answer.');
export type DecisionSpec = z.infer<typeof DecisionSpec>;

export const DecisionStatus = z
  .object({
    counted: z.boolean().optional().describe('Whether it counts.'),
    why: z.string().max(256).optional().describe('Why it does not.'),
  })
  .describe('What the operator made of it.');

export const ApprovalDecision = z
  .object({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal('ApprovalDecision'),
    metadata: ObjectMeta,
    spec: DecisionSpec,
    status: DecisionStatus.optional(),
  })
  .describe('One person’s answer to an AccessRequest. kubectl creates it as well as chaperone approve and deny do.');
export type ApprovalDecision = z.infer<typeof ApprovalDecision>;

/** On a decision that the operator wrote for a person: the way by which their word came to it, one of DECISION_WAYS. */
export const ATTESTED_BY = 'chaperone.dev/attested-by';
/** On a request that no API server has: chaperone up keeps it, and gives out no decisions. */
export const KEPT_LOCALLY = 'chaperone.dev/kept-locally';
export { DECIDE_PAGE } from './request-words.ts';

export const RequestPath = z.object({ namespace: namespaceName, name: requestName });
