import { describe, expect, it } from 'vitest';
import { FRONTEND, MAX_BIND_BYTES } from '../wire/index.ts';
import { Intake } from './intake.ts';
import type { Judgement } from './judgement.ts';
import { Memory } from '../../session/memory.ts';
import { PreparedStatements } from './prepared-statements.ts';
import type { Prepared } from './steps.ts';

const MIB = 1024 * 1024;

/** A statement whose text repeats a character so many times; of what was decided about it only the size matters here. */
function prepared(count = 0, character = 'x'): Prepared {
  const judgement = { statement: { text: character.repeat(count) }, basis: { tree: undefined } } as Judgement;
  return { name: '', judgement, fields: [], rowDescription: undefined, parameters: [], parameterTypes: [] };
}

describe('the room that sessions share', () => {
  it('is taken up to its limit, and not a byte beyond', () => {
    const memory = new Memory(100);
    expect(memory.take(60)).toBe(true);
    expect(memory.take(41)).toBe(false);
    expect(memory.used).toBe(60);
    expect(memory.take(40)).toBe(true);
    memory.free(60);
    expect(memory.used).toBe(40);
    expect(memory.take(61)).toBe(false);
    expect(memory.take(60)).toBe(true);
  });
});

describe('what is taken from an agent', () => {
  it.each([
    ['a large Bind', FRONTEND.Bind, 63 * MIB, 'whole', 63 * MIB],
    ['the least that reserves', FRONTEND.Bind, MIB + 1, 'whole', MIB + 1],
    ['a Bind below that', FRONTEND.Bind, MIB, 'whole', 0],
    ['a statement', FRONTEND.Query, MIB, 'whole', 0],
    ['a Bind beyond its own limit', FRONTEND.Bind, MAX_BIND_BYTES + 1, 'skip', 0],
    ['CopyData, which is handed on in pieces', FRONTEND.CopyData, 90 * MIB, 'stream', 0],
    ['what is refused', FRONTEND.Close, 2 * MIB, 'refuse', 0],
  ] as const)('of %s', (_, type, length, decision, used) => {
    const memory = new Memory(96 * MIB);
    const intake = new Intake(memory);
    expect(intake.decide(type, length)).toBe(decision);
    expect([memory.used, intake.holds, intake.crowded]).toEqual([used, used > 0, false]);
    intake.release();
    expect([memory.used, intake.holds]).toEqual([0, false]);
  });

  it('is skipped where another session has the room, until that is given back', () => {
    const memory = new Memory(96 * MIB);
    const [first, second] = [new Intake(memory), new Intake(memory)];
    first.decide(FRONTEND.Bind, 63 * MIB);
    expect(second.decide(FRONTEND.Bind, 63 * MIB)).toBe('skip');
    expect(second.crowded).toBe(true);
    second.release();
    expect(memory.used).toBe(63 * MIB);
    expect(second.decide(FRONTEND.Bind, MAX_BIND_BYTES + 1)).toBe('skip');
    expect(second.crowded).toBe(false);
    first.end();
    expect(memory.used).toBe(0);
    expect(second.decide(FRONTEND.Bind, 63 * MIB)).toBe('whole');
  });

  it('takes no room once the session ended', () => {
    const memory = new Memory(96 * MIB);
    const intake = new Intake(memory);
    intake.end();
    expect(intake.decide(FRONTEND.Bind, 2 * MIB)).toBe('skip');
    expect(memory.used).toBe(0);
  });
});

describe('the statements of a session', () => {
  it.each([
    ['deleted', (held: PreparedStatements) => held.delete('a')],
    ['cleared', (held: PreparedStatements) => held.clear()],
    ['lost with the session', (held: PreparedStatements) => held.end()],
    [
      'replaced by what finds no room',
      (held: PreparedStatements) => {
        expect(held.set('a', prepared(10_000))).toBe(false);
        expect(held.has('a')).toBe(false);
      },
    ],
  ])('give their room back when they are %s', (_, lose) => {
    const memory = new Memory(20_000);
    const held = new PreparedStatements(memory);
    expect(held.set('a', prepared(1000))).toBe(true);
    expect(memory.used).toBe(2000 + 4096);
    lose(held);
    expect(memory.used).toBe(0);
  });

  it('take twice as much where a text is not ASCII', () => {
    const memory = new Memory(MIB);
    new PreparedStatements(memory).set('a', prepared(1000, '中'));
    expect(memory.used).toBe(4000 + 4096);
  });

  it('take the room of what they replace', () => {
    const memory = new Memory(2 * 4096);
    const held = new PreparedStatements(memory);
    for (let round = 0; round < 3; round++) expect(held.set('', prepared(2000))).toBe(true);
    expect(memory.used).toBe(4000 + 4096);
    expect([...held.keys()]).toEqual(['']);
  });

  it('free what was taken for them, whatever their judgement has become', () => {
    const memory = new Memory(MIB);
    const held = new PreparedStatements(memory);
    const one = prepared();
    held.set('a', one);
    one.judgement = { ...one.judgement, basis: { ...one.judgement.basis, tree: 'x'.repeat(5000) } };
    held.delete('a');
    expect(memory.used).toBe(0);
  });

  it('are at most 2000, and the unnamed one', () => {
    const held = new PreparedStatements(new Memory(96 * MIB));
    for (let at = 0; at < 2000; at++) expect(held.set(`s${at}`, prepared())).toBe(true);
    expect(held.set('another', prepared())).toBe(false);
    expect(held.set('', prepared())).toBe(true);
    expect(held.set('s7', prepared())).toBe(true);
    held.delete('s7');
    expect(held.set('another', prepared())).toBe(true);
  });

  it('take no room once the session ended', () => {
    const memory = new Memory(MIB);
    const held = new PreparedStatements(memory);
    held.end();
    expect(held.set('a', prepared())).toBe(true);
    expect([memory.used, held.has('a')]).toEqual([0, false]);
  });
});
