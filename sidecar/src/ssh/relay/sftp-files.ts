import type { FileVerb } from '../actions/files.ts';
import { FLAG } from '../wire/sftp.ts';
import { MAX_HANDLES } from '../wire/sftp-response.ts';
import { type FileCapture, type FileRecord, Transfer } from '../../running/file-record.ts';

export interface OpenFileOptions {
  /** Why it may not be used any more; asked before each use. */
  readonly whyNot: () => string | undefined;
  readonly capture?: FileCapture | undefined;
  /** The attributes that people saw who approved that it is opened; undefined: nobody was asked. */
  readonly approved?: string | undefined;
}

/** A file or directory that the agent has open. */
export class OpenFile {
  readonly path: string;
  readonly isDirectory: boolean;
  readonly whyNot: () => string | undefined;
  /** It was refused once: records say that once. */
  isRefused = false;
  readonly approved: string | undefined;
  readonly reads: Transfer | undefined;
  readonly writes: Transfer | undefined;
  /** The server places what is written at the end, wherever the agent says. */
  readonly #appends: boolean;
  #unanswered = 0;

  /**
   * @param verbs - what opening it was judged as
   * @param flags - of OPEN; undefined: a directory
   */
  constructor(
    path: string,
    verbs: readonly FileVerb[],
    flags: number | undefined,
    { whyNot, capture, approved }: OpenFileOptions,
  ) {
    this.path = path;
    this.whyNot = whyNot;
    this.approved = approved;
    this.isDirectory = flags === undefined;
    const asked = flags ?? 0;
    const creates = FLAG.create | FLAG.exclusive;
    const wasEmpty = (asked & FLAG.truncate) !== 0 || (asked & creates) === creates;
    this.reads = verbs.includes('read') ? new Transfer('read', path, false, capture) : undefined;
    this.writes = verbs.includes('write') ? new Transfer('write', path, wasEmpty, capture) : undefined;
    this.#appends = (asked & FLAG.append) !== 0;
  }

  /** What records call the use of it. */
  get operation(): 'list' | 'read' | 'write' {
    return this.isDirectory ? 'list' : this.writes ? 'write' : 'read';
  }

  written(offset: bigint, data: Buffer): void {
    this.#unanswered++;
    this.writes?.pass(offset, data);
    if (this.#appends) this.writes?.spoil();
  }

  answered(isOk: boolean): void {
    this.#unanswered--;
    if (!isOk) this.writes?.spoil();
  }

  /** @param outcome - of closing it */
  records(outcome: string): FileRecord[] {
    if (this.isDirectory) return [{ operation: 'list', path: this.path, outcome }];
    if (this.#unanswered > 0) this.writes?.spoil();
    const transfers = [this.reads, this.writes].filter((transfer) => transfer !== undefined);
    return transfers.map((transfer) => transfer.record(outcome));
  }
}

/** What the agent has open, by the server's handles. */
export class OpenFiles {
  readonly #files = new Map<string, OpenFile>();
  /** Asked for and not answered. */
  #opening = 0;

  get(handle: Buffer): OpenFile | undefined {
    return this.#files.get(handle.toString('latin1'));
  }

  /** Makes room for one more. @returns false: too many are open */
  reserve(): boolean {
    if (this.#files.size + this.#opening >= MAX_HANDLES) return false;
    this.#opening++;
    return true;
  }

  /** The server gave no handle for what was {@link reserve}d. */
  release(): void {
    this.#opening--;
  }

  /** @returns false: the server gave a handle that is in use */
  add(handle: Buffer, file: OpenFile): boolean {
    this.#opening--;
    const key = handle.toString('latin1');
    if (this.#files.has(key)) return false;
    this.#files.set(key, file);
    return true;
  }

  remove(handle: Buffer): void {
    this.#files.delete(handle.toString('latin1'));
  }

  /** Empties it. */
  takeAll(): OpenFile[] {
    const files = [...this.#files.values()];
    this.#files.clear();
    return files;
  }
}
