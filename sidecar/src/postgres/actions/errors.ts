export const STATEMENT_ERRORS = [
  /** Longer than MAX_STATEMENT_BYTES. */
  'StatementTooLarge',
  /** Holds a NUL byte or is not UTF-8. */
  'StatementInvalid',
  /** The grammar does not take it; `position` says where. */
  'StatementSyntax',
  /** The parser failed on it, or took too long. */
  'StatementNotParsed',
  /** Too many statements wait for the parser. */
  'ParserBusy',
  'ParserClosed',
] as const;
export type StatementErrorCode = (typeof STATEMENT_ERRORS)[number];

/** No statement comes out of a text; whatever the code, the text must not go upstream. Messages hold nothing of the text. */
export class StatementError extends Error {
  override readonly name = 'StatementError';
  readonly code: StatementErrorCode;
  /** Character of the text, from 1, where a StatementSyntax lies. */
  readonly position: number | undefined;
  constructor(code: StatementErrorCode, message: string, options?: ErrorOptions & { position?: number }) {
    super(message, options);
    this.code = code;
    this.position = options?.position;
  }
}
