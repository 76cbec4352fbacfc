import { twoWaySplits } from '@chaperone/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SshError } from './error.ts';
import { MAX_LINE_BYTES, parseScpLine, ScpStream, scpWarning } from './scp.ts';

const line = (text: string): Buffer => Buffer.from(`${text}\n`);

describe('a line of scp', () => {
  it.each<[string, object]>([
    ['C0644 12 name', { kind: 'file', size: 12, name: 'name' }],
    ['C0644 0 two words ünï', { kind: 'file', size: 0, name: 'two words ünï' }],
    ['C7777 9007199254740991 x', { kind: 'file', size: Number.MAX_SAFE_INTEGER }],
    ['C0644 1 ...', { kind: 'file', name: '...' }],
    ['C0644 1 .ssh', { kind: 'file', name: '.ssh' }],
    ['D0755 0 dir', { kind: 'directory', name: 'dir' }],
    ['E', { kind: 'up' }],
    ['T1700000000 0 1700000001 999999', { kind: 'times' }],
    ['\x01scp: no such file', { kind: 'warning' }],
    ['\x02scp: gone', { kind: 'fatal' }],
  ])('is read: %j', (text, expected) => {
    expect(parseScpLine(line(text))).toMatchObject(expected);
  });

  it.each([
    ['a name that is the directory itself', 'D0777 0 .'],
    ['a name that leads up', 'D0777 0 ..'],
    ['a name that leads up and on', 'C0644 1 ../.bashrc'],
    ['an absolute name', 'C0644 1 /etc/passwd'],
    ['a name in another directory', 'C0644 1 a/b'],
    ['no name', 'D0777 0 '],
    ['a NUL', 'C0644 1 a\0b'],
    ['a size that no file has', 'C0644 9999999999999999 a'],
    ['a size below nothing', 'C0644 -1 a'],
    ['a mode that is none', 'C0888 1 a'],
    ['times that are none', 'T1 0'],
    ['more behind its end', 'E0'],
    ['a letter that is not known', 'X0644 1 a'],
    ['nothing', ''],
  ])('is refused: %s', (_, text) => {
    expect(() => parseScpLine(line(text))).toThrow(SshError);
  });

  it('is refused when it is no text, since two names could look alike', () => {
    expect(() => parseScpLine(Buffer.from('C0644 1 \xff\n', 'latin1'))).toThrow(SshError);
  });

  it('is read or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.constantFrom('', 'C0644 1 ', 'D0755 0 ', 'T', 'E'), fc.string(), (start, rest) => {
        try {
          parseScpLine(line(start + rest));
        } catch (error) {
          expect(error).toBeInstanceOf(SshError);
        }
      }),
    );
  });
});

describe('a stream of scp', () => {
  it('is the same at every split', () => {
    for (const [first, second] of twoWaySplits(Buffer.from('C0644 3 a\nabc\0\x01what\n'))) {
      const stream = new ScpStream();
      const read: (string | undefined)[] = [];
      const steps = [
        () => stream.line()?.toString(),
        () => (stream.held < 3 ? undefined : stream.bytes(3).toString()),
        () => stream.ack()?.ack,
        () => stream.ack()?.bytes.toString(),
      ];
      for (const chunk of [first, second]) {
        stream.push(chunk);
        for (let step = steps[read.length]?.(); step !== undefined; step = steps[read.length]?.()) read.push(step);
      }
      expect([...read, stream.held]).toEqual(['C0644 3 a\n', 'abc', 'ok', '\x01what\n', 0]);
    }
  });

  it('has no line without end', () => {
    const stream = new ScpStream();
    stream.push(Buffer.alloc(MAX_LINE_BYTES - 1, 'a'));
    expect(stream.line()).toBeUndefined();
    stream.push(Buffer.from('a\n'));
    expect(() => stream.line()).toThrow(SshError);
  });

  it('has no other answers than three', () => {
    const stream = new ScpStream();
    stream.push(Buffer.from('C'));
    expect(() => stream.ack()).toThrow(SshError);
  });

  it('warns in one line', () => {
    expect(scpWarning('no').toString()).toBe('\x01scp: no\n');
  });
});
