import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { seededRandom } from '@chaperone/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { generateSigner, leafHash, merkleRoot, mlDsaSigner, signerFromSeed } from '../../src/index.ts';
import {
  appendEntries,
  auditTiles,
  type Checkpoint,
  cosigner,
  EMPTY_TREE,
  formatCheckpoint,
  formatNote,
  formatProofFile,
  formatVerifierKey,
  KEY_TYPE,
  leavesReader,
  noteSigner,
  type NoteSigner,
  openCheckpoint,
  openNote,
  parseCheckpoint,
  parsePolicy,
  parseVerifierKey,
  proveConsistency,
  proveInclusion,
  signNote,
  type Tile,
  tilePath,
  tilesSince,
  treeRoot,
  verifierOf,
  verifyConsistency,
  verifyInclusion,
  verifyProofFile,
} from '../../src/log/index.ts';
import { askOne, askPeer, HAS_PEER } from './peer.ts';

const ORIGIN = 'example.com/log';
const random = seededRandom(20_261_130);
const below = (end: number): number => Math.floor(random() * end);
const entry = (index: number): Buffer => Buffer.from(`entry ${index}`);
const LEAVES = Array.from({ length: 3_000 }, (_, index) => leafHash(entry(index)));
const headOf = (size: number) => ({ size, root: merkleRoot(LEAVES.slice(0, size)) });
const SIZES = [1, 2, 3, 255, 256, 257, 511, 512, 513, 2_999, ...Array.from({ length: 60 }, () => 1 + below(3_000))];
const bytes = (list: readonly string[] | null): Buffer[] => (list ?? []).map((text) => Buffer.from(text, 'base64'));

const log = noteSigner(ORIGIN, generateSigner());
const w1 = cosigner('witness.example/w1', KEY_TYPE.cosignature, generateSigner(), 1_700_000_000);
const w2 = cosigner('witness.example/w2', KEY_TYPE.mlDsa44, mlDsaSigner(Buffer.alloc(32, 9)), 1_700_000_001);
const key = ({ key: each }: NoteSigner): string => formatVerifierKey(each);
const checkpointText = (mods: Partial<Checkpoint> = {}): string =>
  formatCheckpoint({ ...headOf(300), origin: ORIGIN, extensions: [], ...mods });
const note = (text: string, signers: readonly NoteSigner[]): Buffer =>
  Buffer.from(formatNote(signNote({ text, signatures: [] }, signers)));

interface Signed {
  readonly note: string;
  readonly proof: string;
  readonly keys: readonly string[];
}

