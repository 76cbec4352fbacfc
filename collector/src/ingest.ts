import { EvidenceError, type Trust, type VerifiedSegment, verifySegment } from '@chaperone/evidence';
import type { Conflict, EvidenceIndex } from './evidence-index/evidence-index.ts';
import type { Sequencer } from './log/sequencer.ts';
import type { Objects } from './objects/index.ts';

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

export interface IngestOptions {
  readonly objects: Objects;
  readonly index: EvidenceIndex;
  readonly trust: Trust;
  readonly logger: Logger;
}

/** Takes segments in, one after another. Rejects only where our own store, log or index fails; then nothing was promised. */
export class Ingest {
  readonly #options: IngestOptions & { readonly sequencer: Sequencer };
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: IngestOptions & { readonly sequencer: Sequencer }) {
    this.#options = options;
  }

  /** What is stored or known is in the log when this resolves. */
  async ingest(bytes: Buffer, sender?: Sender): Promise<IngestOutcome> {
    const taken = await this.alone(() => this.#ingest(bytes, sender));
    if (taken.kind === 'refused') return taken;
    const { segment, kind } = taken;
    const { session, number } = segment.header;
    const entry = await this.#options.sequencer.add(segment);
    return { kind, session, number, nkey: segment.signer.nkey, entry };
  }

  /** Does something to objects or index while nothing is taken in. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work);
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #ingest(bytes: Buffer, sender: Sender | undefined): Promise<Taken> {
    const { index, objects, logger } = this.#options;
    const segment = this.#verify(bytes);
    if (typeof segment === 'string') return { kind: 'refused', code: segment };
    const { session, number } = segment.header;
    const { nkey } = segment.signer;
    if (sender !== undefined && (sender.nkey !== nkey || sender.session !== session))
      return { kind: 'refused', code: 'SubjectMismatch' };
    const known = await index.segment(session, number);
    if (known?.digest === segment.digest) {
      // Bytes that are gone or damaged on disk come back this way while the sender still has them.
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
    await index.insert(segment, await objects.put('seg', segment.digest, bytes));
    return { kind: 'stored', segment };
  }

  #verify(bytes: Buffer): VerifiedSegment | string {
    try {
      return verifySegment(bytes, this.#options.trust);
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.#options.logger.warn('a segment was refused', { code: error.code, bytes: bytes.length });
      return error.code;
    }
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
