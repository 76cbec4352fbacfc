import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** seg: what is accepted · conflict: what contradicts it and is kept to be looked at. */
export type ObjectKind = 'seg' | 'conflict';

/** Immutable objects named by the SHA-256 of their bytes, as files KIND/AA/DIGEST. What `put` resolved with survives a power loss. */
export class Objects {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  #path(kind: ObjectKind, digest: string): string {
    return join(this.#directory, kind, digest.slice(0, 2), digest);
  }

  /**
   * Stores bytes under their digest and resolves with the time they are there since (ms). Bytes that are there already stay
   * untouched; a file of this name that no longer has these bytes is replaced by them.
   */
  async put(kind: ObjectKind, digest: string, bytes: Buffer): Promise<number> {
    const path = this.#path(kind, digest);
    const existing = await this.get(kind, digest);
    const since = existing === undefined ? undefined : (await stat(path)).mtime;
    if (existing === undefined || !existing.equals(bytes)) {
      await makeDirectory(dirname(path), this.#directory);
      const temporary = `${path}.tmp`;
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      if (since !== undefined) await utimes(path, since, since);
    }
    // Also for what was there: the process that wrote it may have died before its name was durable.
    await syncDirectory(dirname(path));
    return (await stat(path)).mtimeMs;
  }

  /** The bytes under a name, unchecked; undefined where there are none. */
  async get(kind: ObjectKind, digest: string): Promise<Buffer | undefined> {
    return readFile(this.#path(kind, digest)).catch(missing);
  }

  async receivedAt(kind: ObjectKind, digest: string): Promise<number> {
    return (await stat(this.#path(kind, digest))).mtimeMs;
  }

  /** Names of all objects of a kind, in the order of their digests. */
  async *list(kind: ObjectKind): AsyncGenerator<string> {
    const root = join(this.#directory, kind);
    for (const prefix of (await readdir(root).catch(missing)) ?? [])
      for (const name of await readdir(join(root, prefix))) if (/^[0-9a-f]{64}$/.test(name)) yield name;
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function missing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}

async function makeDirectory(path: string, root: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let at = path; at.startsWith(root); at = dirname(at)) await syncDirectory(at);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
