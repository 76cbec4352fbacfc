import type { Detector } from '@chaperone/api';
import { contentRecords, type RecordBody } from '@chaperone/evidence';
import type { Mask } from '../masking/strategies.ts';
import { StreamMask } from '../masking/stream.ts';
import type { FileCapture, KeptFile } from './file-record.ts';

export interface KeptFilesOptions {
  readonly action: number;
  /** Of each file, at most. */
  readonly bytes: number;
  /** What is looked for: an agent gets a file as it is, and evidence masked. */
  readonly masks: ReadonlyMap<Detector, Mask>;
  readonly note: (records: readonly RecordBody[]) => void;
}

/** Records the content of the files of one action. */
export class KeptFiles implements FileCapture {
  readonly #o: KeptFilesOptions;
  #count = 0;

  constructor(options: KeptFilesOptions) {
    this.#o = options;
  }

  get bytes(): number {
    return this.#o.bytes;
  }

  readonly begin = (): KeptFile => new Kept(this.#o, this.#count++);
}

class Kept implements KeptFile {
  readonly file: number;
  readonly #o: KeptFilesOptions;
  #mask: StreamMask;
  /** Where what is not recorded yet begins, and where what follows would. */
  #from = 0;
  #next = 0;

  constructor(options: KeptFilesOptions, file: number) {
    this.#o = options;
    this.file = file;
    this.#mask = new StreamMask(options.masks);
  }

  keep(offset: bigint, data: Buffer): void {
    const at = Number(offset);
    // No file is that long, and no record can say it.
    if (!Number.isSafeInteger(at + data.length)) return;
    if (at !== this.#next) {
      this.end();
      this.#from = at;
    }
    this.#next = at + data.length;
    const shown = this.#mask.push(data);
    this.#record(shown, this.#next - this.#mask.held);
  }

  end(): void {
    this.#record(this.#mask.end(), this.#next);
    this.#mask = new StreamMask(this.#o.masks);
  }

  #record(shown: Buffer, upTo: number): void {
    const bytes = upTo - this.#from;
    if (bytes === 0 && shown.length === 0) return;
    this.#o.note(contentRecords({ action: this.#o.action, file: this.file, offset: this.#from, bytes }, shown));
    this.#from = upTo;
  }
}
