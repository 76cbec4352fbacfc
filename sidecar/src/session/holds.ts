import { newRequestName } from '@chaperone/evidence';
import type { EndRequest, Looked, LookedRequest, Question, RequestView } from '@chaperone/policy';
import { ApprovalError, type Approvals } from '../control/approvals.ts';
import type { Clock, Logger } from '../platform.ts';
import type { Recent } from './recent.ts';

/** A change that was not heard of (a stream that broke, another leader) is asked for this often. */
const POLL_MS = 5000;
/** Another connection of the agent may use up the approval of the very same action; then people are asked once more. */
const MAX_ROUNDS = 3;
/** How long is waited between tries to release, ms. */
const RETRY_MS = 500;
/** How often it is tried to tell what a request would meet, and how long is waited between: as a busy operator asks for. */
const LOOK_TRIES = 4;
const LOOK_RETRY_MS = 2000;
/** How often what one request would meet is looked at, where nobody could be told. */
const MAX_LOOKS = 3;
const MAX_RESULT = 256;
/** Requests of which it is remembered what was done with them here. */
const MAX_REMEMBERED = 1000;
/** Previews of this agent in so long a time. */
const MAX_PREVIEWS = 10;
const PREVIEW_WINDOW_MS = 60_000;

export interface HeldAction {
  /** What people are asked, but for its name and its seal. */
  readonly question: Omit<Question, 'name' | 'digest'>;
  /** Names the action in the state that it would run in now; what is different later was not approved. */
  readonly seal: () => string;
  /** Looks at what it would meet, until the signal. Called once people are asked who do not know it. Never rejects. */
  readonly look: (signal: AbortSignal) => Promise<Looked>;
  /** Called once people are asked, where the connection waits. */
  readonly waiting: (view: RequestView) => void;
  /** Resolves when nobody waits any more: the agent left, or gave up. */
  readonly gone: Promise<unknown>;
}

export type HoldOutcome =
  /** It runs now; say how it ended to `ended`. */
  | { readonly kind: 'released'; readonly view: RequestView }
  | { readonly kind: 'denied' | 'expired' | 'pending' | 'gone'; readonly view: RequestView }
  | { readonly kind: 'voided'; readonly view: RequestView; readonly why: string }
  /** Nobody could be asked. */
  | { readonly kind: 'unavailable'; readonly why: string };

export interface HoldsOptions {
  readonly approvals: Approvals;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly recent: Recent;
}

/**
 * Actions that wait for a person, of all sessions and protocols. An action runs only after `release` has been answered with Released,
 * and only while its seal is what was approved; whatever else happens, it does not.
 */
export class Holds {
  readonly #o: HoldsOptions;
  /** By request: who waits for it. */
  readonly #waiting = new Map<string, Set<(view: RequestView) => void>>();
  /** Approvals that somebody here took, of the last ones. */
  readonly #used = new Set<string>();
  /** Requests of which what they would meet was told, or is not wanted; how often it was looked at; of which it is now. */
  readonly #looked = new Set<string>();
  readonly #looks = new Map<string, number>();
  readonly #looking = new Set<string>();
  #previews: number[] = [];

