export { audit, type AuditedDecision, type AuditedRequest, isSound, type Proofs } from './audit.ts';
export { type Bundle, readBundle } from './bundle.ts';
export { AttestError, type AttestCode } from './errors.ts';
export { type IssuerKeys, judgeSignIn, readIdToken, SIGN_IN_LASTS_MS, type SignedIn } from './id-token.ts';
export { type Answer, bytesOf, decisionMessage, passkeyMessage, removalMessage } from './message.ts';
export { isPasskeyKey, verifyAssertion } from './passkey.ts';
export type { Person } from './person.ts';
export { type Terms, verifyAnswer, verifyDecision, verifySigned } from './verify.ts';
export { drawn, type Drawn, shownLately, viewText } from './view.ts';
