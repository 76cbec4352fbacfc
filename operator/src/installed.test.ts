import { KubeConfig } from '@kubernetes/client-node';
import { createTransport, KINDS, pathOf } from '@chaperone/kube';
import { hasApiServer, startApiServer } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { tryInstallation } from './installed.ts';

describe.runIf(hasApiServer)('a cluster in which nothing of Chaperone runs', () => {
  test('is found out: pods start without a sidecar, whatever they ask for, and nobody answers', async () => {
    await using server = await startApiServer();
    const config = new KubeConfig();
    config.loadFromString(server.kubeconfig(`https://${server.address}`, server.ca, 'default'));
    const kube = createTransport({ config, userAgent: 'test' });
    try {
      const ask = () =>
        tryInstallation({
          kube,
          namespace: 'agents-test',
          capture: 'pod',
          metricsUrl: 'http://127.0.0.1:1/metrics',
          collectorUrl: 'https://127.0.0.1:1/readyz',
          patienceMs: 0,
        });
      // Refused, but not by Chaperone.
      expect((await ask()).map(({ why }) => why)).toEqual([
        expect.stringContaining('agents-test'),
        expect.stringContaining('agents-test'),
        'http://127.0.0.1:1/metrics does not answer',
        expect.stringContaining('chaperone-ca'),
      ]);
      await kube.request({ method: 'POST', path: pathOf(KINDS.namespaces), body: { metadata: { name: 'agents-test' } } });
      await kube.request({
        method: 'POST',
        path: pathOf(KINDS.configMaps, { namespace: 'agents-test' }),
        body: { metadata: { name: 'chaperone-ca' }, data: { 'ca.crt': server.ca } },
      });
      await expect.poll(ask, { interval: 200 }).toEqual([
        {
          what: 'a pod of a governed namespace gets its sidecar',
          why: 'the API server would start it without chaperone-init, chaperone-sidecar, chaperone-verify',
        },
        { what: 'a pod that could undo capture is refused', why: 'the API server would start it' },
        { what: 'the operator has metrics', why: 'http://127.0.0.1:1/metrics does not answer' },
        { what: 'the collector is ready', why: 'https://127.0.0.1:1/readyz does not answer' },
      ]);
    } finally {
      kube.close();
    }
  });
});
