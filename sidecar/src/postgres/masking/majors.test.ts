import { readFileSync, writeFileSync } from 'node:fs';
import { POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { analyse } from './lineage.ts';
import { token } from './nodes.ts';
import { isNode, parseTree, type TreeValue } from './tree.ts';
import { majorOf, SUPPORTED_MAJORS } from './majors.ts';
import { anAccess, openTestbed, type Ran, showsSecret, statementsOf, type Testbed } from './testbed.test-support.ts';

/** Of the statements that all majors know, and of those that are new in or after 15, by major. */
const GOLDEN = new URL('./testdata/majors.json', import.meta.url);
/** What the probes need beside schema.sql. */
const MORE = `create table app.made(id int default 1, serial int generated always as identity, p app.pair, q app.pair[], d app.short);
  insert into app.made(id, p) values (1, row('a', 'b'));
  create view app.v_checked as select * from app.orders where item <> '' with check option;
  grant select, insert, update on app.made, app.v_checked to agent`;
const CORPORA = ['features.sql', 'exfiltration.sql', 'harmless.sql'];

interface Counts {
  statements: number;
  rows: number;
  refused: number;
  error: number;
  /** Values that are masked. */
  masked: number;
  /** Columns that are masked although no secret was in them. */
  over: number;
}
const noCounts = (): Counts => ({ statements: 0, rows: 0, refused: 0, error: 0, masked: 0, over: 0 });

interface Census {
  readonly tags: Set<string>;
  readonly rangeKinds: Set<string>;
  readonly commands: Set<string>;
}

function count(value: TreeValue, census: Census): void {
  if (isNode(value)) {
    const { tag, fields } = value;
    census.tags.add(tag);
    if (tag === 'RANGETBLENTRY') census.rangeKinds.add(token(value, 'rtekind'));
    if (tag === 'QUERY') census.commands.add(token(value, 'commandType'));
    for (const part of Object.values(fields)) count(part, census);
  } else if (Array.isArray(value)) for (const part of value as readonly TreeValue[]) count(part, census);
}

it('the majors that are supported are those that are tested', () => {
  expect(SUPPORTED_MAJORS.toReversed()).toEqual(POSTGRES_SERVERS.map(({ major }) => major));
});

describe.each(POSTGRES_SERVERS)('on $server', ({ package: name, major }) => {
  let bed: Testbed;
  /** Each statement of the corpora, which ran once. */
  const ran = new Map<string, (readonly [sql: string, Ran])[]>();
  const ranOf = (...files: string[]) => files.flatMap((file) => ran.get(file) ?? []);
  beforeAll(async () => {
    bed = await openTestbed({ package: name });
    await bed.admin.query(MORE);
    await bed.reload();
    for (const file of CORPORA) {
      const each: (readonly [string, Ran])[] = [];
      for (const sql of statementsOf(file, major)) each.push([sql, await bed.run(sql)]);
      ran.set(file, each);
    }
  });
  afterAll(async () => bed?.[Symbol.asyncDispose]());

  it('is of the major that it is said to be', async () => {
    const [[version = ''] = []] = await bed.query('show server_version_num');
    expect(Math.floor(Number(version) / 10_000)).toBe(major);
  });

  it('all that its trees hold is in its table, and all of the table is in its trees', () => {
    const census: Census = { tags: new Set(), rangeKinds: new Set(), commands: new Set() };
    for (const [, { tree }] of ranOf(...CORPORA)) {
      // One statement of the corpus is no valid one.
      if (tree !== undefined) for (const query of parseTree(tree, major)) count(query, census);
    }
    const { tags = [], rangeKinds = [], commands = {} } = majorOf(major) ?? {};
    expect([...census.tags].toSorted()).toEqual([...tags].toSorted());
    expect([...census.rangeKinds].toSorted()).toEqual([...rangeKinds].toSorted());
    expect([...census.commands].toSorted()).toEqual(Object.keys(commands));
  });

  it('a query inside another that is of no kind of its major refuses the whole', async () => {
    const tree = await bed.treeOf('with d as (delete from app.orders returning id) select id from d');
    const [whole, ...parts] = tree.split(/(?=:commandType\s4)/);
    expect(parts.length).toBe(1);
    for (const kind of [major === 14 ? 5 : 6, 7, 'x']) {
      const changed = `${whole}${parts[0]?.replace(/^:commandType\s4/, `:commandType ${kind}`)}`;
      expect(analyse(parseTree(changed, major), bed.catalog, major).refused?.why).toContain('of an unknown kind');
    }
  });

  it('what is new in each major shows no secret, in text and binary', async () => {
    const leaks: string[] = [];
    const errors: string[] = [];
    let raw = 0;
    for (const [sql, inText] of ranOf('features.sql')) {
      for (const outcome of [bed.judge(inText, anAccess()), await bed.attempt(sql, anAccess(), { binary: true })]) {
        if (outcome.kind === 'error') errors.push(`${outcome.raw}: ${sql}`);
        if (outcome.kind === 'refused') continue;
        if (showsSecret(outcome.raw)) raw++;
        if (showsSecret(outcome.shown)) leaks.push(sql);
      }
    }
    expect(leaks).toEqual([]);
    // All are valid; a cursor of that name is never there.
    expect(errors.filter((error) => !error.includes('nowhere'))).toEqual([]);
    expect(raw).toBeGreaterThan(80);
  });

  it('its trees show no secret when they are read as those of another major', () => {
    const leaks: string[] = [];
    for (const as of SUPPORTED_MAJORS.filter((each) => each !== major)) {
      for (const [sql, one] of ranOf('features.sql', 'exfiltration.sql')) {
        const outcome = bed.judge(one, anAccess(), as);
        if (outcome.kind !== 'refused' && showsSecret(outcome.shown)) leaks.push(`as ${as}: ${sql}`);
      }
    }
    expect(leaks).toEqual([]);
  });

  it('masks as much as before and refuses as much; as much as every major, of what all of them know', () => {
    const counts = { common: noCounts(), own: noCounts() };
    for (const [sql, one] of ranOf(...CORPORA)) {
      const outcome = bed.judge(one, anAccess());
      const into = sql.startsWith('/*') ? counts.own : counts.common;
      into.statements++;
      into[outcome.kind]++;
      if (outcome.kind !== 'rows') continue;
      into.masked += outcome.masked;
      into.over += outcome.over;
    }
    const golden = JSON.parse(readFileSync(GOLDEN, 'utf8')) as Record<string, Counts>;
    if (process.env['UPDATE_GOLDEN'] !== undefined) {
      Object.assign(golden, { common: counts.common, [major]: counts.own });
      writeFileSync(GOLDEN, `${JSON.stringify(golden, null, 2)}\n`);
    }
    expect(counts).toEqual({ common: golden['common'], own: golden[major] });
  });
});
