import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AGENT,
  encodeKexInit,
  guessedRight,
  type KexInit,
  MARKERS,
  negotiate,
  offer,
  parseKexInit,
  UPSTREAM,
  UPSTREAM_LEGACY,
} from './algorithms.ts';
import { DISCONNECT, SshError } from './error.ts';

const both = <T>(value: T) => ({ clientToServer: value, serverToClient: value });

function aKexInit(mods: Partial<KexInit> = {}): KexInit {
  return { ...offer(UPSTREAM_LEGACY, ['ssh-ed25519', 'rsa-sha2-512'], []), ...mods };
}

describe('KEXINIT', () => {
  it('is read as it was written', () => {
    const list = fc.array(fc.stringMatching(/^[a-z0-9.@-]{1,20}$/), { maxLength: 8 });
    const ways = fc.record({ clientToServer: list, serverToClient: list });
    const init = fc.record({
      kex: list,
      hostKeys: list,
      ciphers: ways,
      macs: ways,
      compression: ways,
      guessFollows: fc.boolean(),
    });
    fc.assert(
      fc.property(init, (one) => {
        expect(parseKexInit(encodeKexInit(one, randomBytes(16)))).toEqual(one);
      }),
    );
  });

  it('is laid out as RFC 4253, section 7.1, has it', () => {
    const bytes = encodeKexInit(aKexInit({ kex: ['a', 'b'], guessFollows: true }), Buffer.alloc(16, 7));
    expect(bytes.subarray(0, 24).toString('hex')).toBe(`14${'07'.repeat(16)}00000003612c62`);
    expect(bytes.subarray(-13).toString('hex')).toBe('00000000000000000100000000');
  });

  it('is refused at every length but its own, and where a name has what names cannot have', () => {
    const bytes = encodeKexInit(aKexInit(), randomBytes(16));
    for (let length = 0; length < bytes.length; length++) expect(() => parseKexInit(bytes.subarray(0, length))).toThrow(SshError);
    expect(() => parseKexInit(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(SshError);
    for (const name of ['a b', 'a\0', 'é', 'x'.repeat(9_000)])
      expect(() => parseKexInit(encodeKexInit(aKexInit({ kex: [name] }), randomBytes(16)))).toThrow(SshError);
  });
});

describe('what is agreed on', () => {
  const gcm = { cipher: 'aes128-gcm@openssh.com' };
  it.each<[string, Partial<KexInit>, Partial<KexInit>, object]>([
    ['is the best of both', {}, {}, { kex: 'mlkem768x25519-sha256', hostKey: 'ssh-ed25519', ...both(gcm) }],
    [
      "is the client's first that the server has",
      { kex: ['unknown', 'curve25519-sha256', 'mlkem768x25519-sha256'], hostKeys: ['rsa-sha2-512', 'ssh-ed25519'] },
      {},
      { kex: 'curve25519-sha256', hostKey: 'rsa-sha2-512' },
    ],
    [
      'has a MAC where the cipher needs one, for each way by itself',
      { ciphers: { clientToServer: ['aes256-ctr'], serverToClient: ['aes256-gcm@openssh.com'] }, macs: both(['hmac-sha2-512']) },
      {},
      { clientToServer: { cipher: 'aes256-ctr', mac: 'hmac-sha2-512' }, serverToClient: { cipher: 'aes256-gcm@openssh.com' } },
    ],
    ['needs no MAC in common where no cipher takes one', { macs: both(['hmac-md5']) }, {}, both(gcm)],
  ])('%s', (_, client, server, expected) => {
    expect(negotiate(aKexInit(client), aKexInit(server))).toMatchObject(expected);
  });

  const markers = [...Object.values(MARKERS.client), ...Object.values(MARKERS.server)];
  it.each<[string, Partial<KexInit>, string]>([
    ['a key exchange', { kex: ['diffie-hellman-group1-sha1'] }, 'key exchange'],
    ['a key exchange beside what is none', { kex: markers }, 'key exchange'],
    ['a key exchange by a name that all objects have', { kex: ['constructor', '__proto__', 'toString'] }, 'key exchange'],
    ['a host key', { hostKeys: ['ssh-rsa', '__proto__'] }, 'host key'],
    ['a cipher', { ciphers: both(['chacha20-poly1305@openssh.com', 'aes128-cbc']) }, 'cipher'],
    ['a cipher for one way', { ciphers: { clientToServer: ['aes128-ctr'], serverToClient: [] } }, 'cipher'],
    ['a MAC', { ciphers: both(['aes128-ctr']), macs: both(['hmac-sha1', 'hmac-md5']) }, 'MAC'],
    ['compression, or none of it', { compression: both(['zlib']) }, 'compression'],
  ])('is nothing where one side lacks %s', (_, mods, kind) => {
    const refusal = expect.objectContaining({ message: `no ${kind} that both sides have`, reason: DISCONNECT.keyExchangeFailed });
    // The other side claims to have the very same.
    const other = mods.kex === undefined ? {} : { kex: [...aKexInit().kex, ...markers, 'constructor', '__proto__', 'toString'] };
    expect(() => negotiate(aKexInit(mods), aKexInit(other))).toThrow(refusal);
    expect(() => negotiate(aKexInit(other), aKexInit(mods))).toThrow(refusal);
  });

  it.each([
    ['right by both first choices', {}, {}, true],
    ['wrong by the exchange', { kex: ['curve25519-sha256'] }, {}, false],
    ['wrong by the host key', { hostKeys: ['rsa-sha2-512'] }, {}, false],
    ['right whatever the ciphers are', { ciphers: both(['aes256-ctr']) }, {}, true],
  ])('was guessed %s', (_, client, server, right) => {
    expect(guessedRight(aKexInit(client), aKexInit(server))).toBe(right);
  });
});

describe('what is offered', () => {
  it('has nothing with SHA-1, CBC, MD5 or DSA, and no compression before somebody has logged in', () => {
    const text = JSON.stringify([AGENT, UPSTREAM, UPSTREAM_LEGACY]);
    expect(text).not.toMatch(/sha1|cbc|md5|dss|"ssh-rsa"|group1-|exchange/);
    expect(aKexInit().compression).toEqual(both(['none']));
  });

  it('is more for upstreams than for agents, and most for old ones', () => {
    for (const [less, more] of [
      [AGENT, UPSTREAM],
      [UPSTREAM, UPSTREAM_LEGACY],
    ] as const)
      for (const kind of ['kex', 'hostKeys', 'ciphers', 'macs'] as const)
        expect(more[kind] as readonly string[]).toEqual(expect.arrayContaining([...less[kind]]));
    expect(UPSTREAM.kex).not.toContain('diffie-hellman-group14-sha256');
    expect(UPSTREAM.macs).not.toContain('hmac-sha2-256');
  });

  it('has the host keys that there are, certificates first', () => {
    const certificate = 'rsa-sha2-512-cert-v01@openssh.com';
    expect(offer(AGENT, ['rsa-sha2-512', 'ssh-ed25519', certificate], ['marker'])).toMatchObject({
      kex: [...AGENT.kex, 'marker'],
      hostKeys: ['ssh-ed25519', certificate, 'rsa-sha2-512'],
    });
    expect(() => offer(AGENT, ['ecdsa-sha2-nistp256'], [])).toThrow('no host key');
  });
});
