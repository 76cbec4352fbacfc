import { describe, expect, test } from 'vitest';
import {
  type Counter,
  countsOn,
  MAX_PENDING,
  signCounter,
  type SignedCounter,
  verifyCounter,
  verifyCounterStatement,
} from './counter.ts';
import { encodeNkey, signEpochCertificate, signRegistration } from './keys.ts';
import { signerFromSeed } from './signer.ts';

const [enrolment, nkey, epochKey, stranger] = [1, 2, 3, 4].map((byte) => signerFromSeed(Buffer.alloc(32, byte))) as [
  ReturnType<typeof signerFromSeed>,
  ReturnType<typeof signerFromSeed>,
  ReturnType<typeof signerFromSeed>,
  ReturnType<typeof signerFromSeed>,
];
const pod = { nkey: encodeNkey(nkey.publicKey), origin: 'test' };
const agent = { namespace: 'agents', serviceAccount: 'bot', pod: 'bot-1', podUid: 'uid-1' };
const registration = signRegistration({ ...pod, agent, issuedAt: 1 }, enrolment);
const trust = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const WALL = 1_790_000_000_000;
const certificateOf = (key = epochKey, by = nkey) =>
  signEpochCertificate(
    {
      nkey: encodeNkey(by.publicKey),
      key: key.publicKey.toString('base64url'),
      epoch: 1,
      notBefore: WALL - 1_000,
      notAfter: WALL + 1_000,
    },
    by,
  );
const epoch = { signer: epochKey, certificate: certificateOf() };
const NAME = 's-aaaaaaaaaaaaaaaa';

function aCounter(mods: Partial<Counter> = {}): Counter {
  return {
    ...pod,
    number: 7,
    opened: 3,
    newest: 's-aaaaaaaaaaaaaaab',
    sealed: 5,
    last: { session: NAME, number: 1, link: '0'.repeat(64) },
    pending: [
      [NAME, 2],
      ['s-aaaaaaaaaaaaaaab', 0],
    ],
    more: 0,
    clock: { wall: WALL, mono: 12.5 },
    ...mods,
  };
}
const resigned = (body: string): SignedCounter => ({
  certificate: epoch.certificate,
  counter: { body, signature: epochKey.sign(Buffer.from(`chaperone/counter/v1\0${body}`)).toString('base64url') },
});

describe('a counter', () => {
  test('has one encoding and one signature', () => {
    const { counter, certificate } = signCounter(aCounter(), epoch);
    expect(counter).toEqual({
      body:
        `{"origin":"test","nkey":"${pod.nkey}","number":7,"opened":3,"newest":"s-aaaaaaaaaaaaaaab","sealed":5,` +
        `"last":{"session":"s-aaaaaaaaaaaaaaaa","number":1,"link":"${'0'.repeat(64)}"},` +
        '"pending":[["s-aaaaaaaaaaaaaaaa",2],["s-aaaaaaaaaaaaaaab",0]],"more":0,"clock":{"wall":1790000000000,"mono":12.5}}',
      signature: 'yfWhPS9Msse9JUHjp2pICwD2yrOcF_9R-njF2yx-8vJZJAR8FF-ZD3K2G-X57cwuzrQ4zPZMwQT3NHbTdz-7CQ',
    });
    expect(certificate).toBe(epoch.certificate);
  });

  test('is verified by what vouches for its pod', () => {
    const signed = signCounter(aCounter(), epoch);
    expect(verifyCounter(signed, pod)).toEqual({ counter: aCounter(), epoch: 1 });
    expect(verifyCounterStatement({ ...signed, registration }, trust)).toMatchObject({ agent, epoch: 1 });
  });

  test('fits, whatever it names', () => {
    const most = aCounter({
      origin: 'o'.repeat(253),
      number: Number.MAX_SAFE_INTEGER,
      opened: Number.MAX_SAFE_INTEGER,
      sealed: Number.MAX_SAFE_INTEGER,
      pending: Array.from({ length: MAX_PENDING }, () => [NAME, 0xffff_ffff]),
      more: Number.MAX_SAFE_INTEGER,
      clock: { wall: -1.234_567_890_123_456e-200, mono: -1.234_567_890_123_456e-200 },
    });
    expect(signCounter(most, epoch).counter.body.length).toBeLessThanOrEqual(2048);
    expect(() => signCounter({ ...most, pending: [...most.pending, [NAME, 0]] }, epoch)).toThrow('Too big');
  });

  test.each<[string, SignedCounter, string]>([
    ['signed by another key', signCounter(aCounter(), { ...epoch, signer: stranger }), 'CounterInvalid'],
    [
      'of a key that another pod certified',
      signCounter(aCounter(), { signer: epochKey, certificate: certificateOf(epochKey, stranger) }),
      'CertificateInvalid',
    ],
    ['of another pod', signCounter(aCounter({ nkey: encodeNkey(stranger.publicKey) }), epoch), 'CertificateInvalid'],
    ['of another origin', signCounter(aCounter({ origin: 'other' }), epoch), 'OriginMismatch'],
    ['after the time of its key', signCounter(aCounter({ clock: { wall: WALL + 1_001, mono: 1 } }), epoch), 'EpochExceeded'],
    ['before the time of its key', signCounter(aCounter({ clock: { wall: WALL - 1_001, mono: 1 } }), epoch), 'EpochExceeded'],
    ['that is no JSON', resigned('{'), 'CounterInvalid'],
    ['with a key that none has', resigned(JSON.stringify({ ...aCounter(), by: 'me' })), 'CounterInvalid'],
    ['that counts below zero', resigned(JSON.stringify(aCounter({ opened: -1 }))), 'CounterInvalid'],
    ['that names no session', resigned(JSON.stringify(aCounter({ newest: '../\r\n\0' }))), 'CounterInvalid'],
    [
      'that is a registration',
      { certificate: epoch.certificate, counter: signRegistration({ ...pod, agent, issuedAt: 1 }, epochKey) },
      'CounterInvalid',
    ],
  ])('%s is refused', (_, signed, code) => {
    expect(() => verifyCounter(signed, pod)).toThrow(expect.objectContaining({ code }));
  });

  test('that no trusted key vouches for is refused', () => {
    const theirs = signRegistration({ ...pod, agent, issuedAt: 1 }, stranger);
    expect(() => verifyCounterStatement({ ...signCounter(aCounter(), epoch), registration: theirs }, trust)).toThrow(
      expect.objectContaining({ code: 'RegistrationUntrusted' }),
    );
  });

  test.each<[string, Partial<Counter>, number, boolean]>([
    ['counts on', { number: 8, opened: 4, sealed: 6 }, 1, true],
    ['counts on in a later epoch', { number: 8 }, 2, true],
    ['is the same', {}, 1, false],
    ['is older', { number: 6 }, 1, false],
    ['is of an earlier epoch', { number: 8 }, 0, false],
    ['has fewer sessions', { number: 8, opened: 2 }, 1, false],
    ['has fewer segments', { number: 8, sealed: 4 }, 1, false],
  ])('that %s', (_, mods, ofEpoch, follows) => {
    expect(countsOn({ counter: aCounter(), epoch: 1 }, { counter: aCounter(mods), epoch: ofEpoch })).toBe(follows);
  });
});
