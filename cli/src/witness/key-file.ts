import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import {
  cosigner,
  type CosignatureType,
  EvidenceError,
  KEY_TYPE,
  mlDsaSigner,
  type NoteSigner,
  type Signer,
  signerFromSeed,
  type VerifierKey,
  verifierKey,
} from '@chaperone/evidence';
import { fileUnread, usage } from '../errors.ts';

const SEED_BYTES = 32;
/** A line of 100 characters or so. */
const MAX_FILE_CHARS = 1024;
export const WITNESS_KEY_TYPES = { ed25519: KEY_TYPE.cosignature, 'ml-dsa-44': KEY_TYPE.mlDsa44 } as const;
export type WitnessKeyType = keyof typeof WITNESS_KEY_TYPES;

/** What a witness cosigns with. */
export interface WitnessKey {
  readonly key: VerifierKey;
  /** Cosigns at this time, in seconds since 1970. */
  at(time: number): NoteSigner;
}

/*
 * PRIVATE+KEY+NAME+ID+BASE64(type ‖ seed), a line; of the same form as the private keys of Go's note package, and with the id of the
 * public key.
 */
const PREFIX = 'PRIVATE+KEY+';

/** Reads a witness's key. Throws CliError NotFound or Usage. */
export async function readWitnessKey(path: string): Promise<WitnessKey> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileUnread(path, error);
  });
  const line = text.length > MAX_FILE_CHARS ? '' : text.trim();
  const [name = '', id = '', ...encoded] = line.startsWith(PREFIX) ? line.slice(PREFIX.length).split('+') : [];
  const bytes = Buffer.from(encoded.join('+'), 'base64');
  const type = Object.values(WITNESS_KEY_TYPES).find((each) => each === bytes[0]);
  const found = type === undefined || bytes.length !== 1 + SEED_BYTES ? undefined : witnessKey(name, type, bytes.subarray(1));
  if (found === undefined || found.key.id !== Number.parseInt(id, 16))
    throw usage(`${path} is not the key of a witness; chaperone witness key makes one`);
  return found;
}

/** Makes a key in a file that is not there yet, for its owner alone. Throws CliError Usage. */
export async function makeWitnessKey(path: string, name: string, type: WitnessKeyType): Promise<WitnessKey> {
  const seed = randomBytes(SEED_BYTES);
  const number = WITNESS_KEY_TYPES[type];
  const made = witnessKey(name, number, seed);
  if (made === undefined)
    throw usage(`"${name.slice(0, 80)}" cannot be the name of a witness: it has no spaces and no plus sign`);
  const id = made.key.id.toString(16).padStart(8, '0');
  const line = `${PREFIX}${name}+${id}+${Buffer.concat([Buffer.of(number), seed]).toString('base64')}\n`;
  try {
    await writeFile(path, line, { mode: 0o600, flag: 'wx', flush: true });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw usage(`${path} cannot be made (${code}); a key is written over nothing`, cause);
  }
  return made;
}

/** Undefined where nobody may have this name. */
function witnessKey(name: string, type: CosignatureType, seed: Buffer): WitnessKey | undefined {
  const signer: Signer = type === KEY_TYPE.mlDsa44 ? mlDsaSigner(seed) : signerFromSeed(seed);
  try {
    return { key: verifierKey(name, type, signer.publicKey), at: (time) => cosigner(name, type, signer, time) };
  } catch (error) {
    if (error instanceof EvidenceError) return undefined;
    throw error;
  }
}
