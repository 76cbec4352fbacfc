import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { findProgram } from '@chaperone/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AuthAnswer, AuthQuestion } from '../wire/auth-server.ts';
import { issueCertificate, judgeCertificate, withCertificate } from '../wire/cert.ts';
import { Keygen } from '../wire/keygen.test-support.ts';
import { parsePublicKey } from '../wire/keys.ts';
import { type Ran, run, runOwnClient, signerIn, startOwnServer, startSshd } from './peers.test-support.ts';

const HAS_SSH = findProgram('ssh') !== undefined && findProgram('ssh-keygen') !== undefined;
const HAS_SSHD = existsSync('/usr/sbin/sshd') && HAS_SSH;
const KEYS = ['ed25519', 'ecdsa', 'rsa'] as const;
const USER = userInfo().username;
const CLAIMS = {
  serial: 1n,
  keyId: 'of a test',
  validAfter: 0n,
  validBefore: 2n ** 40n,
  critical: new Map(),
  extensions: new Map(),
};
const BYTES = randomBytes(20_000_000);
const keygen = new Keygen();
/** Of an option that is there twice the first counts. */
const OPTIONS = [
  `UserKnownHostsFile=${keygen.path('known')}`,
  'HostKeyAlias=pinned',
  'IdentitiesOnly=yes',
  'StrictHostKeyChecking=yes',
  'LogLevel=ERROR',
].flatMap((option) => ['-o', option]);
const ssh = (port: number, options: readonly string[], command: string): string[] => {
  const all = [...options, ...OPTIONS, '127.0.0.1', command];
  return ['-F', 'none', '-p', `${port}`, ...all];
};
const as = (name: string): string[] => ['-o', 'BatchMode=yes', '-i', keygen.path(name)];
const text = ({ stdout, stderr, status }: Ran): unknown => ({ stdout: stdout.toString(), stderr: stderr.toString(), status });
/** How often keys were exchanged. */
const keysOf = ({ stderr }: Ran): number => stderr.toString('latin1').split('SSH2_MSG_NEWKEYS received').length - 1;
const pinned = (name: string) => ({ kind: 'pinned', keys: [keygen.blob(name)] }) as const;
const login = (name: string) => ({ user: USER, credentials: [{ method: 'publickey', signer: signerIn(keygen, name) }] }) as const;

beforeAll(() => {
  for (const name of KEYS) keygen.make(name, name);
  for (const name of ['host', 'ca', 'stranger']) keygen.make(name, 'ed25519');
  keygen.make('host-ecdsa', 'ecdsa');
  keygen.make('host-rsa', 'rsa');
  const known = `pinned ${keygen.text('host.pub')}@cert-authority certified ${keygen.text('ca.pub')}`;
  writeFileSync(keygen.path('known'), known);
  writeFileSync(keygen.path('authorized'), KEYS.map((name) => keygen.text(`${name}.pub`)).join(''));
});

