import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CoreV1Api, KubeConfig, PatchStrategy, setHeaderOptions, Watch } from '@kubernetes/client-node';
import {
  type ApiServer,
  eventually,
  findProgram,
  hasApiServer,
  type Ran,
  runProgram,
  startApiServer,
  temporaryDirectory,
} from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, type Spec, startGoverned } from '../../src/kubernetes/relay/governed.test-support.ts';
import { type Answering, startStandIn } from '../../src/kubernetes/relay/stand-in.test-support.ts';

/** Built, and installed, by scripts/kubernetes-peers. */
const built = (name: string): string => join(import.meta.dirname, '../../../.cache/kubernetes-peers', name);
const CLIENT_GO = built('client-go');
const PYTHON = built('python/bin/python');
const KUBECTLS = [...new Set([built('kubectl-1.29'), '/var/lib/local-cluster/bin/kubectl', findProgram('kubectl') ?? ''])];
const HAS_CLIENTS = hasApiServer && [CLIENT_GO, PYTHON, ...KUBECTLS].every((program) => existsSync(program));

const RULES: Spec['rules'] = [
  {
    name: 'use',
    effect: 'Allow',
    kubernetes: { verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'], resources: ['configmaps', 'secrets'] },
  },
  { name: 'look', effect: 'Allow', kubernetes: { verbs: ['get', 'list'], resources: ['deployments.apps', 'pods/log'] } },
];
const SENSITIVE = [{ label: 'shop.token', fields: ['configmaps:data.token'] }];
const NAMES = Array.from({ length: 20 }, (_, at) => `c-${at}`);

let api: ApiServer;
let governed: Governed;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;

beforeAll(async () => {
  if (!HAS_CLIENTS) return;
  directory = await temporaryDirectory();
  api = await startApiServer();
  governed = await startGoverned({
    upstream: api.address,
    ca: api.ca,
    credential: { token: api.token },
    rules: RULES,
    sensitive: SENSITIVE,
  });
  writeFileSync(file('governed'), api.kubeconfig(`https://127.0.0.1:${governed.port}`, governed.ca, 'shop'));
  writeFileSync(file('direct'), api.kubeconfig(`https://${api.address}`, api.ca, 'shop'));
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db' }, stringData: { password: 'hunter2' } };
  const maps = NAMES.map((name) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { a: name, token: `secret of ${name}` },
  }));
  await direct(['create', 'namespace', 'shop']);
  await direct(['create', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [secret, ...maps] }));
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
  await api?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
});

