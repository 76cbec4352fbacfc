import { CellMasker, MaskError } from './cells.ts';
import { HEADER_BYTES, uint16At } from './frame.ts';
import type { MaskPlan } from './plan.ts';
import { messageEnd, Rewrite } from './rewrite.ts';

export interface MaskedRows {
  /** The rows as they came where nothing changed; a new Buffer otherwise. */
  readonly bytes: Buffer;
  /** Values that were changed. */
  readonly values: number;
}

const DATA_ROW = 0x44;

function malformed(): MaskError {
  return new MaskError('a row does not hold the columns that were described');
}

/**
 * Masks DataRow messages (with type and length) that lie one behind the other. What is not masked is copied in as large pieces as
 * it lies in.
 *
 * @param formats - result formats as Bind gave them
 * @throws MaskError where a row is not what was planned for
 */
export function maskRows(rows: Buffer, plan: MaskPlan, formats: readonly number[]): MaskedRows {
  const masker = new CellMasker(plan, formats, malformed);
  const rewrite = new Rewrite(rows);
  const columns = plan.masks.length;
  for (let at = 0; at < rows.length; ) {
    const end = messageEnd(rows, at, DATA_ROW);
    const first = at + HEADER_BYTES + 2;
    if (first > end || uint16At(rows, at + HEADER_BYTES) !== columns) throw malformed();
    rewrite.begin(at);
    if (masker.mask(rewrite, first, end) !== end) throw malformed();
    rewrite.finish();
    at = end;
  }
  return { bytes: rewrite.result(), values: masker.values };
}
