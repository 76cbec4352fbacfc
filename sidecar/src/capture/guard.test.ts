import { assert as check, ipV4, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { permittedAddresses } from './dial.ts';
import { canonicalAddress, createGuard, type GuardOptions, sameAddress } from './guard.ts';

const cluster: GuardOptions = {
  allowLoopback: false,
  forbidden: ['10.96.0.1', '192.168.7.20', '10.244.3.0/24', 'fd12::7'],
  virtual: ['240.240.0.0/16', '2001:2::/48'],
};
const embedded: GuardOptions = { ...cluster, allowLoopback: true };

describe('in a cluster', () => {
  test.each([
    ['loopback', '127.0.0.1'],
    ['all of 127/8', '127.8.9.10'],
    ['loopback, IPv6', '::1'],
    ['loopback, written out', '0:0:0:0:0:0:0:1'],
    ['loopback, mapped', '::ffff:127.0.0.1'],
    ['loopback, mapped, in hex', '::ffff:7f00:1'],
    ['loopback, compatible', '::127.0.0.1'],
    ['loopback, through NAT64', '64:ff9b::127.0.0.1'],
    ['loopback, through 6to4', '2002:7f00:1::'],
    ['unspecified', '0.0.0.0'],
    ['this network', '0.1.2.3'],
    ['unspecified, IPv6', '::'],
    ['cloud metadata', '169.254.169.254'],
    ['cloud metadata, mapped', '::ffff:169.254.169.254'],
    ['cloud metadata, IPv6', 'fd00:ec2::254'],
    ['link-local, IPv6', 'fe80::1'],
    ['link-local with a zone', 'fe80::1%eth0'],
    ['multicast', '224.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['multicast, IPv6', 'ff02::1'],
    ['the API server', '10.96.0.1'],
    ['the node', '192.168.7.20'],
    ['the node, mapped', '::ffff:192.168.7.20'],
    ["one of Chaperone's own ranges", '10.244.3.200'],
    ['the node, IPv6', 'fd12::7'],
    ['a virtual address', '240.240.1.2'],
    ['a virtual address, IPv6', '2001:2::5'],
    ['a name', 'localhost'],
    ['nothing', ''],
    ['a number that is an address to inet_aton', '2130706433'],
    ['an octal address', '0177.0.0.1'],
  ])('57 %s is never dialled', (_what, address) => {
    expect(createGuard(cluster).refuse(address)).toMatchObject({ code: 'UpstreamForbidden' });
  });

  test.each([
    ['a pod', '10.244.4.7'],
    ['a service', '10.96.0.2'],
    ['a public address', '203.0.113.9'],
    ['a public address, mapped', '::ffff:203.0.113.9'],
    ['a public address, IPv6', '2606:4700::1111'],
    ['a neighbour of the node', '192.168.7.21'],
  ])('%s may be dialled', (_what, address) => {
    expect(createGuard(cluster).refuse(address)).toBeUndefined();
  });
});

test('embedded mode dials the machine it runs on, and still no metadata service', () => {
  const guard = createGuard(embedded);
  expect(guard.refuse('127.0.0.1')).toBeUndefined();
  expect(guard.refuse('::1')).toBeUndefined();
  expect(guard.refuse('::ffff:127.0.0.1')).toBeUndefined();
  expect(guard.refuse('169.254.169.254')).toBeDefined();
  expect(guard.refuse('240.240.0.9')).toBeDefined();
});

test('a refusal does not say which address it was', () => {
  expect(createGuard(cluster).refuse('169.254.169.254')?.reason).not.toContain('169');
});

test('a range that cannot be read is an error, not an empty list', () => {
  expect(() => createGuard({ ...cluster, forbidden: ['10.0.0.0/64'] })).toThrow(/neither an address nor a range/);
  expect(() => createGuard({ ...cluster, virtual: ['somewhere'] })).toThrow();
});

test('an IPv4 address is judged alike in every form that carries it', () => {
  const guard = createGuard(cluster);
  check(
    property(ipV4(), (address) => {
      const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
      const high = ((a << 8) | b).toString(16);
      const low = ((c << 8) | d).toString(16);
      const wanted = guard.refuse(address) !== undefined;
      for (const form of [`::ffff:${address}`, `::ffff:${high}:${low}`, `64:ff9b::${high}:${low}`, `2002:${high}:${low}::1`])
        expect(guard.refuse(form) !== undefined, form).toBe(wanted);
      expect(canonicalAddress(`::ffff:${address}`)).toBe(address);
    }),
  );
});

test('one address written in several ways is the same address', () => {
  expect(sameAddress('2001:2::5', '2001:0002:0:0:0:0:0:5')).toBe(true);
  expect(sameAddress('::ffff:10.0.0.1', '10.0.0.1')).toBe(true);
  expect(sameAddress('10.0.0.1', '10.0.0.2')).toBe(false);
});

const absolute = (host: string, search = ['agents.svc.corp.example', 'svc.corp.example', 'corp.example']): string | undefined =>
  createGuard({ ...cluster, search }).absolute?.(host);

describe('what is looked up for a name', () => {
  test.each([
    ['a Service', 'orders.data.svc', 'orders.data.svc.corp.example.'],
    ['a Service in capitals', 'Orders.Data.SVC', 'Orders.Data.SVC.corp.example.'],
    ['a Service with the cluster’s domain', 'orders.data.svc.corp.example', 'orders.data.svc.corp.example.'],
    ['another name', 'db.corp', 'db.corp.'],
    ['one word', 'orders', 'orders.'],
    ['a name that ends itself', 'db.corp.', 'db.corp.'],
    ['an address', '192.0.2.7', '192.0.2.7'],
    ['an address, IPv6', '2001:db8::7', '2001:db8::7'],
  ])('56 %s stands for itself, whatever the pod and its namespace are called', (_what, host, name) => {
    expect(absolute(host)).toBe(name);
  });

  test('is nothing of the cluster’s where its domain is not known', () => {
    expect(absolute('orders.data.svc', [])).toBe('orders.data.svc.');
  });

  test('is what the system makes of it outside a cluster', () => {
    expect(Object.keys(createGuard(embedded))).toEqual(['refuse']);
  });

  test('is what is dialled', async () => {
    const asked: string[] = [];
    const resolve = (host: string): Promise<string[]> => {
      asked.push(host);
      return Promise.resolve(['203.0.113.9']);
    };
    const guard = createGuard({ ...cluster, search: [] });
    await expect(permittedAddresses({ host: 'db.corp', port: 1, guard, resolve })).resolves.toEqual(['203.0.113.9']);
    expect(asked).toEqual(['db.corp.']);
  });
});
