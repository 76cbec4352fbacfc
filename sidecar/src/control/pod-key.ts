import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeNkeySeed, encodeNkeySeed, type Signer, signerFromSeed } from '@chaperone/evidence';

/**
 * The key of this pod: made once, kept in the memory volume `chaperone-run`, so a restarted container is the same signer and
 * nothing of it is ever on disk. Readable by its owner alone.
 */
export async function openPodKey(runDirectory: string): Promise<Signer> {
  await mkdir(runDirectory, { recursive: true, mode: 0o755 });
  const path = join(runDirectory, 'nkey');
  const stored = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (stored !== undefined) return signerFromSeed(decodeNkeySeed(stored.trim()));
  const seed = randomBytes(32);
  // Renamed into place: after a crash there is a whole key or none.
  await writeFile(`${path}.new`, encodeNkeySeed(seed), { mode: 0o600 });
  await rename(`${path}.new`, path);
  return signerFromSeed(seed);
}