const file = (name: string): string => join(directory.path, name);
async function direct(args: readonly string[], input = ''): Promise<string> {
  const { stdout, stderr, status } = await runProgram(KUBECTLS.at(-1) ?? '', ['--kubeconfig', file('direct'), ...args], input);
  if (status !== 0) throw new Error(stderr);
  return stdout;
}
async function said(program: string, ...args: string[]): Promise<Record<string, unknown>> {
  const { stdout, stderr } = await runProgram(program, args);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as Record<string, unknown>;
}
const textOf = (data: Record<string, string> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
const CALLED = {
  got: { password: '*****' },
  pages: 3,
  listed: [...NAMES].toSorted(),
  watched: ['ADDED', '*****'],
  refused: expect.stringContaining('LIST on nodes is not covered by any rule'),
};

describe.skipIf(!HAS_CLIENTS)('gets, lists by pages, watches and patches, with Secrets masked:', () => {
  it('client-go', async () => {
    expect(await said(CLIENT_GO, file('governed'), 'shop', 'calls')).toEqual({ ...CALLED, patched: 'client-go' });
  });

  it('the client for Python, which is shown what it may use by the older discovery', async () => {
    const calls = join(import.meta.dirname, 'python/calls.py');
    expect(await said(PYTHON, calls, file('governed'), 'shop')).toEqual({
      ...CALLED,
      patched: 'python',
      groups: ['apps'],
      resources: ['configmaps', 'pods', 'pods/log', 'secrets'],
    });
  });

  it('the client for JavaScript', async () => {
    const config = new KubeConfig();
    config.loadFromFile(file('governed'));
    const core = config.makeApiClient(CoreV1Api);
    const got = textOf((await core.readNamespacedSecret({ namespace: 'shop', name: 'db' })).data);
    const listed: string[] = [];
    let pages = 0;
    for (let token: string | undefined = ''; token !== undefined; pages++) {
      const page = await core.listNamespacedConfigMap({ namespace: 'shop', limit: 7, ...(token !== '' && { _continue: token }) });
      listed.push(...page.items.map(({ metadata }) => metadata?.name ?? ''));
      token = page.metadata?.['_continue'];
    }
    const first = Promise.withResolvers<string[]>();
    const watching = await new Watch(config).watch(
      '/api/v1/namespaces/shop/secrets',
      { fieldSelector: 'metadata.name=db', resourceVersion: '0' },
      (type, { data }: { data: Record<string, string> }) => first.resolve([type, textOf(data)['password'] ?? '']),
      (error: unknown) => first.reject(error instanceof Error ? error : new Error('it ended')),
    );
    const watched = await first.promise;
    watching.abort();
    const patch = { namespace: 'shop', name: 'c-1', body: { data: { by: 'client-node' } } };
    const patched = (await core.patchNamespacedConfigMap(patch, setHeaderOptions('Content-Type', PatchStrategy.MergePatch))).data;
    const refused = await core.listNode().then(String, (error: { body: string }) => error.body);
    expect({ got, pages, listed, watched, patched: patched?.['by'], refused }).toEqual({ ...CALLED, patched: 'client-node' });
  });

  it.each(KUBECTLS)('%s, which is shown what it may use', async (program) => {
    const kubectl = async (...args: string[]): Promise<Ran> =>
      runProgram(program, ['--kubeconfig', file('governed'), '--cache-dir', file(`cache-${KUBECTLS.indexOf(program)}`), ...args]);
    const resources = (await kubectl('api-resources', '--no-headers', '-o', 'name')).stdout.trim().split('\n').toSorted();
    expect(resources).toEqual(['configmaps', 'deployments.apps', 'secrets']);
    const writable = (await kubectl('api-resources', '--verbs=patch', '-o', 'name')).stdout.trim().split('\n').toSorted();
    expect(writable).toEqual(['configmaps', 'secrets']);
    expect((await kubectl('explain', 'deployment.spec.replicas')).stdout).toContain('Number of desired pods');
    expect((await kubectl('get', 'jobs')).stderr).toContain('the server doesn\'t have a resource type "jobs"');
    expect((await kubectl('get', 'secret', 'db', '-o', 'jsonpath={.data.password}')).stdout).toBe('KioqKio=');
    expect((await kubectl('get', 'configmap', 'c-1', '-o', 'yaml')).stdout).toMatch(/token: '\*{5}'/);
    expect(
      (await kubectl('get', 'configmaps', '--chunk-size=3', '--no-headers')).stdout.trim().split('\n').length,
    ).toBeGreaterThan(19);
    expect(await kubectl('patch', 'configmap', 'c-2', '-p', '{"data":{"by":"kubectl"}}')).toMatchObject({ status: 0 });
    expect((await kubectl('describe', 'secret', 'db')).stdout).toContain('password:  5 bytes');
  });
});

interface Informed {
  readonly configMaps: Readonly<Record<string, { version: string; data: Record<string, string> }>>;
  readonly secrets: Informed['configMaps'];
  readonly faults: readonly string[];
}

/** Informers that fill their caches, and say what they hold when they are told to end. */
async function informers(config: string): Promise<{ end: () => Promise<Informed> }> {
  const child = spawn(CLIENT_GO, [file(config), 'shop'], { stdio: ['pipe', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await eventually(`informers of ${config}`, () => (text.startsWith('synced') ? true : undefined), 60_000);
  const closed = new Promise((resolve) => child.once('close', resolve));
  return {
    end: async () => {
      child.stdin.end();
      await closed;
      return JSON.parse(text.slice(text.indexOf('\n'))) as Informed;
    },
  };
}

async function change(round: string): Promise<void> {
  for (const at of [1, 2, 3]) await direct(['patch', 'configmap', `c-${at}`, '-p', `{"data":{"round":"${round}"}}`]);
  await direct(['create', 'configmap', `made-${round}`, '--from-literal=token=fresh']);
  await direct(['delete', 'configmap', `c-${round}`]);
  await direct(['create', 'secret', 'generic', `s-${round}`, '--from-literal=password=hunter3']);
}

/** As an agent is to see it. */
const hidden = (held: Informed['configMaps'], keys: readonly string[]): Informed['configMaps'] =>
  Object.fromEntries(
    Object.entries(held).map(([name, { version, data }]) => [
      name,
      {
        version,
        data: data && Object.fromEntries(Object.entries(data).map(([key, value]) => [key, keys.includes(key) ? '*****' : value])),
      },
    ]),
  );

/** Lists that hold `last` once they are asked anew, and watches whose version is too old at first; what was asked is in `asked`. */
function expiring(asked: string[]): Answering {
  const expired = { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Expired', code: 410, message: 'too old' };
  return (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'https://server');
    const kind = pathname.endsWith('/secrets') ? 'Secret' : 'ConfigMap';
    const version = searchParams.get('resourceVersion') ?? '';
    const isWatch = searchParams.get('watch') === 'true';
    asked.push(`${isWatch ? 'watch' : 'list'} ${kind} ${version}`);
    response.writeHead(200, { 'content-type': 'application/json' });
    if (isWatch && version === '1') return void response.end(`${JSON.stringify({ type: 'ERROR', object: expired })}\n`);
    // The other one goes on.
    if (isWatch) {
      response.flushHeaders();
      return undefined;
    }
    const isFirst = version === '0';
    const items = isFirst ? [] : [{ metadata: { name: 'last', namespace: 'shop', resourceVersion: '9' }, data: {} }];
    const list = { kind: `${kind}List`, apiVersion: 'v1', metadata: { resourceVersion: isFirst ? '1' : '9' }, items };
    return void response.end(JSON.stringify(list));
  };
}

describe.skipIf(!HAS_CLIENTS)('informers', () => {
  it('list anew where the version from which they watch is too old', async () => {
    await using standIn = await startStandIn();
    const { address: upstream, ca } = standIn;
    await using through = await startGoverned({ upstream, ca, credential: { token: 'of-the-owner' }, rules: RULES });
    const asked: string[] = [];
    standIn.answers(expiring(asked));
    writeFileSync(file('expiring'), api.kubeconfig(`https://127.0.0.1:${through.port}`, through.ca, 'shop'));
    const held = await (await informers('expiring')).end();
    expect([held.configMaps['last']?.version, held.secrets['last']?.version]).toEqual(['9', '9']);
    for (const kind of ['ConfigMap', 'Secret'])
      expect(asked.filter((each) => each.includes(kind)).slice(0, 3)).toEqual([
        `list ${kind} 0`,
        `watch ${kind} 1`,
        expect.stringMatching(`^list ${kind} 1?$`),
      ]);
  });

  it('hold the same as with the API server itself, masked, though objects change and the server is started anew', async () => {
    const [through, beside] = await Promise.all([informers('governed'), informers('direct')]);
    await change('10');
    await api.restart();
    await change('11');
    await direct(['create', 'secret', 'generic', 'last']);
    await direct(['create', 'configmap', 'last']);
    const [masked, plain] = await Promise.all([through.end(), beside.end()]);
    expect(Object.keys(plain.configMaps)).toContain('made-11');
    expect(masked.configMaps).toEqual(hidden(plain.configMaps, ['token']));
    expect(masked.secrets).toEqual(hidden(plain.secrets, ['password']));
    expect(plain.secrets['s-11']?.data).toEqual({ password: 'hunter3' });
  });
});
