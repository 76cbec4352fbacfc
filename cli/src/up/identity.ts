import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeNkey, type PodIdentity, signerFromSeed, signRegistration, type Trust } from '@chaperone/evidence';
import type { Agent } from '@chaperone/policy';
import { CliError } from '../errors.ts';
import { agentPaths, dataPaths, writePrivately } from './data-directory.ts';

const SEED_BYTES = 32;
const ORIGIN_BYTES = 8;

/** Keys of embedded mode: what the operator holds in a cluster lies in the data directory, readable by its owner only. */
export interface LocalIdentity {
  readonly identity: PodIdentity;
  readonly trust: Trust;
}

/** Reads the keys of a data directory that is held, or makes them. Throws CliError DataUnreadable. */
export async function localIdentity(data: string, agent: Agent, now: number): Promise<LocalIdentity> {
  const { keys, trust: trustFile } = dataPaths(data);
  await mkdir(keys, { recursive: true, mode: 0o700 });
  const enrolment = signerFromSeed(await keep(keys, 'enrolment.seed', SEED_BYTES));
  const origin = `local/${(await keep(keys, 'origin.seed', ORIGIN_BYTES)).toString('hex')}`;
  const { run } = agentPaths(data, agent);
  await mkdir(run, { recursive: true, mode: 0o700 });
  const nkey = signerFromSeed(await keep(run, 'nkey.seed', SEED_BYTES));
  const { namespace, serviceAccount } = agent;
  const registration = signRegistration(
    { nkey: encodeNkey(nkey.publicKey), agent: { namespace, serviceAccount }, origin, issuedAt: now },
    enrolment,
  );
  const trust: Trust = { origin, enrolmentKeys: [Buffer.from(enrolment.publicKey).toString('base64url')] };
  await writePrivately(trustFile, `${JSON.stringify(trust, null, 2)}\n`);
  return { identity: { nkey, registration }, trust };
}

/** Random bytes that stay the same from the first start on. */
async function keep(keys: string, name: string, length: number): Promise<Buffer> {
  const path = join(keys, name);
  const kept = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (kept === undefined) {
    const made = randomBytes(length);
    await writePrivately(path, made);
    return made;
  }
  if (kept.length === length) return kept;
  throw new CliError('DataUnreadable', `${path} is damaged: it has ${kept.length} bytes in place of ${length}`);
}
