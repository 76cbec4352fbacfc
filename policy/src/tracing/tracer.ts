import type { Sender } from './sender.ts';
import { type Attributes, encodeSpans, type Span } from './span.ts';

/** As OpenTelemetry's batch processor has them by default ("Environment Variable Specification", BSP). */
const MAX_QUEUED = 2048;
const MAX_BATCH = 512;
const EVERY_MS = 5_000;
const BACKOFF_MS = { first: 1_000, last: 30_000 } as const;

export interface TracerOptions {
  readonly send: Sender;
  /** What is said of who traces: `service.name` and the like. */
  readonly resource: Attributes;
  /** Part of all traces that are kept, 0 to 1. */
  readonly ratio: number;
  /** So many random bytes. */
  readonly random: (bytes: number) => Buffer;
  /** The receiver does not take spans (a word of why), or takes them again. */
  readonly onTrouble?: (why: string | undefined) => void;
  /** Default: 5 s. */
  readonly everyMs?: number;
}

/** Makes ids, and brings spans out behind whoever ends them. What finds no room is counted and forgotten: nothing ever waits for it. */
export class Tracer {
  readonly #o: TracerOptions;
  readonly #queue: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #waitMs = 0;
  #trouble: string | undefined;
  #isStopped = false;
  /** Spans that did not get out. */
  dropped = 0;

  constructor(options: TracerOptions) {
    this.#o = options;
  }

  get #everyMs(): number {
    return this.#o.everyMs ?? EVERY_MS;
  }

  /** The id of a new trace; undefined where it is not among those that are kept. */
  begin(): string | undefined {
    const id = this.#o.random(16);
    // The last 56 bits are random (W3C Trace Context Level 2 §3.2.2.3).
    return id.readUIntBE(10, 6) < this.#o.ratio * 2 ** 48 ? id.toString('hex') : undefined;
  }
  newSpanId(): string {
    return this.#o.random(8).toString('hex');
  }

  add(span: Span): void {
    if (this.#isStopped || this.#queue.length >= MAX_QUEUED) {
      this.dropped++;
      return;
    }
    this.#queue.push(span);
    this.#schedule(this.#queue.length >= MAX_BATCH && this.#waitMs === 0 ? 0 : Math.max(this.#waitMs, this.#everyMs));
  }

  /** Brings out what there is, as far as the time allows. */
  async stop(timeoutMs: number): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    const over = Promise.withResolvers<void>();
    const timer = setTimeout(() => over.resolve(), timeoutMs);
    await Promise.race([this.#flush(), over.promise]);
    clearTimeout(timer);
    this.dropped += this.#queue.length;
    this.#queue.length = 0;
  }

  async #flush(): Promise<void> {
    await this.#sending;
    while (this.#queue.length > 0 && this.#trouble === undefined) await this.#sendOne();
  }

  #schedule(afterMs: number): void {
    if (this.#sending !== undefined || this.#isStopped || (this.#timer !== undefined && afterMs > 0)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sending = this.#sendOne().finally(() => {
        this.#sending = undefined;
        if (this.#queue.length > 0) this.#schedule(Math.max(this.#waitMs, this.#queue.length >= MAX_BATCH ? 0 : this.#everyMs));
      });
    }, afterMs).unref();
  }

  /** One batch. What the receiver may take later stays at the head of the queue. */
  async #sendOne(): Promise<void> {
    const batch = this.#queue.slice(0, MAX_BATCH);
    if (batch.length === 0) return;
    const sent = await this.#o.send(encodeSpans(batch, this.#o.resource));
    if (sent.kind === 'again') {
      const doubled = Math.min(BACKOFF_MS.last, Math.max(BACKOFF_MS.first, this.#waitMs * 2));
      this.#waitMs = Math.max(sent.afterMs ?? 0, doubled);
      return this.#say(sent.why);
    }
    this.#queue.splice(0, batch.length);
    this.#waitMs = 0;
    this.dropped += sent.kind === 'refused' ? batch.length : Math.min(batch.length, sent.rejected);
    this.#say(sent.kind === 'refused' ? sent.why : undefined);
  }

  #say(trouble: string | undefined): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#o.onTrouble?.(trouble);
  }
}
