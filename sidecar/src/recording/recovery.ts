import {
  DataKey,
  decodeRecord,
  type Epoch,
  encodeParcel,
  type PodIdentity,
  parseSegment,
  type SegmentFlag,
  type SessionRecord,
  segmentOf,
  sealSegment,
} from '@chaperone/evidence';
import { type Entry, readEntries } from './entries.ts';
import type { PodCounter } from './pod-counter.ts';
import type { Journal } from './journal.ts';
import type { Logger, Outbox } from './outbox.ts';
import { countRecord } from './session.ts';
import type { Spool, SpooledSegment } from './spool.ts';
import { TailHead } from './tail.ts';

export interface RecoveryOptions {
  readonly spool: Spool;
  readonly journal: Journal;
  readonly outbox: Outbox;
  readonly counter: Pick<PodCounter, 'sealed'>;
  readonly logger: Logger;
  readonly identity: PodIdentity;
  readonly nkey: string;
  readonly origin: string;
  /** As the session's host has it. */
  epoch(): { readonly epoch: Epoch; readonly at: number };
}

/** What the journal has of one segment that nobody sealed. */
export interface Unsealed {
  head: TailHead | undefined;
  readonly texts: Buffer[];
  /** Something behind its last record could not be read, and may have been another one. */
  isCut: boolean;
}

/** By session and number of the segment. */
export type JournalContents = Map<string, Map<number, Unsealed>>;

/** Reads these files of the journal; what `isWanted` says no to is left out. A file that is damaged is set aside later, and said. */
export async function readJournal(
  numbers: readonly number[],
  isWanted: (entry: Entry) => boolean,
  { spool, journal, outbox }: Pick<RecoveryOptions, 'spool' | 'journal' | 'outbox'>,
  logger: Logger,
): Promise<JournalContents> {
  const contents: JournalContents = new Map();
  for (const number of numbers) {
    const { frames, end } = await spool.decode(spool.journalPath(number));
    const entries = frames.map(entriesOf);
    if ((end === 'foreign' || entries.includes(undefined)) && journal.damaged(number)) {
      outbox.unreadable++;
      logger.error('a file of the journal cannot be read whole; it is set aside and some of it may be missing', { number });
    }
    for (const frame of entries) {
      if (frame === undefined) cutAll(contents);
      for (const entry of frame?.filter(isWanted) ?? []) take(entry, contents);
    }
  }
  return contents;
}

function entriesOf(frame: Buffer | undefined): Entry[] | undefined {
  try {
    return frame && readEntries(frame);
  } catch {
    return undefined;
  }
}

function cutAll(contents: JournalContents): void {
  for (const session of contents.values()) for (const unsealed of session.values()) unsealed.isCut = true;
}

function take({ kind, session: id, number, body }: Entry, contents: JournalContents): void {
  const session = contents.get(id) ?? new Map<number, Unsealed>();
  contents.set(id, session);
  const unsealed = session.get(number) ?? { head: undefined, texts: [], isCut: false };
  session.set(number, unsealed);
  // What comes behind the damage says by its number whether there was more.
  unsealed.isCut = false;
  if (kind === 'record') unsealed.texts.push(body);
  else unsealed.head = parseHead(body);
  const before = session.get(number - 1);
  if (before !== undefined) before.isCut = false;
}

/** Undefined where it is none: its records are unreadable then. */
function parseHead(body: Buffer): TailHead | undefined {
  try {
    return TailHead.parse(JSON.parse(body.toString()));
  } catch {
    return undefined;
  }
}

/**
 * Brings a session that nobody records any more to its end: seals what the journal has of it under the epoch key of now with the flag
 * torn, and hands everything to the outbox. What cannot be signed is said; it never stops the rest. May be repeated.
 *
 * @returns whether some of it could not be signed: the journal's files are to be kept
 */
export async function recoverSession(
  session: string,
  found: { readonly unsealed: ReadonlyMap<number, Unsealed>; readonly segments: ReadonlyMap<number, SpooledSegment> },
  options: RecoveryOptions,
): Promise<'recovered' | 'unreadable'> {
  const sealed = new Map(found.segments);
  const state = { session, sealed, unsealed: found.unsealed };
  let outcome: 'recovered' | 'unreadable' = 'recovered';
  for (const [number, unsealed] of [...found.unsealed].toSorted(([a], [b]) => a - b))
    if (!sealed.has(number) && !(await sealOne(number, unsealed, state, options))) outcome = 'unreadable';
  for (const [number, { size, isReadable }] of [...sealed].toSorted(([a], [b]) => a - b)) {
    if (size === 0) options.journal.freed(options.spool.segmentPath(session, number));
    else if (isReadable) options.outbox.add({ session, number, size });
  }
  return outcome;
}

