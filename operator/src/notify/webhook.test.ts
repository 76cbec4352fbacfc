import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { eventually } from '@chaperone/kube/fake-api-server';
import { testAuthority } from '@chaperone/testing';
import { Webhook as Receiver } from 'standardwebhooks';
import { afterEach, describe, expect, test } from 'vitest';
import { createAddressGuard } from './guard.ts';
import { newsOf, Told } from './news.ts';
import { anAccessRequest, became, requestName } from './request.test-support.ts';
import { parseWebhookSecrets, signedHeaders } from './standard-webhooks.ts';
import { MAX_WAITING, type Outcome, Webhook, type WebhookOptions } from './webhook.ts';

const SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
const NEXT = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;
const ids = (index: number): string => newsOf(anAccessRequest({ name: requestName(index) }), Date.now()).id;

describe('the signature', () => {
  test('is that of the specification’s own example', () => {
    const secrets = parseWebhookSecrets('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
    const parts = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', timestamp: 1_614_265_330, body: '{"test": 2432232314}' };
    expect(signedHeaders(parts, secrets)).toEqual({
      'webhook-id': parts.id,
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });

  test('is there for each secret while one is replaced, and whoever has either verifies', () => {
    const timestamp = Math.floor(Date.now() / 1000);
    const headers = signedHeaders({ id: 'msg_1', timestamp, body: '{"a":1}' }, parseWebhookSecrets(`${NEXT}\n${SECRET}\n`));
    expect(new Receiver(SECRET).verify('{"a":1}', headers)).toEqual({ a: 1 });
    expect(new Receiver(NEXT).verify('{"a":1}', headers)).toEqual({ a: 1 });
    expect(() => new Receiver(`whsec_${Buffer.alloc(24, 8).toString('base64')}`).verify('{"a":1}', headers)).toThrow('signature');
    expect(() => new Receiver(SECRET).verify('{"a":2}', headers)).toThrow('signature');
  });

  test.each([
    ['nothing', ''],
    ['no prefix', SECRET.slice(6)],
    ['too short', 'whsec_c2hvcnQ='],
    ['too long', `whsec_${Buffer.alloc(65).toString('base64')}`],
    ['no base64', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_'],
    ['five of them', Array(5).fill(SECRET).join('\n')],
  ])('a secret that is %s is refused, and not shown', (_name, text) => {
    expect(() => parseWebhookSecrets(text)).toThrow(expect.objectContaining({ code: 'SecretInvalid' }));
    expect(() => parseWebhookSecrets(text)).not.toThrow(/MfKQ|BwcH/);
  });
});

describe('addresses', () => {
  const mayDial = createAddressGuard({ forbidden: ['10.96.0.1', '192.168.7.0/24', 'fd12::/64'] });
  test.each(['93.184.216.34', '10.2.3.4', '172.16.0.1', '2606:2800:220:1::1', 'fd13::1', '64:ff9b::5db8:d822'])(
    '%s may be dialled',
    (address) => expect(mayDial(address)).toBe(true),
  );
  test.each([
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '169.254.169.254',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::7f00:1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '64:ff9b::a9fe:a9fe',
    '2002:7f00:1::',
    'fe80::1',
    'fe80::1%eth0',
    'fd00:ec2::254',
    '10.96.0.1',
    '::ffff:10.96.0.1',
    '192.168.7.9',
    'fd12::5',
    'localhost',
    '',
  ])('%s may not', (address) => expect(mayDial(address)).toBe(false));
});

interface Got {
  readonly headers: Record<string, string>;
  readonly body: string;
}
type Answer = (response: ServerResponse, got: Got, count: number) => void;
const ok: Answer = (response) => void response.writeHead(204).end();

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function aReceiver(answer: Answer, tls = false) {
  const got: Got[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      got.push({ headers: request.headers as Record<string, string>, body: Buffer.concat(parts).toString() });
      answer(response, got.at(-1) as Got, got.length);
    });
  };
  const authority = tls ? await testAuthority() : undefined;
  const issued = await authority?.issue(['127.0.0.1']);
  const server =
    issued === undefined ? createHttp(listener) : createHttps({ cert: issued.certificate, key: issued.key }, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return { got, url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}/hook`, ca: authority?.ca };
}

function aWebhook(url: string, mods: Partial<WebhookOptions> = {}) {
  const outcomes: Outcome[] = [];
  const errors: unknown[] = [];
  const webhook = new Webhook({
    url,
    secret: () => Promise.resolve(SECRET),
    mayDial: createAddressGuard({ allowLoopback: true }),
    retryMs: [20, 20, 20, 20],
    onOutcome: (outcome) => outcomes.push(outcome),
    onError: (error) => errors.push(error),
    ...mods,
  });
  closing.push(() => webhook.stop());
  return { webhook, outcomes, errors };
}

describe('delivery', () => {
  test('is what another’s library verifies, over TLS, and holds no statement and no value', async () => {
    const { got, url, ca } = await aReceiver(ok, true);
    const { webhook, outcomes } = aWebhook(url, { ca });
    const request = anAccessRequest({ spec: { sentence: 'UPDATE on public.\u202eevil\u200b' } });
    webhook.send(newsOf(request, Date.now()));
    await eventually(() => expect(outcomes).toEqual(['sent']));
    const [{ headers, body } = { headers: {}, body: '' }] = got;
    const event = new Receiver(SECRET).verify(body, headers) as Record<string, unknown>;
    expect(event).toEqual({
      type: 'request.created',
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      data: {
        namespace: 'agents',
        name: request.metadata.name,
        uid: request.metadata.uid,
        state: 'Pending',
        sentence: 'UPDATE on public.\\u{202e}evil\\u{200b}',
        resource: 'data/orders-db',
        agent: 'agents/support-agent',
        expiresAt: request.spec.expiresAt,
        digest: '9c1f-44ab',
        votes: '0/1',
      },
    });
    expect(headers['content-type']).toBe('application/json');
    expect(body).not.toContain('CANARY');
  });

  test('does not trust a certificate of nobody it knows', async () => {
    const { got, url } = await aReceiver(ok, true);
    const { webhook, outcomes, errors } = aWebhook(url, { retryMs: [] });
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['failed']));
    expect(got).toEqual([]);
    expect(errors).toEqual([expect.objectContaining({ code: 'Unreachable' })]);
  });

  test('is tried five times under one id, each signed at its own time, then given up', async () => {
    let ahead = 0;
    const { got, url } = await aReceiver((response) => {
      ahead += 1_000;
      response.writeHead(500).end();
    });
    const { webhook, outcomes, errors } = aWebhook(url, { now: () => Date.now() + ahead });
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['failed']));
    expect(got).toHaveLength(5);
    expect(new Set(got.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(got.map(({ headers }) => headers['webhook-timestamp'])).size).toBe(5);
    expect(errors).toEqual([expect.objectContaining({ code: 'Refused', message: expect.stringMatching(/^127.*answered 500$/) })]);
  });

  test('succeeds at a later try, with the secret that stands there then', async () => {
    const { got, url } = await aReceiver((response, _got, count) => void response.writeHead(count < 3 ? 503 : 200).end());
    let tries = 0;
    const { webhook, outcomes } = aWebhook(url, { secret: () => Promise.resolve((tries += 1) < 3 ? SECRET : NEXT) });
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['sent']));
    const { headers, body } = got[2] as Got;
    expect(new Receiver(NEXT).verify(body, headers)).toEqual(JSON.parse(body));
  });

  test('ends when the request does: nobody is called to what expired', async () => {
    const { got, url } = await aReceiver((response) => void response.writeHead(500).end());
    const { webhook, outcomes } = aWebhook(url, { retryMs: [20, 60_000, 20, 20] });
    webhook.send(newsOf(anAccessRequest({ spec: { expiresAt: new Date(Date.now() + 30_000).toISOString() } }), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['failed']));
    expect(got).toHaveLength(2);
  });

  test('waits as long as it is asked to', async () => {
    const at: number[] = [];
    const { url } = await aReceiver((response, _got, count) => {
      at.push(Date.now());
      response.writeHead(count === 1 ? 429 : 200, count === 1 ? { 'retry-after': '1' } : {}).end();
    });
    const { webhook, outcomes } = aWebhook(url);
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['sent']));
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(990);
  });

  test('ends for good with 410', async () => {
    const { got, url } = await aReceiver((response) => void response.writeHead(410).end());
    const { webhook, outcomes } = aWebhook(url);
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['failed']));
    webhook.send(newsOf(anAccessRequest({ name: requestName(1) }), Date.now()));
    expect(outcomes).toEqual(['failed', 'dropped']);
    expect(got).toHaveLength(1);
  });

  test('follows no redirect', async () => {
    const elsewhere = await aReceiver(ok);
    const { url } = await aReceiver((response) => void response.writeHead(307, { location: elsewhere.url }).end());
    const { webhook, outcomes } = aWebhook(url, { retryMs: [] });
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['failed']));
    expect(elsewhere.got).toEqual([]);
  });

  test('reads of a long answer 64 KiB, and hangs up', async () => {
    let written = 0;
    const { url } = await aReceiver((response) => {
      response.writeHead(200);
      const more = (): void => {
        if (response.destroyed) return;
        written += 16_384;
        response.write(Buffer.alloc(16_384), () => setImmediate(more));
      };
      more();
    });
    const { webhook, outcomes } = aWebhook(url);
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['sent']));
    const then = written;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(written - then).toBeLessThan(1 << 22);
  });

  test('gives a receiver that never answers 5 seconds', async () => {
    const { url } = await aReceiver(() => undefined);
    const { webhook, outcomes, errors } = aWebhook(url, { retryMs: [] });
    const begun = Date.now();
    webhook.send(newsOf(anAccessRequest(), begun));
    await eventually(() => expect(outcomes).toEqual(['failed']));
    expect(Date.now() - begun).toBeGreaterThan(4_900);
    expect(errors).toEqual([expect.objectContaining({ code: 'Unreachable' })]);
  });

  test.each([
    ['an address of this machine', 'https://127.0.0.1:9/'],
    ['the metadata service', 'https://169.254.169.254/latest/'],
    ['a name that leads to this machine', 'https://localhost:9/'],
    ['an unencrypted address', 'http://93.184.216.34/'],
  ])('goes in a cluster never to %s', async (_name, url) => {
    const { webhook, outcomes, errors } = aWebhook(url, { mayDial: createAddressGuard(), retryMs: [] });
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['failed']));
    expect(errors).toEqual([expect.objectContaining({ code: 'AddressForbidden' })]);
  });

  test('is not tried without a secret, and says so without the path of the address', async () => {
    const { got, url } = await aReceiver(ok);
    const { webhook, outcomes, errors } = aWebhook(url, { secret: () => Promise.resolve(' \n'), retryMs: [] });
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['failed']));
    expect(errors).toEqual([expect.objectContaining({ code: 'SecretInvalid' })]);
    expect(got).toEqual([]);
  });

  test('of 1000 that wait the oldest is given up, and counted', async () => {
    const { got, url } = await aReceiver((response, _got, count) => void response.writeHead(count === 1 ? 500 : 200).end());
    const { webhook, outcomes, errors } = aWebhook(url, { retryMs: [3_600] });
    webhook.send(newsOf(anAccessRequest({ name: requestName(0) }), Date.now()));
    await eventually(() => expect(got).toHaveLength(1));
    await eventually(() => expect(webhook.size).toBe(1));
    for (let index = 1; index <= MAX_WAITING + 4; index += 1)
      webhook.send(newsOf(anAccessRequest({ name: requestName(index) }), Date.now()));
    expect(outcomes).toEqual(['dropped']);
    expect(errors).toEqual([expect.objectContaining({ code: 'Dropped' })]);
    await eventually(() => expect(outcomes.filter((outcome) => outcome === 'sent')).toHaveLength(MAX_WAITING + 4));
    expect(got.filter(({ headers }) => headers['webhook-id'] === ids(0))).toHaveLength(1);
  });

  test('calls nobody to what was decided meanwhile', async () => {
    const { got, url } = await aReceiver((response, _got, count) => void response.writeHead(count === 1 ? 500 : 200).end());
    const { webhook, outcomes } = aWebhook(url, { retryMs: [200, 200, 200, 200] });
    const request = anAccessRequest();
    webhook.send(newsOf(request, Date.now()));
    await eventually(() => expect(got).toHaveLength(1));
    await eventually(() => expect(webhook.size).toBe(1));
    webhook.send(newsOf(became(request, 'Denied'), Date.now()));
    await eventually(() => expect(outcomes).toEqual(['dropped', 'sent']));
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(got.map(({ body }) => (JSON.parse(body) as { type: string }).type)).toEqual(['request.created', 'request.decided']);
  });

  test('ends at once when it is stopped', async () => {
    const { got, url } = await aReceiver(() => undefined);
    const { webhook } = aWebhook(url);
    webhook.send(newsOf(anAccessRequest(), Date.now()));
    await eventually(() => expect(got).toHaveLength(1));
    const begun = Date.now();
    await webhook.stop();
    // The receiver would have five seconds.
    expect(Date.now() - begun).toBeLessThan(4_500);
    expect(webhook.size).toBe(0);
  });
});

describe('what is news', () => {
  test.each([
    ['Pending', 'request.created'],
    ['Approved', 'request.decided'],
    ['Denied', 'request.decided'],
    ['Released', 'request.decided'],
    ['Expired', 'request.expired'],
    ['Withdrawn', 'request.expired'],
    ['Voided', 'request.expired'],
  ] as const)('%s is %s', (state, type) => {
    expect(newsOf(became(anAccessRequest(), state), Date.now()).type).toBe(type);
  });

  test('is told once, and again under the same id by another leader', () => {
    const told = new Told(Date.now());
    const request = anAccessRequest();
    const states = ['Pending', 'Pending', 'Approved', 'Released', 'Ran'] as const;
    expect(states.map((state) => told.take(became(request, state)))).toEqual([true, false, true, false, false]);
    expect(new Told(Date.now()).take(request)).toBe(true);
    expect(newsOf(request, 1).id).toBe(newsOf(request, 2).id);
    expect(newsOf(request, 1).id).not.toBe(newsOf(became(request, 'Denied'), 1).id);
  });

  test('is not what ended before anybody led', () => {
    const old = became(anAccessRequest(), 'Denied', { decidedAt: new Date(Date.now() - 120_000).toISOString() });
    expect(new Told(Date.now()).take(old)).toBe(false);
    expect(new Told(Date.now()).take(became(anAccessRequest(), 'Denied'))).toBe(true);
  });
});
