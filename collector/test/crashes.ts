// First: what is imported behind it uses the files that it records.
import { disk, type DiskOp, type FaultyCall, STOPS, type Stop, writeState } from '@chaperone/testing/disk';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatPolicy, generateSigner, noteSigner, parsePolicy } from '@chaperone/evidence';
import { seededRandom, temporaryDirectory } from '@chaperone/testing';
import { createTokenAccess } from '../src/access.ts';
import { type Collector, createCollector } from '../src/collector.ts';
import { aSession, readers, silent, trust } from '../src/evidence.fixture.ts';
import { ask, bytesOf, verdictOf } from './offline.ts';

/*
 * node crashes.ts --seed N --histories N --states N --faults N
 *
 * A collector takes evidence into a directory whose every file operation is recorded. What is on disk when the process or the machine stops
 * after any of them is taken up by another one, with the index as it was then, or without one; and what that one has is held against what
 * was promised. Then the same with operations that fail. Prints a line of JSON for each fault that it found, and one that counts at the end.
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
const logKey = generateSigner();
const policy = parsePolicy(Buffer.from(formatPolicy(noteSigner(trust.origin, logKey).key)));
const INDEX = ['index.sqlite', 'index.sqlite-wal', 'index.sqlite-shm'];
/** What is erased at the end of a history. */
const ORDER = JSON.stringify({ kind: 'erasure', reason: 'a test' });
const ADDRESS = `orders?body=${createHash('sha256').update(ORDER).digest('hex')}`;

type Note =
  | { readonly kind: 'promised'; readonly session: string; readonly number: number; readonly entry: number }
  | { readonly kind: 'shown'; readonly checkpoint: Buffer }
  | { readonly kind: 'erased'; readonly session: string };

const open = (directory: string): Promise<Collector> =>
  createCollector({ directory, trust, logKey, readers, access: createTokenAccess('t'), logger: silent });

type Session = ReturnType<typeof aSession>;

/** Takes all in, some at once and some twice, and has one session erased; what is refused for now is passed over. */
async function history(collector: Collector, sessions: readonly Session[]): Promise<Note[]> {
  const notes: Note[] = [];
  const note = (each: Note): void => {
    notes.push(each);
    disk.note(each);
  };
  const all = sessions.flatMap(({ sealed }) => sealed);
  for (let at = 0; at < all.length; ) {
    const batch = all.slice(at, (at += 1 + below(4)));
    await Promise.allSettled(
      batch.map(async ({ parcel }) => {
        const outcome = await collector.ingest(parcel);
        if (outcome.kind !== 'refused')
          note({ kind: 'promised', session: outcome.session, number: outcome.number, entry: outcome.entry });
      }),
    );
    const shown = await ask(collector, 'log/checkpoint');
    if (shown.ok) note({ kind: 'shown', checkpoint: await bytesOf(shown) });
  }
  const [first] = sessions;
  if (first !== undefined && (await ask(collector, `sessions/${first.session}/${ADDRESS}`, { method: 'POST', body: ORDER })).ok)
    note({ kind: 'erased', session: first.session });
  return notes;
}

/** What is wrong with a collector that was opened after it all; empty where nothing is. */
async function problems(collector: Collector, sessions: readonly Session[], notes: readonly Note[]): Promise<string[]> {
  const found = await wrongEntries(collector, sessions, notes);
  const erased = new Set(notes.flatMap((note) => (note.kind === 'erased' ? [note.session] : [])));
  const shown = notes.findLast((note) => note.kind === 'shown')?.checkpoint;
  for (const { session } of sessions) {
    // An erasure may have begun that nobody was told of.
    const said = await verdictOf(collector, session, { policy, since: shown });
    const sound = 'sound complete append-only';
    const wanted = erased.has(session) ? [`${sound} sealed erased`] : [`${sound} verified kept`, `${sound} sealed erased`];
    if (!wanted.includes(said)) found.push(`${session}: ${said}`);
  }
  const before = JSON.stringify(await collector.dump());
  const { damaged } = await collector.reindex();
  if (damaged.length > 0) found.push(`damaged: ${JSON.stringify(damaged)}`);
  if (JSON.stringify(await collector.dump()) !== before) found.push('an index built again is another');
  return found;
}

