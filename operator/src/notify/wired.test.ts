import { writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { expect, test } from 'vitest';
import { parseConfig } from '../config.ts';
import { eventually, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { createMetrics } from '../metrics.ts';
import { AGENTS, ENVIRONMENT, putCluster, reviewsTokens } from '../operator.test-support.ts';
import { startOperator } from '../operator.ts';
import { CHANNEL, type PressedRequest, SIGNING_SECRET, signAsSlack, TEAM } from './fake-slack.test-support.ts';
import { anAccessRequest } from './request.test-support.ts';
import { SLACK_PATH } from './slack-listener.ts';

test('an operator that is told of Slack tells it of requests, and answers it under its own name', async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'signing'), SIGNING_SECRET);
  const api = await startFakeApiServer();
  api.intercept = reviewsTokens;
  putCluster(api);
  const slack = {
    channel: CHANNEL,
    team: TEAM,
    // Slack itself is not within reach of a test: without a token nobody asks it.
    tokenFile: join(directory.path, 'none'),
    signingSecretFile: join(directory.path, 'signing'),
    consoleUrl: 'https://chaperone.corp.example',
  };
  const metrics = createMetrics();
  const errors: unknown[] = [];
  const operator = await startOperator({
    kube: api.kube,
    config: parseConfig({ ...ENVIRONMENT, CHAPERONE_SLACK_PORT: '0', CHAPERONE_NOTIFY: JSON.stringify({ slack }) }),
    metrics,
    natsCa: undefined,
    onError: (error) => errors.push(error),
  });
  const caMap = (): unknown => api.get(KINDS.configMaps, { namespace: AGENTS, name: 'chaperone-ca' })?.['data'];
  await eventually(() => expect(caMap()).toBeDefined());
  const ca = (caMap() as Record<string, string>)['ca.crt'] ?? '';
  const post = ({ headers, body }: PressedRequest): Promise<number> =>
    new Promise((resolve, reject) => {
      const { port } = (operator.servers.slack?.address() ?? { port: 0 }) as AddressInfo;
      const servername = 'chaperone-slack.chaperone-system.svc';
      const sent = request({ host: '127.0.0.1', servername, port, path: SLACK_PATH, method: 'POST', headers, ca, agent: false });
      sent.on('response', (response) => resolve(response.resume().statusCode ?? 0)).on('error', reject);
      sent.end(body);
    });
  expect(await post(signAsSlack('payload=%7B%22type%22%3A%22other%22%7D'))).toBe(200);
  expect(await post(signAsSlack('payload=%7B%22type%22%3A%22other%22%7D', { secret: 'forged' }))).toBe(401);

  api.put(KINDS.accessRequests, anAccessRequest());
  await eventually(() =>
    expect(errors).toContainEqual(expect.objectContaining({ message: 'the token of Slack cannot be read (ENOENT)' })),
  );
  const told = await metrics.registry.metrics();
  expect(told).toContain('chaperone_notices_total{channel="slack",result="failed"} 1');
  expect(told).toContain('chaperone_slack_actions_total{result="Forged"} 1');
  await operator.stop();
  await api.close();
});
