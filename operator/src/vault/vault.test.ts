import { ProtectedResource } from '@chaperone/api';
import { CREDENTIAL_KEYS } from '@chaperone/policy';
import { eventually } from '@chaperone/kube/fake-api-server';
import { testAuthority } from '@chaperone/testing';
import { writeFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VaultClient } from './client.ts';
import { refusedPath, VaultConfig } from './config.ts';
import { VaultSource } from './source.ts';
import { certifyVault, type Fault, type FakeVault, JWT, reply, startFakeVault, TestClock } from './vault.test-support.ts';

const CREDS = 'database/creds/orders-agent';
const KV = 'secret/data/orders';
const MINUTE = 60_000;

const certified = certifyVault();
let clock: TestClock;
let vault: FakeVault;
let source: VaultSource;
let changes = 0;
let errors: unknown[] = [];
beforeEach(async () => {
  clock = new TestClock();
  vault = await startFakeVault(clock, certified);
  [changes, errors] = [0, []];
  source = follow();
});
afterEach(async () => {
  await source.close();
  await vault[Symbol.asyncDispose]();
});

function follow(config: VaultConfig = vault.config, timeoutMs?: number): VaultSource {
  return new VaultSource({
    client: new VaultClient(config, { timeoutMs }),
    clock,
    random: () => 0.5,
    onChange: () => (changes += 1),
    onError: (error) => errors.push(error),
  });
}
const want = (...paths: string[]): void => source.want(new Set(paths));
const login = (path: string): Record<string, string> | undefined => {
  const { view } = source.get(path);
  return (
    view &&
    Object.fromEntries(CREDENTIAL_KEYS.flatMap((key) => (view.text(key) === undefined ? [] : [[key, view.text(key) ?? '']])))
  );
};
const told = (path: string): string => {
  const { problem } = source.get(path);
  return `${problem?.code}: ${problem?.message}`;
};
/** Goes on step by step, and waits after each until what was due has been done. */
async function pass(ms: number): Promise<void> {
  let left = ms;
  while (left > 0) {
    await settled();
    const step = Math.min(left, Math.max(clock.dueIn, 1));
    clock.advance(step);
    left -= step;
  }
  await settled();
}
/** Everybody sleeps: the keeper of the token, and one task per path. */
let sleepers = 2;
async function settled(): Promise<void> {
  const until = performance.now() + 5_000;
  while (clock.sleeping < sleepers) {
    if (performance.now() > until) throw new Error(`${clock.sleeping} of ${sleepers} sleep`);
    await setImmediate();
  }
}
beforeEach(() => {
  sleepers = 2;
});
const only = <T>(things: Iterable<T>): T => {
  const all = [...things];
  expect(all).toHaveLength(1);
  return all[0] as T;
};