describe.skipIf(!HAS_SSH)("OpenSSH's client and our server", () => {
  const known = ({ method, ...question }: AuthQuestion): AuthAnswer => {
    if (method !== 'publickey') return 'password' in question && question.password === 'hunter2' ? 'accept' : 'reject';
    const { key } = question as Extract<AuthQuestion, { method: 'publickey' }>;
    return KEYS.some((name) => keygen.blob(name).equals(key.blob)) ? 'accept' : 'reject';
  };
  const start = (mods: Partial<Parameters<typeof startOwnServer>[0]> = {}, decide = known): ReturnType<typeof startOwnServer> =>
    startOwnServer({ hostKeys: [signerIn(keygen, 'host')], ...mods }, decide);

  it.each(KEYS)('run a command for the holder of a key (%s): both streams apart, and how it ended', async (name) => {
    await using server = await start();
    const ran = await run('ssh', ssh(server.port, as(name), 'echo out; echo err >&2; exit 7'));
    expect(text(ran)).toEqual({ stdout: 'out\n', stderr: 'err\n', status: 7 });
  });

  it.each<[string, number, readonly string[]]>([
    ['as they are', 1, []],
    ['with new keys every megabyte', 15, ['-o', 'RekeyLimit=1M']],
    ['with counter mode', 1, ['-c', 'aes128-ctr', '-m', 'hmac-sha2-256-etm@openssh.com']],
  ])('carry 20 MB there and back, %s', async (_, least, options) => {
    await using server = await start();
    const ran = await run('ssh', ssh(server.port, ['-v', ...as('ed25519'), ...options], 'cat'), BYTES);
    expect([ran.status, ran.stdout.equals(BYTES)]).toEqual([0, true]);
    expect(keysOf(ran)).toBeGreaterThanOrEqual(least);
  });

  it('carry 20 MB of each stream at once, with new keys that we ask for', async () => {
    await using server = await start({ rekey: { bytes: 1_000_000 } });
    const command = 'head -c 20000000 /dev/zero & head -c 20000000 /dev/zero >&2; wait';
    const ran = await run('ssh', ssh(server.port, ['-v', ...as('ed25519')], command));
    expect([ran.status, ran.stdout.length]).toEqual([0, 20_000_000]);
    expect(ran.stderr.filter((byte) => byte === 0)).toHaveLength(20_000_000);
    expect(keysOf(ran)).toBeGreaterThanOrEqual(15);
  });

  it('say how a signal ended the command', async () => {
    await using server = await start();
    expect((await run('ssh', ssh(server.port, as('ed25519'), 'kill -9 $$'))).status).toBe(255);
  });

  it('end a command whose output nobody reads any more', async () => {
    await using server = await start();
    const line = ssh(server.port, as('ed25519'), 'yes');
    expect((await run('/bin/sh', ['-c', 'ssh "$@" | head -1', 'sh', ...line])).stdout.toString()).toBe('y\n');
  });

  it('refuse a key that nobody knows', async () => {
    await using server = await start();
    const ran = await run('ssh', ssh(server.port, as('stranger'), 'true'));
    expect(ran.status).toBe(255);
    expect(ran.stderr.toString()).toContain('Permission denied (publickey,password,keyboard-interactive)');
    expect(server.questions.map((question) => 'isProved' in question && question.isProved)).toEqual([false]);
  });

  it.each(['password', 'keyboard-interactive'])('let in by %s', async (method) => {
    await using server = await start();
    const ask = keygen.path('askpass');
    writeFileSync(ask, '#!/bin/sh\necho hunter2\n', { mode: 0o700 });
    const options = ['-o', `PreferredAuthentications=${method}`, '-o', 'PubkeyAuthentication=no'];
    const env = { ...process.env, SSH_ASKPASS: ask, SSH_ASKPASS_REQUIRE: 'force' };
    const ran = await run('ssh', ssh(server.port, options, 'echo in'), 'ignore', env);
    expect([ran.stdout.toString(), server.questions.at(-1)?.method]).toEqual(['in\n', method]);
  });

  it('know each other by certificates alone', async () => {
    keygen.run('-q', '-s', 'ca', '-I', 'me', '-n', 'alice', '-V', '20250101:20990101', 'stranger.pub');
    const ca = signerIn(keygen, 'ca');
    const host = signerIn(keygen, 'host');
    const claims = { ...CLAIMS, kind: 'host', principals: ['certified'] } as const;
    const shown = withCertificate(host, issueCertificate(claims, parsePublicKey(host.blob), ca));
    await using server = await start({ hostKeys: [shown] }, (question) => {
      const certificate = 'certificate' in question ? question.certificate : undefined;
      if (certificate === undefined) return 'reject';
      const use = { kind: 'user', authorities: [ca.blob], principal: question.user, nowMs: Date.now() } as const;
      return judgeCertificate(certificate, use).kind === 'accepted' ? 'accept' : 'reject';
    });
    const options = [...as('stranger'), '-o', 'HostKeyAlias=certified'];
    expect(text(await run('ssh', ssh(server.port, [...options, '-l', 'alice'], 'echo in')))).toMatchObject({ stdout: 'in\n' });
    expect(text(await run('ssh', ssh(server.port, [...options, '-l', 'root'], 'echo in')))).toMatchObject({
      stdout: '',
      status: 255,
    });
  });
});

