// First: what is imported behind it uses the files that it records.
import { disk, type DiskOp, type FaultyCall, STOPS, type Stop, writeState } from '@chaperone/testing/disk';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  encodeNkey,
  generateSigner,
  newSessionId,
  type Recipient,
  segmentOf,
  signRegistration,
  verifyChain,
} from '@chaperone/evidence';
import { seededRandom, temporaryDirectory } from '@chaperone/testing';
import { MemoryLog } from '../src/recording/receipts.test-support.ts';
import type { Delivery, Durability, Sent, SessionRecorder } from '../src/recording/recorder.ts';
import { createRecording, type RecordingOptions, type SpoolRecording } from '../src/recording/recording.ts';
import { agent, closing, opening } from '../src/recording/records.test-support.ts';

/*
 * node crashes.ts --seed N --histories N --states N --faults N
 *
 * Records sessions over a spool whose every file operation is recorded, takes what is on disk when the process or the machine stops after
 * any of them, lets the next process go on from there, and holds what arrives against what was promised; then the same with operations that
 * fail. Prints a line of JSON for each fault that it found, and one that counts at the end.
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    histories: { type: 'string', default: '1' },
    states: { type: 'string', default: '20' },
    faults: { type: 'string', default: '10' },
  },
});
const random = seededRandom(Number(values.seed));
const below = (count: number): number => Math.floor(random() * count);
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
const enrolment = generateSigner();
const trust = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const nkey = generateSigner();
const registration = { nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 };
const identity = { nkey, registration: signRegistration(registration, enrolment) };
const reader: Recipient = { name: 'test', wrap: () => Buffer.from('wrapped') };

const ENDS = ['complete', 'interrupted', 'gap declared'];

type Note =
  | { readonly kind: 'promised'; readonly session: string; readonly seq: number; readonly durability: Durability }
  | { readonly kind: 'sent'; readonly session: string; readonly number: number; readonly segment: Buffer };

/** The collector's side: everything that ever came, in order, and a log that proves it. */
class Transport implements Delivery {
  readonly log: MemoryLog;
  /** By session and number; a number that came with two contents is what must never be. */
  readonly got = new Map<string, Map<number, Buffer>>();
  readonly twice: string[] = [];
  mode: 'receipts' | 'silent' | 'down' = 'receipts';
  #held = 0;
  #listen: (receipt: Uint8Array) => void = () => undefined;

  constructor(log: MemoryLog) {
    this.log = log;
  }

  take(segment: Buffer, { session, number }: { session: string; number: number }): void {
    const segments = this.got.get(session) ?? new Map<number, Buffer>();
    const before = segments.get(number);
    if (before !== undefined && !before.equals(segment)) this.twice.push(`${session}/${number}`);
    this.got.set(session, segments.set(number, segment));
    this.log.add(segment);
  }

