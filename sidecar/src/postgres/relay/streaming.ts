import type { Access } from '@chaperone/policy';
import { hasMaskSentinel, type Statement } from '../actions/index.ts';
import { encodeBind, encodeExecute, encodeFlush } from '../wire/index.ts';
import type { Foreteller, Foretelling } from './foretelling.ts';
import { type Judgement, shownInstance } from './judgement.ts';
import { boundsRows } from './limits.ts';
import type { Link } from './link.ts';
import type { Recorder } from './recorder.ts';
import type { Run } from './run.ts';
import { Settled } from './settled.ts';
import type { Statements } from './statements.ts';
import type { Attempt, Portal, Prepared, PrepareOutcome } from './steps.ts';
import type { Instance, Templates } from './templates.ts';
import type { Refusal, Texts } from './texts.ts';

const NOT_AS_FORETOLD = { code: 'SessionEnded', reason: 'a repeated statement now reads what it may not' } as const;
const TAKEN_BACK: Refusal = { code: 'NotAnalysable', reason: 'it reads something else by now; taken back, and judged anew' };

export interface Streaming {
  readonly access: () => Access;
  readonly link: Link;
  readonly recorder: Recorder;
  readonly statements: Statements;
  readonly foreteller: Foreteller;
  readonly templates: Templates;
  readonly texts: Texts;
}

/**
 * Runs an instance by its own text in one breath: the tree that the server prints is judged before a row passes. What is not as it
 * was foretold runs already. Within a transaction it ends the session. Alone in its transaction nothing of it is shown, and it is
 * taken back: only once its tree was judged it is committed.
 *
 * @returns what it ran as, or that it failed; undefined where nothing of it stays or was told
 */
export async function streamInstance(
  streaming: Streaming,
  instance: Instance,
  text: string,
  bytes: number,
): Promise<Prepared | 'failed' | undefined> {
  const { link, statements, templates, foreteller } = streaming;
  const known = templates.foretold(instance);
  if (known === undefined) return undefined;
  const judgement = statements.current(judgementOf(known.judgement, text), known.fields);
  // What is counted as a guess goes by its own tree.
  if (judgement.refusal !== undefined || statements.barred(judgement) !== undefined || judgement.guesses > 0) return undefined;
  const alone = link.transaction === 'I' ? 'once it was judged' : 'at once';
  const ends = foreteller.readsTables(judgement) ? 'with it' : alone;
  return stream(streaming, { judgement, prepared: { ...known, name: '', judgement }, text, bytes, ends });
}

/**
 * As {@link streamInstance}, for a query whose text says what it does. It reads tables and nothing else, so that there is nothing to
 * take back: its Sync goes with it, and what is not as it was foretold is not shown.
 */
export async function streamByText(
  streaming: Streaming,
  statement: Statement,
  bytes: number,
): Promise<Prepared | 'failed' | undefined> {
  const { link, foreteller, access } = streaming;
  if (link.transaction === 'E' || link.dirty) return undefined;
  // What a limit stops within a transaction fails it, and has to be waited for.
  if (link.transaction === 'T' && boundsRows(access().limits)) return undefined;
  const foretold = foreteller.ofText(statement);
  if (foretold === undefined) return undefined;
  const { judgement } = foretold;
  const prepared: Prepared = { name: '', judgement, fields: [], rowDescription: undefined, parameters: [], parameterTypes: [] };
  return stream(streaming, { ...foretold, prepared, text: statement.text, bytes, ends: 'with it' });
}

type Streamed = Foretelling & {
  readonly prepared: Prepared;
  readonly text: string;
  readonly bytes: number;
  /** When its Sync goes, and what becomes of what is not as it was foretold: taken back, or the session ends, or it is not shown. */
  readonly ends: 'once it was judged' | 'at once' | 'with it';
};

async function stream(
  { link, recorder, statements, foreteller, texts, access }: Streaming,
  given: Streamed,
): Promise<Prepared | 'failed' | undefined> {
  const { judgement, prepared, text, bytes, ends } = given;
  const action = await recorder.judged({ text: judgement.text, bytes, verdict: judgement.verdict, writes: false });
  const portal: Portal = { name: '', prepared, formats: [], parameters: undefined, judgement, rows: 0, bytes: 0 };
  const run = recorder.run(action, portal);
  run.committing = true;
  const attempt: Attempt = { opening: undefined, told: true, failed: false };
  /** Failed once it is taken back: then not even that it ended is told. */
  const back: Attempt = { opening: undefined, told: false, failed: false };
  const parseFailed = ({ error }: Extract<PrepareOutcome, { kind: 'failed' }>): void => {
    attempt.failed = true;
    if (error !== undefined) link.tell(texts.serverError(error, statements.parsingTells).bytes);
  };
  const otherwise = (): void => {
    if (ends === 'at once') return link.end(NOT_AS_FORETOLD);
    back.failed = true;
    // Nobody knows what has run, nor what it says of itself.
    statements.mayRun(true);
    portal.judgement = { ...judgement, touchesLabelled: access().sensitive.length > 0 };
    run.stopped = TAKEN_BACK;
    link.muted = true;
    if (ends === 'with it') return;
    link.dirty = true;
    link.undo = true;
  };
  statements.starting(judgement);
  const parsed = statements.stream({ name: '', text }, (outcome) => {
    if (outcome.kind === 'failed') return parseFailed(outcome);
    const { fields, rowDescription, parameters } = outcome;
    const found = foreteller.cameTrue(given, outcome);
    if (!found.asForetold || parameters.length > 0) return otherwise();
    portal.prepared = { name: '', judgement: found.judgement, fields, rowDescription, parameters, parameterTypes: [] };
    portal.judgement = found.judgement;
    attempt.opening = rowDescription;
  });
  execute(link, portal, run, attempt);
  if (ends === 'once it was judged') {
    link.toServer.push(encodeFlush());
    link.toServer.flush();
    await parsed.promise;
  }
  await statements.synced(true, back);
  if (back.failed && !link.over) return undefined;
  return attempt.failed || link.over ? 'failed' : portal.prepared;
}

/** The judgement of one instance for another of the same template. */
function judgementOf(judgement: Judgement, text: string): Judgement {
  const statement = { ...judgement.statement, text, maskSentinel: hasMaskSentinel(text) } as Statement;
  return { ...judgement, statement, text: shownInstance(judgement, text) };
}

function execute(link: Link, portal: Portal, run: Run, attempt: Attempt): void {
  const bind = { portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] };
  link.send(encodeBind(bind), { kind: 'bind', portal, tell: false, settled: new Settled(), attempt });
  link.send(encodeExecute({ portal: '', maxRows: run.ask(0) }), { kind: 'execute', run });
}
