import type { SegmentContent, VerifiedSegment } from '@chaperone/evidence';
import type { Transaction } from 'kysely';
import { commandsOf } from './commands.ts';
import type { IndexEngine } from './engine.ts';
import { merge, newSession, rowOf } from './rows.ts';
import type { IndexTables, SegmentRow, SessionRow } from './schema.ts';

/** Segments of one transaction. */
const BATCH = 64;

/** A verified segment that conflicts with nothing, and when it came. */
export interface NewSegment {
  readonly segment: VerifiedSegment & Partial<SegmentContent>;
  readonly receivedAt: number;
}

interface Waiting extends NewSegment {
  readonly done: PromiseWithResolvers<void>;
}

/** Puts segments into the index. What waits while a transaction runs shares the next one, and with it what its commit costs. */
export class Inserts {
  readonly #engine: IndexEngine;
  readonly #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(engine: IndexEngine) {
    this.#engine = engine;
  }

  /** Resolves when the segment is in the index for good. */
  add(segment: NewSegment): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ ...segment, done });
    // It tells those who wait by itself.
    if (!this.#isRunning) void this.#run();
    return done.promise;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      // Together with what else comes in this turn.
      await new Promise(setImmediate);
      await this.#insert(this.#waiting.splice(0, BATCH));
    }
    this.#isRunning = false;
  }

  async #insert(batch: readonly Waiting[]): Promise<void> {
    try {
      await this.#engine.transaction((tx) => insertAll(this.#engine, tx, batch));
      for (const { done } of batch) done.resolve();
    } catch (error) {
      const [first] = batch;
      if (batch.length === 1) first?.done.reject(error);
      // One that cannot be taken in keeps no other out.
      else for (const each of batch) await this.#insert([each]);
    }
  }
}

async function insertAll(engine: IndexEngine, tx: Transaction<IndexTables>, batch: readonly NewSegment[]): Promise<void> {
  const fresh = await withoutThose(tx, batch);
  if (fresh.length === 0) return;
  await tx
    .insertInto('segments')
    .values(fresh.map(({ row }) => row))
    .execute();
  const names = [...new Set(fresh.map(({ row }) => row.session))];
  const known = await tx.selectFrom('sessions').selectAll().where('session', 'in', engine.anyOf(names)).execute();
  const sessions = new Map(known.map((row) => [row.session, row]));
  for (const { segment, row } of fresh)
    sessions.set(row.session, merge(sessions.get(row.session) ?? newSession(segment), segment, row));
  for (const session of sessions.values()) session.high_water = await highWater(tx, session, fresh);
  await replaceSessions(tx, [...sessions.values()]);
  const commands = fresh.flatMap(({ segment: { records, texts, ...segment } }) =>
    records === undefined || texts === undefined ? [] : commandsOf({ ...segment, records, texts }),
  );
  await engine.insertCommands(tx, commands);
}

interface Fresh {
  readonly segment: NewSegment['segment'];
  readonly row: SegmentRow;
}

/**
 * Without those that another collector took in since they were looked for. One that differs fails when it is inserted, and comes again as a
 * conflict.
 */
async function withoutThose(tx: Transaction<IndexTables>, batch: readonly NewSegment[]): Promise<Fresh[]> {
  const all = new Map<string, Fresh>();
  for (const { segment, receivedAt } of batch) all.set(segment.digest, { segment, row: rowOf(segment, receivedAt) });
  const there = await tx
    .selectFrom('segments')
    .select('digest')
    .where((eb) => eb.or([...all.values()].map(({ row }) => eb.and({ session: row.session, number: row.number }))))
    .execute();
  for (const { digest } of there) all.delete(digest);
  return [...all.values()];
}

/** One statement for new ones and those that are there. */
async function replaceSessions(tx: Transaction<IndexTables>, rows: readonly SessionRow[]): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const columns = Object.keys(first) as (keyof SessionRow)[];
  await tx
    .insertInto('sessions')
    .values(rows)
    .onConflict((conflict) =>
      conflict
        .column('session')
        .doUpdateSet((eb) => Object.fromEntries(columns.map((column) => [column, eb.ref(`excluded.${column}`)]))),
    )
    .execute();
}

/** Up to where nothing of a session is missing, whose segments were inserted. */
async function highWater(tx: Transaction<IndexTables>, session: SessionRow, inserted: readonly Fresh[]): Promise<number> {
  const own = inserted.flatMap(({ row }) => (row.session === session.session ? [row.number] : []));
  const high = lastInRow(
    session.high_water,
    own.toSorted((a, b) => a - b),
  );
  // In order, as they mostly come: nothing is there that was waited for.
  if (high === session.last_number) return high;
  const later = await tx
    .selectFrom('segments')
    .select('number')
    .where('session', '=', session.session)
    .where('number', '>', high)
    .orderBy('number')
    .limit(session.last_number - high)
    .execute();
  return lastInRow(
    high,
    later.map(({ number }) => number),
  );
}

/** The last of the numbers, which ascend, that follows `before` without a gap. */
function lastInRow(before: number, numbers: readonly number[]): number {
  let high = before;
  for (const number of numbers) if (number === high + 1) high = number;
  return high;
}
