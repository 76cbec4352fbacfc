import { POSTGRES_SERVERS } from './postgres.ts';

/** Set by `make soak`: what runs in part runs whole. */
export const WHOLE = process.env['WHOLE'] === '1';

/**
 * What of a corpus runs on a major version of PostgreSQL: all of it on the newest; on each older one a part of its own, and all of
 * it on these together. So each case runs on the newest and on one other, and in `make soak` on all.
 */
export function partOn<T>(major: number, corpus: readonly T[]): readonly T[] {
  const [, ...older] = POSTGRES_SERVERS;
  const own = older.findIndex((server) => server.major === major);
  return WHOLE || own === -1 ? corpus : corpus.filter((_, at) => at % older.length === own);
}
