import { close, closeSync, fdatasync, openSync, rmSync, writevSync } from 'node:fs';
import { promisify } from 'node:util';
import { free } from '../lent.ts';
import { entryBytes, type EntryWithin, writeEntry } from './entries.ts';
import type { FrameEncoder } from './frames.ts';
import { GroupCommit } from './group-commit.ts';
import { RecordingError } from './recorder.ts';
import type { Spool } from './spool.ts';

const datasync = promisify(fdatasync);
const closeFile = promisify(close);

/** What is collected is written once it passes this, even though its turn is not over. */
const BATCH_BYTES = 128 * 1024;

/** What {@link Journal.written} answers where there is nothing to wait for any more. */
export const WRITTEN: Promise<void> = Promise.resolve();

/** Whose entries were given to the journal. */
export interface JournalUser {
  /** An entry of it is not in the file, or was not made durable, and never will be. */
  fail(error: RecordingError): void;
}

interface File {
  readonly number: number;
  readonly path: string;
  readonly fd: number;
  readonly encoder: FrameEncoder;
  size: number;
  /** Whether its name is durable. */
  named: boolean;
}

export interface JournalOptions {
  readonly spool: Spool;
  /** A file that is larger is not written to any more. */
  readonly maxFileBytes: number;
  /** A round of fdatasync begins at most this long after `soon`. */
  readonly delayMs: number;
  /** Files that earlier processes left, oldest first: kept as long as somebody holds them. */
  readonly found: readonly number[];
  /** Told of a file that could not be removed. */
  readonly onError: (error: unknown) => void;
}

/**
 * The files that the records of all sessions go into until they are sealed: one write for all that comes in a turn, one fdatasync for
 * all that waits. A failed write or sync is final for its file: what that then holds is unknown, so the next entries go into another, and
 * whoever has entries in it fails.
 */
export class Journal {
  readonly #o: JournalOptions;
  readonly #commit: GroupCommit;
  readonly #batch = Buffer.allocUnsafeSlow(BATCH_BYTES);
  #end = 0;
  /** Of what is in the batch, and of what is written and not durable. */
  readonly #batched = new Set<JournalUser>();
  readonly #written = new Set<JournalUser>();
  /** Several had entries in what was made durable last. */
  #isShared = false;
  #turn: PromiseWithResolvers<void> | undefined;
  #endOfTurn: NodeJS.Immediate | undefined;
  #round: PromiseWithResolvers<void> | undefined;
  #current: File | undefined;
  /** Written to no more, but not synced and closed yet. */
  readonly #retired: File[] = [];
  #next: number;
  /** All that exist, oldest first, and how many need each. */
  readonly #numbers: number[];
  readonly #holds = new Map<number, number>();
  /** Sealed segments that the collector has; their names say so until no file is left that may hold their records. */
  readonly #freed: { readonly before: number; readonly path: string }[] = [];
  /** Of the files: those that somebody should look at, which are set aside in place of being removed. */
  readonly #damaged = new Set<number>();
  #trimming: Promise<void> = Promise.resolve();

  constructor(options: JournalOptions) {
    this.#o = options;
    this.#numbers = [...options.found];
    this.#next = (this.#numbers.at(-1) ?? -1) + 1;
    this.#commit = new GroupCommit(options.delayMs, () => this.#sync());
  }

