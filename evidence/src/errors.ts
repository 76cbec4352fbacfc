export type EvidenceErrorCode =
  | 'MalformedSegment'
  | 'UnsupportedVersion'
  | 'LimitExceeded'
  | 'MalformedKey'
  | 'KeyUnusable'
  | 'Erased'
  | 'MalformedParcel'
  | 'MalformedBundle'
  | 'SignatureInvalid'
  | 'CertificateInvalid'
  | 'EpochExceeded'
  | 'CounterInvalid'
  | 'RegistrationUntrusted'
  | 'OriginMismatch'
  | 'AgentMismatch'
  | 'PayloadAltered'
  | 'RecordAltered'
  | 'ChainBroken'
  | 'SegmentMissing'
  | 'SegmentMisplaced'
  | 'MalformedNote'
  | 'MalformedTile'
  | 'MalformedProof'
  | 'MalformedPolicy'
  | 'MalformedLeaf'
  | 'NoteUnsigned'
  | 'QuorumMissing'
  | 'ProofInvalid'
  | 'NotLogged'
  | 'MalformedReceipt'
  | 'CheckpointOlder'
  | 'ConsistencyMissing'
  | 'LogForked'
  | 'TreeAltered';

/**
 * What is wrong with a piece of evidence. `record` is the index within its segment of the first record that does not match,
 * where that can be told. Messages hold no payload.
 */
export class EvidenceError extends Error {
  override readonly name = 'EvidenceError';
  readonly code: EvidenceErrorCode;
  readonly record: number | undefined;
  constructor(code: EvidenceErrorCode, message: string, options?: ErrorOptions & { record?: number }) {
    super(message, options);
    this.code = code;
    this.record = options?.record;
  }
}

/** What `read` gives; undefined where it throws EvidenceError. */
export function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof EvidenceError) return undefined;
    throw error;
  }
}
