import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { analyse, parseTree } from '../masking/index.ts';
import { openTestbed, type Testbed } from '../masking/testbed.test-support.ts';
import { StatementParser } from './parser.ts';

/** What the text alone says must be what the server says of its own tree: one policy test then speaks for both. */
describe('the effects of a text are those of the server’s tree', () => {
  const parser = new StatementParser();
  let bed: Testbed;
  beforeAll(async () => {
    bed = await openTestbed();
  });
  afterAll(async () => {
    await bed[Symbol.asyncDispose]();
    await parser.close();
  });

  it.each([
    'select name from app.customers',
    'select count(*) from app.orders o join app.customers c on c.id = o.customer_id',
    'select (select max(id) from app.base) from app.orders where exists (select 1 from app.part)',
    'select id from app.orders union select id from app.base',
    'select id from app.orders for update',
    'select o.id from app.orders o for share of o',
    'with x as (select id from app.base) select * from x, app.orders',
    'with recursive x as (select id from app.base union select x.id + 1 from x where x.id < 3) select * from x',
    'with x as (delete from app.orders returning id) select * from x',
    "insert into app.orders (id, item) values (1, 'x')",
    'insert into app.orders (id) select id from app.base',
    'insert into app.orders (id) values (1) returning id',
    'insert into app.orders (id) values (1) returning 1',
    'insert into app.orders (id) values (1) on conflict do nothing',
    'insert into app.orders (id) values (1) on conflict (id) do nothing',
    "insert into app.orders (id) values (1) on conflict (id) do update set note = 'x'",
    "update app.orders set note = 'x'",
    "update app.orders set note = 'x' where id = 1",
    'update app.orders set note = item',
    "update app.orders set note = 'x' returning id",
    'update app.orders o set note = b.secret from app.base b where b.id = 1',
    'update app.orders o set note = b.secret from app.base b where b.id = o.id',
    'update app.orders set note = (select max(secret) from app.base)',
    'update app.orders o set note = (select max(secret) from app.base where app.base.id = o.id)',
    'delete from app.orders',
    'delete from app.orders where id = 1',
    'delete from app.orders using app.base b where b.id = 1',
    'merge into app.orders o using app.base b on o.id = b.id when matched then delete when not matched then insert (id) values (1)',
    "merge into app.orders o using app.base b on o.id = b.id when matched then update set note = 'x'",
    'select * from app.v_safe',
  ])('%s', async (sql) => {
    const seen = analyse(parseTree(await bed.treeOf(sql), bed.major), bed.catalog, bed.major).effects;
    const expected = seen.filter(({ via }) => via !== 'view').map(({ verb, object }) => `${verb} ${object}`);
    const [found] = await parser.references(Buffer.from(sql));
    expect(found?.unknown).toBeUndefined();
    const shown = new Set(found?.effects.map(({ verb, schema, name }) => `${verb} ${schema}.${name}`));
    expect([...shown].toSorted()).toEqual([...new Set(expected)].toSorted());
  });
});
