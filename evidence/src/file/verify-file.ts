import { EvidenceError, orUndefined } from '../errors.ts';
import { SessionJudge, type SessionVerdict, type Verdict } from '../judge.ts';
import type { Trust } from '../keys.ts';
import type { Checkpoint } from '../log/checkpoint.ts';
import { type ConsistencyProof, parseConsistencyProof } from '../log/consistency.ts';
import { decodeLeaf, segmentLeaf } from '../log/leaf.ts';
import { openCheckpoint, type TrustPolicy, withoutQuorum } from '../log/policy.ts';
import { verifyConsistency, verifyInclusion } from '../log/proof.ts';
import { parseProofFile } from '../log/proof-file.ts';
import { parseRangeProof, type RangeProof, RangeVerifier } from '../log/range.ts';
import { readBundleEntries } from '../log/tiles.ts';
import { leafHash } from '../merkle.ts';
import type { VerifiedSegment } from '../verify.ts';
import { type Member, readArchive } from './archive.ts';
import { MAX_CHUNK, mostOf, parseHead, type Place, placeOf, type SegmentPlace } from './layout.ts';

/**
 * Beside what {@link Verdict} says · not witnessed: sound and in the log, whose checkpoint fewer witnesses have cosigned than the policy
 * asks for · not exported: the log has segments of it and the file has none · erased: the same, and the log says that it was erased.
 */
export type FileSessionVerdict = SessionVerdict<Verdict | 'not witnessed' | 'not exported' | 'erased'> & {
  /** Entries of the range that are of this session, where the file has a range. */
  readonly logged?: number;
};

export interface FileTrust extends Trust {
  readonly policy: TrustPolicy;
  /** A checkpoint that the auditor kept: a signed note. */
  readonly since?: Buffer;
}

/** append-only: the log begins as the kept checkpoint says · rewritten: it does not · not proven: nothing in the file shows either. */
export interface SinceVerdict {
  readonly size: number;
  readonly verdict: 'append-only' | 'rewritten' | 'not proven';
}

export interface LogSummary {
  readonly origin: string;
  readonly size: number;
  /** Base64. */
  readonly root: string;
  readonly quorum: 'met' | 'missing';
  /** Those of the policy that have cosigned, with the second since 1970 that they say. */
  readonly witnesses: Readonly<Record<string, number | null>>;
  readonly since?: SinceVerdict;
  /** Every entry from one to the other is in the file, the end excluded. `first` and `last` are the earliest and latest clock of them. */
  readonly range?: { readonly from: number; readonly to: number; readonly first: number | null; readonly last: number | null };
}

/**
 * sound: it can be read and its log is believed · altered: it cannot, and `break` says why; then nothing is said of its sessions ·
 * empty: it holds no evidence.
 */
export interface FileVerdict {
  readonly verdict: 'sound' | 'altered' | 'empty';
  readonly break?: { readonly member?: string; readonly code: string; readonly message: string };
  readonly log?: LogSummary;
  readonly sessions: readonly FileSessionVerdict[];
}

/** What the log has of a session within the range. */
interface Logged {
  /** Where each segment's entry is: its place in the range. */
  readonly numbers: Map<number, number>;
  entries: number;
  /** A number that two different entries have. */
  twice?: number;
  erased: boolean;
}

/**
 * Verifies an evidence file offline, trusting nothing but `trust`. Holds one member at a time, and some hundred bytes of each entry of
 * its range and of each session. Never throws for bad evidence. Throws EvidenceError for a kept checkpoint that the policy does not believe.
 */
export async function verifyEvidence(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  trust: FileTrust,
): Promise<FileVerdict> {
  const since = trust.since === undefined ? undefined : openCheckpoint(trust.since, withoutQuorum(trust.policy)).checkpoint;
  const file = new EvidenceFile(trust, since);
  let at: string | undefined;
  try {
    for await (const member of readArchive(source, mostOf)) {
      at = member.name;
      file.take(member);
    }
    at = undefined;
    return file.end();
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    const where = at === undefined ? {} : { member: at };
    return { verdict: 'altered', break: { ...where, code: error.code, message: error.message }, sessions: [] };
  }
}

/** Which kinds may stand behind a kind. */
const NEXT: Readonly<Record<Place['kind'] | 'start', readonly Place['kind'][]>> = {
  start: ['head'],
  head: ['checkpoint'],
  checkpoint: ['consistency', 'range', 'proof', 'segment'],
  consistency: ['range', 'proof', 'segment'],
  range: ['entries'],
  entries: ['entries', 'proof', 'segment'],
  proof: ['segment'],
  segment: ['proof', 'segment'],
};

