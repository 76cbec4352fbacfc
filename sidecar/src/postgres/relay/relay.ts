import type { Socket } from 'node:net';
import type { Access } from '@chaperone/policy';
import type { Clock, Logger } from '../../platform.ts';
import type { SessionRecorder } from '../../recording/recorder.ts';
import type { StatementParser } from '../actions/index.ts';
import { BACKEND, MAX_BACKEND_BYTES, MessageReader, ProtocolError } from '../wire/index.ts';
import { AgentSide } from './agent-side.ts';
import type { Catalog } from '../masking/index.ts';
import { type Database, DatabaseError } from './database.ts';
import { type ApprovalContext, type ApprovalOptions, StatementApproval } from './approval.ts';
import { Foreteller } from './foretelling.ts';
import { Inbox } from './inbox.ts';
import { Intake } from './intake.ts';
import type { Holds } from '../../session/holds.ts';
import type { Ending } from '../../session/index.ts';
import { Link } from './link.ts';
import type { Memory } from '../../session/memory.ts';
import { Outbox } from './outbox.ts';
import { Overtime } from './overtime.ts';
import type { Totals } from '../../session/action-records.ts';
import { Recorder } from './recorder.ts';
import type { ServerReads } from './server-reads.ts';
import { ServerSide } from './server-side.ts';
import { Statements } from './statements.ts';
import { Templates } from './templates.ts';
import { Texts } from './texts.ts';

export interface RelayOptions {
  readonly agent: Socket;
  /** Bytes of the agent that came with its startup packet. */
  readonly early: Buffer;
  /** The database's side, logged in and paused. */
  readonly server: Socket;
  /** What it said of the settings in READ_BY; the session goes on with this map. */
  readonly reported: Map<string, string>;
  readonly reads: ServerReads;
  /** Major version of its server. */
  readonly major: number;
  readonly parser: StatementParser;
  readonly memory: Memory;
  readonly database: Database;
  readonly access: () => Access;
  readonly session: SessionRecorder;
  readonly holds: Holds;
  readonly approval: ApprovalContext;
  /** Dials the database once more, as this session did. */
  readonly connect: ApprovalOptions['connect'];
  readonly clock: Clock;
  readonly log: Logger;
  /** Cancels what the database runs for this session: it would go on to its end, and commit. */
  readonly interrupt: () => void;
}

const UNMASKABLE = `a row with masked columns, or what the server says of a statement, has more than ${MAX_BACKEND_BYTES / 1024 / 1024} MiB and can not be held; ask for less at once`;

/** The end of a session is recorded without what became of what it held, if that takes longer. */
const HELD_TOLD_MS = 5000;

const OVERDUE = 'the statement ran for longer than the policy allows';

/** Joins both legs of one session until either ends. */
export class Relay {
  readonly #o: RelayOptions;
  readonly #link: Link;
  readonly #recorder: Recorder;
  readonly #texts: Texts;
  #lastActivity: number;
  #heard = 0;
  readonly #overtime: Overtime;

