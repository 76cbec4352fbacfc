import { createHash } from 'node:crypto';
import {
  AccessRequest,
  type ApprovalDecision,
  type Approvers,
  Assertion,
  ASSURANCES,
  type Assurance,
  type DecisionSpec,
  MAX_GRANT_SECONDS,
  MIN_GRANT_SECONDS,
  SigningKey,
} from '@chaperone/api';
import { groupsNamed, isGranting, isOpen, lookingMs, mayGrant, rulesThatAsk } from '@chaperone/api/requests';
import { getObject, isConflict, isPermitted, KINDS, type Kube } from '@chaperone/kube';
import type { RequestContent } from '@chaperone/policy';
import { z } from 'zod';
import {
  type Answer,
  AttestError,
  decisionMessage,
  type IssuerKeys,
  passkeyMessage,
  type Person,
  removalMessage,
  shownLately,
  type Terms,
  verifyAnswer,
  verifyAssertion,
  verifySigned,
  viewText,
} from '@chaperone/policy/attest';
import { writeAttested } from '../approvals/attested.ts';
import type { Passkey, Passkeys } from './passkeys.ts';
import { CHALLENGE_LASTS_MS, type Session } from './sessions.ts';
import { type ContentSheet, contentSheet } from './content.ts';

/** A person waits. */
const TIMEOUT_MS = 5_000;
/** Of one person and kind: those before did not count. */
const MAX_ANSWERS = 4;
/** A passkey is added this soon after the person proved who they are. */
const FRESH_MS = 5 * 60_000;

const proof = {
  key: SigningKey,
  opening: z.string().max(64),
  signature: z.string().max(128),
};
/** What the page sends; strict, so that nothing is thought to be understood. */
export const AnswerBody = z.strictObject({
  uid: z.string().max(64),
  digest: z.string().max(64),
  decision: z.enum(['Approve', 'Deny']),
  reason: z
    .string()
    .max(1024)
    .regex(/^[^\t\r\n]*$/)
    // It is signed as the decision has it.
    .refine((text) => text === text.trim()),
  /** Seconds for which the same may run again. */
  grantFor: z.int().min(MIN_GRANT_SECONDS).max(MAX_GRANT_SECONDS).optional(),
  challenge: z.string().max(64),
  shown: z.string().max(64),
  ...proof,
  assertion: Assertion.omit({ publicKey: true }).optional(),
});
export type AnswerBody = z.infer<typeof AnswerBody>;
/** `registration` is the text that was signed. */
export const RegistrationBody = z.strictObject({ registration: z.string().max(24 * 1024), ...proof });
export type RegistrationBody = z.infer<typeof RegistrationBody>;
/** The name of a passkey, as it was signed. */
export const RemovalBody = z.strictObject({ credential: z.string().min(1).max(1400), ...proof });
export type RemovalBody = z.infer<typeof RemovalBody>;

export interface At {
  readonly namespace: string;
  readonly name: string;
}
/** What the page is told of a request. */
export interface Sheet {
  /** JSON of a View, as its digest is taken of. */
  readonly view: string;
  readonly challenge: string;
  readonly state: string;
  readonly votes: string;
  readonly expiresInMs: number;
  /** For so long what it meets may still be looked at; 0: nothing more is to come. */
  readonly lookingMs: number;
  /** For how long the same runs again without anybody being asked; absent: it does not. */
  readonly grantedMs?: number;
  readonly person: string;
  /** The least that counts for a rule that asks this person. */
  readonly assurance: Assurance;
  /** Whether a rule asks this person at all. */
  readonly asked: boolean;
  readonly reason: boolean;
  /** The person's own. */
  readonly passkeys: readonly Pick<Passkey, 'id' | 'registeredAt'>[];
  readonly rpId: string;
}

export interface DeskOptions {
  readonly kube: Kube;
  readonly terms: Terms;
  readonly keys: IssuerKeys;
  readonly passkeys: Passkeys;
  /** What is known beside a request; a sentence: why it is not there any more. */
  readonly contentOf: (request: AccessRequest) => RequestContent | string | undefined;
  readonly now: () => number;
  /** Tells people who look after the cluster that somebody has a new passkey, or one less. */
  readonly onPasskey: (user: string, became: 'registered' | 'removed') => void;
}

/**
 * Shows requests to who may read them, and writes into the cluster what a person signed: nothing that they did not sign, were not shown,
 * or could not have written themselves.
 */
export class DecideDesk {
  readonly #o: DeskOptions;

  constructor(options: DeskOptions) {
    this.#o = options;
  }

