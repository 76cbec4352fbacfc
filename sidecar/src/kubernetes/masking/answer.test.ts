import { processorTime, randomSegments, seededRandom, threeWaySplits, twoWaySplits } from '@chaperone/testing';
import { describe, expect, it } from 'vitest';
import { AnswerMask, type Shape } from './answer.ts';
import { asked, shownOf, through } from './answer.test-support.ts';
import { MAX_DEPTH, MAX_ELEMENT_BYTES } from './limits.ts';
import { FIELDS, aList, anAccess, aPod, aSecret, aSmallPod, planOf } from './objects.test-support.ts';

const plan = planOf(anAccess({}, ['email']), FIELDS);
const PODS = asked('pods');
const json = (value: unknown): string => JSON.stringify(value);
const lines = (...values: readonly unknown[]): string => values.map((value) => `${json(value)}\n`).join('');
const BOOKMARK = {
  type: 'BOOKMARK',
  object: { kind: 'Pod', apiVersion: 'v1', metadata: { resourceVersion: '9007199254740993', creationTimestamp: null } },
};
const GONE = {
  type: 'ERROR',
  object: {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'too old resource version: 1 (2)',
    reason: 'Expired',
    code: 410,
  },
};
const STATUS = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details: { name: 'web', kind: 'pods' } };
const UNSTRUCTURED = {
  apiVersion: 'example.com/v1',
  items: [{ apiVersion: 'example.com/v1', kind: 'Widget', spec: { users: [{ token: 'abc' }] } }],
  kind: 'WidgetList',
  metadata: { resourceVersion: '1' },
};
const WIDGETS = asked('widgets', 'example.com');

const ANSWERS: readonly [name: string, what: ReturnType<typeof asked>, shape: Shape, text: string][] = [
  ['one object', asked('secrets'), 'object', lines(aSecret('hunter2'))],
  ['a list', PODS, 'list', lines(aList('Pod', [aSmallPod('a'), aSmallPod('b')]))],
  [
    'a list of Secrets, with blanks',
    asked('secrets'),
    'list',
    JSON.stringify(aList('Secret', [aSecret('a', true), aSecret('b', true)]), null, 2),
  ],
  ['a list whose kind stands behind its items', WIDGETS, 'list', json(UNSTRUCTURED)],
  ['an empty list', PODS, 'list', lines(aList('Pod', []))],
  ['a list without items', PODS, 'list', '{"kind":"PodList","items":null}'],
  ['a Status in place of a list', PODS, 'list', lines(STATUS)],
  [
    'a table',
    PODS,
    'list',
    lines({
      kind: 'Table',
      columnDefinitions: [{ name: 'Name', description: 'a [b] "c" {' }],
      rows: [{ cells: ['a', 'm@example.com'], object: aSmallPod('a') }],
    }),
  ],
  ['a watch', PODS, 'watch', lines({ type: 'ADDED', object: aSmallPod('a') }, BOOKMARK, GONE)],
  ['a watch without newlines', PODS, 'watch', json({ type: 'ADDED', object: aSmallPod('a') }) + json(BOOKMARK)],
  ['a watch of nothing', PODS, 'watch', ''],
];

const nested = (levels: number): string => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels);

