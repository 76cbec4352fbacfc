/** All of the core group of the Kubernetes API, which is closed: whatever else is added lies in a group with a name. */
export const CORE_RESOURCES: readonly string[] = [
  'bindings',
  'componentstatuses',
  'configmaps',
  'endpoints',
  'events',
  'limitranges',
  'namespaces',
  'nodes',
  'persistentvolumeclaims',
  'persistentvolumes',
  'pods',
  'podtemplates',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'serviceaccounts',
  'services',
];

/** Others of Kubernetes' own that people write without their group. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  apps: ['controllerrevisions', 'daemonsets', 'deployments', 'replicasets', 'statefulsets'],
  autoscaling: ['horizontalpodautoscalers'],
  batch: ['cronjobs', 'jobs'],
  'coordination.k8s.io': ['leases'],
  'discovery.k8s.io': ['endpointslices'],
  'networking.k8s.io': ['ingresses', 'ingressclasses', 'networkpolicies'],
  policy: ['poddisruptionbudgets'],
  'rbac.authorization.k8s.io': ['clusterrolebindings', 'clusterroles', 'rolebindings', 'roles'],
  'storage.k8s.io': ['storageclasses'],
};

/** `apps` for `deployments`; undefined: not known. */
export function groupOf(resource: string): string | undefined {
  return Object.entries(GROUPS).find(([, resources]) => resources.includes(resource))?.[0];
}
