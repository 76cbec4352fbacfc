import type { Leaf } from '../log/leaf.ts';
import type { SegmentHeader } from '../segment-header.ts';
import {
  compared,
  type Context,
  type Found,
  MAX_REPORT_ROWS,
  personOf,
  type Reporter,
  resourceOf,
  type Row,
  Rows,
  tooMany,
} from './rows.ts';
import { timeOf } from '../time.ts';

/** What the entries of a range say of one session; they are the same for whoever reads them, and at every later checkpoint. */
interface Logged {
  first: number;
  last: number;
  segments: number;
  records: number;
  began: number;
  ended: number;
  number: number;
  counters: { actions: number; denied: number; masked: number; dropped: number };
  opened: boolean;
  closed: boolean;
}

export const POPULATION_PROOF_COLUMNS = [
  'session',
  'firstEntry',
  'lastEntry',
  'segments',
  'records',
  'began',
  'ended',
  'actions',
  'denied',
  'masked',
  'dropped',
  'opened',
  'closed',
] as const;

/** Every session of which a segment came in the time. */
export class Population implements Reporter {
  readonly columns = [
    ...POPULATION_PROOF_COLUMNS,
    'verdict',
    'namespace',
    'agent',
    'pod',
    'resource',
    'protocol',
    'onBehalfOf',
    'purpose',
    'mode',
  ];
  readonly #logged = new Map<string, Logged>();

  entry(leaf: Leaf, index: number): void {
    if (leaf.kind !== 'segment') return;
    const { session, number, records, clock, counters, flags } = leaf.statement;
    const [began, ended] = clock.wall;
    const known = this.#logged.get(session);
    const logged = known ?? begun(index, leaf.statement);
    if (known === undefined) this.#logged.set(session, logged);
    logged.last = index;
    logged.segments++;
    logged.records += records.count;
    logged.began = Math.min(logged.began, began);
    logged.ended = Math.max(logged.ended, ended);
    logged.opened ||= flags.includes('open');
    logged.closed ||= flags.includes('close');
    if (number >= logged.number) Object.assign(logged, { number, counters });
  }

  /** What the log alone says of every session of the range, in the order of their first entries. */
  *proven(): Generator<Row> {
    // A map keeps the order in which its keys came.
    for (const [session, logged] of this.#logged) yield provenRow(session, logged);
  }

  *rows({ file, contexts, isAbout }: Found): Generator<Row> {
    const verdicts = new Map(file.sessions.map((each) => [each.session, each.verdict]));
    for (const [session, logged] of this.#logged) {
      if (!isAbout(session)) continue;
      const context = contexts.get(session);
      yield [...provenRow(session, logged), verdicts.get(session) ?? null, ...(context === undefined ? UNKNOWN : said(context))];
    }
  }
}

function begun(index: number, { clock, number, counters }: SegmentHeader): Logged {
  const [began, ended] = clock.wall;
  const none = { segments: 0, records: 0, opened: false, closed: false };
  return { ...none, first: index, last: index, began, ended, number, counters };
}

function provenRow(session: string, { first, last, segments, records, began, ended, counters, opened, closed }: Logged): Row {
  const { actions, denied, masked, dropped } = counters;
  const times = [timeOf(began), timeOf(ended)];
  return [session, first, last, segments, records, ...times, actions, denied, masked, dropped, yes(opened), yes(closed)];
}

const UNKNOWN: Row = Array.from({ length: 8 }, () => null);

function said(context: Context): Row {
  const { agent, opening } = context;
  const { namespace, serviceAccount, pod = null } = agent;
  const about = [opening?.resource.protocol ?? null, personOf(context), opening?.purpose ?? null, opening?.mode ?? null];
  return [namespace, serviceAccount, pod, resourceOf(context), ...about];
}

function yes(is: boolean): string {
  return is ? 'yes' : 'no';
}

/** What is missing, and what the log says was ordered about sessions. */
export class Gaps implements Reporter {
  readonly columns = ['kind', 'session', 'namespace', 'agent', 'at', 'entry', 'by', 'reason', 'detail'];
  readonly #entries: { kind: string; session: string; at: number; index: number; detail: string | null }[] = [];

  entry(leaf: Leaf, index: number): void {
    if (leaf.kind !== 'hold' && leaf.kind !== 'gap') return;
    if (this.#entries.length === MAX_REPORT_ROWS) throw tooMany();
    const { session, at } = leaf.statement;
    const kind = leaf.kind === 'gap' ? 'gap' : leaf.statement.state;
    const detail = leaf.kind === 'gap' ? `segments ${leaf.statement.first} to ${leaf.statement.last}` : null;
    this.#entries.push({ kind, session, at, index, detail });
  }

  rows({ file, contexts, isAbout }: Found): Row[] {
    const rows = new Rows();
    const whose = (session: string): Row => {
      const agent = contexts.get(session)?.agent;
      return [agent?.namespace ?? null, agent?.serviceAccount ?? null];
    };
    for (const { session, verdict, break: broken, erasure, counters } of file.sessions) {
      if (!isAbout(session)) continue;
      if (erasure !== undefined) {
        const order = [timeOf(erasure.at), erasure.entry, erasure.by ?? null, erasure.reason ?? null];
        rows.add(['erased', session, ...whose(session), ...order, null]);
      }
      if (verdict === 'complete' || verdict === 'erased') continue;
      const dropped = counters.dropped > 0 ? `${counters.dropped} records dropped` : null;
      const detail = broken === undefined ? dropped : `segment ${broken.segment}: ${broken.code}`;
      rows.add([verdict, session, ...whose(session), null, null, null, null, detail]);
    }
    for (const { kind, session, at, index, detail } of this.#entries)
      if (isAbout(session)) rows.add([kind, session, ...whose(session), timeOf(at), index, null, null, detail]);
    return rows.all.toSorted((a, b) => compared(`${a[1]} ${a[0]}`, `${b[1]} ${b[0]}`));
  }
}
