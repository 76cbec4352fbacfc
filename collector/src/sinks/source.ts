import {
  decodeLeaf,
  EvidenceError,
  type Leaf,
  openReading,
  orUndefined,
  readSegment,
  type SessionRecord,
  type Trust,
  type VerifiedSegment,
  verifySegment,
} from '@chaperone/evidence';
import type { EvidenceIndex } from '../evidence-index/evidence-index.ts';
import type { SessionKeys } from '../keys/session-keys.ts';
import type { TransparencyLog } from '../log/transparency-log.ts';
import type { Objects } from '../objects/index.ts';
import type { Orders } from '../orders/orders.ts';
import type { Readings } from '../readings/readings.ts';
import type { OcsfEvent } from './ocsf/classes.ts';
import { mapEntry, mapErased, mapSegment, mapUnknown, mapUnreadable } from './ocsf/entries.ts';
import type { MapOptions, Opening, Subject } from './ocsf/subject.ts';

type SegmentLeaf = Extract<Leaf, { kind: 'segment' }>;

/** Openings of the sessions that were read last. */
const MAX_OPENINGS = 512;

export interface SourceOptions {
  readonly index: EvidenceIndex;
  readonly objects: Objects;
  readonly keys: SessionKeys;
  readonly orders: Pick<Orders, 'of'>;
  readonly readings: Pick<Readings, 'textOf'>;
  readonly trust: Trust;
}

/** The log as events: what each entry is, read from the objects that it names. Rejects where store or index fail; then nothing is said. */
export class EventSource {
  readonly #o: SourceOptions;
  readonly #openings = new Map<string, Opening>();

  constructor(options: SourceOptions) {
    this.#o = options;
  }

  /** Entries from a number on, in order, each with its events, which may be none. */
  async *entries(
    log: TransparencyLog,
    from: number,
    options: MapOptions,
  ): AsyncGenerator<{ readonly leaf: number; readonly events: readonly OcsfEvent[] }> {
    for await (const { index: leaf, entry } of log.entries(from))
      yield { leaf, events: await this.#events(leaf, entry, options) };
  }

  /** When an entry came, by the collector's clock as far as it knows; undefined where the log has none. */
  async arrivedAt(log: TransparencyLog, leaf: number): Promise<number | undefined> {
    for await (const { index, entry } of log.entries(leaf)) {
      const found = index === leaf ? decode(entry) : undefined;
      if (found === undefined) return undefined;
      if (found.kind !== 'segment') return 'at' in found.statement ? found.statement.at : undefined;
      const { session, number } = found.statement;
      return (await this.#o.index.segment(session, number))?.received_at;
    }
    return undefined;
  }

  async #events(leaf: number, bytes: Buffer, options: MapOptions): Promise<readonly OcsfEvent[]> {
    const entry = decode(bytes);
    if (entry === undefined) return [mapUnknown(leaf, options)];
    if (entry.kind === 'segment') return this.#segment(leaf, entry, options);
    const words = await this.#words(leaf, entry);
    return [mapEntry(leaf, entry, words, options)];
  }

  async #words(leaf: number, entry: Leaf): Promise<{ by?: string | undefined; reason?: string | undefined }> {
    if (entry.kind === 'read') return this.#reader(entry.statement);
    if (entry.kind !== 'erasure' && entry.kind !== 'hold') return {};
    const { session } = entry.statement;
    return (await this.#o.orders.of(session)).find((order) => order.entry === leaf) ?? {};
  }

  /** Who read, where that is still known. */
  async #reader(statement: Extract<Leaf, { kind: 'read' }>['statement']): Promise<{ by?: string }> {
    const text = await this.#o.readings.textOf(statement.order);
    const reading = text === undefined ? undefined : orUndefined(() => openReading(text, statement));
    return reading === undefined ? {} : { by: reading.by };
  }

  async #segment(leaf: number, entry: SegmentLeaf, options: MapOptions): Promise<readonly OcsfEvent[]> {
    const { statement: header } = entry;
    const { session } = header;
    const found = await this.#verified(entry);
    const agent = typeof found === 'string' ? undefined : found.signer.agent;
    const named = { leaf, header, subject: { session, agent } };
    if ((await this.#o.index.leaves.standing([session])).erased.has(session)) {
      this.#openings.delete(session);
      return [mapErased(named, options)];
    }
    if (typeof found === 'string') return [mapUnreadable(named, found, options)];
    const records = await this.#records(found);
    // The key goes first: what was erased between the two looks is erased.
    if (records === 'KeyMissing' && (await this.#o.index.leaves.standing([session])).erased.has(session))
      return [mapErased(named, options)];
    if (typeof records === 'string') return [mapUnreadable(named, records, options)];
    const subject: Subject = { session, agent, open: await this.#opening(session, records) };
    return mapSegment({ leaf, header, subject }, records, options);
  }

  /** The segment that an entry is of, or the code that says why it cannot be read. */
  async #verified({ statement, text, signature }: SegmentLeaf): Promise<VerifiedSegment | string> {
    const { index, objects, trust } = this.#o;
    const row = await index.segment(statement.session, statement.number);
    const bytes = row && (await objects.get('seg', row.digest));
    if (bytes === undefined) return 'SegmentMissing';
    const segment = codeOr(() => verifySegment(bytes, trust));
    if (typeof segment === 'string') return segment;
    const isIt = segment.headerText.equals(text) && segment.signature.equals(signature);
    return isIt ? segment : 'SegmentConflict';
  }

  async #records(segment: VerifiedSegment): Promise<readonly SessionRecord[] | string> {
    const key = await this.#o.keys.of(segment.header);
    return key === undefined ? 'KeyMissing' : codeOr(() => readSegment(segment, key).records);
  }

  /** What the session's first record says, where it is here and can be read. */
  async #opening(session: string, records: readonly SessionRecord[]): Promise<Opening | undefined> {
    const [first] = records;
    const known = first?.type === 'session.open' ? first : this.#openings.get(session);
    const opening = known ?? (await this.#readOpening(session));
    if (opening === undefined) return undefined;
    this.#openings.delete(session);
    if (this.#openings.size >= MAX_OPENINGS) this.#openings.delete(this.#openings.keys().next().value ?? '');
    this.#openings.set(session, opening);
    return opening;
  }

  async #readOpening(session: string): Promise<Opening | undefined> {
    const { index, objects, trust } = this.#o;
    const row = await index.segment(session, 0);
    const bytes = row && (await objects.get('seg', row.digest));
    if (bytes === undefined) return undefined;
    const segment = codeOr(() => verifySegment(bytes, trust));
    const records = typeof segment === 'string' ? segment : await this.#records(segment);
    const [first] = typeof records === 'string' ? [] : records;
    return first?.type === 'session.open' ? first : undefined;
  }
}

/** Undefined of an entry that another version wrote. */
function decode(entry: Buffer): Leaf | undefined {
  try {
    return decodeLeaf(entry);
  } catch (error) {
    if (error instanceof EvidenceError) return undefined;
    throw error;
  }
}

function codeOr<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    if (error instanceof EvidenceError) return error.code;
    throw error;
  }
}
