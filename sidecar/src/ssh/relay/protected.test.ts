import type { Whereabouts } from '@chaperone/policy';
import { expect, it } from 'vitest';
import { isProtected } from './protected.ts';

const resource = (host: string, port: number, more: Partial<Whereabouts> = {}): Whereabouts => ({
  hosts: [],
  port: 1,
  addresses: [],
  upstream: { host, port },
  ...more,
});
const resources = [
  resource('10.0.4.17', 22, {
    hosts: ['web-1', 'web-1.corp'],
    port: 2222,
    addresses: [{ host: 'web-1', ipv4: '198.18.0.5', ipv6: 'fd00::5' }],
  }),
  resource('db.corp', 5432),
  resource('2001:db8::7', 443),
];
const names: Readonly<Record<string, readonly string[]>> = {
  'db.corp': ['10.0.4.20'],
  'alias.corp': ['10.0.4.30', '10.0.4.20'],
  'other.corp': ['10.0.4.30'],
};
const resolve = (name: string): Promise<readonly string[]> =>
  names[name] === undefined ? Promise.reject(new Error('there is none')) : Promise.resolve(names[name]);

it.each<[string, string, number, boolean]>([
  ['the upstream by its address', '10.0.4.17', 22, true],
  ['another port of it', '10.0.4.17', 80, false],
  ['the upstream by its name', 'db.corp', 5432, true],
  ['the upstream by its name in full and other letters', 'DB.corp.', 5432, true],
  ['the upstream by the address of its name', '10.0.4.20', 5432, true],
  ['the upstream by another name', 'alias.corp', 5432, true],
  ['another port by another name', 'alias.corp', 80, false],
  ['a name of something else', 'other.corp', 5432, false],
  ['a name that nobody here knows', 'only-there', 5432, false],
  ['the name that agents use', 'web-1.corp', 2222, true],
  ['the address that agents use', '198.18.0.5', 2222, true],
  ['the address that agents use, of IPv6', 'FD00:0::5', 2222, true],
  ['an address of IPv6 in another form', '2001:db8:0:0::7', 443, true],
  ['the host itself, as it calls itself', 'localhost', 22, true],
  ['the host itself, by an address of its own', '127.3.2.1', 22, true],
  ['the host itself, by an address of its own, of IPv6', '::1', 22, true],
  ['the host itself, by no address', '0.0.0.0', 22, true],
  ['another port of the host itself', 'localhost', 8080, false],
])('%s is protected from 10.0.4.17, or not', async (_, host, port, expected) => {
  expect(await isProtected({ host, port }, { resources, here: '10.0.4.17' }, resolve)).toBe(expected);
});

it('what is on the same host is protected there by names of its own', async () => {
  const same = [resource('10.0.4.17', 22), resource('10.0.4.17', 5432)];
  const asked = { host: 'localhost', port: 5432 };
  expect(await isProtected(asked, { resources: same, here: '10.0.4.17' }, resolve)).toBe(true);
  expect(await isProtected(asked, { resources: same, here: '10.0.4.18' }, resolve)).toBe(false);
});

it('where proxy and host are one machine its own names are all one', async () => {
  expect(
    await isProtected(
      { host: 'localhost', port: 5432 },
      { resources: [resource('127.0.0.1', 5432)], here: 'localhost' },
      resolve,
    ),
  ).toBe(true);
});
