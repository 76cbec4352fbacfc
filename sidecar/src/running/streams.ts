import { createHash, type Hash } from 'node:crypto';
import type { Detector } from '@chaperone/api';
import { MAX_LINE, outputRecords, type RecordBody, type Stream } from '@chaperone/evidence';
import type { Access } from '@chaperone/policy';
import type { Mask } from '../masking/strategies.ts';
import { joined, maskedText, StreamMask } from '../masking/stream.ts';
import { EnteredLines } from './entered-lines.ts';
import { TypedKeys } from './typed-keys.ts';

type Output = Exclude<Stream, 'stdin'>;

export interface StreamsOptions {
  readonly action: number;
  readonly recording: Access['recording'];
  /** What is looked for in what it prints, and how that is shown; empty: what it prints is passed as it is. */
  readonly masks: ReadonlyMap<Detector, Mask>;
  /** By this one go files: it is passed as it is and counted, and what it holds is recorded elsewhere. Absent: by none. */
  readonly plain?: Output | undefined;
  /** The terminal that it has, as it begins; absent: it has none. */
  readonly terminal?: Size | undefined;
  readonly now: () => number;
  readonly note: (records: readonly RecordBody[]) => void;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/**
 * The streams of one program that runs for an agent: what it prints is masked, and both ways are recorded as far as the policy says.
 * The digest is of all that was delivered, in order, recorded or not; there is none where metadata is all that is kept.
 */
export class Streams {
  readonly #o: StreamsOptions;
  readonly #outputs = new Map<Output, StreamMask>();
  /** What an agent sends reaches the program as it is, and evidence masked. */
  readonly #input: StreamMask;
  /** Where there is a terminal: which lines were entered, as far as its screen tells. */
  readonly #lines: EnteredLines | undefined;
  readonly #keys: TypedKeys | undefined;
  readonly #digest: Hash | undefined;
  readonly #since: number;
  /** Bytes that records may still hold. */
  #left: number;
  #delivered = 0;
  #isCut = false;

  constructor(options: StreamsOptions) {
    this.#o = options;
    this.#since = options.now();
    this.#left = options.recording.content === 'results' ? options.recording.bytes : 0;
    this.#input = new StreamMask(options.masks);
    if (options.recording.content !== 'metadata') this.#digest = createHash('sha256');
    if (options.terminal === undefined) return;
    const { recording, masks, action, note } = options;
    if (recording.keys !== 'typed') this.#keys = new TypedKeys();
    if (recording.content !== 'metadata')
      this.#lines = new EnteredLines((text) =>
        note([{ type: 'line', action, text: maskedText(text, masks).slice(0, MAX_LINE) }]),
      );
    this.resized(options.terminal);
  }

  resized({ columns, rows }: Size): void {
    this.#o.note([{ type: 'resize', action: this.#o.action, columns, rows }]);
  }

  /** Values that were masked in what it printed. */
  get maskedValues(): number {
    return [...this.#outputs.values()].reduce((sum, mask) => sum + mask.masked, 0);
  }

  /** What of a chunk the agent may see by now; the rest follows. */
  output(stream: Output, chunk: Buffer): Buffer {
    return joined(this.outputParts(stream, chunk));
  }

  /** The same in parts, so that they are not copied. */
  outputParts(stream: Output, chunk: Buffer): readonly Buffer[] {
    return this.#deliver(stream, this.#maskOf(stream).parts(chunk));
  }

  /** Whether some of it is held back. */
  isHeld(stream: Output): boolean {
    return this.#maskOf(stream).held > 0;
  }

  /** A stream has ended, or whoever looks at it waits: what was held back of it. */
  ended(stream: Output): Buffer {
    return joined(this.#deliver(stream, [this.#maskOf(stream).end()]));
  }

  input(chunk: Buffer): void {
    this.#lines?.typed(chunk);
    if (this.#left > 0) this.#record('stdin', this.#input.push(this.#keys?.hidden(chunk) ?? chunk));
  }

  /** The record of its end, with how it ended: `exit 0`, `signal TERM`, or an error. */
  done(end: { readonly tag: string } | { readonly error: { readonly code: string; readonly message: string } }): RecordBody {
    this.#record('stdin', this.#input.end());
    return {
      type: 'done',
      action: this.#o.action,
      ...end,
      rows: 0,
      bytes: this.#delivered,
      ...(this.#digest !== undefined && { digest: this.#digest.digest('hex') }),
      truncated: this.#isCut,
      maskedValues: this.maskedValues,
      durationMs: this.#o.now() - this.#since,
    };
  }

  #maskOf(stream: Output): StreamMask {
    const known = this.#outputs.get(stream);
    if (known !== undefined) return known;
    const mask = new StreamMask(stream === this.#o.plain ? new Map() : this.#o.masks);
    this.#outputs.set(stream, mask);
    return mask;
  }

  #deliver(stream: Output, parts: readonly Buffer[]): readonly Buffer[] {
    for (const part of parts) {
      this.#delivered += part.length;
      this.#digest?.update(part);
      if (stream === 'terminal') this.#lines?.shown(part);
    }
    const isRecorded = stream !== this.#o.plain && this.#left > 0 && this.#record(stream, joined(parts));
    if (!isRecorded && parts.some(({ length }) => length > 0)) this.#isCut = true;
    return parts;
  }

  /** Whether all of it was recorded. */
  #record(stream: Stream, bytes: Buffer): boolean {
    const kept = bytes.subarray(0, this.#left);
    this.#left -= kept.length;
    if (kept.length > 0) this.#o.note(outputRecords(this.#o.action, stream, kept));
    return kept.length === bytes.length;
  }
}
