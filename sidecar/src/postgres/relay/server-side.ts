import { kept } from '../../lent.ts';
import { copyFormatOf, CopyMasker, maskRows } from '../masking/index.ts';
import {
  BACKEND,
  type BackendType,
  type Decision,
  decodeCommandComplete,
  decodeCopyResponse,
  decodeErrorResponse,
  decodeParameterDescription,
  decodeParameterStatus,
  decodeReadyForQuery,
  decodeRowDescription,
  MAX_WHOLE_ROW_BYTES,
  type Piece,
  type ServerMessageFields,
} from '../wire/index.ts';
import { Group } from './group.ts';
import { endsTransaction } from './judgement.ts';
import { decideServer } from './limits.ts';
import type { Link } from './link.ts';
import { isHidden, treeOf } from './notices.ts';
import type { Recorder } from './recorder.ts';
import type { Run } from './run.ts';
import type { Statements } from './statements.ts';
import { type Portal, type PrepareOutcome, type PrepareStep, settlePrepare, type Step } from './steps.ts';
import type { Refusal, Texts } from './texts.ts';

/** Parameters that an agent may see; any other could carry a value out. */
const SHOWN_PARAMETERS = new Set([
  'server_version',
  'server_encoding',
  'client_encoding',
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'integer_datetimes',
  'standard_conforming_strings',
  'in_hot_standby',
  'default_transaction_read_only',
]);
/** What the server reads constants of dates and times by; it tells of every change, before ReadyForQuery. */
export const READ_BY: ReadonlySet<string> = new Set(['DateStyle', 'IntervalStyle', 'TimeZone']);
/** Our parser reads text as the server does only while these hold; a change is the sign of a way round the refusals. */
const PINNED_PARAMETERS: ReadonlyMap<string, string> = new Map([
  ['standard_conforming_strings', 'on'],
  ['client_encoding', 'UTF8'],
]);
/** COPY of a relation leaves out generated columns, which the query that stands for it in the analysis has. */
const COLUMNS_UNKNOWN: Refusal = {
  code: 'NotAnalysable',
  reason: 'COPY of this relation has other columns than it; name the columns, or use COPY (SELECT …)',
};
/** Trees that one Parse may print; a server prints one, or two when something changes beside it. */
const MAX_TREES = 64;

/**
 * What a template can fail with that its text may not: a value that does not fit, another definition of a table, a statement that is
 * gone. Whatever else it says, a cancelled wait for a lock say, the text would meet too.
 */
const UNFIT = /^(?:22|42|0A000|26000)/;

export function shownParameter(name: string): boolean {
  return SHOWN_PARAMETERS.has(name);
}

/** Something came that a server in this state cannot have said. The session ends; nothing of it is forwarded. */
export class UpstreamProtocolError extends Error {
  override readonly name = 'UpstreamProtocolError';
}

export interface ServerSideOptions {
  readonly link: Link;
  readonly recorder: Recorder;
  readonly texts: Texts;
  readonly statements: Statements;
}

/** Reads the server's answers: gives each to the step it belongs to, masks rows, hides what is not for the agent. */
export class ServerSide {
  readonly #link: Link;
  readonly #recorder: Recorder;
  readonly #texts: Texts;
  readonly #statements: Statements;
  #streaming: Run | undefined;
  /** Whose rows came in this read, and still point into it. */
  readonly #fed: Run[] = [];
  readonly #group: Group;

  constructor(options: ServerSideOptions) {
    this.#link = options.link;
    this.#recorder = options.recorder;
    this.#texts = options.texts;
    this.#statements = options.statements;
    this.#group = new Group(options.recorder);
  }

  /** How a message of this length is taken: rows that pass as they are may be streamed, those beyond a limit are read over. */
  decide(type: BackendType, length: number): Decision {
    if (length <= MAX_WHOLE_ROW_BYTES) return decideServer(type, length);
    return decideServer(type, length, { passes: this.#passes, beyond: this.#run()?.exceeds(length) === true });
  }

  get #passes(): boolean {
    const run = this.#run();
    return run !== undefined && run.portal.judgement.plan === undefined && run.stopped === undefined;
  }

  #run(): Run | undefined {
    const step = this.#link.step;
    return step?.kind === 'execute' ? step.run : undefined;
  }

