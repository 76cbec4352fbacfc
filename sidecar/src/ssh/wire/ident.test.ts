import { twoWaySplits } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { DISCONNECT } from './error.ts';
import { IDENT, IdentReader } from './ident.ts';
import { pieces } from './pair.test-support.ts';

type Read = ReturnType<IdentReader['read']>;
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

function read(ofServer: boolean, chunks: Iterable<Buffer>): Read {
  const reader = new IdentReader(ofServer);
  let found: Read;
  const rest: Buffer[] = [];
  for (const chunk of chunks) {
    if (found !== undefined) rest.push(chunk);
    else found = reader.read(chunk);
  }
  return found && { ident: found.ident, rest: Buffer.concat([found.rest, ...rest]) };
}

const LINES = 'Welcome.\r\nThis is not SSH-2.0-yet.\n\r\n';
const LONGEST = `SSH-2.0-${'x'.repeat(245)}`;

describe('the identification', () => {
  it.each([
    ['with CR and LF', [true, false], '', 'SSH-2.0-OpenSSH_9.2p1 Debian-2', '\r\n'],
    ['with LF alone, as some send it', [true, false], '', 'SSH-2.0-dropbear_2022.83', '\n'],
    ['of 255 bytes', [true, false], '', LONGEST, '\r\n'],
    ['of ours', [true, false], '', IDENT, '\r\n'],
    ['of a server behind other lines', [true], LINES, 'SSH-2.0-Go', '\r\n'],
    ['of a server that speaks version 1 as well', [true], '', 'SSH-1.99-Cisco-1.25', '\n'],
  ])('is found %s, at every split', (_, ofServers, before, ident, end) => {
    const stream = bytes(`${before}${ident}${end}\0\x01rest\n`);
    for (const ofServer of ofServers) {
      const expected = { ident, rest: bytes('\0\x01rest\n') };
      for (const chunks of twoWaySplits(stream)) expect(read(ofServer, chunks)).toEqual(expected);
      expect(read(ofServer, pieces(stream, 1))).toEqual(expected);
    }
  });

  it.each([
    ['version 1.5', 'SSH-1.5-old\r\n', [true, false]],
    ['version 1.99 of a client', 'SSH-1.99-old\r\n', [false]],
    ['version 2.1', 'SSH-2.1-new\r\n', [true, false]],
    ['no version', 'SSH--x\r\n', [true, false]],
    ['no software', 'SSH-2.0-\r\n', [true, false]],
    ['nothing behind the version', 'SSH-2.0\r\n', [true, false]],
    ['a NUL', 'SSH-2.0-a\0b\r\n', [true, false]],
    ['an escape sequence', 'SSH-2.0-\x1b[2J\r\n', [true, false]],
    ['a byte beyond ASCII', 'SSH-2.0-\xe9\r\n', [true, false]],
    ['a CR in the middle', 'SSH-2.0-a\rb\r\n', [true, false]],
    ['256 bytes', `${LONGEST}x\r\n`, [true, false]],
    ['a client that speaks before it', `${LINES}SSH-2.0-x\r\n`, [false]],
    ['small letters', 'ssh-2.0-x\r\n', [false]],
    ['a proxy that speaks before it', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 22\r\nSSH-2.0-x\r\n', [false]],
    ['8 KiB of other lines', `${`${'x'.repeat(99)}\n`.repeat(82)}SSH-2.0-x\r\n`, [true]],
    ['8 KiB of one line', 'x'.repeat(8 * 1024 + 1), [true]],
  ])('is refused, or never found: %s', (_, text, ofServers) => {
    for (const ofServer of ofServers)
      for (const chunks of [[bytes(text)], pieces(bytes(text), 1)])
        expect(() => read(ofServer, chunks)).toThrow(
          expect.objectContaining({ name: 'SshError', reason: DISCONNECT.protocolVersionNotSupported }),
        );
  });

  it.each(['G', 'GET / HTTP/1.1', '\x16\x03\x01', 'SSX', 'SSH-2.0-'.padEnd(256, 'x')])(
    'is not waited for where a client has begun otherwise: %j',
    (text) => {
      expect(() => read(false, [bytes(text)])).toThrow('no identification');
    },
  );

  it.each(['', 'S', 'SSH-2.0-x', 'SSH-2.0-x\r'])('is waited for behind %j', (text) => {
    expect(read(false, [bytes(text)])).toBe(undefined);
  });
});
