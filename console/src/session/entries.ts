import type { RecordPage, SessionRecord } from '@chaperone/evidence';
import { type Look, verdictLook, VERDICT_WORDS } from '../ui/verdict.tsx';

type Of<T extends SessionRecord['type']> = Extract<SessionRecord, { type: T }>;
export type ActionRecord = Of<'action'>;
export type DoneRecord = Of<'done'>;
export type ApprovalRecord = Of<'approval'>;
export type FileRecord = Of<'file'>;
export type LineRecord = Of<'line'>;

/** What a replay lists: an action with how it ended, what else was recorded, and what is missing. */
export type Entry =
  | {
      readonly kind: 'action';
      readonly seq: number;
      readonly mono: number;
      readonly record: ActionRecord;
      /** What people said, where a rule held it. */
      readonly approval?: ApprovalRecord;
      readonly done?: DoneRecord;
      /** How it ended, of an operation on a file: it has no other end. */
      readonly file?: FileRecord;
    }
  | { readonly kind: 'file'; readonly seq: number; readonly mono: number; readonly record: FileRecord }
  | { readonly kind: 'line'; readonly seq: number; readonly mono: number; readonly record: LineRecord }
  | {
      readonly kind: 'other';
      readonly seq: number;
      readonly mono: number;
      readonly record: Of<'session.open' | 'session.close' | 'note' | 'bytes'>;
    }
  | { readonly kind: 'gap'; readonly seq: number; readonly mono: number; readonly from: number; readonly to: number };

/** Whether an action is of a program that ran, with streams to be played: of SSH every one, of the Kubernetes API what opened a pod. */
export function runsProgram(protocol: string | undefined, entry: Entry): boolean {
  if (entry.kind !== 'action') return false;
  const isOpened = entry.record.effects.some(({ verb }) => verb === 'exec' || verb === 'attach');
  return protocol === 'ssh' || (protocol === 'kubernetes' && isOpened);
}

/** A session's outline as far as it is here. */
export interface Outline {
  readonly entries: readonly Entry[];
  /** Where each action stands in `entries`, by its number. */
  readonly actions: ReadonlyMap<number, number>;
  /** Where actions stand that do something to a path, in their order, by path. */
  readonly paths: ReadonlyMap<string, readonly number[]>;
  readonly end: number;
  /** More is stored already. */
  readonly more: boolean;
}

export const NOTHING: Outline = { entries: [], actions: new Map(), paths: new Map(), end: 0, more: true };

/** An outline with one more page of it. */
export function withPage({ entries, actions, paths, end }: Outline, page: RecordPage): Outline {
  const known: Known = { entries: [...entries], actions: new Map(actions), paths: new Map(paths) };
  const last = entries.at(-1)?.mono ?? 0;
  if (page.gap !== undefined) known.entries.push({ kind: 'gap', seq: page.gap.from, mono: last, ...page.gap });
  for (const record of page.items) take(known, record);
  return { ...known, end: page.end ?? page.next ?? end, more: page.next !== undefined };
}

interface Known {
  readonly entries: Entry[];
  readonly actions: Map<number, number>;
  readonly paths: Map<string, readonly number[]>;
}

function take({ entries, actions, paths }: Known, record: SessionRecord): void {
  const { seq, mono } = record;
  if (record.type === 'action') {
    actions.set(record.action, entries.length);
    for (const path of filePaths(record)) paths.set(path, [...(paths.get(path) ?? []), entries.length].slice(-MAX_WAITING));
    entries.push({ kind: 'action', seq, mono, record });
    return;
  }
  if (record.type === 'done' || record.type === 'approval') {
    const at = actions.get(record.action);
    const entry = at === undefined ? undefined : entries[at];
    if (at !== undefined && entry?.kind === 'action') entries[at] = { ...entry, [record.type]: record };
    return;
  }
  if (record.type === 'file') endFile(entries, paths, record);
  entries.push(...alone(record));
}

