import {
  type DataKey,
  EvidenceError,
  type EvidenceLedger,
  type Finding,
  type HeldAnswer,
  type OpenedSegment,
  openSegment,
  parseSegment,
  type RecordPage,
  type SearchList,
  SESSION_ID,
  type SessionDetail,
  type SessionFacets,
  type SessionList,
  type SessionRecord,
  type SessionSummary,
} from '@chaperone/evidence';
import { MAX_MATCHES } from './evidence-index/commands.ts';
import type { EvidenceIndex, ListPlace, SessionFilter } from './evidence-index/evidence-index.ts';
import type { SegmentRow, SessionRow } from './evidence-index/schema.ts';
import type { KeyName, SessionKeys } from './keys/session-keys.ts';
import { type Objects, sha256 } from './objects/index.ts';
import type { Orders } from './orders/orders.ts';
import type { Readings } from './readings/readings.ts';

/** A page of records ends after this many bytes of segments, however many records were asked for. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
/** Most of what is read for an outline is not sent. */
const MAX_OUTLINE_BYTES = 4 * 1024 * 1024;
/** A page of a stream ends after records of this many bytes, unpacked: a player holds some of them. */
const MAX_STREAM_BYTES = 1024 * 1024;
/** What a list shows of a command; `bytes` says how long it is. */
const MAX_OUTLINE_TEXT = 500;
const MAX_MISSING_LISTED = 100;
/** Readings of one session that are told. */
const MAX_READS_LISTED = 20;

export interface SessionsOptions {
  readonly index: EvidenceIndex;
  readonly objects: Objects;
  readonly keys: SessionKeys;
  readonly orders: Pick<Orders, 'of' | 'newest'>;
  readonly readings: Pick<Readings, 'of' | 'newest'>;
}

/** Answers questions about stored sessions; who may ask is decided before. */
export class Sessions {
  readonly #index: EvidenceIndex;
  readonly #objects: Objects;
  readonly #keys: SessionKeys;
  readonly #orders: Pick<Orders, 'of' | 'newest'>;
  readonly #readings: Pick<Readings, 'of' | 'newest'>;

  constructor({ index, objects, keys, orders, readings }: SessionsOptions) {
    this.#orders = orders;
    this.#readings = readings;
    this.#index = index;
    this.#objects = objects;
    this.#keys = keys;
  }

  /** What is stored of sessions, by their whole names. */
  async held(names: readonly string[]): Promise<HeldAnswer> {
    const sessions: HeldAnswer['sessions'] = {};
    for (const name of names) {
      const row = await this.#index.session(name);
      if (row !== undefined) sessions[name] = { segments: row.high_water + 1, ended: row.closed + row.torn > 0 };
    }
    return { sessions };
  }

  async list(filter: SessionFilter, { limit, after }: { limit: number; after?: ListPlace }): Promise<SessionList> {
    const rows = await this.#index.list(filter, { limit: limit + 1, ...(after === undefined ? {} : { after }) });
    const shown = rows.slice(0, limit);
    const truncated = rows.length > shown.length;
    const marks = await this.#marks(shown);
    const last = shown.at(-1);
    return {
      items: shown.map((row) => summary(row, marks)),
      truncated,
      // Whoever reads on knows the total already.
      ...(after === undefined ? { total: truncated ? await this.#index.count(filter) : shown.length } : {}),
      ...(truncated && last !== undefined ? { next: `${last.started_at},${last.session}` } : {}),
    };
  }

  /** Sessions with a command that has every word, each with the newest such command. `words` is what parseSearch gave. */
  async search(
    filter: SessionFilter,
    words: readonly string[],
    { limit, after }: { limit: number; after?: ListPlace },
  ): Promise<SearchList> {
    const { rows, found, matched } = await this.#index.search(filter, words, {
      limit: limit + 1,
      ...(after === undefined ? {} : { after }),
    });
    const shown = rows.slice(0, limit);
    const marks = await this.#marks(shown);
    const last = shown.at(-1);
    const truncated = rows.length > shown.length;
    return {
      items: shown.flatMap((row) => {
        const { hits = 0, ...hit } = found.get(row.session) ?? {};
        return 'seq' in hit ? [{ ...summary(row, marks), hit, hits }] : [];
      }),
      truncated,
      partial: matched >= MAX_MATCHES,
      ...(truncated && last !== undefined ? { next: `${last.started_at},${last.session}` } : {}),
    };
  }

