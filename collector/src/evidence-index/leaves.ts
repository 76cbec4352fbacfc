import type { OrderKind } from '@chaperone/evidence';
import { type Kysely, sql } from 'kysely';
import { inGroups } from './commands.ts';
import type { IndexEngine } from './engine.ts';
import type { IndexTables, LeafRow } from './schema.ts';

/** An entry about an order. */
export interface OrderRow {
  readonly leaf: number;
  readonly kind: OrderKind;
  readonly session: string;
  readonly digest: string;
  readonly at: number;
}

/** An entry about a reading; `session` is null where it was of several. */
export interface ReadRow {
  readonly leaf: number;
  readonly session: string | null;
  readonly digest: string;
}

function readRows(rows: readonly Pick<LeafRow, 'leaf' | 'session' | 'digest'>[]): ReadRow[] {
  return rows.flatMap(({ leaf, session, digest }) => (digest === null ? [] : [{ leaf, session, digest }]));
}

function isOrder(kind: string): kind is OrderKind {
  return kind === 'erasure' || kind === 'hold' || kind === 'release';
}

function orderRows(rows: readonly Omit<LeafRow, 'number'>[]): OrderRow[] {
  return rows.flatMap(({ leaf, kind, session, digest, at }) =>
    isOrder(kind) && session !== null && digest !== null && at !== null ? [{ leaf, kind, session, digest, at }] : [],
  );
}

