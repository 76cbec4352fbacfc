import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { judgeCertificate, parseCertificate } from '../wire/cert.ts';
import { openHostKey, publishAuthority } from './host-key.ts';

describe('the key that agents meet', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'chaperone-host-key-'));
  });
  afterEach(() => rm(directory, { recursive: true }));
  const NOW = Date.UTC(2026, 10, 29);

  it('is the same after a restart, and its owner alone reads it', async () => {
    const first = await openHostKey(directory);
    const [again, other] = await Promise.all([openHostKey(directory), openHostKey(directory)]);
    expect(again.knownHosts()).toBe(first.knownHosts());
    expect(other.knownHosts()).toBe(first.knownHosts());
    for (const name of ['ssh_host.key', 'ssh_authority.key'])
      expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
  });

  it('is shown with a certificate for the names of the resource, which the lines of known_hosts take', async () => {
    const key = await openHostKey(directory);
    const [certified, plain] = key.signers(['build', 'build.ci.svc'], NOW);
    const lines = key.knownHosts().split('\n');
    const blobs = lines.map((line) => Buffer.from(/ssh-ed25519 (\S+)/.exec(line)?.[1] ?? '', 'base64'));
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['*', '@cert-authority', '']);
    expect(blobs[0]).toEqual(plain?.blob);
    const certificate = parseCertificate(certified?.blob ?? Buffer.alloc(0));
    const use = { kind: 'host', authorities: [blobs[1] ?? Buffer.alloc(0)], nowMs: NOW } as const;
    expect(judgeCertificate(certificate, { ...use, principal: 'build.ci.svc' }).kind).toBe('accepted');
    expect(judgeCertificate(certificate, { ...use, principal: 'other' }).kind).toBe('refused');
  });

  it('is vouched for in a file that agents hold on to, through restarts and whatever was there', async () => {
    const [path, key] = [join(directory, 'known_hosts'), await openHostKey(directory)];
    await publishAuthority(path, key);
    const first = await stat(path);
    expect([await readFile(path, 'utf8'), first.mode & 0o777]).toEqual([key.authority(), 0o644]);
    expect(key.knownHosts()).toContain(key.authority());
    await publishAuthority(path, await openHostKey(directory));
    expect(await stat(path)).toMatchObject({ ino: first.ino, mtimeMs: first.mtimeMs });
    await writeFile(path, `${key.authority().slice(0, 20)}\n* ssh-ed25519 AAAA somebody else\n${'x'.repeat(1_000)}`);
    await publishAuthority(path, key);
    expect([await readFile(path, 'utf8'), (await stat(path)).ino]).toEqual([key.authority(), first.ino]);
    await expect(publishAuthority(directory, key)).rejects.toThrow('EISDIR');
  });

  it('is not replaced when it cannot be read', async () => {
    await openHostKey(directory);
    await rm(join(directory, 'ssh_host.key'));
    await writeFile(join(directory, 'ssh_host.key'), 'no key');
    await expect(openHostKey(directory)).rejects.toThrow();
    expect(await readFile(join(directory, 'ssh_host.key'), 'utf8')).toBe('no key');
  });
});
