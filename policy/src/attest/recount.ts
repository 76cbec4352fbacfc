import type { AccessRequest, CountedDecision, RequestState } from '@chaperone/api';
import { grantedUntil, isSameTemplate } from '../approval/grant.ts';
import { askedOf } from '../approval/objects.ts';
import { type GivenDecision, revokes, type Tally, tally } from '../approval/tally.ts';

/** A request with those of its decisions that are believed. */
export interface Believed {
  readonly request: AccessRequest;
  readonly given: readonly GivenDecision[];
}
export interface Contradiction {
  readonly code: 'StateContradicted' | 'RequestMissing';
  readonly message: string;
}
export interface Recount {
  readonly tally: Tally;
  /** Why its state does not follow from its decisions; undefined: it does, as far as it says anything. */
  readonly contradiction: Contradiction | undefined;
}

/** The API server notes when a decision came, the operator when it decided, each by its own clock; the former in whole seconds. */
const CLOCKS_DIFFER_MS = 5_000;
/** States that only an approval leads to. */
const APPROVED: ReadonlySet<RequestState> = new Set(['Approved', 'Released', 'Ran', 'Failed']);

/**
 * Counts a request again, by the rules that it names, and says whether its state follows. A Deny that came at about the time of the
 * approval, or after it, may have come too late: that is not held against the state. States that nobody's decision leads to
 * (Withdrawn, Voided) say nothing that could be counted, and Pending says that nothing ran.
 * @param granting - the request with whose approval people granted this one, where it names one
 */
export function recount(own: Believed, granting?: Believed): Recount {
  const all = tally(askedOf(own.request), own.given);
  const checks = [() => miscounted(own, all.decisions, granting), () => unfounded(own, all, granting), () => overgranted(own)];
  for (const check of checks) {
    const contradiction = check();
    if (contradiction !== undefined) return { tally: all, contradiction };
  }
  return { tally: all, contradiction: undefined };
}

const contradicted = (message: string): Contradiction => ({ code: 'StateContradicted', message });

/** What the state says to have counted, and cannot have. */
function miscounted(
  { request }: Believed,
  decisions: readonly CountedDecision[],
  granting: Believed | undefined,
): Contradiction | undefined {
  const there = granting === undefined ? [] : tally(askedOf(granting.request), granting.given).decisions;
  const known = new Map([...there, ...decisions].map((each) => [each.name, each]));
  for (const claimed of request.status?.decisions ?? []) {
    const actual = known.get(claimed.name);
    if (!claimed.counted) continue;
    if (actual === undefined) return contradicted(`it counts ${claimed.name}, which is not here or is no proof`);
    if (!actual.counted) return contradicted(`it counts ${claimed.name}, which does not count: ${actual.why ?? ''}`);
    if (!isSame(claimed, actual)) return contradicted(`it says something else of ${claimed.name} than that decision does`);
  }
  return undefined;
}

function isSame(claimed: CountedDecision, actual: CountedDecision): boolean {
  const { decision, by, reason, grantFor, assurance } = claimed;
  return (
    decision === actual.decision &&
    by === actual.by &&
    reason === actual.reason &&
    grantFor === actual.grantFor &&
    // Before operators said it, nobody did.
    (assurance === undefined || assurance === actual.assurance)
  );
}

/** A state that its decisions do not lead to. */
function unfounded(own: Believed, all: Tally, granting: Believed | undefined): Contradiction | undefined {
  const { spec, status = {} } = own.request;
  const state = status.state ?? 'Pending';
  const but = ({ outcome, votes }: Tally): Contradiction =>
    contradicted(`it says ${state}, and its decisions come to ${outcome} with ${votes} approvals`);
  if (state === 'Denied') return all.outcome === 'Denied' ? undefined : but(all);
  if (state === 'Expired') return all.outcome === 'Denied' ? but(all) : undefined;
  if (!APPROVED.has(state)) return undefined;
  const inTime = decided(own);
  if (inTime.outcome === 'Approved') return undefined;
  return inTime.outcome === 'Pending' && spec.grantedBy !== undefined ? ungranted(own.request, granting) : but(inTime);
}

/** The decisions that there were when it was decided. */
function decided({ request, given }: Believed): Tally {
  const at = decidedAt(request);
  const there = given.filter(({ at: cameAt, spec }) =>
    spec.decision === 'Deny' ? Date.parse(cameAt) < at - CLOCKS_DIFFER_MS : Date.parse(cameAt) <= at + CLOCKS_DIFFER_MS,
  );
  return tally(askedOf(request), there);
}

function decidedAt({ status }: AccessRequest): number {
  return status?.decidedAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(status.decidedAt);
}

/** A request that nobody was asked about, and that what people granted does not cover. */
function ungranted(request: AccessRequest, granting: Believed | undefined): Contradiction | undefined {
  const { grantedBy = '' } = request.spec;
  if (granting === undefined)
    return { code: 'RequestMissing', message: `the request with whose approval it was granted, ${grantedBy}, is not here` };
  const asked = askedOf(granting.request);
  const at = decidedAt(request);
  const until = grantUntil(granting);
  if (recount(granting).contradiction !== undefined) return contradicted(`${grantedBy}, which granted it, was not approved`);
  if (!isSameTemplate(asked, askedOf(request))) return contradicted(`${grantedBy}, which granted it, is about something else`);
  if (until === undefined || !(at < until)) return contradicted(`${grantedBy}, which granted it, did not for that long`);
  const isRevoked = granting.given.some((each) => revokes(asked, each) && Date.parse(each.at) < at - CLOCKS_DIFFER_MS);
  return isRevoked ? contradicted(`${grantedBy}, which granted it, had been ended by a Deny`) : undefined;
}

/** Until when the same is approved, ms since 1970; undefined: it is not. */
function grantUntil(own: Believed): number | undefined {
  const { outcome, decisions } = decided(own);
  return outcome === 'Approved' ? grantedUntil(askedOf(own.request), decisions, decidedAt(own.request)) : undefined;
}

/** A grant that nobody gave, or not for so long. */
function overgranted(own: Believed): Contradiction | undefined {
  const { grantedUntil: claimed } = own.request.status ?? {};
  if (claimed === undefined) return undefined;
  const until = grantUntil(own);
  if (until !== undefined && Date.parse(claimed) <= until) return undefined;
  return contradicted(`it grants the same until ${claimed}, and its approvals do not`);
}
