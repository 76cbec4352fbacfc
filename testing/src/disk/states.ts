import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DiskOp } from './recorded.ts';

/**
 * How a machine stops: kill: the process is gone, the kernel writes what it was given · lost: the power is gone, and with it all that no
 * sync made durable · prefix, mixed: the same, but some of it was written already: of names those up to a moment, or any; of a file the
 * first bytes, or its length with zeros in it.
 */
export const STOPS = ['kill', 'lost', 'prefix', 'mixed'] as const;
export type Stop = (typeof STOPS)[number];

interface FileState {
  /** What was done to its bytes, and when. */
  readonly changes: { readonly at: number; readonly op: DiskOp }[];
  synced: number;
}
type Moved = Extract<DiskOp, { readonly from: string }>;
type NameOp = Moved | Extract<DiskOp, { readonly kind: 'create' | 'unlink' | 'mkdir' }>;

/** What was done to names and bytes, and what of it was made durable. */
class History {
  readonly files = new Map<number, FileState>();
  readonly names: { readonly at: number; readonly op: NameOp }[] = [];
  readonly #synced = new Map<string, number>();

  constructor(ops: readonly DiskOp[]) {
    for (const [at, op] of ops.entries()) this.#take(at, op);
  }

  #take(at: number, op: DiskOp): void {
    if (op.kind === 'note') return;
    if (op.kind === 'sync') this.#syncFile(op.file, op.since);
    else if (op.kind === 'syncNames') this.#synced.set(op.path, Math.max(this.#synced.get(op.path) ?? 0, op.since));
    else if ('path' in op || 'from' in op) {
      if (op.kind === 'create') this.files.set(op.file, { changes: [], synced: 0 });
      this.names.push({ at, op });
    } else this.files.get(op.file)?.changes.push({ at, op });
  }

  #syncFile(number: number, since: number): void {
    const file = this.files.get(number);
    if (file !== undefined) file.synced = Math.max(file.synced, since);
  }

  isDurable({ at, op }: { readonly at: number; readonly op: NameOp }): boolean {
    const directory = dirname('to' in op ? op.to : op.path);
    return at < (this.#synced.get(directory === '.' ? '' : directory) ?? 0);
  }
}

/** Makes what is on disk when a program stops after so many operations, in a directory that is empty. */
export function writeState(ops: readonly DiskOp[], count: number, stop: Stop, random: () => number, into: string): void {
  const history = new History(ops.slice(0, count));
  const until = stop === 'prefix' ? Math.floor(random() * (count + 1)) : 0;
  const isThere = (at: number): boolean => stop === 'kill' || at < until || (stop === 'mixed' && random() < 0.5);
  const there = new Map<string, number>();
  const directories = new Set(['.']);
  for (const { at, op } of history.names.filter((each) => history.isDurable(each) || isThere(each.at)))
    if (op.kind === 'mkdir') directories.add(op.path);
    else if (op.kind === 'create') there.set(op.path, op.file);
    else if (op.kind === 'unlink') there.delete(op.path);
    else
      place(
        op,
        there,
        history.names.slice(
          0,
          history.names.findIndex((each) => each.at === at),
        ),
      );
  for (const path of directories) mkdirSync(join(into, path), { recursive: true, mode: 0o700 });
  for (const [path, number] of there) {
    const file = history.files.get(number);
    // A name in a directory that is not there is not there.
    if (file !== undefined && directories.has(dirname(path))) write(join(into, path), file, stop, random);
  }
}

/** A new name of a file whose old one may not be there. */
function place({ kind, from, to }: Moved, there: Map<string, number>, before: readonly { readonly op: NameOp }[]): void {
  const made = before.findLast(({ op }) => op.kind === 'create' && op.path === from)?.op;
  const file = there.get(from) ?? (made?.kind === 'create' ? made.file : undefined);
  if (file !== undefined) there.set(to, file);
  if (kind === 'rename') there.delete(from);
}

function write(path: string, { changes, synced }: FileState, stop: Stop, random: () => number): void {
  const kept = changes.filter(({ at }) => stop === 'kill' || at < synced);
  // Of the rest some may be there, and of the next one a part, or its length and not its bytes.
  const rest = stop === 'prefix' || stop === 'mixed' ? changes.slice(kept.length) : [];
  const whole = rest.slice(0, Math.floor(random() * (rest.length + 1)));
  const cut = rest[whole.length]?.op;
  let bytes = Buffer.alloc(0);
  let seconds: number | undefined;
  for (const { op } of [...kept, ...whole])
    if (op.kind === 'write') bytes = Buffer.concat([bytes.subarray(0, op.at), op.bytes]);
    else if (op.kind === 'truncate') bytes = Buffer.alloc(0);
    else if (op.kind === 'utimes') seconds = op.seconds;
  if (cut?.kind === 'write') {
    const part = cut.bytes.subarray(0, Math.floor(random() * cut.bytes.length));
    bytes = Buffer.concat([bytes.subarray(0, cut.at), random() < 0.5 ? part : Buffer.alloc(cut.bytes.length)]);
  }
  writeFileSync(path, bytes, { mode: 0o600 });
  if (seconds !== undefined) utimesSync(path, seconds, seconds);
}
