import { readFileSync } from 'node:fs';
import type { Access } from '@chaperone/policy';
import { POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Statement, StatementParser } from '../actions/index.ts';
import { Choices } from '../masking/choices.test-support.ts';
import { generate } from '../masking/generator.test-support.ts';
import { NAMES, SHAPES } from '../masking/injection.test-support.ts';
import { openSession, type Session } from '../masking/session.test-support.ts';
import { treeShape } from '../masking/tree-shape.ts';
import { parseTree, POSITIONS } from '../masking/tree.ts';
import { anAccess } from '../masking/testbed.test-support.ts';
import { ByText, confirmed } from './by-text.ts';
import { isNoWorse, type Judgement, judgeTree } from './judgement.ts';
import { Judgements } from './judgements.ts';

/** Some statements of each kind; the oracle of generated queries looks at every one of its own. */
const ONE_IN = 10;
const linesOf = (file: string, major: number): string[] =>
  readFileSync(new URL(`../masking/testdata/${file}`, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && Number(/^\/\*(\d+)\*\//.exec(line)?.[1] ?? 0) <= major);
const hostile = NAMES.flatMap((name) => SHAPES.map((shape) => shape(`"${name.replaceAll('"', '""')}"`)));
/** The same shapes of another column. */
const harmless = hostile.map((sql) => sql.replaceAll(/\bssn\b/g, 'name'));
const READS = [
  'select name from app.customers',
  'select id, name from app.customers where id = 1 order by name limit 1',
  'select o.id, c.name from app.orders o join app.customers c on c.id = o.customer_id',
  'select count(*) from app.customers',
  'with x as (select id from app.base) select x.id from x, app.orders',
  'select 1',
];
/** Functions in the notation of fields, which texts do not tell from columns. */
const FIELDS = [
  'select o.pg_typeof from app.orders o',
  'select o.row_to_json from app.orders o',
  "select ('public').current_setting",
  "select ('select to_tsvector(name) from app.customers').ts_stat",
];

/** As the server describes a column of text that is no table's. */
const UNTYPED = { tableOid: 0, attributeNumber: 0, typeOid: 25, typeSize: -1, typeModifier: -1, format: 0 } as const;

const access = anAccess({
  inference: 'limit',
  rules: [{ name: 'read', policy: { namespace: 'agents', name: 'p' }, effect: 'Allow', sql: { statements: ['select'] } }],
});

describe.each(POSTGRES_SERVERS.filter(({ major }) => major === 14 || major === 18))('on $server', ({ package: name, major }) => {
  const parser = new StatementParser();
  let session: Session;
  beforeAll(async () => {
    session = await openSession({ package: name, schema: 'schema.sql', user: 'agent', sensitive: [] });
  });
  afterAll(async () => {
    await parser.close();
    await session?.[Symbol.asyncDispose]();
  });

  /** Undefined: the short way is not taken. Otherwise what reading the tree says that it does not. */
  async function differs(sql: string, byText: ByText): Promise<string[] | undefined> {
    const context = { access, catalog: session.catalog, major };
    const [statement, second] = await parser.classify(Buffer.from(sql)).catch((): Statement[] => []);
    const foretold = statement && second === undefined ? byText.judge(statement, context) : undefined;
    if (foretold === undefined) return undefined;
    await session.rows('begin');
    const { result, tree } = await session.run(sql);
    await session.rows('rollback');
    if (result instanceof Error || tree === '') return undefined;
    const fields = result.fields.map((field) => ({
      name: field.name,
      tableOid: field.tableID,
      attributeNumber: field.columnID,
      typeOid: field.dataTypeID,
      typeSize: -1,
      typeModifier: -1,
      format: 0 as const,
    }));
    noteShape(
      tree,
      result.fields.map((field) => field.name),
    );
    const short = confirmed(
      foretold,
      { kind: 'prepared', trees: [tree], fields, rowDescription: undefined, parameters: [] },
      context,
    );
    if (short === undefined) return undefined;
    const long = judgeTree(foretold.judgement.statement, [tree], fields, context);
    const said = [
      'touchesLabelled',
      'ownersCode',
      'readsSession',
      'blank',
      'writes',
      'guesses',
      'text',
      'unknownObjects',
    ] as const;
    return [
      ...(isNoWorse(long, short) ? [] : ['the verdict']),
      ...said.filter((each) => short[each] !== long[each]),
      ...(JSON.stringify(short.plan) === JSON.stringify(long.plan) ? [] : ['the plan']),
    ];
  }

  /** What trees of one shape say, but for names of columns and positions. */
  const shapes = new Map<string, string>();
  let alike = 0;
  function noteShape(tree: string, names: readonly string[]): void {
    const shape = treeShape(tree, names);
    if (shape === undefined) return;
    const read = JSON.stringify(parseTree(tree, major), (key, value: unknown) =>
      POSITIONS.has(key) || key === 'resname' ? undefined : value,
    );
    const before = shapes.get(shape);
    if (before === undefined) shapes.set(shape, read);
    else {
      alike++;
      expect(read).toBe(before);
    }
  }

  it('what a text and a look at its tree say is what the tree says', async () => {
    const byText = new ByText();
    const generated = Array.from({ length: 80 }, (_, seed) => generate(new Choices(seed), major));
    const sampled = [...hostile, ...harmless].filter((_, at) => at % ONE_IN === major % ONE_IN);
    const files = ['exfiltration.sql', 'harmless.sql', 'features.sql'].flatMap((file) => linesOf(file, major));
    const wrong: string[] = [];
    let short = 0;
    for (const sql of [...READS, ...FIELDS, ...files, ...sampled, ...generated]) {
      const found = await differs(sql, byText);
      if (found === undefined) continue;
      short++;
      if (found.length > 0) wrong.push(`${found.join(', ')}: ${sql}`);
    }
    expect(wrong).toEqual([]);
    expect(short).toBeGreaterThan(40);
    expect(alike).toBeGreaterThan(5);
    for (const sql of READS) expect(await differs(sql, byText)).toEqual([]);
  });

  it('what was looked through is read once for each policy and each catalogue', async () => {
    const { catalog } = session;
    const sql = 'select name from app.customers';
    const [statement] = await parser.classify(Buffer.from(sql));
    const foretold = statement && new ByText().judge(statement, { access, catalog });
    if (foretold === undefined) throw new Error('its text does not tell');
    const { tree } = await session.run(sql);
    const fields = [{ ...UNTYPED, name: 'name' }];
    const judgements = new Judgements();
    const read = (now: Access, known = catalog): Judgement =>
      judgements.read(foretold.judgement, tree, fields, { access: now, catalog: known, major });
    const [same, none] = [
      { ...access, digest: 'same' },
      { ...access, digest: 'none', rules: [] },
    ];
    const first = read(same);
    expect(first).toEqual(judgeTree(foretold.judgement.statement, [tree], fields, { access: same, catalog, major }));
    expect(read(same)).toBe(first);
    expect(read(none).refusal?.code).toBe('NoRuleAllows');
    expect(read(same).refusal).toBeUndefined();
    const again = read(same);
    expect(read(same, { ...catalog })).not.toBe(again);
  });
});
