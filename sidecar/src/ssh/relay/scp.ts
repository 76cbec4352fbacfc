import { visible } from '@chaperone/api';
import type { Effect } from '@chaperone/policy';
import type { Transfer } from '../actions/index.ts';
import { type FileDecision, type FileJudge, type FileVerb, fileEffect, joinPath, mayTellOf, namedOf } from '../actions/files.ts';
import { SshError } from '../wire/error.ts';
import { MAX_LINE_BYTES, parseScpLine, SCP_OK, type ScpLine, ScpStream, scpWarning } from '../wire/scp.ts';
import { decide, MOVED, movedLine, tellEnd, unjudgedLine } from './file-judging.ts';
import { type FileCapture, type FileRecord, type Side, Transfer as Content } from '../../running/file-record.ts';
import { asWritten, type Place, trimmed } from './path-lookup.ts';
import { Turns } from './turns.ts';

/** Directories within directories. */
const MAX_DEPTH = 128;

export interface ScpOptions {
  /** What the server's scp was started with. */
  readonly transfer: Transfer;
  readonly judge: FileJudge;
  /** Where a path leads on the server; undefined: nobody can say, and it is refused. */
  readonly resolve: (path: string) => Promise<Place | undefined>;
  readonly toServer: (bytes: Buffer) => void;
  readonly toAgent: (bytes: Buffer) => void;
  /** One line for the agent's standard error, without its end. */
  readonly toStderr: (line: string) => void;
  readonly onRecord: (record: FileRecord) => void;
  /** The agent sends no more, and all that it sent has passed, but for what waits for people: that never passes. */
  readonly onServerEnd: () => void;
  /** A side broke the protocol, or we did: the channel has to be closed. Called once; nothing comes after it. */
  readonly onEnd: (error: unknown, by: Side) => void;
  /** One for all sessions that an agent has with a server, so that none changes links under another one's feet. */
  readonly turns?: Turns;
  readonly capture?: FileCapture;
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
  /** As they read. */
  readonly written: readonly string[];
  readonly canBe: boolean;
}
type Phase = 'begin' | 'line' | 'judging' | 'turn' | 'times' | 'entry' | 'data' | 'status' | 'file' | 'up' | 'over';

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
  turn: undefined,
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
 * its path was judged; of what is refused both ends hear as of a file that failed, and go on. While a server opens a file on its own,
 * no other session of the agent changes links: an upload has its turn from the question where a path leads until the server took the
 * line, a download from what lets the server go on until its line is judged. It owns no socket and no clock: whoever feeds it stops
 * feeding a side while what it sends to the other one waits.
 */
export class ScpRelay {
  readonly #options: ScpOptions;
  /** The server runs `scp -t`; else `scp -f`. */
  readonly #isUpload: boolean;
  readonly #source = new ScpStream();
  readonly #sink = new ScpStream();
  #phase: Phase = 'begin';
  /** Held back until what they belong to is judged. */
  #times: Buffer | undefined;
  #entry: Offer | undefined;
  /** Where the directories that were entered may be, the innermost last. */
  readonly #directories: (readonly string[])[] = [];
  #content: Content | undefined;
  #left = 0;
  #isSourceOk = true;
  readonly #turns: Turns;
  #endTurn: () => void = () => {};
  #isHeld = false;
  /** Until it is known whether the first words of the server may pass. */
  #beginning: Promise<void> | undefined;
  #agentEnded = false;
  #serverEnded = false;

  constructor(options: ScpOptions) {
    this.#options = options;
    this.#isUpload = options.transfer.direction === 'upload';
    this.#turns = options.turns ?? new Turns();
  }

  fromAgent(chunk: Buffer): void {
    this.#receive(this.#isUpload ? this.#source : this.#sink, chunk);
  }

  fromServer(chunk: Buffer): void {
    this.#receive(this.#isUpload ? this.#sink : this.#source, chunk);
  }

  /** The agent sends no more. */
  endOfAgent(): void {
    this.#agentEnded = true;
    this.#settle();
  }

