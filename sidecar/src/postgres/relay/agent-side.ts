import type { Access } from '@chaperone/policy';
import { kept } from '../../lent.ts';
import type { Clock } from '../../platform.ts';
import {
  type BindMessage,
  decodeBind,
  decodeClose,
  decodeDescribe,
  decodeExecute,
  decodeParse,
  decodeQuery,
  encodeExecute,
  encodeFlush,
  encodeParseComplete,
  FRONTEND,
  type Piece,
} from '../wire/index.ts';
import { type Execution, sealBound, type StatementApproval, voided } from './approval.ts';
import { shownParameters } from './bound-values.ts';
import type { Foreteller } from './foretelling.ts';
import type { Inbox } from './inbox.ts';
import type { Intake } from './intake.ts';
import type { Ending } from '../../session/index.ts';
import { boundsRows } from './limits.ts';
import type { Link } from './link.ts';
import { parseAhead, type ParseAheadOptions } from './parse-ahead.ts';
import type { Recorder } from './recorder.ts';
import type { Run } from './run.ts';
import { Settled } from './settled.ts';
import { CANCELLED, SimpleQuery } from './simple-query.ts';
import { isSqlPrepared } from './sql-prepared.ts';
import { changesMeaning, EMPTY_STATEMENT, usesCursors, waitsForNames } from './judgement.ts';
import { asVerdict, type Preparation, type Statements } from './statements.ts';
import { NAME_RESERVED, OWN_NAMES, type Templates } from './templates.ts';
import type { Portal, Prepared } from './steps.ts';
import type { Refusal, Texts } from './texts.ts';

/** Three asterisks: what a masked value looks like. */
const MASK_RUN = Buffer.from('***');
const GONE: Ending = { code: 'AgentClosed', reason: 'the agent closed the connection' };

export interface AgentSideOptions {
  readonly link: Link;
  readonly inbox: Inbox;
  readonly intake: Intake;
  readonly recorder: Recorder;
  readonly texts: Texts;
  readonly statements: Statements;
  readonly foreteller: Foreteller;
  readonly templates: Templates;
  readonly approval: StatementApproval;
  readonly access: () => Access;
  readonly clock: Clock;
  /** Waits until the server takes bytes again. */
  readonly serverReady: () => Promise<void>;
}

/**
 * Reads the agent's messages one by one and sends on what was judged. The loop is sequential: while it waits (for a verdict, a
 * tree, a record on disk) nothing behind it is looked at, so no message can overtake its judgement.
 */
export class AgentSide {
  readonly #link: Link;
  readonly #inbox: Inbox;
  readonly #intake: Intake;
  readonly #recorder: Recorder;
  readonly #texts: Texts;
  readonly #statements: Statements;
  readonly #templates: Templates;
  readonly #approval: StatementApproval;
  readonly #ahead: ParseAheadOptions;
  readonly #simple: SimpleQuery;
  readonly #access: () => Access;
  readonly #clock: Clock;
  readonly #serverReady: () => Promise<void>;

  constructor(options: AgentSideOptions) {
    this.#link = options.link;
    this.#inbox = options.inbox;
    this.#intake = options.intake;
    this.#recorder = options.recorder;
    this.#texts = options.texts;
    this.#statements = options.statements;
    this.#templates = options.templates;
    this.#approval = options.approval;
    this.#access = options.access;
    this.#clock = options.clock;
    this.#serverReady = options.serverReady;
    this.#ahead = options;
    this.#simple = new SimpleQuery({ ...options, copyIn: (run) => this.#copyIn(run) });
  }

