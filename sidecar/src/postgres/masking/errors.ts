import type { Detector } from '@chaperone/api';
import { detect } from '../../masking/detectors.ts';
import { REDACTED } from '../../masking/strategies.ts';

/** Fields of an ErrorResponse or NoticeResponse by their letter. */
export type MessageFields = { readonly [letter in string]?: string };

export interface ErrorContext {
  /** Labelled values may be in it: only what names no value is kept. */
  readonly touchesLabelled: boolean;
  /** Detectors of labels that are not revealed; they look through every text that is kept. */
  readonly detectors?: ReadonlySet<Detector>;
}

/** Severity, SQLSTATE, position, and names of schema, table, column, type and constraint. */
const STRUCTURAL = ['S', 'V', 'C', 'P', 's', 't', 'c', 'd', 'n', 'F', 'L', 'R'] as const;
/** Texts that may quote values. */
const TEXTS = ['M', 'D', 'H', 'W', 'q'] as const;

/** What is said in place of the server's own text, by SQLSTATE; then by its class. */
const GENERIC: Readonly<Record<string, string>> = {
  '22001': 'a value is too long for its column',
  '22003': 'a number is out of range',
  '22007': 'a date or time has an invalid format',
  '22008': 'a date or time is out of range',
  '22012': 'division by zero',
  '22023': 'an argument is invalid',
  '22P02': 'a value has an invalid text form for its type',
  '22P03': 'a value has an invalid binary form for its type',
  '23502': 'a value must not be null',
  '23503': 'a foreign key constraint is violated',
  '23505': 'a unique constraint is violated',
  '23514': 'a check constraint is violated',
  '23P01': 'an exclusion constraint is violated',
  '25006': 'the transaction is read-only',
  '25P02': 'the transaction has failed; send ROLLBACK',
  '40001': 'the transaction could not be serialized; repeat it',
  '40P01': 'a deadlock was found; repeat the transaction',
  '42501': 'the database denies it to this role',
  '55P03': 'a lock could not be had in time',
  '57014': 'the statement was cancelled',
  '21000': 'a sub-query returned more than one row',
};
const GENERIC_BY_CLASS: Readonly<Record<string, string>> = {
  '00': 'a notice',
  '01': 'a warning',
  '02': 'no data',
  '08': 'a connection failed',
  '21': 'the number of rows or values is wrong',
  '22': 'a value is invalid for what is done with it',
  '23': 'a constraint is violated',
  '25': 'the transaction is in the wrong state',
  '40': 'the transaction was rolled back',
  '42': 'the statement is invalid',
  '53': 'the server lacks a resource',
  '54': 'a limit of the server is exceeded',
  '55': 'an object is in the wrong state',
  '57': 'the server intervened',
  P0: 'a function raised an error',
};

/**
 * An error or notice as the agent may see it. Where labelled data may be inside, the text is replaced by what its SQLSTATE means
 * and detail, hint, context and the inner query are dropped.
 */
export function filterError(fields: MessageFields, context: ErrorContext): MessageFields {
  const shown: Record<string, string> = {};
  for (const letter of STRUCTURAL) {
    const value = fields[letter];
    if (value !== undefined) shown[letter] = value;
  }
  if (context.touchesLabelled) {
    const code = fields['C'] ?? '';
    shown['M'] = GENERIC[code] ?? GENERIC_BY_CLASS[code.slice(0, 2)] ?? 'the server reported an error';
    return shown;
  }
  for (const letter of [...TEXTS, 'p']) {
    const value = fields[letter];
    if (value !== undefined) shown[letter] = hide(value, context.detectors);
  }
  return shown;
}

/** Text with what detectors find in it redacted. */
export function hide(text: string, detectors: ReadonlySet<Detector> | undefined): string {
  if (!detectors || detectors.size === 0) return text;
  const bytes = Buffer.from(text);
  let out = '';
  let copied = 0;
  for (const { start, end } of detect(bytes, detectors)) {
    out += bytes.toString('utf8', copied, start) + REDACTED;
    copied = end;
  }
  return out + bytes.toString('utf8', copied);
}