  /** Calls `then` once all that the server said has passed, as far as it may: one that fails says so and ends. */
  endOfServer(then: () => void): void {
    if (this.#beginning === undefined) return then();
    void this.#beginning.then(then);
    return undefined;
  }

  /** The channel is gone; a file on its way is recorded as cut off. */
  close(): void {
    this.#phase = 'over';
    this.#endTurn();
    if (this.#content) this.#options.onRecord(this.#content.record('cut off'));
    this.#content = undefined;
  }

  #toSource(bytes: Buffer): void {
    if (this.#isUpload) this.#options.toAgent(bytes);
    else this.#options.toServer(bytes);
  }

  #toSink(bytes: Buffer): void {
    if (this.#isUpload) this.#options.toServer(bytes);
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
    } catch (error) {
      // Whose words are judged is the source.
      this.#end(error, this.#sideOf(SPEAKS[this.#phase] ?? 'source'));
    }
    for (const end of ['source', 'sink'] as const)
      if ((end === 'source' ? this.#source : this.#sink).held > MAX_LINE_BYTES)
        this.#end(new SshError('scp speaks out of turn'), this.#sideOf(end));
    this.#settle();
  }

  #settle(): void {
    const isReading = (this.#phase === 'judging' && !this.#isHeld) || this.#phase === 'turn';
    if (!this.#agentEnded || isReading || this.#serverEnded) return;
    this.#serverEnded = true;
    this.#options.onServerEnd();
  }

  async #takeTurn(): Promise<void> {
    this.#endTurn();
    this.#endTurn = await this.#turns.take(this.#isUpload);
    if (this.#isOver()) this.#endTurn();
  }

  #isOver(): boolean {
    return this.#phase === 'over';
  }

  #sideOf(end: 'source' | 'sink'): Side {
    return (end === 'source') === this.#isUpload ? 'agent' : 'host';
  }

  #end(error: unknown, by: Side = 'host'): void {
    if (this.#phase === 'over') return;
    this.close();
    this.#options.onEnd(error, by);
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
        this.#endTurn();
        this.#toSink(bytes);
        this.#phase = 'up';
        return true;
      default:
        this.#enter(line, Buffer.from(bytes));
        return false;
    }
  }

  #enter(entry: Entry, line: Buffer): void {
    if (entry.kind === 'directory' && !this.#options.transfer.recursive)
      throw new SshError('a directory of scp that nobody asked for');
    if (this.#directories.length >= MAX_DEPTH) throw new SshError('directories of scp are too deep');
    this.#phase = 'judging';
    const names = this.#placesOf(entry.name);
    this.#offer(entry, line, names).catch((error: unknown) => this.#end(error));
  }

  /** Every path that the entry may have: whether the target of an upload is a directory, the server alone knows. */
  #placesOf(name: string): string[] {
    const { paths, isIntoDirectory } = this.#options.transfer;
    const within = this.#directories.at(-1);
    if (within) return within.map((directory) => joinPath(directory, name));
    if (this.#isUpload) {
      const [target = ''] = paths;
      const joined = joinPath(trimmed(target), name);
      return isIntoDirectory === true || DIRECTORY.test(target) ? [joined] : [target, joined];
    }
    const asked = paths.map(trimmed).filter((path) => path.slice(path.lastIndexOf('/') + 1) === name);
    if (asked.length === 0) throw new SshError('a file of scp that nobody asked for');
    return asked;
  }

  async #offer(entry: Entry, line: Buffer, names: readonly string[]): Promise<void> {
    if (this.#isUpload) await this.#takeTurn();
    const found = await this.#resolve(names);
    const verb = this.#verbOf(entry);
    const operation = entry.kind === 'directory' && verb === 'write' ? 'mkdir' : verb;
    const decision = found ? await this.#decide(operation, verb, found, names) : UNKNOWN;
    if (this.#isOver()) return this.#settle();
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
    if (!this.#isUpload) this.#endTurn();
    if (offer.entry.kind === 'file') {
      const operation = this.#isUpload ? 'write' : 'read';
      this.#content = new Content(operation, path, false, this.#options.capture);
    }
    this.#toSink(this.#times ?? offer.line);
    this.#phase = this.#times ? 'times' : 'entry';
  }

  /** Those of the names that can be, with where they lead, or else all; undefined: nobody can say of one. */
  async #resolve(names: readonly string[]): Promise<Found | undefined> {
    const found = await Promise.all(names.map(async (name) => ({ name, place: await this.#placeOf(name) })));
    const known = found.flatMap(({ name, place }) => (place ? [{ name, ...place }] : []));
    if (known.length < found.length) return undefined;
    const possible = known.filter(({ canBe }) => canBe);
    const meant = possible.length > 0 ? possible : known;
    return {
      names: meant.map(({ name }) => name),
      paths: [...new Set(meant.map(({ path }) => path))],
      written: meant.map(({ written }) => written),
      canBe: possible.length > 0,
    };
  }

  /** Nobody can say it either where that would tell of a place that the agent may not know of. */
  async #placeOf(name: string): Promise<Place | undefined> {
    const { judge, resolve } = this.#options;
    const place = await resolve(name);
    return place?.detours.every((detour) => mayTellOf(judge, detour)) === true ? place : undefined;
  }

  /** Nobody is asked about what cannot be, and whether it can is told only to who may know. */
  async #decide(operation: string, verb: FileVerb, found: Found, names: readonly string[]): Promise<FileDecision> {
    const { judge, toStderr } = this.#options;
    const { paths, written, canBe } = found;
    const effectsOf = (places: readonly string[]): Effect[] => places.map((path) => fileEffect(verb, path));
    const isDenied = judge.preview(effectsOf(paths)) === 'deny';
    if (!canBe && !isDenied) return NOWHERE;
    const effects = effectsOf(isDenied ? namedOf(judge, written, paths) : paths);
    let wasHeld = false;
    const decision = await decide(judge, { operation, effects }, (line) => {
      wasHeld = true;
      this.#hold();
      toStderr(line);
    });
    if (wasHeld) await this.#resume();
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
    if (this.#isUpload) return 'write';
    return kind === 'file' ? 'read' : 'list';
  }

  #refuse(line: string): void {
    const warning = scpWarning(line);
    this.#times = undefined;
    if (!this.#isUpload) this.#toSink(warning);
    this.#goOn(warning);
  }

  #hold(): void {
    this.#isHeld = true;
    this.#endTurn();
    this.#settle();
  }

  /** Where the agent has gone meanwhile nothing more begins. */
  async #resume(): Promise<void> {
    this.#isHeld = false;
    if (this.#agentEnded) this.close();
    if (!this.#isOver()) await this.#takeTurn();
  }

  /** Lets the source go on to its next line. */
  #goOn(answer: Buffer): void {
    if (this.#isUpload) {
      this.#endTurn();
      this.#toSource(answer);
      this.#phase = 'line';
      return;
    }
    this.#phase = 'turn';
    const start = (): void => {
      if (this.#isOver()) return;
      this.#toSource(answer);
      this.#phase = 'line';
      this.#go();
    };
    this.#takeTurn()
      .then(start)
      .catch((error: unknown) => this.#end(error));
  }

  /** What a server says to begin with, or of what it shall send, tells whether that is there. */
  async #begin(bytes: Buffer): Promise<void> {
    const { transfer, toAgent, onRecord } = this.#options;
    const { paths, isIntoDirectory } = transfer;
    const refused = !this.#isUpload || isIntoDirectory === true ? await this.#untold(paths) : undefined;
    if (this.#isOver()) return;
    if (refused === undefined) {
      this.#goOn(bytes);
      return this.#go();
    }
    onRecord({ operation: this.#isUpload ? 'write' : 'read', path: refused.path, outcome: 'denied' });
    toAgent(scpWarning(refused.line));
    this.close();
    this.#agentEnded = true;
    return this.#settle();
  }

  /** The first of the paths that the agent may not know of, and what it is told instead. */
  async #untold(paths: readonly string[]): Promise<{ path: string; line: string } | undefined> {
    const { judge } = this.#options;
    const verb = this.#isUpload ? 'write' : 'read';
    for (const name of paths) {
      const place = (await this.#placeOf(name)) ?? (await asWritten(name));
      if (place === undefined) return { path: name, line: UNKNOWN.line };
      const { path, written } = place;
      if (mayTellOf(judge, path)) continue;
      const effects = namedOf(judge, [written], [path]).map((named) => fileEffect(verb, named));
      const decision = await decide(judge, { operation: verb, effects }, () => {});
      return { path, line: 'line' in decision ? decision.line : UNKNOWN.line };
    }
    return undefined;
  }

  #readAck(): boolean {
    const read = this.#sink.ack();
    if (!read) return false;
    const { ack, bytes } = read;
    const phase = this.#phase;
    if (phase === 'begin') {
      this.#phase = 'judging';
      this.#beginning = this.#begin(bytes)
        .catch((error: unknown) => this.#end(error))
        .finally(() => (this.#beginning = undefined));
      return false;
    }
    if (phase === 'times' && ack === 'ok') {
      this.#times = undefined;
      this.#toSink(this.#takeEntry().line);
      this.#phase = 'entry';
      return true;
    }
    if (phase === 'entry' && ack === 'ok') this.#taken(bytes);
    else {
      this.#finish(phase === 'file' && ack === 'ok' && this.#isSourceOk ? 'ok' : 'failed');
      if (ack !== 'fatal') this.#goOn(bytes);
      else {
        this.#toSource(bytes);
        this.close();
      }
    }
    return true;
  }

  #takeEntry(): Offer {
    if (!this.#entry) throw new Error('no entry of scp is being judged');
    return this.#entry;
  }

  /** The sink takes the entry. */
  #taken(answer: Buffer): void {
    const { entry, places } = this.#takeEntry();
    if (entry.kind === 'directory') {
      this.#directories.push(places);
      return this.#goOn(answer);
    }
    this.#endTurn();
    this.#toSource(answer);
    this.#left = entry.size;
    this.#phase = entry.size > 0 ? 'data' : 'status';
  }

  #readData(): boolean {
    const data = this.#source.bytes(this.#left);
    if (data.length === 0) return false;
    this.#content?.pass(BigInt(this.#content.bytes), data);
    this.#left -= data.length;
    this.#toSink(data);
    if (this.#left === 0) this.#phase = 'status';
    return true;
  }

  #finish(outcome: string): void {
    this.#times = undefined;
    if (!this.#content) return;
    this.#content.endsAt(BigInt(this.#content.bytes));
    this.#options.onRecord(this.#content.record(outcome));
    this.#content = undefined;
  }
}
