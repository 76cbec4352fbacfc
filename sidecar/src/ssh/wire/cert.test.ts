import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CertificateClaims,
  type CertificateRefusal,
  type CertificateUse,
  certified,
  issueCertificate,
  judgeCertificate,
  parseCertificate,
  plainAlgorithm,
  withCertificate,
} from './cert.ts';
import { string, uint32, uint64 } from './data.ts';
import { SshError } from './error.ts';
import { HAS_KEYGEN, Keygen } from './keygen.test-support.ts';
import { parsePublicKey, type Signer, SIGNATURE_ALGORITHMS, signerOf, verify } from './keys.ts';
import { parsePrivateKey } from './private-key.ts';

const ed25519 = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const authority = signerOf(ed25519());
const holder = signerOf(ed25519());
const key = parsePublicKey(holder.blob);
const NOW = 1_800_000_000;
const DATA = Buffer.from('what is signed');

const claims = (mods: Partial<CertificateClaims> = {}): CertificateClaims => ({
  kind: 'user',
  serial: 7n,
  keyId: 'agent of a test',
  principals: ['alice', 'bob'],
  validAfter: BigInt(NOW - 60),
  validBefore: BigInt(NOW + 60),
  critical: new Map(),
  extensions: new Map([['permit-pty', Buffer.alloc(0)]]),
  ...mods,
});
const use = (mods: Partial<CertificateUse> = {}): CertificateUse => ({
  kind: 'user',
  authorities: [authority.blob],
  principal: 'alice',
  nowMs: NOW * 1000,
  ...mods,
});
const critical = (values: Record<string, Buffer>): Partial<CertificateClaims> => ({ critical: new Map(Object.entries(values)) });
const issued = (mods: Partial<CertificateClaims> = {}, by = authority): Buffer => issueCertificate(claims(mods), key, by);

