import { createHash } from 'node:crypto';
import { seededRandom } from '@chaperone/testing';
import {
  appendEntries,
  cosigner,
  DataKey,
  EMPTY_TREE,
  encodeNkey,
  type Epoch,
  formatCheckpoint,
  formatNote,
  formatVerifierKey,
  KEY_TYPE,
  leafHash,
  leavesReader,
  type Member,
  members,
  mlDsaSigner,
  noteSigner,
  sealOrder,
  sealReading,
  parseSegment,
  type PodIdentity,
  proveConsistency,
  proveInclusion,
  rangeSubtrees,
  sealSegment,
  segmentLeaf,
  type SessionRecord,
  signEpochCertificate,
  signerFromSeed,
  signNote,
  signRegistration,
  treeRoot,
} from '../src/index.ts';

/*
 * Evidence whose keys and contents follow from a seed: three sessions of two pods, the log that they are in, and files of it. What is broken
 * about them is corpus.ts's.
 */
export const ORIGIN = 'test.example/1';
const random = seededRandom(20_261_130);
export const bytesOf = (length: number): Buffer => Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
/** One of so many. */
export const below = (count: number): number => Math.floor(random() * count);
export const aSigner = (): ReturnType<typeof signerFromSeed> => signerFromSeed(bytesOf(32));

export const enrolment = aSigner();
export const logKey = aSigner();
export const log = noteSigner(ORIGIN, logKey);
const witnesses = [
  cosigner('w1.example', KEY_TYPE.cosignature, aSigner(), 1_790_000_000),
  cosigner('w2.example', KEY_TYPE.mlDsa44, mlDsaSigner(bytesOf(32)), 1_790_000_001),
  cosigner('w3.example', KEY_TYPE.cosignature, aSigner(), 1_790_000_002),
];
export const stranger = noteSigner(ORIGIN, aSigner());

