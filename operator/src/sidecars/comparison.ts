import type { HeldSession } from '@chaperone/evidence';
import type { KeptCounter, PodCounters } from './counters.ts';

/** What a pod that is gone sent is on its way for so long. */
const GRACE_MS = 15_000;
/** A pod that has something pending says so every 10 s. */
const SILENT_MS = 45_000;
const LOOK_MS = 5_000;
/** What was missing once is asked for again after this. */
const AGAIN_MS = 60_000;
/** Pods that are asked about in one look. */
const MAX_ASKED = 32;
const MAX_NAMED = 3;

/** What of a pod's evidence has not arrived. */
export interface Shortfall {
  readonly kept: KeptCounter;
  /** A sentence's middle: `segments 2 to 4 of s-…`. */
  readonly missing: readonly string[];
}

/** What the collector has of sessions; of those that it has nothing of, nothing. */
export type AskHeld = (sessions: readonly string[]) => Promise<ReadonlyMap<string, HeldSession>>;

/**
 * What a pod counted and the collector has not. Of a pod that is gone every session has its end, be it torn; one that is merely silent may go on.
 * What a pod that is gone did not name can be asked for by nobody, so that it may be missing for good.
 */
export function missingOf({ counter, goneAt }: KeptCounter, held: ReadonlyMap<string, HeldSession>): string[] {
  const missing: string[] = [];
  for (const [session, sealed] of counter.pending) {
    const have = held.get(session);
    // It was in the spool before the session went on.
    const wanted = Math.max(sealed, 1);
    if (have === undefined) missing.push(`session ${session}`);
    else if (have.segments < wanted) missing.push(segmentsOf(session, have.segments, wanted - 1));
    else if (goneAt !== undefined && !have.ended) missing.push(`the end of ${session}`);
  }
  if (goneAt !== undefined && counter.more > 0) missing.push(`perhaps some of ${counter.more} sessions that it did not name`);
  return missing;
}

const segmentsOf = (session: string, from: number, to: number): string =>
  from === to ? `segment ${from} of ${session}` : `segments ${from} to ${to} of ${session}`;

/** The sentence for people. */
export function sentenceOf({ kept: { agent, counter, goneAt }, missing }: Shortfall): string {
  const more = missing.length - MAX_NAMED + (goneAt === undefined ? counter.more : 0);
  const named = missing.slice(0, MAX_NAMED).join(', ');
  const others = more > 0 ? ` and of ${more} more` : '';
  const how = goneAt === undefined ? 'which says nothing any more, ' : 'which is gone, ';
  return `pod ${agent.pod ?? agent.serviceAccount}, ${how}counted evidence that has not arrived: ${named}${others}; the collector has all but that`;
}

export interface ComparisonOptions {
  readonly counters: Pick<PodCounters, 'list' | 'forget' | 'settle'>;
  readonly ask: AskHeld;
  readonly now: () => number;
  /** What is missing of a pod, or that it is no more, has changed. */
  readonly onChange: (kept: KeptCounter, shortfall: Shortfall | undefined) => void;
  readonly onError: (error: unknown) => void;
}

/** Compares what pods counted that are gone or silent with what the collector has, again and again, and knows what is missing. */
export class Comparison {
  readonly #o: ComparisonOptions;
  readonly #found = new Map<string, { readonly shortfall: Shortfall; readonly at: number }>();
  /** Pods in the order in which they were asked about: who waited longest is next, whatever comes of the others. */
  readonly #asked = new Set<string>();
  /**
   * Pods that are gone of which, by the collector's word, nothing is missing. That word is no proof, so what they named stays in exports, which
   * are verified, for as long as counters are kept.
   */
  readonly #settled = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  /** Since when the collector gives no answer. */
  #unansweredAt: number | undefined;

  constructor(options: ComparisonOptions) {
    this.#o = options;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#looking ??= this.look().finally(() => {
        this.#looking = undefined;
      });
    }, LOOK_MS).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** Pods of which something is missing, that which went last first. */
  shortfalls(): Shortfall[] {
    const since = ({ kept }: Shortfall): number => kept.goneAt ?? kept.receivedAt;
    return [...this.#found.values()].map(({ shortfall }) => shortfall).toSorted((a, b) => since(b) - since(a));
  }

  /** Seconds since the collector last answered what it was asked; 0 while it does. */
  get unansweredSeconds(): number {
    return this.#unansweredAt === undefined ? 0 : (this.#o.now() - this.#unansweredAt) / 1000;
  }

  /** Looks once. Never rejects. */
  async look(): Promise<void> {
    const now = this.#o.now();
    const all = this.#o.counters.list();
    const known = new Set(all.map(({ podUid }) => podUid));
    for (const [podUid, { shortfall }] of this.#found) if (!known.has(podUid)) this.#clear(shortfall.kept);
    for (const podUid of this.#asked) if (!known.has(podUid)) this.#asked.delete(podUid);
    for (const podUid of this.#settled) if (!known.has(podUid)) this.#settled.delete(podUid);
    const due = new Map(all.filter((kept) => this.#isDue(kept, now)).map((kept) => [kept.podUid, kept]));
    const waiting = [...due.keys()].filter((podUid) => !this.#asked.has(podUid));
    for (const podUid of [...waiting, ...this.#asked].filter((each) => due.has(each)).slice(0, MAX_ASKED)) {
      const kept = due.get(podUid);
      this.#asked.delete(podUid);
      this.#asked.add(podUid);
      if (kept !== undefined && !(await this.#compare(kept))) return;
    }
  }

  #isDue(kept: KeptCounter, now: number): boolean {
    const { goneAt, receivedAt, counter, podUid } = kept;
    const found = this.#found.get(podUid);
    const isPending = counter.pending.length > 0;
    if (this.#settled.has(podUid)) return false;
    const isQuiet = goneAt === undefined ? isPending && now - receivedAt >= SILENT_MS : now - goneAt >= GRACE_MS;
    // It is heard again: what it says now counts.
    if (!isQuiet && found !== undefined) this.#clear(kept);
    return isQuiet && (found === undefined || now - found.at >= AGAIN_MS);
  }

  /** False: the collector does not answer, so that nothing is known. */
  async #compare(kept: KeptCounter): Promise<boolean> {
    const { podUid, counter, goneAt } = kept;
    try {
      const sessions = counter.pending.map(([session]) => session);
      const held = sessions.length === 0 ? new Map<string, HeldSession>() : await this.#o.ask(sessions);
      this.#unansweredAt = undefined;
      const missing = missingOf(kept, held);
      if (missing.length > 0) this.#miss({ kept, missing });
      else this.#clear(kept);
      if (missing.length > 0 || goneAt === undefined) return true;
      if (counter.pending.length === 0) this.#o.counters.forget(podUid);
      else {
        this.#settled.add(podUid);
        this.#o.counters.settle(podUid);
      }
      return true;
    } catch (error) {
      this.#unansweredAt ??= this.#o.now();
      this.#o.onError(error);
      return false;
    }
  }

  #miss(shortfall: Shortfall): void {
    const { podUid } = shortfall.kept;
    const before = this.#found.get(podUid)?.shortfall;
    this.#found.set(podUid, { shortfall, at: this.#o.now() });
    if (before === undefined || sentenceOf(before) !== sentenceOf(shortfall)) this.#o.onChange(shortfall.kept, shortfall);
  }

  #clear(kept: KeptCounter): void {
    if (this.#found.delete(kept.podUid)) this.#o.onChange(kept, undefined);
  }
}
