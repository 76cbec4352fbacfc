/**
 * Why an answer cannot be shown:
 * NotJson: its bytes are no JSON (RFC 8259) in UTF-8, or not of the shape that was asked for ·
 * TooDeep, TooLarge: beyond a limit · CutOff: it ends before it is complete ·
 * Unjudged: what it is was said too late, after parts of it had been shown as something else.
 */
export type AnswerFault = 'NotJson' | 'TooDeep' | 'TooLarge' | 'CutOff' | 'Unjudged';

const CODES = {
  NotJson: 'AnswerNotJson',
  TooDeep: 'AnswerTooDeep',
  TooLarge: 'AnswerTooLarge',
  CutOff: 'AnswerCutOff',
  Unjudged: 'AnswerUnjudged',
} as const satisfies Readonly<Record<AnswerFault, string>>;

/** An answer cannot be masked: it must end here, and nothing of what was not handed out may be shown. */
export class AnswerError extends Error {
  override readonly name = 'AnswerError';
  readonly code: (typeof CODES)[AnswerFault];

  constructor(fault: AnswerFault, message: string) {
    super(message);
    this.code = CODES[fault];
  }
}

export const notJson = (): AnswerError => new AnswerError('NotJson', 'the API server’s answer is no JSON');

/** What an owner wrote of labelled fields cannot be read; so nothing is shown. */
export class FieldError extends Error {
  override readonly name = 'FieldError';
  readonly code = 'FieldNotReadable';
}
