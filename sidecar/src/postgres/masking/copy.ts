import { CellMasker, MaskError } from './cells.ts';
import type { CopyFormat } from './copy-format.ts';
import { LineMasker } from './copy-lines.ts';
import { HEADER_BYTES, uint16At, uint32At } from './frame.ts';
import type { MaskPlan } from './plan.ts';
import { messageEnd, Rewrite } from './rewrite.ts';

const COPY_DATA = 0x64;
const LF = 0x0a;
const BINARY = 1;
/** https://www.postgresql.org/docs/18/sql-copy.html#id-1.9.3.55.9.4 */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** A count of columns: −1. */
const TRAILER = 0xffff;

export interface MaskedCopy {
  /** The messages as they came where nothing changed. */
  readonly bytes: Buffer;
  /** Values that were changed. */
  readonly values: number;
}

function malformed(): MaskError {
  return new MaskError('a message of COPY does not hold the columns that were described');
}

/** Masks the CopyData messages of one COPY TO, one after the other. A server sends each row as one message. */
export class CopyMasker {
  readonly #columns: number;
  readonly #masker: LineMasker | CellMasker;
  /** The header is behind us. */
  #begun: boolean;

  constructor(plan: MaskPlan, format: CopyFormat) {
    this.#columns = plan.masks.length;
    this.#masker = format.kind === 'binary' ? new CellMasker(plan, [BINARY], malformed) : new LineMasker(plan, format, malformed);
    this.#begun = format.kind !== 'binary' && !format.header;
  }

  /**
   * Masks whole messages (with type and length) that lie one behind the other.
   * @throws MaskError where one is not whole rows of the planned columns
   */
  mask(messages: Buffer): MaskedCopy {
    const masker = this.#masker;
    const rewrite = new Rewrite(messages);
    const before = masker.values;
    for (let at = 0; at < messages.length; ) {
      const end = messageEnd(messages, at, COPY_DATA);
      if (end === 0) throw malformed();
      rewrite.begin(at);
      if (masker instanceof CellMasker) this.#tuples(masker, rewrite, at + HEADER_BYTES, end);
      else this.#line(masker, rewrite, at + HEADER_BYTES, end);
      rewrite.finish();
      at = end;
    }
    return { bytes: rewrite.result(), values: masker.values - before };
  }

  #line(masker: LineMasker, rewrite: Rewrite, start: number, end: number): void {
    const begun = this.#begun;
    this.#begun = true;
    // Names of columns.
    if (!begun) return;
    if (end === start || rewrite.source[end - 1] !== LF) throw malformed();
    // A table without columns has empty lines.
    if (this.#columns > 0 || end - start > 1) masker.mask(rewrite, start, end - 1);
  }

  #tuples(masker: CellMasker, rewrite: Rewrite, start: number, end: number): void {
    const { source } = rewrite;
    let at = this.#begun ? start : afterHeader(source, start, end);
    this.#begun = true;
    while (at < end) {
      if (at + 2 > end) throw malformed();
      const count = uint16At(source, at);
      at += 2;
      if (count === TRAILER) continue;
      if (count !== this.#columns) throw malformed();
      at = masker.mask(rewrite, at, end);
    }
    if (at !== end) throw malformed();
  }
}

/** Where the header of a binary copy ends: signature, flags, and an extension with its length. */
function afterHeader(source: Buffer, start: number, end: number): number {
  const length = start + SIGNATURE.length + 4;
  if (length + 4 > end || !source.subarray(start, start + SIGNATURE.length).equals(SIGNATURE)) throw malformed();
  return length + 4 + uint32At(source, length);
}
