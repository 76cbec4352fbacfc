import type { Access } from '@chaperone/policy';
import type { Clock } from '../platform.ts';

/** How long a shell goes on where no policy says so. */
const SHELL_MS = 3_600_000;
/** A shell is warned so long before its end, or when three quarters of its time are over. */
const WARNING_MS = 60_000;
/** As far as timers of this runtime count. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * How long something may run by itself, in ms; Infinity: as long as it likes.
 * @param isInteractive - a shell or a terminal, which limits of statements are not about
 * @param isOpenEnded - its text does not tell all that it does
 */
export function ownTimeMs(limits: Access['limits'], isInteractive: boolean, isOpenEnded: boolean): number {
  const { statementDurationMs = Infinity, shellDurationMs = SHELL_MS } = limits;
  return Math.min(isInteractive ? Infinity : statementDurationMs, isOpenEnded ? shellDurationMs : Infinity);
}

export interface TimeLimitOptions {
  /** How long it may run by itself. */
  readonly ownMs: number;
  /** How long its session goes on, which ends it too, and says so itself. */
  readonly leftMs: number;
  readonly clock: Clock;
  /** Resolves when it has ended by itself. */
  readonly gone: Promise<unknown>;
  /** Told when it will end, at the start and shortly before, in ms since 1970; absent: nobody is. */
  readonly tell?: ((said: 'begins' | 'ends', endsAt: number) => void) | undefined;
}

/** Waits for the end of a time. @returns whether it was reached */
export async function watchTime({ ownMs, leftMs, clock, gone, tell }: TimeLimitOptions): Promise<boolean> {
  const visible = Math.min(ownMs, leftMs);
  const endsAt = clock.now() + visible;
  const over = gone.then(() => true);
  const isOverAfter = (ms: number): Promise<boolean> =>
    Promise.race([over, clock.after(Math.min(Math.max(0, ms), MAX_TIMER_MS)).then(() => false)]);
  tell?.('begins', endsAt);
  const warnedAfter = tell === undefined ? 0 : visible - Math.min(WARNING_MS, visible / 4);
  if (await isOverAfter(warnedAfter)) return false;
  tell?.('ends', endsAt);
  return !(await isOverAfter(ownMs - warnedAfter));
}