describe.skipIf(!HAS_SSHD)("our client and OpenSSH's server", () => {
  const hostKeys = ['host', 'host-ecdsa', 'host-rsa'];
  const start = (...lines: string[]): ReturnType<typeof startSshd> =>
    startSshd(keygen, [...hostKeys.map((name) => `HostKey ${keygen.path(name)}`), ...lines]);

  it.each(KEYS.flatMap((name) => hostKeys.map((host) => ({ name, host }))))(
    'run a command by $name on a host known by $host',
    async ({ name, host }) => {
      await using sshd = await start();
      const { stdout, stderr, status } = await runOwnClient(
        sshd.port,
        { hostKey: pinned(host), ...login(name) },
        'cat; echo err >&2; exit 7',
        Buffer.from('in'),
      );
      expect([stdout.toString(), stderr.toString(), status]).toEqual(['in', 'err\n', 7]);
    },
  );

  it.each<[string, string[], { bytes: number } | undefined]>([
    ['as they are', [], undefined],
    ['with new keys that it asks for', ['RekeyLimit 1M'], undefined],
    ['with new keys that we ask for', [], { bytes: 1_000_000 }],
  ])('carry 20 MB there and back, %s', async (_, lines, rekey) => {
    await using sshd = await start(...lines);
    const settings = { hostKey: pinned('host'), ...login('ed25519'), ...(rekey && { rekey }) };
    const { stdout, status } = await runOwnClient(sshd.port, settings, 'cat', BYTES);
    expect([status, stdout.equals(BYTES)]).toEqual([0, true]);
  });

  it.each(KEYS)('know each other by certificates that we issue (%s)', async (name) => {
    const ca = signerIn(keygen, 'ca');
    const host = keygen.blob('host');
    const certificate = issueCertificate({ ...CLAIMS, kind: 'host', principals: ['the-host'] }, parsePublicKey(host), ca);
    writeFileSync(keygen.path('host-issued.pub'), `ssh-ed25519-cert-v01@openssh.com ${certificate.toString('base64')}\n`);
    await using sshd = await start(`HostCertificate ${keygen.path('host-issued.pub')}`, 'AuthorizedKeysFile none');
    const hostKey = { kind: 'certified', authorities: [ca.blob], host: 'the-host', nowMs: Date.now() } as const;
    const signer = signerIn(keygen, name);
    const issued = (principals: readonly string[]) =>
      issueCertificate({ ...CLAIMS, kind: 'user', principals }, parsePublicKey(signer.blob), ca);
    const by = (principals: readonly string[]) =>
      ({ method: 'publickey', signer: withCertificate(signer, issued(principals)) }) as const;
    const good = await runOwnClient(sshd.port, { hostKey, user: USER, credentials: [by([USER])] }, 'echo in');
    expect(good.stdout.toString()).toBe('in\n');
    const other = runOwnClient(sshd.port, { hostKey, user: USER, credentials: [by(['somebody'])] }, 'echo in');
    await expect(other).rejects.toMatchObject({ name: 'SshError', reason: 14 });
    const elsewhere = runOwnClient(sshd.port, { hostKey: { ...hostKey, host: 'another' }, ...login(name) }, 'echo in');
    await expect(elsewhere).rejects.toMatchObject({ name: 'SshError', reason: 9 });
  });

  it('end where the host is not the one that is pinned', async () => {
    await using sshd = await start();
    const ran = runOwnClient(sshd.port, { hostKey: pinned('stranger'), ...login('ed25519') }, 'true');
    await expect(ran).rejects.toMatchObject({ name: 'SshError' });
  });

  it('end where the key is nobody’s', async () => {
    await using sshd = await start();
    const ran = runOwnClient(sshd.port, { hostKey: pinned('host'), ...login('stranger') }, 'true');
    await expect(ran).rejects.toMatchObject({ name: 'SshError', reason: 14 });
  });
});
