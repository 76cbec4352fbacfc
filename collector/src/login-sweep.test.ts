import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { eventually, testAuthority } from '@chaperone/testing';
import { createTransport } from '@chaperone/kube';
import { KubeConfig } from '@kubernetes/client-node';
import { expect, onTestFinished, test } from 'vitest';
import { startLoginSweep, sweepLogins } from './login-sweep.ts';

const NOW = 1_800_000_000_000;
const PATH = '/apis/chaperone.dev/v1alpha1/evidencelogins';
const MINUTE_MS = 60_000;

/** An API server with logins of these ages in minutes; deletions of names in `refuse` get that status. */
async function anApiServer(ages: Record<string, number>, refuse: Record<string, number> = {}) {
  const logins = new Map(
    Object.entries(ages).map(([name, age]) => [
      name,
      { name, uid: `uid-${name}`, creationTimestamp: new Date(NOW - age * MINUTE_MS).toISOString() },
    ]),
  );
  const lists: string[] = [];
  const authority = await testAuthority();
  const { certificate, key } = await authority.issue(['localhost']);
  const server = createServer({ cert: certificate, key }, (request, response) => {
    void (async () => {
      const { pathname } = new URL(request.url ?? '', 'https://localhost');
      response.setHeader('content-type', 'application/json');
      if (request.method === 'GET' && pathname === PATH) {
        lists.push(request.url ?? '');
        response.end(JSON.stringify({ items: [...logins.values()].map((metadata) => ({ metadata })) }));
        return;
      }
      const name = pathname.slice(PATH.length + 1);
      const { preconditions } = (await json(request)) as { preconditions?: { uid?: string } };
      const wrong = preconditions?.uid === `uid-${name}` ? undefined : 409;
      const status = request.method === 'DELETE' ? (refuse[name] ?? wrong ?? 200) : 404;
      if (status === 200) logins.delete(name);
      response.writeHead(status).end('{}');
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    {
      name: 'test',
      server: `https://localhost:${(server.address() as AddressInfo).port}`,
      skipTLSVerify: false,
      caData: Buffer.from(authority.ca).toString('base64'),
    },
    { name: 'collector' },
  );
  const warnings: string[] = [];
  const logger = { info: () => undefined, warn: (message: string) => void warnings.push(message), error: () => undefined };
  return {
    options: { kube: createTransport({ config, userAgent: 'a test' }), logger, now: () => NOW },
    left: () => [...logins.keys()],
    lists,
    warnings,
  };
}

test('logins that ended long ago are removed, and none that may still count', async () => {
  const { options, left, warnings } = await anApiServer({ fresh: 0, believed: 10, doubtful: 19, ended: 20, old: 9_000 });
  await sweepLogins(options);
  expect(left()).toEqual(['fresh', 'believed', 'doubtful']);
  expect(warnings).toEqual([]);
});

test.each([404, 409])('a login that its author removed meanwhile (%s) keeps none of the others', async (status) => {
  const { options, left, warnings } = await anApiServer({ theirs: 30, old: 30 }, { theirs: status });
  await sweepLogins(options);
  expect([left(), warnings]).toEqual([['theirs'], []]);
});

test('a failure is a warning, and the next round tries again', async () => {
  const refuse: Record<string, number> = { old: 500 };
  const { options, left, lists, warnings } = await anApiServer({ old: 30 }, refuse);
  const sweep = startLoginSweep({ ...options, everyMs: 50 });
  onTestFinished(() => sweep.stop());
  await eventually('a warning', () => (warnings.length > 0 ? true : undefined));
  delete refuse['old'];
  await eventually('the next round', () => (left().length === 0 ? true : undefined));
  expect(warnings[0]).toBe('ended logins could not be removed');
  expect(lists.every((url) => url.includes('limit=500'))).toBe(true);
});
