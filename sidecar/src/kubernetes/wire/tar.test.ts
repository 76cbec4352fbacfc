import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, seededRandom, temporaryDirectory } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { StreamError } from './error.ts';
import { aHeader, aMember, pax, type HeaderFields } from './tar.test-support.ts';
import { type TarEvent, TarReader } from './tar.ts';

const END = Buffer.alloc(1024);
const LONG = `${'d'.repeat(90)}/${'e'.repeat(90)}/ü-${'f'.repeat(150)}`;

function read(bytes: Buffer, cut: (at: number) => number = () => bytes.length): TarEvent[] {
  const reader = new TarReader();
  const events: TarEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = Math.max(1, cut(at));
    events.push(...reader.push(bytes.subarray(at, at + size)));
    at += size;
  }
  return events;
}

/** What it holds, one word for each; content in brackets. */
function told(events: readonly TarEvent[]): string[] {
  const words: string[] = [];
  for (const event of events) {
    if (event.kind === 'member') {
      const { kind, names, targets } = event.member;
      words.push(`${kind} ${names.at(-1) ?? ''}${targets.length > 0 ? ` -> ${targets.at(-1) ?? ''}` : ''}`);
    } else if (event.kind === 'data') words.push(`${words.pop() ?? ''} [${event.data.toString()}]`.replace('] [', ''));
  }
  return words;
}

/** All that it passes on, put together again. */
function passed(events: readonly TarEvent[]): Buffer {
  return Buffer.concat(events.map((event) => (event.kind === 'data' ? event.data : event.raw)));
}

const damaged = (fields: HeaderFields, damage: (block: Buffer) => void): Buffer => {
  const block = aHeader(fields);
  damage(block);
  return block;
};

describe('an archive', () => {
  const WRITERS: readonly [name: string, program: string, ...args: string[]][] = [
    ['GNU tar', 'tar', 'cf', '-'],
    ['GNU tar in the form of POSIX', 'tar', '--format=pax', '--pax-option=delete=atime,delete=ctime,delete=mtime', '-cf', '-'],
    ['GNU tar in its oldest form that has a name', 'tar', '--format=ustar', '-cf', '-'],
    ['busybox', 'busybox', 'tar', 'cf', '-'],
  ];
  it.each(WRITERS.filter(([, program]) => findProgram(program) !== undefined))(
    'of %s is read whole, however it is cut',
    async (_, program, ...args) => {
      await using directory = await temporaryDirectory();
      const at = (...parts: string[]): string => join(directory.path, ...parts);
      const isOld = args.includes('--format=ustar');
      const long = isOld ? `${'d'.repeat(60)}/${'f'.repeat(90)}` : LONG;
      mkdirSync(join(at('t'), ...long.split('/').slice(0, -1)), { recursive: true });
      writeFileSync(at('t', 'a'), 'content of a');
      writeFileSync(at('t', 'empty'), '');
      writeFileSync(at('t', 'block'), 'b'.repeat(512));
      writeFileSync(at('t', long), 'long');
      symlinkSync('a', at('t', 'link'));
      linkSync(at('t', 'a'), at('t', 'same'));
      const bytes = execFileSync(program, [...args, 't'], { cwd: directory.path, maxBuffer: 2 ** 24 });
      const whole = read(bytes);
      const words = told(whole);
      expect(words).toContain(`file t/${long} [long]`);
      expect(words).toContain('symlink t/link -> a');
      expect(words).toContain('file t/empty');
      expect(words).toContain(`file t/block [${'b'.repeat(512)}]`);
      expect(words.filter((word) => /^(file|link) t\/(a|same) /.test(word)).length).toBe(2);
      const random = seededRandom(7);
      for (const cut of [(): number => 1, (): number => 511, (): number => Math.floor(random() * 2_000)]) {
        const events = read(bytes, cut);
        expect(told(events)).toEqual(words);
        expect(passed(events).equals(bytes)).toBe(true);
      }
    },
  );

  it('says nothing by what fills its blocks', () => {
    const member = aMember({ name: 'a' }, 'x');
    member.fill('secret', 513);
    expect(passed(read(Buffer.concat([member, END]))).includes('secret')).toBe(false);
  });

  it.each<[string, Buffer]>([
    ['what is no archive', Buffer.alloc(512, 'a')],
    ['the form before POSIX', aHeader({ name: 'a', magic: '\0\0\0\0\0\0\0\0' })],
    ['a damaged header', damaged({ name: 'a' }, (block) => void (block[0] = 0x62))],
    ['a name with something behind its end', aHeader({ name: 'a\0b' })],
    ['a name that is no UTF-8', damaged({ name: 'a', raw: true }, () => undefined)],
    ['a device', aHeader({ name: 'a', type: '3' })],
    ['a pipe', aHeader({ name: 'a', type: '6' })],
    ['a sparse file', aHeader({ name: 'a', type: 'S' })],
    ['attributes of all that follows', aHeader({ name: 'a', type: 'g', size: 10 })],
    ['an odd kind', aHeader({ name: 'a', type: 'Z' })],
    ['a directory with content', aHeader({ name: 'a/', type: '5', size: 1 })],
    ['a link with content', aHeader({ name: 'a', type: '2', target: 'b', size: 1 })],
    ['a file that is named as a directory', aHeader({ name: 'a/' })],
    ['a size that is negative', damaged({ name: 'a', sizeField: `-0000000001\0` }, () => undefined)],
    [
      'a size beyond all bounds',
      damaged({ name: 'a', sizeField: Buffer.from([0x80, ...Array<number>(11).fill(0xff)]) }, () => undefined),
    ],
    ['a long name that is too long', aHeader({ name: 'x', type: 'L', size: 16 * 1024 + 1 })],
    ['a long name of nothing', aHeader({ name: 'x', type: 'L', size: 0 })],
    ['a long name without a member', Buffer.concat([aMember({ name: 'x', type: 'L' }, 'a\0'), END])],
    ['more names than one can have', Buffer.concat([...Array<Buffer>(3).fill(aMember({ name: 'x', type: 'L' }, 'a\0'))])],
    ['an attribute of size', aMember({ name: 'x', type: 'x' }, pax('size', '5'))],
    ['an attribute of sparse files', aMember({ name: 'x', type: 'x' }, pax('GNU.sparse.major', '1'))],
    ['an attribute twice', aMember({ name: 'x', type: 'x' }, pax('path', 'a') + pax('path', 'b'))],
    ['an attribute that is longer than it says', aMember({ name: 'x', type: 'x' }, '9 path=ab\n')],
    ['an attribute that is longer than there is', aMember({ name: 'x', type: 'x' }, '99 path=a\n')],
    ['an attribute with a zero', aMember({ name: 'x', type: 'x' }, pax('path', 'a\0b'))],
    ['a member behind its end', Buffer.concat([Buffer.alloc(512), aHeader({ name: 'a' })])],
  ])('with %s is refused', (_, bytes) => {
    expect(() => read(bytes)).toThrow(StreamError);
  });

  it('tells every name that a reader may take', () => {
    const [event] = read(
      Buffer.concat([aMember({ name: 'x', type: 'x' }, pax('path', 'b') + pax('mtime', '1')), aHeader({ name: 'a' })]),
    );
    expect(event?.kind === 'member' && event.member.names).toEqual(['a', 'b']);
  });
});
