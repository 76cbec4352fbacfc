import { readFile } from 'node:fs/promises';
import { type Epoch, type PodIdentity, parseSegment, type SegmentFlag, SessionRecord, sealSegment } from '@chaperone/evidence';
import { decodeFrames } from './frames.ts';
import type { Logger, Outbox } from './outbox.ts';
import { countRecord } from './session.ts';
import type { Spool } from './spool.ts';
import { splitRecords, TailHead } from './tail.ts';

export interface RecoveryOptions {
  readonly spool: Spool;
  readonly outbox: Outbox;
  readonly logger: Logger;
  readonly identity: PodIdentity;
  readonly nkey: string;
  readonly origin: string;
  epoch(): Epoch;
}

/**
 * Brings a session that nobody records any more to its end: seals its tails under the epoch key of now with the flag torn,
 * and hands everything to the outbox. What cannot be read is set aside and said; it never stops the rest. May be repeated.
 */
export async function recoverSession(session: string, options: RecoveryOptions): Promise<void> {
  const { spool, outbox, logger } = options;
  const files = await spool.files(session);
  const sealed = new Set(files.filter((file) => file.kind === 'seg').map((file) => file.number));
  let marked = false;
  for (const { number } of files.filter((file) => file.kind === 'tail')) {
    if (sealed.has(number)) await spool.remove(session, number, 'tail');
    else {
      const outcome = await sealTail(session, number, { marked, afterSealed: sealed.has(number - 1) }, options);
      if (outcome === 'sealed') sealed.add(number);
      if (outcome === 'unreadable') {
        outbox.unreadable++;
        logger.error('an unsealed spool file cannot be read; it is set aside and will be missing', { session, number });
        await spool.setAside(session, number, 'tail');
      } else marked = true;
    }
  }
  for (const number of [...sealed].toSorted((a, b) => a - b))
    outbox.add({ session, number, size: await spool.sizeOf(session, number) });
  if (sealed.size === 0) await spool.forget(session);
}

type Outcome = 'sealed' | 'dropped' | 'unreadable';
type Previous = ReturnType<typeof parseSegment>;

interface Found {
  readonly head: TailHead;
  readonly texts: readonly Buffer[];
  readonly lost: number;
  readonly previous: Previous | undefined;
}

async function sealTail(
  session: string,
  number: number,
  before: { marked: boolean; afterSealed: boolean },
  options: RecoveryOptions,
): Promise<Outcome> {
  const found = await readTail(session, number, before.afterSealed, options);
  if (found === 'unreadable') return found;
  const began = found !== 'empty' && (found.texts.length > 0 || found.lost > 0 || (number > 0 && !before.marked));
  if (!began) {
    await options.spool.remove(session, number, 'tail');
    return 'dropped';
  }
  await options.spool.store(session, number, sealTorn(found, options));
  const { texts, lost } = found;
  options.logger.warn('records that a crash left unsealed were sealed', { session, number, records: texts.length, lost });
  return 'sealed';
}

async function readTail(
  session: string,
  number: number,
  afterSealed: boolean,
  { spool, nkey }: RecoveryOptions,
): Promise<Found | 'empty' | 'unreadable'> {
  const bytes = await readFile(spool.path(session, number, 'tail'));
  const { frames, end, lost } = decodeFrames(bytes, spool.key, `${session}/${number}.tail`);
  const previous = afterSealed ? await loadPrevious(session, number, spool) : undefined;
  const [first, ...rest] = frames;
  const texts = rest.flatMap(splitRecords);
  const torn = first === undefined && end === 'torn';
  if (torn && number === 0) return 'empty';
  const head = first === undefined ? undefined : TailHead.parse(JSON.parse(first.toString()));
  const known = head ?? (torn ? headAfter(previous, nkey) : undefined);
  if (known?.nkey !== nkey || known.session !== session || known.number !== number) return 'unreadable';
  return { head: known, texts, lost, previous };
}

function sealTorn({ head, texts, lost, previous }: Found, options: RecoveryOptions): Buffer {
  const records = texts.map((text) => SessionRecord.parse(JSON.parse(text.toString())));
  const [first, last] = [records[0] ?? head, records.at(-1) ?? head];
  const counters = records.reduce(countRecord, head.counters);
  const flags: SegmentFlag[] = ['torn'];
  if (records[0]?.type === 'session.open') flags.push('open');
  if (records.at(-1)?.type === 'session.close') flags.push('close');
  return sealSegment({
    origin: options.origin,
    session: head.session,
    number: head.number,
    policy: head.policy,
    epoch: options.epoch(),
    registration: options.identity.registration,
    prev: previous?.link ?? head.prev,
    firstSeq: previous === undefined ? head.firstSeq : previous.header.records.last + 1,
    records: texts,
    clock: { wall: [first.at, last.at], mono: [first.mono, last.mono] },
    counters: { ...counters, dropped: counters.dropped + lost },
    flags,
  }).bytes;
}

async function loadPrevious(session: string, number: number, spool: Spool): Promise<Previous | undefined> {
  try {
    return parseSegment(await spool.load(session, number - 1));
  } catch {
    // Said and set aside when its turn for delivery comes; the tail's own head says what it follows.
    return undefined;
  }
}

/** A power loss can keep a tail's name and lose its head; the segment before it says the same. */
function headAfter(previous: Previous | undefined, nkey: string): TailHead | undefined {
  if (previous === undefined) return undefined;
  const { header } = previous;
  return {
    nkey,
    session: header.session,
    number: header.number + 1,
    prev: previous.link,
    policy: header.policy,
    firstSeq: header.records.last + 1,
    counters: header.counters,
    at: header.clock.wall[1],
    mono: header.clock.mono[1],
  };
}
