import { isIPv6 } from 'node:net';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AddressBook } from './address-book.ts';
import { parseIpv4Range, parseIpv6Range, writeIpv6 } from './ip.ts';

const RANGES = { ipv4: '240.240.0.0/24', ipv6: '2001:2::/48' };
const MINUTE = 60_000;

describe('the address book', () => {
  test('gives a name the same address again, after a restart too', () => {
    const first = new AddressBook(RANGES);
    const given = first.allocate('orders-db', 0);
    expect(given?.ipv4).toMatch(/^240\.240\.0\.\d+$/);
    expect(given?.ipv6).toMatch(/^2001:2::/);
    expect(first.allocate('orders-db', 1)).toEqual(given);
    expect(new AddressBook(RANGES).allocate('orders-db', 2)).toEqual(given);
  });

  test('a restored address is kept even where the name alone would lead elsewhere', () => {
    const book = new AddressBook(RANGES);
    expect(book.restore({ host: 'a', ipv4: '240.240.0.7' })).toBe(true);
    expect(book.allocate('a', 0)?.ipv4).toBe('240.240.0.7');
    expect(book.allocate('a', 0)?.ipv6).toBe('2001:2::7');
  });

  test.each([
    ['another name has it', '240.240.0.7'],
    ['it is the network address', '240.240.0.0'],
    ['it is the broadcast address', '240.240.0.255'],
    ['it is outside the range', '240.241.0.7'],
    ['it is no address', 'x'],
  ])('does not restore an address when %s', (_name, ipv4) => {
    const book = new AddressBook(RANGES);
    book.restore({ host: 'a', ipv4: '240.240.0.7' });
    expect(book.restore({ host: 'b', ipv4 })).toBe(false);
  });

  test('a released address rests for ten minutes, except for its own name', () => {
    const book = new AddressBook({ ipv4: '240.240.0.0/30', ipv6: '2001:2::/48' });
    const a = book.allocate('a', 0);
    book.allocate('b', 0);
    expect(book.allocate('c', 0)).toBeUndefined();
    book.retain(new Set(['b']), 0);
    expect(book.allocate('c', 10 * MINUTE - 1)).toBeUndefined();
    expect(book.allocate('a', 10 * MINUTE - 1)).toEqual(a);
    book.release('a', 10 * MINUTE);
    expect(book.allocate('c', 20 * MINUTE)?.ipv4).toBe(a?.ipv4);
  });

  test('uses the whole range and then says no', () => {
    const book = new AddressBook(RANGES);
    const given = new Set(Array.from({ length: 254 }, (_, index) => book.allocate(`h${index}`, 0)?.ipv4));
    expect(given.size).toBe(254);
    expect(given.has(undefined)).toBe(false);
    expect(book.allocate('one-more', 0)).toBeUndefined();
    expect(book.used).toBe(254);
  });

  test('never gives one address to two names, whatever happens', () => {
    const step = fc.record({
      host: fc.integer({ min: 0, max: 12 }),
      kind: fc.constantFrom('allocate', 'release', 'restore'),
      slot: fc.integer({ min: 0, max: 15 }),
      after: fc.integer({ min: 0, max: 8 * MINUTE }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const book = new AddressBook({ ipv4: '240.240.0.0/29', ipv6: '2001:2::/48' });
        let now = 0;
        const hosts = new Set<string>();
        for (const { host, kind, slot, after } of steps) {
          now += after;
          const name = `h${host}`;
          hosts.add(name);
          if (kind === 'allocate') book.allocate(name, now);
          else if (kind === 'release') book.release(name, now);
          else book.restore({ host: name, ipv4: `240.240.0.${slot}` });
          const held = [...hosts].flatMap((each) => book.lookup(each)?.ipv4 ?? []);
          expect(new Set(held).size).toBe(held.length);
        }
      }),
    );
  });
});

test.each(['240.240.0.1/24', '240.240.0.0/31', '240.240.0.0/7', '240.240.0.0', 'x/24', '::/24'])(
  '%s is no IPv4 range',
  (cidr) => {
    expect(() => parseIpv4Range(cidr)).toThrow(RangeError);
  },
);
test.each(['2001:2::1/48', '2001:2::/129', '2001:2::/120', '::ffff:1.2.3.4/96', 'fe80::1%eth0/64'])(
  '%s is no IPv6 range',
  (cidr) => {
    expect(() => parseIpv6Range(cidr, 65_536n)).toThrow(RangeError);
  },
);
test('what is written as IPv6 reads back as the same number', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), (address) => {
      const text = writeIpv6(address);
      expect(isIPv6(text)).toBe(true);
      expect(parseIpv6Range(`${text}/128`, 1n).base).toBe(address);
    }),
  );
});
