import { detect, type Span } from '../../masking/detectors.ts';
import { maskBytes, maskUuid, REDACTED } from '../../masking/strategies.ts';
import type { ColumnMask, MaskPlan, Scan } from './plan.ts';
import type { Family } from './types.ts';

const JSONB_VERSION = 1;
const BINARY = 1;
const REDACTED_BYTES = Buffer.from(REDACTED);
const REDACT = { kind: 'redact' } as const;
const UUID_BYTES = 16;
const UUID_GROUPS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;
/** In place of a value that is shown as it is. */
export const UNCHANGED = Symbol('unchanged');
export type Shown = Buffer | null | typeof UNCHANGED;

/** How one value is shown by the mask of its column, in `format` 0 (text) or 1 (binary). */
export function maskedValue(value: Buffer | null, { family, mask, hidesNull }: ColumnMask, format: number): Shown {
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

/** How a value that no lineage masks is shown after the detectors, which find nothing before `from`. */
export function scannedValue(value: Buffer, family: Family, { scan, detectors }: MaskPlan, format: number, from: number): Shown {
  const spans = detect(value, detectors, undefined, from);
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
