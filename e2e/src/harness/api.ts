import type { Cluster } from './cluster.ts';
import { AGENTS, OUTSIDE } from './shop.ts';

/** The Service of the API server, whose namespace the resource has to lie in. */
const NAMESPACE = 'default';
const NAME = 'cluster';
const ADDRESS = 'kubernetes.default.svc:443';
const metadata = { name: NAME, namespace: NAMESPACE };
export const ACCOUNT = `system:serviceaccount:${NAMESPACE}:${NAME}`;
/** In Secrets that agents may look at. */
export const HIDDEN = 'not-for-agents';

const approval = { approvers: { groups: ['sre'] }, timeout: '2m' };
const rule = (name: string, effect: string, kubernetes: object, more: object = {}): object => ({
  name,
  effect,
  resource: { namespace: NAMESPACE, name: NAME },
  kubernetes,
  ...more,
});

/** What an agents' team lets them do; more than any team should, so that what is refused is refused by more than rules. */
const POLICY = {
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: { name: 'api', namespace: AGENTS },
  spec: {
    agents: { serviceAccounts: ['support-agent'] },
    purpose: 'keep the shop running',
    rules: [
      rule('look', 'Allow', {
        verbs: ['get', 'list', 'watch'],
        resources: ['**'],
        nonResourcePaths: ['/version', '/api', '/apis', '/api/**', '/apis/**', '/openapi/**'],
      }),
      rule('self', 'Allow', {
        verbs: ['create'],
        resources: ['selfsubjectreviews.authentication.k8s.io', 'selfsubject*reviews.authorization.k8s.io'],
      }),
      rule('work', 'Allow', { verbs: ['create', 'update', 'patch'], resources: ['**'], namespaces: [OUTSIDE, AGENTS] }),
      rule(
        'end',
        'RequireApproval',
        { verbs: ['delete'], resources: ['configmaps', 'pods'], namespaces: [OUTSIDE, AGENTS] },
        {
          approval,
        },
      ),
      rule(
        'keep',
        'Deny',
        { verbs: ['*'], resources: ['configmaps'], names: ['kept'], namespaces: ['*'] },
        {
          message: 'It is what the shop is made from.',
        },
      ),
    ],
  },
};

/** This cluster's own API as a resource of agents, under an account that may do nearly everything. */
export class Api {
  readonly #cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** The namespaces of the shop are there. */
  static async open(cluster: Cluster): Promise<Api> {
    const annotations = { 'kubernetes.io/service-account.name': NAME, 'chaperone.dev/upstream': ADDRESS };
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
        { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/service-account-token', metadata: { ...metadata, annotations } },
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRoleBinding',
          metadata: { name: `chaperone-e2e-${NAME}` },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
          subjects: [{ kind: 'ServiceAccount', ...metadata }],
        },
        {
          apiVersion: 'chaperone.dev/v1alpha1',
          kind: 'ProtectedResource',
          metadata,
          spec: {
            protocol: 'kubernetes',
            hosts: ['kubernetes.default.svc'],
            port: 443,
            upstream: { address: ADDRESS, tls: { caRef: { name: NAME } } },
            credentials: { secretRef: { name: NAME } },
            kubernetes: { identity: 'credential' },
            grantedTo: [{ namespace: AGENTS, operations: ['*'] }],
          },
        },
        POLICY,
        { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'app', namespace: OUTSIDE }, stringData: { password: HIDDEN } },
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kept', namespace: OUTSIDE }, data: { colour: 'blue' } },
      ],
    });
    await cluster.demand(['wait', '--for=condition=Accepted', 'protectedresource', NAME, '-n', NAMESPACE, '--timeout=60s']);
    return new Api(cluster);
  }

  async close(): Promise<void> {
    const remove = (...what: string[]): Promise<string> =>
      this.#cluster.demand(['delete', ...what, '-n', NAMESPACE, '--ignore-not-found', '--wait=false']);
    await remove('protectedresource', NAME);
    await remove('secret,serviceaccount', NAME);
    await remove('clusterrolebinding', `chaperone-e2e-${NAME}`);
  }
}
