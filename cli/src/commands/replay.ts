import { assuranceWords } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import { decodeBytes, type SessionRecord, STREAMS, type Stream } from '@chaperone/evidence';
import { counted } from '../io.ts';

/** Rows of one result that a replay shows unless all are asked for. */
const SHOWN_ROWS = 20;
const MAX_CELL = 60;
/** Characters of one piece of a stream that a replay shows unless all are asked for. */
const MAX_PIECE = 200;
const STREAM_WORDS: Readonly<Record<Stream, string>> = { stdin: 'in', stdout: 'out', stderr: 'err', terminal: 'screen' };

type ApprovalState = Extract<SessionRecord, { type: 'approval' }>['state'];

/** What became of an action that was held, in the word of people: it was released because they approved it. */
export function stateWord(state: ApprovalState): string {
  return state === 'Released' ? 'approved' : state.toLowerCase();
}

/** What is said of lines that were entered at a terminal. */
export const BEST_EFFORT = 'best effort: as the screen showed it';

/**
 * Tells a session as it happened: what was asked, what was decided, what the agent saw, each with the time since the session
 * began. Recorded content is hostile: whoever prints a line makes it visible as a whole.
 */
export class Replay {
  readonly #all: boolean;
  #shown = 0;
  /** Of every stream that is under way, by action and name: a character or a sequence may begin in one piece and end in the next. */
  readonly #streams = new Map<string, { readonly decoder: TextDecoder; readonly rest: string }>();

  constructor(options: { all: boolean }) {
    this.#all = options.all;
  }

  /** Lines for one record; none where there is nothing to say. */
  lines(record: SessionRecord): string[] {
    const at = `+${(record.mono / 1000).toFixed(3)}s`.padStart(10);
    switch (record.type) {
      case 'session.open':
        return [openLine(at, record)];
      case 'action':
        return this.#action(at, record);
      case 'approval':
        return approvalLines(at, record);
      case 'columns':
        return this.#columns(record);
      case 'rows':
        return this.#rows(record.rows);
      case 'output':
        return this.#output(at, record);
      case 'resize':
        return [`${at}  size   ${record.columns} columns, ${record.rows} rows`];
      case 'line':
        return [`${at}  line   ${record.text}  (${BEST_EFFORT})`];
      case 'content':
        return [contentLine(at, record)];
      case 'file':
        return [fileLine(at, record)];
      case 'done':
        return this.#done(at, record);
      case 'bytes':
        return [`${at}  bytes  ${record.host}: ${record.sent} sent, ${record.received} received; nothing inside was seen`];
      case 'note':
        return [`${at}  note   ${record.message} (${record.code})`];
      default:
        return [closeLine(at, record)];
    }
  }

  /** What is left at the end of the records, where they end before what they tell of. */
  end(): string[] {
    return [...this.#streams].flatMap(([key, { rest }]) =>
      rest === '' ? [] : [this.#piece(' '.repeat(10), key.split(' ')[1] as Stream, rest)],
    );
  }

  #action(at: string, record: Extract<SessionRecord, { type: 'action' }>): string[] {
    this.#shown = 0;
    const whole = record.text ?? `(${record.bytes} bytes, text not kept)`;
    // The body of a request is lines already.
    const [text = '', ...body] = record.kubernetes === undefined ? [whole] : whole.split('\n');
    // Each effect was covered by a rule of its own; a refusal names the one that decided in its reason.
    const allowed = record.verdict === 'allow';
    const by = (rule: string | undefined): string => (allowed && rule !== undefined ? ` by "${rule}"` : '');
    const effects = record.effects.map((effect) => `${`${effect.verb} ${effect.object}`.trim()}${by(effect.rule)}`).join(', ');
    const verdict = allowed ? 'allow' : `${record.verdict}: ${record.reason} (${record.code})`;
    return [
      `${at}  ask    ${text}`,
      ...body.map((line) => `${' '.repeat(19)}${line}`),
      `${' '.repeat(12)}${verdict}${effects === '' ? '' : `  [${effects}]`}`,
    ];
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

  /** A sequence that ends in the next piece is told with it. */
  #output(at: string, { action, stream, data }: Extract<SessionRecord, { type: 'output' }>): string[] {
    const key = `${action} ${stream}`;
    const { decoder, rest } = this.#streams.get(key) ?? {
      decoder: new TextDecoder('utf-8', { ignoreBOM: true }),
      rest: '',
    };
    const text = rest + decoder.decode(decodeBytes(data), { stream: true });
    const end = openAt(text);
    this.#streams.set(key, { decoder, rest: text.slice(end) });
    const piece = text.slice(0, end);
    return piece === '' ? [] : [this.#piece(at, stream, piece)];
  }

