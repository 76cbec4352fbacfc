import { MAX_WRAPPED_BYTES, WrappedKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import { MAX_SEGMENT_BYTES } from './segment.ts';

/*
 * u32 length, wrapped key JSON │ segment
 *
 * How a segment travels: beside the key that reads it, and not one with it, since segments are kept for good and keys are not.
 */
const LENGTH_BYTES = 4;
/** Below NATS's default max_payload (1 MiB) with room for the message's headers. */
export const MAX_PARCEL_BYTES = LENGTH_BYTES + MAX_WRAPPED_BYTES + MAX_SEGMENT_BYTES;

export interface Parcel {
  readonly key: WrappedKey;
  readonly segment: Buffer;
}

export function encodeParcel({ key, segment }: Parcel): Buffer {
  const text = Buffer.from(JSON.stringify(key));
  if (text.length > MAX_WRAPPED_BYTES) throw new EvidenceError('LimitExceeded', 'the wrapped key is too large');
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, segment]);
}

/** The segment of a parcel, of which nothing is checked. Throws EvidenceError MalformedParcel. */
export function segmentOf(parcel: Buffer): Buffer {
  return parcel.subarray(endOfKey(parcel));
}

/** Takes a parcel apart; its segment is not looked at. Throws EvidenceError MalformedParcel or LimitExceeded. */
export function decodeParcel(parcel: Buffer): Parcel {
  if (parcel.length > MAX_PARCEL_BYTES) throw new EvidenceError('LimitExceeded', 'the parcel is too large');
  const end = endOfKey(parcel);
  try {
    return { key: WrappedKey.parse(JSON.parse(parcel.toString('utf8', LENGTH_BYTES, end))), segment: parcel.subarray(end) };
  } catch (cause) {
    throw new EvidenceError('MalformedParcel', 'the wrapped key does not have the expected shape', { cause });
  }
}

function endOfKey(parcel: Buffer): number {
  const length = parcel.length < LENGTH_BYTES ? Number.POSITIVE_INFINITY : parcel.readUInt32BE();
  if (length > MAX_WRAPPED_BYTES || LENGTH_BYTES + length > parcel.length)
    throw new EvidenceError('MalformedParcel', 'the parcel has no wrapped key');
  return LENGTH_BYTES + length;
}
