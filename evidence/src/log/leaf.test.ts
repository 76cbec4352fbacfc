import { describe, expect, test } from 'vitest';
import { DataKey } from '../data-key.ts';
import { newSessionId } from '../ids.ts';
import { encodeNkey, type Signer, signRegistration, verifySignature } from '../keys.ts';
import { sealSegment } from '../seal-segment.ts';
import { parseSegment } from '../segment.ts';
import { createEpoch } from '../signer.ts';
import { decodeLeaf, encodeLeaf, type LeafKind, segmentLeaf } from './leaf.ts';
import { flipped, generateSigner } from './log.test-support.ts';
import { MAX_ENTRY_BYTES } from './tiles.ts';

const failing = (code: string) => expect.objectContaining({ code }) as Error;
const origin = 'example.com/log';
const session = newSessionId();
const agent = { namespace: 'payments-agents', serviceAccount: 'support-agent', pod: 'bot-7f', podUid: 'c0ffee' };

function aSegment() {
  const nkey = generateSigner();
  const registration = signRegistration({ nkey: encodeNkey(nkey.publicKey), agent, origin, issuedAt: 1 }, generateSigner());
  const epoch = createEpoch({ nkey, registration }, 1, 1);
  const open = { seq: 0, at: 1, mono: 0, type: 'session.open', session, agent, secret: 'select ssn from customers' };
  const sealed = sealSegment({
    origin,
    session,
    number: 0,
    prev: null,
    policy: 'a'.repeat(64),
    key: DataKey.random(session),
    registration,
    epoch,
    firstSeq: 0,
    records: [Buffer.from(JSON.stringify(open))],
    clock: { wall: [1, 2], mono: [1, 2], sealed: 1 },
    counters: { actions: 1, denied: 0, masked: 0, dropped: 0 },
    flags: ['open'],
  });
  return { ...parseSegment(sealed.bytes), key: epoch.signer.publicKey };
}

const sign = (signer: Signer, statement: unknown) => {
  const text = Buffer.from(JSON.stringify(statement));
  return { text, signature: signer.sign(text) };
};
const STATEMENTS: readonly { kind: LeafKind; statement: unknown }[] = [
  {
    kind: 'registration',
    statement: { nkey: encodeNkey(generateSigner().publicKey), registration: 'b'.repeat(64), issuedAt: 1 },
  },
  { kind: 'erasure', statement: { session, order: 'c'.repeat(64), at: 1 } },
  { kind: 'gap', statement: { session, first: 3, last: 4, at: 1 } },
  { kind: 'hold', statement: { session, order: 'c'.repeat(64), at: 1, state: 'hold' } },
  { kind: 'read', statement: { session: null, order: 'c'.repeat(64), at: 1, way: 'export' } },
];

describe('an entry of the log', () => {
  test('holds the header and signature of a segment, to the byte', () => {
    const { headerText, header, signature, signed, key } = aSegment();
    const leaf = decodeLeaf(segmentLeaf({ headerText, signature }));
    expect(leaf).toEqual({ kind: 'segment', text: headerText, signature, statement: header });
    expect(verifySignature(key, Buffer.concat([Buffer.from('chaperone/segment/v2\0'), leaf.text]), leaf.signature)).toBe(true);
    expect(signed.subarray(-headerText.length).equals(headerText)).toBe(true);
  });

  test('names nobody, nothing and none of what was done', () => {
    const bytes = segmentLeaf(aSegment());
    expect(bytes.length).toBeLessThan(2048);
    expect(bytes.length).toBeLessThan(MAX_ENTRY_BYTES);
    for (const word of [...Object.values(agent), 'ssn', 'customers']) expect(bytes.includes(word)).toBe(false);
  });

  test.each(STATEMENTS)('may be of the kind $kind', ({ kind, statement }) => {
    const parts = { kind, ...sign(generateSigner(), statement) };
    expect(decodeLeaf(encodeLeaf(parts))).toEqual({ ...parts, statement });
  });

  test('has numbers of kinds that never change', () => {
    const numbers = STATEMENTS.map(({ kind, statement }) => encodeLeaf({ kind, ...sign(generateSigner(), statement) })[1]);
    expect([segmentLeaf(aSegment())[1], ...numbers]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test.each([
    ['nothing', () => Buffer.alloc(0), 'MalformedLeaf'],
    ['a version alone', (leaf: Buffer) => leaf.subarray(0, 1), 'MalformedLeaf'],
    ['no text', (leaf: Buffer) => leaf.subarray(0, 66), 'MalformedLeaf'],
    ['half a text', (leaf: Buffer) => leaf.subarray(0, -1), 'MalformedLeaf'],
    ['more behind it', (leaf: Buffer) => Buffer.concat([leaf, Buffer.from('x')]), 'MalformedLeaf'],
    ['a text of another kind', (leaf: Buffer) => flipped(flipped(leaf, 1, 0), 1, 1), 'MalformedLeaf'],
    ['another version', (leaf: Buffer) => flipped(leaf, 0, 1), 'UnsupportedVersion'],
    ['another kind', (leaf: Buffer) => flipped(leaf, 1, 5), 'UnsupportedVersion'],
    ['too much', (leaf: Buffer) => Buffer.concat([leaf, Buffer.alloc(8192, ' ')]), 'LimitExceeded'],
  ])('with %s is refused', (_, change, code) => {
    expect(() => decodeLeaf(change(segmentLeaf(aSegment())))).toThrow(failing(code));
  });

  test('is not made of what would not be read again', () => {
    const { signature } = aSegment();
    expect(() => encodeLeaf({ kind: 'segment', text: Buffer.from('{}'), signature })).toThrow(failing('MalformedLeaf'));
    for (const [first, last] of [
      [-1, 0],
      [1, 0],
      [0, 2 ** 32],
    ])
      expect(() => encodeLeaf({ kind: 'gap', ...sign(generateSigner(), { session, first, last, at: 1 }) })).toThrow(
        failing('MalformedLeaf'),
      );
    const { headerText } = aSegment();
    expect(() => segmentLeaf({ headerText, signature: signature.subarray(1) })).toThrow(failing('MalformedLeaf'));
  });
});