describe('an answer', () => {
  it.each(ANSWERS)('is the same however it is cut: %s', (name, what, shape, text) => {
    const bytes = Buffer.from(text);
    const whole = through(plan, what, shape, [bytes]);
    expect(whole.includes('hunter2')).toBe(false);
    for (const parts of twoWaySplits(bytes)) expect(through(plan, what, shape, parts).equals(whole)).toBe(true);
    for (const parts of threeWaySplits(bytes, 24)) expect(through(plan, what, shape, parts).equals(whole)).toBe(true);
    const random = seededRandom(name.length);
    expect(through(plan, what, shape, randomSegments(bytes, random, 7)).equals(whole)).toBe(true);
    expect(
      through(
        plan,
        what,
        shape,
        [...bytes].map((byte) => Buffer.of(byte)),
      ).equals(whole),
    ).toBe(true);
  });

  it('with nothing to hide passes with its very bytes', () => {
    const none = planOf(anAccess({ reveal: ['kubernetes.secret'] }));
    for (const [, what, shape, text] of ANSWERS) expect(shownOf(none, what, text, shape)).toBe(text);
    expect(shownOf(plan, PODS, lines(BOOKMARK, GONE), 'watch')).toBe(lines(BOOKMARK, GONE));
    const chunk = Buffer.from('{"kind":"PodList","metadata":{"continue":"abc","remainingItemCount":17},"items":[');
    expect(new AnswerMask(plan, PODS, 'list').push(chunk).equals(chunk)).toBe(true);
  });

  it('shows an item, a row or an event as soon as it is complete', () => {
    for (const [shape, head, element] of [
      ['list', '{"kind":"PodList","items":[', '{"metadata":{"name":"a"}}'],
      ['list', '{"kind":"Table","rows":[', '{"cells":["a"]}'],
      ['watch', '', '{"type":"ADDED","object":{"kind":"Pod"}}'],
    ] as const) {
      const mask = new AnswerMask(plan, PODS, shape);
      expect(mask.push(Buffer.from(head + element.slice(0, -1))).toString()).toBe(head);
      expect(mask.push(Buffer.from('}')).toString()).toBe(element);
      expect(mask.held).toBe(0);
    }
  });

  it('passes as deep as the limit', () => {
    expect(shownOf(plan, PODS, nested(MAX_DEPTH))).toBe(nested(MAX_DEPTH));
  });

  it('holds JSON in texts as deep, in as many levels as are looked through', () => {
    let text = nested(MAX_DEPTH - 4);
    for (let level = 0; level < 4; level++) {
      const around = '{"a":'.repeat(MAX_DEPTH - 6);
      text = `${around}{"annotations":{"a":${json(text)}}}${'}'.repeat(MAX_DEPTH - 6)}`;
    }
    expect(shownOf(plan, PODS, text)).toContain('*****');
  });

  it.each<[code: string, what: string, shape: Shape, text: string]>([
    ['AnswerNotJson', 'text', 'list', 'the server is busy'],
    ['AnswerNotJson', 'two bodies', 'object', '{"kind":"Pod"}{"kind":"Pod"}'],
    ['AnswerNotJson', 'something behind a list', 'list', '{"kind":"PodList","items":[]}x'],
    ['AnswerNotJson', 'something behind an object in place of a list', 'list', '{"kind":"Status"} {"items":[]}'],
    ['AnswerNotJson', 'an item that is a text', 'list', '{"kind":"PodList","items":["a"]}'],
    ['AnswerNotJson', 'an item without a comma', 'list', '{"kind":"PodList","items":[{}{}]}'],
    ['AnswerNotJson', 'an item with two', 'list', '{"kind":"PodList","items":[{},,{}]}'],
    ['AnswerNotJson', 'a comma before the end', 'list', '{"kind":"PodList","items":[{},]}'],
    ['AnswerNotJson', 'a comma in an object', 'object', '{"kind":"Pod",}'],
    ['AnswerNotJson', 'brackets that do not match', 'object', '{"kind":[}]'],
    ['AnswerNotJson', 'a comment', 'object', '{"a":/* */1}'],
    ['AnswerNotJson', 'a key without quotes', 'object', '{a:1}'],
    ['AnswerNotJson', 'a number with a leading zero', 'object', '{"a":01}'],
    ['AnswerNotJson', 'half a number', 'object', '{"a":1.}'],
    ['AnswerNotJson', 'half an exponent', 'object', '{"a":1e}'],
    ['AnswerNotJson', 'a word', 'object', '{"a":NaN}'],
    ['AnswerNotJson', 'an escape of its own', 'object', '{"a":"\\x41"}'],
    ['AnswerNotJson', 'an escape that is cut', 'object', '{"a":"\\u00e"}'],
    ['AnswerNotJson', 'a line break in a text', 'object', '{"a":"b\nc"}'],
    ['AnswerNotJson', 'an event that is a number', 'watch', '1'],
    ['AnswerNotJson', 'a list of events', 'watch', '[{"type":"ADDED"}]'],
    ['AnswerTooDeep', 'more levels than the limit', 'object', nested(MAX_DEPTH + 1)],
    ['AnswerTooDeep', 'more levels in an item', 'list', `{"kind":"PodList","items":[${nested(MAX_DEPTH + 1)}]}`],
    ['AnswerTooLarge', 'an object larger than the limit', 'object', `{"a":"${'b'.repeat(MAX_ELEMENT_BYTES)}"}`],
    ['AnswerTooLarge', 'an item that never ends', 'list', `{"kind":"PodList","items":[{"a":"${'b'.repeat(MAX_ELEMENT_BYTES)}`],
    ['AnswerTooLarge', 'a bomb of brackets', 'watch', '{"a":'.repeat(MAX_ELEMENT_BYTES / 4)],
    [
      'AnswerTooLarge',
      'what stands behind the items',
      'list',
      `{"kind":"PodList","items":[],"a":"${'b'.repeat(MAX_ELEMENT_BYTES)}`,
    ],
    ['AnswerCutOff', 'nothing', 'object', ''],
    ['AnswerCutOff', 'half an object', 'object', '{"kind":"Pod"'],
    ['AnswerCutOff', 'a list without its end', 'list', '{"kind":"PodList","items":[{}'],
    ['AnswerCutOff', 'a list with half its end', 'list', '{"kind":"PodList","items":[{}]'],
    ['AnswerCutOff', 'half a list', 'list', '{"kind":"PodList","items":['],
    ['AnswerCutOff', 'half an event', 'watch', '{"type":"ADDED","object":{}}{"type":'],
    [
      'AnswerUnjudged',
      'items of no kind in a list that has not said its own',
      'list',
      '{"items":[{"data":{"a":"YQ=="}}],"kind":"SecretList"}',
    ],
    ['AnswerUnjudged', 'a list that says too late to hold Secrets', 'list', '{"items":[{"kind":"Pod"}],"kind":"SecretList"}'],
  ])('ends with %s: %s', (code, _, shape, text) => {
    const mask = new AnswerMask(plan, PODS, shape);
    const failing = expect.objectContaining({ code });
    const end = (): unknown => [mask.push(Buffer.from(text)), mask.end()];
    expect(end).toThrow(failing);
    // And shows nothing from then on.
    expect(end).toThrow(failing);
  });

  it('ends where it is no UTF-8', () => {
    const mask = new AnswerMask(plan, PODS, 'watch');
    expect(() => mask.push(Buffer.from('{"a":"\xff\xfe"}', 'latin1'))).toThrow(
      expect.objectContaining({ code: 'AnswerNotJson' }),
    );
  });

  it('of 100 MB holds little more than one item', () => {
    const item = Buffer.from(`,${json({ ...aPod(7), log: 'a plain text '.repeat(2000) })}`);
    const head = Buffer.from(`{"kind":"PodList","items":[${json(aPod(1))}`);
    const block = Buffer.concat(Array.from({ length: 40 }, () => item));
    const mask = new AnswerMask(planOf(anAccess(), FIELDS), PODS, 'list');
    let bytes = mask.push(head).length;
    let most = 0;
    const before = process.memoryUsage().arrayBuffers;
    while (bytes < 100e6)
      for (let at = 0; at < block.length; at += 100_000) {
        bytes += mask.push(block.subarray(at, at + 100_000)).length;
        most = Math.max(most, mask.held);
      }
    bytes += mask.push(Buffer.from(']}')).length + mask.end().length;
    expect(most).toBeLessThan(64 * 1024);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200e6);
  });

  it('that drips takes no more time than its bytes', () => {
    const mask = new AnswerMask(plan, PODS, 'watch');
    const bytes = Buffer.from(`{"type":"ADDED","object":{"a":"${'b'.repeat(400_000)}"}}`);
    const took = processorTime();
    let shown = 0;
    for (let at = 0; at < bytes.length; at++) shown += mask.push(bytes.subarray(at, at + 1)).length;
    expect(shown).toBe(bytes.length);
    expect(took()).toBeLessThan(10_000);
  });
});