const FILE_VERBS: ReadonlySet<string> = new Set(['read', 'write', 'list', 'delete']);

/** Operations on one path whose end is awaited; of more of them some are said to have none. */
const MAX_WAITING = 100;

/** What is denied has no end. */
function filePaths({ effects, verdict }: ActionRecord): ReadonlySet<string> {
  const uses = verdict === 'deny' ? [] : effects.filter(({ verb }) => FILE_VERBS.has(verb));
  return new Set(uses.map(({ object }) => object));
}

/** A file's record belongs to what opened its channel; the operation that it ends is the first such one on that path without an end. */
function endFile(entries: Entry[], paths: Known['paths'], record: FileRecord): void {
  const waiting = paths.get(record.path) ?? [];
  const at = waiting.find((each) => isEndOf(record, entries[each]));
  const entry = at === undefined ? undefined : entries[at];
  if (at === undefined || entry?.kind !== 'action') return;
  entries[at] = { ...entry, file: record };
  paths.set(
    record.path,
    waiting.filter((each) => each !== at),
  );
}

function isEndOf({ operation, outcome }: FileRecord, entry: Entry | undefined): boolean {
  if (entry?.kind !== 'action' || entry.done !== undefined) return false;
  const { text, verdict } = entry.record;
  if (outcome === 'denied' && verdict === 'allow') return false;
  return text === undefined || text.startsWith(`${operation} `) || text.startsWith(`${operation}:`);
}

/** An entry of its own, where a record makes one. */
function alone(record: SessionRecord): Entry[] {
  const { seq, mono } = record;
  if (record.type === 'line') return [{ kind: 'line', seq, mono, record }];
  if (record.type === 'file') return [{ kind: 'file', seq, mono, record }];
  return isEvent(record) ? [{ kind: 'other', seq, mono, record }] : [];
}

/** What stands for itself; columns, rows and streams are read with their action. */
function isEvent(record: SessionRecord): record is Extract<Entry, { kind: 'other' }>['record'] {
  const { type } = record;
  return type === 'session.open' || type === 'session.close' || type === 'note' || type === 'bytes';
}

/** What became of an action: its verdict, and of one that was held what people, or time, made of it. */
export function standingOf(
  { verdict }: Pick<ActionRecord, 'verdict'>,
  approval: Pick<ApprovalRecord, 'state'> | undefined,
): { readonly look: Look; readonly word: string } {
  const { state = 'Pending' } = approval ?? {};
  if (verdict !== 'approve' || state === 'Pending')
    return { look: verdictLook(verdict), word: VERDICT_WORDS[verdict] ?? verdict };
  return state === 'Released' ? { look: 'allow', word: 'approved' } : { look: 'deny', word: state.toLowerCase() };
}

/** Whether rows were delivered, or could have been: of what changes some the tag says how many. */
export function hasRows({ rows, tag }: Pick<DoneRecord, 'rows' | 'tag'>): boolean {
  return rows > 0 || tag === undefined;
}

/** What a list may be narrowed to. */
export const VIEWS = {
  all: () => true,
  denied: (entry: Entry) => entry.kind === 'action' && standingOf(entry.record, entry.approval).look === 'deny',
  held: (entry: Entry) => entry.kind === 'action' && entry.record.verdict === 'approve',
  errors: (entry: Entry) => entry.kind === 'action' && entry.done?.error !== undefined,
  masked: (entry: Entry) => entry.kind === 'action' && (entry.done?.maskedValues ?? 0) > 0,
} as const satisfies Record<string, (entry: Entry) => boolean>;
export type View = keyof typeof VIEWS;

/** Whether somebody who looks for trouble stops here. */
export function stands(entry: Entry): boolean {
  return entry.kind === 'gap' || VIEWS.denied(entry) || VIEWS.held(entry) || VIEWS.errors(entry);
}

/** The entry that a record belongs to: the last one that begins at or before it. */
export function entryAt(entries: readonly Entry[], seq: number): number {
  return entries.findLastIndex((entry) => entry.seq <= seq);
}
