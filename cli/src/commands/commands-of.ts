import { visible } from '@chaperone/api/text';
import type { SessionRecord } from '@chaperone/evidence';
import { table } from '../io.ts';
import { BEST_EFFORT, byWords } from './replay.ts';

type Of<T extends SessionRecord['type']> = Extract<SessionRecord, { type: T }>;

/** A file that a command moved or changed. */
export type ShownFile = Omit<Of<'file'>, 'type' | 'action'>;

/** What was run in a session and how it ended, as `sessions show` has it for programs. */
export interface ShownCommand {
  readonly seq: number;
  readonly action: number;
  /** Its beginning, where it is long: `length` is in bytes. */
  readonly text?: string;
  readonly length: number;
  readonly verdict: Of<'action'>['verdict'];
  readonly rule?: string;
  readonly code: string;
  readonly reason: string;
  /** Who approved or denied it, and how sure that is. */
  decided?: readonly string[];
  /** How its request ended, where a rule held it: Released where it ran. */
  state?: string;
  /** `exit 0`, `signal TERM`, or the code of what went wrong; absent where no end is recorded. */
  ended?: string;
  bytes?: number;
  truncated?: boolean;
  digest?: string;
  readonly files: ShownFile[];
  /** Lines that its agent seems to have entered at a terminal, as the screen showed them: best effort. */
  lines?: { readonly seq: number; readonly text: string }[];
}

/** Gathers commands from an outline's records. */
export class Commands {
  readonly list: ShownCommand[] = [];
  readonly #byAction = new Map<number, ShownCommand>();
  readonly #protocol: string | undefined;

  /** @param protocol - of SSH each action is one; of the Kubernetes API those that opened a pod */
  constructor(protocol: string | undefined) {
    this.#protocol = protocol;
  }

  take(record: SessionRecord): void {
    if (record.type === 'action' && this.#isCommand(record)) this.#begin(record);
    const command = 'action' in record ? this.#byAction.get(record.action) : undefined;
    if (command === undefined) return;
    if (record.type === 'approval') {
      command.state = record.state;
      command.decided = record.decisions.map((each) => `${each.decision.toLowerCase()} by ${byWords(each)}`);
    } else if (record.type === 'file') {
      const { type: _type, action: _action, ...file } = record;
      command.files.push(file);
    } else if (record.type === 'line') {
      (command.lines ??= []).push({ seq: record.seq, text: record.text });
    } else if (record.type === 'done') {
      const ended = record.error?.code ?? record.tag;
      if (ended !== undefined) command.ended = ended;
      command.bytes = record.bytes;
      command.truncated = record.truncated;
      command.digest = record.digest;
    }
  }

  #isCommand({ effects }: Of<'action'>): boolean {
    return this.#protocol === 'ssh' || effects.some(({ verb }) => verb === 'exec' || verb === 'attach');
  }

  #begin({ seq, action, text, bytes, verdict, rule, code, reason }: Of<'action'>): void {
    const said = { ...(text === undefined ? {} : { text }), ...(rule === undefined ? {} : { rule }) };
    const command: ShownCommand = { seq, action, ...said, length: bytes, verdict, code, reason, files: [] };
    this.list.push(command);
    this.#byAction.set(action, command);
  }
}

const MAX_TEXT = 120;

/** Commands, and files where there are any, as tables. */
export function commandTables(commands: readonly ShownCommand[]): string[] {
  if (commands.length === 0) return [];
  const rows = commands.map(({ seq, verdict, code, ended, bytes, truncated, decided = [], text, length, state }) => [
    String(seq),
    verdict === 'approve' ? (state ?? 'held') : verdict,
    verdict === 'deny' ? code : (ended ?? ''),
    bytes === undefined ? '' : `${bytes}${truncated === true ? ', not all recorded' : ''}`,
    decided.join('; '),
    text === undefined ? `(${length} bytes, text not kept)` : visible(text, MAX_TEXT),
  ]);
  const files = commands.flatMap((command) =>
    command.files.map(({ seq, operation, path, to, bytes, digest, outcome, file, truncated }) => [
      String(seq),
      operation,
      `${bytes}${file === undefined ? '' : truncated === true ? ', its beginning kept' : ', kept'}`,
      digest ?? '',
      outcome,
      `${path}${to === undefined ? '' : ` to ${to}`}`,
    ]),
  );
  const lines = commands.flatMap((command) =>
    (command.lines ?? []).map(({ seq, text }) => [String(seq), visible(text, MAX_TEXT)]),
  );
  return [
    table(['SEQ', 'VERDICT', 'ENDED', 'BYTES', 'DECIDED', 'COMMAND'], rows),
    ...(lines.length === 0 ? [] : [table(['SEQ', `ENTERED (${BEST_EFFORT})`], lines)]),
    ...(files.length === 0 ? [] : [table(['SEQ', 'FILE', 'BYTES', 'SHA256', 'OUTCOME', 'PATH'], files)]),
  ];
}
