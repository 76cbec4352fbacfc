import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueCertificate, withCertificate } from '../wire/cert.ts';
import { parsePublicKey, type Signer, signerOf } from '../wire/keys.ts';

const FILES = { host: 'ssh_host.key', authority: 'ssh_authority.key' } as const;
/** A clock that is behind ours still takes a certificate; and one is made for every start, so it may live long. */
const BEFORE_S = 24n * 60n * 60n;
const AFTER_S = 10n * 365n * 24n * 60n * 60n;

/** Who an agent's SSH client meets: one key for all hosts, and certificates for it by an authority of its own. */
export class HostKey {
  readonly #host: Signer;
  readonly #authority: Signer;

  constructor(host: Signer, authority: Signer) {
    this.#host = host;
    this.#authority = authority;
  }

  /** What to show a client that reaches a resource under one of these names; clients choose among the algorithms of both. */
  signers(names: readonly string[], nowMs: number): readonly Signer[] {
    const now = BigInt(Math.floor(nowMs / 1000));
    const certificate = issueCertificate(
      {
        kind: 'host',
        serial: 0n,
        keyId: 'chaperone',
        principals: names,
        validAfter: now - BEFORE_S,
        validBefore: now + AFTER_S,
        critical: new Map(),
        extensions: new Map(),
      },
      parsePublicKey(this.#host.blob),
      this.#authority,
    );
    return [withCertificate(this.#host, certificate), this.#host];
  }

  /** Lines for a known_hosts that is about us alone (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): our key and {@link authority}. */
  knownHosts(): string {
    return `${lineOf(this.#host)}${this.authority()}`;
  }

  /**
   * The line for a known_hosts that all of a pod's clients read. It vouches for whatever name is ours, now or granted later, and
   * says nothing of keys without a certificate: hosts that are reached through a host of ours stay their owners' to know.
   */
  authority(): string {
    return `@cert-authority ${lineOf(this.#authority)}`;
  }
}

const lineOf = ({ blob }: Signer): string => `* ssh-ed25519 ${blob.toString('base64')} chaperone\n`;

/**
 * Writes {@link HostKey.authority} where the pod's containers have it mounted. They hold on to the file itself, so it is changed
 * in place and never replaced; what is right already is not touched, so that no client reads half a line.
 */
export async function publishAuthority(path: string, hostKey: HostKey): Promise<void> {
  await using file = await open(path, 'a+', 0o644);
  const line = hostKey.authority();
  if ((await file.readFile('utf8')) === line) return;
  await file.truncate();
  await file.writeFile(line);
}

/**
 * The host key of this sidecar: made once and kept in a directory that nobody else reads, so that clients which remember it meet the
 * same one after a restart.
 */
export async function openHostKey(directory: string): Promise<HostKey> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  return new HostKey(await openKey(join(directory, FILES.host)), await openKey(join(directory, FILES.authority)));
}

async function openKey(path: string): Promise<Signer> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
  // Whoever is first makes it; all others read it.
  await writeFile(path, pem, { mode: 0o600, flag: 'wx', flush: true }).catch((error: unknown) => {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  });
  return signerOf(createPrivateKey(await readFile(path)));
}
