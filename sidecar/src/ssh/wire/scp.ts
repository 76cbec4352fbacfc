import { isUtf8 } from 'node:buffer';
import { SshError } from './error.ts';

/**
 * What `scp -t` and `scp -f` say to each other, one channel without a length anywhere but before files. The source sends lines, each
 * answered by the sink with {@link Ack}; the sink begins with one:
 *
 *     T1700000000 0 1700000000 0     times of what follows
 *     C0644 12 name                  a file, then its 12 bytes, then an ack of the source's own, then one of the sink
 *     D0755 0 name                   a directory; what follows is in it, until
 *     E
 *     \x01text · \x02text            something went wrong; after \x02 nothing follows
 */
export type ScpLine =
  | { readonly kind: 'times' }
  | { readonly kind: 'file'; readonly name: string; readonly size: number }
  | { readonly kind: 'directory'; readonly name: string }
  | { readonly kind: 'up' }
  | { readonly kind: 'warning' | 'fatal' };

export type ScpAck = 'ok' | 'warning' | 'fatal';

/** Of a line, its end included: a path of Linux, a mode and a size. */
export const MAX_LINE_BYTES = 4_352;

const NEWLINE = 0x0a;
const TIMES = /^T\d{1,19} \d{1,6} \d{1,19} \d{1,6}$/;
const ENTRY = /^([CD])[0-7]{4} (\d{1,16}) (.+)$/s;

/** One direction of the channel, read piece by piece. */
export class ScpStream {
  #held: Buffer = Buffer.alloc(0);

  /** Takes a chunk, which is copied. */
  push(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
  }

  get held(): number {
    return this.#held.length;
  }

  /**
   * The next line with its end; undefined: it is not whole yet.
   * @throws SshError when it is longer than {@link MAX_LINE_BYTES}
   */
  line(): Buffer | undefined {
    const end = this.#held.subarray(0, MAX_LINE_BYTES).indexOf(NEWLINE);
    if (end >= 0) return this.bytes(end + 1);
    if (this.#held.length >= MAX_LINE_BYTES) throw new SshError('a line of scp is too long');
    return undefined;
  }

  /**
   * The next ack: a byte 0, or a line that begins with 1 or 2; undefined: it is not whole yet.
   * @throws SshError for anything else
   */
  ack(): { readonly ack: ScpAck; readonly bytes: Buffer } | undefined {
    const [first] = this.#held;
    if (first === undefined) return undefined;
    if (first === 0) return { ack: 'ok', bytes: this.bytes(1) };
    if (first > 2) throw new SshError('scp answered with what is no answer');
    const bytes = this.line();
    return bytes && { ack: first === 1 ? 'warning' : 'fatal', bytes };
  }

  /** At most `most` bytes of those that have come. */
  bytes(most: number): Buffer {
    const taken = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(taken.length);
    return taken;
  }
}

/**
 * Reads a line of the source, with its end.
 * @throws SshError for any other line, and for a name that leads out of the directory that it is in (CVE-2018-20685, CVE-2019-6111)
 */
export function parseScpLine(bytes: Buffer): ScpLine {
  const [first] = bytes;
  if (first === 1 || first === 2) return { kind: first === 1 ? 'warning' : 'fatal' };
  const line = bytes.subarray(0, -1);
  if (!isUtf8(line)) throw new SshError('a line of scp is no UTF-8');
  const text = line.toString();
  if (text === 'E') return { kind: 'up' };
  if (TIMES.test(text)) return { kind: 'times' };
  return parseEntry(text);
}

function parseEntry(text: string): ScpLine {
  const [, letter, digits = '', name = ''] = ENTRY.exec(text) ?? [];
  if (letter === undefined) throw new SshError('a line of scp that is not known');
  if (name === '.' || name === '..' || name.includes('/') || name.includes('\0'))
    throw new SshError('a name of scp that leads elsewhere');
  const size = Number(digits);
  if (!Number.isSafeInteger(size)) throw new SshError('a size of scp that no file has');
  return letter === 'C' ? { kind: 'file', name, size } : { kind: 'directory', name };
}

/** What a side shows its user and counts as one that failed. `text` is one line without its end. */
export function scpWarning(text: string): Buffer {
  return Buffer.from(`\x01scp: ${text}\n`);
}

export const SCP_OK: Buffer = Buffer.from([0]);
