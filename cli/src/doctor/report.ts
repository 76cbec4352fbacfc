import { visible } from '@chaperone/api';
import type { Paint, Style } from '../paint.ts';
import type { Finding } from './checks.ts';

const STYLE: Readonly<Record<Finding['level'], Style | undefined>> = { ok: 'good', skip: undefined, warn: 'warn', FAIL: 'bad' };

export interface Summary {
  readonly ok: number;
  readonly warnings: number;
  readonly failed: number;
  readonly skipped: number;
}

export function summarise(findings: readonly Finding[]): Summary {
  const count = (level: Finding['level']): number => findings.filter((finding) => finding.level === level).length;
  return { ok: count('ok'), warnings: count('warn'), failed: count('FAIL'), skipped: count('skip') };
}

/** A line for each finding, with what mends it below, and one that counts. Texts of the cluster are made visible. */
export function reportText(findings: readonly Finding[], paint: Paint): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = findings.flatMap(({ check, level, message, fix = [] }) => [
    `${paint(STYLE[level], level.padEnd(4))}  ${check.padEnd(width)}  ${visible(message)}`,
    ...fix.map((each) => `${' '.repeat(6)}${'fix'.padEnd(width)}  ${visible(each)}`),
  ]);
  const { ok, warnings, failed, skipped } = summarise(findings);
  return [
    ...lines,
    `${ok} ok, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}, ${failed} failed, ${skipped} not seen`,
  ].join('\n');
}
