import { X509Certificate } from 'node:crypto';
import { getObject, isNotFound, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';
import type { Authority } from './authority.ts';
import { exportKey, generateKeys, issueLeaf } from './pem.ts';

/** How long the certificate of a service is valid; it is renewed at two thirds of this. */
export const SERVICE_CERTIFICATE_LIFE_MS = 90 * 86_400_000;
const CLUSTER_DOMAIN = 'svc.cluster.local';

/** A service of the installation that does not make its own certificate. */
export interface ServiceCertificate {
  /** Secret of type kubernetes.io/tls that its pods mount. */
  readonly secret: string;
  readonly service: string;
  /** StatefulSet that is restarted for a renewed certificate, where its program reads it at start only. */
  readonly restarts?: string;
}
export const SERVICE_CERTIFICATES: readonly ServiceCertificate[] = [
  { secret: 'chaperone-collector-tls', service: 'chaperone-collector' },
  { secret: 'chaperone-nats-tls', service: 'chaperone-nats', restarts: 'chaperone-nats' },
];

/** Names under which a Service is reached inside the cluster. */
export function serviceNames(service: string, namespace: string): string[] {
  return [`${service}.${namespace}.svc`, `${service}.${namespace}.${CLUSTER_DOMAIN}`, `${service}.${namespace}`];
}

/**
 * Writes the Secret of each service where it is absent, due, for other names or by another CA. Run by the leader; a Secret that
 * somebody else made (without our label) is theirs and stays as it is.
 */
export async function ensureServiceCertificates(kube: Kube, namespace: string, authority: Authority, now: number): Promise<void> {
  for (const each of SERVICE_CERTIFICATES) {
    const at = { namespace, name: each.secret };
    const existing = await getObject(kube, KINDS.secrets, at);
    const names = serviceNames(each.service, namespace);
    if (existing !== undefined && (!isOurs(existing) || isCurrent(existing, names, authority, now))) continue;
    const data = await issue(authority, names, now);
    const { resourceVersion } = existing?.metadata ?? {};
    // The version keeps a leader that was replaced from overwriting what its successor wrote.
    const metadata = { ...at, labels: { [LABEL]: VALUE }, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
    const body = { apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', data };
    if (existing === undefined) await kube.request({ method: 'POST', path: pathOf(KINDS.secrets, { namespace }), body });
    else {
      await kube.request({ method: 'PUT', path: pathOf(KINDS.secrets, at), body });
      if (each.restarts !== undefined) await restart(kube, { namespace, name: each.restarts }, now);
    }
  }
}

/** As `kubectl rollout restart` does it. What does not exist needs no restart. */
async function restart(kube: Kube, at: { namespace: string; name: string }, now: number): Promise<void> {
  const annotations = { 'chaperone.dev/certificate-renewed': new Date(now).toISOString() };
  try {
    await kube.request({
      method: 'PATCH',
      path: pathOf(KINDS.statefulSets, at),
      contentType: 'application/merge-patch+json',
      body: { spec: { template: { metadata: { annotations } } } },
    });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

const LABEL = 'app.kubernetes.io/managed-by';
const VALUE = 'chaperone-operator';
const isOurs = (secret: KubeObject): boolean => secret.metadata.labels?.[LABEL] === VALUE;

const encode = (text: string): string => Buffer.from(text).toString('base64');

async function issue(authority: Authority, names: readonly string[], now: number): Promise<Record<string, string>> {
  const keys = await generateKeys();
  const certificate = await issueLeaf(authority.issuer, {
    commonName: names[0] ?? '',
    publicKey: keys.publicKey,
    names,
    now,
    lifeMs: SERVICE_CERTIFICATE_LIFE_MS,
  });
  return { 'tls.crt': encode(certificate), 'tls.key': encode(await exportKey(keys.privateKey)) };
}

/** Whether the certificate is by the CA in use, for all names, and within the first two thirds of its life. */
function isCurrent(secret: KubeObject, names: readonly string[], authority: Authority, now: number): boolean {
  try {
    const { 'tls.crt': encoded = '', 'tls.key': key = '' } = (secret.data ?? {}) as Record<string, string>;
    const certificate = new X509Certificate(Buffer.from(encoded, 'base64'));
    const issuer = new X509Certificate(Buffer.from(authority.issuer.certificate.rawData));
    const begin = new Date(certificate.validFrom).getTime();
    const due = begin + ((new Date(certificate.validTo).getTime() - begin) * 2) / 3;
    return (
      key !== '' &&
      certificate.verify(issuer.publicKey) &&
      now < due &&
      names.every((name) => certificate.checkHost(name) !== undefined)
    );
  } catch {
    return false;
  }
}
