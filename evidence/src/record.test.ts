import { assert, integer, oneof, property, string, uint8Array } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeBytes, encodeBytes, MAX_OUTPUT_BYTES } from './encoded-bytes.ts';
import { contentRecords, decodeRecord, encodeRecord, outputRecords, type RecordBody, SessionRecord } from './record.ts';

const stamp = { seq: 1, at: 1, mono: 1 };
const digest = 'ab'.repeat(32);
const moved = { type: 'file', action: 1, operation: 'write', path: '/srv/app.conf', bytes: 3, digest, outcome: 'ok' };

function stored(body: RecordBody): Buffer {
  const { text, data = Buffer.alloc(0) } = encodeRecord({ ...body, ...stamp });
  return Buffer.concat([Buffer.from(text), data]);
}
/** What a reader has of records: bytes joined before they are decoded. */
function joined(bodies: readonly RecordBody[]): Buffer {
  const read = bodies.map((body) => decodeRecord(stored(body)));
  return Buffer.concat(read.map((record) => ('data' in record ? decodeBytes(record.data) : Buffer.alloc(0))));
}

describe('a record in evidence', () => {
  test('is JSON, and behind a NUL the bytes that it is about', () => {
    const line: RecordBody = { type: 'line', action: 1, text: 'a\0b' };
    expect(stored(line).toString()).toBe('{"type":"line","action":1,"text":"a\\u0000b","seq":1,"at":1,"mono":1}');
    expect(decodeRecord(stored(line))).toEqual({ ...line, ...stamp });
    const [piece] = outputRecords(1, 'stdout', Buffer.of(0, 0xff));
    if (piece === undefined) throw new Error('no record');
    expect(stored(piece).toString('latin1')).toBe(
      '{"type":"output","action":1,"stream":"stdout","seq":1,"at":1,"mono":1}\0\0\xff',
    );
    expect(decodeRecord(stored(piece))).toEqual({ ...piece, ...stamp, data: 'b:AP8=' });
    const [content] = contentRecords({ action: 1, file: 0, offset: 0, bytes: 0 }, Buffer.alloc(0));
    if (content === undefined) throw new Error('no record');
    expect(decodeRecord(stored(content))).toMatchObject({ type: 'content', data: 't:' });
  });

  test.each([
    ['no bytes where they belong', '{"type":"output","action":1,"stream":"stdout","seq":1,"at":1,"mono":1}'],
    ['bytes within its JSON', '{"type":"output","action":1,"stream":"stdout","data":"t:a","seq":1,"at":1,"mono":1}'],
    ['bytes in both', '{"type":"output","action":1,"stream":"stdout","data":"t:a","seq":1,"at":1,"mono":1}\0a'],
    ['bytes that its kind has no room for', '{"type":"line","action":1,"text":"a","seq":1,"at":1,"mono":1}\0a'],
    ['more bytes than it may', `{"type":"output","action":1,"stream":"stdout","seq":1,"at":1,"mono":1}\0${'x'.repeat(65_537)}`],
    ['JSON that is no object', '1\0a'],
    ['no JSON', '\0a'],
  ])('with %s is refused', (_, text) => {
    expect(() => decodeRecord(Buffer.from(text))).toThrow();
  });
});

describe('records of streams', () => {
  const known: Record<string, object> = {
    'text that was shown': { type: 'output', action: 1, stream: 'terminal', data: 't:\u001b[1mhi\r\n' },
    'bytes that are no text': { type: 'output', action: 1, stream: 'stdout', data: 'b:/w==' },
    'the size of a terminal': { type: 'resize', action: 1, columns: 80, rows: 24 },
    'a size that nobody knows': { type: 'resize', action: 1, columns: 0, rows: 0xffff_ffff },
    'a line that was entered': { type: 'line', action: 1, text: '$ ls' },
    'a piece of a file': { type: 'content', action: 1, file: 0, offset: 64, bytes: 1, data: 'b:/w==' },
    'a file that was moved': moved,
    'a file that was renamed, content unseen': { ...moved, operation: 'rename', to: '/srv/b', bytes: 0, digest: undefined },
  };
  test.each(Object.entries(known))('%s is known', (_, body) => {
    expect(SessionRecord.parse(JSON.parse(JSON.stringify({ ...stamp, ...body })))).toMatchObject({ action: 1 });
  });

  const refused: Record<string, object> = {
    'a kind of which nobody knows': { type: 'video', action: 1 },
    'a stream of which nobody knows': { type: 'output', action: 1, stream: 'stdlog', data: 't:' },
    'data without its prefix': { type: 'output', action: 1, stream: 'stdout', data: 'hello' },
    'base64 that is none': { type: 'output', action: 1, stream: 'stdout', data: 'b:/w' },
    'base64 of what is text': { type: 'output', action: 1, stream: 'stdout', data: 'b:aGk=' },
    'half of a pair of surrogates': { type: 'output', action: 1, stream: 'stdout', data: 't:\ud83d' },
    'more text than a record takes': {
      type: 'output',
      action: 1,
      stream: 'stdout',
      data: `t:${'é'.repeat(MAX_OUTPUT_BYTES / 2 + 1)}`,
    },
    'more bytes than a record takes': {
      type: 'output',
      action: 1,
      stream: 'stdout',
      data: `b:${Buffer.alloc(MAX_OUTPUT_BYTES + 1, 0xff).toString('base64')}`,
    },
    'a size below nothing': { type: 'resize', action: 1, columns: -1, rows: 24 },
    'a size that no message has room for': { type: 'resize', action: 1, columns: 2 ** 32, rows: 24 },
    'a file of no known operation': { ...moved, operation: 'chown' },
    'a digest of another function': { ...moved, digest: 'ab'.repeat(20) },
    'less than no bytes': { ...moved, bytes: -1 },
  };
  test.each(Object.entries(refused))('%s is refused', (_, body) => {
    expect(SessionRecord.safeParse({ ...stamp, ...body }).success).toBe(false);
  });
});

describe('a chunk of a stream', () => {
  test('is text where it is UTF-8, a byte order mark and NUL included', () => {
    for (const text of ['', 'hi', '\ufeffhi', 'a\0b', 'é漢🙂\u202e']) {
      expect(encodeBytes(Buffer.from(text))).toBe(`t:${text}`);
      expect(decodeBytes(`t:${text}`)).toEqual(Buffer.from(text));
    }
  });

  test('that is cut within a character at any place comes back to the byte, and nothing is replaced', () => {
    const whole = Buffer.from('aé漢🙂z');
    for (let at = 0; at <= whole.length; at++) {
      const records = [whole.subarray(0, at), whole.subarray(at)].flatMap((chunk) => outputRecords(1, 'terminal', chunk));
      expect(joined(records)).toEqual(whole);
    }
  });

  test('of any bytes and size makes records that a verifier takes and that give the bytes back', () => {
    const sizes = integer({ min: 0, max: 3 * MAX_OUTPUT_BYTES });
    const units = oneof(
      string({ unit: 'grapheme', minLength: 1 }).map((text) => Buffer.from(text)),
      uint8Array({ minLength: 1 }),
    );
    assert(
      property(sizes, units, (size, unit) => {
        const bytes = Buffer.alloc(size, unit);
        const records = outputRecords(1, 'stdout', bytes);
        expect(joined(records).equals(bytes)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test('of long text is cut between its characters', () => {
    const records = outputRecords(1, 'stdout', Buffer.from('漢'.repeat(MAX_OUTPUT_BYTES)));
    expect(records.length).toBe(4);
    expect(records.every(({ data }) => encodeBytes(data).startsWith('t:'))).toBe(true);
  });
});
