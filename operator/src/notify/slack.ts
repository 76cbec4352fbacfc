import { setTimeout as sleep } from 'node:timers/promises';
import type { AccessRequest } from '@chaperone/api';
import { NotifyError } from './errors.ts';
import { agentOf, DELIVERY_MS, isFresh, stateOf } from './news.ts';
import { type SlackClient, SlackError, type SlackFailure } from './slack-client.ts';
import { faceOf, messageOf, overflowMessage, type SlackMessage } from './slack-message.ts';
import type { Outcome } from './webhook.ts';

/** Messages of one agent in {@link WINDOW_MS}; more are counted in one that says how many. */
export const MAX_MESSAGES = 10;
const WINDOW_MS = 60_000;
/** Requests of which a message has to be written. */
const MAX_WAITING = 1_000;
const MAX_REMEMBERED = 2_000;
/** Doubles with each failure in a row. */
const BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 60_000;
/** How often the file of a refused token is looked at for another one. */
const LOOK_MS = 15_000;

export interface SlackNoticesOptions {
  readonly client: SlackClient;
  readonly channel: string;
  readonly consoleUrl: string;
  readonly onOutcome: (outcome: Outcome) => void;
  /** Whether Slack takes our messages. */
  readonly onUp: (up: boolean) => void;
  readonly onError: (error: unknown) => void;
  /** Notes on the request which message is its own, for the next leader. */
  readonly remember?: ((request: AccessRequest, mark: string) => Promise<void>) | undefined;
  readonly now?: (() => number) | undefined;
  readonly random?: (() => number) | undefined;
  readonly backoffMs?: number | undefined;
  readonly lookMs?: number | undefined;
}

/** Annotation by which a leader knows the message that another one wrote: `CHANNEL/TS`. */
export const SLACK_MARK = 'chaperone.dev/slack-message';

interface Entry {
  request: AccessRequest;
  /** Of the message; undefined: there is none yet. */
  ts: string | undefined;
  /** What the message shows, by {@link faceOf}. */
  shown: string | undefined;
  /** Counted in another message. */
  folded: boolean;
  /** When it became what it is. */
  since: number;
}
/** Messages of one agent within a minute. */
interface Flood {
  readonly agent: string;
  readonly begun: number;
  messages: number;
  thread: string | undefined;
  more: number;
  moreTs: string | undefined;
  moreShown: number;
}
type Job = { readonly entry: Entry } | { readonly flood: Flood };

/**
 * Keeps one message per request in one channel: written when it waits, changed whenever its state does. The first of an agent stands in
 * the channel, what follows within a minute in its thread. One call at a time; Slack says how fast.
 */
export class SlackNotices {
  readonly #o: SlackNoticesOptions;
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #entries = new Map<string, Entry>();
  readonly #floods = new Map<string, Flood>();
  /** In the order of work; each once, as what is written is what is known then. */
  readonly #waiting = new Set<Entry | Flood>();
  readonly #stop = new AbortController();
  #working: Promise<void> = Promise.resolve();
  #running = false;
  #failures = 0;
  #look: NodeJS.Timeout | undefined;

  constructor(options: SlackNoticesOptions) {
    this.#o = options;
    this.#now = options.now ?? Date.now;
    this.#startedAt = this.#now();
  }

