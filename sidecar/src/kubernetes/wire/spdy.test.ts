import { constants, deflateRawSync, deflateSync } from 'node:zlib';
import { processorTime, randomSegments, seededRandom, threeWaySplits, twoWaySplits } from '@chaperone/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DICTIONARY, DICTIONARY_ID } from './dictionary.ts';
import { StreamError } from './error.ts';
import { HeaderReader, HeaderWriter } from './header-block.ts';
import { MAX_CONTROL_BYTES, type SpdyFrame, SpdyReader, SpdyWriter } from './spdy.ts';

const headers = (said: Readonly<Record<string, string>>): ReadonlyMap<string, readonly string[]> =>
  new Map(Object.entries(said).map(([name, value]) => [name, [value]]));
const SCRIPT: SpdyFrame[] = [
  { kind: 'settings' },
  { kind: 'open', stream: 1, fin: false, headers: headers({ streamtype: 'error' }) },
  { kind: 'open', stream: 3, fin: false, headers: headers({ streamtype: 'stdin' }) },
  { kind: 'ping', id: 7 },
  { kind: 'data', stream: 3, fin: false, data: Buffer.from('hello') },
  { kind: 'window', stream: 3, delta: 5 },
  { kind: 'headers', stream: 3, fin: false, headers: new Map([['a', ['b', 'c']]]) },
  { kind: 'data', stream: 3, fin: true, data: Buffer.alloc(0) },
  { kind: 'reset', stream: 1, status: 5 },
  { kind: 'reply', stream: 2, fin: true, headers: headers({}) },
  { kind: 'goaway', lastStream: 3, status: 0 },
];

function wire(frames: readonly SpdyFrame[]): Buffer {
  const writer = new SpdyWriter();
  return Buffer.concat(frames.map((frame) => writer.write(frame)));
}

/** Pieces of data put together again, since they are cut where bytes are. */
function read(...pieces: readonly Buffer[]): SpdyFrame[] {
  const reader = new SpdyReader('client');
  const joined: SpdyFrame[] = [];
  for (const frame of pieces.flatMap((piece) => reader.push(piece))) {
    const last = joined.at(-1);
    if (frame.kind === 'data' && last?.kind === 'data' && last.stream === frame.stream && !last.fin && frame.data.length > 0)
      joined[joined.length - 1] = { ...frame, data: Buffer.concat([last.data, frame.data]) };
    else joined.push(frame);
  }
  return joined;
}

function refuses(...pieces: readonly Buffer[]): boolean {
  try {
    read(...pieces);
    return false;
  } catch (error) {
    if (error instanceof StreamError) return true;
    throw error;
  }
}
/** As Go's zlib.Writer does with Flush: the second is compressed with what it may look back at, and both are one stream. */
function compressInTwo(first: Buffer, second: Buffer): Buffer {
  const one = deflateSync(first, { dictionary: DICTIONARY, finishFlush: constants.Z_SYNC_FLUSH });
  const window = Buffer.concat([DICTIONARY, first]);
  return Buffer.concat([one, deflateRawSync(second, { dictionary: window, finishFlush: constants.Z_SYNC_FLUSH })]);
}
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

const open = (stream: number): SpdyFrame => ({ kind: 'open', stream, fin: false, headers: headers({}) });

describe('frames of SPDY', () => {
  it('are the same wherever they are cut', () => {
    const bytes = wire(SCRIPT);
    for (const pieces of twoWaySplits(bytes)) expect(read(...pieces)).toEqual(SCRIPT);
    for (const pieces of threeWaySplits(bytes, 28)) expect(read(...pieces)).toEqual(SCRIPT);
    const random = seededRandom(1);
    for (let run = 0; run < 20; run++) expect(read(...randomSegments(bytes, random, 6))).toEqual(SCRIPT);
  });

  it('of data pass in pieces, whatever their length says', () => {
    const reader = new SpdyReader('client');
    expect(reader.push(hex('00000001 01 ffffff'))).toEqual([]);
    expect(reader.push(Buffer.from('ab'))).toEqual([{ kind: 'data', stream: 1, fin: false, data: Buffer.from('ab') }]);
  });

  it.each([
    ['of another version', '8002 0006 00 000004 00000001'],
    ['of an unknown type', '8003 0005 00 000008 0000000100000001'],
    ['of credentials', '8003 000a 00 000008 0000000100000001'],
    ['of an impossible length', `8003 0001 00 ${(MAX_CONTROL_BYTES + 1).toString(16).padStart(6, '0')}`],
    ['of a ping that is too long', '8003 0006 00 000005 0000000100'],
    ['of a ping with a flag', '8003 0006 01 000004 00000001'],
    ['of data on no stream', '00000000 00 000000'],
    ['of data with a flag', '00000001 02 000000'],
    ['of a reset of no stream', '8003 0003 00 000008 0000000000000001'],
    ['of a window that does not grow', '8003 0009 00 000008 0000000100000000'],
    ['of a window with the reserved bit', '8003 0009 00 000008 8000000100000001'],
    ['of settings that are cut', '8003 0004 00 000004 00000001'],
    ['of settings without a count', '8003 0004 00 000000'],
    ['of a stream without headers', '8003 0001 00 000004 00000001'],
    ['of a stream that no one way can be', '8003 0001 02 00000a 00000001000000000000'],
  ])('%s are refused', (_, bytes) => {
    expect(refuses(hex(bytes))).toBe(true);
  });

  it('open streams in order, each side its own, and none below another', () => {
    expect(refuses(wire([open(1), open(3)]))).toBe(false);
    for (const wrong of [[open(2)], [open(3), open(1)], [open(1), open(1)]]) expect(refuses(wire(wrong))).toBe(true);
    const below = wire([open(1)]);
    below[15] = 1;
    expect(refuses(below)).toBe(true);
  });

  it('take a time that grows with the bytes and not with the pieces', () => {
    const bytes = Buffer.concat([hex('8003 0008 00 00fa00 00000001'), Buffer.alloc(63_996)]);
    const reader = new SpdyReader('client');
    const took = processorTime();
    let frames = 0;
    for (let at = 0; at < bytes.length - 1; at++) frames += reader.push(bytes.subarray(at, at + 1)).length;
    expect(frames).toBe(0);
    expect(() => reader.push(bytes.subarray(-1))).toThrow(StreamError);
    expect(took()).toBeLessThan(1_000);
  });

  it('never throw anything else, whatever they are', () => {
    const start = fc.constantFrom(
      '80030001',
      '80030002',
      '80030003',
      '80030004',
      '80030006',
      '80030007',
      '80030008',
      '80030009',
      '00000001',
      '',
    );
    fc.assert(
      fc.property(
        start,
        fc.uint8Array({ maxLength: 40 }),
        (head, bytes) => void refuses(Buffer.concat([hex(head), Buffer.from(bytes)])),
      ),
      { numRuns: 2_000 },
    );
  });
});

