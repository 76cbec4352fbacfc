import { randomSegments, seededRandom, threeWaySplits, twoWaySplits } from '@chaperone/testing';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SshError } from './error.ts';
import { EXTENSIONS, MAX_PACKET_BYTES, PacketStream, status, TYPE } from './sftp.ts';
import { parseRequest } from './sftp-request.ts';
import { clampLimits, parseResponse, parseVersion } from './sftp-response.ts';

// Written by hand, so that the encoder is not what reads itself.
const u32 = (value: number): string => value.toString(16).padStart(8, '0');
const u64 = (value: bigint): string => value.toString(16).padStart(16, '0');
const str = (text: string): string => u32(Buffer.byteLength(text)) + Buffer.from(text).toString('hex');
const bytes = (...parts: string[]): Buffer => Buffer.from(parts.join(''), 'hex');
const request = (type: number, ...parts: string[]): Buffer => bytes(type.toString(16).padStart(2, '0'), u32(7), ...parts);
const framed = (body: Buffer): Buffer => Buffer.concat([bytes(u32(body.length)), body]);
const NO_ATTRS = u32(0);

function packetsOf(chunks: Iterable<Buffer>): string[] {
  const stream = new PacketStream();
  const found: string[] = [];
  for (const chunk of chunks) {
    stream.push(chunk);
    for (let next = stream.next(); next; next = stream.next()) found.push(next.toString('hex'));
  }
  expect(stream.held).toBe(0);
  return found;
}

describe('a stream of SFTP packets', () => {
  const bodies = [request(16, str('/')), request(4, str('h')), request(6, str('h'), u64(0n), str('some data'))];
  const stream = Buffer.concat(bodies.map(framed));
  const whole = bodies.map((body) => body.toString('hex'));

  it('is the same at every split', () => {
    for (const split of twoWaySplits(stream)) expect(packetsOf(split)).toEqual(whole);
    for (const split of threeWaySplits(stream)) expect(packetsOf(split)).toEqual(whole);
  });

  it.each([1, 2, 3])('is the same in random segments (seed %i)', (seed) => {
    expect(packetsOf(randomSegments(stream, seededRandom(seed), 9))).toEqual(whole);
  });

  it('holds a packet as long as OpenSSH sends them', () => {
    const body = Buffer.alloc(MAX_PACKET_BYTES, 1);
    expect(packetsOf([framed(body)])).toEqual([body.toString('hex')]);
  });

  it('lends packets with content, which may go on under another number, and gives all others to keep', () => {
    const packets = new PacketStream();
    packets.push(Buffer.concat([framed(request(16, str('/'))), framed(request(103, str('content')))]));
    const [kept, lent] = [packets.next(), packets.next()];
    expect(packets.renumbered(9).toString('hex')).toBe(framed(bytes('67', u32(9), str('content'))).toString('hex'));
    packets.push(Buffer.alloc(100));
    expect(kept?.toString('hex')).toBe(whole[0]);
    expect(lent).toHaveLength(16);
  });

  it.each([0, 4, MAX_PACKET_BYTES + 1, 0x7fff_ffff, 0xffff_ffff])('refuses a length of %i before it waits for it', (length) => {
    const packets = new PacketStream();
    packets.push(bytes(u32(length)));
    expect(() => packets.next()).toThrow(SshError);
  });
});

