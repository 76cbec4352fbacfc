import { describe, expect, test } from 'vitest';
import { constants, createPublicKey, generateKeyPairSync, privateDecrypt } from 'node:crypto';
import { DataKey, type KeyHolder, MAX_RECIPIENTS, parseWrappedKey, unwrapKey, WrappedKey, wrapKey } from './data-key.ts';
import { AES_128_GCM, hpkeOpen, hpkeSeal, x25519PublicKey } from './hpke.ts';
import { newSessionId } from './ids.ts';
import { decodeParcel, encodeParcel, segmentOf } from './parcel.ts';
import { MAX_RECIPIENT_CHARS, parseRecipient, rsaRecipientOf, x25519Holder } from './recipients.ts';

const session = newSessionId();
const seed = (byte: number): Buffer => Buffer.alloc(32, byte);
const holder = x25519Holder(seed(1));
const pem = (kind: 'rsa' | 'ed25519', modulusLength = 0): string =>
  (kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength }) : generateKeyPairSync('ed25519')).publicKey.export({
    format: 'pem',
    type: 'spki',
  });
const unusable = expect.objectContaining({ code: 'KeyUnusable' });

describe('a data key', () => {
  test('is named by an id that other keys and other sessions do not have, and that is not the key', () => {
    const key = new DataKey(session, seed(7));
    expect(new DataKey(session, seed(7)).id).toBe(key.id);
    expect(new DataKey(session, seed(8)).id).not.toBe(key.id);
    expect(new DataKey(newSessionId(), seed(7)).id).not.toBe(key.id);
    expect(key.id).not.toBe(seed(7).toString('hex'));
    expect(DataKey.random(session).id).not.toBe(DataKey.random(session).id);
  });

  test('shows its secret to nobody who prints it', () => {
    const key = new DataKey(session, seed(7));
    expect(JSON.stringify(key)).not.toContain(seed(7).toString('hex'));
    expect(Object.values(key)).toEqual([session, key.id]);
  });

  test.each([0, 31, 33])('of %i bytes is refused', (length) => {
    expect(() => new DataKey(session, Buffer.alloc(length))).toThrow(expect.objectContaining({ code: 'MalformedKey' }));
  });

  test('comes back to each of those whom it was wrapped to', async () => {
    const other = x25519Holder(seed(2));
    const key = DataKey.random(session);
    const wrapped = wrapKey(key, [parseRecipient(holder.name), parseRecipient(other.name)]);
    for (const each of [holder, other]) expect((await unwrapKey(wrapped, [each])).secret).toEqual(key.secret);
    await expect(unwrapKey(wrapped, [x25519Holder(seed(3))])).rejects.toEqual(unusable);
    await expect(unwrapKey(wrapped, [])).rejects.toEqual(unusable);
  });

  test.each([
    ['of another session', (of: WrappedKey) => ({ ...of, session: newSessionId() })],
    ['under another id', (of: WrappedKey) => ({ ...of, id: '0'.repeat(64) })],
    ['cut short', (of: WrappedKey) => ({ ...of, to: of.to.map((to) => ({ ...to, key: to.key.slice(0, 20) })) })],
    [
      'with a byte changed',
      (of: WrappedKey) => ({
        ...of,
        to: of.to.map((to) => ({ ...to, key: `${to.key.startsWith('B') ? 'C' : 'B'}${to.key.slice(1)}` })),
      }),
    ],
  ])('that was wrapped is not unwrapped %s', async (_, changed) => {
    const wrapped = wrapKey(new DataKey(session, seed(7)), [parseRecipient(holder.name)]);
    await expect(unwrapKey(changed(wrapped), [holder])).rejects.toEqual(unusable);
  });

  test('is wrapped to at least one, and to few', () => {
    expect(() => wrapKey(DataKey.random(session), [])).toThrow();
    const many = Array.from({ length: MAX_RECIPIENTS + 1 }, () => parseRecipient(holder.name));
    expect(() => wrapKey(DataKey.random(session), many)).toThrow();
  });

  test('is wrapped to keys of RSA as services that hold them unwrap, and to all that a parcel has room for', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { configured, name } = rsaRecipientOf(publicKey.export({ format: 'pem', type: 'spki' }));
    const service: KeyHolder = {
      name,
      unwrap: async (wrapped) =>
        privateDecrypt({ key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }, wrapped),
    };
    const key = DataKey.random(session);
    const wrapped = wrapKey(key, [parseRecipient(configured)]);
    expect(wrapped.to[0]?.recipient).toBe(name);
    expect((await unwrapKey(parseWrappedKey(Buffer.from(JSON.stringify(wrapped))), [service])).secret).toEqual(key.secret);
    // Nobody has the other half of this one, which is as large as any may be.
    const n = Buffer.alloc(512, 0xff).toString('base64url');
    const largest = createPublicKey({ key: { kty: 'RSA', n, e: 'AQAB' }, format: 'jwk' });
    const { configured: large } = rsaRecipientOf(largest.export({ format: 'pem', type: 'spki' }));
    expect(large.length).toBeLessThanOrEqual(MAX_RECIPIENT_CHARS);
    const toAll = wrapKey(
      key,
      Array.from({ length: MAX_RECIPIENTS }, () => parseRecipient(large)),
    );
    expect(decodeParcel(encodeParcel({ key: toAll, segment: Buffer.alloc(1) })).key).toEqual(toAll);
    // Nothing binds it to its session but the id.
    const elsewhere = { ...wrapped, session: newSessionId() };
    await expect(unwrapKey(elsewhere, [service])).rejects.toEqual(unusable);
  });

  test.each([
    ['of 1024 bits', () => rsaRecipientOf(pem('rsa', 1024))],
    ['of another kind', () => rsaRecipientOf(pem('ed25519'))],
    ['that is none', () => rsaRecipientOf('-----BEGIN PUBLIC KEY-----')],
    ['of no bytes', () => parseRecipient('rsa-oaep:')],
    ['of other bytes', () => parseRecipient('rsa-oaep:AAAA')],
    ['with a line end behind it', () => parseRecipient(`${rsaRecipientOf(pem('rsa', 2048)).configured}\n`)],
  ])('is wrapped to no key of RSA %s', (_, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'MalformedKey' }));
  });

  test.each(['', 'x25519:', 'x25519:AAAA', 'age1qqqq', `X25519:${'A'.repeat(43)}`])('is wrapped to no %j', (name) => {
    expect(() => parseRecipient(name)).toThrow(expect.objectContaining({ code: 'MalformedKey' }));
  });

  test('is not wrapped to a point that gives everybody the same secret', () => {
    const zero = parseRecipient(`x25519:${Buffer.alloc(32).toString('base64url')}`);
    expect(() => wrapKey(DataKey.random(session), [zero])).toThrow(expect.objectContaining({ code: 'MalformedKey' }));
  });
});

