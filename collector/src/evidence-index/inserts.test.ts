import { join } from 'node:path';
import { type ReadSegment, verifySegment } from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { aSession, silent, trust } from '../evidence.fixture.ts';
import { ENGINES } from './engines.test-support.ts';
import { EvidenceIndex } from './evidence-index.ts';
import { openFile } from './open-file.ts';

function segmentsOf(of: Parameters<typeof aSession>[0]): ReadSegment[] {
  const { sealed, key } = aSession(of);
  return sealed.map(({ bytes }) => verifySegment(bytes, trust, key));
}
/** Rows of every driver are objects of another kind. */
const plain = (dump: unknown): unknown => JSON.parse(JSON.stringify(dump));

describe.each(ENGINES)('segments that are put into an index in $engine at once', ({ use }) => {
  const newIndex = use();

  /** An index, and how many transactions it was asked for. */
  async function anIndex() {
    const directory = await temporaryDirectory();
    onTestFinished(() => directory[Symbol.asyncDispose]());
    const engine = (await (await newIndex())()) ?? openFile(join(directory.path, 'index.sqlite'), silent);
    const transaction = engine.transaction.bind(engine);
    let transactions = 0;
    engine.transaction = (work) => {
      transactions++;
      return transaction(work);
    };
    const index = new EvidenceIndex(engine);
    onTestFinished(() => engine.close());
    return { index, asked: () => transactions };
  }

  test('share a transaction, also those of one session in any order, and one that comes twice', async () => {
    const { index, asked } = await anIndex();
    const [one, other] = [segmentsOf({ segments: 5 }), segmentsOf({ segments: 2 })];
    const all = [...one.toReversed(), ...other, ...other];
    await Promise.all(all.map((segment) => index.insert(segment, 7)));
    expect(asked()).toBe(1);
    const apart = await anIndex();
    for (const segment of [...one, ...other]) await apart.index.insert(segment, 7);
    expect(apart.asked()).toBe(7);
    expect(plain(await index.dump())).toEqual(plain(await apart.index.dump()));
  });

  test('say up to where nothing is missing, whatever came before', async () => {
    const { index } = await anIndex();
    const all = segmentsOf({ segments: 6 });
    const add = (...numbers: number[]) =>
      Promise.all(all.filter((_, at) => numbers.includes(at)).map((segment) => index.insert(segment, 7)));
    const high = async () => (await index.session(all[0]?.header.session ?? ''))?.high_water;
    await add(1, 4);
    expect(await high()).toBe(-1);
    await add(0, 5);
    expect(await high()).toBe(1);
    await add(2);
    expect(await high()).toBe(2);
    await add(3);
    expect(await high()).toBe(5);
  });

  test('and of which one cannot be, are there but for that one', async () => {
    const { index } = await anIndex();
    const [first] = segmentsOf({ segments: 1 });
    const others = segmentsOf({ segments: 3 });
    if (first === undefined) throw new Error('there is no segment');
    await index.insert(first, 7);
    const another = { ...first, digest: 'f'.repeat(64) };
    const outcomes = await Promise.allSettled([another, ...others].map((segment) => index.insert(segment, 7)));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'fulfilled']);
    expect(await index.dump()).toMatchObject({ segments: { length: 4 }, sessions: { length: 2 } });
  });
});
