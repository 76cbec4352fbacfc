import type { UnderlyingDefaultSource } from 'node:stream/web';
import type { AccessRequest } from '@chaperone/api';

/** A line without meaning now and then, so that who is gone is noticed, and who waits knows that we are here. */
const HEARTBEAT_MS = 15_000;

export interface EventsOptions {
  /** Told first, in this order. */
  readonly now: readonly AccessRequest[];
  /** Calls with each change until the function that it returns is called. */
  readonly watch: (tell: (request: AccessRequest) => void) => () => void;
  readonly onEnd: () => void;
}

/**
 * Requests as server-sent events; the id is the resourceVersion. Of a request that changes faster than it is read only the newest
 * state is told, so that what waits for a slow reader is bounded by the number of requests. https://html.spec.whatwg.org/#server-sent-events
 */
export class RequestEvents implements UnderlyingDefaultSource<Uint8Array> {
  readonly #o: EventsOptions;
  readonly #waiting: Map<string, AccessRequest>;
  readonly #encoder = new TextEncoder();
  #wake: (() => void) | undefined;
  #unwatch: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: EventsOptions) {
    this.#o = options;
    this.#waiting = new Map(options.now.map((request) => [keyOf(request), request]));
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#unwatch = this.#o.watch((request) => {
      this.#waiting.delete(keyOf(request));
      this.#waiting.set(keyOf(request), request);
      this.#wake?.();
    });
    this.#timer = setInterval(() => this.#wake?.(), HEARTBEAT_MS).unref();
    controller.enqueue(this.#encoder.encode(': requests\n\n'));
  }

  /** Called when the reader has room: tells one request, or, after a silence, that there is none. */
  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    if (this.#waiting.size === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
    if (this.#unwatch === undefined) return;
    const [next] = this.#waiting.values();
    if (next !== undefined) this.#waiting.delete(keyOf(next));
    controller.enqueue(this.#encoder.encode(next === undefined ? ':\n\n' : eventOf(next)));
  }

  cancel(): void {
    clearInterval(this.#timer);
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#wake?.();
    this.#o.onEnd();
  }
}

function keyOf({ metadata }: AccessRequest): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** JSON has no line breaks of its own. */
function eventOf(request: AccessRequest): string {
  return `event: request\nid: ${request.metadata.resourceVersion ?? ''}\ndata: ${JSON.stringify(request)}\n\n`;
}