  /** Takes one piece. Throws UpstreamProtocolError and ProtocolError: the session must end. */
  take(piece: Piece): void {
    if (piece.kind === 'message') this.#message(piece.type, piece.bytes);
    else if (piece.kind === 'run' && piece.type === BACKEND.DataRow) this.#dataRows(piece.bytes, piece.count);
    else if (piece.kind === 'run') this.#copyData(this.#run(), piece.bytes, piece.count);
    else if (piece.kind === 'start') this.#streamed(piece.bytes, piece);
    else if (piece.kind === 'more') this.#streamed(piece.bytes);
    else if (!this.#run()?.reachesLimit(piece.length)) throw new UpstreamProtocolError('a message was skipped');
  }

  /** Call when all messages of one read were taken: nothing may point into the read buffer any more. The agent's answer goes first. */
  settle(): void {
    this.#link.toAgent.flush();
    // First what has ended, which has nothing left to settle then: most results lie in one read, and are hashed at once.
    this.#recorder.settle();
    for (const run of this.#fed) this.#recorder.note(run.settle());
    this.#fed.length = 0;
  }

  #message(type: BackendType, bytes: Buffer): void {
    if (type === BACKEND.DataRow) return this.#dataRows(bytes, 1);
    switch (type) {
      case BACKEND.NoticeResponse:
        return this.#notice(bytes);
      case BACKEND.ErrorResponse:
        return this.#error(decodeErrorResponse(bytes));
      case BACKEND.ParameterStatus:
        return this.#parameter(bytes);
      case BACKEND.NotificationResponse:
        // LISTEN is refused, and another session's payload is not for this agent.
        return;
      case BACKEND.ReadyForQuery:
        return this.#ready(bytes);
      default:
        return this.#answer(type, bytes);
    }
  }

  #answer(type: BackendType, bytes: Buffer): void {
    const step = this.#link.step;
    switch (step?.kind) {
      case 'prepare':
        return this.#prepared(step, type, bytes);
      case 'bind':
        return this.#bound(step, type, bytes);
      case 'describe':
        return this.#described(step, type, bytes);
      case 'execute':
        return this.#executed(step.run, type, bytes);
      case 'close':
        return this.#closed(step, type, bytes);
      default:
        throw new UpstreamProtocolError(`message ${String.fromCharCode(type)} was not expected`);
    }
  }

