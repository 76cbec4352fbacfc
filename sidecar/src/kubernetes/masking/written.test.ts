import { DETECTORS, KUBERNETES_SECRET } from '@chaperone/api';
import { describe, expect, it } from 'vitest';
import { asked, shownOf } from './answer.test-support.ts';
import { FIELDS, anAccess, aPod, aSecret, planOf } from './objects.test-support.ts';
import { maskWrittenBack } from './written.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const KEY = Buffer.alloc(32, 7).toString('base64');

describe('what would be written', () => {
  it.each([
    ['a value', { data: { password: '*****' } }, '.data.password'],
    ['a value in base64', { data: { 'tls.key': base64('*****') } }, '.data.tls\\.key'],
    ['a part of one in base64', { data: { a: base64('********6789') } }, '.data.a'],
    ['a hash', { stringData: { a: 'h:abcdefghij234567' } }, '.stringData.a'],
    ['a hash in base64', { data: { a: base64('h:abcdefghij234567') } }, '.data.a'],
    ['a find in a text', { spec: { message: 'ask ***** or nobody' } }, '.spec.message'],
    ['a key', { spec: { '*****': 1 } }, '.spec.*****'],
    ['a list', { spec: { args: ['a', '--b=*****'] } }, '.spec.args[1]'],
    [
      'an operation of a patch',
      [
        { op: 'test', path: '/a' },
        { op: 'add', path: '/data/b', value: base64('*****') },
      ],
      '[1].value',
    ],
    [
      'what was applied',
      { metadata: { annotations: { a: JSON.stringify({ data: { b: base64('*****') } }) } } },
      '.metadata.annotations.a',
    ],
    ['what was applied, with escapes', { metadata: { annotations: { a: '{"b":"\\u002a**"}' } } }, '.metadata.annotations.a'],
    [
      'the first of two that have one key',
      { metadata: { annotations: { a: `{"b":"${base64('*****')}","b":"c"}` } } },
      '.metadata.annotations.a',
    ],
    [
      'a key that begins with an escape',
      { metadata: { annotations: { a: '{"\\":1,"\u002a****":2}' } } },
      '.metadata.annotations.a',
    ],
    ['a text', '*****', ''],
  ])('holds a mask in %s', (_, body, path) => {
    expect(maskWrittenBack(body)).toBe(path);
  });

  it.each([
    ['an object', aPod(1)],
    ['a Secret', aSecret('hunter2')],
    ['stars that are fewer', { spec: { schedule: '*/5 * * * *', path: '**/*.ts' } }],
    ['a file with such bytes', { data: { a: Buffer.from([0xff, 0xfe, 42, 42, 42, 1]).toString('base64') } }],
    ['words like a hash', { spec: { a: 'h:abc', b: 'auth:abcdefghij234567', c: 'h:abcdefghij2345678' } }],
    ['nothing', null],
    ['a deletion by a patch', { data: { password: null } }],
  ])('holds none in %s', (_, body) => {
    expect(maskWrittenBack(body)).toBeUndefined();
  });

  it('counts null where a mask shows it, as far as an object is replaced', () => {
    const plan = planOf(anAccess({ masking: { [KUBERNETES_SECRET]: { null: {} } } }), FIELDS);
    const secrets = plan.object(asked('secrets'));
    expect(maskWrittenBack({ data: { password: null } }, secrets)).toBe('.data.password');
    expect(maskWrittenBack({ immutable: null }, secrets)).toBeUndefined();
    expect(maskWrittenBack({ kind: 'Secret', data: { password: null } }, plan.object(asked('pods')))).toBe('.data.password');
    const env = [
      { name: 'LEVEL', value: null },
      { name: 'DB_PASSWORD', value: null },
    ];
    expect(maskWrittenBack({ spec: { containers: [{ env }] } }, plan.object(asked('pods')))).toBe(
      '.spec.containers[0].env[1].value',
    );
  });

  it('is told for whatever was shown masked, by any strategy', () => {
    for (const strategy of [{ redact: {} }, { partial: { first: 1, last: 2 } }, { hash: {} }, { null: {} }]) {
      const labels = [KUBERNETES_SECRET, 'shop.password', 'shop.token', ...DETECTORS.map((detector) => `found.${detector}`)];
      const masking = Object.fromEntries(labels.map((label) => [label, strategy]));
      const plan = planOf(
        anAccess({ masking, hashKeys: Object.fromEntries(labels.map((label) => [label, KEY])) }, ['email']),
        FIELDS,
      );
      for (const [what, object] of [
        [asked('secrets'), { kind: 'Secret', data: { a: base64('a longer value than most') } }],
        [asked('secrets'), { kind: 'Secret', stringData: { a: 'a longer value than most' } }],
        [asked('configmaps'), { kind: 'ConfigMap', data: { DB_URL: 'postgres://orders' } }],
        [asked('widgets', 'example.com'), { spec: { users: [{ token: 12345 }] } }],
      ] as const) {
        const body: unknown = JSON.parse(shownOf(plan, what, object));
        expect(body).not.toEqual(object);
        expect(maskWrittenBack(body, plan.object(what))).toBeDefined();
      }
    }
  });

  it('is not looked at deeper than it would be judged', () => {
    let body: unknown = 1;
    for (let level = 0; level < 100_000; level++) body = [body];
    expect(maskWrittenBack(body)).toBeDefined();
  });
});
