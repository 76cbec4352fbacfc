import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CliError } from '../errors.ts';
import type { ClusterFlags } from '../collector/transport.ts';
import { type ClusterAccess, loadKubeconfig } from './kubeconfig.ts';

async function aDirectory(): Promise<string> {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  return directory.path;
}

/** A kubeconfig with clusters prod and dev, a user for each, and whatever else is said. */
function aConfig(mods: object = {}): string {
  const names = ['prod', 'dev'];
  return JSON.stringify({
    clusters: names.map((name) => ({ name, cluster: { server: `https://${name}.corp:6443` } })),
    users: names.map((name) => ({ name, user: { token: `token-of-${name}` } })),
    contexts: [
      { name: 'prod', context: { cluster: 'prod', user: 'prod', namespace: 'shop' } },
      { name: 'dev', context: { cluster: 'dev', user: 'dev' } },
    ],
    'current-context': 'prod',
    ...mods,
  });
}

async function aFile(text = aConfig(), name = 'config'): Promise<string> {
  const file = join(await aDirectory(), name);
  writeFileSync(file, text);
  return file;
}

async function authorization(access: ClusterAccess): Promise<unknown> {
  return (await access.connectOptions()).headers['Authorization'];
}

function refusal(flags: ClusterFlags, env: Record<string, string> = {}): CliError {
  try {
    loadKubeconfig(flags, env);
  } catch (error) {
    if (error instanceof CliError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('the cluster', () => {
  test.each<[string, ClusterFlags, { server: string; token: string; namespace: string }]>([
    ['is that of the current context', {}, { server: 'prod', token: 'prod', namespace: 'shop' }],
    ['is that of --context', { context: 'dev' }, { server: 'dev', token: 'dev', namespace: 'default' }],
    ['may be another with --cluster', { cluster: 'dev' }, { server: 'dev', token: 'prod', namespace: 'shop' }],
    ['may be used as another --user', { user: 'dev' }, { server: 'prod', token: 'dev', namespace: 'shop' }],
    ['may be used in another --namespace', { namespace: 'a' }, { server: 'prod', token: 'prod', namespace: 'a' }],
  ])('%s', async (_, flags, { server, token, namespace }) => {
    const access = loadKubeconfig({ kubeconfig: await aFile(), ...flags }, {});
    expect(access.server.href).toBe(`https://${server}.corp:6443/`);
    expect(await authorization(access)).toBe(`Bearer token-of-${token}`);
    expect(access.namespace).toBe(namespace);
  });

  test('comes from ~/.kube/config where nothing else is said', async () => {
    const home = await aDirectory();
    await mkdir(join(home, '.kube'));
    writeFileSync(join(home, '.kube/config'), aConfig());
    expect(loadKubeconfig({}, { HOME: home }).context).toBe('prod');
  });

  test('comes from all files of KUBECONFIG: the first that says a thing counts, and one that is missing says nothing', async () => {
    const first = await aFile(JSON.stringify({ users: [{ name: 'prod', user: { token: 'mine' } }], 'current-context': 'dev' }));
    const missing = join(await aDirectory(), 'missing');
    const env = { KUBECONFIG: [missing, first, await aFile(''), await aFile()].join(delimiter) };
    expect(loadKubeconfig({}, env).context).toBe('dev');
    expect(await authorization(loadKubeconfig({ context: 'prod' }, env))).toBe('Bearer mine');
  });

  test('comes from --kubeconfig alone where that is given', async () => {
    const env = { KUBECONFIG: await aFile(aConfig({ 'current-context': 'dev' })) };
    expect(loadKubeconfig({ kubeconfig: await aFile() }, env).context).toBe('prod');
  });

  test('is that of the pod where there is no kubeconfig', async () => {
    const pod = await aDirectory();
    for (const [name, text] of Object.entries({ token: 'of-the-pod', 'ca.crt': 'PEM', namespace: 'tools\n' }))
      writeFileSync(join(pod, name), text);
    const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443', HOME: await aDirectory() };
    const access = loadKubeconfig({}, env, pod);
    expect([access.server.href, access.namespace]).toEqual(['https://[fd00::1]:6443/', 'tools']);
    expect(await authorization(access)).toBe('Bearer of-the-pod');
    expect(loadKubeconfig({ kubeconfig: await aFile() }, env, pod).context).toBe('prod');
  });

  test('needs no context where --cluster and --user name all', async () => {
    const kubeconfig = await aFile(aConfig({ contexts: [], 'current-context': '' }));
    const access = loadKubeconfig({ kubeconfig, cluster: 'dev', user: 'prod' }, {});
    expect([access.server.hostname, await authorization(access)]).toEqual(['dev.corp', 'Bearer token-of-prod']);
  });

  test('is asked as somebody else with every group of --as-group', async () => {
    const access = loadKubeconfig({ kubeconfig: await aFile(), as: 'jane', asGroup: ['dba', 'on call'] }, {});
    expect((await access.connectOptions()).headers).toMatchObject({
      'Impersonate-User': 'jane',
      'Impersonate-Group': ['dba', 'on call'],
    });
    expect(access.who).toBe('jane (impersonated)');
  });

  test('is asked as somebody else with the UID of --as-uid, and without one where none is said', async () => {
    const kubeconfig = await aFile();
    const headers = async (flags: ClusterFlags): Promise<object> =>
      (await loadKubeconfig({ kubeconfig, ...flags }, {}).connectOptions()).headers;
    expect(await headers({ as: 'jane', asUid: '4f1c-07' })).toMatchObject({
      'Impersonate-User': 'jane',
      'Impersonate-Uid': '4f1c-07',
    });
    for (const flags of [{ as: 'jane' }, {}]) expect(await headers(flags)).not.toHaveProperty('Impersonate-Uid');
  });

  test('is asked with what a credentials plugin says', async () => {
    const script = `console.log(JSON.stringify({status: {token: 'from-the-plugin'}}))`;
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: process.execPath, args: ['-e', script] };
    const kubeconfig = await aFile(aConfig({ users: [{ name: 'prod', user: { exec } }] }));
    expect(await authorization(loadKubeconfig({ kubeconfig }, {}))).toBe('Bearer from-the-plugin');
  });

  test('is not asked where the plugin fails, and what the plugin said is not repeated', async () => {
    const exec = { command: process.execPath, args: ['-e', `console.error('secret'); process.exit(1)`] };
    const kubeconfig = await aFile(aConfig({ users: [{ name: 'prod', user: { exec } }] }));
    const error = await loadKubeconfig({ kubeconfig }, {})
      .connectOptions()
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      code: 'ClusterUnreachable',
      message: 'context prod: its credentials could not be read or made',
    });
  });
});

