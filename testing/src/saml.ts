// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 needs the polyfill before it loads
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { createRequire } from 'node:module';
import { inflateRawSync } from 'node:zlib';
import * as x509 from '@peculiar/x509';

/** What a SAML provider says of a person, and what is different about it. */
export interface SamlStatement {
  readonly name: string;
  readonly attributes?: Readonly<Record<string, string | readonly string[]>>;
  readonly issuer?: string;
  readonly audience?: string;
  readonly recipient?: string;
  readonly inResponseTo?: string;
  readonly lifetimeInSeconds?: number;
  readonly signed?: boolean;
  /** Hash of digest and signature. Default: sha256 */
  readonly hash?: 'sha1' | 'sha256' | 'sha512';
  /** Changes the assertion after it was signed, and the answer that it is in. */
  readonly meddle?: { readonly assertion?: (xml: string) => string; readonly answer?: (xml: string) => string };
}

/** What a browser posts to where the provider sends it. */
export type SamlAnswer = Readonly<Record<'SAMLResponse' | 'RelayState', string>>;

/** A SAML 2.0 provider as an auth0 library makes its assertions. */
export interface TestSamlProvider {
  readonly entityId: string;
  readonly certificate: string;
  /** The answer to the address that a browser was sent to. */
  answer(signInUrl: string, statement: SamlStatement): SamlAnswer;
}

interface Saml20 {
  create(options: Record<string, unknown>): string;
  createUnsignedAssertion(options: Record<string, unknown>): string;
}

const ALGORITHM = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
} as const;

export async function aSamlProvider(entityId = 'https://saml.example/idp'): Promise<TestSamlProvider> {
  // Untyped, and needed by few tests.
  const { Saml20: saml } = createRequire(import.meta.url)('saml') as { Saml20: Saml20 };
  x509.cryptoProvider.set(webcrypto);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const made = await x509.X509CertificateGenerator.createSelfSigned({ name: 'CN=saml', keys, signingAlgorithm: ALGORITHM });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
  const certificate = made.toString('pem');
  return {
    entityId,
    certificate,
    answer(signInUrl, statement) {
      const { searchParams } = new URL(signInUrl);
      const request = inflateRawSync(Buffer.from(searchParams.get('SAMLRequest') ?? '', 'base64')).toString();
      const {
        signed = true,
        hash = 'sha256',
        meddle = {},
        issuer = entityId,
        lifetimeInSeconds = 300,
        attributes = {},
      } = statement;
      const asked = {
        audience: /<saml:Issuer[^>]*>([^<]+)/.exec(request)?.[1],
        recipient: attribute(request, 'AssertionConsumerServiceURL'),
        inResponseTo: attribute(request, 'ID'),
        ...statement,
      };
      const options = {
        key,
        cert: certificate,
        signatureAlgorithm: `rsa-${hash}`,
        digestAlgorithm: hash,
        issuer,
        audiences: asked.audience,
        recipient: asked.recipient,
        inResponseTo: asked.inResponseTo,
        lifetimeInSeconds,
        nameIdentifier: statement.name,
        attributes,
      };
      const assertion = signed ? saml.create(options) : saml.createUnsignedAssertion(options);
      const answer = frame(entityId, attribute(request, 'ID'), meddle.assertion?.(assertion) ?? assertion);
      return {
        SAMLResponse: Buffer.from(meddle.answer?.(answer) ?? answer).toString('base64'),
        RelayState: searchParams.get('RelayState') ?? '',
      };
    },
  };
}

const attribute = (xml: string, name: string): string => new RegExp(`\\s${name}="([^"]*)"`).exec(xml)?.[1] ?? '';

function frame(issuer: string, inResponseTo: string, assertion: string): string {
  const id = `_${randomBytes(16).toString('hex')}`;
  return (
    `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="${id}" InResponseTo="${inResponseTo}" Version="2.0" IssueInstant="${new Date().toISOString()}">` +
    `<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">${issuer}</saml:Issuer>` +
    `<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>${assertion}</samlp:Response>`
  );
}
