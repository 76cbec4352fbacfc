import { byte, type Reader, string, uint32 } from './data.ts';
import { SshError } from './error.ts';

/**
 * SFTP version 3 (draft-ietf-secsh-filexfer-02) with the extensions of OpenSSH's PROTOCOL, section 4:
 *
 *     uint32 length | byte type | uint32 id | fields        INIT and VERSION have a version in the id's place
 */
export const SFTP_VERSION = 3;

/** Of a packet, behind its length: SFTP_MAX_MSG_LENGTH of OpenSSH, which leaves room for WRITE and DATA of 255 KiB. */
export const MAX_PACKET_BYTES = 256 * 1024;
/** Of the data of one READ or WRITE, as OpenSSH's limits@openssh.com says it. */
export const MAX_DATA_BYTES = MAX_PACKET_BYTES - 1024;
/** PATH_MAX of Linux. */
export const MAX_PATH_BYTES = 4_096;
/** Of a handle (the draft, section 6.3). */
export const MAX_HANDLE_BYTES = 256;

export const TYPE = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 200,
  extendedReply: 201,
} as const;

/** The draft, section 7. */
export const STATUS = {
  ok: 0,
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  noConnection: 6,
  connectionLost: 7,
  unsupported: 8,
} as const;

/** Of OPEN (the draft, section 6.3). */
export const FLAG = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;
export const ALL_FLAGS = 63;

const ATTR = { size: 1, owner: 2, permissions: 4, times: 8, extended: 0x8000_0000 } as const;
const FORMAT = { mask: 0o170000, directory: 0o040000, link: 0o120000 } as const;

/**
 * Extensions that are passed on, by the name and version under which OpenSSH announces them. users-groups-by-id@openssh.com is
 * not among them: it would tell the names of all users without naming a path.
 */
export const EXTENSIONS = {
  'posix-rename': { name: 'posix-rename@openssh.com', version: '1' },
  statvfs: { name: 'statvfs@openssh.com', version: '2' },
  fstatvfs: { name: 'fstatvfs@openssh.com', version: '2' },
  hardlink: { name: 'hardlink@openssh.com', version: '1' },
  fsync: { name: 'fsync@openssh.com', version: '1' },
  lsetstat: { name: 'lsetstat@openssh.com', version: '1' },
  limits: { name: 'limits@openssh.com', version: '1' },
  'expand-path': { name: 'expand-path@openssh.com', version: '1' },
  'copy-data': { name: 'copy-data', version: '1' },
  'home-directory': { name: 'home-directory', version: '1' },
} as const;
export type Extension = keyof typeof EXTENSIONS;

/** The id of a packet behind its length and type. */
const ID_AT = 5;
/** Room that a stream keeps when nothing is in it: a whole packet and a chunk. */
const KEPT_BYTES = 2 * MAX_PACKET_BYTES;
const NOTHING = Buffer.alloc(0);
/** They carry content, and are passed on as they are. */
const OF_CONTENT: ReadonlySet<number | undefined> = new Set([TYPE.write, TYPE.data]);

/** Cuts a stream into packets, however it arrives. Holds what it was given and not asked for, once. */
export class PacketStream {
  /** What is held, from `from` to `to`. */
  #buffer: Buffer = NOTHING;
  #from = 0;
  #to = 0;
  #last: Buffer = NOTHING;

