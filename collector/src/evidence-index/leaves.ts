import type { Kysely } from 'kysely';
import { inGroups } from './commands.ts';
import type { IndexEngine } from './engine.ts';
import type { IndexTables, LeafRow } from './schema.ts';

/** The entries of the log, as far as the index knows it. */
export class Leaves {
  readonly #engine: IndexEngine;
  readonly #db: Kysely<IndexTables>;

  constructor(engine: IndexEngine) {
    this.#engine = engine;
    this.#db = engine.db;
  }

  /** Which entry of the log a segment is; undefined where it is none yet. */
  async of(session: string, number: number): Promise<number | undefined> {
    const row = await this.#db
      .selectFrom('leaves')
      .select('leaf')
      .where('kind', '=', 'segment')
      .where('session', '=', session)
      .where('number', '=', number)
      .orderBy('leaf')
      .limit(1)
      .executeTakeFirst();
    return row?.leaf;
  }

  /** The first entry of the log that is not here. */
  async next(): Promise<number> {
    const { last } = await this.#db
      .selectFrom('leaves')
      .select((eb) => eb.fn.max('leaf').as('last'))
      .executeTakeFirstOrThrow();
    return last === null ? 0 : last + 1;
  }

  /** Entries in their order; all of them or none. */
  insert(rows: readonly LeafRow[]): Promise<void> {
    return this.#engine.transaction(async (tx) => {
      for (const group of inGroups(rows)) await tx.insertInto('leaves').values(group).execute();
    });
  }

  /** Segments that are no entry of the log yet, the first to arrive first. */
  async unlogged(limit: number): Promise<{ session: string; number: number; digest: string }[]> {
    return this.#db
      .selectFrom('segments')
      .select(['segments.session', 'segments.number', 'segments.digest'])
      .leftJoin('leaves', (join) =>
        join
          .onRef('leaves.session', '=', 'segments.session')
          .onRef('leaves.number', '=', 'segments.number')
          .on('leaves.kind', '=', 'segment'),
      )
      .where('leaves.leaf', 'is', null)
      .orderBy('received_at')
      .orderBy('segments.session')
      .orderBy('segments.number')
      .limit(limit)
      .execute();
  }
}
