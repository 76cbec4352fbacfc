import { partOn, POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anAccess, openTestbed, showsSecret, statementsOf, type Testbed } from './testbed.test-support.ts';

describe.each(POSTGRES_SERVERS)('on $server', ({ package: name }) => {
  let bed: Testbed;
  beforeAll(async () => {
    bed = await openTestbed({ package: name });
  });
  afterAll(async () => bed[Symbol.asyncDispose]());

  it('shows no secret, whatever the statement does with it', async () => {
    const statements = partOn(bed.major, statementsOf('exfiltration.sql', bed.major));
    const leaks: string[] = [];
    const counts = { rows: 0, error: 0, refused: 0, secretInRaw: 0 };
    for (const statement of statements) {
      const outcome = await bed.attempt(statement, anAccess());
      counts[outcome.kind]++;
      if (outcome.kind === 'refused') continue;
      if (showsSecret(outcome.raw)) counts.secretInRaw++;
      if (showsSecret(outcome.shown)) leaks.push(`${statement} → ${outcome.shown}`);
    }
    expect(leaks).toEqual([]);
    expect(statementsOf('exfiltration.sql', bed.major).length).toBeGreaterThan(180);
    // The corpus must really show secrets to a client without masks, or the line above says nothing.
    expect(counts.secretInRaw).toBeGreaterThan(statements.length * 0.5);
    // Masking, not refusing, is what answers most of it.
    expect(counts.rows).toBeGreaterThan(statements.length * 0.5);
  });

  it('shows no secret in binary format', async () => {
    const leaks: string[] = [];
    const statements = partOn(bed.major, statementsOf('exfiltration.sql', bed.major));
    let raw = 0;
    for (const statement of statements) {
      const outcome = await bed.attempt(statement, anAccess(), { binary: true });
      if (outcome.kind === 'refused') continue;
      if (showsSecret(outcome.raw)) raw++;
      if (showsSecret(outcome.shown)) leaks.push(statement);
    }
    expect(leaks).toEqual([]);
    expect(raw).toBeGreaterThan(statements.length * 0.4);
  });

  it('neither refuses nor masks what has nothing to do with labels', async () => {
    const wrong: string[] = [];
    for (const statement of statementsOf('harmless.sql', bed.major)) {
      const outcome = await bed.attempt(statement, anAccess({ inference: 'limit' }));
      if (outcome.kind !== 'rows')
        wrong.push(`${statement} → ${outcome.kind} ${outcome.kind === 'refused' ? outcome.why : outcome.raw}`);
      else if (outcome.masked > 0) wrong.push(`${statement} → ${outcome.masked} masked`);
    }
    expect(wrong).toEqual([]);
  });
});
