/** A time, ms since 1970, in UTC (ISO 8601); one that no calendar has as the number it is: pods' clocks and logs' keys may say anything. */
export function timeOf(at: number): string {
  return Math.abs(at) <= 8.64e15 ? new Date(at).toISOString() : `${at} ms`;
}
