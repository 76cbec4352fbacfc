import { type AccessRequest, type ApprovalDecision, MIN_GRANT_SECONDS } from '@chaperone/api';
import { mayGrant, onceWhy, shortDigest, stateOf } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import { CliError, EXIT, usage } from '../errors.ts';
import { type Io, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import type { Answer, Person, RequestDesk } from '../requests/desk.ts';
import { notGranting, type Outcome, outcomeOf, over, signatureNeeded } from '../requests/outcome.ts';
import { promptDecision } from '../requests/prompt.ts';
import { isAsked, notAsked, takesPlainWord } from '../requests/text.ts';

/** How long the answer's effect is waited for. */
const WAIT_MS = 5_000;

export interface DecideOptions {
  /** Revoke: denies what an approval lets run again. */
  readonly decision: Answer['decision'] | 'Revoke';
  /** Seconds for which the same may run again, with an approval. */
  readonly grantFor?: number | undefined;
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly digest?: string | undefined;
  readonly reason?: string | undefined;
  readonly wait: boolean;
  readonly output: 'text' | DocumentOutput;
}

/** `approve` and `deny`: gives one person's answer, and says what became of it. @throws CliError */
export async function decide(
  desk: RequestDesk,
  options: DecideOptions,
  { io, exit, again: pasted }: Pick<VerbOptions, 'io' | 'exit' | 'again'>,
): Promise<void> {
  const request = await desk.get(options.name, options.namespace);
  const person = await desk.person(request);
  demandTaken(request, options, person, io.now());
  const answer = await chosen(desk, request, person, { ...options, again: pasted }, io);
  if (answer === 'undecided' || answer === 'interrupted') {
    io.err.write('undecided; nothing was written\n');
    return exit(answer === 'interrupted' ? EXIT.interrupted : EXIT.ok);
  }
  const given = await desk.decide(answer);
  const found = options.wait ? await settled(desk, request, given, answer.decision, io) : undefined;
  const known = found && isGiven(request, person, answer.decision) ? { ...found, outcome: again(found.outcome) } : found;
  await tell(desk, { answer, given, ...known }, { ...options, person }, io);
  const { outcome } = known ?? {};
  if (outcome?.error !== undefined) throw outcome.error;
  if (outcome === undefined && options.wait)
    throw new CliError('NotCountedYet', `the answer ${given.metadata.name} is given, and nobody has counted it yet`, {
      exit: EXIT.unreachable,
      fix: [`what became of it: chaperone requests show ${request.metadata.name}`],
    });
  if (outcome !== undefined && outcome.exit !== EXIT.ok) exit(outcome.exit);
}

/** Whether this person's answer can count. @throws CliError */
function demandTaken(request: AccessRequest, options: DecideOptions, person: Person, now: number): void {
  const { decision, grantFor, digest } = options;
  const tooLate = decision === 'Revoke' ? notGranting(request, now) : notOpen(request, decision, person, now);
  if (tooLate !== undefined) throw tooLate;
  if (grantFor !== undefined) demandGrantable(request, grantFor);
  if (digest !== undefined) demandDigest(request, digest);
  if (!request.spec.rules.some((rule) => isAsked(rule, person, now)))
    throw new CliError('NotAnApprover', notAsked(request, person), { exit: EXIT.notPermitted });
  if (decision === 'Approve' && !takesPlainWord(request, person, now)) throw signatureNeeded(request);
}

/** What is decided stays so. Whether it is too late is not for our clock to say. Somebody who approved already may say it again, and may think better of it while nothing ran. */
function notOpen(request: AccessRequest, decision: Answer['decision'], person: Person, now: number): CliError | undefined {
  const state = stateOf(request);
  if (state === 'Pending') return undefined;
  if (state === 'Approved' && (decision === 'Deny' || isGiven(request, person, decision))) return undefined;
  return over(request, now);
}

/** Whether it counts already that this person said so. */
function isGiven({ status }: AccessRequest, { user }: Person, decision: Answer['decision']): boolean {
  return status?.decisions?.some((each) => each.by === user && each.decision === decision && each.counted) === true;
}

/** Whoever says it twice is one person all the same. */
function again(outcome: Outcome): Outcome {
  return { ...outcome, said: `${outcome.said}; yours was given already, and counts once` };
}

/** The rules say whether the same may be approved again, and for how long. @throws CliError Usage */
function demandGrantable({ metadata, spec }: AccessRequest, seconds: number): void {
  if (seconds < MIN_GRANT_SECONDS) throw usage('--for is at least 1m');
  const [most, once] = [mayGrant(spec), onceWhy(spec)];
  if (seconds <= most && once === undefined) return;
  const minutes = `${Math.floor(most / 60)}m`;
  const why =
    once === undefined && most > 0
      ? `the rules of ${metadata.name} let the same run again for ${minutes} at most`
      : once !== undefined
        ? `${metadata.name} can be approved for one execution only: ${visible(once)}`
        : `the rules of ${metadata.name} let it be approved for one execution only`;
  throw new CliError('Usage', `--for: ${why}`, {
    exit: EXIT.usage,
    fix:
      once === undefined && most > 0
        ? [`--for ${minutes}`]
        : once !== undefined
          ? ['leave --for out']
          : ['leave --for out; approval.maxGrant of the rule is what allows it'],
  });
}

/** What was shown is what is approved: by the short digest or the whole one. @throws CliError Usage, DigestMismatch */
export function demandDigest({ metadata, spec }: AccessRequest, typed: string): void {
  const digest = typed.trim().toLowerCase();
  if (!/^([0-9a-f]{4}-?[0-9a-f]{4}|[0-9a-f]{64})$/.test(digest))
    throw usage(`--digest is written 9c1f-44ab, or as all 64 digits; "${typed.slice(0, 80)}" is not`);
  const whole = digest.replace('-', '');
  if (whole.length === 64 ? whole === spec.digest : spec.digest.startsWith(whole)) return;
  const [has, not] = whole.length === 64 ? [spec.digest, whole] : [shortDigest(spec.digest), shortDigest(whole)];
  throw new CliError('DigestMismatch', `${metadata.name} has the digest ${has}, not ${not}; nothing was decided`, {
    exit: EXIT.checkSaysNo,
    fix: [`read what it asks for now: chaperone requests show ${metadata.name}`],
  });
}

/** The answer as flags give it, or as it is given at the terminal. */
async function chosen(
  desk: RequestDesk,
  request: AccessRequest,
  person: Person,
  { decision, digest, output, ...options }: DecideOptions & Pick<VerbOptions, 'again'>,
  io: Io,
): Promise<Answer | 'undecided' | 'interrupted'> {
  const { reason } = options;
  const wantsReason = request.spec.rules.some((rule) => rule.reason && isAsked(rule, person, io.now()));
  const { name } = request.metadata;
  if (decision === 'Approve' && digest === undefined) {
    if (!io.terminal.in || !io.terminal.err || output !== 'text')
      throw new CliError('Usage', `without a terminal, approve needs --digest: what was shown is what is approved`, {
        exit: EXIT.usage,
        fix: [`read what it asks for, and its digest: chaperone requests show ${name}`],
      });
    const { grantFor, again: pasted } = options;
    const picked = await promptDecision({ desk, request, person, io, reason, wantsReason, grantFor, again: pasted });
    return typeof picked === 'string' ? picked : { request, ...picked };
  }
  if (wantsReason && reason === undefined)
    throw new CliError('Usage', `a rule of ${name} wants a reason: add --reason`, {
      exit: EXIT.usage,
      fix: ['--reason TEXT; the agent reads it'],
    });
  return decision === 'Approve'
    ? { request, decision, reason, grantFor: options.grantFor }
    : { request, decision: 'Deny', reason };
}

/** Waits until the answer was counted and nothing more is to be expected, or for some seconds; undefined: it was not counted. */
async function settled(
  desk: RequestDesk,
  { metadata: { namespace, name, uid } }: AccessRequest,
  given: ApprovalDecision,
  decision: Answer['decision'],
  io: Io,
): Promise<{ outcome: Outcome; request: AccessRequest } | undefined> {
  let known: { outcome: Outcome; request: AccessRequest } | undefined;
  try {
    for await (const request of desk.watch({ namespace, name }, AbortSignal.timeout(WAIT_MS))) {
      if (request.metadata.uid !== uid) continue;
      const outcome = outcomeOf(request, given.metadata.name, decision, io.now());
      if (outcome !== undefined) known = { outcome, request };
      if (outcome?.final === true) break;
    }
  } catch (error) {
    // The answer is given; only what became of it is not known.
    if (!(error instanceof CliError)) throw error;
  }
  return known;
}

interface Told {
  readonly answer: Answer;
  readonly given: ApprovalDecision;
  readonly outcome?: Outcome;
  readonly request?: AccessRequest;
}

async function tell(
  desk: RequestDesk,
  { answer, given, outcome, request = answer.request }: Told,
  { output, wait, digest, decision, person }: DecideOptions & { readonly person: Person },
  io: Io,
): Promise<void> {
  const { metadata } = answer.request;
  if (output !== 'text') {
    if (outcome?.error !== undefined) return;
    const said = outcome === undefined ? {} : { outcome: { said: outcome.said, final: outcome.final } };
    return writeDocument(io, output, { decision: given, request, ...said });
  }
  const who = `${person.user}${person.note === undefined ? '' : `, ${person.note}`}`;
  io.err.write(`${visible(`${desk.place}, namespace ${metadata.namespace ?? ''}, as ${who}`)}\n`);
  if (outcome?.error !== undefined || (outcome === undefined && wait)) return;
  const said = outcome?.said ?? `${answer.decision.toLowerCase()} is given as ${given.metadata.name}`;
  // Beside a prompt the person knows which one.
  const isPrompted = decision === 'Approve' && digest === undefined;
  await writeLine(io.out, visible(isPrompted ? said : `accessrequest/${metadata.name} ${said}`));
}