class EvidenceFile {
  readonly #trust: FileTrust;
  readonly #since: Checkpoint | undefined;
  #last: Place['kind'] | 'start' = 'start';
  #note: Buffer = Buffer.alloc(0);
  #checkpoint: Checkpoint | undefined;
  #log: LogSummary | undefined;
  #consistency: ConsistencyProof | undefined;
  #range:
    | { readonly proof: RangeProof; readonly verifier: RangeVerifier; readonly hashes: Buffer; isProven: boolean }
    | undefined;
  #clock: [first: number, last: number] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  readonly #logged = new Map<string, Logged>();
  readonly #judged = new Map<string, FileSessionVerdict>();
  #judge: SessionJudge | undefined;
  #proof: Buffer | undefined;

  constructor(trust: FileTrust, since: Checkpoint | undefined) {
    this.#trust = trust;
    this.#since = since;
  }

  take({ name, bytes }: Member): void {
    const place = placeOf(name);
    if (place === undefined || !NEXT[this.#last].includes(place.kind))
      throw malformed('a member stands where none of its kind may');
    this.#last = place.kind;
    if (this.#range?.isProven === false && place.kind !== 'entries') this.#proveRange();
    if (place.kind === 'head') this.#takeHead(bytes);
    else if (place.kind === 'checkpoint') this.#takeCheckpoint(bytes);
    else if (place.kind === 'consistency') this.#consistency = parseConsistencyProof(bytes);
    else if (place.kind === 'range') this.#takeRange(bytes);
    else if (place.kind === 'entries') this.#takeEntries(place.index, bytes);
    else if (place.kind === 'proof') this.#takeProof(place.index, bytes);
    else if (place.kind === 'segment') this.#takeSegment(place, bytes);
  }

  end(): FileVerdict {
    if (this.#log === undefined || this.#last === 'proof' || this.#last === 'range') throw malformed('the file ends early');
    if (this.#range?.isProven === false) this.#proveRange();
    this.#endSession();
    for (const [session, { entries, erased, numbers }] of this.#logged)
      if (!this.#judged.has(session) && (erased || numbers.size > 0))
        this.#judged.set(session, {
          session,
          verdict: erased ? 'erased' : 'not exported',
          segments: 0,
          records: 0,
          counters: { actions: 0, denied: 0, masked: 0, dropped: 0 },
          logged: entries,
        });
    const sessions = [...this.#judged.values()];
    const since = this.#sinceVerdict();
    const log = { ...this.#log, ...(since === undefined ? {} : { since }), ...this.#rangeSummary() };
    return { verdict: sessions.length === 0 ? 'empty' : 'sound', log, sessions };
  }

  #takeHead(bytes: Buffer): void {
    if (parseHead(bytes) !== this.#trust.origin) throw new EvidenceError('OriginMismatch', 'the file is of another origin');
  }

  #takeCheckpoint(note: Buffer): void {
    const { policy, origin } = this.#trust;
    const { checkpoint, witnesses } = openCheckpoint(note, withoutQuorum(policy));
    if (checkpoint.origin !== origin) throw new EvidenceError('OriginMismatch', 'the checkpoint is of another log');
    const isMet = orUndefined(() => openCheckpoint(note, policy)) !== undefined;
    this.#note = note;
    this.#checkpoint = checkpoint;
    this.#log = {
      origin,
      size: checkpoint.size,
      root: checkpoint.root.toString('base64'),
      quorum: isMet ? 'met' : 'missing',
      witnesses: Object.fromEntries([...witnesses].map(([name, time]) => [name, time ?? null])),
    };
  }

  #takeRange(bytes: Buffer): void {
    const proof = parseRangeProof(bytes);
    if (proof.to > this.#head.size) throw new EvidenceError('ProofInvalid', 'the range ends behind the log');
    const hashes = Buffer.alloc((proof.to - proof.from) * 32);
    this.#range = { proof, verifier: new RangeVerifier(proof), hashes, isProven: false };
  }

  #takeEntries(index: number, bytes: Buffer): void {
    const range = this.#range;
    if (range === undefined || index !== range.proof.from + range.verifier.taken)
      throw malformed('entries stand where others belong');
    const entries = readBundleEntries(bytes);
    const left = range.proof.to - index;
    if (entries.length === 0 || entries.length > Math.min(left, MAX_CHUNK))
      throw malformed('there are more entries, or fewer, than the range has');
    for (const entry of entries) {
      const at = range.verifier.taken;
      range.verifier.take(entry).copy(range.hashes, at * 32);
      this.#remember(entry, at);
    }
  }

  /** Remembers what an entry is about; one that cannot be read, or is of a kind that is not known, is an entry all the same. */
  #remember(entry: Buffer, at: number): void {
    const leaf = orUndefined(() => decodeLeaf(entry));
    if (leaf === undefined || leaf.kind === 'registration') return;
    const { session } = leaf.statement;
    const logged = this.#logged.get(session) ?? { numbers: new Map<number, number>(), entries: 0, erased: false };
    this.#logged.set(session, logged);
    logged.entries++;
    if (leaf.kind === 'erasure') logged.erased = true;
    if (leaf.kind !== 'segment') return;
    const { number, clock } = leaf.statement;
    this.#clock = [Math.min(this.#clock[0], clock.wall[0]), Math.max(this.#clock[1], clock.wall[1])];
    const before = logged.numbers.get(number);
    if (before === undefined) logged.numbers.set(number, at);
    else if (!this.#hashAt(before).equals(this.#hashAt(at))) logged.twice ??= number;
  }

  #hashAt(at: number): Buffer {
    return this.#range?.hashes.subarray(at * 32, at * 32 + 32) ?? Buffer.alloc(0);
  }

  #proveRange(): void {
    const range = this.#range;
    if (range === undefined) return;
    if (!range.verifier.isWhole()) throw malformed('the entries end before the range does');
    if (!range.verifier.verify(this.#head))
      throw new EvidenceError('ProofInvalid', 'the entries are not all of the range that the checkpoint was signed over');
    range.isProven = true;
  }

  #takeProof(index: number, bytes: Buffer): void {
    const proof = parseProofFile(bytes);
    if (proof.index !== index || !proof.checkpoint.equals(this.#note))
      throw malformed('a proof is of another entry or checkpoint than it says');
    this.#proof = bytes;
  }

  #takeSegment({ session, number }: SegmentPlace, bytes: Buffer): void {
    if (this.#judge?.session !== session) {
      this.#endSession();
      if (this.#judged.has(session)) throw malformed('a session stands in two places');
      this.#judge = new SessionJudge(session, this.#trust);
    }
    const proof = this.#proof;
    this.#proof = undefined;
    this.#judge.take(bytes, (segment) => this.#prove(segment, proof), number);
  }

  /** Throws EvidenceError NotLogged unless the segment's entry is in the log. */
  #prove(segment: VerifiedSegment, proofBytes: Buffer | undefined): void {
    const { session, number } = segment.header;
    const leaf = leafHash(segmentLeaf(segment));
    if (proofBytes !== undefined) {
      const { index, path } = parseProofFile(proofBytes);
      if (!verifyInclusion(leaf, index, this.#head, path))
        throw new EvidenceError('NotLogged', 'the proof is not of this segment in the log');
      return;
    }
    const logged = this.#logged.get(session);
    const at = logged?.numbers.get(number);
    if (at === undefined) throw new EvidenceError('NotLogged', 'nothing proves that the segment is in the log');
    if (logged?.twice === number || !this.#hashAt(at).equals(leaf))
      throw new EvidenceError('NotLogged', `the log has another segment ${number} of this session`);
  }

  #endSession(): void {
    const judge = this.#judge;
    if (judge === undefined) return;
    this.#judge = undefined;
    const logged = this.#logged.get(judge.session);
    const { segments } = judge.verdict;
    const next = [...(logged?.numbers.keys() ?? [])].filter((number) => number >= segments).toSorted((a, b) => a - b)[0];
    if (next !== undefined)
      judge.fail(new EvidenceError('SegmentMissing', `segment ${segments} is missing; the log has segment ${next}`));
    const found = judge.verdict;
    const isSound = found.verdict === 'complete' || found.verdict === 'open' || found.verdict === 'interrupted';
    this.#judged.set(judge.session, {
      ...found,
      verdict: isSound && this.#log?.quorum === 'missing' ? 'not witnessed' : found.verdict,
      ...(logged === undefined ? {} : { logged: logged.entries }),
    });
  }

  get #head(): Checkpoint {
    if (this.#checkpoint === undefined) throw malformed('the file has no checkpoint');
    return this.#checkpoint;
  }

  #sinceVerdict(): SinceVerdict | undefined {
    const since = this.#since;
    if (since === undefined) return undefined;
    const { size } = since;
    const head = this.#head;
    // Of these two nothing has to be proven.
    const own = size === 0 || size === head.size ? { older: size, path: [] } : undefined;
    const proof = own ?? (this.#consistency?.older === size ? this.#consistency : undefined);
    if (since.origin !== head.origin) return { size, verdict: 'rewritten' };
    if (proof === undefined || size > head.size) return { size, verdict: 'not proven' };
    return { size, verdict: verifyConsistency(since, head, proof.path) ? 'append-only' : 'rewritten' };
  }

  #rangeSummary(): Pick<LogSummary, 'range'> {
    if (this.#range === undefined) return {};
    const { from, to } = this.#range.proof;
    const [first, last] = this.#clock.map((at) => (Number.isFinite(at) ? at : null));
    return { range: { from, to, first: first ?? null, last: last ?? null } };
  }
}

function malformed(message: string): EvidenceError {
  return new EvidenceError('MalformedBundle', message);
}
