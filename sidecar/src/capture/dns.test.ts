import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { decode, encode, streamDecode, streamEncode } from 'dns-packet';
import { assert as check, property, uint8Array } from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { indexAddresses } from './addresses.ts';
import { answerQuery, type DnsZone, searchDomains, startDns } from './dns.ts';
import { aGrantedResource } from './testdata/resource.ts';

const resources = [
  aGrantedResource('orders', 5432, [
    { host: 'orders.data.svc', ipv4: '240.240.0.5', ipv6: '2001:2::5' },
    { host: 'Orders-DB', ipv4: '240.240.0.6' },
  ]),
  aGrantedResource('bastion', 22, [{ host: 'orders.data.svc', ipv4: '240.240.0.5', ipv6: '2001:2::5' }]),
];
const zone: DnsZone = {
  index: indexAddresses({ resources }),
  search: ['agents.svc.cluster.local', 'svc.cluster.local', 'cluster.local'],
};

function ask(question: object, mods: object = {}): Buffer {
  return encode({
    type: 'query',
    id: 4711,
    flags: 0x0100,
    questions: [{ type: 'A', name: 'orders.data.svc', class: 'IN', ...question }],
    ...mods,
  });
}
function answer(message: Buffer): { rcode: string; id: number | undefined; data: unknown[]; ttl: unknown[]; options: unknown } {
  const decoded = decode(answerQuery(message, zone) ?? Buffer.alloc(0)) as unknown as ReturnType<typeof decode> & {
    rcode: string;
  };
  const answers = (decoded.answers ?? []) as { data: unknown; ttl: unknown }[];
  const [opt] = (decoded.additionals ?? []) as { options?: unknown }[];
  return {
    rcode: decoded.rcode,
    id: decoded.id,
    data: answers.map(({ data }) => data),
    ttl: answers.map(({ ttl }) => ttl),
    options: opt?.options,
  };
}

test.each<[string, { name?: string; type?: string; class?: string }, string, string[]]>([
  ['a granted name', {}, 'NOERROR', ['240.240.0.5']],
  ['its IPv6 address', { type: 'AAAA' }, 'NOERROR', ['2001:2::5']],
  ['a name in other letters', { name: 'ORDERS.data.SVC' }, 'NOERROR', ['240.240.0.5']],
  ['a name granted in other letters', { name: 'orders-db' }, 'NOERROR', ['240.240.0.6']],
  ['a name without an IPv6 address', { name: 'orders-db', type: 'AAAA' }, 'NOERROR', []],
  ['another type of a granted name', { type: 'MX' }, 'NOERROR', []],
  ['a granted name behind the first search suffix', { name: 'orders-db.agents.svc.cluster.local' }, 'NOERROR', ['240.240.0.6']],
  ['a granted name in full', { name: 'orders.data.svc.cluster.local' }, 'NOERROR', ['240.240.0.5']],
  ['a granted name behind a suffix of somebody else', { name: 'orders-db.evil.example' }, 'NXDOMAIN', []],
  ['a name below a granted one', { name: 'payload.orders-db' }, 'NXDOMAIN', []],
  ['a search suffix itself', { name: 'svc.cluster.local' }, 'NXDOMAIN', []],
  ['the root', { name: '.' }, 'NXDOMAIN', []],
  ['a name of the internet', { name: 'example.com' }, 'NXDOMAIN', []],
  ['a reverse name', { name: '5.0.240.240.in-addr.arpa', type: 'PTR' }, 'NXDOMAIN', []],
  ['a transfer', { type: 'AXFR' }, 'REFUSED', []],
  ['everything of a name', { type: 'ANY' }, 'REFUSED', []],
  ['another class', { class: 'CH' }, 'REFUSED', []],
])('%s', (_what, question, rcode, data) => {
  expect(answer(ask(question))).toMatchObject({ rcode, id: 4711, data, ttl: data.map(() => 5) });
});

test('under EDNS a name that is not granted is said to be prohibited (RFC 8914)', () => {
  const additionals = [
    { type: 'OPT', name: '.', udpPayloadSize: 1232, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] },
  ];
  const { rcode, options } = answer(ask({ name: 'example.com' }, { additionals }));
  const [option] = options as { code: number; data: Buffer }[];
  expect([rcode, option?.code, option?.data.readUInt16BE()]).toEqual(['NXDOMAIN', 15, 18]);
  expect(option?.data.subarray(2).toString()).toContain('(NotGranted)');
});

