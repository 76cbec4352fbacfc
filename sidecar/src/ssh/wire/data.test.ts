import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boolean, byte, mpint, names, Reader, string, uint32, uint64 } from './data.ts';
import { SshError } from './error.ts';

describe('data types of RFC 4251, section 5', () => {
  it.each<[string, Buffer, (reader: Reader) => unknown, unknown]>([
    ['a byte', byte(7), (reader) => reader.byte(), 7],
    ['true', boolean(true), (reader) => reader.boolean(), true],
    ['any byte but 0 as true', byte(9), (reader) => reader.boolean(), true],
    ['a uint32 at its greatest', uint32(0xffffffff), (reader) => reader.uint32(), 0xffffffff],
    ['a uint64 at its greatest', uint64(2n ** 64n - 1n), (reader) => reader.uint64(), 2n ** 64n - 1n],
    ['text as UTF-8', string('é'), (reader) => reader.string().toString(), 'é'],
    ['an empty name-list', names([]), (reader) => reader.names(), []],
    ['a name-list', names(['zlib', 'none']), (reader) => reader.names(), ['zlib', 'none']],
  ])('reads %s as it was written', (_, bytes, read, value) => {
    const reader = new Reader(bytes);
    expect(read(reader)).toEqual(value);
    reader.end();
  });

  it.each([
    ['00000000', ''],
    ['0000000809a378f9b2e332a7', '09a378f9b2e332a7'],
    ['000000020080', '80'],
  ])('writes and reads the mpint %s of the specification', (wire, magnitude) => {
    expect(mpint(Buffer.from(magnitude, 'hex')).toString('hex')).toBe(wire);
    expect(new Reader(Buffer.from(wire, 'hex')).mpint().toString('hex')).toBe(magnitude);
  });

  it.each<[string, Buffer, (reader: Reader) => unknown]>([
    ['a negative mpint', Buffer.from('00000002edcc', 'hex'), (reader) => reader.mpint()],
    ['a name with a space', string('a b'), (reader) => reader.ascii()],
    ['a name beyond ASCII', string('é'), (reader) => reader.ascii()],
    ['a name with a NUL', string('a\0'), (reader) => reader.ascii()],
    ['a name that is too long', string('a'.repeat(65)), (reader) => reader.ascii()],
    ['a string longer than its message', uint32(1), (reader) => reader.string()],
    ['a string of 4 GiB', uint32(0xffffffff), (reader) => reader.string()],
    ['bytes behind the end', byte(0), (reader) => reader.end()],
  ])('refuses %s', (_, bytes, read) => {
    expect(() => read(new Reader(bytes))).toThrow(SshError);
  });

  it('never reads past the end, whatever is asked', () => {
    const reads = fc.constantFrom<keyof Reader & ('byte' | 'uint32' | 'uint64' | 'string' | 'mpint' | 'names')>(
      'byte',
      'uint32',
      'uint64',
      'string',
      'mpint',
      'names',
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(reads), (bytes, asked) => {
        const reader = new Reader(Buffer.from(bytes));
        try {
          for (const read of asked) reader[read]();
        } catch (error) {
          expect(error).toBeInstanceOf(SshError);
        }
        expect(reader.left).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
