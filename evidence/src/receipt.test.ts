import { describe, expect, test } from 'vitest';
import { EvidenceError } from './errors.ts';
import { generateSigner } from './signer.ts';
import { formatCheckpoint } from './log/checkpoint.ts';
import { cosigner } from './log/cosignature.ts';
import { formatNote, type NoteSigner, noteSigner, signNote } from './log/note.ts';
import { parsePolicy, trustIn, type TrustPolicy } from './log/policy.ts';
import { leavesReader, proveConsistency, proveInclusion } from './log/proof.ts';
import { formatVerifierKey, KEY_TYPE } from './log/vkey.ts';
import { leafHash, merkleRoot } from './merkle.ts';
import {
  CheckpointError,
  formatReceipt,
  type HeldCheckpoint,
  MAX_RECEIPT_BYTES,
  readHeldCheckpoint,
  type Receipt,
  type SegmentPlace,
  verifyReceipt,
} from './receipt.ts';

const ORIGIN = 'prod/1';
const log = noteSigner(ORIGIN, generateSigner());
const session = 's-aaaaaaaaaaaaaaaa';
const leaves = Array.from({ length: 300 }, (_, at) => leafHash(Buffer.from(`segment ${at}`)));
/** Another history behind the first 100 entries. */
const forked = leaves.map((leaf, at) => (at < 100 ? leaf : leafHash(leaf)));
const [one, two] = ['one', 'two'].map((name) =>
  cosigner(`${name}.example`, KEY_TYPE.cosignature, generateSigner(), 1_700_000_000),
);
if (one === undefined || two === undefined) throw new Error('two witnesses');

interface Shown {
  readonly size?: number;
  readonly of?: readonly Buffer[];
  readonly signers?: readonly NoteSigner[];
  readonly origin?: string;
}
function noteOf({ size = 200, of = leaves, signers = [log], origin = ORIGIN }: Shown = {}): string {
  const text = formatCheckpoint({ origin, size, root: merkleRoot(of.slice(0, size)), extensions: [] });
  return formatNote(signNote({ text, signatures: [] }, signers));
}
const held = (shown: Shown = {}): HeldCheckpoint => readHeldCheckpoint(Buffer.from(noteOf({ size: 120, ...shown })));
const consistency = (older: number, size = 200, of = leaves): Receipt['consistency'] => [
  { older, path: proveConsistency(older, size, leavesReader(of)) },
];
const entry = (number: number, size = 200, of = leaves): Receipt['entries'][number] => ({
  session,
  number,
  index: number,
  path: proveInclusion(number, size, leavesReader(of)),
});
/** What an honest log of 200 entries answers to who holds a checkpoint of 120: segments 150 and 199. */
function aReceipt(mods: Partial<Receipt> = {}): Receipt {
  return { checkpoint: noteOf(), consistency: consistency(120), entries: [entry(150), entry(199)], ...mods };
}
const leafOf = ({ number }: SegmentPlace): Buffer | undefined => leaves[number];

function verify(
  receipt: Receipt | Buffer,
  mods: { held?: HeldCheckpoint | undefined; policy?: TrustPolicy; origin?: string } = {},
) {
  const bytes = Buffer.isBuffer(receipt) ? receipt : formatReceipt(receipt);
  return verifyReceipt(bytes, { origin: ORIGIN, policy: trustIn(log.key), held: held(), leafOf, ...mods });
}
function codeOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof EvidenceError) return error.code;
    throw error;
  }
  return undefined;
}