  /** Runs until the agent leaves. Throws ProtocolError and RecordingError: the session must end. */
  async run(): Promise<Ending> {
    for (;;) {
      const piece = this.#inbox.take();
      if (piece === undefined) {
        if (!(await this.#wait())) return GONE;
        continue;
      }
      if (piece.kind === 'message' && piece.type === FRONTEND.Terminate) return GONE;
      const pending = this.#take(piece);
      if (pending !== undefined) await pending;
      if (this.#intake.holds) await this.#passed();
      const slow = this.#pace();
      if (slow !== undefined) await slow;
    }
  }

  #wait(): Promise<boolean> {
    this.#link.toServer.flush();
    this.#link.toAgent.flush();
    return this.#inbox.more();
  }

  /** A large message holds its room until the server took it: till then its bytes are here. */
  async #passed(): Promise<void> {
    await this.#serverReady();
    this.#intake.release();
  }

  /** Lets the server catch up before more is taken from the agent. */
  #pace(): Promise<void> | undefined {
    if (this.#link.toServer.full) return this.#serverReady().then(() => this.#pace());
    const room = this.#link.room();
    if (room !== undefined) this.#link.toServer.flush();
    return room;
  }

  #take(piece: Piece): Promise<void> | undefined {
    if (piece.kind === 'skipped') return this.#tooLarge(piece.type, piece.length);
    // CopyData comes in pieces; outside COPY it is dropped, as a server does.
    if (piece.kind !== 'message' || isCopy(piece.type)) return undefined;
    if (piece.type === FRONTEND.Sync) return sent(this.#statements.sync(true));
    // After an error a server drops all but Sync, a Query too.
    if (this.#link.skipping) return undefined;
    if (piece.type === FRONTEND.Query) return this.#simple.run(decodeQuery(piece.bytes), piece.bytes.length);
    if (piece.type === FRONTEND.FunctionCall) return this.#simple.refuseWhole(FUNCTION_CALL, piece.bytes.length);
    return this.#extended(piece.type, piece.bytes);
  }

  #extended(type: number, bytes: Buffer): Promise<void> | undefined {
    switch (type) {
      case FRONTEND.Parse:
        return this.#parse(bytes);
      case FRONTEND.Bind:
        return this.#bind(bytes);
      case FRONTEND.Describe:
        return this.#describe(bytes);
      case FRONTEND.Execute:
        return this.#execute(bytes);
      case FRONTEND.Close:
        return this.#close(bytes);
      case FRONTEND.Flush:
        this.#link.toServer.push(bytes);
        return undefined;
      default:
        return this.#refuse({ code: 'ProtocolViolation', reason: 'this message was not expected' }, '', bytes.length);
    }
  }

  /** Refuses in the extended protocol: what follows is dropped up to Sync. */
  async #refuse(refusal: Refusal, statement: string, bytes: number, text?: string): Promise<void> {
    await this.#recorder.judged({ text, bytes, verdict: refusal.verdict ?? asVerdict(refusal), writes: false });
    if (!this.#link.skipping) await this.#told(refusal, statement);
  }

  /** Refuses what has its record already. */
  async #told(refusal: Refusal, statement: string): Promise<void> {
    const { bytes: error, delayMs } = this.#texts.refuse(refusal, statement, this.#link.transaction);
    if (delayMs > 0) await this.#link.pause(this.#clock.after(delayMs));
    if (!this.#link.skipping) this.#fail(error);
  }

  #fail(error: Buffer): void {
    // It comes after what the server owes, which an agent that sends Flush in place of Sync would wait for: a server sends errors at once.
    if (!this.#link.idle) this.#flushServer();
    this.#link.say(error);
    this.#link.skipping = true;
    this.#link.undo = true;
  }

  #noStatement(): undefined {
    this.#fail(this.#texts.error('26000', 'that prepared statement does not exist'));
    return undefined;
  }

