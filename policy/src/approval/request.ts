import type { Approvers, Condition, CountedDecision, RequestSpec, RequestState, RequestStatus } from '@chaperone/api';
import { isOpen } from '@chaperone/api/requests';
import type { Access, AccessRule, Agent, Snapshot } from '../access.ts';
import type { EndRequest, Looked, LookedRequest, Preview, Question, RequestView } from './question.ts';
import { type Grant, grantedUntil, lapsed } from './grant.ts';
import { type Asked, type GivenDecision, tally } from './tally.ts';

/** Why nobody is asked: codes of the table in @chaperone/api. */
export type AskRefusal = { readonly code: 'ApprovalUnavailable'; readonly message: string };

/**
 * The request that a question becomes. Whom to ask and for how long comes from the rules in force, not from the question: only the
 * names of rules are taken from it, and all that ask must still do.
 */
export function requestOf(
  question: Question,
  agent: Agent,
  access: Access,
  now: number,
): { readonly ok: true; readonly spec: RequestSpec } | { readonly ok: false; readonly refusal: AskRefusal } {
  const rules = question.asks.map(({ policy, rule }) => ({
    rule: access.rules.find((each) => each.name === rule && same(each.policy, policy) && each.effect === 'RequireApproval'),
    generation: access.policies.find((each) => same(each, policy))?.generation,
  }));
  const approvals = rules.flatMap(({ rule }) => rule?.approval ?? []);
  if (approvals.length < rules.length)
    return { ok: false, refusal: { code: 'ApprovalUnavailable', message: 'a rule that asked does not ask any more' } };
  const timeoutMs = Math.min(
    ...approvals.map((approval) => (question.transaction ? approval.transactionTimeoutMs : approval.timeoutMs)),
  );
  const { name: _, asks: __, onBehalfOf, ...shown } = question;
  return {
    ok: true,
    spec: {
      ...shown,
      agent: {
        serviceAccount: agent.serviceAccount,
        ...(agent.pod !== undefined && { pod: agent.pod }),
        ...(agent.podUid !== undefined && { podUid: agent.podUid }),
        purpose: access.purpose.slice(0, 512),
        ...(onBehalfOf !== undefined && { onBehalfOf }),
      },
      access: access.digest,
      mode: approvals.some(({ mode }) => mode === 'retry') ? 'retry' : 'hold',
      rules: rules.flatMap(({ rule, generation = 0 }) => (rule === undefined ? [] : approversOf(rule, generation, now))),
      expiresAt: new Date(now + timeoutMs).toISOString(),
    },
  };
}

function same(a: { namespace: string; name: string }, b: { namespace: string; name: string }): boolean {
  return a.namespace === b.namespace && a.name === b.name;
}

function approversOf({ name, policy, approval }: AccessRule, generation: number, now: number): Approvers[] {
  if (approval === undefined) return [];
  const { groups, users, minimum, all, reason, assurance, escalation, grantSeconds } = approval;
  return [
    {
      policy,
      generation,
      rule: name,
      groups,
      users,
      minimum,
      all,
      reason,
      ...(grantSeconds !== undefined && { grant: grantSeconds }),
      ...(assurance !== undefined && { assurance }),
      ...(escalation !== undefined && {
        escalation: {
          at: new Date(now + escalation.afterMs).toISOString(),
          groups: escalation.groups,
          users: escalation.users,
        },
      }),
    },
  ];
}

/** Of a status. */
const MAX_DECISIONS = 64;
const SPENT: ReadonlySet<RequestState> = new Set(['Released', 'Ran', 'Failed']);
/** Whether a request is for the very same action and may still answer it; of one whose agent does not wait, also what was denied. */
export function answers({ spec }: Pick<Asked, 'spec'>, { state }: RequestStatus, digest: string, now: number): boolean {
  if (spec.digest !== digest) return false;
  return isOpen(state) || (spec.mode === 'retry' && state === 'Denied' && now <= Date.parse(spec.expiresAt));
}

/** What is known of a request after these decisions and what was granted before, at `now`; what is over stays as it is. */
export function counted(
  asked: Asked,
  status: RequestStatus,
  given: readonly GivenDecision[],
  now: number,
  grant?: Grant,
): RequestStatus {
  if (!isOpen(status.state)) return status;
  // For how long is said anew each time: one who approves this once only ends what others wished.
  const { grantedUntil: _, ...before } = status;
  const { outcome, votes, decisions } = tally(asked, given);
  const granted = outcome === 'Pending' && grant !== undefined && now < grant.until ? grant.decisions : undefined;
  const isLate = outcome !== 'Denied' && now > Date.parse(asked.spec.expiresAt);
  const state: RequestState = isLate ? 'Expired' : granted === undefined ? outcome : 'Approved';
  const decidedAt = state === 'Pending' ? undefined : (status.decidedAt ?? new Date(now).toISOString());
  return told(
    asked,
    {
      ...before,
      state,
      votes,
      decisions: atMost64([...decisions, ...(granted ?? [])]),
      ...(outcome === 'Approved' && granting(asked, { state, before: status, decisions }, now)),
      ...(decidedAt !== undefined && { decidedAt }),
    },
    now,
  );
}

