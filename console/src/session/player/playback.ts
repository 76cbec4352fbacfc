import { Stage } from './stage.ts';
import type { StreamRecord, Tape, TapePage } from './tape.ts';

/** Silence is played for so long where silence is skipped. */
const IDLE_MS = 1_000;
/** Of a program that goes on, more is asked for so often. */
const ASK_AGAIN_MS = 2_000;
/** So much is written to the screen before others have their turn. */
const BATCH = 256 * 1024;
export const SPEEDS = [0.5, 1, 2, 4, 8, 16] as const;

export interface PlaybackOptions {
  readonly tape: Tape;
  /** Where the action's records begin, by number and by the session's clock. */
  readonly from: number;
  readonly startMs: number;
  /** How long it took, where that is known. */
  readonly lengthMs: number;
  /** Told whenever there is something else to see. */
  readonly changed: () => void;
}

/** Plays a tape onto a stage: what is there at a moment depends on the moment alone, not on the way to it. */
export class Playback {
  readonly stage = new Stage();
  readonly #options: PlaybackOptions;
  /** Where the stage stands. */
  #page: TapePage | undefined;
  #from: number;
  #index = 0;
  /** Where it is to stand, ms since the action began. */
  #wanted = 0;
  #last = 0;
  #running: Promise<void> | undefined;
  #restart = false;
  /** Whether something was shown yet. */
  #begun = false;
  #length: number;
  playing = false;
  skipIdle = true;
  speed: (typeof SPEEDS)[number] = 1;
  error: unknown;
  gap = false;
  ended = false;
  /** Whether more may come. */
  live = false;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(options: PlaybackOptions) {
    this.#options = options;
    this.#from = options.from;
    this.#length = options.lengthMs;
  }

  /** The moment that is shown, or is being sought. */
  get position(): number {
    return Math.min(this.#wanted, this.#length);
  }
  get lengthMs(): number {
    return this.#length;
  }
  get busy(): boolean {
    return this.#running !== undefined || !this.#begun;
  }

  /** Shows the moment `to`; going back begins anew, with what is kept of the tape. */
  seek(to: number): Promise<void> {
    const wanted = Math.max(0, Math.min(to, Math.max(this.#length, 0)));
    if (wanted < this.#wanted) this.#restart = true;
    this.#wanted = wanted;
    return this.#run();
  }

  /** Shows all that is stored, and what has come since. */
  toEnd(): Promise<void> {
    this.#wanted = Number.POSITIVE_INFINITY;
    return this.#run();
  }

  toggle(): void {
    this.playing = !this.playing;
    // At its end it begins again.
    if (this.playing && this.#wanted >= this.#length) void this.seek(0);
    this.#options.changed();
  }

  toggleIdle(): void {
    this.skipIdle = !this.skipIdle;
    this.#options.changed();
  }

  setSpeed(speed: Playback['speed']): void {
    this.speed = speed;
    this.#options.changed();
  }

  /** The next moment at which something happens, and shows it. */
  async step(): Promise<void> {
    const next = await this.#peek();
    if (next !== undefined) await this.seek(this.#timeOf(next));
  }

  /** Time goes by while it plays. */
  tick(elapsedMs: number): void {
    if (!this.playing || this.busy) return;
    const ahead = this.#page?.records[this.#index];
    const until = ahead === undefined ? undefined : this.#timeOf(ahead);
    let to = this.#wanted + elapsedMs * this.speed;
    if (this.skipIdle && until !== undefined && to < until && to - this.#last > IDLE_MS) to = until;
    if ((this.ended || !this.live) && ahead === undefined && to >= this.#length) {
      to = this.#length;
      this.playing = false;
    }
    this.#wanted = Math.min(to, Math.max(this.#length, until ?? 0));
    void this.#run();
  }

  /** Lets go of what it holds. */
  end(): void {
    this.playing = false;
    this.stage.clear();
  }

  #timeOf({ mono }: StreamRecord): number {
    return Math.max(0, mono - this.#options.startMs);
  }

  #run(): Promise<void> {
    if (this.#running === undefined) this.#options.changed();
    this.#running ??= this.#advance().then(
      () => this.#settled(undefined),
      (error: unknown) => this.#settled(error),
    );
    return this.#running;
  }

  #settled(error: unknown): void {
    this.#running = undefined;
    this.#begun = true;
    this.error = error;
    if (error !== undefined) this.playing = false;
    if (this.#wanted === Number.POSITIVE_INFINITY) this.#wanted = this.#length;
    if (this.#restart) void this.#run();
    this.#options.changed();
  }

  async #advance(): Promise<void> {
    for (;;) {
      if (this.#restart) this.#rewind();
      const next = await this.#peek();
      // It may have been told to go elsewhere meanwhile.
      if (this.#restart) continue;
      if (next !== undefined && this.#timeOf(next) <= this.#wanted) {
        this.#index++;
        this.#last = this.#timeOf(next);
        await this.stage.take(next);
        if (this.stage.waiting < BATCH) continue;
      } else if (this.stage.waiting === 0) return;
      await this.stage.settle();
      this.#options.changed();
    }
  }

  #rewind(): void {
    this.#restart = false;
    this.stage.clear();
    [this.#page, this.#from, this.#index, this.#last] = [undefined, this.#options.from, 0, 0];
    this.gap = false;
  }

  /** The record that comes next; undefined where none is stored. */
  async #peek(): Promise<StreamRecord | undefined> {
    for (;;) {
      const here = this.#page?.records[this.#index];
      if (here !== undefined) return here;
      if (this.#page?.ended === true) return undefined;
      // Nothing further was stored a moment ago.
      if (this.#page?.records.length === 0 && performance.now() - this.#askedAt < ASK_AGAIN_MS) return undefined;
      const page = await this.#options.tape.page(this.#from);
      this.#askedAt = performance.now();
      if (this.#restart) return undefined;
      [this.#page, this.#index, this.#from] = [page, 0, page.next ?? page.end];
      this.gap ||= page.gap;
      this.ended = page.ended;
      const last = page.records.at(-1);
      if (last !== undefined) this.#length = Math.max(this.#length, this.#timeOf(last));
      if (page.records.length === 0 && page.next === undefined) return undefined;
    }
  }
}
