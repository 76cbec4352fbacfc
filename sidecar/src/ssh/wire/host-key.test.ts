import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { UPSTREAM } from './algorithms.ts';
import { type CertificateClaims, issueCertificate, withCertificate } from './cert.ts';
import { DISCONNECT, SshError } from './error.ts';
import { algorithmsFor, checkHost, type HostKeyCheck } from './host-key.ts';
import { parsePublicKey, type Signer, signerOf } from './keys.ts';

const anEd25519 = (): Signer => signerOf(generateKeyPairSync('ed25519').privateKey);
const AUTHORITY = anEd25519();
const HOST = anEd25519();
const RSA = signerOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
const HASH = Buffer.from('the exchange hash');
const CERTIFIED = 'ssh-ed25519-cert-v01@openssh.com';

function aCertificate(mods: Partial<CertificateClaims> = {}, { key = HOST, by = AUTHORITY } = {}): Signer {
  const claims: CertificateClaims = {
    kind: 'host',
    serial: 1n,
    keyId: 'db',
    principals: ['db.example'],
    validAfter: 1_000n,
    validBefore: 2_000n,
    critical: new Map(),
    extensions: new Map(),
    ...mods,
  };
  return withCertificate(key, issueCertificate(claims, parsePublicKey(key.blob), by));
}

const pinned = (...keys: [Buffer, ...Buffer[]]): HostKeyCheck => ({ kind: 'pinned', keys });
const certifiedAt = (nowMs: number, host = 'db.example'): HostKeyCheck => ({
  kind: 'certified',
  authorities: [AUTHORITY.blob],
  host,
  nowMs,
});
const NOW = 1_500_000;

function check(how: HostKeyCheck, signer: Signer, { algorithm = signer.algorithms[0] ?? '', signed = HASH } = {}): void {
  checkHost(how, { blob: signer.blob, algorithm, exchangeHash: HASH, signature: signer.sign(algorithm, signed) });
}

describe('a host', () => {
  it.each([
    ['the key that is pinned', pinned(HOST.blob), HOST],
    ['one of the keys that are pinned', pinned(RSA.blob, HOST.blob), HOST],
    ['an RSA key, with SHA-512', pinned(RSA.blob), RSA],
    ['a certificate for its name, in its time', certifiedAt(NOW), aCertificate()],
    ['a certificate for an RSA key', certifiedAt(NOW), aCertificate({}, { key: RSA })],
  ])('is known by %s', (_, how, signer) => {
    check(how, signer);
  });

  it('is known by each algorithm of its key', () => {
    for (const algorithm of ['rsa-sha2-256', 'rsa-sha2-512']) check(pinned(RSA.blob), RSA, { algorithm });
  });

  it.each<[string, HostKeyCheck, Signer, string?]>([
    ['another key', pinned(HOST.blob), anEd25519()],
    ['a certificate for the key that is pinned', pinned(HOST.blob), aCertificate()],
    ['a certificate of another authority', certifiedAt(NOW), aCertificate({}, { by: anEd25519() })],
    ['a certificate that it signed itself', certifiedAt(NOW), aCertificate({}, { by: HOST })],
    ['a certificate for another name', certifiedAt(NOW, 'other.example'), aCertificate()],
    ['a certificate for no name', certifiedAt(NOW), aCertificate({ principals: [] })],
    ['a certificate for every name', certifiedAt(NOW), aCertificate({ principals: ['*'] })],
    ['a certificate of a user', certifiedAt(NOW), aCertificate({ kind: 'user' })],
    ['a certificate whose time has not come', certifiedAt(999_999), aCertificate()],
    ['a certificate whose time is over', certifiedAt(2_000_000), aCertificate()],
    [
      'a certificate with a restriction that nobody knows',
      certifiedAt(NOW),
      aCertificate({ critical: new Map([['x', Buffer.alloc(0)]]) }),
    ],
  ])('is not known by %s', (_, how, signer) => {
    expect(() => check(how, signer)).toThrow(expect.objectContaining({ reason: DISCONNECT.hostKeyNotVerifiable }));
  });

  it.each<[string, HostKeyCheck, Signer]>([
    ['a plain key where a certificate is asked for', certifiedAt(NOW), HOST],
    ["the authority's own key", certifiedAt(NOW), AUTHORITY],
    ['what is no key', certifiedAt(NOW), { ...HOST, blob: Buffer.from('nothing') }],
  ])('is not known by %s', (_, how, signer) => {
    expect(() => check(how, signer)).toThrow(SshError);
  });

  it('is not known by a signature of something else, or by another algorithm than was agreed on', () => {
    for (const [how, signer] of [
      [pinned(HOST.blob), HOST],
      [certifiedAt(NOW), aCertificate()],
    ] as const)
      expect(() => check(how, signer, { signed: Buffer.from('something else') })).toThrow('did not prove');
    const proof = { blob: RSA.blob, exchangeHash: HASH, signature: RSA.sign('rsa-sha2-256', HASH) };
    expect(() => checkHost(pinned(RSA.blob), { ...proof, algorithm: 'rsa-sha2-512' })).toThrow('did not prove');
  });
});

describe('what a server is asked for', () => {
  it('is what it can be known by: of pinned keys their algorithms, of authorities certificates alone', () => {
    expect(algorithmsFor(pinned(RSA.blob, HOST.blob), UPSTREAM)).toEqual(['rsa-sha2-512', 'rsa-sha2-256', 'ssh-ed25519']);
    const asked = algorithmsFor(certifiedAt(NOW), UPSTREAM);
    expect(asked).toContain(CERTIFIED);
    expect(asked.filter((name) => !name.endsWith('-cert-v01@openssh.com'))).toEqual([]);
  });

  it('is nothing where a pinned key is none', () => {
    expect(() => algorithmsFor(pinned(Buffer.from('nothing')), UPSTREAM)).toThrow(SshError);
  });
});