  /** @throws AttestError */
  async sheet(session: Session, at: At): Promise<Sheet> {
    const { person } = session.signedIn;
    const request = await this.#permittedRequest(person, at);
    const { text: view, shown } = viewText(request);
    const now = this.#o.now();
    const uid = request.metadata.uid ?? '';
    const asking = rulesThatAsk(request, person, now);
    const passkeys = await this.#o.passkeys.of(person.user);
    return {
      view,
      challenge: session.give({ ...at, uid, shown, until: now + CHALLENGE_LASTS_MS }),
      state: request.status?.state ?? 'Pending',
      votes: request.status?.votes ?? '',
      expiresInMs: Math.max(0, Date.parse(request.spec.expiresAt) - now),
      lookingMs: lookingMs(request, now),
      ...(isGranting(request.status ?? {}, now) && { grantedMs: Date.parse(request.status?.grantedUntil ?? '') - now }),
      person: person.user,
      assurance: leastOf(asking),
      asked: asking.length > 0,
      reason: asking.some((rule) => rule.reason),
      passkeys: passkeys.map(({ id, registeredAt }) => ({ id, registeredAt })),
      rpId: this.#o.terms.site.rpId,
    };
  }

  /** What the request has no room for, or nobody keeps: for who may read that too. @throws AttestError */
  async content({ signedIn: { person } }: Session, at: At): Promise<ContentSheet> {
    const request = await this.#permittedRequest(person, at);
    await this.#demand(person, at, 'get', `${KINDS.accessRequests.plural}/content`);
    const content = this.#o.contentOf(request);
    if (typeof content === 'string') throw new AttestError('ContentGone', content);
    return contentSheet(content ?? {});
  }

