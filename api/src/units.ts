/** `1h30m`, `5m`, `90d`: units d, h, m, s, ms, each at most once, the largest first; never zero. */
export const DURATION = /^([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$/;
/** Bytes: `65536`, `512Ki`, `1Mi`, `10G`; a suffix of two letters counts in 1024s, of one letter in 1000s. */
export const QUANTITY = /^([1-9][0-9]{0,11}|[1-9][0-9]{0,5}(Ki|Mi|Gi|k|M|G))$/;

const UNIT_MS = [86_400_000, 3_600_000, 60_000, 1000, 1] as const;
const SUFFIX_BYTES = new Map([
  ['', 1],
  ['k', 1e3],
  ['M', 1e6],
  ['G', 1e9],
  ['Ki', 2 ** 10],
  ['Mi', 2 ** 20],
  ['Gi', 2 ** 30],
]);

/** A duration or size in a manifest is not written as {@link DURATION} or {@link QUANTITY} say. */
export class UnitError extends Error {
  override readonly name = 'UnitError';
  readonly code: 'DurationInvalid' | 'QuantityInvalid';
  constructor(code: UnitError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** `'1h30m'` → 5400000 ms. Throws UnitError DurationInvalid. */
export function parseDuration(text: string): number {
  const parts = DURATION.exec(text);
  let total = 0;
  for (const [index, unit] of UNIT_MS.entries()) total += Number.parseInt(parts?.[index + 1] ?? '0', 10) * unit;
  if (total === 0) throw new UnitError('DurationInvalid', 'write a duration such as 30s, 5m or 1h30m');
  return total;
}

/** `'1Mi'` → 1048576 bytes. Throws UnitError QuantityInvalid. */
export function parseQuantity(text: string): number {
  if (!QUANTITY.test(text)) throw new UnitError('QuantityInvalid', 'write a number of bytes such as 65536, 512Ki or 1Mi');
  const suffix = text.replace(/^[0-9]+/, '');
  return Number.parseInt(text, 10) * (SUFFIX_BYTES.get(suffix) ?? Number.NaN);
}