  deliver(parcel: Buffer, { session, number, held }: Sent): Promise<void> {
    if (this.mode === 'down') return Promise.reject(new Error('down'));
    const segment = segmentOf(parcel);
    disk.note({ kind: 'sent', session, number, segment } satisfies Note);
    this.take(segment, { session, number });
    this.#held = Math.max(this.#held, held);
    if (this.mode === 'silent') return Promise.resolve();
    const receipt = this.log.receipt([{ session, number }], this.#held);
    this.#held = this.log.size;
    this.#listen(receipt);
    return Promise.resolve();
  }

  onReceipt(listen: (receipt: Uint8Array) => void): void {
    this.#listen = listen;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function start(directory: string, transport: Transport, limits: RecordingOptions['limits'] = {}): Promise<SpoolRecording> {
  return createRecording({
    directory: join(directory, 'spool'),
    runDirectory: join(directory, 'run'),
    identity,
    delivery: transport,
    logPolicy: () => transport.log.policy,
    recipients: () => [reader],
    tellCounter: () => Promise.resolve(),
    limits: { sealAfterMs: 15, redeliverAfterMs: 20, maxBytes: 512 * 1024, ...limits },
    logger: quiet,
  });
}

/** Some sessions at once, of which some end and some are let go, while the collector is there, silent and away. */
async function history(recording: SpoolRecording, transport: Transport): Promise<Note[]> {
  const promised: Note[] = [];
  const append = async (
    recorder: SessionRecorder,
    seq: number,
    body: Parameters<SessionRecorder['append']>[0],
  ): Promise<void> => {
    const durability = (['soon', 'written', 'synced', 'synced'] as const)[below(4)] ?? 'synced';
    await recorder.append(body, durability);
    const note: Note = { kind: 'promised', session: recorder.session, seq, durability };
    promised.push(note);
    disk.note(note);
  };
  const session = async (): Promise<void> => {
    const id = newSessionId();
    const recorder = await recording.open(id, 'p');
    try {
      await append(recorder, 0, opening(id));
      const records = below(12);
      for (let seq = 1; seq <= records; seq++) {
        await append(recorder, seq, { type: 'note', code: 'Test', message: 'x'.repeat(below(random() < 0.2 ? 20_000 : 200)) });
        if (random() < 0.3) await sleep(below(12));
        if (random() < 0.1) transport.mode = (['receipts', 'silent', 'down'] as const)[below(3)] ?? 'receipts';
      }
      if (random() < 0.7) await append(recorder, records + 1, closing);
    } finally {
      await recorder.close();
    }
  };
  // A session that fails is cut; the others go on.
  await Promise.allSettled([1, 2, 3].map(async () => (await session(), await session())));
  transport.mode = 'receipts';
  return promised;
}

/**
 * What is wrong with what arrived; empty where nothing is. `open`: no end of a session is seen, which a machine that stops leaves where a
 * segment was durable a moment before the journal was.
 */
function problems(
  transport: Transport,
  promised: readonly Note[],
  counts: (durability: Durability) => boolean,
  ends: readonly string[] = ENDS,
): string[] {
  const found = transport.twice.map((place) => `${place} was sent with two contents`);
  const last = new Map<string, number>();
  for (const note of promised)
    if (note.kind === 'promised' && counts(note.durability))
      last.set(note.session, Math.max(last.get(note.session) ?? -1, note.seq));
  for (const session of new Set([...last.keys(), ...transport.got.keys()])) {
    const segments = [...(transport.got.get(session) ?? [])].toSorted(([a], [b]) => a - b).map(([, segment]) => segment);
    const { verdict, records, break: at } = verifyChain(session, segments, trust);
    if (records <= (last.get(session) ?? -1))
      found.push(`${session}: ${last.get(session)} was promised, ${records} records arrived`);
    if (!ends.includes(verdict)) found.push(`${session}: ${verdict} ${at?.code ?? ''} ${at?.message ?? ''}`);
  }
  return found;
}

/** @param mayBeDamaged - a machine that stopped may have written a length and not the bytes */
async function arrive(directory: string, transport: Transport, mayBeDamaged = false): Promise<string[]> {
  const recording = await start(directory, transport);
  const { unacknowledged } = await recording.flush(10_000);
  const { unreadable } = recording.status();
  await recording.stop();
  return [
    ...(unacknowledged === 0 ? [] : [`${unacknowledged} segments are not freed`]),
    ...(unreadable === 0 || mayBeDamaged ? [] : [`${unreadable} files cannot be read`]),
  ];
}

const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
let tried = 0;
function tell(where: Record<string, unknown>, found: readonly string[]): void {
  tried++;
  if (found.length > 0) say({ ...where, found });
}

/** What a stop after `count` operations leaves, taken up by another process. With `again`, that one is stopped too. */
async function stopped(ops: readonly DiskOp[], count: number, stop: Stop, log: MemoryLog, again: boolean): Promise<string[]> {
  await using directory = await temporaryDirectory();
  const place = join(directory.path, 'left');
  writeState(ops, count, stop, random, place);
  const notes = ops.slice(0, count).flatMap((op) => (op.kind === 'note' ? [op.note as Note] : []));
  const transport = new Transport(new MemoryLog(log.signer));
  for (const note of notes) if (note.kind === 'sent') transport.take(note.segment, note);
  const counts = (durability: Durability): boolean =>
    stop === 'kill' ? durability !== 'soon' : durability === 'synced' || durability === 'stored';
  if (again) {
    disk.begin(place);
    const from = disk.ops.length;
    await arrive(place, transport);
    const more = disk.ops;
    disk.end();
    const at = from + below(more.length - from + 1);
    // Of the first stop's notes those that a reader of the second one needs.
    const both: DiskOp[] = [
      ...notes.map((note) => ({ kind: 'note', note }) as const),
      ...shifted(more.slice(0, at), notes.length),
    ];
    return [...(await stopped(both, both.length, stop, log, false))];
  }
  const failed = await arrive(place, transport, stop !== 'kill').catch((error: unknown) => [
    `it does not start: ${String(error)}`,
  ]);
  return [...failed, ...problems(transport, notes, counts, stop === 'kill' ? ENDS : [...ENDS, 'open'])];
}

const shifted = (ops: readonly DiskOp[], by: number): DiskOp[] =>
  ops.map((op) => (op.kind === 'sync' || op.kind === 'syncNames' ? { ...op, since: op.since + by } : op));

for (let each = 0; each < Number(values.histories); each++) {
  await using directory = await temporaryDirectory();
  const transport = new Transport(new MemoryLog());
  const place = join(directory.path, 'place');
  mkdirSync(place);
  disk.begin(place);
  const recording = await start(place, transport);
  const promised = await history(recording, transport);
  await recording.flush(5_000);
  await recording.stop();
  const { ops } = disk;
  disk.end();
  tell(
    { each, whole: true },
    problems(transport, promised, () => true),
  );
  for (let state = 0; state < Number(values.states); state++) {
    const [count, stop, again] = [below(ops.length + 1), STOPS[state % STOPS.length] ?? 'kill', random() < 0.25];
    tell({ each, count, of: ops.length, stop, again }, await stopped(ops, count, stop, transport.log, again));
  }
}

/** One call fails, or all from one on, until the disk is well again; then nothing that was promised is lost. */
for (let each = 0; each < Number(values.faults); each++) {
  await using directory = await temporaryDirectory();
  const transport = new Transport(new MemoryLog());
  const place = join(directory.path, 'place');
  mkdirSync(place);
  const [from, many, how] = [below(160), random() < 0.5 ? Infinity : 1, random() < 0.7 ? ('full' as const) : ('error' as const)];
  let hit: FaultyCall | undefined;
  const at = (call: number, kind: FaultyCall): 'full' | 'error' | undefined => {
    if (call < from || call >= from + many) return undefined;
    hit ??= kind;
    return how;
  };
  disk.begin(place, { at });
  const where = { fault: each, from, many: many === 1 ? 'one' : 'all', how };
  try {
    const recording = await start(place, transport);
    const promised = await history(recording, transport);
    disk.heal();
    await recording.flush(1_000);
    await recording.stop();
    disk.end();
    // What this process could not bring to an end, the next one does.
    const failed = await arrive(place, transport);
    tell({ ...where, hit }, [...failed, ...problems(transport, promised, (durability) => durability !== 'soon')]);
  } catch (error) {
    // It may fail to start, and says so; then nothing was promised.
    tell(
      { ...where, hit },
      error instanceof Error && (/ENOSPC|EIO/.test(error.message) || error.name === 'RecordingError') ? [] : [String(error)],
    );
  } finally {
    disk.end();
  }
}
say({ tried });
