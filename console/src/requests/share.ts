import { type News, SILENCE_MS, Stream } from './stream.ts';

const NAME = 'chaperone.requests';
const CHECK_MS = 2_000;
/** How long a tab that is looked at leaves it to one in the background to open a stream again. */
const PATIENCE_MS = 4_000;

/**
 * Follows requests with one stream for all tabs of a browser, which has six connections to a server and needs some to decide: the tab
 * that holds a lock reads, and tells the others. One that goes quiet is relieved. `all` tells a tab that comes later what there is.
 * @returns what ends it
 */
export function shareStream(tell: (news: News) => void, all: () => readonly News[]): () => void {
  const sharing = new Sharing(tell, all);
  return () => sharing.stop();
}

class Sharing {
  readonly #tell: (news: News) => void;
  readonly #channel = new BroadcastChannel(NAME);
  readonly #over = Promise.withResolvers<void>();
  readonly #timer: ReturnType<typeof setInterval>;
  #isOver = false;
  #stream: Stream | undefined;
  #queued: AbortController | undefined;
  #heardAt = performance.now();
  /** Since when the one who reads has had nothing to read, in the background. */
  #cutAt: number | undefined;

  constructor(tell: (news: News) => void, all: () => readonly News[]) {
    this.#tell = tell;
    this.#channel.addEventListener('message', ({ data }: MessageEvent<News | 'all?'>) => {
      if (data !== 'all?') this.#hear(data);
      else if (this.#stream !== undefined) for (const news of all()) this.#say(news);
    });
    this.#say('all?');
    this.#timer = setInterval(this.#check, CHECK_MS);
    document.addEventListener('visibilitychange', this.#check);
    this.#wait();
  }

  stop(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
    document.removeEventListener('visibilitychange', this.#check);
    this.#queued?.abort();
    this.#stream?.stop();
    this.#channel.close();
    this.#over.resolve();
  }

  #say(news: News | 'all?'): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a BroadcastChannel reaches its own origin alone
    this.#channel.postMessage(news);
  }

  #hear(news: News): void {
    if (this.#stream !== undefined) return;
    this.#heardAt = performance.now();
    if (news.kind === 'settled') this.#cutAt = undefined;
    if (news.kind === 'cut' && news.hidden) this.#cutAt ??= performance.now();
    this.#tell(news);
  }

  /** Reads once nobody else does. */
  #wait(): void {
    const queued = new AbortController();
    this.#queued = queued;
    this.#lead({ signal: queued.signal });
  }

  #lead(options: LockOptions): void {
    const read = (): Promise<void> => {
      this.#queued = undefined;
      this.#cutAt = undefined;
      this.#stream = new Stream((news) => {
        this.#tell(news);
        this.#say(news);
      });
      return this.#over.promise;
    };
    navigator.locks.request(NAME, options, read).catch(() => {
      // Another tab took it, or is about to be relieved by this one.
      const wasReading = this.#stream !== undefined;
      this.#stream?.stop();
      this.#stream = undefined;
      if (wasReading && !this.#isOver) this.#wait();
    });
  }

  readonly #check = (): void => {
    if (this.#stream !== undefined || document.visibilityState === 'hidden') return;
    const now = performance.now();
    const isQuiet = now - this.#heardAt > SILENCE_MS + CHECK_MS;
    if (!isQuiet && (this.#cutAt === undefined || now - this.#cutAt < PATIENCE_MS)) return;
    this.#heardAt = now;
    this.#queued?.abort();
    this.#lead({ steal: true });
  };
}
