import { randomSegments, seededRandom, threeWaySplits, twoWaySplits } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from './error.ts';
import {
  type Decide,
  decideBackend,
  decideFrontend,
  MAX_BACKEND_BYTES,
  MAX_BIND_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_SMALL_BYTES,
  MAX_STATEMENT_BYTES,
  MAX_WHOLE_ROW_BYTES,
} from './limits.ts';
import { MessageReader, type Piece } from './reader.ts';

/** A message by hand, independent of the encoders: type, length word, content. */
function frame(type: string, content: string | Buffer): Buffer {
  const body = Buffer.from(content);
  const bytes = Buffer.alloc(5 + body.length);
  bytes.write(type, 0, 'latin1');
  bytes.writeUInt32BE(body.length + 4, 1);
  body.copy(bytes, 5);
  return bytes;
}

/** A header that announces `word` as its length word. */
function header(type: string, word: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.write(type, 0, 'latin1');
  bytes.writeUInt32BE(word, 1);
  return bytes;
}

/** w: whole, s: streamed, k: skipped, anything else refused. */
const byLetter: Decide = (type) => {
  const letter = String.fromCharCode(type);
  if (letter === 'w') return 'whole';
  if (letter === 's') return 'stream';
  return letter === 'k' ? 'skip' : 'refuse';
};

function drain(reader: MessageReader): Piece[] {
  const pieces: Piece[] = [];
  for (let piece = reader.next(); piece !== undefined; piece = reader.next()) pieces.push(piece);
  return pieces;
}

/** The messages of a run. */
function apart(bytes: Buffer, count: number): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + bytes.readUInt32BE(at + 1);
    found.push(bytes.toString('latin1', at, end));
    at = end;
  }
  expect(found).toHaveLength(count);
  return found;
}

/** What a consumer ends up with, however the bytes were cut: type and content of each message, or that it was skipped. */
function read(
  segments: Iterable<Buffer>,
  drainEach: boolean,
  options: { decide?: Decide; runs?: readonly number[] } = {},
): string[] {
  const reader = new MessageReader({ decide: byLetter, ...options });
  const seen: string[] = [];
  let streamed: Buffer[] | undefined;
  const take = (piece: Piece): void => {
    if (piece.kind === 'message') seen.push(piece.bytes.toString('latin1'));
    else if (piece.kind === 'run') seen.push(...apart(piece.bytes, piece.count));
    else if (piece.kind === 'skipped') seen.push(`skipped ${piece.length}`);
    else if (piece.kind === 'start') streamed = [Buffer.from(piece.bytes)];
    else {
      streamed?.push(Buffer.from(piece.bytes));
      if (piece.last) {
        seen.push(Buffer.concat(streamed ?? []).toString('latin1'));
        streamed = undefined;
      }
    }
  };
  for (const segment of segments) {
    // A reader that kept a reference into the segment would see it overwritten.
    const volatile = Buffer.from(segment);
    reader.push(volatile);
    if (!drainEach) continue;
    for (const piece of drain(reader)) take(piece);
    volatile.fill(0x77);
  }
  for (const piece of drain(reader)) take(piece);
  return seen;
}

const stream = Buffer.concat([
  frame('w', 'one'),
  frame('w', ''),
  frame('s', 'two!'),
  frame('k', 'three'),
  frame('s', ''),
  frame('k', ''),
  frame('w', 'end'),
]);
const expected = [
  frame('w', 'one').toString('latin1'),
  frame('w', '').toString('latin1'),
  frame('s', 'two!').toString('latin1'),
  'skipped 10',
  frame('s', '').toString('latin1'),
  'skipped 5',
  frame('w', 'end').toString('latin1'),
];

