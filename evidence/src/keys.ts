import { z } from 'zod';
import { crc16, decodeBase32, encodeBase32 } from './encoding.ts';
import { EvidenceError } from './errors.ts';
import { verifyEd25519 } from './primitives.ts';

const USER_PREFIX = 20 << 3;
const SEED_PREFIX = 18 << 3;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** An Ed25519 private key that can sign and say its public half (32 bytes); the seed stays inside. */
export interface Signer {
  readonly publicKey: Buffer;
  sign(message: Uint8Array): Buffer;
}

/** Ed25519 (RFC 8032) over `message` with a raw public key; false for anything malformed. */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  return verifyEd25519(publicKey, message, signature);
}

/** A raw public key as NATS writes a user's: `U…`, 56 characters. */
export function encodeNkey(publicKey: Uint8Array): string {
  return withCheck(Buffer.concat([Buffer.of(USER_PREFIX), publicKey]));
}

/** The raw public key in a `U…` nkey. Throws EvidenceError MalformedKey for any other kind, length or checksum. */
export function decodeNkey(text: string): Buffer {
  const bytes = withoutCheck(text, 1 + KEY_BYTES);
  if (bytes[0] !== USER_PREFIX) throw new EvidenceError('MalformedKey', 'the nkey is not a user key');
  return bytes.subarray(1);
}

/** A 32-byte seed as NATS writes a user's: `SU…`. It is a secret. */
export function encodeNkeySeed(seed: Uint8Array): string {
  const prefix = Buffer.of(SEED_PREFIX | (USER_PREFIX >> 5), (USER_PREFIX & 31) << 3);
  return withCheck(Buffer.concat([prefix, seed]));
}

/** The 32 bytes in a `SU…` seed. Throws EvidenceError MalformedKey. */
export function decodeNkeySeed(text: string): Buffer {
  const bytes = withoutCheck(text, 2 + KEY_BYTES);
  if (bytes[0] !== (SEED_PREFIX | (USER_PREFIX >> 5)) || bytes[1] !== (USER_PREFIX & 31) << 3)
    throw new EvidenceError('MalformedKey', 'the nkey is not a user seed');
  return bytes.subarray(2);
}

function withCheck(bytes: Buffer): string {
  const check = Buffer.alloc(2);
  check.writeUInt16LE(crc16(bytes));
  return encodeBase32(Buffer.concat([bytes, check]));
}

function withoutCheck(text: string, length: number): Buffer {
  const bytes = text.length > 64 ? Buffer.alloc(0) : decodeBase32(text);
  if (bytes.length !== length + 2 || bytes.readUInt16LE(length) !== crc16(bytes.subarray(0, length)))
    throw new EvidenceError('MalformedKey', 'the nkey has a wrong length or checksum');
  return bytes.subarray(0, length);
}

/** A statement and the Ed25519 signature over exactly these bytes: `body` is JSON text that is never written anew. */
export const Signed = z.strictObject({ body: z.string().max(2048), signature: z.string().max(100) });
export type Signed = z.infer<typeof Signed>;

/** Who a pod's key belongs to; signed by the enrolment key, which an auditor trusts. */
export const Registration = z.strictObject({
  nkey: z.string().max(64),
  agent: z.strictObject({
    namespace: z.string().min(1).max(253),
    serviceAccount: z.string().min(1).max(253),
    pod: z.string().max(253).optional(),
    podUid: z.string().max(64).optional(),
  }),
  origin: z.string().min(1).max(253),
  issuedAt: z.number(),
});
export type Registration = z.infer<typeof Registration>;

/** An epoch key signs for this long at most. */
export const EPOCH_MS = 3_600_000;

/**
 * A short-lived key that signs segments, from `notBefore` to `notAfter` by the pod's clock (ms); signed by the pod's nkey. Epochs of one
 * pod count upwards.
 */
export const EpochCertificate = z.strictObject({
  nkey: z.string().max(64),
  key: z.string().max(64),
  epoch: z.int().min(1),
  notBefore: z.number(),
  notAfter: z.number(),
});
export type EpochCertificate = z.infer<typeof EpochCertificate>;

const REGISTRATION_CONTEXT = 'chaperone/registration/v1\0';
const CERTIFICATE_CONTEXT = 'chaperone/epoch/v1\0';

/** Signs a statement; its context keeps it from being taken for one of another kind. */
export function signStatement(context: string, statement: unknown, signer: Signer): Signed {
  const body = JSON.stringify(statement);
  return { body, signature: signer.sign(Buffer.from(context + body)).toString('base64url') };
}

