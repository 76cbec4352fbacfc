import { API_VERSION, type ObjectMeta } from '@chaperone/api';

/** An object as the API server sent it. Foreign objects stay untyped, so that no field of a newer API is lost. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** Where objects of one kind live in the API. */
export interface ResourceKind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

const kind = (apiVersion: string, name: string, plural: string, namespaced = true): ResourceKind => ({
  apiVersion,
  kind: name,
  plural,
  namespaced,
});

export const KINDS = {
  pods: kind('v1', 'Pod', 'pods'),
  namespaces: kind('v1', 'Namespace', 'namespaces', false),
  services: kind('v1', 'Service', 'services'),
  secrets: kind('v1', 'Secret', 'secrets'),
  configMaps: kind('v1', 'ConfigMap', 'configmaps'),
  statefulSets: kind('apps/v1', 'StatefulSet', 'statefulsets'),
  leases: kind('coordination.k8s.io/v1', 'Lease', 'leases'),
  events: kind('events.k8s.io/v1', 'Event', 'events'),
  networkPolicies: kind('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies'),
  endpointSlices: kind('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices'),
  mutatingWebhooks: kind(
    'admissionregistration.k8s.io/v1',
    'MutatingWebhookConfiguration',
    'mutatingwebhookconfigurations',
    false,
  ),
  admissionPolicyBindings: kind(
    'admissionregistration.k8s.io/v1',
    'ValidatingAdmissionPolicyBinding',
    'validatingadmissionpolicybindings',
    false,
  ),
  tokenReviews: kind('authentication.k8s.io/v1', 'TokenReview', 'tokenreviews', false),
  protectedResources: kind(API_VERSION, 'ProtectedResource', 'protectedresources'),
  accessPolicies: kind(API_VERSION, 'AccessPolicy', 'accesspolicies'),
  accessRequests: kind(API_VERSION, 'AccessRequest', 'accessrequests'),
  approvalDecisions: kind(API_VERSION, 'ApprovalDecision', 'approvaldecisions'),
  evidenceLogins: kind(API_VERSION, 'EvidenceLogin', 'evidencelogins', false),
  sessionKills: kind(API_VERSION, 'SessionKill', 'sessionkills'),
  injectionProfiles: kind(API_VERSION, 'InjectionProfile', 'injectionprofiles', false),
} as const;

/** Path of a collection, an object or a subresource. Names are escaped. */
export function pathOf(
  of: ResourceKind,
  at: { namespace?: string | undefined; name?: string; subresource?: string } = {},
): string {
  const parts = of.apiVersion.includes('/') ? ['apis', of.apiVersion] : ['api', of.apiVersion];
  if (of.namespaced && at.namespace !== undefined) parts.push('namespaces', encodeURIComponent(at.namespace));
  parts.push(of.plural);
  if (at.name !== undefined) parts.push(encodeURIComponent(at.name));
  if (at.subresource !== undefined) parts.push(at.subresource);
  return `/${parts.join('/')}`;
}

/** NAMESPACE/NAME, or NAME for cluster-scoped objects. */
export function keyOf(object: { metadata: { namespace?: string | undefined; name: string } }): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}
