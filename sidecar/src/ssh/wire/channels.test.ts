import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_DATA } from './channel.ts';
import { CHANNEL } from './channel-messages.ts';
import { MAX_CHANNELS, type OpenResult, WINDOW } from './channels.ts';
import {
  cat,
  NOTHING,
  WIDE,
  Log,
  Side,
  message,
  open,
  confirmation,
  data,
  stderr,
  adjust,
  eof,
  close,
  request,
  globalRequest,
  opened,
} from './channels.test-support.ts';
import { byte, string, uint32 } from './data.ts';
import { SshError } from './error.ts';

describe('a channel that the peer opens', () => {
  it('waits for a decision, and says nothing before', () => {
    const side = new Side();
    side.hear(message(CHANNEL.open, string('direct-tcpip'), uint32(5), uint32(100), uint32(64), Buffer.from('extra')));
    expect(side.take()).toEqual([]);
    expect(side.offers[0]).toMatchObject({ type: 'direct-tcpip', payload: Buffer.from('extra') });
  });

  it('is confirmed with our number and window', () => {
    const side = new Side();
    side.hear(open(5), open(6));
    side.offers[1]?.accept(new Log(), Buffer.from('extra'));
    side.offers[0]?.accept(new Log());
    expect(side.take()).toEqual([cat(confirmation(6, 0, WINDOW.first), Buffer.from('extra')), confirmation(5, 1, WINDOW.first)]);
  });

  it('is refused with a reason', () => {
    const side = new Side();
    side.hear(open(5));
    side.offers[0]?.refuse({ code: 1, text: 'no' });
    expect(side.take()).toEqual([message(CHANNEL.openFailure, uint32(5), uint32(1), string('no'), string(''))]);
    expect(() => side.hear(data(0, 'x'))).toThrow(SshError);
  });

  it('is decided once', () => {
    const side = new Side();
    side.hear(open(5));
    side.offers[0]?.refuse({ code: 1, text: 'no' });
    const log = new Log();
    const channel = side.offers[0]?.accept(log);
    side.offers[0]?.refuse({ code: 1, text: 'no' });
    expect(side.take()).toHaveLength(1);
    expect(channel?.isClosed).toBe(true);
    expect(log.events).toEqual(['close']);
  });

  it('is closed already where its connection was over before', () => {
    const side = new Side();
    side.hear(open(5));
    side.channels.abandon();
    const log = new Log();
    expect(side.offers[0]?.accept(log).isClosed).toBe(true);
    expect(log.events).toEqual(['close']);
    expect(side.take()).toEqual([]);
  });

  it('is one of 256 at most; ten thousand more are refused and cost nothing', () => {
    const side = new Side();
    for (let remote = 0; remote < 10_000; remote++) side.hear(open(remote));
    expect(side.offers).toHaveLength(MAX_CHANNELS);
    const sent = side.take();
    expect(sent).toHaveLength(10_000 - MAX_CHANNELS);
    expect(sent[0]).toEqual(message(CHANNEL.openFailure, uint32(256), uint32(4), string('too many channels'), string('')));
    side.offers[0]?.refuse({ code: 1, text: 'no' });
    side.hear(open(20_000));
    expect(side.offers).toHaveLength(MAX_CHANNELS + 1);
  });

  it('has a window that grows with what goes through it, up to 2 MiB, and 16 MiB for all', () => {
    const side = new Side();
    const before = side.left;
    for (let remote = 0; remote < MAX_CHANNELS; remote++) side.hear(open(remote));
    const channels = side.offers.map((offer) => offer.accept(new Log()));
    expect(new Set(side.take().map((payload) => payload.readUInt32BE(9)))).toEqual(new Set([WINDOW.first]));
    expect(before - side.left).toBe(MAX_CHANNELS * WINDOW.first);
    for (let local = 10; local < MAX_CHANNELS; local++) side.hear(close(local));
    for (const [local, channel] of channels.slice(0, 10).entries())
      for (let piece = 0; piece < 200; piece++) {
        side.hear(data(local, Buffer.alloc(MAX_DATA)));
        channel.consumed(MAX_DATA);
      }
    const windows = channels.slice(0, 10).map(({ windowSize }) => windowSize);
    expect(windows.slice(0, 7)).toEqual(Array.from({ length: 7 }, () => WINDOW.widest));
    expect(windows.reduce((sum, window) => sum + window)).toBe(WINDOW.all);
    expect(before - side.left).toBe(WINDOW.all);
    for (let local = 0; local < 9; local++) side.hear(close(local));
    expect(before - side.left).toBe(channels[9]?.windowSize);
    side.channels.abandon();
    expect([side.left, side.errors]).toEqual([before, []]);
  });

  it('stays narrow, or is refused, where connections have used up the memory for windows', () => {
    const { side, channel } = opened();
    side.left = WINDOW.first;
    for (let piece = 0; piece < 10; piece++) {
      side.hear(data(0, Buffer.alloc(MAX_DATA)));
      channel.consumed(MAX_DATA);
    }
    expect(channel.windowSize).toBe(2 * WINDOW.first);
    side.take();
    side.hear(open(9));
    const refusal = message(CHANNEL.openFailure, uint32(9), uint32(4), string('no memory for another channel'), string(''));
    expect(side.take()).toEqual([refusal]);
    const told: unknown[] = [];
    side.channels.open('session', NOTHING, new Log(), (result) => told.push(result));
    expect(told).toEqual([{ kind: 'refused', code: 4, text: 'no memory for another channel' }]);
    side.hear(close(0));
    side.hear(open(9));
    expect(side.offers).toHaveLength(2);
    side.offers[1]?.refuse({ code: 1, text: 'no' });
    side.channels.open('session', NOTHING, new Log(), (result) => told.push(result));
    side.hear(message(CHANNEL.openFailure, uint32(1), uint32(1), string('no'), string('')));
    expect([told.length, side.left]).toEqual([2, 2 * WINDOW.first]);
  });

  it.each<[string, Buffer[]]>([
    ['the number of another', [open(5), open(5)]],
    ['packets of 0 bytes', [open(5, WIDE, 0)]],
    ['packets of 63 bytes', [open(5, WIDE, 63)]],
    ['no window', [message(CHANNEL.open, string('session'), uint32(5))]],
    ['a type with a space', [message(CHANNEL.open, string('a b'), uint32(5), uint32(1), uint32(64))]],
  ])('ends the connection with %s', (_, payloads) => {
    expect(() => new Side().hear(...payloads)).toThrow(SshError);
  });
});

