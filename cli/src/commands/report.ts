import { csvLine } from '@chaperone/api/csv';
import { visible } from '@chaperone/api/text';
import {
  type FileTrust,
  type Report,
  reportEvidence,
  type ReportFilter,
  type ReportKind,
  ReportRefused,
} from '@chaperone/evidence';
import { CliError, EXIT, usage } from '../errors.ts';
import { counted, type Io, table, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';

export interface ReportQuery {
  readonly kind: ReportKind;
  readonly filter: ReportFilter;
  /** As it was asked for; absent of a file. */
  readonly period?: { readonly from: number; readonly to: number };
  readonly output: 'table' | 'csv' | DocumentOutput;
}

/**
 * `report`: verifies evidence of a period on its way, and says what it holds. Resolves with the exit code, which is that of `verify` for what is
 * altered and what the log and its witnesses do not prove: rows were made without it. Throws CliError.
 */
export async function writeReport(
  source: AsyncIterable<Uint8Array>,
  trust: FileTrust,
  { kind, filter, period, output }: ReportQuery,
  io: Io,
): Promise<number> {
  const report = await made(source, trust, kind, filter);
  const { columns, rows, log } = report;
  const exit = exitOf(report);
  if (output === 'csv') {
    for (const row of [columns, ...rows]) await writeText(io.out, csvLine(row));
    // Only rows are for a spreadsheet.
    for (const line of about(report, period)) await writeLine(io.err, line);
    return exit;
  }
  if (output !== 'table') {
    const { rows: _rows, columns: _columns, log: _log, ...rest } = report;
    const asked = period === undefined ? {} : { from: iso(period.from), to: iso(period.to) };
    const objects = rows.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at] ?? null])));
    await writeDocument(io, output, { ...rest, ...asked, checkpoint: log, count: rows.length, columns, rows: objects });
    return exit;
  }
  const cells = rows.map((row) => row.map((cell) => (cell === null ? '' : String(cell))));
  await writeLine(io.out, table(columns.map(heading), cells));
  await writeLine(io.out, '');
  for (const line of about(report, period)) await writeLine(io.out, line);
  return exit;
}

function exitOf({ altered, unproven, log }: Report): number {
  if (altered > 0) return EXIT.checkSaysNo;
  return unproven > 0 || log.quorum === 'missing' ? EXIT.notWitnessed : EXIT.ok;
}

async function made(
  source: AsyncIterable<Uint8Array>,
  trust: FileTrust,
  kind: ReportKind,
  filter: ReportFilter,
): Promise<Report> {
  try {
    return await reportEvidence(source, trust, kind, filter);
  } catch (error) {
    if (!(error instanceof ReportRefused)) throw error;
    if (error.kind === 'unfit') throw usage(error.message, error);
    throw new CliError('EvidenceAltered', `${error.message}; nothing is reported of it`, {
      cause: error,
      exit: EXIT.checkSaysNo,
    });
  }
}

/** What the rows are of, in lines; the words about controls claim nothing. */
function about(report: Report, period: ReportQuery['period']): string[] {
  const { log, filter, rows, digest, populationDigest, unread, unknown, supportsEvidenceFor } = report;
  const times = period === undefined ? '' : `, stored from ${iso(period.from)} until before ${iso(period.to)}`;
  const only = Object.entries(filter).map(([name, value]) => `${name} ${value}`);
  return [
    `${report.report}: ${counted(rows.length, 'row')}${times}, entries ${log.range.from} to ${log.range.to - 1} of the log ${log.origin}`,
    `checkpoint: size ${log.size}, root ${log.root}, witnesses ${log.quorum === 'met' ? 'as the policy asks' : 'fewer than the policy asks for'}`,
    `only: ${only.length === 0 ? 'no filter' : only.join(', ')}`,
    ...(unknown === 0
      ? []
      : [`left out by the filter: ${counted(unknown, 'session')} of which nothing here says whose they are`]),
    ...(unread === 0 ? [] : [`not read: the records of ${counted(unread, 'session')}, whose keys or segments are not here`]),
    ...(report.altered === 0
      ? []
      : [`altered: the evidence of ${counted(report.altered, 'session')}, of which rows end before that (EvidenceAltered)`]),
    ...(report.unproven === 0
      ? []
      : [`not proven by the log or its witnesses: ${counted(report.unproven, 'session')} (NotLogged)`]),
    `digest of these rows: ${digest}`,
    ...(populationDigest === undefined
      ? []
      : [`digest of the population, of all sessions by the log alone: ${populationDigest}`]),
    `supports evidence for: ${supportsEvidenceFor.join('; ')}`,
  ].map((line) => visible(line));
}

/** firstEntry → FIRST ENTRY */
function heading(name: string): string {
  return name.replace(/[A-Z]/g, ' $&').toUpperCase();
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

async function writeText(out: NodeJS.WritableStream, text: string): Promise<void> {
  if (!out.write(text)) await new Promise((resolve) => out.once('drain', resolve));
}
