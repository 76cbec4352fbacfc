import type { GivenOrder, GivenReading } from '../api.ts';
import { Claims, type PodCount } from './claims.ts';
import { DataKey, type KeyHolder } from '../data-key.ts';
import { EvidenceError, orUndefined } from '../errors.ts';
import { SessionJudge, type SessionVerdict, type Verdict } from '../judge.ts';
import { RememberingTrust, type Trust } from '../keys.ts';
import type { Checkpoint } from '../log/checkpoint.ts';
import { type ConsistencyProof, parseConsistencyProof } from '../log/consistency.ts';
import { decodeLeaf, type Leaf, segmentLeaf } from '../log/leaf.ts';
import { openCheckpoint, type TrustPolicy, withoutQuorum } from '../log/policy.ts';
import { verifyConsistency, verifyInclusion } from '../log/proof.ts';
import { parseProofFile } from '../log/proof-file.ts';
import { parseRangeProof, type RangeProof, RangeVerifier } from '../log/range.ts';
import { readBundleEntries } from '../log/tiles.ts';
import { KEY_TYPE } from '../log/vkey.ts';
import { leafHash } from '../merkle.ts';
import { openOrder, verifyOrderLeaf } from '../order.ts';
import type { SegmentContent } from '../segment.ts';
import type { VerifiedSegment } from '../verify.ts';
import { type Member, readArchive } from './archive.ts';
import { FileReadings } from './readings.ts';
import { type Unwrapped, unwrapped } from './wrapped.ts';
import { MAX_CHUNK, mostOf, NEXT, parseHead, type Place, placeOf, type SegmentMember, type SessionMember } from './layout.ts';

/**
 * Beside what {@link Verdict} says · not witnessed: sound and in the log, whose checkpoint fewer witnesses have cosigned than the policy
 * asks for · not exported: the log has segments of it and the file has none · missing: a pod counted it, and neither file nor range have anything of it · erased: the same, and the log says that it was erased.
 * Of a session that was erased and whose segments are here the verdict says what they prove, and `erasure` who had it erased.
 */
export type FileSessionVerdict = SessionVerdict<Verdict | 'not witnessed' | 'not exported' | 'missing' | 'erased'> & {
  /** Entries of the range that are of this session, where the file has a range. */
  readonly logged?: number;
  /** The order that the log has and signed; with who and why where its text is here. */
  readonly erasure?: GivenOrder;
};

export interface FileTrust extends Trust {
  readonly policy: TrustPolicy;
  /** A checkpoint that the auditor kept: a signed note. */
  readonly since?: Buffer;
  /** Who unwraps keys of sessions that were wrapped to them. */
  readonly holders?: readonly KeyHolder[];
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
  /** What pods counted, where the file has it. */
  readonly counters?: readonly PodCount[];
  /** Who read evidence, in the order of their entries, where the file says so. */
  readonly readings?: readonly GivenReading[];
  readonly sessions: readonly FileSessionVerdict[];
}

/** Hears what a file holds while it is verified; what it heard counts only where the verdict on the file is not `altered`. */
export interface FileWatcher {
  /** An entry of the range that can be read. */
  readonly entry: (leaf: Leaf, index: number) => void;
  /** A sound segment, with its records where its key is there. `inRange`: its entry is one of the range. */
  readonly segment: (segment: VerifiedSegment & Partial<SegmentContent>, inRange: boolean) => void;
}

/** What the log has of a session within the range. */
interface Logged {
  /** Where each segment's entry is: its place in the range. */
  readonly numbers: Map<number, number>;
  entries: number;
  /** Numbers that two different entries have. */
  twice?: Set<number>;
  /** What its first order of erasure is that the log signed: its place in the range. */
  erasure?: { readonly at: number; readonly order: GivenOrder };
}

/**
 * Verifies an evidence file offline, trusting nothing but `trust`. Holds one member at a time, and some hundred bytes of each entry of
 * its range and of each session. Never throws for bad evidence. Throws EvidenceError for a kept checkpoint that the policy does not believe.
 */
