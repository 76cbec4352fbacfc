import { readFileSync, writeFileSync } from 'node:fs';
import { partOn, POSTGRES_SERVERS } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Attack, attacks, expressions, fits, Speaker, type Way, WAYS } from './attacks.test-support.ts';
import { showsCanary } from '../masking/canary.test-support.ts';
import { startAttacked } from './attacked.test-support.ts';
import type { Governed } from './governed.test-support.ts';
import { RawClient } from './raw-client.test-support.ts';

/** What becomes of each attack: a change is a change of a decision. On all majors it is the same, */
const OUTCOMES = new URL('./testdata/attack-outcomes.txt', import.meta.url);
/** but for what the server itself gives, up to a major. */
const OTHER_ERRORS: Readonly<Record<string, number>> = {
  'errors: an xpath made of the value: error XX000': 17,
  'errors: keys of json that are doubled: error 22023': 15,
  'errors: a character that does not exist: error 54000': 14,
  // It does not print what PREPARE stores.
  'expressions: prepare p as select ssn from app.customers: refused NotAnalysable': 14,
  'prepared: PREPARE and EXECUTE in one message: refused NotAnalysable': 14,
  'prepared: PREPARE and EXECUTE: refused NotAnalysable': 14,
  'prepared: PREPARE of a write: refused NotAnalysable': 14,
  'prepared: PREPARE with a parameter: refused NotAnalysable': 14,
};

/** Of a part of the attacks, where none before it left something in the session. */
const ELSE_BY_STATE = new Set(['parameters: all settings: rows']);

const nameOf = ({ channel, name }: Attack): string => `${channel}: ${name}: `;

describe.each(POSTGRES_SERVERS)('on $server', ({ package: server, major }) => {
  // Every way on the two that differ most; elsewhere those that say an attack in full. All attacks on the newest, a part on each other.
  const ways: readonly Way[] = major === 18 || major === 14 ? WAYS : ['simple', 'extended'];
  let governed: Governed;
  let agent: Speaker;
  let control: Speaker;
  let all: Attack[];
  let corpus: readonly Attack[];
  beforeAll(async () => {
    governed = await startAttacked(server);
    agent = new Speaker(() => RawClient.open(governed.port));
    control = new Speaker(() => RawClient.open(governed.postgres.port, { user: 'agent_role', database: 'control' }));
    all = [...attacks(major), ...expressions(major)];
    const otherwise = all.filter((one) => Object.keys(OTHER_ERRORS).some((outcome) => outcome.startsWith(nameOf(one))));
    corpus = [...new Set([...partOn(major, all), ...otherwise])];
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    await control?.[Symbol.asyncDispose]();
    await governed?.[Symbol.asyncDispose]();
  });

  it.each(ways)('no attack shows a secret in any byte: %s', async (way: Way) => {
    const leaks: string[] = [];
    const outcomes: string[] = [];
    for (const attack of corpus.filter((one) => fits(one, way))) {
      const { leak, outcome } = await agent.attack(attack, way);
      outcomes.push(`${nameOf(attack)}${outcome}`);
      if (leak !== undefined) leaks.push(`${nameOf(attack)}${leak}`);
    }
    expect(leaks).toEqual([]);
    expect(outcomes.filter((outcome) => outcome.endsWith('silence'))).toEqual([]);
    if (way !== 'simple') return;
    if (major !== 18) {
      const decided = new Set(readFileSync(OUTCOMES, 'utf8').split('\n'));
      const words = Object.entries(OTHER_ERRORS).flatMap(([outcome, last]) => (major <= last ? [outcome] : []));
      const free = corpus.length < all.length ? ELSE_BY_STATE : new Set();
      expect(outcomes.filter((outcome) => !decided.has(outcome) && !free.has(outcome)).toSorted()).toEqual(words.toSorted());
      return;
    }
    const text = `${outcomes.join('\n')}\n`;
    if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(OUTCOMES, text);
    expect(text).toBe(readFileSync(OUTCOMES, 'utf8'));
  });

  it('most attacks would show one without Chaperone', async () => {
    let shown = 0;
    for (const attack of corpus) if ((await control.attack(attack, 'simple')).leak !== undefined) shown++;
    expect(all.length).toBeGreaterThan(600);
    expect(shown).toBeGreaterThan(corpus.length * 0.4);
  });

  it('no attack left a secret where it is not labelled', async () => {
    const admin = await governed.direct();
    try {
      const { rows } = await admin.query<{ name: string; columns: string }>(`
        select format('%I.%I', n.nspname, c.relname) as name, string_agg(format('%I::text', a.attname), ', ') as columns
        from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
        where c.relkind = 'r' and n.nspname in ('app', 'public') and a.attnum > 0 and not a.attisdropped
        and not (n.nspname = 'app' and (c.relname, a.attname) in (('customers', 'ssn'), ('customers', 'email'),
          ('customers', 'ssn_tail'), ('base', 'secret'), ('part_eu', 'ssn'), ('kid', 'secret'), ('odd name', 'a.b'), ('big', 'doc'), ('checked', 'u')))
        group by 1`);
      expect(rows.length).toBeGreaterThan(10);
      for (const { name, columns } of rows) {
        const table = await admin.query(`select concat_ws('|', ${columns}) as line from ${name}`);
        expect([name, showsCanary(JSON.stringify(table.rows))]).toEqual([name, false]);
      }
      const stores = await admin.query(
        `select (select count(*) from pg_largeobject) as objects, (select last_value from app.counter) as last`,
      );
      expect(stores.rows).toEqual([{ objects: '0', last: '1' }]);
    } finally {
      await admin.end();
    }
  });
});
