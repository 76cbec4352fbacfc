import { type AccessRequest, type CountedDecision, DECIDE_PAGE } from '@chaperone/api';
import type { Code } from '@chaperone/api/codes';
import { isGranting, isOpen, missingWords, plain, stateOf } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import { CliError, EXIT } from '../errors.ts';
import type { Answer } from './desk.ts';
import { overText } from './text.ts';

/** What became of an answer: `said` for the person, `exit` for scripts. `final`: waiting longer tells nothing new. */
export interface Outcome {
  readonly said: string;
  readonly exit: number;
  readonly final: boolean;
  /** Why it is worth nothing. */
  readonly error?: CliError;
}

/** What is granted is sealed with its request: more time is another decision. */
const FOR_LONGER = 'approve the next request with --for: no grant is extended, and while one lasts nobody is asked';

/** The request is over: nobody decides on it any more. */
export function over(request: AccessRequest, now: number): CliError {
  const code: Code = stateOf(request) === 'Expired' ? 'RequestExpired' : 'AlreadyDecided';
  const fix = request.status?.grantedUntil === undefined ? [] : [FOR_LONGER];
  return new CliError(code, overText(request, now), { exit: EXIT.tooLate, fix });
}

/** Why there is nothing to end; undefined: there is. */
export function notGranting({ metadata, status = {} }: AccessRequest, now: number): CliError | undefined {
  if (isGranting(status, now)) return undefined;
  const { grantedUntil, revokedBy, grantEnded } = status;
  const why =
    revokedBy !== undefined
      ? `was revoked by ${visible(revokedBy)} already`
      : grantedUntil === undefined
        ? 'grants nothing beyond itself'
        : grantEnded !== undefined
          ? `granted until ${visible(grantEnded.at)}: ${visible(grantEnded.why)}`
          : `granted until ${visible(grantedUntil)}, and does not any more`;
  const fix = [...(grantedUntil === undefined ? [] : [FOR_LONGER]), 'chaperone grants ls'];
  return new CliError('AlreadyDecided', `${metadata.name} ${why}`, { exit: EXIT.tooLate, fix });
}

/** What was asked for wants more than the word of the API server. */
export function signatureNeeded({ metadata }: AccessRequest): CliError {
  const page = metadata.annotations?.[DECIDE_PAGE];
  return new CliError('SignatureNeeded', `${metadata.name} is approved with a signature only, which a browser makes`, {
    exit: EXIT.notPermitted,
    fix: [
      page === undefined
        ? 'ask the platform team for operator.decide of the chart: there is no such page here'
        : `open ${visible(page, 300)}`,
    ],
  });
}

/** Why an answer that was given does not count, as the error that it is. */
function uncounted({ why = 'it is not said why' }: CountedDecision): CliError {
  const said = `does not count: ${why}`;
  if (why === 'it came too late') return new CliError('RequestExpired', said, { exit: EXIT.tooLate });
  if (why === 'the rule wants a reason')
    return new CliError('Usage', said, { exit: EXIT.usage, fix: ['add --reason TEXT; the agent reads it'] });
  if (why.startsWith('the rule wants an approval')) return new CliError('SignatureNeeded', said, { exit: EXIT.notPermitted });
  if (why.startsWith('it names another digest') || why.startsWith('it is about another'))
    return new CliError('DigestMismatch', said, { exit: EXIT.checkSaysNo });
  return new CliError('NotAnApprover', said, { exit: EXIT.notPermitted });
}

/** What became of the answer `name`, as far as the request tells by now; undefined: it was not counted yet. */
export function outcomeOf(request: AccessRequest, name: string, decision: Answer['decision'], now: number): Outcome | undefined {
  const { status } = request;
  const own = status?.decisions?.find((each) => each.name === name);
  if (own === undefined) {
    if (isOpen(status?.state)) return undefined;
    // It came when all was over.
    const error = over(request, now);
    return { said: error.message, exit: error.exit, final: true, error };
  }
  if (!own.counted) {
    const error = uncounted(own);
    return { said: error.message, exit: error.exit, final: true, error };
  }
  const votes = `approved (${(status?.votes ?? '').replace('/', ' of ')})`;
  return decision === 'Deny' ? denied(request, now) : approved(request, votes, now);
}

function denied(request: AccessRequest, now: number): Outcome {
  const state = stateOf(request);
  if (request.status?.revokedBy !== undefined)
    return { said: 'revoked: the next execution is asked for again', exit: EXIT.ok, final: true };
  if (state === 'Denied') return { said: 'denied', exit: EXIT.ok, final: true };
  if (isOpen(request.status?.state)) return { said: 'denied', exit: EXIT.ok, final: false };
  return { said: `too late: ${overText(request, now)}`, exit: EXIT.tooLate, final: true };
}

function approved(request: AccessRequest, votes: string, now: number): Outcome {
  const done = { exit: EXIT.ok, final: true };
  const result = request.status?.result;
  switch (stateOf(request)) {
    case 'Pending':
      return { said: `${votes}: ${plain(missingWords(request))}`, ...done };
    case 'Approved':
      if (request.spec.mode === 'retry') return { said: `${votes}: it runs when the agent repeats it`, ...done };
      return { said: `${votes}: it has not run yet`, exit: EXIT.ok, final: false };
    case 'Released':
      return { said: `${votes}: it runs`, exit: EXIT.ok, final: false };
    case 'Ran':
      return { said: `${votes} · ran at ${ranAt(request)}: ${result ?? 'done'}`, ...done };
    case 'Failed':
      return { said: `${votes} · failed at ${ranAt(request)}: ${result ?? 'an error'}`, ...done };
    default:
      return { said: `${votes}, and it does not run: ${overText(request, now)}`, exit: EXIT.tooLate, final: true };
  }
}

/** By the clock of the one who reads it. */
function ranAt({ status }: AccessRequest): string {
  const at = new Date(status?.conditions?.find(({ type }) => type === 'Executed')?.lastTransitionTime ?? Number.NaN);
  return Number.isNaN(at.getTime()) ? 'a time not told' : at.toTimeString().slice(0, 8);
}
