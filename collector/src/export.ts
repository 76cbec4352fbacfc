import {
  type CounterStatement,
  EvidenceError,
  MAX_CHUNK,
  MAX_RANGE,
  MAX_READINGS,
  MAX_SEGMENT_BYTES,
  type Member,
  members,
  type Span,
  type TreeHead,
  type Trust,
} from '@chaperone/evidence';
import { type CounterSource, settledCounters, type Wanted } from './counters/source.ts';
import type { EvidenceIndex } from './evidence-index/evidence-index.ts';
import type { SessionRow } from './evidence-index/schema.ts';
import type { SessionKeys } from './keys/session-keys.ts';
import type { Published } from './log/receipts.ts';
import type { TransparencyLog } from './log/transparency-log.ts';
import type { Objects } from './objects/index.ts';
import { NothingToExport } from './nothing-to-export.ts';
import type { Orders } from './orders/orders.ts';
import type { ReadRow } from './evidence-index/leaves.ts';
import type { Readings } from './readings/readings.ts';

/** Rows that are read at once. */
const PAGE = 100;
/** Readings of one session that its file has, the newest: each comes with a proof. */
const MAX_OF_SESSION = 64;

export interface ExporterOptions {
  readonly index: EvidenceIndex;
  readonly objects: Objects;
  readonly keys: Pick<SessionKeys, 'of' | 'wrapped'>;
  readonly orders: Pick<Orders, 'erasureOf'>;
  readonly readings: Pick<Readings, 'textOf'>;
  readonly log: () => Promise<TransparencyLog>;
  /** The newest checkpoint that may be shown; undefined while it waits for witnesses. */
  readonly published: (log: TransparencyLog) => Published | undefined;
  readonly trust: Trust;
  readonly counters: CounterSource;
  /** Readings of one period. Default: as many as a file may name. */
  readonly maxReadings?: number | undefined;
  readonly now: () => number;
}

export interface ExportRequest {
  /** Size of the checkpoint that whoever asks has kept. */
  readonly since?: number | undefined;
  /** Data keys as they were wrapped, in place of the keys themselves: their recipients alone read the file. */
  readonly wrapped?: boolean | undefined;
}

/** Which sessions may leave, and of which the data keys with them. */
export interface Allowed {
  readonly session: (row: SessionRow) => boolean;
  readonly key: (row: SessionRow) => boolean;
  /** Who read several sessions at once, which names none. */
  readonly several: boolean;
  /** What pods of a namespace counted. */
  readonly counters: (namespace: string) => boolean;
}

/** The log as it is at one moment, whatever is appended meanwhile: what came behind `head` is for the next file. */
interface Moment {
  readonly log: TransparencyLog;
  readonly head: TreeHead;
  readonly note: Buffer;
}

/** Writes evidence files, member by member; what it holds does not grow with them. */
export class Exporter {
  readonly #options: ExporterOptions;

  constructor(options: ExporterOptions) {
    this.#options = options;
  }

