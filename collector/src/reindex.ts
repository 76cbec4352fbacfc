import { EvidenceError, type ReadSegment, readSegment, type VerifiedSegment, verifySegment } from '@chaperone/evidence';
import type { Ingest, IngestOptions } from './ingest.ts';
import { catchUp } from './log/sequencer.ts';
import type { TransparencyLog } from './log/transparency-log.ts';
import { type ObjectKind, sha256 } from './objects/index.ts';

export interface ReindexResult {
  readonly segments: number;
  readonly conflicts: number;
  /** Objects that no longer are what their names say, or that cannot be verified; they stay where they are. */
  readonly damaged: readonly { readonly digest: string; readonly code: string }[];
}

/** Empties the index and fills it again from the objects and the log. Rejects where the disk fails; then it begins anew at the next start. */
export async function reindex(
  options: IngestOptions & { readonly log: () => Promise<TransparencyLog>; readonly settle: () => Promise<void> },
  ingest: Ingest,
): Promise<ReindexResult> {
  const { objects, index, logger } = options;
  const damaged: { digest: string; code: string }[] = [];
  const each = async (kind: ObjectKind, take: (segment: VerifiedSegment, at: number) => Promise<void>): Promise<number> => {
    let count = 0;
    for await (const digest of objects.list(kind)) {
      const found = await objects.find(kind, digest);
      try {
        if (found === undefined || sha256(found.bytes) !== digest)
          throw new EvidenceError('PayloadAltered', 'the object does not match its name');
        await take(verifySegment(found.bytes, options.trust), found.at);
        count++;
      } catch (error) {
        if (!(error instanceof EvidenceError)) throw error;
        damaged.push({ digest, code: error.code });
        logger.error('a stored object is damaged', { digest, code: error.code });
      }
    }
    return count;
  };
  await index.clear();
  // First what was erased: nothing brings back what such sessions said.
  await catchUp(await options.log(), index);
  const segments = await each('seg', async (segment, at) => {
    const conflict = await index.conflict(segment);
    if (conflict !== undefined) throw new EvidenceError('ChainBroken', conflict.message);
    await index.insert(await readable(segment, options), at);
  });
  const conflicts = await each('conflict', async (segment, at) => {
    const conflict = await index.conflict(segment);
    if (conflict !== undefined) await ingest.recordConflict(segment, conflict, at);
  });
  await options.settle();
  await index.complete();
  return { segments, conflicts, damaged };
}

/** With its content, where that was not erased. What cannot be read and should be is kept, and said. */
async function readable(
  segment: VerifiedSegment,
  { index, keys, logger }: IngestOptions,
): Promise<VerifiedSegment | ReadSegment> {
  const { session, number } = segment.header;
  if ((await index.leaves.standing([session])).erased.has(session)) return segment;
  const key = await keys.of(segment.header);
  if (key !== undefined) return readSegment(segment, key);
  logger.error('the key of a stored segment is gone, and nobody ordered that', { session, number, code: 'KeyMissing' });
  return segment;
}
