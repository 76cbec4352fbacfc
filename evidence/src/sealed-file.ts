import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { MAX_RECIPIENTS } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import { hpkeOpen, hpkeSeal, x25519PublicKey } from './hpke.ts';

/*
 * A file that nobody but its recipients reads, of any length:
 *
 *     "CHSEALED" 8 │ u32 length, header JSON │ chunks
 *
 * The header has the file's key for each recipient (HPKE). The key of the chunks is HKDF-SHA-256 of the file's key, with the SHA-256 of the
 * header for a salt. A chunk is AES-256-GCM of 64 KiB, the last one of less or as much; its nonce is its number, 11 bytes big-endian, and a
 * byte that is 1 in the last one alone, so that neither a chunk nor the end can be left out, moved or added.
 */
const MAGIC = Buffer.from('CHSEALED', 'latin1');
const INFO = 'chaperone/sealed-file/v1';
const FORMAT = 'chaperone.dev/sealed-file/v1';
const KEY_BYTES = 32;
const TAG_BYTES = 16;
const CHUNK_BYTES = 64 * 1024;
const MAX_HEADER_BYTES = 8 * 1024;
const X25519 = /^x25519:([A-Za-z0-9_-]{43})$/;

const Header = z.strictObject({
  format: z.literal(FORMAT),
  id: z.string().regex(/^[0-9a-f]{32}$/),
  to: z
    .array(z.strictObject({ recipient: z.string().regex(X25519), key: z.base64url().length(107) }))
    .min(1)
    .max(MAX_RECIPIENTS),
});

/** The recipient of a private key of X25519, 32 bytes: `x25519:` and the public key. Throws EvidenceError MalformedKey. */
export function recipientOf(privateKey: Uint8Array): string {
  return `x25519:${x25519PublicKey(privateKey).toString('base64url')}`;
}

/**
 * Encrypts what comes, in constant memory, for recipients as {@link recipientOf} names them: at least one, at most eight.
 * Throws EvidenceError MalformedKey for another name.
 */
export async function* sealFile(
  plain: AsyncIterable<Uint8Array>,
  recipients: readonly string[],
  random: (bytes: number) => Buffer = randomBytes,
): AsyncGenerator<Buffer> {
  const secret = random(KEY_BYTES);
  const id = random(16).toString('hex');
  const to = recipients.map((recipient) => ({ recipient, key: wrap(secret, recipient, id) }));
  if (to.length === 0 || to.length > MAX_RECIPIENTS)
    throw new EvidenceError('MalformedKey', `a file is sealed for 1 to ${MAX_RECIPIENTS} recipients`);
  const header = Buffer.from(JSON.stringify({ format: FORMAT, id, to } satisfies z.infer<typeof Header>));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(header.length);
  yield Buffer.concat([MAGIC, length, header]);
  const key = keyOf(secret, header);
  let number = 0;
  // A chunk is known to be the last one when nothing comes behind it.
  for await (const { bytes, isLast } of chunksOf(plain, CHUNK_BYTES)) {
    const cipher = createCipheriv('aes-256-gcm', key, nonceOf(number++, isLast));
    yield Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  }
}

/**
 * The inverse of {@link sealFile}, for the holder of one of the private keys. What it yields is genuine; that it is all of it is known when it
 * ends. Throws EvidenceError MalformedBundle for another file, KeyUnusable where it was sealed for others, PayloadAltered where it was changed
 * or cut.
 */
export async function* openSealedFile(
  source: AsyncIterable<Uint8Array>,
  privateKeys: readonly Uint8Array[],
): AsyncGenerator<Buffer> {
  const reader = new Reader(source);
  const head = await reader.take(MAGIC.length + 4);
  const length = head.length === MAGIC.length + 4 ? head.readUInt32BE(MAGIC.length) : 0;
  if (!head.subarray(0, MAGIC.length).equals(MAGIC) || length === 0 || length > MAX_HEADER_BYTES) throw noFile();
  const header = await reader.take(length);
  const key = keyOf(unwrap(parseHeader(header), privateKeys), header);
  let number = 0;
  for await (const { bytes, isLast } of chunksOf(reader.rest(), CHUNK_BYTES + TAG_BYTES)) {
    if (bytes.length < TAG_BYTES) throw altered();
    yield decrypted(key, nonceOf(number++, isLast), bytes);
  }
}

function decrypted(key: Buffer, nonce: Buffer, bytes: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw altered(cause);
  }
}

function wrap(secret: Buffer, recipient: string, id: string): string {
  const encoded = X25519.exec(recipient)?.[1];
  if (encoded === undefined)
    throw new EvidenceError('MalformedKey', 'this is not the name of a recipient; it looks like x25519:PUBLIC');
  return hpkeSeal(Buffer.from(encoded, 'base64url'), secret, contextOf(id)).toString('base64url');
}

function unwrap({ id, to }: z.infer<typeof Header>, privateKeys: readonly Uint8Array[]): Buffer {
  for (const privateKey of privateKeys) {
    const name = recipientOf(privateKey);
    const sealed = to.find(({ recipient }) => recipient === name);
    if (sealed !== undefined) return hpkeOpen(privateKey, Buffer.from(sealed.key, 'base64url'), contextOf(id));
  }
  throw new EvidenceError('KeyUnusable', 'the file was sealed for others');
}

function contextOf(id: string): { info: Buffer; aad: Buffer } {
  return { info: Buffer.from(INFO), aad: Buffer.from(id) };
}

function keyOf(secret: Buffer, header: Buffer): Buffer {
  const salt = createHash('sha256').update(header).digest();
  return Buffer.from(hkdfSync('sha256', secret, salt, INFO, KEY_BYTES));
}

/** Numbers stay below 2^48, which is more than any disk holds. */
function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 5, 6);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

function parseHeader(bytes: Buffer): z.infer<typeof Header> {
  try {
    return Header.parse(JSON.parse(bytes.toString()));
  } catch (cause) {
    throw noFile(cause);
  }
}

/** Pieces of one size, the last one of what is left: it may be empty where nothing came at all. */
async function* chunksOf(
  source: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<{ readonly bytes: Buffer; readonly isLast: boolean }> {
  let held = Buffer.alloc(0);
  for await (const piece of source) {
    held = held.length === 0 ? Buffer.from(piece) : Buffer.concat([held, piece]);
    let at = 0;
    for (; held.length - at > size; at += size) yield { bytes: held.subarray(at, at + size), isLast: false };
    held = held.subarray(at);
  }
  yield { bytes: held, isLast: true };
}

/** Takes a few bytes from the beginning of a source, and then the rest of it. */
class Reader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Fewer where it ends before. */
  async take(length: number): Promise<Buffer> {
    while (this.#held.length < length) {
      const { value, done } = await this.#source.next();
      if (done === true) break;
      this.#held = Buffer.concat([this.#held, value]);
    }
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return taken;
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    yield this.#held;
    for (;;) {
      const { value, done } = await this.#source.next();
      if (done === true) return;
      yield value;
    }
  }
}

function noFile(cause?: unknown): EvidenceError {
  return new EvidenceError('MalformedBundle', 'this is not a sealed file', { cause });
}

function altered(cause?: unknown): EvidenceError {
  return new EvidenceError('PayloadAltered', 'the sealed file was changed or ends early', { cause });
}