  changed(request: AccessRequest): void {
    if (this.#stop.signal.aborted) return;
    const uid = request.metadata.uid ?? '';
    const entry = this.#entries.get(uid) ?? this.#meet(request);
    if (entry === undefined) return;
    if (faceOf(request) !== faceOf(entry.request)) entry.since = this.#now();
    entry.request = request;
    this.#entries.delete(uid);
    this.#entries.set(uid, entry);
    const oldest = this.#entries.keys().next();
    if (this.#entries.size > MAX_REMEMBERED && oldest.done === false) this.#entries.delete(oldest.value);
    if (this.#isBehind(entry)) this.#add(entry);
  }

  /** Gives up what waits, and the call that is under way. The client's own signal has to end that. */
  async stop(): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#look);
    this.#waiting.clear();
    await this.#working;
  }

  /** Undefined: it is over, and has no message that could be wrong. */
  #meet(request: AccessRequest): Entry | undefined {
    const [channel, ts] = (request.metadata.annotations?.[SLACK_MARK] ?? '').split('/');
    const known = channel === this.#o.channel && ts !== undefined && /^\d{1,12}\.\d{1,12}$/.test(ts);
    if (!known && stateOf(request) !== 'Pending') return undefined;
    // The last leader had so long to change the message; later, a button may be left that says that it is too late.
    if (!isFresh(request, this.#startedAt, DELIVERY_MS)) return undefined;
    const shown = known && stateOf(request) === 'Pending' ? faceOf(request) : undefined;
    return { request, ts: known ? ts : undefined, shown, folded: false, since: this.#now() };
  }

  #isBehind({ request, ts, shown, folded }: Entry): boolean {
    return !folded && shown !== faceOf(request) && (ts !== undefined || stateOf(request) === 'Pending');
  }

  #add(item: Entry | Flood): void {
    const [oldest] = this.#waiting;
    if (this.#waiting.size >= MAX_WAITING && !this.#waiting.has(item) && oldest !== undefined) {
      this.#waiting.delete(oldest);
      this.#o.onOutcome('dropped');
      this.#o.onError(new NotifyError('Dropped', `Slack has ${MAX_WAITING} messages waiting; the oldest is given up`));
    }
    this.#waiting.add(item);
    if (this.#running) return;
    this.#running = true;
    this.#working = this.#work();
  }

  async #work(): Promise<void> {
    for (;;) {
      const [item] = this.#waiting;
      if (item === undefined || this.#stop.signal.aborted) {
        this.#running = false;
        return;
      }
      this.#waiting.delete(item);
      const job: Job = 'request' in item ? { entry: item } : { flood: item };
      try {
        if (await this.#show(job)) this.#succeeded();
      } catch (error) {
        if (!this.#stop.signal.aborted) await this.#failed(item, error);
      }
    }
  }

  /** Whether anything was written. */
  async #show(job: Job): Promise<boolean> {
    if ('flood' in job) return await this.#showMore(job.flood);
    const { entry } = job;
    const { request } = entry;
    if (!this.#isBehind(entry)) return false;
    const face = faceOf(request);
    const message = messageOf(request, this.#o.consoleUrl, this.#now());
    if (entry.ts !== undefined) await this.#update(entry.ts, message);
    else if (!(await this.#post(entry, message))) return false;
    entry.shown = face;
    return true;
  }

  async #post(entry: Entry, message: SlackMessage): Promise<boolean> {
    const flood = this.#floodOf(agentOf(entry.request));
    if (flood.messages >= MAX_MESSAGES) {
      entry.folded = true;
      flood.more += 1;
      this.#add(flood);
      return false;
    }
    // One that Slack took without our hearing of it is written twice; the button of the first is told that it is over.
    entry.ts = await this.#write(message, flood.thread);
    flood.messages += 1;
    flood.thread ??= entry.ts;
    const mark = `${this.#o.channel}/${entry.ts}`;
    this.#o.remember?.(entry.request, mark).catch(this.#o.onError);
    return true;
  }

  async #showMore(flood: Flood): Promise<boolean> {
    const { more } = flood;
    if (flood.moreShown === more) return false;
    const message = overflowMessage(flood.agent, more, this.#o.consoleUrl);
    if (flood.moreTs === undefined) flood.moreTs = await this.#write(message, flood.thread);
    else await this.#update(flood.moreTs, message);
    flood.moreShown = more;
    return true;
  }

  #floodOf(agent: string): Flood {
    const now = this.#now();
    const before = this.#floods.get(agent);
    if (before !== undefined && now - before.begun < WINDOW_MS) return before;
    for (const [key, { begun }] of this.#floods) if (now - begun >= WINDOW_MS) this.#floods.delete(key);
    const flood = { agent, begun: now, messages: 0, thread: undefined, more: 0, moreTs: undefined, moreShown: 0 };
    this.#floods.set(agent, flood);
    return flood;
  }

  async #write({ text, blocks }: SlackMessage, thread: string | undefined): Promise<string> {
    const { client, channel } = this.#o;
    const { ts } = await client.write('chat.postMessage', {
      channel,
      text,
      blocks,
      ...(thread === undefined ? {} : { thread_ts: thread }),
      mrkdwn: false,
      parse: 'none',
      link_names: false,
      unfurl_links: false,
      unfurl_media: false,
    });
    return ts;
  }

  async #update(ts: string, { text, blocks }: SlackMessage): Promise<void> {
    const { client, channel } = this.#o;
    await client.write('chat.update', { channel, ts, text, blocks, parse: 'none', link_names: false });
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#o.onOutcome('sent');
    this.#o.onUp(true);
  }

  async #failed(item: Entry | Flood, error: unknown): Promise<void> {
    const failure = failureOf(error);
    if (failure === 'retry') {
      const delay = this.#delay(error as SlackError);
      this.#failures += 1;
      if (this.#failures === 2) this.#o.onUp(false);
      if (this.#now() + delay < deadline(item)) this.#waiting.add(item);
      else this.#giveUp(item, error);
      await sleep(delay, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      return;
    }
    this.#giveUp(item, error);
    if (failure === 'token') this.#pause();
  }

  #delay({ retryAfterMs }: SlackError): number {
    const base = Math.min(MAX_BACKOFF_MS, (this.#o.backoffMs ?? BACKOFF_MS) * 2 ** Math.min(this.#failures, 16));
    return retryAfterMs ?? base * (0.75 + (this.#o.random ?? Math.random)() / 2);
  }

  #giveUp(item: Entry | Flood, error: unknown): void {
    const refused = failureOf(error) === 'refused';
    if ('request' in item && refused) item.shown = faceOf(item.request);
    // A message that is gone cannot be changed; a channel that takes no new one is of no use.
    if ('request' in item && refused && item.ts === undefined) this.#o.onUp(false);
    this.#o.onOutcome('failed');
    this.#o.onError(error);
  }

  /** Until there is another token, Slack is not asked; then what still waits for people is told. */
  #pause(): void {
    this.#o.onUp(false);
    for (const _ of this.#waiting) this.#o.onOutcome('failed');
    this.#waiting.clear();
    if (this.#look !== undefined) return;
    this.#look = setInterval(() => void this.#resume(), this.#o.lookMs ?? LOOK_MS).unref();
  }

  async #resume(): Promise<void> {
    if (!(await this.#o.client.usable()) || this.#stop.signal.aborted) return;
    clearInterval(this.#look);
    this.#look = undefined;
    for (const entry of this.#entries.values()) if (this.#isBehind(entry) && deadline(entry) > this.#now()) this.#add(entry);
  }
}

function failureOf(error: unknown): SlackFailure {
  if (error instanceof SlackError) return error.failure;
  return error instanceof NotifyError && error.code === 'SecretInvalid' ? 'token' : 'refused';
}

/** After this nobody needs to see it, ms since 1970. */
function deadline(item: Entry | Flood): number {
  if (!('request' in item)) return item.begun + WINDOW_MS;
  return stateOf(item.request) === 'Pending' ? Date.parse(item.request.spec.expiresAt) : item.since + DELIVERY_MS;
}