/** CPU microseconds to gather one message of `size` bytes out of 64-byte segments. */
function gather(size: number): number {
  const reader = new MessageReader({ decide: () => 'whole' });
  const segment = Buffer.alloc(64, 1);
  const started = process.cpuUsage();
  reader.push(header('w', size + 4));
  for (let sent = 0; sent < size; sent += segment.length) {
    reader.push(segment);
    if (sent + segment.length < size) reader.next();
  }
  expect(reader.next()).toMatchObject({ kind: 'message' });
  return process.cpuUsage(started).user;
}

describe('MessageReader', () => {
  for (const [drainEach, runs] of [
    [true, undefined],
    [false, undefined],
    [true, 'w'],
    [false, 'w'],
    [true, 's'],
    [true, 'ws'],
  ] as const) {
    const when = `${drainEach ? 'asked after every segment' : 'asked at the end'}${runs === undefined ? '' : `, with runs of ${runs}`}`;
    const options = runs === undefined ? {} : { runs: [...Buffer.from(runs)] };
    it(`gives the same messages for every two-way split, ${when}`, () => {
      for (const split of twoWaySplits(stream)) expect(read(split, drainEach, options)).toEqual(expected);
    });

    it(`gives the same messages for every three-way split, ${when}`, () => {
      for (const split of threeWaySplits(stream)) expect(read(split, drainEach, options)).toEqual(expected);
    });

    for (const seed of [1, 20, 300]) {
      it(`gives the same messages for random segments, seed ${seed}, ${when}`, () => {
        const random = seededRandom(seed);
        const letters = ['w', 's', 'k'];
        const messages = Array.from({ length: 400 }, () =>
          frame(letters[Math.floor(random() * 3)] as string, Buffer.alloc(Math.floor(random() * 200), 0x61)),
        );
        const whole = read([Buffer.concat(messages)], drainEach, options);
        expect(whole).toHaveLength(400);
        for (const longest of [1, 7, 64, 1000]) {
          expect(read(randomSegments(Buffer.concat(messages), random, longest), drainEach, options)).toEqual(whole);
        }
      });
    }
  }

  it('ends a run before a message that is cut, of another type, or not accepted', () => {
    const runs = [...Buffer.from('ws')];
    const rows = Buffer.concat([frame('w', 'one'), frame('w', 'two'), frame('w', '')]);
    const kinds = (rest: Buffer, decide: Decide = byLetter): string[] => {
      const reader = new MessageReader({ decide, runs });
      reader.push(Buffer.concat([rows, rest]));
      return drain(reader).map((piece) => (piece.kind === 'run' ? `run of ${piece.count}` : piece.kind));
    };
    expect(kinds(frame('w', 'four').subarray(0, 7))).toEqual(['run of 3']);
    expect(kinds(frame('s', 'four'))).toEqual(['run of 3', 'message']);
    expect(() => kinds(header('w', 3))).toThrow('impossible length');
    expect(kinds(frame('w', 'skipped'), (_type, length) => (length > 10 ? 'skip' : 'whole'))).toEqual(['run of 3', 'skipped']);
    expect(() => kinds(frame('w', 'refused'), (_type, length) => (length > 10 ? 'refuse' : 'whole'))).toThrow('is not accepted');
  });

  it('needs more bytes at every prefix and throws at none', () => {
    for (let end = 0; end < stream.length; end++) {
      const reader = new MessageReader({ decide: byLetter });
      reader.push(stream.subarray(0, end));
      drain(reader);
      expect(reader.next()).toBeUndefined();
    }
  });

  it('gives neighbouring messages of one chunk as neighbouring slices of it', () => {
    const reader = new MessageReader({ decide: byLetter });
    const chunk = Buffer.concat([frame('w', 'one'), frame('w', 'two')]);
    reader.push(chunk);
    const [first, second] = drain(reader) as Extract<Piece, { kind: 'message' }>[];
    expect(first?.bytes.buffer).toBe(chunk.buffer);
    expect((first?.bytes.byteOffset ?? 0) + (first?.bytes.length ?? 0)).toBe(second?.bytes.byteOffset);
  });

  it('gives a streamed message in the slices in which it came', () => {
    const reader = new MessageReader({ decide: byLetter });
    const bytes = frame('s', 'abcdefgh');
    reader.push(bytes.subarray(0, 7));
    expect(drain(reader)).toEqual([{ kind: 'start', type: 0x73, length: 13, bytes: bytes.subarray(0, 7) }]);
    reader.push(bytes.subarray(7, 9));
    expect(drain(reader)).toEqual([{ kind: 'more', bytes: bytes.subarray(7, 9), last: false }]);
    reader.push(bytes.subarray(9));
    expect(drain(reader)).toEqual([{ kind: 'more', bytes: bytes.subarray(9), last: true }]);
  });

  it('asks for a decision once per message, before any content is there', () => {
    const asked: [number, number][] = [];
    const reader = new MessageReader({
      decide: (type, length) => {
        asked.push([type, length]);
        return 'whole';
      },
    });
    for (const byte of frame('w', 'content')) {
      reader.push(Buffer.of(byte));
      drain(reader);
    }
    expect(asked).toEqual([[0x77, 12]]);
  });

  for (const [what, word] of [
    ['0', 0],
    ['3', 3],
    ['2^31', 2 ** 31],
    ['2^32 - 1', 2 ** 32 - 1],
    ['one above the limit', MAX_MESSAGE_BYTES],
  ] as const) {
    for (const cut of [0, 1, 3, 4]) {
      it(`throws for a length word of ${what}, cut at ${cut}, and from then on always`, () => {
        let asked = false;
        const reader = new MessageReader({
          decide: () => {
            asked = true;
            return 'whole';
          },
        });
        const bytes = header('w', word);
        reader.push(bytes.subarray(0, cut));
        expect(reader.next()).toBeUndefined();
        reader.push(bytes.subarray(cut));
        expect(() => reader.next()).toThrow(expect.objectContaining({ name: 'ProtocolError', code: 'InvalidLength' }));
        reader.push(frame('w', 'fine'));
        expect(() => reader.next()).toThrow(ProtocolError);
        expect(asked).toBe(false);
      });
    }
  }

  it('takes the largest length that a server takes', () => {
    const reader = new MessageReader({ decide: byLetter });
    reader.push(header('k', MAX_MESSAGE_BYTES - 1));
    expect(reader.next()).toBeUndefined();
  });

  it('throws for a refused message before its content comes', () => {
    const reader = new MessageReader({ decide: byLetter });
    reader.push(Buffer.concat([frame('w', 'fine'), header('x', 100)]));
    expect(reader.next()).toMatchObject({ kind: 'message' });
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'Refused' }));
  });

  it('does not allocate what a header announces until it comes', () => {
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 50 }, () => {
      const reader = new MessageReader({ decide: () => 'whole' });
      reader.push(Buffer.concat([header('w', MAX_BIND_BYTES - 1), Buffer.alloc(100)]));
      reader.next();
      return reader;
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(readers.length * 70 * 1024);
  });

  it('gathers 32 MiB out of 64-byte segments in linear time', () => {
    gather(1 << 20);
    const small = gather(4 << 20);
    // Eight times as much; quadratic gathering would take sixty-four times as long.
    expect(gather(32 << 20)).toBeLessThan(Math.max(small, 20_000) * 30);
  });

  it('keeps up with a million queued one-byte chunks', () => {
    const reader = new MessageReader({ decide: () => 'whole' });
    const bytes = frame('w', Buffer.alloc(1_000_000));
    for (let at = 0; at < bytes.length; at++) reader.push(bytes.subarray(at, at + 1));
    expect(drain(reader)).toMatchObject([{ kind: 'message', bytes: { length: 1_000_005 } }]);
  });

  for (const seed of [7, 70, 700, 7000]) {
    it(`never hangs and throws nothing but ProtocolError on random bytes, seed ${seed}`, () => {
      const random = seededRandom(seed);
      let refused = 0;
      for (let round = 0; round < 2000; round++) {
        const bytes = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 60) }, () => Math.floor(random() * 256)));
        // Small lengths and known types, so that the random bytes get past the header.
        if (random() < 0.8) bytes[0] = 'QPBDECSHXdcfp'.charCodeAt(Math.floor(random() * 13));
        if (random() < 0.8 && bytes.length > 4) bytes.writeUInt32BE(Math.floor(random() * 80), 1);
        const reader = new MessageReader({ decide: round % 2 === 0 ? decideFrontend : decideBackend });
        try {
          for (const segment of randomSegments(bytes, random, 9)) {
            reader.push(segment);
            expect(drain(reader).length).toBeLessThanOrEqual(segment.length + 1);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
          refused++;
        }
      }
      expect(refused).toBeGreaterThan(100);
    });
  }
});

