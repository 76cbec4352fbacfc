import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CheckpointError,
  EvidenceError,
  type HeldCheckpoint,
  readHeldCheckpoint,
  type SegmentPlace,
  type TrustPolicy,
  verifyReceipt,
} from '@chaperone/evidence';
import type { Logger } from './outbox.ts';
import { RecordingError } from './recorder.ts';

const UNKNOWN = {
  code: 'LogKeyUnknown',
  message: 'the key of the evidence log is not known yet: receipts cannot be verified, and no evidence leaves the spool',
} as const;

export interface LogProblem {
  readonly code: string;
  readonly message: string;
}

export interface LogStatus {
  /** Entries of the newest checkpoint that was verified; 0 before the first. */
  readonly size: number;
  /** Receipts that were refused since the start, by the code of the reason. */
  readonly refused: ReadonlyMap<string, number>;
  /** Why evidence is not freed, as far as the log is the reason. */
  readonly problem: LogProblem | undefined;
}

export interface LogViewOptions {
  /** Where the newest checkpoint is kept: it lives as long as the spool's key. */
  readonly runDirectory: string;
  /** Where checkpoints that contradict each other are kept. */
  readonly spoolDirectory: string;
  readonly origin: string;
  /** Which log is believed, and what witnesses must have said; undefined while nobody has told. */
  readonly policy: () => TrustPolicy | undefined;
  readonly logger: Logger;
}

/** The log as this sidecar was shown it: believes receipts, and remembers what the next one has to go on from. */
export class LogView {
  readonly #options: LogViewOptions;
  readonly #refused = new Map<string, number>();
  readonly #contradicted = new Set<string>();
  #held: HeldCheckpoint | undefined;
  #problem: LogProblem | undefined;
  #writing: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;

  private constructor(options: LogViewOptions, held: HeldCheckpoint | undefined) {
    this.#options = options;
    this.#held = held;
  }

  /** Rejects with RecordingError where the checkpoint that is kept cannot be read: it must not be forgotten. */
  static async open(options: LogViewOptions): Promise<LogView> {
    const note = await readIfThere(pathOf(options));
    try {
      return new LogView(options, note === undefined ? undefined : readHeldCheckpoint(note));
    } catch (cause) {
      throw new RecordingError('RecordingFailed', 'the checkpoint of the log that was kept cannot be read', { cause });
    }
  }

  get size(): number {
    return this.#held?.checkpoint.size ?? 0;
  }

  status(): LogStatus {
    const problem = this.#options.policy() === undefined ? UNKNOWN : this.#problem;
    return { size: this.size, refused: this.#refused, problem };
  }

  /** What a receipt proves of the segments that have a leaf here; nothing where it is not believed, which is said. */
  verify(receipt: Uint8Array, leafOf: (place: SegmentPlace) => Buffer | undefined): readonly SegmentPlace[] {
    const policy = this.#options.policy();
    if (policy === undefined) {
      this.#count(UNKNOWN.code);
      return [];
    }
    try {
      const { held, proved, unproved } = verifyReceipt(receipt, {
        origin: this.#options.origin,
        policy,
        held: this.#held,
        leafOf,
      });
      this.#held = held;
      // A log that was forked once stays so.
      if (this.#problem?.code !== 'LogForked') this.#problem = undefined;
      for (const place of unproved) this.#refuse('ProofInvalid', 'a receipt does not prove what was sent', { ...place });
      return proved;
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.#refuse(error.code, error.message);
      if (error instanceof CheckpointError) void this.#keepContradiction(error);
      return [];
    }
  }

  /** Resolves when the next process will go on from the checkpoint that is held now; who asks meanwhile shares the next write. */
  kept(): Promise<void> {
    if (this.#queued === undefined) {
      this.#queued = this.#writing.then(() => {
        this.#queued = undefined;
        return this.#held === undefined ? undefined : replace(pathOf(this.#options), this.#held.note);
      });
      this.#writing = this.#queued.catch(() => undefined);
    }
    return this.#queued;
  }

  #count(code: string): void {
    this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1);
  }

  #refuse(code: string, message: string, place: Record<string, unknown> = {}): void {
    this.#count(code);
    if (this.#problem?.code !== 'LogForked') this.#problem = { code, message: `a receipt was refused: ${message} (${code})` };
    this.#options.logger.error('a receipt is not believed; the spool is kept', { code, reason: message, ...place });
  }

  /** The first of each kind, in the log and in a file: both checkpoints, whose signatures anybody can verify. */
  async #keepContradiction({ code, held, shown }: CheckpointError): Promise<void> {
    if (this.#contradicted.has(code)) return;
    this.#contradicted.add(code);
    const { logger, spoolDirectory } = this.#options;
    const both = { code, held: held.note.toString(), shown: shown.note.toString() };
    const path = join(spoolDirectory, `log.${code}.json`);
    logger.error('two checkpoints of the log are kept as evidence', { ...both, path });
    try {
      // What an earlier process kept stays.
      if ((await readIfThere(path)) === undefined) await replace(path, Buffer.from(`${JSON.stringify(both, null, 2)}\n`));
    } catch (error) {
      logger.error('these checkpoints could not be written to a file', { cause: codeOf(error) });
    }
  }
}

function pathOf({ runDirectory }: LogViewOptions): string {
  return join(runDirectory, 'log.checkpoint');
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function replace(path: string, bytes: Buffer): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(bytes);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