describe('a request', () => {
  it.each<[string, Buffer, object]>([
    ['INIT, with what the client knows', bytes('01', u32(3), str('x'), str('1')), { group: 'init' }],
    ['INIT of a later version', bytes('01', u32(6)), { group: 'init' }],
    [
      'OPEN',
      request(3, str('/a'), u32(0x1a), u32(4), u32(0o644)),
      { kind: 'open', id: 7, flags: 0x1a, paths: [Buffer.from('/a')], tail: bytes(u32(0x1a), u32(4), u32(0o644)) },
    ],
    ['CLOSE', request(4, str('h')), { kind: 'close', handle: Buffer.from('h') }],
    ['READ', request(5, str('h'), u64(2n ** 63n), u32(9)), { kind: 'read', offset: 2n ** 63n, length: 9 }],
    ['WRITE', request(6, str('h'), u64(1n), str('abc')), { kind: 'write', offset: 1n, data: Buffer.from('abc') }],
    ['LSTAT', request(7, str('a')), { kind: 'lstat', paths: [Buffer.from('a')] }],
    ['FSTAT', request(8, str('h')), { kind: 'fstat' }],
    [
      'SETSTAT of everything',
      request(9, str('a'), u32(15), u64(1n), u32(2), u32(3), u32(4), u32(5), u32(6)),
      { kind: 'setstat', paths: [Buffer.from('a')] },
    ],
    ['FSETSTAT of the size', request(10, str('h'), u32(1), u64(0n)), { kind: 'fsetstat', size: 0n }],
    ['FSETSTAT of permissions', request(10, str('h'), u32(4), u32(0)), { kind: 'fsetstat', size: undefined }],
    ['OPENDIR', request(11, str('a')), { kind: 'opendir' }],
    ['READDIR', request(12, str('h')), { kind: 'readdir' }],
    ['REMOVE', request(13, str('a')), { kind: 'remove' }],
    ['MKDIR', request(14, str('a'), NO_ATTRS), { kind: 'mkdir', tail: bytes(NO_ATTRS) }],
    ['RMDIR', request(15, str('a')), { kind: 'rmdir' }],
    ['REALPATH', request(16, str('a')), { kind: 'realpath' }],
    ['STAT', request(17, str('a')), { kind: 'stat' }],
    ['RENAME', request(18, str('a'), str('b')), { kind: 'rename', paths: [Buffer.from('a'), Buffer.from('b')] }],
    ['READLINK', request(19, str('a')), { kind: 'readlink' }],
    ['SYMLINK', request(20, str('a'), str('b')), { kind: 'symlink', paths: [Buffer.from('a'), Buffer.from('b')] }],
    ['posix-rename', request(200, str('posix-rename@openssh.com'), str('a'), str('b')), { kind: 'posix-rename' }],
    ['statvfs', request(200, str('statvfs@openssh.com'), str('a')), { kind: 'statvfs' }],
    ['fstatvfs', request(200, str('fstatvfs@openssh.com'), str('h')), { kind: 'fstatvfs' }],
    ['hardlink', request(200, str('hardlink@openssh.com'), str('a'), str('b')), { kind: 'hardlink' }],
    ['fsync', request(200, str('fsync@openssh.com'), str('h')), { kind: 'fsync' }],
    ['lsetstat', request(200, str('lsetstat@openssh.com'), str('a'), NO_ATTRS), { kind: 'lsetstat' }],
    ['limits', request(200, str('limits@openssh.com')), { group: 'limits' }],
    ['expand-path', request(200, str('expand-path@openssh.com'), str('~')), { kind: 'expand-path' }],
    ['home-directory', request(200, str('home-directory'), str('me')), { kind: 'home-directory' }],
    [
      'copy-data',
      request(200, str('copy-data'), str('h'), u64(0n), u64(0n), str('i'), u64(0n)),
      { kind: 'copy-data', handle: Buffer.from('h'), to: Buffer.from('i') },
    ],
    ['a type of another version', request(21, str('a')), { group: 'unsupported', id: 7 }],
    ['a type of an answer', request(101, u32(0)), { group: 'unsupported', id: 7 }],
    ['an extension that nobody knows', request(200, str('x@y'), 'ff'), { group: 'unsupported', id: 7 }],
    ['names of users', request(200, str('users-groups-by-id@openssh.com'), str(''), str('')), { group: 'unsupported' }],
    ['a name of ours for an extension', request(200, str('fsync'), str('h')), { group: 'unsupported' }],
    ['a flag of a later version', request(3, str('a'), u32(0x41), NO_ATTRS), { group: 'unsupported' }],
    ['extended attributes', request(9, str('a'), u32(0x8000_0000), u32(1), str('x@y'), str('')), { group: 'unsupported' }],
  ])('is read: %s', (_, body, expected) => {
    expect(parseRequest(body)).toMatchObject(expected);
  });

  it.each<[string, Buffer]>([
    ['a version below 3', bytes('01', u32(2))],
    ['no id', bytes('0700')],
    ['a path beyond the end', request(7, u32(4), '616161')],
    ['bytes behind the path', request(7, str('a'), '00')],
    ['bytes behind limits', request(200, str('limits@openssh.com'), '00')],
    ['attributes cut off', request(9, str('a'), u32(1), u32(0))],
    ['attributes of a later version', request(9, str('a'), u32(0x10), u32(0))],
    ['4 billion extended attributes', request(9, str('a'), u32(0x8000_0000), u32(0xffff_ffff))],
    ['one path where there are two', request(18, str('a'))],
  ])('is refused with %s', (_, body) => {
    expect(() => parseRequest(body)).toThrow(SshError);
  });
});

