import { testAuthority } from '@chaperone/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { createGuard } from '../capture/guard.ts';
import { IssuerKeys, TokenError } from './index.ts';
import { keysUrl } from './issuer-keys.ts';
import { anOutside, type Answer, aSigner, DISCOVERY, startIssuer, type TestIssuer } from './issuer.test-support.ts';

const guard = createGuard({ allowLoopback: true, forbidden: [], virtual: [] });
const MINUTES = 60_000;
const HOURS = 60 * MINUTES;
const opened: TestIssuer[] = [];
afterEach(async () => {
  for (const issuer of opened.splice(0)) await issuer[Symbol.asyncDispose]();
});

async function world(tls?: { certificate: string; key: string }) {
  const issuer = await startIssuer(tls);
  opened.push(issuer);
  const outside = anOutside();
  const keys = new IssuerKeys({ guard, clock: outside.clock, logger: outside.logger });
  const ask = async (kid: string, ca?: string): Promise<string> => {
    try {
      const { kty } = await keys.key({ issuer: issuer.issuer, ca }, 'ES256', kid);
      return String(kty);
    } catch (error) {
      return error instanceof TokenError ? error.code : String(error);
    }
  };
  const publish = async (...kids: string[]): Promise<void> => {
    issuer.keys = await Promise.all(kids.map(async (kid) => (await aSigner('ES256', kid)).publicKey));
  };
  const fetches = (): number => issuer.asked.filter((path) => path === '/jwks').length;
  return { issuer, ask, publish, fetches, ...outside };
}

describe('keys of an issuer', () => {
  it('are read once, and used by all who ask at once', async () => {
    const { ask, publish, issuer } = await world();
    await publish('a', 'b');
    expect(await Promise.all([ask('a'), ask('b'), ask('a')])).toEqual(['EC', 'EC', 'EC']);
    expect(await ask('a')).toBe('EC');
    expect(issuer.asked).toEqual([DISCOVERY, '/jwks']);
  });

  it('are read again for a key that is new, at most every 30 seconds', async () => {
    const { ask, publish, fetches, advance } = await world();
    await publish('a');
    expect(await ask('a')).toBe('EC');
    await publish('a', 'b');
    expect(await ask('b')).toBe('KeyUnknown');
    advance(30_001);
    expect([await ask('b'), fetches()]).toEqual(['EC', 2]);
    expect([await ask('made-up-1'), await ask('made-up-2'), fetches()]).toEqual(['KeyUnknown', 'KeyUnknown', 2]);
    advance(30_001);
    expect([await ask('made-up-3'), await ask('made-up-4'), fetches()]).toEqual(['KeyUnknown', 'KeyUnknown', 3]);
  });

  it('that it withdrew are used for ten minutes more at most', async () => {
    const { ask, publish, advance } = await world();
    await publish('a');
    expect(await ask('a')).toBe('EC');
    await publish('b');
    advance(9 * MINUTES);
    expect(await ask('a')).toBe('EC');
    advance(2 * MINUTES);
    expect(await ask('a')).toBe('KeyUnknown');
  });

  it('are used for 24 hours while it is down, and no longer', async () => {
    const { ask, publish, issuer, advance, logged } = await world();
    await publish('a');
    expect(await ask('a')).toBe('EC');
    issuer.down = true;
    advance(HOURS);
    expect([await ask('a'), await ask('b')]).toEqual(['EC', 'KeyUnknown']);
    expect(logged.join('\n')).toContain('the keys of an issuer could not be read');
    advance(22 * HOURS + 59 * MINUTES);
    expect(await ask('a')).toBe('EC');
    advance(MINUTES + 1);
    expect(await ask('a')).toBe('IssuerUnavailable');
    issuer.down = false;
    advance(MINUTES);
    expect(await ask('a')).toBe('EC');
  });

  it('cannot be had from one that was never up, which is tried again after five seconds', async () => {
    const { ask, publish, issuer, advance } = await world();
    await publish('a');
    issuer.down = true;
    expect(await ask('a')).toBe('IssuerUnavailable');
    issuer.down = false;
    expect(await ask('a')).toBe('IssuerUnavailable');
    advance(5_001);
    expect(await ask('a')).toBe('EC');
  });

  it('are asked of the next issuer under its own name', async () => {
    const one = await world();
    const other = await world();
    await one.publish('a');
    await other.publish('b');
    expect([await one.ask('a'), await one.ask('b'), await other.ask('b')]).toEqual(['EC', 'KeyUnknown', 'EC']);
  });
});

