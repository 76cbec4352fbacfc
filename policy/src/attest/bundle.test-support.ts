import {
  type AccessRequest,
  API_VERSION,
  type ApprovalDecision,
  type Approvers,
  type DecisionSpec,
  type RequestSpec,
  type RequestStatus,
} from '@chaperone/api';
import { askedOf, givenOf } from '../approval/objects.ts';
import { aRequest, anAskingRule } from '../approval/request.test-support.ts';
import { counted } from '../approval/request.ts';
import { ANSWER, aBrowser, AT, aPasskey, type TestIssuer } from './answer.test-support.ts';
import type { Answer } from './message.ts';
import { viewText } from './view.ts';

export * from './answer.test-support.ts';

const at = (afterMs: number): string => new Date(AT + afterMs).toISOString();
const second = (afterMs: number): string => at(afterMs).replace(/\.\d+Z$/, 'Z');

/** A request that two of dba or security have to approve, signed, asked for a minute ago for five. */
export function aCopiedRequest(
  spec: Partial<RequestSpec> = {},
  rule: Partial<Approvers> = {},
  name = ANSWER.name,
): AccessRequest {
  const { spec: basis } = aRequest({
    digest: ANSWER.digest,
    rules: [anAskingRule({ groups: ['dba', 'security'], minimum: 2, assurance: 'signed', ...rule })],
    expiresAt: at(240_000),
    ...spec,
  });
  return {
    apiVersion: API_VERSION,
    kind: 'AccessRequest',
    metadata: { namespace: ANSWER.namespace, name, uid: `uid-of-${name}`, creationTimestamp: second(-60_000) },
    spec: basis,
    status: { state: 'Pending', votes: '0/2', decisions: [] },
  };
}

export interface Signing {
  readonly issuer: TestIssuer;
  readonly claims?: Record<string, unknown>;
  readonly mods?: Partial<DecisionSpec>;
  readonly passkey?: ReturnType<typeof aPasskey>;
  readonly site?: { readonly origin: string; readonly rpId: string };
  /** After the time of all that is here, ms. */
  readonly after?: number;
  readonly browser?: Awaited<ReturnType<typeof aBrowser>>;
}

let made = 0;
/** What a person signs on the page: jane of dba, where nothing else is said. */
export async function aSignedDecision(request: AccessRequest, given: Signing): Promise<ApprovalDecision> {
  const { issuer, claims = {}, mods = {}, passkey, site, after = 0, browser = await aBrowser() } = given;
  const { namespace = '', name, uid = '' } = request.metadata;
  const { decision = 'Approve', reason = 'ticket 4412', by = 'jane@corp', groups = ['dba'], grantFor } = mods;
  const { challenge } = ANSWER;
  const { shown } = viewText(request);
  const answer: Answer = { namespace, name, uid, digest: request.spec.digest, decision, reason, grantFor, challenge, shown };
  const idToken = await issuer.sign(browser.nonce, { email: by, groups, sub: `sub-of-${by}`, ...claims });
  return {
    apiVersion: API_VERSION,
    kind: 'ApprovalDecision',
    metadata: { namespace, name: `${name}-page-${made++}`, uid: `uid-${made}`, creationTimestamp: second(after) },
    spec: {
      request: name,
      requestUid: uid,
      digest: request.spec.digest,
      decision,
      by,
      groups,
      reason,
      attestation: {
        assurance: passkey === undefined ? 'signed' : 'passkey',
        idToken,
        key: browser.key,
        opening: browser.opening,
        challenge,
        shown,
        signature: await browser.sign(answer),
        signedAt: at(after),
        ...(passkey !== undefined && { assertion: passkey.assert(answer, site) }),
      },
      ...mods,
    },
  };
}

/** What somebody writes with kubectl. */
export function aPlainDecision(request: AccessRequest, mods: Partial<DecisionSpec> = {}, after = 0): ApprovalDecision {
  const { namespace = '', name, uid = '' } = request.metadata;
  const { digest } = request.spec;
  return {
    apiVersion: API_VERSION,
    kind: 'ApprovalDecision',
    metadata: { namespace, name: `${name}-own-${made++}`, uid: `uid-${made}`, creationTimestamp: second(after) },
    spec: { request: name, requestUid: uid, digest, decision: 'Approve', by: 'bob@corp', groups: ['dba'], ...mods },
  };
}

/** The request as an honest operator leaves it behind once these decisions are there. */
export function countedBy(
  request: AccessRequest,
  decisions: readonly ApprovalDecision[],
  mods: RequestStatus = {},
): AccessRequest {
  const status = counted(askedOf(request), request.status ?? {}, decisions.map(givenOf), AT + 1_500);
  return { ...request, status: { ...status, ...mods } };
}
