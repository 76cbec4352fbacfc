import type { Detector } from '@chaperone/api';
import { detect, type Span } from '../../masking/detectors.ts';
import { maskText, maskUuid, REDACTED } from '../../masking/strategies.ts';
import type { ColumnMask, MaskPlan, Scan } from './plan.ts';
import type { Family } from './types.ts';

/** A row cannot be masked as planned: the session must end, and nothing of the row is shown. */
export class MaskError extends Error {
  override readonly name = 'MaskError';
  readonly code = 'RowUnmaskable';
}

export interface MaskedRow {
  /** The row as it came where nothing changed; a new Buffer otherwise. */
  readonly row: Buffer;
  /** Values that were changed. */
  readonly values: number;
}

const DATA_ROW = 0x44;
const HEADER_BYTES = 5;
const JSONB_VERSION = 1;
const BINARY = 1;
const UUID_BYTES = 16;
const UUID_GROUPS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;
const UNCHANGED = Symbol('unchanged');
type Shown = Buffer | null | typeof UNCHANGED;

/** The format of one column: Bind's result formats, where none means text and one stands for all. */
function formatOf(formats: readonly number[], column: number): number {
  return (formats.length === 1 ? formats[0] : formats[column]) ?? 0;
}

function malformed(): MaskError {
  return new MaskError('a row does not hold the columns that were described');
}

/**
 * Masks one DataRow message (with its type and length).
 *
 * @param formats - result formats as Bind gave them
 * @throws MaskError where the row is not what was planned for
 */
export function maskRow(row: Buffer, plan: MaskPlan, formats: readonly number[]): MaskedRow {
  if (row.length < HEADER_BYTES + 2 || row[0] !== DATA_ROW || row.readUInt32BE(1) !== row.length - 1) throw malformed();
  const count = row.readUInt16BE(HEADER_BYTES);
  if (count !== plan.masks.length) throw malformed();
  const pieces: Buffer[] = [];
  let copied = 0;
  let values = 0;
  let at = HEADER_BYTES + 2;
  for (let column = 0; column < count; column++) {
    if (at + 4 > row.length) throw malformed();
    const length = row.readInt32BE(at);
    const end = at + 4 + Math.max(length, 0);
    if (length < -1 || end > row.length) throw malformed();
    const shown = show(length === -1 ? null : row.subarray(at + 4, end), plan, column, formatOf(formats, column));
    if (shown !== UNCHANGED) {
      const head = Buffer.allocUnsafe(4);
      head.writeInt32BE(shown === null ? -1 : shown.length);
      pieces.push(row.subarray(copied, at), head);
      if (shown !== null) pieces.push(shown);
      copied = end;
      values++;
    }
    at = end;
  }
  if (at !== row.length) throw malformed();
  if (values === 0) return { row, values };
  const out = Buffer.concat([...pieces, row.subarray(copied)]);
  out.writeUInt32BE(out.length - 1, 1);
  return { row: out, values };
}

function show(value: Buffer | null, plan: MaskPlan, column: number, format: number): Shown {
  const mask = plan.masks[column];
  if (mask) return masked(value, mask, format);
  const family = plan.families[column] ?? 'document';
  if (value === null || family === 'plain' || plan.scan.length === 0) return UNCHANGED;
  return scanned(value, family, plan.scan, format);
}

function masked(value: Buffer | null, { family, mask, hidesNull }: ColumnMask, format: number): Shown {
  if (value === null && (!hidesNull || mask.kind === 'null')) return UNCHANGED;
  if (mask.kind === 'null') return null;
  switch (family) {
    case 'text': {
      const text = mask.kind === 'redact' || value === null ? REDACTED : maskText(value.toString('utf8'), mask);
      return text === null ? null : Buffer.from(text);
    }
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

function scanned(value: Buffer, family: Family, scan: readonly Scan[], format: number): Shown {
  const spans = detect(value, wanted(scan));
  if (spans.length === 0) return UNCHANGED;
  const byDetector = new Map(scan.map((item) => [item.detector, item.mask]));
  // The binary form of arrays and composite values counts bytes: only the whole can be replaced.
  if (format === BINARY && family === 'document') return null;
  if (spans.some((span) => byDetector.get(span.detector)?.kind === 'null')) return null;
  const shown = Buffer.concat(replaced(value, spans, byDetector));
  return family === 'json' || family === 'jsonb' ? validJson(shown, family, format) : shown;
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

function wanted(scan: readonly Scan[]): ReadonlySet<Detector> {
  return new Set(scan.map((item) => item.detector));
}

function replaced(value: Buffer, spans: readonly Span[], masks: ReadonlyMap<Detector, Scan['mask']>): Buffer[] {
  const pieces: Buffer[] = [];
  let copied = 0;
  for (const { detector, start, end } of spans) {
    const mask = masks.get(detector) ?? { kind: 'redact' };
    pieces.push(value.subarray(copied, start), Buffer.from(maskText(value.toString('utf8', start, end), mask) ?? REDACTED));
    copied = end;
  }
  pieces.push(value.subarray(copied));
  return pieces;
}