  /** Takes one answer; its challenge is used up whatever becomes of it. @returns The decision's name. @throws AttestError */
  async decide(session: Session, at: At, body: AnswerBody): Promise<string> {
    const now = this.#o.now();
    const given = session.take(body.challenge, now);
    const { person } = session.signedIn;
    const request = await this.#permittedRequest(person, at);
    const { shown } = body;
    const isMeant =
      given.namespace === at.namespace &&
      given.name === at.name &&
      [given.uid, body.uid].every((uid) => uid === request.metadata.uid) &&
      given.shown === shown &&
      shownLately(request).includes(shown) &&
      body.digest === request.spec.digest;
    if (!isMeant) throw new AttestError('RequestChanged', 'what you were shown is not what the request is; nothing was decided');
    demandOpen(request, body.decision, now);
    demandGrantable(request, body);
    const { uid, digest, decision, reason, grantFor, challenge, key, opening, signature } = body;
    const answer: Answer = { ...at, uid, digest, decision, reason, grantFor, challenge, shown };
    const { idToken } = session;
    await verifyAnswer(answer, { idToken, key, opening, signature }, now, this.#o.terms, this.#o.keys);
    const assertion = body.assertion && (await this.#asserted(person, answer, body.assertion));
    await this.#demand(person, at, 'create', KINDS.approvalDecisions.plural);
    const spec: DecisionSpec = {
      request: at.name,
      requestUid: uid,
      digest,
      decision,
      by: person.user,
      groups: groupsFor(request, person),
      ...(reason !== '' && { reason }),
      ...(grantFor !== undefined && { grantFor }),
      attestation: {
        assurance: assertion === undefined ? 'signed' : 'passkey',
        idToken,
        key,
        opening,
        challenge,
        shown,
        signature,
        signedAt: new Date(now).toISOString(),
        ...(assertion !== undefined && { assertion }),
      },
    };
    return await this.#write(at, spec);
  }

  /** What a browser is asked to make of a passkey. @throws AttestError */
  async registration(session: Session): Promise<object> {
    demandFresh(session, this.#o.now());
    const options = await this.#o.passkeys.options(session.signedIn.person.user);
    session.registration = options.challenge;
    return options;
  }

  /** Keeps a passkey for whoever signed in just now. @throws AttestError */
  async register(session: Session, { registration, ...given }: RegistrationBody): Promise<void> {
    const { registration: challenge, idToken, signedIn } = session;
    session.registration = undefined;
    demandFresh(session, this.#o.now());
    if (challenge === undefined) throw new AttestError('ChallengeUsed', 'this registration is over; begin anew');
    const message = passkeyMessage(registration);
    await verifySigned(message, { ...given, idToken }, this.#o.now(), this.#o.terms, this.#o.keys);
    await this.#o.passkeys.register(signedIn.person.user, registration, challenge);
    this.#o.onPasskey(signedIn.person.user, 'registered');
  }

  /** Takes a passkey from whoever signed in just now, and has signed which. @throws AttestError */
  async removePasskey({ idToken, signedIn }: Session, { credential, ...given }: RemovalBody): Promise<void> {
    const now = this.#o.now();
    demandFresh({ signedIn }, now);
    await verifySigned(removalMessage(credential), { ...given, idToken }, now, this.#o.terms, this.#o.keys);
    await this.#o.passkeys.remove(signedIn.person.user, credential);
    this.#o.onPasskey(signedIn.person.user, 'removed');
  }

  async #asserted({ user }: Person, answer: Answer, given: NonNullable<AnswerBody['assertion']>): Promise<Assertion> {
    let assertion: Assertion | undefined;
    await this.#o.passkeys.count(user, given.credential, async ({ publicKey, counter }) => {
      assertion = { ...given, publicKey };
      return await verifyAssertion(decisionMessage(answer), assertion, this.#o.terms.site, counter);
    });
    if (assertion === undefined) throw new AttestError('PasskeyRefused', 'the passkey did not sign this answer on this page');
    return assertion;
  }

  /** Rights first: who may not read requests is not told which there are. */
  async #permittedRequest(person: Person, at: At): Promise<AccessRequest> {
    await this.#demand(person, at, 'get', KINDS.accessRequests.plural);
    const object = await getObject(this.#o.kube, KINDS.accessRequests, at, { timeoutMs: TIMEOUT_MS });
    if (object === undefined) throw new AttestError('RequestUnknown', `there is no request ${at.name} in ${at.namespace}`);
    return AccessRequest.parse(object);
  }

  async #demand(person: Person, { namespace, name }: At, verb: 'create' | 'get', what: string): Promise<void> {
    const [resource = '', subresource] = what.split('/');
    const right = {
      namespace,
      resource,
      verb,
      ...(subresource !== undefined && { subresource }),
      ...(verb === 'get' && { name }),
    };
    if (!(await isPermitted(this.#o.kube, person, right)))
      throw new AttestError('DecisionNotPermitted', `${person.user} may not ${verb} ${what} in ${namespace}`);
  }

  async #write({ namespace, name }: At, spec: DecisionSpec): Promise<string> {
    const { requestUid, by, decision, attestation } = spec;
    // The same answer of the same person is the same object, from wherever it is sent again.
    const same = createHash('sha256').update(JSON.stringify([requestUid, by, decision, attestation?.assurance]));
    const first = `${name}-page-${same.digest('hex').slice(0, 16)}`;
    for (let again = 0; again < MAX_ANSWERS; again += 1) {
      const decisionName = again === 0 ? first : `${first}-${again + 1}`;
      try {
        await writeAttested(this.#o.kube, { namespace, name: decisionName }, 'page', spec);
        return decisionName;
      } catch (error) {
        if (!isConflict(error)) throw error;
      }
      // One that came too early, or without the reason that the rule wants, does not stand in the way of one that counts.
      const given = await getObject(
        this.#o.kube,
        KINDS.approvalDecisions,
        { namespace, name: decisionName },
        { timeoutMs: TIMEOUT_MS },
      );
      if ((given as Partial<ApprovalDecision> | undefined)?.status?.counted !== false) break;
    }
    throw new AttestError('AnswerGiven', 'you have given this answer already');
  }
}

/** A denial ends what is granted as long as that lasts. */
function demandOpen({ metadata, spec, status }: AccessRequest, decision: AnswerBody['decision'], now: number): void {
  if (decision === 'Deny' && isGranting(status ?? {}, now)) return;
  if (!isOpen(status?.state)) throw new AttestError('RequestOver', `${metadata.name} is over: ${status?.state ?? ''}`);
  if (now > Date.parse(spec.expiresAt)) throw new AttestError('RequestOver', `${metadata.name} is over: its time has run out`);
}

function demandGrantable({ spec }: AccessRequest, { decision, grantFor = 0 }: AnswerBody): void {
  if (grantFor > (decision === 'Approve' ? mayGrant(spec) : 0))
    throw new AttestError('SignatureRefused', 'the rules do not let the same run again for so long; nothing was decided');
}

function demandFresh({ signedIn: { authenticatedAt } }: Pick<Session, 'signedIn'>, now: number): void {
  if (authenticatedAt === undefined || now > authenticatedAt + FRESH_MS)
    throw new AttestError('SignInNeeded', 'passkeys are added and removed right after you prove who you are; sign in again');
}

/** What every rule takes that asks this person. */
function leastOf(rules: readonly Approvers[]): Assurance {
  return ASSURANCES.findLast((each) => rules.some(({ assurance }) => assurance === each)) ?? 'kubernetes';
}

/** Of the person's groups those that a rule names: the others are nobody's business. */
function groupsFor(request: AccessRequest, { groups }: Person): string[] {
  const named = groupsNamed(request);
  return groups.filter((group) => named.includes(group));
}