describe('HPKE', () => {
  // RFC 9180 A.1.1, the first encryption.
  const privateKey = Buffer.from('4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8', 'hex');
  const ephemeral = Buffer.from('52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736', 'hex');
  const context = { info: Buffer.from('Ode on a Grecian Urn'), aad: Buffer.from('Count-0') };

  test('derives the public keys of RFC 9180', () => {
    expect(x25519PublicKey(privateKey).toString('hex')).toBe('3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d');
    expect(x25519PublicKey(ephemeral).toString('hex')).toBe('37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431');
  });

  test('seals to the byte as RFC 9180 does', () => {
    const message = Buffer.from('Beauty is truth, truth beauty');
    const rfc = { ...context, aead: AES_128_GCM };
    const sealed = hpkeSeal(x25519PublicKey(privateKey), message, rfc, () => ephemeral);
    expect(sealed.toString('hex')).toBe(
      '37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431' +
        'f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a',
    );
    expect(hpkeOpen(privateKey, sealed, rfc)).toEqual(message);
    // The other key is derived for its own cipher: neither opens what the other sealed.
    expect(() => hpkeOpen(privateKey, sealed, context)).toThrow(unusable);
  });

  test('opens what it sealed, and nothing for another purpose', () => {
    const sealed = hpkeSeal(x25519PublicKey(privateKey), Buffer.from('message'), context, () => ephemeral);
    expect(hpkeOpen(privateKey, sealed, context).toString()).toBe('message');
    expect(() => hpkeOpen(privateKey, sealed, { ...context, aad: Buffer.from('Count-1') })).toThrow(unusable);
    expect(() => hpkeOpen(privateKey, sealed, { ...context, info: Buffer.alloc(0) })).toThrow(unusable);
    for (let end = 0; end < sealed.length; end++)
      expect(() => hpkeOpen(privateKey, sealed.subarray(0, end), context)).toThrow(unusable);
  });
});

describe('a parcel', () => {
  const key = wrapKey(DataKey.random(session), [parseRecipient(holder.name)]);
  const segment = Buffer.from('a segment');
  const parcel = encodeParcel({ key, segment });

  test('comes apart as it was put together', () => {
    expect(decodeParcel(parcel)).toEqual({ key, segment });
    expect(segmentOf(parcel)).toEqual(segment);
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['half a length', parcel.subarray(0, 3)],
    ['half a key', parcel.subarray(0, 40)],
    ['a length beyond every key', Buffer.concat([Buffer.of(1, 0, 0, 0), Buffer.alloc(100)])],
    ['no key', Buffer.concat([Buffer.alloc(4), segment])],
    ['something else than a key', Buffer.concat([Buffer.of(0, 0, 0, 2), Buffer.from('{}'), segment])],
  ])('that is %s is refused', (_, bytes) => {
    expect(() => decodeParcel(bytes)).toThrow(expect.objectContaining({ code: 'MalformedParcel' }));
  });
});