describe('the limits of a session', () => {
  /** letter, largest that is held whole, what happens to one byte more. */
  const agent: [string, number, string][] = [
    ['Q', MAX_STATEMENT_BYTES, 'skip'],
    ['P', MAX_STATEMENT_BYTES, 'skip'],
    ['B', MAX_BIND_BYTES, 'skip'],
    ['F', MAX_SMALL_BYTES, 'skip'],
    ['d', MAX_WHOLE_ROW_BYTES, 'stream'],
    ['D', MAX_SMALL_BYTES, 'refuse'],
    ['E', MAX_SMALL_BYTES, 'refuse'],
    ['C', MAX_SMALL_BYTES, 'refuse'],
    ['f', MAX_SMALL_BYTES, 'refuse'],
    ['p', MAX_SMALL_BYTES, 'refuse'],
    ['S', 5, 'refuse'],
    ['H', 5, 'refuse'],
    ['c', 5, 'refuse'],
    ['X', 5, 'refuse'],
  ];
  for (const [letter, limit, beyond] of agent) {
    it(`holds ${letter} of an agent up to ${limit} bytes; one more: ${beyond}`, () => {
      expect(decideFrontend(letter.charCodeAt(0), limit)).toBe('whole');
      expect(decideFrontend(letter.charCodeAt(0), limit + 1)).toBe(beyond);
    });
  }

  it('refuses every other type from an agent', () => {
    const known = new Set(agent.map(([letter]) => letter.charCodeAt(0)));
    for (let type = 0; type < 256; type++) {
      if (!known.has(type)) expect(decideFrontend(type, 5)).toBe('refuse');
    }
  });

  it('streams large rows of a server and holds everything else it knows', () => {
    for (const letter of 'Dd') {
      expect(decideBackend(letter.charCodeAt(0), MAX_WHOLE_ROW_BYTES)).toBe('whole');
      expect(decideBackend(letter.charCodeAt(0), MAX_WHOLE_ROW_BYTES + 1)).toBe('stream');
    }
    for (const letter of 'RKSTCZENIGHWAVvtns123c') {
      expect(decideBackend(letter.charCodeAt(0), MAX_BACKEND_BYTES)).toBe('whole');
      expect(decideBackend(letter.charCodeAt(0), MAX_BACKEND_BYTES + 1)).toBe('refuse');
    }
    expect(decideBackend('x'.charCodeAt(0), 5)).toBe('refuse');
    expect(decideBackend(0, 5)).toBe('refuse');
  });

  it('stays usable after a statement of 20 MB', () => {
    const statement = frame('Q', Buffer.alloc(20_000_000, 0x20));
    const reader = new MessageReader({ decide: decideFrontend });
    const pieces: Piece[] = [];
    for (let at = 0; at < statement.length; at += 65536) {
      reader.push(statement.subarray(at, at + 65536));
      pieces.push(...drain(reader));
    }
    reader.push(frame('Q', 'select 1\0'));
    pieces.push(...drain(reader));
    expect(pieces).toMatchObject([{ kind: 'skipped', length: 20_000_005 }, { kind: 'message' }]);
  });
});
