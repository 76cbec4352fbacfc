import { join } from 'node:path';
import { temporaryDirectory } from '@chaperone/testing';
import { beforeAll, expect, test } from 'vitest';
import { type Ended, QUICKSTART, run, Up } from '../program.test-support.ts';
import { recordInto } from '../recorded.test-support.ts';

/** What a terminal would obey, and what nobody would see. */
const HOSTILE = 'case \u001b]0;x\u0007\u202e 23\r\n=1+1';
let data: string;
let [one, two] = ['', ''];

/** Two sessions, and a `chaperone up` that has them. */
beforeAll(async () => {
  const directory = await temporaryDirectory();
  data = join(directory.path, 'data');
  one = await recordInto(data);
  two = await recordInto(data);
  const up = await Up.start(QUICKSTART, data);
  return async () => {
    await up[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  };
});

const ask = (...args: readonly string[]): Promise<Ended> => run([...args, '--data', data]);
/** Several at once: each is a process of its own. */
const all = (...lines: readonly (readonly string[])[]): Promise<Ended[]> => Promise.all(lines.map((line) => ask(...line)));
const because = ['--reason', 'request 4711'];

test('a hold keeps a session from being erased until it is released, and each order is an entry of the log', async () => {
  const held = await ask('hold', 'add', one, '--reason', HOSTILE);
  expect(held).toMatchObject({ code: 0, err: '' });
  expect(held.out).toMatch(/^session\/s-\w{16} is on hold: it is not erased, by anybody and by time \(entry \d+ of the log\)\n$/);
  const refused = await all(['erase', one, ...because], ['hold', 'add', one, ...because], ['hold', 'release', two, ...because]);
  expect(refused.map(({ code, out }) => [code, out])).toEqual([6, 6, 6].map((code) => [code, '']));
  expect(refused.map(({ err }) => err.split('\n')[0])).toEqual([
    `error: ${one} is on hold and must not be erased (OrderRefused)`,
    `error: ${one} is on hold already (OrderRefused)`,
    `error: ${two} is not on hold (OrderRefused)`,
  ]);
  const [shown, json] = await all(['sessions', 'show', one], ['sessions', 'show', one, '-o', 'json']);
  expect(shown?.out).toContain('case \\u{1b}]0;x\\u{7}\\u{202e} 23\\r\\n=1+1');
  expect(JSON.parse(json?.out ?? '')).toMatchObject({ onHold: true, orders: [{ kind: 'hold', by: 'local', reason: HOSTILE }] });
  const released = await ask('hold', 'release', one, '-o', 'json', ...because);
  expect(JSON.parse(released.out)).toMatchObject({ session: one, kind: 'release', by: 'local', reason: 'request 4711' });
});

test('an erased session is nobody’s to read, and says who wanted it and why', async () => {
  const erased = await ask('erase', two, '-o', 'json', '--reason', HOSTILE);
  expect(erased).toMatchObject({ code: 0, err: '' });
  const { entry } = JSON.parse(erased.out) as { entry: number };
  const [replay, again, shown] = await all(
    ['sessions', 'replay', two],
    ['erase', two, ...because],
    ['sessions', 'show', two, '-o', 'json'],
  );
  expect([replay?.code, replay?.err.includes('(EvidenceErased)'), replay?.out]).toEqual([3, true, '']);
  expect([again?.code, again?.err.includes('was erased before (OrderRefused)')]).toEqual([6, true]);
  expect(JSON.parse(shown?.out ?? '')).toMatchObject({ erased: true, orders: [{ kind: 'erasure', entry, reason: HOSTILE }] });
});

test.each<[string, readonly string[], number, string]>([
  ['no session', ['erase', 's-aaaaaaaaaaaaaaaa', ...because], 5, 'NotFound'],
  ['a name that fits several', ['erase', 's-', ...because], 2, 'Usage'],
  ['a reason of blanks', ['hold', 'add', 's-7hq2', '--reason', ' \n '], 2, 'Usage'],
])('%s is no order', async (_, args, code, word) => {
  const ended = await ask(...args);
  expect([ended.code, ended.out, ended.err.includes(`(${word})`)]).toEqual([code, '', true]);
});
