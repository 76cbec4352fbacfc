import { partOn, POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NAMES, SHAPES } from './injection.test-support.ts';
import { anAccess, openTestbed, showsSecret, type Testbed } from './testbed.test-support.ts';

const STATEMENTS = NAMES.flatMap((raw) => SHAPES.map((shape) => shape(`"${raw.replaceAll('"', '""')}"`)));

it('there are many names', () => expect(NAMES.length).toBeGreaterThan(60));

describe.each(POSTGRES_SERVERS)('on $server', ({ package: name, major }) => {
  let bed: Testbed;
  beforeAll(async () => {
    bed = await openTestbed({ package: name });
  });
  afterAll(async () => bed[Symbol.asyncDispose]());

  it('no identifier changes the tree that is read', async () => {
    const leaks: string[] = [];
    const unread: string[] = [];
    const statements = partOn(major, STATEMENTS);
    let shown = 0;
    for (const statement of statements) {
      const outcome = await bed.attempt(statement, anAccess());
      if (outcome.kind === 'refused') {
        if (outcome.why.startsWith('no tree')) unread.push(statement);
        continue;
      }
      if (outcome.kind === 'rows' && showsSecret(outcome.raw)) shown++;
      if (showsSecret(outcome.shown)) leaks.push(statement);
    }
    expect(leaks).toEqual([]);
    expect(shown).toBeGreaterThan(statements.length * 0.53);
    // Names so long once escaped that the server cuts them are refused; ordinary ones are not.
    expect(unread.length).toBeGreaterThan(0);
    expect(unread.filter((statement) => !/[ (\\\uFFFD]{20}|\uFFFD|(x ){20}/.test(statement))).toEqual([]);
  });
});
