import type { CodeEntry, CodeTable } from './entry.ts';

const KEEP = 'Keep both objects as they are, and compare them with the audit log of the API server.';
const finding = (what: string, why: string, example: string, fix = KEEP): CodeEntry => ({
  audience: ['operator', 'platform'],
  what,
  why,
  fix,
  retry: 'none',
  example,
});

/** What `requests verify` finds in decisions and in the requests that they are on. */
export const DECISION_CODES = {
  DecisionUnreadable: finding(
    'An ApprovalDecision is not one: a field is missing, unknown or has a wrong value.',
    'What is not understood whole is not taken for a proof.',
    'spec.attestation.assurance must be "signed" or "passkey"',
    'If it was written by a newer version, verify it with that one; else keep it as it is.',
  ),
  DecisionTokenInvalid: finding(
    'The ID token is not one that the issuer signed for the page where people decide, or names nobody.',
    'The issuer’s signature is what says who signed.',
    'the token of the sign-in was issued to another client',
    'Compare issuer, client and claims with operator.decide of the chart, and see whether the keys are those that the issuer had then.',
  ),
  DecisionSignedLate: finding(
    'It was not signed when it says: not soon after the sign-in, or not when it was written.',
    'A key signs for 15 minutes after the sign-in that it is bound to.',
    'it was not signed within 15 minutes after the sign-in',
  ),
  DecisionSignatureInvalid: finding(
    'The decision is not what the person’s key signed, or the key is not the one of their sign-in.',
    'The signature covers request, digest, decision and reason; the nonce of the ID token names the key.',
    'the signature is not of this answer',
  ),
  DecisionPasskeyInvalid: finding(
    'A decision says to be by passkey, and no passkey signed it on this page.',
    'The passkey signs the same message for the origin of the page.',
    'the passkey did not sign this answer on this page',
    'Compare the page’s address with operator.decide.url of the chart; if it is that, keep the decision as it is.',
  ),
  DecisionShownOther: finding(
    'What the page drew for the person is not the request that the decision is on, as this version draws it.',
    'The signature covers the digest of all that was drawn: text, effects, rules and expiry.',
    'what was shown to the person is not this request',
    'Verify it with the version that the operator had then; if it is that, the request was changed.',
  ),
  DecisionRepeated: finding(
    'One person decided under two names.',
    'A person counts once: the same account at the issuer, key or passkey is the same person.',
    'it is by the same person as the decision of jane@corp',
    'Find out at the issuer who it is.',
  ),
  RequestUnreadable: finding(
    'An AccessRequest is not one: a field is missing, unknown or has a wrong value.',
    'What is not understood whole is not counted on.',
    'spec.expiresAt is no time',
    'If it was written by a newer version, verify it with that one; else keep it as it is.',
  ),
  RequestMissing: finding(
    'The request that a decision is on, or that granted another one, is not here.',
    'Whether a decision counts is said by the request.',
    'the request is not here',
    'Give requests and decisions together: kubectl get accessrequests,approvaldecisions -o json',
  ),
  DecisionMissing: finding(
    'A request counts decisions that are not here.',
    'Its state follows from its decisions, and nothing can be counted without them. Those of chaperone up are in its memory alone.',
    'it counts ar-7f3kq2mzt4hcnw5e-jane, which is not here',
    'Give requests and decisions together: kubectl get accessrequests,approvaldecisions -o json; if there is no such decision, nobody gave it.',
  ),
  StateContradicted: finding(
    'The state of a request does not follow from its decisions.',
    'They are counted again by the rules that the request names.',
    'it says Ran, and its decisions come to Pending with 1/2 approvals',
  ),
  CopiesDiffer: finding(
    'There are two objects of one name that differ.',
    'Neither can be told from the one that counted.',
    'there is another one of this name that says something else',
  ),
} as const satisfies CodeTable;
