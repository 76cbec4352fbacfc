import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isProtectedPod } from './protected-pod.ts';
import { answering, asJson, startStandIn, type StandIn } from './stand-in.test-support.ts';
import type { Upstream } from './upstream.ts';

const POD = {
  metadata: { labels: { app: 'orders', tier: 'data' } },
  status: { podIP: '10.1.0.7', podIPs: [{ ip: '10.1.0.7' }, { ip: 'fd00::7' }] },
};
const service = (selector?: object) => ({ spec: { ...(selector && { selector }) } });
const placeOf = (host: string) => ({ upstream: { host, port: 5432 } });

let api: StandIn;
beforeAll(async () => {
  api = await startStandIn();
});
afterAll(() => api?.[Symbol.asyncDispose]());

/** As the relay has one: what is taken out of it does not work. */
class Asking implements Pick<Upstream, 'call'> {
  readonly #agent = false;

  async call({ method, target, headers }: Parameters<Upstream['call']>[0]): Promise<IncomingMessage> {
    const [host = '', port = ''] = api.address.split(':');
    const options = { host, port, ca: api.ca, method, path: target, headers, agent: this.#agent };
    const request = httpsRequest(options).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return response;
  }
}
const upstream = new Asking();
/** Has the API server know these objects and no others, by the end of their address. */
function has(objects: Readonly<Record<string, object>>): void {
  api.answers((request, response) => {
    const found = Object.entries(objects).find(([end]) => request.url?.endsWith(end));
    const how =
      found === undefined ? answering(404, { 'content-type': 'application/json' }, '{"kind":"Status"}') : asJson(found[1]);
    how(request, response);
  });
}
const judged = (...hosts: string[]): Promise<boolean> =>
  isProtectedPod(upstream, hosts.map(placeOf), { namespace: 'data', name: 'orders-0' }, new AbortController().signal);

describe('a pod', () => {
  it.each<[what: string, host: string, selector: object | undefined, expected: boolean]>([
    ['that the Service of an upstream selects', 'orders.data.svc', { app: 'orders' }, true],
    ['that it selects by all labels', 'orders.data.svc.cluster.local', { app: 'orders', tier: 'data' }, true],
    ['that is named behind its Service', 'orders-0.orders.data.svc', { app: 'orders' }, true],
    ['of other labels', 'orders.data.svc', { app: 'orders', tier: 'web' }, false],
    ['where the Service selects none', 'orders.data.svc', undefined, false],
    ['by its address', '10.1.0.7', undefined, true],
    ['by its other address', 'fd00::7', undefined, true],
    ['where another has the address', '10.1.0.8', undefined, false],
  ])('%s: %s', async (_, host, selector, expected) => {
    has({ 'pods/orders-0': POD, 'services/orders': service(selector) });
    expect(await judged(host)).toBe(expected);
  });

  it('whose namespace has no upstream is none, and nobody is asked', async () => {
    has({});
    expect(await judged('orders.shop.svc', 'db.corp', 'svc', 'data.svc')).toBe(false);
    expect(api.seen).toEqual([]);
  });

  it('is none where the Service is not there', async () => {
    has({ 'pods/orders-0': POD });
    expect(await judged('orders.data.svc')).toBe(false);
  });

  it.each([
    ['forbidden', answering(403, { 'content-type': 'application/json' }, '{"kind":"Status"}')],
    ['no JSON', answering(200, { 'content-type': 'application/json' }, 'busy')],
    ['no object', asJson([])],
    ['too long', asJson({ a: 'x'.repeat(3 * 1024 * 1024) })],
    ['nothing', (request: IncomingMessage) => request.socket.destroy()],
    ['no such pod', answering(404, { 'content-type': 'application/json' }, '{}')],
  ])('counts as one where the API server answers %s', async (_, how) => {
    api.answers(how);
    expect(await judged('orders.data.svc')).toBe(true);
  });
});
