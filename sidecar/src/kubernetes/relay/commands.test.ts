import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ApiServer,
  hasApiServer,
  KUBECTL,
  type Ran,
  runProgram,
  startApiServer,
  temporaryDirectory,
} from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';

const MANIFEST = (data: object): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data });
/** As `kubectl edit` calls an editor: with a file. */
const EDITOR = { KUBE_EDITOR: "sed -i 's/replicas: 3/replicas: 4/'" };

interface Step {
  readonly command: string;
  readonly input?: string;
  readonly environment?: Readonly<Record<string, string>>;
}
/** In this order: each works on what those before it left. */
const STEPS: readonly Step[] = [
  { command: 'version' },
  { command: 'api-versions' },
  { command: 'api-resources --api-group=apps' },
  { command: 'explain deployments.spec.replicas' },
  { command: 'cluster-info' },
  { command: 'auth can-i list pods' },
  { command: 'auth can-i --list' },
  { command: 'auth whoami' },
  { command: 'create deployment web --image=example/web:1 --replicas=2' },
  { command: 'create deployment web --image=example/web:1' },
  { command: 'get deployments' },
  { command: 'get deployments -o wide --show-labels' },
  { command: 'get deployment web -o jsonpath={.spec.replicas}' },
  { command: 'get all' },
  { command: 'describe deployment web' },
  { command: 'set image deployment/web web=example/web:2' },
  { command: 'scale deployment web --replicas=3' },
  { command: 'edit deployment web', environment: EDITOR },
  { command: 'wait --for=jsonpath={.spec.replicas}=4 deployment/web --timeout=10s' },
  { command: 'wait --for=condition=Available deployment/web --timeout=1s' },
  { command: 'label deployment web tier=front' },
  { command: 'annotate deployment web note=kept' },
  { command: 'patch deployment web -p {"spec":{"paused":true}}' },
  { command: 'rollout history deployment/web' },
  { command: 'rollout status deployment/web --watch=false' },
  { command: 'rollout resume deployment/web' },
  { command: 'rollout restart deployment/web' },
  { command: 'rollout undo deployment/web' },
  { command: 'expose deployment web --port=80' },
  { command: 'autoscale deployment web --max=5' },
  { command: 'apply -f -', input: MANIFEST({ a: '1' }) },
  { command: 'diff -f -', input: MANIFEST({ a: '2' }) },
  { command: 'apply -f -', input: MANIFEST({ a: '2', b: '3' }) },
  { command: 'apply view-last-applied configmap applied' },
  { command: 'apply --server-side --force-conflicts -f -', input: MANIFEST({ c: '4' }) },
  { command: 'get configmap applied -o jsonpath={.data}' },
  { command: 'replace -f -', input: MANIFEST({ d: '5' }) },
  { command: 'delete configmap applied --dry-run=server' },
  // The server's own repairs are warnings, of one namespace or the other.
  { command: 'get events --field-selector=type=Normal' },
  { command: 'top pods' },
  { command: 'run box --image=example/box --restart=Never' },
  { command: 'logs box' },
  { command: 'logs -f box' },
  { command: 'get pod box -o name' },
  { command: 'delete pod box --force --grace-period=0' },
  { command: 'delete service,hpa,deployment web' },
  { command: 'wait --for=delete deployment/web --timeout=10s' },
  { command: 'get deployment web' },
  { command: 'delete configmaps --all' },
];

/** What no run has twice: times, ages, names that the server makes, ports and folders of a run. */
function settled({ stdout, stderr, status }: Ran): Ran {
  return { stdout: withoutChance(stdout), stderr: withoutChance(stderr), status };
}

function withoutChance(text: string): string {
  return text
    .replaceAll(/\btwin\b/g, 'shop')
    .replaceAll(/https:\/\/127\.0\.0\.1:\d+/g, 'https://SERVER')
    .replaceAll(/\b(\d+(d|h|ms|m|s))+\b/g, 'AGE')
    .replaceAll(/\w{3}, \d\d \w{3} \d{4} [\d:]+ [+-]\d{4}/g, 'TIME')
    .replaceAll(/\d{4}-\d\d-\d\d[ T][\d:.]+( [+-]\d{4}|Z)?/g, 'TIME')
    .replaceAll(/10\.96\.\d+\.\d+/g, 'ADDRESS')
    .replaceAll(/(LIVE|MERGED)-\d+/g, '$1')
    .replaceAll(/(uid|resourceVersion): \S+/g, '$1: X')
    .replaceAll(/\s+/g, ' ');
}

/** What is refused in a sentence of ours. */
const REFUSED: readonly (readonly [command: string, said: RegExp])[] = [
  ['debug web-0 --image=example/tools', /ephemeralcontainers web-0 in shop is (?:denied|never).* \(NeverAllowed\)/s],
  ['attach web-0', /shell is not covered by any rule \(NoRuleAllows\)/],
  ['exec web-0 -- ls', /the API server answers 400: pod web-0 does not have a host assigned/],
  ['exec web-0 -- id', /id is not covered by any rule \(NoRuleAllows\)/],
  ['create token default', /\(NeverAllowed\)/],
  ['certificate approve someone', /(\(NeverAllowed\)|not found)/],
  ['cordon node-1', /(\(NeverAllowed\)|not found)/],
  ['create namespace other', /\(NeverAllowed\)/],
  ['create clusterrole all --verb=* --resource=*', /\(NeverAllowed\)/],
  ['get --raw /api/v1/nodes/node-1/proxy/logs', /\(NeverAllowed\)/],
];

describe.skipIf(!hasApiServer)('kubectl', () => {
  let api: ApiServer;
  let governed: Governed;
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  const run = (where: 'governed' | 'direct', { command, input = '', environment = {} }: Step): Promise<Ran> => {
    const config = ['--kubeconfig', join(directory.path, where), '--cache-dir', join(directory.path, `${where}.cache`)];
    return runProgram(KUBECTL ?? '', [...config, ...command.split(' ')], input, environment);
  };

  beforeAll(async () => {
    directory = await temporaryDirectory();
    api = await startApiServer();
    governed = await startGoverned({
      upstream: api.address,
      ca: api.ca,
      credential: { token: api.token },
      kubernetes: { own: true },
      cluster: { namespace: '', governed: ['shop'], secrets: [] },
      rules: [
        {
          name: 'all',
          effect: 'Allow',
          kubernetes: { verbs: ['*'], resources: ['**'], commands: ['ls'] },
        },
      ],
    });
    writeFileSync(join(directory.path, 'direct'), api.kubeconfig(`https://${api.address}`, api.ca, 'twin'));
    writeFileSync(join(directory.path, 'governed'), api.kubeconfig(`https://127.0.0.1:${governed.port}`, governed.ca, 'shop'));
    for (const namespace of ['shop', 'twin']) await run('direct', { command: `create namespace ${namespace}` });
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web-0' },
      spec: { containers: [{ name: 'app', image: 'x' }] },
    };
    for (const namespace of ['shop', 'twin'])
      await run('direct', { command: `-n ${namespace} create -f -`, input: JSON.stringify(pod) });
  });
  afterAll(async () => {
    await governed?.[Symbol.asyncDispose]();
    await api?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  describe('does and says through the relay what it does and says without it', () => {
    it.each(STEPS)('$command', async (step) => {
      const [through, alone] = [await run('governed', step), await run('direct', step)];
      expect(settled(through)).toEqual(settled(alone));
    });
  });

  it.each(REFUSED)('is told why it may not: %s', async (command, said) => {
    const { stderr, status } = await run('governed', { command });
    expect(stderr).toMatch(said);
    expect(status).not.toBe(0);
  });
});
