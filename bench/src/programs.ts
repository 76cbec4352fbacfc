import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const DOWNLOAD_TIMEOUT_MS = 120_000;

export interface Program {
  readonly path: string;
  /** What its environment needs so that it finds its libraries. */
  readonly environment: Readonly<Record<string, string>>;
  /** As it says itself. */
  readonly version: string;
}

/**
 * Finds a program, or fetches Debian's package of it and what it needs into `cache`; nothing is installed. Rejects where
 * neither works.
 */
export async function debianProgram(name: string, packageName: string, cache: string): Promise<Program> {
  const installed = find(name, systemFolders('/'));
  if (installed !== undefined) return described(installed, {});
  const root = join(cache, packageName);
  if (!existsSync(root)) await fetchPackage(packageName, root);
  const path = find(name, systemFolders(root));
  if (path === undefined) throw new Error(`package ${packageName} holds no ${name}`);
  const libraries = ['usr/lib', 'lib'].flatMap((folder) => subfolders(join(root, folder), /-linux-/));
  return described(path, { LD_LIBRARY_PATH: libraries.join(delimiter) });
}

async function described(path: string, environment: Record<string, string>): Promise<Program> {
  const { stdout } = await run(path, ['--version'], { env: { ...process.env, ...environment } });
  return { path, environment, version: stdout.split('\n')[0] ?? '' };
}

/** Debian's own folders first: its /usr/bin/pgbench is a wrapper in Perl. */
function systemFolders(root: string): string[] {
  const servers = subfolders(join(root, 'usr/lib/postgresql'), /^\d+$/).map((folder) => join(folder, 'bin'));
  const path = root === '/' ? (process.env['PATH'] ?? '').split(delimiter) : [];
  return [...servers.toReversed(), ...['usr/sbin', 'usr/bin'].map((folder) => join(root, folder)), ...path];
}

function subfolders(folder: string, pattern: RegExp): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((name) => join(folder, name));
}

function find(name: string, folders: readonly string[]): string | undefined {
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

async function fetchPackage(name: string, target: string): Promise<void> {
  const work = `${target}.${process.pid}`;
  await mkdir(work, { recursive: true });
  try {
    const options = { cwd: work, timeout: DOWNLOAD_TIMEOUT_MS };
    const { stdout } = await run('apt-get', ['--simulate', '--no-install-recommends', 'install', name], options);
    const needed = [...stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] ?? '');
    await run('apt-get', ['download', ...needed], options);
    for (const file of readdirSync(work).filter((entry) => entry.endsWith('.deb')))
      await run('dpkg', ['-x', join(work, file), work], options);
    await rename(work, target);
  } catch {
    throw new Error(`Debian's package ${name} cannot be had here`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
