import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allowing, type Governed, startGoverned } from './governed.test-support.ts';
import { type Heard, RawClient, say } from './raw-client.test-support.ts';

const SCHEMA = `
create table log (n int primary key deferrable initially deferred);
create role raw_role login; grant select, insert, delete on log to agent_role, raw_role;`;
const POLICY = allowing({ statements: ['select', 'insert', 'delete'], relations: ['public.*'] });
const HBA = ['host orders raw_role 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256'];
const { parse, bind, execute, query, sync } = say;

let governed: Governed;
beforeAll(async () => {
  governed = await startGoverned({ schema: SCHEMA, policy: POLICY }, { hba: HBA });
});
afterAll(() => governed[Symbol.asyncDispose]());

async function written(): Promise<unknown[]> {
  const owner = await governed.direct();
  const { rows } = await owner.query('select n from log order by n');
  await owner.query('delete from log');
  await owner.end();
  return rows;
}
const shown = (heard: readonly Heard[]): string[] =>
  heard.filter(([type]) => type !== 'N' && type !== 'S').map(([type, first = '']) => `${type} ${first}`.trim());

async function both(messages: readonly Buffer[]): Promise<[direct: unknown, agent: unknown]> {
  const answers: unknown[] = [];
  for (const [port, user] of [
    [governed.postgres.port, 'raw_role'],
    [governed.port, 'bot'],
  ] as const) {
    await using client = await RawClient.open(port, { user });
    answers.push([shown(await client.ask(...messages)), await written()]);
  }
  return [answers[0], answers[1]];
}

describe('a failed transaction is one, and leaves nothing, as at the server itself', () => {
  test.each<[string, readonly Buffer[]]>([
    [
      'EXECUTE of an unknown name fails it',
      [query('begin'), query('execute nothing'), query('insert into log values (1)'), query('commit')],
    ],
    ['EXECUTE of an unknown name fails the rest of its text', [query('insert into log values (2); execute nothing')]],
    [
      'EXECUTE of an unknown name undoes what is before it without Sync',
      [parse('insert into log values (3)'), bind(), execute(), query('execute nothing')],
    ],
    [
      'EXECUTE with too few values fails it',
      [
        query('prepare p(int) as select n from log where n = $1'),
        query('begin'),
        query('insert into log values (4)'),
        query('execute p'),
        query('commit'),
      ],
    ],
    [
      'DEALLOCATE of an unknown name fails it',
      [query('begin'), query('insert into log values (5)'), query('deallocate nothing'), query('commit')],
    ],
    ['DEALLOCATE of an unknown name fails the rest of its text', [query('insert into log values (6); deallocate nothing')]],
    ['DEALLOCATE ALL does not run in it', [query('begin'), query('select nothing'), query('deallocate all'), query('commit')]],
    [
      'DEALLOCATE does not run in it',
      [
        query('prepare p as select 1'),
        query('begin'),
        query('select nothing'),
        query('deallocate p'),
        query('rollback'),
        query('execute p'),
      ],
    ],
    [
      'a setting that is only answered does not run in it',
      [query('begin'), query('select nothing'), query('set client_min_messages = debug5'), query('commit')],
    ],
    ['a statement that fails when it is planned tells of no columns', [query('select 1 / 0')]],
  ])('%s', async (_what, messages) => {
    const [direct, agent] = await both(messages);
    expect(agent).toEqual(direct);
  });

  test('a DEALLOCATE that was skipped after an error took no name away', async () => {
    const parsed = [
      parse('select 1', 's'),
      parse('deallocate s', 'd'),
      parse('select 1 / n from generate_series(0, 1) n', 'z'),
      sync(),
    ];
    const failed = [bind('z'), execute(), bind('d'), execute(), sync()];
    const [direct, agent] = await both([...parsed, ...failed, bind('s'), execute(), sync()]);
    expect(agent).toEqual(direct);
  });
});
