import {
  type AccessRequest,
  type ApprovalDecision,
  type Assurance,
  ATTESTED_BY,
  type DecisionWay,
  KEPT_LOCALLY,
  type RequestState,
} from '@chaperone/api';
import type { Code } from '@chaperone/api/codes';
import { givenOf } from '../approval/objects.ts';
import { type Bundle, keyOf, type Unreadable } from './bundle.ts';
import { type AttestCode, AttestError } from './errors.ts';
import type { IssuerKeys, SignedIn } from './id-token.ts';
import { type Believed, recount } from './recount.ts';
import { type Terms, verifyDecision } from './verify.ts';
import { shownLately } from './view.ts';

/** What signed decisions are checked with. */
export interface Proofs {
  readonly terms: Terms;
  readonly keys: IssuerKeys;
}

export interface AuditedDecision {
  readonly name: string;
  /** What it says; absent of one that cannot be read. */
  readonly decision?: 'Approve' | 'Deny';
  readonly by?: string;
  readonly groups?: readonly string[];
  readonly reason?: string;
  readonly at?: string;
  readonly assurance?: Assurance;
  /** The way by which the person's word came to the operator: page or slack. Absent: they wrote it themselves. */
  readonly via?: DecisionWay;
  /** unverifiable: the API server's word is all there is. */
  readonly verdict: 'valid' | 'unverifiable' | 'invalid';
  readonly code?: Code;
  /** Why it is invalid. */
  readonly message?: string;
  /** Whether it counts on its request, by the rules that the request names. */
  readonly counted: boolean;
  /** Why it does not. */
  readonly why?: string;
}

export interface AuditedRequest {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
  readonly state?: RequestState;
  /** What its decisions come to, counted again, and the approvals of those needed: `2/2`. */
  readonly outcome?: 'Pending' | 'Approved' | 'Denied';
  readonly votes?: string;
  readonly verdict: 'follows' | 'contradicted' | 'missing' | 'unreadable';
  readonly code?: Code;
  /** Why its state does not follow. */
  readonly message?: string;
  readonly decisions: readonly AuditedDecision[];
}

/** Whether all is well with a request, as far as that can be said of it. */
export function isSound({ verdict, decisions }: AuditedRequest): boolean {
  return verdict === 'follows' && decisions.every((each) => each.verdict !== 'invalid');
}

/** How far the clock of the API server, which notes when a decision came, may be from the operator's, which notes when it was signed. */
const WRITTEN_WITHIN_MS = 60_000;

const FINDINGS: Partial<Record<AttestCode, Code>> = {
  SignInFailed: 'DecisionTokenInvalid',
  PersonRefused: 'DecisionTokenInvalid',
  SignInNeeded: 'DecisionSignedLate',
  SignatureRefused: 'DecisionSignatureInvalid',
  PasskeyRefused: 'DecisionPasskeyInvalid',
};

interface Checked {
  readonly decision: ApprovalDecision;
  readonly verdict: AuditedDecision['verdict'];
  readonly code?: Code;
  readonly message?: string;
  readonly signedIn?: SignedIn;
}

/**
 * Checks every decision by itself, and every request by its decisions: what is signed against the terms and the issuer's keys, what was
 * shown against the request, and the request's state against what its decisions come to. A decision whose proof does not hold
 * counts for nothing. Needs neither network nor operator.
 * @param proofs - undefined where nothing is signed
 * @returns By namespace and name, those whose request is not here as well.
 */
