import { Reader, string, uint32 } from './data.ts';
import { SshError } from './error.ts';
import {
  type Attributes,
  EXTENSIONS,
  MAX_DATA_BYTES,
  MAX_HANDLE_BYTES,
  MAX_PACKET_BYTES,
  MAX_PATH_BYTES,
  type Numbered,
  packet,
  readAttributes,
  SFTP_VERSION,
  TYPE,
} from './sftp.ts';

/** Of a server's sentence; longer ones are cut. */
const MAX_SENTENCE_BYTES = 1_024;

const VERSION_OF: ReadonlyMap<string, string> = new Map(Object.values(EXTENSIONS).map(({ name, version }) => [name, version]));

export type SftpResponse = Numbered &
  (
    | { readonly kind: 'status'; readonly code: number; readonly message: string }
    | { readonly kind: 'handle'; readonly handle: Buffer }
    | { readonly kind: 'data'; readonly data: Buffer }
    | { readonly kind: 'name'; readonly names: readonly Buffer[] }
    | { readonly kind: 'attrs'; readonly attributes: Attributes }
    | { readonly kind: 'extended'; readonly content: Buffer }
  );

/**
 * Reads what a server sends after VERSION. What it returns are views into `bytes`.
 * @throws SshError when the packet is no answer, or does not hold what its type says
 */
export function parseResponse(bytes: Buffer): SftpResponse {
  const reader = new Reader(bytes);
  const type = reader.byte();
  const numbered = { id: reader.uint32(), rest: bytes.subarray(5) };
  const response = parseFields(type, numbered, reader);
  reader.end();
  return response;
}

function parseFields(type: number, numbered: Numbered, reader: Reader): SftpResponse {
  switch (type) {
    case TYPE.status: {
      const code = reader.uint32();
      // Old servers send the code alone.
      const message = reader.left > 0 ? reader.string() : Buffer.alloc(0);
      if (reader.left > 0) reader.string();
      return { kind: 'status', ...numbered, code, message: message.subarray(0, MAX_SENTENCE_BYTES).toString() };
    }
    case TYPE.handle: {
      const handle = reader.string();
      if (handle.length === 0 || handle.length > MAX_HANDLE_BYTES)
        throw new SshError('the length of an SFTP handle is out of its bounds');
      return { kind: 'handle', ...numbered, handle };
    }
    case TYPE.data:
      return { kind: 'data', ...numbered, data: reader.string() };
    case TYPE.name:
      return { kind: 'name', ...numbered, names: parseNames(reader) };
    case TYPE.attrs:
      return { kind: 'attrs', ...numbered, attributes: readAttributes(reader) };
    case TYPE.extendedReply:
      return { kind: 'extended', ...numbered, content: reader.rest() };
    default:
      throw new SshError('an SFTP server sent what is no answer');
  }
}

function parseNames(reader: Reader): Buffer[] {
  const names: Buffer[] = [];
  for (let left = reader.uint32(); left > 0; left--) {
    const name = reader.string();
    if (name.length > MAX_PATH_BYTES) throw new SshError('a name of SFTP is longer than paths can be');
    reader.string();
    readAttributes(reader);
    names.push(name);
  }
  return names;
}

/**
 * The VERSION that the agent gets for the server's: extensions that are not known are left out.
 * @throws SshError when the server speaks another version
 */
export function parseVersion(bytes: Buffer): Buffer {
  const reader = new Reader(bytes);
  if (reader.byte() !== TYPE.version) throw new SshError('an SFTP server did not begin with its version');
  if (reader.uint32() !== SFTP_VERSION) throw new SshError('an SFTP server speaks another version than 3');
  const kept: Buffer[] = [];
  while (reader.left > 0) {
    const name = reader.string();
    const version = reader.string();
    if (VERSION_OF.get(name.toString('latin1')) === version.toString('latin1')) kept.push(string(name), string(version));
  }
  return packet(TYPE.version, uint32(SFTP_VERSION), ...kept);
}

/** Open files and directories of one session. */
export const MAX_HANDLES = 1_024;
const LIMITS = [MAX_PACKET_BYTES, MAX_DATA_BYTES, MAX_DATA_BYTES, MAX_HANDLES] as const;

/**
 * An answer to limits@openssh.com that promises no more than we carry; 0 is a server's word for no limit.
 * @throws SshError when it does not hold four numbers
 */
export function clampLimits(content: Buffer): Buffer {
  const reader = new Reader(content);
  const clamped = Buffer.alloc(8 * LIMITS.length);
  LIMITS.forEach((most, index) => {
    const said = reader.uint64();
    clamped.writeBigUInt64BE(said === 0n || said > BigInt(most) ? BigInt(most) : said, 8 * index);
  });
  reader.end();
  return clamped;
}