/** What approvals grant beyond the request; that ends with one that expires before it is used. */
function granting(
  asked: Asked,
  {
    state,
    before,
    decisions,
  }: {
    readonly state: RequestState;
    readonly before: RequestStatus;
    readonly decisions: readonly CountedDecision[];
  },
  now: number,
): Pick<RequestStatus, 'grantedUntil' | 'grantEnded'> {
  const until = grantedUntil(asked, decisions, Date.parse(before.decidedAt ?? '') || now);
  if (until === undefined) return {};
  const grantEnded = state === 'Expired' ? undone(before, state, now).grantEnded : undefined;
  return { grantedUntil: new Date(until).toISOString(), ...(grantEnded !== undefined && { grantEnded }) };
}

/** As many as a status holds; who counts is not crowded out by who does not. */
function atMost64(decisions: readonly CountedDecision[]): CountedDecision[] {
  if (decisions.length <= MAX_DECISIONS) return [...decisions];
  return decisions.toSorted((a, b) => Number(b.counted) - Number(a.counted)).slice(0, MAX_DECISIONS);
}

/** Generation of a policy in force; undefined: it is gone. */
export type GenerationOf = (policy: { readonly namespace: string; readonly name: string }) => number | undefined;

/** Whether a policy that asked is another by now, or none. */
export function isDrifted({ spec }: Pick<Asked, 'spec'>, generationOf: GenerationOf): boolean {
  return spec.rules.some(({ policy, generation }) => generationOf(policy) !== generation);
}

/** What an agent may do on a resource by what it was given last, as a digest; `none`: nothing. Undefined: nobody knows. */
export function accessIn(
  snapshot: Pick<Snapshot, 'resources'> | undefined,
  { namespace, name }: RequestSpec['resource'],
): string | undefined {
  const found = snapshot?.resources.find(
    ({ access: { resource } }) => resource.namespace === namespace && resource.name === name,
  );
  return snapshot === undefined ? undefined : (found?.access.digest ?? 'none');
}

/** Why what a request grants can reach nothing any more; undefined: it can, as far as anybody knows. `access` is {@link accessIn}. */
export function lapseOf(
  { spec }: Pick<Asked, 'spec'>,
  generationOf: GenerationOf,
  access: string | undefined,
): string | undefined {
  if (isDrifted({ spec }, generationOf)) return 'its policy changed';
  if (access === undefined || spec.access === undefined || access === spec.access) return undefined;
  return access === 'none' ? 'the agent may not use the resource any more' : 'the resource, or another policy on it, changed';
}

export type Release =
  | { readonly ok: true; readonly status: RequestStatus }
  | { readonly ok: false; readonly state: RequestState };

/**
 * Lets an approved action run: once, as what was approved, in time, and under the policies that asked.
 */
export function release(asked: Asked, status: RequestStatus, digest: string, now: number, generationOf: GenerationOf): Release {
  const state = status.state ?? 'Pending';
  // Whoever hears Released runs it: an approval that was used already is worth nothing.
  if (SPENT.has(state)) return { ok: false, state: 'Voided' };
  if (state !== 'Approved') return { ok: false, state };
  if (now > Date.parse(asked.spec.expiresAt)) return { ok: false, state: 'Expired' };
  if (digest !== asked.spec.digest) return { ok: false, state: 'Voided' };
  if (isDrifted(asked, generationOf)) return { ok: false, state: 'Voided' };
  return { ok: true, status: told(asked, { ...status, state: 'Released' }, now) };
}

/** What becomes of a request when the one who asked says how it ended; undefined: that cannot be, and nothing changes. */
export function ended(
  asked: Asked,
  status: RequestStatus,
  end: Pick<EndRequest, 'state' | 'result'>,
  now: number,
): RequestStatus | undefined {
  const ran = end.state === 'Ran' || end.state === 'Failed';
  if (ran ? status.state !== 'Released' : !isOpen(status.state)) return undefined;
  const before = ran ? status : undone(status, end.state, now);
  const decidedAt = status.decidedAt ?? new Date(now).toISOString();
  return told(asked, { ...before, state: end.state, decidedAt, ...(end.result !== undefined && { result: end.result }) }, now);
}

