import { join } from 'node:path';
import { type Signer, signerFromSeed } from '@chaperone/evidence';
import { openSeed, readSeed } from '../keys/seed.ts';
import { LogError } from './transparency-log.ts';

/** The key that signs checkpoints, kept beside the index for its owner alone, and made at the first start. */
export async function openLogKey(directory: string): Promise<Signer> {
  return openSeed(join(directory, 'log.seed')).then(signerFromSeed, failed);
}

/** Reads a key that is kept elsewhere: 32 random bytes, in base64. Throws LogError LogAltered. */
export function readLogKey(path: string): Signer {
  try {
    return signerFromSeed(readSeed(path));
  } catch (error) {
    return failed(error);
  }
}

function failed(error: unknown): never {
  if (error instanceof RangeError) throw new LogError('LogAltered', error.message, { cause: error });
  throw error;
}
