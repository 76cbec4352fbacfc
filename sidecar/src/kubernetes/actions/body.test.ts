import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readBody } from './body.ts';
import { type Json, JsonError, type JsonFault, MAX_BODY_BYTES, MAX_DEPTH, MAX_VALUES, readJson, writeJson } from './json.ts';

const fault = (text: string | Buffer): JsonFault | 'read' => {
  try {
    readJson(Buffer.from(text));
    return 'read';
  } catch (error) {
    if (error instanceof JsonError) return error.fault;
    throw error;
  }
};
const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const escape = String.fromCharCode(0x5c);

describe('a body in protobuf', () => {
  const object = Buffer.from([0x12, 0x06, 0x0a, 0x01, 0x61, 0x12, 0x01, 0x31]);
  const type = Buffer.from([0x0a, 0x0f, 0x0a, 0x02, ...Buffer.from('v1'), 0x12, 0x09, ...Buffer.from('ConfigMap')]);
  const body = Buffer.concat([Buffer.from('k8s\0'), type, Buffer.from([0x12, object.length]), object]);

  it('is the object that it says, and goes on in JSON', () => {
    const value = { apiVersion: 'v1', kind: 'ConfigMap', data: { a: '1' } };
    expect(readBody(body, 'protobuf')).toEqual({ kind: 'object', value, send: Buffer.from(JSON.stringify(value)) });
  });

  it.each<[string, Buffer, string]>([
    ['cut off', body.subarray(0, -1), 'BodyUnreadable'],
    ['JSON', Buffer.from('{}'), 'BodyUnreadable'],
  ])('is refused when %s', (_, bytes, code) => {
    expect(readBody(bytes, 'protobuf')).toMatchObject({ kind: 'refused', code });
  });
});

describe('a JSON text', () => {
  it.each<[says: string, text: string | Buffer, JsonFault | 'read']>([
    ['of all sorts', '{"a": [1, -2.5e3, true, false, null, "x\\u00fc\\n"], "b": {}}', 'read'],
    ['with blanks around', ' \t\r\n1 \n', 'read'],
    ['with a key twice', '{"a":1,"a":2}', 'DuplicateKey'],
    ['with a key twice, once escaped', `{"a":1,"${escape}u0061":2}`, 'DuplicateKey'],
    ['with a key twice, deep', '[{"x":{"a":1,"b":2,"a":3}}]', 'DuplicateKey'],
    ['with __proto__ twice', '{"__proto__":1,"__proto__":2}', 'DuplicateKey'],
    ['with half a character', `"${escape}ud800"`, 'Surrogate'],
    ['with half a character in a key', `{"${escape}udfff":1}`, 'Surrogate'],
    ['with both halves', `"${escape}ud83d${escape}ude00"`, 'read'],
    ['with a number that no double holds', '9007199254740993', 'Number'],
    ['with an endless number', '1e400', 'Number'],
    ['with a number of many digits', `0.${'1'.repeat(40)}`, 'Number'],
    ['that is not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'NotUtf8'],
    ['behind a byte order mark', '\ufeff{}', 'Syntax'],
    ['of nothing', '', 'Syntax'],
    ['with something behind', '{} {}', 'Syntax'],
    ['with a comma at the end', '[1,]', 'Syntax'],
    ['with a comment', '{/* */}', 'Syntax'],
    ['with a key without quotes', '{a:1}', 'Syntax'],
    ['with a tab in a string', '"\t"', 'Syntax'],
    ['with a leading zero', '01', 'Syntax'],
    ['with another blank', '\u00a01', 'Syntax'],
    ['as deep as may be', nested(MAX_DEPTH + 1), 'read'],
    ['deeper', nested(MAX_DEPTH + 2), 'TooDeep'],
    ['much deeper', '['.repeat(1_000_000), 'TooDeep'],
    ['of too many values', `[${'1,'.repeat(MAX_VALUES)}1]`, 'TooMany'],
    ['too large', `"${'a'.repeat(MAX_BODY_BYTES)}"`, 'TooLarge'],
  ])('%s: %#', (_, text, expected) => {
    expect(fault(text)).toBe(expected);
  });

  it('keeps its keys whatever was read before: one that begins with an escape is no backslash', () => {
    JSON.parse(`{"a":1,"b":2,"${escape}${escape}":3}`);
    readJson(Buffer.from(`{"a":1,"b":2,"${escape}${escape}":3}`));
    expect(Object.keys(readJson(Buffer.from(`{"a":1,"b":2,"${escape}u0063":3}`)) as object)).toEqual(['a', 'b', 'c']);
  });

  it('has keys that are nothing but keys', () => {
    const read = readJson(Buffer.from('{"__proto__":{"x":1},"constructor":2}')) as Record<string, Json>;
    expect(Object.keys(read)).toEqual(['__proto__', 'constructor']);
    expect([read['x'], read['toString']]).toEqual([undefined, undefined]);
  });

  it('is what JSON.stringify wrote, and comes back from what is written anew', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const text = JSON.stringify(value);
        if (fault(text) === 'Number') return;
        const read = readJson(Buffer.from(text));
        expect(JSON.stringify(read)).toBe(text);
        expect(JSON.stringify(readJson(writeJson(read)))).toBe(text);
      }),
    );
  });

  it('never throws anything else, whatever it is', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      escape,
      'a',
      '1',
      'e',
      '-',
      '.',
      'null',
      'u00',
      ' ',
      '\0',
      'ü',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => void fault(pieces.join(''))),
      { numRuns: 2_000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void fault(Buffer.from(bytes))));
  });
});

