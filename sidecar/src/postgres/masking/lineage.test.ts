import { POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CatalogError, loadCatalog, splitColumnName } from './catalog.ts';
import { analyse, countGuesses, judgeInference, judgeWrites, parseTree, type Analysis } from './index.ts';
import { checkSuitability } from './suitability.ts';
import { anAccess, openTestbed, SENSITIVE, type Testbed } from './testbed.test-support.ts';

describe.each(POSTGRES_SERVERS)('on $server', ({ package: name, major }) => {
  const exists = (sql: string): boolean => major >= 15 || !sql.startsWith('merge');
  let bed: Testbed;
  beforeAll(async () => {
    bed = await openTestbed({ package: name, logs: true });
  });
  afterAll(async () => bed[Symbol.asyncDispose]());

  const analysisOf = async (sql: string): Promise<Analysis> =>
    analyse(parseTree(await bed.treeOf(sql), bed.major), bed.catalog, bed.major);

  const touches = async (sql: string): Promise<boolean> => (await analysisOf(sql)).touchesLabelled;
  const labelsOf = (table: string, column: string): string[] => {
    const relation = [...bed.catalog.relations.values()].find((item) => item.schema === 'app' && item.name === table);
    const attnum = [...(relation?.columns ?? [])].find(([, item]) => item.name === column)?.[0] ?? 0;
    return [...(bed.catalog.labelled.get(relation?.oid ?? 0)?.get(attnum) ?? [])];
  };
  const reasons = async (): Promise<string[]> => (await checkSuitability(bed.query, bed.catalog)).map(({ reason }) => reason);

  describe('effects are what the server will check', () => {
    const effects: Record<string, string[]> = {
      'select name from app.customers': ['select app.customers direct (name)'],
      'select count(*) from app.orders': ['select app.orders direct ()'],
      'select c from app.customers c where false': [
        'select app.customers direct (id,name,ssn,email,born,salary,doc,tags,note,ssn_tail)',
      ],
      'select d from app.v_nested': [
        'select app.v_nested direct (d)',
        'select app.v_renamed view (a,b)',
        'select app.customers view (id,ssn)',
      ],
      'select id from app.orders for update': ['select app.orders direct (id)', 'lock app.orders direct ()'],
      "insert into app.orders(id, item) values (90, 'x') returning id": [
        'insert app.orders direct (id,item)',
        'select app.orders direct (id)',
      ],
      "update app.orders set note = 'x' where id = 1": ['select app.orders direct (id)', 'update app.orders direct (note)'],
      'delete from app.orders where id = 1': ['select app.orders direct (id)', 'delete app.orders direct'],
      'with d as (delete from app.orders returning id) select id from d': [
        'select app.orders direct (id)',
        'delete app.orders direct',
      ],
      'merge into app.orders o using app.base b on o.id = b.id when matched then delete when not matched then insert (id) values (1)':
        [
          'insert app.orders direct (id)',
          'select app.orders direct (id)',
          'delete app.orders direct',
          'select app.base direct (id)',
        ],
      "select app.echo('x')": ['execute app.echo direct'],
    };
    for (const [sql, expected] of Object.entries(effects).filter(([each]) => exists(each))) {
      it(sql, async () => {
        const { effects: found } = await analysisOf(sql);
        const shown = found.map(({ verb, object, via, columns }) =>
          [verb, object, via, ...(columns ? [`(${columns.map((column) => column.split('.').at(-1)).join(',')})`] : [])].join(' '),
        );
        expect(shown.toSorted()).toEqual(expected.toSorted());
      });
    }
  });

  describe('of relations with credentials everything else may be read', () => {
    it.each([
      ['select rolname from pg_roles', false],
      ['select rolpassword from pg_roles', false],
      ['select rolname from pg_authid', false],
      ['select subname from pg_subscription', false],
      ['select rolpassword from pg_authid', true],
      ['select 1 from pg_authid where rolpassword is null', true],
      ['select a from pg_authid a', true],
      ['select count(a) from pg_authid a', true],
      ['select * from pg_authid', true],
      ['select rolname from pg_authid for update', true],
      ["update pg_authid set rolpassword = 'x'", true],
      ['select passwd from pg_shadow', true],
      ['select subconninfo from pg_subscription', true],
    ])('%s: refused %s', async (sql, refused) => {
      const why = (await analysisOf(sql)).refused?.why ?? '';
      expect(why.includes('holds credentials')).toBe(refused);
    });
  });

  describe('a value is exact where it is one column’s own, derived otherwise', () => {
    const exactness: Record<string, string> = {
      'select ssn from app.customers': 'exact',
      'select ssn::varchar from app.customers': 'exact',
      'select email::text from app.customers': 'exact',
      'select c from app.v_nested': 'exact',
      'with q as (select ssn from app.customers) select ssn from q': 'exact',
      "select ssn from app.customers union all select 'x'": 'exact',
      'select ssn from app.orders full join app.customers using (ssn)': 'exact',
      'select (select ssn from app.customers where id = 1)': 'exact',
      'delete from app.customers returning ssn': 'exact',
      'select secret from app.base': 'exact',
      'select ssn_tail from app.customers': 'exact',
      'select ssn::varchar(5) from app.customers': 'derived',
      'select upper(ssn) from app.customers': 'derived',
      'select c from app.customers c': 'derived',
      'select max(ssn) from app.customers': 'derived',
      'select array[ssn] from app.customers': 'derived',
      'select ssn from app.customers union all select upper(ssn) from app.customers': 'derived',
      'select labelled_here from app.v_owner': 'exact',
      'select y from app.mv': 'top',
      'select app.echo(name) from app.customers': 'top',
      'select id from app.customers': 'none',
      'select labelled_here is null from app.v_owner': 'derived',
      'select item from app.orders': 'none',
    };
    for (const [sql, expected] of Object.entries(exactness)) {
      it(`${sql} → ${expected}`, async () => {
        const [column] = (await analysisOf(sql)).columns;
        const derived = column?.exact === true ? 'exact' : 'derived';
        expect(column?.top !== undefined ? 'top' : column?.sources.length === 0 ? 'none' : derived).toBe(expected);
      });
    }
  });

  describe('under inference: limit a masked column may only be compared with one value', () => {
    const t = 'select id from app.customers where';
    const allowed: Record<string, number> = {
      [`${t} ssn = 'x'`]: 1,
      [`${t} 'x' = ssn`]: 1,
      [`${t} email = 'x'`]: 1,
      [`${t} ssn = 'x' and name like 'A%'`]: 1,
      [`${t} ssn = 'x' union all ${t} ssn = 'y'`]: 2,
      "select d from app.v_nested where c = 'x'": 1,
      "select o.id from app.orders o left join app.customers c on c.ssn = 'x'": 1,
      "update app.customers set name = 'n' where ssn = 'x'": 1,
      "select name from app.v_safe where name like 'A%'": 0,
      'select upper(ssn) from app.customers': 0,
      'select ssn, count(*) over () from app.customers': 0,
      'select lag(ssn) over (order by id) from app.customers': 0,
      "select coalesce(ssn, 'none') from app.customers": 0,
      'select email from app.customers order by id': 0,
    };
    for (const [sql, guesses] of Object.entries(allowed)) {
      it(`${sql} is allowed and counts ${guesses}`, async () => {
        const analysis = await analysisOf(sql);
        expect(judgeInference(analysis, anAccess({ inference: 'limit' }))).toBe(undefined);
        expect(countGuesses(analysis, anAccess({ inference: 'limit' }))).toBe(guesses);
        expect(judgeInference(analysis, anAccess({ inference: 'deny' }))?.code).toBe(
          guesses > 0 ? 'InferenceLimited' : undefined,
        );
      });
    }
    const denied = [
      `${t} ssn like '2%'`,
      `${t} ssn > 'x'`,
      `${t} ssn <> 'x'`,
      `${t} not ssn = 'x'`,
      `${t} ssn = 'x' or id = 1`,
      `${t} ssn in ('x', 'y')`,
      `${t} ssn is null`,
      `${t} substr(ssn, 1, 1) = '2'`,
      `${t} upper(ssn) = 'X'`,
      `${t} ssn = name`,
      `${t} ssn between 'a' and 'b'`,
      `${t} (ssn = 'x') is true`,
      `${t} exists (select 1 from app.customers d where d.ssn > 'x')`,
      `${t} id = (select max(length(ssn)) from app.customers)`,
      `${t} app.echo(name) = 'x'`,
      "select id from (select id, substr(ssn, 1, 1) s from app.customers) x where s = '2'",
      "with q as (select id, left(ssn, 1) as f from app.customers) select id from q where f = '2'",
      'select id from app.customers order by ssn',
      'select id from app.v_renamed r, app.orders order by r.b',
      'select count(*) from app.customers group by ssn',
      'select distinct ssn from app.customers',
      'select distinct on (ssn) id from app.customers',
      'select row_number() over (order by ssn) from app.customers',
      'select count(*) over (partition by ssn) from app.customers',
      "select count(*) filter (where ssn like '2%') from app.customers",
      'select array_agg(id order by ssn) from app.customers',
      "select id from app.customers group by id having max(ssn) > 'x'",
      'select id from app.customers limit (select length(ssn) from app.customers where id = 1)',
      "select case when ssn like '2%' then 1 else 2 end from app.customers",
      "select 1 / (ssn like '2%')::int from app.customers",
      'select 1 / (ascii(ssn) - 50) from app.customers',
      'select generate_series(1, ascii(ssn)) from app.customers',
      'select g from app.customers, generate_series(1, ascii(ssn)) g',
      'select ssn::int from app.customers',
      "select coalesce(nullif(ssn, 'x'), (1 / (id - 1))::text) from app.customers",
      'select repeat(name, ascii(ssn)) from app.customers',
      "select ssn from app.customers union select '271-82-8459'",
      "select ssn from app.customers intersect select '271-82-8459'",
      "select '271-82-8459' except select ssn from app.customers",
      'select o.id from app.orders o join app.customers c on o.item = c.ssn',
      'select id from app.orders join app.customers using (ssn, id)',
      "insert into app.customers(id, ssn) values (5, 'x') on conflict (ssn) do nothing",
      'select pg_sleep(ascii(ssn)) from app.customers where false',
    ];
    it.each(denied)('%s is denied', async (sql) => {
      const analysis = await analysisOf(
        sql
          .replace('select id from app.orders join', 'select app.orders.note from app.orders join')
          .replace('select id from app.v_renamed r', 'select r.a from app.v_renamed r'),
      );
      expect(analysis.refused).toBe(undefined);
      expect(judgeInference(analysis, anAccess({ inference: 'limit' }))?.code).toBe('InferenceLimited');
      expect(judgeInference(analysis, anAccess({ inference: 'allow' }))).toBe(undefined);
      const all = SENSITIVE.map(({ label }) => label);
      expect(judgeInference(analysis, anAccess({ inference: 'deny', reveal: all }))).toBe(undefined);
    });
  });

  describe('a masked value is written only where it stays masked', () => {
    const written: Record<string, boolean> = {
      'update app.customers set ssn = ssn': true,
      'insert into app.customers(id, ssn) select 9, ssn from app.customers limit 1': true,
      "update app.customers set name = 'x'": true,
      'update app.orders set item = note': true,
      'update app.customers set email = ssn': false,
      'update app.customers set name = upper(ssn)': false,
      'update app.customers set (name, note) = (select ssn, name from app.customers where id = 1)': false,
      'update app.orders set note = app.echo(item)': false,
      'insert into app.orders(id, note) select 9, y from app.mv': false,
      "insert into app.customers(id, name, ssn) values (9, 'n', 's') on conflict (id) do update set name = excluded.ssn": false,
      'with i as (insert into app.orders(id, note) select 9, ssn from app.customers returning 1) select 1': false,
      'insert into app.v_instead select 9, ssn from app.customers': false,
      'merge into app.orders o using app.customers c on o.id = c.id when matched then update set note = c.ssn': false,
    };
    for (const [sql, allowed] of Object.entries(written).filter(([each]) => exists(each))) {
      it(`${sql} is ${allowed ? 'allowed' : 'refused'}`, async () => {
        const refusal = judgeWrites(await analysisOf(sql), anAccess());
        expect(refusal?.code).toBe(allowed ? undefined : 'LabelledValueWrite');
        expect(refusal?.reason ?? '').not.toMatch(/271/);
      });
    }
    it('a revealed label may be written anywhere', async () => {
      const analysis = await analysisOf('update app.customers set name = ssn');
      expect(judgeWrites(analysis, anAccess({ reveal: ['pii.ssn'] }))).toBe(undefined);
    });
  });

  it('says which statements may have labelled values in their errors', async () => {
    expect(await touches('select id from app.customers')).toBe(true);
    expect(await touches('select d from app.v_nested')).toBe(true);
    expect(await touches('insert into app.customers(id) values (9)')).toBe(true);
    expect(await touches('insert into app.v_instead(id) values (9)')).toBe(true);
    expect(await touches("select app.echo('x')")).toBe(true);
    expect(await touches('select id from app.orders')).toBe(false);
  });

  it('refuses what is newer than the catalog, and follows it once that is read again', async () => {
    await bed.admin.query('create table app.later(id int, ssn text); grant select on app.later to agent');
    const before = await analysisOf('select ssn from app.later');
    expect(before).toMatchObject({ unknownObjects: true, refused: { why: expect.stringContaining('newer') } });
    await bed.reload();
    expect(await analysisOf('select ssn from app.later')).toMatchObject({ unknownObjects: false, refused: undefined });
    await bed.admin.query("alter table app.later add column copy text generated always as (ssn || 'x') stored");
    expect((await analysisOf('select copy from app.later')).columns[0]?.top).toMatch(/newer/);
    await bed.reload();
  });

  describe('the catalog', () => {
    it.each([
      ['a column that the owner named', 'customers', 'ssn', ['pii.ssn']],
      ['a column generated from it', 'customers', 'ssn_tail', ['pii.ssn']],
      ['a partition', 'part_eu', 'ssn', ['pii.ssn']],
      ['the parent of a labelled child', 'base', 'secret', ['pii.ssn']],
      ['a name with a dot', 'odd name', 'a.b', ['pii.ssn']],
      ['no other column', 'customers', 'name', []],
      ['no column of that name elsewhere', 'orders', 'ssn', []],
    ])('labels %s', (_, table, column, labels) => expect(labelsOf(table, column)).toEqual(labels));

    it('takes a materialised view over labelled data for anything', () => {
      const names = [...bed.catalog.opaque].map((oid) => bed.catalog.relations.get(oid)?.name);
      expect(names).toEqual(['mv']);
    });

    it('says which labelled columns do not exist', async () => {
      const catalog = await loadCatalog(bed.query, [
        { label: 'l', columns: ['app.customers.nope', 'app.nope.ssn', 'ssn', 'app.customers.ssn'] },
      ]);
      expect(catalog.labelledColumnsMissing).toEqual(['app.customers.nope', 'app.nope.ssn', 'ssn']);
      expect(await checkSuitability(bed.query, catalog)).toContainEqual(
        expect.objectContaining({ reason: 'LabelledColumnsMissing', status: 'False' }),
      );
    });

    it('does not depend on names and operators of the session’s search_path', async () => {
      await bed.admin.query(`create schema evil; grant usage on schema evil to agent;
        create function evil.no(oid, oid) returns boolean language sql as 'select false';
        create operator evil.= (leftarg = oid, rightarg = oid, function = evil.no);
        create table evil.pg_class(oid oid); create table evil.pg_namespace(oid oid)`);
      await bed.agent.query('set search_path = evil, pg_catalog');
      const catalog = await loadCatalog(bed.query, SENSITIVE);
      await bed.agent.query('reset search_path');
      expect(catalog.labelled.size).toBe(bed.catalog.labelled.size);
      expect(catalog.relations.size).toBeGreaterThanOrEqual(bed.catalog.relations.size);
    });

    it('is refused when it is too large or not understood', async () => {
      const rows = Array.from({ length: 200_001 }, () => ['inherits', '1', '2']);
      await expect(loadCatalog(async () => rows, [])).rejects.toMatchObject({ code: 'CatalogTooLarge' });
      await expect(loadCatalog(async () => [['surprise', '1']], [])).rejects.toBeInstanceOf(CatalogError);
      await expect(loadCatalog(async () => [['relation', null]], [])).rejects.toMatchObject({ code: 'CatalogUnreadable' });
      await expect(loadCatalog(async () => [], [])).rejects.toMatchObject({ code: 'CatalogUnreadable' });
    });

    it.each([
      ['a.b.c', ['a', 'b', 'c']],
      ['a."b.c"."d""e"', ['a', 'b.c', 'd"e']],
      ['a.b', undefined],
      ['a.b.c.d', undefined],
      ['a..c', undefined],
      ['', undefined],
    ])('splits the name %s', (written, parts) => expect(splitColumnName(written)).toEqual(parts));
  });

  describe('a credential is suitable', () => {
    it('only when the server’s log does not take the trees, and then without another finding', async () => {
      const [finding] = await checkSuitability(bed.query, bed.catalog);
      expect(finding).toMatchObject({
        reason: 'ServerLogVolume',
        status: 'Unknown',
        fixSql: 'ALTER ROLE agent SET log_min_messages = fatal',
      });
      await bed.admin.query(finding?.fixSql ?? '');
      expect(await reasons()).toEqual(['ServerLogVolume']);
      const asAdmin = await bed.admin.query({ text: "set log_min_messages = 'fatal'" });
      expect(asAdmin.command).toBe('SET');
      const query = async (sql: string) => (await bed.admin.query<(string | null)[]>({ text: sql, rowMode: 'array' })).rows;
      const found = await checkSuitability(query, bed.catalog);
      expect(found.map(({ reason }) => reason)).toEqual(['UpstreamIsSuperuser', 'UpstreamBypassesRLS', 'UpstreamReplicates']);
    });
    it('not when the role reaches files or owns labelled tables', async () => {
      await bed.admin.query('grant pg_read_server_files to agent; alter table app.kid owner to agent');
      const found = await checkSuitability(bed.query, bed.catalog);
      expect(found.find(({ reason }) => reason === 'UpstreamHasFileRoles')?.fixSql).toBe(
        'REVOKE pg_read_server_files FROM agent',
      );
      expect(found.map(({ reason }) => reason)).toContain('UpstreamOwnsLabelledTables');
      for (const { fixSql } of found) if (fixSql) await bed.admin.query(fixSql);
      await bed.admin.query('alter table app.kid owner to postgres');
      expect(await reasons()).toEqual(['ServerLogVolume']);
    });
  });
});
