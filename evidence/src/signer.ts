import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { EvidenceError } from './errors.ts';
import { encodeNkey, type Epoch, EPOCH_MS, type PodIdentity, signEpochCertificate, type Signer } from './keys.ts';
import { ML_DSA_KEY_BYTES } from './log/ml-dsa.ts';
import { randomBytes } from './primitives.ts';

const SEED_BYTES = 32;
const ED25519_KEY_BYTES = 32;
// The parts of these structures that are the same for every key of a kind (RFC 8410, RFC 9881).
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const ML_DSA_44_PKCS8 = Buffer.from('3034020100300b060960864801650304031104228020', 'hex');

/** A signer of a 32-byte seed. Throws EvidenceError MalformedKey for another length. */
export function signerFromSeed(seed: Uint8Array): Signer {
  if (seed.length !== SEED_BYTES) throw new EvidenceError('MalformedKey', 'an Ed25519 seed has 32 bytes');
  return signerOf(privateKey(ED25519_PKCS8, seed), ED25519_KEY_BYTES);
}

export function generateSigner(random: (bytes: number) => Buffer = randomBytes): Signer {
  return signerFromSeed(random(SEED_BYTES));
}

/** An ML-DSA-44 signer (FIPS 204, empty context) of its 32-byte seed. Throws EvidenceError MalformedKey for another length. */
export function mlDsaSigner(seed: Uint8Array): Signer {
  if (seed.length !== SEED_BYTES) throw new EvidenceError('MalformedKey', 'an ML-DSA-44 seed has 32 bytes');
  return signerOf(privateKey(ML_DSA_44_PKCS8, seed), ML_DSA_KEY_BYTES);
}

function privateKey(prefix: Buffer, seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' });
}

function signerOf(key: KeyObject, publicBytes: number): Signer {
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-publicBytes);
  return { publicKey, sign: (message) => sign(null, message, key) };
}

/** Makes a new epoch key certified by the pod's nkey; its seed exists only in the returned signer. */
export function createEpoch(identity: PodIdentity, number: number, now: number): Epoch {
  const signer = generateSigner();
  const [nkey, key] = [encodeNkey(identity.nkey.publicKey), signer.publicKey.toString('base64url')];
  const bounds = { notBefore: now, notAfter: now + EPOCH_MS };
  const certificate = signEpochCertificate({ nkey, key, epoch: number, ...bounds }, identity.nkey);
  return { number, signer, certificate, ...bounds };
}
