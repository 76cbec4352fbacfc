import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Authentication, KubernetesAuthentication, ProtectedResource, SshAuthentication } from '@chaperone/api';
import type { GrantedResource } from './access.ts';

/** Keys of a credential's Secret, as the types kubernetes.io/tls and kubernetes.io/ssh-auth call them where they have them. */
export const CREDENTIAL_KEYS = [
  'username',
  'password',
  'tls.crt',
  'tls.key',
  'ssh-privatekey',
  'ssh-certificate',
  'token',
] as const;
type Key = (typeof CREDENTIAL_KEYS)[number];
export type Credential = NonNullable<GrantedResource['credentials']>;
type Spec = Pick<ProtectedResource['spec'], 'credentials' | 'postgres' | 'ssh' | 'kubernetes' | 'upstream'>;
type Text = (key: Key) => string | undefined;

/** Characters of a user name or password; PEM of a chain of ten certificates has half of the other. */
const MAX_TEXT = 1024;
const MAX_PEM = 64 * 1024;
const WITH_PASSWORD: ReadonlySet<string> = new Set<Authentication | SshAuthentication>(['scram', 'md5', 'cleartext', 'password']);

const KUBERNETES_KEYS: Readonly<Record<KubernetesAuthentication, readonly Key[]>> = {
  token: ['token'],
  cert: ['tls.crt', 'tls.key'],
};

/** How messages call the place where a resource's credential is kept; undefined: it has none. Tells no value. */
export function credentialSource({ metadata, spec }: Pick<ProtectedResource, 'metadata' | 'spec'>): string | undefined {
  const { secretRef, vault } = spec.credentials ?? {};
  if (secretRef !== undefined) return `Secret ${metadata.namespace ?? ''}/${secretRef.name}`;
  return vault === undefined ? undefined : `Vault path ${vault.path}`;
}

/** Keys that the Secret of a resource must have, for whoever has to write one. */
export function keysWanted({ credentials, postgres, ssh, kubernetes }: Omit<Spec, 'upstream'>): readonly Key[] {
  if (kubernetes !== undefined) return KUBERNETES_KEYS[kubernetes.authentication];
  const ways: readonly string[] = ssh?.authentication ?? postgres?.authentication ?? ['scram'];
  return [
    ...(credentials?.username === undefined ? (['username'] as const) : []),
    ...(ways.some((way) => WITH_PASSWORD.has(way)) ? (['password'] as const) : []),
    ...(ways.includes('cert') ? (['tls.crt', 'tls.key'] as const) : []),
    ...(ways.includes('publickey') ? (['ssh-privatekey'] as const) : []),
  ];
}

/**
 * The credential of a resource out of its Secret, or whatever else keeps it. `problem` goes on after the source's name and tells no value.
 * @param text - gives the value of a key; undefined: there is none, or it is no text
 */
export function readCredential(spec: Spec, text: Text): { readonly credential: Credential } | { readonly problem: string } {
  const wanted = keysWanted(spec);
  const missing = wanted.filter((key) => !isUsable(text(key), isShort(key) ? MAX_TEXT : MAX_PEM));
  if (missing.length > 0) return { problem: unusable(missing) };
  const username = spec.credentials?.username ?? text('username') ?? '';
  const password = wanted.includes('password') ? text('password') : undefined;
  const login = { username, ...(password === undefined ? {} : { password }) };
  if (spec.ssh !== undefined) return wanted.includes('ssh-privatekey') ? withSshKey(login, text) : { credential: login };
  if (wanted.includes('token')) return withToken(login, text('token') ?? '');
  return withCertificate(spec, login, text);
}

function withCertificate(spec: Spec, login: Credential, text: Text): ReturnType<typeof readCredential> {
  const [cert, key] = [text('tls.crt'), text('tls.key')];
  if (cert === undefined && key === undefined) return { credential: login };
  const problem = certificateProblem(spec, cert ?? '', key ?? '');
  return problem === undefined ? { credential: { ...login, client: { cert: cert ?? '', key: key ?? '' } } } : { problem };
}

function unusable(missing: readonly Key[]): string {
  const texts = missing.some(isShort);
  const form = texts ? ` (text without NUL, 1 to ${MAX_TEXT} characters)` : '';
  const elsewhere = missing.includes('username') ? ', or the name in spec.credentials.username' : '';
  return `has no usable ${missing.join(' and ')}${form}; set ${missing.length === 1 ? 'it' : 'them'}${elsewhere}`;
}

const isShort = (key: Key): boolean => key === 'username' || key === 'password';

