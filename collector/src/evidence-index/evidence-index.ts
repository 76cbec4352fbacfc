import {
  SESSION_ID_PREFIX,
  type SessionFacets,
  type SessionVerdictFilter,
  type SegmentContent,
  type VerifiedSegment,
} from '@chaperone/evidence';
import { type ExpressionBuilder, type ExpressionWrapper, type Kysely, type SelectQueryBuilder, type SqlBool, sql } from 'kysely';
import { excerpt, type Found, MAX_MATCHES, type Match, newestBySession } from './commands.ts';
import type { IndexEngine } from './engine.ts';
import { Inserts } from './inserts.ts';
import { Leaves } from './leaves.ts';
import { follows, rowOf, UNREAD } from './rows.ts';
import type { CommandRow, FindingRow, IndexTables, SegmentRow, SessionRow } from './schema.ts';

/** What a segment contradicts; undefined where it fits. */
export type Conflict = { readonly code: 'SegmentConflict' | 'ForeignSession' | 'ChainBroken'; readonly message: string };

export interface SessionFilter {
  readonly namespaces: readonly string[];
  readonly agent?: string;
  readonly resource?: { readonly namespace: string; readonly name: string };
  /** Something happened at this time or later. */
  readonly since?: number;
  /** It began before this time. */
  readonly until?: number;
  readonly verdict?: SessionVerdictFilter;
  /** Whom the agent acted for. */
  readonly person?: string;
}

/** A place in the order of a list: the session that stands there, and when it began. */
export interface ListPlace {
  readonly startedAt: number;
  readonly session: string;
}

/** Values of a session that are of another order of magnitude than its agents, resources and people are not told apart. */
const MAX_FACETS = 500;

/** The SQL index over the objects, in any engine. One writer; rebuilt from the objects when its version is not ours. */
export class EvidenceIndex {
  readonly #engine: IndexEngine;
  readonly #db: Kysely<IndexTables>;
  /** True where the tables are new and have to be filled from the objects. */
  readonly empty: boolean;
  /** Which segment is which entry of the log. */
  readonly leaves: Leaves;
  readonly #inserts: Inserts;

  constructor(engine: IndexEngine) {
    this.leaves = new Leaves(engine);
    this.#inserts = new Inserts(engine);
    this.#engine = engine;
    this.#db = engine.db;
    this.empty = engine.empty;
  }

  /** Drops everything. The version is written by `complete`, so that a crash in between is seen. */
  clear(): Promise<void> {
    return this.#engine.clear();
  }

  complete(): Promise<void> {
    return this.#engine.complete();
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  session(session: string): Promise<SessionRow | undefined> {
    return this.#db.selectFrom('sessions').selectAll().where('session', '=', session).executeTakeFirst();
  }

  segment(session: string, number: number): Promise<SegmentRow | undefined> {
    return this.#db
      .selectFrom('segments')
      .selectAll()
      .where('session', '=', session)
      .where('number', '=', number)
      .executeTakeFirst();
  }

  /** A segment and those beside it, by their numbers. */
  async #near(session: string, number: number): Promise<ReadonlyMap<number, SegmentRow>> {
    const rows = await this.#db
      .selectFrom('segments')
      .selectAll()
      .where('session', '=', session)
      .where('number', '>=', number - 1)
      .where('number', '<=', number + 1)
      .execute();
    return new Map(rows.map((row) => [row.number, row]));
  }

  /** Segments from the one that holds record `fromSeq` on, in order. */
  segments(session: string, options: { fromSeq: number; limit: number }): Promise<SegmentRow[]> {
    return this.#db
      .selectFrom('segments')
      .selectAll()
      .where('session', '=', session)
      .where('last_seq', '>=', options.fromSeq)
      .orderBy('number')
      .limit(options.limit)
      .execute();
  }

  /** Segments from `number` on, the empty ones included, in order. */
  segmentsFrom(session: string, number: number, limit: number): Promise<SegmentRow[]> {
    return this.#db
      .selectFrom('segments')
      .selectAll()
      .where('session', '=', session)
      .where('number', '>=', number)
      .orderBy('number')
      .limit(limit)
      .execute();
  }