  /**
   * All that is stored of one session, each segment with its proof. Rejects with NothingToExport before the first member.
   * @param isReadable - whether its data key is in the file
   */
  async session(row: SessionRow, { since, wrapped = false }: ExportRequest, isReadable: boolean): Promise<AsyncIterable<Member>> {
    // Asked for before the log: what arrived meanwhile is in it.
    const counted = await this.#counted({
      namespace: (namespace) => namespace === row.namespace,
      counter: ({ pending, last }) => last?.session === row.session || pending.some(([session]) => session === row.session),
    });
    const moment = await this.#moment();
    const head = await this.#head(moment, since);
    const session = this.#session(row, moment, formOf(wrapped, isReadable));
    return joined([head, told(counted), this.#readingsOf(row, moment), session]);
  }

  /**
   * All entries of the log from the first to the last that came in this time, and of each session that one of these is of, all segments,
   * where `allowed` says so. Rejects with NothingToExport, and with EvidenceError
   * TreeAltered where the log has lost entries, before the first member.
   */
  async period(
    time: { readonly from: number; readonly to: number },
    { since, wrapped = false }: ExportRequest,
    allowed: Allowed,
  ): Promise<AsyncIterable<Member>> {
    const counted = await this.#counted({
      namespace: allowed.counters,
      counter: ({ pending, more }, receivedAt) => receivedAt >= time.from && pending.length + more > 0,
    });
    const moment = await this.#moment();
    const stored = await this.#options.index.leaves.span(time);
    if (stored === undefined) throw new NothingToExport('NotFound', 'nothing was stored in this time');
    if (stored.to > moment.log.head.size) throw new EvidenceError('TreeAltered', 'the log is shorter than it was');
    const span = { from: stored.from, to: Math.min(stored.to, moment.head.size) };
    if (span.to <= span.from) throw new NothingToExport('NotFound', 'what was stored in this time waits for the log’s witnesses');
    if (span.to - span.from > MAX_RANGE)
      throw new NothingToExport('BadRequest', `the time has more than ${MAX_RANGE} entries of the log; ask for less of it`);
    // A file that named some alone would hide whoever made others read until it was full.
    const { index, maxReadings = MAX_READINGS } = this.#options;
    if ((await index.leaves.readsIn(span, maxReadings + 1)).length > maxReadings)
      throw new NothingToExport('BadRequest', `evidence was read more than ${maxReadings} times in the time; ask for less of it`);
    const named = new Set(counted.flatMap(({ counter }) => counter.pending.map(([session]) => session)));
    const form = (row: SessionRow): KeyForm => formOf(wrapped, allowed.key(row));
    const sessions = this.#sessions(span, moment, { session: allowed.session, form }, named);
    const head = await this.#head(moment, since);
    return joined([head, this.#range(span, moment), told(counted), this.#readings(span, moment, allowed), sessions]);
  }

  #counted(wanted: Wanted): ReturnType<typeof settledCounters> {
    const { counters, trust, now } = this.#options;
    return settledCounters(counters, wanted, { trust, now: now() });
  }

  async #moment(): Promise<Moment> {
    const log = await this.#options.log();
    // Without its witnesses a file is not witnessed, which is better than none.
    return { log, ...(this.#options.published(log) ?? { head: log.head, note: log.checkpoint }) };
  }

  async #head({ log, head, note }: Moment, since: number | undefined): Promise<Member[]> {
    if (since !== undefined && since > head.size)
      throw new NothingToExport('BadRequest', `the checkpoint is of ${since} entries, and the log has ${head.size}`);
    return [
      members.head(this.#options.trust.origin),
      members.checkpoint(note),
      ...(since === undefined ? [] : [members.consistency({ older: since, path: await log.consistency(since, head) })]),
    ];
  }

  async *#range(span: Span, { log, head }: Moment): AsyncGenerator<Member> {
    yield members.range(await log.range(span, head));
    let chunk: Buffer[] = [];
    let first = span.from;
    for await (const { index, entry } of log.entries(span.from)) {
      if (index >= span.to) break;
      chunk.push(entry);
      if (chunk.length < MAX_CHUNK) continue;
      yield members.entries(first, chunk);
      [chunk, first] = [[], index + 1];
    }
    if (chunk.length > 0) yield members.entries(first, chunk);
  }

  async *#readingsOf({ session }: SessionRow, moment: Moment): AsyncGenerator<Member> {
    const rows = await this.#options.index.leaves.readsOf(session, 0, MAX_OF_SESSION);
    for (const { leaf, digest } of rows.toReversed()) {
      if (leaf >= moment.head.size) continue;
      yield await this.#proof(leaf, moment);
      const text = (await this.#options.readings.textOf(digest)) ?? Buffer.alloc(0);
      yield members.reading(leaf, await entryOf(moment.log, leaf), text);
    }
  }

  /** Of the range, which has the entries of all, those of which it may be said and is known who it was. */
  async *#readings(span: Span, moment: Moment, allowed: Allowed): AsyncGenerator<Member> {
    for (let { from } = span; ; ) {
      const rows = await this.#options.index.leaves.readsIn({ from, to: span.to }, PAGE);
      for (const row of rows) {
        from = row.leaf + 1;
        const text = (await this.#mayTell(row, allowed)) ? await this.#options.readings.textOf(row.digest) : undefined;
        if (text !== undefined) yield members.reading(row.leaf, await entryOf(moment.log, row.leaf), text);
      }
      if (rows.length < PAGE) return;
    }
  }

  async #mayTell({ session }: ReadRow, allowed: Allowed): Promise<boolean> {
    if (session === null) return allowed.several;
    const row = await this.#options.index.session(session);
    return row !== undefined && allowed.session(row);
  }

  /** Those of the range, then those that pods named, wherever they are. */
  async *#sessions(
    span: Span,
    moment: Moment,
    allowed: Pick<Allowed, 'session'> & { readonly form: (row: SessionRow) => KeyForm },
    named: Set<string>,
  ): AsyncGenerator<Member> {
    const { index } = this.#options;
    for (let after = ''; ; ) {
      const names = await index.leaves.sessions(span, after, PAGE);
      for (const name of names) {
        named.delete(name);
        const row = await index.session(name);
        if (row !== undefined && allowed.session(row)) yield* this.#session(row, moment, allowed.form(row), span);
      }
      if (names.length < PAGE) break;
      after = names.at(-1) ?? '';
    }
    for (const name of named) {
      const row = await index.session(name);
      if (row !== undefined && allowed.session(row)) yield* this.#session(row, moment, allowed.form(row), span);
    }
  }

  /** What is proven by the range that is `proven` has no proof of its own. */
  async *#session(row: SessionRow, moment: Moment, form: KeyForm, proven?: Span): AsyncGenerator<Member> {
    const { keys, orders } = this.#options;
    const { session } = row;
    const erasure = await orders.erasureOf(session);
    if (erasure !== undefined && erasure.entry < moment.head.size) {
      if (!isWithin(proven, erasure.entry)) yield await this.#proof(erasure.entry, moment);
      yield members.erasure(session, await entryOf(moment.log, erasure.entry));
      if (erasure.text !== undefined) yield members.order(session, erasure.text);
    }
    // Of a session that was erased there may be a key all the same, for as long as a crash has left it.
    const name = { session, key: { id: row.key_id } };
    const key = form === 'plain' && erasure === undefined ? await keys.of(name) : undefined;
    if (key !== undefined) yield members.key(key);
    const wrapped = form === 'wrapped' && erasure === undefined ? await keys.wrapped(name) : undefined;
    if (wrapped !== undefined) yield members.wrapped(wrapped);
    yield* this.#segments(session, moment, proven);
  }

  async #proof(index: number, { log, head, note }: Moment): Promise<Member> {
    return members.proof({ index, path: await log.inclusion(index, head), checkpoint: note });
  }

  async *#segments(session: string, moment: Moment, proven?: Span): AsyncGenerator<Member> {
    const { index, objects } = this.#options;
    for (let from = 0; ; ) {
      const rows = await index.segmentsFrom(session, from, PAGE);
      for (const { number, digest } of rows) {
        from = number + 1;
        const leaf = await index.leaves.of(session, number);
        const isLater = leaf !== undefined && leaf >= moment.head.size && leaf < moment.log.head.size;
        if (isLater) continue;
        // What is gone or damaged is for the verifier to say: of a segment that is known of and gone there are no bytes.
        const bytes = (await objects.get('seg', digest)) ?? Buffer.alloc(0);
        if (leaf !== undefined && leaf < moment.head.size && !isWithin(proven, leaf)) yield await this.#proof(leaf, moment);
        // No segment is longer: what is too long for a file is altered all the same without its end.
        yield members.segment(session, number, bytes.subarray(0, MAX_SEGMENT_BYTES));
      }
      if (rows.length < PAGE) return;
    }
  }
}

/** As what a data key leaves. */
type KeyForm = 'none' | 'plain' | 'wrapped';

/** A wrapped key is for who may export: whether they read it their own key says. */
function formOf(wrapped: boolean, isReadable: boolean): KeyForm {
  if (wrapped) return 'wrapped';
  return isReadable ? 'plain' : 'none';
}

function told(counted: readonly { readonly statement: CounterStatement }[]): Member[] {
  return counted.map(({ statement }, index) => members.counter(index, statement));
}

function isWithin(span: Span | undefined, index: number): boolean {
  return span !== undefined && index >= span.from && index < span.to;
}

/** Throws EvidenceError TreeAltered where the log has not got it. */
async function entryOf(log: TransparencyLog, index: number): Promise<Buffer> {
  for await (const { entry } of log.entries(index)) return entry;
  throw new EvidenceError('TreeAltered', 'the log is shorter than it was');
}

async function* joined(parts: readonly (Iterable<Member> | AsyncIterable<Member>)[]): AsyncGenerator<Member> {
  for (const part of parts) yield* part;
}
