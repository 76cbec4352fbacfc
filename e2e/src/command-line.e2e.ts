import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Cluster, ROOT } from './harness/cluster.ts';
import { Installation, SYSTEM } from './harness/installation.ts';
import { type Result, run } from './harness/run.ts';

/** The command line of people who are no administrators: their way to the collector, and what they may see there. */
const NAMESPACE = 'e2e-people';
const EVERYBODY = 'system:authenticated';
let cluster: Cluster;
let directory: AsyncDisposable & { path: string };

beforeAll(async () => {
  ({ cluster } = await Installation.create());
  directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'config'), await cluster.demand(['config', 'view', '--raw']), { mode: 0o600 });
  await cluster.namespace(NAMESPACE);
  await cluster.demand(['create', 'rolebinding', 'jane', '--clusterrole=chaperone-viewer', '--user=jane', '-n', NAMESPACE]);
});

afterAll(async () => {
  await cluster.demand(['delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false']);
  await directory[Symbol.asyncDispose]();
});

const chaperone = (...args: string[]): Promise<Result> =>
  run(process.execPath, [join(ROOT, 'cli/src/main.ts'), ...args, '--kubeconfig', join(directory.path, 'config')]);
/** Jane's: what somebody else's command could not take back ends by itself. */
const logins = (): Promise<string> =>
  cluster.demand(['get', 'evidencelogins', '-o', 'jsonpath={.items[?(@.spec.user=="jane")].metadata.name}']);

describe('somebody with the role chaperone-viewer in one namespace', () => {
  test('lists sessions there, and leaves no login behind', async () => {
    const { status, stdout, stderr } = await chaperone('sessions', 'ls', '-n', NAMESPACE, '--as', 'jane', '-o', 'json');
    expect([status, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual({ items: [], truncated: false, total: 0 });
    expect(await logins()).toBe('');
  });

  test('says kubectl chaperone, once the program is on PATH under kubectl’s name for it', async () => {
    await symlink(join(ROOT, 'cli/bin/chaperone'), join(directory.path, 'kubectl-chaperone'));
    const { status, stdout, stderr } = await cluster.kubectl(
      ['chaperone', 'sessions', 'ls', '-n', NAMESPACE, '--as', 'jane', '-o', 'json'],
      undefined,
      directory.path,
    );
    expect([status, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual({ items: [], truncated: false, total: 0 });
  });

  test('is told what is missing elsewhere', async () => {
    const { status, stderr } = await chaperone('sessions', 'ls', '-n', 'default', '--as', 'jane');
    expect(status).toBe(4);
    expect(stderr).toContain('error: you may not list sessions of namespace default (NotPermitted)');
  });

  test.each([
    ['pods/chaperone-collector-0', 'yes'],
    ['pods/chaperone-nats-0', 'no'],
    ['pods', 'no'],
  ])('to whether they may open a tunnel to %s hears %s', async (pods, may) => {
    const asJane = ['--as=jane', `--as-group=${EVERYBODY}`];
    const asked = ['auth', 'can-i', 'get', pods, '--subresource=portforward', '-n', SYSTEM, ...asJane];
    expect((await cluster.kubectl(asked)).stdout.trim()).toBe(may);
  });
});

describe('a login', () => {
  const login = {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'EvidenceLogin',
    metadata: { name: 'e2e-people' },
    spec: { publicKey: `${'A'.repeat(43)}=`, user: 'jane', groups: [EVERYBODY] },
  };
  const as = (user: string): string[] => [`--as=${user}`, `--as-group=${EVERYBODY}`];

  test('is ended by its author or an administrator, and by nobody else', async () => {
    const end = ['delete', 'evidencelogin', login.metadata.name];
    await cluster.demand(['create', '-f', '-', ...as('jane')], login);
    const refused = await cluster.kubectl([...end, ...as('bob')]);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('[LoginNotOwn]')]);
    await cluster.demand([...end, ...as('jane')]);
    await cluster.demand(['create', '-f', '-', ...as('jane')], login);
    await cluster.demand(end);
  });
});
