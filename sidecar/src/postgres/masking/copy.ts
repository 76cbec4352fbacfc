import type { MaskPlan } from './plan.ts';
import { familyOfColumn, MaskError } from './cells.ts';
import { maskedValue, scannedValue, type Shown, UNCHANGED } from './shown.ts';

const HEADER_BYTES = 5;
const LF = 0x0a;
const BACKSLASH = 0x5c;
const TEXT = 0;
const BINARY = 1;
/** https://www.postgresql.org/docs/18/sql-copy.html#id-1.9.3.55.9.4 */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');

/** How COPY TO writes rows. */
export type CopyFormat =
  | { readonly kind: 'text'; readonly delimiter: number; readonly null: Buffer; readonly header: boolean }
  | {
      readonly kind: 'csv';
      readonly delimiter: number;
      readonly null: Buffer;
      readonly header: boolean;
      readonly quote: number;
      readonly escape: number;
    }
  | { readonly kind: 'binary' };

const OPTIONS: ReadonlySet<string> = new Set(['format', 'delimiter', 'null', 'header', 'quote', 'escape', 'force_quote']);
const NO = ['false', 'off', '0'];

/**
 * The format that the options of a COPY TO ask for; undefined where rows in it cannot be told apart here. Options are not checked
 * for what the server refuses.
 */
export function copyFormatOf(options: Readonly<Record<string, string>>): CopyFormat | undefined {
  if (Object.keys(options).some((name) => !OPTIONS.has(name))) return undefined;
  const kind = (options['format'] ?? 'text').toLowerCase();
  if (kind === 'binary') return { kind };
  if (kind !== 'text' && kind !== 'csv') return undefined;
  const csv = kind === 'csv';
  const quote = byteOf(options['quote'], '"');
  const delimiter = byteOf(options['delimiter'], csv ? ',' : '\t');
  const escape = options['escape'] === undefined ? quote : byteOf(options['escape'], '"');
  if (delimiter === undefined || quote === undefined || escape === undefined) return undefined;
  const header = options['header'] !== undefined && !NO.includes(options['header'].toLowerCase());
  const common = { delimiter, header, null: Buffer.from(options['null'] ?? (csv ? '' : String.raw`\N`)) };
  return csv ? { kind, ...common, quote, escape } : { kind, ...common };
}

function byteOf(option: string | undefined, otherwise: string): number | undefined {
  const bytes = Buffer.from(option ?? otherwise);
  return bytes.length === 1 && (bytes[0] ?? 128) < 128 ? bytes[0] : undefined;
}

export interface MaskedCopy {
  /** The message as it came where nothing changed. */
  readonly bytes: Buffer;
  /** Values that were changed. */
  readonly values: number;
}

/** A value where it lies in a row; `raw` as it is written there. */
interface Field {
  readonly raw: Buffer;
  readonly value: Buffer | null;
}

/** Masks the CopyData messages of one COPY TO, one after the other. A server sends each row as one message. */
export class CopyMasker {
  readonly #plan: MaskPlan;
  readonly #format: CopyFormat;
  /** The header is behind us. */
  #begun: boolean;

  constructor(plan: MaskPlan, format: CopyFormat) {
    this.#plan = plan;
    this.#format = format;
    this.#begun = format.kind !== 'binary' && !format.header;
  }

  /** @throws MaskError where a message is not whole rows of the planned columns */
  mask(message: Buffer): MaskedCopy {
    if (this.#format.kind === 'binary') return this.#binary(message);
    const begun = this.#begun;
    this.#begun = true;
    // Names of columns.
    return begun ? this.#line(message, this.#format) : { bytes: message, values: 0 };
  }

  #line(message: Buffer, format: Exclude<CopyFormat, { kind: 'binary' }>): MaskedCopy {
    if (message.at(-1) !== LF) throw malformed();
    const line = message.subarray(HEADER_BYTES, -1);
    const fields = [...(format.kind === 'text' ? textFields(line, format) : csvFields(line, format))];
    // A table without columns has empty lines.
    if (this.#plan.masks.length === 0 && line.length === 0) return { bytes: message, values: 0 };
    const shown = this.#shown(fields, TEXT);
    if (shown === undefined) return { bytes: message, values: 0 };
    const write = format.kind === 'text' ? textField : csvField;
    const pieces = shown.pieces.flatMap((value, at) => [
      ...(at === 0 ? [] : [Buffer.of(format.delimiter)]),
      value === UNCHANGED ? (fields[at] as Field).raw : value === null ? format.null : write(value, format),
    ]);
    return { bytes: framed([...pieces, Buffer.of(LF)]), values: shown.values };
  }

  #binary(message: Buffer): MaskedCopy {
    let at = HEADER_BYTES;
    if (!this.#begun) {
      if (!message.subarray(at, at + SIGNATURE.length).equals(SIGNATURE)) throw malformed();
      at += SIGNATURE.length + 4;
      if (at + 4 > message.length) throw malformed();
      at += 4 + message.readUInt32BE(at);
      this.#begun = true;
    }
    const pieces = [message.subarray(HEADER_BYTES, at)];
    let values = 0;
    while (at < message.length) {
      const { fields, end } = binaryTuple(message, at);
      const shown = fields === undefined ? undefined : this.#shown(fields, BINARY);
      if (shown === undefined || fields === undefined) pieces.push(message.subarray(at, end));
      else {
        pieces.push(message.subarray(at, at + 2));
        for (const [column, value] of shown.pieces.entries())
          pieces.push(value === UNCHANGED ? (fields[column] as Field).raw : binaryField(value));
        values += shown.values;
      }
      at = end;
    }
    if (at !== message.length) throw malformed();
    return values === 0 ? { bytes: message, values } : { bytes: framed(pieces), values };
  }

