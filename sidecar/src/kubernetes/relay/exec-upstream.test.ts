import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { eventually, testAuthority } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acceptKey, encodeChannel, encodeFrame, OPCODE } from '../wire/index.ts';
import { frameBytes } from '../wire/websocket.test-support.ts';
import { type Governed, type Spec, startGoverned } from './governed.test-support.ts';
import { askToUpgrade, ChannelClient, webSocketHead } from './streams.test-support.ts';

const V5 = 'v5.channel.k8s.io';
const EXEC = '/api/v1/namespaces/shop/pods/web/exec?stdout=true&stderr=true&command=echo';
const SUCCESS = '{"status":"Success"}';

const head = (lines: readonly string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
const switching = ({ headers }: IncomingMessage, more: readonly string[] = [`sec-websocket-protocol: ${V5}`]): string =>
  head([
    'HTTP/1.1 101 Switching Protocols',
    'upgrade: websocket',
    'connection: Upgrade',
    `sec-websocket-accept: ${acceptKey(headers['sec-websocket-key'] ?? '') ?? ''}`,
    ...more,
  ]);
const frame = (channel: 'stdout' | 'stderr' | 'error', text: string): Buffer => {
  const { data } = encodeChannel({ kind: 'data', channel, data: [Buffer.from(text)] }, V5);
  return Buffer.concat(encodeFrame({ fin: true, opcode: OPCODE.binary, data }));
};

describe('an API server that is asked to run a command', () => {
  let server: Server;
  let governed: Governed;
  let spec: Spec;
  let looked: string[] = [];
  let answer: (request: IncomingMessage, socket: Duplex) => void;
  let asked: IncomingMessage[] = [];
  const sockets: Duplex[] = [];
  beforeAll(async () => {
    const authority = await testAuthority();
    const leaf = await authority.issue(['127.0.0.1']);
    server = createServer({ cert: leaf.certificate, key: leaf.key });
    server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
      asked.push(request);
      sockets.push(socket);
      socket.on('error', () => socket.destroy()).resume();
      answer(request, socket);
    });
    server.on('request', ({ url = '' }: IncomingMessage, response: ServerResponse) => {
      looked.push(url);
      response.writeHead(404).end('{}');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    spec = {
      upstream: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      ca: authority.ca,
      credential: { token: 'of-the-owner' },
      rules: [{ name: 'run', effect: 'Allow', kubernetes: { verbs: ['exec'], resources: ['pods/exec'], commands: ['echo **'] } }],
    };
    governed = await startGoverned(spec);
  });
  afterAll(async () => {
    await governed?.[Symbol.asyncDispose]();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const run = async (how: typeof answer, more: readonly string[] = []): Promise<ChannelClient> => {
    answer = how;
    asked = [];
    const answered = await askToUpgrade(governed, [...webSocketHead(EXEC, V5), ...more]);
    const client = new ChannelClient(answered, V5);
    await client.over();
    return client;
  };

  it('is asked whether its pod is protected only for what a rule lets through', async () => {
    const place = { hosts: ['orders-db'], port: 5432, addresses: [], upstream: { host: 'orders.shop.svc', port: 5432 } };
    await using own = await startGoverned({ ...spec, elsewhere: [place] });
    looked = [];
    const refused = async (target: string): Promise<string> => {
      const client = new ChannelClient(await askToUpgrade(own, webSocketHead(target, V5)), V5);
      await client.over();
      return client.said('error');
    };
    expect(await refused(EXEC.replace('echo', 'ls'))).toContain('NoRuleAllows');
    expect(looked).toEqual([]);
    // It tells of no such pod, which counts as protected.
    expect(await refused(EXEC)).toContain('NoRuleAllows');
    expect(looked).toEqual(['/api/v1/namespaces/shop/pods/web']);
  });

  it.each<[string, typeof answer, RegExp]>([
    [
      'another key',
      (_, socket) =>
        socket.write(
          head([
            'HTTP/1.1 101 x',
            'upgrade: websocket',
            'connection: upgrade',
            'sec-websocket-accept: x',
            `sec-websocket-protocol: ${V5}`,
          ]),
        ),
      /UpstreamViolation|was not asked for/,
    ],
    [
      'another protocol',
      (request, socket) => socket.write(switching(request, ['sec-websocket-protocol: v9'])),
      /was not asked for/,
    ],
    ['no protocol', (request, socket) => socket.write(switching(request, [])), /was not asked for/],
    [
      'an extension',
      (request, socket) => socket.write(switching(request, [`sec-websocket-protocol: ${V5}`, 'sec-websocket-extensions: x'])),
      /was not asked for/,
    ],
    [
      'SPDY',
      (_, socket) => socket.write(head(['HTTP/1.1 101 x', 'upgrade: SPDY/3.1', 'connection: upgrade'])),
      /was not asked for/,
    ],
    [
      'a redirect',
      (_, socket) => socket.end(head(['HTTP/1.1 302 Found', 'location: https://evil.example', 'content-length: 0'])),
      /answers 302/,
    ],
    [
      'a refusal of the credential',
      (_, socket) => socket.end(head(['HTTP/1.1 401 x', 'content-length: 0'])),
      /does not take the credential/,
    ],
    [
      'a refusal with more behind it',
      (_, socket) => socket.end(`${head(['HTTP/1.1 400 x', 'content-length: 2'])}{}HTTP/1.1 101 x\r\n\r\nsecret`),
      /answers 400/,
    ],
    ['nothing', (_, socket) => socket.destroy(), /connection to the upstream was lost/],
    ['no HTTP', (_, socket) => socket.end('secret secret\r\n\r\n'), /broke HTTP/],
    [
      'a frame that is masked',
      (request, socket) =>
        socket.write(
          Buffer.concat([
            Buffer.from(switching(request)),
            frameBytes({ fin: true, opcode: 2, data: Buffer.from('\u0001secret') }, Buffer.alloc(4, 1)),
          ]),
        ),
      /without saying how/,
    ],
    [
      'a frame of text',
      (request, socket) =>
        socket.write(
          Buffer.concat([Buffer.from(switching(request)), frameBytes({ fin: true, opcode: 1, data: Buffer.from('1secret') })]),
        ),
      /without saying how/,
    ],
    [
      'an end that is no Status',
      (request, socket) =>
        socket.end(
          Buffer.concat([
            Buffer.from(switching(request)),
            frame('error', 'secret'),
            frameBytes({ fin: true, opcode: 8, data: Buffer.alloc(0) }),
          ]),
        ),
      /without saying how/,
    ],
    [
      'an end that has no end',
      (request, socket) =>
        socket.write(
          Buffer.concat([
            Buffer.from(switching(request)),
            ...Array<Buffer>(3).fill(frame('error', `{"secret":"${'x'.repeat(30_000)}`)),
          ]),
        ),
      /without saying how/,
    ],
  ])('that answers with %s gives the agent nothing of it', async (_, how, expected) => {
    const before = governed.of('done').length;
    const client = await run(how);
    expect(client.said('error')).toMatch(expected);
    expect(client.said('stdout') + client.said('stderr') + client.said('error')).not.toContain('secret');
    expect(asked).toHaveLength(1);
    await eventually('its record', () => governed.of('done')[before]);
    expect(governed.of('done')[before]?.error).toBeDefined();
  });

  it('gives what a command printed before it failed to say how it ended', async () => {
    const client = await run((request, socket) => {
      socket.write(Buffer.concat([Buffer.from(switching(request)), frame('stdout', 'to ann@exam')]));
      socket.end(frame('stdout', 'ple.com'));
    });
    expect([client.said('stdout'), client.said('error').includes('without saying how')]).toEqual(['to *****', true]);
  });

  it('is shown the credential of the owner, and nothing of the agent', async () => {
    const bearer = Buffer.from('canary').toString('base64url');
    const more = [
      'authorization: Bearer canary',
      'cookie: canary=1',
      'x-remote-user: canary',
      `sec-websocket-protocol: base64url.bearer.authorization.k8s.io.${bearer}`,
    ];
    const client = await run(
      (request, socket) =>
        socket.end(Buffer.concat([Buffer.from(switching(request)), frame('stdout', 'hello'), frame('error', SUCCESS)])),
      more,
    );
    expect(client.said('stdout')).toBe('hello');
    const [{ headers, rawHeaders } = { headers: {}, rawHeaders: [] }] = asked;
    // No media type: kube-apiserver answers 406 to a port-forward that takes JSON alone.
    expect(headers.accept).toBe('*/*');
    expect([headers.authorization, headers['sec-websocket-protocol']]).toEqual([
      'Bearer of-the-owner',
      `${V5}, v4.channel.k8s.io`,
    ]);
    const all = JSON.stringify([rawHeaders, governed.records, governed.logged]);
    expect(all.includes('canary') || all.includes(bearer)).toBe(false);
    expect(JSON.stringify(governed.records)).not.toContain('of-the-owner');
  });

  it('is asked for what was judged, written anew', async () => {
    await run((request, socket) => socket.end(Buffer.concat([Buffer.from(switching(request)), frame('error', SUCCESS)])));
    expect(asked.map(({ method, url }) => [method, url])).toEqual([['GET', EXEC]]);
  });

  it('keeps no connection that nobody uses', async () => {
    await eventually('their ends', () => sockets.every(({ destroyed }) => destroyed) || undefined);
    await eventually('the ends of all sessions', () => governed.sessions.open === 0 || undefined);
  });
});
