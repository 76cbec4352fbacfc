import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Signer, signerFromSeed } from '@chaperone/evidence';
import { LogError } from './transparency-log.ts';

const SEED_BYTES = 32;

/** The key that signs checkpoints, kept beside the index for its owner alone, and made at the first start. */
export async function openLogKey(directory: string): Promise<Signer> {
  const path = join(directory, 'log.seed');
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
  return signerFromSeed(checked(await readFile(path), path));
}

/** Reads a key that is kept elsewhere: 32 random bytes, in base64. Throws LogError LogAltered. */
export function readLogKey(path: string): Signer {
  return signerFromSeed(checked(Buffer.from(readFileSync(path, 'utf8').trim(), 'base64'), path));
}

function checked(seed: Buffer, path: string): Buffer {
  if (seed.length !== SEED_BYTES) throw new LogError('LogAltered', `the key of the log in ${path} has not 32 bytes`);
  return seed;
}
