import { createHash } from 'node:crypto';
import { type FileTrust, type LogSummary, verifyEvidence } from '../file/verify-file.ts';
import { AccessMatrix, Approvals, Denials, Masking } from './actions.ts';
import { CONTROLS } from './controls.ts';
import { Keys } from './keys.ts';
import { Reads } from './reads.ts';
import { type Context, MAX_REPORT_ROWS, type Reporter, ReportRefused, type Row, tooMany } from './rows.ts';
import { Gaps, Population, POPULATION_PROOF_COLUMNS } from './sessions.ts';

const REPORTERS = {
  population: () => new Population(),
  access: () => new AccessMatrix(),
  approvals: () => new Approvals(),
  denials: () => new Denials(),
  masking: () => new Masking(),
  gaps: () => new Gaps(),
  reads: () => new Reads(),
  keys: () => new Keys(),
} as const satisfies Record<string, () => Reporter>;

export type ReportKind = keyof typeof REPORTERS;
export const REPORT_KINDS = Object.keys(REPORTERS) as ReportKind[];

/** Sessions of agents of this namespace, and of this ServiceAccount or pod. */
export interface ReportFilter {
  readonly namespace?: string;
  readonly agent?: string;
}

export interface Report {
  readonly report: ReportKind;
  readonly log: LogSummary & { readonly range: NonNullable<LogSummary['range']> };
  readonly filter: ReportFilter;
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
  /**
   * SHA-256 (hex) of the canonical rows: a line of JSON for the columns and one for each row, each an array that ends with a line feed. The
   * same file gives the same digest, and so does every file of this range at this checkpoint that was made for who may see the same.
   */
  readonly digest: string;
  /**
   * Of a population: the same over what the entries of the range alone say of all its sessions. It is the same for whoever reads the range, at
   * every later checkpoint, and after an erasure.
   */
  readonly populationDigest?: string;
  /** Sessions of the range whose records nobody with this file reads: they were erased, or not exported, or their keys were not. */
  readonly unread: number;
  /** Sessions that a filter leaves out since nothing in the file says whose they are; of readings, those that were read. */
  readonly unknown: number;
  /** Sessions of the whole file, whatever the filter, whose evidence is altered, and that the log does not prove: their rows end before that. */
  readonly altered: number;
  readonly unproven: number;
  readonly supportsEvidenceFor: readonly string[];
}

/**
 * Makes a report of an evidence file of a period, verifying it offline against `trust` on the way: rows are of sound segments alone, whose
 * entries are in the range. What is missing or altered of a session ends its rows there, and its verdict says so in `population` and `gaps`.
 * @throws ReportRefused altered for a file that is not believed; unfit for one without a range, or with more rows than a report has
 */
export async function reportEvidence(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  trust: FileTrust,
  kind: ReportKind,
  filter: ReportFilter = {},
): Promise<Report> {
  const reporter: Reporter = REPORTERS[kind]();
  const contexts = new Map<string, Context>();
  const entered = new Set<string>();
  const read = new Set<string>();
  const file = await verifyEvidence(source, trust, {
    entry(leaf, index) {
      if (leaf.kind === 'segment') entered.add(leaf.statement.session);
      if (entered.size > MAX_REPORT_ROWS) throw tooMany();
      reporter.entry?.(leaf, index);
    },
    segment(segment, inRange) {
      const { session } = segment.header;
      const { agent } = segment.signer;
      const { records = [] } = segment;
      if (segment.records !== undefined) read.add(session);
      const [first] = records;
      const opening = first?.type === 'session.open' ? first : contexts.get(session)?.opening;
      const context = { agent, opening };
      contexts.set(session, context);
      if (inRange && isOf(filter, context)) reporter.segment?.({ ...context, session, segment, records });
    },
  });
  const { log } = file;
  if (file.verdict === 'altered' || log === undefined)
    throw new ReportRefused(
      'altered',
      `the evidence is altered: ${file.break?.member ?? 'the file'}: ${file.break?.message ?? 'no log'}`,
    );
  if (log.range === undefined) throw new ReportRefused('unfit', 'a report is of a period, and this file is of single sessions');
  const isFiltered = filter.agent !== undefined || filter.namespace !== undefined;
  const isAbout = (session: string): boolean => {
    const context = contexts.get(session);
    return context === undefined ? !isFiltered : isOf(filter, context);
  };
  const named = reporter instanceof Reads ? new Set((file.readings ?? []).flatMap(({ session }) => session ?? [])) : entered;
  const rows = [...reporter.rows({ file, policy: trust.policy, trust, contexts, isAbout })];
  return {
    report: kind,
    log: { ...log, range: log.range },
    filter,
    columns: reporter.columns,
    rows,
    digest: digestOf(reporter.columns, rows),
    ...(reporter instanceof Population ? { populationDigest: digestOf(POPULATION_PROOF_COLUMNS, reporter.proven()) } : {}),
    unread: [...entered].filter((session) => isAbout(session) && !read.has(session)).length,
    unknown: isFiltered ? [...named].filter((session) => !contexts.has(session)).length : 0,
    altered: file.sessions.filter(({ verdict }) => verdict === 'altered').length,
    unproven: file.sessions.filter(({ verdict }) => verdict === 'not in the log' || verdict === 'not witnessed').length,
    supportsEvidenceFor: CONTROLS[kind],
  };
}

function isOf({ namespace, agent: wanted }: ReportFilter, { agent }: Context): boolean {
  if (namespace !== undefined && agent.namespace !== namespace) return false;
  return wanted === undefined || agent.serviceAccount === wanted || agent.pod === wanted;
}

function digestOf(columns: Row, rows: Iterable<Row>): string {
  const hash = createHash('sha256');
  for (const row of [columns, ...rows]) hash.update(`${JSON.stringify(row)}\n`);
  return hash.digest('hex');
}