  async numbers(session: string): Promise<number[]> {
    const rows = await this.#db
      .selectFrom('segments')
      .select('number')
      .where('session', '=', session)
      .orderBy('number')
      .execute();
    return rows.map((row) => row.number);
  }

  findings(session: string): Promise<FindingRow[]> {
    return this.#db.selectFrom('findings').selectAll().where('session', '=', session).orderBy('at').limit(100).execute();
  }

  async namespaces(): Promise<string[]> {
    return (await this.#db.selectFrom('sessions').select('namespace').distinct().execute()).map((row) => row.namespace);
  }

  /** Whether the session's own pod sent segments that contradict each other. */
  async altered(sessions: readonly string[]): Promise<Set<string>> {
    if (sessions.length === 0) return new Set();
    const rows = await this.#db
      .selectFrom('findings')
      .innerJoin('sessions', 'sessions.session', 'findings.session')
      .select('findings.session as session')
      .distinct()
      .whereRef('findings.nkey', '=', 'sessions.nkey')
      .where('findings.session', 'in', [...sessions])
      .execute();
    return new Set(rows.map((row) => row.session));
  }

  /** Sessions newest first, those behind the place `after` where one is given. */
  async list(filter: SessionFilter, { limit, after }: { limit: number; after?: ListPlace }): Promise<SessionRow[]> {
    if (filter.namespaces.length === 0) return [];
    let query = this.#filtered(filter).selectAll();
    if (after !== undefined) query = query.where(behind(after));
    return query.orderBy('started_at', 'desc').orderBy('session').limit(limit).execute();
  }

  /** Sessions with a command that matches, as `list` has them, and how many commands matched in all. */
  async search(
    filter: SessionFilter,
    words: readonly string[],
    { limit, after }: { limit: number; after?: ListPlace },
  ): Promise<{ rows: SessionRow[]; found: ReadonlyMap<string, Found>; matched: number }> {
    if (filter.namespaces.length === 0) return { rows: [], found: new Map(), matched: 0 };
    const { rows: matches } = await this.#engine.matches(words, filter.namespaces, MAX_MATCHES).execute(this.#db);
    const newest = newestBySession(matches);
    let query = this.#filtered(filter)
      .selectAll()
      .where('session', 'in', this.#engine.anyOf([...newest.keys()]));
    if (after !== undefined) query = query.where(behind(after));
    const rows = await query.orderBy('started_at', 'desc').orderBy('session').limit(limit).execute();
    return { rows, found: await this.#found(words, rows, newest), matched: matches.length };
  }

  /** What the found commands of these sessions say around what was searched for. */
  async #found(
    words: readonly string[],
    rows: readonly SessionRow[],
    newest: ReadonlyMap<string, Match>,
  ): Promise<Map<string, Found>> {
    const ids = rows.flatMap(({ session }) => newest.get(session)?.id ?? []);
    if (ids.length === 0) return new Map();
    const { rows: found } = await sql<Omit<CommandRow, 'scope'>>`
      SELECT session, seq, at, verdict, text, plain FROM commands WHERE rowid IN (${sql.join(ids)})`.execute(this.#db);
    return new Map(
      found.map(({ session, seq, at, verdict, text, plain }) => {
        const hits = newest.get(session)?.hits ?? 1;
        return [session, { seq, at, verdict, hits, text: excerpt(words, text, plain) }];
      }),
    );
  }

  /** Sessions of which something is missing, contradicted or without its end, the newest first. */
  async gaps(namespaces: readonly string[], limit: number): Promise<SessionRow[]> {
    if (namespaces.length === 0) return [];
    return this.#filtered({ namespaces })
      .selectAll()
      .where((eb) =>
        eb.or([
          eb('high_water', '<', eb.ref('last_number')),
          eb('dropped', '>', 0),
          eb.and([eb('torn', '=', 1), eb('closed', '=', 0)]),
          eb.exists(
            eb
              .selectFrom('findings')
              .select('findings.session')
              .whereRef('findings.nkey', '=', 'sessions.nkey')
              .whereRef('findings.session', '=', 'sessions.session'),
          ),
        ]),
      )
      .orderBy('started_at', 'desc')
      .orderBy('session')
      .limit(limit)
      .execute();
  }

  async facets(namespaces: readonly string[]): Promise<SessionFacets> {
    if (namespaces.length === 0) return { agents: [], resources: [], people: [] };
    const seen = this.#filtered({ namespaces });
    const agents = await seen
      .select((eb) => ['namespace', 'service_account as name', eb.fn.countAll<number>().as('sessions')])
      .groupBy(['namespace', 'service_account'])
      .orderBy('sessions', 'desc')
      .limit(MAX_FACETS)
      .execute();
    const resources = await seen
      .where('resource_name', 'is not', null)
      .select((eb) => [
        eb.fn.coalesce('resource_namespace', sql<string>`''`).as('namespace'),
        eb.fn.coalesce('resource_name', sql<string>`''`).as('name'),
        eb.fn.coalesce('protocol', sql<string>`''`).as('protocol'),
        eb.fn.countAll<number>().as('sessions'),
      ])
      .groupBy(['resource_namespace', 'resource_name', 'protocol'])
      .orderBy('sessions', 'desc')
      .limit(MAX_FACETS)
      .execute();
    const people = await seen
      .where('caller_user', 'is not', null)
      .select((eb) => [eb.fn.coalesce('caller_user', sql<string>`''`).as('user'), eb.fn.countAll<number>().as('sessions')])
      .groupBy('caller_user')
      .orderBy('sessions', 'desc')
      .limit(MAX_FACETS)
      .execute();
    return { agents, resources, people };
  }

  /** How many sessions a list without end would hold. */
  async count(filter: SessionFilter): Promise<number> {
    if (filter.namespaces.length === 0) return 0;
    const { total } = await this.#filtered(filter)
      .select((eb) => eb.fn.countAll<number>().as('total'))
      .executeTakeFirstOrThrow();
    return total;
  }

  /** One filter for what is shown and for what is counted. */
  #filtered(filter: SessionFilter): SelectQueryBuilder<IndexTables, 'sessions', object> {
    let query = this.#db.selectFrom('sessions').where('namespace', 'in', [...filter.namespaces]);
    if (filter.agent !== undefined) query = query.where('service_account', '=', filter.agent);
    if (filter.resource !== undefined)
      query = query.where('resource_namespace', '=', filter.resource.namespace).where('resource_name', '=', filter.resource.name);
    if (filter.person !== undefined) query = query.where('caller_user', '=', filter.person);
    if (filter.since !== undefined) query = query.where('last_at', '>=', filter.since);
    if (filter.until !== undefined) query = query.where('started_at', '<', filter.until);
    if (filter.verdict === 'denied') query = query.where('denied', '>', 0);
    if (filter.verdict === 'masked') query = query.where('masked', '>', 0);
    if (filter.verdict === 'clean') query = query.where('denied', '=', 0).where('masked', '=', 0);
    return query;
  }

  /** Sessions whose name begins with `prefix`, at most `limit`. */
  matching(prefix: string, limit: number): Promise<SessionRow[]> {
    if (!SESSION_ID_PREFIX.test(prefix)) return Promise.resolve([]);
    // '~' sorts behind every character of a name.
    return this.#db
      .selectFrom('sessions')
      .selectAll()
      .where('session', '>=', prefix)
      .where('session', '<', `${prefix}~`)
      .orderBy('session')
      .limit(limit)
      .execute();
  }

  /** Whether a verified segment can stand beside what is stored. Same place and digest is for the caller to see first. */
  async conflict(segment: VerifiedSegment): Promise<Conflict | undefined> {
    const { session, number } = segment.header;
    const known = await this.session(session);
    if (known === undefined) return undefined;
    if (known.nkey !== segment.signer.nkey)
      return { code: 'ForeignSession', message: 'another pod has signed this session before' };
    const near = await this.#near(session, number);
    if (near.has(number))
      return { code: 'SegmentConflict', message: `another segment ${number} of this session is stored already` };
    if (known.key_id !== segment.header.key.id)
      return { code: 'ChainBroken', message: 'the session is sealed under another data key' };
    const row = rowOf(segment, 0);
    const [before, after] = [near.get(number - 1), near.get(number + 1)];
    if ((before !== undefined && !follows(before, row)) || (after !== undefined && !follows(row, after)))
      return { code: 'ChainBroken', message: `segment ${number} does not fit the segments beside it` };
    if (row.closes === 1 && known.last_number > number)
      return { code: 'ChainBroken', message: `segment ${number} ends the session, but later ones are stored` };
    if (known.closed === 1 && known.last_number < number)
      return { code: 'ChainBroken', message: `segment ${number} comes after the end of its session` };
    return undefined;
  }

  /**
   * Takes a verified segment in that conflicts with nothing. Changes nothing where it is there already. Without its content, where that was
   * erased, it has what its header says. Resolves when that survives a power loss.
   */
  insert(segment: VerifiedSegment & Partial<SegmentContent>, receivedAt: number): Promise<void> {
    return this.#inserts.add({ segment, receivedAt });
  }

  /** Forgets all that the records of a session said; what its headers say stays. */
  async erase(session: string): Promise<void> {
    await this.#engine.transaction(async (tx) => {
      await tx.deleteFrom('commands').where('session', '=', session).execute();
      await tx
        .updateTable('sessions')
        .set({ ...UNREAD, erased: 1 })
        .where('session', '=', session)
        .execute();
    });
    await this.#engine.forget();
  }