describe('what a path of Vault may be used for', () => {
  const paths = [
    { path: 'database/creds/orders-*', namespaces: ['data'], upstreams: ['orders.data.svc:5432', 'copy.data.svc:5432'] },
    { path: 'secret/data/shop/**', namespaces: ['shop', 'data'], upstreams: ['shop.shop.svc:5432'] },
    { path: '**', namespaces: ['root'], upstreams: ['orders.data.svc:5432'] },
  ];
  const config = VaultConfig.parse({ address: 'https://vault.corp:8200', tokenFile: 't', auth: { role: 'r' }, paths });
  const refused = (
    path: string,
    { namespace = 'data', address = 'orders.data.svc:5432', known = true } = {},
  ): string | undefined => {
    const spec = { protocol: 'tcp', hosts: ['orders.data.svc'], port: 5432, upstream: { address } };
    const metadata = { name: 'orders-db', namespace };
    const resource = ProtectedResource.parse({ apiVersion: 'chaperone.dev/v1alpha1', kind: 'ProtectedResource', metadata, spec });
    return refusedPath(known ? config : undefined, resource, path)?.code;
  };
  test.each<[string, ReturnType<typeof refused>, string | undefined]>([
    ['its namespace, its path, its upstream', refused(CREDS), undefined],
    ['another upstream of the same entry', refused(CREDS, { address: 'copy.data.svc:5432' }), undefined],
    ['an upstream of another entry', refused(CREDS, { address: 'shop.shop.svc:5432' }), 'NotBoundToUpstream'],
    ['an upstream of nobody', refused(CREDS, { address: 'evil:5432' }), 'NotBoundToUpstream'],
    ['another port', refused(CREDS, { address: 'orders.data.svc:5433' }), 'NotBoundToUpstream'],
    ['another namespace', refused(CREDS, { namespace: 'shop' }), 'VaultPathNotPermitted'],
    ['a path that only begins alike', refused('database/creds/orders-agent/x'), 'VaultPathNotPermitted'],
    ['a path that differs by case', refused('database/creds/Orders-agent'), 'VaultPathNotPermitted'],
    ['whatever lies below two stars', refused('secret/data/shop/a/b', { address: 'shop.shop.svc:5432' }), undefined],
    ['Vault’s own rooms, whoever may use all', refused('auth/token/lookup-self', { namespace: 'root' }), 'VaultPathNotPermitted'],
    ['the same in capitals', refused('SYS/leases/lookup', { namespace: 'root' }), 'VaultPathNotPermitted'],
    ['all else, for whoever may use all', refused(CREDS, { namespace: 'root' }), undefined],
    ['anything, where there is no Vault', refused(CREDS, { known: false }), 'VaultPathNotPermitted'],
  ])('%s', (_what, code, expected) => {
    expect(code).toBe(expected);
  });

  test.each([
    ['plain HTTP', { address: 'http://vault.corp:8200' }],
    ['a path behind the host', { address: 'https://vault.corp/x' }],
    ['a password in the address', { address: 'https://u:p@vault.corp' }],
    ['a role that ends a line', { auth: { role: 'a\r\nb' } }],
    ['a mount that leads elsewhere', { auth: { mount: '../sys', role: 'r' } }],
    ['an upstream without port', { paths: [{ path: 'a/b', namespaces: ['a'], upstreams: ['db'] }] }],
    ['a glob that is none', { paths: [{ path: 'a//b', namespaces: ['a'], upstreams: ['db:1'] }] }],
    ['257 entries', { paths: Array.from({ length: 257 }, () => ({ path: 'a/b', namespaces: ['a'], upstreams: ['db:1'] })) }],
  ])('a configuration with %s is refused', (_what, mods) => {
    expect(VaultConfig.safeParse({ address: 'https://v:8200', tokenFile: 't', auth: { role: 'r' }, ...mods }).success).toBe(
      false,
    );
  });
});

