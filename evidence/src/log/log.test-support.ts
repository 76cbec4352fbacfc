import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '@chaperone/testing';
import { generateSigner } from '../signer.ts';
import { leafHash } from '../merkle.ts';
import type { TreeHead } from './checkpoint.ts';
import { tilePath } from './tiles.ts';
import { appendEntries, EMPTY_TREE, type Tree, treeRoot } from './tree.ts';

export { generateSigner };

/** A log in memory: what each path of it holds. */
export interface TestLog {
  readonly tree: Tree;
  readonly head: TreeHead;
  readonly entries: readonly Buffer[];
  readonly leaves: readonly Buffer[];
  readonly files: Map<string, Buffer>;
}

/** A log of entries of random lengths, appended in batches of these sizes. */
export function aLog(batches: readonly number[], seed = 1): TestLog {
  const random = seededRandom(seed);
  const files = new Map<string, Buffer>();
  const entries: Buffer[] = [];
  let tree = EMPTY_TREE;
  for (const batch of batches) {
    const added = Array.from({ length: batch }, (_, at) =>
      Buffer.from(`${entries.length + at} ${'x'.repeat(Math.floor(random() * 40))}`),
    );
    const appended = appendEntries(tree, added);
    for (const { tile, bytes } of appended.writes) files.set(tilePath(tile), bytes);
    tree = appended.tree;
    entries.push(...added);
  }
  return { tree, head: { size: tree.size, root: treeRoot(tree) }, entries, leaves: entries.map(leafHash), files };
}

/** The same bytes but for one bit of byte `at`. */
export function flipped(bytes: Buffer, at: number, bit = 0): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ (1 << bit);
  return copy;
}

interface Published {
  readonly source: string;
  readonly mlDsa: { readonly key: string; readonly requests: readonly (readonly [body: string, status: number])[] };
  readonly ed25519: { readonly rawKey: string; readonly requests: readonly (readonly [body: string, status: number])[] };
}

/** Requests to a witness, each after the one before it, and what torchwood's own witness answers. */
export const VECTORS = JSON.parse(readFileSync(join(import.meta.dirname, 'testdata/witness.json'), 'utf8')) as Published;
