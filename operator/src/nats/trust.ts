import { randomBytes } from 'node:crypto';
import { type Signer, signerFromSeed } from '@chaperone/evidence';
import { createIfAbsent, getObject, KINDS, type Kube } from '@chaperone/kube';

/** The enrolment key's seed; whoever has it can vouch for any sidecar. */
export const EVIDENCE_KEYS_SECRET = 'chaperone-evidence-keys';
/** Origin and public enrolment keys, for auditors to copy. */
export const TRUST_CONFIG_MAP = 'chaperone-trust';

export interface EvidenceTrust {
  /** `<clusterName>/<UID of the kube-system namespace>`, fixed at the first start. */
  readonly origin: string;
  readonly enrolment: Signer;
}

/** Makes the enrolment key and the origin once and publishes them. Run by the leader. Throws if they do not fit each other. */
export async function ensureTrust(kube: Kube, namespace: string, clusterName: string): Promise<EvidenceTrust> {
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
  return { origin, enrolment };
}
