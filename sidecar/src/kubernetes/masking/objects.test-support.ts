import type { Detector } from '@chaperone/api';
import type { Access } from '@chaperone/policy';
import { Plan } from './plan.ts';

/** Objects as API servers of 1.30 to 1.34 write them. */
const MANAGED = (index: number) => [
  {
    manager: 'kube-controller-manager',
    operation: 'Update',
    apiVersion: 'v1',
    time: '2026-11-01T10:00:00Z',
    fieldsType: 'FieldsV1',
    fieldsV1: {
      'f:metadata': { 'f:generateName': {}, 'f:labels': { '.': {}, 'f:app': {}, 'f:pod-template-hash': {} } },
      'f:spec': {
        'f:containers': {
          'k:{"name":"web"}': {
            '.': {},
            'f:env': { '.': {}, 'k:{"name":"DB_PASSWORD"}': { '.': {}, 'f:name': {}, 'f:value': {} } },
            'f:image': {},
            'f:name': {},
            'f:resources': { '.': {}, 'f:limits': { '.': {}, 'f:cpu': {}, 'f:memory': {} } },
          },
        },
        'f:dnsPolicy': {},
        'f:restartPolicy': {},
      },
    },
  },
  {
    manager: 'kubelet',
    operation: 'Update',
    apiVersion: 'v1',
    time: '2026-11-01T10:00:05Z',
    fieldsType: 'FieldsV1',
    fieldsV1: {
      'f:status': { 'f:conditions': { 'k:{"type":"Ready"}': { '.': {}, 'f:status': {} } }, [`f:podIP${index % 2}`]: {} },
    },
    subresource: 'status',
  },
];

const pad = (index: number): string => String(index).padStart(8, '0');

/** @param secret what its environment and its last applied object hold */
export function aPod(index: number, secret = 'hunter2', isItem = true): Record<string, unknown> {
  const env = [
    { name: 'LOG_LEVEL', value: 'info' },
    { name: 'DB_PASSWORD', value: secret },
    { name: 'POD_NAME', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } },
  ];
  const name = `web-6d4cf56db6-${index.toString(36).padStart(5, '0')}`;
  const applied = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { annotations: {}, name },
    spec: { containers: [{ env, name: 'web' }] },
  };
  return {
    ...(isItem ? {} : { kind: 'Pod', apiVersion: 'v1' }),
    metadata: {
      name,
      generateName: 'web-6d4cf56db6-',
      namespace: 'shop',
      uid: `${pad(index)}-2f4e-4b52-9c0e-${pad(index)}abcd`,
      resourceVersion: String(9007199254740993n + BigInt(index)),
      creationTimestamp: '2026-11-01T10:00:00Z',
      labels: { app: 'web', 'pod-template-hash': '6d4cf56db6' },
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': `${JSON.stringify(applied)}\n` },
      ownerReferences: [
        {
          apiVersion: 'apps/v1',
          kind: 'ReplicaSet',
          name: 'web-6d4cf56db6',
          uid: `${pad(7)}-aaaa`,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
      managedFields: MANAGED(index),
    },
    spec: {
      volumes: [
        {
          name: 'kube-api-access-x2x5b',
          projected: { sources: [{ serviceAccountToken: { expirationSeconds: 3607, path: 'token' } }], defaultMode: 420 },
        },
      ],
      containers: [
        {
          name: 'web',
          image: 'registry.example.com/shop/web@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1',
          args: ['--port=8080', '--db=postgres://web@orders.data.svc/orders'],
          env,
          resources: { limits: { cpu: '500m', memory: '256Mi' } },
          volumeMounts: [
            { name: 'kube-api-access-x2x5b', readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
          ],
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          imagePullPolicy: 'IfNotPresent',
        },
      ],
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      nodeName: `node-${index % 40}`,
      tolerations: [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }],
    },
    status: {
      phase: 'Running',
      conditions: [
        { type: 'Ready', status: 'True', lastProbeTime: null, lastTransitionTime: '2026-11-01T10:00:05Z' },
        { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: '2026-11-01T10:00:00Z' },
      ],
      hostIP: '10.0.0.12',
      podIP: '10.244.1.17',
      containerStatuses: [
        { name: 'web', state: { running: { startedAt: '2026-11-01T10:00:04Z' } }, ready: true, restartCount: 0, started: true },
      ],
      qosClass: 'Burstable',
    },
  };
}

/** The few fields of it that matter, for tests that go through each byte. */
export function aSmallPod(name: string, secret = 'hunter2'): Record<string, unknown> {
  const spec = { containers: [{ env: [{ name: 'DB_PASSWORD', value: secret }], image: 'a' }] };
  const applied = JSON.stringify({ kind: 'Pod', spec });
  return {
    metadata: { name, annotations: { 'kubectl.kubernetes.io/last-applied-configuration': applied } },
    spec,
    status: { ready: true },
  };
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A Secret as it is written by kubectl apply: its data stands in its annotation too. */
export function aSecret(value: string, isItem = false): Record<string, unknown> {
  const data = { password: base64(value), username: base64('web') };
  const applied = {
    apiVersion: 'v1',
    data,
    kind: 'Secret',
    metadata: { annotations: {}, name: 'db', namespace: 'shop' },
    type: 'Opaque',
  };
  return {
    ...(isItem ? {} : { kind: 'Secret', apiVersion: 'v1' }),
    metadata: {
      name: 'db',
      namespace: 'shop',
      uid: '550e8400-e29b-41d4-a716-446655440000',
      resourceVersion: '81234',
      annotations: {
        'kubectl.kubernetes.io/last-applied-configuration': `${JSON.stringify(applied)}\n`,
        'meta.helm.sh/release-name': 'shop',
        'example.com/copy': value,
      },
    },
    data,
    type: 'Opaque',
  };
}

export function aList(kind: string, items: readonly unknown[]): Record<string, unknown> {
  return {
    kind: `${kind}List`,
    apiVersion: 'v1',
    metadata: { resourceVersion: '9007199254740993', continue: 'eyJ2IjoibWV0YSJ9' },
    items,
  };
}

/** An agent's access as far as masking reads it. */
export function anAccess(mods: Partial<Access> = {}, detectors: readonly Detector[] = []): Access {
  return {
    resource: { namespace: 'data', name: 'cluster', generation: 1, protocol: 'tcp' },
    policies: [],
    digest: '',
    mode: 'Enforce',
    purpose: '',
    disclosure: 'full',
    ceiling: { statements: [] },
    rules: [],
    searchPath: [],
    reveal: [],
    masking: {},
    sensitive: detectors.map((detector) => ({ label: `found.${detector}`, columns: [], detector })),
    inference: 'limit',
    limits: {},
    recording: { mode: 'durable', content: 'results', rows: 1000, bytes: 1 << 20, retention: 'default' },
    ...mods,
  };
}

/** A label of an owner, with the places where its values stand. */
export interface LabelledFields {
  readonly label: string;
  readonly fields: string[];
}

export function planOf(access: Access, labelled: readonly LabelledFields[] = []): Plan {
  return new Plan({ ...access, sensitive: [...access.sensitive, ...labelled.map((each) => ({ columns: [], ...each }))] });
}

export const FIELDS: readonly LabelledFields[] = [
  { label: 'shop.password', fields: ['env:*_PASSWORD', 'configmaps:data.DB_*'] },
  { label: 'shop.token', fields: ['widgets.example.com:spec.users.token', 'annotations:example.com/token*'] },
];
