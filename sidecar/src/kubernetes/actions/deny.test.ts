import { describe, expect, it } from 'vitest';
import { apiAction } from './action.ts';
import { type Body, readBody } from './body.ts';
import { type DenialCode, denial, type Surroundings } from './deny.ts';
import type { HeaderList } from './headers.ts';
import { type PathRequest, readRequest, type ResourceRequest } from './request.ts';

const AROUND: Surroundings = {
  ownNamespace: 'chaperone-system',
  isGoverned: (namespace) => namespace === 'agents',
  secrets: new Map([['data', new Set(['orders-db-agent'])]]),
  agent: { namespace: 'agents', serviceAccount: 'deployer' },
  isNamespaced: () => undefined,
  places: [],
};

const TYPES: Readonly<Record<string, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

/** `PATCH/apply /api/v1/…`, as a client asks. */
function ask(line: string, body?: unknown): { request: ResourceRequest; body: Body | undefined } {
  const [asked = '', target = ''] = line.split(' ');
  const [method = '', patch] = asked.split('/');
  const headers: HeaderList = [
    ...(/[/](exec|attach|portforward)([?]|$)/.test(target) ? ([['Upgrade', 'SPDY/3.1']] as const) : []),
    ...(patch === undefined ? [] : ([['Content-Type', TYPES[patch] ?? '']] as const)),
  ];
  const request = readRequest({ method, target, headers, hasBody: body !== undefined });
  if (request.kind !== 'resource') throw new Error(`${line}: ${JSON.stringify(request)}`);
  if (body === undefined) return { request, body: undefined };
  const read = readBody(Buffer.from(JSON.stringify(body)), request.body ?? 'json');
  if (read.kind === 'refused') throw new Error(read.code);
  return { request, body: read };
}

function denied(line: string, body?: unknown, around: Partial<Surroundings> = {}): DenialCode | undefined {
  const asked = ask(line, body);
  return denial(asked.request, { ...AROUND, ...around }, asked.body)?.code;
}

const AGENTS = '/api/v1/namespaces/agents';
const pod = (spec: object): object => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec });
const harmless = pod({ containers: [{ name: 'a', image: 'b', securityContext: { privileged: false } }], hostNetwork: false });