  /**
   * Orders, readings and gaps of these namespaces, the newest first, at most `limit` of each. Who read several sessions at once is told to
   * who may see them `all`.
   */
  async ledger(namespaces: readonly string[], all: boolean, limit: number): Promise<Omit<EvidenceLedger, 'checkpoint'>> {
    const [orders, gaps, reads] = await Promise.all([
      this.#orders.newest(namespaces, limit + 1),
      this.#index.gaps(namespaces, limit + 1),
      this.#readings.newest(namespaces, all, limit + 1),
    ]);
    const marks = await this.#marks(gaps);
    return {
      orders: orders.slice(0, limit),
      reads: reads.slice(0, limit),
      gaps: gaps.slice(0, limit).map((row) => summary(row, marks)),
      truncated: orders.length > limit || gaps.length > limit || reads.length > limit,
    };
  }

  facets(namespaces: readonly string[]): Promise<SessionFacets> {
    return this.#index.facets(namespaces);
  }

  async detail(row: SessionRow): Promise<SessionDetail> {
    const numbers = new Set(row.high_water === row.last_number ? [] : await this.#index.numbers(row.session));
    const missing: number[] = [];
    for (let at = row.high_water + 1; at < row.last_number && missing.length < MAX_MISSING_LISTED; at++)
      if (!numbers.has(at)) missing.push(at);
    const findings: Finding[] = (await this.#index.findings(row.session)).map(({ code, message, number, digest, at }) => ({
      code,
      message,
      number,
      digest,
      at,
    }));
    return {
      ...summary(row, await this.#marks([row])),
      segments: row.segments,
      records: row.records,
      bytes: row.bytes,
      highWater: row.high_water,
      missing,
      findings,
      orders: await this.#orders.of(row.session),
      reads: await this.#readings.of(row.session, MAX_READS_LISTED),
      logged: await this.#index.leaves.upTo(row.session, row.last_number),
    };
  }

  async #marks(rows: readonly SessionRow[]): Promise<Marks> {
    const sessions = rows.map(({ session }) => session);
    const [altered, standing] = await Promise.all([this.#index.altered(sessions), this.#index.leaves.standing(sessions)]);
    return { altered, ...standing };
  }

  /**
   * Records from number `from` on. Stops before a missing segment, so that nobody takes two records for neighbours that are
   * not; the page there says what is missing. Throws EvidenceError where stored bytes are not what was received.
   */
  records(session: string, from: number, limit: number): Promise<RecordPage> {
    return this.#page(session, { from, limit, maxBytes: MAX_PAGE_BYTES }, (record) => record);
  }

  /** The same without results, and of each command its beginning: what a list and a timeline of the session need. */
  outline(session: string, from: number, limit: number): Promise<RecordPage> {
    return this.#page(session, { from, limit, maxBytes: MAX_OUTLINE_BYTES }, outlineOf);
  }

  /**
   * What one action's program showed and was told, with the sizes of its terminal and, as the last of all, its end. A page may hold none
   * where other actions ran meanwhile.
   */
  async stream(session: string, action: number, from: number): Promise<RecordPage> {
    const bounds = { from, limit: Number.POSITIVE_INFINITY, maxBytes: MAX_PAGE_BYTES, maxPlain: MAX_STREAM_BYTES };
    const { next, ...page } = await this.#page(session, bounds, (record) => (isOfStream(record, action) ? record : undefined));
    const ended = page.items.at(-1)?.type === 'done';
    return { ...page, ...(next === undefined || ended ? {} : { next }) };
  }

  async #page(
    session: string,
    { from, limit, maxBytes, maxPlain = Number.POSITIVE_INFINITY }: Bounds,
    shown: (record: SessionRecord) => SessionRecord | undefined,
  ): Promise<RecordPage> {
    const items: SessionRecord[] = [];
    let [bytes, plain] = [0, 0];
    let next = from;
    for (;;) {
      const [row] = await this.#index.segments(session, { fromSeq: next, limit: 1 });
      if (row === undefined) return { items, end: next };
      if (row.first_seq > next) {
        const gap = { from: next, to: row.first_seq - 1 };
        return next > from ? { items, next, end: next } : { items, next: row.first_seq, end: row.first_seq, gap };
      }
      if ((bytes > 0 && bytes + row.bytes > maxBytes) || plain >= maxPlain) return { items, next, end: next };
      const { records, header } = await this.#opened(row);
      bytes += row.bytes;
      plain += header.payload.plain;
      for (const record of records.slice(next - row.first_seq)) {
        const item = shown(record);
        if (item !== undefined) items.push(item);
        next++;
        if (items.length === limit) break;
      }
      if (items.length < limit) continue;
      return next > row.last_seq && row.closes === 1 ? { items, end: next } : { items, next, end: next };
    }
  }