describe('a certificate', () => {
  it('is read as it was issued', () => {
    const mods = critical({ 'source-address': string('10.0.0.0/8'), 'force-command': string('true') });
    const { key: read, authority: by, ...rest } = parseCertificate(issued(mods));
    expect(rest).toEqual(claims(mods));
    expect(read.blob).toEqual(holder.blob);
    expect(by.blob).toEqual(authority.blob);
  });

  it.each([
    ['sk-ssh-ed25519@openssh.com', holder.blob.subarray(15)],
    [
      'sk-ecdsa-sha2-nistp256@openssh.com',
      signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey).blob.subarray(23),
    ],
  ])('of a key of a security token (%s) is read as it was issued', (type, fields) => {
    const token = parsePublicKey(Buffer.concat([string(type), fields, string('ssh:')]));
    expect(parseCertificate(issueCertificate(claims(), token, authority)).key).toMatchObject({ type, blob: token.blob });
  });

  it('of two, none is like the other', () => {
    expect(issued().equals(issued())).toBe(false);
  });

  it('is accepted for whom it names, by whom it is signed, in its time', () => {
    expect(judgeCertificate(parseCertificate(issued()), use())).toEqual({ kind: 'accepted', forceCommand: undefined });
    expect(judgeCertificate(parseCertificate(issued()), use({ principal: 'bob' })).kind).toBe('accepted');
  });

  it('forces its command', () => {
    const certificate = parseCertificate(issued(critical({ 'force-command': string('uptime -p') })));
    expect(judgeCertificate(certificate, use())).toEqual({ kind: 'accepted', forceCommand: Buffer.from('uptime -p') });
  });

  it.each<[string, CertificateRefusal, Partial<CertificateClaims>, Partial<CertificateUse>]>([
    ['another authority', 'UnknownAuthority', {}, { authorities: [holder.blob] }],
    ['no authority', 'UnknownAuthority', {}, { authorities: [] }],
    ['a host where a user is wanted', 'WrongKind', { kind: 'host' }, {}],
    ['a user where a host is wanted', 'WrongKind', {}, { kind: 'host' }],
    ['a second too early', 'NotYetValid', { validAfter: BigInt(NOW + 1) }, {}],
    ['its last second over', 'Expired', { validBefore: BigInt(NOW) }, {}],
    ['a validity that ends before it begins', 'NotYetValid', { validAfter: BigInt(NOW + 9), validBefore: BigInt(NOW + 8) }, {}],
    ['a name that it does not hold', 'OtherPrincipal', {}, { principal: 'carol' }],
    ['a name in another case', 'OtherPrincipal', {}, { principal: 'Alice' }],
    ['no names', 'OtherPrincipal', { principals: [] }, {}],
    ['an empty name', 'OtherPrincipal', {}, { principal: '' }],
    ['a part of a name', 'OtherPrincipal', {}, { principal: 'ali' }],
    ['a name before a comma', 'OtherPrincipal', { principals: ['alice,root'] }, {}],
    ['a name behind a comma', 'OtherPrincipal', { principals: ['root,alice'] }, {}],
    ['a name beside a space', 'OtherPrincipal', { principals: [' alice', 'alice '] }, {}],
    ['a star', 'OtherPrincipal', { principals: ['*', 'a*', 'alic?'] }, {}],
    ['a critical option that nobody knows', 'UnknownCritical', critical({ 'only-on-sundays': Buffer.alloc(0) }), {}],
    ['a token that has to know its user', 'UnknownCritical', critical({ 'verify-required': Buffer.alloc(0) }), {}],
    ['a forced command that is no string', 'UnknownCritical', critical({ 'force-command': Buffer.from('ls') }), {}],
    ['bytes behind a forced command', 'UnknownCritical', critical({ 'force-command': Buffer.concat([string('ls'), DATA]) }), {}],
    [
      'a critical option of users for a host',
      'UnknownCritical',
      { kind: 'host', ...critical({ 'force-command': string('ls') }) },
      { kind: 'host' },
    ],
    ['an address where none is known', 'OtherAddress', critical({ 'source-address': string('10.0.0.0/8') }), {}],
    ['another address', 'OtherAddress', critical({ 'source-address': string('10.0.0.0/8') }), { isWithin: () => false }],
  ])('is refused for %s', (_, refusal, mods, wanted) => {
    expect(judgeCertificate(parseCertificate(issued(mods)), use(wanted))).toEqual({ kind: 'refused', refusal });
  });

  it('asks whether the address lies in one of its ranges', () => {
    const asked: string[] = [];
    const isWithin = (ranges: readonly string[]): boolean => asked.push(...ranges) > 0;
    const certificate = parseCertificate(issued(critical({ 'source-address': string('10.0.0.0/8,2001:db8::/32') })));
    expect(judgeCertificate(certificate, use({ isWithin })).kind).toBe('accepted');
    expect(asked).toEqual(['10.0.0.0/8', '2001:db8::/32']);
  });

  it('may hold any extension', () => {
    const extensions = new Map([['login@github.com', string('octocat')]]);
    expect(judgeCertificate(parseCertificate(issued({ extensions })), use()).kind).toBe('accepted');
  });

  it('is not read where any byte of it is another', () => {
    const blob = issued(critical({ 'force-command': string('true') }));
    for (let at = 0; at < blob.length; at++) {
      const damaged = Buffer.from(blob);
      damaged[at] = (damaged[at] as number) ^ 1;
      expect(() => parseCertificate(damaged)).toThrow(SshError);
      expect(() => parseCertificate(blob.subarray(0, at))).toThrow(SshError);
    }
    expect(() => parseCertificate(Buffer.concat([blob, Buffer.of(0)]))).toThrow(SshError);
  });

  it('is a copy: what was read may change later', () => {
    const blob = issued(critical({ 'force-command': string('true') }));
    const certificate = parseCertificate(blob);
    blob.fill(0xff);
    expect(certificate.critical.get('force-command')).toEqual(string('true'));
  });
});

/** Signs what {@link issueCertificate} would not write. */
function forged(
  fields: Partial<Record<'type' | 'kind' | 'keyId' | 'principals' | 'critical' | 'authority', Buffer>>,
  by: Signer = authority,
): Buffer {
  const body = Buffer.concat([
    fields.type ?? string('ssh-ed25519-cert-v01@openssh.com'),
    string('nonce'),
    holder.blob.subarray(4 + 'ssh-ed25519'.length),
    uint64(1n),
    fields.kind ?? uint32(1),
    fields.keyId ?? string('id'),
    fields.principals ?? string(string('alice')),
    uint64(0n),
    uint64(2n ** 64n - 1n),
    fields.critical ?? string(''),
    string(''),
    string(''),
    string(fields.authority ?? by.blob),
  ]);
  return Buffer.concat([body, string(by.sign(by.algorithms[0] as string, body))]);
}

