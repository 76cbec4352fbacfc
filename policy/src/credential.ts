import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Authentication, ProtectedResource } from '@chaperone/api';
import type { GrantedResource } from './access.ts';

/** Keys of a credential's Secret; those of the certificate are what kubernetes.io/tls calls them. */
export const CREDENTIAL_KEYS = ['username', 'password', 'tls.crt', 'tls.key'] as const;
type Key = (typeof CREDENTIAL_KEYS)[number];
export type Credential = NonNullable<GrantedResource['credentials']>;
type Spec = Pick<ProtectedResource['spec'], 'credentials' | 'postgres' | 'upstream'>;
type Text = (key: Key) => string | undefined;

/** Characters of a user name or password; PEM of a chain of ten certificates has half of the other. */
const MAX_TEXT = 1024;
const MAX_PEM = 64 * 1024;
const WITH_PASSWORD: ReadonlySet<Authentication> = new Set(['scram', 'md5', 'cleartext']);

/** Keys that the Secret of a resource must have, for whoever has to write one. */
export function keysWanted({ credentials, postgres }: Pick<Spec, 'credentials' | 'postgres'>): Key[] {
  const ways = postgres?.authentication ?? ['scram'];
  return [
    ...(credentials?.username === undefined ? (['username'] as const) : []),
    ...(ways.some((way) => WITH_PASSWORD.has(way)) ? (['password'] as const) : []),
    ...(ways.includes('cert') ? (['tls.crt', 'tls.key'] as const) : []),
  ];
}

/**
 * The credential of a resource out of its Secret. `problem` goes on after the Secret's name and tells no value.
 * @param text - gives the value of a key; undefined: there is none, or it is no text
 */
export function readCredential(spec: Spec, text: Text): { readonly credential: Credential } | { readonly problem: string } {
  const wanted = keysWanted(spec);
  const missing = wanted.filter((key) => !isUsable(text(key), key.startsWith('tls.') ? MAX_PEM : MAX_TEXT));
  if (missing.length > 0) return { problem: unusable(missing) };
  const username = spec.credentials?.username ?? text('username') ?? '';
  const password = wanted.includes('password') ? text('password') : undefined;
  const [cert, key] = [text('tls.crt'), text('tls.key')];
  const login = { username, ...(password === undefined ? {} : { password }) };
  if (cert === undefined && key === undefined) return { credential: login };
  const problem = certificateProblem(spec, cert ?? '', key ?? '');
  return problem === undefined ? { credential: { ...login, client: { cert: cert ?? '', key: key ?? '' } } } : { problem };
}

function unusable(missing: readonly Key[]): string {
  const texts = missing.some((key) => !key.startsWith('tls.'));
  const form = texts ? ` (text without NUL, 1 to ${MAX_TEXT} characters)` : '';
  const elsewhere = missing.includes('username') ? ', or the name in spec.credentials.username' : '';
  return `has no usable ${missing.join(' and ')}${form}; set ${missing.length === 1 ? 'it' : 'them'}${elsewhere}`;
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
