import { spawn } from 'node:child_process';
import { chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, freePort, temporaryDirectory } from '@chaperone/testing';
import { type Database, DATABASE, ROLE } from './database.ts';
import { accepts } from './client.ts';
import type { Path } from './path.ts';
import type { Started } from './sidecar.ts';
import { ended } from './ended.ts';
import type { Program } from './programs.ts';

/** PgBouncer refuses to run as root; it then runs as this user (nobody). */
const UNPRIVILEGED = 65534;

/** Starts PgBouncer in session mode, signing in by itself as Chaperone does, its client leg without TLS or password. */
export async function startPgBouncer(options: { program: Program; database: Database; tls: boolean }): Promise<Path & Started> {
  const { program, database } = options;
  const port = await freePort();
  // Its own, not within a folder that only root may enter.
  const folder = await temporaryDirectory('chaperone-pgbouncer-');
  const directory = folder.path;
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: 'session',
    default_pool_size: 300,
    max_client_conn: 500,
    ignore_startup_parameters: 'extra_float_digits',
    log_connections: 0,
    log_disconnections: 0,
    server_tls_sslmode: options.tls ? 'verify-full' : 'disable',
    ...(options.tls ? { server_tls_ca_file: join(directory, 'ca.crt') } : {}),
  };
  const text = [
    '[databases]',
    `${DATABASE} = host=${database.host} port=${database.port} dbname=${DATABASE} user=${ROLE.user} password=${ROLE.password}`,
    '[pgbouncer]',
    ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`),
  ].join('\n');
  const config = join(directory, 'pgbouncer.ini');
  await writeFile(config, `${text}\n`, { mode: 0o600 });
  await writeFile(join(directory, 'ca.crt'), database.ca);
  const root = process.getuid?.() === 0;
  if (root) for (const path of [directory, config]) await chown(path, UNPRIVILEGED, UNPRIVILEGED);
  const child = spawn(program.path, ['--quiet', config], {
    stdio: 'ignore',
    env: { PATH: process.env['PATH'] ?? '', ...program.environment },
    ...(root ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {}),
  });
  const end = ended(child);
  const stop = async (): Promise<void> => {
    await end();
    await folder[Symbol.asyncDispose]();
  };
  const path: Path = {
    name: 'pgbouncer',
    host: '127.0.0.1',
    port,
    user: 'bench',
    password: undefined,
    ca: undefined,
    pid: child.pid,
  };
  try {
    await eventually('PgBouncer', async () => ((await accepts(path)) && child.exitCode === null ? true : undefined));
  } catch {
    await stop();
    throw new Error('PgBouncer did not serve the database');
  }
  return { ...path, paths: [path], [Symbol.asyncDispose]: stop };
}
