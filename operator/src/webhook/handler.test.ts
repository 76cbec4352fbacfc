import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { injectPod } from '../injection/inject.ts';
import { aConfig, aPod } from '../injection/sample.test-support.ts';
import { createWebhook, MAX_BODY_BYTES, type WebhookOptions } from './handler.ts';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function start(mods: Partial<WebhookOptions> = {}): Promise<string> {
  server = createServer(createWebhook({ config: () => aConfig(), ...mods }));
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const aReview = (object: unknown, mods: object = {}) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: {
    uid: 'u-1',
    kind: { group: '', version: 'v1', kind: 'Pod' },
    operation: 'CREATE',
    namespace: 'agents',
    object,
    ...mods,
  },
});

const post = (url: string, body: string, type = 'application/json') =>
  fetch(`${url}/mutate-pods`, { method: 'POST', body, headers: { 'content-type': type } });

interface Answer {
  response: {
    uid: string;
    allowed: boolean;
    patch?: string;
    patchType?: string;
    status?: { code: number; reason: string; message: string };
  };
}
const ask = async (url: string, review: unknown): Promise<Answer['response']> =>
  ((await (await post(url, JSON.stringify(review))).json()) as Answer).response;

describe('the API server is told', () => {
  test('how to patch a pod that may run', async () => {
    const url = await start({ facts: (namespace) => ({ inboundPorts: namespace === 'agents' ? [9000] : [] }) });
    const { patch = '', ...rest } = await ask(url, aReview(aPod()));
    expect(rest).toEqual({ uid: 'u-1', allowed: true, patchType: 'JSONPatch' });
    const operations = JSON.parse(Buffer.from(patch, 'base64').toString()) as { path: string; value: unknown }[];
    expect(operations[0]).toMatchObject({ path: '/metadata/annotations', value: { 'chaperone.dev/inbound-ports': '9000' } });
  });

  test('nothing to patch in a pod that was patched', async () => {
    const url = await start();
    const pod = injectPod({ pod: aPod(), config: aConfig() });
    expect(await ask(url, aReview(pod))).toEqual({ uid: 'u-1', allowed: true });
  });

  test('every reason why a pod may not run', async () => {
    const url = await start();
    const { allowed, status } = await ask(url, aReview(aPod({ hostNetwork: true, containers: [{ name: 'bot' }] })));
    expect(allowed).toBe(false);
    expect(status).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(status?.message).toMatch(/2 problems: .*\[HostNetwork\].*\[AgentMustSetUser\]/);
  });

  test.each<[string, unknown, object, boolean]>([
    ['a controller made', [{ apiVersion: 'batch/v1', kind: 'Job', name: 'nightly', uid: 'j', controller: true }], {}, true],
    [
      'a controller tried to make',
      [{ apiVersion: 'batch/v1', kind: 'Job', name: 'nightly', uid: 'j', controller: true }],
      { dryRun: true },
      false,
    ],
    ['belongs to something else', [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'c' }], {}, false],
    ['names a controller without a name', [{ apiVersion: 'batch/v1', kind: 'Job', uid: 'j', controller: true }], {}, false],
    ['has owners that are no list', 'nightly', {}, false],
    ['a person made', undefined, {}, false],
  ])('and the owner of a refused pod that %s, or not', async (_what, ownerReferences, mods, told) => {
    const denied: unknown[] = [];
    const url = await start({ onDenied: (...args) => denied.push(args) });
    const pod = { metadata: { name: 'bot', ownerReferences }, spec: { containers: [{ name: 'bot' }] } };
    const { status } = await ask(url, aReview(pod, mods));
    const owner = { apiVersion: 'batch/v1', kind: 'Job', namespace: 'agents', name: 'nightly', uid: 'j' };
    expect(denied).toEqual(told ? [[owner, status?.message]] : []);
  });

  test('how to make it one whose rules come from its node', async () => {
    const url = await start({ facts: () => ({ capture: 'node' }) });
    const { patch = '' } = await ask(url, aReview(aPod()));
    const text = Buffer.from(patch, 'base64').toString();
    expect([text.includes('chaperone-init'), text.includes('chaperone-verify')]).toEqual([false, true]);
  });

  test('the user that the namespace offers is used', async () => {
    const url = await start({ facts: () => ({ defaultRunAsUser: 1000 }) });
    expect(await ask(url, aReview(aPod({ containers: [{ name: 'bot' }] })))).toMatchObject({ allowed: true });
  });
});

