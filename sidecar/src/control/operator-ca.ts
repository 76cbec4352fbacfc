import { X509Certificate } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const FILE = 'operator-ca.pem';

/** Whether this is a bundle that certificates can be checked against (PEM, its first certificate whole). */
export function isBundle(text: string): boolean {
  try {
    return new X509Certificate(text).ca;
  } catch {
    return false;
  }
}

/**
 * The CA bundle that the operator told this pod of last, else `injected`: what was sealed into the pod outlives no rotation. It is kept
 * in the memory volume `chaperone-run`, where the sidecar alone writes, so that a restarted container goes on from it.
 */
export async function readOperatorCa(runDirectory: string, injected: string): Promise<string> {
  const kept = await readFile(join(runDirectory, FILE), 'utf8').catch(() => '');
  return isBundle(kept) ? kept : injected;
}

/** Renamed into place: after a crash there is a whole bundle or the one before. */
export async function keepOperatorCa(runDirectory: string, bundle: string): Promise<void> {
  const path = join(runDirectory, FILE);
  await writeFile(`${path}.new`, bundle, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
