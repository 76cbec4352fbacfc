import { isDeepStrictEqual } from 'node:util';
import { type InjectionProfile, MAX_OPERATOR_CAS } from '@chaperone/api';
import { apply, getObject, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';
import { CA_TIMES, type CaTimes, ensureAuthority } from './ca/authority.ts';
import { trusts } from './ca/publish.ts';
import { operatorCaOf, PROFILE_NAME, withOperatorCa } from './injection/profile.ts';
import type { LeadOptions } from './lead.ts';
import { GOVERNED_SINCE, isGoverned, labelledAt } from './sidecars/governed.ts';

/** Times of a leader. */
export interface LeadTimes {
  /** Everything is looked at again this often: clocks move, certificates age. */
  readonly tickMs: number;
  readonly ca: CaTimes;
}
export const LEAD_TIMES: LeadTimes = { tickMs: 30_000, ca: CA_TIMES };
/** Asks nothing more once the signal aborts, and gives up what was asked: what a leader says late must not undo what the next one wrote. */
export function during(kube: Kube, signal: AbortSignal): Kube {
  return {
    ...kube,
    request: async (asked) =>
      await kube.request({ ...asked, signal: asked.signal === undefined ? signal : AbortSignal.any([signal, asked.signal]) }),
  };
}

/**
 * Makes the CA where there is none, and its successor in time; nothing is signed with that before the webhook is called and pods are
 * injected by it. `webhooks` is our configuration, undefined where there is none, 'unknown' before anybody has looked.
 */
export async function keepAuthority(
  { config, authority, world, times, now = Date.now }: LeadOptions,
  kube: Kube,
  webhooks: KubeObject | 'unknown' | undefined,
): Promise<void> {
  const profile = world.profiles.get(PROFILE_NAME);
  const isPublished = (certificate: string): boolean =>
    webhooks !== 'unknown' &&
    trusts(webhooks, certificate) &&
    profile !== undefined &&
    operatorCaOf(profile.spec)?.includes(certificate) === true;
  await authority.use(await ensureAuthority(kube, config.namespace, { now: now(), times: times.ca, isPublished }));
}

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

/**
 * The profile of this release, and beside it the one before, whose pods still run. A CA bundle that is new is accepted first, and
 * injected from the next call on: API servers and replicas hear of one change at different moments, and refuse no pod meanwhile.
 */
export async function writeProfile(kube: Kube, wanted: InjectionProfile): Promise<void> {
  const found = await getObject(kube, KINDS.injectionProfiles, { name: wanted.metadata.name });
  const current = found?.spec as ProfileSpec | undefined;
  const next = followingProfile(current, JSON.parse(JSON.stringify(wanted.spec)) as InjectionProfile['spec']);
  if (isDeepStrictEqual(current, next)) return;
  if (current !== undefined && !isSameRelease(current, next))
    await apply(kube, KINDS.injectionProfiles, { name: 'previous' }, { spec: current });
  await apply(kube, KINDS.injectionProfiles, { name: wanted.metadata.name }, { spec: next });
}

type ProfileSpec = InjectionProfile['spec'];

/** What is written next, on the way from `current` to `wanted`. */
export function followingProfile(current: ProfileSpec | undefined, wanted: ProfileSpec): ProfileSpec {
  const cas = [operatorCaOf(wanted), ...(current?.operatorCas ?? []), current && operatorCaOf(current)];
  const operatorCas = [...new Set(cas.filter((ca) => ca !== undefined))].slice(0, MAX_OPERATOR_CAS);
  const isAccepted = current?.operatorCas?.includes(operatorCas[0] ?? '') === true;
  const base = current === undefined || isAccepted || !isSameRelease(current, wanted) ? wanted : current;
  return { ...base, operatorCas };
}

/** Whether two profiles differ in CA bundles alone. */
function isSameRelease(one: ProfileSpec, other: ProfileSpec): boolean {
  const rest = ({ operatorCas: _cas, ...spec }: ProfileSpec): object => withOperatorCa(spec, '');
  return isDeepStrictEqual(rest(one), rest(other));
}
