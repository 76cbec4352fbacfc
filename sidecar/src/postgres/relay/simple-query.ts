import type { Clock } from '../../platform.ts';
import type { Access } from '@chaperone/policy';
import type { Statement, StatementOf } from '../actions/index.ts';
import { encodeBind, encodeCommandComplete, encodeEmptyQueryResponse, encodeExecute, encodeFlush } from '../wire/index.ts';
import { sealBound, type StatementApproval, voided } from './approval.ts';
import { changesMeaning, type Judgement, judgePlain, MASK_WRITTEN_BACK, shownInstance } from './judgement.ts';
import type { Foreteller } from './foretelling.ts';
import type { Link } from './link.ts';
import type { Recorder } from './recorder.ts';
import type { Run } from './run.ts';
import { Settled } from './settled.ts';
import { deallocate, findPrepared, isSqlPrepared, type SqlError, type SqlPrepared } from './sql-prepared.ts';
import { streamByText, streamInstance } from './streaming.ts';
import { asVerdict, type Preparation, type Statements } from './statements.ts';
import type { Attempt, Portal, Prepared } from './steps.ts';
import { type Instance, NAME_RESERVED, OWN_NAMES, type Templates } from './templates.ts';
import type { Refusal, Texts } from './texts.ts';

export interface SimpleQueryOptions {
  readonly link: Link;
  readonly recorder: Recorder;
  readonly texts: Texts;
  readonly statements: Statements;
  readonly foreteller: Foreteller;
  readonly templates: Templates;
  readonly approval: StatementApproval;
  readonly access: () => Access;
  readonly clock: Clock;
  readonly copyIn: (run: Run) => Promise<void>;
}

/** A statement that SQL prepared, with what EXECUTE gives to it. */
interface Named {
  readonly statement: string;
  readonly values: readonly (Buffer | null)[];
  /** As evidence keeps it. */
  readonly text: string;
}

const UNNAMED = { statement: '', values: [] };

const ABORTED: SqlError = {
  sqlstate: '25P02',
  message: 'current transaction is aborted, commands ignored until end of transaction block',
};

/** As a server says it. */
export const CANCELLED = ['57014', 'canceling statement due to user request'] as const;

/** Why it cannot run, whoever approves it. */
function refusalOf({ refusal, approved }: Judgement): Refusal | undefined {
  return approved === undefined ? refusal : undefined;
}

/** The server never hears of it. */
function isAnsweredHere(statement: Statement): boolean {
  return statement.kind === 'deallocate' || (statement.kind === 'set' && statement.emulated);
}

/** `ran`: it was synced too, and what ran if all went well. */
type Outcome = 'next' | 'failed' | { readonly ran: Prepared | undefined };

/**
 * Runs a Query message as Parse, Bind, Execute of each of its statements with one Sync at the end: the server treats that as
 * the same implicit transaction, and each statement can be held until its verdict is known.
 * https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-SIMPLE-QUERY
 */
export class SimpleQuery {
  readonly #o: SimpleQueryOptions;

  constructor(options: SimpleQueryOptions) {
    this.#o = options;
  }

