import type { RecordPage, SessionRecord } from '@chaperone/evidence';
import { processorTime } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { contrast, indexed, PALETTES, readable } from './palette.ts';
import { Playback } from './playback.ts';
import { MAX_COLUMNS, MAX_ROWS, Screen } from './screen.ts';
import { Stage } from './stage.ts';
import { Tape } from './tape.ts';

const output = (seq: number, mono: number, data: string, stream: 'terminal' | 'stdout' | 'stderr' | 'stdin' = 'terminal') =>
  ({ type: 'output', seq, at: mono, mono, action: 0, stream, data }) as const;
const done = (seq: number, mono: number): SessionRecord => ({
  type: 'done',
  seq,
  at: mono,
  mono,
  action: 0,
  tag: 'exit 0',
  rows: 0,
  bytes: 1,
  digest: '',
  truncated: false,
  maskedValues: 0,
  durationMs: 1,
});

/** A tape of these records, `each` of them in a page, that counts what was read. */
function aTape(records: readonly SessionRecord[], each = 2) {
  const reads: number[] = [];
  const tape = new Tape((from) => {
    reads.push(from);
    const items = records.filter(({ seq }) => seq >= from).slice(0, each);
    const end = (items.at(-1)?.seq ?? from - 1) + 1;
    const more = records.some(({ seq }) => seq >= end);
    const page: RecordPage = { items, end, ...(more ? { next: end } : {}) };
    return Promise.resolve(page);
  });
  return { tape, reads };
}
const play = (records: readonly SessionRecord[], lengthMs = 0): Playback =>
  new Playback({ tape: aTape(records).tape, from: 0, startMs: 1_000, lengthMs, changed: () => undefined });

const RECORDS = [
  output(0, 1_000, 't:one '),
  output(1, 1_500, 't:two '),
  output(2, 9_000, 't:three '),
  output(3, 9_100, 't:four'),
  done(4, 10_000),
];

const row = ({ stage }: Playback): string =>
  (stage.screen?.draw(PALETTES.dark)[0] ?? [])
    .map(({ text }) => text)
    .join('')
    .trimEnd();

describe('a playback', () => {
  test('shows a moment, whichever way it came there', async () => {
    const playback = play(RECORDS, 9_000);
    for (const [to, shown] of [
      [0, 'one'],
      [500, 'one two'],
      [9_000, 'one two three four'],
      [7_999, 'one two'],
      [8_050, 'one two three'],
      [99_999, 'one two three four'],
      [-1, 'one'],
    ] as const) {
      await playback.seek(to);
      expect(row(playback)).toBe(shown);
    }
  });

  test('ends where it was told last, however often and when it was told', async () => {
    const playback = play(RECORDS, 9_000);
    const told = [9_000, 0, 8_000, 100, 600].map((to) => playback.seek(to));
    await Promise.all(told);
    await playback.seek(playback.position);
    expect([playback.position, row(playback)]).toEqual([600, 'one two']);
  });

  test('skips silence but a second of it, stops at its end, and begins again', async () => {
    const playback = play(RECORDS, 9_000);
    await playback.seek(0);
    playback.toggle();
    const tick = async (ms: number): Promise<void> => {
      playback.tick(ms);
      await playback.seek(playback.position);
    };
    await tick(600);
    expect(row(playback)).toBe('one two');
    await tick(800);
    expect(playback.position).toBe(1_400);
    await tick(300);
    expect([playback.position, row(playback)]).toEqual([8_000, 'one two three']);
    for (let at = 0; at < 4; at++) await tick(900);
    expect([playback.position, playback.playing, playback.ended]).toEqual([9_000, false, true]);
    playback.toggle();
    await playback.seek(playback.position);
    expect([playback.position, row(playback)]).toEqual([0, 'one']);
  });

  test('of a program that goes on asks again, not all the time, and goes on when there is more', async () => {
    const records: SessionRecord[] = [output(0, 1_000, 't:one ')];
    const { tape, reads } = aTape(records);
    const playback = new Playback({ tape, from: 0, startMs: 1_000, lengthMs: 0, changed: () => undefined });
    playback.live = true;
    await playback.seek(0);
    playback.toggle();
    for (let at = 0; at < 50; at++) {
      playback.tick(16);
      await playback.seek(playback.position);
    }
    expect(reads.length).toBeLessThan(5);
    expect(playback.playing).toBe(true);
    records.push(output(1, 1_200, 't:two'), done(2, 1_300));
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    for (let at = 0; at < 5; at++) {
      playback.tick(900);
      await playback.seek(playback.position);
    }
    expect([row(playback), playback.playing]).toEqual(['one two', false]);
  });

  test('says what failed, and goes on after it', async () => {
    let fails = true;
    const { tape } = aTape(RECORDS);
    const shaky = new Tape((from) => (fails && from === 2 ? Promise.reject(new Error('gone')) : read(from)));
    const read = async (from: number): Promise<RecordPage> => {
      const { records, next, end } = await tape.page(from);
      return { items: [...records], end, ...(next === undefined ? {} : { next }) };
    };
    const playback = new Playback({ tape: shaky, from: 0, startMs: 1_000, lengthMs: 9_000, changed: () => undefined });
    await playback.seek(9_000);
    expect(playback.error).toMatchObject({ message: 'gone' });
    fails = false;
    await playback.seek(9_000);
    expect([playback.error, row(playback)]).toEqual([undefined, 'one two three four']);
  });
});

