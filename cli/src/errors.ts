import { CODES, type Code } from '@chaperone/api/codes';
import { visible } from '@chaperone/api/text';
import { type Paint, plain } from './paint.ts';

/** Exit codes; `chaperone explain ExitCodes` prints EXIT_MEANING. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  checkSaysNo: 3,
  notPermitted: 4,
  notFound: 5,
  tooLate: 6,
  unreachable: 7,
  incomplete: 8,
  notWitnessed: 9,
  interrupted: 130,
} as const;

export const EXIT_MEANING: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'done, also where a list is empty',
  failed: 'failed',
  usage: 'wrong usage; nothing was done',
  checkSaysNo:
    'the check says no: evidence is altered, a decision is not proven, an expectation is not met, an installation is not well',
  notPermitted: 'not signed in or not permitted',
  notFound: 'not found',
  tooLate: 'too late or already decided',
  unreachable: 'unreachable; later may help',
  incomplete: 'evidence is not altered as far as it is there, and some is missing',
  notWitnessed: 'evidence is not altered, and the log does not prove it as the policy asks',
  interrupted: 'interrupted',
};

export interface CliErrorOptions extends ErrorOptions {
  readonly exit?: number;
  /** Commands or changes that mend it. */
  readonly fix?: readonly string[];
  /** Why it is so, where that of the code is about something else. */
  readonly why?: string;
}

/** An error that a person reads: code, one sentence, what to do. Holds no secret. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: Code;
  readonly exit: number;
  readonly fix: readonly string[];
  readonly why: string;
  constructor(code: Code, message: string, options: CliErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.exit = options.exit ?? EXIT.failed;
    this.fix = options.fix ?? [];
    this.why = options.why ?? CODES[code].why;
  }
}

/** The same error with something else that mends it. */
export function withFix({ code, message, exit, cause, why }: CliError, fix: readonly string[]): CliError {
  return new CliError(code, message, { cause, exit, why, fix });
}

const FILE_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'you may not read it',
  EISDIR: 'it is a directory',
};
/** A file that was named and cannot be read. */
export function fileUnread(path: string, cause: unknown): CliError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  return new CliError('NotFound', `${path} cannot be read`, {
    cause,
    exit: EXIT.notFound,
    why: `${FILE_FAULTS[code] ?? `the system says ${code}`}; exit code 5`,
    fix: ['name a file that there is and that you may read; "-" is standard input where a verb takes it'],
  });
}

/** Wrong usage: nothing was done; exit code 2. */
export function usage(message: string, cause?: unknown): CliError {
  return new CliError('Usage', message, { cause, exit: EXIT.usage });
}

/** Errors of other packages that carry a code of the table are said as they are; of the rest only the kind, since it may quote data. */
export function asCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (error instanceof Error && Object.hasOwn(CODES, code)) return new CliError(code as Code, error.message, { cause: error });
  // A system error says what was done to which file: that is for the person who asked.
  if (error instanceof Error && 'syscall' in error) return new CliError('InternalFault', error.message, { cause: error });
  const kind = error instanceof Error ? `${error.name}${code === '' ? '' : ` ${code}`}` : 'unknown fault';
  return new CliError('InternalFault', `an unexpected ${kind} ended the command`, { cause: error });
}

/** The error as text for people: lines that stand alone, then why and what to do. */
export function renderError(error: CliError, paint: Paint = plain): string {
  const { fix } = CODES[error.code];
  const head = error.message
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => `${paint('bad', 'error:')} ${withCode(visible(line), error.code)}`);
  const fixes = error.fix.length > 0 ? error.fix : [fix];
  return [
    ...head,
    `  why  ${visible(error.why)}`,
    ...fixes.map((each) => `  fix  ${visible(each)}`),
    `  more: chaperone explain ${error.code}`,
  ].join('\n');
}

/** A line that names the code of its own cause keeps it. */
function withCode(line: string, code: Code): string {
  const own = /\(([A-Za-z]+)\)\.?$/.exec(line)?.[1];
  return own !== undefined && Object.hasOwn(CODES, own) ? line : `${line} (${code})`;
}

/** The error for programs: one object, whose fields only ever grow. */
export function errorObject(error: CliError): object {
  const { fix, retry } = CODES[error.code];
  return {
    error: {
      code: error.code,
      message: error.message,
      why: error.why,
      fix: error.fix.length > 0 ? error.fix : [fix],
      docs: `docs/reference/codes.md#${error.code.toLowerCase()}`,
      retry,
    },
  };
}
