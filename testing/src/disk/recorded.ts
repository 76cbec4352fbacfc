import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join, resolve } from 'node:path';

/** What a program did to files below a directory, in the order in which it was done. Paths are relative to that directory. */
export type DiskOp =
  | { readonly kind: 'create'; readonly path: string; readonly file: number }
  | { readonly kind: 'write'; readonly file: number; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly file: number }
  | { readonly kind: 'utimes'; readonly file: number; readonly seconds: number }
  | { readonly kind: 'rename' | 'link'; readonly from: string; readonly to: string }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'mkdir'; readonly path: string }
  /** What had been done when it began is durable: a file's bytes, or a directory's names. */
  | { readonly kind: 'sync'; readonly file: number; readonly since: number }
  | { readonly kind: 'syncNames'; readonly path: string; readonly since: number }
  /** What somebody was told, in between. */
  | { readonly kind: 'note'; readonly note: unknown };

export type FaultyCall = 'create' | 'write' | 'sync' | 'name';

/** Calls that fail, by their place among all that change something, from 0. */
export interface Faults {
  /** undefined: it works · full: ENOSPC, and of a write the first half is done · error: EIO, and nothing is done. */
  readonly at: (call: number, kind: FaultyCall) => 'full' | 'error' | undefined;
}

/**
 * Records what this process does to files below a directory, through node:fs and node:fs/promises, and lets calls fail. To be loaded
 * before the code that is looked at, in a process of its own: it changes these modules for good.
 */
class RecordedDisk {
  ops: DiskOp[] = [];
  calls = 0;
  /** Told after each operation. */
  watch: ((count: number) => void) | undefined;
  #root: string | undefined;
  #faults: Faults | undefined;
  #names = new Map<string, number>();
  #lengths = new Map<number, number>();
  /** What is open: a file's number, or a directory's path. */
  readonly #open = new Map<number, number | string>();
  #files = 0;

