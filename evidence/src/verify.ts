import type { DataKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import {
  type EpochCertificate,
  type Registration,
  Signed,
  type Trust,
  verifyEpochCertificate,
  verifyRegistration,
  verifySignature,
} from './keys.ts';
import type { SessionRecord } from './record.ts';
import { checkFrame, checkPayload, parseSegment, readContent, type SegmentContent, type SegmentParts } from './segment.ts';

/** A segment that is genuine and whole; what its records say is still sealed. */
export interface VerifiedSegment extends SegmentParts {
  readonly signer: Registration;
  readonly epoch: EpochCertificate;
}
export type ReadSegment = VerifiedSegment & SegmentContent;

/**
 * Everything that one segment alone can prove: a trusted registration, a certified epoch key, the signature, and all that the
 * header covers; with the data key also that the records are those whose hashes were signed. Throws EvidenceError.
 */
export function verifySegment(bytes: Buffer, trust: Trust): VerifiedSegment;
export function verifySegment(bytes: Buffer, trust: Trust, key: DataKey): ReadSegment;
export function verifySegment(bytes: Buffer, trust: Trust, key?: DataKey): VerifiedSegment | ReadSegment;
export function verifySegment(bytes: Buffer, trust: Trust, key?: DataKey): VerifiedSegment | ReadSegment {
  const parts = parseSegment(bytes);
  checkFrame(parts);
  // Before digests, since it may say which record is another one.
  const content = key === undefined ? undefined : readContent(parts, key);
  checkPayload(parts);
  const segment = { ...parts, ...verifySigner(parts, trust) };
  return content === undefined ? segment : withContent(segment, content);
}

/** The records of a segment that was verified. Throws EvidenceError, KeyUnusable for another key than its session's. */
export function readSegment(segment: VerifiedSegment, key: DataKey): ReadSegment {
  return withContent(segment, readContent(segment, key));
}

function withContent(segment: VerifiedSegment, content: SegmentContent): ReadSegment {
  const [open] = content.records;
  if (open?.type === 'session.open' && !sameAgent(open, segment.signer, segment.header.session))
    throw new EvidenceError('AgentMismatch', 'the opening record names another agent or session than the registration');
  return { ...segment, ...content };
}

function verifySigner(segment: SegmentParts, trust: Trust): Pick<VerifiedSegment, 'signer' | 'epoch'> {
  const epoch = verifyEpochCertificate(segment.header.certificate);
  if (!verifySignature(Buffer.from(epoch.key, 'base64url'), segment.signed, segment.signature))
    throw new EvidenceError('SignatureInvalid', 'the epoch key did not sign this header');
  const signer = verifyRegistration(parseSigned(segment.registration), trust);
  if (signer.nkey !== epoch.nkey)
    throw new EvidenceError('CertificateInvalid', 'the epoch key belongs to another pod than the registration');
  if (segment.header.origin !== trust.origin) throw new EvidenceError('OriginMismatch', 'the segment is of another origin');
  return { signer, epoch };
}

function sameAgent(open: SessionRecord & { type: 'session.open' }, signer: Registration, session: string): boolean {
  return (
    open.session === session &&
    open.agent.namespace === signer.agent.namespace &&
    open.agent.serviceAccount === signer.agent.serviceAccount
  );
}

function parseSigned(bytes: Buffer): Signed {
  try {
    return Signed.parse(JSON.parse(bytes.toString()));
  } catch (error) {
    throw new EvidenceError('RegistrationUntrusted', 'the registration cannot be read', { cause: error });
  }
}

/** What must hold between a segment and the one before it; throws EvidenceError ChainBroken. */
export function verifyLink(previous: VerifiedSegment, next: VerifiedSegment): void {
  if (next.header.session !== previous.header.session)
    throw new EvidenceError('ChainBroken', 'the segment belongs to another session');
  if (next.header.prev !== previous.link) throw new EvidenceError('ChainBroken', 'the segment does not follow the one before it');
  if (next.header.records.first !== previous.header.records.last + 1)
    throw new EvidenceError('ChainBroken', 'the records do not follow those before them');
  if (next.signer.nkey !== previous.signer.nkey || next.epoch.epoch < previous.epoch.epoch)
    throw new EvidenceError('ChainBroken', 'the segment was signed by another pod or by an older key');
  if (next.header.key.id !== previous.header.key.id)
    throw new EvidenceError('ChainBroken', 'the segment was sealed under another data key');
  if (previous.header.flags.includes('close'))
    throw new EvidenceError('ChainBroken', 'the segment comes after the end of its session');
}

/**
 * complete: opened, closed, nothing missing · open: sound so far, no end seen · interrupted: sound, but its recording process
 * ended before the session did · gap declared: sound, and says itself that records were dropped · incomplete: segments are
 * missing · altered: something does not match what was signed.
 */
export type Verdict = 'complete' | 'open' | 'interrupted' | 'gap declared' | 'incomplete' | 'altered';

export interface SessionVerdict {
  readonly session: string;
  readonly verdict: Verdict;
  /** Sound segments and records before the first break, or all. */
  readonly segments: number;
  readonly records: number;
  /** Whether the records were read and are those that were signed, or nobody had the key to look. */
  readonly contents: 'verified' | 'sealed';
  readonly agent?: Registration['agent'];
  /** The first thing that is wrong. `record` is the record's `seq`, where one record can be named. */
  readonly break?: { readonly segment: number; readonly record?: number; readonly code: string; readonly message: string };
  readonly counters: { readonly actions: number; readonly denied: number; readonly masked: number; readonly dropped: number };
}

/**
 * Verifies one session from its segments in order, offline, trusting nothing but `trust`; its records too where its data key
 * is there, and without it all but what they say. Never throws for bad evidence:
 * the verdict says what is wrong first and where. Whether later segments exist that nobody handed over cannot be told here;
 * a session without its end is never called complete. An empty Buffer stands for a segment that is known of and gone.
 */
export function verifyChain(session: string, segments: Iterable<Buffer>, trust: Trust, key?: DataKey): SessionVerdict {
  let previous: VerifiedSegment | undefined;
  let number = 0;
  let records = 0;
  const verdict = (word: Verdict, found?: SessionVerdict['break']): SessionVerdict => ({
    session,
    verdict: word,
    segments: number,
    records,
    contents: key === undefined ? 'sealed' : 'verified',
    ...(previous === undefined ? {} : { agent: previous.signer.agent }),
    ...(found === undefined ? {} : { break: found }),
    counters: previous?.header.counters ?? { actions: 0, denied: 0, masked: 0, dropped: 0 },
  });
  for (const bytes of segments) {
    try {
      if (bytes.length === 0) throw new EvidenceError('SegmentMissing', `segment ${number} is missing`);
      const segment = verifySegment(bytes, trust, key);
      checkPlace(segment, session, number);
      if (previous !== undefined) verifyLink(previous, segment);
      previous = segment;
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      const at = error.record === undefined ? {} : { record: records + error.record };
      const found = { segment: number, ...at, code: error.code, message: error.message };
      return verdict(error.code === 'SegmentMissing' ? 'incomplete' : 'altered', found);
    }
    records += previous.header.records.count;
    number++;
  }
  return verdict(endOf(previous));
}

function checkPlace(segment: VerifiedSegment, session: string, number: number): void {
  const { header } = segment;
  if (header.session !== session) throw new EvidenceError('SegmentMisplaced', 'a segment of another session stands here');
  if (header.number > number)
    throw new EvidenceError('SegmentMissing', `segment ${number} is missing; segment ${header.number} stands in its place`);
  if (header.number < number)
    throw new EvidenceError('SegmentMisplaced', `segment ${header.number} stands where ${number} belongs`);
}

function endOf(last: VerifiedSegment | undefined): Verdict {
  if (last === undefined) return 'incomplete';
  if (last.header.counters.dropped > 0) return 'gap declared';
  if (last.header.flags.includes('close')) return 'complete';
  return last.header.flags.includes('torn') ? 'interrupted' : 'open';
}
