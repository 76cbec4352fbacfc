import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import {
  type Checkpoint,
  EvidenceError,
  formatVerifierKey,
  noteSigner,
  openNote,
  openSealedFile,
  orUndefined,
  parseCheckpoint,
  signerFromSeed,
  type VerifierKey,
  verifierOf,
} from '@chaperone/evidence';
import { syncDirectory } from '@chaperone/collector';
import { CollectorClient } from '../collector/client.ts';
import { openStore, readTrust } from '../collector/local.ts';
import { verifyLog } from '../commands/log.ts';
import { CliError, EXIT, fileUnread, usage } from '../errors.ts';
import { dataPaths, lockData } from '../up/data-directory.ts';
import { type FileHead, type Manifest, readArchive } from './archive.ts';
import { isMadeAnew, storedCheckpoint, walk } from './backup.ts';

/** Names of what stands in the way that are said. */
const MAX_NAMED = 5;
const OBJECTS = 'evidence/objects';

export interface RestoreOptions {
  readonly from: string;
  readonly keys: readonly Buffer[];
  /** Not there, empty, or with a store of evidence and without its keys. */
  readonly data: string;
  /** Files with checkpoints that were kept: the log has to go on from each. */
  readonly since: readonly string[];
  /** Nobody has a checkpoint to show; what came after the backup is then gone without anybody seeing it. */
  readonly withoutCheckpoint: boolean;
}

export interface Restored {
  readonly data: string;
  readonly origin: string;
  /** When the backup was made, ms since 1970. */
  readonly at: number;
  readonly files: number;
  /** Whether the evidence is that of the backup, or of the store that was there. */
  readonly evidence: 'backup' | 'store';
  /** Entries of the log that goes on. */
  readonly entries: number;
}

/** Reads a backup to its end; resolves with what it says of itself. Throws CliError BackupUnusable. */
export async function checkBackup({ from, keys }: Pick<RestoreOptions, 'from' | 'keys'>): Promise<Manifest & { files: number }> {
  let manifest: Manifest | undefined;
  let files = 0;
  await believed(from, async () => {
    for await (const part of opened(from, keys)) {
      if (part.kind === 'manifest') manifest = part;
      if (part.kind === 'file') files++;
    }
  });
  if (manifest === undefined) throw unusable(from, 'it is empty');
  const { format, origin, at, checkpoint } = manifest;
  return { format, origin, at, checkpoint, files };
}

/**
 * Puts a backup where a data directory was: all of it, or its keys beside a store of evidence that is still there. Nothing that is there is
 * written over, and nothing is there before all of it is proven. Throws CliError BackupUnusable, LogBehind, DataInUse, Usage.
 */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const { from, data, since, withoutCheckpoint } = options;
  const evidence = await placeOf(data);
  if (evidence === 'backup' && since.length === 0 && !withoutCheckpoint)
    throw usage(
      'give the newest checkpoint that anybody kept with --since, or say --without-checkpoint: a log that goes on from an older size than it had is a second history',
    );
  const staging = `${resolve(data)}.restoring`;
  await mkdir(staging, { mode: 0o700 }).catch((cause: unknown) => {
    throw usage(`${staging} cannot be made; where a restore was cut off, remove it`, cause);
  });
  try {
    using stack = new DisposableStack();
    if (evidence === 'store') stack.use(await lockData(data));
    const { manifest, files } = await believed(from, () => unpack(options, staging, evidence));
    const isWhole = evidence === 'store' && (await demandSame(staging, data)) === 0;
    const key = await logKeyOf(staging, manifest, from);
    const root = evidence === 'store' ? data : staging;
    const entries = await demandAhead({ manifest, key, since, root, from });
    if (isWhole)
      throw usage(
        `${data} is there and whole: evidence of ${manifest.origin} with ${entries} entries in its log, and every key that ${from} has; nothing is put back over it. Who wants the backup in its place moves it away first`,
      );
    await prove({ staging, data, evidence, manifest, key, since, from });
    await place(staging, data, evidence);
    return { data, origin: manifest.origin, at: manifest.at, files, evidence, entries };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

function opened(from: string, keys: readonly Buffer[]): ReturnType<typeof readArchive> {
  const source = createReadStream(from, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>;
  return readArchive(openSealedFile(source, keys));
}

async function believed<T>(from: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof EvidenceError) throw unusable(from, error.message, error);
    const isMissing = error instanceof Error && 'syscall' in error && 'path' in error && error.path === from;
    throw isMissing ? fileUnread(from, error) : error;
  }
}

