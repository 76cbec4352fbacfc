import { createHmac } from 'node:crypto';
import type { MaskStrategy } from '@chaperone/api';

/** What stands for a value that is hidden whole. */
export const REDACTED = '*****';
/** A run of asterisks this long marks a text as masked: it must not be written back. */
export const SENTINEL = '***';
/** Asterisks of a partial mask, at most: the length of a long value stays hidden too. */
const LONGEST_STARS = 32;
/** Bytes of the HMAC that a hash mask shows: 80 bits, 16 characters. */
const HASH_BYTES = 10;
const HASH_PREFIX = 'h:';
const UUID_BYTES = 16;
/** Beyond this a value is hidden whole, never shown in part. */
const LONGEST_PARTIAL = 4096;
const LEAST_KEY_BYTES = 16;
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** One way to show a value, with what it needs. */
export type Mask =
  | { readonly kind: 'redact' }
  | { readonly kind: 'null' }
  /** `padded`: blanks at the end are no part of the value (SQL's character(n)). */
  | { readonly kind: 'hash'; readonly key: Buffer; readonly padded?: boolean }
  | { readonly kind: 'partial'; readonly first: number; readonly last: number };
export type MaskKind = Mask['kind'];

/** redact > null > hash > partial. */
const STRICTNESS: readonly MaskKind[] = ['partial', 'hash', 'null', 'redact'];

/** Reads a policy's strategy; what is not exactly one known strategy is redact. A hash without a key of 128 bits is redact too. */
export function maskOf(strategy: MaskStrategy | undefined, hashKey: Buffer | undefined): Mask {
  const named = Object.entries(strategy ?? {}).filter(([, value]) => value !== undefined);
  if (named.length !== 1) return { kind: 'redact' };
  if (strategy?.null) return { kind: 'null' };
  if (strategy?.hash && hashKey && hashKey.length >= LEAST_KEY_BYTES) return { kind: 'hash', key: hashKey };
  return strategy?.partial ? partialMask(strategy.partial) : { kind: 'redact' };
}

function partialMask({ first = 0, last = 0 }: NonNullable<MaskStrategy['partial']>): Mask {
  const counts = [first, last].every((count) => Number.isInteger(count) && count >= 0);
  return counts ? { kind: 'partial', first, last } : { kind: 'redact' };
}

/** The stricter of several; of two partial ones what both would show; of hashes by different keys none. Redact where there is none. */
export function strictest(masks: readonly Mask[]): Mask {
  let found: Mask | undefined;
  for (const mask of masks) {
    if (found?.kind === 'partial' && mask.kind === 'partial') {
      found = { kind: 'partial', first: Math.min(found.first, mask.first), last: Math.min(found.last, mask.last) };
    } else if (found?.kind === 'hash' && mask.kind === 'hash' && !found.key.equals(mask.key)) found = { kind: 'redact' };
    else if (!found || STRICTNESS.indexOf(mask.kind) > STRICTNESS.indexOf(found.kind)) found = mask;
  }
  return found ?? { kind: 'redact' };
}

function partial(value: string, first: number, last: number): string {
  if (value.length > LONGEST_PARTIAL) return REDACTED;
  const points = Array.from(value);
  const hidden = points.length - first - last;
  // Never more than half of a value is shown: a short one is hidden whole.
  if (first + last === 0 || first + last > points.length / 2) return REDACTED;
  const stars = '*'.repeat(Math.min(Math.max(hidden, SENTINEL.length), LONGEST_STARS));
  return points.slice(0, first).join('') + stars + points.slice(points.length - last).join('');
}

function base32(bytes: Buffer): string {
  let out = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) out += BASE32[(held >> (bits - 5)) & 31] ?? '';
    held &= (1 << bits) - 1;
  }
  return bits > 0 ? out + (BASE32[(held << (5 - bits)) & 31] ?? '') : out;
}

/**
 * HMAC-SHA-256 of a value in its text form, cut to `length` bytes. What it is for is part of what is hashed, so that the hash of a
 * text and that of a UUID say nothing of each other.
 */
