import {
  decodeParcel,
  EvidenceError,
  readSegment,
  type SegmentContent,
  type Trust,
  type VerifiedSegment,
  verifySegment,
  type WrappedKey,
} from '@chaperone/evidence';
import type { Conflict, EvidenceIndex } from './evidence-index/evidence-index.ts';
import type { SessionKeys } from './keys/session-keys.ts';
import type { Sequencer } from './log/sequencer.ts';
import type { Objects } from './objects/index.ts';
import { Turns } from './turns.ts';

export interface Logger {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** Who the transport says a segment came from, where it knows. */
export interface Sender {
  readonly nkey: string;
  readonly session: string;
}

/**
 * stored: new and durable · duplicate: it was there · refused: not evidence that can be kept under its name (`code` says why).
 * `entry` is the segment's number in the log.
 */
export type IngestOutcome =
  | {
      readonly kind: 'stored' | 'duplicate';
      readonly session: string;
      readonly number: number;
      readonly nkey: string;
      readonly entry: number;
    }
  | { readonly kind: 'refused'; readonly code: string };

type Taken =
  | { readonly kind: 'stored' | 'duplicate'; readonly segment: VerifiedSegment }
  | Extract<IngestOutcome, { kind: 'refused' }>;

/** More contradictions of one session than this are refused without keeping them: nobody fills the disk that way. */
const MAX_CONFLICTS_KEPT = 16;
/** Sessions of which a segment is taken in at once; each is open in memory then, with some megabytes at most. */
const MAX_AT_ONCE = 16;

export interface IngestOptions {
  readonly objects: Objects;
  readonly keys: SessionKeys;
  readonly index: EvidenceIndex;
  readonly trust: Trust;
  readonly logger: Logger;
}

/**
 * Takes segments in, those of one session one after another: nothing that one session's may contradict is another's. Rejects only where our
 * own store, log or index fails; then nothing was promised.
 */
export class Ingest {
  readonly #options: IngestOptions & { readonly sequencer: Sequencer };
  readonly #turns = new Turns(MAX_AT_ONCE);

  constructor(options: IngestOptions & { readonly sequencer: Sequencer }) {
    this.#options = options;
  }

  /** What is stored or known is in the log when this resolves. */
  async ingest(parcel: Buffer, sender?: Sender): Promise<IngestOutcome> {
    const taken = await this.#take(parcel, sender);
    if (taken.kind === 'refused') return taken;
    const { segment, kind } = taken;
    const { session, number } = segment.header;
    const entry = await this.#options.sequencer.add(segment);
    return { kind, session, number, nkey: segment.signer.nkey, entry };
  }

  /** Does something to objects or index while nothing is taken in. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.alone(work);
  }

  async #take(parcel: Buffer, sender: Sender | undefined): Promise<Taken> {
    try {
      const { key, segment } = decodeParcel(parcel);
      return await this.#turns.of(key.session, () => this.#ingest(key, segment, sender));
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.#options.logger.warn('a segment was refused', { code: error.code, bytes: parcel.length });
      return { kind: 'refused', code: error.code };
    }
  }

  /** Rejects with EvidenceError too. */
  async #ingest(wrapped: WrappedKey, bytes: Buffer, sender: Sender | undefined): Promise<Taken> {
    const { index, objects, logger, trust } = this.#options;
    const segment = verifySegment(bytes, trust);
    const { session, number } = segment.header;
    const { nkey } = segment.signer;
    // In whose turn this is.
    if (wrapped.session !== session)
      throw new EvidenceError('KeyUnusable', 'the key that came with the segment is of another one');
    const { content, keepKey } = await this.#read(segment, wrapped);
    if (sender !== undefined && (sender.nkey !== nkey || sender.session !== session))
      return { kind: 'refused', code: 'SubjectMismatch' };
    const known = await index.segment(session, number);
    if (known?.digest === segment.digest) {
      // Bytes that are gone or damaged on disk come back this way while the sender still has them.
      await keepKey();
      await objects.put('seg', segment.digest, bytes);
      return { kind: 'duplicate', segment };
    }
    const conflict = await index.conflict(segment);
    if (conflict !== undefined) {
      logger.error('a segment contradicts stored evidence; both are kept', { session, number, code: conflict.code });
      if ((await index.findings(session)).length < MAX_CONFLICTS_KEPT)
        await this.recordConflict(segment, conflict, await objects.put('conflict', segment.digest, bytes));
      return { kind: 'refused', code: conflict.code };
    }
    await keepKey();
    await index.insert({ ...segment, ...content }, await objects.put('seg', segment.digest, bytes));
    return { kind: 'stored', segment };
  }

  /**
   * Nothing is taken that cannot be read: its receipt would free the only copy that could have been. Of a session that was erased nobody is
   * to read anything, and its key is not kept again.
   */
  async #read(
    segment: VerifiedSegment,
    wrapped: WrappedKey,
  ): Promise<{ content: SegmentContent | undefined; keepKey: () => Promise<void> }> {
    const { keys, index } = this.#options;
    const { session } = segment.header;
    if ((await index.leaves.standing([session])).erased.has(session))
      return { content: undefined, keepKey: () => Promise.resolve() };
    const key = await keys.unwrap(wrapped, segment.header);
    const { records, texts } = readSegment(segment, key);
    return { content: { records, texts }, keepKey: () => keys.keep(wrapped, key) };
  }

  async recordConflict(segment: VerifiedSegment, conflict: Conflict, at: number): Promise<void> {
    const { session, number } = segment.header;
    const { code, message } = conflict;
    await this.#options.index.insertFinding({
      session,
      digest: segment.digest,
      number,
      nkey: segment.signer.nkey,
      code,
      message,
      at,
    });
  }
}
