import { link, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { sha256 } from './content.ts';
import { checkName, MAX_OBJECT_BYTES, type ObjectStore, StoreError, type StoredObject } from './store.ts';

const TEMPORARY = '.tmp~';

/** Objects as files of a directory, which one process alone writes. Their times are the files' own. */
export class DirectoryStore implements ObjectStore {
  readonly #root: string;
  /** Those that are there for good, or will be. */
  readonly #directories = new Map<string, Promise<void>>();
  #writes = 0;

  constructor(root: string) {
    this.#root = resolve(root);
  }

  async create(name: string, bytes: Buffer, at: number): Promise<'created' | 'exists'> {
    const path = this.#path(name);
    return failing(`${name} cannot be stored`, async () => {
      const outcome = (await exists(path)) ? 'exists' : await this.#put(path, bytes, at, linkNew);
      // Also for what was there: the process that wrote it may have died before its name was durable.
      await this.#syncNames(dirname(path));
      return outcome;
    });
  }

  async replace(name: string, bytes: Buffer, at: number, version: string | undefined): Promise<{ version: string } | 'changed'> {
    const path = this.#path(name);
    return failing(`${name} cannot be stored`, async () => {
      if ((await this.get(name))?.version !== version) return 'changed';
      const outcome = await this.#put(path, bytes, at, version === undefined ? linkNew : renameOver);
      await this.#syncNames(dirname(path));
      return outcome === 'exists' ? 'changed' : { version: sha256(bytes) };
    });
  }

  get(name: string): Promise<StoredObject | undefined> {
    const path = this.#path(name);
    return failing(`${name} cannot be read`, async () => {
      const found = await stat(path).catch(missing);
      if (found === undefined) return undefined;
      if (found.size > MAX_OBJECT_BYTES) throw new StoreError('StoreUnavailable', `${name} is larger than any object`);
      const bytes = await readFile(path).catch(missing);
      return bytes === undefined ? undefined : { bytes, at: Math.round(found.mtimeMs), version: sha256(bytes) };
    });
  }

  async *earlier(): AsyncGenerator<StoredObject> {
    // A directory keeps none.
  }

  destroy(name: string): Promise<void> {
    const path = this.#path(name);
    return failing(`${name} cannot be destroyed`, async () => {
      await rm(path, { force: true });
      // What a crash left half written.
      const [directory, own] = [dirname(path), `${basename(path)}${TEMPORARY}`];
      const entries = (await readdir(directory).catch(missing)) ?? [];
      for (const entry of entries) if (entry.startsWith(own)) await rm(join(directory, entry), { force: true });
      await syncDirectory(directory).catch(missing);
    });
  }

  async *list(prefix: string): AsyncGenerator<string> {
    if (prefix !== '') checkName(prefix.replace(/\/$/, ''));
    const entries = await failing(
      'the store cannot be listed',
      async () => (await readdir(join(this.#root, prefix), { withFileTypes: true }).catch(missing)) ?? [],
    );
    // As bytes of whole names sort: a directory's name goes on with a slash.
    const names = entries.map((entry) => `${entry.name}${entry.isDirectory() ? '/' : ''}`).toSorted();
    for (const name of names)
      if (name.endsWith('/')) yield* this.list(`${prefix}${name}`);
      else if (!name.includes(TEMPORARY)) yield `${prefix}${name}`;
  }

  close(): void {
    // Nothing is held open.
  }

  #path(name: string): string {
    checkName(name);
    return join(this.#root, name);
  }

  async #put(path: string, bytes: Buffer, at: number, place: Place): Promise<'created' | 'exists'> {
    await this.#directory(dirname(path));
    const temporary = `${path}${TEMPORARY}${this.#writes++}`;
    try {
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(bytes);
        await file.utimes(at / 1000, at / 1000);
        await file.sync();
      } finally {
        await file.close();
      }
      return await place(temporary, path);
    } catch (error) {
      // Somebody may have removed some of them.
      this.#directories.clear();
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** Makes the names in a directory durable, and its own. */
  async #syncNames(directory: string): Promise<void> {
    await this.#directory(directory);
    await syncDirectory(directory);
  }

  /**
   * Resolves when a directory is there and its name and those above it are durable. Also of one that was there at the start: the process
   * that made it may have died before they were.
   */
  #directory(path: string): Promise<void> {
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    const made = this.#makeDirectory(path);
    this.#directories.set(path, made);
    made.catch(() => this.#directories.delete(path));
    return made;
  }

  async #makeDirectory(path: string): Promise<void> {
    if (path !== this.#root) await this.#directory(dirname(path));
    await mkdir(path, { recursive: true, mode: 0o700 });
    await syncDirectory(dirname(path));
  }
}

type Place = (temporary: string, path: string) => Promise<'created' | 'exists'>;

const linkNew: Place = async (temporary, path) => {
  try {
    await link(temporary, path);
    return 'created';
  } catch (error) {
    if (isCode(error, 'EEXIST')) return 'exists';
    throw error;
  }
};

const renameOver: Place = async (temporary, path) => {
  await rename(temporary, path);
  return 'created';
};

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(missing)) !== undefined;
}

async function failing<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw new StoreError('StoreUnavailable', `${what}: ${error instanceof Error ? error.message : 'unknown fault'}`, {
      cause: error,
    });
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function missing(error: unknown): undefined {
  if (isCode(error, 'ENOENT')) return undefined;
  throw error;
}

/** Makes what was named, renamed or removed in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
