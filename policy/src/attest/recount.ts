import type { AccessRequest, CountedDecision, RequestStatus } from '@chaperone/api';
import { isApproved, isGranting } from '@chaperone/api/requests';
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
/** How far a request may say to be decided outside of the time that it was open for: the latter is noted by two clocks as well. */
const DECIDED_WITHIN_MS = 60_000;

/**
 * Counts a request again, by the rules that it names, and says whether its state follows. A Deny that came at about the time of the
 * approval, or after it, may have come too late: that is not held against the state. States that nobody's decision leads to
 * (Withdrawn, Voided) say nothing that could be counted, and Pending says that nothing ran.
 * @param granting - the request with whose approval people granted this one, where it names one
 */
export function recount(own: Believed, granting?: Believed): Recount {
  const all = tally(askedOf(own.request), own.given);
  const checks = [
    () => miscounted(own, all.decisions, granting),
    () => unfounded(own, all, granting),
    () => overgranted(own),
    () => misdated(own),
    () => unrevoked(own),
  ];
  for (const check of checks) {
    const contradiction = check();
    if (contradiction !== undefined) return { tally: all, contradiction };
  }
  return { tally: all, contradiction: undefined };
}

const contradicted = (message: string): Contradiction => ({ code: 'StateContradicted', message });

/** What the state says to have counted, and cannot have. */
function miscounted(
  { request, given }: Believed,
  decisions: readonly CountedDecision[],
  granting: Believed | undefined,
): Contradiction | undefined {
  const there = granting === undefined ? [] : tally(askedOf(granting.request), granting.given).decisions;
  const known = new Map([...there, ...decisions].map((each) => [each.name, each]));
  for (const claimed of request.status?.decisions ?? []) {
    const actual = known.get(claimed.name);
    if (!claimed.counted) continue;
    if (actual === undefined) return contradicted(`it counts ${claimed.name}, which is no proof`);
    // Whoever ends a grant may do so when it is too late to deny the request.
    const ends = request.status?.revokedBy !== undefined && isRevoking({ request, given }, claimed.name);
    if (!actual.counted && !ends) return contradicted(`it counts ${claimed.name}, which does not count: ${actual.why ?? ''}`);
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
  if (!isApproved(state)) return undefined;
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

function isRevoking({ request, given }: Believed, name: string): boolean {
  return given.some((each) => each.name === name && revokes(askedOf(request), each));
}

function createdAt({ metadata }: AccessRequest): number {
  return Date.parse(metadata.creationTimestamp ?? '');
}

function decidedAt({ status }: AccessRequest): number {
  return status?.decidedAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(status.decidedAt);
}

/** A request that nobody was asked about, and that what people granted does not cover. */
function ungranted(request: AccessRequest, granting: Believed | undefined): Contradiction | undefined {
  const { grantedBy = '' } = request.spec;
  if (granting === undefined)
    return { code: 'RequestMissing', message: `the request with whose approval it was granted, ${grantedBy}, is not here` };
  const but = (words: string): Contradiction => contradicted(`${grantedBy}, which granted it, ${words}`);
  if (recount(granting).contradiction !== undefined) return but('was not approved');
  if (!isAlike(granting.request, request)) return but('is about something else');
  return outlasting(request, granting, but);
}

/** A request that was made, or decided, while nothing was granted. */
function outlasting(
  request: AccessRequest,
  granting: Believed,
  but: (words: string) => Contradiction,
): Contradiction | undefined {
  const [made, at] = [createdAt(request), decidedAt(request)];
  const { state, grantedUntil: until, grantEnded } = granting.request.status ?? {};
  if (made < decidedAt(granting.request) - CLOCKS_DIFFER_MS) return but('was approved after it was asked for');
  if (made > at + CLOCKS_DIFFER_MS) return contradicted('it was decided before it was asked for');
  // One that was never used granted until then, and says so.
  const granted: RequestStatus = { state: grantEnded === undefined ? state : 'Approved', grantedUntil: until };
  if (!isGranting(granted, at)) return but('did not for that long, or never ran');
  if (grantEnded !== undefined && at > Date.parse(grantEnded.at) + CLOCKS_DIFFER_MS)
    return but(`did not any more: ${grantEnded.why}`);
  const asked = askedOf(granting.request);
  const last = Math.max(at, made) - CLOCKS_DIFFER_MS;
  const isRevoked = granting.given.some((each) => revokes(asked, each) && Date.parse(each.at) < last);
  return isRevoked ? but('had been ended by a Deny') : undefined;
}

/** Whether two requests are for the same by what they name it, and by what they say of it to people. */
function isAlike(granting: AccessRequest, granted: AccessRequest): boolean {
  if (!isSameTemplate(askedOf(granting), askedOf(granted))) return false;
  const [text, other] = [granting.spec.templateText, granted.spec.templateText];
  if (text !== undefined && other !== undefined && text !== other) return false;
  return effectsOf(granting).symmetricDifference(effectsOf(granted)).size === 0;
}

function effectsOf({ spec }: AccessRequest): Set<string> {
  return new Set(spec.effects.map(({ verb, object, via }) => JSON.stringify([verb, object, via])));
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

/** An approval, or a grant, that was given at no time at which the request was open. */
function misdated({ request }: Believed): Contradiction | undefined {
  const { state = 'Pending', decidedAt: claimed, grantedUntil: until } = request.status ?? {};
  const claims = isApproved(state) || until !== undefined;
  if (claimed === undefined) return claims ? contradicted(`it says ${state}, and not when that was decided`) : undefined;
  const at = decidedAt(request);
  if (at < createdAt(request) - DECIDED_WITHIN_MS) return contradicted('it was decided before it was asked for');
  // What does not run may be found out late, when the operator is back: a Deny that came in time, and approvals that it heard too late.
  if (!claims || state === 'Expired' || at <= Date.parse(request.spec.expiresAt) + DECIDED_WITHIN_MS) return undefined;
  return contradicted('it was approved after it expired');
}

/** A grant that nobody ended who is said to have. */
function unrevoked({ request, given }: Believed): Contradiction | undefined {
  const { revokedBy } = request.status ?? {};
  const asked = askedOf(request);
  if (revokedBy === undefined || given.some((each) => each.spec.by === revokedBy && revokes(asked, each))) return undefined;
  return contradicted(`it says that ${revokedBy} ended what it granted, and no Deny of theirs is here`);
}
