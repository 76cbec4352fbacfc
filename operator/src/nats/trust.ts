import { randomBytes } from 'node:crypto';
import { type Signer, signerFromSeed, x25519Holder } from '@chaperone/evidence';
import { createIfAbsent, getObject, KINDS, type Kube } from '@chaperone/kube';

/** The enrolment key's seed; whoever has it can vouch for any sidecar. */
export const EVIDENCE_KEYS_SECRET = 'chaperone-evidence-keys';
/** What the collector unwraps the data keys of sessions with; whoever has it and the store reads what was recorded. */
export const EVIDENCE_READER_SECRET = 'chaperone-evidence-reader';
/** Origin and public enrolment keys, for auditors to copy. */
export const TRUST_CONFIG_MAP = 'chaperone-trust';

export interface EvidenceTrust {
  /** `<clusterName>/<UID of the kube-system namespace>`, fixed at the first start. */
  readonly origin: string;
  readonly enrolment: Signer;
  /** To whom sidecars wrap the data keys of sessions. */
  readonly recipients: readonly string[];
}

/**
 * Makes the enrolment key, the reader's key and the origin once and publishes them. Run by the leader. Throws if they do not fit each other.
 * @param recipients - who reads beside the collector, as configuration names them
 */
export async function ensureTrust(
  kube: Kube,
  namespace: string,
  { clusterName, recipients }: { readonly clusterName: string; readonly recipients: readonly string[] },
): Promise<EvidenceTrust> {
  const secret = await createIfAbsent(kube, KINDS.secrets, { namespace, name: EVIDENCE_KEYS_SECRET }, () =>
    Promise.resolve({ type: 'Opaque', data: { enrolment: randomBytes(32).toString('base64') } }),
  );
  const seed = (secret.data as Record<string, string> | undefined)?.enrolment ?? '';
  const enrolment = signerFromSeed(Buffer.from(seed, 'base64'));
  const key = enrolment.publicKey.toString('base64url');
  const map = await createIfAbsent(kube, KINDS.configMaps, { namespace, name: TRUST_CONFIG_MAP }, async () => {
    const system = await getObject(kube, KINDS.namespaces, { name: 'kube-system' });
    if (system?.metadata.uid === undefined) throw new Error('the kube-system namespace could not be read');
    return { data: { origin: `${clusterName}/${system.metadata.uid}`, enrolmentKeys: JSON.stringify([key]) } };
  });
  const { origin, enrolmentKeys } = (map.data ?? {}) as { origin?: string; enrolmentKeys?: string };
  const keys: unknown = JSON.parse(enrolmentKeys ?? '[]');
  if (origin === undefined || origin === '' || !Array.isArray(keys) || !keys.includes(key)) {
    throw new Error(
      `ConfigMap ${TRUST_CONFIG_MAP} and Secret ${EVIDENCE_KEYS_SECRET} do not belong together; restore both from one backup`,
    );
  }
  return { origin, enrolment, recipients: [...new Set([await ensureReader(kube, namespace), ...recipients])] };
}

/** The public half of the reader's key. The Secret holds the other as the collector reads it from a file: base64, once more in base64. */
async function ensureReader(kube: Kube, namespace: string): Promise<string> {
  const secret = await createIfAbsent(kube, KINDS.secrets, { namespace, name: EVIDENCE_READER_SECRET }, () =>
    Promise.resolve({ type: 'Opaque', data: { key: Buffer.from(randomBytes(32).toString('base64')).toString('base64') } }),
  );
  const text = Buffer.from((secret.data as Record<string, string> | undefined)?.key ?? '', 'base64').toString();
  return x25519Holder(Buffer.from(text.trim(), 'base64')).name;
}
