import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Channel, MAX_DATA } from './channel.ts';
import { CHANNEL } from './channel-messages.ts';
import {
  cat,
  NOTHING,
  Log,
  Side,
  message,
  open,
  data,
  stderr,
  adjust,
  eof,
  close,
  request,
  opened,
} from './channels.test-support.ts';
import { WINDOW } from './channels.ts';
import { byte, Reader, uint32 } from './data.ts';
import { SshError } from './error.ts';

describe('what is written', () => {
  it('leaves in its order, both streams, the end of the program, EOF and CLOSE', () => {
    const { side, channel } = opened(0);
    channel.write(Buffer.from('out'));
    channel.write(Buffer.from('err'), 'stderr');
    channel.request('exit-status', uint32(7));
    channel.eof();
    channel.close();
    expect(side.take()).toEqual([]);
    side.hear(adjust(0, 5));
    expect(side.take()).toEqual([data(70, 'out'), stderr(70, 'er')]);
    side.hear(adjust(0, 100));
    expect(side.take()).toEqual([stderr(70, 'r'), request(70, 'exit-status', false, uint32(7)), eof(70), close(70)]);
  });

  it('is cut to what the peer takes, and told as it goes', () => {
    const { side, channel } = opened(150, 64);
    const written: number[] = [];
    channel.write(Buffer.alloc(200, 'a'), 'data', (bytes) => written.push(bytes));
    expect(side.take().map((payload) => payload.length - 9)).toEqual([64, 64, 22]);
    expect(written).toEqual([64, 64, 22]);
    side.hear(adjust(0, 1_000));
    expect(written).toEqual([64, 64, 22, 50]);
  });

  it('is never longer than 32 KiB at once, however much the peer takes', () => {
    const { side, channel } = opened(0xffff_ffff, 0xffff_ffff);
    channel.write(Buffer.alloc(MAX_DATA + 1));
    expect(side.take().map((payload) => payload.length - 9)).toEqual([MAX_DATA, 1]);
  });

  it('waits while nothing may go out, and then goes in turn over all channels', () => {
    const side = new Side();
    side.hear(open(1), open(2));
    const [one, two] = side.offers.map((offer) => offer.accept(new Log())) as [Channel, Channel];
    side.take();
    side.isWritable = false;
    one.write(Buffer.alloc(2 * MAX_DATA));
    two.write(Buffer.alloc(2 * MAX_DATA));
    one.close();
    expect(side.take()).toEqual([]);
    side.isWritable = true;
    side.channels.resume();
    expect(side.take().map((payload) => [payload[0], payload.readUInt32BE(1)])).toEqual([
      [CHANNEL.data, 1],
      [CHANNEL.data, 2],
      [CHANNEL.data, 1],
      [CHANNEL.data, 2],
      [CHANNEL.close, 1],
    ]);
  });

  it('does not overtake what waits where it is written while that goes', () => {
    const { side, channel } = opened(0);
    let more = 3;
    channel.write(Buffer.from('0'), 'data', () => {
      if (more-- > 0) channel.write(Buffer.from(`${3 - more}`));
    });
    channel.write(Buffer.from('x'.repeat(2_000)));
    side.hear(adjust(0, 10_000));
    expect(cat(...side.take().map((payload) => payload.subarray(9))).toString()).toBe(`0${'x'.repeat(2_000)}1`);
  });

  it('behind EOF or CLOSE is dropped, and told as gone', () => {
    for (const end of ['eof', 'close'] as const) {
      const { side, channel } = opened();
      const written: number[] = [];
      channel[end]();
      channel.write(Buffer.alloc(5), 'data', (bytes) => written.push(bytes));
      channel.eof();
      expect(written).toEqual([5]);
      expect(side.take()).toHaveLength(1);
    }
  });

  it('is dropped where the peer closes, and told as gone', () => {
    const { side, channel, log } = opened(0);
    const written: number[] = [];
    channel.write(Buffer.alloc(5), 'data', (bytes) => written.push(bytes));
    side.hear(close(0));
    expect(written).toEqual([5]);
    expect(side.take()).toEqual([close(70)]);
    expect(log.events).toEqual(['close']);
    channel.write(Buffer.alloc(6), 'data', (bytes) => written.push(bytes));
    channel.request('x', NOTHING);
    channel.close();
    expect(written).toEqual([5, 6]);
    expect(side.take()).toEqual([]);
  });

  it('of how a program ended still goes where the peer closes before it, though data does not', () => {
    const { side, channel, log } = opened(2);
    channel.write(Buffer.from('last'));
    channel.request('exit-status', uint32(7));
    channel.eof();
    channel.close();
    side.take();
    side.hear(close(0));
    expect(side.take()).toEqual([request(70, 'exit-status', false, uint32(7)), eof(70), close(70)]);
    expect(log.events).toEqual(['close']);
  });

  it('behind the peer’s CLOSE is how the program ended, where its side has that to say yet', () => {
    const { side, channel, log } = opened();
    log.onClosing = () => true;
    side.hear(eof(0), close(0));
    expect([side.take(), log.events]).toEqual([[], ['eof']]);
    const written: number[] = [];
    channel.write(Buffer.alloc(3), 'data', (bytes) => written.push(bytes));
    expect([written, side.take()]).toEqual([[3], []]);
    channel.request('exit-status', uint32(7));
    channel.close();
    expect(side.take()).toEqual([request(70, 'exit-status', false, uint32(7)), close(70)]);
    expect(log.events).toEqual(['eof', 'close']);
    // The number may be given again.
    side.hear(open(71));
    expect(side.offers).toHaveLength(2);
  });

  it.each<[string, Buffer]>([
    ['data', data(0, 'x')],
    ['a window', adjust(0, 1)],
    ['a second CLOSE', close(0)],
    ['a request', request(0, 'x', true)],
  ])('waits for its end behind the peer’s CLOSE, and %s from there ends the connection', (_, payload) => {
    const { side, log } = opened();
    log.onClosing = () => true;
    side.hear(close(0));
    expect(() => side.hear(payload)).toThrow(SshError);
  });

  it('in single bytes costs little more than its bytes, and arrives whole', () => {
    const { side, channel } = opened(0);
    const before = process.memoryUsage().arrayBuffers;
    let written = 0;
    const onWritten = (bytes: number): void => {
      written += bytes;
    };
    const bytes = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => index % 251));
    for (let at = 0; at < bytes.length; at++) channel.write(bytes.subarray(at, at + 1), 'data', onWritten);
    expect(side.errors).toEqual([]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
    side.hear(adjust(0, bytes.length));
    expect(cat(...side.take().map((payload) => payload.subarray(9)))).toEqual(bytes);
    expect(written).toBe(bytes.length);
  });

  it('in small parts is told to whoever wrote each', () => {
    const { side, channel } = opened(0);
    const written: Record<string, number> = { one: 0, two: 0 };
    const tell = (name: string) => (bytes: number) => {
      written[name] = (written[name] ?? 0) + bytes;
    };
    const [one, two] = [tell('one'), tell('two')];
    for (const text of ['a', 'bb', 'ccc']) {
      channel.write(Buffer.from(text), 'data', one);
      channel.write(Buffer.from(text), 'data', two);
      channel.write(Buffer.from(text), 'data', two);
    }
    side.hear(adjust(0, 100));
    expect(written).toEqual({ one: 6, two: 12 });
    expect(cat(...side.take().map((payload) => payload.subarray(9))).toString()).toBe('aaabbbbbbccccccccc');
  });

  it('ends its connection where too much of it waits', () => {
    const { side, channel } = opened(0);
    for (let count = 0; count < 300; count++) channel.write(Buffer.alloc(MAX_DATA));
    expect(side.errors[0]).toMatchObject({ name: 'SshError', reason: 11 });
    const many = opened(0);
    for (let count = 0; count < 100_000; count++) many.channel.request('exit-status', uint32(0));
    expect(many.side.errors).toEqual([]);
    many.channel.write(Buffer.of(0));
    for (let count = 0; count < 100_000; count++) many.channel.request('exit-status', uint32(0));
    expect(many.side.errors[0]).toMatchObject({ name: 'SshError', reason: 11 });
  });

  it('keeps its order, its bytes and the windows, whatever the peer allows when', () => {
    const step = fc.oneof(
      fc.record({ write: fc.integer({ min: 1, max: 3_000 }), stream: fc.constantFrom('data' as const, 'stderr' as const) }),
      fc.record({ allow: fc.integer({ min: 0, max: 4_000 }) }),
      fc.record({ writable: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 64, max: 5_000 }), (steps, max) => {
        const { side, channel } = opened(0, max);
        const wanted: [string, number][] = [];
        let [next, allowed, written] = [0, 0, 0];
        for (const one of steps) {
          if ('write' in one) {
            const bytes = Buffer.from(Array.from({ length: one.write }, () => next++ % 251));
            for (const value of bytes) wanted.push([one.stream, value]);
            channel.write(bytes, one.stream, (count) => {
              written += count;
            });
          } else if ('allow' in one) {
            allowed += one.allow;
            side.hear(adjust(0, one.allow));
          } else {
            side.isWritable = one.writable;
            if (one.writable) side.channels.resume();
          }
        }
        side.isWritable = true;
        side.channels.resume();
        const got = side.take().flatMap((payload): [string, number][] => {
          const isError = payload[0] === CHANNEL.extendedData;
          const part = new Reader(payload, isError ? 9 : 5).string();
          expect(part.length).toBeLessThanOrEqual(max);
          return [...part].map((value) => [isError ? 'stderr' : 'data', value]);
        });
        expect(got).toEqual(wanted.slice(0, allowed));
        expect(written).toBe(got.length);
        expect(side.errors).toEqual([]);
      }),
    );
  });
});

