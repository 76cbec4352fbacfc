import { describe, expect, it } from 'vitest';
import { RsyncRules } from './rsync-rules.ts';

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const listOf = (...rules: readonly string[]): Buffer =>
  Buffer.concat([...rules.flatMap((rule) => [number(Buffer.byteLength(rule)), Buffer.from(rule)]), number(0)]);
const frame = (bytes: Buffer): Buffer => {
  const head = number(bytes.length);
  head[3] = 7;
  return Buffer.concat([head, bytes]);
};
const VERSION = number(32);
const BEHIND = Buffer.from([1, 1, 46, 0]);

/** What went on after each chunk. */
const passed = (rules: RsyncRules, all: Buffer, cut: number): string => {
  const parts = [rules.push(all.subarray(0, cut)), rules.push(all.subarray(cut))];
  return Buffer.concat(parts).toString('hex');
};

const KNOWN = ['- *.o', '+ /q', '-!_x', '-/sr /x y', 'P keep', 'H x', '!', '-p .git/', '+ : x', '- . x'];

describe('filter rules of rsync', () => {
  it.each([
    ['none', 'plain', Buffer.concat([VERSION, listOf(), BEHIND])],
    ['with patterns of their own', 'plain', Buffer.concat([VERSION, listOf(...KNOWN), BEHIND])],
    ['in a frame', 'framed', Buffer.concat([VERSION, frame(Buffer.concat([listOf(...KNOWN), BEHIND]))])],
    ['in several frames', 'framed', Buffer.concat([VERSION, ...Array.from(listOf(...KNOWN), (byte) => frame(Buffer.of(byte)))])],
  ] as const)('go on as they came, wherever they are cut: %s', (_, rules, all) => {
    for (let cut = 0; cut <= all.length; cut++) expect(passed(new RsyncRules(rules), all, cut)).toBe(all.toString('hex'));
  });

  it('go on once all of them are there, behind the version, which is waited for', () => {
    const rules = new RsyncRules('plain');
    const all = Buffer.concat([VERSION, listOf('- a', '- b')]);
    expect(rules.push(all.subarray(0, -1))).toEqual(VERSION);
    expect(rules.push(all.subarray(-1))).toEqual(all.subarray(4));
    expect(rules.push(BEHIND)).toBe(BEHIND);
  });

  it.each([
    [': .rsync-filter'],
    [':- /etc/shadow'],
    [':C .cvsignore'],
    ['. /etc/shadow'],
    ['.,/etc/shadow'],
    ['merge /etc/shadow'],
    ['dir-merge x'],
    ['-C'],
    ['-C x'],
    ['exclude x'],
    [' . /etc/shadow'],
    ['-,. x'],
    ['!x'],
    ['x'],
  ])('never name a file of the host, nor what is not known: %j', (rule) => {
    const all = Buffer.concat([VERSION, number(Buffer.byteLength(rule)), Buffer.from(rule), number(0)]);
    expect(() => new RsyncRules('plain').push(all)).toThrow('may name a file of the host');
  });

  it.each<[string, 'plain' | 'framed', Buffer]>([
    ['of an older version', 'plain', Buffer.concat([number(28), listOf()])],
    ['longer than any', 'plain', Buffer.concat([VERSION, number(4_113)])],
    ['in a frame of another kind', 'framed', Buffer.concat([VERSION, Buffer.from([4, 0, 0, 8])])],
    ['in frames where none are expected', 'plain', Buffer.concat([VERSION, frame(listOf())])],
    ['without frames where some are expected', 'framed', Buffer.concat([VERSION, listOf('- x')])],
    ['without end', 'plain', Buffer.concat([VERSION, ...Array.from({ length: 10_000 }, () => listOf('- x').subarray(0, -4))])],
  ])('are refused: %s', (_, rules, all) => {
    expect(() => new RsyncRules(rules).push(all)).toThrow();
  });
});
