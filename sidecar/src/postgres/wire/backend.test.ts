import { seededRandom } from '@chaperone/testing';
import { array, assert, constant, oneof, property, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeAuthentication,
  decodeBackendKeyData,
  decodeCommandComplete,
  decodeCopyResponse,
  decodeErrorResponse,
  decodeNegotiateProtocolVersion,
  decodeParameterDescription,
  decodeParameterStatus,
  decodeReadyForQuery,
  decodeRowDescription,
} from './backend.ts';
import * as encode from './backend-encode.ts';
import { columnOffsets, dataRowCells, readColumnOffsets } from './data-row.ts';
import { ProtocolError } from './error.ts';
import { content, fixture, type Part, resized } from './fixture.test-support.ts';
import { MAX_COLUMNS } from './limits.ts';

const field = {
  name: 'ssn',
  tableOid: 4_294_967_295,
  attributeNumber: -1,
  typeOid: 25,
  typeSize: -1,
  typeModifier: -1,
  format: 1,
} as const;
const fieldParts: Part[] = ['ssn', { i32: -1 }, { i16: -1 }, { i32: 25 }, { i16: -1 }, { i32: -1 }, { i16: 1 }];
const key = { processId: 4_000_000_000, secret: Buffer.from([1, 2, 3, 4]) };
const error = { S: 'ERROR', V: 'ERROR', C: '22P02', M: 'no', R: 'here' };

/** Name, bytes by hand, decoder, meaning, encoder's bytes where we say it too. */
const messages: [string, Buffer, (bytes: Buffer) => unknown, unknown, Buffer?][] = [
  [
    'RowDescription',
    fixture('T', { i16: 2 }, ...fieldParts, ...fieldParts),
    decodeRowDescription,
    [field, field],
    encode.encodeRowDescription([field, field]),
  ],
  [
    'ParameterDescription',
    fixture('t', { i16: 1 }, { i32: 23 }),
    decodeParameterDescription,
    [23],
    encode.encodeParameterDescription([23]),
  ],
  [
    'ErrorResponse',
    fixture('E', { raw: 'S' }, 'ERROR', { raw: 'V' }, 'ERROR', { raw: 'C' }, '22P02', { raw: 'M' }, 'no', { raw: 'R' }, 'here', {
      i8: 0,
    }),
    decodeErrorResponse,
    error,
    encode.encodeErrorResponse(error),
  ],
  [
    'NoticeResponse',
    fixture('N', { raw: 'M' }, 'no', { i8: 0 }),
    decodeErrorResponse,
    { M: 'no' },
    encode.encodeNoticeResponse({ M: 'no' }),
  ],
  [
    'ParameterStatus',
    fixture('S', 'TimeZone', 'UTC'),
    decodeParameterStatus,
    { name: 'TimeZone', value: 'UTC' },
    encode.encodeParameterStatus('TimeZone', 'UTC'),
  ],
  [
    'BackendKeyData',
    fixture('K', { i32: 4_000_000_000 }, { raw: key.secret }),
    decodeBackendKeyData,
    key,
    encode.encodeBackendKeyData(key),
  ],
  ['ReadyForQuery', fixture('Z', { raw: 'T' }), decodeReadyForQuery, 'T', encode.encodeReadyForQuery('T')],
  ['CommandComplete', fixture('C', 'SELECT 3'), decodeCommandComplete, 'SELECT 3', encode.encodeCommandComplete('SELECT 3')],
  [
    'CopyInResponse',
    fixture('G', { i8: 1 }, { i16: 2 }, { i16: 1 }, { i16: 0 }),
    decodeCopyResponse,
    { format: 1, columnFormats: [1, 0] },
  ],
  ['CopyOutResponse', fixture('H', { i8: 0 }, { i16: 0 }), decodeCopyResponse, { format: 0, columnFormats: [] }],
  [
    'NegotiateProtocolVersion',
    fixture('v', { i32: 196608 }, { i32: 1 }, '_pq_.x'),
    decodeNegotiateProtocolVersion,
    { minor: 0, options: ['_pq_.x'] },
    encode.encodeNegotiateProtocolVersion({ minor: 0, options: ['_pq_.x'] }),
  ],
  ['AuthenticationOk', fixture('R', { i32: 0 }), decodeAuthentication, { kind: 'ok' }, encode.encodeAuthenticationOk()],
  [
    'AuthenticationCleartextPassword',
    fixture('R', { i32: 3 }),
    decodeAuthentication,
    { kind: 'cleartext' },
    encode.encodeAuthenticationCleartextPassword(),
  ],
  [
    'AuthenticationMD5Password',
    fixture('R', { i32: 5 }, { raw: 'salt' }),
    decodeAuthentication,
    { kind: 'md5', salt: Buffer.from('salt') },
  ],
  ['AuthenticationSASL', fixture('R', { i32: 10 }, 'A', 'B', ''), decodeAuthentication, { kind: 'sasl', mechanisms: ['A', 'B'] }],
  [
    'DataRow',
    fixture('D', { i16: 3 }, { i32: -1 }, { i32: 0 }, { i32: 2 }, { raw: 'ab' }),
    dataRowCells,
    [null, Buffer.alloc(0), Buffer.from('ab')],
    encode.encodeDataRow([null, Buffer.alloc(0), Buffer.from('ab')]),
  ],
];