export async function verifyEvidence(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  trust: FileTrust,
  watcher?: FileWatcher,
): Promise<FileVerdict> {
  const since = trust.since === undefined ? undefined : openCheckpoint(trust.since, withoutQuorum(trust.policy)).checkpoint;
  const file = new EvidenceFile(trust, since, watcher);
  let at: string | undefined;
  try {
    for await (const member of readArchive(source, mostOf)) {
      at = member.name;
      file.take(member, await unwrapped(member, trust.holders ?? []));
    }
    at = undefined;
    return file.end();
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    const where = at === undefined ? {} : { member: at };
    return { verdict: 'altered', break: { ...where, code: error.code, message: error.message }, sessions: [] };
  }
}

class EvidenceFile {
  readonly #trust: FileTrust;
  readonly #signers: RememberingTrust;
  readonly #since: Checkpoint | undefined;
  readonly #watcher: FileWatcher | undefined;
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
  readonly #claims: Claims;
  readonly #readings = new FileReadings((leaf) => this.#isByLog(leaf));
  #judge: SessionJudge | undefined;
  #proof: Buffer | undefined;
  /** What was ordered about the session that is judged, and the digest of its text. */
  #erasure: { readonly digest: string; order: GivenOrder } | undefined;

  constructor(trust: FileTrust, since: Checkpoint | undefined, watcher: FileWatcher | undefined) {
    this.#trust = trust;
    this.#signers = new RememberingTrust(trust);
    this.#since = since;
    this.#watcher = watcher;
    this.#claims = new Claims(trust);
  }

