import { getObject, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';
import { type Dialled, serviceKey, serviceOf, type ServiceFacts } from './policy.ts';

interface ServiceSpec {
  readonly type?: string;
  readonly clusterIP?: string;
  readonly externalName?: string;
  readonly selector?: Readonly<Record<string, string>>;
  readonly ports?: readonly { readonly port: number; readonly targetPort?: number | string; readonly protocol?: string }[];
}
interface Slice {
  readonly endpoints?: readonly { readonly addresses: readonly string[] }[];
  readonly ports?: readonly { readonly port?: number; readonly protocol?: string }[];
}
/** Addresses of a Service without a selector that are looked at. */
const MAX_ADDRESSES = 64;

/** What the Services among these places lead to, as the API server has them now; by {@link serviceKey}. */
export async function readServices(
  kube: Kube,
  dialled: readonly Dialled[],
  signal: AbortSignal,
): Promise<Map<string, ServiceFacts>> {
  const found = new Map<string, ServiceFacts>();
  for (const { host, port } of dialled) {
    const at = serviceOf(host);
    if (at === undefined) continue;
    const service = await getObject(kube, KINDS.services, at, { signal });
    const facts = service && (await factsOf(kube, service, port, signal));
    if (facts !== undefined) found.set(serviceKey(at, port), facts);
  }
  return found;
}

async function factsOf(kube: Kube, service: KubeObject, port: number, signal: AbortSignal): Promise<ServiceFacts | undefined> {
  const spec = (service.spec ?? {}) as ServiceSpec;
  if (spec.type === 'ExternalName') return { kind: 'name', host: (spec.externalName ?? '').toLowerCase() };
  const declared = spec.ports?.find((each) => each.port === port && (each.protocol ?? 'TCP') === 'TCP');
  // Whoever asks for a headless Service dials its pods, on the port that was asked for.
  const target = spec.clusterIP === 'None' ? port : declared && (declared.targetPort ?? port);
  if (target === undefined) return undefined;
  if (spec.selector !== undefined && Object.keys(spec.selector).length > 0)
    return { kind: 'pods', labels: spec.selector, port: target };
  return await endpointsOf(kube, service, signal);
}

async function endpointsOf(kube: Kube, { metadata }: KubeObject, signal: AbortSignal): Promise<ServiceFacts> {
  const { items = [] } = await kube.request<{ items?: Slice[] }>({
    path: pathOf(KINDS.endpointSlices, { namespace: metadata.namespace }),
    query: { labelSelector: `kubernetes.io/service-name=${metadata.name}`, limit: 50 },
    signal,
  });
  const addresses = items.flatMap(({ endpoints }) => endpoints ?? []).flatMap((endpoint) => endpoint.addresses);
  const ports = items.flatMap((slice) => slice.ports ?? []).flatMap(({ port }) => (port === undefined ? [] : [port]));
  return {
    kind: 'addresses',
    addresses: [...new Set(addresses)].toSorted().slice(0, MAX_ADDRESSES),
    ports: [...new Set(ports)].toSorted((a, b) => a - b),
  };
}
