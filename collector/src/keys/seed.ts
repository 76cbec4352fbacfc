import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';

export const SEED_BYTES = 32;

/** A secret of 32 bytes that is kept in a file for its owner alone, and made at the first start. Throws RangeError for another length. */
export async function openSeed(path: string): Promise<Buffer> {
  try {
    // Nothing of it is written where another process was first.
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(randomBytes(SEED_BYTES));
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  return checked(await readFile(path), path);
}

/** Reads a secret that is kept elsewhere: 32 random bytes, in base64. Throws RangeError for another length. */
export function readSeed(path: string): Buffer {
  return checked(Buffer.from(readFileSync(path, 'utf8').trim(), 'base64'), path);
}

/** Reads several, a line each and at least one. Throws RangeError where one has another length. */
export function readSeeds(path: string): Buffer[] {
  const lines = readFileSync(path, 'utf8').trim().split(/\s+/);
  return lines.map((line) => checked(Buffer.from(line, 'base64'), path));
}

function checked(seed: Buffer, path: string): Buffer {
  if (seed.length !== SEED_BYTES) throw new RangeError(`the key in ${path} has not 32 bytes`);
  return seed;
}
