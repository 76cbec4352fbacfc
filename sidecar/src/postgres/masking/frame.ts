/** Type and length. */
export const HEADER_BYTES = 5;

/** A signed number as Buffer reads it, without its checks: whoever calls has looked whether four bytes are there. */
export function int32At(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
}
export const uint32At = (bytes: Buffer, at: number): number => int32At(bytes, at) >>> 0;
export const uint16At = (bytes: Buffer, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** Writes four bytes, for which there is room. */
export function putInt32(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
