import { writeMasked, WRITE_SLACK } from '../../masking/strategies.ts';
import { firstPlace } from '../../masking/detectors.ts';
import { familyOfColumn, fates, MASKED_TEXT, type MaskError, PASSES, SCANNED } from './cells.ts';
import type { CopyFormat } from './copy-format.ts';
import type { MaskPlan } from './plan.ts';
import { copyBytes, type Rewrite } from './rewrite.ts';
import { maskedValue, scannedValue, type Shown, UNCHANGED } from './shown.ts';

const BACKSLASH = 0x5c;
const TEXT = 0;
const NOTHING = Buffer.alloc(0);

/** Letters that stand for control characters after a backslash. https://www.postgresql.org/docs/18/sql-copy.html#id-1.9.3.55.9.2 */
const CONTROLS: readonly (readonly [control: number, letter: number])[] = [8, 12, 10, 13, 9, 11].map((control, at) => [
  control,
  'bfnrtv'.charCodeAt(at),
]);
/** By control character its letter, by letter its control character; 0 for all others. */
const LETTERS = Uint8Array.from({ length: 256 }, (_, byte) => CONTROLS.find(([control]) => control === byte)?.[1] ?? 0);
const ESCAPED = Uint8Array.from({ length: 256 }, (_, byte) => CONTROLS.find(([, letter]) => letter === byte)?.[0] ?? 0);

export type LineFormat = Exclude<CopyFormat, { kind: 'binary' }>;
type CsvFormat = Extract<CopyFormat, { kind: 'csv' }>;

/** Masks the values of lines as COPY TO writes them. Values that pass are not looked into, but for where they end. */
export class LineMasker {
  /** Values that were changed. */
  values = 0;
  readonly #plan: MaskPlan;
  readonly #format: LineFormat;
  readonly #fates: Uint8Array;
  readonly #malformed: () => MaskError;
  /** What stands for a value, before it is written as the format asks. */
  #shown: Buffer = NOTHING;
  /** The field that was passed last holds what is escaped. */
  #escaped = false;

  constructor(plan: MaskPlan, format: LineFormat, malformed: () => MaskError) {
    this.#plan = plan;
    this.#format = format;
    this.#fates = fates(plan);
    this.#malformed = malformed;
  }

  /** Masks the line from `start` to `end`, where its line feed stands. @throws MaskError */
  mask(rewrite: Rewrite, start: number, end: number): void {
    const { source } = rewrite;
    const format = this.#format;
    const fate = this.#fates;
    let column = 0;
    for (let from = start; from <= end; column++) {
      this.#escaped = false;
      const quoted = format.kind === 'csv' && from < end && source[from] === format.quote;
      const to = quoted ? this.#quotedEnd(source, from, end, format) : this.#fieldEnd(source, from, end);
      if (column >= fate.length || (to < end && source[to] !== format.delimiter)) throw this.#malformed();
      if (fate[column] !== PASSES) this.#field(rewrite, column, from, to, quoted);
      from = to + 1;
    }
    if (column !== fate.length) throw this.#malformed();
  }

