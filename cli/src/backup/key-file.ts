import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { recipientOf } from '@chaperone/evidence';
import { fileUnread, usage } from '../errors.ts';

const KEY_BYTES = 32;
/** The lines of a few keys. */
const MAX_FILE_CHARS = 4096;

/** The private keys of a file: 32 bytes in base64 each, a line of its own. Throws CliError NotFound, Usage. */
export async function readBackupKeys(path: string): Promise<Buffer[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileUnread(path, error);
  });
  const lines = text.length > MAX_FILE_CHARS ? [] : text.split('\n').filter((line) => line.trim() !== '');
  const keys = lines.map((line) => Buffer.from(line.trim(), 'base64'));
  if (keys.length === 0 || keys.some((key) => key.length !== KEY_BYTES))
    throw usage(`${path} is not the key of backups; chaperone backup key --new makes one`);
  return keys;
}

/** Makes a key in a file that is not there yet, for its owner alone, and resolves with its recipient. Throws CliError Usage. */
export async function makeBackupKey(path: string): Promise<string> {
  const key = randomBytes(KEY_BYTES);
  try {
    await writeFile(path, `${key.toString('base64')}\n`, { mode: 0o600, flag: 'wx', flush: true });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw usage(`${path} cannot be made (${code}); a key is written over nothing`, cause);
  }
  return recipientOf(key);
}
