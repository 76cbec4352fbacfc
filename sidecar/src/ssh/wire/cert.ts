import { randomBytes } from 'node:crypto';
import { Reader, string, uint32, uint64 } from './data.ts';
import { SshError } from './error.ts';
import { type PublicKey, parsePublicKey, type Signer, SIGNATURE_ALGORITHMS, verify } from './keys.ts';
import { kept } from '../../lent.ts';

/** OpenSSH's PROTOCOL.certkeys: who a certificate speaks of. */
const KINDS = { user: 1, host: 2 } as const;
export type CertificateKind = keyof typeof KINDS;

/** What a certificate says, beside the key. */
export interface CertificateClaims {
  readonly kind: CertificateKind;
  readonly serial: bigint;
  readonly keyId: string;
  /** User or host names. One that names nobody is good for nobody. */
  readonly principals: readonly string[];
  /** Seconds since 1970; the first second of its validity. */
  readonly validAfter: bigint;
  /** Seconds since 1970; the first second behind its validity. */
  readonly validBefore: bigint;
  /** Restrictions by name: who does not know one refuses the certificate. */
  readonly critical: ReadonlyMap<string, Buffer>;
  readonly extensions: ReadonlyMap<string, Buffer>;
}

/** A certificate whose signature is right. Whether its authority, time and names are is what {@link judgeCertificate} says. */
export interface Certificate extends CertificateClaims {
  /** The key that it certifies. */
  readonly key: PublicKey;
  readonly authority: PublicKey;
}

/** Bytes; OpenSSH's own, with every option, has about 3,000. */
const MAX_CERTIFICATE_BYTES = 16 * 1024;
/** As many as OpenSSH reads (SSHKEY_CERT_MAX_PRINCIPALS). */
const MAX_PRINCIPALS = 256;
const MAX_OPTIONS = 64;
/** Bytes of a key id, and of one name. */
const MAX_TEXT = 1024;
const NONCE_BYTES = 32;
const SUFFIX = '-cert-v01@openssh.com';
/** Strings between the nonce and the serial number, by the type of the key that is certified. */
const KEY_FIELDS: Readonly<Record<string, number>> = {
  'ssh-ed25519': 1,
  'sk-ssh-ed25519@openssh.com': 2,
  'ecdsa-sha2-nistp256': 2,
  'ecdsa-sha2-nistp384': 2,
  'ecdsa-sha2-nistp521': 2,
  'sk-ecdsa-sha2-nistp256@openssh.com': 3,
  'ssh-rsa': 2,
};

/** The name that a key's type, or an algorithm of its signatures, has where a certificate stands for the key. */
export const certified = (name: string): string => name.replace(/@openssh\.com$/, '') + SUFFIX;

const PLAIN_TYPES = new Map(Object.keys(KEY_FIELDS).map((type) => [certified(type), type]));
const PLAIN_ALGORITHMS = new Map(SIGNATURE_ALGORITHMS.map((algorithm) => [certified(algorithm), algorithm]));

/** The algorithm that signs where `algorithm` is negotiated for a certificate; undefined where it is for plain keys, or unknown. */
export const plainAlgorithm = (algorithm: string): string | undefined => PLAIN_ALGORITHMS.get(algorithm);

/**
 * Reads a certificate and checks its authority's signature, made over all of it.
 * @throws SshError for what is no certificate, is not signed by a plain key with SHA-2, or is not written as OpenSSH's
 * PROTOCOL.certkeys says
 */
export function parseCertificate(blob: Buffer): Certificate {
  if (blob.length > MAX_CERTIFICATE_BYTES) throw new SshError('a certificate that is too long');
  const bytes = Buffer.from(blob);
  const reader = new Reader(bytes);
  const type = PLAIN_TYPES.get(reader.ascii());
  if (type === undefined) throw new SshError('a certificate of a type that is not supported');
  reader.string();
  const key = parsePublicKey(Buffer.concat([string(type), ...readFields(reader, KEY_FIELDS[type] as number)]));
  const claims = readClaims(reader);
  reader.string();
  const authority = parsePublicKey(reader.string());
  const signed = bytes.subarray(0, bytes.length - reader.left);
  const signature = reader.string();
  reader.end();
  if (!verify(authority, new Reader(signature).ascii(), signed, signature))
    throw new SshError('a certificate that its authority did not sign');
  return { ...claims, key, authority };
}

function readFields(reader: Reader, count: number): Buffer[] {
  return Array.from({ length: count }, () => string(reader.string()));
}

function readClaims(reader: Reader): CertificateClaims {
  const serial = reader.uint64();
  const number = reader.uint32();
  const kind = (['user', 'host'] as const).find((one) => KINDS[one] === number);
  if (kind === undefined) throw new SshError('a certificate of neither a user nor a host');
  const keyId = readText(reader);
  const principals: string[] = [];
  for (const list = new Reader(reader.string()); list.left > 0; ) {
    if (principals.push(readText(list)) > MAX_PRINCIPALS) throw new SshError('a certificate with too many names');
  }
  const [validAfter, validBefore] = [reader.uint64(), reader.uint64()];
  const [critical, extensions] = [readOptions(reader), readOptions(reader)];
  return { kind, serial, keyId, principals, validAfter, validBefore, critical, extensions };
}

