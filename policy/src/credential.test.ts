import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Certified, testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aResource } from './builders.ts';
import { keysWanted, readCredential } from './credential.ts';

type Data = Readonly<Record<string, string>>;
let certified: Certified;
let other: Certified;
beforeAll(async () => {
  const authority = await testAuthority();
  [certified, other] = [await authority.issue(['agent_ro']), await authority.issue(['agent_ro'])];
});

const read = (data: Data, spec: object = {}): ReturnType<typeof readCredential> =>
  readCredential(aResource(spec).spec, (key) => data[key]);
const LOGIN = { username: 'agent_ro', password: 'CANARY-password' };
const pair = (mods: Data = {}): Data => ({ 'tls.crt': certified.certificate, 'tls.key': certified.key, ...mods });
const withWays = (...authentication: string[]): object => ({ postgres: { database: 'orders', authentication } });
const named = { credentials: { secretRef: { name: 'orders-db-agent' }, username: 'agent_rw' } };

const encrypted = (): string =>
  generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
  }).privateKey;

describe('a Secret', () => {
  test.each<[string, () => ReturnType<typeof read>, object | (() => object)]>([
    ['with user and password', () => read(LOGIN), LOGIN],
    ['without a user, whose resource names one', () => read({ password: 'p' }, named), { username: 'agent_rw', password: 'p' }],
    ['whose resource names another user', () => read(LOGIN, named), { ...LOGIN, username: 'agent_rw' }],
    ['for a server that asks for nothing', () => read({ username: 'u' }, withWays('none')), { username: 'u' }],
    ['with a password that no way asks for', () => read(LOGIN, withWays('none')), { username: 'agent_ro' }],
    [
      'of type kubernetes.io/tls, as an issuer writes it',
      () => read(pair(), { ...named, ...withWays('cert') }),
      () => ({ username: 'agent_rw', client: { cert: certified.certificate, key: certified.key } }),
    ],
    [
      'with a certificate beside the password',
      () => read(pair(LOGIN)),
      () => ({ ...LOGIN, client: { cert: certified.certificate, key: certified.key } }),
    ],
  ])('%s signs in with what it holds', (_what, reading, credential) => {
    expect(reading()).toEqual({ credential: typeof credential === 'function' ? credential() : credential });
  });

  test.each<[string, () => ReturnType<typeof read>, RegExp]>([
    [
      'without anything',
      () => read({}),
      /^has no usable username and password \(.*\); set them, or the name in spec\.credentials/,
    ],
    [
      'without the certificate that is asked for',
      () => read(LOGIN, withWays('scram', 'cert')),
      /^has no usable tls\.crt and tls\.key; set them$/,
    ],
    ['without the password that is asked for too', () => read(pair({ username: 'u' })), /^has no usable password \(/],
    ['with a key and no certificate', () => read({ ...LOGIN, 'tls.key': 'CANARY' }), /^has no usable tls\.crt; set it$/],
    ['with a certificate and no key', () => read(pair({ ...LOGIN, 'tls.key': '' })), /^has no usable tls\.key; set it$/],
    [
      'with a key larger than any',
      () => read(pair({ ...LOGIN, 'tls.key': 'CANARY'.repeat(11_000) })),
      /^has no usable tls\.key; set it$/,
    ],
    [
      'with a certificate that is none',
      () => read(pair({ ...LOGIN, 'tls.crt': 'CANARY' })),
      /^key "tls\.crt" holds no PEM certificate/,
    ],
    ['with a key that is none', () => read(pair({ ...LOGIN, 'tls.key': 'CANARY' })), /^key "tls\.key" holds no PEM private key/],
    [
      'with a key that wants a passphrase',
      () => read(pair({ ...LOGIN, 'tls.key': encrypted() })),
      /^key "tls\.key" holds no PEM private key that can be read without a passphrase/,
    ],
    [
      'with the key of another certificate',
      () => read(pair({ ...LOGIN, 'tls.key': other.key })),
      /^key "tls\.key" does not belong to the certificate/,
    ],
    [
      'with a certificate that nobody would see',
      () => read(pair(LOGIN), { upstream: { address: 'orders.data.svc:5432', tls: { mode: 'disable' } } }),
      /^holds a client certificate, which is shown within TLS only; set spec\.upstream\.tls\.mode: verify-full or/,
    ],
  ])('%s is refused in words that tell no value', (_what, reading, problem) => {
    const found = reading();
    expect(found).toEqual({ problem: expect.stringMatching(problem) as string });
    expect(JSON.stringify(found)).not.toMatch(/CANARY|PRIVATE KEY-/);
  });
});

test.each([
  [{}, ['username', 'password']],
  [withWays('cert'), ['username', 'tls.crt', 'tls.key']],
  [{ ...named, ...withWays('scram', 'cert') }, ['password', 'tls.crt', 'tls.key']],
  [{ ...named, ...withWays('none') }, []],
])('a resource with %j wants the keys %j', (spec, keys) => expect(keysWanted(aResource(spec).spec)).toEqual(keys));

const forSsh = (...authentication: string[]) => ({
  postgres: undefined,
  ssh: { hostKeys: ['ssh-ed25519 AAAA'], authentication, algorithms: 'default' },
});

describe('a Secret for ssh', () => {
  const folder = mkdtempSync(join(tmpdir(), 'chaperone-keys-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const keygen = (...args: string[]): void => void execFileSync('ssh-keygen', ['-q', ...args], { cwd: folder });
  const file = (name: string): string => readFileSync(join(folder, name), 'utf8');
  beforeAll(() => {
    keygen('-t', 'ed25519', '-N', '', '-f', 'plain');
    keygen('-t', 'ed25519', '-N', 'secret', '-f', 'locked');
    keygen('-t', 'rsa', '-m', 'PEM', '-N', '', '-f', 'pem');
    keygen('-t', 'rsa', '-m', 'PEM', '-N', 'secret', '-f', 'locked-pem');
    keygen('-s', 'plain', '-I', 'agent', 'pem.pub');
  });
  const sshKey = (name: string, mods: Data = {}): ReturnType<typeof read> =>
    read({ username: 'deploy', 'ssh-privatekey': file(name), ...mods }, forSsh('publickey'));

  test('signs in with its key, and with the certificate that it has', () => {
    expect(sshKey('plain')).toEqual({ credential: { username: 'deploy', ssh: { key: file('plain') } } });
    expect(sshKey('pem', { 'ssh-certificate': file('pem-cert.pub') })).toEqual({
      credential: { username: 'deploy', ssh: { key: file('pem'), certificate: file('pem-cert.pub').trim() } },
    });
  });

  test('signs in with its password, and shows no key that it is not to use', () => {
    const both = { username: 'deploy', password: 'CANARY-password', 'ssh-privatekey': file('plain') };
    expect(read(both, forSsh('password'))).toEqual({ credential: { username: 'deploy', password: 'CANARY-password' } });
  });

  test.each<[string, () => ReturnType<typeof read>, RegExp]>([
    ['without a key', () => read({ username: 'deploy' }, forSsh('publickey')), /^has no usable ssh-privatekey; set it$/],
    ['with a key under a passphrase', () => sshKey('locked'), /"ssh-privatekey" holds no private key .* without a passphrase/],
    ['with such a key in PEM', () => sshKey('locked-pem'), /"ssh-privatekey" holds no private key/],
    ['with a public key', () => sshKey('plain.pub'), /"ssh-privatekey" holds no private key/],
    ['with a key as its certificate', () => sshKey('plain', { 'ssh-certificate': file('plain.pub') }), /"ssh-certificate" holds/],
  ])('%s says what is missing, and no value', (_, reading, problem) => {
    const said = reading();
    expect('problem' in said && said.problem).toMatch(problem);
    expect(JSON.stringify(said)).not.toContain('AAAA');
  });

  test('is asked for the keys that it needs', () => {
    expect(keysWanted(aResource(forSsh('publickey', 'password')).spec)).toEqual(['username', 'password', 'ssh-privatekey']);
  });
});
