import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  configOf,
  eventually,
  hasPods,
  kubectlOf,
  KUBECTLS,
  type Pods,
  startPods,
  temporaryDirectory,
  type ApiServer,
  hasApiServer,
  startApiServer,
} from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';

/** A node whose kubelet listens on a port of this machine, and a pod on it. */
const objectsAt = (port: number): { readonly node: object; readonly status: object; readonly pod: object } => ({
  node: { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node' } },
  status: {
    status: {
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
    },
  },
  pod: {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      nodeName: 'node',
      tolerations: [{ operator: 'Exists' }],
      containers: [{ name: 'app', image: 'x' }],
    },
  },
});

describe.skipIf(!hasPods || !hasApiServer)('through kube-apiserver to a kubelet', () => {
  let api: ApiServer;
  let pods: Pods;
  let governed: Governed;
  let echoPort: number;
  const echo = createServer((socket: Socket) => void socket.on('error', () => socket.destroy()).pipe(socket));
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    [api, pods] = await Promise.all([startApiServer(), startPods()]);
    const at = { port: Number(api.address.split(':')[1]), ca: api.ca, directory: directory.path };
    const direct = kubectlOf(KUBECTLS[0] ?? '', { ...at, token: api.token });
    const { node, status, pod } = objectsAt(Number(pods.address.split(':')[1]));
    const does = async (args: readonly string[], given?: object): Promise<void> => {
      const ran = await direct(args, given && JSON.stringify(given));
      if (ran.status !== 0) throw new Error(ran.stderr);
    };
    await does(['create', 'namespace', 'shop']);
    await does(['create', '-f', '-'], node);
    await does(['patch', 'node', 'node', '--subresource=status', '-p', JSON.stringify(status)]);
    await does(['create', '-f', '-'], pod);
    await does(['patch', 'pod', 'web', '-n', 'shop', '--subresource=status', '-p', '{"status":{"phase":"Running"}}']);
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    echoPort = (echo.address() as AddressInfo).port;
    governed = await startGoverned({
      upstream: api.address,
      ca: api.ca,
      credential: { token: api.token },
      rules: [
        { name: 'look', effect: 'Allow', kubernetes: { verbs: ['get'], resources: ['pods'] } },
        {
          name: 'run',
          effect: 'Allow',
          kubernetes: {
            verbs: ['exec', 'portforward'],
            resources: ['pods/exec', 'pods/portforward'],
            commands: ['cat', 'sh -c *', 'false', 'echo **'],
            ports: [echoPort],
            files: { operations: ['read', 'write'], paths: [`${directory.path}/pod/**`] },
          },
        },
      ],
    });
  });
  afterAll(async () => {
    await new Promise((resolve) => echo.close(resolve));
    await governed?.[Symbol.asyncDispose]();
    await pods?.[Symbol.asyncDispose]();
    await api?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  const WAYS = [
    ['a WebSocket', {}],
    ['SPDY', { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' }],
  ] as const;
  it.each(KUBECTLS.flatMap((program) => WAYS.map(([way, env]) => [program, way, env] as const)))(
    'a command of %s by %s runs, is given its input, and ends as it ends',
    async (program, _, environment) => {
      const kubectl = kubectlOf(program, { port: governed.port, ca: governed.ca, directory: directory.path });
      const bytes = randomBytes(1_500_000).toString('base64');
      const echoed = await kubectl(['exec', '-i', 'web', '--', 'cat'], bytes, environment);
      expect([echoed.status, echoed.stdout === bytes]).toEqual([0, true]);
      const failed = await kubectl(['exec', 'web', '--', 'sh', '-c', 'echo err >&2 && false'], '', environment);
      expect([failed.status, failed.stderr]).toEqual([1, expect.stringMatching(/^err\n[^]*exit code 1\n$/)]);
    },
    60_000,
  );

  it.each(KUBECTLS)('files of %s go both ways', async (program) => {
    const kubectl = kubectlOf(program, { port: governed.port, ca: governed.ca, directory: directory.path });
    const here = join(directory.path, 'here');
    writeFileSync(here, 'content');
    mkdirSync(join(directory.path, 'pod'), { recursive: true });
    expect((await kubectl(['cp', here, `web:${directory.path}/pod/there`])).status).toBe(0);
    expect((await kubectl(['cp', `web:${directory.path}/pod/there`, `${here}-again`])).status).toBe(0);
    expect(readFileSync(`${here}-again`, 'utf8')).toBe('content');
  });

  it.each(KUBECTLS)('a port of %s is forwarded', async (program) => {
    const config = configOf({ port: governed.port, ca: governed.ca, directory: directory.path });
    const child = spawn(program, ['--kubeconfig', config, 'port-forward', 'web', `:${echoPort}`]);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (said += data.toString()));
    const local = await eventually('kubectl', () => /127\.0\.0\.1:(\d+) ->/.exec(said)?.[1], 20_000);
    const socket = connect(Number(local), '127.0.0.1');
    socket.on('error', () => socket.destroy()).write('hello');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toBe('hello');
    socket.destroy();
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  });
});