/** Written out, so that an engine sees that its index of these entries fits. */
const READ = sql.lit('read');

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

  /** Which entry an order is; undefined where it is none yet. */
  async ofOrder(digest: string): Promise<number | undefined> {
    const row = await this.#db.selectFrom('leaves').select('leaf').where('digest', '=', digest).executeTakeFirst();
    return row?.leaf;
  }

  /** What was ordered about sessions, all of them or these, the first first. */
  async orders(of?: { readonly session: string }): Promise<OrderRow[]> {
    let query = this.#db.selectFrom('leaves').selectAll().where('digest', 'is not', null).where('kind', '!=', 'read');
    if (of !== undefined) query = query.where('session', '=', of.session);
    const rows = await query.orderBy('leaf').execute();
    return orderRows(rows);
  }

  /** What was ordered about sessions of these namespaces, the newest first. */
  async newestOrders(namespaces: readonly string[], limit: number): Promise<OrderRow[]> {
    const rows = await this.#db
      .selectFrom('leaves')
      .innerJoin('sessions', 'sessions.session', 'leaves.session')
      .select(['leaves.leaf', 'leaves.kind', 'leaves.session as session', 'leaves.digest', 'leaves.at'])
      .where('leaves.digest', 'is not', null)
      .where('leaves.kind', '!=', 'read')
      .where('sessions.namespace', 'in', this.#engine.anyOf(namespaces))
      .orderBy('leaves.leaf', 'desc')
      .limit(limit)
      .execute();
    return orderRows(rows);
  }

  /** Who read a session, or, where that is null, several at once, at `since` or later, the newest first. */
  async readsOf(session: string | null, since: number, limit: number): Promise<ReadRow[]> {
    const rows = await this.#db
      .selectFrom('leaves')
      .select(['leaf', 'session', 'digest'])
      .where('session', session === null ? 'is' : '=', session)
      .where('kind', '=', READ)
      .where('at', '>=', since)
      .orderBy('leaf', 'desc')
      .limit(limit)
      .execute();
    return readRows(rows);
  }

  /** Who read sessions of these namespaces, and, where `all`, several at once, the newest first. */
  async newestReads(namespaces: readonly string[], all: boolean, limit: number): Promise<ReadRow[]> {
    const rows = await this.#db
      .selectFrom('leaves')
      .leftJoin('sessions', 'sessions.session', 'leaves.session')
      .select(['leaves.leaf', 'leaves.session as session', 'leaves.digest'])
      .where('leaves.kind', '=', READ)
      .where((eb) => {
        const own = eb('sessions.namespace', 'in', this.#engine.anyOf(namespaces));
        return all ? eb.or([own, eb('leaves.session', 'is', null)]) : own;
      })
      .orderBy('leaves.leaf', 'desc')
      .limit(limit)
      .execute();
    return readRows(rows);
  }

  /** The readings within a span of the log, from `from` on, in their order. */
  async readsIn(span: { from: number; to: number }, limit: number): Promise<ReadRow[]> {
    const rows = await this.#db
      .selectFrom('leaves')
      .select(['leaf', 'session', 'digest'])
      .where('kind', '=', READ)
      .where('leaf', '>=', span.from)
      .where('leaf', '<', span.to)
      .orderBy('leaf')
      .limit(limit)
      .execute();
    return readRows(rows);
  }

  /** Of these sessions, or of all, those that were erased, and those that must not be. */
  async standing(sessions?: readonly string[]): Promise<{ erased: Set<string>; held: Set<string> }> {
    const found = { erased: new Set<string>(), held: new Set<string>() };
    let query = this.#db
      .selectFrom('leaves')
      .select(['kind', 'session'])
      .where('digest', 'is not', null)
      .where('kind', '!=', 'read');
    if (sessions !== undefined) query = query.where('session', 'in', this.#engine.anyOf(sessions));
    const rows = await query.orderBy('leaf').execute();
    for (const { kind, session } of rows) {
      if (session === null) continue;
      if (kind === 'erasure') found.erased.add(session);
      if (kind === 'hold') found.held.add(session);
      if (kind === 'release') found.held.delete(session);
    }
    return found;
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

  /** The entries, the end excluded, between the first and the last that came in this time, segment or order; undefined where none did. */
  async span(time: { from: number; to: number }): Promise<{ from: number; to: number } | undefined> {
    const found = (await Promise.all([this.#segmentsIn(time), this.#ordersIn(time)])).flatMap(({ first, last }) =>
      first === null || last === null ? [] : [first, last],
    );
    return found.length === 0 ? undefined : { from: Math.min(...found), to: Math.max(...found) + 1 };
  }

  #ordersIn({ from, to }: { from: number; to: number }): Promise<{ first: number | null; last: number | null }> {
    return this.#db
      .selectFrom('leaves')
      .select((eb) => [eb.fn.min('leaf').as('first'), eb.fn.max('leaf').as('last')])
      .where('digest', 'is not', null)
      .where('at', '>=', from)
      .where('at', '<', to)
      .executeTakeFirstOrThrow();
  }

  #segmentsIn({ from, to }: { from: number; to: number }): Promise<{ first: number | null; last: number | null }> {
    return this.#db
      .selectFrom('leaves')
      .innerJoin('segments', (join) =>
        join.onRef('leaves.session', '=', 'segments.session').onRef('leaves.number', '=', 'segments.number'),
      )
      .select((eb) => [eb.fn.min('leaf').as('first'), eb.fn.max('leaf').as('last')])
      .where('leaves.kind', '=', 'segment')
      .where('received_at', '>=', from)
      .where('received_at', '<', to)
      .executeTakeFirstOrThrow();
  }

  /** Sessions of which one of these entries is, and with a name behind `after`, in the order of their names. */
  async sessions(span: { from: number; to: number }, after: string, limit: number): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('leaves')
      .select('session')
      .distinct()
      .where('session', '>', after)
      // Who was read is not who did something.
      .where('kind', '!=', 'read')
      .where('leaf', '>=', span.from)
      .where('leaf', '<', span.to)
      .orderBy('session')
      .limit(limit)
      .execute();
    return rows.flatMap(({ session }) => session ?? []);
  }

  /** The last of a session's segments up to which all are in the log; -1 where the first is not. */
  async upTo(session: string, last: number): Promise<number> {
    const there = this.#db
      .selectFrom('leaves')
      .where('kind', '=', 'segment')
      .where('session', '=', session)
      .where('number', '<=', last);
    const { total } = await there.select((eb) => eb.fn.count<number>('number').distinct().as('total')).executeTakeFirstOrThrow();
    if (total > last) return last;
    const numbers = new Set((await there.select('number').execute()).map(({ number }) => number));
    let logged = -1;
    while (numbers.has(logged + 1)) logged++;
    return logged;
  }
}
