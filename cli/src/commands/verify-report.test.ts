import { PassThrough } from 'node:stream';
import { text as readText } from 'node:stream/consumers';
import type { FileSessionVerdict, FileVerdict } from '@chaperone/evidence';
import { expect, test } from 'vitest';
import { plain } from '../paint.ts';
import { report } from './verify.ts';

const counters = { actions: 1, denied: 0, masked: 0, dropped: 0 };
const erasedAt = (at: number): FileSessionVerdict => ({
  session: 's-aaaaaaaaaaaaaaaa',
  verdict: 'complete',
  segments: 1,
  records: 2,
  contents: 'sealed',
  counters,
  erasure: { kind: 'erasure', at, entry: 4 },
});
const fileOf = (at: number): FileVerdict => ({
  verdict: 'sound',
  log: { origin: 'o', size: 9, root: '', quorum: 'met', witnesses: {}, range: { from: 0, to: 9, first: at, last: at } },
  sessions: [erasedAt(at), { ...erasedAt(at), session: 's-bbbbbbbbbbbbbbbb', verdict: 'altered' }],
});

test.each([
  [1_790_000_000_000, '2026-09-21T14:13:20.000Z'],
  [8.64e15, '+275760-09-13T00:00:00.000Z'],
  [8.64e15 + 2, '8640000000000002 ms'],
  [-1e300, '-1e+300 ms'],
])('a verdict is told to its end whatever time the log or a pod signed: %d', async (at, said) => {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const texts = readText(out);
  const io = { out, err, in: new PassThrough(), env: {}, now: () => 0, terminal: { in: false, out: false, err: false } };
  let code = -1;
  const options = { file: 'f', output: 'table', paint: plain, complete: false, partial: false } as const;
  await report(fileOf(at), options, { io, exit: (found) => (code = found) });
  out.end();
  const lines = (await texts).trimEnd().split('\n');
  expect([code, lines.length]).toEqual([3, 3]);
  for (const line of lines) expect(line).toContain(said);
});
