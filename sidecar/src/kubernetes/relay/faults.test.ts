import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';
import { type Answering, answering, asJson, askThrough, type StandIn, startStandIn } from './stand-in.test-support.ts';

const RULES: Spec['rules'] = [{ name: 'all', effect: 'Allow', kubernetes: { verbs: ['*'], resources: ['**'] } }];
const LIST = '/api/v1/namespaces/shop/secrets';
const MAPS = '/api/v1/namespaces/shop/configmaps';
const MiB = 2 ** 20;

let standIn: StandIn;
let governed: Governed;
beforeAll(async () => {
  standIn = await startStandIn();
  governed = await startGoverned({
    upstream: standIn.address,
    ca: standIn.ca,
    credential: { token: 'of-the-owner' },
    rules: RULES,
  });
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
  await standIn?.[Symbol.asyncDispose]();
});

describe('what a client needs to hold the same as the API server', () => {
  const status = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    reason: 'Expired',
    message: 'too old',
    code: 410,
  };
  const bookmark = {
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: { resourceVersion: '4711', annotations: { 'k8s.io/initial-events-end': 'true' } },
  };
  const head = { resourceVersion: '4711', continue: 'eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ', remainingItemCount: 12 };

  it.each<[what: string, target: string, how: Answering, expected: object]>([
    [
      'a version that is too old',
      `${LIST}?continue=abc`,
      answering(410, { 'content-type': 'application/json' }, JSON.stringify(status)),
      status,
    ],
    [
      'the same within a watch',
      `${LIST}?watch=true&resourceVersion=1`,
      asJson({ type: 'ERROR', object: status }),
      { type: 'ERROR', object: status },
    ],
    [
      'a bookmark, and the end of initial events',
      `${LIST}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`,
      asJson({ type: 'BOOKMARK', object: bookmark }),
      {
        type: 'BOOKMARK',
        object: { ...bookmark, metadata: { resourceVersion: '4711', annotations: { 'k8s.io/initial-events-end': 'true' } } },
      },
    ],
    [
      'where a list goes on',
      `${LIST}?limit=500`,
      asJson({ kind: 'SecretList', metadata: head, items: [] }),
      { kind: 'SecretList', metadata: head, items: [] },
    ],
  ])('passes: %s', async (_, target, how, expected) => {
    standIn.answers(how);
    const got = await askThrough(governed, target);
    expect(JSON.parse(got.text)).toEqual(expected);
    expect(standIn.seen[0]?.url).toBe(target);
  });

  it('passes: when to ask again', async () => {
    const busy = { ...status, reason: 'TooManyRequests', message: 'busy', details: { retryAfterSeconds: 3 }, code: 429 };
    standIn.answers(answering(429, { 'content-type': 'application/json', 'retry-after': '3' }, JSON.stringify(busy)));
    const { status: code, headers, text } = await askThrough(governed, LIST);
    expect({ code, after: headers['retry-after'], text: JSON.parse(text) }).toEqual({ code: 429, after: '3', text: busy });
    expect(standIn.seen).toHaveLength(1);
  });
});

/** The status of one request. */
async function ask(client: ClientHttp2Session): Promise<number | undefined> {
  const stream = client.request({ ':path': LIST });
  const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
  stream.resume();
  await once(stream, 'end');
  return headers[':status'];
}

describe('an API server that is started anew', () => {
  it('ends its watches, is told as not ready, and is found again on the same connection', async () => {
    const client = connectHttp2(`https://127.0.0.1:${governed.port}`, { ca: governed.ca }).on('error', () => undefined);
    standIn.answers((request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      if (request.url?.includes('watch') === true) response.flushHeaders();
      else response.end('{"kind":"SecretList","items":[]}');
    });
    expect(await ask(client)).toBe(200);
    const watch = client.request({ ':path': `${LIST}?watch=true` }).on('error', () => undefined);
    await once(watch, 'response');
    const over = new Promise((resolve) => watch.once('close', resolve));
    await standIn.stop();
    await over;
    expect(await ask(client)).toBe(503);
    await standIn.start();
    expect(await ask(client)).toBe(200);
    client.destroy();
  });
});

/** Writes an answer as fast as it is taken, and says how much was. */
function flood(begin: string, part: string, bytes: number): { how: Answering; sent: () => number } {
  let sent = 0;
  const how = (_: IncomingMessage, response: ServerResponse): void => {
    response
      .on('error', () => undefined)
      .writeHead(200, { 'content-type': 'application/json' })
      .write(begin);
    const more = (): void => {
      while (sent < bytes && !response.destroyed) {
        sent += part.length;
        if (!response.write(part)) return void response.once('drain', more);
      }
      if (sent >= bytes) response.end(begin === '' ? '' : '{}]}');
    };
    more();
  };
  return { how, sent: () => sent };
}

describe('an answer of 100 MB that its agent does not read', () => {
  const object = JSON.stringify({
    kind: 'ConfigMap',
    metadata: { name: 'a' },
    data: { a: 'x'.repeat(16_384), b: 'ann@example.com' },
  });
  it.each<[what: string, target: string, begin: string, part: string]>([
    ['a list', MAPS, '{"kind":"ConfigMapList","items":[', `${object},`],
    ['a watch', `${MAPS}?watch=true`, '', `{"type":"ADDED","object":${object}}\n`],
  ])(
    'waits in the API server: %s',
    async (_, target, begin, part) => {
      const { how, sent } = flood(begin, part, 100 * MiB);
      standIn.answers(how);
      const request = httpsRequest({ host: '127.0.0.1', port: governed.port, ca: governed.ca, path: target, agent: false });
      request.end();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      let before = -1;
      await eventually('a halt', () => {
        const isHalted = sent() > 0 && sent() === before;
        before = sent();
        return isHalted ? true : undefined;
      });
      expect(sent()).toBeLessThan(32 * MiB);
      let read = 0;
      let hasMail = false;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        read += chunk.length;
        hasMail ||= chunk.includes('@');
      }
      expect(hasMail).toBe(false);
      expect(read).toBeGreaterThan(100 * MiB * 0.99);
    },
    60_000,
  );
});
