import type { GrantedResource } from '@chaperone/policy';
import { describe, expect, it } from 'vitest';
import { addressOf, isProtected } from './forward.ts';

const address = (host: string): string | undefined => addressOf({ host, port: 443 });

describe('where an agent wants to be led', () => {
  it.each([
    ['db.internal', 'db.internal:443'],
    ['DB.internal.', 'db.internal:443'],
    ['10.0.4.17', '10.0.4.17:443'],
    ['2001:db8::5', '[2001:db8::5]:443'],
    ['x_1-a', 'x_1-a:443'],
  ])('is %s as rules name it', (host, named) => {
    expect(address(host)).toBe(named);
  });

  it.each([
    '127.0.0.1 .corp',
    '2130706433',
    '0x7f.1',
    '127.1',
    '10.0.4.017',
    '::ffff:10.0.4.17',
    '',
    '.',
    'a..b',
    'é.corp',
    'a/b',
    '[::1]',
    'corp:22',
  ])('is nowhere where it can be read in two ways: %j', (host) => {
    expect(address(host)).toBeUndefined();
  });
});

describe('a resource that is granted', () => {
  const resources = [
    { hosts: ['orders-db'], port: 5432, upstream: { host: 'db.corp', port: 6432 } },
    { hosts: ['web-1', 'web.corp'], port: 22, upstream: { host: '10.0.4.17', port: 2222 } },
  ] as unknown as GrantedResource[];

  it.each<[string, number, boolean]>([
    ['db.corp', 6432, true],
    ['DB.corp.', 6432, true],
    ['10.0.4.17', 2222, true],
    ['orders-db', 5432, true],
    ['web.corp', 22, true],
    ['db.corp', 5432, false],
    ['web-1', 2222, false],
    ['other.corp', 22, false],
  ])('is led to by no forward: %s:%i %s', (host, port, expected) => {
    expect(isProtected(resources, host, port)).toBe(expected);
  });
});
