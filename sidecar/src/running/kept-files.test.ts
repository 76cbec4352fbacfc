import type { RecordBody } from '@chaperone/evidence';
import { describe, expect, it } from 'vitest';
import { KeptFiles } from './kept-files.ts';

type Content = Extract<RecordBody, { type: 'content' }>;
const CARD = '4111 1111 1111 1111';

/** What is recorded of pieces, each with its place. */
function kept(pieces: readonly (readonly [number | bigint, string | Buffer])[], isMasked = false): [number, number, string][] {
  const records: Content[] = [];
  const masks = new Map(isMasked ? [['credit-card', { kind: 'redact' }] as const] : []);
  const files = new KeptFiles({ action: 3, bytes: 1_000_000, masks, note: (more) => void records.push(...(more as Content[])) });
  const file = files.begin();
  for (const [offset, data] of pieces) file.keep(BigInt(offset), Buffer.from(data));
  file.end();
  return records.map(({ offset, bytes, data }) => [offset, bytes, data.toString()]);
}

describe('the content of a file', () => {
  it('is recorded with its place, in order or not', () => {
    expect(
      kept([
        [0, 'one'],
        [3, 'two'],
        [100, 'far'],
        [0, 'again'],
      ]),
    ).toEqual([
      [0, 3, 'one'],
      [3, 3, 'two'],
      [100, 3, 'far'],
      [0, 5, 'again'],
    ]);
  });

  it('is recorded masked, across its pieces, and says of how many bytes', () => {
    expect(
      kept(
        [
          [0, `paid by ${CARD.slice(0, 7)}`],
          [15, `${CARD.slice(7)} today\n`],
        ],
        true,
      ),
    ).toEqual([
      [0, 8, 'paid by '],
      [8, 26, '***** today\n'],
    ]);
    expect(
      kept(
        [
          [0, CARD.slice(0, 7)],
          [50, 'far\n'],
        ],
        true,
      ),
    ).toEqual([
      [0, 7, CARD.slice(0, 7)],
      [50, 4, 'far\n'],
    ]);
  });

  it('fits into records, whatever the size of its pieces', () => {
    const all = kept([[0, Buffer.alloc(200_000, 'x')]]);
    expect(all.map(([offset, bytes, { length }]) => [offset, bytes, length])).toEqual([
      [0, 65_536, 65_536],
      [65_536, 65_536, 65_536],
      [131_072, 65_536, 65_536],
      [196_608, 3_392, 3_392],
    ]);
  });

  it('is not recorded where no file is', () => {
    expect(kept([[2n ** 63n, 'x']])).toEqual([]);
  });

  it('is of another file each', () => {
    const files = new KeptFiles({ action: 3, bytes: 1, masks: new Map(), note: () => undefined });
    expect([files.begin().file, files.begin().file]).toEqual([0, 1]);
  });
});