  /** Takes an entry; `flush`, `written` or `durable` bring it into the file. */
  add(entry: EntryWithin, user: JournalUser): void {
    const bytes = entryBytes(entry);
    if (this.#end + bytes > BATCH_BYTES) this.flush();
    this.#batched.add(user);
    if (bytes > BATCH_BYTES) {
      const alone = Buffer.allocUnsafe(bytes);
      writeEntry(alone, 0, entry);
      this.#write(alone);
      free(alone);
    } else this.#end = writeEntry(this.#batch, this.#end, entry);
  }

  /** Writes what was added. Where that fails, those whose entries these are have been told when it returns. */
  flush(): void {
    if (this.#end > 0) this.#write(this.#batch.subarray(0, this.#end));
    this.#end = 0;
    // Left in place it would end the next turn early, and so on for as long as somebody writes in each.
    clearImmediate(this.#endOfTurn);
    this.#turn?.resolve();
    this.#turn = undefined;
  }

  /**
   * Resolves when what was added by now is in the file, or its user has failed: at the end of this turn of the event loop where several
   * have written lately, at once where nobody would share the write.
   */
  written(): Promise<void> {
    if (!this.#isShared) {
      this.flush();
      return WRITTEN;
    }
    if (this.#turn === undefined) {
      this.#turn = Promise.withResolvers();
      this.#endOfTurn = setImmediate(() => this.flush());
    }
    return this.#turn.promise;
  }

  /** What was added by now will be durable soon. */
  soon(): void {
    this.#commit.soon();
  }

  /** Resolves when what was added by now is durable, or its user has failed; `soon` or `now` says when that is begun. */
  durable(when: 'soon' | 'now'): Promise<void> {
    this.#round ??= Promise.withResolvers();
    const { promise } = this.#round;
    this.#commit[when]();
    return promise;
  }

  #write(plain: Buffer): void {
    const users = [...this.#batched];
    this.#batched.clear();
    try {
      const file = (this.#current ??= this.#open());
      const pieces = file.encoder.encode(plain);
      if (file.size === 0) pieces.unshift(file.encoder.preamble);
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
      const written = writevSync(file.fd, pieces);
      pieces.forEach(free);
      if (written !== length) throw new Error('the file system took only a part of the write');
      file.size += length;
      this.#o.spool.resize(file.path, file.size);
      for (const user of users) this.#written.add(user);
      if (file.size >= this.#o.maxFileBytes) this.#retire();
    } catch (cause) {
      this.#giveUp();
      const error = new RecordingError('RecordingFailed', 'the journal could not be written', { cause });
      for (const user of users) user.fail(error);
    }
  }

  #open(): File {
    const number = this.#next++;
    const path = this.#o.spool.journalPath(number);
    const file = { number, path, fd: openSync(path, 'wx', 0o600), encoder: this.#o.spool.encoder(path), size: 0, named: false };
    this.#numbers.push(number);
    return file;
  }

  #retire(): void {
    if (this.#current === undefined) return;
    this.#retired.push(this.#current);
    this.#current = undefined;
    this.#commit.soon();
  }

  /** After a failed write. One that nothing is in goes at once: where there is no room each write would leave one. */
  #giveUp(): void {
    const file = this.#current;
    if (file === undefined || file.size > 0) return this.#retire();
    this.#current = undefined;
    this.#numbers.pop();
    closeSync(file.fd);
    rmSync(file.path, { force: true });
  }

  async #sync(): Promise<void> {
    const round = this.#round;
    this.#round = undefined;
    this.flush();
    const users = [...this.#written];
    this.#written.clear();
    this.#isShared = users.length > 1;
    const retired = [...this.#retired];
    try {
      const files = this.#current === undefined || users.length === 0 ? retired : [...retired, this.#current];
      for (const file of files) await this.#syncFile(file);
    } catch (cause) {
      this.#retire();
      const error = new RecordingError('RecordingFailed', 'the journal could not be made durable', { cause });
      for (const user of users) user.fail(error);
    }
    for (const file of retired) await this.#close(file);
    round?.resolve();
    this.#trim();
  }

  async #syncFile(file: File): Promise<void> {
    await datasync(file.fd);
    if (file.named) return;
    await this.#o.spool.syncNames();
    file.named = true;
  }

  async #close(file: File): Promise<void> {
    this.#retired.splice(this.#retired.indexOf(file), 1);
    await closeFile(file.fd).catch(this.#o.onError);
  }

  /** Keeps the file that the next entry goes into, and all later ones, until it is released as often. */
  hold(number: number = this.#current?.number ?? this.#next): number {
    this.#holds.set(number, (this.#holds.get(number) ?? 0) + 1);
    return number;
  }

  release(number: number): void {
    const holds = (this.#holds.get(number) ?? 0) - 1;
    if (holds > 0) this.#holds.set(number, holds);
    else this.#holds.delete(number);
    this.#trim();
  }

  /** The files from a number on. */
  from(number: number): number[] {
    return this.#numbers.filter((each) => each >= number);
  }

  /** Sets a file aside once nobody holds it, in place of removing it. False: that was said before. */
  damaged(number: number): boolean {
    const isNew = !this.#damaged.has(number);
    this.#damaged.add(number);
    return isNew;
  }

  /** Whether it is not the file that is written to now: what is still needed of it had better be in a later one. */
  isOld(number: number): boolean {
    return number < (this.#current?.number ?? this.#next);
  }

  /** Ends the file that is written to where nobody needs it, or where freed segments wait for it to go. */
  rest(isDue: boolean): void {
    if (this.#end === 0 && (this.#holds.size === 0 || (isDue && this.#freed.length > 0))) this.#retire();
    this.#trim();
  }

  /** The collector has a sealed segment, whose file is empty by now: removes it once no file is left that may hold its records. */
  freed(path: string): void {
    this.#freed.push({ before: this.#current?.number ?? this.#next - 1, path });
    this.#trim();
  }

  /** The first file that has to stay. */
  get #needed(): number {
    return Math.min(...this.#holds.keys(), this.#current?.number ?? Infinity, ...this.#retired.map(({ number }) => number));
  }

  #trim(): void {
    const [oldest = Infinity] = this.#numbers;
    const [first] = this.#freed;
    if (oldest < this.#needed || (first !== undefined && first.before < oldest))
      this.#trimming = this.#trimming.then(() => this.#removeOld()).catch(this.#o.onError);
  }

  /** Oldest first: what a later file says of a record presumes the earlier ones. */
  async #removeOld(): Promise<void> {
    for (let [number] = this.#numbers; number !== undefined && number < this.#needed; [number] = this.#numbers) {
      const path = this.#o.spool.journalPath(number);
      if (this.#damaged.has(number)) await this.#o.spool.setAside(path);
      else await this.#o.spool.remove(path);
      this.#numbers.shift();
    }
    const [oldest = Infinity] = this.#numbers;
    const kept = this.#freed.findIndex(({ before }) => before >= oldest);
    const unneeded = this.#freed.splice(0, kept < 0 ? this.#freed.length : kept);
    if (unneeded.length === 0) return;
    // Were a file to come back after a power loss and these not, its records would be sealed anew.
    await this.#o.spool.syncNames();
    for (const { path } of unneeded) await this.#o.spool.remove(path);
  }

  async stop(): Promise<void> {
    this.#retire();
    await this.#commit.idle();
    this.#trim();
    await this.#trimming;
  }
}
