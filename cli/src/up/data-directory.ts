import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Agent } from '@chaperone/policy';
import { z } from 'zod';
import { CliError } from '../errors.ts';

/** How long a command that only reads may hold the directory before another one gives up. */
const LOCK_WAIT_MS = 2_000;
/** SQLITE_BUSY, https://sqlite.org/rescode.html */
const BUSY = 5;

const Address = z.object({ url: z.string(), token: z.string(), pid: z.int().positive() });
/** Where the collector of a running `chaperone up` answers, and what opens it. */
export type Address = z.infer<typeof Address>;

/** What lies where in a data directory. */
export function dataPaths(data: string) {
  return {
    address: join(data, 'collector.json'),
    agents: join(data, 'agents'),
    evidence: join(data, 'evidence'),
    keys: join(data, 'keys'),
    /** For clients of SSH. */
    knownHosts: join(data, 'known_hosts'),
    lock: join(data, 'lock'),
    trust: join(data, 'trust.json'),
  } as const;
}

/**
 * What lies there for one agent. Its key outlives the process, so that records that a crash left in the spool can still be signed;
 * those of another agent wait for that agent.
 */
export function agentPaths(data: string, { namespace, serviceAccount }: Pick<Agent, 'namespace' | 'serviceAccount'>) {
  const own = join(dataPaths(data).agents, namespace, serviceAccount);
  return { run: join(own, 'run'), spool: join(own, 'spool') } as const;
}

/**
 * Makes the directory where it is missing, and holds it for this process alone. The system lets go of it when the process ends,
 * however it ends. Throws CliError DataInUse, DataUnreadable.
 */
export async function lockData(data: string): Promise<Disposable> {
  let database: DatabaseSync | undefined;
  try {
    await makeDirectory(resolve(data));
    database = new DatabaseSync(dataPaths(data).lock, { timeout: LOCK_WAIT_MS });
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    if (!(error instanceof Error && 'errcode' in error && error.errcode === BUSY)) throw unusable(data, error);
    const holder = await readAddress(data);
    const who = holder === undefined ? 'another chaperone' : `process ${holder.pid}`;
    throw new CliError('DataInUse', `${data} is in use by ${who}`, { cause: error });
  }
  const held = database;
  return { [Symbol.dispose]: () => held.close() };
}

/** One by one: where a file system makes none, as /proc does, mkdir of Node that makes all at once tries for ever. */
async function makeDirectory(path: string): Promise<void> {
  if (existsSync(path)) return;
  if (dirname(path) !== path) await makeDirectory(dirname(path));
  await mkdir(path, { mode: 0o700 });
}

/** The collector of the `chaperone up` that works in the directory; undefined where none does. */
export async function readAddress(data: string): Promise<Address | undefined> {
  const text = await readFile(dataPaths(data).address, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const address = Address.safeParse(parseJson(text));
  // What is not an address leads nowhere. A process that was killed leaves its address behind, and anybody may listen there now.
  return address.success && isAlive(address.data.pid) ? address.data : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Writes a file that its owner alone may read; whoever reads it sees the old content or the new, never a part. */
export async function writePrivately(path: string, content: string | Buffer): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, content, { mode: 0o600, flag: 'wx', flush: true });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** The directory cannot be used, and why the system says so. */
export function unusable(data: string, cause: unknown): CliError {
  const why = cause instanceof Error ? cause.message : 'unknown fault';
  return new CliError('DataUnreadable', `the data directory ${data} cannot be used: ${why}`, { cause });
}