describe('whatever rules say', () => {
  it.each<[line: string, code: DenialCode | undefined, body?: unknown]>([
    // Ways to other rights
    [`GET ${AGENTS}/pods/a/proxy`, 'Proxy'],
    [`GET ${AGENTS}/services/a:80/proxy/x/y`, 'Proxy'],
    ['POST /api/v1/nodes/n/proxy/run/kube-system/a/b', 'Proxy'],
    [`POST ${AGENTS}/serviceaccounts/deployer/token`, 'TokenRequest', {}],
    [`POST ${AGENTS}/secrets`, 'TokenRequest', { type: 'kubernetes.io/service-account-token' }],
    [`POST ${AGENTS}/secrets`, undefined, { type: 'Opaque' }],
    [`PATCH/json ${AGENTS}/secrets/a`, 'TokenRequest', [{ op: 'copy', from: '/data/x', path: '/type' }]],
    [`PATCH/json ${AGENTS}/secrets/a`, undefined, [{ op: 'add', path: '/data/x', value: 'eA==' }]],
    [`PATCH/strategic ${AGENTS}/pods/a/ephemeralcontainers`, 'EphemeralContainers', {}],
    [`GET ${AGENTS}/pods/a/ephemeralcontainers`, undefined],
    [`POST ${AGENTS}/pods/a/exec?container=chaperone-sidecar&command=id`, 'OwnContainer'],
    [`POST ${AGENTS}/pods/a/attach?container=chaperone-init`, 'OwnContainer'],
    [`POST ${AGENTS}/pods/a/exec?container=app&command=chaperone-x`, undefined],
    [`GET ${AGENTS}/pods/a/log?container=chaperone-sidecar`, undefined],
    // Kinds that nobody writes
    ['POST /apis/chaperone.dev/v1alpha1/namespaces/agents/accesspolicies', 'ProtectedKind', {}],
    ['PATCH/merge /apis/requests.chaperone.dev/v1/namespaces/agents/anything/a/status', 'ProtectedKind', {}],
    ['GET /apis/chaperone.dev/v1alpha1/namespaces/agents/accesspolicies/a', undefined],
    ['DELETE /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/a', 'ProtectedKind'],
    ['POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions', 'ProtectedKind', {}],
    ['PUT /apis/apiregistration.k8s.io/v1/apiservices/a/status', 'ProtectedKind', {}],
    ['POST /apis/rbac.authorization.k8s.io/v1/namespaces/agents/rolebindings', 'ProtectedKind', {}],
    ['PUT /apis/certificates.k8s.io/v1/certificatesigningrequests/a/approval', 'ProtectedKind', {}],
    ['PATCH/merge /api/v1/nodes/n', 'ProtectedKind', {}],
    ['GET /api/v1/nodes/n', undefined],
    ['PUT /api/v1/namespaces/agents/finalize', 'ProtectedKind', {}],
    ['POST /api/v1/namespaces', 'ProtectedKind', {}],
    ['DELETE /api/v1/persistentvolumes', 'ProtectedKind'],
    // Chaperone itself
    ['GET /api/v1/namespaces/chaperone-system/pods/a', 'OwnNamespace'],
    ['GET /api/v1/namespaces/chaperone-system/secrets', 'OwnNamespace'],
    ['GET /api/v1/namespaces/chaperone-system', 'OwnNamespace'],
    ['GET /api/v1/namespaces?fieldSelector=metadata.name%3Dchaperone-system', 'OwnNamespace'],
    ['GET /api/v1/namespaces', undefined],
    ['POST /api/v1/namespaces/chaperone-system/pods/a/exec', 'OwnNamespace'],
    // All namespaces
    ['GET /api/v1/pods', 'AllNamespaces'],
    ['GET /apis/example.com/v1/things?watch=1', 'AllNamespaces'],
    ['GET /api/v1/nodes?watch=1', undefined],
    ['GET /apis/storage.k8s.io/v1/storageclasses', undefined],
    ['GET /api/v1/secrets', 'ProtectedSecret'],
    // Credentials
    ['GET /api/v1/namespaces/data/secrets/orders-db-agent', 'ProtectedSecret'],
    ['GET /api/v1/namespaces/data/secrets', 'ProtectedSecret'],
    ['DELETE /api/v1/namespaces/data/secrets/orders-db-agent', 'ProtectedSecret'],
    ['GET /api/v1/namespaces/data/secrets/other', undefined],
    ['GET /api/v1/namespaces/agents/secrets', undefined],
    // Pods elsewhere
    ['POST /api/v1/namespaces/shop/pods', 'Ungoverned', harmless],
    ['PATCH/merge /apis/apps/v1/namespaces/shop/deployments/a/scale', 'Ungoverned', { spec: { replicas: 2 } }],
    ['POST /api/v1/namespaces/shop/pods/a/exec', undefined],
    ['POST /api/v1/namespaces/shop/pods/a/portforward', undefined],
    ['POST /api/v1/namespaces/shop/pods/a/eviction', 'Ungoverned', {}],
    ['DELETE /apis/batch/v1/namespaces/shop/jobs', 'Ungoverned'],
    ['POST /apis/example.com/v1/namespaces/shop/things', 'Ungoverned', { spec: { run: { containers: [] } } }],
    [
      'PATCH/json /apis/example.com/v1/namespaces/shop/things/a',
      'Ungoverned',
      [{ op: 'add', path: '/spec/containers/-', value: {} }],
    ],
    ['POST /apis/example.com/v1/namespaces/shop/things', undefined, { spec: { size: 1 } }],
    ['POST /api/v1/namespaces/shop/configmaps', undefined, { data: { containers: 'x' } }],
    ['GET /api/v1/namespaces/shop/pods', undefined],
    ['POST /api/v1/namespaces/agents/pods', undefined, harmless],
    ['POST /api/v1/namespaces/agents/pods/a/exec', undefined],
  ])('%s: %s', (line, code, body) => {
    expect(denied(line, body)).toBe(code);
  });

  it.each<[says: string, spec: object, code: DenialCode | undefined]>([
    ['nothing', { containers: [] }, undefined],
    ['a privileged container', { containers: [{ securityContext: { privileged: true } }] }, 'Privileged'],
    ['a privileged init container', { initContainers: [{ securityContext: { privileged: true } }] }, 'Privileged'],
    ['something privileged that is no boolean', { containers: [{ securityContext: { privileged: 'false' } }] }, 'Privileged'],
    ['a process of the host', { securityContext: { windowsOptions: { hostProcess: true } } }, 'Privileged'],
    ['files of the node', { volumes: [{ name: 'x', hostPath: { path: '/' } }] }, 'HostPath'],
    ['files of the node, emptily', { volumes: [{ name: 'x', hostPath: {} }] }, 'HostPath'],
    ['files of the node by another case', { volumes: [{ name: 'x', HostPath: { path: '/' } }] }, 'HostPath'],
    ['the network of the node', { hostNetwork: true }, 'HostNamespace'],
    ['its processes', { hostPID: true }, 'HostNamespace'],
    ['its memory', { hostIPC: true }, 'HostNamespace'],
    ['another ServiceAccount', { serviceAccountName: 'admin' }, 'ForeignServiceAccount'],
    ['another ServiceAccount by the old name', { serviceAccount: 'admin' }, 'ForeignServiceAccount'],
    ['its own ServiceAccount', { serviceAccountName: 'deployer' }, undefined],
    ['the default ServiceAccount', { serviceAccountName: 'default', serviceAccount: 'default' }, undefined],
    ['no ServiceAccount', { serviceAccountName: null, serviceAccount: '' }, undefined],
  ])('a pod with %s, in every way to write it', (_, spec, code) => {
    const template = { spec: { template: { spec } } };
    const ways: [string, unknown][] = [
      [`POST ${AGENTS}/pods`, pod(spec)],
      [`PUT ${AGENTS}/pods/a`, pod(spec)],
      [`PATCH/merge ${AGENTS}/pods/a`, { spec }],
      [`PATCH/strategic ${AGENTS}/pods/a`, { spec }],
      [`PATCH/apply ${AGENTS}/pods/a`, pod(spec)],
      [`PATCH/json ${AGENTS}/pods/a`, [{ op: 'replace', path: '/spec', value: spec }]],
      [`PATCH/json ${AGENTS}/pods/a`, [{ op: 'add', path: '', value: pod(spec) }]],
      ['POST /apis/apps/v1/namespaces/agents/deployments', template],
      ['POST /apis/batch/v1/namespaces/agents/cronjobs', { spec: { jobTemplate: template } }],
      ['POST /apis/apps/v1/namespaces/agents/controllerrevisions', { data: template }],
      ['POST /apis/example.com/v1/namespaces/agents/things', { spec: { steps: [{ pod: spec }] } }],
    ];
    expect(ways.map(([line, body]) => denied(line, body))).toEqual(ways.map(() => code));
  });

  it.each<[op: object, code: DenialCode | undefined]>([
    [{ op: 'add', path: '/spec/containers/0/securityContext/privileged', value: true }, 'Privileged'],
    [{ op: 'add', path: '/spec/containers/0/securityContext/privileged', value: false }, undefined],
    [{ op: 'copy', from: '/spec/x', path: '/spec/containers/0/securityContext/privileged' }, 'Privileged'],
    [{ op: 'move', from: '/spec/x', path: '/spec/hostNetwork' }, 'HostNamespace'],
    [{ op: 'replace', path: '/spec/volumes/0/hostPath/path', value: '/' }, 'HostPath'],
    [{ op: 'remove', path: '/spec/volumes/0/hostPath' }, undefined],
    [{ op: 'add', path: '/spec/serviceAccountName', value: 'admin' }, 'ForeignServiceAccount'],
    [{ op: 'copy', from: '/metadata/annotations/x', path: '/spec/serviceAccountName' }, 'ForeignServiceAccount'],
    [{ op: 'add', path: '/metadata/annotations/hostNetwork', value: 'true' }, undefined],
  ])('an operation %j: %s', (operation, code) => {
    expect(denied(`PATCH/json ${AGENTS}/pods/a`, [operation])).toBe(code);
  });

  it('texts by the names of fields are texts', () => {
    expect(denied(`POST ${AGENTS}/configmaps`, { data: { serviceAccountName: 'admin', privileged: 'true' } })).toBeUndefined();
    expect(denied(`POST ${AGENTS}/pods`, { metadata: { labels: { serviceAccount: 'x' } }, spec: {} })).toBeUndefined();
    expect(denied(`POST ${AGENTS}/things`, { data: { privileged: true } })).toBe('Privileged');
  });

  it('an agent runs as nobody of another namespace, and in a cluster without Chaperone nothing is governed', () => {
    const away: Partial<Surroundings> = {
      ownNamespace: '',
      isGoverned: () => false,
      secrets: new Map(),
      agent: { namespace: '', serviceAccount: '' },
    };
    expect(denied(`POST ${AGENTS}/pods`, harmless, away)).toBe('Ungoverned');
    expect(denied('GET /api/v1/secrets', undefined, away)).toBeUndefined();
    const body = { spec: { serviceAccountName: 'deployer' } };
    expect(denied('PATCH/merge /api/v1/namespaces/other/pods/a', body, { isGoverned: () => true })).toBe('ForeignServiceAccount');
  });

  it('what the API server says of a kind goes before what is known here', () => {
    expect(denied('GET /apis/example.com/v1/things', undefined, { isNamespaced: () => false })).toBeUndefined();
    expect(denied('GET /apis/example.com/v1/things', undefined, { isNamespaced: () => true })).toBe('AllNamespaces');
  });
});

