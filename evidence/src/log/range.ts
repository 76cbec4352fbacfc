import { EvidenceError } from '../errors.ts';
import { leafHash, merkleRoot, nodeHash } from '../merkle.ts';
import type { TreeHead } from './checkpoint.ts';
import { MAX_PROOF_HASHES, type Span, type Subtree } from './proof.ts';
import { readDecimal, readHashes } from './text.ts';

/*
 * That all entries of a range are what the log has there, none left out: the hashes of the complete subtrees to the left of the range and
 * to the right of it. With the entries between them they give the root.
 *
 *     chaperone.dev/log-range/v1
 *     from 512
 *     to 1030
 *     HASH
 *     …
 */
const HEAD = 'chaperone.dev/log-range/v1';
/** Of one file: what is remembered of each is small, and there may be many. */
export const MAX_RANGE = 2 ** 20;

export interface RangeProof extends Span {
  /** Left of the range from the left, then right of it from the left. */
  readonly hashes: readonly Buffer[];
}

/** The complete subtrees that a span of a tree consists of, wherever it begins, from left to right. */
export function alignedSubtrees({ from, to }: Span): Subtree[] {
  const subtrees: Subtree[] = [];
  for (let at = from; at < to; ) {
    let [level, width] = [0, 1];
    while (at % (width * 2) === 0 && width * 2 <= to - at) [level, width] = [level + 1, width * 2];
    subtrees.push({ level, index: at / width });
    at += width;
  }
  return subtrees;
}

/** The subtrees whose hashes prove a range of a tree of this size. */
export function rangeSubtrees({ from, to }: Span, size: number): Subtree[] {
  return [...alignedSubtrees({ from: 0, to: from }), ...alignedSubtrees({ from: to, to: size })];
}

export function formatRangeProof({ from, to, hashes }: RangeProof): Buffer {
  return Buffer.from([HEAD, `from ${from}`, `to ${to}`, ...hashes.map((hash) => hash.toString('base64')), ''].join('\n'));
}

/** The inverse of {@link formatRangeProof}; verifies nothing. Throws EvidenceError MalformedProof, LimitExceeded. */
export function parseRangeProof(bytes: Buffer): RangeProof {
  const [head, first = '', second = '', ...lines] = bytes.toString('latin1').split('\n');
  const from = first.startsWith('from ') ? readDecimal(first.slice('from '.length)) : undefined;
  const to = second.startsWith('to ') ? readDecimal(second.slice('to '.length)) : undefined;
  const isEnded = lines.pop() === '';
  const hashes = readHashes(lines);
  if (head !== HEAD || !isEnded || from === undefined || to === undefined || hashes === undefined)
    throw new EvidenceError('MalformedProof', 'this is not a proof of a range of a log');
  if (from >= to || hashes.length > 3 * MAX_PROOF_HASHES)
    throw new EvidenceError('MalformedProof', 'the range of the log is empty, or its proof too long');
  if (to - from > MAX_RANGE) throw new EvidenceError('LimitExceeded', 'the range of the log is too long');
  return { from, to, hashes };
}

/** Takes the entries of a range one after another, and says at the end whether they are all of it. */
export class RangeVerifier {
  readonly #proof: RangeProof;
  /** Complete subtrees from the left: level and hash. */
  readonly #stack: (readonly [level: number, hash: Buffer])[] = [];
  #rest: readonly Buffer[];
  taken = 0;

  constructor(proof: RangeProof) {
    this.#proof = proof;
    this.#rest = this.#add({ from: 0, to: proof.from }, proof.hashes);
  }

  /** Takes an entry and gives its leaf hash. */
  take(entry: Buffer): Buffer {
    const hash = leafHash(entry);
    this.#push(0, hash);
    this.taken++;
    return hash;
  }

  isWhole(): boolean {
    return this.taken === this.#proof.to - this.#proof.from;
  }

  /** True when the range is that of this tree; ends the verifier. */
  verify(tree: TreeHead): boolean {
    const { to, hashes: given } = this.#proof;
    if (!this.isWhole() || to > tree.size || given.length !== rangeSubtrees(this.#proof, tree.size).length) return false;
    this.#rest = this.#add({ from: to, to: tree.size }, this.#rest);
    const hashes = this.#stack.map(([, hash]) => hash);
    const root = hashes.length === 0 ? merkleRoot([]) : hashes.reduceRight((right, left) => nodeHash(left, right));
    return root.equals(tree.root);
  }

  /** Puts hashes of a span's subtrees in; gives those that are left. */
  #add(span: Span, hashes: readonly Buffer[]): readonly Buffer[] {
    const subtrees = alignedSubtrees(span);
    for (const [at, { level }] of subtrees.entries()) {
      const hash = hashes[at];
      if (hash !== undefined) this.#push(level, hash);
    }
    return hashes.slice(subtrees.length);
  }

  #push(level: number, hash: Buffer): void {
    let [height, top] = [level, hash];
    for (let last = this.#stack.at(-1); last?.[0] === height; last = this.#stack.at(-1)) {
      this.#stack.pop();
      [height, top] = [height + 1, nodeHash(last[1], top)];
    }
    this.#stack.push([height, top]);
  }
}
