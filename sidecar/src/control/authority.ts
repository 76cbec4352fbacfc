// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 wants its polyfill first
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, type KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import type { Clock } from '../platform.ts';
import { ControlPlaneError } from './errors.ts';
import { newLeafKey } from './leaf-key.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
const CA_LIFE_MS = 3_650 * DAY_MS;
export const LEAF_LIFE_MS = 30 * DAY_MS;
/** Clocks of one machine's programs differ less; a certificate from the future is refused everywhere. */
const BACKDATE_MS = 60 * 60_000;

/** The certificate authority of one data directory, in embedded mode. In a cluster the operator signs. */
export interface LocalAuthority {
  /** PEM; clients trust this file (`ca.crt`). */
  readonly ca: string;
  /** A certificate (PEM) for this public key, valid for {@link LEAF_LIFE_MS}, for these names and addresses. */
  issue(publicKey: KeyObject, names: readonly string[]): Promise<string>;
}

/**
 * Opens the authority of a data directory, or makes it on first use: `ca.crt`, and `ca.key` readable by its owner alone.
 * @throws ControlPlaneError AuthorityUnreadable where the files are damaged, do not belong together or have expired: a new
 * authority in their place would make clients that trust the old one fail without a word.
 */
export async function openAuthority(directory: string, clock: Clock): Promise<LocalAuthority> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const [keyFile, certificateFile] = [join(directory, 'ca.key'), join(directory, 'ca.crt')];
  const stored = await Promise.all([keyFile, certificateFile].map((path) => readFile(path, 'utf8').catch(ignoreMissing)));
  const [keyPem, certificatePem] = stored;
  if (keyPem === undefined && certificatePem === undefined) {
    const made = await makeAuthority(clock);
    // The key first: a certificate without its key is an error at the next start, a key alone is replaced.
    await writeFile(keyFile, made.key, { mode: 0o600, flag: 'wx' });
    await writeFile(certificateFile, made.certificate, { mode: 0o644 });
    return authorityOf(made.key, made.certificate, clock);
  }
  if (keyPem === undefined || certificatePem === undefined)
    throw unreadable(directory, keyPem === undefined ? 'ca.key is missing' : 'ca.crt is missing');
  await chmod(keyFile, 0o600);
  checkAuthority(directory, keyPem, certificatePem, clock);
  return authorityOf(keyPem, certificatePem, clock);
}

function checkAuthority(directory: string, keyPem: string, certificatePem: string, clock: Clock): void {
  let certificate: X509Certificate;
  let matches: boolean;
  try {
    certificate = new X509Certificate(certificatePem);
    matches = certificate.checkPrivateKey(createPrivateKey(keyPem));
  } catch (error) {
    throw unreadable(directory, 'ca.crt or ca.key cannot be read', error);
  }
  if (!matches) throw unreadable(directory, 'ca.key does not belong to ca.crt');
  if (!certificate.ca || Date.parse(certificate.validTo) < clock.now() + LEAF_LIFE_MS)
    throw unreadable(directory, 'ca.crt has expired or is no authority');
}

function unreadable(directory: string, what: string, cause?: unknown): ControlPlaneError {
  const message = `${what} in ${directory}; remove both files to make a new authority, then trust the new ca.crt`;
  return new ControlPlaneError('AuthorityUnreadable', message, { cause });
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}

async function makeAuthority(clock: Clock): Promise<{ key: string; certificate: string }> {
  const { pem, publicKey } = newLeafKey();
  const key = await importPrivate(pem);
  const name = 'CN=Chaperone local authority';
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject: name,
      issuer: name,
      publicKey: await importPublic(publicKey),
      signingKey: key,
      signingAlgorithm: ALGORITHM,
      serialNumber: serial(),
      notBefore: new Date(clock.now() - BACKDATE_MS),
      notAfter: new Date(clock.now() + CA_LIFE_MS),
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(await importPublic(publicKey), false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { key: pem, certificate: certificate.toString('pem') };
}

async function authorityOf(keyPem: string, certificatePem: string, clock: Clock): Promise<LocalAuthority> {
  const signingKey = await importPrivate(keyPem);
  const root = new x509.X509Certificate(certificatePem);
  return {
    ca: certificatePem,
    issue: async (publicKey, names) => {
      const leaf = await x509.X509CertificateGenerator.create(
        {
          subject: 'CN=chaperone',
          issuer: root.subject,
          publicKey: await importPublic(publicKey),
          signingKey,
          signingAlgorithm: ALGORITHM,
          serialNumber: serial(),
          notBefore: new Date(clock.now() - BACKDATE_MS),
          notAfter: new Date(clock.now() + LEAF_LIFE_MS),
          extensions: [
            new x509.BasicConstraintsExtension(false, undefined, true),
            new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
            new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1']),
            await x509.AuthorityKeyIdentifierExtension.create(root, false, webcrypto),
            new x509.SubjectAlternativeNameExtension(
              names.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
            ),
          ],
        },
        webcrypto,
      );
      return leaf.toString('pem');
    },
  };
}

/** 16 random bytes, the first never 0 and never negative (RFC 5280 §4.1.2.2). */
function serial(): string {
  const bytes = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function importPrivate(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

function importPublic(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const der = createPublicKey(key.export({ type: 'spki', format: 'pem' })).export({ type: 'spki', format: 'der' });
  return webcrypto.subtle.importKey('spki', der, ALGORITHM, true, ['verify']);
}