  /** Sessions of which the log says that they were erased, and of which that is not finished here. */
  async unsettled(): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('sessions')
      .innerJoin('leaves', 'leaves.session', 'sessions.session')
      .select('sessions.session as session')
      .distinct()
      .where('leaves.kind', '=', 'erasure')
      .where('sessions.erased', '=', 0)
      .execute();
    return rows.map(({ session }) => session);
  }

  /** Sessions of a class that have had nothing come in since `before`, and are none of `others`; the oldest first. */
  async expired(retention: string, before: number, others: readonly string[], limit: number): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('sessions')
      .select('session')
      .where('retention', '=', retention)
      .where('received_at', '<', before)
      .where('session', 'not in', this.#engine.anyOf(others))
      .orderBy('received_at')
      .limit(limit)
      .execute();
    return rows.map(({ session }) => session);
  }

  /** The classes of sessions that are stored and readable. */
  async retentions(): Promise<string[]> {
    const rows = await this.#db.selectFrom('sessions').select('retention').distinct().execute();
    return rows.flatMap(({ retention }) => retention ?? []);
  }

  async insertFinding(finding: FindingRow): Promise<void> {
    await this.#db
      .insertInto('findings')
      .values(finding)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  /** Every row of every table in a fixed order: equal dumps mean equal indexes. */
  async dump(): Promise<unknown> {
    const sessions = await this.#db.selectFrom('sessions').selectAll().orderBy('session').execute();
    const segments = await this.#db.selectFrom('segments').selectAll().orderBy('session').orderBy('number').execute();
    const findings = await this.#db.selectFrom('findings').selectAll().orderBy('session').orderBy('digest').execute();
    const commands = await this.#db
      .selectFrom('commands')
      .select(['session', 'seq', 'at', 'verdict', 'scope', 'text', 'plain'])
      .orderBy('session')
      .orderBy('seq')
      .execute();
    const leaves = await this.#db.selectFrom('leaves').selectAll().orderBy('leaf').execute();
    return { sessions, segments, findings, commands, leaves };
  }
}

/** The order of a list, behind a place of it. */
function behind(
  after: ListPlace,
): (eb: ExpressionBuilder<IndexTables, 'sessions'>) => ExpressionWrapper<IndexTables, 'sessions', SqlBool> {
  return (eb) =>
    eb.or([
      eb('started_at', '<', after.startedAt),
      eb.and([eb('started_at', '=', after.startedAt), eb('sessions.session', '>', after.session)]),
    ]);
}
