import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join, relative } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { startAlone } from './alone.ts';
import { startBare, startFraming } from './bare.ts';
import { bulkLoads, bulkResults } from './bulk.ts';
import { type Chaperone, startChaperone } from './chaperone.ts';
import { startCollected } from './collected.ts';
import { connect } from './client.ts';
import { type Database, ROLE, startDatabase } from './database.ts';
import { detectorFigures } from './detectors.ts';
import { pointLoads } from './loads.ts';
import { newSessions, type Paths, type Result } from './measure.ts';
import { HELP, type Options, parseOptions } from './options.ts';
import type { Path } from './path.ts';
import { pgbench } from './pgbench.ts';
import { startPgBouncer } from './pgbouncer.ts';
import { pointResults, scriptOf } from './points.ts';
import { memoryKiB } from './proc.ts';
import { selfTimes } from './profile.ts';
import { debianProgram, type Program } from './programs.ts';
import { recordingFigures } from './recording.ts';
import { approvalTable, processTable, type Report, resultTable, toJson, toText } from './report.ts';
import { kubernetesReport, kubernetesText } from './kubernetes.ts';
import { sshReport, sshText } from './ssh.ts';
import { packetFigures } from './ssh-packets.ts';
import { type SidecarFigures, sidecarFigures, type Started } from './sidecar.ts';

const root = join(import.meta.dirname, '../..');
const results = join(root, 'bench/results');
const cache = join(root, '.cache/bench');
const PROFILE_SECONDS = 14;
const WARM_UP_MS = 8_000;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}
function why(error: unknown): string {
  return error instanceof Error ? error.message : 'it failed';
}

/** Collects what could not be done; a bench reports it and goes on. */
class Attempts {
  readonly failed: string[] = [];

  async try<T>(what: string, act: () => Promise<T>): Promise<T | undefined> {
    progress(what);
    try {
      return await act();
    } catch (error) {
      this.failed.push(`${what}: ${why(error)}`);
      return undefined;
    }
  }
}

interface World {
  readonly options: Options;
  readonly attempts: Attempts;
  readonly directory: string;
  readonly database: Database;
  readonly caFile: string;
  readonly pgbenchProgram: Program | undefined;
  readonly pgbouncerProgram: Program | undefined;
}

function direct(database: Database, tls: boolean): Path {
  return {
    name: 'direct',
    host: database.host,
    port: database.port,
    ...ROLE,
    ca: tls ? database.ca : undefined,
    pid: undefined,
  };
}

const NONE = {
  direct: undefined,
  pgbouncer: undefined,
  chaperone: undefined,
  again: undefined,
  sidecar: undefined,
  bare: undefined,
  framing: undefined,
  asks: undefined,
};

function present(paths: Record<keyof Paths, Path | undefined>): Paths {
  return Object.fromEntries(Object.entries(paths).filter(([, path]) => path !== undefined));
}

/** A figure of a proxy that does not do its work would be worthless. */
async function mustMask(path: Path): Promise<void> {
  const client = await connect(path);
  try {
    const { rows } = await client.query('SELECT ssn FROM people WHERE id = 1');
    const ssn = String((rows[0] as { ssn?: unknown } | undefined)?.ssn);
    if (!ssn.endsWith('1001') || /^\d{3}-\d{2}/.test(ssn)) throw new Error('people.ssn is not masked as the policy says');
  } finally {
    await client.end();
  }
}

async function compare(world: World, chaperone: Chaperone | undefined): Promise<Result[]> {
  const { options, attempts, database, pgbouncerProgram } = world;
  const found: Result[] = [];
  for (const tls of [false, true]) {
    const bouncer =
      pgbouncerProgram === undefined
        ? undefined
        : await attempts.try(`start PgBouncer${tls ? ' with TLS to the server' : ''}`, () =>
            startPgBouncer({ program: pgbouncerProgram, database, tls }),
          );
    const ours = tls ? chaperone?.tls : chaperone?.plain;
    // Never two runs of ours in a row: evidence of the first is still being stored when the second begins.
    const paths = present({ ...NONE, direct: direct(database, tls), again: ours, pgbouncer: bouncer, chaperone: ours });
    try {
      found.push(...(await shortStatements(world, paths, tls)));
      if (tls) continue;
      if (options.points !== undefined) break;
      found.push(...(await largeResults(world, paths, chaperone?.scan)));
      const sessions = await attempts.try('new sessions', () => newSessions(paths, options.connects));
      if (sessions !== undefined) found.push(sessions);
    } finally {
      await bouncer?.[Symbol.asyncDispose]();
    }
  }
  return found;
}

