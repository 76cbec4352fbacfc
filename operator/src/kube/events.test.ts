import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EventRecorder } from './events.ts';

let api: FakeApiServer;
beforeEach(async () => {
  api = await startFakeApiServer();
});
afterEach(() => api.close());

test('the same event within five minutes is counted on the first one; after that it is new', async () => {
  let now = 1_000_000;
  const recorder = new EventRecorder({ kube: api.kube, instance: 'operator-0', now: () => now });
  const regarding = { apiVersion: 'v1', kind: 'Pod', namespace: 'agents', name: 'bot' };
  const event = { type: 'Warning', reason: 'CredentialsRejected', action: 'Dial', note: 'refused' } as const;
  await recorder.emit(regarding, event);
  await recorder.emit(regarding, event);
  await recorder.emit(regarding, { ...event, note: 'another' });
  now += 300_000;
  await recorder.emit(regarding, event);
  const methods = api.asked.map((asked) => asked.method);
  expect(methods).toEqual(['POST', 'PATCH', 'POST', 'POST']);
  expect(api.asked[1]?.body).toMatchObject({ series: { count: 2 } });
});