  #piece(at: string, stream: Stream, text: string): string {
    return `${at}  ${STREAM_WORDS[stream].padEnd(6)} ${cut(visible(text, this.#all ? Number.POSITIVE_INFINITY : MAX_PIECE))}`;
  }

  #done(at: string, record: Extract<SessionRecord, { type: 'done' }>): string[] {
    const left = STREAMS.flatMap((stream) => {
      const { rest = '' } = this.#streams.get(`${record.action} ${stream}`) ?? {};
      this.#streams.delete(`${record.action} ${stream}`);
      return rest === '' ? [] : [this.#piece(at, stream, rest)];
    });
    const { result } = record;
    return [
      ...left,
      ...(result === undefined ? [] : [...this.#columns(result), ...this.#rows(result.rows)]),
      doneLine(at, record),
    ];
  }
}

const ESCAPE = '\u001b';
/** What follows it in a sequence of a terminal that goes on (ECMA-48, section 5.4), if it is a short one. */
const BEGUN = /^(\[[0-9;:?<=>]{0,32}[ -/]{0,2})?$/;

/** Where a sequence begins that the text ends in; its length: in none. */
function openAt(text: string): number {
  const at = text.lastIndexOf(ESCAPE);
  return at >= 0 && BEGUN.test(text.slice(at + 1)) ? at : text.length;
}

/** What was cut off ends in no half of an escape. */
function cut(shown: string): string {
  return shown.replace(/\\(u(\{[0-9a-f]*)?)?…$/, '…');
}

function openLine(at: string, record: Extract<SessionRecord, { type: 'session.open' }>): string {
  const { agent, resource, client, onBehalfOf, purpose } = record;
  const whose = onBehalfOf === undefined ? '' : ` on behalf of ${onBehalfOf.user} (verified)`;
  const who = `${agent.namespace}/${agent.pod ?? agent.serviceAccount}`;
  // SSH has a protection of its own.
  const how = resource.protocol === 'ssh' ? 'ssh' : `${resource.protocol}, ${client.tls ? 'TLS' : 'no TLS'}`;
  const what = `${who}${whose} on ${resource.namespace}/${resource.name} (${how})`;
  return `${at}  open   ${what}${purpose === '' ? '' : `, purpose "${purpose}"`}`;
}

function closeLine(at: string, record: Extract<SessionRecord, { type: 'session.close' }>): string {
  const { reason, code, by, actions, denied, maskedValues } = record;
  const totals = `${counted(actions, 'action')}, ${denied} denied, ${counted(maskedValues, 'value')} masked`;
  return `${at}  close  ${reason} (${code}${by === undefined ? '' : `, by ${by}`}); ${totals}`;
}

function doneLine(at: string, record: Extract<SessionRecord, { type: 'done' }>): string {
  const took = `${record.durationMs.toFixed(1)} ms`;
  if (record.error !== undefined) return `${at}  fail   ${record.error.message} (${record.error.code}), ${took}`;
  const masked = record.maskedValues === 0 ? '' : `, ${counted(record.maskedValues, 'value')} masked`;
  const all = record.truncated ? ' (not all recorded)' : '';
  const size = record.rows > 0 ? counted(record.rows, 'row') : record.bytes > 0 ? `${record.bytes} bytes` : '';
  const rows = size === '' ? '' : `, ${size}${all}`;
  return `${at}  done   ${record.tag ?? ''}${rows}${masked}, ${took}`;
}

function cellText(cell: string | null): string {
  if (cell === null) return 'NULL';
  const value = cell.startsWith('b:') ? `0x${Buffer.from(cell.slice(2), 'base64').toString('hex')}` : cell.slice(2);
  return visible(value, MAX_CELL);
}

function fileLine(at: string, { operation, path, to, bytes, digest, outcome }: Extract<SessionRecord, { type: 'file' }>): string {
  const size = bytes === 0 && digest === undefined ? '' : `, ${bytes} bytes`;
  const sum = digest === undefined ? '' : `, sha256 ${digest}`;
  return `${at}  file   ${operation} ${path}${to === undefined ? '' : ` to ${to}`}${size}${sum}: ${outcome}`;
}

function contentLine(at: string, { file, offset, data }: Extract<SessionRecord, { type: 'content' }>): string {
  return `${at}  kept   ${decodeBytes(data).length} bytes of file ${file}, from byte ${offset}`;
}

function approvalLines(
  at: string,
  {
    request = 'nobody was asked',
    grantedBy,
    state,
    waitedMs,
    decisions,
    change = [],
  }: Extract<SessionRecord, { type: 'approval' }>,
): string[] {
  return [
    `${at}  held   ${request}: ${stateWord(state)} after ${(waitedMs / 1000).toFixed(1)} s${state === 'Pending' ? '; the agent is to repeat it' : ''}${grantedBy === undefined ? '' : `, granted with ${grantedBy}`}`,
    ...change.map((line) => `${' '.repeat(19)}${line}`),
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
