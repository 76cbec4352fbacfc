interface Pod {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: { readonly name: string; readonly labels: object; readonly annotations: object } & Readonly<
    Record<string, unknown>
  >;
  readonly spec: object;
  readonly status: object;
}

/** One of many pods, each with a variable that the policy hides and a mail address in an annotation. */
export function pod(at: number): Pod {
  const env = Array.from({ length: 12 }, (_, index) => ({ name: `SETTING_${index}`, value: `value-${index}-of-${at}` }));
  const container = {
    name: 'web',
    image: `registry.example.com/shop/web@sha256:${'0123456789abcdef'.repeat(4)}`,
    args: ['--port=8080', '--log=info'],
    env: [...env, { name: 'DB_PASSWORD', value: `hunter-${at}` }],
    resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
    volumeMounts: [{ name: 'kube-api-access', readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }],
    readinessProbe: { httpGet: { path: '/healthz', port: 8080, scheme: 'HTTP' }, timeoutSeconds: 1, periodSeconds: 10 },
    imagePullPolicy: 'IfNotPresent',
  };
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      name: `p-${at}`,
      namespace: 'shop',
      uid: `6ba7b810-9dad-11d1-80b4-${String(at).padStart(12, '0')}`,
      resourceVersion: String(100_000 + at),
      creationTimestamp: '2026-11-28T12:00:00Z',
      labels: { app: 'web', 'pod-template-hash': '6d4cf56db6' },
      annotations: { 'example.com/contact': `owner-${at}@example.com` },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-6d4cf56db6', uid: 'a', controller: true }],
    },
    spec: {
      volumes: [{ name: 'kube-api-access', emptyDir: {} }],
      containers: [container],
      nodeName: `node-${at % 50}`,
      serviceAccountName: 'web',
      restartPolicy: 'Always',
    },
    status: {
      phase: 'Running',
      conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({
        type,
        status: 'True',
        lastProbeTime: null,
        lastTransitionTime: '2026-11-28T12:00:05Z',
      })),
      podIP: `10.1.${at % 250}.7`,
      containerStatuses: [
        { name: 'web', ready: true, restartCount: 0, state: { running: { startedAt: '2026-11-28T12:00:04Z' } } },
      ],
    },
  };
}

/** What it is made of. */
export function newPod(at: number): object {
  const { metadata, spec } = pod(at);
  const { name, labels, annotations } = metadata;
  return { kind: 'Pod', apiVersion: 'v1', metadata: { name, labels, annotations }, spec };
}
