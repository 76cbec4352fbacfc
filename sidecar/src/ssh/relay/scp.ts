import { visible } from '@chaperone/api';
import { type FileDecision, type FileJudge, type FileVerb, fileEffect, isResolved, joinPath } from '../actions/files.ts';
import { SshError } from '../wire/error.ts';
import { MAX_LINE_BYTES, parseScpLine, SCP_OK, type ScpLine, ScpStream, scpWarning } from '../wire/scp.ts';
import { decide, MOVED, movedLine, unjudgedLine, tellEnd } from './file-judging.ts';
import { type FileCapture, type FileRecord, Transfer } from './file-record.ts';
import type { Place } from './path-lookup.ts';

/** Directories within directories. */
const MAX_DEPTH = 128;

export interface ScpOptions {
  /** `upload`: the server runs `scp -t`; `download`: `scp -f`. */
  readonly direction: 'upload' | 'download';
  /** As the command names them: one of an upload. */
  readonly paths: readonly string[];
  /** With `-r`. */
  readonly isRecursive: boolean;
  /** With `-d`: the target of an upload is a directory. */
  readonly isDirectory: boolean;
  readonly judge: FileJudge;
  /** Where a path leads on the server; undefined: nobody can say, and it is refused. */
  readonly resolve: (path: string) => Promise<Place | undefined>;
  readonly toServer: (bytes: Buffer) => void;
  readonly toAgent: (bytes: Buffer) => void;
  /** One line for the agent's standard error, without its end. */
  readonly toStderr: (line: string) => void;
  readonly onRecord: (record: FileRecord) => void;
  /** A side broke the protocol, or we did: the channel has to be closed. Called once; nothing comes after it. */
  readonly onEnd: (error: unknown) => void;
  readonly capture?: FileCapture;
}

/** For servers that cannot be asked: a path is what it reads, links or not. */
export function asWritten(text: string): Promise<Place | undefined> {
  const path = trimmed(text);
  return Promise.resolve(isResolved(path) ? { path, canBe: true } : undefined);
}

type Entry = Extract<ScpLine, { kind: 'file' | 'directory' }>;
/** What the source offers, and every path that it may have, as the command names it. */
interface Offer {
  readonly entry: Entry;
  readonly line: Buffer;
  readonly places: readonly string[];
}
/** Where names lead. */
interface Found {
  readonly names: readonly string[];
  readonly paths: readonly string[];
  readonly canBe: boolean;
}
type Phase = 'begin' | 'line' | 'judging' | 'times' | 'entry' | 'data' | 'status' | 'file' | 'up' | 'over';

type Denial = Extract<FileDecision, { verdict: 'deny' }>;

/** What can be no file, as it reads. */
const DIRECTORY = /(^|\/)\.{0,2}$/;

const UNKNOWN: Denial = {
  verdict: 'deny',
  line: unjudgedLine('nobody can say where its path leads', 'give an absolute path.'),
};
const NOWHERE: Denial = { verdict: 'deny', line: 'No such file or directory' };

/** Who has to speak next, in each phase. */
const SPEAKS: Readonly<Record<Phase, 'source' | 'sink' | undefined>> = {
  begin: 'sink',
  line: 'source',
  judging: undefined,
  times: 'sink',
  entry: 'sink',
  data: 'source',
  status: 'source',
  file: 'sink',
  up: 'sink',
  over: undefined,
};

/**
 * Stands between the two ends of a copy by scp's old protocol, on the bytes of one channel. The line of a file or directory passes when
 * its path was judged; of what is refused both ends hear as of a file that failed, and go on. It owns no socket and no clock: whoever
 * feeds it stops feeding a side while what it sends to the other one waits.
 */
export class ScpRelay {
  readonly #options: ScpOptions;
  readonly #source = new ScpStream();
  readonly #sink = new ScpStream();
  #phase: Phase = 'begin';
  /** Held back until what they belong to is judged. */
  #times: Buffer | undefined;
  #entry: Offer | undefined;
  /** Where the directories that were entered may be, the innermost last. */
  readonly #directories: (readonly string[])[] = [];
  #transfer: Transfer | undefined;
  #left = 0;
  #isSourceOk = true;

  constructor(options: ScpOptions) {
    this.#options = options;
  }

  fromAgent(chunk: Buffer): void {
    this.#receive(this.#options.direction === 'upload' ? this.#source : this.#sink, chunk);
  }

