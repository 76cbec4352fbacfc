import { zstdCompressSync } from 'node:zlib';
import { seededRandom } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { DataKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import { leafHash } from './merkle.ts';
import { isSessionOf, newSessionId, SESSION_ID } from './ids.ts';
import { encodeNkey, type PodIdentity, signRegistration } from './keys.ts';
import { verifyChain } from './judge.ts';
import type { SessionRecord } from './record.ts';
import { encryptPayload, type SealedSegment, type SegmentInput, sealSegment } from './seal-segment.ts';
import { RECORD_SALT_BYTES, SegmentKeys } from './sealing.ts';
import { MAX_PLAIN_BYTES, MAX_RECORDS, openSegment, parseSegment } from './segment.ts';
import { createEpoch, generateSigner } from './signer.ts';
import { readSegment, verifySegment } from './verify.ts';

const enrolment = generateSigner();
const trust = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const agent = { namespace: 'agents', serviceAccount: 'support-agent', pod: 'bot-1' };
const pod = (): PodIdentity => {
  const nkey = generateSigner();
  const registration = { nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 };
  return { nkey, registration: signRegistration(registration, enrolment) };
};

const opening = (session: string): SessionRecord => ({
  seq: 0,
  at: 1,
  mono: 0,
  type: 'session.open',
  session,
  agent,
  resource: { namespace: 'data', name: 'orders-db', protocol: 'postgres' },
  purpose: 'tests',
  policies: [],
  mode: 'Enforce',
  client: { address: '127.0.0.1:1', tls: false },
});
const note = (seq: number): SessionRecord => ({
  seq,
  at: 1,
  mono: 0,
  type: 'note',
  code: 'Test',
  message: `record ${seq} `.repeat(9),
});
const closing = (seq: number): SessionRecord => ({
  seq,
  at: 1,
  mono: 0,
  type: 'session.close',
  code: 'Closed',
  reason: 'done',
  actions: 0,
  denied: 0,
  maskedValues: 0,
});

/** A session of segments of three records each; `mods` change the input of the segment with that number. */
function aSession(options: { segments?: number; close?: boolean; mods?: (input: SegmentInput) => SegmentInput } = {}) {
  const { segments = 3, close = true, mods = (input: SegmentInput) => input } = options;
  const session = newSessionId();
  const key = DataKey.random(session);
  const identity = pod();
  const epoch = createEpoch(identity, 1, 1);
  const sealed: SealedSegment[] = [];
  for (let number = 0; number < segments; number++) {
    const last = close && number === segments - 1;
    const first = number * 3;
    const records = [number === 0 ? opening(session) : note(first), note(first + 1), last ? closing(first + 2) : note(first + 2)];
    sealed.push(
      sealSegment(
        mods({
          origin: 'test',
          session,
          number,
          prev: sealed.at(-1)?.link ?? null,
          policy: 'p',
          key,
          epoch,
          firstSeq: first,
          registration: identity.registration,
          records: records.map((record) => Buffer.from(JSON.stringify(record))),
          clock: { wall: [1, 2], mono: [0, 1], sealed: 1 },
          counters: { actions: 0, denied: 0, masked: 0, dropped: 0 },
          flags: [...(number === 0 ? (['open'] as const) : []), ...(last ? (['close'] as const) : [])],
        }),
      ),
    );
  }
  return { session, key, identity, sealed, bytes: sealed.map((segment) => segment.bytes) };
}

/** The same segment with this payload in place of its own, under the same keys and the same signature. */
function withPayload(bytes: Buffer, key: DataKey, packed: Buffer): Buffer {
  const { header, payload } = parseSegment(bytes);
  const keys = new SegmentKeys(key, header.number, Buffer.from(header.key.salt, 'hex'));
  return Buffer.concat([bytes.subarray(0, bytes.length - payload.length), ...encryptPayload(keys, packed)]);
}

describe('a sealed segment', () => {
  test('opens to the records and header that went in', () => {
    const { bytes, sealed, session, key } = aSession();
    const [first = Buffer.alloc(0)] = bytes;
    const opened = verifySegment(first, trust, key);
    expect(readSegment(verifySegment(first, trust), key)).toEqual(opened);
    expect(opened.records).toEqual([opening(session), note(1), note(2)]);
    expect(opened).toMatchObject({ digest: sealed[0]?.digest, link: sealed[0]?.link, signer: { agent } });
    expect(opened.header).toMatchObject({ number: 0, records: { first: 0, last: 2, count: 3 }, flags: ['open'] });
  });

  test('proves all but its records to who has no key, and shows nothing of them', () => {
    const { bytes } = aSession();
    const [first = Buffer.alloc(0)] = bytes;
    expect(verifySegment(first, trust)).toMatchObject({ signer: { agent }, header: { records: { count: 3 } } });
    expect(verifySegment(first, trust)).not.toHaveProperty('records');
    for (const word of ['orders-db', 'session.open', 'record 1 ']) expect(first.includes(word), word).toBe(false);
  });

  test('is read by the key of its own session and by no other', () => {
    const { bytes, session, key } = aSession({ segments: 1 });
    const [first = Buffer.alloc(0)] = bytes;
    for (const other of [DataKey.random(session), new DataKey(newSessionId(), key.secret)])
      expect(() => openSegment(first, other)).toThrow(expect.objectContaining({ code: 'KeyUnusable' }));
  });

  test('has other keys, salts and hashes each time that the same records are sealed', () => {
    const { key, bytes } = aSession({ segments: 1 });
    let input: SegmentInput | undefined;
    aSession({ segments: 1, mods: (each) => (input = { ...each, session: key.session, key }) });
    if (input === undefined) throw new Error('nothing was sealed');
    const [a, b] = [sealSegment(input), sealSegment(input)].map((sealed) => parseSegment(sealed.bytes));
    expect(a?.header.key.id).toBe(b?.header.key.id);
    expect(a?.header.key.id).toBe(parseSegment(bytes[0] ?? Buffer.alloc(0)).header.key.id);
    expect(a?.header.key.salt).not.toBe(b?.header.key.salt);
    expect(a?.payload.length).toBe(b?.payload.length);
    expect(a?.payload.equals(b?.payload ?? Buffer.alloc(0))).toBe(false);
    const [inA, inB] = [a, b].map((segment) => hashesOf(segment?.leaves ?? Buffer.alloc(0)));
    expect(inA?.length).toBeGreaterThan(0);
    expect(inA?.some((leaf, at) => leaf === inB?.[at])).toBe(false);
  });

  test('has a hash that nobody can try records against without the salt', () => {
    const { bytes, key } = aSession({ segments: 1 });
    const { texts, leaves, header } = openSegment(bytes[0] ?? Buffer.alloc(0), key);
    const all = new SegmentKeys(key, 0, Buffer.from(header.key.salt, 'hex')).salts(texts.length);
    const salts = texts.map((_, at) => all.subarray(RECORD_SALT_BYTES * at, RECORD_SALT_BYTES * (at + 1)));
    expect(new Set(salts.map(String)).size).toBe(texts.length);
    texts.forEach((text, at) => {
      const leaf = hashesOf(leaves)[at];
      expect(leaf).not.toBe(leafHash(text).toString('hex'));
      expect(leaf).toBe(leafHash(Buffer.concat([salts[at] ?? Buffer.alloc(0), text])).toString('hex'));
    });
  });

  test('is refused with a typed error at every truncation and with every byte changed, with the key and without', () => {
    const { key, bytes: all } = aSession({ segments: 1 });
    const [bytes = Buffer.alloc(0)] = all;
    for (let end = 0; end < bytes.length; end++) {
      expect(() => verifySegment(bytes.subarray(0, end), trust)).toThrow(EvidenceError);
      expect(() => verifySegment(bytes.subarray(0, end), trust, key)).toThrow(EvidenceError);
    }
    const random = seededRandom(7);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      expect(() => verifySegment(changed, trust), `byte ${at}`).toThrow(EvidenceError);
      expect(() => verifySegment(changed, trust, key), `byte ${at}, with the key`).toThrow(EvidenceError);
    }
    expect(() => verifySegment(Buffer.concat([bytes, Buffer.of(0)]), trust)).toThrow(EvidenceError);
  });

  test('does not decompress more than it may, whatever its header says', () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
    const { bytes, key } = aSession({ segments: 1 });
    const changed = withPayload(bytes[0] ?? Buffer.alloc(0), key, bomb);
    expect(() => openSegment(changed, key)).toThrow(expect.objectContaining({ code: 'PayloadAltered' }));
  });

  test.each([
    ['one record too many', { records: Array.from({ length: MAX_RECORDS + 1 }, () => Buffer.from('{}')) }],
    ['one byte too many', { records: [Buffer.alloc(MAX_PLAIN_BYTES - 3)] }],
  ])('takes no %s', (_, mod) => {
    expect(() => aSession({ mods: (input) => ({ ...input, ...mod }) })).toThrow(
      expect.objectContaining({ code: 'LimitExceeded' }),
    );
  });

  test.each([
    ['no open flag on segment 0', { flags: [] }],
    ['a close flag without a closing record', { flags: ['open' as const, 'close' as const] }],
    ['a previous segment before segment 0', { prev: '0'.repeat(64) }],
    ['numbers that start later', { firstSeq: 1 }],
    ['records of another shape', { records: [Buffer.from('{"seq":0}')] }],
    ['no records and no torn flag', { records: [] }],
  ])('with %s is refused', (_, mod) => {
    const { bytes, key } = aSession({ segments: 1, close: false, mods: (input) => ({ ...input, ...mod }) });
    expect(() => openSegment(bytes[0] ?? Buffer.alloc(0), key)).toThrow(expect.objectContaining({ code: 'MalformedSegment' }));
  });

  test('that says another agent than its registration is refused', () => {
    const { bytes, key } = aSession({
      segments: 1,
      mods: (input) => ({
        ...input,
        records: input.records.map((text) => Buffer.from(text.toString().replace('"support-agent"', '"admin-agent"'))),
      }),
    });
    expect(() => verifySegment(bytes[0] ?? Buffer.alloc(0), trust, key)).toThrow(
      expect.objectContaining({ code: 'AgentMismatch' }),
    );
  });
});

