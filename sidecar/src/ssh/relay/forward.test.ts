import { describe, expect, it } from 'vitest';
import { addressOf } from './forward.ts';

const address = (host: string): string | undefined => addressOf({ host, port: 443 });

describe('where an agent wants to be led', () => {
  it.each([
    ['db.internal', 'db.internal:443'],
    ['DB.internal.', 'db.internal:443'],
    ['10.0.4.17', '10.0.4.17:443'],
    ['2001:db8::5', '[2001:db8::5]:443'],
    ['2001:DB8:0::5', '[2001:db8::5]:443'],
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
    '0:0:0:0:0:ffff:0a00:0411',
    'fe80::1%eth0',
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