describe('messages that are no plain query', () => {
  test.each<[string, Buffer, string | undefined]>([
    ['an answer', encode({ type: 'response', id: 1, questions: [{ type: 'A', name: 'a' }] }), undefined],
    ['eleven bytes', Buffer.alloc(11), undefined],
    ['more than 1232 bytes', Buffer.concat([ask({}), Buffer.alloc(1300)]), undefined],
    ['no question', encode({ type: 'query', id: 1, questions: [] }), 'FORMERR'],
    [
      'two questions',
      encode({
        type: 'query',
        id: 1,
        questions: [
          { type: 'A', name: 'a' },
          { type: 'A', name: 'b' },
        ],
      }),
      'FORMERR',
    ],
    ['a question cut short', ask({}).subarray(0, -1), 'FORMERR'],
    [
      'a dot inside a label',
      Buffer.from(ask({ name: 'orders-db' }).toString('latin1').replace('orders-db', 'orders.db'), 'latin1'),
      'FORMERR',
    ],
    ['a compressed name', Buffer.concat([ask({}).subarray(0, 12), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])]), 'FORMERR'],
    [
      'a label of 64 bytes',
      Buffer.concat([ask({}).subarray(0, 12), Buffer.from([64]), Buffer.alloc(64, 97), Buffer.from([0, 0, 1, 0, 1])]),
      'FORMERR',
    ],
    [
      'a name of 256 bytes',
      Buffer.concat([
        ask({}).subarray(0, 12),
        ...Array.from({ length: 128 }, () => Buffer.from([1, 97])),
        Buffer.from([0, 0, 1, 0, 1]),
      ]),
      'FORMERR',
    ],
    ['another opcode', Buffer.from(ask({}).map((byte, at) => (at === 2 ? 0x28 : byte))), 'NOTIMP'],
  ])('%s', (_what, message, rcode) => {
    if (rcode === undefined) expect(answerQuery(message, zone)).toBeUndefined();
    else expect(answer(message).rcode).toBe(rcode);
  });

  test('whatever comes, it answers without throwing, and never with an address that was not asked for by name', () => {
    check(
      property(uint8Array({ maxLength: 80 }), (bytes) => {
        const reply = answerQuery(Buffer.from(bytes), zone);
        if (reply !== undefined) expect(decode(reply).answers ?? []).toEqual([]);
      }),
    );
  });
});

test('the last search line of resolv.conf counts', () => {
  expect(
    searchDomains(
      'nameserver 10.96.0.10\nsearch old.example\nsearch agents.svc.cluster.local svc.cluster.local.\noptions ndots:5\n',
    ),
  ).toEqual(['agents.svc.cluster.local', 'svc.cluster.local']);
  expect(searchDomains('nameserver 10.96.0.10\n')).toEqual([]);
});

describe('the server', () => {
  let server: Awaited<ReturnType<typeof startDns>> | undefined;
  afterEach(() => server?.stop());
  const start = async (): Promise<number> => {
    server = await startDns({ port: 0, search: zone.search, index: () => zone.index, hosts: ['127.0.0.1'] });
    return server.port;
  };

  test('answers a real resolver over UDP', async () => {
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${await start()}`]);
    expect(await resolver.resolve4('orders.data.svc')).toEqual(['240.240.0.5']);
    expect(await resolver.resolve6('orders.data.svc')).toEqual(['2001:2::5']);
    await expect(resolver.resolve4('example.com')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  test('answers over TCP, several queries on a connection, in whatever segments', async () => {
    const socket = connect(await start(), '127.0.0.1');
    const message = streamEncode({ type: 'query', id: 7, questions: [{ type: 'A', name: 'orders-db' }] });
    for (const byte of Buffer.concat([message, message])) socket.write(Buffer.from([byte]));
    let heard = Buffer.alloc(0);
    while (heard.length < 2 || heard.length < 2 * (2 + heard.readUInt16BE(0))) {
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      heard = Buffer.concat([heard, chunk]);
    }
    expect((streamDecode(heard).answers ?? []).map((one) => (one as { data: unknown }).data)).toEqual(['240.240.0.6']);
    socket.destroy();
  });

  test('closes a TCP connection that announces too much', async () => {
    const socket = connect(await start(), '127.0.0.1');
    socket.on('error', () => undefined).resume();
    socket.write(Buffer.from([255, 255]));
    await once(socket, 'close');
  });

  test('goes on after garbage over UDP', async () => {
    const port = await start();
    const socket = createSocket('udp4');
    for (const text of ['', 'x', 'x'.repeat(2_000)]) socket.send(text, port, '127.0.0.1');
    socket.send(ask({}), port, '127.0.0.1');
    const [reply] = (await once(socket, 'message')) as [Buffer];
    expect(decode(reply).id).toBe(4711);
    socket.close();
  });
});