export const TRUST = { origin: ORIGIN, enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
export const POLICY = [
  '# the log, and two of three witnesses',
  `log ${formatVerifierKey(log.key)} https://log.example`,
  ...witnesses.map(({ key }, at) => `witness w${at + 1} ${formatVerifierKey(key)}`),
  'group two 2 w1 w2 w3',
  'quorum two',
  '',
].join('\n');

export function aPod(agent = { namespace: 'agents', serviceAccount: 'bot', pod: 'bot-1' }, by = enrolment): PodIdentity {
  const nkey = aSigner();
  return {
    nkey,
    registration: signRegistration({ nkey: encodeNkey(nkey.publicKey), agent, origin: ORIGIN, issuedAt: 1 }, by),
  };
}
/** When epoch keys sign, unless something else is said. */
export const BOUNDS = { notBefore: 1_000, notAfter: 3_601_000 };
/** As createEpoch makes one, of a key that follows from the seed. */
export function anEpoch({ nkey }: PodIdentity, number = 1, certified = nkey, bounds = BOUNDS): Epoch {
  const signer = aSigner();
  const key = signer.publicKey.toString('base64url');
  const certificate = signEpochCertificate({ nkey: encodeNkey(nkey.publicKey), key, epoch: number, ...bounds }, certified);
  return { number, signer, certificate, ...bounds };
}

export const aName = (): string =>
  `s-${Array.from({ length: 16 }, () => 'abcdefghijklmnopqrstuvwxyz234567'.charAt(below(32))).join('')}`;

type SegmentInput = Parameters<typeof sealSegment>[0];
export interface Made {
  readonly session: string;
  readonly pod: PodIdentity;
  readonly epoch: Epoch;
  readonly key: DataKey;
  readonly segments: readonly Buffer[];
}

export interface Wanted {
  readonly session?: string;
  readonly pod?: PodIdentity;
  readonly segments?: number;
  /** Of its last segment. */
  readonly close?: boolean;
  readonly torn?: boolean;
  readonly dropped?: number;
  /** What a statement and the texts around it say. */
  readonly text?: string;
  /** Changes what is sealed as one segment. */
  readonly mods?: (input: SegmentInput) => SegmentInput;
}

const AS_IT_IS = (input: SegmentInput): SegmentInput => input;
/** Sealed segments of a session; each but for its opening and its end has an action and what it gave. */
export function aSession(wanted: Wanted = {}): Made {
  const { session, pod, segments, text, mods } = {
    session: aName(),
    pod: aPod(),
    segments: 3,
    text: 'select 1',
    mods: AS_IT_IS,
    ...wanted,
  };
  const epoch = anEpoch(pod);
  const key = new DataKey(session, createHash('sha256').update(session).digest());
  const sealed: ReturnType<typeof sealSegment>[] = [];
  let seq = 0;
  const stamp = (): Stamp => ({ seq, at: 1_790_000_000_000 + seq, mono: seq++ });
  for (let number = 0; number < segments; number++) {
    const firstSeq = seq;
    const end: Pick<Wanted, 'close' | 'torn' | 'dropped'> = number === segments - 1 ? wanted : { close: false };
    const closes = end.close ?? true;
    const records = [
      ...(number === 0 ? [opening(session, stamp(), text)] : []),
      ...acted(number, text, stamp),
      ...(closes ? [ended(segments, stamp())] : []),
    ];
    const input: SegmentInput = {
      origin: ORIGIN,
      session,
      number,
      prev: sealed.at(-1)?.link ?? null,
      policy: 'p',
      key,
      epoch,
      firstSeq,
      registration: pod.registration,
      records: records.map((record) => Buffer.from(JSON.stringify(record))),
      clock: { wall: [1_790_000_000_000 + firstSeq, 1_790_000_000_000 + seq], mono: [firstSeq, seq], sealed: epoch.notBefore },
      counters: { actions: number + 1, denied: 0, masked: 0, dropped: end.dropped ?? 0 },
      flags: [
        ...(number === 0 ? (['open'] as const) : []),
        ...(closes ? (['close'] as const) : []),
        ...(end.torn === true ? (['torn'] as const) : []),
      ],
    };
    sealed.push(sealSegment(mods(input)));
  }
  return { session, pod, epoch, key, segments: sealed.map(({ bytes }) => bytes) };
}

interface Stamp {
  readonly seq: number;
  readonly at: number;
  readonly mono: number;
}

function acted(action: number, text: string, stamp: () => Stamp): SessionRecord[] {
  const effects = [{ verb: 'select', object: text, via: 'direct' as const, verdict: 'allow' as const }];
  return [
    { ...stamp(), type: 'action', action, text, bytes: text.length, verdict: 'allow', code: 'Allowed', reason: text, effects },
    { ...stamp(), type: 'rows', action, rows: [[`t:${text}`, null]] },
  ];
}

function ended(actions: number, stamp: Stamp): SessionRecord {
  return { ...stamp, type: 'session.close', code: 'Closed', reason: 'done', actions, denied: 0, maskedValues: 0 };
}

function opening(session: string, stamp: Stamp, purpose: string): SessionRecord {
  return {
    ...stamp,
    type: 'session.open',
    session,
    agent: { namespace: 'agents', serviceAccount: 'bot', pod: 'bot-1' },
    resource: { namespace: 'data', name: 'orders-db', protocol: 'postgres' },
    purpose,
    policies: [],
    mode: 'Enforce',
    client: { address: '127.0.0.1:1', tls: false },
  };
}

export interface Signing {
  readonly by?: readonly ReturnType<typeof noteSigner>[];
  readonly cosigned?: readonly number[];
  readonly origin?: string;
}

/** An order of erasure, by the log's key unless another is said. */
export const anErasure = (session: string, by = logKey): ReturnType<typeof sealOrder> =>
  sealOrder(
    { kind: 'erasure', session, by: 'alice@shop.test', reason: 'request 4711', at: 1_790_000_100_000, salt: '5a'.repeat(16) },
    by,
  );

/** That somebody read a session, or several, by the log's key unless another is said. */
export const aReading = (session: string | null, by = logKey): ReturnType<typeof sealReading> => {
  const period = session === null ? { period: { from: 1, to: 2 } } : {};
  const reader = `jane\r\n\0=1+1 \u202e\ud800`;
  return sealReading(
    { kind: 'read', session, ...period, way: 'replay', by: reader, at: 1_790_000_200_000, salt: 'a5'.repeat(16) },
    by,
  );
};

/** A log of entries. */
export class World {
  readonly entries: Buffer[] = [];

  addEntry(entry: Buffer): number {
    return this.entries.push(entry) - 1;
  }

  /** The entry of a segment, by its number. */
  add(segment: Buffer): number {
    return this.entries.push(segmentLeaf(parseSegment(segment))) - 1;
  }

  addSession({ segments }: Made): number[] {
    return segments.map((segment) => this.add(segment));
  }

  get size(): number {
    return this.entries.length;
  }

  checkpoint(size = this.size, { by = [log], cosigned = [0, 1], origin = ORIGIN }: Signing = {}): Buffer {
    const root = treeRoot(appendEntries(EMPTY_TREE, this.entries.slice(0, size)).tree);
    const text = formatCheckpoint({ origin, size, root, extensions: [] });
    const signers = [...by, ...cosigned.flatMap((at) => witnesses[at] ?? [])];
    return Buffer.from(formatNote(signNote({ text, signatures: [] }, signers)));
  }

  #reader(size: number): ReturnType<typeof leavesReader> {
    return leavesReader(this.entries.slice(0, size).map(leafHash));
  }

  proof(index: number, checkpoint: Buffer, size = this.size): Member {
    return members.proof({ index, path: proveInclusion(index, size, this.#reader(size)), checkpoint });
  }

  consistency(older: number, size = this.size): Member {
    return members.consistency({ older, path: proveConsistency(older, size, this.#reader(size)) });
  }

  /** A range and its entries, so many in a member. */
  range(from: number, to: number, chunk = 4): Member[] {
    const hashes = rangeSubtrees({ from, to }, this.size).map(this.#reader(this.size));
    const found = [members.range({ from, to, hashes })];
    for (let at = from; at < to; at += chunk) found.push(members.entries(at, this.entries.slice(at, Math.min(at + chunk, to))));
    return found;
  }
}

/** The members of the segments of a session, each behind its proof where it has one. */
export function told(made: Pick<Made, 'session' | 'segments' | 'key'>, proofs: readonly (Member | undefined)[] = []): Member[] {
  return [members.key(made.key), ...sealed(made, proofs)];
}

/** The same without the key. */
export function sealed(
  { session, segments }: Pick<Made, 'session' | 'segments'>,
  proofs: readonly (Member | undefined)[] = [],
): Member[] {
  return segments.flatMap((segment, number) => {
    const proof = proofs[number];
    return [...(proof === undefined ? [] : [proof]), members.segment(session, number, segment)];
  });
}
