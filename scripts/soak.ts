/**
 * `make soak`: what takes longer than a run of the tests, in parts, of which ONLY may name some.
 *
 *     queries    compares generated ones with what PostgreSQL really returns, per major version (QUERIES, SEED)
 *     majors     runs whole, on each version of PostgreSQL, what `make test` runs in part on all but the newest
 *     clients    runs real ones on the versions of PostgreSQL that `make test` leaves out
 *     pages      looks at every state of the console's pages in every window, and at every changed bit of evidence in its worker
 *     crashes    stops recorder and collector after any operation on their disks, as tests do a few times (SEED)
 *     broker     is killed at each step of a delivery and at any moment, its disk kept, cut or emptied (SEED)
 *     sessions   records 10,000 at once over a spool on disk
 *     rotations  of the CA, every 10 s for 5 minutes, while pods are created through a real API server
 *     outages    of that API server, and of one operator's way to it, while policies change
 *     propagation  of 200 changes of a policy, until its status says that 50 sidecars run it
 *     reach      of a withdrawn right and of another password, to what an agent's client is told (as root)
 *     informers  of client-go on a real cluster, through a sidecar beside direct ones (MINUTES)
 *     churn      of everything on a real cluster, under agents that look at every answer (SEED, MINUTES)
 *
 * What each but majors, clients and pages found are lines in docs/testing/soak.md; of churn in docs/testing/churn.md.
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { POSTGRES_SERVERS, temporaryDirectory } from '@chaperone/testing';
import { noCounts, openOracle } from '../sidecar/src/postgres/masking/oracle.test-support.ts';

/** Queries after which progress is said. */
const STEP = 1000;
const LONGEST_LIST = 20;
/** `make test` runs clients on this one. */
const CLIENTS_TESTED_WITH = 18;

const root = join(import.meta.dirname, '..');
const git = (...args: string[]): string => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout.trim();
const commit = `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain') === '' ? '' : ' with changes'}`;
const today = (): string => new Date().toISOString().slice(0, 10);

/** Adds a line to the table below a heading of docs/testing/soak.md. */
function addLine(heading: string, cells: readonly (string | number)[]): void {
  const path = join(root, 'docs/testing/soak.md');
  const lines = readFileSync(path, 'utf8').split('\n');
  const table = lines.findIndex((line, at) => at > lines.indexOf(heading) && line.startsWith('|'));
  const end = lines.findIndex((line, at) => at > table && !line.startsWith('|'));
  writeFileSync(path, lines.toSpliced(end, 0, `| ${cells.join(' | ')} |`).join('\n'));
}

async function queries(): Promise<boolean> {
  const count = Number(process.env['QUERIES'] || 20_000);
  const seed = Number(process.env['SEED'] || randomInt(2 ** 31));
  let passed = true;
  for (const { major, package: name } of POSTGRES_SERVERS) {
    const counts = noCounts();
    const started = performance.now();
    await using oracle = await openOracle({ package: name });
    for (let at = 0; at < count; at++) {
      await oracle.check(seed + at, counts);
      if ((at + 1) % STEP === 0) process.stdout.write(`PostgreSQL ${major}: ${at + 1} queries, ${counts.missed.length} missed\n`);
    }
    for (const line of [...counts.missed, ...counts.invalid].slice(0, LONGEST_LIST)) process.stdout.write(`${line}\n`);
    passed &&= counts.missed.length + counts.invalid.length === 0;
    const { showing, columns, holding, overMasked, refused, tooMuch, missed, invalid } = counts;
    const found = [showing, `${holding} of ${columns}`, missed.length, overMasked, refused, tooMuch, invalid.length];
    const seconds = Math.round((performance.now() - started) / 1e3);
    addLine('## Queries', [today(), commit, major, seed, count, ...found, `${seconds} s`]);
  }
  process.stdout.write(passed ? 'no column was missed\n' : 'columns were missed\n');
  return passed;
}