describe('a receipt', () => {
  test('proves what is in the log that goes on from what was held, and is what is held from then on', () => {
    const receipt = aReceipt();
    const verified = verify(receipt);
    expect(verified.proved).toEqual([150, 199].map((number) => ({ session, number })));
    expect(verified.unproved).toEqual([]);
    expect(verified.held.note.toString()).toBe(receipt.checkpoint);
    expect(verified.held.checkpoint.size).toBe(200);
  });

  test.each<[string, Receipt, HeldCheckpoint | undefined]>([
    ['where nothing was held', aReceipt({ consistency: [] }), undefined],
    ['from the empty tree', aReceipt({ consistency: [] }), held({ size: 0 })],
    ['at the same size', aReceipt({ consistency: [] }), held({ size: 200 })],
    ['by one of two older trees', aReceipt({ consistency: [...consistency(7), ...consistency(120)] }), held()],
  ])('is believed %s', (_, receipt, before) => {
    expect(verify(receipt, { held: before }).proved).toHaveLength(2);
  });

  test.each<[string, string, Receipt, HeldCheckpoint | undefined]>([
    [
      'a log whose key is another one',
      'NoteUnsigned',
      aReceipt({ checkpoint: noteOf({ signers: [noteSigner(ORIGIN, generateSigner())] }) }),
      held(),
    ],
    ['a bad signature of the log', 'SignatureInvalid', aReceipt({ checkpoint: noteOf().replace('\n200\n', '\n201\n') }), held()],
    ['a checkpoint of another origin', 'OriginMismatch', aReceipt({ checkpoint: noteOf({ origin: 'prod/2' }) }), held()],
    ['a smaller tree than before', 'CheckpointOlder', aReceipt({ consistency: [] }), held({ size: 201 })],
    ['no proof from what was held', 'ConsistencyMissing', aReceipt({ consistency: consistency(119) }), held()],
    [
      'a proof of another older tree',
      'LogForked',
      aReceipt({ consistency: [{ older: 120, path: consistency(119)[0]?.path ?? [] }] }),
      held(),
    ],
    ['no hashes for a proof', 'LogForked', aReceipt({ consistency: [{ older: 120, path: [] }] }), held()],
    ['another tree of the same size', 'LogForked', aReceipt({ consistency: [] }), held({ size: 200, of: forked })],
    ['a tree that grew from another one', 'LogForked', aReceipt(), held({ of: forked })],
    [
      'a note that is no checkpoint',
      'MalformedNote',
      aReceipt({ checkpoint: formatNote(signNote({ text: 'hello\n', signatures: [] }, [log])) }),
      held(),
    ],
    ['a note that nobody signed', 'MalformedNote', aReceipt({ checkpoint: noteOf().split('\n\n')[0] ?? '' }), held()],
  ])('of %s is not believed (%s)', (_, code, receipt, before) => {
    expect(codeOf(() => verify(receipt, { held: before }))).toBe(code);
  });

  test('of a log that is forked has both checkpoints with it', () => {
    const before = held({ of: forked });
    const receipt = aReceipt();
    const error = (() => {
      try {
        return verify(receipt, { held: before });
      } catch (caught) {
        return caught;
      }
    })();
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error).toMatchObject({ held: { note: before.note }, shown: { note: Buffer.from(receipt.checkpoint) } });
  });

  test('of a log that holds another origin than the segments is not believed, whoever signed it', () => {
    expect(codeOf(() => verify(aReceipt(), { origin: 'prod/2', held: undefined }))).toBe('OriginMismatch');
    expect(codeOf(() => verify(aReceipt(), { held: held({ origin: 'prod/2' }) }))).toBe('OriginMismatch');
  });

  test.each<[string, Receipt['entries'][number]]>([
    ['the proof of another entry', { ...entry(150), path: entry(151).path }],
    ['another place', { ...entry(150), index: 151 }],
    ['an index at the size of the tree', { ...entry(150), index: 200 }],
    ['an index beyond every tree', { ...entry(150), index: Number.MAX_SAFE_INTEGER }],
    ['no hashes', { ...entry(150), path: [] }],
    ['one hash too many', { ...entry(150), path: [...entry(150).path, leaves[0] ?? Buffer.alloc(32)] }],
    ['a proof in a larger tree', entry(150, 201)],
    ['a proof in another tree', entry(150, 200, forked)],
    ['the entry of another segment', { ...entry(151), number: 150 }],
  ])('with %s proves the others and not that one', (_, bad) => {
    const { proved, unproved } = verify(aReceipt({ entries: [bad, entry(199)] }));
    expect([proved, unproved]).toEqual([[{ session, number: 199 }], [{ session, number: 150 }]]);
  });

  test('says nothing of segments that wait for none', () => {
    const other = { ...entry(150), session: 's-bbbbbbbbbbbbbbbb' };
    const receipt = formatReceipt(aReceipt({ entries: [other, entry(199)] }));
    const known = (place: SegmentPlace): Buffer | undefined => (place.session === session ? leafOf(place) : undefined);
    const trust = { origin: ORIGIN, policy: trustIn(log.key), held: held(), leafOf: known };
    expect(verifyReceipt(receipt, trust)).toMatchObject({ proved: [{ session, number: 199 }], unproved: [] });
  });
});

