import type { z } from 'zod';
import type { ActionRecord, ApprovalRecord, MaskNote } from '../record.ts';
import { isRefused } from '../record.ts';
import { type Cell, compared, Groups, personOf, type Reporter, resourceOf, type Row, Rows, type Seen } from './rows.ts';
import { timeOf } from '../time.ts';

type Action = z.infer<typeof ActionRecord>;
type Approval = z.infer<typeof ApprovalRecord>;

/** Of rows that begin with a time and a session; those of one time and session stay in their order. */
function byTime(rows: readonly Row[]): Row[] {
  return rows.toSorted(([a, of], [b, other]) => compared(`${a} ${of}`, `${b} ${other}`));
}

function whose(seen: Seen): Row {
  return [seen.agent.namespace, seen.agent.serviceAccount];
}

/** Which rules of which generation let which agent do what where: used rights, as effects were judged. */
export class AccessMatrix implements Reporter {
  readonly columns = [
    'namespace',
    'agent',
    'resource',
    'protocol',
    'mode',
    'policies',
    'policyDigest',
    'verb',
    'rule',
    'verdict',
    'effects',
    'first',
    'last',
  ];
  readonly #groups = new Groups({ effects: 0 });

  segment(seen: Seen): void {
    const { opening, segment } = seen;
    const policies = opening?.policies.map(({ namespace, name, generation }) => `${namespace}/${name}@${generation}`);
    const about = [resourceOf(seen), opening?.resource.protocol ?? null, opening?.mode ?? null];
    const place = [...whose(seen), ...about, policies?.toSorted().join(' ') ?? null, segment.header.policy];
    for (const record of seen.records) {
      if (record.type !== 'action') continue;
      for (const { verb, rule = null, verdict } of record.effects)
        this.#groups.add([...place, verb, rule, verdict], record.at, { effects: 1 });
    }
  }

  rows(): Iterable<Row> {
    return this.#groups.rows();
  }
}

/** What people said of held actions, a row for each decision; who signed it and how that is known. */
export class Approvals implements Reporter {
  readonly columns = [
    'at',
    'session',
    'namespace',
    'agent',
    'resource',
    'onBehalfOf',
    'action',
    'rule',
    'request',
    'grantedBy',
    'digest',
    'state',
    'waitedMs',
    'by',
    'decision',
    'decidedAt',
    'reason',
    'assurance',
    'via',
    'ownRequest',
  ];
  readonly #rows = new Rows();
  readonly #held = new HeldRules();

  segment(seen: Seen): void {
    for (const record of seen.records) {
      if (record.type === 'action') this.#held.take(seen.session, record);
      if (record.type === 'approval') this.#take(seen, record);
    }
  }

  #take(seen: Seen, record: Approval): void {
    const { action, request = null, grantedBy = null, digest, state, waitedMs } = record;
    const person = personOf(seen);
    const rule = this.#held.of(seen.session, action);
    const place = [timeOf(record.at), seen.session, ...whose(seen), resourceOf(seen), person];
    const held = [...place, action, rule, request, grantedBy, digest, state, waitedMs];
    if (record.decisions.length === 0) this.#rows.add([...held, null, null, null, null, null, null, null]);
    for (const { by, decision, at, reason = null, assurance = null, via = null } of record.decisions)
      this.#rows.add([...held, by, decision, at, reason, assurance, via, by === person ? 'yes' : 'no']);
  }

  rows(): Iterable<Row> {
    return byTime(this.#rows.all);
  }
}

/** What was refused: by a rule, by people or for want of them; of an agent in Audit what would have been. */
export class Denials implements Reporter {
  readonly columns = [
    'at',
    'session',
    'namespace',
    'agent',
    'resource',
    'onBehalfOf',
    'action',
    'outcome',
    'code',
    'rule',
    'reason',
    'effects',
  ];
  readonly #rows = new Rows();
  readonly #held = new HeldRules();

  segment(seen: Seen): void {
    const place = (at: number, action: number): Row => [
      timeOf(at),
      seen.session,
      ...whose(seen),
      resourceOf(seen),
      personOf(seen),
      action,
    ];
    for (const record of seen.records) {
      if (record.type === 'action') {
        this.#held.take(seen.session, record);
        const { at, action, verdict, code, rule = null, reason, wouldDeny } = record;
        const effects = effectsOf(record);
        if (verdict === 'deny') this.#rows.add([...place(at, action), 'denied', code, rule, reason, effects]);
        else if (wouldDeny !== undefined)
          this.#rows.add([...place(at, action), 'would deny', wouldDeny.code, wouldDeny.rule ?? null, wouldDeny.reason, effects]);
      }
      if (record.type !== 'approval' || !isRefused(record)) continue;
      const { at, action, state } = record;
      const rule = this.#held.of(seen.session, action);
      this.#rows.add([...place(at, action), 'not approved', state, rule, null, null]);
    }
  }

  rows(): Iterable<Row> {
    return byTime(this.#rows.all);
  }
}

const MAX_EFFECTS_SHOWN = 20;

function effectsOf({ effects }: Action): string {
  const shown = effects.slice(0, MAX_EFFECTS_SHOWN).map(({ verb, object }) => `${verb} ${object}`);
  return [...shown, ...(effects.length > shown.length ? [`and ${effects.length - shown.length} more`] : [])].join('; ');
}

/** Rules that held actions of one session; the sessions of a file come one after another. */
class HeldRules {
  #session = '';
  readonly #rules = new Map<number, string>();

  take(session: string, { action, verdict, rule }: Action): void {
    if (session !== this.#session) this.#rules.clear();
    this.#session = session;
    if (verdict === 'approve' && rule !== undefined) this.#rules.set(action, rule);
  }

  of(session: string, action: number): Cell {
    return session === this.#session ? (this.#rules.get(action) ?? null) : null;
  }
}

/** What was hidden from whom. Records count values of an answer, not of a label: a row without one has the values. */
export class Masking implements Reporter {
  readonly columns = [
    'namespace',
    'agent',
    'resource',
    'protocol',
    'label',
    'strategy',
    'column',
    'answers',
    'values',
    'first',
    'last',
  ];
  readonly #groups = new Groups({ answers: 0, values: 0 });

  segment(seen: Seen): void {
    const place = [...whose(seen), resourceOf(seen), seen.opening?.resource.protocol ?? null];
    const note = (at: number, masked: readonly z.infer<typeof MaskNote>[]): void => {
      for (const { labels, strategy, name } of masked)
        for (const label of labels.length === 0 ? [''] : labels)
          this.#groups.add([...place, label, strategy, name], at, { answers: 1 });
    };
    for (const record of seen.records) {
      if (record.type === 'columns') note(record.at, record.masked);
      if (record.type !== 'done') continue;
      note(record.at, record.result?.masked ?? []);
      if (record.maskedValues > 0)
        this.#groups.add([...place, null, null, null], record.at, { answers: 1, values: record.maskedValues });
    }
  }

  rows(): Iterable<Row> {
    return this.#groups.rows();
  }
}
