import { CODES, type Code, visible } from '@chaperone/api';

/** Exit codes; `chaperone explain ExitCodes` says the same. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  checkSaysNo: 3,
  notPermitted: 4,
  notFound: 5,
  tooLate: 6,
  unreachable: 7,
  interrupted: 130,
} as const;

export interface CliErrorOptions extends ErrorOptions {
  readonly exit?: number;
  /** Commands or changes that mend it. */
  readonly fix?: readonly string[];
}

/** An error that a person reads: code, one sentence, what to do. Holds no secret. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: Code;
  readonly exit: number;
  readonly fix: readonly string[];
  constructor(code: Code, message: string, options: CliErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.exit = options.exit ?? EXIT.failed;
    this.fix = options.fix ?? [];
  }
}

/** Errors of other packages that carry a code of the table are said as they are. */
export function asCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (error instanceof Error && Object.hasOwn(CODES, code)) return new CliError(code as Code, error.message, { cause: error });
  return new CliError('InternalFault', error instanceof Error ? error.message : 'an unknown fault', { cause: error });
}

/** The error as text for people: one line that stands alone, then why and what to do. */
export function renderError(error: CliError): string {
  const entry = CODES[error.code];
  const lines = error.message.split('\n');
  const marked = (line: string): string => (line.includes(`(${error.code})`) ? line : `${line} (${error.code})`);
  const head = lines.map((line, at) => (at === 0 || line.trim() !== '' ? `error: ${marked(visible(line))}` : line));
  const fix = error.fix.length > 0 ? error.fix : [entry.fix];
  return [...head, `  why  ${entry.why}`, ...fix.map((each) => `  fix  ${each}`), `  more: chaperone explain ${error.code}`].join(
    '\n',
  );
}

export function errorObject(error: CliError): object {
  const entry = CODES[error.code];
  return {
    error: {
      code: error.code,
      message: error.message,
      why: entry.why,
      fix: error.fix.length > 0 ? error.fix : [entry.fix],
      retry: entry.retry,
    },
  };
}
