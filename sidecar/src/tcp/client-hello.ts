/** What the first message of a TLS client says in the clear (RFC 8446 §4.1.2). */
export interface ClientHello {
  /** server_name (RFC 6066 §3), lower case; undefined where there is none. */
  readonly serverName: string | undefined;
  /** The real hello is inside, encrypted (RFC 9849); the name outside need not be the one that is meant. */
  readonly encrypted: boolean;
}

export type DecodedHello =
  | { readonly kind: 'hello'; readonly hello: ClientHello; readonly consumed: number }
  | { readonly kind: 'need'; readonly atLeast: number }
  /** It is no TLS ClientHello, or one that two readers might read differently. No later byte can change that. */
  | { readonly kind: 'foreign' };

/** Post-quantum key shares make hellos of 1.5 to 2 KiB; this leaves room and is one TLS record (RFC 8446 §5.1). */
export const MAX_HELLO_BYTES = 16_384;
const RECORD_HEADER = 5;
const HANDSHAKE_HEADER = 4;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;
const HOST_NAME = 0;
/** RFC 1035 §2.3.4, as text. */
const MAX_NAME = 253;
/** More records than a hello needs; a client that sends one byte each is not a client. */
const MAX_RECORDS = 64;

const FOREIGN = { kind: 'foreign' } as const;

/**
 * Reads the ClientHello at the start of a connection, whichever records it is cut into. Pure; decrypts nothing.
 * Stricter than servers are, so that no server can see another name than we do: one server_name extension, one host name in
 * it, no bytes left over, no duplicate extension.
 *
 * ```
 * record     22 | 3 | minor | length(2) | fragment
 * handshake  1 | length(3) | version(2) | random(32) | session<0..32> | suites<2..> | compression<1..> | extensions<0..>
 * ```
 */
export function decodeClientHello(bytes: Buffer): DecodedHello {
  const fragments: Buffer[] = [];
  let at = 0;
  for (let record = 0; record < MAX_RECORDS; record++) {
    const header = readRecordHeader(bytes, at);
    if (typeof header !== 'number') return header;
    const available = bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + header);
    fragments.push(available);
    const message = Buffer.concat(fragments);
    if (message.length >= 1 && message[0] !== CLIENT_HELLO) return FOREIGN;
    const length = message.length < HANDSHAKE_HEADER ? undefined : HANDSHAKE_HEADER + message.readUIntBE(1, 3);
    if (length !== undefined && length > MAX_HELLO_BYTES) return FOREIGN;
    // Nothing may follow the hello in its record (RFC 8446 §5.1): the key changes there.
    const complete = message.length - available.length + header;
    if (length !== undefined && complete > length) return FOREIGN;
    if (available.length < header) return { kind: 'need', atLeast: at + RECORD_HEADER + header };
    at += RECORD_HEADER + header;
    if (length !== undefined && message.length === length) return readHello(message.subarray(HANDSHAKE_HEADER), at);
  }
  return FOREIGN;
}

/** Length of the record at `at`, or what is to be said instead. */
function readRecordHeader(bytes: Buffer, at: number): number | Exclude<DecodedHello, { kind: 'hello' }> {
  const [type, major] = [bytes[at], bytes[at + 1]];
  if ((type !== undefined && type !== HANDSHAKE) || (major !== undefined && major !== 3)) return FOREIGN;
  if (bytes.length < at + RECORD_HEADER) return { kind: 'need', atLeast: at + RECORD_HEADER };
  const length = bytes.readUInt16BE(at + 3);
  return length === 0 || length > MAX_HELLO_BYTES ? FOREIGN : length;
}

function readHello(body: Buffer, consumed: number): DecodedHello {
  const reader = new Reader(body);
  reader.skip(2 + 32);
  const session = reader.vector(1);
  const suites = reader.vector(2);
  const compression = reader.vector(1);
  // A hello without extensions is old, not broken; it has no name.
  const extensions = reader.atEnd ? Buffer.alloc(0) : reader.vector(2);
  if (session === undefined || session.length > 32 || suites === undefined || suites.length < 2 || suites.length % 2 !== 0)
    return FOREIGN;
  if (compression === undefined || compression.length === 0 || extensions === undefined || !reader.atEnd) return FOREIGN;
  return readExtensions(extensions, consumed);
}

function readExtensions(bytes: Buffer, consumed: number): DecodedHello {
  const reader = new Reader(bytes);
  const seen = new Set<number>();
  let serverName: string | undefined;
  while (!reader.atEnd) {
    const type = reader.uint16();
    const data = reader.vector(2);
    if (type === undefined || data === undefined || seen.has(type)) return FOREIGN;
    seen.add(type);
    if (type === SERVER_NAME) {
      serverName = readServerName(data);
      if (serverName === undefined) return FOREIGN;
    }
  }
  return { kind: 'hello', hello: { serverName, encrypted: seen.has(ENCRYPTED_CLIENT_HELLO) }, consumed };
}

function readServerName(data: Buffer): string | undefined {
  const outer = new Reader(data);
  const list = outer.vector(2);
  if (list === undefined || !outer.atEnd) return undefined;
  const inner = new Reader(list);
  const type = inner.uint8();
  const name = inner.vector(2)?.toString('latin1');
  if (type !== HOST_NAME || name === undefined || !inner.atEnd) return undefined;
  return name.length <= MAX_NAME && isHostName(name) ? name.toLowerCase() : undefined;
}

function isHostName(name: string): boolean {
  const labels = name.split('.');
  return (
    labels.every((label) => /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? '')
  );
}

/** Reads within `bytes` and never past them: what is not there is undefined, and stays so. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }
  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }
  skip(length: number): void {
    this.#at += length;
  }
  uint8(): number | undefined {
    return this.#number(1);
  }
  uint16(): number | undefined {
    return this.#number(2);
  }
  /** A vector behind its length in `lengthBytes` bytes. */
  vector(lengthBytes: 1 | 2): Buffer | undefined {
    const length = this.#number(lengthBytes);
    if (length === undefined || this.#at + length > this.#bytes.length) return undefined;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
  #number(length: 1 | 2): number | undefined {
    if (this.#at + length > this.#bytes.length) return undefined;
    this.#at += length;
    return this.#bytes.readUIntBE(this.#at - length, length);
  }
}