  async #opened(row: SegmentRow): Promise<OpenedSegment> {
    const bytes = await this.#verified(row);
    return openSegment(bytes, await this.key(parseSegment(bytes).header));
  }

  /** The data key of a session; throws EvidenceError Erased where it was destroyed, KeyUnusable where it is gone otherwise. */
  async key(of: KeyName): Promise<DataKey> {
    // Also where the key is still there: a crash may have come between the order and what it demands.
    if ((await this.#index.leaves.standing([of.session])).erased.has(of.session))
      throw new EvidenceError('Erased', 'what was recorded was erased; its key is destroyed');
    const key = await this.#keys.of(of);
    if (key === undefined) throw new EvidenceError('KeyUnusable', 'the key of the session is gone, or nobody here can unwrap it');
    return key;
  }

  async #verified(row: SegmentRow): Promise<Buffer> {
    const bytes = await this.#objects.get('seg', row.digest);
    if (bytes === undefined) throw new EvidenceError('SegmentMissing', `the object of segment ${row.number} is missing`);
    if (sha256(bytes) !== row.digest)
      throw new EvidenceError('PayloadAltered', `the object of segment ${row.number} is not what was received`);
    return bytes;
  }

  /** The sessions that `name`, an id or the beginning of one, can mean: at most eleven. */
  async matching(name: string): Promise<SessionRow[]> {
    if (!SESSION_ID.test(name)) return this.#index.matching(name, 11);
    const row = await this.#index.session(name);
    return row === undefined ? [] : [row];
  }

  namespaces(): Promise<string[]> {
    return this.#index.namespaces();
  }
}

interface Bounds {
  readonly from: number;
  readonly limit: number;
  /** Of segments as they are stored. */
  readonly maxBytes: number;
  /** Of segments as they are unpacked. */
  readonly maxPlain?: number;
}

function isOfStream(record: SessionRecord, action: number): boolean {
  const { type } = record;
  return (type === 'output' || type === 'resize' || type === 'done') && record.action === action;
}

/** What is read with its action alone. */
const OF_ACTIONS: ReadonlySet<SessionRecord['type']> = new Set(['columns', 'rows', 'output', 'resize', 'content']);

function outlineOf(record: SessionRecord): SessionRecord | undefined {
  if (OF_ACTIONS.has(record.type)) return undefined;
  if (record.type === 'done') {
    const { result: _rows, ...rest } = record;
    return rest;
  }
  if (record.type !== 'action') return record;
  const { parameters: _values, text, ...rest } = record;
  return text === undefined ? rest : { ...rest, text: text.slice(0, MAX_OUTLINE_TEXT).replace(/[\ud800-\udbff]$/, '') };
}

/** Of the sessions of a page, those of which something else than their row says so. */
interface Marks {
  readonly altered: ReadonlySet<string>;
  readonly erased: ReadonlySet<string>;
  readonly held: ReadonlySet<string>;
}

function summary(row: SessionRow, { altered, erased, held }: Marks): SessionSummary {
  const ended = row.closed === 1;
  return {
    name: row.session,
    agent: {
      namespace: row.namespace,
      serviceAccount: row.service_account,
      ...(row.pod === null ? {} : { pod: row.pod }),
      ...(row.pod_uid === null ? {} : { podUid: row.pod_uid }),
    },
    ...(row.resource_namespace === null || row.resource_name === null || row.protocol === null
      ? {}
      : { resource: { namespace: row.resource_namespace, name: row.resource_name, protocol: row.protocol } }),
    ...(row.purpose === null ? {} : { purpose: row.purpose }),
    ...(row.mode === 'Enforce' || row.mode === 'Audit' ? { mode: row.mode } : {}),
    ...(row.caller_issuer === null || row.caller_user === null
      ? {}
      : { onBehalfOf: { issuer: row.caller_issuer, user: row.caller_user } }),
    actions: row.actions,
    denied: row.denied,
    // While a segment is missing an end may be here without its beginning.
    held: Math.max(0, row.held),
    masked: row.masked,
    state: stateOf(row),
    evidence: evidenceOf(row, altered.has(row.session)),
    erased: erased.has(row.session),
    onHold: held.has(row.session),
    startedAt: row.started_at,
    ...(ended || row.torn === 1 ? { endedAt: row.last_at } : {}),
  };
}

function stateOf(row: SessionRow): SessionSummary['state'] {
  if (row.closed === 1) return 'ended';
  return row.torn === 1 ? 'interrupted' : 'open';
}

function evidenceOf(row: SessionRow, altered: boolean): SessionSummary['evidence'] {
  if (altered) return 'altered';
  return row.high_water < row.last_number || row.dropped > 0 ? 'incomplete' : 'received';
}