const directory = mkdtempSync(join(tmpdir(), 'log-peers-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe.skipIf(!HAS_PEER)('Go’s own implementations of transparency logs', () => {
  it('take our notes, checkpoints and cosignatures, by every kind of key', () => {
    const text = checkpointText();
    const signers = [log, w1, w2];
    const answer = askOne({ ask: 'open', note: note(text, signers), keys: signers.map(key) });
    expect(answer).toEqual({ text, signers: signers.map((each) => key(each).split('+').slice(0, 2).join('+')) });
    expect(askOne({ ask: 'checkpoint', text })).toEqual({ origin: ORIGIN, size: 300, root: headOf(300).root.toString('base64') });
  });

  it('make notes, checkpoints and cosignatures that we take', () => {
    const text = checkpointText();
    const made = askOne({
      ask: 'sign',
      text,
      name: ORIGIN,
      seed: Buffer.alloc(32, 4),
      index: 0,
    }) as Signed;
    const known = made.keys.map((each) => verifierOf(parseVerifierKey(each)));
    const opened = openNote(Buffer.from(made.note, 'base64'), known);
    expect(opened.signatures.map(({ name }) => name)).toEqual([ORIGIN, 'witness.example/ed25519', 'witness.example/ml-dsa']);
    expect(parseCheckpoint(opened.text)).toEqual({ ...headOf(300), origin: ORIGIN, extensions: [] });
    // The same seeds are the same keys.
    expect(made.keys[0]).toBe(key(noteSigner(ORIGIN, signerFromSeed(Buffer.alloc(32, 4)))));
    expect(made.keys[2]).toBe(key(cosigner('witness.example/ml-dsa', KEY_TYPE.mlDsa44, mlDsaSigner(Buffer.alloc(32, 4)), 0)));
  });

  it('take no note that we refuse for a change in it, of 2,000', () => {
    const whole = note(checkpointText(), [log, w1]);
    const known = [log, w1].map((each) => verifierOf(each.key));
    const changed = Array.from({ length: 2_000 }, () => {
      const copy = Buffer.from(whole);
      copy[below(copy.length)] = below(256);
      return copy;
    });
    const ours = changed.map((each) => opens(() => openNote(each, known)));
    const theirs = askPeer(changed.map((each) => ({ ask: 'open', note: each, keys: [key(log), key(w1)] })));
    const laxer = changed.filter((each, at) => ours[at] !== theirs[at]?.ok && !each.equals(whole));
    // Theirs read base64 whose last bits are not zero.
    expect(laxer.filter((each) => !sameSignatures(each, whole)).map((each) => each.toString())).toEqual([]);
    expect(ours.filter((each, at) => each && theirs[at]?.ok !== true)).toEqual([]);
  });

  it('take our proofs, and make the same', () => {
    const cases = SIZES.map((size) => ({ size, index: below(size), older: below(size + 1) }));
    const made = askPeer<{ root: string; inclusion: string[] | null; consistency: string[] | null }>(
      cases.map((each) => ({ ask: 'prove', ...each })),
    );
    for (const [at, { size, index, older }] of cases.entries()) {
      const theirs = made[at];
      if (theirs?.ok !== true) throw new Error('no proof');
      const read = leavesReader(LEAVES.slice(0, size));
      expect(theirs.value.root).toBe(headOf(size).root.toString('base64'));
      expect(proveInclusion(index, size, read)).toEqual(bytes(theirs.value.inclusion));
      expect(verifyInclusion(leafHash(entry(index)), index, headOf(size), bytes(theirs.value.inclusion))).toBe(true);
      // x/mod gives the older root to whoever asks for a proof of the tree itself.
      if (older === size) continue;
      expect(proveConsistency(older, size, read)).toEqual(bytes(theirs.value.consistency));
      expect(verifyConsistency(headOf(older), headOf(size), bytes(theirs.value.consistency))).toBe(true);
    }
    const proofs = cases.flatMap(({ size, index, older }) => {
      const { root } = headOf(size);
      const read = leavesReader(LEAVES.slice(0, size));
      const path = proveInclusion(index, size, read);
      const consistency = { ask: 'consistency', path: proveConsistency(older, size, read), size, root, older };
      return [
        { ask: 'inclusion', path, size, root, index, leaf: LEAVES[index] },
        ...(older === 0 ? [] : [{ ...consistency, olderRoot: headOf(older).root }]),
      ];
    });
    expect(askPeer(proofs).filter(({ ok }) => !ok)).toEqual([]);
    const wrong = askPeer(proofs.map((each) => ({ ...each, root: LEAVES[2_999] })));
    expect(wrong.filter(({ ok }) => ok)).toEqual([]);
  });

  it('take our proofs in files under our policies, and make some that we take', () => {
    const text = checkpointText();
    const policy = (quorum: string): Buffer =>
      Buffer.from(`log ${key(log)}\nwitness A ${key(w1)}\nwitness B ${key(w2)}\n${quorum}\n`);
    const path = proveInclusion(42, 300, leavesReader(LEAVES.slice(0, 300)));
    const proof = (signers: readonly NoteSigner[]): Buffer =>
      formatProofFile({ index: 42, path, checkpoint: note(text, signers) });
    const cases = [
      { quorum: 'quorum none', signers: [log], met: true },
      { quorum: 'quorum A', signers: [log], met: false },
      { quorum: 'quorum B', signers: [log, w2], met: true },
      { quorum: 'group g any A B\nquorum g', signers: [log, w1], met: true },
      { quorum: 'group g all A B\nquorum g', signers: [log, w1], met: false },
      { quorum: 'group g all A B\nquorum g', signers: [log, w1, w2], met: true },
      { quorum: 'group g 2 A B\nquorum g', signers: [w1, w2], met: false },
    ];
    const questions = cases.map(({ quorum, signers }) => ({ ask: 'proof', policy: policy(quorum), proof: proof(signers) }));
    expect(askPeer(questions.map((each) => ({ ...each, leaf: LEAVES[42] }))).map(({ ok }) => ok)).toEqual(
      cases.map(({ met }) => met),
    );
    expect(
      questions.map((each) => opens(() => verifyProofFile(each.proof, leafHash(entry(42)), parsePolicy(each.policy)))),
    ).toEqual(cases.map(({ met }) => met));
    expect(askPeer(questions.map((each) => ({ ...each, leaf: LEAVES[43] }))).filter(({ ok }) => ok)).toEqual([]);

    const seed = Buffer.alloc(32, 4);
    const made = askOne({ ask: 'sign', text, name: ORIGIN, seed, index: 42, path }) as Signed;
    const [theirLog = '', a = '', b = ''] = made.keys;
    const trust = Buffer.from(`log ${theirLog}\nwitness A ${a}\nwitness B ${b}\ngroup g all A B\nquorum g\n`);
    const file = Buffer.from(made.proof, 'base64');
    expect(verifyProofFile(file, leafHash(entry(42)), parsePolicy(trust)).index).toBe(42);
    expect(askPeer([{ ask: 'proof', policy: trust, proof: file, leaf: LEAVES[42] }]).map(({ ok }) => ok)).toEqual([true]);
  });

  it('take every policy that we take', () => {
    const lines = [`log ${key(log)}`, `witness A ${key(w1)} https://a.example/`, `witness B ${key(w2)}`, '# why', ' \t'];
    const groups = ['group g any A B', 'group g all A', 'group g 2 A B', 'group g 3 A B', 'group g any C', 'group A any B'];
    const quorums = ['quorum none', 'quorum g', 'quorum A', 'quorum C', ''];
    const policies = groups.flatMap((group) => quorums.map((quorum) => Buffer.from([...lines, group, quorum, ''].join('\n'))));
    const theirs = askPeer(policies.map((policy) => ({ ask: 'policy', policy })));
    expect(policies.map((policy) => opens(() => parsePolicy(policy)))).toEqual(theirs.map(({ ok }) => ok));
  });

  it('name tiles as we do', () => {
    const tiles = [0, 1, 255, 999, 1_000, 1_234_067, 123_456_789].flatMap((index) =>
      [0, 1, 17, 255].map((width) => ({ level: index % 7, index, width: width === 0 ? 256 : width })),
    );
    const theirs = askPeer<{ tile: string; entries: string }>(
      tiles.map(({ level, index, width }) => ({ ask: 'path', level, index, size: width % 256 })),
    );
    expect(tiles.map((tile) => ({ tile: tilePath(tile), entries: tilePath({ ...tile, level: 'entries' }) }))).toEqual(
      theirs.map((each) => (each.ok ? each.value : each.error)),
    );
  });

  it.each([1, 255, 256, 257, 700, 66_000])(
    'find a log of ours with %i entries whole, and one with a changed file not',
    (size) => {
      const root = join(directory, `ours-${size}`);
      const put = (path: string, content: Buffer | string): void => {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), content);
      };
      let tree = EMPTY_TREE;
      for (const end of [Math.ceil(size / 3), Math.ceil(size / 2), size]) {
        const added = Array.from({ length: end - tree.size }, (_, at) => entry(tree.size + at));
        const appended = appendEntries(tree, added);
        for (const { tile, bytes: content } of appended.writes) put(tilePath(tile), content);
        tree = appended.tree;
      }
      const text = formatCheckpoint({ size, root: treeRoot(tree), origin: ORIGIN, extensions: [] });
      put('checkpoint', note(text, [log, w1]));
      const question = { ask: 'fsck', dir: root, keys: [key(log)] };
      expect(askPeer([question])).toEqual([{ ok: true }]);
      const tiles = [...tilesSince(0, size)];
      for (const tile of [tiles[0], tiles[Math.floor(tiles.length / 2)], tiles.at(-1)]) {
        const path = join(root, tilePath(tile as Tile));
        const whole = readFileSync(path);
        const changed = Buffer.from(whole);
        changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
        writeFileSync(path, changed);
        expect(askPeer([question])).toMatchObject([{ ok: false }]);
        writeFileSync(path, whole);
      }
    },
  );

  it('make logs that we find whole, as they grow', () => {
    const root = join(directory, 'theirs');
    for (const [older, size] of [
      [0, 3],
      [3, 256],
      [256, 700],
    ]) {
      const made = askOne({ ask: 'grow', dir: root, older, size, name: ORIGIN, seed: Buffer.alloc(32, 8) }) as { key: string };
      const policy = parsePolicy(Buffer.from(`log ${made.key}\nquorum none\n`));
      const { checkpoint } = openCheckpoint(readFileSync(join(root, 'checkpoint')), policy);
      expect(checkpoint.size).toBe(size);
      expect(checkpoint.root.equals(headOf(checkpoint.size).root)).toBe(true);
      expect(auditTiles(checkpoint, (tile) => readFileSync(join(root, tilePath(tile))))).toEqual([]);
    }
  });
});

function opens(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

/** Whether signatures are the same but for the last bits of their base64, which stand for no byte. */
function sameSignatures(changed: Buffer, whole: Buffer): boolean {
  const [text, lines] = changed.toString().split('\n\n');
  const [wholeText, wholeLines] = whole.toString().split('\n\n');
  return text === wholeText && signaturesOf(lines) === signaturesOf(wholeLines);
}

function signaturesOf(lines = ''): string {
  return lines
    .split('\n')
    .map((line) => `${line.split(' ')[1]} ${Buffer.from(line.split(' ')[2] ?? '', 'base64').toString('hex')}`)
    .join('\n');
}
