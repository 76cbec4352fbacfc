import { networkInterfaces } from 'node:os';
import { startPostgres, testAuthority, type TestPostgres } from '@chaperone/testing';
import { Client } from 'pg';

export const DATABASE = 'bench';
export const ACCOUNTS = 100_000;
/** Tables link_1, link_2 … of a join by key, and rows of each. */
export const LINKS = 9;
export const LINKED = 1_000;
/** An address of this machine that a sidecar may dial: in a cluster loopback is none. Undefined: there is none. */
export function ownAddress(): string | undefined {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
}

/** The role that every path signs in with at the server. */
export const ROLE = { user: 'bench_agent', password: 'only-for-this-run' } as const;

export interface Database extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly major: number;
  /** PEM of what signed the server's certificate. */
  readonly ca: string;
}

/** A real server with TLS on offer, 100,000 accounts for point selects and `people` rows for large results. */
export async function startDatabase(people: number): Promise<Database> {
  const authority = await testAuthority('bench CA');
  const server = await startPostgres({
    tls: await authority.issue(['localhost', '127.0.0.1']),
    settings: {
      shared_buffers: '256MB',
      max_connections: '1200',
      autovacuum: 'off',
      listen_addresses: ['127.0.0.1', ownAddress() ?? []].flat().join(','),
    },
    hba: ['host all all samehost scram-sha-256'],
  });
  try {
    await fill(server, people);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    host: server.host,
    port: server.port,
    major: server.major,
    ca: authority.ca,
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

export const linkTables: readonly string[] = Array.from({ length: LINKS }, (_, at) => `link_${at + 1}`);

async function fill(server: TestPostgres, people: number): Promise<void> {
  await asOwner(server, 'postgres', [
    `create database ${DATABASE}`,
    `create role ${ROLE.user} login password '${ROLE.password}'`,
    // The trees that the server prints for lineage go to the session only; for every path alike.
    `alter role ${ROLE.user} set log_min_messages = fatal`,
  ]);
  await asOwner(server, DATABASE, [
    'create table accounts (aid int primary key, abalance int not null, note text not null)',
    `insert into accounts select n, n % 1000, 'note ' || n from generate_series(1, ${ACCOUNTS}) n`,
    'create table people (id int primary key, name text not null, ssn text not null, city text not null, note text not null, mail text not null)',
    `insert into people select n, 'Person ' || n, to_char(n % 899 + 100, 'FM000') || '-' || to_char(n % 89 + 10, 'FM00') || '-'
       || to_char(n % 8999 + 1000, 'FM0000'), 'City ' || n % 500,
       'the order came back ' || n % 7 || ' times, nobody was at home', 'person' || n % 5 || '@example.com' from generate_series(1, ${people}) n`,
    ...linkTables.flatMap((name) => [
      `create table ${name} (id int primary key, next int not null, value int not null)`,
      `insert into ${name} select n, n % ${LINKED} + 1, n from generate_series(1, ${LINKED}) n`,
    ]),
    `grant select on accounts, people, ${linkTables.join(', ')} to ${ROLE.user}`,
    `vacuum (analyze, freeze) accounts, people, ${linkTables.join(', ')}`,
    'checkpoint',
  ]);
}

async function asOwner(server: TestPostgres, database: string, statements: readonly string[]): Promise<void> {
  const client = new Client({
    host: server.host,
    port: server.port,
    ...server.superuser,
    database,
    ssl: { rejectUnauthorized: false },
  });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}