  /** @param own - of a wrapped key, what it is to who verifies */
  take({ name, bytes }: Member, own?: Unwrapped): void {
    const place = placeOf(name);
    if (place === undefined || !NEXT[this.#last].includes(place.kind))
      throw malformed('a member stands where none of its kind may');
    const before = this.#last;
    this.#last = place.kind;
    if (this.#range?.isProven === false && place.kind !== 'entries') this.#proveRange();
    if (place.kind === 'head') this.#takeHead(bytes);
    else if (place.kind === 'checkpoint') this.#takeCheckpoint(bytes);
    else if (place.kind === 'consistency') this.#consistency = parseConsistencyProof(bytes);
    else if (place.kind === 'range') this.#takeRange(bytes);
    else if (place.kind === 'entries') this.#takeEntries(place.index, bytes);
    else if (place.kind === 'counter') this.#claims.take(place.index, bytes);
    else if (place.kind === 'reading') this.#takeReading(place.index, bytes);
    else if (place.kind === 'proof') this.#takeProof(place.index, bytes);
    else if (place.kind === 'wrapped') this.#takeWrapped(place, own, isOfErased(before));
    else if ('session' in place) this.#takeOf(place, bytes, before);
  }

  #takeOf(place: SegmentMember | SessionMember, bytes: Buffer, before: Place['kind'] | 'start'): void {
    if (place.kind === 'erasure') this.#takeErasure(place, bytes);
    else if (place.kind === 'order') this.#takeOrder(place, bytes);
    else if (place.kind === 'key') this.#takeKey(place, bytes, !isOfErased(before));
    else if (place.kind === 'segment') this.#takeSegment(place, bytes);
  }

  end(): FileVerdict {
    if (this.#log === undefined || this.#last === 'proof' || this.#last === 'range') throw malformed('the file ends early');
    if (this.#range?.isProven === false) this.#proveRange();
    this.#endSession();
    this.#judgeAbsent();
    const sessions = [...this.#judged.values()];
    const since = this.#sinceVerdict();
    const log = { ...this.#log, ...(since === undefined ? {} : { since }), ...this.#rangeSummary() };
    const { counted } = this.#claims;
    const readings = this.#readings.all;
    return {
      // Of a session whose segments were taken out of its file who read it is no evidence.
      verdict: sessions.length === 0 && (this.#range === undefined || readings.length === 0) ? 'empty' : 'sound',
      log,
      ...(counted.length === 0 ? {} : { counters: counted }),
      ...(readings.length === 0 ? {} : { readings }),
      sessions,
    };
  }

  /** Says what is known of sessions of which the file has nothing. */
  #judgeAbsent(): void {
    for (const [session, { entries, erasure, numbers }] of this.#logged)
      if (!this.#judged.has(session) && (erasure !== undefined || numbers.size > 0))
        this.#judged.set(session, {
          session,
          verdict: erasure === undefined ? 'not exported' : 'erased',
          segments: 0,
          records: 0,
          contents: 'sealed',
          ...(erasure === undefined ? {} : { erasure: erasure.order }),
          counters: { actions: 0, denied: 0, masked: 0, dropped: 0 },
          logged: entries,
        });
    // What is outside of a range nobody said to be here.
    if (this.#range !== undefined)
      for (const missing of this.#claims.missing((session) => this.#judged.has(session)))
        this.#judged.set(missing.session, missing);
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
    if (leaf === undefined) return;
    this.#watcher?.entry(leaf, this.#indexOf(at));
    this.#readings.remember(leaf, this.#indexOf(at));
    if (leaf.kind === 'registration' || leaf.kind === 'read') return;
    const { session } = leaf.statement;
    const logged: Logged = this.#logged.get(session) ?? { numbers: new Map<number, number>(), entries: 0 };
    this.#logged.set(session, logged);
    logged.entries++;
    if (leaf.kind === 'erasure' && this.#isByLog(leaf))
      logged.erasure ??= { at, order: { kind: 'erasure', at: leaf.statement.at, entry: this.#indexOf(at) } };
    if (leaf.kind !== 'segment') return;
    const { number, clock } = leaf.statement;
    this.#clock = [Math.min(this.#clock[0], clock.wall[0]), Math.max(this.#clock[1], clock.wall[1])];
    const before = logged.numbers.get(number);
    if (before === undefined) logged.numbers.set(number, at);
    else if (!this.#hashAt(before).equals(this.#hashAt(at))) (logged.twice ??= new Set()).add(number);
  }

  #indexOf(at: number): number {
    return (this.#range?.proof.from ?? 0) + at;
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

  /** Who judges a session. @param isFirst - of a member that no other of the session may stand before */
  #begin(session: string, isFirst: boolean): SessionJudge {
    if (this.#judge?.session === session && !isFirst) return this.#judge;
    this.#endSession();
    if (this.#judged.has(session)) throw malformed('a session stands in two places');
    this.#judge = new SessionJudge(session, this.#signers);
    return this.#judge;
  }

  /** The proof that stood before this member. */
  #ownProof(): Buffer | undefined {
    const proof = this.#proof;
    this.#proof = undefined;
    return proof;
  }

  #takeReading(index: number, bytes: Buffer): void {
    if (this.#judge !== undefined) throw malformed('a reading stands among sessions');
    const proof = this.#ownProof();
    this.#readings.take(index, bytes, (hash) => {
      const range = this.#range?.proof;
      const isInRange = range !== undefined && index >= range.from && index < range.to;
      const found = proof === undefined ? undefined : this.#provenAt(hash, proof);
      if (proof === undefined ? !isInRange || !this.#hashAt(index - range.from).equals(hash) : found !== index)
        throw new EvidenceError('NotLogged', 'nothing proves that a reading is in the log');
    });
  }

  #takeErasure({ session }: SessionMember, entry: Buffer): void {
    const judge = this.#begin(session, true);
    const proof = this.#ownProof();
    const leaf = orUndefined(() => decodeLeaf(entry));
    try {
      if (leaf?.kind !== 'erasure' || leaf.statement.session !== session)
        throw new EvidenceError('MalformedLeaf', 'what should be the order of erasure is another entry');
      if (!this.#isByLog(leaf)) throw new EvidenceError('SignatureInvalid', 'the log did not sign the order of erasure');
      const hash = leafHash(entry);
      const index = proof === undefined ? this.#placeOfErasure(session, hash) : this.#provenAt(hash, proof);
      const { order: digest, at } = leaf.statement;
      this.#erasure = { digest, order: { kind: 'erasure', at, entry: index } };
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      judge.fail(error);
    }
  }

  #placeOfErasure(session: string, hash: Buffer): number {
    const found = this.#logged.get(session)?.erasure;
    if (found === undefined || !this.#hashAt(found.at).equals(hash))
      throw new EvidenceError('NotLogged', 'nothing proves that the order of erasure is in the log');
    return found.order.entry;
  }

  #takeOrder({ session }: SessionMember, text: Buffer): void {
    if (this.#judge?.session !== session) throw malformed('an order stands where that of another session belongs');
    const erasure = this.#erasure;
    // What is wrong with its entry is said already.
    if (erasure === undefined) return;
    try {
      const { kind, session: about, at, by, reason } = openOrder(text, erasure.digest);
      if (kind !== 'erasure' || about !== session || at !== erasure.order.at)
        throw new EvidenceError('PayloadAltered', 'the order is not the one that the log names');
      erasure.order = { ...erasure.order, by, reason };
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.#judge.fail(error);
    }
  }

  #takeKey({ session }: SessionMember, secret: Buffer, isFirst: boolean): void {
    this.#begin(session, isFirst).unlock(new DataKey(session, secret));
  }

  #takeWrapped({ session }: SessionMember, own: Unwrapped | undefined, isBehind: boolean): void {
    const judge = this.#begin(session, !isBehind);
    if (own instanceof EvidenceError) judge.fail(own);
    else if (own !== undefined) judge.unlock(own);
  }

  #isByLog(leaf: Leaf): boolean {
    return this.#trust.policy.logs.some(
      ({ verifier: { key } }) =>
        key.type === KEY_TYPE.ed25519 && key.name === this.#trust.origin && verifyOrderLeaf(leaf, key.key),
    );
  }

  #takeSegment({ session, number }: SegmentMember, bytes: Buffer): void {
    const proof = this.#ownProof();
    const prove = (segment: VerifiedSegment): void => {
      this.#prove(segment, proof);
      this.#watcher?.segment(segment, proof === undefined);
    };
    this.#begin(session, false).take(bytes, prove, number);
  }

  /** The index that a proof proves. Throws EvidenceError NotLogged. */
  #provenAt(hash: Buffer, proof: Buffer): number {
    const { index, path } = parseProofFile(proof);
    if (verifyInclusion(hash, index, this.#head, path)) return index;
    throw new EvidenceError('NotLogged', 'the proof is not of this entry in the log');
  }

  /** Throws EvidenceError NotLogged unless the segment's entry is in the log. */
  #prove(segment: VerifiedSegment, proof: Buffer | undefined): void {
    this.#claims.check(segment);
    const { session, number } = segment.header;
    const leaf = leafHash(segmentLeaf(segment));
    if (proof !== undefined) {
      this.#provenAt(leaf, proof);
      return;
    }
    const logged = this.#logged.get(session);
    const at = logged?.numbers.get(number);
    if (at === undefined) throw new EvidenceError('NotLogged', 'nothing proves that the segment is in the log');
    if (logged?.twice?.has(number) === true || !this.#hashAt(at).equals(leaf))
      throw new EvidenceError('NotLogged', `the log has another segment ${number} of this session`);
  }

  #endSession(): void {
    const judge = this.#judge;
    if (judge === undefined) return;
    this.#judge = undefined;
    const logged = this.#logged.get(judge.session);
    const erasure = this.#erasure?.order ?? logged?.erasure?.order;
    this.#erasure = undefined;
    const { segments, break: already } = judge.verdict;
    const isGone = segments === 0 && already === undefined && erasure !== undefined;
    if (!isGone) missNext(judge, logged);
    if (!isGone) this.#claims.claim(judge);
    const found = judge.verdict;
    this.#judged.set(judge.session, {
      ...found,
      verdict: isGone ? 'erased' : this.#witnessed(found.verdict),
      ...(logged === undefined ? {} : { logged: logged.entries }),
      ...(erasure === undefined ? {} : { erasure }),
    });
  }

  #witnessed(word: Verdict): FileSessionVerdict['verdict'] {
    const isSound = word === 'complete' || word === 'open' || word === 'interrupted';
    return isSound && this.#log?.quorum === 'missing' ? 'not witnessed' : word;
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

/** Whether a member stands behind its session's order of erasure. */
function isOfErased(before: Place['kind'] | 'start'): boolean {
  return before === 'erasure' || before === 'order';
}

/** Says of a session what the log has of it and the file has not. */
function missNext(judge: SessionJudge, logged: Logged | undefined): void {
  const { segments } = judge.verdict;
  const next = [...(logged?.numbers.keys() ?? [])].filter((number) => number >= segments).toSorted((a, b) => a - b)[0];
  if (next !== undefined)
    judge.fail(new EvidenceError('SegmentMissing', `segment ${segments} is missing; the log has segment ${next}`));
}

function malformed(message: string): EvidenceError {
  return new EvidenceError('MalformedBundle', message);
}