  constructor(options: HoldsOptions) {
    this.#o = options;
    options.approvals.onChange((view) => {
      for (const tell of this.#waiting.get(view.name) ?? []) tell(view);
    });
  }

  /** Holds an action until it may run or never will. Never rejects. */
  async hold(action: HeldAction): Promise<HoldOutcome> {
    try {
      for (let round = 0; round < MAX_ROUNDS; round++) {
        const outcome = await this.#round(action);
        if (outcome !== 'taken') return outcome;
      }
      return { kind: 'unavailable', why: 'other connections of this agent used every approval of this action' };
    } catch (error) {
      if (!(error instanceof ApprovalError)) throw error;
      return { kind: 'unavailable', why: error.message };
    }
  }

  /** Whether what an action would meet may be looked at: each costs the upstream something. */
  mayPreview(): boolean {
    const now = this.#o.clock.monotonic();
    this.#previews = this.#previews.filter((at) => now - at < PREVIEW_WINDOW_MS);
    if (this.#previews.length >= MAX_PREVIEWS) return false;
    this.#previews.push(now);
    return true;
  }

  /** Tells how an action ended that was released. */
  ended(name: string, state: 'Ran' | 'Failed', result: string): void {
    void this.#tell(name, state, result);
  }

  async #round(action: HeldAction): Promise<HoldOutcome | 'taken'> {
    const { question, seal, gone } = action;
    const digest = seal();
    const recent = this.#o.recent.before(question.session, question.action);
    const asked: Question = { ...question, ...(recent.length > 0 && { recent }), name: newRequestName(), digest };
    const view = await this.#o.approvals.ask(asked);
    if (view.digest !== digest) return { kind: 'unavailable', why: 'what is asked for is not what was meant' };
    const decided = isOver(view) ? view : await this.#held({ ...asked, name: view.name }, view, action);
    if (decided === 'gone' || decided === 'pending') return { kind: decided, view };
    switch (decided.state) {
      case 'Approved':
        return this.#release(decided, digest, seal, gone);
      case 'Denied':
        return { kind: 'denied', view: decided };
      case 'Pending':
      case 'Expired':
        return { kind: 'expired', view: decided };
      case 'Released':
      case 'Ran':
      case 'Failed':
      case 'Withdrawn':
        return 'taken';
      default:
        return { kind: 'voided', view: decided, why: 'its policy changed' };
    }
  }

  /** Has people decide, who are told what it would meet meanwhile. */
  async #held(
    asked: Question,
    view: RequestView,
    { look, waiting, gone }: HeldAction,
  ): Promise<RequestView | 'gone' | 'pending'> {
    const looking = new AbortController();
    const begin = (news: RequestView): void => void this.#look(news, look, looking.signal);
    begin(view);
    // This request outlives the connection, and so does the look.
    if (view.mode === 'retry') return 'pending';
    try {
      waiting(view);
      return await this.#decided(asked, view, gone, begin);
    } finally {
      looking.abort();
    }
  }

  /** Tells people what it would meet, who see the request already. Nothing waits for it; where nobody can be told it is tried again later. */
  async #look({ name, digest, looked }: RequestView, look: HeldAction['look'], signal: AbortSignal): Promise<void> {
    const looks = this.#looks.get(name) ?? 0;
    if (looked === true || looks >= MAX_LOOKS || this.#looked.has(name) || this.#looking.has(name)) return;
    this.#looking.add(name);
    try {
      const told = { name, digest, ...(await look(signal)) };
      const isDone = !signal.aborted && (await this.#said('what a request would meet', name, this.#tellLook(told, signal)));
      // Another connection may ask for the same and wait longer.
      if (signal.aborted) return;
      if (isDone) remember(this.#looked, name);
      else count(this.#looks, name);
    } finally {
      this.#looking.delete(name);
    }
  }

  /** Tries a few times, until the signal: whoever decides may be busy, or restarting. @throws ApprovalError */
  async #tellLook(told: LookedRequest, signal: AbortSignal): Promise<void> {
    const { approvals, clock } = this.#o;
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        return await approvals.looked(told);
      } catch (error) {
        if (!isUnreachable(error) || tries === LOOK_TRIES) throw error;
      }
      await clock.after(LOOK_RETRY_MS);
    }
  }

