import { isUtf8 } from 'node:buffer';
import { StreamError } from './error.ts';
import { Pending } from './pending.ts';

/** What a member of an archive is. */
export type MemberKind = 'file' | 'directory' | 'symlink' | 'link';

export interface Member {
  readonly kind: MemberKind;
  /** Each name that a reader could take for its own: the last counts where a reader knows what stands before a header. */
  readonly names: readonly string[];
  /** Likewise, of what a link leads to. */
  readonly targets: readonly string[];
  /** Bytes of content that follow. */
  readonly size: number;
}

export type TarEvent =
  /** `raw` is all that says it. */
  | { readonly kind: 'member'; readonly member: Member; readonly raw: Buffer }
  | { readonly kind: 'data'; readonly data: Buffer }
  /** Content of the member is over; `raw` fills its last block. */
  | { readonly kind: 'over'; readonly raw: Buffer }
  /** Zeros behind the last member. */
  | { readonly kind: 'end'; readonly raw: Buffer };

const BLOCK = 512;
/** Of a name or a set of attributes before a header; paths are no longer than 4 KiB. */
const MAX_EXTRA_BYTES = 16 * 1024;
/** The two kinds that are written today: POSIX's and GNU's (magic and version). */
const USTAR = Buffer.from('ustar\x0000');
const GNU = Buffer.from('ustar  \0');
const KINDS: Readonly<Record<string, MemberKind>> = { '0': 'file', '\0': 'file', '1': 'link', '2': 'symlink', '5': 'directory' };

/** A header before the header of a member. */
interface Extra {
  readonly type: 'x' | 'L' | 'K';
  readonly size: number;
}

/**
 * Reads an archive as tar writes it (POSIX.1-2017, pax, ustar; GNU tar's long names), in any pieces, strictly: what two readers could
 * take for two things is refused. Holds the headers of one member at most.
 */
export class TarReader {
  readonly #pending = new Pending();
  /** All headers of the next member so far. */
  #raw: Buffer[] = [];
  #extra: Extra | undefined;
  #names: string[] = [];
  #targets: string[] = [];
  #left = 0;
  #padding = 0;
  #zeros = 0;