export async function audit(bundle: Bundle, proofs: Proofs | undefined): Promise<AuditedRequest[]> {
  const requests = new Map(bundle.requests.map((request) => [keyOf(request), request]));
  const older = Map.groupBy(bundle.older, keyOf);
  const on = Map.groupBy(bundle.decisions, ({ metadata: { namespace = '' }, spec }) => `${namespace}/${spec.request}`);
  const broken = Map.groupBy(bundle.unreadable, ({ namespace, name, request = name }) => `${namespace}/${request}`);
  const checked = new Map<string, readonly Checked[]>();
  for (const [key, decisions] of on) checked.set(key, await checkAll(decisions, requests.get(key), proofs));
  const believed = (key: string): Believed[] => {
    const good = (checked.get(key) ?? []).filter(({ verdict }) => verdict !== 'invalid');
    const given = good.map(({ decision }) => givenOf(decision));
    return [requests.get(key) ?? [], older.get(key) ?? []].flat().map((request) => ({ request, given }));
  };
  const here = new Set([...bundle.decisions.map(({ metadata }) => metadata.name), ...bundle.unreadable.map(({ name }) => name)]);
  return [...new Set([...requests.keys(), ...on.keys(), ...broken.keys()])].toSorted().map((key) => {
    const { grantedBy } = requests.get(key)?.spec ?? {};
    const [granting] = grantedBy === undefined ? [] : believed(`${key.split('/')[0] ?? ''}/${grantedBy}`);
    const found = audited(key, believed(key), granting, checked.get(key) ?? [], broken.get(key) ?? []);
    const copies = [requests.get(key) ?? [], older.get(key) ?? []].flat();
    const missing = found.verdict === 'unreadable' ? undefined : missed(copies, here);
    return missing === undefined ? found : { ...found, verdict: 'missing', ...missing };
  });
}

/** Why a request cannot be counted again: of what it counts, not all is here. */
function missed(copies: readonly AccessRequest[], here: ReadonlySet<string>): Finding | undefined {
  if (copies.some(({ metadata }) => metadata.annotations?.[KEPT_LOCALLY] !== undefined))
    return {
      code: 'DecisionMissing',
      message:
        'chaperone up kept it in its memory and gives out no decisions, so nothing of it can be verified; the record of its session says who decided',
    };
  const counted = copies.flatMap(({ status }) => (status?.decisions ?? []).filter((each) => each.counted));
  const [first, ...more] = new Set(counted.map(({ name }) => name).filter((name) => !here.has(name)));
  if (first === undefined) return undefined;
  const others = more.length === 0 ? '' : `, nor are ${more.length} more`;
  return { code: 'DecisionMissing', message: `it counts ${first}, which is not here${others}` };
}

/** All decisions on one request, the oldest first. */
async function checkAll(
  decisions: readonly ApprovalDecision[],
  request: AccessRequest | undefined,
  proofs: Proofs | undefined,
): Promise<Checked[]> {
  const known = new Map<string, string>();
  const all: Checked[] = [];
  for (const decision of decisions.toSorted((a, b) => madeAt(a) - madeAt(b) || (a.metadata.name < b.metadata.name ? -1 : 1)))
    all.push(onlyOnce(await check(decision, request, proofs), known));
  return all;
}

function madeAt({ metadata }: ApprovalDecision): number {
  return Date.parse(metadata.creationTimestamp ?? '');
}

async function check(
  decision: ApprovalDecision,
  request: AccessRequest | undefined,
  proofs: Proofs | undefined,
): Promise<Checked> {
  const { attestation } = decision.spec;
  if (attestation === undefined) return unsigned(decision);
  if (proofs === undefined) throw new TypeError('signed decisions need terms and keys');
  try {
    const signedIn = await verifyDecision(decision, proofs.terms, proofs.keys);
    const finding = misdated(decision, attestation.signedAt) ?? misshown(decision, request, attestation.shown);
    return finding === undefined ? { decision, verdict: 'valid', signedIn } : { decision, verdict: 'invalid', ...finding };
  } catch (error) {
    const code = error instanceof AttestError ? FINDINGS[error.code] : undefined;
    if (!(error instanceof AttestError) || code === undefined) throw error;
    const isLate = code === 'DecisionSignedLate';
    const message = isLate ? 'it was not signed within 15 minutes after the sign-in' : error.message;
    return { decision, verdict: 'invalid', code, message };
  }
}

/** The operator writes approvals for others with a proof alone; a Deny that it heard in chat has none, and stops only. */
function unsigned(decision: ApprovalDecision): Checked {
  const isAttested = decision.metadata.annotations?.[ATTESTED_BY] !== undefined;
  if (!isAttested || decision.spec.decision === 'Deny') return { decision, verdict: 'unverifiable' };
  const message = 'the operator wrote this approval for somebody else, and no signature is with it';
  return { decision, verdict: 'invalid', code: 'DecisionSignatureInvalid', message };
}

