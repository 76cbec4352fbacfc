import type { Result, Slot } from './measure.ts';
import type { SidecarFigures } from './sidecar.ts';
import { ratio, type Spread, spread } from './statistics.ts';

export type Processes = readonly { readonly name: string; readonly figures: SidecarFigures }[];

export interface Report {
  readonly at: string;
  readonly commit: string;
  readonly quick: boolean;
  readonly machine: { readonly cpu: string; readonly cores: number };
  readonly programs: Readonly<Record<string, string>>;
  readonly results: readonly Result[];
  /** Start and memory of each process in between. */
  readonly processes: Processes;
  /** Speed of the detectors alone, as lines for people. */
  readonly detectors: readonly string[];
  /** Resident memory after all loads, KiB. */
  readonly afterLoads: { readonly now: number; readonly peak: number } | undefined;
  readonly evidenceBytes: number;
  readonly notMeasured: readonly string[];
}

/** Speed of one path over another's, both from the same rounds; above 1 is faster. */
export function speed(result: Result, ours: Slot, theirs: Slot): Spread | undefined {
  const values = (slot: Slot): number[] => (result.runs[slot] ?? []).map((run) => run.value);
  return result.unit === 'ms' || result.unit === 'MiB'
    ? ratio(values(theirs), values(ours))
    : ratio(values(ours), values(theirs));
}

/** The report as JSON, with the quotients that the table shows. */
export function toJson(report: Report): string {
  const results = report.results.map((result) => ({
    ...result,
    speed: {
      pgbouncerOfDirect: speed(result, 'pgbouncer', 'direct'),
      chaperoneOfDirect: speed(result, 'chaperone', 'direct'),
      chaperoneOfPgbouncer: speed(result, 'chaperone', 'pgbouncer'),
      sidecarOfPgbouncer: speed(result, 'sidecar', 'pgbouncer'),
      bareOfPgbouncer: speed(result, 'bare', 'pgbouncer'),
      framingOfPgbouncer: speed(result, 'framing', 'pgbouncer'),
      nullComparison: speed(result, 'again', 'chaperone'),
    },
  }));
  return `${JSON.stringify({ ...report, results }, (_, value: unknown) => (typeof value === 'number' ? rounded(value) : value), 2)}\n`;
}

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}

/** Results as a table. */
export function resultTable(results: readonly Result[]): string[] {
  const head = [
    'load',
    'direct',
    'PgBouncer',
    'Chaperone',
    'PgBouncer/direct',
    'Chaperone/direct',
    'Chaperone/PgBouncer',
    'same path twice',
    'CPU µs PgBouncer',
    'CPU µs Chaperone',
  ];
  const rows = results.map((result) => [
    result.load,
    shown(result, 'direct'),
    shown(result, 'pgbouncer'),
    shown(result, 'chaperone'),
    quotient(speed(result, 'pgbouncer', 'direct')),
    quotient(speed(result, 'chaperone', 'direct')),
    quotient(speed(result, 'chaperone', 'pgbouncer')),
    quotient(speed(result, 'again', 'chaperone')),
    cpu(result, ['pgbouncer']),
    cpu(result, ['chaperone', 'again']),
  ]);
  return table(head, rows);
}

/** Statements that need nobody, under a policy with a rule that asks and under one without. */
export function approvalTable(results: readonly Result[]): string[] {
  const head = ['load', 'without', 'with a rule that asks', 'with/without', 'same path twice', 'CPU µs without', 'CPU µs with'];
  const rows = results.map((result) => [
    result.load,
    shown(result, 'chaperone'),
    shown(result, 'asks'),
    quotient(speed(result, 'asks', 'chaperone')),
    quotient(speed(result, 'again', 'chaperone')),
    cpu(result, ['chaperone', 'again']),
    cpu(result, ['asks']),
  ]);
  return table(head, rows);
}