  fromServer(chunk: Buffer): void {
    this.#receive(this.#options.direction === 'upload' ? this.#sink : this.#source, chunk);
  }

  /** The channel is gone; a file on its way is recorded as cut off. */
  close(): void {
    this.#phase = 'over';
    if (this.#transfer) this.#options.onRecord(this.#transfer.record('cut off'));
    this.#transfer = undefined;
  }

  #toSource(bytes: Buffer): void {
    if (this.#options.direction === 'upload') this.#options.toAgent(bytes);
    else this.#options.toServer(bytes);
  }

  #toSink(bytes: Buffer): void {
    if (this.#options.direction === 'upload') this.#options.toServer(bytes);
    else this.#options.toAgent(bytes);
  }

  #receive(stream: ScpStream, chunk: Buffer): void {
    if (this.#phase === 'over') return;
    stream.push(chunk);
    this.#go();
  }

  #go(): void {
    try {
      while (this.#step());
      for (const stream of [this.#source, this.#sink])
        if (stream.held > MAX_LINE_BYTES) throw new SshError('scp speaks out of turn');
    } catch (error) {
      this.#end(error);
    }
  }

  #end(error: unknown): void {
    if (this.#phase === 'over') return;
    this.close();
    this.#options.onEnd(error);
  }

  /** @returns whether there may be more to do */
  #step(): boolean {
    const speaks = SPEAKS[this.#phase];
    if (speaks === undefined) return false;
    if (speaks === 'sink') return this.#readAck();
    if (this.#phase === 'line') return this.#readLine();
    if (this.#phase === 'data') return this.#readData();
    const status = this.#source.ack();
    if (!status) return false;
    this.#isSourceOk = status.ack === 'ok';
    this.#toSink(status.bytes);
    this.#phase = 'file';
    return true;
  }

  #readLine(): boolean {
    const bytes = this.#source.line();
    if (!bytes) return false;
    const line = parseScpLine(bytes);
    switch (line.kind) {
      case 'warning':
      case 'fatal':
        this.#toSink(bytes);
        if (line.kind === 'fatal') this.close();
        return true;
      case 'times':
        this.#times = Buffer.from(bytes);
        this.#toSource(SCP_OK);
        return true;
      case 'up':
        if (this.#directories.pop() === undefined) throw new SshError('scp leaves a directory that it did not enter');
        this.#toSink(bytes);
        this.#phase = 'up';
        return true;
      default:
        this.#enter(line, Buffer.from(bytes));
        return false;
    }
  }

  #enter(entry: Entry, line: Buffer): void {
    if (entry.kind === 'directory' && !this.#options.isRecursive) throw new SshError('a directory of scp that nobody asked for');
    if (this.#directories.length >= MAX_DEPTH) throw new SshError('directories of scp are too deep');
    this.#phase = 'judging';
    const names = this.#placesOf(entry.name);
    this.#offer(entry, line, names).catch((error: unknown) => this.#end(error));
  }

  /** Every path that the entry may have: whether the target of an upload is a directory, the server alone knows. */
  #placesOf(name: string): string[] {
    const { direction, paths, isDirectory } = this.#options;
    const within = this.#directories.at(-1);
    if (within) return within.map((directory) => joinPath(directory, name));
    if (direction === 'upload') {
      const [target = ''] = paths;
      const joined = joinPath(trimmed(target), name);
      return isDirectory || DIRECTORY.test(target) ? [joined] : [target, joined];
    }
    const asked = paths.map(trimmed).filter((path) => path.slice(path.lastIndexOf('/') + 1) === name);
    if (asked.length === 0) throw new SshError('a file of scp that nobody asked for');
    return asked;
  }

  async #offer(entry: Entry, line: Buffer, names: readonly string[]): Promise<void> {
    const found = await this.#resolve(names);
    const verb = this.#verbOf(entry);
    const operation = entry.kind === 'directory' && verb === 'write' ? 'mkdir' : verb;
    const decision = found ? await this.#decide(operation, verb, found, names) : UNKNOWN;
    if (this.#phase !== 'judging') return;
    const path = found?.paths[0] ?? names[0] ?? '';
    if (decision.verdict === 'allow') this.#accept({ entry, line, places: found?.names ?? [] }, path);
    else {
      const isNowhere = decision === NOWHERE;
      this.#options.onRecord({ operation, path, outcome: isNowhere ? 'no such file' : 'denied' });
      this.#refuse(isNowhere ? `${visible(names[0] ?? '')}: ${decision.line}` : decision.line);
    }
    this.#go();
  }

  #accept(offer: Offer, path: string): void {
    this.#entry = offer;
    if (offer.entry.kind === 'file') {
      const operation = this.#options.direction === 'upload' ? 'write' : 'read';
      this.#transfer = new Transfer(operation, path, false, this.#options.capture);
    }
    this.#toSink(this.#times ?? offer.line);
    this.#phase = this.#times ? 'times' : 'entry';
  }

  /** Those of the names that can be, with where they lead, or else all; undefined: nobody can say of one. */
  async #resolve(names: readonly string[]): Promise<Found | undefined> {
    const found = await Promise.all(names.map(async (name) => ({ name, place: await this.#options.resolve(name) })));
    const known = found.flatMap(({ name, place }) => (place ? [{ name, ...place }] : []));
    if (known.length < found.length) return undefined;
    const possible = known.filter(({ canBe }) => canBe);
    const meant = possible.length > 0 ? possible : known;
    return {
      names: meant.map(({ name }) => name),
      paths: [...new Set(meant.map(({ path }) => path))],
      canBe: possible.length > 0,
    };
  }

  /** Nobody is asked about what cannot be, and whether it can is told only to who may know. */
  async #decide(operation: string, verb: FileVerb, { paths, canBe }: Found, names: readonly string[]): Promise<FileDecision> {
    const { judge, toStderr } = this.#options;
    const effects = paths.map((path) => fileEffect(verb, path));
    if (!canBe && judge.preview(effects) !== 'deny') return NOWHERE;
    let wasHeld = false;
    const decision = await decide(judge, { operation, effects }, (line) => {
      wasHeld = true;
      toStderr(line);
    });
    if (decision.verdict === 'deny') return decision;
    if (!canBe) {
      tellEnd(decision, 'there is no such directory; it did not run');
      return NOWHERE;
    }
    if (!wasHeld) return decision;
    const now = await this.#resolve(names);
    const isStill = now?.paths.join('\0') === paths.join('\0');
    tellEnd(decision, isStill ? undefined : MOVED);
    return isStill ? decision : { verdict: 'deny', line: movedLine() };
  }

  #verbOf({ kind }: Entry): FileVerb {
    if (this.#options.direction === 'upload') return 'write';
    return kind === 'file' ? 'read' : 'list';
  }

  #refuse(line: string): void {
    const warning = scpWarning(line);
    this.#times = undefined;
    this.#toSource(warning);
    if (this.#options.direction === 'download') this.#toSink(warning);
    this.#phase = 'line';
  }

  #readAck(): boolean {
    const read = this.#sink.ack();
    if (!read) return false;
    const { ack, bytes } = read;
    const phase = this.#phase;
    if (phase === 'times' && ack === 'ok') {
      this.#times = undefined;
      this.#toSink(this.#takeEntry().line);
      this.#phase = 'entry';
      return true;
    }
    this.#toSource(bytes);
    this.#phase = 'line';
    if (phase === 'file') this.#finish(ack === 'ok' && this.#isSourceOk ? 'ok' : 'failed');
    else if (phase === 'times' || (phase === 'entry' && ack !== 'ok')) this.#finish('failed');
    else if (phase === 'entry') this.#begin();
    if (ack === 'fatal') this.close();
    return true;
  }

  #takeEntry(): Offer {
    if (!this.#entry) throw new Error('no entry of scp is being judged');
    return this.#entry;
  }

  /** The sink takes the entry. */
  #begin(): void {
    const { entry, places } = this.#takeEntry();
    if (entry.kind === 'directory') {
      this.#directories.push(places);
      return;
    }
    this.#left = entry.size;
    this.#phase = entry.size > 0 ? 'data' : 'status';
  }

  #readData(): boolean {
    const data = this.#source.bytes(this.#left);
    if (data.length === 0) return false;
    this.#transfer?.pass(BigInt(this.#transfer.bytes), data);
    this.#left -= data.length;
    this.#toSink(data);
    if (this.#left === 0) this.#phase = 'status';
    return true;
  }

  #finish(outcome: string): void {
    this.#times = undefined;
    if (!this.#transfer) return;
    this.#transfer.endsAt(BigInt(this.#transfer.bytes));
    this.#options.onRecord(this.#transfer.record(outcome));
    this.#transfer = undefined;
  }
}

/** Without the slashes behind it. */
function trimmed(path: string): string {
  return path.replace(/(?<=.)\/+$/, '');
}