describe('a kubeconfig is refused', () => {
  test.each<[string, string, ClusterFlags, string]>([
    ['without a current context', aConfig({ 'current-context': '' }), {}, 'has no current context'],
    ['without the context that is asked for', aConfig(), { context: 'nope' }, 'has no context "nope"'],
    ['without the cluster that is asked for', aConfig(), { cluster: 'nope' }, 'has no cluster "nope"'],
    ['without the user that is asked for', aConfig(), { user: 'nope' }, 'has no user "nope"'],
    ['that is no YAML', '{"token-in-here', {}, 'is not a kubeconfig that can be read'],
    ['that is something else', '[1]', {}, 'has no current context'],
    [
      'that would send credentials in clear',
      aConfig({ clusters: [{ name: 'prod', cluster: { server: 'http://prod.corp' } }] }),
      {},
      'is not an https URL',
    ],
  ])('%s', async (_, text, flags, said) => {
    const error = refusal({ kubeconfig: await aFile(text), ...flags });
    expect([error.code, error.exit]).toEqual(['NoContext', 2]);
    expect(error.message).toContain(said);
    expect(error.message).not.toContain('token');
  });

  test('with the contexts that there are', async () => {
    expect(refusal({ kubeconfig: await aFile(), context: 'nope' }).fix).toEqual(['--context NAME, one of: prod, dev']);
  });

  test('where there is none, with what works without a cluster', async () => {
    const home = await aDirectory();
    expect(refusal({}, { HOME: home })).toMatchObject({
      message: 'kubeconfig ~/.kube/config has no current context',
      fix: ['without a cluster: chaperone up'],
    });
    expect(refusal({ kubeconfig: '/does/not/exist' }).message).toBe('kubeconfig /does/not/exist does not exist');
  });
});

test.each<[string | undefined, number | undefined]>([
  [undefined, 30_000],
  ['0', undefined],
  ['5', 5_000],
  ['250ms', 250],
  ['2m', 120_000],
  ['1h', 3_600_000],
])('a --request-timeout of %s is %s ms', async (text, timeoutMs) => {
  const flags = { kubeconfig: await aFile(), ...(text === undefined ? {} : { requestTimeout: text }) };
  expect(loadKubeconfig(flags, {}).timeoutMs).toBe(timeoutMs);
});

test.each(['', '-1s', '1.5s', '10 s', '999999999h', '1d'])('a --request-timeout of "%s" is refused', async (requestTimeout) => {
  expect(refusal({ kubeconfig: await aFile(), requestTimeout }).code).toBe('Usage');
});

test.each<[string, ClusterFlags]>([
  ['--as-group', { asGroup: ['dba'] }],
  ['--as-uid', { asUid: '4f1c-07' }],
])('%s without a user is refused', async (flag, flags) => {
  const refused = refusal({ kubeconfig: await aFile(), ...flags });
  expect(refused).toMatchObject({ code: 'Usage', exit: 2, message: `${flag} needs --as` });
});