const u32 = (value: number): Buffer => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value]);
const string = (text: string): Buffer => Buffer.concat([u32(text.length), Buffer.from(text, 'latin1')]);
const block = (...pairs: readonly string[]): Buffer => Buffer.concat([u32(pairs.length / 2), ...pairs.map(string)]);
const compress = (text: Buffer): Buffer => deflateSync(text, { dictionary: DICTIONARY, finishFlush: constants.Z_SYNC_FLUSH });
const isRefused = (bytes: Buffer): boolean => {
  try {
    new HeaderReader().read(bytes);
    return false;
  } catch (error) {
    if (error instanceof StreamError) return true;
    throw error;
  }
};

describe('header blocks', () => {
  it('are compressed with the dictionary of the specification', () => {
    expect(DICTIONARY).toHaveLength(1_423);
    expect(compress(Buffer.alloc(0)).readUInt32BE(2)).toBe(DICTIONARY_ID);
  });

  it('are read as another zlib wrote them, each looking back at those before', () => {
    const first = block('streamtype', 'stdin', 'port', '8080');
    const second = block('streamtype', 'stdout', 'port', '8080', 'requestid', '0');
    // One stream of zlib, flushed after each block.
    const one = compress(first);
    const both = compressInTwo(first, second);
    expect(both.subarray(0, one.length).equals(one)).toBe(true);
    const reader = new HeaderReader();
    expect([...reader.read(one)]).toEqual([
      ['streamtype', ['stdin']],
      ['port', ['8080']],
    ]);
    expect(Object.fromEntries(reader.read(both.subarray(one.length)))).toEqual({
      streamtype: ['stdout'],
      port: ['8080'],
      requestid: ['0'],
    });
  });

  it('come back as they went, many of them', () => {
    const [reader, writer] = [new HeaderReader(), new HeaderWriter()];
    const name = fc.stringMatching(/^[a-z0-9-]{1,20}$/);
    const values = fc.array(fc.stringMatching(/^[ -~]{0,30}$/), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fc.dictionary(name, values, { maxKeys: 8 }), (said) => {
        const sent = new Map(Object.entries(said));
        expect([...reader.read(writer.write(sent))]).toEqual([...sent]);
      }),
    );
  });

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['no zlib', Buffer.alloc(20)],
    ['another dictionary', deflateSync(block('a', 'b'), { dictionary: Buffer.from('x'), finishFlush: constants.Z_SYNC_FLUSH })],
    ['no dictionary', deflateSync(block('a', 'b'), { finishFlush: constants.Z_SYNC_FLUSH })],
    ['no flush', deflateSync(block('a', 'b'), { dictionary: DICTIONARY })],
    ['a bomb', compress(Buffer.alloc(1_000_000))],
    ['a name twice', compress(block('a', 'b', 'a', 'c'))],
    ['a name in upper case', compress(block('A', 'b'))],
    ['no name', compress(block('', 'b'))],
    ['a line break in a value', compress(block('a', 'b\r\nc'))],
    ['a count that lies', compress(Buffer.concat([u32(2), string('a'), string('b')]))],
    ['a huge count', compress(u32(0xffffffff))],
    ['a length that lies', compress(Buffer.concat([u32(1), u32(0xffffffff)]))],
    ['something behind', compress(Buffer.concat([block('a', 'b'), Buffer.from('x')]))],
  ])('of %s are refused', (_, bytes) => {
    expect(isRefused(bytes)).toBe(true);
  });
});
