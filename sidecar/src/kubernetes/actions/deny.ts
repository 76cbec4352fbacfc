import type { ApiType } from '@chaperone/policy';
import type { Whereabouts } from '@chaperone/policy';
import type { Body } from './body.ts';
import { podDanger } from './pods.ts';
import type { ResourceRequest } from './request.ts';
import { isStream } from './verb.ts';

/** Why a call is denied, whatever rules say. The words hold nothing of it. */
const REASONS = {
  Proxy: 'what goes through a proxy of the API server is not seen; use exec, attach or portforward where rules allow it',
  TokenRequest: 'it asks for a token of a ServiceAccount, with which the agent could pass by Chaperone',
  EphemeralContainers: 'it puts a container into a pod that runs, which nothing at admission keeps from what the pod has',
  Privileged: 'a container in it is privileged, and so has its node',
  HostPath: 'a pod in it mounts files of its node',
  HostNamespace: 'a pod in it shares network, processes or memory of its node',
  ForeignServiceAccount: 'a pod in it runs as a ServiceAccount other than default and that of the agent',
  ProtectedKind:
    'no agent changes who may do what in a cluster, what it takes in, its nodes, namespaces and volumes, or Chaperone',
  OwnContainer: 'it enters the container that keeps the credentials of a pod; name another with -c',
  OwnNamespace: 'it is about the namespace of Chaperone itself',
  ProtectedSecret: 'a Secret is among it whose credential Chaperone holds for agents, so that they do not',
  AllNamespaces: 'it reaches into all namespaces at once, that of Chaperone too; name one',
  Ungoverned:
    'pods there are not governed by Chaperone, so that what runs in them could pass it by; agents make and change them in their own cluster alone, in a namespace of agents',
} as const;
export type DenialCode = keyof typeof REASONS;

export interface Denial {
  readonly code: DenialCode;
  /** One clause for the agent. */
  readonly why: string;
}

/** What a cluster has of Chaperone, as the control plane knows it. Of a cluster without it, nothing is governed. */
export interface Surroundings {
  /** Where Chaperone runs; '' where it does not run in this cluster. */
  readonly ownNamespace: string;
  /** Whether pods of a namespace get a sidecar. */
  readonly isGoverned: (namespace: string) => boolean;
  /** Names of Secrets that a ProtectedResource names, by namespace. */
  readonly secrets: ReadonlyMap<string, ReadonlySet<string>>;
  /** The agent itself; '' both where it is an agent of another cluster. */
  readonly agent: { readonly namespace: string; readonly serviceAccount: string };
  /** Whether a resource lies in namespaces, as the API server says; undefined: not known. */
  readonly isNamespaced: (group: string, resource: string) => boolean | undefined;
  /** Where what agents reach by a proxy is. */
  readonly places: readonly Whereabouts[];
}

/** What the kind alone tells, of requests without a body. */
type KindCheck = (request: ApiType & Pick<ResourceRequest, 'verb'>) => DenialCode | undefined;
type Check = (request: ResourceRequest, surroundings: Surroundings, body: Body | undefined) => DenialCode | undefined;

const READS: ReadonlySet<string> = new Set(['get', 'list', 'watch']);
const changes = ({ verb }: Pick<ResourceRequest, 'verb'>): boolean => !READS.has(verb);

const isProxy: KindCheck = ({ verb }) => (verb === 'proxy' ? 'Proxy' : undefined);

/** A Secret of this type is filled with a token by the cluster. */
const TOKEN_SECRET = 'kubernetes.io/service-account-token';

const asksForToken: KindCheck = (request) =>
  changes(request) && request.resource === 'serviceaccounts' && request.subresource === 'token' ? 'TokenRequest' : undefined;

const makesToken: Check = (request, _, body) => {
  if (!changes(request)) return undefined;
  const { group, resource } = request;
  if (group !== '' || resource !== 'secrets' || body === undefined) return undefined;
  const says =
    body.kind === 'object'
      ? [body.value['type']]
      : body.operations
          .filter(({ path }) => path[0] === undefined || path[0] === 'type')
          .map(({ value }) => value ?? TOKEN_SECRET);
  // A patch may put the whole object, or a value that is not known.
  return says.some((type) => type === TOKEN_SECRET || (type !== undefined && typeof type !== 'string'))
    ? 'TokenRequest'
    : undefined;
};

const entersPod: KindCheck = (request) =>
  request.subresource === 'ephemeralcontainers' && changes(request) ? 'EphemeralContainers' : undefined;

/** Names of what is injected into a governed pod begin so. Without a name the API server takes the only regular container. */
const OWN_CONTAINERS = 'chaperone-';

const entersSidecar: Check = ({ verb, parameters }) => {
  const container = parameters.get('container')?.[0] ?? '';
  return (verb === 'exec' || verb === 'attach') && container.startsWith(OWN_CONTAINERS) ? 'OwnContainer' : undefined;
};

/** Every write to them, of whatever subresource. */
const PROTECTED_GROUPS: ReadonlySet<string> = new Set([
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'apiregistration.k8s.io',
  'rbac.authorization.k8s.io',
]);
const PROTECTED_KINDS: ReadonlySet<string> = new Set([
  '/nodes',
  '/namespaces',
  '/persistentvolumes',
  'certificates.k8s.io/certificatesigningrequests',
]);