  /** Takes a chunk, which is copied. */
  push(chunk: Buffer): void {
    if (chunk.length > this.#buffer.length - this.#to) this.#makeRoom(chunk.length);
    this.#to += chunk.copy(this.#buffer, this.#to);
  }

  /** Bytes that are no whole packet yet, or were not asked for. */
  get held(): number {
    return this.#to - this.#from;
  }

  /**
   * The next packet behind its length; undefined: it is not whole yet. A packet with content (WRITE and DATA) is lent: it changes with
   * the next call, of `push` too.
   * @throws SshError when its length is not between 5 bytes and {@link MAX_PACKET_BYTES}
   */
  next(): Buffer | undefined {
    if (this.held < 4) return undefined;
    const length = this.#buffer.readUInt32BE(this.#from);
    if (length < 5 || length > MAX_PACKET_BYTES) throw new SshError('the length of an SFTP packet is out of its bounds');
    if (this.held < 4 + length) return undefined;
    this.#last = this.#buffer.subarray(this.#from, this.#from + 4 + length);
    this.#from += this.#last.length;
    if (this.held === 0) this.#empty();
    const next = this.#last.subarray(4);
    return OF_CONTENT.has(next[0]) ? next : Buffer.from(next);
  }

  /** The packet with content that {@link next} returned last, as it is to be sent under another id. It is lent as well. */
  renumbered(id: number): Buffer {
    this.#last.writeUInt32BE(id, ID_AT);
    return this.#last;
  }

  #makeRoom(bytes: number): void {
    const { held } = this;
    const needed = held + bytes;
    const room = needed <= this.#buffer.length ? this.#buffer : Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.length));
    this.#buffer.copy(room, 0, this.#from, this.#to);
    this.#buffer = room;
    this.#from = 0;
    this.#to = held;
  }

  /** The packet that is lent stays where it is until more comes. */
  #empty(): void {
    this.#from = 0;
    this.#to = 0;
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = NOTHING;
  }
}

/** What requests and answers have in common. */
export interface Numbered {
  readonly id: number;
  /** Everything behind the id, as it came. */
  readonly rest: Buffer;
}

/** A packet, ready to be sent. */
export function packet(type: number, ...fields: readonly Buffer[]): Buffer {
  const length = fields.reduce((sum, field) => sum + field.length, 1);
  return Buffer.concat([uint32(length), byte(type), ...fields]);
}

/** An answer without content; `message` is for people. */
export function status(id: number, code: number, message: string): Buffer {
  return packet(TYPE.status, uint32(id), uint32(code), string(message), string('en'));
}

/** What is said of a file beside its name (the draft, section 5). */
export interface Attributes {
  readonly flags: number;
  readonly size?: bigint;
  /** undefined: the server does not say. */
  readonly format?: 'directory' | 'link' | 'other';
  /** All of them, as people read them: `size=0 uid=1 gid=1 mode=0644 atime=2026-01-01T00:00:00Z mtime=2026-01-01T00:00:00Z`; may be empty. */
  readonly text: string;
}

/**
 * Reads ATTRS.
 * @throws SshError where they do not fit, or have fields that version 3 does not know
 */
export function readAttributes(reader: Reader): Attributes {
  const flags = reader.uint32();
  if ((flags & ~(ATTR.size | ATTR.owner | ATTR.permissions | ATTR.times | ATTR.extended)) !== 0)
    throw new SshError('attributes of SFTP with fields that are not known');
  const size = flags & ATTR.size ? reader.uint64() : undefined;
  const owner = flags & ATTR.owner ? `uid=${reader.uint32()} gid=${reader.uint32()}` : undefined;
  const permissions = flags & ATTR.permissions ? reader.uint32() : undefined;
  const times = flags & ATTR.times ? `atime=${timeOf(reader.uint32())} mtime=${timeOf(reader.uint32())}` : undefined;
  if (flags & ATTR.extended) {
    for (let left = reader.uint32(); left > 0; left--) {
      reader.string();
      reader.string();
    }
  }
  return {
    flags,
    ...(size !== undefined && { size }),
    ...(permissions !== undefined && { format: formatOf(permissions) }),
    text: [
      size === undefined ? undefined : `size=${size}`,
      owner,
      permissions === undefined ? undefined : `mode=${(permissions & ~FORMAT.mask).toString(8).padStart(4, '0')}`,
      times,
    ]
      .filter((part) => part !== undefined)
      .join(' '),
  };
}

/** Whether they hold what is of a server's own kind. */
export const areExtended = ({ flags }: Attributes): boolean => (flags & ATTR.extended) !== 0;

/** Seconds since 1970, as people read them. */
function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

function formatOf(permissions: number): NonNullable<Attributes['format']> {
  const format = permissions & FORMAT.mask;
  return format === FORMAT.directory ? 'directory' : format === FORMAT.link ? 'link' : 'other';
}
