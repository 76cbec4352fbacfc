import { type Clock, deferred } from '../../platform.ts';
import type { Statement } from '../actions/index.ts';
import { encodeBind, encodeCommandComplete, encodeEmptyQueryResponse, encodeExecute, encodeFlush } from '../wire/index.ts';
import { changesMeaning, shownInstance } from './judgement.ts';
import type { Link } from './link.ts';
import type { Recorder } from './recorder.ts';
import type { Run } from './run.ts';
import { asVerdict, type Statements } from './statements.ts';
import type { Attempt, Portal, Prepared } from './steps.ts';
import type { Instance, Templates } from './templates.ts';
import type { Refusal, Texts } from './texts.ts';

export interface SimpleQueryOptions {
  readonly link: Link;
  readonly recorder: Recorder;
  readonly texts: Texts;
  readonly statements: Statements;
  readonly templates: Templates;
  readonly clock: Clock;
  readonly copyIn: (run: Run) => Promise<void>;
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
      return;
    }
    const ran = await this.#text(text, bytes);
    if (instance !== undefined && ran !== undefined) await templates.ran(instance, ran, clock.monotonic() - began);
  }

  /** Runs an instance by its template. False: nothing of it ran or was told, and the text itself has to run. */
  async #instance(instance: Instance, text: string, bytes: number): Promise<boolean> {
    const { link, recorder, statements, templates } = this.#o;
    const prepared = templates.ready(instance);
    if (prepared === undefined) return false;
    const judgement = statements.current(prepared.judgement, prepared.fields);
    if (judgement.refusal !== undefined) return false;
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
    const attempt: Attempt = { opening: prepared.rowDescription, failed: false };
    const bind = { portal: '', statement: prepared.name, parameterFormats: [], parameters: values, resultFormats: [] };
    link.send(encodeBind(bind), { kind: 'bind', portal, tell: false, settled: deferred(), attempt });
    link.send(encodeExecute({ portal: '', maxRows: run.ask(0) }), { kind: 'execute', run });
    const { done } = await statements.sync(true, attempt);
    await done;
    if (!attempt.failed) return true;
    recorder.finished(run, { error: { code: 'ServerError', message: 'the values do not fit the template; the text is run' } });
    templates.failed(instance);
    return false;
  }

  /** Runs a text statement by statement. @returns What it ran as, where it was one statement and ran well. */
  async #text(text: string, bytes: number): Promise<Prepared | undefined> {
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

  async #ready(): Promise<void> {
    const { done } = await this.#o.statements.sync(true);
    await done;
  }

  async #refuse(refusal: Refusal, statement: string, text: string | undefined, bytes: number): Promise<'failed'> {
    const { link, recorder, texts, clock } = this.#o;
    await recorder.judged({ text, bytes, verdict: refusal.verdict ?? asVerdict(refusal), writes: false });
    const { bytes: error, delayMs } = texts.refuse(refusal, statement, link.transaction);
    if (delayMs > 0) await link.pause(clock.after(delayMs));
    link.say(error);
    link.undo = true;
    return 'failed';
  }

  async #statement(statement: Statement, last: boolean): Promise<Outcome> {
    const { link, recorder, texts, statements } = this.#o;
    const bytes = Buffer.byteLength(statement.text);
    if (statement.kind === 'set' && statement.emulated) {
      link.say(encodeCommandComplete('SET'));
      return 'next';
    }
    const prepared = await statements.prepare(statement, '', []);
    if (prepared.kind === 'skipped') return 'failed';
    if (prepared.kind === 'refused') return this.#refuse(prepared.refusal, statement.text, prepared.text, bytes);
    if (prepared.kind === 'failed') {
      const shown = texts.serverError(prepared.error, false);
      const refusal = { code: 'ServerError', reason: shown.message };
      await recorder.judged({ text: undefined, bytes, verdict: asVerdict(refusal), writes: false });
      link.say(shown.bytes);
      return 'failed';
    }
    if (prepared.prepared.parameters > 0) {
      return this.#refuse(
        { code: 'NotAnalysable', reason: 'a parameter such as $1 has no value in a simple query' },
        statement.text,
        undefined,
        bytes,
      );
    }
    const spent = statements.spend(prepared.prepared.judgement, []);
    if (spent !== undefined) return this.#refuse(spent, statement.text, prepared.prepared.judgement.text, bytes);
    return this.#execute(prepared.prepared, bytes, last);
  }

  async #execute(prepared: Prepared, bytes: number, last: boolean): Promise<Outcome> {
    const { link, recorder, statements, templates } = this.#o;
    const { judgement } = prepared;
    if (changesMeaning(judgement)) templates.forget();
    statements.starting(judgement);
    const action = await recorder.judged({ text: judgement.text, bytes, verdict: judgement.verdict, writes: judgement.writes });
    const portal: Portal = { name: '', prepared, formats: [], parameters: undefined, judgement, rows: 0, bytes: 0 };
    const run = recorder.run(action, portal);
    run.committing = last;
    const copyIn = judgement.statement.kind === 'copy-in';
    const copyOut = judgement.statement.kind === 'copy-out';
    if (prepared.rowDescription !== undefined && !copyOut) link.say(prepared.rowDescription);
    const mayUndo = run.limited && link.undoable(judgement.writes);
    link.dirty = true;
    link.send(encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }), {
      kind: 'bind',
      portal,
      tell: false,
      settled: deferred(),
    });
    link.send(encodeExecute({ portal: '', maxRows: run.ask(0) }), { kind: 'execute', run });
    const ending = last && !copyIn && !mayUndo ? await statements.sync(true) : undefined;
    if (ending === undefined) {
      link.toServer.push(encodeFlush());
      link.toServer.flush();
    }
    let end = await run.settled.promise;
    if (end === 'copy-in') {
      await this.#o.copyIn(run);
      link.toServer.push(encodeFlush());
      link.toServer.flush();
      end = await run.copied.promise;
    }
    await statements.executed(judgement, end);
    if (ending !== undefined) {
      await ending.done;
      return { ran: end === 'complete' ? prepared : undefined };
    }
    return end === 'failed' ? 'failed' : 'next';
  }
}
