import {
  createCipheriv,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes as bytes,
  sign,
  verify,
} from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { ed25519 } from '@noble/curves/ed25519.js';
import { sha512 } from '@noble/hashes/sha2.js';
import { seededRandom } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import * as primitives from './primitives.ts';

const raw = (key: KeyObject): Buffer => key.export({ format: 'der', type: 'spki' });

describe('digests and ciphers are Node’s', () => {
  test.each([0, 1, 55, 56, 63, 64, 65, 4097, 200_000])('over %d bytes', (length) => {
    const data = bytes(length);
    const digest = createHash('sha256').update(data).digest();
    expect(primitives.sha256(data.subarray(0, 9), data.subarray(9)).equals(digest)).toBe(true);
    expect(primitives.sha256Latin1(data)).toBe(digest.toString('latin1'));
    const [key, nonce] = [bytes(32), bytes(12)];
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    const sealed = Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]);
    expect(primitives.openAes256Gcm(key, nonce, sealed).equals(data)).toBe(true);
    sealed.writeUInt8(sealed.readUInt8(length) ^ 1, length);
    expect(() => primitives.openAes256Gcm(key, nonce, sealed)).toThrow();
    const stream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
    expect(primitives.aes256Keystream(key, length).equals(stream)).toBe(true);
  });

  test.each([0, 16])('keys are derived with a salt of %d bytes', (salt) => {
    const [secret, given, info] = [bytes(32), bytes(salt), bytes(20)];
    const derived = Buffer.from(hkdfSync('sha256', secret, given, info, 64));
    expect(primitives.hkdfSha256(secret, given, info, 64).equals(derived)).toBe(true);
  });

  test.each([
    ['', true],
    ['c3a9', true],
    ['c3', false],
    ['eda080', false],
    ['c080', false],
    ['f4908080', false],
    ['efbbbf', true],
  ] as const)('%s is UTF-8: %s', (hex, expected) => {
    expect(primitives.isUtf8(Buffer.from(hex, 'hex'))).toBe(expected);
  });
});

/** To Node. */
function holds(publicKey: Buffer, message: Buffer, signature: Buffer): boolean {
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]);
  try {
    return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
  } catch {
    return false;
  }
}

