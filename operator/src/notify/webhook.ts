import { NotifyError } from './errors.ts';
import type { AddressGuard } from './guard.ts';
import { post } from './http.ts';
import { DELIVERY_MS, type News } from './news.ts';
import { parseWebhookSecrets, signedHeaders } from './standard-webhooks.ts';

/** Events of one endpoint that wait, tries in between included. */
export const MAX_WAITING = 1_000;
const MAX_AT_ONCE = 4;
/** Before the second to the fifth try; with jitter and answers at most 14 minutes in all. */
export const RETRY_MS: readonly number[] = [5_000, 30_000, 120_000, 480_000];
const JITTER = 0.25;
/** The receiver says that it wants no more. */
const GONE = 410;

export type Outcome = 'sent' | 'failed' | 'dropped';

export interface WebhookOptions {
  readonly url: string;
  /** As the file has it now. */
  readonly secret: () => Promise<string>;
  readonly mayDial: AddressGuard;
  readonly onOutcome: (outcome: Outcome) => void;
  readonly onError: (error: unknown) => void;
  readonly now?: () => number;
  readonly random?: () => number;
  readonly ca?: string | undefined;
  readonly retryMs?: readonly number[] | undefined;
}

interface Job {
  readonly news: News;
  readonly begun: number;
  tries: number;
  due: number;
}

/** Delivers news to one endpoint: each until it is taken, five times at most, and not after it is old. */
export class Webhook {
  readonly #options: WebhookOptions;
  readonly #url: URL;
  readonly #now: () => number;
  readonly #waiting = new Set<Job>();
  readonly #flying = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #gone = false;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#url = new URL(options.url);
    this.#now = options.now ?? Date.now;
  }

  send(news: News): void {
    if (this.#gone || this.#stop.signal.aborted) return this.#options.onOutcome('dropped');
    // What is over asks nobody any more.
    this.#drop([...this.#waiting].filter((job) => job.news.about === news.about && job.news.type === 'request.created'));
    if (this.#waiting.size >= MAX_WAITING) {
      this.#drop([...this.#waiting].toSorted((a, b) => a.begun - b.begun).slice(0, 1));
      this.#options.onError(
        new NotifyError('Dropped', `${this.#url.host} has ${MAX_WAITING} events waiting; the oldest is given up`),
      );
    }
    const now = this.#now();
    this.#waiting.add({ news, begun: now, tries: 0, due: now });
    this.#pump();
  }

  /** Events that wait or are under way. */
  get size(): number {
    return this.#waiting.size + this.#flying.size;
  }

  /** Gives up what waits and what is under way. */
  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#waiting.clear();
    await Promise.all(this.#flying);
  }

  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#stop.signal.aborted) return;
    const now = this.#now();
    for (const job of this.#waiting) {
      if (this.#flying.size >= MAX_AT_ONCE) return;
      if (job.due <= now) this.#fly(job);
    }
    const next = Math.min(...[...this.#waiting].map(({ due }) => due));
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#pump(), Math.max(1, next - now)).unref();
  }

  #fly(job: Job): void {
    this.#waiting.delete(job);
    const flight = this.#attempt(job).then(
      () => this.#options.onOutcome('sent'),
      (error: unknown) => this.#failed(job, error),
    );
    const landed = flight.finally(() => {
      this.#flying.delete(landed);
      this.#pump();
    });
    this.#flying.add(landed);
  }

  async #attempt(job: Job): Promise<void> {
    const { mayDial, secret, ca } = this.#options;
    job.tries += 1;
    const { id, body } = job.news;
    const secrets = parseWebhookSecrets(await secret());
    const answer = await post({
      url: this.#url,
      headers: {
        'content-type': 'application/json',
        ...signedHeaders({ id, timestamp: Math.floor(this.#now() / 1000), body }, secrets),
      },
      body,
      mayDial,
      ca,
      signal: this.#stop.signal,
    });
    if (answer.status >= 200 && answer.status < 300) return;
    if (answer.status === GONE) this.#gone = true;
    throw new Unaccepted(this.#url.host, answer.status, answer.retryAfter);
  }

  #failed(job: Job, error: unknown): void {
    if (this.#stop.signal.aborted) return this.#options.onOutcome('dropped');
    const delay = this.#delay(job, error);
    const due = this.#now() + delay;
    if (this.#gone || due >= Math.min(job.news.until, job.begun + DELIVERY_MS)) {
      this.#options.onOutcome('failed');
      this.#options.onError(error);
      if (this.#gone) this.#drop([...this.#waiting]);
      return;
    }
    job.due = due;
    this.#waiting.add(job);
  }

  /** ms until the next try; infinite: there is none. */
  #delay({ tries }: Job, error: unknown): number {
    const base = (this.#options.retryMs ?? RETRY_MS)[tries - 1];
    if (base === undefined) return Number.POSITIVE_INFINITY;
    const jittered = base * (1 + JITTER * (2 * (this.#options.random ?? Math.random)() - 1));
    const asked = error instanceof Unaccepted ? (error.retryAfter ?? 0) * 1000 : 0;
    return Math.max(jittered, asked);
  }

  #drop(jobs: readonly Job[]): void {
    for (const job of jobs) {
      this.#waiting.delete(job);
      this.#options.onOutcome('dropped');
    }
  }
}

class Unaccepted extends NotifyError {
  readonly retryAfter: number | undefined;

  constructor(host: string, status: number, retryAfter: number | undefined) {
    super('Refused', `${host} answered ${status}`);
    this.retryAfter = retryAfter;
  }
}
