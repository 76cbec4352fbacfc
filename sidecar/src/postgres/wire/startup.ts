import { Cursor } from './cursor.ts';
import { ProtocolError } from './error.ts';
import { MAX_SECRET_BYTES, MAX_STARTUP_BYTES, MIN_SECRET_BYTES } from './limits.ts';
import { kept } from '../../lent.ts';
import { PROTOCOL_3_0, type ProtocolMinor, REQUEST } from './protocol.ts';
import { MessageWriter } from './writer.ts';

/** What names one session to a server that is asked to cancel its statement. */
export interface CancelKey {
  readonly processId: number;
  /** 4 bytes in protocol 3.0, up to 256 since 3.2. */
  readonly secret: Buffer;
}

/** What a client says before messages have a type byte. */
export type StartupPacket =
  | { readonly kind: 'ssl' }
  | { readonly kind: 'gss' }
  | { readonly kind: 'cancel'; readonly key: CancelKey }
  /** `major` may be one that nobody speaks; `parameters` are read for major 3 only. */
  | {
      readonly kind: 'startup';
      readonly major: number;
      readonly minor: number;
      readonly parameters: ReadonlyMap<string, string>;
    };

export type StartupResult =
  | { readonly kind: 'frame'; readonly packet: StartupPacket; readonly consumed: number }
  | { readonly kind: 'need'; readonly atLeast: number }
  /** The first bytes are of another protocol. */
  | { readonly kind: 'foreign'; readonly protocol: 'tls' | 'unknown' };

/** ContentType handshake of a TLS record, RFC 8446 §5.1. */
const TLS_HANDSHAKE = 0x16;

/**
 * Reads the packet at the beginning of `bytes`.
 *
 * ```text
 *  0        4         8
 *  +--------+---------+------------- - -
 *  | length | code    | content           length counts itself; code is 3.x, or one of REQUEST
 *  +--------+---------+------------- - -
 * ```
 * https://www.postgresql.org/docs/18/protocol-message-formats.html
 * @throws ProtocolError InvalidLength, Malformed, InvalidText
 */
export function decodeStartup(bytes: Buffer): StartupResult {
  // No packet is longer than 10,000 bytes, so the first byte of every packet is zero.
  if (bytes.length > 0 && bytes[0] !== 0) {
    return { kind: 'foreign', protocol: bytes[0] === TLS_HANDSHAKE ? 'tls' : 'unknown' };
  }
  if (bytes.length < 4) return { kind: 'need', atLeast: 4 };
  const length = bytes.readInt32BE(0);
  if (length < 8 || length > MAX_STARTUP_BYTES + 4) {
    throw new ProtocolError('InvalidLength', 'the startup packet has an impossible length');
  }
  if (bytes.length < length) return { kind: 'need', atLeast: length };
  const cursor = new Cursor(bytes.subarray(0, length), 4, 'the startup packet');
  const packet = decodePacket(cursor);
  cursor.end();
  return { kind: 'frame', packet, consumed: length };
}

function decodePacket(cursor: Cursor): StartupPacket {
  const code = cursor.uint32();
  if (code === REQUEST.Ssl) return { kind: 'ssl' };
  if (code === REQUEST.GssEnc) return { kind: 'gss' };
  if (code === REQUEST.Cancel) return { kind: 'cancel', key: decodeKey(cursor) };
  const major = code >>> 16;
  const minor = code & 0xffff;
  if (major !== 3) {
    cursor.rest();
    return { kind: 'startup', major, minor, parameters: new Map() };
  }
  return { kind: 'startup', major, minor, parameters: decodeParameters(cursor) };
}

/** The rest of a CancelRequest or BackendKeyData. The secret is a copy: it lives as long as the session. */
export function decodeKey(cursor: Cursor): CancelKey {
  const processId = cursor.uint32();
  if (cursor.remaining < MIN_SECRET_BYTES || cursor.remaining > MAX_SECRET_BYTES) {
    throw cursor.malformed('has a cancel key of an impossible size');
  }
  return { processId, secret: kept(cursor.rest()) };
}

/** Pairs of strings, ended by an empty name. A name given twice has no one meaning and is refused. */
function decodeParameters(cursor: Cursor): Map<string, string> {
  const parameters = new Map<string, string>();
  for (;;) {
    const name = cursor.string();
    if (name === '') return parameters;
    if (parameters.has(name)) throw cursor.malformed('names a parameter twice');
    parameters.set(name, cursor.string());
  }
}

export function encodeSSLRequest(): Buffer {
  return new MessageWriter(undefined).uint32(REQUEST.Ssl).finish();
}

/** @throws ProtocolError NotEncodable where the packet would exceed what servers take. */
export function encodeStartup(parameters: Iterable<readonly [string, string]>, minor: ProtocolMinor = 0): Buffer {
  const writer = new MessageWriter(undefined, 256).uint32(PROTOCOL_3_0 | minor);
  for (const [name, value] of parameters) {
    if (name === '') throw new ProtocolError('NotEncodable', 'a startup parameter has no name');
    writer.string(name).string(value);
  }
  const packet = writer.uint8(0).finish();
  if (packet.length > MAX_STARTUP_BYTES + 4) throw new ProtocolError('NotEncodable', 'the startup packet is too long');
  return packet;
}

export function encodeCancelRequest(key: CancelKey): Buffer {
  return new MessageWriter(undefined, 300).uint32(REQUEST.Cancel).uint32(key.processId).bytes(key.secret).finish();
}