describe('what comes', () => {
  it('is told in its order', () => {
    const { side, log } = opened();
    side.hear(
      request(0, 'exec', true, Buffer.from('ls')),
      data(0, 'in'),
      stderr(0, 'err'),
      data(0, ''),
      eof(0),
      eof(0),
      request(0, 'signal', false),
    );
    side.hear(close(0));
    expect(log.events).toEqual(['exec? 6c73', 'data in', 'stderr err', 'eof', 'signal ', 'close']);
  });

  it('gives back what was consumed, and nothing before', () => {
    const { side, channel } = opened();
    side.hear(...Array.from({ length: 2 }, () => data(0, Buffer.alloc(MAX_DATA))));
    expect(side.take()).toEqual([]);
    side.left = 0;
    channel.consumed(WINDOW.first / 2 - 1);
    expect(side.take()).toEqual([]);
    channel.consumed(1);
    expect(side.take()).toEqual([adjust(70, WINDOW.first / 2)]);
    side.hear(data(0, Buffer.alloc(MAX_DATA)));
  });

  it('gives nothing back once no more can come', () => {
    const { side, channel } = opened();
    side.hear(...Array.from({ length: 2 }, () => data(0, Buffer.alloc(MAX_DATA))), eof(0));
    channel.consumed(WINDOW.first);
    expect(side.take()).toEqual([]);
  });

  it('may be more than was read of it by nobody: that ends the connection', () => {
    const { side, channel } = opened();
    side.hear(data(0, 'abc'));
    channel.consumed(4);
    expect(side.errors[0]).toMatchObject({ reason: 11 });
  });

  it('behind our CLOSE goes nowhere, within the window', () => {
    const { side, channel, log } = opened();
    channel.close();
    side.take();
    side.hear(data(0, Buffer.alloc(MAX_DATA)), request(0, 'x', true), adjust(0, 5));
    expect(log.events).toEqual([]);
    expect(side.take()).toEqual([]);
    const rest = Array.from({ length: 1 }, () => data(0, Buffer.alloc(MAX_DATA)));
    side.hear(...rest);
    expect(() => side.hear(data(0, 'x'))).toThrow(SshError);
    side.hear(eof(0), close(0));
    expect(log.events).toEqual(['close']);
  });

  it.each<[string, Buffer[]]>([
    ['more than the window', [...Array.from({ length: 2 }, () => data(0, Buffer.alloc(MAX_DATA))), data(0, 'x')]],
    [
      'more than the window of the other stream',
      [...Array.from({ length: 2 }, () => stderr(0, Buffer.alloc(MAX_DATA))), data(0, 'x')],
    ],
    ['more than a packet', [data(0, Buffer.alloc(MAX_DATA + 1))]],
    ['data behind EOF', [eof(0), data(0, 'x')]],
    ['extended data behind EOF', [eof(0), stderr(0, 'x')]],
    ['empty data behind EOF', [eof(0), data(0, '')]],
    ['extended data of another kind', [stderr(0, 'x', 2)]],
    ['data behind CLOSE', [close(0), data(0, 'x')]],
    ['a second CLOSE', [close(0), close(0)]],
    ['a request behind CLOSE', [close(0), request(0, 'x', false)]],
    ['a window of more than 2^32 - 1', [adjust(0, 0xffff_ffff)]],
    ['data for a channel that is not there', [data(1, 'x')]],
    ['a window for a channel that is not there', [adjust(70, 1)]],
    ['an answer that nobody asked for', [message(CHANNEL.success, uint32(0))]],
    ['a refusal that nobody asked for', [message(CHANNEL.failure, uint32(0))]],
    ['an answer to the connection that nobody asked for', [message(CHANNEL.requestSuccess)]],
    ['EOF that goes on', [cat(eof(0), byte(0))]],
    ['CLOSE that goes on', [cat(close(0), byte(0))]],
    ['data that goes on', [cat(data(0, 'x'), byte(0))]],
    ['data that ends too early', [data(0, 'x').subarray(0, -1)]],
    ['a request without name', [message(CHANNEL.request, uint32(0))]],
  ])('ends the connection for %s', (_, payloads) => {
    expect(() => opened().side.hear(...payloads)).toThrow(SshError);
  });

  it('takes a window of exactly 2^32 - 1', () => {
    const { side, channel } = opened(0);
    side.hear(adjust(0, 0xffff_ffff));
    channel.write(Buffer.from('x'));
    expect(side.take()).toEqual([data(70, 'x')]);
    side.hear(adjust(0, 1));
    expect(() => side.hear(adjust(0, 1))).toThrow(SshError);
  });
});
