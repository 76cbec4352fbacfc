import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Where the repository is. */
export const root = resolve(import.meta.dirname, '..');

export interface Import {
  readonly file: string;
  readonly target: string;
}

/** Folders that are installed or built, not written. */
const MADE = /(^|\/)(node_modules|dist|\.[^/]+)(\/|$)/;

/** Every TypeScript file below a folder of the repository. */
export function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name) && !MADE.test(name))
    .map((name) => join(folder, name));
}

/** What a file imports or exports from, by name or by path. */
export function imports(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = text.matchAll(
    /^\s*(?:import|export)\b[^'"]*?from\s+['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm,
  );
  return [...found].map((match) => ({ file, target: match[1] ?? match[2] ?? match[3] ?? '' }));
}