/** What a rule that asks people costs statements that need nobody. */
async function approvalsOnly({ attempts, caFile, database, directory, options, pgbenchProgram: program }: World): Promise<void> {
  if (program !== undefined) {
    await using chaperone = await startChaperone(database, join(directory, 'approvals'));
    const { plain, asks } = chaperone;
    const { rounds, secondsPerRun, warmUpSeconds } = options;
    const measured = await pointResults({
      program,
      paths: present({ ...NONE, chaperone: plain, asks, again: plain }),
      loads: pointLoads(options.points ?? ['select', 'prepared']),
      rounds: rounds * 2,
      secondsPerRun,
      warmUpSeconds,
      directory,
      caFile,
      suffix: '',
      attempt: (name, act) => attempts.try(name, act),
    });
    for (const line of approvalTable(measured)) say(line);
  }
  for (const reason of attempts.failed) say(`Not measured: ${reason}`);
}

/** Short statements: beside what all loads have, a relay that only pipes, and the sidecar of a cluster. */
async function shortStatements(world: World, paths: Paths, tls: boolean): Promise<Result[]> {
  const { options, attempts, caFile, database, directory, pgbenchProgram: program } = world;
  if (program === undefined) return [];
  const common = {
    program,
    caFile,
    directory,
    secondsPerRun: options.secondsPerRun,
    warmUpSeconds: options.warmUpSeconds,
    attempt: (name: string, act: () => Promise<Result>) => attempts.try(name, act),
  };
  if (tls) {
    const rounds = Math.ceil(options.rounds / 2);
    return await pointResults({ ...common, paths, rounds, loads: pointLoads(['select']), suffix: ', TLS to the server' });
  }
  await using others = new AsyncDisposableStack();
  const start = async <T extends AsyncDisposable>(name: string, act: () => Promise<T>): Promise<T | undefined> =>
    attempts.try(`start ${name}`, async () => others.use(await act()));
  const bare = await start('the bare relay', () => startBare(database));
  const framing = await start('the framing relay', () => startFraming(database));
  const collected = await start('a broker and a collector', () => startCollected(join(directory, 'collected')));
  const sidecar =
    collected && (await start('the sidecar', () => startAlone(database, join(directory, 'sidecar'), { collected })));
  if (sidecar?.paths[0] !== undefined) await mustMask(sidecar.paths[0]);
  const { direct: server, again, pgbouncer, chaperone } = paths;
  // Never two runs of ours in a row: evidence of the first is still being stored when the second begins.
  const floors = { bare: bare?.paths[0], framing: framing?.paths[0] };
  const all = { ...NONE, direct: server, again, ...floors, chaperone, pgbouncer, sidecar: sidecar?.paths[0] };
  const { rounds, points } = options;
  return await pointResults({ ...common, paths: present(all), rounds, loads: pointLoads(points), suffix: '' });
}

/** The loads of the data path, or those that were asked for by name. */
async function largeResults({ options, attempts }: World, paths: Paths, scan: Path | undefined): Promise<Result[]> {
  const found: Result[] = [];
  const wanted = options.bulk === undefined || options.bulk === 'all' ? undefined : options.bulk.split(',');
  for (const [key, load] of Object.entries(bulkLoads(options.bulkRows))) {
    if (wanted?.includes(key) === false) continue;
    const through = load.resource === 'plain' ? paths : present({ ...NONE, ...paths, chaperone: scan, again: scan });
    found.push(...((await attempts.try(load.name, () => bulkResults(load, through, options.bulkRounds))) ?? []));
  }
  return found;
}

