import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  formatVerifierKey,
  generateSigner,
  leafHash,
  noteSigner,
  tileOf,
  tilePath,
  tilesSince,
  type TreeHead,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { askPeer, HAS_PEER } from '../../evidence/test/log-peers/peer.ts';
import { TransparencyLog } from '../src/log/transparency-log.ts';
import { DirectoryStore } from '../src/objects/index.ts';

const signer = noteSigner('cluster.example/log', generateSigner());
const keys = [formatVerifierKey(signer.key)];
/** Each is one commit of the log, by a process of its own. */
const BATCHES = [1, 254, 1, 300, 1_024, 700];

/** Writes the log as the files that C2SP tlog-tiles names. */
async function exportTo(dir: string, log: TransparencyLog): Promise<void> {
  await mkdir(dir);
  await writeFile(join(dir, 'checkpoint'), log.checkpoint);
  for (const tile of tilesSince(0, log.head.size)) {
    const path = join(dir, tilePath(tile));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, (await log.tile(tile)) ?? '');
  }
}

describe.skipIf(!HAS_PEER)('Go’s own implementations of transparency logs', () => {
  it('find a collector’s log whole after every commit, and take its proofs; changed by a byte they take neither', async () => {
    await using directory = await temporaryDirectory();
    const store = new DirectoryStore(join(directory.path, 'objects'));
    const entries: Buffer[] = [];
    const heads: TreeHead[] = [];
    for (const count of BATCHES) {
      const log = await TransparencyLog.open({ store, signer, now: () => 1 });
      const added = Array.from({ length: count }, (_, at) => Buffer.from(`entry ${entries.length + at}`));
      expect(await log.append(added)).toBe(entries.length);
      entries.push(...added);
      const { size, root } = log.head;
      const dir = join(directory.path, `export-${size}`);
      await exportTo(dir, log);
      expect(askPeer([{ ask: 'fsck', dir, keys }])).toEqual([{ ok: true }]);

      const index = Math.floor(size / 3);
      const leaf = leafHash(entries[index] ?? Buffer.alloc(0));
      const inclusion = { ask: 'inclusion', path: await log.inclusion(index), size, root, index, leaf };
      const consistency = await Promise.all(
        heads.map(async (older) => {
          const path = await log.consistency(older.size);
          return { ask: 'consistency', path, size, root, older: older.size, olderRoot: older.root };
        }),
      );
      expect(askPeer([inclusion, ...consistency]).filter(({ ok }) => !ok)).toEqual([]);
      const wrong = [{ ...inclusion, leaf: root }, ...consistency.map((each) => ({ ...each, olderRoot: leafHash(root) }))];
      if (size > 1) expect(askPeer(wrong).filter(({ ok }) => ok)).toEqual([]);
      heads.push(log.head);

      const tile = tileOf('entries', 0, size);
      const bytes = Buffer.from((await log.tile(tile)) ?? '');
      await writeFile(join(dir, tilePath(tile)), bytes.fill('x', bytes.length - 1));
      expect(askPeer([{ ask: 'fsck', dir, keys }])).toMatchObject([{ ok: false }]);
    }
  });
});
