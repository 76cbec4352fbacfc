import { recipientOf, timeOf } from '@chaperone/evidence';
import { visible } from '@chaperone/api/text';
import { backUp, type BackupOptions } from '../backup/backup.ts';
import { makeBackupKey, readBackupKeys } from '../backup/key-file.ts';
import { checkBackup, restore, type RestoreOptions } from '../backup/restore.ts';
import { type Io, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';

type Output = 'text' | DocumentOutput;

/** `backup key`: prints the recipients of a key, which is made first where that is asked for. Throws CliError. */
export async function backupKey({ key, isNew }: { readonly key: string; readonly isNew: boolean }, io: Io): Promise<void> {
  const recipients = isNew ? [await makeBackupKey(key)] : (await readBackupKeys(key)).map(recipientOf);
  for (const recipient of recipients) await writeLine(io.out, recipient);
}

/** Throws CliError. */
export async function writeBackup(options: BackupOptions, output: Output, io: Io): Promise<void> {
  const made = await backUp(options);
  if (output !== 'text') return writeDocument(io, output, made);
  const { file, origin, files, bytes, entries, digest } = made;
  await writeLine(
    io.out,
    `${visible(file)}: ${files} files of ${visible(origin)}, ${(bytes / 1e6).toFixed(1)} MB, its log verified at ${entries} entries`,
  );
  await writeLine(io.out, `SHA-256 ${digest}`);
}

/** Throws CliError. */
export async function readBackup(
  { isCheck, key, ...options }: Omit<RestoreOptions, 'keys'> & { readonly isCheck: boolean; readonly key: string },
  output: Output,
  io: Io,
): Promise<void> {
  const keys = await readBackupKeys(key);
  if (isCheck) {
    const found = await checkBackup({ from: options.from, keys });
    if (output !== 'text') return writeDocument(io, output, { file: options.from, ...found });
    const at = timeOf(found.at);
    return writeLine(io.out, `${visible(options.from)}: whole, ${found.files} files of ${visible(found.origin)}, made ${at}`);
  }
  const done = await restore({ ...options, keys });
  if (output !== 'text') return writeDocument(io, output, done);
  const { data, origin, files, evidence, entries } = done;
  const whence = evidence === 'backup' ? 'evidence and keys' : 'keys';
  const beside = evidence === 'backup' ? '' : ', beside the evidence that was there';
  await writeLine(
    io.out,
    `${visible(data)}: ${whence} of ${visible(origin)}, ${files} files${beside}; its log goes on from ${entries} entries`,
  );
}
