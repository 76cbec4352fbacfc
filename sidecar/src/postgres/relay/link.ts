import { hash } from 'node:crypto';
import { deferred, type Deferred } from '../../platform.ts';
import type { Ending } from '../../session/index.ts';
import type { Memory } from '../../session/memory.ts';
import type { Outbox } from './outbox.ts';
import { PreparedStatements } from './prepared-statements.ts';
import type { Run } from './run.ts';
import { abandon, type Cursor, type Portal, type Prepared, type Step } from './steps.ts';

/** Steps that may be outstanding before the agent has to wait. */
const MAX_STEPS = 1024;

export interface LinkOptions {
  readonly toAgent: Outbox;
  readonly toServer: Outbox;
  readonly memory: Memory;
  /** As {@link Link.reported}. */
  readonly reported: Map<string, string>;
}

/**
 * What both halves of the relay share: the two ways out, the steps that the server owes, the transaction state, and which
 * statements and portals exist. A portal counts from its BindComplete on; until then it is `pending`, so that a Bind which the
 * server skipped never replaces the plan of an older portal of the same name.
 */
export class Link {
  readonly toAgent: Outbox;
  readonly toServer: Outbox;
  readonly ended: Deferred<Ending> = deferred();
  readonly statements: PreparedStatements;
  /** SQL's cursors, by the name that they share with portals. What is here is surely what the server has under the name. */
  readonly cursors = new Map<string, Cursor>();
  transaction: 'I' | 'T' | 'E' = 'I';
  /** Locks that a statement took are held for as long as this stays the same: to the end of the transaction, or to ROLLBACK TO. */
  locks = 0;
  /** Something of the current group (up to Sync) was executed; an error of ours must then undo it. */
  dirty = false;
  /** Code of the database's owner ran that may have left labelled values in the session. */
  tainted = false;
  /** What the server says of settings that a constant's meaning depends on. */
  readonly reported: Map<string, string>;
  /** Stands for the statements that change settings since it last said so. */
  #changed = '';
  /** The agent's messages are dropped up to its next Sync, as a server does after an error. */
  skipping = false;
  /** The agent was told of an error that the server does not know of: answers up to the next ReadyForQuery are not for it. */
  muted = false;
  /** We refused something in this group; what it executed so far must not stay. */
  undo = false;
  over = false;
  /** An action waits for people: gives up on it. */
  giveUp: (() => void) | undefined;
  /** Resolves once evidence has what became of the last action that waited for people; undefined: none did. */
  heldTold: Promise<void> | undefined;
  /** Told whenever the first step becomes another one. */
  onTurn: (step: Step | undefined) => void = () => undefined;
  /** The session ended while the server still owed something. */
  interrupted = false;
  #steps: Step[] = [];
  #portals = new Map<string, Portal>();
  /** Bind and Close of portals that are not answered yet, the latest of each name. */
  #pending = new Map<string, Step>();
  #room: (() => void) | undefined;
  #drained: (() => void)[] = [];

  constructor({ toAgent, toServer, memory, reported }: LinkOptions) {
    this.toAgent = toAgent;
    this.toServer = toServer;
    this.reported = reported;
    this.statements = new PreparedStatements(memory);
  }

