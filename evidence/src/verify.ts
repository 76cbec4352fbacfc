import type { DataKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import { type EpochCertificate, type Registration, RememberingTrust, Signed, type Trust, verifySignature } from './keys.ts';
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
  const known = trust instanceof RememberingTrust ? trust : new RememberingTrust(trust);
  const epoch = known.certificate(segment.header.certificate);
  if (!verifySignature(Buffer.from(epoch.key, 'base64url'), segment.signed, segment.signature))
    throw new EvidenceError('SignatureInvalid', 'the epoch key did not sign this header');
  const { sealed } = segment.header.clock;
  if (sealed < epoch.notBefore || sealed > epoch.notAfter)
    throw new EvidenceError('EpochExceeded', 'the segment was sealed outside the time of its epoch key');
  const signer = known.registration(parseSigned(segment.registration));
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
