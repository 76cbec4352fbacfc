import { processorTime, randomSegments, seededRandom, threeWaySplits, twoWaySplits } from '@chaperone/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CHANNEL_PROTOCOLS,
  type ChannelMessage,
  type ChannelProtocol,
  ChannelReader,
  chooseProtocol,
  encodeChannel,
} from './channels.ts';
import { CLOSE, StreamError } from './error.ts';
import { acceptKey, closeData, MAX_MESSAGE_BYTES, OPCODE, type Role, type WebSocketEvent, WebSocketReader } from './websocket.ts';
import { type Frame, frameBytes } from './websocket.test-support.ts';

const MASK = Buffer.from([1, 2, 3, 250]);
const frame = (opcode: keyof typeof OPCODE, data: string | Buffer, fin = true): Frame => ({
  fin,
  opcode: OPCODE[opcode],
  data: Buffer.from(data),
});
/** As `role` gets it. */
const wire = (role: Role, ...frames: readonly Frame[]): Buffer =>
  Buffer.concat(frames.map((each) => frameBytes(each, role === 'server' ? MASK : undefined)));
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** With the pieces of a message put together. */
function read(role: Role, ...pieces: readonly Buffer[]): WebSocketEvent[] {
  const reader = new WebSocketReader(role);
  let parts: Buffer[] = [];
  return pieces
    .flatMap((piece) => reader.push(piece))
    .flatMap((event) => {
      if (event.kind !== 'binary') return event;
      parts.push(event.data);
      if (!event.isLast) return [];
      const data = Buffer.concat(parts);
      parts = [];
      return { ...event, data };
    });
}
function closeOf(role: Role, bytes: Buffer): number | 'read' {
  try {
    read(role, bytes);
    return 'read';
  } catch (error) {
    if (error instanceof StreamError) return error.close;
    throw error;
  }
}

const SCRIPT = [
  frame('binary', 'ab', false),
  frame('ping', 'p'),
  frame('continuation', '', false),
  frame('continuation', 'c'),
  frame('text', 'ü'),
  frame('binary', Buffer.alloc(200, 7)),
  frame('close', closeData(1000, 'bye')),
];
const SAID: WebSocketEvent[] = [
  { kind: 'ping', data: Buffer.from('p') },
  { kind: 'binary', data: Buffer.from('abc'), isLast: true },
  { kind: 'text', data: Buffer.from('ü') },
  { kind: 'binary', data: Buffer.alloc(200, 7), isLast: true },
  { kind: 'close', code: 1000, reason: 'bye' },
];

describe.each<Role>(['server', 'client'])('what a %s reads', (role) => {
  it('is the same wherever it is cut', () => {
    const bytes = wire(role, ...SCRIPT);
    for (const pieces of twoWaySplits(bytes)) expect(read(role, ...pieces)).toEqual(SAID);
    for (const pieces of threeWaySplits(bytes, 24)) expect(read(role, ...pieces)).toEqual(SAID);
    const random = seededRandom(1);
    for (let run = 0; run < 20; run++) expect(read(role, ...randomSegments(bytes, random, 5))).toEqual(SAID);
  });

  it.each([0, 1, 2, 3, 125, 126, 127, 255, 65_535, 65_536, MAX_MESSAGE_BYTES])('has messages of %i bytes', (length) => {
    const data = Buffer.alloc(length, 'any bytes');
    const [event] = read(role, wire(role, frame('binary', data)));
    expect(event?.kind === 'binary' && event.data.equals(data)).toBe(true);
  });

  it.each<[says: string, frames: readonly Frame[], code: number]>([
    ['longer than may be', [frame('binary', Buffer.alloc(MAX_MESSAGE_BYTES + 1))], CLOSE.tooBig],
    [
      'longer than may be, in pieces',
      [frame('binary', Buffer.alloc(MAX_MESSAGE_BYTES), false), frame('continuation', 'a')],
      CLOSE.tooBig,
    ],
    [
      'of endless pieces',
      [frame('text', 'a', false), ...Array.from({ length: 2_000 }, () => frame('continuation', '', false))],
      CLOSE.tooBig,
    ],
    ['that goes on without one', [frame('continuation', 'a')], CLOSE.protocol],
    ['within another', [frame('text', 'a', false), frame('text', 'b')], CLOSE.protocol],
    ['of text that is none', [frame('text', Buffer.from([0xff]))], CLOSE.notText],
    ['of text that ends inside of a character', [frame('text', Buffer.from([0xc3]))], CLOSE.notText],
    ['of control in pieces', [frame('ping', 'a', false)], CLOSE.protocol],
    ['of control that is too long', [frame('ping', Buffer.alloc(126))], CLOSE.protocol],
    ['of an unknown opcode', [{ fin: true, opcode: 3 as 2, data: Buffer.alloc(0) }], CLOSE.protocol],
    ['that closes with half a code', [frame('close', 'a')], CLOSE.protocol],
    ['that closes with a code that nobody sends', [frame('close', hex('03ed'))], CLOSE.protocol],
    ['that closes without text', [frame('close', hex('03e8ff'))], CLOSE.notText],
  ])('ends with a message %s', (_, frames, code) => {
    expect(closeOf(role, wire(role, ...frames))).toBe(code);
  });

  it('ends with a frame whose mask is not as it must be, and with one of an extension', () => {
    expect(closeOf(role, wire(role === 'server' ? 'client' : 'server', frame('text', 'a')))).toBe(CLOSE.protocol);
    const compressed = wire(role, frame('text', 'a'));
    compressed[0] = (compressed[0] as number) | 0x40;
    expect(closeOf(role, compressed)).toBe(CLOSE.protocol);
  });

  it('takes a time that grows with the bytes and not with the pieces', () => {
    const bytes = wire(role, frame('binary', Buffer.alloc(300_000)));
    const took = processorTime();
    const reader = new WebSocketReader(role);
    for (let at = 0; at < bytes.length; at++) reader.push(bytes.subarray(at, at + 1));
    expect(took()).toBeLessThan(3_000);
  });

  it('never throws anything else, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => void closeOf(role, Buffer.from(bytes))),
      { numRuns: 2_000 },
    );
  });
});

