import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';

/**
 * A program of its own, in place of an API server, so that its time and memory are nobody else's: pods of some 3 KB, alone, in a list
 * of 5,000, and in watches. Its arguments are the files of its certificate and key; it prints its port.
 *
 *     /api/v1/namespaces/shop/pods/p-1         one
 *     /api/v1/namespaces/shop/pods             all
 *     …/pods?watch=true&resourceVersion=N      N events, as fast as they are taken, and the end; of 0 one, and no end
 */
const PODS = 5_000;
const [certificate = '', key = ''] = process.argv.slice(2);

function pod(at: number): string {
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
  return JSON.stringify({
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
    spec: { containers: [container], nodeName: `node-${at % 50}`, serviceAccountName: 'web', restartPolicy: 'Always' },
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
  });
}

const one = Buffer.from(pod(1));
const items = Array.from({ length: PODS }, (_, at) => pod(at)).join(',');
const all = Buffer.from(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[${items}]}`);
const event = Buffer.from(`{"type":"MODIFIED","object":${one.toString()}}\n`);

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'https://server');
  const headers = { 'content-type': 'application/json' };
  if (searchParams.get('watch') !== 'true') {
    const body = pathname.endsWith('/pods') ? all : one;
    return void response.writeHead(200, { ...headers, 'content-length': body.length }).end(body);
  }
  let left = Number(searchParams.get('resourceVersion'));
  response.on('error', () => undefined).writeHead(200, headers);
  if (left === 0) return void response.write(event);
  const more = (): void => {
    while (left > 0 && !response.destroyed) {
      left--;
      if (!response.write(event)) return void response.once('drain', more);
    }
    response.end();
  };
  return more();
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
