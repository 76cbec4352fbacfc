import { readdir, readFile } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

/** Where the built page lies: beside the collector in a checkout and in its image alike. */
export const CONSOLE_DIRECTORY = join(import.meta.dirname, '../../../console/dist');

export interface StaticFile {
  readonly type: string;
  readonly bytes: Buffer<ArrayBuffer>;
  /** The same, compressed, where that is smaller. */
  readonly gzip?: Buffer<ArrayBuffer>;
  /** Whether the name changes with the content, so that whoever has it never asks again. */
  readonly hashed: boolean;
}

/** The page's files by their path in the URL, and the one that stands for every route of the page. */
export interface StaticFiles {
  readonly index: StaticFile;
  readonly files: ReadonlyMap<string, StaticFile>;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const HASHED = /^\/assets\/.+-[\w-]{8}\.\w+$/;

/**
 * Reads a built page into memory; undefined where none was built. Rejects where a file is of a kind that the page does not have:
 * nothing is served that nobody meant to.
 */
export async function loadStaticFiles(directory: string): Promise<StaticFiles | undefined> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const files = new Map<string, StaticFile>();
  for (const entry of names) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = `/${path.slice(directory.length + 1).replaceAll(sep, '/')}`;
    const type = TYPES[extname(name)];
    if (type === undefined) throw new Error(`the console has a file of an unknown kind: ${name}`);
    files.set(name, await load(path, type, HASHED.test(name)));
  }
  const index = files.get('/index.html');
  files.delete('/index.html');
  return index === undefined ? undefined : { index, files };
}

async function load(path: string, type: string, hashed: boolean): Promise<StaticFile> {
  const bytes = Buffer.from(await readFile(path));
  const packed = Buffer.from(await promisify(gzip)(bytes, { level: 9 }));
  return { type, bytes, hashed, ...(packed.length < bytes.length ? { gzip: packed } : {}) };
}
