import type { Cluster } from './cluster.ts';
import { AGENTS, OUTSIDE, type Shop } from './shop.ts';

/** The Service of the API server, whose namespace the resource has to lie in. */
const NAMESPACE = 'default';
const NAME = 'cluster';
const ADDRESS = 'kubernetes.default.svc:443';
const metadata = { name: NAME, namespace: NAMESPACE };
export const ACCOUNT = `system:serviceaccount:${NAMESPACE}:${NAME}`;
/** In the log of pod web, and in its receipt. */
const CARD = '4111 1111 1111 1111';
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

const IN_PODS = { resources: ['pods/exec', 'pods/attach', 'pods/portforward'], namespaces: [OUTSIDE] };

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
      rule('inside', 'Allow', {
        ...IN_PODS,
        verbs: ['exec', 'portforward'],
        commands: ['cat /tmp/*', 'sh -c *', 'sleep *'],
        files: { operations: ['read', 'write'], paths: ['/tmp/**'] },
        ports: [8080],
      }),
      rule('terminal', 'RequireApproval', { ...IN_PODS, verbs: ['exec', 'attach'], shell: true }, { approval }),
      rule(
        'never',
        'Deny',
        { ...IN_PODS, verbs: ['exec'], commands: ['rm **'] },
        { message: 'Files are removed by the nightly job.' },
      ),
      rule(
        'keep',
        'Deny',
        { verbs: ['get', 'update', 'patch', 'delete'], resources: ['configmaps'], names: ['kept'], namespaces: ['*'] },
        {
          message: 'It is what the shop is made from.',
        },
      ),
    ],
  },
};

/** A pod of the shop's, which serves on 8080 and has a receipt. */
const pod = (name: string, image: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: OUTSIDE, labels: { app: name } },
  spec: {
    containers: [
      {
        name: 'app',
        image,
        command: ['node', '-e', SERVE],
        readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 10 },
      },
    ],
    terminationGracePeriodSeconds: 1,
  },
});
const SERVE = `require('node:fs').writeFileSync('/tmp/receipt', 'paid with ${CARD}, thank you\\n');
console.log('paid with ${CARD}');
require('node:http').createServer((_, response) => response.end('served')).listen(8080)`;

/** This cluster's own API as a resource of agents, under an account that may do nearly everything. */
export class Api {
  readonly #cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** The namespaces of the shop are there. */
  static async open({ cluster, installation }: Shop): Promise<Api> {
    const image = installation.image('agent');
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
            sensitive: [{ label: 'pci.card', detector: 'credit-card' }],
            grantedTo: [{ namespace: AGENTS, operations: ['*'] }],
          },
        },
        POLICY,
        pod('web', image),
        // What runs in it is a resource's, and reached by its proxy alone.
        pod('cache', image),
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'cache', namespace: OUTSIDE },
          spec: { selector: { app: 'cache' }, ports: [{ port: 8080 }] },
        },
        {
          apiVersion: 'chaperone.dev/v1alpha1',
          kind: 'ProtectedResource',
          metadata: { name: 'cache', namespace: OUTSIDE },
          spec: {
            protocol: 'tcp',
            hosts: ['cache.outside.svc'],
            port: 8080,
            upstream: { address: 'cache.outside.svc:8080' },
            grantedTo: [{ namespace: 'nobody' }],
          },
        },
        { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'app', namespace: OUTSIDE }, stringData: { password: HIDDEN } },
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kept', namespace: OUTSIDE }, data: { colour: 'blue' } },
      ],
    });
    await cluster.demand(['wait', '--for=condition=Accepted', 'protectedresource', NAME, '-n', NAMESPACE, '--timeout=60s']);
    await cluster.demand(['wait', '--for=condition=Ready', 'pod/web', 'pod/cache', '-n', OUTSIDE, '--timeout=90s']);
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