/** What was granted with an approval that is never used ends with it. */
function undone(status: RequestStatus, state: RequestState, now: number): RequestStatus {
  return lapsed(status, `the request that it was given with was ${state.toLowerCase()}`, now) ?? status;
}

/** What becomes of a request when it is said what it would meet; undefined: that is said, or nobody needs it any more. */
export function looked(
  { spec }: Pick<Asked, 'spec'>,
  status: RequestStatus,
  { digest, preview }: Pick<LookedRequest, 'digest' | 'preview'>,
): RequestStatus | undefined {
  if (!isOpen(status.state) || status.preview !== undefined || digest !== spec.digest) return undefined;
  const { estimate, count, why } = preview;
  return {
    ...status,
    preview: {
      ...(estimate !== undefined && { estimate }),
      ...(count !== undefined && { count }),
      ...(why !== undefined && { why }),
    },
  };
}

/** What approvers may see beside the object, and nobody keeps: rows or a change, masked, and a text of which the object has only the beginning. */
export type RequestContent = Pick<Preview, 'columns' | 'rows' | 'change'> & Pick<Looked, 'text'>;

export function contentOf({ preview: { columns, rows, change }, text }: Looked): RequestContent {
  return {
    ...(columns !== undefined && { columns }),
    ...(rows !== undefined && { rows }),
    ...(change !== undefined && { change }),
    ...(text !== undefined && { text }),
  };
}

/** What the one who asked is told. */
export function viewOf(
  name: string,
  { spec }: Pick<Asked, 'spec'>,
  status: RequestStatus,
  askedAt: number,
  now: number,
): RequestView {
  const expiresAt = Date.parse(spec.expiresAt);
  return {
    name,
    digest: spec.digest,
    state: status.state ?? 'Pending',
    mode: spec.mode,
    ...(status.preview !== undefined && { looked: true }),
    ...(spec.grantedBy !== undefined && { grantedBy: spec.grantedBy }),
    expiresInMs: Math.max(0, expiresAt - now),
    timeoutMs: Math.max(0, expiresAt - askedAt),
    decisions: (status.decisions ?? []).flatMap(({ counted: counts, by, decision, reason, at, assurance, via }) =>
      counts
        ? [
            {
              by,
              decision,
              at,
              ...(reason !== undefined && { reason }),
              ...(assurance !== undefined && { assurance }),
              ...(via !== undefined && { via }),
            },
          ]
        : [],
    ),
  };
}

const SENTENCES: Readonly<
  Record<RequestState, (asked: Asked, status: RequestStatus) => readonly [decided: string, executed: string]>
> = {
  Pending: ({ spec }, { votes = '0/1' }) => [
    `it waits for a decision until ${spec.expiresAt}, with ${votes} approvals`,
    'it has not run',
  ],
  Approved: () => ['it was approved', 'it has not run yet'],
  Denied: () => ['it was denied', 'it did not run'],
  Expired: ({ spec }, { votes = '0/1' }) => [`it expired at ${spec.expiresAt} with ${votes} approvals`, 'it never ran'],
  Withdrawn: () => ['the agent left before anybody decided', 'it never ran'],
  Voided: () => ['what it was about changed meanwhile', 'it did not run; the agent was told to ask again'],
  Released: () => ['it was approved', 'it runs'],
  Ran: (_, { result = 'done' }) => ['it was approved', `it ran: ${result}`],
  Failed: (_, { result = 'an error' }) => ['it was approved', `it ran and failed: ${result}`],
};

/** Puts the conditions of a state beside it. */
function told(asked: Asked, status: RequestStatus, now: number): RequestStatus {
  const state = status.state ?? 'Pending';
  const [decided, executed] = SENTENCES[state](asked, status);
  const ran = state === 'Ran' || state === 'Failed';
  const wanted = [
    condition('Decided', state === 'Pending' ? 'False' : 'True', state, decided),
    condition('Executed', ran ? 'True' : state === 'Released' ? 'Unknown' : 'False', state, executed),
  ];
  return { ...status, conditions: wanted.map((each) => kept(each, status.conditions ?? [], now)) };
}

function condition(
  type: string,
  value: Condition['status'],
  reason: RequestState,
  message: string,
): Omit<Condition, 'lastTransitionTime'> {
  return { type, status: value, reason, message: message.slice(0, 1024) };
}

function kept(wanted: Omit<Condition, 'lastTransitionTime'>, before: readonly Condition[], now: number): Condition {
  const old = before.find(({ type }) => type === wanted.type);
  const lastTransitionTime = old?.status === wanted.status ? old.lastTransitionTime : new Date(now).toISOString();
  return { ...wanted, lastTransitionTime };
}