describe('a WebSocket', () => {
  it.each([
    ['a length of 16 bits that fits in 7', '82 7e 0001 61'],
    ['a length of 64 bits that fits in 16', '82 7f 0000000000000001 61'],
    ['a length beyond what numbers hold', '82 7f ffffffffffffffff'],
  ])('refuses %s before its bytes are there', (_, bytes) => {
    expect(closeOf('client', hex(bytes))).not.toBe('read');
  });

  it('says nothing behind a close', () => {
    expect(read('client', wire('client', frame('close', ''), frame('text', 'a')), wire('client', frame('text', 'b')))).toEqual([
      { kind: 'close', reason: '' },
    ]);
  });

  it('answers a key as RFC 6455 shows it, and no other text', () => {
    expect(acceptKey('dGhlIHNhbXBsZSBub25jZQ==')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    expect([acceptKey(''), acceptKey('a'), acceptKey('dGhlIHNhbXBsZSBub25jZQ=='.repeat(2))]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('cuts a long reason between characters', () => {
    const data = closeData(1011, 'ü'.repeat(100));
    expect(read('client', wire('client', frame('close', data)))).toEqual([{ kind: 'close', code: 1011, reason: 'ü'.repeat(61) }]);
  });
});

function channelMessages(kind: 'text' | 'binary', data: Buffer, protocol: ChannelProtocol): ChannelMessage[] {
  const message = new ChannelReader(protocol).push(kind === 'text' ? { kind, data } : { kind, data, isLast: true });
  return message === undefined ? [] : [message];
}

describe('channels', () => {
  it.each(CHANNEL_PROTOCOLS)('of %s come back as they went', (protocol) => {
    for (const channel of ['stdin', 'stdout', 'stderr', 'error', 'resize'] as const)
      for (const data of [Buffer.alloc(0), Buffer.from([0, 255, 10]), Buffer.from('text')]) {
        const { type, data: sent } = encodeChannel({ kind: 'data', channel, data: [data] }, protocol);
        expect(channelMessages(type, Buffer.concat(sent), protocol)).toEqual([{ kind: 'data', channel, data }]);
      }
  });

  it('are the same wherever their messages are cut', () => {
    const reader = new ChannelReader('v5.channel.k8s.io');
    const message = hex('01616263');
    for (const pieces of [...twoWaySplits(message), ...threeWaySplits(message, 4)]) {
      const events = pieces.map((data, at) => reader.push({ kind: 'binary', data, isLast: at === pieces.length - 1 }));
      const said = events.flatMap((each) => (each?.kind === 'data' && each.channel === 'stdout' ? [each.data] : []));
      expect(Buffer.concat(said).toString()).toBe('abc');
    }
    for (const pieces of [...twoWaySplits(hex('ff00')), [hex(''), hex('ff'), hex(''), hex('00')]]) {
      const events = pieces.map((data, at) => reader.push({ kind: 'binary', data, isLast: at === pieces.length - 1 }));
      expect(events.filter((each) => each !== undefined)).toEqual([{ kind: 'close', channel: 'stdin' }]);
    }
  });

  it.each<[says: string, type: 'text' | 'binary', bytes: string, protocol: (typeof CHANNEL_PROTOCOLS)[number]]>([
    ['text, where bytes are sent', 'text', '01', 'v4.channel.k8s.io'],
    ['bytes, where text is sent', 'binary', '30', 'v4.base64.channel.k8s.io'],
    ['a channel that does not exist', 'binary', '05', 'v4.channel.k8s.io'],
    ['a channel that is no digit', 'text', '00', 'base64.channel.k8s.io'],
    ['no base64', 'text', '302121', 'base64.channel.k8s.io'],
    ['half of base64', 'text', '304141', 'base64.channel.k8s.io'],
    ['a close, before there was one', 'binary', 'ff00', 'v4.channel.k8s.io'],
    ['a close of nothing', 'binary', 'ff', 'v5.channel.k8s.io'],
    ['a close of too much', 'binary', 'ff0001', 'v5.channel.k8s.io'],
    ['a close of what does not exist', 'binary', 'ff09', 'v5.channel.k8s.io'],
  ])('refuse %s', (_, type, bytes, protocol) => {
    expect(() => channelMessages(type, hex(bytes), protocol)).toThrow(StreamError);
  });

  it('close in v5, and are nothing where the message is empty', () => {
    expect(channelMessages('binary', hex('ff00'), 'v5.channel.k8s.io')).toEqual([{ kind: 'close', channel: 'stdin' }]);
    expect(encodeChannel({ kind: 'close', channel: 'stdin' }, 'v5.channel.k8s.io')).toEqual({
      type: 'binary',
      data: [hex('ff00')],
    });
    expect(() => encodeChannel({ kind: 'close', channel: 'stdin' }, 'v4.channel.k8s.io')).toThrow(StreamError);
    expect(channelMessages('binary', hex(''), 'v5.channel.k8s.io')).toEqual([]);
  });

  it('are of the best protocol that is offered', () => {
    expect(chooseProtocol(['v4.channel.k8s.io', 'v5.channel.k8s.io'])).toBe('v5.channel.k8s.io');
    expect(chooseProtocol(['v6.channel.k8s.io'])).toBeUndefined();
  });
});
