import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byte, mpint, string, uint32 } from './data.ts';
import { SshError } from './error.ts';
import { HAS_KEYGEN, Keygen } from './keygen.test-support.ts';
import { fingerprint, parsePublicKey, SIGNATURE_ALGORITHMS, type Signer, signerOf, verify } from './keys.ts';
import { parsePrivateKey, PrivateKeyError } from './private-key.ts';

const DATA = Buffer.from('what is signed');
const cat = (parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
const ed25519 = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const ec = (namedCurve: string): KeyObject => generateKeyPairSync('ec', { namedCurve }).privateKey;
const rsa = (modulusLength: number): KeyObject => generateKeyPairSync('rsa', { modulusLength }).privateKey;

const SIGNERS: readonly [string, Signer][] = [
  ['Ed25519', signerOf(ed25519())],
  ['nistp256', signerOf(ec('P-256'))],
  ['nistp384', signerOf(ec('P-384'))],
  ['nistp521', signerOf(ec('P-521'))],
  ['RSA of 2,048 bits', signerOf(rsa(2_048))],
];
const certifiedName = (algorithm: string): string => `${algorithm}-cert-v01@openssh.com`;
const EACH = SIGNERS.flatMap(([name, signer]) => signer.algorithms.map((algorithm) => ({ name, signer, algorithm })));

describe('signatures', () => {
  it.each(EACH)('of $name by $algorithm are verified, and nothing else is', ({ signer, algorithm }) => {
    const key = parsePublicKey(signer.blob);
    for (let round = 0; round < 20; round++) expect(verify(key, algorithm, DATA, signer.sign(algorithm, DATA))).toBe(true);
    const signature = signer.sign(algorithm, DATA);
    expect(verify(key, algorithm, Buffer.from('What is signed'), signature)).toBe(false);
    expect(verify(key, algorithm, DATA, cat([signature, byte(0)]))).toBe(false);
    for (const other of [...SIGNATURE_ALGORITHMS, 'ssh-rsa', 'ssh-dss', ''])
      if (other !== algorithm) expect(verify(key, other, DATA, signature)).toBe(false);
    for (let length = 0; length < signature.length; length++)
      expect(verify(key, algorithm, DATA, signature.subarray(0, length))).toBe(false);
  });

  it.each(EACH)('of $name by $algorithm do not count under another name', ({ signer, algorithm }) => {
    const raw = signer.sign(algorithm, DATA).subarray(4 + algorithm.length);
    for (const name of ['ssh-rsa', 'rsa-sha2-256', 'ssh-ed25519', certifiedName(algorithm), ''])
      if (name !== algorithm) expect(verify(parsePublicKey(signer.blob), algorithm, DATA, cat([string(name), raw]))).toBe(false);
  });

  it('count by the key that made them only', () => {
    for (const { signer, algorithm } of EACH) {
      const others = SIGNERS.filter(([, other]) => other !== signer);
      for (const [, other] of others)
        expect(verify(parsePublicKey(other.blob), algorithm, DATA, signer.sign(algorithm, DATA))).toBe(false);
    }
  });

  it('by RSA count without the zeros that they begin with, and not with more', () => {
    const [, signer] = SIGNERS[4] as [string, Signer];
    const raw = (data: Buffer): Buffer => signer.sign('rsa-sha2-256', data).subarray(4 + 12 + 4);
    const tries = Array.from({ length: 5_000 }, (_, index) => Buffer.from(`${index}`));
    const data = tries.find((text) => raw(text)[0] === 0) as Buffer;
    const short = cat([string('rsa-sha2-256'), string(raw(data).subarray(1))]);
    expect(verify(parsePublicKey(signer.blob), 'rsa-sha2-256', data, short)).toBe(true);
    const long = cat([string('rsa-sha2-256'), string(cat([byte(0), raw(data)]))]);
    expect(verify(parsePublicKey(signer.blob), 'rsa-sha2-256', data, long)).toBe(false);
  });

  it('by SHA-1 are neither made nor verified', () => {
    const key = rsa(2_048);
    const signer = signerOf(key);
    expect(() => signer.sign('ssh-rsa', DATA)).toThrow(SshError);
    const sha1 = cat([string('ssh-rsa'), string(sign('sha1', DATA, key))]);
    expect(verify(parsePublicKey(signer.blob), 'ssh-rsa', DATA, sha1)).toBe(false);
    expect(verify(parsePublicKey(signer.blob), 'rsa-sha2-256', DATA, sha1)).toBe(false);
  });
});

const digest = (data: Buffer): Buffer => createHash('sha256').update(data).digest();
const flags = (value: number): Buffer => cat([byte(value), uint32(7)]);

describe('signatures of security tokens', () => {
  const application = Buffer.from('ssh:');
  const tokens = [
    {
      algorithm: 'sk-ssh-ed25519@openssh.com',
      key: ed25519(),
      sign: (data: Buffer, key: KeyObject) => sign(null, data, key),
    },
    {
      algorithm: 'sk-ecdsa-sha2-nistp256@openssh.com',
      key: ec('P-256'),
      sign: (data: Buffer, key: KeyObject) => {
        const raw = sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });
        return cat([mpint(raw.subarray(0, 32)), mpint(raw.subarray(32))]);
      },
    },
  ].map(({ algorithm, key, sign: make }) => {
    const plain = signerOf(key).blob;
    const type = 4 + plain.readUInt32BE();
    return {
      algorithm,
      blob: cat([string(algorithm), plain.subarray(type), string(application)]),
      signature: (value: number, tail = flags(value)): Buffer =>
        cat([string(algorithm), string(make(cat([digest(application), flags(value), digest(DATA)]), key)), tail]),
    };
  });

  it.each(tokens)('by $algorithm count where somebody touched it', ({ algorithm, blob, signature }) => {
    const key = parsePublicKey(blob);
    expect(key.application).toEqual(application);
    expect(verify(key, algorithm, DATA, signature(1))).toBe(true);
    expect(verify(key, algorithm, DATA, signature(5))).toBe(true);
    expect(verify(key, algorithm, DATA, signature(0))).toBe(false);
    expect(verify(key, algorithm, DATA, signature(4))).toBe(false);
  });

  it.each(tokens)(
    'by $algorithm count with the flags and the counter that were signed only',
    ({ algorithm, blob, signature }) => {
      const key = parsePublicKey(blob);
      expect(verify(key, algorithm, DATA, signature(0, flags(1)))).toBe(false);
      expect(verify(key, algorithm, DATA, signature(1, cat([byte(1), uint32(8)])))).toBe(false);
      expect(verify(key, algorithm, DATA, signature(1, Buffer.alloc(0)))).toBe(false);
      expect(verify(key, algorithm, DATA, signature(1, cat([flags(1), byte(0)])))).toBe(false);
    },
  );

  it.each(tokens)('by $algorithm are for one application', ({ algorithm, blob, signature }) => {
    const other = cat([blob.subarray(0, blob.length - 8), string('web:')]);
    expect(verify(parsePublicKey(other), algorithm, DATA, signature(1))).toBe(false);
  });
});

