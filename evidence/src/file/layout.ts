import { z } from 'zod';
import type { CounterStatement } from '../counter.ts';
import { type DataKey, MAX_WRAPPED_BYTES, type WrappedKey } from '../data-key.ts';
import { EvidenceError } from '../errors.ts';
import { SESSION_ID } from '../ids.ts';
import { formatConsistencyProof, type ConsistencyProof } from '../log/consistency.ts';
import { MAX_NOTE_BYTES } from '../log/note.ts';
import { formatProofFile, type ProofFile } from '../log/proof-file.ts';
import { formatRangeProof, type RangeProof } from '../log/range.ts';
import { readDecimal } from '../log/text.ts';
import { MAX_ENTRY_BYTES, writeBundleTile } from '../log/tiles.ts';
import { MAX_ORDER_BYTES } from '../order.ts';
import { MAX_SEGMENT_BYTES } from '../segment.ts';
import { ARCHIVE_END, archived, type Member } from './archive.ts';

/*
 * An evidence file is an archive (archive.ts) of these members, in this order:
 *
 *     evidence.json             {"format":"chaperone.dev/evidence/v1","origin":…}
 *     log/checkpoint            the signed note
 *     log/consistency           that the log goes on from an older checkpoint; may be left out
 *     log/range                 that the entries that follow are all of a range of the log; may be left out
 *     log/entries/INDEX         entries from INDEX on, as a bundle of C2SP tlog-tiles has them; as many as it takes
 *     counter/NUMBER            what pods counted, upwards from 0 and by their nkeys; as many as are known to be of use
 *     reading/INDEX             an entry that says that somebody read, and the text that says who; behind its proof, where it is in no range
 *     proof/INDEX               C2SP tlog-proof of the entry of what follows, where it is in no range
 *     erasure/SESSION           the log's entry of the order by which the session was erased
 *     order/SESSION             the text of that order; may be left out
 *     key/SESSION               the session's data key: whoever has the file reads what was recorded; may be left out
 *     wrapped/SESSION           the same as it was wrapped: its recipients alone read; in place of key/SESSION
 *     segment/SESSION/NUMBER    sessions one after another, numbers upwards
 */
export const EVIDENCE_FORMAT = 'chaperone.dev/evidence/v1';
const MAX_HEAD_BYTES = 1024;
const MAX_PROOF_TEXT_BYTES = 16 * 1024;
/** Three signed statements of 2,048 characters each, of which JSON doubles some and UTF-8 triples some. */
const MAX_COUNTER_BYTES = 16 * 1024;
/** Counters of one file: more than the ConfigMaps of an installation hold, so that whoever makes pods keeps nobody from a file. */
export const MAX_COUNTERS = 65_536;
/** Readings of one file that say who it was: of a person who reads as much as they may (600 in ten minutes) those of 18 hours. */
export const MAX_READINGS = 65_536;
/** An entry, and a text whose name may be escaped, every character. */
const MAX_READING_BYTES = 8192;
/** Entries of one member. */
export const MAX_CHUNK = 64;
const MAX_CHUNK_BYTES = MAX_CHUNK * (2 + MAX_ENTRY_BYTES);

const Head = z.strictObject({ format: z.literal(EVIDENCE_FORMAT), origin: z.string().min(1).max(253) });

const KEY_BYTES = 32;

export interface SegmentMember {
  readonly kind: 'segment';
  readonly session: string;
  readonly number: number;
}
export interface SessionMember {
  readonly kind: 'erasure' | 'order' | 'key' | 'wrapped';
  readonly session: string;
}
/** What a member is, by its name. */
export type Place =
  | { readonly kind: 'head' | 'checkpoint' | 'consistency' | 'range' }
  | { readonly kind: 'entries' | 'proof' | 'counter' | 'reading'; readonly index: number }
  | SessionMember
  | SegmentMember;

const FIXED: ReadonlyMap<string, Place> = new Map([
  ['evidence.json', { kind: 'head' }],
  ['log/checkpoint', { kind: 'checkpoint' }],
  ['log/consistency', { kind: 'consistency' }],
  ['log/range', { kind: 'range' }],
]);

/** Undefined for a name that is none. */
export function placeOf(name: string): Place | undefined {
  const fixed = FIXED.get(name);
  if (fixed !== undefined) return fixed;
  const [, kind, about = ''] = /^(erasure|order|key|wrapped)\/([^/]+)$/.exec(name) ?? [];
  if (kind !== undefined) return SESSION_ID.test(about) ? { kind: kind as SessionMember['kind'], session: about } : undefined;
  const [, folder = '', session = '', decimal = ''] =
    /^(log\/entries|counter|reading|proof|segment)\/(?:([^/]+)\/)?([^/]+)$/.exec(name) ?? [];
  const number = readDecimal(decimal);
  if (number === undefined) return undefined;
  if (folder === 'segment') return SESSION_ID.test(session) ? { kind: 'segment', session, number } : undefined;
  if (session !== '') return undefined;
  return { kind: folder === 'log/entries' ? 'entries' : (folder as 'counter' | 'reading' | 'proof'), index: number };
}

