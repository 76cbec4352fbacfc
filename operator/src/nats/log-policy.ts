import { randomBytes } from 'node:crypto';
import {
  formatPolicy,
  noteSigner,
  orUndefined,
  parsePolicy,
  type Signer,
  signerFromSeed,
  type VerifierKey,
} from '@chaperone/evidence';
import { apply, createIfAbsent, getObject, KINDS, type Kube, type KubeObject } from '@chaperone/kube';
import { TRUST_CONFIG_MAP } from './trust.ts';

/** The seed of the key that signs the log's checkpoints, where the chart's values name no other Secret; mounted by the collector. */
export const LOG_KEY_SECRET = 'chaperone-log-key';
const SEED_BYTES = 32;

export interface LogConfig {
  /** A Secret that somebody else keeps, and its key with 32 bytes in base64; undefined: one is made. */
  readonly keySecret: { readonly name: string; readonly key: string } | undefined;
  /** Lines of a C2SP tlog-policy behind the log's own. */
  readonly witnesses: string;
}

/**
 * Whose receipts sidecars believe: a C2SP tlog-policy, which ConfigMap chaperone-trust has under `log` for auditors to copy. The key stays the
 * one that was published first. Throws where the Secret is missing or another one, or the witnesses cannot be read. Run by the leader.
 */
export async function ensureLogPolicy(kube: Kube, namespace: string, origin: string, config: LogConfig): Promise<string> {
  const { key } = noteSigner(origin, await logKey(kube, namespace, config));
  const policy = formatPolicy(key, config.witnesses);
  parsePolicy(Buffer.from(policy));
  const at = { namespace, name: TRUST_CONFIG_MAP };
  const published = ((await getObject(kube, KINDS.configMaps, at))?.data as { log?: string } | undefined)?.log;
  if (published === policy) return policy;
  if (published !== undefined && !isOf(published, key))
    throw new Error(
      `ConfigMap ${TRUST_CONFIG_MAP} names another key of the log than its Secret has; restore both from one backup`,
    );
  await apply(kube, KINDS.configMaps, at, { data: { log: policy } });
  return policy;
}

function isOf(policy: string, { key }: VerifierKey): boolean {
  const logs = orUndefined(() => parsePolicy(Buffer.from(policy)).logs) ?? [];
  return logs.some(({ verifier }) => verifier.key.key.equals(key));
}

async function logKey(kube: Kube, namespace: string, { keySecret }: LogConfig): Promise<Signer> {
  const name = keySecret?.name ?? LOG_KEY_SECRET;
  const secret =
    keySecret === undefined
      ? await createIfAbsent(kube, KINDS.secrets, { namespace, name }, () =>
          Promise.resolve({ type: 'Opaque', data: { key: encode(randomBytes(SEED_BYTES).toString('base64')) } }),
        )
      : await getObject(kube, KINDS.secrets, { namespace, name });
  const seed = Buffer.from(textOf(secret, keySecret?.key ?? 'key').trim(), 'base64');
  if (seed.length !== SEED_BYTES) throw new Error(`Secret ${name} has no key of the log: 32 bytes in base64`);
  return signerFromSeed(seed);
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function textOf(secret: KubeObject | undefined, key: string): string {
  const value = (secret?.data as Record<string, string> | undefined)?.[key] ?? '';
  return Buffer.from(value, 'base64').toString();
}