  /** Differs wherever the same text may mean another constant. */
  get settings(): string {
    return JSON.stringify([...this.reported, this.#changed]);
  }

  /** Stands for all that ever changed settings in this session. */
  history = '';

  changes(text: string): void {
    this.history = hash('sha256', this.history + text, 'base64');
    this.#changed = hash('sha256', this.#changed + text, 'base64');
  }

  get step(): Step | undefined {
    return this.#steps[0];
  }

  get idle(): boolean {
    return this.#steps.length === 0;
  }

  /** Whether the session holds what others may have to wait for. */
  get inTransaction(): boolean {
    return this.transaction !== 'I' || this.dirty;
  }

  /** Whether an error of ours after this statement would have something to undo: then Sync, which commits, has to wait. */
  undoable(writes: boolean): boolean {
    return writes || this.dirty || this.transaction === 'T';
  }

  /** Sends to the server and remembers what it owes for it. */
  send(bytes: Buffer, step: Step): void {
    this.toServer.push(bytes);
    this.#steps.push(step);
    if (this.#steps.length === 1) this.onTurn(step);
    const portal =
      step.kind === 'bind'
        ? step.portal.name
        : step.kind === 'close' && step.target.kind === 'portal'
          ? step.target.name
          : undefined;
    if (portal === undefined) return;
    this.cursors.delete(portal);
    if (step.kind === 'close' || (step.kind === 'bind' && step.tell)) this.#pending.set(portal, step);
  }

  /** Passes a server's answer on. */
  tell(bytes: Buffer): void {
    if (!this.muted) this.toAgent.push(bytes);
  }

  /** We told the agent of an error in the middle of what the server goes on with. */
  refused(): void {
    if (this.#steps.some((step) => step.kind === 'sync')) this.muted = true;
    else {
      this.skipping = true;
      this.undo = true;
    }
  }

  /** Waits for `time`, or for the session's end if that comes first. */
  async pause(time: Promise<void>): Promise<void> {
    await Promise.race([time, this.ended.promise]);
  }

  /** Resolves when the server owes nothing any more. */
  drained(): Promise<void> {
    if (this.#steps.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  /** Says something to the agent itself, after all that is owed so far. */
  say(bytes: Buffer, done?: () => void): void {
    this.#steps.push(done === undefined ? { kind: 'local', bytes } : { kind: 'local', bytes, done });
    this.#speak();
  }

  /** The first step was answered. */
  answered(): void {
    this.#steps.shift();
    this.#speak();
    this.onTurn(this.#steps[0]);
    if (this.#room !== undefined && this.#steps.length < MAX_STEPS) {
      const room = this.#room;
      this.#room = undefined;
      room();
    }
  }

  /** After an error the server answers nothing up to Sync; neither do the steps. @returns runs that it is not going to answer */
  failed(): readonly Run[] {
    const sync = this.#steps.findIndex((step) => step.kind === 'sync');
    const lost = sync < 0 ? this.#steps : this.#steps.slice(0, sync);
    this.#steps = sync < 0 ? [] : this.#steps.slice(sync);
    this.undo = false;
    if (sync < 0) this.skipping = true;
    for (const step of lost) {
      this.#forget(step);
      abandon(step);
    }
    this.#speak();
    this.onTurn(this.#steps[0]);
    if (this.#room !== undefined) {
      this.#room();
      this.#room = undefined;
    }
    return lost.flatMap((step) => (step.kind === 'execute' ? step.run : []));
  }

  /** Resolves when fewer than MAX_STEPS are outstanding. */
  room(): Promise<void> | undefined {
    if (this.#steps.length < MAX_STEPS) return undefined;
    return new Promise((resolve) => {
      this.#room = resolve;
    });
  }

  end(ending: Ending): void {
    this.over = true;
    this.ended.resolve(ending);
    const steps = this.#steps;
    this.#steps = [];
    if (steps.length > 0) this.interrupted = true;
    for (const step of steps) abandon(step);
    this.#speak();
  }

  /** Portals that are open, or will be once the server says so. */
  get openPortals(): number {
    return new Set([...this.#portals.keys(), ...this.#pending.keys()]).size;
  }

  portal(name: string): Portal | undefined {
    const pending = this.#pending.get(name);
    if (pending === undefined) return this.#portals.get(name);
    return pending.kind === 'bind' ? pending.portal : undefined;
  }

  /** True where an Execute of this portal is under way: its verdict comes too late to be told in place of rows. */
  executing(portal: Portal): boolean {
    return this.runs().some((run) => run.portal === portal && run.stopped === undefined);
  }

  /** What is under way. */
  runs(): Run[] {
    return this.#steps.flatMap((step) => (step.kind === 'execute' ? [step.run] : []));
  }

  /** Portals of this statement that are open, or will be once the server says so. */
  portalsOf(prepared: Prepared): Portal[] {
    const pending = [...this.#pending.values()].flatMap((step) => (step.kind === 'bind' ? [step.portal] : []));
    return [...this.#portals.values(), ...pending].filter((portal) => portal.prepared === prepared);
  }

  /** A statement's name is about to be free, or to be another's: what is said of it now may come before that. */
  get freesStatements(): boolean {
    return this.#steps.some((step) => step.kind === 'close' && step.target.kind === 'statement');
  }

  /** BindComplete. The portal of a simple query is not the agent's to execute again, and takes the place of one that was. */
  bound(step: Extract<Step, { kind: 'bind' }>): void {
    if (step.tell) this.#portals.set(step.portal.name, step.portal);
    else this.#portals.delete(step.portal.name);
    this.#forget(step);
  }

  /** Another judgement holds for a portal that is bound already. */
  replace(portal: Portal): void {
    this.#portals.set(portal.name, portal);
  }

  /** SQL took this name for a cursor, or freed it; without a name all of them. */
  forgetPortals(name?: string): void {
    if (name === undefined) this.#portals.clear();
    else this.#portals.delete(name);
  }

  /** SQL freed this name; without one all of them, but for the unnamed statement. */
  forgetStatements(name?: string): void {
    for (const known of this.statements.keys()) if (known !== '' && (name ?? known) === known) this.statements.delete(known);
  }

  /** CloseComplete. */
  closed(step: Extract<Step, { kind: 'close' }>): void {
    if (step.target.kind === 'portal') this.#portals.delete(step.target.name);
    else this.statements.delete(step.target.name);
    this.#forget(step);
  }

  /** What was to happen to a portal happened, or will not. */
  #forget(step: Step): void {
    const name = step.kind === 'bind' ? step.portal.name : step.kind === 'close' ? step.target.name : undefined;
    if (name !== undefined && this.#pending.get(name) === step) this.#pending.delete(name);
  }

  /** ReadyForQuery: outside a transaction no portal survives. */
  ready(status: 'I' | 'T' | 'E'): void {
    this.transaction = status;
    this.#changed = '';
    if (status === 'I') {
      // To clear a Map takes memory, and a simple query leaves none.
      if (this.#portals.size > 0) this.#portals.clear();
      this.locks++;
    }
    // In a transaction that failed they are gone as well, but for those that ROLLBACK TO may bring back.
    if (status !== 'T' && this.cursors.size > 0) this.cursors.clear();
  }

  #speak(): void {
    for (let step = this.#steps[0]; step?.kind === 'local'; step = this.#steps[0]) {
      this.#steps.shift();
      this.tell(step.bytes);
      step.done?.();
    }
    if (this.#steps.length === 0) for (const resolve of this.#drained.splice(0)) resolve();
  }
}