/** Whether this key signed the statement in this context; what it says is not looked at. */
export function verifyStatement(context: string, signed: Signed, publicKey: Uint8Array): boolean {
  return verifySignature(publicKey, Buffer.from(context + signed.body), Buffer.from(signed.signature, 'base64url'));
}

export function signRegistration(registration: Registration, enrolment: Signer): Signed {
  return signStatement(REGISTRATION_CONTEXT, Registration.parse(registration), enrolment);
}

export function signEpochCertificate(certificate: EpochCertificate, nkey: Signer): Signed {
  return signStatement(CERTIFICATE_CONTEXT, EpochCertificate.parse(certificate), nkey);
}

/** What an auditor brings: the log's origin and the enrolment keys (raw public keys, base64url). Never taken from evidence. */
export interface Trust {
  readonly origin: string;
  readonly enrolmentKeys: readonly string[];
}

/** The same as a file has it: `{"origin", "enrolmentKeys"}`, of which at least one. */
export const TrustFile = z.object({ origin: z.string(), enrolmentKeys: z.array(z.string()).min(1) });
export type TrustFile = z.infer<typeof TrustFile>;

/** The registration if one of the trusted keys signed it for this origin; throws EvidenceError otherwise. */
export function verifyRegistration(signed: Signed, trust: Trust): Registration {
  if (!trust.enrolmentKeys.some((key) => verifyStatement(REGISTRATION_CONTEXT, signed, Buffer.from(key, 'base64url'))))
    throw new EvidenceError('RegistrationUntrusted', 'no trusted enrolment key signed the registration of this pod');
  const registration = parseStatement(Registration, signed, 'RegistrationUntrusted');
  if (registration.origin !== trust.origin) throw new EvidenceError('OriginMismatch', 'the registration is of another origin');
  return registration;
}

/** The certificate if the nkey that it names signed it; throws EvidenceError CertificateInvalid otherwise. */
export function verifyEpochCertificate(signed: Signed): EpochCertificate {
  const certificate = parseStatement(EpochCertificate, signed, 'CertificateInvalid');
  if (!verifyStatement(CERTIFICATE_CONTEXT, signed, decodeNkey(certificate.nkey)))
    throw new EvidenceError('CertificateInvalid', 'the nkey did not sign this epoch key');
  const { notBefore, notAfter } = certificate;
  if (notAfter < notBefore || notAfter - notBefore > EPOCH_MS)
    throw new EvidenceError('CertificateInvalid', 'the epoch key is valid for no time, or for longer than any may be');
  return certificate;
}

/** Statements of each kind that are remembered at most: pods, and hours of them, that one file or one collector sees at a time. */
const MAX_REMEMBERED = 512;

/** Trust that remembers which statements held, to the byte: every segment brings the same two again. */
export class RememberingTrust implements Trust {
  readonly origin: string;
  readonly enrolmentKeys: readonly string[];
  readonly #registrations = new Map<string, Registration>();
  readonly #certificates = new Map<string, EpochCertificate>();

  constructor({ origin, enrolmentKeys }: Trust) {
    this.origin = origin;
    this.enrolmentKeys = [...enrolmentKeys];
  }

  /** As {@link verifyRegistration}. */
  registration(signed: Signed): Registration {
    return remembered(this.#registrations, signed, () => verifyRegistration(signed, this));
  }

  /** As {@link verifyEpochCertificate}. */
  certificate(signed: Signed): EpochCertificate {
    return remembered(this.#certificates, signed, () => verifyEpochCertificate(signed));
  }
}

function remembered<T>(known: Map<string, T>, { body, signature }: Signed, verified: () => T): T {
  const name = `${signature.length} ${signature}${body}`;
  const found = known.get(name);
  if (found !== undefined) return found;
  const statement = verified();
  if (known.size >= MAX_REMEMBERED) known.clear();
  known.set(name, statement);
  return statement;
}

function parseStatement<T>(schema: z.ZodType<T>, signed: Signed, code: 'RegistrationUntrusted' | 'CertificateInvalid'): T {
  try {
    return schema.parse(JSON.parse(signed.body));
  } catch (error) {
    throw new EvidenceError(code, 'the signed statement does not have the expected shape', { cause: error });
  }
}

/** What a sidecar signs with: its pod's nkey and the registration that vouches for it. */
export interface PodIdentity {
  readonly nkey: Signer;
  readonly registration: Signed;
}

export interface Epoch {
  readonly number: number;
  readonly signer: Signer;
  readonly certificate: Signed;
  readonly notBefore: number;
  readonly notAfter: number;
}