describe('a path of Vault', () => {
  test('is read once for all who name it, as the operator’s ServiceAccount', async () => {
    want(CREDS);
    expect(source.known(CREDS)).toBe(false);
    await settled();
    const { user } = only(vault.leases.values());
    expect(login(CREDS)).toEqual({ username: user, password: `CANARY-${user}` });
    expect(source.known(CREDS)).toBe(true);
    want(CREDS);
    await settled();
    expect([vault.count('POST', 'auth/kubernetes/login'), vault.count('GET', CREDS), changes]).toEqual([1, 1, 1]);
    expect(vault.asked.map(({ headers }) => headers['x-vault-request'])).toEqual(['true', 'true']);
    expect(vault.asked[0]?.headers['x-vault-namespace']).toBeUndefined();
  });

  test('holds what it holds in either version of KV, and only text under the keys of a credential', async () => {
    const odd = {
      username: 'u',
      password: 7,
      token: '\ud800',
      'tls.crt': ['x'],
      other: 'y',
      'ssh-privatekey': 'a\r\n\0\u001b[2J',
    };
    vault.kv.set('secret/orders', {
      data: JSON.parse(`{"__proto__": {"password": "p"}, ${JSON.stringify(odd).slice(1)}`),
      version: 1,
    });
    want(KV);
    await settled();
    expect(login(KV)).toEqual({ username: 'u', 'ssh-privatekey': 'a\r\n\0\u001b[2J' });
    await source.close();
    vault.fault = ({ method }, response) =>
      method === 'GET' && reply(response, 200, { lease_id: '', lease_duration: 2_764_800, renewable: false, data: odd });
    source = follow();
    want('kv/orders');
    await settled();
    expect(login('kv/orders')).toEqual({ username: 'u', 'ssh-privatekey': 'a\r\n\0\u001b[2J' });
  });

  test('of KV is read again within 30 s, and tells of a change and of nothing else', async () => {
    vault.kv.set('secret/orders', { data: { username: 'u', password: 'one' }, version: 1 });
    want(KV);
    await settled();
    const version = source.get(KV).view?.version;
    await pass(30_000);
    expect([vault.count('GET', KV), changes, source.get(KV).view?.version]).toEqual([2, 1, version]);
    vault.kv.set('secret/orders', { data: { username: 'u', password: 'two' }, version: 2 });
    await pass(30_000);
    expect([login(KV)?.password, changes]).toEqual(['two', 2]);
  });

  test('of KV that is deleted holds nothing from then on; while Vault is away it holds what it held', async () => {
    vault.kv.set('secret/orders', { data: { username: 'u', password: 'one' }, version: 1 });
    want(KV);
    await settled();
    vault.fault = (_asked, response) => reply(response, 503, { errors: ['Vault is sealed'] });
    await pass(10 * MINUTE);
    expect(login(KV)?.password).toBe('one');
    vault.fault = undefined;
    vault.kv.delete('secret/orders');
    await pass(2 * MINUTE);
    expect(told(KV)).toBe(
      'VaultRefused: Vault path secret/data/orders cannot be read: nothing is there (404); a path of KV version 2 has data/ behind its mount; mend that; it is tried again',
    );
  });

  test('that lends is renewed before two thirds of the time, and its user stays', async () => {
    want(CREDS);
    await settled();
    const before = login(CREDS);
    await pass(50 * MINUTE);
    expect(login(CREDS)).toEqual(before);
    const renewals = vault.count('PUT', 'sys/leases/renew');
    // Every 300 to 360 s of 600.
    expect(renewals).toBeGreaterThanOrEqual(8);
    expect(renewals).toBeLessThanOrEqual(10);
    expect([vault.count('GET', CREDS), changes]).toEqual([1, 1]);
  });

  test.each<[string, () => void]>([
    ['at its longest time', () => (vault.terms.leaseMaxS = 700)],
    ['that cannot be renewed', () => (vault.terms.renewable = false)],
    [
      'that Vault refuses to renew',
      () => (vault.fault = ({ path }, response) => path === 'sys/leases/renew' && reply(response, 403, { errors: [] })),
    ],
    [
      'that Vault does not know any more',
      () =>
        (vault.fault = ({ path }, response) =>
          path === 'sys/leases/renew' && reply(response, 400, { errors: ['lease not found'] })),
    ],
  ])('that lends what is %s is read anew in time, and the old user is left to whom it serves', async (_what, arrange) => {
    arrange();
    want(CREDS);
    await settled();
    const before = login(CREDS);
    await pass(12 * MINUTE);
    expect(login(CREDS)).not.toEqual(before);
    expect(login(CREDS)).toBeDefined();
    expect(vault.count('PUT', 'sys/leases/revoke')).toBe(0);
    expect(vault.count('GET', CREDS)).toBeLessThanOrEqual(3);
  });

  test('that lends is used to its end while Vault is away, then no more; and again once Vault is back', async () => {
    want(CREDS);
    await settled();
    vault.fault = (_asked, response) => reply(response, 503, { errors: ['Vault is sealed'] });
    await pass(9 * MINUTE);
    expect(login(CREDS)).toBeDefined();
    await pass(MINUTE);
    expect(told(CREDS)).toBe(
      `VaultUnavailable: Vault path ${CREDS} cannot be read: it is sealed or stands by (503); it is tried again`,
    );
    expect(changes).toBeGreaterThanOrEqual(2);
    const tries = vault.count('GET', CREDS);
    await pass(10 * MINUTE);
    // At most once a minute, with what chance takes away: of 0.5 to 1 of that.
    expect(vault.count('GET', CREDS) - tries).toBeLessThanOrEqual(20);
    vault.fault = undefined;
    await pass(2 * MINUTE);
    expect(login(CREDS)).toBeDefined();
  });

  test('that nobody names any more gives back what it lends, also where Vault fails at first', async () => {
    want(CREDS, 'database/creds/other');
    sleepers = 3;
    await settled();
    let failures = 2;
    vault.fault = ({ path }, response) => path === 'sys/leases/revoke' && failures-- > 0 && reply(response, 500, { errors: [] });
    want('database/creds/other');
    await eventually(() => {
      clock.advance(1_000);
      expect([...vault.leases.keys()]).toEqual([expect.stringMatching(/^database\/creds\/other\//)]);
    });
    expect(told(CREDS)).toContain('VaultUnavailable');
    expect(errors).toEqual([]);
  });

  test('that nobody names any more by the time it is answered gives back what it lends', async () => {
    const held = Promise.withResolvers<() => void>();
    vault.fault = ({ path, method }, response) => {
      if (path !== CREDS || method !== 'GET' || vault.leases.size > 0) return false;
      held.resolve(() => {
        vault.leases.set('late', { endsAt: 0, maxAt: 0, token: '', user: '' });
        reply(response, 200, { lease_id: 'late', lease_duration: 600, renewable: true, data: { username: 'u', password: 'p' } });
      });
      return true;
    };
    want(CREDS);
    const release = await held.promise;
    want();
    release();
    await eventually(() => expect([vault.count('PUT', 'sys/leases/revoke'), vault.leases.size]).toEqual([1, 0]));
  });

  test('lends for five minutes more when the operator ends in order: its successor’s comes meanwhile', async () => {
    want(CREDS);
    await settled();
    await source.close();
    expect(only(vault.leases.values()).endsAt - clock.now()).toBe(300_000);
    expect(vault.count('PUT', 'sys/leases/revoke')).toBe(0);
  });

  test('beyond the 512th is not read', async () => {
    vault.fault = (_asked, response) => reply(response, 503);
    want(...Array.from({ length: 513 }, (_, at) => `database/creds/${at}`));
    expect(source.known('database/creds/512')).toBe(true);
    expect(told('database/creds/512')).toContain('the operator reads 512 others already');
    want();
  });
});

describe('the operator’s token', () => {
  test('is renewed before it ends, whether or not anything is read', async () => {
    vault.terms.leaseS = 24 * 3600;
    want(CREDS);
    await settled();
    await pass(5 * 3_600_000);
    expect([vault.tokens.size, vault.count('POST', 'auth/token/renew-self')]).toEqual([1, 10]);
  });

  test.each<[string, () => void]>([
    ['cannot be renewed', () => (vault.terms.renewableToken = false)],
    ['is near its longest time', () => (vault.terms.tokenMaxS = 1200)],
  ])('that %s is replaced, and with it, before it ends, what was lent to it', async (_what, arrange) => {
    arrange();
    vault.terms.leaseS = 24 * 3600;
    want(CREDS);
    await settled();
    const before = login(CREDS);
    const [first = ''] = vault.tokens.keys();
    await pass(31 * MINUTE);
    expect(vault.tokens.size).toBe(2);
    expect(login(CREDS)).not.toEqual(before);
    expect(vault.tokens.get(first)).toBeGreaterThan(clock.now());
    expect([...vault.leases.values()].at(-1)?.token).not.toBe(first);
  });

  test('that Vault has revoked is replaced', async () => {
    want(CREDS);
    await settled();
    await pass(4 * MINUTE);
    vault.tokens.clear();
    await pass(3 * MINUTE);
    await eventually(() => expect(vault.tokens.size).toBe(1));
    expect(vault.count('GET', CREDS)).toBeGreaterThanOrEqual(2);
    expect(login(CREDS)).toBeDefined();
  });

  test('is not replaced for a path that the policy of its role denies: that would end what others have', async () => {
    vault.fault = ({ path }, response) =>
      path.endsWith('denied') && reply(response, 403, { errors: ['1 error: permission denied'] });
    want(CREDS, 'database/creds/denied');
    sleepers = 3;
    await settled();
    await pass(20 * MINUTE);
    expect(told('database/creds/denied')).toContain(
      'VaultRefused: Vault path database/creds/denied cannot be read: it does not permit it',
    );
    expect([vault.tokens.size, vault.count('GET', CREDS)]).toEqual([1, 1]);
  });

  test('is asked for by one request at a time, and rarely where Vault says no', async () => {
    vault.fault = ({ path }, response) => path.endsWith('/login') && reply(response, 403, { errors: ['CANARY-answer'] });
    const paths = Array.from({ length: 20 }, (_, at) => `database/creds/${at}`);
    want(...paths);
    sleepers = 21;
    await settled();
    expect(vault.count('POST', 'auth/kubernetes/login')).toBe(1);
    expect(told('database/creds/7')).toBe(
      'VaultRefused: Vault path database/creds/7 cannot be read: the operator cannot sign in there: it does not permit it (403); mend that; it is tried again',
    );
    await pass(10 * MINUTE);
    expect(vault.count('POST', 'auth/kubernetes/login')).toBeLessThanOrEqual(25);
    want();
  });

  test('is asked for with the ServiceAccount’s token as it is now, at the mount and in the namespace that are configured', async () => {
    await source.close();
    const config = { ...vault.config, namespace: 'team/a', auth: { mount: 'clusters/one', role: 'chaperone' } };
    writeFileSync(config.tokenFile, 'another');
    const seen: unknown[] = [];
    vault.fault = ({ path, body, headers }, response) => {
      seen.push([path, body, headers['x-vault-namespace']]);
      return reply(response, 403);
    };
    source = follow(config);
    want(CREDS);
    await settled();
    expect(seen).toEqual([['auth/clusters/one/login', { role: 'chaperone', jwt: 'another' }, 'team/a']]);
  });
});

const status =
  (code: number, body?: unknown): Fault =>
  (_asked, response) =>
    reply(response, code, body);
const redirect =
  (location: string): Fault =>
  (_asked, response) => {
    response.writeHead(307, { location });
    response.end();
    return true;
  };

describe('what Vault must not answer', () => {
  const ok = (body: unknown): Fault => status(200, body);
  const lease = (mods: object): Fault => ok({ lease_id: 'x', lease_duration: 60, renewable: true, data: {}, ...mods });
  test.each<[string, Fault, string]>([
    ['400', status(400, { errors: ['CANARY-x\r\n\u001b[2J'] }), 'VaultRefused: .* for a wrong one \\(400\\)'],
    ['404', status(404), 'VaultRefused: .*nothing is there'],
    ['412', status(412), 'VaultUnavailable: .*status 412'],
    ['429', status(429), 'VaultUnavailable: .*too much to do'],
    ['500', status(500, 'CANARY-x'), 'VaultUnavailable: .*status 500'],
    ['503', status(503), 'VaultUnavailable: .*sealed or stands by'],
    ['302', status(302), 'VaultUnavailable: .*status 302'],
    ['204', status(204), 'VaultUnavailable: .*does not speak as Vault'],
    ['a redirect to another host', redirect('https://127.0.0.1:1/v1/x'), 'VaultUnavailable: .*sends the operator on'],
    ['a redirect to plain HTTP', redirect('http://localhost/v1/x'), 'VaultUnavailable: .*sends the operator on'],
    ['a redirect to nowhere', redirect('//'), 'VaultUnavailable: .*sends the operator on'],
    ['a redirect without end', redirect('/v1/again'), 'VaultUnavailable: .*status 307'],
    ['nothing, and hangs up', (_asked, response) => Boolean(response.socket?.destroy()), 'VaultUnavailable: .*gives no answer'],
    ['what is no JSON', (_asked, response) => Boolean(response.end('<html>CANARY-x')), 'VaultUnavailable: .*does not speak'],
    ['null', ok(null), 'VaultUnavailable: .*does not speak'],
    ['a list', ok([]), 'VaultUnavailable: .*does not speak'],
    ['no data', lease({ data: null }), 'VaultUnavailable: .*does not speak'],
    ['a negative lease', lease({ lease_duration: -1 }), 'VaultUnavailable: .*does not speak'],
    ['half a second', lease({ lease_duration: 0.5 }), 'VaultUnavailable: .*does not speak'],
    ['more than numbers hold', lease({ lease_duration: 1e300 }), 'VaultUnavailable: .*does not speak'],
    ['a lease of zero', lease({ lease_duration: 0 }), 'VaultRefused: .*lends for 0 s'],
    ['a lease below what can be renewed', lease({ lease_duration: 29 }), 'VaultRefused: .*lends for 29 s'],
    ['an id that fills memory', lease({ lease_id: 'x'.repeat(1025) }), 'VaultUnavailable: .*does not speak'],
    ['512 KiB and more', ok({ data: 'CANARY-x'.repeat(70_000) }), 'VaultUnavailable: .*larger than 524288 bytes'],
    [
      'lists within lists',
      (_asked, response) => Boolean(response.end('['.repeat(200_000))),
      'VaultUnavailable: .*does not speak',
    ],
  ])('%s leaves a sentence that holds nothing of it', async (_what, fault, expected) => {
    vault.fault = (asked, response) => asked.method === 'GET' && fault(asked, response);
    want(CREDS);
    await settled();
    expect(told(CREDS)).toMatch(new RegExp(`^${expected}`));
    // oxlint-disable-next-line no-control-regex -- none of them is shown to anybody
    expect(told(CREDS)).not.toMatch(/CANARY|[\0-\x1f\x7f]/);
    expect(login(CREDS)).toBeUndefined();
  });

  test.each<[string, object]>([
    ['a token that ends a header', { client_token: 'a\r\nx-evil: 1', lease_duration: 60, renewable: true }],
    ['a token of 8,193 characters', { client_token: 'a'.repeat(8193), lease_duration: 60, renewable: true }],
    ['no token', { lease_duration: 60, renewable: true }],
    ['a token that lasts no time', { client_token: 'a', lease_duration: 0, renewable: true }],
  ])('%s is not used', async (_what, auth) => {
    vault.fault = ({ path }, response) => path.endsWith('/login') && reply(response, 200, { auth });
    want(CREDS);
    await settled();
    expect(told(CREDS)).toContain('the operator cannot sign in there');
    expect(vault.asked).toHaveLength(1);
  });

  test('a redirect within its own origin is followed, once', async () => {
    vault.fault = ({ path, method }, response) =>
      method === 'GET' && path === CREDS && redirect(`${vault.url}/v1/database/creds/moved`)({} as never, response);
    want(CREDS);
    await settled();
    expect(login(CREDS)?.username).toContain('moved');
  });

  test('a lease of a hundred years is believed for 32 days', async () => {
    vault.terms.leaseS = 100 * 365 * 24 * 3600;
    vault.terms.renewable = false;
    want(CREDS);
    await settled();
    expect(clock.dueIn).toBeLessThan(32 * 24 * 3_600_000);
  });

  test('nothing for longer than the operator waits', async () => {
    await source.close();
    vault.fault = ({ method }) => method === 'GET';
    source = follow(vault.config, 200);
    want(CREDS);
    await settled();
    expect(told(CREDS)).toContain('it gives no answer within 0.2 s');
  });

  test('a certificate of somebody else, or none that it is told to trust: nothing is sent', async () => {
    await source.close();
    writeFileSync(vault.config.caFile ?? '', (await testAuthority()).ca);
    source = follow();
    want(CREDS);
    await settled();
    expect(told(CREDS)).toMatch(/VaultUnavailable: .*gives no answer \([A-Z_]+\)/);
    expect(vault.asked).toEqual([]);
  });
});

test('no credential, token or address of a lease is in what is printed', async () => {
  want(CREDS);
  await settled();
  const { view } = source.get(CREDS);
  const printed = [view, source, errors]
    .map((each) => `${inspect(each, { depth: 9, showHidden: true })}${JSON.stringify(each)}`)
    .join();
  expect(printed).not.toMatch(/CANARY|hvs\./);
  expect(printed).not.toContain(JWT);
});
