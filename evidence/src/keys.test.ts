import { createUser, fromPublic, fromSeed } from '@nats-io/nkeys';
import { describe, expect, test } from 'vitest';
import {
  decodeNkey,
  decodeNkeySeed,
  encodeNkey,
  encodeNkeySeed,
  signRegistration,
  verifyEpochCertificate,
  verifyRegistration,
  verifySignature,
} from './keys.ts';
import { createEpoch, generateSigner, signerFromSeed } from './signer.ts';

const agent = { namespace: 'agents', serviceAccount: 'support-agent' };

describe('an nkey', () => {
  test('is read and written as the NATS library does', () => {
    const theirs = createUser();
    const seed = decodeNkeySeed(new TextDecoder().decode(theirs.getSeed()));
    const ours = signerFromSeed(seed);
    expect(encodeNkey(ours.publicKey)).toBe(theirs.getPublicKey());
    expect(decodeNkey(theirs.getPublicKey())).toEqual(ours.publicKey);
    expect(fromSeed(new TextEncoder().encode(encodeNkeySeed(seed))).getPublicKey()).toBe(theirs.getPublicKey());
    const message = Buffer.from('nonce');
    expect(fromPublic(theirs.getPublicKey()).verify(message, ours.sign(message))).toBe(true);
    expect(verifySignature(ours.publicKey, message, theirs.sign(message))).toBe(true);
  });

  test.each([
    ['a changed character', (key: string) => (key.at(-1) === 'A' ? `${key.slice(0, -1)}B` : `${key.slice(0, -1)}A`)],
    ['a missing character', (key: string) => key.slice(0, -1)],
    ['another kind of key', (key: string) => `A${key.slice(1)}`],
    ['a foreign character', (key: string) => `${key.slice(0, 9)}1${key.slice(10)}`],
    ['something much too long', (key: string) => key.repeat(100)],
    ['nothing', () => ''],
  ])('with %s is refused', (_, change) => {
    const key = encodeNkey(generateSigner().publicKey);
    expect(() => decodeNkey(change(key))).toThrow(expect.objectContaining({ code: 'MalformedKey' }));
  });
});

describe('the way from enrolment key to epoch key', () => {
  const enrolment = generateSigner();
  const nkey = generateSigner();
  const trust = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
  const registered = { nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 };

  test('holds for what the trusted key signed', () => {
    const registration = signRegistration(registered, enrolment);
    expect(verifyRegistration(registration, trust)).toEqual(registered);
    const epoch = createEpoch({ nkey, registration }, 3, 17);
    expect(verifyEpochCertificate(epoch.certificate)).toMatchObject({ nkey: registered.nkey, epoch: 3, notBefore: 17 });
  });

  test('breaks for another enrolment key, another origin, and any changed byte of a statement', () => {
    const registration = signRegistration(registered, enrolment);
    expect(() => verifyRegistration(signRegistration(registered, generateSigner()), trust)).toThrow(
      expect.objectContaining({ code: 'RegistrationUntrusted' }),
    );
    expect(() => verifyRegistration(signRegistration({ ...registered, origin: 'other' }, enrolment), trust)).toThrow(
      expect.objectContaining({ code: 'OriginMismatch' }),
    );
    const { certificate } = createEpoch({ nkey, registration }, 1, 1);
    for (const { body, signature } of [registration, certificate])
      for (let at = 0; at < body.length; at++) {
        const changed = {
          body: body.slice(0, at) + String.fromCharCode(body.charCodeAt(at) ^ 1) + body.slice(at + 1),
          signature,
        };
        expect(() => verifyRegistration(changed, trust)).toThrow(expect.objectContaining({ code: 'RegistrationUntrusted' }));
        expect(() => verifyEpochCertificate(changed)).toThrow();
      }
  });

  test('does not let a registration stand for a certificate, though one key signed both', () => {
    const self = signRegistration(registered, nkey);
    expect(() => verifyEpochCertificate(self)).toThrow(expect.objectContaining({ code: 'CertificateInvalid' }));
  });
});
