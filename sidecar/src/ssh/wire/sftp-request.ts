import { Reader } from './data.ts';
import { SshError } from './error.ts';
import { ALL_FLAGS, areExtended, EXTENSIONS, type Numbered, readAttributes, TYPE } from './sftp.ts';

const ONE_PATH = ['lstat', 'stat', 'opendir', 'remove', 'rmdir', 'realpath', 'readlink'] as const;
const TWO_PATHS = ['rename', 'symlink', 'posix-rename', 'hardlink'] as const;
const ONE_PATH_BY_EXTENSION = ['statvfs', 'expand-path', 'home-directory'] as const;
const PATH_AND_ATTRIBUTES = ['setstat', 'mkdir', 'lsetstat'] as const;
const HANDLE = ['close', 'fstat', 'readdir', 'fstatvfs', 'fsync'] as const;

export type PathKind =
  | 'open'
  | (typeof ONE_PATH)[number]
  | (typeof ONE_PATH_BY_EXTENSION)[number]
  | (typeof TWO_PATHS)[number]
  | (typeof PATH_AND_ATTRIBUTES)[number];

/** About one path or two, as the agent wrote them, in the order of the wire. */
export interface PathRequest extends Numbered {
  readonly group: 'path';
  readonly kind: PathKind;
  readonly paths: readonly Buffer[];
  /** What follows the paths: flags and attributes. */
  readonly tail: Buffer;
  /** Of OPEN; else 0. */
  readonly flags: number;
  /** The attributes that it sets, as people read them; empty: none. */
  readonly attributes: string;
}

/** About a file or directory that is open. */
export type HandleRequest = Numbered & { readonly group: 'handle'; readonly handle: Buffer } & (
    | { readonly kind: (typeof HANDLE)[number] }
    | { readonly kind: 'fsetstat'; readonly size: bigint | undefined; readonly attributes: string }
    | { readonly kind: 'read'; readonly offset: bigint; readonly length: number }
    | { readonly kind: 'write'; readonly offset: bigint; readonly data: Buffer }
    | { readonly kind: 'copy-data'; readonly to: Buffer }
  );

export type SftpRequest =
  | { readonly group: 'init' }
  | (Numbered & { readonly group: 'limits' })
  /** Of a type, an extension, flags or attributes that are not known. */
  | (Numbered & { readonly group: 'unsupported' })
  | PathRequest
  | HandleRequest;

const EXTENSION_OF: ReadonlyMap<string, string> = new Map(Object.entries(EXTENSIONS).map(([kind, { name }]) => [name, kind]));
const KIND_OF: ReadonlyMap<number, string> = new Map(Object.entries(TYPE).map(([kind, type]) => [type, kind]));

/**
 * Reads what an agent sends. What it returns are views into `packet`.
 * @throws SshError when the packet does not hold what its type says, no more and no less
 */
export function parseRequest(packet: Buffer): SftpRequest {
  const reader = new Reader(packet);
  const type = reader.byte();
  if (type === TYPE.init) return parseInit(reader);
  const numbered = { id: reader.uint32(), rest: packet.subarray(5) };
  const kind = type === TYPE.extended ? EXTENSION_OF.get(reader.string().toString('latin1')) : KIND_OF.get(type);
  return parseFields(kind ?? '', numbered, reader);
}

/** Extensions that a client may name here are none of the known ones; a version above 3 is answered with 3. */
function parseInit(reader: Reader): SftpRequest {
  if (reader.uint32() < 3) throw new SshError('a version of SFTP below 3');
  while (reader.left > 0) {
    reader.string();
    reader.string();
  }
  return { group: 'init' };
}

function parseFields(kind: string, numbered: Numbered, reader: Reader): SftpRequest {
  if (kind === 'limits') {
    reader.end();
    return { group: 'limits', ...numbered };
  }
  if (isOneOf(ONE_PATH, kind) || isOneOf(ONE_PATH_BY_EXTENSION, kind))
    return aboutPaths(kind, numbered, reader, [reader.string()]);
  if (isOneOf(TWO_PATHS, kind)) return aboutPaths(kind, numbered, reader, [reader.string(), reader.string()]);
  if (kind === 'open') return parseOpen(numbered, reader);
  if (isOneOf(PATH_AND_ATTRIBUTES, kind)) {
    const paths = [reader.string()];
    const tail = attributes(reader);
    return tail
      ? aboutPaths(kind, numbered, reader, paths, { tail: tail.bytes, attributes: tail.text })
      : { group: 'unsupported', ...numbered };
  }
  return parseHandleFields(kind, numbered, reader);
}

function parseOpen(numbered: Numbered, reader: Reader): SftpRequest {
  const path = reader.string();
  const flags = reader.bytes(4);
  const attrs = attributes(reader);
  const asked = flags.readUInt32BE();
  if (!attrs || (asked & ~ALL_FLAGS) !== 0) return { group: 'unsupported', ...numbered };
  const more = { tail: Buffer.concat([flags, attrs.bytes]), flags: asked, attributes: attrs.text };
  return aboutPaths('open', numbered, reader, [path], more);
}

function parseHandleFields(kind: string, numbered: Numbered, reader: Reader): SftpRequest {
  if (isOneOf(HANDLE, kind)) return aboutHandle(numbered, reader, { kind, handle: reader.string() });
  switch (kind) {
    case 'read':
      return aboutHandle(numbered, reader, {
        kind,
        handle: reader.string(),
        offset: reader.uint64(),
        length: reader.uint32(),
      });
    case 'write':
      return aboutHandle(numbered, reader, { kind, handle: reader.string(), offset: reader.uint64(), data: reader.string() });
    case 'fsetstat': {
      const handle = reader.string();
      const read = readAttributes(reader);
      if (areExtended(read)) return { group: 'unsupported', ...numbered };
      return aboutHandle(numbered, reader, { kind, handle, size: read.size, attributes: read.text });
    }
    case 'copy-data': {
      const handle = reader.string();
      reader.bytes(16);
      const to = reader.string();
      reader.bytes(8);
      return aboutHandle(numbered, reader, { kind, handle, to });
    }
    default:
      return { group: 'unsupported', ...numbered };
  }
}

function aboutPaths(
  kind: PathKind,
  numbered: Numbered,
  reader: Reader,
  paths: readonly Buffer[],
  more: Partial<Pick<PathRequest, 'tail' | 'flags' | 'attributes'>> = {},
): PathRequest {
  reader.end();
  return { group: 'path', kind, ...numbered, paths, tail: Buffer.alloc(0), flags: 0, attributes: '', ...more };
}

type WithoutNumber<T> = T extends unknown ? Omit<T, keyof Numbered | 'group'> : never;

function aboutHandle(numbered: Numbered, reader: Reader, fields: WithoutNumber<HandleRequest>): HandleRequest {
  reader.end();
  return { group: 'handle', ...numbered, ...fields };
}

/** ATTRS, its bytes copied; undefined where a field is of somebody's own kind. */
function attributes(reader: Reader): { readonly bytes: Buffer; readonly text: string } | undefined {
  const bytes = reader.rest();
  const inner = new Reader(bytes);
  const read = readAttributes(inner);
  inner.end();
  return areExtended(read) ? undefined : { bytes: Buffer.from(bytes), text: read.text };
}

function isOneOf<K extends string>(kinds: readonly K[], kind: string): kind is K {
  return (kinds as readonly string[]).includes(kind);
}