  #prepared(step: PrepareStep, type: BackendType, bytes: Buffer): void {
    if (type === BACKEND.ParseComplete && !step.parsed) {
      step.parsed = true;
    } else if (step.sql && step.parsed && (type === BACKEND.BindComplete || type === BACKEND.CommandComplete)) {
      return;
    } else if (type === BACKEND.ParameterDescription && step.parsed) {
      step.parameters = decodeParameterDescription(bytes);
    } else if (type === BACKEND.RowDescription && step.parsed) {
      // The bytes outlive this read: they are said to the agent later.
      const own = kept(bytes);
      this.#settlePrepare(step, {
        kind: 'prepared',
        trees: step.trees,
        fields: decodeRowDescription(own),
        rowDescription: own,
        parameters: step.parameters,
      });
    } else if (type === BACKEND.NoData && step.parsed) {
      this.#settlePrepare(step, {
        kind: 'prepared',
        trees: step.trees,
        fields: [],
        rowDescription: undefined,
        parameters: step.parameters,
      });
    } else {
      throw new UpstreamProtocolError(`message ${String.fromCharCode(type)} does not belong to Parse`);
    }
  }

  #settlePrepare(step: PrepareStep, outcome: PrepareOutcome): void {
    settlePrepare(step, outcome);
    this.#link.answered();
  }

  #bound(step: Extract<Step, { kind: 'bind' }>, type: BackendType, bytes: Buffer): void {
    if (type !== BACKEND.BindComplete)
      throw new UpstreamProtocolError(`message ${String.fromCharCode(type)} does not belong to Bind`);
    this.#judgeBound(step.portal);
    this.#link.bound(step);
    if (step.tell && step.quiet !== true) this.#link.tell(bytes);
    if (step.attempt?.opening !== undefined) this.#link.tell(step.attempt.opening);
    this.#link.answered();
    step.settled.resolve(true);
  }

  /** What the server printed up to here holds for the portal. Where it runs already a refusal can only end the session. */
  #judgeBound(portal: Portal): void {
    portal.judgement = this.#statements.current(portal.prepared.judgement, portal.prepared.fields);
    if (portal.judgement.refusal !== undefined && this.#link.executing(portal)) {
      this.#link.end({ code: 'SessionEnded', reason: 'a prepared statement now reads what it may not' });
    }
  }

  #described(step: Extract<Step, { kind: 'describe' }>, type: BackendType, bytes: Buffer): void {
    if (type === BACKEND.ParameterDescription && step.of === 'statement') {
      this.#link.tell(bytes);
    } else if (type === BACKEND.RowDescription || type === BACKEND.NoData) {
      this.#link.tell(bytes);
      this.#link.answered();
    } else {
      throw new UpstreamProtocolError(`message ${String.fromCharCode(type)} does not belong to Describe`);
    }
  }

  #closed(step: Extract<Step, { kind: 'close' }>, type: BackendType, bytes: Buffer): void {
    if (type !== BACKEND.CloseComplete)
      throw new UpstreamProtocolError(`message ${String.fromCharCode(type)} does not belong to Close`);
    this.#link.closed(step);
    if (step.tell) this.#link.tell(bytes);
    this.#link.answered();
  }

  #executed(run: Run, type: BackendType, bytes: Buffer): void {
    switch (type) {
      case BACKEND.CommandComplete:
        return this.#complete(run, bytes, decodeCommandComplete(bytes));
      case BACKEND.EmptyQueryResponse:
        return this.#complete(run, bytes, '');
      case BACKEND.PortalSuspended:
        if (run.stopped !== undefined) return this.#stopped(run, run.stopped);
        this.#recorder.finishing(run, { tag: 'suspended' });
        this.#link.tell(bytes);
        this.#link.answered();
        return run.settled.resolve('suspended');
      case BACKEND.CopyOutResponse:
        if (run.portal.judgement.statement.kind !== 'copy-out') throw new UpstreamProtocolError('a copy was not asked for');
        return this.#copyOut(run, bytes);
      case BACKEND.CopyInResponse:
        if (run.portal.judgement.statement.kind !== 'copy-in') throw new UpstreamProtocolError('a copy was not asked for');
        run.copying = 'in';
        this.#link.tell(bytes);
        return run.settled.resolve('copy-in');
      case BACKEND.CopyData:
        return this.#copyData(run, bytes, 1);
      case BACKEND.CopyDone:
        if (run.copying !== 'out') throw new UpstreamProtocolError('CopyDone without CopyOutResponse');
        // An error takes its place where the limit was reached.
        if (run.stopped === undefined) this.#link.tell(bytes);
        return;
      default:
        throw new UpstreamProtocolError(`message ${String.fromCharCode(type)} does not belong to Execute`);
    }
  }

  #complete(run: Run, bytes: Buffer, tag: string): void {
    if (run.stopped !== undefined) return this.#stopped(run, run.stopped);
    const ends = endsTransaction(run.portal.judgement);
    // Whatever stands before it in its group is committed with it, or given up.
    if (ends) this.#group.committed(() => undefined);
    if (run.committing || (this.#link.transaction === 'I' && !ends))
      this.#group.add({ run, tag, bytes: run.committing ? Buffer.from(bytes) : undefined });
    else this.#recorder.finishing(run, { tag });
    if (!run.committing) this.#link.tell(bytes);
    this.#link.answered();
    run.end('complete');
  }

  /** More rows than allowed: the agent is told so in place of the end, and the statement counts as failed. */
  #stopped(run: Run, refusal: Refusal): void {
    const error = this.#texts.refusal(refusal);
    this.#recorder.finishing(run, { error: { code: refusal.code, message: refusal.reason } });
    this.#link.answered();
    this.#link.tell(error);
    this.#link.refused();
    run.settled.resolve('failed');
  }

  /** One or more whole DataRow messages. */
  #dataRows(bytes: Buffer, count: number): void {
    const step = this.#link.step;
    if (step?.kind !== 'execute') throw new UpstreamProtocolError('DataRow without Execute');
    const { run } = step;
    const { plan, statement, refusal } = run.portal.judgement;
    // Without a plan they would pass as they are.
    if (refusal !== undefined && run.stopped === undefined) throw new UpstreamProtocolError('rows of what may not run');
    if (statement.kind === 'copy-in' || statement.kind === 'copy-out') throw new UpstreamProtocolError('DataRow within a copy');
    const allowed = run.allow(bytes, count);
    if (allowed.count === 0) return;
    this.#feeds(run);
    let rows = allowed.bytes === bytes.length ? bytes : bytes.subarray(0, allowed.bytes);
    if (plan !== undefined) {
      const masked = maskRows(rows, plan, run.portal.formats);
      rows = masked.bytes;
      run.maskedValues += masked.values;
    }
    run.delivered(rows, allowed.count);
    this.#link.tell(rows);
  }

  #copyOut(run: Run, bytes: Buffer): void {
    run.copying = 'out';
    const { plan, statement } = run.portal.judgement;
    if (plan !== undefined) {
      const format = statement.kind === 'copy-out' ? copyFormatOf(statement.options) : undefined;
      if (format === undefined) throw new UpstreamProtocolError('a copy in a format that cannot be masked');
      run.masker = new CopyMasker(plan, format);
      const described = decodeCopyResponse(bytes);
      if ((described.format === 1) !== (format.kind === 'binary'))
        throw new UpstreamProtocolError('a copy in another format than was asked for');
      if (described.columnFormats.length !== plan.masks.length) run.stopped = COLUMNS_UNKNOWN;
    }
    // A client that was told of an error at the end must have been told of the copy too.
    this.#link.tell(bytes);
  }

  /** One or more whole CopyData messages. */
  #copyData(run: Run | undefined, bytes: Buffer, count: number): void {
    if (run?.copying !== 'out') throw new UpstreamProtocolError('CopyData was not expected');
    const allowed = run.allow(bytes, count);
    if (allowed.count === 0) return;
    this.#feeds(run);
    const rows = bytes.subarray(0, allowed.bytes);
    const shown = run.masker === undefined ? { bytes: rows, values: 0 } : run.masker.mask(rows);
    run.rows += allowed.count;
    run.maskedValues += shown.values;
    run.digest(shown.bytes);
    run.truncated = true;
    this.#link.tell(shown.bytes);
  }

  /** A DataRow or CopyData too large to hold, of a statement whose rows pass unchanged. */
  #streamed(bytes: Buffer, start?: { readonly type: BackendType; readonly length: number }): void {
    const step = this.#link.step;
    if (start !== undefined) {
      if (step?.kind !== 'execute' || !this.#passes) throw new UpstreamProtocolError('a large message was not expected');
      if ((start.type === BACKEND.CopyData) !== (step.run.copying === 'out'))
        throw new UpstreamProtocolError('a large message of a copy');
      if (step.run.reachesLimit(start.length)) throw new UpstreamProtocolError('a large row beyond the limit');
      this.#streaming = step.run;
      step.run.rows++;
      step.run.truncated = true;
    }
    if (this.#streaming !== undefined) this.#feeds(this.#streaming);
    this.#streaming?.digest(bytes);
    this.#link.tell(bytes);
  }

  #feeds(run: Run): void {
    if (this.#fed[this.#fed.length - 1] !== run) this.#fed.push(run);
  }

  #notice(bytes: Buffer): void {
    const fields = decodeErrorResponse(bytes);
    const step = this.#link.step;
    const tree = treeOf(fields);
    if (tree !== undefined) {
      return this.#tree(step, tree);
    }
    if (!isHidden(fields) && !this.#speaksOfLabelled(step)) this.#link.tell(this.#texts.serverNotice(fields));
  }

  /** Whether what the server says beside its answer may hold labelled values: not where the agent's own text or rows without labels led to it. */
  #speaksOfLabelled(step: Step | undefined): boolean {
    if (step?.kind === 'execute') return step.run.portal.judgement.touchesLabelled;
    if (step?.kind === 'bind') return step.portal.judgement.touchesLabelled;
    return (step?.kind !== 'prepare' && step?.kind !== 'describe') || this.#statements.parsingTells;
  }

  /** A tree counts from the moment it is printed, whatever becomes of the message it was printed for. */
  #tree(step: Step | undefined, tree: string): void {
    if (step?.kind === 'prepare') {
      if (step.trees.length >= MAX_TREES) throw new UpstreamProtocolError('too many trees for one statement');
      step.trees.push(tree);
    } else if (step?.kind === 'bind') this.#statements.reprinted(step.portal.prepared, tree);
    else if (step?.kind === 'describe' && step.prepared !== undefined) this.#statements.reprinted(step.prepared, tree);
  }

  #parameter(bytes: Buffer): void {
    const { name, value } = decodeParameterStatus(bytes);
    const pinned = PINNED_PARAMETERS.get(name);
    if (pinned !== undefined && pinned !== value) throw new UpstreamProtocolError(`${name} was changed`);
    if (READ_BY.has(name)) this.#link.reported.set(name, value);
    // Almost any text is the name of a time zone.
    if (this.#link.tainted && name === 'TimeZone' && /\d/.test(value)) return;
    if (SHOWN_PARAMETERS.has(name)) this.#link.tell(bytes);
  }

  #ready(bytes: Buffer): void {
    const step = this.#link.step;
    if (step?.kind !== 'sync') throw new UpstreamProtocolError('ReadyForQuery without Sync');
    this.#link.ready(decodeReadyForQuery(bytes));
    this.#group.committed((end) => this.#link.tell(end));
    this.#link.muted = false;
    if (step.tell && !(step.attempt?.failed === true && !step.attempt.told)) this.#link.tell(bytes);
    this.#link.answered();
    step.settled.resolve();
  }

  /** A deferred constraint, a conflict of serializable transactions. ReadyForQuery follows. */
  #commitFailed(fields: ServerMessageFields): void {
    const shown = this.#texts.serverError(fields, true);
    this.#group.undone({ code: fields.C ?? 'XX000', message: shown.message });
    this.#link.tell(shown.bytes);
  }

  #error(fields: ServerMessageFields): void {
    if (fields.V === 'FATAL' || fields.V === 'PANIC') {
      this.#link.end({ code: 'SessionEnded', reason: `the database ended the connection (${fields.C ?? 'no SQLSTATE'})` });
      return;
    }
    const step = this.#link.step;
    if (step === undefined || step.kind === 'local') throw new UpstreamProtocolError('an error without a cause');
    if (step.kind === 'sync') return this.#commitFailed(fields);
    const { C: code = 'XX000' } = fields;
    this.#group.undone({ code, message: 'undone: a later statement of its group failed' });
    if (step.kind === 'prepare') {
      // Whoever waits for the statement says the error, so that it is recorded with its text.
      settlePrepare(step, { kind: 'failed', error: fields });
    } else if (step.kind !== 'forced') {
      const attempt = step.kind === 'bind' ? step.attempt : undefined;
      if (attempt !== undefined) {
        attempt.failed = true;
        attempt.told ||= !UNFIT.test(code);
      }
      if (attempt?.told !== false) this.#tellError(step, fields);
    }
    for (const run of this.#link.failed()) this.#recorder.skipped(run, code);
  }

  /** The agent asked for what failed, so it hears of it. */
  #tellError(step: Step, fields: ServerMessageFields): void {
    const run = step.kind === 'execute' ? step.run : undefined;
    const judgement = (run ?? (step.kind === 'bind' ? step : undefined))?.portal.judgement;
    const shown = this.#texts.serverError(fields, this.#speaksOfLabelled(step), judgement?.verdict.effects);
    this.#link.tell(shown.bytes);
    if (run !== undefined) this.#recorder.finishing(run, { error: { code: fields.C ?? 'XX000', message: shown.message } });
  }
}