const pair = (name: string): Buffer => Buffer.concat([string(name), string('')]);

describe('a certificate that is signed all the same', () => {
  it('is read where nothing is wrong with it', () => {
    expect(judgeCertificate(parseCertificate(forged({})), use()).kind).toBe('accepted');
  });

  it.each<[string, Parameters<typeof forged>]>([
    ['of another type', [{ type: string('ssh-ed25519') }]],
    ['of DSA', [{ type: string('ssh-dss-cert-v01@openssh.com') }]],
    ['of the first version', [{ type: string('ssh-ed25519-cert-v00@openssh.com') }]],
    ['of neither a user nor a host', [{ kind: uint32(3) }]],
    ['with a NUL in a name', [{ principals: string(string('alice\0')) }]],
    ['with a line break in a name', [{ principals: string(string('alice\nroot')) }]],
    ['with a name that is not UTF-8', [{ principals: string(string(Buffer.from([0xff, 0xfe]))) }]],
    ['with a name that does not end', [{ principals: string(uint32(9)) }]],
    ['with 257 names', [{ principals: string(Buffer.concat(Array.from({ length: 257 }, () => string('a')))) }]],
    ['with an id of 1,025 bytes', [{ keyId: string('i'.repeat(1_025)) }]],
    ['with an option twice', [{ critical: string(Buffer.concat([pair('force-command'), pair('force-command')])) }]],
    ['with options out of order', [{ critical: string(Buffer.concat([pair('b'), pair('a')])) }]],
    ['with 65 options', [{ critical: string(Buffer.concat(Array.from({ length: 65 }, (_, i) => pair(`o${10 + i}`)))) }]],
    ['with an option without value', [{ critical: string(string('force-command')) }]],
    ['that is too long', [{ keyId: string('i'.repeat(20_000)) }]],
    [
      'by a certified authority',
      [{}, withCertificate(authority, issueCertificate(claims(), parsePublicKey(authority.blob), authority))],
    ],
    ['in the name of another authority', [{ authority: holder.blob }]],
  ])('%s is refused', (_, fields) => {
    expect(() => parseCertificate(forged(...fields))).toThrow(SshError);
  });

  it('is refused or read, whatever it holds', () => {
    const list = fc.array(fc.string({ maxLength: 6 }), { maxLength: 4 });
    fc.assert(
      fc.property(list, fc.uint8Array({ maxLength: 40 }), (principals, options) => {
        try {
          const names = string(Buffer.concat(principals.map(string)));
          const { principals: read } = parseCertificate(forged({ principals: names, critical: string(options) }));
          expect(read).toEqual(principals);
        } catch (error) {
          expect(error).toBeInstanceOf(SshError);
        }
      }),
    );
  });
});

describe('names of algorithms', () => {
  it('have one for certificates each', () => {
    expect(SIGNATURE_ALGORITHMS.map(certified)).toEqual([
      'ssh-ed25519-cert-v01@openssh.com',
      'sk-ssh-ed25519-cert-v01@openssh.com',
      'ecdsa-sha2-nistp256-cert-v01@openssh.com',
      'ecdsa-sha2-nistp384-cert-v01@openssh.com',
      'ecdsa-sha2-nistp521-cert-v01@openssh.com',
      'sk-ecdsa-sha2-nistp256-cert-v01@openssh.com',
      'rsa-sha2-512-cert-v01@openssh.com',
      'rsa-sha2-256-cert-v01@openssh.com',
    ]);
    expect(SIGNATURE_ALGORITHMS.map(certified).map(plainAlgorithm)).toEqual(SIGNATURE_ALGORITHMS);
  });

  it.each(['ssh-ed25519', 'ssh-rsa-cert-v01@openssh.com', 'ssh-dss-cert-v01@openssh.com', ''])('%s is none of them', (name) => {
    expect(plainAlgorithm(name)).toBeUndefined();
  });
});

describe('a signer with a certificate', () => {
  it('shows the certificate and signs by its key', () => {
    const certificate = issued();
    const signer = withCertificate(holder, certificate);
    expect(signer.blob).toEqual(certificate);
    const [algorithm] = signer.algorithms as [string];
    expect(verify(key, plainAlgorithm(algorithm) as string, DATA, signer.sign(algorithm, DATA))).toBe(true);
    expect(() => signer.sign('ssh-ed25519', DATA)).toThrow(SshError);
  });

  it('is not made with one for another key', () => {
    expect(() => withCertificate(authority, issued())).toThrow(SshError);
  });
});