  constructor(options: RelayOptions) {
    this.#o = options;
    const { agent, server } = options;
    this.#lastActivity = options.clock.monotonic();
    const toAgent = new Outbox(agent, () => server.resume());
    const toServer = new Outbox(server, () => this.#drainServer());
    this.#link = new Link({ toAgent, toServer, memory: options.memory, reported: options.reported });
    this.#recorder = new Recorder(options.session, options.access, options.clock, (error) => {
      options.log.error('recording failed', { session: options.session.session, error: error.name });
      this.#link.end({ code: 'RecordingBlocked', reason: 'what happens here can not be recorded' });
    });
    this.#texts = new Texts({
      access: options.access,
      session: options.session.session,
      actions: () => this.#recorder.totals.actions,
      repeats: options.database.repeats,
      overdue: () => (this.#overtime.cancelled ? OVERDUE : undefined),
      monotonic: () => options.clock.monotonic(),
    });
    this.#overtime = new Overtime({
      monotonic: () => options.clock.monotonic(),
      cancel: () => options.interrupt(),
      giveUp: () => this.end({ code: 'LimitReached', reason: OVERDUE }),
    });
    this.#overtime.limit(options.access().limits.statementDurationMs);
    this.#link.onTurn = (step) => this.#overtime.turn(step);
  }

  get totals(): Totals {
    return this.#recorder.totals;
  }

  /** Milliseconds since the agent last said something while nothing was under way. */
  idleMs(): number {
    return this.#link.idle && this.#link.giveUp === undefined ? this.#o.clock.monotonic() - this.#lastActivity : 0;
  }

  /** Gives up on an action that waits for people, as its agent wishes. False: none does. */
  giveUp(): boolean {
    const { giveUp } = this.#link;
    giveUp?.();
    return giveUp !== undefined;
  }

  end(ending: Ending): void {
    this.#link.end(ending);
  }

  /** Holds the session to times that only its protocol knows; called every now and then. */
  check({ idleInTransactionMs, statementDurationMs }: Access['limits']): void {
    if (idleInTransactionMs !== undefined && this.#link.inTransaction && this.idleMs() > idleInTransactionMs) {
      this.end({ code: 'SessionEnded', reason: 'the session was idle in a transaction for longer than its policy allows' });
      return;
    }
    this.#overtime.limit(statementDurationMs);
  }

  /** Ends a session that moved more than it may. What went over is one read of either side at most. */
  #meter(): void {
    const { bytes } = this.#o.access().limits;
    if (bytes !== undefined && this.#heard + this.#link.toAgent.bytes > bytes)
      this.#link.end({ code: 'LimitReached', reason: 'the session reached the bytes that its policy allows' });
  }

  /** Resolves with why the session ended; both sockets are closed then. Never rejects. */
  async run(): Promise<Ending> {
    const { agent, server, major, parser, memory, database, access, clock } = this.#o;
    const catalog = (): Catalog => database.catalogOf(major);
    const stale = (): boolean => database.stale;
    const refresh = (): Promise<Catalog> => database.refresh().then(catalog);
    const statements = new Statements({
      link: this.#link,
      parser,
      access,
      catalog,
      stale,
      refresh,
      major,
      guesses: database.guesses,
      judgements: database.judgements,
      clock,
    });
    const foreteller = new Foreteller({
      statements,
      access,
      catalog,
      stale,
      refresh,
      major,
      judgements: database.judgements,
      byText: database.byText,
      foretold: database.foretold,
    });
    const templates = new Templates({
      link: this.#link,
      statements,
      access,
      catalog,
      stale,
      major,
      foretold: database.foretold,
      enabled: () => database.autoPrepare,
      clock,
    });
    const intake = new Intake(memory);
    const reader = new MessageReader({ decide: (type, length) => intake.decide(type, length) });
    const inbox = new Inbox(agent, reader, (bytes) => {
      this.#lastActivity = clock.monotonic();
      this.#heard += bytes;
      this.#meter();
    });
    const agentSide = new AgentSide({
      link: this.#link,
      inbox,
      intake,
      recorder: this.#recorder,
      texts: this.#texts,
      statements,
      foreteller,
      templates,
      approval: new StatementApproval({
        link: this.#link,
        recorder: this.#recorder,
        texts: this.#texts,
        access,
        catalog,
        refresh,
        major,
        clock,
        session: this.#o.session.session,
        holds: this.#o.holds,
        context: this.#o.approval,
        connect: this.#o.connect,
      }),
      access,
      clock,
      serverReady: () => this.#serverReady(),
    });
    this.#readServer(statements);
    inbox.preload(this.#o.early);
    agentSide.run().then(
      (ending) => this.#link.end(ending),
      // What comes after the end, such as a record of a session that is closed, ends nothing.
      (error: unknown) => {
        if (!this.#link.over) this.#link.end(this.#fault(error, 'agent'));
      },
    );
    const gone = (): void => this.#link.end({ code: 'AgentClosed', reason: 'the agent closed the connection' });
    agent.on('close', gone);
    // It may have left while the database was dialled; then nothing tells any more.
    if (agent.destroyed) gone();
    const ending = await this.#link.ended.promise;
    this.#drainServer();
    this.#overtime.limit(undefined);
    this.#recorder.end();
    intake.end();
    this.#link.statements.end();
    if (this.#link.interrupted) this.#o.interrupt();
    this.#close(ending);
    agent.destroySoon();
    server.destroy();
    // Its record is closed by what comes next.
    if (this.#link.heldTold !== undefined) await Promise.race([this.#link.heldTold, clock.after(HELD_TOLD_MS)]);
    return ending;
  }

  #readServer(statements: Statements): void {
    const { server: socket, reads } = this.#o;
    const server = new ServerSide({ link: this.#link, recorder: this.#recorder, texts: this.#texts, statements });
    const reader = new MessageReader({
      decide: (type, length) => server.decide(type, length),
      runs: [BACKEND.DataRow, BACKEND.CopyData],
    });
    const take = (chunk: Buffer): void => {
      try {
        reader.push(chunk);
        for (let piece = reader.next(); piece !== undefined; piece = reader.next()) server.take(piece);
        server.settle();
        this.#meter();
      } catch (error) {
        this.#recorder.settle();
        this.#link.end(this.#fault(error, 'server'));
        return;
      }
      if (this.#link.toAgent.full) socket.pause();
    };
    reads.reader = { take, holds: () => !this.#link.toAgent.empty, idle: () => this.#link.idle };
    socket.on('close', () => this.#link.end({ code: 'SessionEnded', reason: 'the database closed the connection' }));
    socket.resume();
  }

  /** Tells the agent why, where that can still be said. */
  #close(ending: Ending): void {
    const { agent } = this.#o;
    if (ending.code !== 'AgentClosed' && agent.writable) agent.write(this.#texts.fatal(ending));
  }

  #fault(error: unknown, side: 'agent' | 'server'): Ending {
    const name = error instanceof Error ? error.name : 'Error';
    this.#o.log.warn('session ended by a fault', { session: this.#o.session.session, side, error: name });
    if (error instanceof DatabaseError) return { code: error.code, reason: error.message };
    if (name === 'RecordingError') return { code: 'RecordingBlocked', reason: 'what happens here can not be recorded' };
    if (name === 'ProtocolError' && side === 'agent')
      return { code: 'ProtocolViolation', reason: 'the message is not valid in this protocol' };
    if (error instanceof ProtocolError && error.code === 'Refused') return { code: 'SessionEnded', reason: UNMASKABLE };
    if (side === 'server') return { code: 'SessionEnded', reason: 'the database answered what this proxy can not check' };
    return { code: 'InternalFault', reason: 'this proxy met a fault of its own' };
  }

  #waiting: (() => void) | undefined;

  #drainServer(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  #serverReady(): Promise<void> {
    this.#link.toServer.flush();
    if (!this.#link.toServer.full || this.#link.over) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }
}
