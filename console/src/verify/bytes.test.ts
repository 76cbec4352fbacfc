import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { seededRandom } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { Bytes } from './bytes.ts';

const SEED = 20_261_201;
const random = seededRandom(SEED);
const below = (count: number): number => Math.floor(random() * count);
const some = (length: number): number[] => Array.from({ length }, () => below(256));
/** Texts that decoders disagree about, where they do. */
const text = (alphabet: string): string =>
  Array.from({ length: below(40) }, () => alphabet.charAt(below(alphabet.length))).join('');
const ENCODINGS = ['utf8', 'latin1', 'hex', 'base64', 'base64url'] as const;
const ALPHABETS: Readonly<Record<(typeof ENCODINGS)[number], string>> = {
  utf8: 'aé€\u{1f600}\ud800\udc00\u0000\ufeff',
  latin1: 'aÿ\u0000€',
  hex: '0123456789abcdefABCDEF',
  base64: 'ABCabcxyz0189+/-_ \n*',
  base64url: 'ABCabcxyz0189+/-_ \n*',
};

describe(`bytes, seed ${SEED}, are to the byte what Node’s are`, () => {
  test.each(ENCODINGS)('read from %s', (encoding) => {
    for (let round = 0; round < 500; round++) {
      const each = text(ALPHABETS[encoding]) + (round % 3 === 0 ? '='.repeat(below(3)) : '');
      expect([each, [...Bytes.from(each, encoding)]]).toEqual([each, [...Buffer.from(each, encoding)]]);
    }
  });

  test.each(ENCODINGS)('written as %s, in parts too', (encoding) => {
    for (let round = 0; round < 500; round++) {
      const each = some(below(60));
      const [start, end] = [below(30), below(60)];
      expect(Bytes.from(each).toString(encoding)).toBe(Buffer.from(each).toString(encoding));
      expect(Bytes.from(each).toString(encoding, start, end)).toBe(Buffer.from(each).toString(encoding, start, end));
    }
    const long = some(20_000);
    expect(Bytes.from(long).toString(encoding)).toBe(Buffer.from(long).toString(encoding));
  });

  test('numbers, at any place of a view', () => {
    const memory = Uint8Array.from(some(64)).buffer;
    for (let at = 0; at < 32; at++) {
      const [ours, theirs] = [Bytes.from(memory, at, 32), Buffer.from(memory, at, 32)];
      expect([ours.readUInt16BE(at % 8), ours.readUInt16LE(3), ours.readUInt32BE(), ours.readBigUInt64BE(at % 24)]).toEqual([
        theirs.readUInt16BE(at % 8),
        theirs.readUInt16LE(3),
        theirs.readUInt32BE(),
        theirs.readBigUInt64BE(at % 24),
      ]);
    }
    const [ours, theirs] = [Bytes.alloc(20), Buffer.alloc(20)];
    for (const each of [ours, theirs]) {
      let end = each.writeUInt16BE(0xfedc, 1);
      end = each.writeUInt16LE(0xfedc, end);
      end = each.writeUInt32BE(0xfedcba98, end);
      expect(each.writeBigUInt64BE(0xfedcba9876543210n, end)).toBe(17);
    }
    expect([...ours]).toEqual([...theirs]);
  });

  test('copied, compared, joined and looked through', () => {
    for (let round = 0; round < 300; round++) {
      const [each, other] = [some(1 + below(20)), some(1 + below(20))];
      const [at, start] = [below(other.length), below(each.length)];
      const [ours, theirs] = [Bytes.from(other), Buffer.from(other)];
      expect(Bytes.from(each).copy(ours, at, start)).toBe(Buffer.from(each).copy(theirs, at, start));
      expect([...ours]).toEqual([...theirs]);
      expect(Bytes.from(each).equals(ours)).toBe(Buffer.from(each).equals(theirs));
      expect(Bytes.concat([Bytes.from(each), ours]).toString('hex')).toBe(
        Buffer.concat([Buffer.from(each), theirs]).toString('hex'),
      );
      const wanted = String.fromCharCode(10, 10).slice(0, 1 + below(2));
      const lines = each.map((byte) => (byte % 3 === 0 ? 10 : 65));
      expect(Bytes.from(lines).indexOf(wanted)).toBe(Buffer.from(lines).indexOf(wanted));
      expect(Bytes.from(each).indexOf(7)).toBe(Buffer.from(each).indexOf(7));
    }
    const [ours, theirs] = [Bytes.alloc(8, 1), Buffer.alloc(8, 1)];
    expect(ours.write('aÿ', 3, 'latin1')).toBe(theirs.write('aÿ', 3, 'latin1'));
    expect([...ours, ...Bytes.of(1, 2)]).toEqual([...theirs, ...Buffer.of(1, 2)]);
    expect(() => ours.write('a', 'latin1' as unknown as number, undefined as unknown as 'latin1')).toThrow(TypeError);
    // A part is bytes too, and of the same memory.
    expect((ours.subarray(1) as Bytes).equals(theirs.subarray(1))).toBe(true);
  });
});

test('all that the verifier asks of bytes is there', () => {
  const own = new Set([...Object.getOwnPropertyNames(Bytes.prototype), ...Object.getOwnPropertyNames(Uint8Array.prototype)]);
  const inherited = Object.getOwnPropertyNames(Object.getPrototypeOf(Uint8Array.prototype) as object);
  const absent = Object.getOwnPropertyNames(Buffer.prototype).filter((name) => !own.has(name) && !inherited.includes(name));
  expect(absent).toContain('readInt8');
  const files = reachable(resolve(import.meta.dirname, '../../../evidence/src/verifier.ts'));
  expect(files.size).toBeGreaterThan(30);
  for (const [file, source] of files) {
    expect([file, absent.filter((name) => source.includes(`.${name}(`))]).toEqual([file, []]);
    const made = [...source.matchAll(/\bBuffer\.(\w+)\(/g)].map(([, name = '']) => name);
    expect([file, made.filter((name) => !(name in Bytes))]).toEqual([file, []]);
  }
});

/** What a module imports, and so on, without the one that is replaced. */
function reachable(file: string, found = new Map<string, string>()): Map<string, string> {
  if (found.has(file) || file.endsWith('/primitives.ts')) return found;
  const source = readFileSync(file, 'utf8');
  found.set(file, source);
  for (const [, target = ''] of source.matchAll(/^(?:import|export)(?! type)\b[^'"]*?from '(\.[^']+)'/gm))
    reachable(resolve(dirname(file), target), found);
  return found;
}