  /** @throws StreamError; nothing must be pushed behind that */
  push(chunk: Buffer): TarEvent[] {
    const events: TarEvent[] = [];
    let bytes = this.#pending.take(chunk);
    if (bytes === undefined) return events;
    while (bytes.length >= this.#need) bytes = this.#next(bytes, events);
    this.#pending.keep(bytes, this.#need);
    return events;
  }

  /** How many bytes there must be to go on. */
  get #need(): number {
    if (this.#left > 0) return 1;
    if (this.#padding > 0) return this.#padding;
    return this.#extra === undefined ? BLOCK : blocks(this.#extra.size);
  }

  /** The bytes behind what was read. */
  #next(bytes: Buffer, events: TarEvent[]): Buffer {
    const size = this.#left > 0 ? Math.min(this.#left, bytes.length) : this.#need;
    const part = bytes.subarray(0, size);
    if (this.#left > 0) {
      this.#left -= size;
      events.push({ kind: 'data', data: Buffer.from(part) });
      if (this.#left === 0 && this.#padding === 0) events.push({ kind: 'over', raw: Buffer.alloc(0) });
    } else if (this.#padding > 0) {
      this.#padding = 0;
      // What fills a block means nothing, so nothing is said by it.
      events.push({ kind: 'over', raw: Buffer.alloc(size) });
    } else this.#take(part, events);
    return bytes.subarray(size);
  }

  #take(block: Buffer, events: TarEvent[]): void {
    if (this.#extra !== undefined) return this.#takeExtra(this.#extra, block);
    if (block.every((byte) => byte === 0)) {
      if (this.#raw.length > 0) throw new StreamError('a name in the archive is of no member');
      this.#zeros++;
      return void events.push({ kind: 'end', raw: Buffer.from(block) });
    }
    if (this.#zeros > 0) throw new StreamError('the archive goes on behind its end');
    this.#raw.push(Buffer.from(block));
    const header = readHeader(block);
    if (header.type === 'x' || header.type === 'L' || header.type === 'K') {
      if (header.size === 0 || header.size > MAX_EXTRA_BYTES) throw new StreamError('a name in the archive is too long');
      this.#extra = { type: header.type, size: header.size };
      return undefined;
    }
    return this.#member(header, events);
  }

  #takeExtra({ type, size }: Extra, block: Buffer): void {
    this.#extra = undefined;
    this.#raw.push(Buffer.from(block));
    const data = block.subarray(0, size);
    if (type === 'L') this.#names.push(textOf(data));
    else if (type === 'K') this.#targets.push(textOf(data));
    else for (const [key, value] of attributesOf(data)) this.#attribute(key, value);
    if (this.#names.length > 2 || this.#targets.length > 2) throw new StreamError('a member of the archive has too many names');
  }

  #attribute(key: string, value: string): void {
    if (key === 'path') this.#names.push(value);
    else if (key === 'linkpath') this.#targets.push(value);
    // What changes how much follows, or what it is.
    else if (key === 'size' || key === 'hdrcharset' || key.startsWith('GNU.'))
      throw new StreamError('the archive has attributes that change how it is read');
  }

  #member({ type, name, target, size }: Header, events: TarEvent[]): void {
    const kind = KINDS[type];
    if (kind === undefined) throw new StreamError('the archive holds what is no file, directory or link');
    if (kind !== 'file' && size > 0) throw new StreamError('the archive has content where there is none');
    // Old readers took a file whose name ends so for a directory.
    const isOddFile = kind === 'file' && [name, ...this.#names].some((each) => each.endsWith('/'));
    if (isOddFile) throw new StreamError('the archive holds a file that is named as a directory');
    const isLink = kind === 'symlink' || kind === 'link';
    const member = { kind, names: [name, ...this.#names], targets: isLink ? [target, ...this.#targets] : [], size };
    events.push({ kind: 'member', member, raw: Buffer.concat(this.#raw) });
    this.#raw = [];
    this.#names = [];
    this.#targets = [];
    this.#left = size;
    this.#padding = blocks(size) - size;
    if (kind === 'file' && size === 0) events.push({ kind: 'over', raw: Buffer.alloc(0) });
  }
}

function blocks(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

interface Header {
  readonly type: string;
  readonly name: string;
  readonly target: string;
  readonly size: number;
}

/** name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1 | target 100 | magic 8 | … | ustar: prefix 155 at 345 */
function readHeader(block: Buffer): Header {
  const isUstar = block.subarray(257, 265).equals(USTAR);
  if (!isUstar && !block.subarray(257, 265).equals(GNU)) throw new StreamError('it is no archive of tar');
  if (numberOf(block.subarray(148, 156)) !== checksum(block)) throw new StreamError('a header of the archive is damaged');
  const prefix = isUstar ? textOf(block.subarray(345, 500)) : '';
  const name = textOf(block.subarray(0, 100));
  return {
    type: block.toString('latin1', 156, 157),
    name: prefix === '' ? name : `${prefix}/${name}`,
    target: textOf(block.subarray(157, 257)),
    size: numberOf(block.subarray(124, 136)),
  };
}

function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += block[at] ?? 0;
  return sum;
}

/** Octal, with blanks or zeros around; or GNU's 256-based form, of what no octal number holds. */
function numberOf(field: Buffer): number {
  if (field[0] === 0x80) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
    if (!Number.isSafeInteger(value)) throw new StreamError('a number in the archive is too large');
    return value;
  }
  const [, digits] = /^ *([0-7]{1,12})[ \0]*$/.exec(field.toString('latin1')) ?? [];
  if (digits === undefined) throw new StreamError('a number in the archive cannot be read');
  return Number.parseInt(digits, 8);
}

/** Up to its first zero, behind which are only zeros. */
function textOf(field: Buffer): string {
  const at = field.indexOf(0);
  const text = at < 0 ? field : field.subarray(0, at);
  if (!isUtf8(text) || (at >= 0 && field.subarray(at).some((byte) => byte !== 0)))
    throw new StreamError('a name in the archive cannot be read');
  return text.toString();
}

/** `LENGTH KEY=VALUE` and a line feed, again and again; each length is of all of it. */
function attributesOf(data: Buffer): [key: string, value: string][] {
  const found: [string, string][] = [];
  for (let at = 0; at < data.length; ) {
    const [whole = '', digits = ''] = /^([1-9][0-9]{0,4}) /.exec(data.toString('latin1', at, at + 7)) ?? [];
    const end = at + Number(digits);
    const pair = data.subarray(at + whole.length, end - 1);
    const split = pair.indexOf(0x3d);
    const isPair = whole !== '' && end <= data.length && data[end - 1] === 0x0a && split > 0 && isUtf8(pair) && !pair.includes(0);
    if (!isPair) throw new StreamError('attributes in the archive cannot be read');
    const key = pair.toString('utf8', 0, split);
    if (found.some(([known]) => known === key)) throw new StreamError('the archive has an attribute twice');
    found.push([key, pair.toString('utf8', split + 1)]);
    at = end;
  }
  return found;
}