interface RecoveredSession {
  readonly session: string;
  readonly sealed: Map<number, SpooledSegment>;
  readonly unsealed: ReadonlyMap<number, Unsealed>;
}

/** False: it is not of this pod, or nobody can say what it follows. */
async function sealOne(
  number: number,
  { head, ...rest }: Unsealed,
  state: RecoveredSession,
  options: RecoveryOptions,
): Promise<boolean> {
  const { session, sealed, unsealed } = state;
  const { spool, outbox, counter, logger, nkey } = options;
  if (head?.nkey !== nkey || head.session !== session || head.number !== number) {
    outbox.unreadable++;
    logger.error('records that nobody sealed cannot be signed here; their file is set aside', { session, number });
    return false;
  }
  const previous = sealed.get(number - 1)?.isReadable === true ? await loadPrevious(session, number, spool) : undefined;
  const nextFirst = unsealed.get(number + 1)?.head?.firstSeq;
  const taken = takeRecords({ head, ...rest }, previous?.header.records.last, nextFirst);
  const { texts, lost } = taken;
  // An empty one is sealed too: were its number free, and the one before it received, what the journal says that it follows would be the
  // segment that the crash took, and a process that is killed now would leave that to the next.
  if (texts.length === 0 && lost === 0 && number === 0) return true;
  const { parcel, link } = sealTorn(head, taken, previous, options);
  const size = await spool.store(session, number, parcel);
  counter.sealed(session, number, link);
  sealed.set(number, { size, isReadable: true });
  logger.warn('records that a crash left unsealed were sealed', { session, number, records: texts.length, lost });
  return true;
}

interface Taken {
  readonly firstSeq: number;
  readonly texts: readonly Buffer[];
  readonly records: readonly SessionRecord[];
  /** Records that are missing, or follow those. */
  readonly lost: number;
}

/** The records up to the first that is missing: a segment has no holes. */
function takeRecords(
  { head, texts, isCut }: Unsealed & { head: TailHead },
  lastBefore: number | undefined,
  nextFirst: number | undefined,
): Taken {
  const all = texts.map(decodeRecord);
  const firstSeq = lastBefore === undefined ? head.firstSeq : lastBefore + 1;
  const hole = all.findIndex(({ seq }, at) => seq !== firstSeq + at);
  const count = hole < 0 ? all.length : hole;
  const end = Math.max(firstSeq + count, (all.at(-1)?.seq ?? -1) + 1, nextFirst ?? 0);
  const lost = end - firstSeq - count + (isCut ? 1 : 0);
  return { firstSeq, texts: texts.slice(0, count), records: all.slice(0, count), lost };
}

type Previous = ReturnType<typeof parseSegment>;

function sealTorn(
  head: TailHead,
  taken: Taken,
  previous: Previous | undefined,
  options: RecoveryOptions,
): { parcel: Buffer; link: string } {
  const { records, texts, firstSeq, lost } = taken;
  const [first, last] = [records[0] ?? head, records.at(-1) ?? head];
  const counters = { ...head.counters };
  for (const record of records) countRecord(counters, record);
  const flags: SegmentFlag[] = ['torn'];
  if (records[0]?.type === 'session.open') flags.push('open');
  if (records.at(-1)?.type === 'session.close') flags.push('close');
  const { epoch, at } = options.epoch();
  const segment = sealSegment({
    origin: options.origin,
    session: head.session,
    number: head.number,
    policy: head.policy,
    key: new DataKey(head.session, Buffer.from(head.key.secret, 'base64')),
    epoch,
    registration: options.identity.registration,
    prev: previous?.link ?? head.prev,
    firstSeq,
    records: texts,
    clock: { wall: [first.at, last.at], mono: [first.mono, last.mono], sealed: at },
    counters: { ...counters, dropped: counters.dropped + lost },
    flags,
  });
  return { parcel: encodeParcel({ key: head.key.wrapped, segment: segment.bytes }), link: segment.link };
}

async function loadPrevious(session: string, number: number, spool: Spool): Promise<Previous | undefined> {
  try {
    return parseSegment(segmentOf(await spool.load(session, number - 1)));
  } catch {
    // Said and set aside when its turn for delivery comes; the head itself says what it follows.
    return undefined;
  }
}
