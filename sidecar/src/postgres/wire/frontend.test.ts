import { array, assert, boolean, constant, constantFrom, integer, oneof, property, record, string, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '@chaperone/testing';
import { ProtocolError } from './error.ts';
import { content, fixture, resized } from './fixture.test-support.ts';
import {
  decodeBind,
  decodeClose,
  decodeCopyFail,
  decodeDescribe,
  decodeExecute,
  decodeParse,
  decodePassword,
  decodeQuery,
  decodeSASLInitialResponse,
  decodeSASLResponse,
} from './frontend.ts';
import {
  encodeBind,
  encodeClose,
  encodeCopyDone,
  encodeCopyFail,
  encodeDescribe,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeQuery,
  encodeSASLInitialResponse,
  encodeSASLResponse,
  encodeSync,
  encodeTerminate,
} from './frontend-encode.ts';
import { MAX_MESSAGE_BYTES } from './limits.ts';
import { MessageWriter } from './writer.ts';

const bind = fixture(
  'B',
  'portal',
  'statement',
  { i16: 2 },
  { i16: 0 },
  { i16: 1 },
  { i16: 2 },
  { i32: -1 },
  { i32: 3 },
  { raw: 'abc' },
  { i16: 1 },
  { i16: 1 },
);

/** Name, bytes by hand, decoder, meaning, encoder's bytes. */
const messages: [string, Buffer, (bytes: Buffer) => unknown, unknown, Buffer][] = [
  ['Query', fixture('Q', 'select ü'), decodeQuery, 'select ü', encodeQuery('select ü')],
  ['an empty Query', fixture('Q', ''), decodeQuery, '', encodeQuery('')],
  [
    'Parse',
    fixture('P', 'name', 'select $1', { i16: 2 }, { i32: 23 }, { i32: 4_294_967_295 }),
    decodeParse,
    { name: 'name', query: 'select $1', parameterTypes: [23, 4_294_967_295] },
    encodeParse({ name: 'name', query: 'select $1', parameterTypes: [23, 4_294_967_295] }),
  ],
  [
    'Bind',
    bind,
    decodeBind,
    {
      portal: 'portal',
      statement: 'statement',
      parameterFormats: [0, 1],
      parameters: [null, Buffer.from('abc')],
      resultFormats: [1],
    },
    encodeBind({
      portal: 'portal',
      statement: 'statement',
      parameterFormats: [0, 1],
      parameters: [null, Buffer.from('abc')],
      resultFormats: [1],
    }),
  ],
  [
    'Describe of a statement',
    fixture('D', { raw: 'S' }, 'x'),
    decodeDescribe,
    { kind: 'statement', name: 'x' },
    encodeDescribe({ kind: 'statement', name: 'x' }),
  ],
  [
    'Describe of a portal',
    fixture('D', { raw: 'P' }, ''),
    decodeDescribe,
    { kind: 'portal', name: '' },
    encodeDescribe({ kind: 'portal', name: '' }),
  ],
  [
    'Close',
    fixture('C', { raw: 'P' }, 'x'),
    decodeClose,
    { kind: 'portal', name: 'x' },
    encodeClose({ kind: 'portal', name: 'x' }),
  ],
  [
    'Execute',
    fixture('E', 'p', { i32: 2_147_483_647 }),
    decodeExecute,
    { portal: 'p', maxRows: 2_147_483_647 },
    encodeExecute({ portal: 'p', maxRows: 2_147_483_647 }),
  ],
  ['CopyFail', fixture('f', 'no'), decodeCopyFail, 'no', encodeCopyFail('no')],
  [
    'SASLInitialResponse',
    fixture('p', 'SCRAM-SHA-256', { i32: 2 }, { raw: 'ab' }),
    decodeSASLInitialResponse,
    { mechanism: 'SCRAM-SHA-256', response: Buffer.from('ab') },
    encodeSASLInitialResponse('SCRAM-SHA-256', Buffer.from('ab')),
  ],
];

describe('frontend messages', () => {
  for (const [name, bytes, decode, meaning, encoded] of messages) {
    it(`decodes and encodes ${name}`, () => {
      expect(decode(bytes)).toEqual(meaning);
      expect(encoded).toEqual(bytes);
    });

    it(`refuses ${name} at every shorter length, and with one byte more`, () => {
      for (let length = 0; length < bytes.length - 5; length++) {
        expect(() => decode(resized(bytes, length))).toThrow(expect.objectContaining({ code: 'Malformed' }));
      }
      expect(() => decode(resized(bytes, bytes.length - 4))).toThrow(expect.objectContaining({ code: 'Malformed' }));
    });

    it(`refuses ${name} whose length word is not its length, and one of another type`, () => {
      expect(() => decode(bytes.subarray(0, -1))).toThrow(expect.objectContaining({ code: 'Malformed' }));
      expect(() => decode(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(expect.objectContaining({ code: 'Malformed' }));
      expect(() => decode(Buffer.concat([Buffer.from('!'), bytes.subarray(1)]))).toThrow(
        expect.objectContaining({ code: 'Malformed' }),
      );
      expect(() => decode(Buffer.alloc(0))).toThrow(ProtocolError);
    });
  }

  it('decodes what has no form of its own', () => {
    expect(decodePassword(fixture('p', 'secret'))).toBe('secret');
    expect(decodeSASLResponse(fixture('p', { raw: 'c=biws' }))).toEqual(Buffer.from('c=biws'));
    expect(encodeSASLResponse(Buffer.from('c=biws'))).toEqual(fixture('p', { raw: 'c=biws' }));
    expect(decodeSASLInitialResponse(fixture('p', 'X', { i32: -1 }))).toEqual({ mechanism: 'X', response: null });
  });

  it('encodes messages without content', () => {
    expect([encodeSync(), encodeFlush(), encodeTerminate(), encodeCopyDone()]).toEqual(
      ['S', 'H', 'X', 'c'].map((type) => fixture(type)),
    );
  });

  it('reads a negative row count as all rows, as the server does', () => {
    expect(decodeExecute(fixture('E', '', { i32: -1 }))).toEqual({ portal: '', maxRows: 0 });
  });

  /** What is wrong, the message, its decoder. */
  const malformed: Record<string, [Buffer, (bytes: Buffer) => unknown]> = {
    'a Query with a NUL inside': [fixture('Q', 'select 1\0; drop table t'), decodeQuery],
    'a Parse that announces more types than it holds': [fixture('P', '', '', { i16: 2 }, { i32: 1 }), decodeParse],
    'a Parse that announces 65535 types': [fixture('P', '', '', { i16: 65535 }), decodeParse],
    'a Bind with a value of length -2': [fixture('B', '', '', { i16: 0 }, { i16: 1 }, { i32: -2 }, { i16: 0 }), decodeBind],
    'a Bind with a value of length 2^31 - 1': [
      fixture('B', '', '', { i16: 0 }, { i16: 1 }, { i32: 2 ** 31 - 1 }, { i16: 0 }),
      decodeBind,
    ],
    'a Bind with a value one byte too long': [fixture('B', '', '', { i16: 0 }, { i16: 1 }, { i32: 3 }, { i16: 0 }), decodeBind],
    'a Bind with format 2': [fixture('B', '', '', { i16: 1 }, { i16: 2 }, { i16: 0 }, { i16: 0 }), decodeBind],
    'a Bind with format -1': [fixture('B', '', '', { i16: 1 }, { i16: -1 }, { i16: 0 }, { i16: 0 }), decodeBind],
    'a Bind with two formats for one parameter': [
      fixture('B', '', '', { i16: 2 }, { i16: 0 }, { i16: 0 }, { i16: 1 }, { i32: -1 }, { i16: 0 }),
      decodeBind,
    ],
    'a Bind with 65535 parameters in no bytes': [fixture('B', '', '', { i16: 0 }, { i16: 65535 }), decodeBind],
    'a Describe of something else': [fixture('D', { raw: 'X' }, ''), decodeDescribe],
    'a SASLInitialResponse of length -2': [fixture('p', 'X', { i32: -2 }), decodeSASLInitialResponse],
  };
  for (const [what, [bytes, decode]] of Object.entries(malformed)) {
    it(`refuses ${what}`, () => {
      expect(() => decode(bytes)).toThrow(expect.objectContaining({ code: 'Malformed' }));
    });
  }

  it('refuses text that is not UTF-8 and keeps a byte order mark', () => {
    for (const hex of ['ff', 'c0af', 'eda080', '955c27', 'f5808080', 'e282']) {
      const bytes = fixture('Q', { raw: Buffer.from(`${hex}00`, 'hex') });
      expect(() => decodeQuery(bytes)).toThrow(expect.objectContaining({ code: 'InvalidText', sqlstate: '22021' }));
    }
    expect(decodeQuery(fixture('Q', '\ufeffselect'))).toBe('\ufeffselect');
  });

  const text = string({ unit: 'binary', maxLength: 40 }).map((value) => value.replaceAll('\0', '').toWellFormed());
  const format = constantFrom<0 | 1>(0, 1);
  it('gives back any Bind that was encoded', () => {
    const value = oneof(
      constant(null),
      uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    );
    const message = record({
      portal: text,
      statement: text,
      parameters: array(value, { maxLength: 20 }),
      resultFormats: array(format),
      many: boolean(),
      first: format,
    });
    assert(
      property(message, ({ many, first, ...rest }) => {
        const full = { ...rest, parameterFormats: many ? rest.parameters.map(() => first) : [first] };
        expect(decodeBind(encodeBind(full))).toEqual(full);
      }),
    );
  });

  it('gives back any Parse and Query that was encoded', () => {
    assert(
      property(text, text, array(integer({ min: 0, max: 2 ** 32 - 1 })), (name, query, parameterTypes) => {
        expect(decodeParse(encodeParse({ name, query, parameterTypes }))).toEqual({ name, query, parameterTypes });
        expect(decodeQuery(encodeQuery(query))).toBe(query);
      }),
    );
  });

  it('refuses to say what a message cannot carry', () => {
    const refused = expect.objectContaining({ code: 'NotEncodable' }) as Error;
    expect(() => encodeQuery('a\0b')).toThrow(refused);
    expect(() => encodeParse({ name: 'a\0', query: '', parameterTypes: [] })).toThrow(refused);
    const parameters = Array.from({ length: 65535 }, () => null);
    const full = { portal: '', statement: '', parameterFormats: [], parameters, resultFormats: [] };
    expect(decodeBind(encodeBind(full)).parameters).toHaveLength(65535);
    expect(() => encodeBind({ ...full, parameters: [...parameters, null] })).toThrow(refused);
  });

  it('refuses a message whose length would not fit, before it is copied together', () => {
    const huge = Object.defineProperty(new Uint8Array(0), 'length', { value: MAX_MESSAGE_BYTES });
    expect(() => new MessageWriter(0x42).value(huge)).toThrow(expect.objectContaining({ code: 'NotEncodable' }));
    expect(() => new MessageWriter(0x42).bytes(huge)).toThrow(expect.objectContaining({ code: 'NotEncodable' }));
  });

  for (const seed of [3, 33]) {
    it(`throws nothing but ProtocolError on random and on damaged messages, seed ${seed}`, () => {
      const random = seededRandom(seed);
      let refused = 0;
      for (let round = 0; round < 20_000; round++) {
        const [, original, decode] = messages[Math.floor(random() * messages.length)] as (typeof messages)[number];
        const body = Buffer.from(original.subarray(5));
        for (let flips = 0; flips < 1 + random() * 3; flips++)
          body[Math.floor(random() * body.length)] = Math.floor(random() * 256);
        const bytes = Buffer.concat([original.subarray(0, 1), content({ i32: body.length + 4 }), body]);
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
          refused++;
        }
      }
      expect(refused).toBeGreaterThan(2000);
    });
  }
});
