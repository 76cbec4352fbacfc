import { createHash } from 'node:crypto';
import type { RecordBody } from '@chaperone/evidence';
import { describe, expect, it } from 'vitest';
import { Streams, type StreamsOptions } from './streams.ts';

const CARD = '4111 1111 1111 1111';
function open(mods: Partial<StreamsOptions['recording']> = {}, terminal?: StreamsOptions['terminal']) {
  const records: RecordBody[] = [];
  const streams = new Streams({
    action: 3,
    recording: { mode: 'durable', content: 'results', rows: 1_000, bytes: 1_000, retention: 'default', ...mods },
    masks: new Map([['credit-card', { kind: 'redact' }]]),
    terminal,
    now: () => 5,
    note: (more) => void records.push(...more),
  });
  const recorded = (stream: string): string =>
    records.flatMap((record) => (record.type === 'output' && record.stream === stream ? [record.data] : [])).join('');
  return { streams, records, recorded };
}
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('the streams of a program', () => {
  it('are delivered and recorded masked, across the borders of chunks', () => {
    const { streams, recorded } = open();
    const out = [
      streams.output('stdout', Buffer.from(`paid by ${CARD.slice(0, 9)}`)),
      streams.output('stderr', Buffer.from('warning\n')),
      streams.output('stdout', Buffer.from(`${CARD.slice(9)} today`)),
      streams.ended('stdout'),
    ].join('');
    expect(out).toBe('paid by warning\n***** today');
    expect([recorded('stdout'), recorded('stderr')]).toEqual(['paid by ***** today', 'warning\n']);
    expect(streams.done({ tag: 'exit 0' })).toEqual({
      type: 'done',
      action: 3,
      tag: 'exit 0',
      rows: 0,
      bytes: out.length,
      digest: sha256(out),
      truncated: false,
      maskedValues: 1,
      durationMs: 0,
    });
  });

  it('are recorded up to what the policy keeps, and delivered whole', () => {
    const { streams, recorded } = open({ bytes: 10 });
    const all = 'x'.repeat(30).concat('\n');
    expect(streams.output('stdout', Buffer.from(all)).toString()).toBe(all);
    expect(recorded('stdout')).toBe('x'.repeat(10));
    expect(streams.done({ tag: 'exit 1' })).toMatchObject({ bytes: 31, digest: sha256(all), truncated: true });
  });

  it.each([
    ['their size and digest', 'commands', sha256('hello\n')],
    ['their size, by which nobody can tell whether they guess right,', 'metadata', undefined],
  ] as const)('leave nothing but %s where %s are kept', (_, content, digest) => {
    const { streams, records } = open({ content });
    streams.output('stdout', Buffer.from('hello\n'));
    streams.input(Buffer.from('hello\n'));
    const done = streams.done({ tag: 'exit 0' });
    expect(done).toMatchObject({ bytes: 6, truncated: true });
    expect('digest' in done ? done.digest : undefined).toBe(digest);
    expect(records).toEqual([]);
  });

  it('show evidence no value that an agent sends, and count it as nothing delivered', () => {
    const { streams, recorded } = open();
    streams.input(Buffer.from(`pay ${CARD.slice(0, 4)}`));
    streams.input(Buffer.from(`${CARD.slice(4)}\n`));
    expect(streams.done({ tag: 'exit 0' })).toMatchObject({ bytes: 0, maskedValues: 0 });
    expect(recorded('stdin')).toBe('pay *****\n');
  });

  describe('with a terminal', () => {
    const terminal = { columns: 80, rows: 24 };
    const typing = (mods: Partial<StreamsOptions['recording']> = {}) => {
      const { streams, records, recorded } = open(mods, terminal);
      streams.output('terminal', Buffer.from('$ '));
      streams.input(Buffer.from('pay 4111111111111111'));
      streams.output('terminal', Buffer.from('pay 4111111111111111'));
      streams.input(Buffer.from('\r'));
      streams.output('terminal', Buffer.from('\r\n'));
      streams.done({ tag: 'exit 0' });
      return { recorded, lines: records.filter(({ type }) => type === 'line') };
    };

    it('are recorded without letters that were typed, and with lines that were entered, masked', () => {
      const { recorded, lines } = typing();
      expect([recorded('stdin'), recorded('terminal')]).toEqual([`${'•'.repeat(20)}\r`, '$ pay *****\r\n']);
      expect(lines).toEqual([{ type: 'line', action: 3, text: '$ pay *****' }]);
    });

    it.each<[string, Partial<StreamsOptions['recording']>, string, number]>([
      ['with letters where the policy says so, masked', { keys: 'typed' }, 'pay *****\r', 1],
      ['by lines alone where it keeps commands', { content: 'commands' }, '', 1],
      ['not at all where it keeps metadata', { content: 'metadata' }, '', 0],
    ])('are recorded %s', (_, mods, stdin, count) => {
      const { recorded, lines } = typing(mods);
      expect([recorded('stdin'), lines.length]).toEqual([stdin, count]);
    });

    it('show a prompt that may be the beginning of a value to whoever waits for it', () => {
      const { streams } = open({}, terminal);
      expect(streams.output('terminal', Buffer.from('vm1$')).toString()).toBe('');
      expect(streams.isHeld('terminal')).toBe(true);
      expect(streams.ended('terminal').toString()).toBe('vm1$');
      expect(streams.isHeld('terminal')).toBe(false);
      expect(streams.output('terminal', Buffer.from('4111111111111111\n')).toString()).toBe('*****\n');
    });
  });
});