  async run(text: string, bytes: number): Promise<void> {
    const { link, templates, clock } = this.#o;
    if (!(link.idle || (await this.#turn())) || link.skipping) return;
    link.statements.delete('');
    const instance = templates.find(text);
    const began = clock.monotonic();
    if (instance !== undefined && (await this.#instance(instance, text, bytes))) {
      templates.used(instance, clock.monotonic() - began);
    } else {
      const streamed = instance && (await streamInstance(this.#o, instance, text, bytes));
      const ran = streamed ?? (await this.#text(text, bytes));
      if (instance !== undefined && typeof ran === 'object') templates.ran(instance, ran, clock.monotonic() - began);
    }
    if (templates.wish) await templates.prepare();
  }

  /** Runs an instance by its template. False: nothing of it ran or was told, and the text itself has to run. */
  async #instance(instance: Instance, text: string, bytes: number): Promise<boolean> {
    const { link, recorder, statements, templates } = this.#o;
    const prepared = templates.ready(instance);
    if (prepared === undefined) return false;
    const judgement = statements.current(prepared.judgement, prepared.fields);
    if (judgement.refusal !== undefined || statements.barred(judgement) !== undefined) return false;
    const values = instance.values.map((value) => Buffer.from(value));
    const spent = statements.spend(judgement, values);
    if (spent !== undefined) {
      await this.#refuse(spent, text, shownInstance(judgement, text), bytes);
      await this.#ready();
      return true;
    }
    const action = await recorder.judged({
      text: shownInstance(judgement, text),
      bytes,
      verdict: judgement.verdict,
      writes: false,
    });
    const portal: Portal = { name: '', prepared, formats: [], parameters: undefined, judgement, rows: 0, bytes: 0 };
    statements.starting(judgement);
    const run = recorder.run(action, portal);
    run.committing = true;
    const attempt: Attempt = { opening: prepared.rowDescription, told: link.transaction !== 'I', failed: false };
    const bind = { portal: '', statement: prepared.name, parameterFormats: [], parameters: values, resultFormats: [] };
    link.send(encodeBind(bind), { kind: 'bind', portal, tell: false, settled: new Settled(), attempt });
    link.send(encodeExecute({ portal: '', maxRows: run.ask(0) }), { kind: 'execute', run });
    await statements.synced(true, attempt);
    if (!attempt.failed) return true;
    templates.failed(instance);
    return attempt.told;
  }

  /** Runs a text statement by statement. @returns What it ran as, where it was one statement and ran well. */
  async #text(text: string, bytes: number): Promise<Prepared | 'failed' | undefined> {
    const { link, statements } = this.#o;
    const classified = await statements.classify(text);
    if (classified.kind === 'refused') {
      await this.#refuse(classified.refusal, text, undefined, bytes);
      await this.#ready();
      return undefined;
    }
    if (classified.statements.length === 0) {
      link.say(encodeEmptyQueryResponse());
      await this.#ready();
      return undefined;
    }
    const [only, second] = classified.statements;
    const streamed = only && second === undefined ? await streamByText(this.#o, only, bytes) : undefined;
    if (streamed !== undefined) return streamed;
    for (const [index, statement] of classified.statements.entries()) {
      const last = index === classified.statements.length - 1;
      const outcome = await this.#statement(statement, last);
      if (typeof outcome === 'object') return index === 0 ? outcome.ran : undefined;
      if (outcome === 'failed') break;
    }
    await this.#ready();
    return undefined;
  }

  /** Refuses a message as a whole, with the ReadyForQuery that ends every Query. */
  async refuseWhole(refusal: Refusal, bytes: number): Promise<void> {
    if (!(await this.#turn())) return;
    await this.#refuse(refusal, '', undefined, bytes);
    await this.#ready();
  }

  /** The server answers in order: what it still owes comes first. False: that failed, and all is dropped up to Sync. */
  async #turn(): Promise<boolean> {
    const { link } = this.#o;
    if (!link.idle) link.toServer.push(encodeFlush());
    link.toServer.flush();
    await link.drained();
    return !link.skipping;
  }

  #ready(): Promise<void> {
    return this.#o.statements.synced(true);
  }

  async #refuse(refusal: Refusal, statement: string, text: string | undefined, bytes: number): Promise<'failed'> {
    const { recorder } = this.#o;
    await recorder.judged({ text, bytes, verdict: refusal.verdict ?? asVerdict(refusal), writes: false });
    return this.#told(refusal, statement);
  }

  /** Refuses what has its record already. */
  async #told(refusal: Refusal, statement: string): Promise<'failed'> {
    const { link, texts, clock } = this.#o;
    const { bytes, delayMs } = texts.refuse(refusal, statement, link.transaction);
    if (delayMs > 0) await link.pause(clock.after(delayMs));
    return this.#undone(bytes);
  }

  #undone(error: Buffer): 'failed' {
    const { link } = this.#o;
    link.say(error);
    link.undo = true;
    return 'failed';
  }

  async #statement(statement: Statement, last: boolean): Promise<Outcome> {
    const { link, statements } = this.#o;
    const bytes = Buffer.byteLength(statement.text);
    if (link.transaction === 'E' && isAnsweredHere(statement)) return this.#sqlError(ABORTED, bytes);
    if (statement.kind === 'set' && statement.emulated) {
      link.say(encodeCommandComplete('SET'));
      return 'next';
    }
    if (isSqlPrepared(statement)) return this.#sqlPrepared(statement, bytes, last);
    const prepared = await statements.prepare(statement, '', []);
    if (prepared.kind !== 'prepared') return this.#unprepared(prepared, statement, bytes);
    if (prepared.prepared.parameters.length > 0) {
      return this.#refuse(
        { code: 'NotAnalysable', reason: 'a parameter such as $1 has no value in a simple query' },
        statement.text,
        undefined,
        bytes,
      );
    }
    const { judgement } = prepared.prepared;
    const refusal = refusalOf(judgement) ?? statements.barred(judgement) ?? statements.spend(judgement, []);
    if (refusal !== undefined) return this.#refuse(refusal, statement.text, judgement.text, bytes);
    return this.#execute(prepared.prepared, bytes, last);
  }

  async #unprepared(outcome: Exclude<Preparation, { kind: 'prepared' }>, statement: Statement, bytes: number): Promise<'failed'> {
    if (outcome.kind === 'skipped') return 'failed';
    if (outcome.kind === 'refused') return this.#refuse(outcome.refusal, statement.text, outcome.text, bytes);
    const { bytes: error, message } = this.#o.texts.serverError(outcome.error, this.#o.statements.parsingTells);
    return this.#error(error, message, bytes);
  }

