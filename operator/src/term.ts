import { isDeepStrictEqual } from 'node:util';
import type { InjectionProfile } from '@chaperone/api';
import { apply, getObject, KINDS, type Kube, pathOf } from '@chaperone/kube';
import type { LeadOptions } from './lead.ts';
import { GOVERNED_SINCE, isGoverned, labelledAt } from './sidecars/governed.ts';

/** What the broker's certificate is checked against: its own CA where it has one, ours where the chart installed it. */
export function natsCa({ natsCa: given, config, authority }: LeadOptions, now: number): { ca?: string } {
  const ca = given ?? (config.nats.installed ? authority.bundle(now) : undefined);
  return ca === undefined ? {} : { ca };
}

/** Points a Service that has no selector, since the leader alone answers there, at this replica. */
export async function publishLeader(
  { kube, config }: LeadOptions,
  of: 'sidecars' | 'decide',
  signal: AbortSignal,
): Promise<void> {
  const service = config.services[of];
  const labels = { 'kubernetes.io/service-name': service, 'endpointslice.kubernetes.io/managed-by': 'chaperone-operator' };
  await apply(
    kube,
    KINDS.endpointSlices,
    { namespace: config.namespace, name: `${service}-leader` },
    {
      metadata: { labels },
      addressType: config.pod.ip.includes(':') ? 'IPv6' : 'IPv4',
      ports: [{ name: of, port: config.ports[of], protocol: 'TCP' }],
      endpoints: [{ addresses: [config.pod.ip], conditions: { ready: true } }],
    },
    { signal },
  );
}

/** Writes down since when a namespace is governed: since its label was set, as the API server noted it, or else since now. */
export async function sealNamespace(kube: Kube, name: string, at: { now: number; signal: AbortSignal }): Promise<void> {
  const current = await getObject(kube, KINDS.namespaces, { name });
  if (current === undefined || !isGoverned(current)) return;
  const since = labelledAt(current) ?? new Date(at.now).toISOString();
  await kube.request({
    method: 'PATCH',
    path: pathOf(KINDS.namespaces, { name }),
    contentType: 'application/merge-patch+json',
    body: { metadata: { resourceVersion: current.metadata.resourceVersion, annotations: { [GOVERNED_SINCE]: since } } },
    signal: at.signal,
  });
}

/** The profile of this release, and beside it the one before, whose pods still run. */
export async function writeProfile(kube: Kube, wanted: InjectionProfile): Promise<void> {
  const current = await getObject(kube, KINDS.injectionProfiles, { name: wanted.metadata.name });
  if (current !== undefined && isDeepStrictEqual(current.spec, JSON.parse(JSON.stringify(wanted.spec)))) return;
  if (current !== undefined) await apply(kube, KINDS.injectionProfiles, { name: 'previous' }, { spec: current.spec });
  await apply(kube, KINDS.injectionProfiles, { name: wanted.metadata.name }, { spec: wanted.spec });
}