/** A DataRow of NULLs. */
function row(columns: number): Buffer {
  return fixture('D', { i16: columns }, ...Array.from({ length: columns }, () => ({ i32: -1 })));
}

describe('backend messages', () => {
  for (const [name, bytes, decode, meaning, encoded] of messages) {
    it(`decodes${encoded === undefined ? '' : ' and encodes'} ${name}`, () => {
      expect(decode(bytes)).toEqual(meaning);
      if (encoded !== undefined) expect(encoded).toEqual(bytes);
    });

    it(`refuses ${name} at every shorter length, and with one byte more`, () => {
      for (let length = 0; length < bytes.length - 5; length++) {
        // A shorter secret would be whole again, were it not for its minimum of four bytes.
        expect(() => decode(resized(bytes, length))).toThrow(expect.objectContaining({ code: 'Malformed' }));
      }
      // A longer secret is one of protocol 3.2.
      if (name !== 'BackendKeyData')
        expect(() => decode(resized(bytes, bytes.length - 4))).toThrow(expect.objectContaining({ code: 'Malformed' }));
    });
  }

  it('encodes answers without content', () => {
    const encoders = [
      encode.encodeEmptyQueryResponse,
      encode.encodeParseComplete,
      encode.encodeBindComplete,
      encode.encodeCloseComplete,
      encode.encodeNoData,
      encode.encodePortalSuspended,
    ];
    expect(encoders.map((encoder) => encoder())).toEqual(['I', '1', '2', '3', 'n', 's'].map((type) => fixture(type)));
  });

  it('decodes the rest of the authentication requests', () => {
    expect(decodeAuthentication(fixture('R', { i32: 11 }, { raw: 'r=x' }))).toEqual({
      kind: 'saslContinue',
      data: Buffer.from('r=x'),
    });
    expect(decodeAuthentication(fixture('R', { i32: 12 }, { raw: 'v=x' }))).toEqual({
      kind: 'saslFinal',
      data: Buffer.from('v=x'),
    });
    for (const method of [2, 6, 7, 8, 9, 13, -1]) {
      expect(decodeAuthentication(fixture('R', { i32: method }, { raw: 'more' }))).toEqual({ kind: 'other', method });
    }
  });

  it('takes cancel secrets of 4 to 256 bytes and no others', () => {
    for (const length of [4, 32, 256])
      expect(decodeBackendKeyData(fixture('K', { i32: 1 }, { raw: Buffer.alloc(length) })).secret).toHaveLength(length);
    for (const length of [0, 3, 257])
      expect(() => decodeBackendKeyData(fixture('K', { i32: 1 }, { raw: Buffer.alloc(length) }))).toThrow(ProtocolError);
  });

  it('keeps no reference from a key into the read buffer', () => {
    const bytes = fixture('K', { i32: 1 }, { raw: Buffer.alloc(4, 1) });
    const { secret } = decodeBackendKeyData(bytes);
    bytes.fill(0);
    expect(secret).toEqual(Buffer.alloc(4, 1));
  });

  it('leaves unknown fields of an error out, tolerates a missing SQLSTATE and other encodings', () => {
    expect(decodeErrorResponse(fixture('E', { raw: 'Z' }, 'new', { raw: 'M' }, 'm', { i8: 0 }))).toEqual({ M: 'm' });
    expect(decodeErrorResponse(fixture('E', { i8: 0 }))).toEqual({});
    expect(decodeErrorResponse(fixture('E', { raw: Buffer.from([0x4d, 0xe9, 0]) }, { i8: 0 }))).toEqual({ M: '\ufffd' });
    expect(() => decodeErrorResponse(fixture('E', { raw: 'M' }, 'a', { raw: 'M' }, 'b', { i8: 0 }))).toThrow(ProtocolError);
  });

  it('gives back any field of an error that was encoded', () => {
    const all = Object.fromEntries(Array.from('SVCMDHPpqWstcdnFLR', (letter) => [letter, `text of ${letter}`]));
    expect(decodeErrorResponse(encode.encodeErrorResponse(all))).toEqual(all);
    expect(decodeErrorResponse(encode.encodeFatal('08P01', 'why'))).toEqual({ S: 'FATAL', V: 'FATAL', C: '08P01', M: 'why' });
  });

  /** What is wrong, the message, its decoder. */
  const malformed: Record<string, [Buffer, (bytes: Buffer) => unknown]> = {
    'an unknown transaction status': [fixture('Z', { raw: 'X' }), decodeReadyForQuery],
    'a column of format 2': [fixture('T', { i16: 1 }, ...fieldParts.slice(0, -1), { i16: 2 }), decodeRowDescription],
    'a column that is not there': [fixture('T', { i16: 2 }, ...fieldParts), decodeRowDescription],
    'a result of 65535 columns in no bytes': [fixture('T', { i16: 65535 }), decodeRowDescription],
    'a COPY of format 2': [fixture('G', { i8: 2 }, { i16: 0 }), decodeCopyResponse],
    'four billion protocol options': [fixture('v', { i32: 196608 }, { i32: -1 }), decodeNegotiateProtocolVersion],
    'a row with more columns than it announces': [fixture('D', { i16: 1 }, { i32: -1 }, { i32: -1 }), dataRowCells],
    'a row with fewer columns than it announces': [fixture('D', { i16: 2 }, { i32: -1 }), dataRowCells],
    'a row with a value of length -2': [fixture('D', { i16: 1 }, { i32: -2 }), dataRowCells],
    'a row with a value of length 2^31 - 1': [fixture('D', { i16: 1 }, { i32: 2 ** 31 - 1 }, { raw: 'a' }), dataRowCells],
    'a row with a value one byte too long': [fixture('D', { i16: 1 }, { i32: 2 }, { raw: 'a' }), dataRowCells],
    'a row that ends within a length': [fixture('D', { i16: 1 }, { raw: '\0\0\0' }), dataRowCells],
    'a row of 65535 columns': [fixture('D', { i16: 65535 }), dataRowCells],
    'a message that is no row': [fixture('d', { i16: 0 }), dataRowCells],
  };
  for (const [what, [bytes, decode]] of Object.entries(malformed)) {
    it(`refuses ${what}`, () => {
      expect(() => decode(bytes)).toThrow(expect.objectContaining({ code: 'Malformed' }));
    });
  }

  it('takes as many columns as a server can have and not one more', () => {
    expect(readColumnOffsets(row(MAX_COLUMNS), columnOffsets())).toBe(MAX_COLUMNS);
    expect(() => readColumnOffsets(row(MAX_COLUMNS + 1), columnOffsets())).toThrow(ProtocolError);
    expect(() => encode.encodeDataRow(Array.from({ length: MAX_COLUMNS + 1 }, () => null))).toThrow(
      expect.objectContaining({ code: 'NotEncodable' }),
    );
    const fields = Array.from({ length: MAX_COLUMNS }, () => field);
    expect(decodeRowDescription(encode.encodeRowDescription(fields))).toEqual(fields);
    const more = fixture('T', { i16: MAX_COLUMNS + 1 }, ...fields.flatMap(() => fieldParts), ...fieldParts);
    expect(() => decodeRowDescription(more)).toThrow(ProtocolError);
  });

  it('finds the columns of any row that was encoded', () => {
    const offsets = columnOffsets();
    const cell = oneof(
      constant(null),
      uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
    );
    assert(
      property(array(cell, { maxLength: 50 }), (cells) => {
        const bytes = encode.encodeDataRow(cells);
        expect(dataRowCells(bytes)).toEqual(cells);
        expect(readColumnOffsets(bytes, offsets)).toBe(cells.length);
        for (const [column, value] of cells.entries()) {
          const at = offsets[2 * column] as number;
          const length = offsets[2 * column + 1] as number;
          expect(length === -1 ? null : bytes.subarray(at, at + length)).toEqual(value);
        }
      }),
    );
  });

  for (const seed of [4, 44]) {
    it(`throws nothing but ProtocolError on damaged messages, seed ${seed}`, () => {
      const random = seededRandom(seed);
      let refused = 0;
      for (let round = 0; round < 20_000; round++) {
        const [, original, decode] = messages[Math.floor(random() * messages.length)] as (typeof messages)[number];
        const body = Buffer.from(original.subarray(5));
        for (let flips = 0; flips < 1 + random() * 3; flips++)
          body[Math.floor(random() * body.length)] = Math.floor(random() * 256);
        try {
          decode(Buffer.concat([original.subarray(0, 1), content({ i32: body.length + 4 }), body]));
        } catch (reason) {
          expect(reason).toBeInstanceOf(ProtocolError);
          refused++;
        }
      }
      expect(refused).toBeGreaterThan(2000);
    });
  }
});
