import type { UnderlyingDefaultSource } from 'node:stream/web';
import type { AccessRequest } from '@chaperone/api';

/** A sign of life, so that who is gone is noticed, and who waits knows that we are here and what our clock says. */
const HEARTBEAT_MS = 15_000;

export interface EventsOptions {
  /** Told before anything else. */
  readonly viewer: object;
  /** Told then, in this order. */
  readonly first: readonly AccessRequest[];
  /** Calls with each change until the function that it returns is called. */
  readonly watch: (tell: (request: AccessRequest) => void) => () => void;
  /** Whether it may be told; asked each time. Where it rejects, the answer is no. */
  readonly may: (request: AccessRequest) => Promise<boolean>;
  /** Whether what there is can still be told; where not, the stream ends, and whoever asks again hears why. */
  readonly isHeard: () => boolean;
  /** The sign-in of whoever listens; absent: it does not end. */
  readonly signIn?: { readonly ended: AbortSignal; readonly expiresAt: number } | undefined;
  readonly now: () => number;
  readonly onEnd: () => void;
}

/**
 * Requests as server-sent events: `viewer` is who listens, `request` a request as it is now, `settled` comes after all that there
 * was, and `tick` after a silence; the last two have our clock. The id of a request's event is its resourceVersion. Of one that
 * changes faster than it is read only the newest state is told, so that what waits for a slow reader is bounded by the number of
 * requests. https://html.spec.whatwg.org/#server-sent-events
 */
export class RequestEvents implements UnderlyingDefaultSource<Uint8Array> {
  readonly #o: EventsOptions;
  readonly #waiting: Map<string, AccessRequest>;
  readonly #encoder = new TextEncoder();
  #isSettled = false;
  #wake: (() => void) | undefined;
  #unwatch: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: EventsOptions) {
    this.#o = options;
    this.#waiting = new Map(options.first.map((request) => [keyOf(request), request]));
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#unwatch = this.#o.watch((request) => {
      this.#waiting.delete(keyOf(request));
      this.#waiting.set(keyOf(request), request);
      this.#wake?.();
    });
    this.#timer = setInterval(this.#onTime, HEARTBEAT_MS).unref();
    this.#o.signIn?.ended.addEventListener('abort', this.#onTime);
    controller.enqueue(this.#encoder.encode(eventOf('viewer', { ...this.#o.viewer, now: this.#o.now() })));
  }

  /** Called when the reader has room: tells one request, or, after a silence, that there is none. */
  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const told = await this.#next();
    if (this.#unwatch === undefined) return;
    if (this.#isSignedIn() && this.#o.isHeard()) return controller.enqueue(this.#encoder.encode(told));
    this.cancel();
    controller.close();
  }

  cancel(): void {
    if (this.#unwatch === undefined) return;
    clearInterval(this.#timer);
    this.#o.signIn?.ended.removeEventListener('abort', this.#onTime);
    this.#unwatch();
    this.#unwatch = undefined;
    this.#wake?.();
    this.#o.onEnd();
  }

  async #next(): Promise<string> {
    for (;;) {
      const [next] = this.#waiting.values();
      if (next !== undefined) {
        this.#waiting.delete(keyOf(next));
        if (await this.#o.may(next).catch(() => false)) return eventOf('request', next, next.metadata.resourceVersion);
      } else if (this.#isSettled) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
        if (this.#waiting.size === 0 || this.#unwatch === undefined) return eventOf('tick', { now: this.#o.now() });
      } else {
        this.#isSettled = true;
        return eventOf('settled', { now: this.#o.now() });
      }
    }
  }

  /** Kept as one function, so that it can be taken off again. */
  readonly #onTime = (): void => this.#wake?.();

  #isSignedIn(): boolean {
    const { signIn, now } = this.#o;
    return signIn === undefined || (!signIn.ended.aborted && now() < signIn.expiresAt);
  }
}

function keyOf({ metadata }: AccessRequest): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** JSON has no line breaks of its own. */
function eventOf(event: string, data: object, id?: string): string {
  return `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}
