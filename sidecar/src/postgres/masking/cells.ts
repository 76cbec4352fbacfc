import { firstPlace } from '../../masking/detectors.ts';
import { writeMasked, WRITE_SLACK } from '../../masking/strategies.ts';
import { int32At, putInt32 } from './frame.ts';
import type { MaskPlan } from './plan.ts';
import { copyBytes, type Rewrite } from './rewrite.ts';
import { maskedValue, scannedValue, type Shown, UNCHANGED } from './shown.ts';
import type { Family } from './types.ts';

/** A row cannot be masked as planned: the session must end, and nothing of the row is shown. */
export class MaskError extends Error {
  override readonly name = 'MaskError';
  readonly code = 'RowUnmaskable';
}

/** What becomes of the values of one column. */
export const PASSES = 0;
export const SCANNED = 1;
export const MASKED = 2;
/** Masked as text, which can be written where it is to stand. */
export const MASKED_TEXT = 3;

/** By column; made once for many rows. */
export function fates({ masks, families, scan }: MaskPlan): Uint8Array {
  const found = new Uint8Array(masks.length);
  for (const [column, mask] of masks.entries()) {
    if (mask) found[column] = mask.family === 'text' ? MASKED_TEXT : MASKED;
    else if (scan.length > 0 && families[column] !== 'plain') found[column] = SCANNED;
  }
  return found;
}

export const familyOfColumn = ({ families }: MaskPlan, column: number): Family => families[column] ?? 'document';

/** The format of one column: Bind's result formats, where none means text and one stands for all. */
function formatOf(formats: readonly number[], column: number): number {
  return (formats.length === 1 ? formats[0] : formats[column]) ?? 0;
}

/**
 * Masks the values of a DataRow or of a tuple of a binary COPY: each a length (32 bit, −1: NULL) and content. Nothing is allocated
 * for a value that passes or that a partial mask or a redaction stands for.
 */
export class CellMasker {
  /** Values that were changed. */
  values = 0;
  readonly #plan: MaskPlan;
  readonly #formats: readonly number[];
  readonly #fates: Uint8Array;
  readonly #malformed: () => MaskError;

  constructor(plan: MaskPlan, formats: readonly number[], malformed: () => MaskError) {
    this.#plan = plan;
    this.#formats = formats;
    this.#fates = fates(plan);
    this.#malformed = malformed;
  }

  /** Masks all planned columns, which begin at `start` and end before `end`. @returns Where they end. @throws MaskError */
  mask(rewrite: Rewrite, start: number, end: number): number {
    const { source } = rewrite;
    const fate = this.#fates;
    let at = start;
    for (let column = 0; column < fate.length; column++) {
      if (at + 4 > end) throw this.#malformed();
      const length = int32At(source, at);
      const next = at + 4 + (length > 0 ? length : 0);
      if (length < -1 || next > end) throw this.#malformed();
      if (fate[column] !== PASSES) this.#cell(rewrite, column, at, next, length === -1);
      at = next;
    }
    return at;
  }

  #cell(rewrite: Rewrite, column: number, at: number, next: number, isNull: boolean): void {
    if (this.#fates[column] === SCANNED) this.#scan(rewrite, column, at, next, isNull);
    else if (isNull || this.#fates[column] !== MASKED_TEXT || !this.#write(rewrite, column, at, next)) {
      const mask = this.#plan.masks[column];
      const value = isNull ? null : rewrite.source.subarray(at + 4, next);
      if (mask) this.#replace(rewrite, at, next, maskedValue(value, mask, formatOf(this.#formats, column)));
    }
  }

  /** False: the mask cannot be written in place. */
  #write(rewrite: Rewrite, column: number, at: number, next: number): boolean {
    const mask = this.#plan.masks[column]?.mask;
    if (mask === undefined) return false;
    const out = rewrite.cut(at, next - at + WRITE_SLACK);
    const begin = rewrite.at + 4;
    const end = writeMasked(rewrite.source, at + 4, next, mask, out, begin);
    if (end < 0) return false;
    putInt32(out, begin - 4, end - begin);
    rewrite.put(end, next);
    this.values++;
    return true;
  }

  #scan(rewrite: Rewrite, column: number, at: number, next: number, isNull: boolean): void {
    if (isNull) return;
    const first = firstPlace(rewrite.source, at + 4, next, this.#plan.detectors);
    if (first < 0) return;
    const value = rewrite.source.subarray(at + 4, next);
    const format = formatOf(this.#formats, column);
    this.#replace(rewrite, at, next, scannedValue(value, familyOfColumn(this.#plan, column), this.#plan, format, first - at - 4));
  }

  #replace(rewrite: Rewrite, at: number, next: number, shown: Shown): void {
    if (shown === UNCHANGED) return;
    this.values++;
    const length = shown === null ? 0 : shown.length;
    const out = rewrite.cut(at, 4 + length);
    putInt32(out, rewrite.at, shown === null ? -1 : length);
    rewrite.put(shown === null ? rewrite.at + 4 : copyBytes(shown, 0, length, out, rewrite.at + 4), next);
  }
}