  /** Undefined: nothing changes. */
  #shown(
    fields: readonly Field[],
    format: number,
  ): { pieces: readonly (Buffer | null | typeof UNCHANGED)[]; values: number } | undefined {
    if (fields.length !== this.#plan.masks.length) throw malformed();
    const pieces = fields.map(({ value }, column) => shownValue(value, this.#plan, column, format));
    const values = pieces.filter((piece) => piece !== UNCHANGED).length;
    return values === 0 ? undefined : { pieces, values };
  }
}

function malformed(): MaskError {
  return new MaskError('a message of COPY does not hold the columns that were described');
}

function framed(pieces: readonly Buffer[]): Buffer {
  const header = Buffer.of(0x64, 0, 0, 0, 0);
  const bytes = Buffer.concat([header, ...pieces]);
  bytes.writeUInt32BE(bytes.length - 1, 1);
  return bytes;
}

/** Letters that stand for control characters after a backslash. https://www.postgresql.org/docs/18/sql-copy.html#id-1.9.3.55.9.2 */
const LETTERS = new Map([8, 12, 10, 13, 9, 11].map((control, at) => [control, 'bfnrtv'.charCodeAt(at)]));
const ESCAPED = new Map([...LETTERS].map(([control, letter]) => [letter, control]));

type TextFormat = Extract<CopyFormat, { kind: 'text' }>;
type CsvFormat = Extract<CopyFormat, { kind: 'csv' }>;

function* textFields(line: Buffer, { delimiter, null: none }: TextFormat): Generator<Field> {
  let start = 0;
  for (let at = 0; at <= line.length; at++) {
    if (line[at] === BACKSLASH) at++;
    else if (at === line.length || line[at] === delimiter) {
      const raw = line.subarray(start, at);
      yield { raw, value: raw.equals(none) ? null : unescaped(raw) };
      start = at + 1;
    }
  }
  // A backslash that escapes the end of the line.
  if (start <= line.length) throw malformed();
}

function unescaped(raw: Buffer): Buffer {
  if (!raw.includes(BACKSLASH)) return raw;
  const out = Buffer.allocUnsafe(raw.length);
  let length = 0;
  for (let at = 0; at < raw.length; at++) {
    let byte = raw[at] ?? 0;
    if (byte === BACKSLASH) {
      const next = raw[++at] ?? 0;
      byte = ESCAPED.get(next) ?? next;
    }
    out[length++] = byte;
  }
  return out.subarray(0, length);
}

function textField(value: Buffer, { delimiter }: { readonly delimiter: number }): Buffer {
  const out: number[] = [];
  for (const byte of value) {
    const letter = LETTERS.get(byte);
    if (letter !== undefined || byte === BACKSLASH || byte === delimiter) out.push(BACKSLASH);
    out.push(letter ?? byte);
  }
  return Buffer.from(out);
}

function* csvFields(line: Buffer, format: CsvFormat): Generator<Field> {
  for (let start = 0; start <= line.length; ) {
    const { end, value } = line[start] === format.quote ? quoted(line, start, format) : unquoted(line, start, format);
    if (end < line.length && line[end] !== format.delimiter) throw malformed();
    yield { raw: line.subarray(start, end), value };
    start = end + 1;
  }
}

function unquoted(line: Buffer, start: number, { delimiter, null: none }: CsvFormat): { end: number; value: Buffer | null } {
  const found = line.indexOf(delimiter, start);
  const end = found < 0 ? line.length : found;
  const raw = line.subarray(start, end);
  return { end, value: raw.equals(none) ? null : raw };
}

function quoted(line: Buffer, start: number, { quote, escape }: CsvFormat): { end: number; value: Buffer } {
  const value = Buffer.allocUnsafe(line.length - start);
  let length = 0;
  for (let at = start + 1; at < line.length; at++) {
    const byte = line[at] ?? 0;
    const next = line[at + 1];
    if (byte === escape && (next === quote || next === escape)) value[length++] = line[++at] ?? 0;
    else if (byte === quote) return { end: at + 1, value: value.subarray(0, length) };
    else value[length++] = byte;
  }
  throw malformed();
}

/** Always in quotes: nothing in it can be taken for NULL, or for the end of the data. */
function csvField(value: Buffer, format: { readonly kind: string }): Buffer {
  const { quote, escape } = format as CsvFormat;
  const out = [quote];
  for (const byte of value) {
    if (byte === quote || byte === escape) out.push(escape);
    out.push(byte);
  }
  return Buffer.from([...out, quote]);
}

/** `fields` undefined: the trailer. */
function binaryTuple(message: Buffer, start: number): { fields: readonly Field[] | undefined; end: number } {
  if (start + 2 > message.length) throw malformed();
  const count = message.readInt16BE(start);
  let at = start + 2;
  if (count === -1) return { fields: undefined, end: at };
  const fields: Field[] = [];
  for (let column = 0; column < count; column++) {
    if (at + 4 > message.length) throw malformed();
    const length = message.readInt32BE(at);
    const end = at + 4 + Math.max(0, length);
    if (length < -1 || end > message.length) throw malformed();
    fields.push({ raw: message.subarray(at, end), value: length === -1 ? null : message.subarray(at + 4, end) });
    at = end;
  }
  return { fields, end: at };
}

function binaryField(value: Buffer | null): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(value === null ? -1 : value.length);
  return value === null ? length : Buffer.concat([length, value]);
}

function shownValue(value: Buffer | null, plan: MaskPlan, column: number, format: number): Shown {
  const mask = plan.masks[column];
  if (mask) return maskedValue(value, mask, format);
  const family = familyOfColumn(plan, column);
  if (value === null || family === 'plain' || plan.scan.length === 0) return UNCHANGED;
  return scannedValue(value, family, plan, format, 0);
}