const read = (text: string, format: Parameters<typeof readBody>[1] = 'json'): string => {
  const body = readBody(Buffer.from(text), format);
  if (body.kind === 'refused') return body.code;
  return body.kind === 'object' ? JSON.stringify(body.value) : JSON.stringify(body.operations);
};

describe('a body', () => {
  it('goes on as it came where it is JSON, and is written anew where it is called YAML', () => {
    const text = '{ "a": "\u2028\u0085é😀" }';
    expect((readBody(Buffer.from(text), 'merge-patch') as { send: Buffer }).send.toString()).toBe(text);
    expect((readBody(Buffer.from(text), 'apply-patch') as { send: Buffer }).send.toString()).toBe(
      `{"a":"${escape}u2028${escape}u0085é😀"}`,
    );
  });

  it.each([
    ['[]', 'json', 'BodyShape'],
    ['"a"', 'merge-patch', 'BodyShape'],
    ['a: 1', 'apply-patch', 'BodyUnreadable'],
    ['{"a":1,"a":2}', 'json', 'BodyAmbiguous'],
    ['{"a":9007199254740993}', 'json', 'BodyAmbiguous'],
    [nested(200), 'json-patch', 'BodyTooLarge'],
    ['{}', 'json-patch', 'BodyShape'],
    ['[{"op":"add","path":"/a~1b/~01","value":null}]', 'json-patch', '[{"op":"add","path":["a/b","~1"],"value":null}]'],
    ['[{"op":"move","from":"/a","path":"/b"}]', 'json-patch', '[{"op":"move","path":["b"],"from":["a"]}]'],
    ['[{"op":"remove","path":""}]', 'json-patch', '[{"op":"remove","path":[]}]'],
    ['[{"op":"add","path":"/a"}]', 'json-patch', 'BodyShape'],
    ['[{"op":"remove","path":"/a","value":1}]', 'json-patch', 'BodyShape'],
    ['[{"op":"Add","path":"/a","value":1}]', 'json-patch', 'BodyShape'],
    ['[{"op":"add","path":"a","value":1}]', 'json-patch', 'BodyShape'],
    ['[{"op":"add","path":"/~2","value":1}]', 'json-patch', 'BodyShape'],
    ['[{"op":"copy","from":1,"path":"/a"}]', 'json-patch', 'BodyShape'],
    ['[null]', 'json-patch', 'BodyShape'],
  ] as const)('%s as %s: %s', (text, format, expected) => {
    expect(read(text, format)).toBe(expected);
  });
});