/** Bytes that are not UTF-8 would read alike, and control characters would not be seen. */
function readText(reader: Reader): string {
  const bytes = reader.string();
  const text = bytes.toString('utf8');
  if (bytes.length > MAX_TEXT || /\p{Cc}|\ufffd/u.test(text)) throw new SshError('a certificate with a text that cannot be');
  return text;
}

/** Names in ascending order, none twice: of two, one reader would take the first, and another the last. */
function readOptions(reader: Reader): ReadonlyMap<string, Buffer> {
  const options = new Map<string, Buffer>();
  let last = '';
  for (const list = new Reader(reader.string()); list.left > 0; ) {
    const name = list.ascii();
    if (name <= last || options.size === MAX_OPTIONS) throw new SshError('a certificate whose options are not in order');
    options.set(name, list.string());
    last = name;
  }
  return options;
}

/** What a certificate has to be good for. */
export interface CertificateUse {
  readonly kind: CertificateKind;
  /** Blobs of the keys that are trusted to sign. */
  readonly authorities: readonly Buffer[];
  /** The user or the host, exactly as it must stand in the certificate. */
  readonly principal: string;
  readonly nowMs: number;
  /** Whether the other side's address lies in one of `ranges` (CIDR, or single addresses). Absent: not known, and never does. */
  readonly isWithin?: (ranges: readonly string[]) => boolean;
}

export type CertificateRefusal =
  | 'WrongKind'
  | 'UnknownAuthority'
  | 'NotYetValid'
  | 'Expired'
  | 'OtherPrincipal'
  | 'UnknownCritical'
  | 'OtherAddress';

/** `forceCommand`: the one command that may run under the certificate, whatever is asked for. */
export type CertificateVerdict =
  | { readonly kind: 'accepted'; readonly forceCommand: Buffer | undefined }
  | { readonly kind: 'refused'; readonly refusal: CertificateRefusal };

type Check = (certificate: Certificate, use: CertificateUse) => boolean;
const CHECKS: readonly (readonly [CertificateRefusal, Check])[] = [
  ['UnknownAuthority', ({ authority }, { authorities }) => authorities.some((blob) => blob.equals(authority.blob))],
  ['WrongKind', ({ kind }, use) => kind === use.kind],
  ['NotYetValid', ({ validAfter }, { nowMs }) => validAfter <= secondsOf(nowMs)],
  ['Expired', ({ validBefore }, { nowMs }) => secondsOf(nowMs) < validBefore],
  ['OtherPrincipal', ({ principals }, { principal }) => principals.includes(principal)],
  ['UnknownCritical', ({ critical }, { kind }) => [...critical].every(([name, value]) => isKnown(kind, name, value))],
  [
    'OtherAddress',
    ({ critical }, { isWithin = () => false }) => {
      const ranges = critical.get('source-address');
      return ranges === undefined || isWithin(valueOf(ranges).toString().split(','));
    },
  ],
];

/**
 * Whether a certificate lets its key act as `use.principal`, now. Names match whole and exactly: `*` is no pattern, a comma
 * parts nothing, and a certificate without names is good for no one.
 */
export function judgeCertificate(certificate: Certificate, use: CertificateUse): CertificateVerdict {
  const failed = CHECKS.find(([, holds]) => !holds(certificate, use));
  if (failed !== undefined) return { kind: 'refused', refusal: failed[0] };
  const command = certificate.critical.get('force-command');
  return { kind: 'accepted', forceCommand: command && valueOf(command) };
}

/** None is known of hosts (PROTOCOL.certkeys). The value of both that are known of users is one string. */
function isKnown(kind: CertificateKind, name: string, value: Buffer): boolean {
  if (kind !== 'user' || !['force-command', 'source-address'].includes(name)) return false;
  return value.length >= 4 && value.readUInt32BE() === value.length - 4;
}

const valueOf = (option: Buffer): Buffer => new Reader(option).string();
const secondsOf = (ms: number): bigint => BigInt(Math.floor(ms / 1000));

/** Issues a certificate for the public key `key`, signed by `authority`. */
export function issueCertificate(claims: CertificateClaims, key: PublicKey, authority: Signer): Buffer {
  const fields = new Reader(key.blob);
  fields.string();
  const body = Buffer.concat([
    string(certified(key.type)),
    string(randomBytes(NONCE_BYTES)),
    fields.rest(),
    uint64(claims.serial),
    uint32(KINDS[claims.kind]),
    string(claims.keyId),
    string(Buffer.concat(claims.principals.map(string))),
    uint64(claims.validAfter),
    uint64(claims.validBefore),
    options(claims.critical),
    options(claims.extensions),
    string(''),
    string(authority.blob),
  ]);
  return Buffer.concat([body, string(authority.sign(authority.algorithms[0] as string, body))]);
}

const options = (values: ReadonlyMap<string, Buffer>): Buffer =>
  string(
    Buffer.concat([...values].toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([name, value]) => [string(name), string(value)])),
  );

/** `signer`, showing `certificate` in place of its plain key. @throws SshError where the certificate is for another key */
export function withCertificate(signer: Signer, certificate: Buffer): Signer {
  if (!parseCertificate(certificate).key.blob.equals(signer.blob)) throw new SshError('a certificate for another key');
  return {
    blob: kept(certificate),
    algorithms: signer.algorithms.map(certified),
    sign: (algorithm, data) => signer.sign(plainAlgorithm(algorithm) ?? '', data),
  };
}