/** Large results alone, without PgBouncer. */
async function bulkOnly(world: World): Promise<void> {
  const { attempts, database, directory, options } = world;
  const folder = join(directory, 'profile-bulk');
  const flags = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${folder}`] : [];
  {
    await using chaperone = await startChaperone(database, join(directory, 'bulk'), flags);
    await mustMask(chaperone.plain);
    const paths = present({ ...NONE, direct: direct(database, false), chaperone: chaperone.plain });
    const lines = resultTable(await largeResults(world, paths, chaperone.scan));
    for (const line of lines) say(line);
  }
  for (const reason of attempts.failed) say(`Not measured: ${reason}`);
  if (!options.profile) return;
  for (const line of selfTimes(folder, { count: 30, skipMs: WARM_UP_MS / 4 })) say(line);
  await keepProfile(folder, 'bulk');
}

async function processes(world: World): Promise<Report['processes']> {
  const { attempts, database, directory, options, pgbouncerProgram: program } = world;
  const found: { name: string; figures: SidecarFigures }[] = [];
  const measure = async (name: string, start: (at: number) => Promise<Started>, starts: number): Promise<void> => {
    const sessions = options.idleSessions;
    const figures = await attempts.try(`${name}: start and memory`, () => sidecarFigures(start, { starts, sessions }));
    if (figures !== undefined) found.push({ name, figures });
  };
  await measure('sidecar', (at) => startAlone(database, join(directory, `alone-${at}`)), options.starts);
  await measure('chaperone up', (at) => startChaperone(database, join(directory, `idle-${at}`)), options.starts);
  if (program !== undefined) await measure('PgBouncer', () => startPgBouncer({ program, database, tls: false }), 1);
  await measure('bare relay in Node', () => startBare(database), 1);
  return found;
}

async function measureAll(world: World): Promise<Report> {
  const { options, attempts, directory, database } = world;
  const measured = options.points === undefined ? await processes(world) : [];
  const home = join(directory, 'chaperone');
  const chaperone = await attempts.try('start Chaperone', async () => {
    const started = await startChaperone(database, home);
    await mustMask(started.plain);
    return started;
  });
  try {
    const found = await compare(world, chaperone);
    const lost = found.flatMap(({ load, failed }) =>
      Object.entries(failed).map(([slot, reason]) => `${load}, ${slot}: ${reason}`),
    );
    return {
      at: new Date().toISOString(),
      commit: commit(),
      quick: options.quick,
      machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length },
      programs: {
        node: `Node.js ${process.versions.node}`,
        postgres: `PostgreSQL ${database.major}`,
        ...(world.pgbouncerProgram === undefined ? {} : { pgbouncer: world.pgbouncerProgram.version }),
        ...(world.pgbenchProgram === undefined ? {} : { pgbench: world.pgbenchProgram.version.replace(/ \(Debian.*/, '') }),
      },
      results: found,
      processes: measured,
      detectors: options.points === undefined ? detectorFigures(options.rounds) : [],
      afterLoads: chaperone === undefined ? undefined : memoryKiB(chaperone.pid),
      evidenceBytes: chaperone === undefined ? 0 : bytesUnder(join(home, 'data', 'evidence')),
      notMeasured: [...attempts.failed, ...lost],
    };
  } finally {
    await chaperone?.[Symbol.asyncDispose]();
  }
}

/** SSH alone, which needs no database. */
async function sshOnly(options: Options): Promise<void> {
  await mkdir(results, { recursive: true });
  await using folder = await temporaryDirectory('chaperone-bench-');
  const [at, of] = [new Date().toISOString(), commit()];
  const measured = await sshReport({ options, directory: folder.path, progress });
  for (const line of sshText(measured)) say(line);
  if (options.profile) {
    await keepProfile(join(folder.path, 'profile'), 'ssh');
    return;
  }
  await keep(options, { at, of, name: 'ssh' }, measured);
}

/** The Kubernetes API alone. */
async function kubernetesOnly(options: Options): Promise<void> {
  await mkdir(results, { recursive: true });
  await using folder = await temporaryDirectory('chaperone-bench-');
  const [at, of] = [new Date().toISOString(), commit()];
  const profiles = join(folder.path, 'profile');
  const flags = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${profiles}`] : [];
  const measured = await kubernetesReport({ options, directory: folder.path, flags, progress });
  for (const line of kubernetesText(measured)) say(line);
  if (options.profile) {
    for (const line of selfTimes(profiles, { count: 30, skipMs: WARM_UP_MS / 4 })) say(line);
    return await keepProfile(profiles, 'kubernetes');
  }
  await keep(options, { at, of, name: 'kubernetes' }, measured);
}

async function keep(options: Options, { at, of, name }: Record<'at' | 'of' | 'name', string>, measured: object): Promise<void> {
  const isPart = options.quick || options.loads !== undefined;
  const file = options.output ?? join(results, `${isPart ? 'local-' : ''}${at.slice(0, 10)}-${of}-${name}.json`);
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length };
  const kept = { at, commit: of, machine, node: process.versions.node, ...measured };
  await writeFile(file, `${JSON.stringify(kept, undefined, 2)}\n`);
  say(`Kept in ${relative(process.cwd(), file)}`);
}