describe('the verifier of a session', () => {
  test('calls it complete when nothing is missing', () => {
    const { session, key, bytes } = aSession();
    const complete = { verdict: 'complete', segments: 3, records: 9, agent };
    expect(verifyChain(session, bytes, trust)).toMatchObject({ ...complete, contents: 'sealed' });
    expect(verifyChain(session, bytes, trust, key)).toMatchObject({ ...complete, contents: 'verified' });
  });

  test.each([
    ['open without its end', { close: false }, 'open'],
    [
      'interrupted after a torn end',
      { close: false, mods: (i: SegmentInput): SegmentInput => (i.number === 2 ? { ...i, flags: ['torn'] } : i) },
      'interrupted',
    ],
    [
      'gap declared where records were dropped',
      { mods: (i: SegmentInput): SegmentInput => ({ ...i, counters: { ...i.counters, dropped: 2 } }) },
      'gap declared',
    ],
  ] as const)('calls it %s', (_, options, verdict) => {
    const { session, bytes } = aSession(options);
    expect(verifyChain(session, bytes, trust)).toMatchObject({ verdict, records: 9 });
  });

  test('finds a deleted segment and says which', () => {
    const { session, bytes } = aSession({ segments: 4 });
    for (const missing of [0, 1, 2])
      expect(verifyChain(session, bytes.toSpliced(missing, 1), trust)).toMatchObject({
        verdict: 'incomplete',
        segments: missing,
        break: { segment: missing, code: 'SegmentMissing' },
      });
    expect(verifyChain(session, bytes.slice(0, 3), trust).verdict).toBe('open');
    expect(verifyChain(session, [], trust).verdict).toBe('incomplete');
    expect(verifyChain(session, bytes.with(1, Buffer.alloc(0)), trust)).toMatchObject({
      verdict: 'incomplete',
      break: { segment: 1, message: 'segment 1 is missing' },
    });
  });

  test('finds two exchanged segments and a repeated one', () => {
    const { session, bytes } = aSession();
    const [a = Buffer.alloc(0), b = Buffer.alloc(0), c = Buffer.alloc(0)] = bytes;
    expect(verifyChain(session, [a, c, b], trust).break).toMatchObject({ segment: 1 });
    expect(verifyChain(session, [a, a, b, c], trust)).toMatchObject({
      verdict: 'altered',
      break: { segment: 1, code: 'SegmentMisplaced' },
    });
  });

  test('names the record that was changed, though the payload was packed anew', () => {
    const { session, key, bytes } = aSession();
    const [a = Buffer.alloc(0), b = Buffer.alloc(0)] = bytes;
    const { texts } = openSegment(b, key);
    const changed = texts.map((text, index) => (index === 2 ? Buffer.from(text.toString().replace('record', 'rec0rd')) : text));
    const plain = Buffer.concat(changed.flatMap((text) => [Buffer.from([0, 0, text.length >> 8, text.length & 255]), text]));
    const forged = withPayload(b, key, zstdCompressSync(plain));
    expect(verifyChain(session, [a, forged], trust)).toMatchObject({
      verdict: 'altered',
      break: { segment: 1, code: 'PayloadAltered' },
    });
    expect(verifyChain(session, [a, forged], trust, key)).toMatchObject({
      verdict: 'altered',
      segments: 1,
      records: 3,
      break: { segment: 1, record: 5, code: 'RecordAltered' },
    });
  });

  test('does not take segments that another enrolled pod signed for this session', () => {
    const { session, key, bytes } = aSession();
    const other = pod();
    const stolen = openSegment(bytes[1] ?? Buffer.alloc(0), key);
    const forged = sealSegment({
      origin: 'test',
      session,
      number: 1,
      prev: stolen.header.prev,
      policy: 'p',
      key,
      epoch: createEpoch(other, 9, 1),
      firstSeq: 3,
      registration: other.registration,
      records: stolen.texts,
      clock: stolen.header.clock,
      counters: stolen.header.counters,
      flags: [],
    });
    const found = verifyChain(session, bytes.with(1, forged.bytes), trust);
    expect(found).toMatchObject({ verdict: 'altered', break: { segment: 1, code: 'ChainBroken' } });
  });

  test('does not take a segment that was sealed under another key than those before it', () => {
    const { session, bytes } = aSession({
      mods: (input) => (input.number === 1 ? { ...input, key: DataKey.random(input.session) } : input),
    });
    expect(verifyChain(session, bytes, trust)).toMatchObject({
      verdict: 'altered',
      break: { segment: 1, code: 'ChainBroken', message: 'the segment was sealed under another data key' },
    });
  });

  test('does not take a session under another origin or enrolment key', () => {
    const { session, bytes } = aSession();
    expect(verifyChain(session, bytes, { ...trust, origin: 'elsewhere' }).break?.code).toBe('OriginMismatch');
    expect(verifyChain(session, bytes, { ...trust, enrolmentKeys: [] }).break?.code).toBe('RegistrationUntrusted');
  });
});

test('session ids have 16 base32 characters and do not repeat', () => {
  const ids = Array.from({ length: 1000 }, () => newSessionId());
  expect(ids.every((id) => SESSION_ID.test(id))).toBe(true);
  expect(new Set(ids).size).toBe(1000);
});

test('a session id says which pod made it, and of no other pod', () => {
  const ids = Array.from({ length: 1000 }, () => newSessionId('pod-uid'));
  expect(new Set(ids).size).toBe(1000);
  expect(ids.every((id) => SESSION_ID.test(id) && isSessionOf(id, 'pod-uid'))).toBe(true);
  expect(ids.filter((id) => isSessionOf(id, 'another-uid'))).toEqual([]);
  for (const id of ['', 's-1', 'x', newSessionId().slice(0, 17)]) expect(isSessionOf(id, 'pod-uid')).toBe(false);
});

function hashesOf(leaves: Buffer): string[] {
  return leaves.toString('hex').match(/.{64}/g) ?? [];
}