function asked(): { side: Side; log: Log; results: OpenResult[] } {
  const side = new Side();
  const log = new Log();
  const results: OpenResult[] = [];
  side.channels.open('session', Buffer.from('extra'), log, (result) => results.push(result));
  return { side, log, results };
}

describe('a channel that we open', () => {
  it('is asked for, and there once it is confirmed', () => {
    const { side, log, results } = asked();
    expect(side.take()).toEqual([cat(open(0, WINDOW.first), Buffer.from('extra'))]);
    side.hear(cat(confirmation(0, 9), Buffer.from('more')), data(0, 'x'));
    expect(results).toEqual([expect.objectContaining({ kind: 'opened', payload: Buffer.from('more') })]);
    expect(log.events).toEqual(['data x']);
  });

  it('is refused as the peer says', () => {
    const { side, results } = asked();
    side.hear(message(CHANNEL.openFailure, uint32(0), uint32(2), string('x'.repeat(5_000)), string('en')));
    expect(results).toEqual([{ kind: 'refused', code: 2, text: 'x'.repeat(1_024) }]);
  });

  it('is refused where there are too many, and where the connection ends', () => {
    const side = new Side();
    const results: OpenResult[] = [];
    for (let index = 0; index <= MAX_CHANNELS; index++)
      side.channels.open('session', NOTHING, new Log(), (result) => results.push(result));
    expect(results).toEqual([{ kind: 'refused', code: 4, text: 'too many channels' }]);
    side.channels.abandon();
    expect(results).toHaveLength(MAX_CHANNELS + 1);
    side.channels.open('session', NOTHING, new Log(), (result) => results.push(result));
    expect(results.at(-1)).toMatchObject({ kind: 'refused', code: 2 });
  });

  it.each<[string, Buffer[]]>([
    ['a confirmation that nobody asked for', [confirmation(1, 9)]],
    ['a second confirmation', [confirmation(0, 9), confirmation(0, 10)]],
    [
      'a refusal behind a confirmation',
      [confirmation(0, 9), message(CHANNEL.openFailure, uint32(0), uint32(2), string(''), string(''))],
    ],
    ['the number of another', [open(9), confirmation(0, 9)]],
    ['packets of 0 bytes', [confirmation(0, 9, WIDE, 0)]],
    ['data before a confirmation', [data(0, 'x')]],
  ])('ends the connection for %s', (_, payloads) => {
    expect(() => asked().side.hear(...payloads)).toThrow(SshError);
  });
});