describe('a tape', () => {
  test('keeps the pages used last, in bounded memory, and asks for no page of them twice', async () => {
    const records = Array.from({ length: 600 }, (_, seq) => output(seq, seq, `t:${'x'.repeat(64 * 1024)}`));
    const { tape, reads } = aTape([...records, done(600, 600)]);
    for (let from: number | undefined = 0; from !== undefined; ) {
      from = (await tape.page(from)).next;
      expect(tape.size).toBeLessThanOrEqual(8 * 1024 * 1024);
    }
    const before = reads.length;
    await tape.page(598);
    expect(reads.length).toBe(before);
    await tape.page(0);
    expect(reads.length).toBe(before + 1);
  });
});

describe('a stage', () => {
  test('makes characters whole that records cut, each stream for itself', async () => {
    const stage = new Stage();
    await stage.take(output(0, 0, 'b:4oI=', 'stdout'));
    await stage.take(output(1, 0, 't:oh\n', 'stderr'));
    await stage.take(output(2, 0, 'b:rA==', 'stdout'));
    await stage.take(output(3, 0, 't:1', 'stdout'));
    expect(stage.log).toEqual([
      { stream: 'stderr', text: 'oh\n' },
      { stream: 'stdout', text: '€1' },
    ]);
  });

  test('keeps the last of many lines and of what was typed, and says how much went before', async () => {
    const stage = new Stage();
    for (let at = 0; at < 200; at++) {
      await stage.take(output(at, at, `t:${String(at).padStart(9_999)}\n`, at % 3 === 0 ? 'stderr' : 'stdout'));
      await stage.take(output(at, at, `t:${'0123456789'.repeat(10)}`, 'stdin'));
    }
    const kept = stage.log.reduce((sum, { text }) => sum + text.length, 0);
    expect(kept).toBeLessThanOrEqual(2 * 64 * 1024);
    expect(kept + stage.cut).toBe(200 * 10_000);
    expect(stage.log.at(-1)?.text.trim()).toBe('199');
    expect(stage.input.length).toBe(4_096);
  });
});

describe('a screen', () => {
  test.each([
    [0, 0, 80, 24],
    [4_000_000_000, 4_000_000_000, MAX_COLUMNS, MAX_ROWS],
    [1, 1, 2, 1],
    [132, 43, 132, 43],
  ])('of %d columns and %d rows is %d by %d', (columns, rows, ...drawn) => {
    const screen = new Screen();
    screen.resize(columns, rows);
    expect([screen.columns, screen.rows]).toEqual(drawn);
    expect(screen.draw(PALETTES.dark).length).toBe(screen.rows);
  });

  test('takes the worst of counts in time that the bytes are worth', async () => {
    const screen = new Screen();
    screen.resize(200, 60);
    const took = processorTime();
    for (const worst of ['x\u001b[99999b', '\u001b[99999S', '\u001b[99999L', '\u001b[99999@', '\u001b#8', '\u001b[2J'])
      await screen.write(worst.repeat(500));
    expect(took()).toBeLessThan(20_000);
  });

  test('shows text on any ground so that it can be read', () => {
    for (const palette of Object.values(PALETTES))
      for (let index = 0; index < 256; index++) {
        const ground = indexed(palette, index);
        for (const text of [palette.text, palette.ground, ground])
          expect(contrast(readable(text, ground), ground)).toBeGreaterThanOrEqual(4.5);
      }
    for (const { text, ground } of Object.values(PALETTES)) expect(readable(text, ground)).toBe(text);
  });
});