/** The largest is that of the main thread. */
async function keepProfile(folder: string, name: string): Promise<void> {
  const [file] = readdirSync(folder).toSorted((a, b) => statSync(join(folder, b)).size - statSync(join(folder, a)).size);
  if (file !== undefined) await rename(join(folder, file), join(results, `local-${name}.cpuprofile`)).catch(() => undefined);
}

async function profile(world: World): Promise<void> {
  const program = world.pgbenchProgram;
  if (program === undefined) return;
  for (const load of pointLoads(world.options.points ?? ['select', 'prepared'])) {
    const name = `${load.key}-${load.clients}`;
    const folder = join(world.directory, `profile-${name}`);
    const flags = ['--cpu-prof', `--cpu-prof-dir=${folder}`];
    {
      await using chaperone = await startChaperone(world.database, join(world.directory, name), flags);
      const script = await scriptOf(load, world.directory);
      const { caFile } = world;
      await pgbench(program, chaperone.plain, load, { script, caFile, seconds: PROFILE_SECONDS });
    }
    say(`\n${load.name}: own time of functions`);
    for (const line of selfTimes(folder, { count: 25, skipMs: WARM_UP_MS })) say(line);
    await keepProfile(folder, name);
  }
}

function commit(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
    return git('rev-parse', '--short=10', 'HEAD');
  } catch {
    return 'unknown';
  }
}

function bytesUnder(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

/** What needs neither server nor client; undefined: that was not asked for. */
function aloneFigures({ detectors, packets, recording, rounds }: Options): Promise<string[]> | string[] | undefined {
  if (detectors) return detectorFigures(rounds);
  if (packets) return packetFigures(rounds);
  return recording ? recordingFigures(rounds, cache) : undefined;
}

async function main(options: Options): Promise<void> {
  const alone = await aloneFigures(options);
  if (alone !== undefined) return alone.forEach(say);
  if (options.ssh) return await sshOnly(options);
  if (options.kubernetes) return await kubernetesOnly(options);
  const attempts = new Attempts();
  await mkdir(results, { recursive: true });
  await mkdir(cache, { recursive: true });
  const find = (program: string, of: string): Promise<Program | undefined> =>
    options.bulk === undefined
      ? attempts.try(`find ${program}`, () => debianProgram(program, of, cache))
      : Promise.resolve(undefined);
  const pgbenchProgram = await find('pgbench', 'postgresql-contrib');
  const pgbouncerProgram = await find('pgbouncer', 'pgbouncer');
  await using folder = await temporaryDirectory('chaperone-bench-');
  const database = await attempts.try('start PostgreSQL and fill it', () => startDatabase(options.bulkRows));
  if (database === undefined) {
    for (const reason of attempts.failed) say(`Not measured: ${reason}`);
    return;
  }
  await using _ = database;
  const caFile = join(folder.path, 'ca.crt');
  await writeFile(caFile, database.ca);
  const directory = folder.path;
  const world: World = { options, attempts, directory, database, caFile, pgbenchProgram, pgbouncerProgram };
  if (options.bulk !== undefined) return await bulkOnly(world);
  if (options.approvals) return await approvalsOnly(world);
  if (options.profile) return await profile(world);
  if (options.memory) {
    for (const line of processTable(await processes(world))) say(line);
    for (const reason of attempts.failed) say(`Not measured: ${reason}`);
    return;
  }
  const report = await measureAll(world);
  say(`\n${toText(report)}`);
  const name = `${options.points !== undefined ? 'local-points-' : options.quick ? 'local-quick-' : ''}${report.at.slice(0, 10)}-${report.commit}.json`;
  const file = options.output ?? join(results, name);
  await writeFile(file, toJson(report));
  say(`Kept in ${relative(process.cwd(), file)}`);
}

// Only an exit in good order ends the children: see ended.ts.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

let options: Options | 'help' | undefined;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${why(error)}\n\n${HELP}`);
  process.exitCode = 2;
}
if (options === 'help') process.stdout.write(HELP);
else if (options !== undefined) await main(options).catch((error: unknown) => say(`Not measured: ${why(error)}`));
