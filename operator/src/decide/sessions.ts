import { randomBytes } from 'node:crypto';
import { AttestError, SIGN_IN_LASTS_MS, type SignedIn } from '@chaperone/policy/attest';

const MAX_SESSIONS = 1024;
const MAX_PER_PERSON = 8;
/** Pages that one browser has open. */
const MAX_CHALLENGES = 32;
/** How long a page may be open before it has to be loaded again. */
export const CHALLENGE_LASTS_MS = 10 * 60_000;

/** What one page was given, and may answer once. */
export interface Challenge {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly shown: string;
  readonly until: number;
}

/** One sign-in of one browser. */
export class Session {
  readonly idToken: string;
  readonly signedIn: SignedIn;
  readonly until: number;
  /** What a passkey that is being registered has to answer. */
  registration: string | undefined;
  readonly #challenges = new Map<string, Challenge>();

  constructor(idToken: string, signedIn: SignedIn) {
    this.idToken = idToken;
    this.signedIn = signedIn;
    this.until = signedIn.issuedAt + SIGN_IN_LASTS_MS;
  }

  give(challenge: Challenge): string {
    const [oldest] = this.#challenges.keys();
    if (oldest !== undefined && this.#challenges.size >= MAX_CHALLENGES) this.#challenges.delete(oldest);
    const value = randomValue();
    this.#challenges.set(value, challenge);
    return value;
  }

  /** What a challenge was given for, once. @throws AttestError ChallengeUsed */
  take(value: string, now: number): Challenge {
    const challenge = this.#challenges.get(value);
    this.#challenges.delete(value);
    if (challenge === undefined || now > challenge.until)
      throw new AttestError('ChallengeUsed', 'this page has answered already, or is too old; reload it');
    return challenge;
  }
}

/** Who is signed in; nobody for longer than a key may sign. Only who the issuer vouched for takes up room. */
export class Sessions {
  readonly #now: () => number;
  readonly #sessions = new Map<string, Session>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Begins a session; its name is a secret. @throws AttestError PageUnavailable */
  begin(idToken: string, signedIn: SignedIn): string {
    for (const [id, { until }] of this.#sessions) if (this.#now() > until) this.#sessions.delete(id);
    const own = [...this.#sessions].filter(([, session]) => session.signedIn.person.user === signedIn.person.user);
    const [oldest] = own;
    if (oldest !== undefined && own.length >= MAX_PER_PERSON) this.#sessions.delete(oldest[0]);
    if (this.#sessions.size >= MAX_SESSIONS)
      throw new AttestError('PageUnavailable', 'too many people are signed in; try again in a moment');
    const id = randomValue();
    this.#sessions.set(id, new Session(idToken, signedIn));
    return id;
  }

  /** @throws AttestError SignInNeeded */
  get(id: string | undefined): Session {
    const session = this.#sessions.get(id ?? '');
    if (session === undefined || this.#now() > session.until) throw new AttestError('SignInNeeded', 'sign in to decide');
    return session;
  }
}

/** 32 bytes, base64url. */
export function randomValue(): string {
  return randomBytes(32).toString('base64url');
}
