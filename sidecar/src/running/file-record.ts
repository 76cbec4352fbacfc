import { createHash, type Hash } from 'node:crypto';
import type { RecordBody } from '@chaperone/evidence';

/** Who is at an end of a channel through which files go. */
export type Side = 'agent' | 'host';

/** What was done to a file or directory, at its end. */
export interface FileRecord {
  /** read, write, list, delete, mkdir, rename, symlink, link, attributes, copy */
  readonly operation: string;
  /** As the server resolved it; as the agent wrote it where the server did not. */
  readonly path: string;
  /** Of rename and copy: where to. Of symlink and link: what the link at `path` leads to. */
  readonly to?: string;
  /** Content that went through. */
  readonly bytes?: number;
  /** SHA-256 in hex of the whole content; absent where not all of it went through, in order. */
  readonly digest?: string;
  /** `ok`, `denied`, `cut off` where the session ended first, or why it failed. */
  readonly outcome: string;
  /** Names the records that hold its content; absent: none was kept. */
  readonly file?: number;
  /** More of its content went through than was kept. */
  readonly truncated?: boolean;
}

/** Keeps what goes through of one file. */
export interface KeptFile {
  readonly file: number;
  /** `data` is a view: who keeps it copies it. */
  keep(offset: bigint, data: Buffer): void;
  /** No more comes. */
  end(): void;
}

/** Keeps the first `bytes` of what goes through of each file. */
export interface FileCapture {
  readonly bytes: number;
  readonly begin: () => KeptFile;
}

/** The content of one file in one direction, as it goes through. */
export class Transfer {
  readonly #operation: 'read' | 'write';
  readonly #path: string;
  readonly #capture: FileCapture | undefined;
  #kept: KeptFile | undefined;
  #isCut = false;
  #hash: Hash | undefined;
  #bytes = 0;
  #next = 0n;
  #isInOrder = true;
  #isWhole: boolean;

  /** @param isWhole - nothing can follow what goes through, as in a file that was empty at first */
  constructor(operation: 'read' | 'write', path: string, isWhole: boolean, capture?: FileCapture) {
    this.#operation = operation;
    this.#path = path;
    this.#isWhole = isWhole;
    this.#capture = capture;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Its end is not known, and would make its digest complete. */
  get wantsEnd(): boolean {
    return this.#isInOrder && !this.#isWhole;
  }

  pass(offset: bigint, data: Buffer): void {
    this.#keep(offset, data);
    this.#bytes += data.length;
    if (offset !== this.#next) this.spoil();
    if (!this.#isInOrder) return;
    this.#next += BigInt(data.length);
    this.#hash ??= createHash('sha256');
    this.#hash.update(data);
  }

  /** The file ends at `offset`. */
  endsAt(offset: bigint): void {
    if (offset === this.#next) this.#isWhole = true;
  }

  /** The file was cut or grown to `size`. */
  resized(size: bigint): void {
    if (size === this.#next) this.#isWhole = true;
    else this.spoil();
  }

  /** What went through is not the file's content. */
  spoil(): void {
    this.#isInOrder = false;
    this.#hash = undefined;
  }

  record(outcome: string): FileRecord {
    this.#kept?.end();
    const digest = this.#isInOrder && this.#isWhole && outcome === 'ok' ? this.#digest() : undefined;
    return {
      operation: this.#operation,
      path: this.#path,
      bytes: this.#bytes,
      ...(digest !== undefined && { digest }),
      outcome,
      ...(this.#kept !== undefined && { file: this.#kept.file }),
      ...(this.#isCut && { truncated: true }),
    };
  }

  #digest(): string {
    return (this.#hash ?? createHash('sha256')).digest('hex');
  }

  #keep(offset: bigint, data: Buffer): void {
    if (this.#capture === undefined || data.length === 0) return;
    const room = this.#capture.bytes - this.#bytes;
    if (room < data.length) this.#isCut = true;
    if (room <= 0) return;
    this.#kept ??= this.#capture.begin();
    this.#kept.keep(offset, data.subarray(0, room));
  }
}

/** @param shown - how evidence sees a path */
export function fileRecord(
  action: number,
  { operation, bytes = 0, path, to, ...record }: FileRecord,
  shown: (text: string) => string,
): RecordBody {
  const paths = { path: shown(path), ...(to !== undefined && { to: shown(to) }) };
  return {
    type: 'file',
    action,
    operation: operation as Extract<RecordBody, { type: 'file' }>['operation'],
    bytes,
    ...paths,
    ...record,
  };
}
