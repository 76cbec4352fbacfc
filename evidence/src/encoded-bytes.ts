import { isUtf8 } from './primitives.ts';

/** Bytes that one record holds of a stream; twice what a packet of SSH carries. */
export const MAX_OUTPUT_BYTES = 64 * 1024;

/** `t:` and text, where all of it is UTF-8; `b:` and base64 otherwise. */
const TEXT = 't:';
const BASE64 = 'b:';

/**
 * Bytes as a reader has them: `t:` and the text where they are UTF-8, `b:` and base64 otherwise. Nothing is ever replaced: a chunk that
 * begins or ends within a character becomes base64, so who records holds nothing back, and who reads joins the bytes of a stream
 * before decoding them.
 */
export function encodeBytes(bytes: Buffer): string {
  return isUtf8(bytes) ? TEXT + bytes.toString('utf8') : BASE64 + bytes.toString('base64');
}

/** The inverse of {@link encodeBytes}, for what a verifier let through. */
export function decodeBytes(data: string): Buffer {
  return Buffer.from(data.slice(2), data.startsWith(BASE64) ? 'base64' : 'utf8');
}

/** Whether `data` is what {@link encodeBytes} makes of at most {@link MAX_OUTPUT_BYTES}. */
export function isEncodedBytes(data: string): boolean {
  // No character is fewer bytes than it has code units, and base64 is a third longer.
  if (data.length > 2 + Math.ceil(MAX_OUTPUT_BYTES / 3) * 4) return false;
  const bytes = decodeBytes(data);
  return bytes.length <= MAX_OUTPUT_BYTES && encodeBytes(bytes) === data;
}

/** A chunk in pieces that fit into records, cut between characters where it is text. */
export function pieces(chunk: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let from = 0; from < chunk.length; ) {
    const most = Math.min(from + MAX_OUTPUT_BYTES, chunk.length);
    const to = most === chunk.length ? most : border(chunk, most);
    parts.push(chunk.subarray(from, to));
    from = to;
  }
  return parts;
}

/** The last place at or up to three bytes before `at` where a character may begin; `at` where none does. */
function border(chunk: Buffer, at: number): number {
  for (let place = at; place > at - 4; place--) if (((chunk[place] ?? 0) & 0xc0) !== 0x80) return place;
  return at;
}
