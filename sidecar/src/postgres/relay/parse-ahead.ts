import { encodeParseComplete, type ParseMessage } from '../wire/index.ts';
import type { Foreteller } from './foretelling.ts';
import type { Held, Judgement } from './judgement.ts';
import type { Link } from './link.ts';
import type { Recorder } from './recorder.ts';
import { asVerdict, type Statements } from './statements.ts';
import type { Prepared, PrepareOutcome } from './steps.ts';
import type { Refusal, Texts } from './texts.ts';

const OVERTAKEN: Refusal = {
  code: 'NotAnalysable',
  reason: 'what it reads was changed meanwhile; nothing of it is shown, ask again',
};
const NOT_AS_FORETOLD = {
  code: 'SessionEnded',
  reason: 'a statement under way reads something else than its text says',
} as const;
const NO_ROOM: Refusal = { code: 'LimitReached', reason: 'too many prepared statements are held; close some' };

type Parsed = Extract<PrepareOutcome, { kind: 'prepared' }>;

export interface ParseAheadOptions {
  readonly link: Link;
  readonly recorder: Recorder;
  readonly statements: Statements;
  readonly foreteller: Foreteller;
  readonly texts: Texts;
}

/**
 * Sends a Parse on without waiting for what comes of it, if it can be foretold: what the agent sends behind it may go on too. The
 * tree of the statement is there before anything of what it is executed for, and decides then.
 *
 * What is not as it was foretold is not shown. Alone in its transaction it ends with an error; otherwise the session ends, since the
 * agent would take for undone what the server goes on with.
 *
 * @returns false where the statement has to be held
 */
export function parseAhead(options: ParseAheadOptions, statement: Held, message: ParseMessage, bytes: number): boolean {
  const { link, recorder, statements, foreteller, texts } = options;
  const { name, parameterTypes } = message;
  if (link.transaction === 'E' || link.statements.has(name) || link.freesStatements) return false;
  const foretelling = foreteller.ofRepeated(statement, parameterTypes);
  if (foretelling === undefined) return false;
  const prepared: Prepared = {
    name,
    judgement: foretelling.judgement,
    fields: [],
    rowDescription: undefined,
    parameters: [],
    parameterTypes,
  };
  if (!link.statements.set(name, prepared)) return false;
  const alone = link.transaction === 'I' && !link.dirty;
  const failed = ({ error }: Extract<PrepareOutcome, { kind: 'failed' }>): void => {
    if (link.statements.get(name) === prepared) link.statements.delete(name);
    if (error === undefined) return;
    const shown = texts.serverError(error, statements.parsingTells);
    const verdict = asVerdict({ code: 'ServerError', reason: shown.message });
    recorder.judgedMeanwhile({ text: undefined, bytes, verdict, writes: false });
    link.tell(shown.bytes);
  };
  statements.stream({ name, text: statement.text, parameterTypes }, (outcome) => {
    if (outcome.kind === 'failed') return failed(outcome);
    const { judgement, asForetold } = foreteller.cameTrue(foretelling, outcome);
    prepared.judgement = judgement;
    prepared.fields = outcome.fields;
    prepared.rowDescription = outcome.rowDescription;
    prepared.parameters = outcome.parameters;
    if (!asForetold) overtaken(options, prepared, judgement, alone);
    if (judgement.unknownObjects) void judgeAnew(options, prepared, outcome);
    // It holds its tree by now.
    if (link.statements.get(name) !== prepared || link.statements.set(name, prepared)) return;
    prepared.judgement = { ...judgement, refusal: NO_ROOM, approved: undefined };
    statements.drop(name);
  });
  link.say(encodeParseComplete());
  return true;
}

/** What was bound of it counts no more: that was looked at as if it did something else. */
function overtaken({ link, statements }: ParseAheadOptions, of: Prepared, found: Judgement, alone: boolean): void {
  // Nobody knows what has run.
  statements.mayRun(true);
  const judgement: Judgement = { ...found, refusal: OVERTAKEN, approved: undefined, touchesLabelled: true };
  const runs = link.runs();
  const own = runs.filter(({ portal }) => portal.prepared === of);
  for (const portal of link.portalsOf(of)) {
    portal.prepared = { ...of, judgement };
    portal.judgement = judgement;
    portal.parameters = undefined;
  }
  if (own.length > 0 && (!alone || runs.length > 1)) link.end(NOT_AS_FORETOLD);
  for (const run of own) run.stopped = OVERTAKEN;
}

/** Nobody waits for it: until then, and where the catalogue can not be read, what names something new is refused. */
async function judgeAnew({ foreteller }: ParseAheadOptions, prepared: Prepared, outcome: Parsed): Promise<void> {
  const { judgement } = prepared;
  const anew = await foreteller.anew(judgement.statement, outcome).catch(() => judgement);
  if (prepared.judgement === judgement) prepared.judgement = anew;
}