/** Sends all again: what was promised is the entry that it was, and every segment is one. */
async function wrongEntries(collector: Collector, sessions: readonly Session[], notes: readonly Note[]): Promise<string[]> {
  const found: string[] = [];
  for (const { session, number, entry } of notes.filter((note) => note.kind === 'promised')) {
    const parcel = sessions.find((each) => each.session === session)?.sealed[number]?.parcel ?? Buffer.alloc(0);
    const outcome = await collector.ingest(parcel);
    if (outcome.kind !== 'duplicate' || outcome.entry !== entry)
      found.push(`${session}/${number} was entry ${entry} and is ${JSON.stringify(outcome)}`);
  }
  const all = sessions.flatMap(({ sealed }) => sealed);
  const outcomes = await Promise.all(all.map(({ parcel }) => collector.ingest(parcel)));
  const entries = new Set(outcomes.flatMap((each) => (each.kind === 'refused' ? [] : [each.entry])));
  if (entries.size !== all.length) found.push(`entries: ${[...entries].join(' ')}`);
  return found;
}

const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
let tried = 0;
function tell(where: Record<string, unknown>, found: readonly string[]): void {
  tried++;
  if (found.length > 0) say({ ...where, found });
}

/** Opens what is left, and looks; a collector that does not start has lost everything. */
async function taken(place: string, sessions: readonly Session[], notes: readonly Note[]): Promise<string[]> {
  try {
    const collector = await open(place);
    try {
      return await problems(collector, sessions, notes);
    } finally {
      await collector.close();
    }
  } catch (error) {
    return [`it does not start: ${error instanceof Error ? error.stack : String(error)}`];
  }
}

interface Left {
  readonly ops: readonly DiskOp[];
  readonly count: number;
  readonly stop: Stop;
  /** Where the index of that moment was copied to. */
  readonly index: string;
}

async function stopped({ ops, count, stop, index }: Left, sessions: readonly Session[]): Promise<string[]> {
  await using directory = await temporaryDirectory();
  const place = join(directory.path, 'left');
  writeState(ops, count, stop, random, place);
  // A machine that stops may lose of the index whatever it likes: it is built again.
  if (stop === 'kill' || random() < 0.5)
    for (const name of INDEX) if (existsSync(join(index, name))) copyFileSync(join(index, name), join(place, name));
  return await taken(
    place,
    sessions,
    ops.slice(0, count).flatMap((op) => (op.kind === 'note' ? [op.note as Note] : [])),
  );
}

const someSessions = (): Session[] => Array.from({ length: 4 }, () => aSession({ segments: 1 + below(4) }));

for (let each = 0; each < Number(values.histories); each++) {
  await using directory = await temporaryDirectory();
  const place = join(directory.path, 'place');
  mkdirSync(place);
  const sessions = someSessions();
  const indexes: { count: number; path: string }[] = [];
  disk.begin(place);
  disk.watch = (count) => {
    if (random() > 0.3) return;
    const path = join(directory.path, `index-${count}`);
    mkdirSync(path);
    for (const name of INDEX) if (existsSync(join(place, name))) copyFileSync(join(place, name), join(path, name));
    indexes.push({ count, path });
  };
  const collector = await open(place);
  const notes = await history(collector, sessions);
  disk.watch = undefined;
  tell({ each, whole: true }, await problems(collector, sessions, notes));
  await collector.close();
  const { ops } = disk;
  disk.end();
  for (let state = 0; state < Number(values.states); state++) {
    const stop = STOPS[state % STOPS.length] ?? 'kill';
    const { count, path } = indexes[below(indexes.length)] ?? { count: 0, path: '' };
    tell({ each, count, of: ops.length, stop }, await stopped({ ops, count, stop, index: path }, sessions));
  }
}

/** One call fails, or all from one on, until the disk is well; what the sender sends again arrives then, and what was promised is there. */
for (let each = 0; each < Number(values.faults); each++) {
  await using directory = await temporaryDirectory();
  const place = join(directory.path, 'place');
  mkdirSync(place);
  const sessions = someSessions();
  const [from, many, how] = [below(120), random() < 0.5 ? Infinity : 1, random() < 0.7 ? ('full' as const) : ('error' as const)];
  let hit: FaultyCall | undefined;
  disk.begin(place, {
    at: (call, kind) => {
      if (call < from || call >= from + many) return undefined;
      hit ??= kind;
      return how;
    },
  });
  const where = { fault: each, from, many: many === 1 ? 'one' : 'all', how };
  let notes: Note[] = [];
  try {
    const collector = await open(place);
    notes = await history(collector, sessions);
    disk.heal();
    // It need not be started again.
    tell({ ...where, hit, again: false }, await problems(collector, sessions, notes));
    await collector.close();
  } catch (error) {
    const { code } = error as { code?: unknown };
    tell({ ...where, hit }, ['StoreUnavailable', 'ENOSPC', 'EIO', 'LogAltered'].includes(String(code)) ? [] : [String(error)]);
  } finally {
    disk.end();
  }
  tell({ ...where, hit, again: true }, await taken(place, sessions, notes));
}
say({ tried });
