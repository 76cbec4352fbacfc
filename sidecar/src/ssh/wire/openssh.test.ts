import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { buffer, text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { AGENT, type AlgorithmSet, UPSTREAM_LEGACY } from './algorithms.ts';
import { issueCertificate, withCertificate } from './cert.ts';
import type { CipherName, MacName } from './ciphers.ts';
import { DISCONNECT } from './error.ts';
import type { HostKeyCheck } from './host-key.ts';
import type { KexName } from './kex.ts';
import { Keygen } from './keygen.test-support.ts';
import { parsePublicKey } from './keys.ts';
import { parsePrivateKey } from './private-key.ts';
import { cat, ECHO, type Outcome, run, SSH, SSHD } from './openssh.test-support.ts';
import { clientOptions, End, HOST_KEY, serverOptions } from './pair.test-support.ts';
import { type RekeyLimits, type ServerOptions, Transport } from './transport.ts';

interface Case {
  readonly kex: KexName;
  readonly cipher: CipherName;
  readonly mac?: MacName;
}
const CASES: readonly Case[] = [
  { kex: 'curve25519-sha256', cipher: 'aes128-gcm@openssh.com' },
  { kex: 'curve25519-sha256@libssh.org', cipher: 'aes256-gcm@openssh.com' },
  { kex: 'ecdh-sha2-nistp256', cipher: 'aes128-ctr', mac: 'hmac-sha2-256-etm@openssh.com' },
  { kex: 'diffie-hellman-group14-sha256', cipher: 'aes256-ctr', mac: 'hmac-sha2-512-etm@openssh.com' },
  { kex: 'diffie-hellman-group16-sha512', cipher: 'aes128-ctr', mac: 'hmac-sha2-256' },
  { kex: 'diffie-hellman-group14-sha256', cipher: 'aes256-ctr', mac: 'hmac-sha2-512' },
];
const only = ({ kex, cipher, mac }: Case): AlgorithmSet => ({
  ...UPSTREAM_LEGACY,
  kex: [kex],
  ciphers: [cipher],
  macs: mac ? [mac] : [],
});
const NAMED = CASES.map((one) => [`${one.kex}, ${one.cipher}${one.mac ? `, ${one.mac}` : ''}`, one] as const);
const BYTES = randomBytes(6 * 1024 * 1024);
/** Of 6 MiB each way with new keys after each. */
const MEBIBYTE = 1024 * 1024;
const SEVERAL = 4;

interface Settings {
  readonly algorithms: AlgorithmSet;
  readonly rekey?: Partial<RekeyLimits>;
}

/** Of a certificate that is good for `db.example`, for ever. */
const HOST_CLAIMS = {
  kind: 'host',
  serial: 1n,
  keyId: 'db',
  principals: ['db.example'],
  validAfter: 0n,
  validBefore: 2n ** 64n - 1n,
  critical: new Map(),
  extensions: new Map(),
} as const;

interface Run extends Outcome {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

async function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.on('close', resolve));
}

/** Stock ssh, with BYTES for its input, against a server of ours that sends all back. */
async function ssh(options: readonly string[], settings: Settings & Partial<Pick<ServerOptions, 'hostKeys'>>): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const make = (events: Partial<End>) => new Transport({ ...serverOptions(new End()), ...settings, ...events });
  const server = createServer((socket) => {
    void run({ input: socket, output: socket }, make, ECHO).then(resolve);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  try {
    const port = ['-F', 'none', '-p', String((server.address() as AddressInfo).port)];
    const unknown = ['-o', 'UserKnownHostsFile=/dev/null', '-o', 'StrictHostKeyChecking=no'];
    const child = spawn(SSH as string, [...port, ...options, ...unknown, 'somebody@127.0.0.1', 'anything']);
    child.stdin.on('error', () => {});
    child.stdin.end(BYTES);
    const [code, stdout, stderr, outcome] = await Promise.all([ended(child), buffer(child.stdout), text(child.stderr), promise]);
    return { ...outcome, code, stdout, stderr };
  } finally {
    server.close();
  }
}

/** A client of ours, logged in to stock sshd with a `host` key among `keys`, with BYTES for `cat`. */
async function sshd(
  lines: readonly string[],
  { keys, check, ...settings }: Settings & { readonly keys?: Keygen; readonly check?: HostKeyCheck },
): Promise<Outcome & { readonly log: string }> {
  const hosts = keys ?? new Keygen();
  if (keys === undefined) hosts.make('host', 'ed25519');
  const users = new Keygen();
  users.make('user', 'ed25519');
  const config = [
    `HostKey ${hosts.path('host')}`,
    `AuthorizedKeysFile ${users.path('user.pub')}`,
    'StrictModes no',
    'PermitRootLogin yes',
    'PidFile none',
    ...lines,
  ];
  writeFileSync(users.path('config'), `${config.join('\n')}\n`);
  // Where sshd of Debian goes to before anybody has logged in.
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true });
  const child = spawn(SSHD as string, ['-i', '-e', '-f', users.path('config')]);
  const hostKey = check ?? ({ kind: 'pinned', keys: [hosts.blob('host')] } as const);
  const make = (events: Partial<End>) => new Transport({ ...clientOptions(new End()), ...settings, hostKey, ...events });
  const talk = cat(userInfo().username, parsePrivateKey(users.text('user')), BYTES);
  const outcome = run({ input: child.stdout, output: child.stdin }, make, talk);
  const [result, log] = await Promise.all([outcome, text(child.stderr), ended(child)]);
  return { ...result, log };
}

