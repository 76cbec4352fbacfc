import { readFile } from 'node:fs/promises';
import { type KeyHolder, x25519Holder } from '@chaperone/evidence';
import { makeBackupKey } from '../backup/key-file.ts';
import { CliError, EXIT, fileUnread } from '../errors.ts';
import { type Io, writeLine } from '../io.ts';

/** The lines of a few keys. */
const MAX_FILE_CHARS = 8192;
const MAX_LINES = 16;
const KEY = /^[A-Za-z0-9+/]{43}=$/;

/** Who may read evidence that was wrapped to them, and how configuration names them. */
export interface Identity extends KeyHolder {
  readonly configured: string;
}

/**
 * Those of a file, a line each: a private key of X25519, 32 bytes in base64, or the address of a key in Vault's transit engine, of which each
 * version is one. Several stand there while one takes the place of another. Throws CliError NotFound, IdentityUnusable, NotPermitted.
 */
export async function readIdentities(path: string, env: Io['env']): Promise<Identity[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileUnread(path, error);
  });
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  if (text.length > MAX_FILE_CHARS || lines.length === 0 || lines.length > MAX_LINES) throw none(path);
  const found: Identity[] = [];
  for (const line of lines.map((each) => each.trim())) {
    if (KEY.test(line)) {
      const holder = x25519Holder(Buffer.from(line, 'base64'));
      found.push({ ...holder, configured: holder.name });
    } else if (line.startsWith('https://') && URL.canParse(line)) {
      const { openTransit } = await import('./vault-transit.ts');
      found.push(...(await openTransit({ url: line, env })));
    } else throw none(path);
  }
  return found;
}

/** The line itself is not said: it may be most of a key. */
function none(path: string): CliError {
  return new CliError('IdentityUnusable', `${path} has something else than keys, a line each`, { exit: EXIT.usage });
}

/** `identity`: prints as whom evidence is wrapped to the keys of a file, which is made first where that is asked for. Throws CliError. */
export async function showIdentity({ key, isNew }: { readonly key: string; readonly isNew: boolean }, io: Io): Promise<void> {
  if (isNew) return writeLine(io.out, await makeBackupKey(key));
  for (const { configured } of await readIdentities(key, io.env)) await writeLine(io.out, configured);
}
