import { open } from 'node:fs/promises';
import { NotifyError } from './errors.ts';

const MAX_SECRET_FILE_BYTES = 4096;

/** Reads a secret each time that it is needed: the kubelet replaces the file when the Secret changes. @throws NotifyError SecretInvalid */
export async function readSecret(path: string, what: string): Promise<string> {
  let text: string;
  try {
    await using file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(MAX_SECRET_FILE_BYTES + 1) });
    if (bytesRead > MAX_SECRET_FILE_BYTES) throw new NotifyError('SecretInvalid', `${what} is longer than any that there is`);
    text = buffer.toString('utf8', 0, bytesRead).trim();
  } catch (error) {
    if (error instanceof NotifyError) throw error;
    throw new NotifyError('SecretInvalid', `${what} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
  if (text === '') throw new NotifyError('SecretInvalid', `${what} is empty`);
  return text;
}