function unusable(from: string, why: string, cause?: unknown): CliError {
  return new CliError('BackupUnusable', `${from} cannot be restored: ${why}`, { cause, exit: EXIT.checkSaysNo });
}

function behind(message: string): CliError {
  return new CliError('LogBehind', message, { exit: EXIT.checkSaysNo });
}

/** Where the evidence comes from. Throws CliError Usage where something is there that would be written over. */
async function placeOf(data: string): Promise<Restored['evidence']> {
  const names = await readdir(data).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw usage(`${data} cannot be used`, error);
  });
  if (names.every(isMadeAnew)) return 'backup';
  for await (const path of walk(data, OBJECTS)) if (path === `${OBJECTS}/log/state`) return 'store';
  const some = names.filter((name) => !isMadeAnew(name)).toSorted();
  const more = some.length > MAX_NAMED ? ` and ${some.length - MAX_NAMED} more` : '';
  throw usage(
    `${data} is there already with ${some.slice(0, MAX_NAMED).join(', ')}${more}, and nothing is written over; name a directory that is not there with --data`,
  );
}

async function unpack(
  { from, keys }: RestoreOptions,
  staging: string,
  evidence: Restored['evidence'],
): Promise<{ manifest: Manifest; files: number }> {
  let manifest: Manifest | undefined;
  let files = 0;
  let writing: { readonly head: FileHead; readonly handle: Awaited<ReturnType<typeof open>> } | undefined;
  const finish = async (): Promise<void> => {
    if (writing === undefined) return;
    const { head, handle } = writing;
    writing = undefined;
    try {
      await handle.utimes(head.at / 1000, head.at / 1000);
      await handle.sync();
    } finally {
      await handle.close();
    }
  };
  try {
    for await (const part of opened(from, keys)) {
      if (part.kind === 'manifest') manifest = part;
      if (part.kind === 'bytes') await writing?.handle.writeFile(part.bytes);
      if (part.kind !== 'file') continue;
      await finish();
      // No backup has it, and nobody would look at it before it is used.
      if (isMadeAnew(part.path)) throw unusable(from, `it has ${part.path}, which is never in a backup`);
      if (evidence === 'store' && part.path.startsWith(`${OBJECTS}/`)) continue;
      const path = join(staging, part.path);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      writing = { head: part, handle: await open(path, 'wx', 0o600) };
      files++;
    }
    await finish();
  } finally {
    await writing?.handle.close();
  }
  if (manifest === undefined) throw unusable(from, 'it is empty');
  return { manifest, files };
}

/**
 * What is there has to be what would be put there; spools and keys of agents stay as they are. Resolves with how many files of the installation
 * are not there.
 */
async function demandSame(staging: string, data: string): Promise<number> {
  let missing = 0;
  for await (const path of walk(staging, '')) {
    const there = await readFile(join(data, path)).catch(() => undefined);
    if (path.startsWith('agents/')) continue;
    if (there === undefined) missing++;
    else if (!there.equals(await readFile(join(staging, path))))
      throw usage(`${join(data, path)} is there already and is another one; nothing is written over`);
  }
  return missing;
}

async function logKeyOf(staging: string, { origin }: Manifest, from: string): Promise<VerifierKey> {
  const { evidence, trust } = dataPaths(staging);
  const seed = await readFile(join(evidence, 'log.seed')).catch(() => undefined);
  const said = await readTrust(trust).catch(() => undefined);
  if (seed?.length !== 32 || said?.origin !== origin)
    throw unusable(from, 'it is not of the data directory of a chaperone up that has recorded something');
  return noteSigner(origin, signerFromSeed(seed)).key;
}