  async #release(view: RequestView, digest: string, seal: () => string, gone: Promise<unknown>): Promise<HoldOutcome | 'taken'> {
    if (this.#used.has(view.name)) return 'taken';
    remember(this.#used, view.name);
    if (seal() !== digest) {
      void this.#tell(view.name, 'Voided');
      return { kind: 'voided', view, why: 'the policy or the state of the session changed' };
    }
    const released = await this.#released(view, digest, gone);
    if (released === 'gone') {
      void this.#tell(view.name, 'Withdrawn');
      return { kind: 'gone', view };
    }
    if (released.state === 'Expired') return { kind: 'expired', view: released };
    if (released.state === 'Denied') return { kind: 'denied', view: released };
    if (released.state === 'Pending') {
      // What it was granted with ended meanwhile; nobody waits for an answer of its own.
      void this.#tell(view.name, 'Withdrawn');
      return { kind: 'voided', view: released, why: 'what it was granted with ended' };
    }
    if (released.state !== 'Released') return { kind: 'voided', view: released, why: 'its policy changed, or it was used' };
    // What changed while the answer was on its way was not approved either.
    if (seal() === digest) return { kind: 'released', view: released };
    void this.#tell(view.name, 'Failed', 'the policy or the state of the session changed; it did not run');
    return { kind: 'voided', view: released, why: 'the policy or the state of the session changed' };
  }

  /** Tries for as long as the approval holds: whoever decides may be restarting. @throws ApprovalError */
  async #released(view: RequestView, digest: string, gone: Promise<unknown>): Promise<RequestView | 'gone'> {
    const { approvals, clock } = this.#o;
    const until = clock.monotonic() + view.expiresInMs;
    for (;;) {
      try {
        return await approvals.release({ name: view.name, digest });
      } catch (error) {
        if (!isUnreachable(error) || clock.monotonic() >= until) throw error;
      }
      const left = await Promise.race([gone.then(() => true), clock.after(RETRY_MS).then(() => false)]);
      if (left) return 'gone';
    }
  }

  /** Waits for a decision, for the end of the time, or until nobody waits any more. */
  async #decided(
    asked: Question,
    view: RequestView,
    gone: Promise<unknown>,
    again: (news: RequestView) => void,
  ): Promise<RequestView | 'gone'> {
    const { clock } = this.#o;
    const until = clock.monotonic() + view.expiresInMs;
    const heard = Promise.withResolvers<RequestView>();
    const tell = (news: RequestView): void => {
      if (isOver(news)) heard.resolve(news);
    };
    this.#listen(view.name, tell);
    try {
      for (;;) {
        const left = until - clock.monotonic();
        if (left <= 0) return { ...view, state: 'Expired' };
        const next = await Promise.race([
          heard.promise,
          gone.then(() => 'gone' as const),
          clock.after(Math.min(left, POLL_MS)).then(() => undefined),
        ]);
        if (next === 'gone' && this.#waiting.get(view.name)?.size === 1) void this.#tell(view.name, 'Withdrawn');
        if (next !== undefined) return next;
        // Whoever decides may be restarting: the time that is left goes on.
        if (clock.monotonic() >= until) continue;
        const news = await this.#o.approvals.ask(asked).catch(() => undefined);
        if (news === undefined) continue;
        tell(news);
        if (!isOver(news)) again(news);
      }
    } finally {
      this.#unlisten(view.name, tell);
    }
  }

  async #tell(name: string, state: EndRequest['state'], result?: string): Promise<void> {
    const end = { name, state, ...(result !== undefined && { result: result.slice(0, MAX_RESULT) }) };
    await this.#said('how a request ended', name, this.#o.approvals.ended(end));
  }

  /** Whether that is done with: it was said, or nobody wants to hear it. */
  async #said(what: string, request: string, saying: Promise<void>): Promise<boolean> {
    try {
      await saying;
      return true;
    } catch (error) {
      const code = error instanceof ApprovalError ? error.code : 'Unknown';
      this.#o.logger.warn(`${what} could not be told`, { request, code });
      return !isUnreachable(error);
    }
  }

  #listen(name: string, tell: (view: RequestView) => void): void {
    const known = this.#waiting.get(name) ?? new Set();
    known.add(tell);
    this.#waiting.set(name, known);
  }

  #unlisten(name: string, tell: (view: RequestView) => void): void {
    const known = this.#waiting.get(name);
    known?.delete(tell);
    if (known?.size === 0) this.#waiting.delete(name);
  }
}

function remember(names: Set<string>, name: string): void {
  names.add(name);
  const oldest = names.values().next();
  if (names.size > MAX_REMEMBERED && oldest.done === false) names.delete(oldest.value);
}

function count(times: Map<string, number>, name: string): void {
  times.set(name, (times.get(name) ?? 0) + 1);
  const oldest = times.keys().next();
  if (times.size > MAX_REMEMBERED && oldest.done === false) times.delete(oldest.value);
}

function isUnreachable(error: unknown): boolean {
  return error instanceof ApprovalError && error.code === 'Unreachable';
}

function isOver({ state }: RequestView): boolean {
  return state !== 'Pending';
}
