/**
 * Records what real clients and a real server say to each other, for captured.test.ts:
 *
 *   node sidecar/src/postgres/wire/testdata/capture.ts
 *
 * Starts PostgreSQL 18, lets psql and node-postgres talk to it through a tap and writes both directions of each conversation
 * to NAME.frontend.bin and NAME.backend.bin in this folder.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { startPostgres } from '@chaperone/testing';
import { Client, Query } from 'pg';

const PSQL = `
select 1 as one, null::text as nothing, 'ü' as text;
select 1; select 2;
do $$ begin raise notice 'seen'; end $$;
select 1 / 0;
begin;
select nonsense;
rollback;
;
create temp table t (a int, b text);
copy t from stdin;
1	one
2	\\N
\\.
copy t to stdout;
set application_name = 'other';
`;

async function tapped(name: string, port: number, talk: (port: number) => Promise<void>): Promise<void> {
  const said: Buffer[] = [];
  const answered: Buffer[] = [];
  const closed = Promise.withResolvers<void>();
  const tap = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    client.on('data', (chunk: Buffer) => said.push(chunk)).pipe(server);
    server.on('data', (chunk: Buffer) => answered.push(chunk)).pipe(client);
    server.once('close', () => closed.resolve());
  }).listen(0, '127.0.0.1');
  await once(tap, 'listening');
  await talk((tap.address() as { port: number }).port);
  await closed.promise;
  tap.close();
  await writeFile(new URL(`${name}.frontend.bin`, import.meta.url), Buffer.concat(said));
  await writeFile(new URL(`${name}.backend.bin`, import.meta.url), Buffer.concat(answered));
}

async function psql(port: number, password: string): Promise<void> {
  const child = spawn('psql', ['-X', '-q', `host=127.0.0.1 port=${port} user=postgres dbname=postgres sslmode=disable`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: process.env['PATH'] ?? '', PGPASSWORD: password },
  });
  child.stdin.end(PSQL);
  await once(child, 'close');
}

async function nodePostgres(port: number, password: string): Promise<void> {
  const client = new Client({ host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres' });
  await client.connect();
  await client.query('select $1::int as a, $2::text as b, $3::bytea as c', [7, null, Buffer.from([0, 255])]);
  await client.query({ name: 'named', text: 'select $1::int8 as big', values: ['9007199254740993'], binary: true } as never);
  await client.query({ name: 'named', text: 'select $1::int8 as big', values: ['1'], binary: true } as never);
  await client.query('create temp table t (a int)', []);
  await client.query('select 1 / $1::int', [0]).catch(() => undefined);
  await client.query('', []);
  const portal = new Query({ text: 'select generate_series(1, 5)', values: [], rows: 2 } as never);
  client.query(portal);
  await once(portal, 'end');
  await client.end();
}

const server = await startPostgres();
const { password } = server.superuser;
await tapped('psql', server.port, (port) => psql(port, password));
await tapped('node-postgres', server.port, (port) => nodePostgres(port, password));
await server.stop();
