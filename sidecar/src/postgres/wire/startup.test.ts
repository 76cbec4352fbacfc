import { seededRandom } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from './error.ts';
import { content, type Part } from './fixture.test-support.ts';
import { MAX_STARTUP_BYTES } from './limits.ts';
import { decodeStartup, encodeCancelRequest, encodeSSLRequest, encodeStartup } from './startup.ts';

/** A packet without a type byte, written without any code of this folder. */
function packet(...parts: Part[]): Buffer {
  const body = content(...parts);
  return Buffer.concat([content({ i32: body.length + 4 }), body]);
}
const hello = packet({ i32: 196608 }, 'user', 'agent', 'options', '', { i8: 0 });

/** A startup packet of `bytes` bytes after its length word. */
function filler(bytes: number): Buffer {
  return packet({ i32: 196608 }, 'user', 'x'.repeat(bytes - 4 - 5 - 1 - 1), { i8: 0 });
}

describe('decodeStartup', () => {
  /** What it is, the packet, its meaning. */
  const packets: Record<string, [Buffer, unknown]> = {
    'a startup packet': [
      hello,
      {
        kind: 'startup',
        major: 3,
        minor: 0,
        parameters: new Map([
          ['user', 'agent'],
          ['options', ''],
        ]),
      },
    ],
    'a startup packet of protocol 3.2': [
      packet({ i32: 196610 }, { i8: 0 }),
      { kind: 'startup', major: 3, minor: 2, parameters: new Map() },
    ],
    'a startup packet of protocol 2': [
      packet({ i32: 131072 }, { raw: 'anything' }),
      { kind: 'startup', major: 2, minor: 0, parameters: new Map() },
    ],
    SSLRequest: [packet({ i32: 80877103 }), { kind: 'ssl' }],
    GSSENCRequest: [packet({ i32: 80877104 }), { kind: 'gss' }],
    CancelRequest: [
      packet({ i32: 80877102 }, { i32: 7 }, { raw: Buffer.from([1, 2, 3, 4]) }),
      { kind: 'cancel', key: { processId: 7, secret: Buffer.from([1, 2, 3, 4]) } },
    ],
    'CancelRequest of protocol 3.2': [
      packet({ i32: 80877102 }, { i32: 7 }, { raw: Buffer.alloc(256, 5) }),
      { kind: 'cancel', key: { processId: 7, secret: Buffer.alloc(256, 5) } },
    ],
  };
  for (const [what, [bytes, meaning]] of Object.entries(packets)) {
    it(`reads ${what}, with and without something behind it`, () => {
      const result = { kind: 'frame', packet: meaning, consumed: bytes.length };
      expect(decodeStartup(bytes)).toEqual(result);
      expect(decodeStartup(Buffer.concat([bytes, Buffer.from('more')]))).toEqual(result);
    });

    it(`needs more at every prefix of ${what}`, () => {
      for (let end = 0; end < bytes.length; end++) {
        expect(decodeStartup(bytes.subarray(0, end))).toEqual({ kind: 'need', atLeast: end < 4 ? 4 : bytes.length });
      }
    });
  }

  it('knows at the first byte that something else is spoken', () => {
    expect(decodeStartup(Buffer.of(0x16))).toEqual({ kind: 'foreign', protocol: 'tls' });
    for (const text of ['G', 'GET / HTTP/1.1', 'SSH-2.0', '\x01', '\xff']) {
      expect(decodeStartup(Buffer.from(text, 'latin1'))).toEqual({ kind: 'foreign', protocol: 'unknown' });
    }
  });

  it('takes packets as long as the server does', () => {
    expect(filler(MAX_STARTUP_BYTES)).toHaveLength(MAX_STARTUP_BYTES + 4);
    expect(decodeStartup(filler(MAX_STARTUP_BYTES))).toMatchObject({ kind: 'frame' });
    expect(() => decodeStartup(filler(MAX_STARTUP_BYTES + 1))).toThrow(expect.objectContaining({ code: 'InvalidLength' }));
  });

  /** What is wrong, the packet, the code. */
  const refused: Record<string, [Buffer, string]> = {
    'length 0': [content({ i32: 0 }), 'InvalidLength'],
    'length 7': [content({ i32: 7 }), 'InvalidLength'],
    'SSLRequest with content': [packet({ i32: 80877103 }, { i8: 0 }), 'Malformed'],
    'GSSENCRequest with content': [packet({ i32: 80877104 }, { i8: 0 }), 'Malformed'],
    'CancelRequest with a secret of 3 bytes': [packet({ i32: 80877102 }, { i32: 7 }, { raw: 'abc' }), 'Malformed'],
    'CancelRequest with a secret of 257 bytes': [packet({ i32: 80877102 }, { i32: 7 }, { raw: Buffer.alloc(257) }), 'Malformed'],
    'no parameters at all': [packet({ i32: 196608 }), 'Malformed'],
    'a name without a value': [packet({ i32: 196608 }, 'user', { raw: '' }), 'Malformed'],
    'a value without an end': [packet({ i32: 196608 }, 'user', { raw: 'agent' }), 'Malformed'],
    'bytes after the terminator': [packet({ i32: 196608 }, 'user', 'a', { i8: 0 }, { i8: 0 }), 'Malformed'],
    'a parameter twice': [packet({ i32: 196608 }, 'user', 'a', 'user', 'b', { i8: 0 }), 'Malformed'],
    'a value that is not UTF-8': [packet({ i32: 196608 }, 'user', { raw: Buffer.from([0xff, 0]) }, { i8: 0 }), 'InvalidText'],
  };
  for (const [what, [bytes, code]] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      expect(() => decodeStartup(bytes)).toThrow(expect.objectContaining({ name: 'ProtocolError', code }));
    });
  }

  for (const seed of [5, 55]) {
    it(`throws nothing but ProtocolError on damaged packets, seed ${seed}`, () => {
      const random = seededRandom(seed);
      const originals = Object.values(packets).map(([bytes]) => bytes);
      for (let round = 0; round < 10_000; round++) {
        const bytes = Buffer.from(originals[Math.floor(random() * originals.length)] as Buffer);
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
        try {
          const result = decodeStartup(bytes);
          if (result.kind === 'frame') expect(result.consumed).toBeLessThanOrEqual(bytes.length);
          if (result.kind === 'need') expect(result.atLeast).toBeGreaterThan(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }
    });
  }
});

describe('what we say first', () => {
  it('is encoded as documented', () => {
    expect(encodeSSLRequest()).toEqual(packet({ i32: 80877103 }));
    expect(
      encodeStartup([
        ['user', 'agent'],
        ['options', ''],
      ]),
    ).toEqual(hello);
    for (const length of [4, 256]) {
      const secret = Buffer.alloc(length, 3);
      expect(encodeCancelRequest({ processId: 9, secret })).toEqual(packet({ i32: 80877102 }, { i32: 9 }, { raw: secret }));
    }
  });

  it('cannot carry a second parameter in a name or value, nor more than a server takes', () => {
    for (const pair of [
      ['user', 'a\0options\0-c x=1'],
      ['us\0er', 'a'],
      ['', 'a'],
      ['user', 'x'.repeat(MAX_STARTUP_BYTES)],
    ] as const) {
      expect(() => encodeStartup([pair])).toThrow(expect.objectContaining({ code: 'NotEncodable' }));
    }
  });
});
