import { readFileSync } from 'node:fs';
import { partOn, POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { Choices } from './choices.test-support.ts';
import { generate } from './generator.test-support.ts';
import { analyse, type Analysis, parseTree, TreeError } from './index.ts';
import { openSession, type Session } from './session.test-support.ts';

/** What the server counted in this transaction: scans, rows written, functions of one's own called. */
const COUNTERS = `select 'table', schemaname || '.' || relname, coalesce(seq_scan, 0) + coalesce(idx_scan, 0), n_tup_ins, n_tup_upd, n_tup_del
  from pg_stat_xact_user_tables union all select 'function', schemaname || '.' || funcname, calls, 0, 0, 0 from pg_stat_xact_user_functions`;
/** Every relation above one, by inheritance or partition; their names as the server prints them. */
const PARENTS = `with recursive up(child, parent) as (select inhrelid, inhparent from pg_inherits
  union select up.child, i.inhparent from up join pg_inherits i on i.inhrelid = up.parent)
  select child::regclass::text, parent::regclass::text, (select relkind = 'p' from pg_class where oid = parent)::text from up`;

interface Touch {
  readonly object: string;
  readonly verb: 'read' | 'insert' | 'update' | 'delete' | 'execute';
}
interface Line {
  readonly sql: string;
  /** What the owner's triggers, foreign keys and row security touch besides: not the agent's doing, and not said. */
  readonly owners: ReadonlySet<string>;
}

function linesOf(file: string, major: number): Line[] {
  return readFileSync(new URL(`./testdata/${file}`, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const [, since = '0', owners = '', sql = ''] = /^(?:\/\*(\d+)\*\/ )?(?:\/\* ((?:\w+\.\w+ )+)\*\/ )?(.*)$/.exec(line) ?? [];
      return Number(since) > major ? [] : [{ sql, owners: new Set(owners.trim().split(' ')) }];
    });
}

/** What the bodies of functions touch: a permitted function runs unseen, and the one who made it answers for it. */
const BODIES: Readonly<Record<string, readonly string[]>> = {
  'd.f_read': ['d.c'],
  'd.f_write': ['d.audit'],
  'd.f_inline': ['d.b'],
  'app.leak': ['app.customers'],
  'app.leak_all': ['app.customers'],
};
/** Triggers that stand in for writing to a view. */
const INSTEAD = new Set(['d.f_vj', 'd.a', 'app.f_instead']);

function analysisOf(tree: string, session: Session): Analysis | undefined {
  try {
    return analyse(parseTree(tree, session.major), session.catalog, session.major);
  } catch (error) {
    if (error instanceof TreeError) return undefined;
    throw error;
  }
}

/** Whether a touch is not the statement's own: of a trigger, a foreign key, row security, the body of a function that is said. */
function isOwners(touch: Touch, line: Line, analysis: Analysis): boolean {
  const called = analysis.effects.filter(({ verb }) => verb === 'execute').flatMap(({ object }) => BODIES[object] ?? []);
  const instead = /\bd\.vj set|v_instead/.test(line.sql) && INSTEAD.has(touch.object);
  return line.owners.has(touch.object) || called.includes(touch.object) || instead;
}

async function counters(session: Session): Promise<Map<string, number[]>> {
  const { rows } = await session.prepared('counters', COUNTERS);
  return new Map(rows.map(([kind, name, ...counts]) => [`${kind}\t${name}`, counts.map(Number)]));
}

/** What a statement really did, by the server's own counters, before it is undone. */
async function touched(session: Session, sql: string): Promise<{ tree: string; touches: Touch[]; error: string | undefined }> {
  const before = await counters(session);
  const { result, tree } = await session.run(sql);
  if (result instanceof Error) {
    await session.rows('rollback; begin');
    return { tree, touches: [], error: result.message };
  }
  const touches: Touch[] = [];
  for (const [key, counts] of await counters(session)) {
    const [kind, object = ''] = key.split('\t');
    const verbs = kind === 'function' ? (['execute'] as const) : (['read', 'insert', 'update', 'delete'] as const);
    verbs.forEach((verb, at) => {
      if ((counts[at] ?? 0) > (before.get(key)?.[at] ?? 0)) touches.push({ object, verb });
    });
  }
  await session.rows('rollback; begin');
  return { tree, touches, error: undefined };
}

type Parents = ReadonlyMap<string, readonly { readonly name: string; readonly partitioned: boolean }[]>;

/** Whether the effects say a touch, of the relation itself or of one above it. */
function isSaid({ object, verb }: Touch, analysis: Analysis, parents: Parents): boolean {
  const above = parents.get(object) ?? [];
  const says = (name: string, verbs: readonly string[]): boolean =>
    analysis.effects.some((effect) => effect.object === name && verbs.includes(effect.verb));
  if (verb === 'execute') return says(object, ['execute']);
  const names = [object, ...above.map(({ name }) => name)];
  // Whoever writes to rows reads them; a row that changes its partition is deleted here and inserted there.
  if (verb === 'read') return names.some((name) => says(name, ['select', 'lock', 'update', 'delete', 'insert']));
  return names.some((name) => says(name, [verb])) || above.some(({ name, partitioned }) => partitioned && says(name, ['update']));
}

interface Bed {
  readonly session: Session;
  readonly parents: Parents;
}

/** Runs statements and lists what the server touched that was not said. */
async function unsaid(lines: readonly Line[], { session, parents }: Bed) {
  const found: string[] = [];
  const failed: string[] = [];
  const refused: string[] = [];
  let seen = 0;
  for (const line of lines) {
    const { sql } = line;
    const { tree, touches, error } = await touched(session, sql);
    if (error !== undefined) {
      failed.push(`${sql}: ${error}`);
      continue;
    }
    const analysis = analysisOf(tree, session);
    if (analysis === undefined || analysis.refused !== undefined || analysis.command === 'utility') {
      refused.push(sql);
      continue;
    }
    seen += touches.length;
    for (const touch of touches)
      if (!isOwners(touch, line, analysis) && !isSaid(touch, analysis, parents))
        found.push(`${touch.verb} ${touch.object}: ${sql}`);
  }
  return { found, failed, refused, seen };
}

describe.each(POSTGRES_SERVERS)('on $server', ({ package: name }) => {
  const sessions: Session[] = [];
  afterAll(async () => {
    for (const session of sessions) await session[Symbol.asyncDispose]();
  });

  async function open(schema: string, user: string): Promise<Bed> {
    const session = await openSession({ package: name, schema, user, sensitive: [], role: `track_functions = 'all'` });
    sessions.push(session);
    await session.rows('begin');
    const parents = new Map<string, { name: string; partitioned: boolean }[]>();
    for (const [child = '', parent = '', partitioned] of (await session.rows(PARENTS)).rows as string[][])
      parents.set(child, [...(parents.get(child) ?? []), { name: parent, partitioned: partitioned === 'true' }]);
    return { session, parents };
  }

  it('nothing that a statement touches is left unsaid: written by hand', async () => {
    const bed = await open('decisions-schema.sql', 'decider');
    const all = linesOf('decisions.sql', bed.session.major);
    const lines = partOn(bed.session.major, all);
    const { found, failed, refused, seen } = await unsaid(lines, bed);
    expect(found).toEqual([]);
    expect(failed).toEqual([]);
    // Rules that make several statements of one, and what no tree is printed for.
    const unread = [`insert into d.ruled values (5, 't')`, 'delete from d.ruled', 'explain select * from d.a'];
    expect(refused).toEqual(unread.filter((one) => lines.some(({ sql }) => sql === one)));
    expect(all.length).toBeGreaterThan(160);
    expect(seen).toBeGreaterThan(lines.length);
  });

  it('nothing that a statement touches is left unsaid: generated', async () => {
    const bed = await open('generator.sql', 'generator');
    const seeds = Array.from({ length: 100 }, (_, seed) => seed);
    const lines = partOn(bed.session.major, seeds).map((seed) => ({
      sql: generate(new Choices(seed), bed.session.major),
      owners: new Set<string>(),
    }));
    const { found, failed, refused, seen } = await unsaid(lines, bed);
    expect(found).toEqual([]);
    expect(failed).toEqual([]);
    expect(refused.length).toBeLessThan(lines.length * 0.3);
    expect(seen).toBeGreaterThan(lines.length);
  });

  it('nothing that a statement touches is left unsaid: the statements of the corpus', async () => {
    const bed = await open('schema.sql', 'agent');
    const all = ['exfiltration.sql', 'harmless.sql'].flatMap((file) => linesOf(file, bed.session.major));
    const lines = partOn(bed.session.major, all);
    const { found, seen } = await unsaid(lines, bed);
    expect(found).toEqual([]);
    expect(seen).toBeGreaterThan(lines.length * 0.7);
  });
});