const MOST: Readonly<Record<Place['kind'], number>> = {
  head: MAX_HEAD_BYTES,
  checkpoint: MAX_NOTE_BYTES,
  consistency: MAX_PROOF_TEXT_BYTES,
  range: MAX_PROOF_TEXT_BYTES,
  entries: MAX_CHUNK_BYTES,
  counter: MAX_COUNTER_BYTES,
  reading: MAX_READING_BYTES,
  proof: MAX_PROOF_TEXT_BYTES + MAX_NOTE_BYTES,
  erasure: MAX_ENTRY_BYTES,
  order: MAX_ORDER_BYTES,
  key: KEY_BYTES,
  wrapped: MAX_WRAPPED_BYTES,
  segment: MAX_SEGMENT_BYTES,
};

/** How many bytes a member of this name may have; undefined where there is none. */
export function mostOf(name: string): number | undefined {
  const place = placeOf(name);
  return place === undefined ? undefined : MOST[place.kind];
}

/** The origin that a file says it is of. Throws EvidenceError MalformedBundle, UnsupportedVersion. */
export function parseHead(bytes: Buffer): string {
  let said: unknown;
  try {
    said = JSON.parse(bytes.toString());
  } catch (cause) {
    throw new EvidenceError('MalformedBundle', 'evidence.json cannot be read', { cause });
  }
  const head = Head.safeParse(said);
  if (head.success) return head.data.origin;
  const other = z.object({ format: z.string().startsWith('chaperone.dev/evidence/') }).safeParse(said);
  if (other.success && other.data.format !== EVIDENCE_FORMAT)
    throw new EvidenceError('UnsupportedVersion', 'the file is of a version that this program does not know');
  throw new EvidenceError('MalformedBundle', 'evidence.json does not have the expected shape');
}

/** What a file is written of, member by member. */
export const members = {
  head: (origin: string): Member => ({
    name: 'evidence.json',
    bytes: Buffer.from(JSON.stringify({ format: EVIDENCE_FORMAT, origin })),
  }),
  checkpoint: (note: Buffer): Member => ({ name: 'log/checkpoint', bytes: note }),
  consistency: (proof: ConsistencyProof): Member => ({ name: 'log/consistency', bytes: formatConsistencyProof(proof) }),
  range: (proof: RangeProof): Member => ({ name: 'log/range', bytes: formatRangeProof(proof) }),
  entries: (index: number, entries: readonly Buffer[]): Member => ({
    name: `log/entries/${index}`,
    bytes: writeBundleTile(entries),
  }),
  counter: (index: number, { registration, certificate, counter }: CounterStatement): Member => ({
    name: `counter/${index}`,
    bytes: Buffer.from(JSON.stringify({ registration, certificate, counter })),
  }),
  /** @param text - empty where nobody says any more who it was */
  reading: (index: number, entry: Buffer, text: Buffer): Member => {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(entry.length);
    return { name: `reading/${index}`, bytes: Buffer.concat([length, entry, text]) };
  },
  proof: (proof: ProofFile): Member => ({ name: `proof/${proof.index}`, bytes: formatProofFile(proof) }),
  erasure: (session: string, entry: Buffer): Member => ({ name: `erasure/${session}`, bytes: entry }),
  order: (session: string, text: Buffer): Member => ({ name: `order/${session}`, bytes: text }),
  key: ({ session, secret }: DataKey): Member => ({ name: `key/${session}`, bytes: secret }),
  wrapped: (key: WrappedKey): Member => ({ name: `wrapped/${key.session}`, bytes: Buffer.from(JSON.stringify(key)) }),
  segment: (session: string, number: number, bytes: Buffer): Member => ({ name: `segment/${session}/${number}`, bytes }),
} as const;

/** The bytes of a file, as they come. */
export async function* writeEvidence(from: AsyncIterable<Member> | Iterable<Member>): AsyncGenerator<Buffer> {
  for await (const member of from) yield* archived(member);
  yield ARCHIVE_END;
}

/** Which kinds of members may stand behind a kind. */
export const NEXT: Readonly<Record<Place['kind'] | 'start', readonly Place['kind'][]>> = {
  start: ['head'],
  head: ['checkpoint'],
  checkpoint: ['consistency', 'range', 'counter', 'reading', 'proof', 'erasure', 'key', 'wrapped', 'segment'],
  consistency: ['range', 'counter', 'reading', 'proof', 'erasure', 'key', 'wrapped', 'segment'],
  range: ['entries'],
  entries: ['entries', 'counter', 'reading', 'proof', 'erasure', 'key', 'wrapped', 'segment'],
  counter: ['counter', 'reading', 'proof', 'erasure', 'key', 'wrapped', 'segment'],
  reading: ['reading', 'proof', 'erasure', 'key', 'wrapped', 'segment'],
  proof: ['reading', 'erasure', 'segment'],
  erasure: ['order', 'key', 'wrapped', 'proof', 'segment'],
  order: ['key', 'wrapped', 'proof', 'segment'],
  key: ['proof', 'segment'],
  wrapped: ['proof', 'segment'],
  segment: ['proof', 'erasure', 'key', 'wrapped', 'segment'],
};
