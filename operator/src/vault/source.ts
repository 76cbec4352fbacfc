import { randomInt } from 'node:crypto';
import type { Problem } from '@chaperone/policy/conditions';
import { type CredentialView, isSameLogin } from '../resources/source.ts';
import type { SecretAnswer } from './answers.ts';
import type { VaultClient } from './client.ts';
import { VaultError } from './errors.ts';
import { Tokens, type VaultToken } from './token.ts';

/** How often what has no lease is read again. */
const POLL_MS = 30_000;
/** Parts of a lease's time: when it is renewed, at the earliest; and with how little more it counts as at its end. */
const RENEW_AFTER = 0.5;
const NEAR_ITS_END = 1 / 3;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
/** Paths followed at a time, each with a request a minute where nothing goes well. */
const MAX_PATHS = 512;
/** How long a path may count as not heard of. */
const UNHEARD_MS = 5_000;
/** What is lent lasts so long still when another operator takes over: its sessions go on until they have the new credential. */
const HAND_OVER_S = 300;
/** For giving back what is lent. */
const FAREWELL_MS = 3_000;
const REVOKE_ATTEMPTS = 4;

interface Lease {
  readonly id: string;
  readonly token: VaultToken;
  /** Ms that the lease had at first. */
  readonly fullMs: number;
  endsAt: number;
  renewable: boolean;
}
interface Followed {
  readonly path: string;
  readonly since: number;
  view: VaultView | undefined;
  lease: Lease | undefined;
  problem: Problem | undefined;
  failures: number;
  dropped: boolean;
  wake: () => void;
}

/** What is at a path, as it was last read. */
class VaultView implements CredentialView {
  readonly version: string;
  readonly #values: ReadonlyMap<string, string>;

  constructor(version: string, values: ReadonlyMap<string, string>) {
    this.version = version;
    this.#values = values;
  }
  text(key: string): string | undefined {
    return this.#values.get(key);
  }
}

/** Monotonic, so that no change of the time of day makes anything last longer; in ms. */
export interface VaultClock {
  now(): number;
  /** Returns what calls it off. */
  after(ms: number, run: () => void): () => void;
}
const MONOTONIC: VaultClock = {
  now: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, Math.min(ms, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  },
};

export interface VaultSourceOptions {
  readonly client: VaultClient;
  /** Something that was read is another than before, or is no more. */
  readonly onChange: () => void;
  readonly onError: (error: unknown) => void;
  readonly clock?: VaultClock | undefined;
  /** Of 0 to 1; spreads what would be done at one moment. */
  readonly random?: (() => number) | undefined;
}

/**
 * Secrets of Vault, each read by one task of its own, in memory only. What Vault lends is renewed before two thirds of its time, replaced
 * where Vault renews no more, given back when nobody wants it, and used to its end while Vault is away.
 */
export class VaultSource {
  readonly #options: VaultSourceOptions;
  readonly #clock: VaultClock;
  readonly #random: () => number;
  readonly #tokens: Tokens;
  readonly #followed = new Map<string, Followed>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #sleepers = new Set<{ readonly wake: () => void }>();
  readonly #stop = new AbortController();
  #versions = 0;
  #keeper: Promise<void> | undefined;