describe.skipIf(SSH === undefined)('stock ssh against the server of this transport', () => {
  it.each(NAMED)('gets back what it sent, while either side changes keys: %s', async (_, { kex, cipher, mac }) => {
    const offered = ['-o', `KexAlgorithms=${kex}`, '-c', cipher, ...(mac ? ['-m', mac] : [])];
    const theirs = await ssh([...offered, '-o', 'RekeyLimit=1M'], { algorithms: UPSTREAM_LEGACY });
    expect(theirs.stderr).not.toMatch(/error|fail/i);
    expect(theirs).toMatchObject({ code: 0, error: undefined });
    expect(theirs.stdout.equals(BYTES)).toBe(true);
    expect(theirs.rekeys).toBeGreaterThanOrEqual(SEVERAL);
    expect(theirs.transport.negotiated).toMatchObject({ kex, clientToServer: { cipher, ...(mac && { mac }) } });

    const ours = await ssh(offered, { algorithms: UPSTREAM_LEGACY, rekey: { bytes: MEBIBYTE } });
    expect(ours).toMatchObject({ code: 0, error: undefined });
    expect(ours.stdout.equals(BYTES)).toBe(true);
    expect(ours.rekeys).toBeGreaterThanOrEqual(SEVERAL);
  });

  it('needs no option for what agents are offered, is strict, and says what it is', async () => {
    const { code, stdout, transport } = await ssh(['-o', 'RekeyLimit=1M'], { algorithms: AGENT, rekey: { bytes: MEBIBYTE } });
    expect(code).toBe(0);
    expect(stdout.equals(BYTES)).toBe(true);
    expect(transport).toMatchObject({ strict: true, peerIdent: expect.stringMatching(/^SSH-2\.0-OpenSSH_/) });
  });

  it('goes on without the compression that it asks for', async () => {
    const { code, stdout } = await ssh(['-C'], { algorithms: AGENT });
    expect(code).toBe(0);
    expect(stdout.equals(BYTES)).toBe(true);
  });

  it('believes a host certificate that we show', async () => {
    const keys = new Keygen();
    keys.make('authority', 'ed25519');
    const certificate = issueCertificate(HOST_CLAIMS, parsePublicKey(HOST_KEY.blob), parsePrivateKey(keys.text('authority')));
    writeFileSync(keys.path('known'), `@cert-authority db.example ${keys.text('authority.pub')}`);
    const known = ['-o', `UserKnownHostsFile=${keys.path('known')}`, '-o', 'StrictHostKeyChecking=yes'];
    const asHost = (host: string) =>
      ssh([...known, '-o', `HostKeyAlias=${host}`], { algorithms: AGENT, hostKeys: [withCertificate(HOST_KEY, certificate)] });
    const believed = await asHost('db.example');
    expect(believed.code).toBe(0);
    expect(believed.transport.negotiated?.hostKey).toBe('ssh-ed25519-cert-v01@openssh.com');
    expect(await asHost('other.example')).toMatchObject({ code: 255, stderr: expect.stringContaining('verification failed') });
  });
});

describe.skipIf(SSHD === undefined)('the client of this transport against stock sshd', () => {
  it.each(NAMED)('gets back what it sent, while either side changes keys: %s', async (_, one) => {
    const theirs = await sshd(['RekeyLimit 1M', `KexAlgorithms ${one.kex}`], { algorithms: UPSTREAM_LEGACY });
    expect(theirs.error).toBe(undefined);
    expect(theirs.received.equals(BYTES)).toBe(true);
    expect(theirs.rekeys).toBeGreaterThanOrEqual(SEVERAL);

    const ours = await sshd([], { algorithms: only(one), rekey: { bytes: MEBIBYTE } });
    expect(ours.error).toBe(undefined);
    expect(ours.received.equals(BYTES)).toBe(true);
    expect(ours.rekeys).toBeGreaterThanOrEqual(SEVERAL);
    expect(ours.transport.negotiated).toMatchObject({ kex: one.kex, clientToServer: { cipher: one.cipher } });
    expect(ours.transport).toMatchObject({ strict: true, peerSignatureAlgorithms: expect.arrayContaining(['rsa-sha2-512']) });
  });

  it.each(['rsa', 'ecdsa'])('knows it by its %s key', async (type) => {
    const keys = new Keygen();
    keys.make('host', type);
    const { error, received, transport } = await sshd([], { keys, algorithms: UPSTREAM_LEGACY });
    expect(error).toBe(undefined);
    expect(received.equals(BYTES)).toBe(true);
    expect(transport.hostKey).toEqual(keys.blob('host'));
  });

  it('knows it by a certificate, for the name and the time that it is for', async () => {
    const keys = new Keygen();
    keys.make('authority', 'ed25519');
    keys.make('host', 'ed25519');
    keys.run('-q', '-s', 'authority', '-h', '-I', 'db', '-n', 'db.example', '-V', '20200101:20400101', 'host.pub');
    const outcome = async (host: string, year: number) => {
      const check = { kind: 'certified', authorities: [keys.blob('authority')], host, nowMs: Date.UTC(year, 1) } as const;
      const { error } = await sshd([`HostCertificate ${keys.path('host-cert.pub')}`], {
        keys,
        check,
        algorithms: UPSTREAM_LEGACY,
      });
      return error?.reason;
    };
    expect(await outcome('db.example', 2030)).toBe(undefined);
    expect(await outcome('other.example', 2030)).toBe(DISCONNECT.hostKeyNotVerifiable);
    expect(await outcome('db.example', 2040)).toBe(DISCONNECT.hostKeyNotVerifiable);
  });

  it('ends where it has another key than is pinned, and tells it why', async () => {
    const { error, log } = await sshd([], { algorithms: UPSTREAM_LEGACY, check: { kind: 'pinned', keys: [HOST_KEY.blob] } });
    expect(error?.reason).toBe(DISCONNECT.hostKeyNotVerifiable);
    expect(log).toContain('the host key is none of those expected');
  });
});
