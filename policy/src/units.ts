import { PolicyError } from './errors.ts';

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

/** Milliseconds of `90s`, `5m`, `1h30m`, `30d`. Throws PolicyError PolicyInvalid on anything else, zero included. */
export function durationMs(text: string): number {
  let rest = text;
  let total = 0;
  while (rest !== '') {
    const part = /^(\d{1,9})(ms|s|m|h|d)/.exec(rest);
    if (!part) throw invalid('duration');
    total += Number(part[1]) * (DURATION_MS[part[2] ?? ''] ?? Number.NaN);
    rest = rest.slice(part[0].length);
  }
  if (!Number.isSafeInteger(total) || total <= 0) throw invalid('duration');
  return total;
}

/** Bytes of `4096`, `64Ki`, `1Mi`, `2G`. Throws PolicyError PolicyInvalid on anything else, zero included. */
export function byteCount(text: string): number {
  const part = /^(\d{1,12})(k|M|G|Ki|Mi|Gi|)$/.exec(text);
  const total = part ? Number(part[1]) * (BYTES[part[2] ?? ''] ?? Number.NaN) : Number.NaN;
  if (!Number.isSafeInteger(total) || total <= 0) throw invalid('byte count');
  return total;
}

function invalid(what: string): PolicyError {
  return new PolicyError('PolicyInvalid', `a ${what} in the policy cannot be read`);
}