  constructor(options: VaultSourceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? MONOTONIC;
    this.#random = options.random ?? (() => randomInt(2 ** 30) / 2 ** 30);
    this.#tokens = new Tokens({
      client: options.client,
      now: () => this.#now(),
      backoff: (failures) => this.#backoff(failures),
      onAnother: () => this.#followed.forEach(({ wake }) => wake()),
    });
  }

  /** Follows exactly these paths from now on. */
  want(paths: ReadonlySet<string>): void {
    if (this.#stop.signal.aborted) return;
    for (const [path, followed] of this.#followed) if (!paths.has(path)) this.#drop(followed);
    for (const path of paths) if (!this.#followed.has(path) && this.#followed.size < MAX_PATHS) this.#follow(path);
    if (this.#followed.size > 0) this.#keeper ??= this.#keepToken();
  }

  /** What was read last and still counts, or why there is nothing. */
  get(path: string): { readonly view: CredentialView | undefined; readonly problem: Problem | undefined } {
    const followed = this.#followed.get(path);
    if (followed === undefined) return { view: undefined, problem: problemOf(path, TOO_MANY) };
    const { view, problem } = followed;
    if (view !== undefined && !this.#hasEnded(followed)) return { view, problem: undefined };
    return { view: undefined, problem: problem ?? problemOf(path, NOT_YET) };
  }

  /** False until a first answer came, or it has been waited for long enough. */
  known(path: string): boolean {
    const followed = this.#followed.get(path);
    if (followed === undefined) return this.#followed.size >= MAX_PATHS;
    return followed.view !== undefined || followed.problem !== undefined || this.#now() - followed.since > UNHEARD_MS;
  }

  /** Stops, and lets what is lent end soon. */
  async close(): Promise<void> {
    const lent = [...this.#followed.values()].flatMap(({ lease }) => (lease === undefined ? [] : [lease]));
    this.#stop.abort();
    this.#sleepers.forEach(({ wake }) => wake());
    const signal = AbortSignal.timeout(FAREWELL_MS);
    await Promise.all([...lent.map((lease) => this.#handOver(lease, signal)), ...this.#tasks, this.#keeper]);
    this.#followed.clear();
    this.#options.client.close();
  }

  #follow(path: string): void {
    const followed: Followed = {
      path,
      since: this.#now(),
      view: undefined,
      lease: undefined,
      problem: undefined,
      failures: 0,
      dropped: false,
      wake: () => undefined,
    };
    this.#followed.set(path, followed);
    this.#run(this.#tend(followed));
  }

  #drop(followed: Followed): void {
    this.#followed.delete(followed.path);
    followed.dropped = true;
    followed.wake();
  }

  /** One request at a time. */
  async #tend(followed: Followed): Promise<void> {
    while (!followed.dropped && !this.#stop.signal.aborted) {
      const waitMs = await this.#step(followed);
      if (!followed.dropped && !this.#stop.signal.aborted) await this.#sleep(followed, waitMs);
    }
    if (followed.lease !== undefined && !this.#stop.signal.aborted) await this.#revoke(followed.lease);
  }

  /** Returns in how many ms the next one is due. */
  async #step(followed: Followed): Promise<number> {
    try {
      const token = await this.#tokens.get(this.#stop.signal);
      const waitMs = (await this.#renew(followed, token)) ?? (await this.#read(followed, token));
      followed.failures = 0;
      return waitMs;
    } catch (error) {
      if (this.#stop.signal.aborted) return 0;
      const failure = error instanceof VaultError ? error : new VaultError('VaultUnavailable', 'it cannot be asked');
      if (failure !== error) this.#options.onError(error);
      return this.#failed(followed, failure);
    }
  }

  #failed(followed: Followed, error: VaultError): number {
    followed.failures += 1;
    followed.problem = problemOf(followed.path, error);
    // What was not lent is as good as its place: where that is gone for certain, so is it.
    const gone = followed.lease === undefined && error.code === 'VaultRefused' && (error.status === 404 || followed.failures > 1);
    if (gone || this.#hasEnded(followed)) {
      followed.view = undefined;
      followed.lease = undefined;
    }
    if (followed.view === undefined) this.#options.onChange();
    const endsIn = followed.lease === undefined ? Infinity : this.#endOf(followed.lease) - this.#now();
    return Math.min(this.#backoff(followed.failures), Math.max(endsIn, 0));
  }

  /** Undefined: there is nothing to renew, or Vault renews it no more; what is lent then is left to those who use it until it ends. */
  async #renew(followed: Followed, token: VaultToken): Promise<number | undefined> {
    const { lease } = followed;
    if (lease === undefined || lease.token !== token || !lease.renewable || this.#hasEnded(followed)) return undefined;
    const asked = this.#now();
    try {
      const { durationMs, renewable } = await this.#options.client.renewLease(token.value, lease.id, this.#stop.signal);
      lease.endsAt = asked + durationMs;
      lease.renewable = renewable;
      if (durationMs < lease.fullMs * NEAR_ITS_END) return undefined;
      return durationMs * this.#renewAfter();
    } catch (error) {
      if (!(error instanceof VaultError) || error.code !== 'VaultRefused') throw error;
      lease.renewable = false;
      if (error.status === 403) this.#tokens.doubt(token);
      return undefined;
    }
  }

  async #read(followed: Followed, token: VaultToken): Promise<number> {
    const asked = this.#now();
    let answer: SecretAnswer;
    try {
      answer = await this.#options.client.read(token.value, followed.path, this.#stop.signal);
    } catch (error) {
      if (error instanceof VaultError && error.status === 403) this.#tokens.doubt(token);
      throw error;
    }
    const view = new VaultView(String(++this.#versions), answer.values);
    const changed = followed.view === undefined || !isSameLogin(followed.view, view);
    if (changed) followed.view = view;
    followed.problem = undefined;
    const { lease } = answer;
    followed.lease = lease && {
      id: lease.id,
      token,
      fullMs: lease.durationMs,
      endsAt: asked + lease.durationMs,
      renewable: lease.renewable,
    };
    if (changed && !followed.dropped) this.#options.onChange();
    if (followed.lease === undefined) return POLL_MS * (1 - this.#random() / 10);
    return (this.#endOf(followed.lease) - asked) * this.#renewAfter();
  }

  #now(): number {
    return this.#clock.now();
  }
  /** A token that ends takes with it what was lent to it. */
  #endOf(lease: Lease): number {
    return Math.min(lease.endsAt, lease.token.endsAt);
  }
  #hasEnded({ lease }: Followed): boolean {
    return lease !== undefined && this.#now() >= this.#endOf(lease);
  }
  #renewAfter(): number {
    return RENEW_AFTER + this.#random() / 10;
  }
  #backoff(failures: number): number {
    const most = Math.min(FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 16), LONGEST_RETRY_MS);
    return most * (0.5 + this.#random() / 2);
  }

  /** Keeps the token alive, also while nothing is read: what is lent ends with it. */
  async #keepToken(): Promise<void> {
    const { signal } = this.#stop;
    const keeper = { wake: (): void => undefined };
    while (!signal.aborted) {
      // Whoever needs it is told why there is none.
      await this.#tokens.get(signal).catch(() => undefined);
      if (!signal.aborted) await this.#sleep(keeper, Math.max(this.#tokens.dueAt - this.#now(), FIRST_RETRY_MS));
    }
  }

  async #revoke(lease: Lease): Promise<void> {
    for (let attempt = 1; attempt <= REVOKE_ATTEMPTS && !this.#stop.signal.aborted; attempt++) {
      try {
        const token = await this.#tokens.get(this.#stop.signal);
        return await this.#options.client.revokeLease(token.value, lease.id, this.#stop.signal);
      } catch (error) {
        if (attempt === REVOKE_ATTEMPTS) this.#options.onError(error);
        else await this.#sleep({ wake: () => undefined }, this.#backoff(attempt));
      }
    }
  }

  async #handOver(lease: Lease, signal: AbortSignal): Promise<void> {
    if (!lease.renewable || this.#endOf(lease) - this.#now() < HAND_OVER_S * 1000) return;
    // If it cannot be told, the lease ends when its token does.
    await this.#options.client.renewLease(lease.token.value, lease.id, signal, HAND_OVER_S).catch(this.#options.onError);
  }

  #run(task: Promise<void>): void {
    const running = task.catch(this.#options.onError).finally(() => this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  async #sleep(sleeper: { wake: () => void }, ms: number): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const callOff = this.#clock.after(ms, resolve);
    sleeper.wake = resolve;
    this.#sleepers.add(sleeper);
    await promise;
    callOff();
    this.#sleepers.delete(sleeper);
  }
}

const TOO_MANY = new VaultError('VaultUnavailable', `the operator reads ${MAX_PATHS} others already`);
const NOT_YET = new VaultError('VaultUnavailable', 'it was not heard of yet');

function problemOf(path: string, { code, message }: VaultError): Problem {
  const next = code === 'VaultUnavailable' ? 'it is tried again' : 'mend that; it is tried again';
  return { code, message: `Vault path ${path} cannot be read: ${message}; ${next}` };
}