function keyed(key: Buffer, purpose: 'text' | 'uuid', value: string, length: number): Buffer {
  return createHmac('sha256', key).update(`${purpose}\0`).update(value).digest().subarray(0, length);
}

function hashed(value: string, { key, padded }: Extract<Mask, { kind: 'hash' }>): string {
  return `${HASH_PREFIX}${base32(keyed(key, 'text', padded ? value.replace(/ +$/, '') : value, HASH_BYTES))}`;
}

/**
 * The UUID that stands for a UUID under a hash mask: version 8, the variant of RFC 9562 §5.8, and 122 bits of the HMAC. 16 bytes.
 *
 * @param value - 16 bytes
 */
export function maskUuid(value: Buffer, key: Buffer): Buffer {
  const shown = keyed(key, 'uuid', value.toString('hex'), UUID_BYTES);
  shown[6] = ((shown[6] ?? 0) & 0x0f) | 0x80;
  shown[8] = ((shown[8] ?? 0) & 0x3f) | 0x80;
  return shown;
}

/**
 * Shows one text value as its mask says; null stands for no value.
 * Examples: 123-45-6789 with partial {last: 4} → `*******6789`; with hash → `h:` and 16 characters, equal for equal values.
 */
export function maskText(value: string, mask: Mask): string | null {
  switch (mask.kind) {
    case 'null':
      return null;
    case 'hash':
      return hashed(value, mask);
    case 'partial':
      return partial(value, mask.first, mask.last);
    default:
      return REDACTED;
  }
}

/** Whether a text holds the mark of a masked value: written back it would destroy the real one. */
export function containsSentinel(text: string | Buffer): boolean {
  return text.includes(SENTINEL);
}

const STAR = 42;

/** As {@link maskText}, over UTF-8; the partial mask of plain ASCII is made without a string. */
export function maskBytes(value: Buffer, mask: Mask): Buffer | null {
  if (mask.kind === 'partial') {
    const out = Buffer.allocUnsafe(value.length + WRITE_SLACK);
    const end = writePartial(value, 0, value.length, mask, out, 0);
    if (end >= 0) return out.subarray(0, end);
  }
  const text = maskText(mask.kind === 'redact' ? '' : value.toString('utf8'), mask);
  return text === null ? null : Buffer.from(text);
}

/** What {@link writeMasked} may write is at most this much longer than the value. */
export const WRITE_SLACK = 8;

/**
 * Writes what a mask makes of the UTF-8 from `start` to `end` into `out` at `at`, where there is room for as many bytes and
 * {@link WRITE_SLACK}; nothing is allocated. Only redactions, and partial masks of short ASCII.
 *
 * @returns where it ends; −1 for all that {@link maskBytes} has to make
 */
export function writeMasked(value: Buffer, start: number, end: number, mask: Mask, out: Buffer, at: number): number {
  if (mask.kind === 'redact') return writeStars(out, at, REDACTED.length);
  return mask.kind === 'partial' ? writePartial(value, start, end, mask, out, at) : -1;
}

function writePartial(
  value: Buffer,
  start: number,
  end: number,
  { first, last }: Extract<Mask, { kind: 'partial' }>,
  out: Buffer,
  at: number,
): number {
  const length = end - start;
  const shown = first + last;
  if (length > LONGEST_PARTIAL || shown === 0 || shown > length / 2) return -1;
  for (let place = start; place < end; place++) if ((value[place] ?? 0) >= 128) return -1;
  let next = at;
  for (let place = start; place < start + first; place++) out[next++] = value[place] ?? 0;
  next = writeStars(out, next, Math.min(Math.max(length - shown, SENTINEL.length), LONGEST_STARS));
  for (let place = end - last; place < end; place++) out[next++] = value[place] ?? 0;
  return next;
}

function writeStars(out: Buffer, at: number, count: number): number {
  for (let place = at; place < at + count; place++) out[place] = STAR;
  return at + count;
}
