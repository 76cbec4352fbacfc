import { readFile, writeFile } from 'node:fs/promises';
import { visible } from '@chaperone/api/text';
import {
  auditLog,
  type Checkpoint,
  consistencySpans,
  openNote,
  orUndefined,
  parseCheckpoint,
  parseVerifierKey,
  proveConsistency,
  subtreesOf,
  type Tile,
  type TileFault,
  tileOfSubtree,
  tilePath,
  tilesReader,
  type VerifierKey,
  verifierOf,
  verifyConsistency,
} from '@chaperone/evidence';
import type { CollectorClient } from '../collector/client.ts';
import { CliError, EXIT, fileUnread, usage } from '../errors.ts';
import { writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import type { Paint } from '../paint.ts';
import type { ProgramOptions } from '../program.ts';

/** Faults that are named; a log that was replaced has as many as it has tiles. */
const MAX_FAULTS = 20;

/**
 * sound: every entry and tile is what the checkpoint was signed over · altered: some are not · rewritten: the log does not begin as
 * an older checkpoint says · unsigned: the key did not sign the checkpoint.
 */
export interface LogVerdict {
  readonly verdict: 'sound' | 'altered' | 'rewritten' | 'unsigned';
  readonly origin: string;
  readonly size: number;
  /** Size of the older checkpoint that the log goes on from, where one was given. */
  readonly since?: number;
  /** Whose word the key is. */
  readonly key: 'given' | 'collector';
  readonly faults: readonly string[];
}

type Reader = Pick<CollectorClient, 'logKey' | 'logCheckpoint' | 'logTile'>;

export interface LogOptions {
  /** A verifier key, or a file with one; absent: the collector is believed. */
  readonly key?: string;
  /** A file with a checkpoint that was kept. */
  readonly since?: string;
  /** Where to keep the checkpoint of a log that is sound. */
  readonly save?: string;
}

/** Reads a log whole and proves it. Throws CliError. */
export async function verifyLog(reader: Reader, { key: given, since, save }: LogOptions): Promise<LogVerdict> {
  const key = given === undefined ? readKey(await reader.logKey(), 'the collector') : await givenKey(given);
  const whose = given === undefined ? 'collector' : 'given';
  const note = await reader.logCheckpoint();
  const head = signed(note, key);
  const older = since === undefined ? undefined : signed(await kept(since), key);
  if (since !== undefined && older === undefined)
    throw new CliError('SignatureInvalid', `${since} was not signed by this key`, { exit: EXIT.checkSaysNo });
  const about = { origin: key.name, size: head?.size ?? 0, key: whose, faults: [] } as const;
  if (head === undefined) return { ...about, verdict: 'unsigned' };
  const hashes = new Map<string, Buffer>();
  const faults = await audit(head, async (tile) => {
    const bytes = await reader.logTile(tilePath(tile));
    if (bytes !== undefined && tile.level !== 'entries') hashes.set(tilePath(tile), bytes);
    return bytes;
  });
  if (faults.length > 0) return { ...about, verdict: 'altered', faults: faults.slice(0, MAX_FAULTS).map(faultText) };
  if (older !== undefined && !goesOn(older, head, hashes)) return { ...about, verdict: 'rewritten', since: older.size };
  if (save !== undefined) await writeFile(save, note);
  return { ...about, verdict: 'sound', ...(older === undefined ? {} : { since: older.size }) };
}

async function audit(head: Checkpoint, read: (tile: Tile) => Promise<Buffer | undefined>): Promise<TileFault[]> {
  const asking = auditLog(head);
  let step = asking.next();
  while (!step.done) step = asking.next(await read(step.value));
  return step.value;
}

/** Of tiles that were proved. */
function goesOn(older: Checkpoint, head: Checkpoint, hashes: ReadonlyMap<string, Buffer>): boolean {
  if (older.size > head.size) return false;
  const tiles = consistencySpans(older.size, head.size).flatMap(subtreesOf);
  const all = tiles.every((subtree) => hashes.has(tilePath(tileOfSubtree(subtree, head.size))));
  const read = tilesReader(head.size, (tile) => hashes.get(tilePath(tile)) ?? Buffer.alloc(0));
  return all && verifyConsistency(older, head, proveConsistency(older.size, head.size, read));
}

/** The checkpoint of a note that this key signed for its own log; undefined where it did not. */
function signed(note: Buffer, key: VerifierKey): Checkpoint | undefined {
  const checkpoint = orUndefined(() => parseCheckpoint(openNote(note, [verifierOf(key)]).text));
  return checkpoint?.origin === key.name ? checkpoint : undefined;
}

async function givenKey(given: string): Promise<VerifierKey> {
  const key = orUndefined(() => parseVerifierKey(given));
  if (key !== undefined) return key;
  const text = await kept(given).catch((error: unknown) => {
    // A key that was cut, rather than the name of a file.
    if (/^[^+]+\+[0-9a-f]{8}\+/.test(given)) throw usage('--key is not a whole key of a log; it looks like NAME+ID+KEY', error);
    throw error;
  });
  return readKey(text.toString(), given);
}

function readKey(text: string, whence: string): VerifierKey {
  const key = orUndefined(() => parseVerifierKey(text.trim()));
  if (key === undefined) throw usage(`${whence} has no key of a log; it looks like NAME+ID+KEY`);
  return key;
}

function kept(path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw fileUnread(path, error);
  });
}

function faultText({ tile, code, entry }: TileFault): string {
  if (entry !== undefined) return `entry ${entry} is ${code}`;
  return tile === undefined ? 'what the tiles hold has another root' : `${tilePath(tile)} is ${code}`;
}

/** Says the verdict in a line; the exit code is set before. */
export async function reportLog(
  found: LogVerdict,
  { output, paint }: { readonly output: 'table' | DocumentOutput; readonly paint: Paint },
  { io, exit }: Pick<ProgramOptions, 'io' | 'exit'>,
): Promise<void> {
  exit(found.verdict === 'sound' ? EXIT.ok : EXIT.checkSaysNo);
  if (output !== 'table') return writeDocument(io, output, found);
  const word = paint(found.verdict === 'sound' ? 'good' : 'bad', found.verdict);
  await writeLine(io.out, `${visible(found.origin)}  ${word}: ${SAID[found.verdict](found)}`);
  for (const fault of found.faults) await writeLine(io.out, `  ${fault}`);
  if (found.key === 'collector')
    await writeLine(io.err, 'The key is what the collector says it is; keep it (chaperone log key) and give it by --key.');
}

function entries(number: number): string {
  return `${number} ${number === 1 ? 'entry' : 'entries'}`;
}

const SAID: Readonly<Record<LogVerdict['verdict'], (found: LogVerdict) => string>> = {
  sound: ({ size, since }) =>
    `${entries(size)}, each as it was signed${since === undefined ? '' : `; it goes on from the ${entries(since)} of the older checkpoint`}`,
  altered: ({ size }) => `the checkpoint is of ${entries(size)}, and not of what is stored (EvidenceAltered)`,
  rewritten: ({ since = 0 }) => `the first ${entries(since)} are not those of the older checkpoint (EvidenceAltered)`,
  unsigned: () => 'the checkpoint was not signed by this key (SignatureInvalid)',
};
