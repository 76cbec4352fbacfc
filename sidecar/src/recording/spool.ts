import { randomBytes } from 'node:crypto';
import { closeSync, fsync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SESSION_ID } from '@chaperone/evidence';
import { decodeFrames, FrameEncoder, SALT_BYTES } from './frames.ts';
import { RecordingError } from './recorder.ts';

const KEY_BYTES = 32;
/** Disk space is counted in blocks: a file of one byte fills one. */
const BLOCK_BYTES = 4096;

export type SpoolFile = { readonly number: number; readonly kind: 'seg' | 'tail' | 'unreadable' };

/** The directory of spool files: SESSION/NUMBER.tail while written, SESSION/NUMBER.seg when sealed. Counts what it fills. */
export class Spool {
  readonly directory: string;
  readonly key: Buffer;
  readonly #sizes = new Map<string, number>();
  #used = 0;

  private constructor(directory: string, key: Buffer) {
    this.directory = directory;
    this.key = key;
  }

  /** Opens the spool; the key is made where `runDirectory` (memory, not disk) has none. */
  static async open(directory: string, runDirectory: string): Promise<Spool> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await mkdir(runDirectory, { recursive: true, mode: 0o700 });
    const spool = new Spool(directory, loadKey(join(runDirectory, 'spool.key')));
    for (const session of await spool.sessions())
      for (const name of await readdir(join(directory, session))) {
        const path = join(directory, session, name);
        if (name.endsWith('.tmp')) await unlink(path);
        else spool.resize(path, (await stat(path)).size);
      }
    return spool;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** Says how large a file is now; 0 forgets it. */
  resize(path: string, bytes: number): void {
    const blocks = Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
    this.#used += blocks - (this.#sizes.get(path) ?? 0);
    if (blocks === 0) this.#sizes.delete(path);
    else this.#sizes.set(path, blocks);
  }

  async sizeOf(session: string, number: number): Promise<number> {
    return (await stat(this.path(session, number, 'seg'))).size;
  }

  path(session: string, number: number, kind: SpoolFile['kind']): string {
    return join(this.directory, session, `${number}.${kind}`);
  }

  async sessions(): Promise<string[]> {
    return (await readdir(this.directory)).filter((name) => SESSION_ID.test(name));
  }

  async files(session: string): Promise<SpoolFile[]> {
    const files: SpoolFile[] = [];
    for (const name of await readdir(join(this.directory, session))) {
      const match = /^(\d{1,10})\.(seg|tail|unreadable)$/.exec(name);
      if (match !== null) files.push({ number: Number(match[1]), kind: match[2] as SpoolFile['kind'] });
    }
    return files.toSorted((a, b) => a.number - b.number);
  }

  encoder(session: string, number: number, kind: SpoolFile['kind']): FrameEncoder {
    return new FrameEncoder(this.key, `${session}/${number}.${kind}`, randomBytes(SALT_BYTES));
  }

  /** Stores a sealed segment for good and removes the tail it was made of: after this no crash brings the tail back. */
  async store(session: string, number: number, segment: Buffer): Promise<number> {
    const path = this.path(session, number, 'seg');
    const encoder = this.encoder(session, number, 'seg');
    const bytes = Buffer.concat([encoder.preamble, encoder.encode(segment)]);
    const file = await open(`${path}.tmp`, 'w', 0o600);
    try {
      await file.writeFile(bytes);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${path}.tmp`, path);
    this.resize(path, bytes.length);
    await this.remove(session, number, 'tail');
    await syncDirectory(join(this.directory, session));
    return bytes.length;
  }

  /** The sealed segment; rejects with RecordingError where the file cannot be read back as it was written. */
  async load(session: string, number: number): Promise<Buffer> {
    const name = `${session}/${number}.seg`;
    const decoded = decodeFrames(await readFile(join(this.directory, name)), this.key, name);
    const [segment] = decoded.frames;
    if (decoded.end !== 'whole' || decoded.frames.length !== 1 || segment === undefined)
      throw new RecordingError('RecordingFailed', `the spool file ${name} is ${decoded.end}`);
    return segment;
  }

  async remove(session: string, number: number, kind: SpoolFile['kind']): Promise<void> {
    const path = this.path(session, number, kind);
    await rm(path, { force: true });
    this.resize(path, 0);
  }

  /** Puts a file aside that cannot be read, where it blocks nothing and is still there to look at. */
  async setAside(session: string, number: number, kind: 'seg' | 'tail'): Promise<void> {
    const [from, to] = [this.path(session, number, kind), this.path(session, number, 'unreadable')];
    await rename(from, to);
    this.resize(from, 0);
    this.resize(to, (await stat(to)).size);
  }

  /** Removes a session's directory if nothing is left in it. */
  async forget(session: string): Promise<void> {
    await rmdir(join(this.directory, session)).catch((error: unknown) => {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw error;
    });
  }
}

/** Makes names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const fd = openSync(path, 'r');
  try {
    await promisify(fsync)(fd);
  } finally {
    closeSync(fd);
  }
}

function loadKey(path: string): Buffer {
  const found = readIfThere(path);
  if (found !== undefined) {
    if (found.length !== KEY_BYTES) throw new RecordingError('RecordingFailed', 'the spool key has a wrong length');
    return found;
  }
  const key = randomBytes(KEY_BYTES);
  replaceFile(path, key);
  return key;
}

/** The next epoch's number: one more than any that this run directory has seen. */
export function nextEpoch(runDirectory: string): number {
  const path = join(runDirectory, 'epoch');
  const found = readIfThere(path)?.toString() ?? '0';
  if (!/^\d{1,9}$/.test(found)) throw new RecordingError('RecordingFailed', 'the epoch file cannot be read');
  const next = Number(found) + 1;
  replaceFile(path, Buffer.from(String(next)));
  return next;
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function replaceFile(path: string, bytes: Buffer): void {
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, bytes, { mode: 0o600, flush: true });
  renameSync(temporary, path);
  const fd = openSync(join(path, '..'), 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