const changesProtected: KindCheck = (request) => {
  const { group, resource } = request;
  const isProtected =
    group === 'chaperone.dev' ||
    group.endsWith('.chaperone.dev') ||
    PROTECTED_GROUPS.has(group) ||
    PROTECTED_KINDS.has(`${group}/${resource}`);
  return isProtected && changes(request) ? 'ProtectedKind' : undefined;
};

const reachesOwn: Check = ({ namespace, group, resource, name }, { ownNamespace }) => {
  if (ownNamespace === '') return undefined;
  const isItself = group === '' && resource === 'namespaces' && name === ownNamespace;
  return namespace === ownNamespace || isItself ? 'OwnNamespace' : undefined;
};

const reachesSecret: Check = ({ namespace, group, resource, name }, { secrets }) => {
  if (group !== '' || resource !== 'secrets') return undefined;
  if (namespace === '') return secrets.size > 0 ? 'ProtectedSecret' : undefined;
  const named = secrets.get(namespace);
  return named !== undefined && named.size > 0 && (name === '' || named.has(name)) ? 'ProtectedSecret' : undefined;
};

/** Built-in kinds that lie in no namespace, and that agents list. */
const CLUSTER_WIDE: ReadonlySet<string> = new Set([
  '/nodes',
  '/namespaces',
  '/persistentvolumes',
  'apiextensions.k8s.io/customresourcedefinitions',
  'apiregistration.k8s.io/apiservices',
  'admissionregistration.k8s.io/mutatingwebhookconfigurations',
  'admissionregistration.k8s.io/validatingadmissionpolicies',
  'admissionregistration.k8s.io/validatingadmissionpolicybindings',
  'admissionregistration.k8s.io/validatingwebhookconfigurations',
  'certificates.k8s.io/certificatesigningrequests',
  'metrics.k8s.io/nodes',
  'networking.k8s.io/ingressclasses',
  'node.k8s.io/runtimeclasses',
  'rbac.authorization.k8s.io/clusterrolebindings',
  'rbac.authorization.k8s.io/clusterroles',
  'scheduling.k8s.io/priorityclasses',
  'storage.k8s.io/csidrivers',
  'storage.k8s.io/csinodes',
  'storage.k8s.io/storageclasses',
  'storage.k8s.io/volumeattachments',
]);

const reachesAll: Check = ({ namespace, group, resource, verb }, { ownNamespace, isNamespaced }) => {
  const isMany = verb === 'list' || verb === 'watch' || verb === 'deletecollection';
  if (ownNamespace === '' || namespace !== '' || !isMany) return undefined;
  const liesInOne = isNamespaced(group, resource) ?? !CLUSTER_WIDE.has(`${group}/${resource}`);
  return liesInOne ? 'AllNamespaces' : undefined;
};

/** Kinds that are pods or make some, and what keeps the template of one. */
const WITH_PODS: ReadonlySet<string> = new Set([
  '/pods',
  '/podtemplates',
  '/replicationcontrollers',
  'apps/controllerrevisions',
  'apps/daemonsets',
  'apps/deployments',
  'apps/replicasets',
  'apps/statefulsets',
  'batch/cronjobs',
  'batch/jobs',
]);

const isOutside: Check = (request, { isGoverned }, body) => {
  const { group, resource, namespace, verb } = request;
  // What is done in a pod that is there already is judged by itself, command by command.
  if (!changes(request) || isStream(verb) || isGoverned(namespace)) return undefined;
  return WITH_PODS.has(`${group}/${resource}`) || (body !== undefined && holdsPods(body)) ? 'Ungoverned' : undefined;
};

const isDangerous: Check = (request, { agent }, body) => {
  if (body === undefined) return undefined;
  const mayRunAs = (serviceAccount: string): boolean =>
    serviceAccount === 'default' || (serviceAccount === agent.serviceAccount && request.namespace === agent.namespace);
  return podDanger(body, mayRunAs);
};

/** Whatever its kind: a list of containers is what a pod is made of. */
function holdsPods(body: Body): boolean {
  const pending: unknown[] =
    body.kind === 'object'
      ? [body.value]
      : body.operations.flatMap(({ path, value }) => [Object.fromEntries(path.map((part) => [part, []])), value]);
  for (let value = pending.pop(); value !== undefined || pending.length > 0; value = pending.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, inner] of Object.entries(value)) {
      if ((key === 'containers' || key === 'initContainers') && Array.isArray(inner)) return true;
      pending.push(inner);
    }
  }
  return false;
}

/** Whether no rule can allow it, whatever the object is. */
export function isNeverAllowed(request: ApiType & Pick<ResourceRequest, 'verb'>): boolean {
  return [isProxy, asksForToken, entersPod, changesProtected].some((check) => check(request) !== undefined);
}

/** In this order; the first that answers decides. */
const CHECKS: readonly Check[] = [
  isProxy,
  asksForToken,
  makesToken,
  entersPod,
  entersSidecar,
  changesProtected,
  reachesOwn,
  reachesSecret,
  reachesAll,
  isOutside,
  isDangerous,
];

/**
 * What no rule and no approval can allow: ways to rights that were not given, to credentials that Chaperone holds, and around it.
 *
 * @param body - as it was read; undefined where there is none
 */
export function denial(request: ResourceRequest, surroundings: Surroundings, body: Body | undefined): Denial | undefined {
  for (const check of CHECKS) {
    const code = check(request, surroundings, body);
    if (code !== undefined) return { code, why: REASONS[code] };
  }
  return undefined;
}
