import { assuranceWords } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import type { SessionRecord } from '@chaperone/evidence';
import { counted } from '../io.ts';

/** Rows of one result that a replay shows unless all are asked for. */
const SHOWN_ROWS = 20;
const MAX_CELL = 60;

/**
 * Tells a session as it happened: what was asked, what was decided, what the agent saw, each with the time since the session
 * began. Recorded content is hostile: whoever prints a line makes it visible as a whole.
 */
export class Replay {
  readonly #all: boolean;
  #shown = 0;

  constructor(options: { all: boolean }) {
    this.#all = options.all;
  }

  /** Lines for one record; none where there is nothing to say. */
  lines(record: SessionRecord): string[] {
    const at = `+${(record.mono / 1000).toFixed(3)}s`.padStart(10);
    switch (record.type) {
      case 'session.open': {
        const { agent, resource, client, onBehalfOf } = record;
        const whose = onBehalfOf === undefined ? '' : ` on behalf of ${onBehalfOf.user} (verified)`;
        const who = `${agent.namespace}/${agent.pod ?? agent.serviceAccount}`;
        return [
          `${at}  open   ${who}${whose} on ${resource.namespace}/${resource.name} (${resource.protocol}, ${client.tls ? 'TLS' : 'no TLS'})${record.purpose === '' ? '' : `, purpose "${record.purpose}"`}`,
        ];
      }
      case 'action':
        return this.#action(at, record);
      case 'approval':
        return approvalLines(at, record);
      case 'columns':
        return this.#columns(record);
      case 'rows':
        return this.#rows(record.rows);
      case 'done':
        return [
          ...(record.result === undefined ? [] : [...this.#columns(record.result), ...this.#rows(record.result.rows)]),
          this.#done(at, record),
        ];
      case 'bytes':
        return [`${at}  bytes  ${record.host}: ${record.sent} sent, ${record.received} received; nothing inside was seen`];
      case 'note':
        return [`${at}  note   ${record.message} (${record.code})`];
      default:
        return [
          `${at}  close  ${record.reason} (${record.code}${record.by === undefined ? '' : `, by ${record.by}`}); ${counted(record.actions, 'action')}, ${record.denied} denied, ${counted(record.maskedValues, 'value')} masked`,
        ];
    }
  }

  #action(at: string, record: Extract<SessionRecord, { type: 'action' }>): string[] {
    this.#shown = 0;
    const text = record.text === undefined ? `(${record.bytes} bytes, text not kept)` : record.text;
    // Each effect was covered by a rule of its own; a refusal names the one that decided in its reason.
    const allowed = record.verdict === 'allow';
    const by = (rule: string | undefined): string => (allowed && rule !== undefined ? ` by "${rule}"` : '');
    const effects = record.effects.map((effect) => `${`${effect.verb} ${effect.object}`.trim()}${by(effect.rule)}`).join(', ');
    const verdict = allowed ? 'allow' : `${record.verdict}: ${record.reason} (${record.code})`;
    return [`${at}  ask    ${text}`, `${' '.repeat(12)}${verdict}${effects === '' ? '' : `  [${effects}]`}`];
  }

  #columns({ columns, masked }: Pick<Extract<SessionRecord, { type: 'columns' }>, 'columns' | 'masked'>): string[] {
    const hidden = new Set(masked.map((note) => note.column));
    this.#shown = 0;
    return [`${' '.repeat(19)}${columns.map(({ name }, at) => (hidden.has(at) ? `${name} (masked)` : name)).join(' | ')}`];
  }

  #rows(rows: readonly (readonly (string | null)[])[]): string[] {
    const lines: string[] = [];
    for (const row of rows) {
      this.#shown++;
      if (!this.#all && this.#shown > SHOWN_ROWS) {
        if (this.#shown === SHOWN_ROWS + 1) lines.push(`${' '.repeat(19)}… more rows; --all shows every recorded one`);
        continue;
      }
      lines.push(`${' '.repeat(19)}${row.map(cellText).join(' | ')}`);
    }
    return lines;
  }

  #done(at: string, record: Extract<SessionRecord, { type: 'done' }>): string {
    const took = `${record.durationMs.toFixed(1)} ms`;
    if (record.error !== undefined) return `${at}  fail   ${record.error.message} (${record.error.code}), ${took}`;
    const masked = record.maskedValues === 0 ? '' : `, ${counted(record.maskedValues, 'value')} masked`;
    const rows = record.rows === 0 ? '' : `, ${counted(record.rows, 'row')}${record.truncated ? ' (not all recorded)' : ''}`;
    return `${at}  done   ${record.tag ?? ''}${rows}${masked}, ${took}`;
  }
}

function cellText(cell: string | null): string {
  if (cell === null) return 'NULL';
  const value = cell.startsWith('b:') ? `0x${Buffer.from(cell.slice(2), 'base64').toString('hex')}` : cell.slice(2);
  return visible(value, MAX_CELL);
}

function approvalLines(
  at: string,
  { request = 'nobody was asked', grantedBy, state, waitedMs, decisions }: Extract<SessionRecord, { type: 'approval' }>,
): string[] {
  return [
    `${at}  held   ${request}: ${state} after ${(waitedMs / 1000).toFixed(1)} s${state === 'Pending' ? '; the agent is to repeat it' : ''}${grantedBy === undefined ? '' : `, granted with ${grantedBy}`}`,
    ...decisions.map(
      (decision) =>
        `${' '.repeat(19)}${decision.decision.toLowerCase()} by ${byWords(decision)}${decision.reason === undefined ? '' : `: "${decision.reason}"`}`,
    ),
  ];
}

/** jane@corp, signed with a passkey */
export function byWords(decision: Extract<SessionRecord, { type: 'approval' }>['decisions'][number]): string {
  return [decision.by, assuranceWords(decision)].filter((word) => word !== undefined).join(', ');
}
