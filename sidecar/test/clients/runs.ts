import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { temporaryDirectory } from '@chaperone/testing';
import { CREDENTIAL, type Governed } from '../../src/postgres/relay/governed.test-support.ts';
import type { Step } from './programs/step.ts';

const PROGRAMS = join(import.meta.dirname, 'programs');
const CACHE = join(import.meta.dirname, '../../../.cache/postgres-clients');
const POSTGRES = join(CACHE, 'psql/embedded_postgres/pginstall/bin');
const python = (name: string): string[] => [join(CACHE, 'python/bin/python'), '-I', '-B', join(PROGRAMS, name, 'client.py')];
const node = (name: string, ...more: string[]): string[] => [process.execPath, join(PROGRAMS, name, 'client.ts'), ...more];

/** Clients by name, and how each is run. */
export const CLIENTS: Readonly<Record<string, readonly string[]>> = {
  psql: node('psql', join(POSTGRES, 'psql')),
  'node-postgres': node('node-postgres'),
  psycopg: python('psycopg'),
  asyncpg: python('asyncpg'),
  SQLAlchemy: python('sqlalchemy'),
  pgx: [join(CACHE, 'pgx/client')],
  'pgx, simple protocol': [join(CACHE, 'pgx/client'), 'simple'],
  pgjdbc: ['java', '-Xshare:auto', '-XX:TieredStopAtLevel=1', '-cp', `${CACHE}/pgjdbc:${CACHE}/pgjdbc/postgresql.jar`, 'Client'],
  introspection: node('introspection'),
  pg_dump: node('pg_dump', POSTGRES),
};
/** The pinned builds of these know no TLS; all others check the proxy's certificate. */
const PLAIN = new Set(['psql', 'pg_dump']);

/** Fetches and builds what is missing of them. What this machine cannot build is left out. */
export function fetchClients(): void {
  const { status, stderr } = spawnSync(join(CACHE, '../../scripts/postgres-clients'), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the clients could not be fetched: ${stderr}`);
}

/** Whether everything is there that a client's command names by a path. */
export function isThere(client: string): boolean {
  const files = (CLIENTS[client] ?? []).flatMap((word) => word.split(':')).filter((word) => isAbsolute(word));
  return files.every((file) => existsSync(file)) && (client !== 'pgjdbc' || existsSync(join(CACHE, 'pgjdbc/Client.class')));
}

/** What a client meets: the server itself, or this proxy before it. */
export interface Target {
  readonly port: number;
  readonly ca: string;
  readonly password: string;
  /** What {@link dumpRows} wrote. */
  readonly dump: string;
}

export const directly = ({ postgres, ca }: Governed, dump: string): Target => ({
  port: postgres.port,
  ca,
  password: CREDENTIAL.password,
  dump,
});
export const proxied = ({ port, ca }: Governed, dump: string): Target => ({ port, ca, password: 'anything', dump });

/** Rows that pg_restore is given, as the owner dumped them. */
export async function dumpRows(governed: Governed, file: string): Promise<void> {
  const owner = await governed.direct();
  await owner.query(`insert into scratch (id, word) values (800, 'a'), (801, null)`);
  const { host, port, superuser } = governed.postgres;
  const args = ['--data-only', '--format=custom', '--table=public.scratch', `--file=${file}`, '--no-sync'];
  const env = {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: superuser.user,
    PGPASSWORD: superuser.password,
    PGDATABASE: 'orders',
    PGSSLMODE: 'disable',
  };
  const { status, stderr } = spawnSync(join(POSTGRES, 'pg_dump'), args, { env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`pg_dump: ${stderr}`);
  await owner.query('delete from scratch where id in (800, 801)');
  await owner.end();
}

/** Runs a client's program and returns the steps that it took; one that ends badly is an error. */
export async function runClient(name: string, target: Target): Promise<Step[]> {
  await using directory = await temporaryDirectory('chaperone-client-');
  const authority = join(directory.path, 'ca.crt');
  await writeFile(authority, target.ca);
  const [command = '', ...args] = CLIENTS[name] ?? [];
  const child = spawn(command, args, {
    cwd: directory.path,
    env: {
      HOME: directory.path,
      PATH: process.env['PATH'] ?? '',
      LANG: 'C.UTF-8',
      TZ: 'UTC',
      PGHOST: 'localhost',
      PGPORT: String(target.port),
      PGUSER: CREDENTIAL.username,
      PGPASSWORD: target.password,
      PGDATABASE: 'orders',
      PGSSLMODE: PLAIN.has(name) ? 'disable' : 'verify-full',
      PGSSLROOTCERT: authority,
      PGAPPNAME: 'client',
      PGRESTORE_FILE: target.dump,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  const [output, complaints, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (status !== 0) throw new Error(`${name} ended with ${status}:\n${output.slice(-2000)}\n${complaints.slice(-4000)}`);
  return output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Step);
}
