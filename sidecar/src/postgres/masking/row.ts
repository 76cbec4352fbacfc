import { detect, type Span } from '../../masking/detectors.ts';
import { maskBytes, maskUuid, REDACTED } from '../../masking/strategies.ts';
import type { ColumnMask, MaskPlan, Scan } from './plan.ts';
import type { Family } from './types.ts';

/** A row cannot be masked as planned: the session must end, and nothing of the row is shown. */
export class MaskError extends Error {
  override readonly name = 'MaskError';
  readonly code = 'RowUnmaskable';
}

export interface MaskedRows {
  /** The rows as they came where nothing changed; a new Buffer otherwise. */
  readonly bytes: Buffer;
  /** Values that were changed. */
  readonly values: number;
}

const DATA_ROW = 0x44;
const HEADER_BYTES = 5;
const JSONB_VERSION = 1;
const BINARY = 1;
const REDACTED_BYTES = Buffer.from(REDACTED);
const REDACT = { kind: 'redact' } as const;
const UUID_BYTES = 16;
const UUID_GROUPS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;
/** In place of a value that is shown as it is. */
export const UNCHANGED = Symbol('unchanged');
type Shown = Buffer | null | typeof UNCHANGED;

/** The format of one column: Bind's result formats, where none means text and one stands for all. */
function formatOf(formats: readonly number[], column: number): number {
  return (formats.length === 1 ? formats[0] : formats[column]) ?? 0;
}

function malformed(): MaskError {
  return new MaskError('a row does not hold the columns that were described');
}

/**
 * Masks DataRow messages (with type and length) that lie one behind the other. What is not masked is copied in as large pieces as
 * it lies in; nothing is allocated for a row, and for a value only what stands in its place.
 *
 * @param formats - result formats as Bind gave them
 * @throws MaskError where a row is not what was planned for
 */
export function maskRows(rows: Buffer, plan: MaskPlan, formats: readonly number[]): MaskedRows {
  const masker = new Masker(rows, plan, formats);
  for (let at = 0; at < rows.length; ) at = masker.row(at);
  return masker.end();
}

/** Masked rows are made in a buffer of this much more than the rows have; it grows where that is not enough. */
const SLACK_BYTES = 1024;

class Masker {
  readonly #rows: Buffer;
  readonly #plan: MaskPlan;
  readonly #formats: readonly number[];
  /** By column: it passes whatever it holds. */
  readonly #passes: readonly boolean[];
  #out: Buffer | undefined;
  /** Bytes of `#out` that are filled. */
  #filled = 0;
  /** Up to here `#rows` is in `#out`. */
  #copied = 0;
  #values = 0;

  constructor(rows: Buffer, plan: MaskPlan, formats: readonly number[]) {
    this.#rows = rows;
    this.#plan = plan;
    this.#formats = formats;
    this.#passes = plan.masks.map((mask, column) => !mask && (plan.scan.length === 0 || plan.families[column] === 'plain'));
  }

