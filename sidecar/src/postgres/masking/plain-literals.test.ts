import { POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blankLiterals } from '../actions/index.ts';
import { parseTree, plainLiterals } from './index.ts';
import { openTestbed, type Testbed } from './testbed.test-support.ts';

/** What a person may read of a statement. */
const STATEMENTS: readonly (readonly [sql: string, shown: string])[] = [
  [`update app.customers set name = 'Ana' where id = 7`, `update app.customers set name = 'Ana' where id = 7`],
  [`update app.customers set ssn = '1' where id = 7`, `update app.customers set ssn = ? where id = 7`],
  [`update app.customers set name = 'Ana' where ssn = '1'`, `update app.customers set name = 'Ana' where ssn = ?`],
  [
    `update app.customers set name = ssn || 'x' where id in (1, 2)`,
    `update app.customers set name = ssn || ? where id in (1, 2)`,
  ],
  [`update app.customers set name = name || 'é' where id = 1`, `update app.customers set name = name || 'é' where id = 1`],
  [`update app.customers set name = 'é', ssn = '2' where id = 12`, `update app.customers set name = 'é', ssn = ? where id = 12`],
  [`delete from app.customers where ssn || 'x' = 'y'`, `delete from app.customers where ssn || ? = ?`],
  [`delete from app.customers where ssn = 'a' || name`, `delete from app.customers where ssn = ? || name`],
  [`delete from app.customers where coalesce(ssn, 'x') = 'y'`, `delete from app.customers where coalesce(ssn, ?) = ?`],
  [
    `delete from app.customers where id = 1 and (name like 'A%' or ssn like '1%')`,
    `delete from app.customers where id = 1 and (name like 'A%' or ssn like ?)`,
  ],
  [`delete from app.customers where not (name = 'x')`, `delete from app.customers where not (name = 'x')`],
  [
    `delete from app.customers where case when ssn = '1' then 'a' end = 'b'`,
    `delete from app.customers where case when ssn = ? then ? end = ?`,
  ],
  [
    `delete from app.orders where id = (select 5 from app.customers where ssn = '6')`,
    `delete from app.orders where id = (select ? from app.customers where ssn = ?)`,
  ],
  [
    `delete from app.orders where exists (select from app.customers where ssn = '6') and id = 3`,
    `delete from app.orders where exists (select from app.customers where ssn = ?) and id = 3`,
  ],
  [
    `delete from app.customers c using app.orders o where o.id = c.id and o.item = 'x' and c.ssn = '9'`,
    `delete from app.customers c using app.orders o where o.id = c.id and o.item = 'x' and c.ssn = ?`,
  ],
  [
    `insert into app.customers (id, name, ssn) values (1, 'n', 's')`,
    `insert into app.customers (id, name, ssn) values (1, 'n', ?)`,
  ],
  [
    `insert into app.customers (id, name, ssn) values (1, 'n', 's'), (2, 'm', 't')`,
    `insert into app.customers (id, name, ssn) values (?, ?, ?), (?, ?, ?)`,
  ],
  [`select 'shown' from app.v_renamed where b = 'x' and a = 3`, `select ? from app.v_renamed where b = ? and a = 3`],
];

describe.each(POSTGRES_SERVERS)('on $server, people may read', ({ package: name }) => {
  let bed: Testbed;
  beforeAll(async () => {
    bed = await openTestbed({ package: name });
  });
  afterAll(async () => bed[Symbol.asyncDispose]());

  it.each(STATEMENTS)('%s', async (sql, shown) => {
    const [query] = parseTree(await bed.treeOf(sql), bed.major);
    if (query === undefined) throw new Error('no tree');
    expect(blankLiterals(sql, plainLiterals(query, bed.catalog, bed.major).locations)).toBe(shown);
  });
});
