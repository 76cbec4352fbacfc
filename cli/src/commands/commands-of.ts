import type { FILE_OPERATIONS } from '@chaperone/api';
import { visible } from '@chaperone/api/text';
import type { KubernetesCall, SessionRecord } from '@chaperone/evidence';
import { table } from '../io.ts';
import { BEST_EFFORT, byWords, stateWord } from './replay.ts';

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
  state?: Of<'approval'>['state'];
  /** `exit 0`, `signal TERM`, or the code of what went wrong; of a file operation `ok`, or why not; absent where no end is recorded. */
  ended?: string;
  bytes?: number;
  truncated?: boolean;
  digest?: string;
  /** Of a request to the Kubernetes API: what it is about. */
  readonly kubernetes?: KubernetesCall;
  /** What it would have changed when people were asked, line by line. */
  change?: readonly string[];
  readonly files: ShownFile[];
  /** Lines that its agent seems to have entered at a terminal, as the screen showed them: best effort. */
  lines?: { readonly seq: number; readonly text: string }[];
}

/** Gathers commands from an outline's records. */
export class Commands {
  readonly list: ShownCommand[] = [];
  readonly #byAction = new Map<number, ShownCommand>();
  /** By the paths of their effects. */
  readonly #byPath = new Map<string, ShownCommand[]>();

  take(record: SessionRecord): void {
    if (record.type === 'action') this.#begin(record);
    const command = 'action' in record ? this.#byAction.get(record.action) : undefined;
    if (command === undefined) return;
    if (record.type === 'approval') {
      command.state = record.state;
      if (record.change !== undefined) command.change = record.change;
      command.decided = record.decisions.map((each) => `${each.decision.toLowerCase()} by ${byWords(each)}`);
    } else if (record.type === 'file') {
      const { type: _type, action: _action, ...file } = record;
      command.files.push(file);
      this.#endFile(file);
    } else if (record.type === 'line') {
      (command.lines ??= []).push({ seq: record.seq, text: record.text });
    } else if (record.type === 'done') {
      const ended = record.error?.code ?? record.tag;
      if (ended !== undefined) command.ended = ended;
      command.bytes = record.bytes;
      command.truncated = record.truncated;
      if (record.digest !== undefined) command.digest = record.digest;
    }
  }

  /** Its operation is an action by itself, and the record belongs to what opened the channel. */
  #endFile({ path, operation, bytes, outcome }: ShownFile): void {
    const command = this.#byPath.get(path)?.find((each) => isAwaited(each, operation, outcome));
    if (command === undefined) return;
    command.ended = outcome;
    if (bytes > 0) command.bytes = bytes;
  }

  #begin({ seq, action, text, bytes, verdict, rule, code, reason, effects, kubernetes }: Of<'action'>): void {
    const said = {
      ...(text === undefined ? {} : { text }),
      ...(rule === undefined ? {} : { rule }),
      ...(kubernetes === undefined ? {} : { kubernetes }),
    };
    const command: ShownCommand = { seq, action, ...said, length: bytes, verdict, code, reason, files: [] };
    this.list.push(command);
    this.#byAction.set(action, command);
    for (const path of new Set(effects.flatMap(({ verb, object }) => (Object.hasOwn(FILE_VERBS, verb) ? [object] : [])))) {
      const those = this.#byPath.get(path) ?? [];
      this.#byPath.set(path, those);
      those.push(command);
    }
  }
}

/** Whether it is an operation of that name without an end; only what was not allowed is denied. */
function isAwaited({ text, verdict, ended }: ShownCommand, operation: string, outcome: string): boolean {
  if (ended !== undefined || verdict === (outcome === 'denied' ? 'allow' : 'deny')) return false;
  return text === undefined || text.startsWith(`${operation} `) || text.startsWith(`${operation}:`);
}

/** What became of it by rules and people. */
export function verdictText({ verdict, state }: ShownCommand): string {
  if (verdict !== 'approve') return verdict;
  return state === undefined ? 'held' : stateWord(state);
}

export function bytesText({ bytes }: ShownCommand): string {
  return bytes === undefined ? '' : String(bytes);
}

export function decidedText({ decided = [] }: ShownCommand): string {
  return decided.join('; ');
}

const MAX_TEXT = 120;
/** To load them with all schemas would take as long as all else of a list of sessions. */
const FILE_VERBS: Readonly<Record<(typeof FILE_OPERATIONS)[number], true>> = {
  read: true,
  write: true,
  list: true,
  delete: true,
};

/** Commands by the numbers that agents are told and `--action` takes, and files, where there are any, by that of their record. */
export function commandTables(commands: readonly ShownCommand[]): string[] {
  if (commands.length === 0) return [];
  const rows = commands.map((command) => [
    String(command.action),
    verdictText(command),
    command.verdict === 'deny' ? command.code : (command.ended ?? ''),
    `${bytesText(command)}${command.truncated === true ? ', not all recorded' : ''}`,
    decidedText(command),
    command.text === undefined ? `(${command.length} bytes, text not kept)` : visible(command.text, MAX_TEXT),
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
    (command.lines ?? []).map(({ text }) => [String(command.action), visible(text, MAX_TEXT)]),
  );
  return [
    table(['ACTION', 'VERDICT', 'ENDED', 'BYTES', 'DECIDED', 'COMMAND'], rows),
    ...(lines.length === 0 ? [] : [table(['ACTION', `ENTERED (${BEST_EFFORT})`], lines)]),
    ...(files.length === 0 ? [] : [table(['SEQ', 'FILE', 'BYTES', 'SHA256', 'OUTCOME', 'PATH'], files)]),
  ];
}