describe('a receipt where witnesses are asked for', () => {
  const policy = parsePolicy(
    Buffer.from(
      [
        `log ${formatVerifierKey(log.key)}`,
        `witness one ${formatVerifierKey(one.key)}`,
        `witness two ${formatVerifierKey(two.key)}`,
        'group both all one two',
        'quorum both',
        '',
      ].join('\n'),
    ),
  );

  test.each<[string, readonly NoteSigner[], string | undefined]>([
    ['both', [log, one, two], undefined],
    ['one', [log, one], 'QuorumMissing'],
    ['none', [log], 'QuorumMissing'],
    ['one of another name', [log, one, cosigner('three.example', KEY_TYPE.cosignature, generateSigner(), 1)], 'QuorumMissing'],
    ['one and a forger', [log, one, { ...two, sign: () => Buffer.alloc(72) }], 'SignatureInvalid'],
    ['both and no log', [one, two], 'NoteUnsigned'],
  ])('counts with the cosignatures of %s', (_, signers, code) => {
    expect(codeOf(() => verify(aReceipt({ checkpoint: noteOf({ signers }) }), { policy }))).toBe(code);
  });
});

/** An honest receipt, with its JSON changed. */
const text = (change: (json: { checkpoint: string; consistency: object[]; entries: object[] }) => unknown): Buffer => {
  const json = JSON.parse(formatReceipt(aReceipt()).toString()) as Parameters<typeof change>[0];
  return Buffer.from(JSON.stringify(change(json)));
};

describe('what is no receipt', () => {
  test.each<[string, Buffer, string]>([
    ['nothing', Buffer.alloc(0), 'MalformedReceipt'],
    ['no JSON', Buffer.from('{'), 'MalformedReceipt'],
    ['one of an older version', Buffer.from(JSON.stringify({ session, number: 1, digest: '0'.repeat(64) })), 'MalformedReceipt'],
    ['more bytes than a receipt has', Buffer.alloc(MAX_RECEIPT_BYTES + 1, 0x20), 'LimitExceeded'],
    ['no entries', text((json) => ({ ...json, entries: [] })), 'MalformedReceipt'],
    [
      'more entries than a receipt has',
      text((json) => ({ ...json, entries: Array.from({ length: 65 }, () => json.entries[0]) })),
      'MalformedReceipt',
    ],
    [
      'more older trees than a receipt has',
      text((json) => ({ ...json, consistency: Array.from({ length: 3 }, () => json.consistency[0]) })),
      'MalformedReceipt',
    ],
    [
      'a proof of 54 hashes',
      text((json) => ({ ...json, entries: [{ ...json.entries[0], path: Buffer.alloc(54 * 32).toString('base64') }] })),
      'MalformedReceipt',
    ],
    [
      'half a hash',
      text((json) => ({ ...json, entries: [{ ...json.entries[0], path: Buffer.alloc(48).toString('base64') }] })),
      'MalformedReceipt',
    ],
    [
      'an index that is no number',
      text((json) => ({ ...json, entries: [{ ...json.entries[0], index: 1.5 }] })),
      'MalformedReceipt',
    ],
    ['an index below zero', text((json) => ({ ...json, entries: [{ ...json.entries[0], index: -1 }] })), 'MalformedReceipt'],
    ['a field that nobody knows', text((json) => ({ ...json, more: 1 })), 'MalformedReceipt'],
  ])('is refused: %s', (_, bytes, code) => {
    expect(codeOf(() => verify(bytes))).toBe(code);
  });
});
