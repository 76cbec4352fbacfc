import type { AccessRequest } from '@chaperone/api';
import type { Viewer } from '@chaperone/api/requests';

/** Who looks, as the collector knows them. `decides`: decisions are taken here. */
export type LiveViewer = Viewer & { readonly decides: boolean };

/** What a stream tells: who looks and all that there is, `settled` after it, then each change; `tick` when there is none. */
export type News =
  | { readonly kind: 'viewer'; readonly viewer: LiveViewer; readonly now: number }
  | { readonly kind: 'request'; readonly request: AccessRequest }
  | { readonly kind: 'settled' | 'tick'; readonly now: number }
  /** `hidden`: whoever reads it is in the background, where timers are slow. */
  | { readonly kind: 'cut'; readonly hidden: boolean };

/** The collector gives a sign of life every 15 s. */
export const SILENCE_MS = 35_000;
const CHECK_MS = 5_000;
const [MIN_AGAIN_MS, MAX_AGAIN_MS] = [1_000, 30_000];

/** The collector's stream of requests, opened again whenever it is cut. */
export class Stream {
  readonly #tell: (news: News) => void;
  readonly #watchdog: ReturnType<typeof setInterval>;
  #source: EventSource | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #heardAt = 0;

  constructor(tell: (news: News) => void) {
    this.#tell = tell;
    this.#open();
    this.#watchdog = setInterval(this.#check, CHECK_MS);
    document.addEventListener('visibilitychange', this.#check);
    addEventListener('online', this.#check);
  }

  stop(): void {
    clearInterval(this.#watchdog);
    clearTimeout(this.#again);
    this.#source?.close();
    document.removeEventListener('visibilitychange', this.#check);
    removeEventListener('online', this.#check);
  }

  #open(): void {
    clearTimeout(this.#again);
    this.#heardAt = performance.now();
    const source = new EventSource('/v1/requests?watch=1');
    this.#source = source;
    const on = (name: string, hear: (data: unknown) => void): void =>
      source.addEventListener(name, ({ data }: MessageEvent<string>) => {
        this.#heardAt = performance.now();
        hear(JSON.parse(data));
      });
    on('viewer', (data) => {
      const { now, ...viewer } = data as LiveViewer & { now: number };
      this.#tell({ kind: 'viewer', viewer, now });
    });
    on('request', (data) => this.#tell({ kind: 'request', request: data as AccessRequest }));
    on('settled', (data) => {
      this.#failures = 0;
      this.#tell({ kind: 'settled', now: (data as { now: number }).now });
    });
    on('tick', (data) => this.#tell({ kind: 'tick', now: (data as { now: number }).now }));
    // An answer other than 200 ends it for good, and of one that is cut the browser tells no more either.
    source.addEventListener('error', () => this.#cut());
  }

  #cut(): void {
    this.#source?.close();
    this.#source = undefined;
    const most = Math.min(MAX_AGAIN_MS, MIN_AGAIN_MS * 2 ** this.#failures++);
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#open(), most * (0.5 + Math.random() / 2));
    this.#tell({ kind: 'cut', hidden: document.visibilityState === 'hidden' });
  }

  /** A stream that says nothing may be dead, and a device that slept does not know. */
  readonly #check = (event?: Event): void => {
    if (this.#source !== undefined && performance.now() - this.#heardAt > SILENCE_MS) this.#cut();
    // Somebody came back, or the network did: they need not wait for as long as nobody was there.
    if (this.#source === undefined && event !== undefined && document.visibilityState === 'visible') this.#open();
  };
}
