import { readFile } from 'node:fs/promises';
import { SinkError } from '../errors.ts';

/** A few certificates, or a token. */
const MAX_BYTES = 64 * 1024;

/** A mounted file as it is now, since whoever renews a secret writes it anew. Rejects with SinkError SinkSecretUnreadable, which names the file alone. */
export async function readSecret(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new SinkError('SinkSecretUnreadable', `${path} cannot be read`, { cause });
  });
  if (text.length > MAX_BYTES || text.trim() === '')
    throw new SinkError('SinkSecretUnreadable', `${path} is empty, or longer than ${MAX_BYTES} bytes`);
  return text.trim();
}

export async function readOptional(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? undefined : readSecret(path);
}