  /** Begins anew; what is below the directory now is taken to be durable. */
  begin(root: string, faults?: Faults): void {
    this.#root = resolve(root);
    this.#faults = faults;
    this.ops = [];
    this.calls = 0;
    this.#names = new Map();
    this.#lengths = new Map();
    for (const entry of fs.readdirSync(this.#root, { recursive: true, withFileTypes: true })) {
      const path = this.relative(join(entry.parentPath, entry.name)) ?? '';
      if (entry.isDirectory()) this.did({ kind: 'mkdir', path });
      else this.#found(path, realRead(join(this.#root, path)));
    }
    const all = this.ops.length;
    const directories = this.ops.flatMap((op) => (op.kind === 'mkdir' ? [op.path] : []));
    for (const path of ['', ...directories]) this.did({ kind: 'syncNames', path, since: all });
  }

  end(): void {
    this.watch = undefined;
    this.#root = undefined;
    this.#faults = undefined;
  }

  /** From now on nothing fails. */
  heal(): void {
    this.#faults = undefined;
  }

  note(note: unknown): void {
    if (this.#root !== undefined) this.did({ kind: 'note', note });
  }

  did(op: DiskOp): void {
    this.ops.push(op);
    this.watch?.(this.ops.length);
  }

  #found(path: string, bytes: Buffer): void {
    const file = this.create(path);
    this.did({ kind: 'write', file, at: 0, bytes });
    this.#lengths.set(file, bytes.length);
    this.did({ kind: 'sync', file, since: this.ops.length });
  }

  relative(path: unknown): string | undefined {
    if (this.#root === undefined || typeof path !== 'string') return undefined;
    const full = resolve(path);
    if (full === this.#root) return '';
    return full.startsWith(`${this.#root}/`) ? full.slice(this.#root.length + 1) : undefined;
  }

  /** Throws where this call is to fail; `full` where only a part of it is to be done. */
  gate(kind: FaultyCall): 'full' | undefined {
    const fault = this.#faults?.at(this.calls++, kind);
    if (fault === undefined) return undefined;
    if (fault === 'full' && kind === 'write') return 'full';
    throw failure(fault === 'full' ? 'ENOSPC' : 'EIO');
  }

  create(path: string): number {
    const file = this.#files++;
    this.#names.set(path, file);
    this.#lengths.set(file, 0);
    this.did({ kind: 'create', path, file });
    return file;
  }

  opened(path: string, flags: string, fd: number): void {
    const file = this.#names.get(path);
    if (file === undefined && fs.fstatSync(fd).isDirectory()) this.#open.set(fd, path);
    else if (file === undefined) this.#open.set(fd, this.create(path));
    else {
      if (flags === 'w') this.truncated(path);
      this.#open.set(fd, file);
    }
  }

  closed(fd: number): void {
    this.#open.delete(fd);
  }

  fileOf(fd: number): number | undefined {
    const found = this.#open.get(fd);
    return typeof found === 'number' && this.#root !== undefined ? found : undefined;
  }

  isOpen(fd: number): boolean {
    return this.#root !== undefined && this.#open.has(fd);
  }

  wrote(file: number, bytes: Buffer): void {
    const at = this.#lengths.get(file) ?? 0;
    this.#lengths.set(file, at + bytes.length);
    this.did({ kind: 'write', file, at, bytes: Buffer.from(bytes) });
  }

  truncated(path: string): void {
    const file = this.#names.get(path);
    if (file === undefined) return;
    this.#lengths.set(file, 0);
    this.did({ kind: 'truncate', file });
  }

  /** Makes durable what was done by now; to be called when it is. */
  syncing(fd: number): () => void {
    const [what, since] = [this.#open.get(fd), this.ops.length];
    return () => {
      if (typeof what === 'number') this.did({ kind: 'sync', file: what, since });
      if (typeof what === 'string') this.did({ kind: 'syncNames', path: what, since });
    };
  }

  renamed(from: string, to: string): void {
    const file = this.#names.get(from);
    if (file === undefined) return;
    this.#names.delete(from);
    this.#names.set(to, file);
    this.did({ kind: 'rename', from, to });
  }

  linked(from: string, to: string): void {
    const file = this.#names.get(from);
    if (file === undefined) return;
    this.#names.set(to, file);
    this.did({ kind: 'link', from, to });
  }

  unlinked(path: string): void {
    if (this.#names.delete(path)) this.did({ kind: 'unlink', path });
  }

  made(first: string | undefined, last: string): void {
    if (first === undefined) return;
    for (let path = last; path !== '' && path !== '.'; path = dirname(path)) {
      this.did({ kind: 'mkdir', path });
      if (path === first) break;
    }
  }
}

export const disk = new RecordedDisk();

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: as a test has it`), { code });
}

const realRead = fs.readFileSync.bind(fs);

type Call = (...args: never[]) => unknown;
/** Puts something around a function of a module. */
function around<T extends Call>(
  holder: object,
  name: string,
  wrapped: (real: T) => (...args: Parameters<T>) => ReturnType<T>,
): void {
  const real = (holder as Record<string, T>)[name];
  if (real === undefined) throw new Error(`there is no ${name}`);
  (holder as Record<string, unknown>)[name] = wrapped(real.bind(holder) as T);
}

around<typeof fs.openSync>(fs, 'openSync', (real) => (path, flags = 'r', mode) => {
  const own = disk.relative(path);
  if (own !== undefined && flags !== 'r') disk.gate('create');
  const fd = real(path, flags, mode);
  if (own !== undefined) disk.opened(own, String(flags), fd);
  return fd;
});
around<typeof fs.closeSync>(fs, 'closeSync', (real) => (fd) => {
  disk.closed(fd);
  real(fd);
});
around<(fd: number, done: (error: Error | null) => void) => void>(fs, 'close', (real) => (fd, done) => {
  disk.closed(fd);
  real(fd, done);
});
around<(fd: number, pieces: readonly Buffer[]) => number>(fs, 'writevSync', (real) => (fd, pieces) => {
  const file = disk.fileOf(fd);
  if (file === undefined) return real(fd, pieces);
  const all = Buffer.concat(pieces);
  const bytes = disk.gate('write') === 'full' ? all.subarray(0, all.length >> 1) : all;
  const written = real(fd, [bytes]);
  disk.wrote(file, bytes);
  return written;
});
around<typeof fs.writeFileSync>(fs, 'writeFileSync', (real) => (path, data, options) => {
  const own = disk.relative(path);
  if (own === undefined) return real(path, data, options);
  const { mode, flush } = options as { mode?: number; flush?: boolean };
  const fd = fs.openSync(path as string, 'w', mode);
  try {
    fs.writevSync(fd, [data as Buffer]);
    if (flush === true) fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
});
for (const name of ['fsyncSync', 'fdatasyncSync'])
  around<(fd: number) => void>(fs, name, (real) => (fd) => {
    if (disk.isOpen(fd)) disk.gate('sync');
    const done = disk.syncing(fd);
    real(fd);
    done();
  });
for (const name of ['fsync', 'fdatasync'])
  around<(fd: number, done: (error: Error | null) => void) => void>(fs, name, (real) => (fd, done) => {
    try {
      if (disk.isOpen(fd)) disk.gate('sync');
    } catch (error) {
      setImmediate(() => done(error as Error));
      return;
    }
    const synced = disk.syncing(fd);
    real(fd, (error) => {
      if (error === null) synced();
      done(error);
    });
  });
around<(from: string, to: string) => void>(fs, 'renameSync', (real) => (from, to) => {
  const [own, other] = [disk.relative(from), disk.relative(to)];
  if (own !== undefined) disk.gate('name');
  real(from, to);
  if (own !== undefined && other !== undefined) disk.renamed(own, other);
});
around<(path: string, options?: fs.RmOptions) => void>(fs, 'rmSync', (real) => (path, options) => {
  real(path, options);
  const own = disk.relative(path);
  if (own !== undefined) disk.unlinked(own);
});

around<(path: string, options: fs.MakeDirectoryOptions) => Promise<string | undefined>>(
  fsp,
  'mkdir',
  (real) => async (path, options) => {
    const own = disk.relative(path);
    if (own !== undefined && !fs.existsSync(path)) disk.gate('name');
    const first = await real(path, options);
    if (own !== undefined) disk.made(first === undefined ? undefined : disk.relative(first), own);
    return first;
  },
);
for (const name of ['rename', 'link'] as const)
  around<(from: string, to: string) => Promise<void>>(fsp, name, (real) => async (from, to) => {
    const [own, other] = [disk.relative(from), disk.relative(to)];
    if (own !== undefined) disk.gate('name');
    await real(from, to);
    if (own === undefined || other === undefined) return;
    if (name === 'rename') disk.renamed(own, other);
    else disk.linked(own, other);
  });
for (const name of ['rm', 'unlink'])
  around<(path: string, options?: fs.RmOptions) => Promise<void>>(fsp, name, (real) => async (path, options) => {
    await real(path, options);
    const own = disk.relative(path);
    if (own !== undefined) disk.unlinked(own);
  });
around<(path: string, length?: number) => Promise<void>>(fsp, 'truncate', (real) => async (path, length) => {
  const own = disk.relative(path);
  if (own !== undefined) disk.gate('name');
  await real(path, length);
  if (own !== undefined) disk.truncated(own);
});
around<(path: string, flags: string, mode?: number) => Promise<fsp.FileHandle>>(
  fsp,
  'open',
  (real) => async (path, flags, mode) => {
    const own = disk.relative(path);
    if (own !== undefined && flags !== 'r') disk.gate('create');
    const handle = await real(path, flags, mode);
    if (own === undefined) return handle;
    const { fd } = handle;
    disk.opened(own, flags, fd);
    around<(data: Buffer | string) => Promise<void>>(handle, 'writeFile', (write) => async (data) => {
      const file = disk.fileOf(fd);
      if (file === undefined) return write(data);
      const all = Buffer.from(data);
      const isFull = disk.gate('write') === 'full';
      const bytes = isFull ? all.subarray(0, all.length >> 1) : all;
      await write(bytes);
      disk.wrote(file, bytes);
      if (isFull) throw failure('ENOSPC');
    });
    around<(atime: number, mtime: number) => Promise<void>>(handle, 'utimes', (set) => async (atime, mtime) => {
      await set(atime, mtime);
      const file = disk.fileOf(fd);
      if (file !== undefined) disk.did({ kind: 'utimes', file, seconds: mtime });
    });
    for (const name of ['sync', 'datasync'])
      around<() => Promise<void>>(handle, name, (sync) => async () => {
        if (disk.isOpen(fd)) disk.gate('sync');
        const done = disk.syncing(fd);
        await sync();
        done();
      });
    around<() => Promise<void>>(handle, 'close', (close) => async () => {
      disk.closed(fd);
      await close();
    });
    return handle;
  },
);
syncBuiltinESMExports();