describe('an answer', () => {
  const entry = (name: string): string => str(name) + str(`-rw ${name}`) + u32(4) + u32(0o100644);

  it.each<[string, Buffer, object]>([
    ['STATUS', request(101, u32(2), str('No such file'), str('en')), { kind: 'status', code: 2, message: 'No such file' }],
    ['STATUS of an old server', request(101, u32(4)), { kind: 'status', code: 4, message: '' }],
    ['HANDLE', request(102, str('h')), { kind: 'handle', handle: Buffer.from('h') }],
    ['DATA', request(103, str('abc')), { kind: 'data', data: Buffer.from('abc') }],
    ['NAME', request(104, u32(2), entry('a'), entry('b')), { kind: 'name', names: [Buffer.from('a'), Buffer.from('b')] }],
    ['ATTRS of a directory', request(105, u32(4), u32(0o40755)), { attributes: { format: 'directory' } }],
    ['ATTRS of a link', request(105, u32(4), u32(0o120777)), { attributes: { format: 'link' } }],
    ['ATTRS of a device', request(105, u32(4), u32(0o060600)), { attributes: { format: 'other' } }],
    ['ATTRS with a size', request(105, u32(1), u64(5n)), { attributes: { size: 5n } }],
    ['EXTENDED_REPLY', request(201, '0102'), { kind: 'extended', content: bytes('0102') }],
  ])('is read: %s', (_, body, expected) => {
    expect(parseResponse(body)).toMatchObject(expected);
  });

  it.each<[string, Buffer]>([
    ['a request', request(3, str('a'))],
    ['a second VERSION', request(2)],
    ['an empty handle', request(102, str(''))],
    ['a handle that is too long', request(102, str('h'.repeat(257)))],
    ['a name longer than paths can be', request(104, u32(1), entry('n'.repeat(4_097)))],
    ['4 billion names', request(104, u32(0xffff_ffff), entry('a'))],
    ['bytes behind the data', request(103, str('a'), '00')],
  ])('is refused: %s', (_, body) => {
    expect(() => parseResponse(body)).toThrow(SshError);
  });

  it('of a long sentence is cut', () => {
    const response = parseResponse(request(101, u32(4), str('x'.repeat(5_000)), str('')));
    expect(response.kind === 'status' && response.message.length).toBe(1_024);
  });
});

describe('a version', () => {
  it('keeps the extensions that are known, in the versions that are', () => {
    const said = Object.values(EXTENSIONS).flatMap(({ name, version }) => [str(name), str(version)]);
    const more = [
      str('users-groups-by-id@openssh.com'),
      str('1'),
      str('newline'),
      str('\n'),
      str('statvfs@openssh.com'),
      str('9'),
    ];
    const answer = parseVersion(bytes('02', u32(3), ...more, ...said));
    expect(answer).toEqual(framed(bytes('02', u32(3), ...said)));
  });

  it.each<[string, Buffer]>([
    ['another version', bytes('02', u32(4))],
    ['an answer', request(101, u32(0))],
    ['an extension without its version', bytes('02', u32(3), str('a'))],
  ])('is refused: %s', (_, body) => {
    expect(() => parseVersion(body)).toThrow(SshError);
  });
});

describe('limits', () => {
  it('are those of the server where they are lower, and ours where not', () => {
    const said = bytes(u64(1n << 40n), u64(32_768n), u64(0n), u64(1_019n));
    expect(clampLimits(said)).toEqual(bytes(u64(262_144n), u64(32_768n), u64(261_120n), u64(1_019n)));
  });

  it('are refused when they are not four numbers', () => {
    expect(() => clampLimits(Buffer.alloc(31))).toThrow(SshError);
    expect(() => clampLimits(Buffer.alloc(33))).toThrow(SshError);
  });
});

it('packets are written as they are read', () => {
  expect(status(7, 3, 'no')).toEqual(framed(request(101, u32(3), str('no'), str('en'))));
});

it('whatever arrives is read or refused, and nothing else', () => {
  const types = fc.oneof(fc.constantFrom(...Object.values(TYPE)), fc.nat(255));
  const names = fc.constantFrom('', ...Object.values(EXTENSIONS).map(({ name }) => str(name)));
  fc.assert(
    fc.property(types, names, fc.uint8Array({ maxLength: 80 }), (type, name, rest) => {
      const body = Buffer.concat([request(type, name), rest]);
      for (const parse of [parseRequest, parseResponse, parseVersion]) {
        try {
          parse(body);
        } catch (error) {
          expect(error).toBeInstanceOf(SshError);
        }
      }
    }),
    { numRuns: 2_000 },
  );
});
