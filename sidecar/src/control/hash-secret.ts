import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HASH_SECRET_BYTES } from '@chaperone/policy';
import { ControlPlaneError } from './errors.ts';

const FILE = 'hash.key';

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

/**
 * Opens what the hash masks of a data directory are keyed by, or makes it on first use: `hash.key`, {@link HASH_SECRET_BYTES}
 * bytes, readable by its owner alone. In a cluster the operator holds it.
 * @throws ControlPlaneError HashKeyUnreadable where it is damaged or cannot be written: a new one in its place would change every
 * hash without a word.
 */
export async function openHashSecret(directory: string): Promise<Buffer> {
  const file = join(directory, FILE);
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // Whoever is first makes it; all others read it.
    await writeFile(file, randomBytes(HASH_SECRET_BYTES), { mode: 0o600, flag: 'wx', flush: true }).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
    await chmod(file, 0o600);
    const secret = await readFile(file);
    if (secret.length === HASH_SECRET_BYTES) return secret;
  } catch (error) {
    throw unreadable(directory, 'cannot be opened', error);
  }
  throw unreadable(directory, 'is damaged');
}

function unreadable(directory: string, what: string, cause?: unknown): ControlPlaneError {
  const message = `${FILE} in ${directory} ${what}; restore it, or remove it to begin with other hashes`;
  return new ControlPlaneError('HashKeyUnreadable', message, { cause });
}