  /** An error that is the server's, or as the server would say it. */
  async #error(error: Buffer, reason: string, bytes: number): Promise<'failed'> {
    await this.#o.recorder.judged({ text: undefined, bytes, verdict: asVerdict({ code: 'ServerError', reason }), writes: false });
    this.#o.link.say(error);
    return 'failed';
  }

  /** An error in place of the server's, which does not know of it: what it fails is to be undone there. */
  async #sqlError({ sqlstate, message }: SqlError, bytes: number): Promise<'failed'> {
    const { link, texts } = this.#o;
    await this.#error(texts.error(sqlstate, message), message, bytes);
    link.undo = true;
    return 'failed';
  }

  async #sqlPrepared(statement: SqlPrepared, bytes: number, last: boolean): Promise<Outcome> {
    const { link, statements } = this.#o;
    if (statement.kind === 'execute') return this.#sqlExecute(statement, bytes, last);
    if (statement.kind === 'prepare') {
      if (statement.name.startsWith(OWN_NAMES)) return this.#refuse(NAME_RESERVED, statement.text, statement.text, bytes);
      const outcome = statements.keep(await statements.store(statement));
      if (outcome.kind !== 'prepared') return this.#unprepared(outcome, statement, bytes);
      return this.#done(outcome.prepared.judgement, 'PREPARE', bytes);
    }
    const freed = deallocate(link, statement.name);
    if (typeof freed === 'object') return this.#sqlError(freed, bytes);
    return this.#done(judgePlain(statement, this.#o.access()), freed, bytes);
  }

  /** Records and says what needed nothing more of the server. */
  async #done(judgement: Judgement, tag: string, bytes: number): Promise<'next'> {
    const { link, recorder } = this.#o;
    const action = await recorder.judged({ text: judgement.text, bytes, verdict: judgement.verdict, writes: false });
    const prepared: Prepared = { name: '', judgement, fields: [], rowDescription: undefined, parameters: [], parameterTypes: [] };
    const portal: Portal = { name: '', prepared, formats: [], parameters: undefined, judgement, rows: 0, bytes: 0 };
    recorder.finished(recorder.run(action, portal), { tag });
    link.say(encodeCommandComplete(tag));
    return 'next';
  }

  async #sqlExecute(statement: StatementOf<'execute'>, bytes: number, last: boolean): Promise<Outcome> {
    const { link, statements } = this.#o;
    const found = findPrepared(link, statement);
    if ('sqlstate' in found) return this.#sqlError(found, bytes);
    if ('code' in found) return this.#refuse(found, statement.text, undefined, bytes);
    const judgement = statements.current(found.judgement, found.fields);
    const text = shownInstance(judgement, statement.text);
    const values = statement.values.map((value) => (value === null ? null : Buffer.from(value)));
    const masked = judgement.writes && statement.maskSentinel ? MASK_WRITTEN_BACK : undefined;
    const refusal = refusalOf(judgement) ?? masked ?? statements.barred(judgement) ?? statements.spend(judgement, values);
    if (refusal !== undefined) return this.#refuse(refusal, statement.text, text, bytes);
    return this.#execute(found, bytes, last, { statement: statement.name, values, text });
  }

  async #execute(prepared: Prepared, bytes: number, last: boolean, named?: Named): Promise<Outcome> {
    const { recorder, statements } = this.#o;
    const judgement = statements.current(prepared.judgement, prepared.fields);
    if (judgement.approved !== undefined) return this.#held(prepared, judgement, { bytes, last, named });
    const text = named?.text ?? judgement.text;
    if (judgement.refusal !== undefined) return this.#refuse(judgement.refusal, judgement.statement.text, text, bytes);
    const { verdict, writes } = judgement;
    const action = await recorder.judged({ text, bytes, verdict, writes });
    return this.#run(prepared, judgement, { action, last, named });
  }

  /** Asks people first. Where nothing is under way, other sessions wait for no lock meanwhile. */
  async #held(
    prepared: Prepared,
    judgement: Judgement,
    given: { bytes: number; last: boolean; named: Named | undefined },
  ): Promise<Outcome> {
    const { link, statements, approval } = this.#o;
    const { bytes, last, named } = given;
    if (!(await this.#turn())) return 'failed';
    const locks = link.inTransaction;
    if (!locks) await statements.synced(false);
    const bound = named === undefined ? undefined : sealBound({ values: named.values, types: prepared.parameters });
    const answer = await approval.ask(
      {
        judgement,
        executed: named?.text,
        bytes,
        bound,
        values: { parameters: named?.values ?? [], parameterFormats: [], types: prepared.parameters },
      },
      locks,
    );
    if (answer.kind === 'cancelled') return this.#undone(this.#o.texts.error(...CANCELLED));
    if (answer.kind === 'refused') return this.#told(answer.refusal, judgement.statement.text);
    if (!(await statements.unchanged(prepared, judgement))) {
      answer.ended('what it touches changed; it did not run');
      return this.#told(voided(answer.request, judgement), judgement.statement.text);
    }
    const { action, request } = answer;
    const approved = { ...prepared, judgement: answer.judgement, of: prepared };
    const outcome = await this.#run(approved, answer.judgement, {
      action,
      last,
      named,
      request,
      onRun: answer.ended,
    });
    // A template of it would run unasked.
    return typeof outcome === 'object' ? { ran: undefined } : outcome;
  }

  async #run(
    prepared: Prepared,
    judgement: Judgement,
    given: { action: number; last: boolean; named: Named | undefined; request?: string; onRun?: (run: Run) => void },
  ): Promise<Outcome> {
    const { link, recorder, statements, templates } = this.#o;
    const { action, last, named, request } = given;
    if (changesMeaning(judgement)) templates.forget();
    statements.starting(judgement);
    const { writes } = judgement;
    const portal: Portal = { name: '', prepared, formats: [], parameters: undefined, judgement, rows: 0, bytes: 0 };
    const run = recorder.run(action, portal);
    given.onRun?.(run);
    run.committing = last;
    const copyIn = judgement.statement.kind === 'copy-in';
    const mayUndo = run.limited && link.undoable(judgement.writes);
    link.dirty = true;
    const bound = this.#bind(portal, named);
    const waits = request !== undefined || (writes && named !== undefined);
    if (waits && !(await this.#holds(run, bound, request))) {
      run.settled.resolve('failed');
      return 'failed';
    }
    link.send(encodeExecute({ portal: '', maxRows: run.ask(0) }), { kind: 'execute', run });
    const ending = last && !copyIn && !mayUndo ? await statements.sync(true) : undefined;
    if (ending === undefined) this.#flush();
    const end = await this.#ended(run);
    await statements.executed(judgement, end);
    if (ending !== undefined) {
      await ending.promise;
      return { ran: end === 'complete' ? prepared : undefined };
    }
    return end === 'failed' ? 'failed' : 'next';
  }

  /** How it ended, once the agent has copied in what it is asked for. */
  async #ended(run: Run): Promise<Awaited<Run['settled']['promise']>> {
    const end = await run.settled.promise;
    if (end !== 'copy-in') return end;
    await this.#o.copyIn(run);
    this.#flush();
    return run.copied.promise;
  }

  #bind(portal: Portal, { statement, values: parameters }: Pick<Named, 'statement' | 'values'> = UNNAMED): Promise<boolean> {
    const settled = new Settled<boolean>();
    const bind = { portal: '', statement, parameterFormats: [], parameters, resultFormats: [] };
    const { prepared, judgement } = portal;
    // COPY describes its rows itself.
    const opening = judgement.statement.kind === 'copy-out' ? undefined : prepared.rowDescription;
    const attempt: Attempt = { opening, told: true, failed: false };
    this.#o.link.send(encodeBind(bind), { kind: 'bind', portal, tell: false, settled, attempt });
    return settled.promise;
  }

  #flush(): void {
    const { toServer } = this.#o.link;
    toServer.push(encodeFlush());
    toServer.flush();
  }

  /** Waits for the server to bind what can write: a tree that it prints then may change the verdict. */
  async #holds(run: Run, bound: Promise<boolean>, request?: string): Promise<boolean> {
    const { recorder } = this.#o;
    this.#flush();
    const { refusal: met } = (await bound) ? run.portal.judgement : { refusal: undefined };
    const refusal = met !== undefined && request !== undefined ? voided(request, run.portal.judgement) : met;
    if (!(await bound)) recorder.skipped(run, 'ServerError');
    if (!(await bound) || refusal === undefined) return bound;
    recorder.finished(run, { error: { code: refusal.code, message: refusal.reason } });
    await this.#refuse(refusal, run.portal.judgement.statement.text, run.portal.judgement.text, 0);
    return false;
  }
}
