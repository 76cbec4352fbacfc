/**
 * TokenMalformed: not a signed JWT that can be read · AlgorithmRefused · HeaderRefused: it names or carries a key of its own, or has
 * what is not understood · TypeRefused: a JWT for another use · KeyUnknown: the issuer publishes no such key · SignatureInvalid ·
 * IssuerWrong · AudienceWrong · TokenExpired · TokenNotYetValid · ClaimMissing: a required claim, or the user · ClaimUnreadable ·
 * IssuerUnavailable: its keys could not be had. The last one is no fault of the token.
 */
export type TokenErrorCode =
  | 'TokenMalformed'
  | 'AlgorithmRefused'
  | 'HeaderRefused'
  | 'TypeRefused'
  | 'KeyUnknown'
  | 'SignatureInvalid'
  | 'IssuerWrong'
  | 'AudienceWrong'
  | 'TokenExpired'
  | 'TokenNotYetValid'
  | 'ClaimMissing'
  | 'ClaimUnreadable'
  | 'IssuerUnavailable';

/** Why a token was not accepted. The message is a clause for agents and holds nothing of the token. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  readonly code: TokenErrorCode;
  constructor(code: TokenErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
