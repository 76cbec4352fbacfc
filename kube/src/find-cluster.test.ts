import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { afterEach, expect, test, vi } from 'vitest';
import { findCluster } from './find-cluster.ts';

const POD = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };

afterEach(() => vi.unstubAllEnvs());

test('a program in a pod finds the API server by its environment', async () => {
  expect((await findCluster(POD)).getCurrentCluster()).toEqual({ server: 'https://10.96.0.1:443' });
  await expect(findCluster({ KUBERNETES_SERVICE_HOST: '10.96.0.1' })).rejects.toThrow('KUBERNETES_SERVICE_HOST or _PORT');
});

test('a kubeconfig that is named counts, in a pod too', async () => {
  await using folder = await temporaryDirectory();
  const file = join(folder.path, 'config');
  await writeFile(
    file,
    `{apiVersion: v1, kind: Config, current-context: a, users: [{name: a, user: {token: t}}],
contexts: [{name: a, context: {cluster: a, user: a}}], clusters: [{name: a, cluster: {server: "https://named.example"}}]}`,
  );
  vi.stubEnv('KUBECONFIG', file);
  expect((await findCluster({ ...POD, KUBECONFIG: file })).getCurrentCluster()).toMatchObject({
    server: 'https://named.example',
  });
});