  #noPortal(): undefined {
    this.#fail(this.#texts.error('34000', 'that portal does not exist'));
    return undefined;
  }

  async #parse(bytes: Buffer): Promise<void> {
    const message = decodeParse(bytes);
    // The server drops its own whatever becomes of this one.
    if (message.name === '') this.#link.statements.delete('');
    if (message.name.startsWith(OWN_NAMES)) return this.#refuse(NAME_RESERVED, '', bytes.length);
    const classified = await this.#statements.classify(message.query);
    // What stood before it failed meanwhile.
    if (this.#link.skipping) return;
    if (classified.kind === 'refused') return this.#refuse(classified.refusal, message.query, bytes.length);
    const [statement = EMPTY_STATEMENT, second] = classified.statements;
    if (second !== undefined)
      return this.#fail(this.#texts.error('42601', 'cannot insert multiple commands into a prepared statement'));
    if (statement.kind === 'set' && statement.emulated) return this.#refuse(EMULATED_ONLY_SIMPLE, message.query, bytes.length);
    if (isSqlPrepared(statement) && statement.kind !== 'deallocate')
      return this.#refuse(PREPARED_ONLY_SIMPLE, message.query, bytes.length);
    if (parseAhead(this.#ahead, statement, message, bytes.length)) return;
    const outcome = await this.#statements.prepare(statement, message.name, message.parameterTypes);
    if (outcome.kind === 'prepared') this.#ahead.foreteller.remember(outcome.prepared);
    return this.#settle(this.#statements.keep(outcome), statement.text, bytes.length);
  }

  async #settle(outcome: Preparation, statement: string, bytes: number): Promise<void> {
    if (outcome.kind === 'prepared') {
      this.#link.say(encodeParseComplete());
    } else if (outcome.kind === 'refused') {
      await this.#refuse(outcome.refusal, statement, bytes, outcome.text);
    } else if (outcome.kind === 'failed') {
      const shown = this.#texts.serverError(outcome.error, this.#statements.parsingTells);
      await this.#recorder.judged({
        text: undefined,
        bytes,
        verdict: asVerdict({ code: 'ServerError', reason: shown.message }),
        writes: false,
      });
      this.#link.say(shown.bytes);
    }
  }

  #bind(bytes: Buffer): Promise<void> | undefined {
    const message = decodeBind(bytes);
    const prepared = this.#link.statements.get(message.statement);
    if (prepared === undefined) return this.#noStatement();
    const { judgement } = prepared;
    if (judgement.writes && message.parameters.some((value) => value?.includes(MASK_RUN) === true)) {
      return this.#refuse(MASK_WRITTEN_BACK, judgement.statement.text, bytes.length, judgement.text);
    }
    if (message.portal !== '' && this.#link.openPortals >= MAX_PORTALS)
      return this.#refuse(TOO_MANY_PORTALS, judgement.statement.text, bytes.length, judgement.text);
    const spent = this.#statements.spend(judgement, message.parameters);
    if (spent !== undefined) return this.#refuse(spent, judgement.statement.text, bytes.length, judgement.text);
    const portal: Portal = {
      name: message.portal,
      prepared,
      formats: [...message.resultFormats],
      parameters:
        judgement.approved === undefined ? shownParameters(judgement, message) : this.#approval.values(judgement, message),
      judgement,
      rows: 0,
      bytes: 0,
      ...(judgement.approved !== undefined && { held: heldBind(prepared, message, bytes) }),
    };
    const settled = new Settled<boolean>();
    // Planning runs functions that are said to be immutable.
    if (!usesCursors(judgement)) this.#statements.mayRun(judgement.ownersCode);
    this.#link.send(bytes, { kind: 'bind', portal, tell: true, settled });
    if (!judgement.writes) return undefined;
    // A tree printed at Bind may change the verdict: what can write waits for it.
    this.#flushServer();
    return settled.promise.then(() => undefined);
  }

  #describe(bytes: Buffer): undefined {
    const { kind, name } = decodeDescribe(bytes);
    const prepared = kind === 'statement' ? this.#link.statements.get(name) : undefined;
    // The server may still hold what we parsed there ourselves.
    if (kind === 'statement' && prepared === undefined) return this.#noStatement();
    // SQL's cursors are portals, and a driver may ask which columns one has; rows it gets by FETCH alone.
    if (kind === 'portal' && this.#link.portal(name) === undefined && !this.#link.cursors.has(name)) return this.#noPortal();
    this.#link.send(bytes, { kind: 'describe', of: kind, prepared });
    return undefined;
  }

  async #execute(bytes: Buffer): Promise<void> {
    const message = decodeExecute(bytes);
    const portal = this.#link.portal(message.portal);
    if (portal === undefined) return this.#noPortal();
    if (waitsForNames(portal.judgement)) {
      // What it is to find under a name has to be there, and nothing that is under way may come to have it.
      this.#flushServer();
      await this.#link.drained();
      if (this.#link.skipping) return;
    }
    const looked = this.#statements.beforeRun(portal.prepared);
    const again = looked instanceof Promise ? await looked : looked;
    if (again !== undefined && again.kind !== 'prepared')
      return this.#settle(again, portal.judgement.statement.text, bytes.length);
    portal.judgement = again?.prepared.judgement ?? this.#statements.current(portal.judgement, portal.prepared.fields);
    const { judgement } = portal;
    const barred = this.#statements.barred(judgement);
    if (judgement.approved !== undefined && barred === undefined) return this.#held(portal, message.maxRows, bytes.length);
    const refusal = judgement.refusal ?? barred;
    if (refusal !== undefined) return this.#refuse(refusal, judgement.statement.text, bytes.length, judgement.text);
    const { text, verdict, writes } = judgement;
    const action = await this.#recorder.judged({ text, bytes: bytes.length, verdict, writes, parameters: portal.parameters });
    if (this.#link.skipping) return;
    // What the server printed when it was bound may have come meanwhile.
    const { refusal: since } = portal.judgement;
    if (since === undefined) return this.#run(portal, message.maxRows, action);
    this.#recorder.finished(this.#recorder.run(action, portal), { error: { code: since.code, message: since.reason } });
    return this.#told(since, judgement.statement.text);
  }

  /** Asks people first. Where nothing is under way, other sessions wait for no lock meanwhile: the portal is bound again then. */
  async #held(portal: Portal, maxRows: number, bytes: number): Promise<void> {
    const link = this.#link;
    this.#flushServer();
    await link.drained();
    if (link.skipping) return;
    // What the server printed when it was bound counts by now.
    const { judgement, prepared, held } = portal;
    const { statement, approved, refusal = CHANGED, text } = judgement;
    if (approved === undefined) return this.#refuse(refusal, statement.text, bytes, text);
    // The end of a transaction takes every portal away.
    const locks = link.inTransaction || held?.bind === undefined || link.openPortals > 1;
    if (!locks) await this.#statements.synced(false);
    const answer = await this.#approval.ask(executionOf(portal, maxRows, bytes), locks);
    if (answer.kind === 'cancelled') return this.#fail(this.#texts.error(...CANCELLED));
    if (answer.kind === 'refused') return this.#told(answer.refusal, statement.text);
    const fresh: Portal = {
      ...portal,
      prepared: { ...prepared, judgement: answer.judgement, of: prepared },
      judgement: answer.judgement,
    };
    const fits =
      (await this.#statements.unchanged(prepared, judgement)) && (await this.#bindAgain(fresh, locks ? undefined : held.bind));
    if (fits === 'failed') return answer.ended('the database refused it');
    if (fits) return this.#run(fresh, maxRows, answer.action, answer.ended);
    answer.ended('what it touches changed; it did not run');
    return this.#told(voided(answer.request, judgement), statement.text);
  }

  /** Takes the place of the portal that was held. False: it would do something else by now. */
  async #bindAgain(portal: Portal, bind: Buffer | undefined): Promise<boolean | 'failed'> {
    if (bind === undefined) {
      // What Bind would do: the policy in force now counts.
      portal.judgement = this.#statements.current(portal.judgement, portal.prepared.fields);
      this.#link.replace(portal);
      return portal.judgement.refusal === undefined;
    }
    const settled = new Settled<boolean>();
    this.#link.send(bind, { kind: 'bind', portal, tell: true, quiet: true, settled });
    this.#flushServer();
    if (!(await settled.promise)) return 'failed';
    return portal.judgement.refusal === undefined;
  }

  async #run(portal: Portal, maxRows: number, action: number, onRun?: (run: Run) => void): Promise<void> {
    const { judgement } = portal;
    const { writes } = judgement;
    const bounded = boundsRows(this.#access().limits);
    if (writes && bounded) {
      // A statement before it may still reach its limit; nothing is written after such an error.
      this.#flushServer();
      await this.#link.drained();
      if (this.#link.skipping) return;
    }
    const run = this.#recorder.run(action, portal);
    onRun?.(run);
    const mayUndo = bounded && this.#link.undoable(writes);
    if (changesMeaning(judgement)) this.#templates.forget();
    this.#statements.starting(judgement);
    this.#link.dirty = true;
    this.#link.send(encodeExecute({ portal: portal.name, maxRows: run.ask(maxRows) }), { kind: 'execute', run });
    const waiting = this.#executing(run, mayUndo);
    if (waiting !== undefined) await waiting;
  }

  /** Waits for the end of what changes how the messages behind it are to be read. */
  #executing(run: Run, mayUndo: boolean): Promise<void> | undefined {
    // A server keeps its answers up to Sync, and how long each statement ran could not be told.
    if (this.#access().limits.statementDurationMs !== undefined) this.#link.toServer.push(encodeFlush());
    const { judgement } = run.portal;
    const { kind } = judgement.statement;
    if (kind !== 'copy-in' && kind !== 'utility' && kind !== 'declare' && !mayUndo) return undefined;
    this.#flushServer();
    if (kind !== 'copy-in') return run.settled.promise.then((end) => this.#statements.executed(judgement, end));
    return run.settled.promise.then((end) => (end === 'copy-in' ? this.#copyIn(run) : undefined));
  }

  #close(bytes: Buffer): undefined {
    this.#link.send(bytes, { kind: 'close', tell: true, target: decodeClose(bytes) });
    return undefined;
  }

  #flushServer(): void {
    this.#link.toServer.push(encodeFlush());
    this.#link.toServer.flush();
  }

  /** Passes COPY data on until the agent ends it, or the server does. */
  async #copyIn(run: Run): Promise<void> {
    let failed = false;
    const over = run.copied.promise.then(() => {
      failed = true;
      return true;
    });
    for (;;) {
      if (failed) return;
      const piece = this.#inbox.take();
      if (piece === undefined) {
        if (!(await Promise.race([over, this.#wait()]))) return;
        continue;
      }
      if (piece.kind === 'skipped') continue;
      const type = piece.kind === 'more' ? FRONTEND.CopyData : piece.type;
      if (type === FRONTEND.Sync || type === FRONTEND.Flush) continue;
      if (!isCopy(type)) throw new UnexpectedInCopyError();
      run.digest(piece.bytes);
      this.#link.toServer.push(piece.bytes);
      if (piece.kind === 'message' && type !== FRONTEND.CopyData) return;
      if (this.#link.toServer.full) await this.#serverReady();
    }
  }

  async #tooLarge(type: number, length: number): Promise<void> {
    if (this.#link.skipping) return;
    const tooLarge: Refusal = { code: 'StatementTooLarge', reason: `the message has ${length} bytes` };
    const refusal = this.#intake.crowded ? NO_ROOM : tooLarge;
    if (type === FRONTEND.Query) return this.#simple.refuseWhole(refusal, length);
    return this.#refuse(refusal, '', length);
  }
}

const CHANGED: Refusal = { code: 'NotAnalysable', reason: 'what it does changed when it was bound; bind it again' };
/** What is kept of a Bind while people are asked, so that it can be sent again. */
const MAX_KEPT_BIND = 1024 * 1024;

function executionOf({ judgement, prepared, held, parameters }: Portal, maxRows: number, bytes: number): Execution {
  return {
    judgement,
    bytes,
    parameters,
    bound: { ...Object(held?.bound), maxRows },
    values: held?.bind && { ...decodeBind(held.bind), types: prepared.parameters },
  };
}

function heldBind({ parameters: types }: Prepared, message: BindMessage, bytes: Buffer): NonNullable<Portal['held']> {
  const { parameters: values, parameterFormats: formats, resultFormats } = message;
  return {
    bound: sealBound({ values, types, formats, resultFormats }),
    bind: bytes.length > MAX_KEPT_BIND ? undefined : kept(bytes),
  };
}

/** The agent broke the COPY sub-protocol; the session ends. */
class UnexpectedInCopyError extends Error {
  override readonly name = 'ProtocolError';
}

const FUNCTION_CALL: Refusal = { code: 'NotAnalysable', reason: 'the function call message cannot be analysed; use SELECT' };
const NO_ROOM: Refusal = {
  code: 'LimitReached',
  reason: 'the proxy holds too much for other sessions now; try again',
  message: 'try again later, or send less at once.',
};
/** Named portals of one session at once: each keeps its statement, though another may have its name by now. */
const MAX_PORTALS = 100;
const TOO_MANY_PORTALS: Refusal = {
  code: 'LimitReached',
  reason: `more than ${MAX_PORTALS} portals are open`,
  message: 'close some, or end the transaction.',
};
const MASK_WRITTEN_BACK: Refusal = { code: 'MaskedValueWrite', reason: 'a bound value holds masked text' };
const PREPARED_ONLY_SIMPLE: Refusal = {
  code: 'NotAnalysable',
  reason: "PREPARE and EXECUTE are supported in a simple query only; use the driver's prepared statements",
};
const EMULATED_ONLY_SIMPLE: Refusal = { code: 'SettingPinned', reason: 'this setting can be changed in a simple query only' };

/** Resolves once it is on its way; mostly it is already. */
function sent(sync: ReturnType<Statements['sync']>): Promise<void> | undefined {
  return sync instanceof Promise ? sync.then(() => undefined) : undefined;
}

function isCopy(type: number): boolean {
  return type === FRONTEND.CopyData || type === FRONTEND.CopyDone || type === FRONTEND.CopyFail;
}
