import { randomBytes, randomInt } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MESSAGES } from './protobuf-schema.ts';
import { jsonOfProtobuf, ProtobufError } from './protobuf.ts';

type Part = readonly [number, Buffer | string | number];

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}

function message(...parts: readonly Part[]): Buffer {
  return Buffer.concat(
    parts.flatMap(([number, value]) => {
      if (typeof value === 'number') return [varint(number * 8), varint(value)];
      const bytes = Buffer.from(value);
      return [varint(number * 8 + 2), varint(bytes.length), bytes];
    }),
  );
}

function body(apiVersion: string, kind: string, raw: Buffer, ...more: readonly Part[]): Buffer {
  return Buffer.concat([Buffer.from('k8s\0'), message([1, message([1, apiVersion], [2, kind])], [2, raw], ...more)]);
}

const pod = (spec: Buffer): Buffer => body('v1', 'Pod', message([2, spec]));
const metadata = (...parts: readonly Part[]): Buffer => body('v1', 'ConfigMap', message([1, message(...parts)]));
const path = (port: Buffer): Buffer => message([1, message([2, message([1, '/live'], [2, port])])], [2, 5]);
const container = message(
  [1, 'web'],
  [7, message([1, 'PORT'], [2, '80'])],
  [10, path(message([1, 0], [2, 80]))],
  [11, path(message([1, 1], [3, 'http']))],
);
const read = (bytes: Buffer): unknown => JSON.parse(jsonOfProtobuf(bytes));

it('says in JSON what a body says', () => {
  const labels = [message([1, 'app'], [2, 'web']), message([1, 'empty']), message([2, 'no key'])].map(
    (entry): Part => [11, entry],
  );
  const volume = message([1, 'cache'], [2, message([2, message([2, message([1, '64Mi'])])])]);
  const sent = body(
    'v1',
    'Pod',
    message(
      [1, message([1, 'web-1'], [8, message([1, 1_700_000_000], [2, 5])], [9, Buffer.alloc(0)], [7, 12], ...labels)],
      [2, message([2, message([1, 'web'], [16, 1])], [2, container], [1, volume], [22, message([1, 'a'])])],
    ),
  );
  expect(read(sent)).toEqual({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'web-1',
      creationTimestamp: '2023-11-14T22:13:20Z',
      deletionTimestamp: null,
      generation: 12,
      labels: { app: 'web', empty: '', '': 'no key' },
    },
    spec: {
      containers: [
        { name: 'web', stdin: true },
        {
          name: 'web',
          env: [{ name: 'PORT', value: '80' }],
          livenessProbe: { httpGet: { path: '/live', port: 80 }, initialDelaySeconds: 5 },
          readinessProbe: { httpGet: { path: '/live', port: 'http' }, initialDelaySeconds: 5 },
        },
      ],
      volumes: [{ name: 'cache', emptyDir: { sizeLimit: '64Mi' } }],
      tolerations: [{ key: 'a' }],
    },
  });
});

it('knows the options of a deletion in every group', () => {
  expect(read(body('batch/v1', 'DeleteOptions', message([4, 'Background'], [5, 'All'])))).toEqual({
    apiVersion: 'batch/v1',
    kind: 'DeleteOptions',
    propagationPolicy: 'Background',
    dryRun: ['All'],
  });
});

it('keeps all digits of a number', () => {
  expect(jsonOfProtobuf(metadata([7, Number.MAX_SAFE_INTEGER]))).toContain('"generation":9007199254740991}');
  const most = Buffer.from('ffffffffffffffff7f', 'hex');
  const least = Buffer.from('80808080808080808001', 'hex');
  for (const [bytes, digits] of [
    [most, '9223372036854775807'],
    [least, '-9223372036854775808'],
  ] as const)
    expect(jsonOfProtobuf(body('v1', 'ConfigMap', message([1, Buffer.concat([varint(7 * 8), bytes])])))).toContain(
      `"generation":${digits}`,
    );
});

it('reads numbers that are packed', () => {
  const sent = body(
    'v1',
    'Pod',
    message([2, message([14, message([4, Buffer.concat([varint(1000), varint(2000)])], [4, 3000])])]),
  );
  expect(read(sent)).toMatchObject({ spec: { securityContext: { supplementalGroups: [1000, 2000, 3000] } } });
});

it('keeps what is JSON within as it is', () => {
  const owned = message([1, 'kubectl'], [7, message([1, '{"f:data":{".":{},"n":12345678901234567890}}'])]);
  expect(jsonOfProtobuf(metadata([17, owned]))).toContain('"fieldsV1":{"f:data":{".":{},"n":12345678901234567890}}');
});

