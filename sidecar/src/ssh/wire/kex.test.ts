import {
  createECDH,
  createHash,
  createPublicKey,
  decapsulate,
  diffieHellman,
  generateKeyPairSync,
  getDiffieHellman,
} from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mpint, string } from './data.ts';
import { DISCONNECT, SshError } from './error.ts';
import { deriveKey, hashExchange, KEX, type KexName } from './kex.ts';

const NAMES = Object.keys(KEX) as KexName[];

function expectRefused(step: () => unknown): void {
  expect(step).toThrow(expect.objectContaining({ name: 'SshError', reason: DISCONNECT.keyExchangeFailed }));
}

const prime = (group: string): bigint => BigInt(`0x${getDiffieHellman(group).getPrime('hex')}`);
const encoded = (value: bigint): Buffer => {
  const hex = value.toString(16);
  return mpint(Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')).subarray(4);
};

describe('key exchanges', () => {
  it.each(NAMES)('%s gives both sides the same secret, and another one each time', (name) => {
    const secrets = Array.from({ length: 3 }, () => {
      const started = KEX[name].start();
      const answer = KEX[name].answer(started.share);
      expect(started.finish(answer.share)).toEqual(answer.secret);
      return answer.secret.toString('hex');
    });
    expect(new Set(secrets).size).toBe(3);
  });

  it.each(['curve25519-sha256', 'curve25519-sha256@libssh.org'] as const)('%s makes an mpint of what X25519 makes', (name) => {
    const { privateKey, publicKey } = generateKeyPairSync('x25519');
    const { share, secret } = KEX[name].answer(publicKey.export({ format: 'raw-public' }));
    const theirs = createPublicKey({ key: share, format: 'raw-public', asymmetricKeyType: 'x25519' });
    expect(secret).toEqual(mpint(diffieHellman({ privateKey, publicKey: theirs })));
  });

  it('mlkem768x25519-sha256 makes a string: the hash of both secrets, ML-KEM first', () => {
    const curve = generateKeyPairSync('x25519');
    const kem = generateKeyPairSync('ml-kem-768');
    const shares = [kem, curve].map(({ publicKey }) => publicKey.export({ format: 'raw-public' }));
    const { share, secret } = KEX['mlkem768x25519-sha256'].answer(Buffer.concat(shares));
    expect(share).toHaveLength(1088 + 32);
    const theirs = createPublicKey({ key: share.subarray(1088), format: 'raw-public', asymmetricKeyType: 'x25519' });
    const digest = createHash('sha256').update(decapsulate(kem.privateKey, share.subarray(0, 1088)));
    digest.update(diffieHellman({ privateKey: curve.privateKey, publicKey: theirs }));
    expect(secret).toEqual(string(digest.digest()));
  });

  it('ecdh-sha2-nistp256 makes an mpint of the coordinate x', () => {
    const ecdh = createECDH('prime256v1');
    const { share, secret } = KEX['ecdh-sha2-nistp256'].answer(ecdh.generateKeys());
    expect(secret).toEqual(mpint(ecdh.computeSecret(share)));
  });

  it.each([
    ['diffie-hellman-group14-sha256', 'modp14', 'sha256'],
    ['diffie-hellman-group16-sha512', 'modp16', 'sha512'],
  ] as const)('%s makes an mpint over %s', (name, group, hash) => {
    const dh = getDiffieHellman(group);
    const { share, secret } = KEX[name].answer(mpint(dh.generateKeys()).subarray(4));
    expect(secret).toEqual(mpint(dh.computeSecret(share)));
    expect(KEX[name].hash).toBe(hash);
  });

  describe.each([
    ['diffie-hellman-group14-sha256', 'modp14'],
    ['diffie-hellman-group16-sha512', 'modp16'],
  ] as const)('%s', (name, group) => {
    it.each([
      ['0', 0n],
      ['1', 1n],
      ['p - 1', prime(group) - 1n],
      ['p', prime(group)],
      ['p + 1', prime(group) + 1n],
      ['a number of another length', prime(group) << 64n],
    ])('refuses %s, from either side', (_, value) => {
      expectRefused(() => KEX[name].answer(encoded(value)));
      expectRefused(() => KEX[name].start().finish(encoded(value)));
    });

    it('takes 2 and p - 2', () => {
      for (const value of [2n, prime(group) - 2n]) KEX[name].answer(encoded(value));
    });

    it('refuses a negative number', () => {
      expect(() => KEX[name].answer(Buffer.of(0x80, 1))).toThrow(SshError);
    });
  });

  const point = createECDH('prime256v1').generateKeys();
  const offCurve = Buffer.from(point);
  offCurve[64] = (offCurve[64] as number) ^ 1;
  it.each<[string, KexName, Buffer]>([
    ['a secret of zeros', 'curve25519-sha256', Buffer.alloc(32)],
    ['the point of order 2', 'curve25519-sha256', Buffer.concat([Buffer.of(1), Buffer.alloc(31)])],
    ['31 bytes', 'curve25519-sha256', Buffer.alloc(31, 9)],
    ['33 bytes', 'curve25519-sha256', Buffer.alloc(33, 9)],
    ['a point off the curve', 'ecdh-sha2-nistp256', offCurve],
    ['a compressed point', 'ecdh-sha2-nistp256', Buffer.concat([Buffer.of(2), point.subarray(1, 33)])],
    ['a hybrid form of a point', 'ecdh-sha2-nistp256', Buffer.concat([Buffer.of(6), point.subarray(1)])],
    ['the point at infinity', 'ecdh-sha2-nistp256', Buffer.of(0)],
  ])('refuse %s', (_, name, share) => {
    expectRefused(() => KEX[name].answer(share));
    expectRefused(() => KEX[name].start().finish(share));
  });

  it('mlkem768x25519-sha256 refuses an encapsulation key out of range, and a curve share of zeros on either side', () => {
    const kex = KEX['mlkem768x25519-sha256'];
    const { share } = kex.start();
    expectRefused(() => kex.answer(Buffer.concat([Buffer.alloc(1184, 0xff), share.subarray(1184)])));
    expectRefused(() => kex.answer(Buffer.concat([share.subarray(0, 1184), Buffer.alloc(32)])));
    expectRefused(() => kex.answer(share.subarray(1)));
    const answer = kex.answer(share).share;
    expectRefused(() => kex.start().finish(Buffer.concat([answer.subarray(0, 1088), Buffer.alloc(32)])));
    expectRefused(() => kex.start().finish(answer.subarray(1)));
  });

  it('mlkem768x25519-sha256 gives another secret where the ciphertext is not ours, as ML-KEM does', () => {
    const kex = KEX['mlkem768x25519-sha256'];
    const started = kex.start();
    const { share, secret } = kex.answer(started.share);
    share[0] = (share[0] as number) ^ 1;
    expect(started.finish(share)).not.toEqual(secret);
  });

  it('refuse or agree, whatever the share is', () => {
    fc.assert(
      fc.property(fc.constantFrom(...NAMES), fc.uint8Array({ maxLength: 1300 }), (name, share) => {
        for (const step of [() => KEX[name].answer(Buffer.from(share)), () => KEX[name].start().finish(Buffer.from(share))])
          try {
            step();
          } catch (error) {
            expect(error).toBeInstanceOf(SshError);
          }
      }),
      { numRuns: 60 },
    );
  });
});

const field = (text: string): Buffer => Buffer.from(text);

describe('the exchange hash', () => {
  it('is of each field behind its length, in the order of RFC 4253, section 8', () => {
    const transcript = {
      idents: { client: 'V_C', server: 'V_S' },
      clientInit: field('I_C'),
      serverInit: field('I_S'),
      hostKey: field('K_S'),
      clientShare: field('Q_C'),
      serverShare: field('Q_S'),
      secret: mpint(Buffer.of(0x80)),
    };
    const text = ['V_C', 'V_S', 'I_C', 'I_S', 'K_S', 'Q_C', 'Q_S'].map((name) => `\0\0\0\x03${name}`).join('');
    const expected = (hash: string) => createHash(hash).update(text).update(Buffer.from('000000020080', 'hex')).digest('hex');
    for (const hash of ['sha256', 'sha512'] as const) expect(hashExchange(hash, transcript).toString('hex')).toBe(expected(hash));
  });
});

describe('keys', () => {
  /** What `openssl kdf -kdfopt digest:… -kdfopt hexkey:… -kdfopt hexxcghash:… -kdfopt hexsession_id:… -kdfopt type:… SSHKDF` prints. */
  it.each([
    [
      'sha256',
      'A',
      '9eed8902295e49b39d25d180bd75d2d2737800a0b84b78bb206227448394c3482c7e78f4df667fce81d36a792bcde187d4b53c58f867d825097e3d40424f64025a869de6f4e380fcb21d46ab68a2edfff3d31f84cf2ebc5f475a1e3bce361833dc47ba87',
    ],
    [
      'sha256',
      'F',
      'f18b8b0b9be1f94103161adbf4a5cde7a5030dff33d8ee8eeefd8affca89a75b180cb18c9b3a66e341d6691c7fd0d1f921081c31ab0158003cd2d655d5f2c8917686bd2e0ad3f86752e536546190f3b75f2d89eb472ff43258803bb552cddb84386a7079',
    ],
    [
      'sha512',
      'A',
      'd92f860095ead8dc64f4ac0a89d0eac4844cc6f18ce3b9a62fad141270606a6daec16047392aefd9a7cfffcbe4a0db3e571c4a7513ae3443cc99a9d4bd146d41a2fe4ddde52745c48e8a9597ccbb5ba0b6a37cc4982a3555e180f339bc8e4e288a05ccc4',
    ],
    [
      'sha512',
      'F',
      'f1ba5d2df3168f73f1810fcbee2ca4aa2c9e82d475ffaa05a544dc20e746bb6b9009c3b9480a3549cdc57c83adbe155b5e5d14ad23611f0427131d4ab91daf84cda76fdac65af04fb93d05072873aeb3945ab1c109745153385ed5cd09fcf72d63195101',
    ],
  ] as const)('are derived as OpenSSL derives them: %s, %s', (hash, letter, expected) => {
    const size = hash === 'sha256' ? 32 : 64;
    const agreed = {
      hash,
      secret: mpint(Buffer.alloc(32, 0xc5)),
      exchangeHash: Buffer.alloc(size, 0x1f),
      sessionId: Buffer.alloc(size, 0x2e),
    };
    for (const bytes of [1, size - 1, size, size + 1, 100])
      expect(deriveKey(agreed, letter, bytes).toString('hex')).toBe(expected.slice(0, bytes * 2));
  });
});