describe('a signature of Ed25519 holds exactly where it does to Node', () => {
  const { privateKey, publicKey: ofPair } = generateKeyPairSync('ed25519');
  const publicKey = raw(ofPair).subarray(-32);
  const message = bytes(100);
  const signature = sign(null, message, privateKey);

  test('as it was made, and with any bit of it, its key or its message changed', () => {
    expect(primitives.verifyEd25519(publicKey, message, signature)).toBe(true);
    for (let bit = 0; bit < 512; bit += 3) {
      const other = flipped(signature, bit);
      expect([bit, primitives.verifyEd25519(publicKey, message, other)]).toEqual([bit, holds(publicKey, message, other)]);
    }
    for (let bit = 0; bit < 256; bit += 7)
      expect(primitives.verifyEd25519(flipped(publicKey, bit), message, signature)).toBe(false);
    expect(primitives.verifyEd25519(publicKey, flipped(message, 5), signature)).toBe(false);
  });

  /** Points of small order, some of them written with a y that is not reduced, or with the sign of a zero x (Chalkias et al., 2020). */
  const SMALL = [
    '0100000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000080',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0000000000000000000000000000000000000000000000000000000000000080',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  ];
  /** The order of the group, little-endian. */
  const ORDER = Buffer.from('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010', 'hex');

  test('with keys and commitments of small order, however they are written', () => {
    const responses = [Buffer.alloc(32), Buffer.alloc(32).fill(1, 0, 1), ORDER];
    const pairs = SMALL.flatMap((key) => SMALL.map((commitment) => [key, commitment] as const));
    for (const [key, commitment] of pairs)
      for (const [at, response] of [...responses, ...responses].entries()) {
        const hostile = Buffer.concat([Buffer.from(commitment, 'hex'), response]);
        const [over, of] = [Buffer.from([at]), Buffer.from(key, 'hex')];
        const expected = holds(of, over, hostile);
        expect([key, commitment, at, primitives.verifyEd25519(of, over, hostile)]).toEqual([key, commitment, at, expected]);
      }
  });

  const { Point } = ed25519;
  const SECRET = 123_456_789n;
  const NONCE = 987_654_321n;
  const pure = (scalar: bigint): InstanceType<typeof Point> => Point.BASE.multiply(scalar);
  const small = Point.fromHex(SMALL[12] ?? '');
  /** Whoever knows the scalars can sign under such keys and commitments, so that the equation holds with the cofactor, and without it at times. */
  test.each([
    ['a key that has a part of small order', pure(SECRET).add(small), pure(NONCE), NONCE],
    ['a commitment that has one', pure(SECRET), pure(NONCE).add(small), NONCE],
    ['a commitment of small order', pure(SECRET), small, 0n],
    ['a commitment to nothing', pure(SECRET), Point.ZERO, 0n],
    ['a key of small order', small, pure(NONCE), NONCE],
    ['a key that is nothing', Point.ZERO, pure(NONCE), NONCE],
  ])('by a signer who made %s', (what, key, commitment, nonce) => {
    let held = 0;
    for (let at = 0; at < 48; at++) {
      const [of, over, head] = [Buffer.from(key.toBytes()), Buffer.from([at]), Buffer.from(commitment.toBytes())];
      const digest = Buffer.from(sha512(Buffer.concat([head, of, over])).toReversed());
      const challenge = Point.Fn.create(BigInt(`0x${digest.toString('hex')}`));
      const secret = key.equals(small) || key.equals(Point.ZERO) ? 0n : SECRET;
      const made = Buffer.concat([head, Point.Fn.toBytes(Point.Fn.create(nonce + challenge * secret))]);
      const expected = holds(of, over, made);
      expect([what, at, primitives.verifyEd25519(of, over, made)]).toEqual([what, at, expected]);
      if (expected) held++;
    }
    // Under the first some hold, or nothing was compared.
    expect(held > 0 && held < 48).toBe(what.startsWith('a key that has'));
  });

  test('with a response that is not reduced', () => {
    let carry = 0;
    const response = Buffer.from(signature.subarray(32));
    for (const [at, byte] of response.entries()) {
      const sum = byte + (ORDER[at] ?? 0) + carry;
      response[at] = sum & 0xff;
      carry = sum >> 8;
    }
    const other = Buffer.concat([signature.subarray(0, 32), response]);
    expect([holds(publicKey, message, other), primitives.verifyEd25519(publicKey, message, other)]).toEqual([false, false]);
  });
});

test('a signature of ML-DSA-44 holds as it was made, and not with a bit changed', () => {
  const { privateKey, publicKey: made } = generateKeyPairSync('ml-dsa-44');
  const [publicKey, message] = [raw(made).subarray(-1312), bytes(50)];
  const signature = sign(null, message, privateKey);
  expect(primitives.verifyMlDsa44(publicKey, message, signature)).toBe(true);
  for (let bit = 0; bit < signature.length * 8; bit += 1999)
    expect([bit, primitives.verifyMlDsa44(publicKey, message, flipped(signature, bit))]).toEqual([bit, false]);
  expect(primitives.verifyMlDsa44(flipped(publicKey, 3), message, signature)).toBe(false);
  expect(primitives.verifyMlDsa44(publicKey, flipped(message, 3), signature)).toBe(false);
});

function flipped(of: Buffer, bit: number): Buffer {
  const other = Buffer.from(of);
  other.writeUInt8(other.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return other;
}

const said = (unpack: () => Buffer): string => {
  try {
    return unpack().toString('hex');
  } catch {
    return 'refused';
  }
};
const packed = zstdCompressSync(Buffer.from('hello hello hello'));
const large = Buffer.concat(Array.from({ length: 5000 }, (_, at) => Buffer.from(`{"seq":${at},"type":"rows"}`)));
const skipped = Buffer.from('502a4d1803000000aabbcc', 'hex');
const FRAMES: readonly (readonly [string, Buffer, number?])[] = [
  ['one frame', packed],
  ['nothing that was packed', zstdCompressSync(Buffer.alloc(0)), 1],
  ['many blocks', zstdCompressSync(large), large.length],
  ['what does not pack', zstdCompressSync(bytes(300_000)), 300_000],
  ['zeros', zstdCompressSync(Buffer.alloc(900_000)), 900_000],
  ['more than it may be, by a byte', zstdCompressSync(large), large.length - 1],
  ['a bomb', zstdCompressSync(Buffer.alloc(64 * 1024 * 1024)), 960 * 1024],
  ['two frames', Buffer.concat([packed, packed])],
  ['a frame that is skipped, and another', Buffer.concat([skipped, packed])],
  ['a frame, and one that is skipped', Buffer.concat([packed, skipped])],
  ['a frame that is skipped alone', skipped],
  ['zeros behind it', Buffer.concat([packed, Buffer.alloc(3)])],
  ['a text behind it', Buffer.concat([packed, Buffer.from('and more')])],
  ['the beginning of a frame behind it', Buffer.concat([packed, packed.subarray(0, 7)])],
  ['no byte', Buffer.alloc(0)],
  ['something else', Buffer.from('something else')],
  ['a window of 2 GiB', Buffer.from('28b52ffd00a8010000', 'hex')],
  ['a window of 256 MiB', Buffer.from('28b52ffd0090010000', 'hex')],
  ['a block of a type that there is not', Buffer.from('28b52ffd0048070000', 'hex')],
  ...Array.from({ length: packed.length - 1 }, (_, at) => [`its first ${at + 1} bytes`, packed.subarray(0, at + 1)] as const),
];

test.for(FRAMES)('zstd: %s is read as Node reads it', ([, frame, most = 1000]) => {
  const expected = said(() => zstdDecompressSync(frame, { maxOutputLength: most, chunkSize: most + 64 }));
  expect(said(() => primitives.unpackZstd(frame, most))).toBe(expected);
});

test('zstd: a frame with bits changed is refused, or is read as Node reads it where Node reads it', () => {
  const frame = zstdCompressSync(large);
  const most = large.length;
  let same = 0;
  for (let bit = 0; bit < 8 * frame.length; bit += 13) {
    const other = flipped(frame, bit);
    const [ours, theirs] = [
      said(() => primitives.unpackZstd(other, most)),
      said(() => zstdDecompressSync(other, { maxOutputLength: most, chunkSize: most + 64 })),
    ];
    if (ours === 'refused' || theirs === 'refused') continue;
    same++;
    expect([bit, ours === theirs]).toEqual([bit, true]);
  }
  expect(same).toBeGreaterThan(10);
});

test.each([-5, 1, 3, 9])('zstd: whatever level %d packs is unpacked', (level) => {
  const random = seededRandom(level);
  for (let round = 0; round < 40; round++) {
    // Repeats at any distance, among bytes of few kinds or many.
    const plain = Buffer.alloc(Math.floor(random() ** 3 * 300_000));
    const kinds = 1 + Math.floor(random() * 255);
    for (let at = 0; at < plain.length; ) {
      const length = at > 10 && random() < 0.3 ? Math.floor(random() * 300) : 0;
      const from = at - 1 - Math.floor(random() * Math.max(1, at - 1));
      for (let end = Math.min(plain.length, at + length), place = from; at < end; ) plain[at++] = plain[place++] ?? 0;
      if (at < plain.length) plain[at++] = Math.floor(random() * kinds);
    }
    const frame = zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: level } });
    expect([round, primitives.unpackZstd(frame, Math.max(1, plain.length)).equals(plain)]).toEqual([round, true]);
  }
});

test('zstd: a frame with a checksum, which no segment has, is refused', () => {
  const frame = zstdCompressSync(large, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  expect(said(() => primitives.unpackZstd(frame, large.length))).toBe('refused');
});
