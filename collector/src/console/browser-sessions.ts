import { createHash, randomBytes } from 'node:crypto';
import type { Identity } from '../access.ts';

/** How long a sign-in holds, at most. Whoever is at work longer signs in again. */
export const SIGNED_IN_MS = 12 * 3_600_000;
/** More than people sign in to one collector; the oldest one ends for a new one, so that memory is bounded. */
const MAX_SESSIONS = 1_000;
const ID_BYTES = 32;

export interface BrowserSession {
  readonly identity: Identity;
  readonly expiresAt: number;
  /** Aborted when it is ended; what goes on for longer than an answer listens. */
  readonly ended: AbortSignal;
}

/** Who is signed in with a browser. In memory: a restart signs everybody out. Ids are kept as digests only. */
export class BrowserSessions {
  readonly lastMs: number;
  readonly #now: () => number;
  readonly #sessions = new Map<string, BrowserSession & { readonly end: () => void }>();

  constructor(now: () => number, lastMs: number) {
    this.#now = now;
    this.lastMs = lastMs;
  }

  /** Begins a session under an id that nobody knew before. */
  begin(identity: Identity): { id: string; session: BrowserSession } {
    for (const [key, { expiresAt }] of this.#sessions)
      if (expiresAt <= this.#now() || this.#sessions.size >= MAX_SESSIONS) this.#end(key);
      else break;
    const id = randomBytes(ID_BYTES).toString('base64url');
    const stop = new AbortController();
    const session = { identity, expiresAt: this.#now() + this.lastMs, ended: stop.signal, end: () => stop.abort() };
    this.#sessions.set(digest(id), session);
    return { id, session };
  }

  find(id: string): BrowserSession | undefined {
    const session = this.#sessions.get(digest(id));
    return session === undefined || session.expiresAt <= this.#now() ? undefined : session;
  }

  end(id: string): void {
    this.#end(digest(id));
  }

  #end(key: string): void {
    this.#sessions.get(key)?.end();
    this.#sessions.delete(key);
  }
}

/** What is compared, in time that says nothing, is a digest that nobody can choose. */
export function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
