// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 needs the polyfill before it loads
import 'reflect-metadata';
import { createPublicKey, type KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

export const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Certificates begin this long ago, for clocks that are behind. */
export const BACKDATE_MS = 300_000;

export interface KeyAndCertificate {
  /** PEM, PKCS#8. */
  readonly key: string;
  /** PEM. */
  readonly certificate: string;
}
export interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

const pem = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${(
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  ).join('\n')}\n-----END ${label}-----\n`;
const certificatePem = (certificate: x509.X509Certificate): string => pem('CERTIFICATE', new Uint8Array(certificate.rawData));

export async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return pem('PRIVATE KEY', new Uint8Array(await webcrypto.subtle.exportKey('pkcs8', key)));
}
export async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

/** Reads a signing key and its certificate. Throws if they are malformed or do not belong together. */
export async function loadIssuer(pair: KeyAndCertificate): Promise<Issuer> {
  const parsed = new X509Certificate(pair.certificate);
  const der = Buffer.from(pair.key.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
  const key = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
  const probe = Buffer.from('chaperone');
  const signature = await webcrypto.subtle.sign(ALGORITHM, key, probe);
  const publicKey = await importPublicKey(parsed.publicKey);
  if (!(await webcrypto.subtle.verify(ALGORITHM, publicKey, signature, probe))) {
    throw new Error('the CA key does not belong to the CA certificate');
  }
  return { certificate: new x509.X509Certificate(parsed.raw), key };
}

/** A P-256 public key, of a PEM in SPKI. Throws for any other kind of key. */
export async function importPublicKey(key: KeyObject | string): Promise<webcrypto.CryptoKey> {
  const object = typeof key === 'string' ? createPublicKey({ key, format: 'pem', type: 'spki' }) : key;
  if (object.asymmetricKeyType !== 'ec' || object.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new Error('the public key is not a P-256 key');
  }
  return await webcrypto.subtle.importKey('spki', object.export({ format: 'der', type: 'spki' }), ALGORITHM, true, ['verify']);
}

/** A new authority: P-256, no further authorities below it. */
export async function createAuthority(options: { name: string; now: number; lifeMs: number }): Promise<KeyAndCertificate> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${options.name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(options.now - BACKDATE_MS),
    notAfter: new Date(options.now + options.lifeMs),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: certificatePem(certificate), key: await exportKey(keys.privateKey) };
}

export interface LeafRequest {
  readonly commonName: string;
  readonly publicKey: webcrypto.CryptoKey;
  /** DNS names and IP addresses. */
  readonly names: readonly string[];
  readonly now: number;
  readonly lifeMs: number;
}

/** A server certificate, never valid for longer than its issuer. */
export async function issueLeaf(issuer: Issuer, request: LeafRequest): Promise<string> {
  const notAfter = Math.min(request.now + request.lifeMs, issuer.certificate.notAfter.getTime());
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [request.commonName.slice(0, 64)] }],
    issuer: issuer.certificate.subject,
    publicKey: request.publicKey,
    signingKey: issuer.key,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(request.now - BACKDATE_MS),
    notAfter: new Date(notAfter),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(request.names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey),
    ],
  });
  return certificatePem(certificate);
}
