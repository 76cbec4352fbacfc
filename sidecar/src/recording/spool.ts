import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fdatasync,
  fsync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writevSync,
} from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, truncate, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { free } from '../lent.ts';
import { decodeFrames, FrameEncoder, SALT_BYTES } from './frames.ts';
import { RecordingError } from './recorder.ts';

const datasync = promisify(fdatasync);
const KEY_BYTES = 32;
/** Disk space is counted in blocks: a file of one byte fills one. */
const BLOCK_BYTES = 4096;
/**
 * Segments that are synced at once. Node has four threads for files: were all taken, the journal's sync, which statements wait for, would
 * stand behind every segment of a moment in which many sessions are sealed.
 */
const MAX_STORING = 2;

/** A sealed segment; an empty one is with the collector. */
export interface SpooledSegment {
  readonly size: number;
  readonly isReadable: boolean;
}

export interface SpoolFiles {
  /** By session and number. */
  readonly segments: Map<string, Map<number, SpooledSegment>>;
  /** Numbers of the journal's files, upwards. */
  readonly journals: number[];
}

/** The directory of spool files: NUMBER.journal for what is not sealed, SESSION.NUMBER.seg for what is. Counts what it fills. */
export class Spool {
  readonly directory: string;
  readonly key: Buffer;
  readonly #sizes = new Map<string, number>();
  #used = 0;
  #syncing: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;
  #storing = 0;
  /** Stores that wait for another to end, the first first. */
  readonly #turns: (() => void)[] = [];

  private constructor(directory: string, key: Buffer) {
    this.directory = directory;
    this.key = key;
  }

  /** Opens the spool; the key is made where `runDirectory` (memory, not disk) has none. */
  static async open(directory: string, runDirectory: string): Promise<Spool> {
    await makeDirectory(directory);
    await makeDirectory(runDirectory);
    const spool = new Spool(directory, loadKey(join(runDirectory, 'spool.key')));
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      if (name.endsWith('.tmp')) await unlink(path);
      else spool.resize(path, (await sizeOf(path)) ?? 0);
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

  segmentPath(session: string, number: number): string {
    return join(this.directory, `${session}.${number}.seg`);
  }

  journalPath(number: number): string {
    return join(this.directory, `${number}.journal`);
  }

  async files(): Promise<SpoolFiles> {
    const segments: SpoolFiles['segments'] = new Map();
    const journals: number[] = [];
    for (const name of await readdir(this.directory)) {
      const [, session, number, kind, journal] =
        /^(s-[a-z2-7]{16})\.(\d{1,10})\.(seg|seg\.unreadable)$|^(\d{1,15})\.journal$/.exec(name) ?? [];
      if (journal !== undefined) journals.push(Number(journal));
      if (session === undefined) continue;
      const size = await sizeOf(join(this.directory, name));
      // It was freed since its name was read.
      if (size === undefined) continue;
      const known = segments.get(session) ?? new Map<number, SpooledSegment>();
      segments.set(session, known.set(Number(number), { size, isReadable: kind === 'seg' }));
    }
    return { segments, journals: journals.toSorted((a, b) => a - b) };
  }

  /** For a new file. Its name is authenticated with what is in it. */
  encoder(path: string): FrameEncoder {
    return new FrameEncoder(this.key, basename(path), randomBytes(SALT_BYTES));
  }

  async decode(path: string): Promise<ReturnType<typeof decodeFrames>> {
    return decodeFrames(await readFile(path), this.key, basename(path));
  }

  /** Stores a sealed segment for good, name and all, and says how large it is. */
  async store(session: string, number: number, segment: Buffer): Promise<number> {
    if (this.#storing < MAX_STORING) this.#storing++;
    else await new Promise<void>((begin) => this.#turns.push(begin));
    const path = this.segmentPath(session, number);
    let bytes: number;
    try {
      bytes = await this.#write(path, segment);
    } finally {
      // Whose turn is next takes this one's place.
      const next = this.#turns.shift();
      if (next === undefined) this.#storing--;
      else next();
    }
    this.resize(path, bytes);
    await this.syncNames();
    return bytes;
  }

  async #write(path: string, segment: Buffer): Promise<number> {
    const encoder = this.encoder(path);
    const temporary = `${path}.tmp`;
    const pieces = [encoder.preamble, ...encoder.encode(segment)];
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    try {
      const fd = openSync(temporary, 'w', 0o600);
      try {
        if (writevSync(fd, pieces) !== bytes) throw new Error('the file system took only a part of the write');
        pieces.forEach(free);
        await datasync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    return bytes;
  }

  /** The sealed segment; rejects with RecordingError where the file cannot be read back as it was written. */
  async load(session: string, number: number): Promise<Buffer> {
    const path = this.segmentPath(session, number);
    const { frames, end } = await this.decode(path);
    const [segment] = frames;
    if (end !== 'whole' || frames.length !== 1 || segment === undefined)
      throw new RecordingError('RecordingFailed', `the spool file ${basename(path)} cannot be read`);
    return segment;
  }

  /** Empties a segment that the collector has: its name still says that it was sealed. */
  async empty(session: string, number: number): Promise<string> {
    const path = this.segmentPath(session, number);
    await truncate(path);
    this.resize(path, 0);
    return path;
  }

  async remove(path: string): Promise<void> {
    await rm(path, { force: true });
    this.resize(path, 0);
  }

  /** Puts a file aside that cannot be read, where it blocks nothing and is still there to look at. */
  async setAside(path: string): Promise<void> {
    const aside = `${path}.unreadable`;
    await rename(path, aside);
    this.resize(path, 0);
    this.resize(aside, (await stat(aside)).size);
  }

  /** Makes the names in the directory durable as they are now; all who ask while that is being done share the next time. */
  syncNames(): Promise<void> {
    if (this.#queued === undefined) {
      this.#queued = this.#syncing.then(() => {
        this.#queued = undefined;
        return syncDirectory(this.directory);
      });
      this.#syncing = this.#queued.catch(() => undefined);
    }
    return this.#queued;
  }
}

/** Undefined where there is none. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** Makes a directory where there is none, durable, with those that lead to it. */
async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let at = resolve(path); at.length >= resolve(first).length; at = dirname(at)) await syncDirectory(dirname(at));
}

async function syncDirectory(path: string): Promise<void> {
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
    if (isMissing(error)) return undefined;
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
