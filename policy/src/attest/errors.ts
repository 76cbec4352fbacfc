import type { Code } from '@chaperone/api/codes';

/** What the page and its door say; each is a row of the table of codes. */
export type AttestCode = Extract<
  Code,
  | 'SignInNeeded'
  | 'SignInFailed'
  | 'PersonRefused'
  | 'SignatureRefused'
  | 'RequestUnknown'
  | 'RequestOver'
  | 'RequestChanged'
  | 'ContentGone'
  | 'ChallengeUsed'
  | 'DecisionNotPermitted'
  | 'AnswerGiven'
  | 'PageForeign'
  | 'PageUnavailable'
  | 'PasskeyRefused'
>;

/** Why an answer, or a sign-in, is not taken. The message is for the person, and holds nothing of a token, key or statement. */
export class AttestError extends Error {
  override readonly name = 'AttestError';
  readonly code: AttestCode;
  constructor(code: AttestCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
