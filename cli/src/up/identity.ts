import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  encodeNkey,
  generateSigner,
  type PodIdentity,
  type Signer,
  signerFromSeed,
  signRegistration,
  type Trust,
} from '@chaperone/evidence';
import type { Agent } from '@chaperone/policy';

/** Keys of embedded mode: what the operator holds in a cluster lies in the data directory, readable by its owner only. */
export interface LocalIdentity {
  readonly identity: PodIdentity;
  readonly trust: Trust;
  /** Opens the local collector. */
  readonly token: string;
}

async function keep(path: string, make: () => Buffer): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const made = make();
  await writeFile(path, made, { mode: 0o600, flag: 'wx' });
  return made;
}

/** Reads the keys of a data directory, or makes them. */
export async function localIdentity(data: string, agent: Agent, now: number): Promise<LocalIdentity> {
  const keys = join(data, 'keys');
  await mkdir(keys, { recursive: true, mode: 0o700 });
  const seed = (): Buffer => randomBytes(32);
  const enrolment: Signer = signerFromSeed(await keep(join(keys, 'enrolment.seed'), seed));
  const origin = `local/${(await keep(join(keys, 'origin'), () => Buffer.from(randomBytes(8).toString('hex')))).toString('utf8')}`;
  const token = (await keep(join(keys, 'collector.token'), () => Buffer.from(randomBytes(24).toString('base64url')))).toString(
    'utf8',
  );
  const nkey = generateSigner();
  const { namespace, serviceAccount } = agent;
  const registration = signRegistration(
    { nkey: encodeNkey(nkey.publicKey), agent: { namespace, serviceAccount }, origin, issuedAt: now },
    enrolment,
  );
  const trust: Trust = { origin, enrolmentKeys: [Buffer.from(enrolment.publicKey).toString('base64url')] };
  await writeFile(join(data, 'trust.json'), `${JSON.stringify(trust, null, 2)}\n`);
  return { identity: { nkey, registration }, trust, token };
}