describe.skipIf(!HAS_KEYGEN)('certificates of OpenSSH', () => {
  const keygen = new Keygen();
  const kinds = [
    { name: 'ed25519', args: [] },
    { name: 'ecdsa', args: ['-b', '256'] },
    { name: 'ecdsa', args: ['-b', '384'] },
    { name: 'ecdsa', args: ['-b', '521'] },
    { name: 'rsa', args: ['-b', '2048'] },
  ].map((kind) => ({ ...kind, label: [kind.name, ...kind.args].join('') }));
  for (const { label, name, args } of kinds) {
    keygen.make(`ca-${label}`, name, ...args);
    keygen.make(`key-${label}`, name, ...args);
  }
  const pairs = kinds.flatMap(({ label: ca }) => kinds.map(({ label: of }) => ({ ca, of })));
  const options = ['-O', 'clear', '-O', 'permit-pty', '-O', 'source-address=10.0.0.0/8', '-O', 'force-command=ls -l'];

  it.each(pairs)('for users, of $of by $ca, are read as they were signed', ({ ca, of }) => {
    keygen.run(
      '-q',
      '-s',
      `ca-${ca}`,
      '-I',
      'an id',
      '-n',
      'alice,bob',
      '-z',
      '18446744073709551615',
      '-V',
      '20250101:20350101',
      ...options,
      `key-${of}.pub`,
    );
    const certificate = parseCertificate(keygen.blob(`key-${of}-cert`));
    expect(certificate).toMatchObject({ kind: 'user', keyId: 'an id', principals: ['alice', 'bob'], serial: 2n ** 64n - 1n });
    expect(certificate.key.blob).toEqual(keygen.blob(`key-${of}`));
    expect([...certificate.extensions.keys()]).toEqual(['permit-pty']);
    const verdict = judgeCertificate(certificate, use({ authorities: [keygen.blob(`ca-${ca}`)], isWithin: () => true }));
    expect(verdict).toEqual({ kind: 'accepted', forceCommand: Buffer.from('ls -l') });
  });

  it('for hosts are read', () => {
    const label = 'ed25519';
    keygen.run(
      '-q',
      '-h',
      '-s',
      `ca-${label}`,
      '-I',
      'a host',
      '-n',
      'db.internal',
      '-V',
      '20250101:20350101',
      `key-${label}.pub`,
    );
    const certificate = parseCertificate(keygen.blob(`key-${label}-cert`));
    const wanted = use({ kind: 'host', principal: 'db.internal', authorities: [keygen.blob(`ca-${label}`)] });
    expect(judgeCertificate(certificate, wanted).kind).toBe('accepted');
  });

  it('signed with SHA-1 are refused', () => {
    keygen.run('-q', '-s', 'ca-rsa-b2048', '-t', 'ssh-rsa', '-I', 'old', '-n', 'alice', 'key-ed25519.pub');
    expect(keygen.run('-L', '-f', 'key-ed25519-cert.pub')).toContain('(using ssh-rsa)');
    expect(() => parseCertificate(keygen.blob('key-ed25519-cert'))).toThrow(SshError);
  });

  it.each(pairs)('are read by it where we issue them, of $of by $ca', ({ ca, of }) => {
    const mods = { ...critical({ 'force-command': string('ls -l') }), validAfter: 1_735_689_600n, validBefore: 2_051_222_400n };
    const signer = parsePrivateKey(keygen.text(`ca-${ca}`));
    const blob = issueCertificate(claims(mods), parsePublicKey(keygen.blob(`key-${of}`)), signer);
    const type = blob.subarray(4, 4 + blob.readUInt32BE()).toString();
    writeFileSync(keygen.path(`ours-${of}-${ca}.pub`), `${type} ${blob.toString('base64')} ours\n`);
    const said = keygen.run('-L', '-f', `ours-${of}-${ca}.pub`).replace(/\s+/g, ' ');
    const bits = [
      'user certificate',
      'Key ID: "agent of a test"',
      'Serial: 7',
      'Principals: alice bob',
      'force-command ls -l',
      'Extensions: permit-pty',
    ];
    for (const text of bits) expect(said).toContain(text);
  });
});