describe('public keys', () => {
  const edPoint = parsePublicKey((SIGNERS[0] as [string, Signer])[1].blob).blob.subarray(15);
  const p256 = (SIGNERS[1] as [string, Signer])[1].blob;
  const point = p256.subarray(p256.length - 65);
  const rsaBlob = (e: number[], n: Buffer): Buffer => cat([string('ssh-rsa'), mpint(Buffer.from(e)), mpint(n)]);
  const modulus = Buffer.alloc(256, 0xff);

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['a type that nobody has', cat([string('ssh-foo'), edPoint])],
    ['DSA', cat([string('ssh-dss'), mpint(modulus), mpint(modulus), mpint(modulus), mpint(modulus)])],
    ['a certificate', cat([string('ssh-ed25519-cert-v01@openssh.com'), string('nonce'), edPoint])],
    ['bytes behind a key', cat([string('ssh-ed25519'), edPoint, byte(0)])],
    ['an Ed25519 key of 31 bytes', cat([string('ssh-ed25519'), string(Buffer.alloc(31, 1))])],
    ['an Ed25519 key of 33 bytes', cat([string('ssh-ed25519'), string(Buffer.alloc(33, 1))])],
    ['another curve than the type says', cat([string('ecdsa-sha2-nistp256'), string('nistp384'), string(point)])],
    [
      'a compressed point',
      cat([string('ecdsa-sha2-nistp256'), string('nistp256'), string(cat([byte(2), point.subarray(1, 33)]))]),
    ],
    [
      'a point off its curve',
      cat([string('ecdsa-sha2-nistp256'), string('nistp256'), string(cat([byte(4), Buffer.alloc(64, 7)]))]),
    ],
    ['the point at infinity', cat([string('ecdsa-sha2-nistp256'), string('nistp256'), string(byte(0))])],
    ['a point of zeros', cat([string('ecdsa-sha2-nistp256'), string('nistp256'), string(cat([byte(4), Buffer.alloc(64)]))])],
    ['RSA of 2,047 bits', rsaBlob([1, 0, 1], cat([byte(0x7f), Buffer.alloc(255, 0xff)]))],
    ['RSA of 1,024 bits', rsaBlob([1, 0, 1], Buffer.alloc(128, 0xff))],
    ['RSA of no bits', rsaBlob([1, 0, 1], Buffer.alloc(0))],
    ['RSA of 16,392 bits', rsaBlob([1, 0, 1], Buffer.alloc(2_049, 0xff))],
    ['an RSA exponent of 1', rsaBlob([1], modulus)],
    ['an even RSA exponent', rsaBlob([1, 0, 0], modulus)],
    ['no RSA exponent', rsaBlob([], modulus)],
    ['an RSA exponent of 40 bits', rsaBlob([1, 0, 0, 0, 1], modulus)],
    ['a negative RSA modulus', cat([string('ssh-rsa'), mpint(Buffer.from([1, 0, 1])), string(modulus)])],
  ])('refuses %s', (_, blob) => {
    expect(() => parsePublicKey(blob)).toThrow(SshError);
  });

  it('are copies: what was read may change later', () => {
    const blob = Buffer.from(p256);
    const key = parsePublicKey(blob);
    blob.fill(0);
    expect(key.blob).toEqual(p256);
    expect(key.type).toBe('ecdsa-sha2-nistp256');
  });

  it('that are damaged in any way throw SshError or are other keys', () => {
    const blobs = fc.constantFrom(...SIGNERS.map(([, signer]) => signer.blob));
    fc.assert(
      fc.property(blobs, fc.nat(), fc.nat(255), fc.nat(4), (blob, at, value, cut) => {
        const damaged = Buffer.from(blob.subarray(0, blob.length - cut));
        damaged[at % damaged.length] = value;
        try {
          expect(parsePublicKey(damaged).blob).toEqual(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(SshError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe.skipIf(!HAS_KEYGEN)('keys that OpenSSH makes', () => {
  const keygen = new Keygen();
  const kinds = [
    { name: 'ed25519', args: [] },
    { name: 'ecdsa', args: ['-b', '256'] },
    { name: 'ecdsa', args: ['-b', '384'] },
    { name: 'ecdsa', args: ['-b', '521'] },
    { name: 'rsa', args: ['-b', '2048'] },
    { name: 'rsa', args: ['-b', '3072'] },
  ];
  const formats = [
    { format: 'openssh-key-v1', convert: [] },
    { format: 'PKCS#8', convert: ['-m', 'PKCS8'] },
    { format: 'PEM', convert: ['-m', 'PEM'] },
  ];
  // ssh-keygen writes Ed25519 in its own format whatever it is asked.
  const cases = kinds.flatMap(({ name, args }) =>
    formats.map(({ format, convert }) => ({ name, args, format, convert, label: [name, ...args].join(' ') })),
  );

  it.each(cases)('$label in $format are read, and say the same as their public half', ({ name, args, format, convert }) => {
    const file = `${[name, ...args].join('')}-${format.replace(/\W/g, '')}`;
    keygen.make(file, name, ...args, ...convert);
    const signer = parsePrivateKey(keygen.text(file));
    expect(signer.blob).toEqual(keygen.blob(file));
    expect(keygen.run('-l', '-f', `${file}.pub`)).toContain(fingerprint(signer.blob));
    const algorithm = signer.algorithms[0] as string;
    expect(verify(parsePublicKey(keygen.blob(file)), algorithm, DATA, signer.sign(algorithm, DATA))).toBe(true);
  });

  it.each(kinds)('sign $name $args what we verify, and verify what we sign', ({ name, args }) => {
    const file = `both${[name, ...args].join('')}`;
    keygen.make(file, name, ...args);
    writeFileSync(keygen.path(`${file}.data`), DATA);
    keygen.run('-Y', 'sign', '-q', '-n', 'test', '-f', file, `${file}.data`);
    // OpenSSH's PROTOCOL.sshsig: what is signed, and the signature in its armour.
    const envelope = Buffer.from(keygen.text(`${file}.data.sig`).replace(/-----.*-----|\s/g, ''), 'base64');
    const hash = createHash('sha512').update(DATA).digest();
    const signed = cat([Buffer.from('SSHSIG'), string('test'), string(''), string('sha512'), string(hash)]);
    const blob = keygen.blob(file);
    const head = cat([Buffer.from('SSHSIG'), uint32(1), string(blob), string('test'), string(''), string('sha512')]);
    expect(envelope.subarray(0, head.length)).toEqual(head);
    const signer = parsePrivateKey(keygen.text(file));
    const algorithm = signer.algorithms[0] as string;
    expect(verify(parsePublicKey(blob), algorithm, signed, envelope.subarray(head.length + 4))).toBe(true);

    const ours = cat([head, string(signer.sign(algorithm, signed))]).toString('base64');
    writeFileSync(
      keygen.path(`${file}.ours`),
      `-----BEGIN SSH SIGNATURE-----\n${ours.replace(/.{70}/g, '$&\n')}\n-----END SSH SIGNATURE-----\n`,
    );
    writeFileSync(keygen.path(`${file}.allowed`), `me ${keygen.text(`${file}.pub`)}`);
    const args2 = ['-Y', 'verify', '-n', 'test', '-I', 'me', '-f', `${file}.allowed`, '-s', `${file}.ours`];
    const said = execFileSync('ssh-keygen', args2, { cwd: keygen.directory, input: DATA }).toString();
    expect(said).toContain('Good "test" signature');
  });

  it.each([
    ['openssh-key-v1', []],
    ['PKCS#8', ['-m', 'PKCS8']],
    ['PEM', ['-m', 'PEM']],
  ] as const)('with a passphrase in %s are refused as encrypted', (format, args) => {
    const file = `secret-${format.replace(/\W/g, '')}`;
    keygen.run('-q', '-N', 'passphrase', '-f', file, '-t', 'rsa', '-b', '2048', ...args);
    expect(() => parsePrivateKey(keygen.text(file))).toThrow(expect.objectContaining({ code: 'encrypted' }));
  });

  it('of 1,024 bits are refused as unsupported', () => {
    const file = 'short';
    keygen.make(file, 'rsa', '-b', '1024');
    expect(() => parsePrivateKey(keygen.text(file))).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it.each([
    ['whose halves are of two keys', (own: Buffer, other: Buffer) => cat([own.subarray(0, -100), other.subarray(-100)])],
    [
      'with a check that differs',
      (own: Buffer) => own.fill(0xaa, own.indexOf('ssh-ed25519', 80) - 8, own.indexOf('ssh-ed25519', 80) - 4),
    ],
    ['that are cut off', (own: Buffer) => own.subarray(0, -1)],
    ['that go on', (own: Buffer) => cat([own, byte(0)])],
    ['with another padding', (own: Buffer) => own.fill(9, own.length - 1)],
    ['of nothing', () => Buffer.from('openssh-key-v1\0')],
  ] as const)('%s are malformed', (_, change) => {
    const files = [`one-${_}`, `two-${_}`].map((name) => name.replace(/\W/g, ''));
    for (const file of files) keygen.make(file, 'ed25519');
    const [own, other] = files.map((file) => Buffer.from(keygen.text(file).replace(/-----.*-----|\s/g, ''), 'base64')) as [
      Buffer,
      Buffer,
    ];
    const text = `-----BEGIN OPENSSH PRIVATE KEY-----\n${change(own, other).toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
    expect(() => parsePrivateKey(text)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });
});

describe('private keys', () => {
  const SECRET = 'hunter2';

  it.each([
    ['nothing', '', 'malformed'],
    ['other text', SECRET, 'malformed'],
    ['a PEM of garbage', `-----BEGIN PRIVATE KEY-----\n${SECRET}\n-----END PRIVATE KEY-----`, 'malformed'],
    ['a text without end', SECRET.repeat(100_000), 'malformed'],
    ['X25519', generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), 'unsupported'],
    ['secp256k1', ec('secp256k1').export({ type: 'pkcs8', format: 'pem' }), 'unsupported'],
    [
      'RSA for PSS',
      generateKeyPairSync('rsa-pss', { modulusLength: 2_048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
      'unsupported',
    ],
  ] as const)('%s is refused without being quoted', (_, text, code) => {
    try {
      parsePrivateKey(text);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(PrivateKeyError);
      expect((error as PrivateKeyError).code).toBe(code);
      expect(`${(error as Error).stack} ${String((error as Error).cause)}`).not.toContain(SECRET);
    }
  });
});
