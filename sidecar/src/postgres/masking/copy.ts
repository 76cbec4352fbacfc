import { detect } from '../../masking/detectors.ts';
import type { MaskPlan } from './plan.ts';

const HEADER_BYTES = 5;
const ASTERISK = 0x2a;

/**
 * Looks through one CopyData message of COPY TO in text or CSV format; what detectors find becomes asterisks, byte for byte, so
 * that the line keeps its form. Only for plans without masked columns: those must not be copied at all.
 */
export function maskCopyData(bytes: Buffer, plan: MaskPlan): { bytes: Buffer; values: number } {
  const spans = detect(bytes.subarray(HEADER_BYTES), new Set(plan.scan.map(({ detector }) => detector)));
  if (spans.length === 0) return { bytes, values: 0 };
  const shown = Buffer.from(bytes);
  for (const { start, end } of spans) shown.fill(ASTERISK, HEADER_BYTES + start, HEADER_BYTES + end);
  return { bytes: shown, values: spans.length };
}
