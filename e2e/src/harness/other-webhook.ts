import { testAuthority } from '@chaperone/testing';
import type { Installation } from './installation.ts';

const NAMESPACE = 'e2e-other';
const NAME = 'other';
const HOST = `${NAME}.${NAMESPACE}.svc`;

/** What it does to a pod, by the path it is called at. */
const SERVER = `const { createServer } = require('node:https');
const { readFileSync } = require('node:fs');
const safe = { runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, seccompProfile: { type: 'RuntimeDefault' } };
const first = { name: 'first', image: 'first:1', securityContext: safe };
const inits = ({ spec }) => spec.initContainers ?? [];
const sidecar = (pod, path, value) =>
  inits(pod).flatMap(({ name }, at) => (name === 'chaperone-sidecar' ? [{ op: value === undefined ? 'remove' : 'add', path: '/spec/initContainers/' + at + path, value }] : []));
const insist = (pod) => [{ op: 'add', path: '/spec/initContainers', value: [first, ...inits(pod).filter(({ name }) => name !== 'first')] }];
const PATCHES = {
  '/prepend': (pod) => (inits(pod).some(({ name }) => name === 'first') ? [] : insist(pod)),
  '/insist': insist,
  '/image': (pod) => sidecar(pod, '/image', 'evil:1'),
  '/restart': (pod) => (inits(pod).some(({ name, restartPolicy }) => name === 'chaperone-sidecar' && restartPolicy) ? sidecar(pod, '/restartPolicy') : []),
  '/environment': (pod) => sidecar(pod, '/env', [{ name: 'CHAPERONE_OPERATOR', value: 'evil:1' }]),
  '/network': () => [{ op: 'add', path: '/spec/hostNetwork', value: true }],
  '/capability': () => [{ op: 'add', path: '/spec/containers/0/securityContext/capabilities', value: { add: ['NET_ADMIN'] } }],
  '/label': () => [{ op: 'add', path: '/metadata/labels/role', value: 'other' }],
};
createServer({ cert: readFileSync('/tls/tls.crt'), key: readFileSync('/tls/tls.key') }, async (request, answer) => {
  const { request: { uid, object } } = JSON.parse(Buffer.concat(await request.toArray()));
  const patch = Buffer.from(JSON.stringify(PATCHES[new URL(request.url, 'https://x').pathname](object))).toString('base64');
  const response = { uid, allowed: true, patchType: 'JSONPatch', patch };
  answer.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }));
}).listen(8443);`;

/** Somebody else's mutating webhook, which is called for pods of some namespaces before or after Chaperone's. */
export class OtherWebhook {
  readonly #installation: Installation;
  readonly #ca: string;

  private constructor(installation: Installation, ca: string) {
    this.#installation = installation;
    this.#ca = ca;
  }

  static async start(installation: Installation): Promise<OtherWebhook> {
    const { cluster } = installation;
    await cluster.namespace(NAMESPACE);
    const authority = await testAuthority('other CA');
    const { certificate, key } = await authority.issue([HOST]);
    const labels = { app: NAME };
    const metadata = { name: NAME, namespace: NAMESPACE, labels };
    const container = {
      name: NAME,
      image: installation.image('agent'),
      command: ['node', '-e', SERVER],
      readinessProbe: { tcpSocket: { port: 8443 }, periodSeconds: 1 },
      volumeMounts: [{ name: 'tls', mountPath: '/tls' }],
    };
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { 'tls.crt': certificate, 'tls.key': key } },
        {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata,
          spec: {
            containers: [container],
            volumes: [{ name: 'tls', secret: { secretName: NAME } }],
            terminationGracePeriodSeconds: 1,
          },
        },
        { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ port: 443, targetPort: 8443 }] } },
      ],
    });
    await cluster.demand(['wait', '--for=condition=Ready', `pod/${NAME}`, '-n', NAMESPACE, '--timeout=90s']);
    return new OtherWebhook(installation, authority.ca);
  }

  /** Has the API server call it, in place of what it was called for before. Configurations are called in the order of their names. */
  async call(order: 'before' | 'after', path: string, namespaces: readonly string[]): Promise<void> {
    await this.quiet();
    await this.#installation.cluster.apply({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: order === 'before' ? 'aaa-other' : 'zzz-other' },
      webhooks: [
        {
          name: 'other.example.com',
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          failurePolicy: 'Fail',
          reinvocationPolicy: 'IfNeeded',
          namespaceSelector: {
            matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'In', values: namespaces }],
          },
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
          clientConfig: {
            service: { name: NAME, namespace: NAMESPACE, path, port: 443 },
            caBundle: Buffer.from(this.#ca).toString('base64'),
          },
        },
      ],
    });
  }

  /** Has nobody call it any more. */
  async quiet(): Promise<void> {
    const names = ['aaa-other', 'zzz-other'];
    await this.#installation.cluster.demand(['delete', 'mutatingwebhookconfiguration', ...names, '--ignore-not-found']);
  }

  async stop(): Promise<void> {
    await this.quiet();
    await this.#installation.cluster.demand(['delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false']);
  }
}