  /** Masks the row at `start`. @returns Where the next one starts. */
  row(start: number): number {
    const rows = this.#rows;
    if (rows.length - start < HEADER_BYTES + 2 || rows[start] !== DATA_ROW) throw malformed();
    const end = start + 1 + rows.readUInt32BE(start + 1);
    const count = rows.readUInt16BE(start + HEADER_BYTES);
    if (end > rows.length || count !== this.#passes.length) throw malformed();
    let at = start + HEADER_BYTES + 2;
    /** Where the row's length stands in `#out`, once anything of the row changed, and by how much it changed. */
    let lengthAt = -1;
    let grown = 0;
    for (let column = 0; column < count; column++) {
      if (at + 4 > end) throw malformed();
      const length = rows.readInt32BE(at);
      const next = at + 4 + (length > 0 ? length : 0);
      if (length < -1 || next > end) throw malformed();
      if (this.#passes[column] !== true) {
        const shown = this.#shown(column, length === -1 ? null : rows.subarray(at + 4, next));
        if (shown !== UNCHANGED) {
          if (lengthAt < 0) lengthAt = this.#filled + start - this.#copied + 1;
          this.#replace(at, next, shown);
          grown += (shown === null ? 0 : shown.length) - (next - at - 4);
        }
      }
      at = next;
    }
    if (at !== end) throw malformed();
    if (grown !== 0) this.#out?.writeUInt32BE(end - start - 1 + grown, lengthAt);
    return end;
  }

  end(): MaskedRows {
    if (this.#out === undefined) return { bytes: this.#rows, values: 0 };
    this.#take(this.#rows.length);
    return { bytes: this.#out.subarray(0, this.#filled), values: this.#values };
  }

  #shown(column: number, value: Buffer | null): Shown {
    return shownValue(value, this.#plan, column, formatOf(this.#formats, column));
  }

  /** What `from` to `to` holds, a length and a value, becomes `shown`. */
  #replace(from: number, to: number, shown: Buffer | null): void {
    this.#values++;
    this.#take(from);
    const out = this.#room(4 + (shown?.length ?? 0));
    out.writeInt32BE(shown === null ? -1 : shown.length, this.#filled);
    this.#filled += 4;
    if (shown !== null) this.#filled += shown.copy(out, this.#filled);
    this.#copied = to;
  }

  /** Copies what came up to `end` and is not in `#out` yet. */
  #take(end: number): void {
    const out = this.#room(end - this.#copied);
    this.#filled += this.#rows.copy(out, this.#filled, this.#copied, end);
    this.#copied = end;
  }

  #room(bytes: number): Buffer {
    const needed = this.#filled + bytes;
    if (this.#out !== undefined && needed <= this.#out.length) return this.#out;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#rows.length + SLACK_BYTES, (this.#out?.length ?? 0) * 2));
    this.#out?.copy(larger, 0, 0, this.#filled);
    this.#out = larger;
    return larger;
  }
}

/** How one value of a column is shown, in `format` 0 (text) or 1 (binary). */
export function shownValue(value: Buffer | null, plan: MaskPlan, column: number, format: number): Shown {
  const mask = plan.masks[column];
  if (mask) return masked(value, mask, format);
  const family = plan.families[column] ?? 'document';
  if (value === null || family === 'plain' || plan.scan.length === 0) return UNCHANGED;
  return scanned(value, family, plan, format);
}

function masked(value: Buffer | null, { family, mask, hidesNull }: ColumnMask, format: number): Shown {
  if (value === null && (!hidesNull || mask.kind === 'null')) return UNCHANGED;
  if (mask.kind === 'null') return null;
  switch (family) {
    case 'text':
      return value === null ? REDACTED_BYTES : maskBytes(value, mask);
    case 'json':
      return Buffer.from(JSON.stringify(REDACTED));
    case 'jsonb':
      return jsonb(JSON.stringify(REDACTED), format);
    case 'uuid':
      return value === null || mask.kind !== 'hash' ? null : uuid(value, mask.key, format);
    default:
      return value === null ? UNCHANGED : null;
  }
}

/** A text that is no UUID is hidden whole: nothing else can stand in a column of the type. */
function uuid(value: Buffer, key: Buffer, format: number): Buffer | null {
  const bytes = format === BINARY ? value : Buffer.from(value.toString('latin1').replaceAll('-', ''), 'hex');
  if (bytes.length !== UUID_BYTES) return null;
  const shown = maskUuid(bytes, key);
  return format === BINARY ? shown : Buffer.from(shown.toString('hex').replace(UUID_GROUPS, '$1-$2-$3-$4-$5'));
}

function jsonb(text: string, format: number): Buffer {
  return format === BINARY ? Buffer.concat([Buffer.of(JSONB_VERSION), Buffer.from(text)]) : Buffer.from(text);
}

function scanned(value: Buffer, family: Family, { scan, detectors }: MaskPlan, format: number): Shown {
  const spans = detect(value, detectors);
  if (spans.length === 0) return UNCHANGED;
  // The binary form of arrays and composite values counts bytes: only the whole can be replaced.
  if (format === BINARY && family === 'document') return null;
  const shown = replaced(value, spans, scan);
  return shown !== null && (family === 'json' || family === 'jsonb') ? validJson(shown, family, format) : shown;
}

/** A find that was a number or a part of an escape leaves text that is no JSON: the whole is hidden then. */
function validJson(shown: Buffer, family: Family, format: number): Buffer {
  const versioned = family === 'jsonb' && format === BINARY;
  try {
    JSON.parse(shown.toString('utf8', versioned ? 1 : 0));
    return shown;
  } catch {
    return versioned ? jsonb(JSON.stringify(REDACTED), format) : Buffer.from(JSON.stringify(REDACTED));
  }
}

/** Null: a find is to be shown as null, and so the whole is. */
function replaced(value: Buffer, spans: readonly Span[], scan: readonly Scan[]): Buffer | null {
  const pieces: Buffer[] = [];
  let copied = 0;
  for (const { detector, start, end } of spans) {
    const mask = scan.find((item) => item.detector === detector)?.mask ?? REDACT;
    const shown = mask.kind === 'redact' ? REDACTED_BYTES : maskBytes(value.subarray(start, end), mask);
    if (shown === null) return null;
    if (start === 0 && end === value.length) return shown;
    pieces.push(value.subarray(copied, start), shown);
    copied = end;
  }
  pieces.push(value.subarray(copied));
  return Buffer.concat(pieces);
}