type Finding = { readonly code: Code; readonly message: string };

function misdated(decision: ApprovalDecision, signedAt: string): Finding | undefined {
  if (Math.abs(madeAt(decision) - Date.parse(signedAt)) <= WRITTEN_WITHIN_MS) return undefined;
  return { code: 'DecisionSignedLate', message: 'it was written at another time than it was signed' };
}

/** Of a decision on exactly this request. */
function misshown({ spec }: ApprovalDecision, request: AccessRequest | undefined, shown: string): Finding | undefined {
  const isMeant = request !== undefined && spec.requestUid === request.metadata.uid && spec.digest === request.spec.digest;
  if (!isMeant || shownLately(request).includes(shown)) return undefined;
  return { code: 'DecisionShownOther', message: 'what was shown to the person is not this request, as this version draws it' };
}

/** One account, key or passkey is one person, whatever they are called. A browser makes a key for each sign-in. */
function onlyOnce(checked: Checked, known: Map<string, string>): Checked {
  const { decision, verdict, signedIn } = checked;
  const { by, attestation } = decision.spec;
  if (verdict !== 'valid' || attestation === undefined) return checked;
  const { key, assertion } = attestation;
  const marks = [`account ${signedIn?.subject ?? ''}`, `key ${key.x}.${key.y}`];
  if (assertion !== undefined) marks.push(`passkey ${assertion.publicKey}`);
  const other = marks.map((mark) => known.get(mark)).find((name) => name !== undefined && name !== by);
  if (other !== undefined)
    return { decision, verdict: 'invalid', code: 'DecisionRepeated', message: `it is by the same person as that of ${other}` };
  for (const mark of marks) known.set(mark, by);
  return checked;
}

function audited(
  key: string,
  [own, ...older]: readonly Believed[],
  granting: Believed | undefined,
  checked: readonly Checked[],
  broken: readonly Unreadable[],
): AuditedRequest {
  const [namespace = '', name = ''] = key.split('/');
  const problem = broken.find((each) => each.request === undefined);
  const unread = broken.flatMap(({ request, name: of, code, message }): AuditedDecision[] =>
    request === undefined ? [] : [{ name: of, verdict: 'invalid', code, message, counted: false }],
  );
  if (own === undefined || problem !== undefined) {
    const decisions = [...checked.map((each) => told(each, undefined)), ...unread];
    const { code, message } = problem ?? { code: 'RequestMissing' as const, message: 'the request is not here' };
    return { namespace, name, verdict: problem === undefined ? 'missing' : 'unreadable', code, message, decisions };
  }
  const { metadata, status } = own.request;
  const { tally, contradiction: newest } = recount(own, granting);
  const contradiction = [newest, ...older.map((each) => recount(each, granting).contradiction)].find(
    (each) => each !== undefined,
  );
  const counts = new Map(tally.decisions.map((each) => [each.name, each]));
  return {
    namespace,
    name,
    ...(metadata.uid !== undefined && { uid: metadata.uid }),
    state: status?.state ?? 'Pending',
    outcome: tally.outcome,
    votes: tally.votes,
    verdict: contradiction === undefined ? 'follows' : 'contradicted',
    ...contradiction,
    decisions: [...checked.map((each) => told(each, counts.get(each.decision.metadata.name))), ...unread],
  };
}

function told(
  { decision: whole, verdict, code, message }: Checked,
  count: { readonly counted: boolean; readonly why?: string | undefined } | undefined,
): AuditedDecision {
  const { name, at, via, spec } = givenOf(whole);
  const { decision, by, groups, reason, attestation } = spec;
  return {
    name,
    decision,
    by,
    groups,
    ...(reason !== undefined && { reason }),
    at,
    assurance: attestation?.assurance ?? 'kubernetes',
    ...(via !== undefined && { via }),
    verdict,
    ...(code !== undefined && { code }),
    ...(message !== undefined && { message }),
    counted: count?.counted ?? false,
    ...(count?.why !== undefined && { why: count.why }),
  };
}