function passes(files: readonly string[], env: Readonly<Record<string, string>>): boolean {
  const { status } = spawnSync(join(root, 'node_modules/.bin/vitest'), ['run', ...files], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return status === 0;
}

/** What {@link file://../testing/src/part.ts} cuts. */
const IN_PART = ['sidecar/src/postgres/masking', 'sidecar/src/postgres/relay/attacks.test.ts'];
const majors = (): boolean => passes(IN_PART, { WHOLE: '1' });

function clients(): boolean {
  let passed = true;
  for (const { major } of POSTGRES_SERVERS) {
    if (major === CLIENTS_TESTED_WITH) continue;
    process.stdout.write(`\n== clients on PostgreSQL ${major}\n`);
    const one = passes(['sidecar/test/clients/clients.test.ts'], { POSTGRES_MAJOR: String(major) });
    passed &&= one;
  }
  return passed;
}

/** Of which `make test` leaves out what is much alike. */
const PAGES = ['console', 'requests-page', 'policies', 'player', 'verifier'].map((name) => `console/test/${name}.test.ts`);

const pages = (): boolean => passes(PAGES, { WHOLE: '1' });

/** Histories, each with stops and failing operations, of the recorder and of the collector. */
const CRASHES = ['--histories', '10', '--states', '100', '--faults', '200'];

function crashes(): boolean {
  const seed = process.env['SEED'] || String(randomInt(2 ** 31));
  let passed = true;
  for (const program of ['sidecar/test/crashes.ts', 'collector/test/crashes.ts']) {
    const { status, stdout } = spawnSync(process.execPath, [join(root, program), '--seed', seed, ...CRASHES], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    process.stdout.write(stdout);
    const lines = stdout.trim().split('\n');
    const { tried } = JSON.parse(lines.at(-1) ?? '') as { tried: number };
    passed &&= status === 0 && lines.length === 1;
    addLine('## Crashes', [today(), commit, program, seed, tried, lines.length - 1]);
  }
  return passed;
}

/** Paths of sidecar, broker and collector, and how often each one's broker is killed by chance, after each of its steps. */
const BROKER = ['--paths', '4', '--random', '40'];

function broker(): boolean {
  const seed = process.env['SEED'] || String(randomInt(2 ** 31));
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(root, 'collector/test/broker-kills.ts'), '--seed', seed, ...BROKER],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  process.stdout.write(stdout);
  const lines = stdout.trim().split('\n');
  const { tried } = JSON.parse(lines.at(-1) ?? '') as { tried: number };
  addLine('## Broker', [today(), commit, seed, tried, lines.length - 1]);
  return status === 0 && lines.length === 1;
}

interface ManySessions {
  readonly sessions: number;
  readonly complete: number;
  readonly unacknowledged: number;
  readonly seconds: number;
  readonly mib: number;
  readonly spoolMib: number;
}

function sessions(): boolean {
  const { status, stdout } = spawnSync(process.execPath, [join(root, 'sidecar/test/many-sessions.ts')], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.stdout.write(stdout);
  if (stdout === '') return false;
  const { sessions: count, complete, unacknowledged, seconds, mib, spoolMib } = JSON.parse(stdout) as ManySessions;
  addLine('## Sessions', [today(), commit, count, complete, unacknowledged, `${seconds} s`, mib, spoolMib]);
  return status === 0;
}

/** Of the CA that signs: every 10 s, for five minutes. */
const ROTATIONS = { everyMs: 10_000, count: 30 };

function rotations(): boolean {
  const { everyMs, count } = ROTATIONS;
  const found = operators('ca/rotations', [everyMs, count]);
  if (found === undefined) return false;
  addLine('## Rotations', [today(), commit, found.rotations, found.pods, found.enrolled, found.looks, found.faults.length]);
  return found.faults.length === 0 && found.rotations === count;
}

function outages(): boolean {
  const found = operators('outages', [5]);
  if (found === undefined) return false;
  addLine('## Outages', [today(), commit, found.rounds, found.pods, found.faults.length]);
  return found.faults.length === 0;
}

/** Of the 99th percentile, ms. */
const MOST_MS = 1_000;

function propagation(): boolean {
  const found = operators('propagation', [50, 200]);
  if (found === undefined) return false;
  const { sidecars, changes, medianMs, p99Ms, mostMs } = found;
  addLine('## Propagation', [today(), commit, sidecars, changes, medianMs, p99Ms, mostMs]);
  return p99Ms < MOST_MS;
}

/** A change of a policy reaches what is enforced within 1 s, another password the next session within 5 s. */
const REACH_MS = { withdrawn: 1_000, rotated: 5_000 } as const;

function reach(): boolean {
  const found = operators('reach', [50]);
  if (found === undefined) return false;
  const { rounds, withdrawn, rotated } = found;
  const cells = [withdrawn, rotated].flatMap(({ medianMs, p99Ms, mostMs }) => [medianMs, p99Ms, mostMs]);
  addLine('## Reach', [today(), commit, loadavg()[0]?.toFixed(1) ?? '', rounds, ...cells]);
  return withdrawn.p99Ms < REACH_MS.withdrawn && rotated.p99Ms < REACH_MS.rotated;
}

interface Shares {
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly mostMs: number;
}

/** What a program of operators before a real API server found; undefined where it failed. */
function operators(name: string, args: readonly number[]) {
  const program = join(root, `operator/src/${name}.test-support.ts`);
  const { status, stdout } = spawnSync(process.execPath, [program, ...args.map(String)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.stdout.write(stdout);
  if (status !== 0) return undefined;
  return JSON.parse(stdout) as Record<
    'rotations' | 'pods' | 'enrolled' | 'looks' | 'rounds' | 'sidecars' | 'changes' | 'medianMs' | 'p99Ms' | 'mostMs',
    number
  > & { faults: string[]; withdrawn: Shares; rotated: Shares };
}

/** What {@link file://../e2e/src/informers.e2e.ts} leaves behind. */
interface Churn {
  readonly changes: number;
  readonly mib: readonly (number | null)[];
  readonly direct: Informed;
  readonly through: Informed;
}
interface Informed {
  readonly configMaps: Held;
  readonly secrets: Held;
  readonly events: number;
  readonly faults: readonly string[];
}
type Held = Readonly<Record<string, { readonly version: string; readonly data: Readonly<Record<string, string>> }>>;

async function informers(): Promise<boolean> {
  const minutes = process.env['MINUTES'] || '30';
  await using folder = await temporaryDirectory();
  const result = join(folder.path, 'result');
  const { status } = spawnSync(process.execPath, [join(root, 'scripts/e2e.ts'), 'informers', '--retry=0'], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, E2E_CHURN_MINUTES: minutes, E2E_CHURN_RESULT: result },
  });
  if (status !== 0) return false;
  const { changes, mib, direct, through } = JSON.parse(readFileSync(result, 'utf8')) as Churn;
  const pairs = [
    ...namesOf(direct.configMaps, through.configMaps).map((name) => [direct.configMaps[name], through.configMaps[name]] as const),
    // Their values differ: those are masked.
    ...namesOf(direct.secrets, through.secrets).map(
      (name) => [direct.secrets[name]?.version, through.secrets[name]?.version] as const,
    ),
  ];
  const differing = pairs.filter(([one, other]) => !isDeepStrictEqual(one, other)).length;
  const events = `${direct.events}, ${through.events}`;
  const faults = `${direct.faults.length}, ${through.faults.length}`;
  const memory = mib.map((each) => each ?? 'unknown').join(', ');
  addLine('## Informers', [today(), commit, minutes, changes, pairs.length, differing, events, faults, memory]);
  return differing === 0;
}

const namesOf = (...held: readonly Held[]): string[] => [...new Set(held.flatMap((each) => Object.keys(each)))];

function churn(): boolean {
  return spawnSync(process.execPath, [join(root, 'e2e/src/churn/main.ts')], { cwd: root, stdio: 'inherit' }).status === 0;
}

const parts = {
  queries,
  majors,
  clients,
  pages,
  crashes,
  broker,
  sessions,
  rotations,
  outages,
  propagation,
  reach,
  informers,
  churn,
};
const wanted = (process.env['ONLY'] || Object.keys(parts).join(',')).split(',');
let failed = false;
for (const [name, part] of Object.entries(parts)) if (wanted.includes(name) && !(await part())) failed = true;
process.stdout.write(failed ? 'FAILED\n' : 'passed\n');
process.exitCode = failed ? 1 : 0;
