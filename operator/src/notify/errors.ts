export type NotifyErrorCode =
  /** A secret is missing, empty or has another form. */
  | 'SecretInvalid'
  /** The address may not be dialled. */
  | 'AddressForbidden'
  /** No answer, or not in time. */
  | 'Unreachable'
  /** An answer that is longer or of another form than documented. */
  | 'AnswerInvalid'
  /** The other side answered that it does not take it. */
  | 'Refused'
  /** Too many wait; the oldest was given up. */
  | 'Dropped';

/** Why somebody outside was not told. Its text holds no secret, no payload and no path of an address. */
export class NotifyError extends Error {
  override readonly name = 'NotifyError';
  readonly code: NotifyErrorCode;

  constructor(code: NotifyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
