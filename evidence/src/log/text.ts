import { isUtf8 } from '../primitives.ts';

/** A hash or key in standard base64 (RFC 4648 §4); undefined unless it is the one way to write these bytes. */
export function readBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** 32 bytes in base64. */
export function readHash(text: string): Buffer | undefined {
  const bytes = readBase64(text);
  return bytes?.length === 32 ? bytes : undefined;
}

/** A size or index: ASCII decimal without leading zeros, up to 2^53 − 1. The specifications end at 2^63; no log of ours comes near. */
export function readDecimal(text: string): number | undefined {
  const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The text of these bytes, to the byte; undefined where they are no UTF-8. */
export function readUtf8(bytes: Uint8Array): string | undefined {
  return isUtf8(bytes) ? Buffer.from(bytes).toString() : undefined;
}

/** A hash a line; undefined unless all of them are. */
export function readHashes(lines: readonly string[]): Buffer[] | undefined {
  const hashes = lines.map(readHash).filter((hash) => hash !== undefined);
  return hashes.length === lines.length ? hashes : undefined;
}
