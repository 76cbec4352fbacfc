import { createHash } from 'node:crypto';
import type { RecordBody } from '@chaperone/evidence';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { RawClient, say } from './raw-client.test-support.ts';

const RESOURCE = { namespace: 'data', name: 'orders-db' };
const SCHEMA = `
create table people (id int, name text, ssn text);
insert into people select g, 'name ' || g, '123-45-' || (1000 + g) from generate_series(1, 500) g;
grant select on people to agent_role;`;
const POLICY = {
  rules: [{ name: 'read', effect: 'Allow', resource: RESOURCE, sql: { statements: ['select'], relations: ['public.people'] } }],
};

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({
    schema: SCHEMA,
    policy: POLICY,
    resource: { sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }] },
  });
});
afterAll(() => governed[Symbol.asyncDispose]());

type Done = Extract<RecordBody, { type: 'done' }>;
/** What the wire held, and what evidence kept of it. */
async function ask(
  recording: object,
  sql: string,
): Promise<{ wire: Buffer; rows: (string | null)[][]; done: Done; records: RecordBody[] }> {
  await using proxy = await governed.anew({ policy: { ...POLICY, recording } });
  await using agent = await RawClient.open(proxy.port);
  const chunks: Buffer[] = [];
  agent.socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  agent.send(say.parse(sql), say.bind(), say.execute(), say.sync());
  await agent.ready(1);
  const records = proxy.records.map(({ record }) => record);
  const done = records.find((record): record is Done => record.type === 'done');
  if (done === undefined) throw new Error('no record of an end');
  const rows = records.flatMap((record) => (record.type === 'rows' ? record.rows : []));
  return { wire: Buffer.concat(chunks), rows: [...rows, ...(done.result?.rows ?? [])], done, records };
}

/** The DataRow messages of a conversation, as they were on the wire. */
function rowsOf(wire: Buffer): Buffer[] {
  const rows: Buffer[] = [];
  for (let at = 0; at < wire.length; ) {
    const end = at + 1 + wire.readUInt32BE(at + 1);
    if (wire[at] === 0x44) rows.push(wire.subarray(at, end));
    at = end;
  }
  return rows;
}

describe('of what was delivered', () => {
  test.each([
    ['few', 5],
    ['many', 500],
  ])('the first rows up to the limit are kept, and the digest is of all: %s', async (_how, count) => {
    const { wire, rows, done } = await ask(
      { content: 'results', rows: 3 },
      `select id, ssn from people order by id limit ${count}`,
    );
    expect(rows).toEqual([1, 2, 3].map((id) => [`t:${id}`, 't:*****']));
    expect(done).toMatchObject({ rows: count, truncated: true, maskedValues: count });
    const delivered = rowsOf(wire);
    expect(delivered).toHaveLength(count);
    expect(done.digest).toBe(createHash('sha256').update(Buffer.concat(delivered)).digest('hex'));
    expect(done.bytes).toBe(Buffer.concat(delivered).length);
  });

  test('all rows are kept within the limit, in several records where they are many', async () => {
    const { rows, done, records } = await ask({ content: 'results', rows: 1000 }, 'select id from people order by id');
    expect(rows.map(([id]) => id)).toEqual(Array.from({ length: 500 }, (_, at) => `t:${at + 1}`));
    expect(done).toMatchObject({ rows: 500, truncated: false });
    expect(records.map(({ type }) => type)).toEqual(['session.open', 'action', 'columns', 'rows', 'rows', 'rows', 'done']);
  });

  test('bytes bound them too', async () => {
    const { rows, done } = await ask({ content: 'results', bytes: '60' }, 'select name from people order by id limit 5');
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.length).toBeLessThan(5);
    expect(done.truncated).toBe(true);
  });

  test.each<[string, string | undefined]>([
    ['commands', 'select ssn from people limit 2'],
    ['metadata', undefined],
  ])('no row is kept with content: %s', async (content, text) => {
    const { rows, done, records } = await ask({ content }, 'select ssn from people limit 2');
    expect(rows).toEqual([]);
    expect(done).toMatchObject({ rows: 2, truncated: true });
    expect(records.find((record) => record.type === 'action')).toMatchObject(text === undefined ? {} : { text });
    expect(JSON.stringify(records).includes('select ssn')).toBe(text !== undefined);
  });
});
