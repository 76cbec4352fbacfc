import { request as send } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { AccessRequest } from '@chaperone/api';
import { eventually } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Shop, startShop } from '../program.test-support.ts';
import { type Held, type HttpCall, startHeld } from '../requests/requests.test-support.ts';
import { foreignSite } from './same-site.ts';

let shop: Shop;
let held: Held;
let request: AccessRequest;
let answer: Promise<string>;
beforeAll(async () => {
  shop = await startShop();
  held = await startHeld(shop);
  ({ request, answer } = await held.held());
});
afterAll(async () => {
  await held[Symbol.asyncDispose]();
  await shop[Symbol.asyncDispose]();
});

const pathOf = (name = request.metadata.name): string => `/v1/requests/agents/${name}`;
const JSON_TYPE = { 'content-type': 'application/json' };
const decision = (mods: object = {}): HttpCall => ({
  method: 'POST',
  path: `${pathOf()}/decisions`,
  headers: JSON_TYPE,
  body: JSON.stringify({ requestUid: request.metadata.uid, digest: request.spec.digest, decision: 'Approve', ...mods }),
});

describe('a request to the listener of chaperone up', () => {
  test.each<[string, () => HttpCall, number, string]>([
    ['without a token', () => ({ headers: { authorization: undefined } }), 401, 'NotSignedIn'],
    ['with another token', () => ({ headers: { authorization: 'Bearer no' } }), 401, 'NotSignedIn'],
    ['for another host', () => ({ headers: { host: 'evil.example' } }), 403, 'NotPermitted'],
    ['for another host with our port', () => ({ headers: { host: 'localhost.evil.example:41300' } }), 403, 'NotPermitted'],
    ['from a page of another site', () => ({ headers: { origin: 'https://evil.example' } }), 403, 'NotPermitted'],
    ['from a page without a site', () => ({ headers: { origin: 'null' } }), 403, 'NotPermitted'],
    [
      'with a decision from a page of another site',
      () => ({ ...decision(), headers: { ...JSON_TYPE, origin: 'http://evil.example' } }),
      403,
      'NotPermitted',
    ],
    ['with a filter that there is not', () => ({ path: '/v1/requests?states=Pending' }), 400, 'Usage'],
    ['for a request that there is not', () => ({ path: pathOf('ar-7f3kq2mzt4hcnw5e') }), 404, 'NotFound'],
    ['for a request of another namespace', () => ({ path: pathOf().replace('agents', 'other') }), 404, 'NotFound'],
    ['for a path that there is not', () => ({ path: `${pathOf()}/more` }), 404, 'NotFound'],
    [
      'with a form in place of JSON',
      () => ({ ...decision(), headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
      415,
      'Usage',
    ],
    [
      'with text that says it is JSON',
      () => ({ ...decision(), headers: { 'content-type': 'text/plain; application/json' } }),
      415,
      'Usage',
    ],
    ['with what is no JSON', () => ({ ...decision(), body: '{' }), 400, 'Usage'],
    ['with a huge body', () => decision({ reason: 'x'.repeat(16 * 1024) }), 413, 'Usage'],
    [
      'with a huge body of unknown length',
      () => ({ ...decision(), headers: { ...JSON_TYPE, 'transfer-encoding': 'chunked' }, body: ' '.repeat(16 * 1024 + 1) }),
      413,
      'Usage',
    ],
    ['with a reason that is too long', () => decision({ reason: 'x'.repeat(1025) }), 400, 'Usage'],
    ['with a decision that there is not', () => decision({ decision: 'Maybe' }), 400, 'Usage'],
    ['that says itself who it is', () => decision({ by: 'jane' }), 400, 'Usage'],
    ['with the short digest', () => decision({ digest: request.spec.digest.slice(0, 8) }), 400, 'Usage'],
    ['with another digest', () => decision({ digest: 'f'.repeat(64) }), 409, 'DigestMismatch'],
    ['about another request of the name', () => decision({ requestUid: 'other' }), 409, 'DigestMismatch'],
  ])('%s is refused', async (_, call, status, code) => {
    const said = await held.http(call());
    expect([said.status, (JSON.parse(said.body) as { code: string }).code]).toEqual([status, code]);
    const { status: now } = JSON.parse((await held.http({ path: pathOf() })).body) as AccessRequest;
    expect(now).toMatchObject({ state: 'Pending', decisions: [] });
  });

  test('from its own page, by its address or as localhost, is answered', async () => {
    for (const host of ['localhost:41300', '[::1]:41300', '127.0.0.1'])
      expect(await held.http({ headers: { host, origin: `http://${host}` } })).toMatchObject({ status: 200 });
  });

  test('shows the rows that it would meet, masked', async () => {
    expect(JSON.parse((await held.http({ path: `${pathOf()}/content` })).body)).toEqual({
      columns: ['id', 'customer_id', 'total', 'card'],
      rows: [['102', '2', '17.00', '*****']],
    });
  });

  test('is told each change as it happens, and what is given twice is given once', async () => {
    const events: string[] = [];
    const { authorization, url } = held;
    const watching = send(`${url}/v1/requests?watch=1`, { headers: { authorization } }, (response) => {
      expect(response.headers['content-type']).toBe('text/event-stream');
      response.setEncoding('utf8').on('data', (some: string) => events.push(some));
      response.on('error', () => undefined);
    });
    watching.on('error', () => undefined).end();
    const states = (): string[] => [...events.join('').matchAll(/^data: (.*)$/gm)].map(([, json = '']) => stateIn(json));
    await eventually('what there is', () => (states().length > 0 ? true : undefined));
    const first = await held.http(decision({ decision: 'Deny', reason: 'no' }));
    const again = await held.http(decision({ decision: 'Deny', reason: 'no' }));
    expect([first.status, again.status]).toEqual([201, 200]);
    const [one, two] = [first, again].map(({ body }) => JSON.parse(body) as { decision: { metadata: object }; as: string });
    expect(two?.decision.metadata).toEqual(one?.decision.metadata);
    expect(one?.as).toMatch(/^local:\S+, for whoever is asked: chaperone up knows no people/);
    expect(await held.http(decision())).toMatchObject({
      status: 409,
      body: expect.stringContaining('"AlreadyDecided"') as string,
    });
    await eventually('the decision', () => (states().includes('Denied') ? true : undefined));
    expect(events.join('')).toMatch(/^event: request\nid: \d+\ndata: \{/m);
    expect(await answer).toContain('ApprovalDenied');
    watching.destroy();
    await delay(100);
    expect((await held.http()).status, 'it goes on without who left').toBe(200);
  });

  test('to watch is refused beyond some', async () => {
    const { authorization, url } = held;
    const open = Array.from({ length: 32 }, () => {
      const watching = send(`${url}/v1/requests?watch=1`, { headers: { authorization } }, (response) =>
        response.resume().on('error', () => undefined),
      );
      watching.on('error', () => undefined).end();
      return watching;
    });
    await eventually('the limit', async () => ((await watchStatus()) === 503 ? true : undefined));
    for (const each of open) each.destroy();
    await eventually('room again', async () => ((await watchStatus()) === 200 ? true : undefined));
  });
});

function watchStatus(): Promise<number> {
  const { authorization, url } = held;
  return new Promise((resolve, reject) => {
    const watching = send(`${url}/v1/requests?watch=1`, { headers: { authorization } }, (response) => {
      resolve(response.statusCode ?? 0);
      response.on('error', () => undefined);
      watching.destroy();
    });
    watching.on('error', reject).end();
  });
}

function stateIn(json: string): string {
  return (JSON.parse(json) as AccessRequest).status?.state ?? '';
}

describe('a browser', () => {
  test.each<[string, string | undefined, string | undefined, boolean]>([
    ['localhost', 'localhost:80', undefined, true],
    ['the name of --console', 'My.box:80', 'http://My.box:80', true],
    ['an IPv6 address', '[::1]:80', 'http://[::1]:80', true],
    ['no host', undefined, undefined, false],
    ['an empty host', '', undefined, false],
    ['an address with a user before it', '127.0.0.1@evil.example', undefined, false],
    ['a name that begins like an address', '127.0.0.1.evil.example', undefined, false],
    ['https in place of http', 'localhost:80', 'https://localhost:80', false],
    ['another port of this machine', 'localhost:80', 'http://localhost:81', false],
  ])('that comes by %s', (_, host, origin, isOwn) => {
    const sent = { header: (name: string) => ({ host, origin })[name] };
    expect(foreignSite(sent, 'my.box') === undefined).toBe(isOwn);
  });
});