  #fieldEnd(source: Buffer, from: number, end: number): number {
    const { kind, delimiter } = this.#format;
    let at = from;
    for (; at < end && source[at] !== delimiter; at++) {
      if (kind !== 'text' || source[at] !== BACKSLASH) continue;
      this.#escaped = true;
      at++;
    }
    // A backslash that escapes the end of the line.
    if (at > end) throw this.#malformed();
    return at;
  }

  #quotedEnd(source: Buffer, from: number, end: number, { quote, escape }: CsvFormat): number {
    for (let at = from + 1; at < end; at++) {
      const next = at + 1 < end ? source[at + 1] : undefined;
      if (source[at] === escape && (next === quote || next === escape)) {
        this.#escaped = true;
        at++;
      } else if (source[at] === quote) return at + 1;
    }
    throw this.#malformed();
  }

  #field(rewrite: Rewrite, column: number, from: number, to: number, quoted: boolean): void {
    const { source } = rewrite;
    const isNull = !quoted && equals(source, from, to, this.#format.null);
    if (isNull) return this.#replace(rewrite, from, to, this.#masked(null, column));
    const value = this.#escaped ? this.#unescaped(source, from, to, quoted) : source;
    const start = this.#escaped ? 0 : quoted ? from + 1 : from;
    const end = this.#escaped ? value.length : quoted ? to - 1 : to;
    if (this.#fates[column] === SCANNED) {
      const first = firstPlace(value, start, end, this.#plan.detectors);
      if (first < 0) return;
      const shown = scannedValue(value.subarray(start, end), familyOfColumn(this.#plan, column), this.#plan, TEXT, first - start);
      return this.#replace(rewrite, from, to, shown);
    }
    const length = this.#fates[column] === MASKED_TEXT ? this.#write(value, start, end, column) : -1;
    if (length >= 0) this.#put(rewrite, from, to, this.#shown, length);
    else this.#replace(rewrite, from, to, this.#masked(value.subarray(start, end), column));
  }

  #masked(value: Buffer | null, column: number): Shown {
    const mask = this.#plan.masks[column];
    return mask ? maskedValue(value, mask, TEXT) : UNCHANGED;
  }

  /** Writes the mask of a value into `#shown`. @returns its length; −1 where it cannot be written in place */
  #write(value: Buffer, start: number, end: number, column: number): number {
    const mask = this.#plan.masks[column]?.mask;
    if (mask === undefined) return -1;
    if (this.#shown.length < end - start + WRITE_SLACK) this.#shown = Buffer.allocUnsafeSlow(2 * (end - start) + WRITE_SLACK);
    return writeMasked(value, start, end, mask, this.#shown, 0);
  }

  #replace(rewrite: Rewrite, from: number, to: number, shown: Shown): void {
    if (shown === UNCHANGED) return;
    if (shown !== null) return this.#put(rewrite, from, to, shown, shown.length);
    const none = this.#format.null;
    this.values++;
    const out = rewrite.cut(from, none.length);
    rewrite.put(copyBytes(none, 0, none.length, out, rewrite.at), to);
  }

  /** The field from `from` to `to` becomes the first `length` bytes of `shown`, written as the format asks. */
  #put(rewrite: Rewrite, from: number, to: number, shown: Buffer, length: number): void {
    this.values++;
    const format = this.#format;
    const out = rewrite.cut(from, 2 * length + 2);
    rewrite.put(
      format.kind === 'csv' ? putCsv(shown, length, out, rewrite.at, format) : putText(shown, length, out, rewrite.at, format),
      to,
    );
  }

  /** What a field with escapes holds. */
  #unescaped(source: Buffer, from: number, to: number, quoted: boolean): Buffer {
    const format = this.#format;
    const value = Buffer.allocUnsafe(to - from);
    let length = 0;
    if (quoted && format.kind === 'csv') {
      for (let at = from + 1; at < to - 1; at++) {
        // Both are escaped by the same byte; one that stands alone is itself.
        const next = source[at + 1];
        if (source[at] === format.escape && at + 1 < to - 1 && (next === format.quote || next === format.escape)) at++;
        value[length++] = source[at] ?? 0;
      }
    } else {
      for (let at = from; at < to; at++) {
        const byte = source[at] ?? 0;
        const next = source[at + 1] ?? 0;
        value[length++] = byte === BACKSLASH ? ESCAPED[next] || next : byte;
        if (byte === BACKSLASH) at++;
      }
    }
    return value.subarray(0, length);
  }
}

function equals(source: Buffer, from: number, to: number, other: Buffer): boolean {
  if (to - from !== other.length) return false;
  for (let at = from; at < to; at++) if (source[at] !== other[at - from]) return false;
  return true;
}

function putText(value: Buffer, length: number, out: Buffer, at: number, { delimiter }: { readonly delimiter: number }): number {
  let next = at;
  for (let place = 0; place < length; place++) {
    const byte = value[place] ?? 0;
    const letter = LETTERS[byte] ?? 0;
    if (letter !== 0 || byte === BACKSLASH || byte === delimiter) out[next++] = BACKSLASH;
    out[next++] = letter === 0 ? byte : letter;
  }
  return next;
}

/** Always in quotes: nothing in it can be taken for NULL, or for the end of the data. */
function putCsv(value: Buffer, length: number, out: Buffer, at: number, { quote, escape }: CsvFormat): number {
  let next = at;
  out[next++] = quote;
  for (let place = 0; place < length; place++) {
    const byte = value[place] ?? 0;
    if (byte === quote || byte === escape) out[next++] = escape;
    out[next++] = byte;
  }
  out[next++] = quote;
  return next;
}