/** RFC 6750, section 2.1: nothing of it can end a header. */
function withToken(login: Credential, token: string): ReturnType<typeof readCredential> {
  return /^[A-Za-z0-9._~+/-]+=*$/.test(token)
    ? { credential: { ...login, token } }
    : { problem: 'key "token" holds no bearer token; put the token of a ServiceAccount there, in one line' };
}

/** Whether the key is one is found where it is used; a file of another sort, or one that asks for a passphrase, is said at once. */
function withSshKey(login: Credential, text: Text): ReturnType<typeof readCredential> {
  const [key = '', certificate] = [text('ssh-privatekey'), text('ssh-certificate')];
  if (!isPlainPrivateKey(key))
    return {
      problem:
        'key "ssh-privatekey" holds no private key that can be read without a passphrase; put one of ssh-keygen -N "" there',
    };
  if (certificate === undefined) return { credential: { ...login, ssh: { key } } };
  if (!isUsable(certificate, MAX_PEM) || !/^[a-z0-9@.-]+-cert-v01@openssh[.]com [A-Za-z0-9+/]+=?=?(\s|$)/.test(certificate))
    return {
      problem: 'key "ssh-certificate" holds no certificate of a public key; put the file NAME-cert.pub of ssh-keygen there',
    };
  return { credential: { ...login, ssh: { key, certificate: certificate.trim() } } };
}

/** OpenSSH's own format names the cipher behind its magic word (PROTOCOL.key). */
const PLAIN_OPENSSH_KEY = Buffer.from('openssh-key-v1\0\0\0\0\u0004none', 'latin1');

function isPlainPrivateKey(text: string): boolean {
  const [, sort, body] = /^\s*-----BEGIN (OPENSSH |RSA |EC |)PRIVATE KEY-----\r?\n([^-]+)-----END /.exec(text) ?? [];
  if (sort === undefined || body === undefined || body.includes('ENCRYPTED')) return false;
  return sort !== 'OPENSSH ' || Buffer.from(body, 'base64').subarray(0, PLAIN_OPENSSH_KEY.length).equals(PLAIN_OPENSSH_KEY);
}

/** A certificate that would not be shown, or could not be, is a mistake and not a spare part. */
function certificateProblem({ upstream }: Spec, cert: string, key: string): string | undefined {
  const missing = (['tls.crt', 'tls.key'] as const).filter((name) => !isUsable(name === 'tls.crt' ? cert : key, MAX_PEM));
  if (missing.length > 0) return unusable(missing);
  if (upstream.tls.mode === 'disable')
    return 'holds a client certificate, which is shown within TLS only; set spec.upstream.tls.mode: verify-full or remove tls.crt and tls.key';
  const certificate = attempt(() => new X509Certificate(cert));
  if (certificate === undefined) return 'key "tls.crt" holds no PEM certificate; put the client certificate there';
  const privateKey = attempt(() => createPrivateKey(key));
  if (privateKey === undefined)
    return 'key "tls.key" holds no PEM private key that can be read without a passphrase; put the key of tls.crt there';
  return certificate.checkPrivateKey(privateKey)
    ? undefined
    : 'key "tls.key" does not belong to the certificate in "tls.crt"; put the two of one pair there';
}

function isUsable(text: string | undefined, max: number): boolean {
  return text !== undefined && text.length >= 1 && text.length <= max && !text.includes('\0');
}

/** What the reader of a PEM says may quote it. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** What the spec says of its credential and of its own protocol, as a sidecar needs it. */
export function protocolSettings(spec: Spec): Pick<GrantedResource, 'onRotation' | 'postgres' | 'ssh' | 'kubernetes'> {
  const { onRotation } = spec.credentials ?? {};
  return { ...(onRotation !== undefined && { onRotation }), ...ownSettings(spec) };
}

function ownSettings({ postgres, ssh, kubernetes }: Spec): Pick<GrantedResource, 'postgres' | 'ssh' | 'kubernetes'> {
  if (kubernetes !== undefined) return { kubernetes: { ...kubernetes } };
  if (postgres !== undefined) {
    const { database, acceptServerLogVolume, authentication, autoPrepare } = postgres;
    return { postgres: { database, acceptServerLogVolume, authentication: [...authentication], autoPrepare } };
  }
  if (ssh === undefined) return {};
  const { hostKeys = [], hostAuthorities = [], authentication, algorithms } = ssh;
  return {
    ssh: { hostKeys: [...hostKeys], hostAuthorities: [...hostAuthorities], authentication: [...authentication], algorithms },
  };
}