describe('no permission is given', () => {
  test.each<[string, string, number, string]>([
    ['to what is no JSON', '{', 400, 'NotJson'],
    ['to JSON in a broken encoding', '\u0000', 400, 'NotJson'],
    ['to another kind of object', JSON.stringify({ kind: 'List' }), 500, 'AdmissionReviewInvalid'],
    ['to a list', '[]', 500, 'AdmissionReviewInvalid'],
    ['to an update', JSON.stringify(aReview(aPod(), { operation: 'UPDATE' })), 500, 'AdmissionReviewInvalid'],
    ['to a subresource', JSON.stringify(aReview(aPod(), { subResource: 'exec' })), 500, 'AdmissionReviewInvalid'],
    [
      'to a kind that is no pod',
      JSON.stringify(aReview(aPod(), { kind: { group: 'apps', kind: 'Deployment' } })),
      500,
      'AdmissionReviewInvalid',
    ],
    ['to a pod without containers', JSON.stringify(aReview({ metadata: {}, spec: {} })), 500, 'AdmissionReviewInvalid'],
    [
      'to a container without a name',
      JSON.stringify(aReview({ metadata: {}, spec: { containers: [{}] } })),
      500,
      'AdmissionReviewInvalid',
    ],
    [
      'to volumes that are no list',
      JSON.stringify(aReview({ metadata: {}, spec: { containers: [], volumes: {} } })),
      500,
      'AdmissionReviewInvalid',
    ],
    ['to a review without a uid', JSON.stringify(aReview(aPod(), { uid: '' })), 500, 'AdmissionReviewInvalid'],
  ])('%s', async (_name, body, status, code) => {
    const outcomes: unknown[] = [];
    const response = await post(await start({ onReview: (outcome) => outcomes.push(outcome) }), body);
    expect([response.status, await response.text()]).toEqual([status, `${code}\n`]);
    expect(outcomes).toMatchObject([{ result: 'failed', error: code }]);
  });

  test('when our own code throws, and its words stay inside', async () => {
    const url = await start({
      config: () => {
        throw new Error('secret-value');
      },
    });
    const response = await post(url, JSON.stringify(aReview(aPod())));
    expect([response.status, await response.text()]).toEqual([500, 'AdmissionFailed\n']);
  });

  test('to a pod whose fields are of another type than the API says', async () => {
    const url = await start();
    const response = await post(url, JSON.stringify(aReview(aPod({ securityContext: { sysctls: 7 as never } }))));
    expect(response.status).toBe(500);
  });

  test('elsewhere, by another method or type', async () => {
    const url = await start();
    expect((await fetch(`${url}/mutate-pods`)).status).toBe(405);
    expect((await fetch(`${url}/`, { method: 'POST' })).status).toBe(404);
    expect((await post(url, '{}', 'text/plain')).status).toBe(415);
  });

  test('to a body over the limit, announced or not', async () => {
    const url = await start();
    expect((await post(url, ' '.repeat(MAX_BODY_BYTES + 1))).status).toBe(413);
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    const ended = new Promise<string>((resolve) => {
      let seen = '';
      socket.on('data', (chunk: Buffer) => (seen += chunk.toString()));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(seen));
    });
    socket.write('POST /mutate-pods HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n');
    const chunk = ' '.repeat(1 << 20);
    for (let sent = 0; sent < 5; sent++) socket.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
    expect(await ended).not.toContain('200 OK');
  });

  test('a body as large as the limit is read', async () => {
    const url = await start();
    const body = JSON.stringify(aReview(aPod()));
    const response = await post(url, body + ' '.repeat(MAX_BODY_BYTES - body.length));
    expect(response.status).toBe(200);
  });
});