interface Proof {
  readonly manifest: Manifest;
  readonly key: VerifierKey;
  readonly since: readonly string[];
  readonly from: string;
}

/** Before anything opens the log, which could append to it: no checkpoint is larger than the log that goes on. Resolves with its size. */
async function demandAhead({ manifest, key, since, root, from }: Proof & { readonly root: string }): Promise<number> {
  const stored = signed(await storedCheckpoint(root).catch(() => Buffer.alloc(0)), key);
  if (stored === undefined) throw unusable(from, 'the key in it did not sign the log');
  const own = signed(Buffer.from(manifest.checkpoint), key);
  if (own === undefined) throw unusable(from, 'the key in it did not sign its checkpoint');
  if (stored.size < own.size) throw behind(`the log has ${stored.size} entries, and had ${own.size} when ${from} was made`);
  for (const path of since) {
    const bytes = await readFile(path).catch((error: unknown) => {
      throw fileUnread(path, error);
    });
    const kept = signed(bytes, key);
    if (kept === undefined) throw usage(`${path} is not a checkpoint of the log of ${from}`);
    if (stored.size < kept.size)
      throw behind(`the log of ${from} has ${stored.size} entries, and the checkpoint ${path} is of ${kept.size}`);
  }
  return stored.size;
}

function signed(note: Buffer, key: VerifierKey): Checkpoint | undefined {
  return orUndefined(() => parseCheckpoint(openNote(note, [verifierOf(key)]).text));
}

/** Opens what was unpacked as a collector does, and proves the whole log and every stored segment. */
async function prove({
  staging,
  data,
  evidence,
  manifest,
  key,
  since,
  from,
}: Proof & {
  readonly staging: string;
  readonly data: string;
  readonly evidence: Restored['evidence'];
}): Promise<void> {
  const objects = join(staging, OBJECTS);
  if (evidence === 'store') await symlink(resolve(data, OBJECTS), objects);
  const own = join(staging, 'checkpoint.tmp');
  await writeFile(own, manifest.checkpoint);
  {
    await using store = await openStore(staging).catch((cause: unknown) => {
      throw unusable(from, 'the evidence in it cannot be opened', cause);
    });
    const { damaged } = await store.collector.reindex();
    // What is damaged in a store that is there is not mended by leaving its keys away.
    if (evidence === 'backup' && damaged.length > 0) throw unusable(from, `${damaged.length} of its objects are damaged`);
    const request = (path: string): Promise<Response> =>
      Promise.resolve(
        store.collector.fetch(new Request(`http://localhost${path}`, { headers: { authorization: `Bearer ${store.token}` } })),
      );
    const client = new CollectorClient({
      fetch: request,
      trust: () => Promise.resolve(store.trust),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
    for (const path of [own, ...since]) {
      const { verdict } = await verifyLog(client, { key: formatVerifierKey(key), since: path });
      if (verdict === 'rewritten')
        throw behind(
          `the log does not go on from ${path === own ? 'what it was when the backup was made' : `the checkpoint ${path}`}`,
        );
      if (verdict !== 'sound') throw unusable(from, `its log is ${verdict}`);
    }
  }
  await rm(own);
  if (evidence === 'store') await rm(objects);
}

async function place(staging: string, data: string, evidence: Restored['evidence']): Promise<void> {
  await rm(dataPaths(staging).lock, { force: true });
  if (evidence === 'backup') {
    for (const name of (await readdir(data).catch(() => [])).filter(isMadeAnew)) await rm(join(data, name));
    // Over an empty directory or none; anything else that came meanwhile stops it.
    await rename(staging, data);
    return syncDirectory(dirname(resolve(data)));
  }
  for await (const path of walk(staging, '')) {
    const [there, own] = [join(data, path), join(staging, path)];
    await mkdir(dirname(there), { recursive: true, mode: 0o700 });
    const isThere = (await readFile(there).catch(() => undefined)) !== undefined;
    if (!isThere) await rename(own, there);
    await syncDirectory(dirname(there));
  }
}
