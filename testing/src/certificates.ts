// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 needs the polyfill before it loads
import 'reflect-metadata';
import { createPublicKey, webcrypto, X509Certificate as NodeCertificate } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto);
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export interface Certified {
  /** PEM */
  readonly certificate: string;
  /** PEM, PKCS#8 */
  readonly key: string;
}
export interface TestAuthority {
  readonly ca: string;
  issue(names: readonly string[], options?: { notAfter?: Date }): Promise<Certified>;
  /** A certificate (PEM) for somebody else's P-256 key: SPKI, PEM. */
  certify(publicKey: string, names: readonly string[]): Promise<string>;
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return `-----BEGIN PRIVATE KEY-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
}

/** A certificate authority for one test. */
export async function testAuthority(name = 'test CA'): Promise<TestAuthority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  });
  const certify = async (
    publicKey: webcrypto.CryptoKey,
    names: readonly string[],
    notAfter = new Date(Date.now() + 86_400_000),
  ): Promise<string> => {
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${names[0] ?? 'leaf'}`,
      issuer: root.subject,
      publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: ALGORITHM,
      notBefore: new Date(Date.now() - 60_000),
      notAfter,
      extensions: [
        new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }))),
      ],
    });
    return new NodeCertificate(Buffer.from(certificate.rawData)).toString();
  };
  return {
    ca: new NodeCertificate(Buffer.from(root.rawData)).toString(),
    async issue(names, options = {}) {
      const leaf = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
      return { certificate: await certify(leaf.publicKey, names, options.notAfter), key: await pemOf(leaf.privateKey) };
    },
    async certify(publicKey, names) {
      const der = createPublicKey(publicKey).export({ type: 'spki', format: 'der' });
      return certify(await webcrypto.subtle.importKey('spki', der, ALGORITHM, true, ['verify']), names);
    },
  };
}
