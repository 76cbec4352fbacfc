import type { AccessRequest, ApprovalDecision } from '@chaperone/api';
import { shortDigest, stateOf } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import { CliError, EXIT, usage } from '../errors.ts';
import { type Io, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import type { ProgramOptions } from '../program.ts';
import type { Answer, Person, RequestDesk } from '../requests/desk.ts';
import { type Outcome, outcomeOf, over } from '../requests/outcome.ts';
import { promptDecision } from '../requests/prompt.ts';
import { isAsked, notAsked } from '../requests/text.ts';

/** How long the answer's effect is waited for. */
const WAIT_MS = 5_000;
const MAX_REASON = 1024;

export interface DecideOptions {
  readonly decision: Answer['decision'];
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
  { io, exit }: Pick<ProgramOptions, 'io' | 'exit'>,
): Promise<void> {
  const request = await desk.get(options.name, options.namespace);
  const person = await desk.person(request);
  demandOpen(request, options.decision, person, io.now());
  if (options.digest !== undefined) demandDigest(request, options.digest);
  if (!request.spec.rules.some((rule) => isAsked(rule, person, io.now())))
    throw new CliError('NotAnApprover', notAsked(request, person), { exit: EXIT.notPermitted });
  const answer = await chosen(desk, request, person, options, io);
  if (answer === 'undecided' || answer === 'interrupted') {
    io.err.write('undecided; nothing was written\n');
    return exit(answer === 'interrupted' ? EXIT.interrupted : EXIT.ok);
  }
  const given = await desk.decide(answer);
  const known = options.wait ? await settled(desk, request, given, answer.decision, io) : undefined;
  await tell(desk, { answer, given, ...known }, { ...options, person }, io);
  const { outcome } = known ?? {};
  if (outcome?.error !== undefined) throw outcome.error;
  if (outcome === undefined && options.wait)
    throw new CliError('NotCountedYet', `the answer ${given.metadata.name} is given, and nobody has counted it yet`, {
      exit: EXIT.unreachable,
      fix: [`chaperone requests show ${request.metadata.name} tells what became of it`],
    });
  if (outcome !== undefined && outcome.exit !== EXIT.ok) exit(outcome.exit);
}

/** What is decided stays so. Whether it is too late is not for our clock to say. Somebody who approved already may say it again, and may think better of it while nothing ran. */
function demandOpen(request: AccessRequest, decision: Answer['decision'], { user }: Person, now: number): void {
  const state = stateOf(request);
  if (state === 'Pending') return;
  const isOwn = request.status?.decisions?.some((each) => each.by === user && each.decision === decision && each.counted);
  if (state === 'Approved' && (decision === 'Deny' || isOwn === true)) return;
  throw over(request, now);
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
  { decision, digest, output, ...options }: DecideOptions,
  io: Io,
): Promise<Answer | 'undecided' | 'interrupted'> {
  const reason = options.reason?.trim() === '' ? undefined : options.reason?.trim();
  if ((reason?.length ?? 0) > MAX_REASON) throw usage(`--reason is at most ${MAX_REASON} characters`);
  const wantsReason = request.spec.rules.some((rule) => rule.reason && isAsked(rule, person, io.now()));
  const { name } = request.metadata;
  if (decision === 'Approve' && digest === undefined) {
    if (!io.terminal.in || !io.terminal.err || output !== 'text')
      throw new CliError('Usage', `without a terminal, approve needs --digest: what was shown is what is approved`, {
        exit: EXIT.usage,
        fix: [`read what it asks for, and its digest: chaperone requests show ${name}`],
      });
    const picked = await promptDecision({ desk, request, person, io, reason, wantsReason });
    return typeof picked === 'string' ? picked : { request, ...picked };
  }
  if (wantsReason && reason === undefined)
    throw new CliError('Usage', `a rule of ${name} wants a reason: add --reason`, {
      exit: EXIT.usage,
      fix: ['--reason TEXT; the agent reads it'],
    });
  return { request, decision, reason };
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