/** Short statements beside what bounds a proxy in Node: a relay that only pipes, and one that finds messages. */
export function boundTable(results: readonly Result[]): string[] {
  const head = [
    'load',
    'bare relay/PgBouncer',
    'framing relay/PgBouncer',
    'sidecar/PgBouncer',
    'sidecar/direct',
    'sidecar/framing relay',
    'CPU µs PgBouncer',
    'CPU µs bare relay',
    'CPU µs framing relay',
    'CPU µs sidecar',
    'CPU µs with collector',
  ];
  const rows = results
    .filter(({ runs }) => runs.bare !== undefined || runs.sidecar !== undefined)
    .map((result) => [
      result.load,
      quotient(speed(result, 'bare', 'pgbouncer')),
      quotient(speed(result, 'framing', 'pgbouncer')),
      quotient(speed(result, 'sidecar', 'pgbouncer')),
      quotient(speed(result, 'sidecar', 'direct')),
      quotient(speed(result, 'sidecar', 'framing')),
      cpu(result, ['pgbouncer']),
      cpu(result, ['bare']),
      cpu(result, ['framing']),
      cpu(result, ['sidecar']),
      cpu(result, ['chaperone', 'again']),
    ]);
  return rows.length === 0 ? [] : [...table(head, rows), ''];
}

/** The report as Markdown. */
export function toText(report: Report): string {
  return [
    `${report.machine.cores} cores (${report.machine.cpu}), ${Object.values(report.programs).join(', ')}; commit ${report.commit}.`,
    'Median of rounds; quotients of speed are taken round by round, with least and greatest; above 1 is faster.',
    'Differences within the range of "same path twice" are noise.',
    '',
    ...resultTable(report.results),
    '',
    ...boundTable(report.results),
    ...memory(report),
    ...(report.detectors.length === 0 ? [] : ['Detectors alone:', ...report.detectors.map((line) => `- ${line}`), '']),
    ...report.notMeasured.map((what) => `Not measured: ${what}`),
    '',
  ].join('\n');
}

function mib(kib: number): string {
  return `${(kib / 1024).toFixed(0)} MiB`;
}

/** Start and memory as a table. */
export function processTable(processes: Processes): string[] {
  const rows = processes.map(({ name, figures: { startMs: start, footprint, bindPeakKiB } }) => [
    name,
    start === undefined ? '–' : `${start.median.toFixed(0)} ms [${start.min.toFixed(0)}–${start.max.toFixed(0)}]`,
    mib(footprint.idleKiB),
    mib(footprint.usedKiB),
    `${footprint.perSessionKiB.toFixed(1)} KiB`,
    String(footprint.sessions),
    mib(bindPeakKiB),
  ]);
  const head = [
    'process',
    'start to ready',
    'idle',
    'after the first sessions',
    'per idle session',
    'at once',
    'peak, Bind of 63 MiB',
  ];
  return rows.length === 0 ? [] : [...table(head, rows), ''];
}

function memory({ processes, afterLoads, evidenceBytes }: Report): string[] {
  const lines = processTable(processes);
  if (afterLoads !== undefined)
    lines.push(
      `Chaperone after all loads: ${mib(afterLoads.now)}, at most ${mib(afterLoads.peak)}; ${mib(evidenceBytes / 1024)} of evidence.`,
    );
  return lines;
}

function shown(result: Result, slot: Slot): string {
  const of = spread((result.runs[slot] ?? []).map((run) => run.value));
  if (of === undefined) return '–';
  if (result.unit === 'ms') return `${of.median.toFixed(1)} ms`;
  if (result.unit === 'MiB') return `${of.max.toFixed(1)} MiB`;
  return `${Math.round(of.median).toLocaleString('en')}${result.unit === 'rows/s' ? ' rows/s' : '/s'}`;
}

function quotient(of: Spread | undefined): string {
  return of === undefined ? '–' : `${of.median.toFixed(2)} [${of.min.toFixed(2)}–${of.max.toFixed(2)}]`;
}

function cpu(result: Result, slots: readonly Slot[]): string {
  const used = slots.flatMap((slot) => result.runs[slot] ?? []).flatMap((run) => run.cpuMicros ?? []);
  const of = spread(used);
  return of === undefined ? '–' : of.median.toLocaleString('en', { maximumFractionDigits: of.median < 1000 ? 1 : 0 });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`;
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)];
}