const effects = (line: string, body?: unknown): string[] => {
  const asked = ask(line, body);
  return apiAction(asked.request, asked.body).effects.map(({ verb, object }) => `${verb} ${object}`);
};

describe('the action of a call', () => {
  it.each<[string, string[], unknown?]>([
    [`GET ${AGENTS}/pods`, ['list pods in agents']],
    [`GET ${AGENTS}/pods/a/log`, ['get pods/log a in agents']],
    [`POST ${AGENTS}/pods/a/exec`, ['exec pods/exec a in agents']],
    ['GET /api/v1/namespaces/shop', ['get namespaces shop']],
    [`POST ${AGENTS}/pods`, ['create pods a in agents'], harmless],
    [`POST ${AGENTS}/pods`, ['create pods in agents'], { metadata: { generateName: 'a-' } }],
    [
      'PATCH/apply /apis/apps/v1/namespaces/agents/deployments/web',
      ['patch deployments.apps web in agents', 'create deployments.apps web in agents'],
      {},
    ],
    ['DELETE /api/v1/nodes/n', ['delete nodes n']],
  ])('%s is %j', (line, expected, body) => {
    expect(effects(line, body)).toEqual(expected);
  });

  it.each([
    ['/api', 0],
    ['/apis/apps/v1', 0],
    ['/openapi/v3/apis/apps/v1', 0],
    ['/version', 0],
    ['/healthz', 1],
    ['/metrics', 1],
    ['/', 1],
    ['/logs/x', 1],
  ])('%s has %i effects', (path, count) => {
    const request = readRequest({ method: 'GET', target: path, headers: [], hasBody: false }) as PathRequest;
    expect(apiAction(request, undefined).effects).toHaveLength(count);
  });
});