describe('refuses', () => {
  it.each<[string, Buffer, RegExp]>([
    ['JSON', Buffer.from('{"apiVersion":"v1"}'), /begin/],
    ['nothing', Buffer.alloc(0), /begin/],
    [
      'a kind of somebody else',
      body('example.com/v1', 'Widget', Buffer.alloc(0)),
      /Widget of example.com\/v1 is not known.*send JSON/,
    ],
    ['a list', body('v1', 'PodList', Buffer.alloc(0)), /not known/],
    ['what is compressed', body('v1', 'Pod', Buffer.alloc(0), [3, 'gzip']), /encoded once more/],
    ['a field that nobody knows', pod(message([999, 'x'])), /field 999/],
    ['a field that comes twice', pod(message([8, 'default'], [8, 'admin'])), /serviceAccountName comes twice/],
    ['an inlined message that comes twice', pod(message([1, message([2, message()], [2, message()])])), /field 2 comes twice/],
    ['a key that comes twice', metadata([11, message([1, 'a'], [2, '1'])], [11, message([1, 'a'], [2, '2'])]), /"a" comes twice/],
    ['an entry with three parts', metadata([11, message([1, 'a'], [2, '1'], [3, '2'])]), /entry of a map/],
    ['a text where a number belongs', pod(message([11, 'true'])), /type that is not its own/],
    ['a number where a text belongs', pod(message([8, 5])), /type that is not its own/],
    ['a group', body('v1', 'Pod', Buffer.of(0x13)), /type that is not its own/],
    ['a number without an end', metadata([1, 'x']).subarray(0, -1), /cut off/],
    [
      'a number of more than 64 bits',
      body('v1', 'ConfigMap', message([1, Buffer.concat([varint(56), Buffer.alloc(11, 0xff)])])),
      /no end/,
    ],
    ['a length of gigabytes', Buffer.from('k8s\0\x12\xff\xff\xff\xff\x0f', 'latin1'), /too large/],
    ['text that is no UTF-8', metadata([1, Buffer.of(0xff)]), /UTF-8/],
    ['a time in the year 12000', metadata([8, message([1, 316_537_897_600])]), /time/],
    ['JSON within that is none', metadata([17, message([7, message([1, '{'])])]), /JSON/],
    ['a number or text that is neither', pod(message([2, message([10, path(message([1, 2]))])])), /neither/],
  ])('%s', (_, bytes, reason) => {
    expect(() => jsonOfProtobuf(bytes)).toThrow(reason);
    expect(() => jsonOfProtobuf(bytes)).toThrow(ProtobufError);
  });

  it('a body that is cut off anywhere, or says the same by what is left', () => {
    const whole = pod(message([2, container], [8, 'default']));
    for (let length = 0; length < whole.length; length++) {
      const cut = whole.subarray(0, length);
      try {
        expect(read(cut)).toMatchObject({ apiVersion: 'v1', kind: 'Pod' });
      } catch (error) {
        expect(error, `${length} bytes`).toBeInstanceOf(ProtobufError);
      }
    }
  });

  it('a small body that would become a large text', () => {
    const mount = message([9, message([2, 1])]);
    const sent = pod(message([2, Buffer.concat(Array.from({ length: 600_000 }, () => mount))]));
    expect(sent.length).toBeLessThan(3 * 1024 * 1024);
    expect(() => jsonOfProtobuf(sent)).toThrow(/too large/);
  });
});

it('knows no message that holds itself', () => {
  const held = MESSAGES.slice(1, -1)
    .split('\n')
    .map((line) => [...line.matchAll(/ [[{(]?(\d+)(?:,|$)/g)].map(([, place]) => Number(place)));
  const depth = (place: number, above: readonly number[]): number => {
    expect(above, `message ${place}`).not.toContain(place);
    return 1 + Math.max(0, ...(held[place] ?? []).map((within) => depth(within, [...above, place])));
  };
  expect(Math.max(...held.keys().map((place) => depth(place, [])))).toBeLessThan(20);
});

it('answers to bytes of chance with JSON or an error of its own', () => {
  const whole = pod(message([2, container], [1, message([1, 'a'], [2, message([6, message([1, 'tls'])])])]));
  for (let round = 0; round < 10_000; round++) {
    const damaged = Buffer.from(whole);
    for (let n = randomInt(1, 4); n > 0; n--) damaged[randomInt(4, damaged.length)] = randomInt(256);
    const bytes = round % 4 === 0 ? Buffer.concat([Buffer.from('k8s\0'), randomBytes(randomInt(64))]) : damaged;
    try {
      read(bytes);
    } catch (error) {
      if (!(error instanceof ProtobufError)) throw new Error(bytes.toString('hex'), { cause: error });
    }
  }
});
