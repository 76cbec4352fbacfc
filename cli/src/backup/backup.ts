import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { checkpointOf } from '@chaperone/collector';
import { EvidenceError, parseCheckpoint, parseNote, sealFile } from '@chaperone/evidence';
import { CollectorClient } from '../collector/client.ts';
import { openLocalTransport, readTrust } from '../collector/local.ts';
import { verifyLog } from '../commands/log.ts';
import { CliError, EXIT, usage } from '../errors.ts';
import { dataPaths, lockData, readAddress, unusable } from '../up/data-directory.ts';
import { BACKUP_FORMAT, type FileHead, isPath, type Manifest, writeArchive } from './archive.ts';

/** What is made anew at every start, and the index, which is made from the evidence. */
const LEFT_OUT = [/^lock(-\w+)?$/, /^collector\.json$/, /^evidence\/index\.sqlite/, /\.tmp$/, /\.tmp~\d+$/];

/** Whether something in a data directory is of no worth. */
export function isMadeAnew(path: string): boolean {
  return LEFT_OUT.some((pattern) => pattern.test(path));
}

export interface BackupOptions {
  readonly data: string;
  /** A file, or a directory in which one is made. */
  readonly to: string;
  /** `x25519:PUBLIC`, at least one. */
  readonly recipients: readonly string[];
  readonly now: () => number;
}

export interface BackedUp {
  readonly file: string;
  readonly origin: string;
  readonly files: number;
  readonly bytes: number;
  /** SHA-256 (hex) of the file. */
  readonly digest: string;
  /** Entries of the log, which was verified whole. */
  readonly entries: number;
}

/**
 * Writes keys, log and evidence of a data directory that nothing uses to one encrypted file. The log is proven before, and is the same
 * afterwards. Throws CliError.
 */
export async function backUp({ data, to, recipients, now }: BackupOptions): Promise<BackedUp> {
  if ((await readAddress(data)) !== undefined)
    throw new CliError('DataInUse', `${data} is in use by a chaperone up; stop it before it is backed up`);
  const checkpoint = await provenCheckpoint(data);
  using stack = new DisposableStack();
  stack.use(await lockData(data));
  if (!(await storedCheckpoint(data)).equals(checkpoint)) throw new CliError('DataInUse', `${data} was changed meanwhile`);
  const { origin } = await readTrust(dataPaths(data).trust);
  const file = await target(to, origin, now());
  const manifest: Manifest = { format: BACKUP_FORMAT, origin, at: now(), checkpoint: checkpoint.toString() };
  const hash = createHash('sha256');
  let [files, bytes] = [0, 0];
  const counting = async function* (): ReturnType<typeof filesOf> {
    for await (const each of filesOf(data)) {
      files++;
      yield each;
    }
  };
  await written(file, async (write) => {
    for await (const chunk of sealFile(writeArchive(manifest, counting()), recipients)) {
      hash.update(chunk);
      bytes += chunk.length;
      await write(chunk);
    }
  }).catch((error: unknown) => {
    if (error instanceof EvidenceError) throw usage(`--recipient: ${error.message}`, error);
    throw error instanceof CliError ? error : unusable(data, error);
  });
  const { size } = parseCheckpoint(parseNote(checkpoint).text);
  return { file, origin, files, bytes, digest: hash.digest('hex'), entries: size };
}

/** The newest checkpoint, of a log that is sound. Throws CliError EvidenceAltered. */
async function provenCheckpoint(data: string): Promise<Buffer> {
  await using transport = await openLocalTransport(data);
  const client = new CollectorClient(transport);
  const { verdict } = await verifyLog(client, {});
  if (verdict !== 'sound')
    throw new CliError(
      'EvidenceAltered',
      `the log of ${data} is ${verdict}; what is damaged is not backed up over what is whole`,
      {
        exit: EXIT.checkSaysNo,
        fix: [`chaperone log verify --data ${data}`],
      },
    );
  return client.logCheckpoint();
}

/** As the store has it; nothing is opened or written. */
export async function storedCheckpoint(data: string): Promise<Buffer> {
  return checkpointOf(await readFile(join(dataPaths(data).evidence, 'objects/log/state')));
}

async function* filesOf(data: string): AsyncGenerator<{ head: FileHead; content: AsyncIterable<Uint8Array> }> {
  for await (const path of walk(data, '')) {
    const full = join(data, path);
    const { size, mtimeMs } = await stat(full);
    const content = createReadStream(full, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>;
    yield { head: { path, at: Math.round(mtimeMs), bytes: size }, content };
  }
}

/** Files below a directory that may not be there, in the order of their paths. Links and other things lead elsewhere or are nothing to keep. */
export async function* walk(data: string, below: string): AsyncGenerator<string> {
  const entries = await readdir(join(data, below), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (isMadeAnew(path) || !isPath(path)) continue;
    if (entry.isDirectory()) yield* walk(data, path);
    else if (entry.isFile()) yield path;
  }
}

async function target(to: string, origin: string, now: number): Promise<string> {
  const found = await stat(to).catch(() => undefined);
  const time = new Date(now).toISOString().replaceAll(/[:.]|\d{3}Z$/g, '');
  const file = found?.isDirectory() === true ? join(to, `${origin.replaceAll(/[^a-zA-Z0-9.-]+/g, '-')}-${time}Z.backup`) : to;
  if ((await stat(file).catch(() => undefined)) !== undefined)
    throw usage(`${file} is there already, and a backup is written over nothing; name another file with --to`);
  return file;
}

async function written(file: string, work: (write: (chunk: Uint8Array) => Promise<void>) => Promise<void>): Promise<void> {
  const partial = `${file}.partial`;
  const handle = await open(partial, 'wx', 0o600).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw usage(`${partial} cannot be made (${code})`, cause);
  });
  try {
    await work((chunk) => handle.writeFile(chunk));
    await handle.sync();
    await rename(partial, file);
  } finally {
    await handle.close();
    await rm(partial, { force: true });
  }
}
