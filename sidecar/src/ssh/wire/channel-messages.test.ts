import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode, parse } from './channel-messages.ts';
import { boolean, byte, string, uint32 } from './data.ts';
import { SshError } from './error.ts';

const cat = (...parts: readonly Buffer[]): Buffer => Buffer.concat(parts);
const TERMINAL = {
  term: 'xterm-256color',
  columns: 80,
  rows: 24,
  widthPixels: 0,
  heightPixels: 0,
  modes: Buffer.from('8100009600820000960000', 'hex'),
};
const FORWARD = { host: 'db.internal', port: 5_432, originatorHost: '::1', originatorPort: 65_535 };
const SIGNAL = { name: 'KILL', isCoreDumped: true, message: 'out of memory' };
const VARIABLE = { name: Buffer.from('LANG'), value: Buffer.from('C.UTF-8') };

/** As RFC 4254 writes each, in sections 6.2 to 6.10 and 7.2. */
const CASES: readonly [string, (payload: Buffer) => unknown, unknown, Buffer, Buffer][] = [
  ['exec', parse.exec, Buffer.from('ls -l'), encode.exec(Buffer.from('ls -l')), string('ls -l')],
  [
    'an exec that is no text',
    parse.exec,
    Buffer.of(0xff, 0xfe),
    encode.exec(Buffer.of(0xff, 0xfe)),
    string(Buffer.of(0xff, 0xfe)),
  ],
  ['shell', parse.shell, undefined, encode.shell(), Buffer.alloc(0)],
  ['subsystem', parse.subsystem, 'sftp', encode.subsystem('sftp'), string('sftp')],
  ['env', parse.env, VARIABLE, encode.env(VARIABLE), cat(string('LANG'), string('C.UTF-8'))],
  ['exit-status', parse.exitStatus, 0xffff_ffff, encode.exitStatus(0xffff_ffff), uint32(0xffff_ffff)],
  [
    'exit-signal',
    parse.exitSignal,
    SIGNAL,
    encode.exitSignal(SIGNAL),
    cat(string('KILL'), boolean(true), string('out of memory'), string('')),
  ],
  [
    'pty-req',
    parse.ptyReq,
    TERMINAL,
    encode.ptyReq(TERMINAL),
    cat(string(TERMINAL.term), ...[80, 24, 0, 0].map(uint32), string(TERMINAL.modes)),
  ],
  [
    'direct-tcpip',
    parse.forward,
    FORWARD,
    encode.forward(FORWARD),
    cat(string('db.internal'), uint32(5_432), string('::1'), uint32(65_535)),
  ],
];

describe('requests of a channel', () => {
  it.each(CASES)('%s is written and read as the specification says', (_, read, value, written, wire) => {
    expect(written).toEqual(wire);
    expect(read(wire)).toEqual(value);
  });

  it.each(CASES)('%s is refused where it ends too early or goes on', (_, read, _value, _written, wire) => {
    for (let length = 0; length < wire.length; length++) expect(() => read(wire.subarray(0, length))).toThrow(SshError);
    expect(() => read(cat(wire, byte(0)))).toThrow(SshError);
  });

  it.each<[string, () => unknown]>([
    ['an empty command', () => parse.exec(string(''))],
    ['a command with a NUL', () => parse.exec(string('ls\0-l'))],
    ['a command of 128 KiB and a byte', () => parse.exec(string('x'.repeat(128 * 1024 + 1)))],
    ['a subsystem with a space', () => parse.subsystem(string('sf tp'))],
    ['a variable without name', () => parse.env(cat(string(''), string('x')))],
    ['a variable with a NUL', () => parse.env(cat(string('A'), string('x\0y')))],
    ['a terminal with a NUL in its name', () => parse.ptyReq(encode.ptyReq({ ...TERMINAL, term: 'x\0' }))],
    ['a terminal of 65 bytes', () => parse.ptyReq(encode.ptyReq({ ...TERMINAL, term: 'x'.repeat(65) }))],
    ['too many modes', () => parse.ptyReq(encode.ptyReq({ ...TERMINAL, modes: Buffer.alloc(1_025) }))],
    ['a port above 65,535', () => parse.forward(cat(string('a'), uint32(65_536), string('b'), uint32(1)))],
    ['an originator above 65,535', () => parse.forward(cat(string('a'), uint32(1), string('b'), uint32(65_536)))],
    ['a host with a NUL', () => parse.forward(encode.forward({ ...FORWARD, host: 'good\0.evil' }))],
    ['a host that is not UTF-8', () => parse.forward(cat(string(Buffer.of(0xff)), uint32(1), string('b'), uint32(1)))],
    ['a host of 257 bytes', () => parse.forward(encode.forward({ ...FORWARD, host: 'h'.repeat(257) }))],
    ['a signal with a line break', () => parse.exitSignal(encode.exitSignal({ ...SIGNAL, name: 'KI\nLL' }))],
  ])('refuse %s', (_, read) => {
    expect(read).toThrow(SshError);
  });

  it('keep nothing of the bytes that they were read from', () => {
    const wire = encode.exec(Buffer.from('ls'));
    const command = parse.exec(wire);
    wire.fill(0);
    expect(command.toString()).toBe('ls');
  });

  it('end with SshError or a value, whatever comes', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.values(parse)), fc.uint8Array({ maxLength: 60 }), (read, bytes) => {
        try {
          read(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(SshError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