describe('an answer that is not taken', () => {
  const key = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' };
  const many = (count: number): string =>
    JSON.stringify({ keys: Array.from({ length: count }, (_, kid) => ({ ...key, kid: `k${kid}` })) });
  it.each<[string, string, Answer]>([
    ['keys: not JSON', '/jwks', { body: '<html>' }],
    ['keys: not a set', '/jwks', { body: '[]' }],
    ['keys: 101 of them', '/jwks', { body: many(101) }],
    ['keys: more than 256 KiB', '/jwks', { body: JSON.stringify({ keys: [], pad: 'x'.repeat(256 * 1024) }) }],
    ['keys: not UTF-8', '/jwks', { body: Buffer.from('{"keys":[],"a":"\xff"}', 'latin1') }],
    ['keys: an error', '/jwks', { status: 500, body: many(1) }],
    ['keys: cut off', '/jwks', { headers: { 'content-length': '999' }, body: many(1) }],
    ['keys: a redirect', '/jwks', { status: 302, headers: { location: '/other' } }],
    ['discovery: a redirect', DISCOVERY, { status: 301, headers: { location: 'http://169.254.169.254/' } }],
    ['discovery: not JSON', DISCOVERY, { body: 'x' }],
    [
      'discovery: of another issuer',
      DISCOVERY,
      { body: '{"issuer":"https://evil.example","jwks_uri":"https://evil.example/jwks"}' },
    ],
    ['discovery: without keys', DISCOVERY, { body: '{"issuer":"x"}' }],
  ])('%s', async (_, path, answer) => {
    const { ask, issuer } = await world();
    issuer.answers.set(path, answer);
    issuer.answers.set('/other', { body: many(1) });
    expect(await ask('k0')).toBe('IssuerUnavailable');
    expect(issuer.asked).not.toContain('/other');
  });

  it('100 keys are taken', async () => {
    const { ask, issuer } = await world();
    issuer.answers.set('/jwks', { body: many(100) });
    expect(await ask('k99')).toBe('EC');
  });

  it('one that never comes is waited for five seconds', async () => {
    const { ask, issuer } = await world();
    issuer.answers.set(DISCOVERY, { hangs: true });
    const before = performance.now();
    expect(await ask('a')).toBe('IssuerUnavailable');
    expect(performance.now() - before).toBeGreaterThan(4_900);
  });
});

describe('TLS of an issuer', () => {
  it('is checked against the authorities of the policy, and by name', async () => {
    const authority = await testAuthority();
    const { ask, publish, advance } = await world(await authority.issue(['127.0.0.1']));
    await publish('a');
    expect(await ask('a')).toBe('IssuerUnavailable');
    const stranger = await testAuthority('another');
    expect(await ask('a', stranger.ca)).toBe('IssuerUnavailable');
    advance(5_001);
    expect(await ask('a', authority.ca)).toBe('EC');
  });

  it('another name in the certificate is refused', async () => {
    const authority = await testAuthority();
    const { ask, publish, logged } = await world(await authority.issue(['login.corp']));
    await publish('a');
    expect(await ask('a', authority.ca)).toBe('IssuerUnavailable');
    expect(logged.join('\n')).toContain('does not match');
  });
});

describe('an issuer is dialled as upstreams are', () => {
  it.each<[string, string[]]>([
    ['loopback in a cluster', ['127.0.0.1']],
    ['the node’s metadata', ['169.254.169.254']],
    ['what stands for ourselves', ['240.240.0.9']],
    ['the API server', ['10.96.0.1']],
  ])('%s is refused', async (_, addresses) => {
    const { logger, logged, clock } = anOutside();
    const strict = createGuard({ allowLoopback: false, forbidden: ['10.96.0.1'], virtual: ['240.240.0.0/16'] });
    const keys = new IssuerKeys({ guard: strict, clock, logger, resolve: async () => addresses });
    await expect(keys.key({ issuer: 'https://login.corp' }, 'ES256', 'a')).rejects.toMatchObject({ code: 'IssuerUnavailable' });
    expect(logged.join('\n')).toContain('which Chaperone never dials');
  });
});

const document = (jwks_uri: unknown, issuer = 'https://login.corp') => ({ issuer, jwks_uri });

describe('where the keys are', () => {
  it.each<[string, unknown, string, boolean]>([
    ['at the issuer', document('https://login.corp/keys'), 'https://login.corp', true],
    ['at another origin', document('https://keys.corp/v1?x=1'), 'https://login.corp', true],
    ['without TLS', document('http://login.corp/keys'), 'https://login.corp', false],
    ['on loopback, of an issuer elsewhere', document('http://127.0.0.1/keys'), 'https://login.corp', false],
    ['elsewhere, of an issuer on loopback', document('http://10.0.0.1/keys', 'http://127.0.0.1'), 'http://127.0.0.1', false],
    ['on loopback, of an issuer there', document('http://[::1]:1/keys', 'http://127.0.0.1:1'), 'http://127.0.0.1:1', true],
    ['in a file', document('file:///etc/passwd'), 'https://login.corp', false],
    ['in the address itself', document('data:application/json,{}'), 'https://login.corp', false],
    ['with a password', document('https://u:p@login.corp/keys'), 'https://login.corp', false],
    ['nowhere', document(undefined), 'https://login.corp', false],
    ['in a list', document(['https://login.corp/keys']), 'https://login.corp', false],
    ['at the issuer, by a name with a slash', document('https://login.corp/keys'), 'https://login.corp/', false],
  ])('%s', (_, found, issuer, taken) => {
    if (taken) expect(keysUrl(found, issuer)).toBeInstanceOf(URL);
    else expect(() => keysUrl(found, issuer)).toThrow(TokenError);
  });
});
