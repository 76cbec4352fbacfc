import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const SCHEMA = `
create table customers (id int, ssn text);
create table hidden (id int, ssn text);
create table closed (id int);
insert into customers values (1, '123-45-6789');
create view summary as select c.ssn from customers c join hidden h using (id);
create function tells(v text) returns text language plpgsql as $$ begin
  raise exception using errcode = '42501', message = 'permission denied for table ' || v; end $$;
create role keeper; alter view summary owner to keeper;
grant select on customers to agent_role, keeper;
grant select on summary to agent_role;
grant execute on function tells(text) to agent_role;`;
const resource = { sensitive: [{ label: 'pii.ssn', columns: ['public.customers.ssn', 'public.hidden.ssn'] }] };
const POLICY = {
  inference: 'allow',
  rules: [
    {
      name: 'all',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select', 'update', 'delete', 'execute'], relations: ['public.*'], functions: ['public.tells'] },
    },
  ],
};
const DENIED = 'the database denies it to this role; the statement needs';

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY, resource });
});
afterAll(async () => governed?.[Symbol.asyncDispose]());
const { parse, bind, execute, sync, query } = say;

describe('a right that the role lacks', () => {
  it.each([
    ['SELECT of one table', 'select id, ssn from hidden', `${DENIED} SELECT on public.hidden`],
    [
      'a join of what it may and may not read',
      'select c.id from customers c join hidden h on c.id = h.id',
      `${DENIED} SELECT on public.customers, SELECT on public.hidden`,
    ],
    ['UPDATE', 'update customers set id = 2 where id = 1', `${DENIED} SELECT on public.customers, UPDATE on public.customers`],
    // Whose table it is that the view may not read is not the agent's to know.
    ['what a view reads', 'select ssn from summary', `${DENIED} SELECT on public.summary`],
    // Where nothing labelled takes part the server's own words pass.
    ['a table without labels', 'select id from closed', 'permission denied for table closed'],
  ])('is named by what the statement needs: %s', async (_what, sql, text) => {
    await using agent = await RawClient.open(governed.port);
    expect(await agent.ask(query(sql))).toContainEqual(['E', '42501', text]);
    expect(await agent.ask(parse(sql), bind(), execute(), sync())).toContainEqual(['E', '42501', text]);
  });

  it('is not named by words that code of the owner chose', async () => {
    await using agent = await RawClient.open(governed.port);
    const heard = await agent.ask(query('select tells(ssn) from customers'));
    expect(heard).toContainEqual(['E', '42501', `${DENIED} EXECUTE on public.tells, SELECT on public.customers`]);
    expect(JSON.stringify(heard)).not.toContain('123-45');
  });
});