describe('answers', () => {
  it('leave in the order of their requests, whenever each is given, and once', () => {
    const { side, log } = opened();
    side.hear(...['a', 'b', 'c'].map((name) => request(0, name, true)), request(0, 'd', false));
    const [a, b, c, d] = log.requests.map(({ reply }) => reply);
    c?.(true);
    b?.(false);
    b?.(true);
    expect(side.take()).toEqual([]);
    a?.(true);
    a?.(false);
    expect(side.take()).toEqual([
      message(CHANNEL.success, uint32(70)),
      message(CHANNEL.failure, uint32(70)),
      message(CHANNEL.success, uint32(70)),
    ]);
    expect(d).toBeUndefined();
  });

  it('of the peer are for the requests in their order', () => {
    const { side, channel } = opened();
    const answers: string[] = [];
    for (const name of ['a', 'b']) channel.request(name, NOTHING, (isGranted) => answers.push(`${name} ${isGranted}`));
    channel.request('c', NOTHING);
    side.hear(message(CHANNEL.failure, uint32(0)), message(CHANNEL.success, uint32(0)));
    expect(answers).toEqual(['a false', 'b true']);
  });

  it('that never come are a no', () => {
    const answers: boolean[] = [];
    const first = opened();
    first.channel.request('a', NOTHING, (isGranted) => answers.push(isGranted));
    first.side.hear(close(0));
    const second = opened();
    second.channel.request('a', NOTHING, (isGranted) => answers.push(isGranted));
    second.side.channels.abandon();
    second.channel.request('b', NOTHING, (isGranted) => answers.push(isGranted));
    expect(answers).toEqual([false, false, false]);
    expect(second.log.events).toEqual(['close']);
  });

  it('are owed for 64 requests at most', () => {
    const { side } = opened();
    for (let count = 0; count < 64; count++) side.hear(request(0, 'x', true));
    expect(() => side.hear(request(0, 'x', true))).toThrow(SshError);
    for (let count = 0; count < 64; count++) side.hear(globalRequest('x', true));
    expect(() => side.hear(globalRequest('x', true))).toThrow(SshError);
  });

  it('to the connection leave in order too, with what they say', () => {
    const side = new Side();
    side.hear(
      globalRequest('tcpip-forward', true, Buffer.from('p')),
      globalRequest('keepalive@openssh.com', true),
      globalRequest('x', true),
    );
    expect(side.globals.map(({ name }) => name)).toEqual(['tcpip-forward', 'x']);
    side.globals[1]?.reply?.({ isGranted: false });
    expect(side.take()).toEqual([]);
    side.globals[0]?.reply?.({ isGranted: true, payload: uint32(2222) });
    const failure = message(CHANNEL.requestFailure);
    expect(side.take()).toEqual([message(CHANNEL.requestSuccess, uint32(2222)), failure, failure]);
  });

  it('of the peer to the connection are for the requests in their order', () => {
    const side = new Side();
    const answers: unknown[] = [];
    side.channels.global('a', NOTHING, (answer) => answers.push(answer));
    side.channels.global('b', Buffer.from('p'), (answer) => answers.push(answer));
    side.channels.global('c', NOTHING);
    expect(side.take()).toEqual([
      globalRequest('a', true),
      globalRequest('b', true, Buffer.from('p')),
      globalRequest('c', false),
    ]);
    side.hear(message(CHANNEL.requestSuccess, uint32(9)));
    side.channels.abandon();
    expect(answers).toEqual([{ isGranted: true, payload: uint32(9) }, { isGranted: false }]);
  });

  it.each(['hostkeys-00@openssh.com', 'hostkeys-prove-00@openssh.com', 'keepalive@openssh.com'])('%s goes no further', (name) => {
    const side = new Side();
    side.hear(globalRequest(name, false, string('key')), globalRequest(name, true, string('key')));
    expect(side.globals).toEqual([]);
    expect(side.take()).toEqual([message(CHANNEL.requestFailure)]);
  });
});

describe('numbers', () => {
  it('of ours are never given again, and those of the peer may be', () => {
    const { side, log } = opened();
    side.hear(close(0), open(70));
    const again = new Log();
    side.offers[1]?.accept(again);
    side.hear(data(1, 'x'));
    expect([log.events, again.events]).toEqual([['close'], ['data x']]);
    expect(() => side.hear(data(0, 'x'))).toThrow(SshError);
  });

  it('of a channel that we closed count until the peer has too', () => {
    const { side, channel } = opened();
    channel.close();
    expect(() => side.hear(open(70))).toThrow(SshError);
  });
});

describe('hostile messages', () => {
  it('end the connection with SshError or are dealt with, whatever they are', () => {
    const known = fc.constantFrom(
      open(1),
      confirmation(1, 4),
      data(0, 'x'),
      stderr(0, 'x'),
      adjust(0, 9),
      eof(0),
      close(0),
      request(0, 'exec', true, string('ls')),
      globalRequest('x', true),
      message(CHANNEL.success, uint32(0)),
      message(CHANNEL.requestFailure),
    );
    const hostile = fc.oneof(
      known,
      fc.tuple(known, fc.nat(), fc.nat(255)).map(([payload, at, value]) => {
        const damaged = Buffer.from(payload);
        damaged[at % damaged.length] = value;
        return damaged;
      }),
      fc
        .tuple(fc.integer({ min: 80, max: 100 }), fc.uint8Array({ maxLength: 30 }))
        .map(([number, bytes]) => cat(byte(number), Buffer.from(bytes))),
    );
    fc.assert(
      fc.property(fc.array(hostile, { maxLength: 20 }), (payloads) => {
        const { side, log } = opened();
        side.channels.open('session', NOTHING, new Log(), () => {});
        try {
          for (const payload of payloads) {
            side.hear(payload);
            for (const offer of side.offers.splice(0)) offer.accept(new Log());
            for (const one of log.requests.splice(0)) one.reply?.(true);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(SshError);
        }
        side.channels.abandon();
        expect(side.errors).toEqual([]);
        expect(log.closed).toBe(1);
      }),
      { numRuns: 1_000 },
    );
  });
});
