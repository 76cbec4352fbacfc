import { type Loaded, useLoad, usePoll } from '../load.ts';
import { get, serverNow } from '../server.ts';

/** Nobody decides by these pages, and what they tell changes with files and deployments. */
const POLL_MS = 10_000;

/** What was answered, and when it was asked for. */
export interface Told<T> {
  readonly value: T;
  readonly at: number;
}

/** A list as the collector answers it: of one that is too long the rest is counted. */
export interface ObjectList<T> {
  readonly items: readonly T[];
  readonly metadata: {
    readonly remainingItemCount?: number;
  } & Files;
}
/** How the files stand from which the answer is, in the metadata of a list as of an object. */
export interface Files {
  /** Mistakes in them, for which what is answered is the version before. */
  readonly invalid?: readonly string[];
}

/** Not there, or not any more for this person: what was shown of it is not shown on. */
const GONE: ReadonlySet<string> = new Set(['NotFound', 'Forbidden']);

/** Asks for what is at a path below /v1, and quietly again while somebody looks. */
export function useTold<T>(path: string): Loaded<Told<T>> {
  const loaded = useLoad(path, async (signal): Promise<Told<T>> => {
    const at = serverNow();
    return { value: await get<T>(path, signal), at };
  });
  usePoll(POLL_MS, true, loaded.reload);
  return loaded.error !== undefined && GONE.has(loaded.error.code) ? { ...loaded, data: undefined } : loaded;
}
