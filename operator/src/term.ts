import { apply, KINDS } from '@chaperone/kube';
import type { LeadOptions } from './lead.ts';

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
