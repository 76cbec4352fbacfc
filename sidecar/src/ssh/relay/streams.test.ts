import { createHash } from 'node:crypto';
import { decodeBytes, type RecordBody } from '@chaperone/evidence';
import { describe, expect, it } from 'vitest';
import { Streams, type StreamsOptions } from './streams.ts';

const CARD = '4111 1111 1111 1111';
function open(mods: Partial<StreamsOptions['recording']> = {}) {
  const records: RecordBody[] = [];
  const streams = new Streams({
    action: 3,
    recording: { mode: 'durable', content: 'results', rows: 1_000, bytes: 1_000, retention: 'default', ...mods },
    masks: new Map([['credit-card', { kind: 'redact' }]]),
    now: () => 5,
    note: (more) => void records.push(...more),
  });
  const recorded = (stream: string): string =>
    records
      .flatMap((record) => (record.type === 'output' && record.stream === stream ? [decodeBytes(record.data)] : []))
      .join('');
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

  it.each(['commands', 'metadata'] as const)('leave nothing but their size and digest where %s are kept', (content) => {
    const { streams, records } = open({ content });
    streams.output('stdout', Buffer.from('hello\n'));
    streams.input(Buffer.from('hello\n'));
    expect(streams.done({ tag: 'exit 0' })).toMatchObject({ bytes: 6, digest: sha256('hello\n'), truncated: true });
    expect(records).toEqual([]);
  });

  it('show evidence no value that an agent sends, and count it as nothing delivered', () => {
    const { streams, recorded } = open();
    streams.input(Buffer.from(`pay ${CARD.slice(0, 4)}`));
    streams.input(Buffer.from(`${CARD.slice(4)}\n`));
    expect(streams.done({ tag: 'exit 0' })).toMatchObject({ bytes: 0, maskedValues: 0 });
    expect(recorded('stdin')).toBe('pay *****\n');
  });
});
