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
import { type OpenedSegment, openSegment } from './segment.ts';

export interface VerifiedSegment extends OpenedSegment {
  readonly signer: Registration;
  readonly epoch: EpochCertificate;
}

/**
 * Everything that one segment alone can prove: a trusted registration, a certified epoch key, the signature, and by
 * {@link openSegment} all that the header covers. Throws EvidenceError.
 */
export function verifySegment(bytes: Buffer, trust: Trust): VerifiedSegment {
  const segment = openSegment(bytes);
  const epoch = verifyEpochCertificate(segment.header.certificate);
  if (!verifySignature(Buffer.from(epoch.key, 'base64url'), segment.signed, segment.signature))
    throw new EvidenceError('SignatureInvalid', 'the epoch key did not sign this header');
  const signer = verifyRegistration(parseSigned(segment.registration), trust);
  if (signer.nkey !== epoch.nkey)
    throw new EvidenceError('CertificateInvalid', 'the epoch key belongs to another pod than the registration');
  if (segment.header.origin !== trust.origin) throw new EvidenceError('OriginMismatch', 'the segment is of another origin');
  const [open] = segment.records;
  if (open?.type === 'session.open' && !sameAgent(open, signer, segment.header.session))
    throw new EvidenceError('AgentMismatch', 'the opening record names another agent or session than the registration');
  return { ...segment, signer, epoch };
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
  if (previous.header.flags.includes('close'))
    throw new EvidenceError('ChainBroken', 'the segment comes after the end of its session');
}
