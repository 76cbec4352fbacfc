import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { POSTGRES_SERVERS, temporaryDirectory } from '@chaperone/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from '../../src/postgres/relay/governed.test-support.ts';
import { compareRuns, masked } from './compare.ts';
import { EXPECTED, expectedOf } from './expected.ts';
import { renderPage, type Results } from './page.ts';
import { CLIENTS, directly, dumpRows, fetchClients, isThere, proxied, runClient } from './runs.ts';
import { POLICY, RESOURCE, SCHEMA } from './schema.ts';

/** Real clients do the same directly and through the proxy. Major 18, or POSTGRES_MAJOR. */
const MAJOR = process.env['POSTGRES_MAJOR'] || '18';
const SERVER = POSTGRES_SERVERS.find(({ major }) => String(major) === MAJOR);
const ROOT = join(import.meta.dirname, '../../..');
const PAGE = join(ROOT, 'docs/reference/postgresql-clients.md');
const GOLDEN = join(import.meta.dirname, 'testdata/results.json');

const golden = (): Results => JSON.parse(readFileSync(GOLDEN, 'utf8')) as Results;
// Nothing to do where `make test` did it before.
fetchClients();
let governed: Governed;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let dump: string;
beforeAll(async () => {
  if (SERVER === undefined) throw new Error(`there is no PostgreSQL ${MAJOR} to test with`);
  governed = await startGoverned({ schema: SCHEMA, resource: RESOURCE, policy: POLICY }, SERVER);
  directory = await temporaryDirectory('chaperone-dump-');
  dump = join(directory.path, 'rows.dump');
  if (isThere('pg_dump')) await dumpRows(governed, dump);
});
afterAll(async () => {
  await governed?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
});

describe(`with PostgreSQL ${MAJOR}`, () => {
  it.for(Object.keys(CLIENTS))(
    '%s does through the proxy what it does without, but for what is written down',
    async (client, { skip }) => {
      skip(!isThere(client), 'this machine cannot build it');
      const [version, ...direct] = await runClient(client, directly(governed, dump));
      const [, ...through] = await runClient(client, proxied(governed, dump));
      const outcomes = compareRuns(direct, through);

      const expected = expectedOf(client, MAJOR);
      const unexpected = [...outcomes].flatMap(([step, outcome]) => {
        const exception = expected.get(step);
        const found = outcome.kind === 'refused' ? outcome.code : outcome.kind;
        const wanted = exception === undefined ? ['equal', 'masked'] : [exception.code ?? 'different'];
        if (wanted.includes(found)) return [];
        const said = [direct, through].map((run) => run.find((each) => each.step === step));
        return [{ step, wanted: wanted.join(' or '), found, direct: said[0], proxied: said[1] }];
      });
      expect(unexpected).toEqual([]);
      expect([...expected.keys()].filter((step) => !outcomes.has(step))).toEqual([]);

      const steps = (wanted: string): string[] =>
        [...outcomes].filter(([, outcome]) => outcome.kind === wanted).map(([step]) => step);
      const result = {
        equal: steps('equal').length,
        refused: steps('refused').length,
        different: steps('different').length,
        masked: steps('masked'),
      };
      if (process.env['UPDATE_GOLDEN'] !== undefined) {
        const { [client]: before, ...others } = golden();
        const majors = { ...before?.majors, [MAJOR]: result };
        const ordered = Object.keys(CLIENTS).flatMap((name) => {
          const entry = name === client ? { version: String(version?.result), majors } : others[name];
          return entry === undefined ? [] : [[name, entry] as const];
        });
        writeFileSync(GOLDEN, `${JSON.stringify(Object.fromEntries(ordered), null, 2)}\n`);
      }
      const { [client]: known } = golden();
      expect([version?.result, result]).toEqual([known?.version, known?.majors[MAJOR]]);
    },
  );
});

const failed = (sqlstate: string, message: string): object => ({ error: { sqlstate, message } });
function kind(direct: object, through: readonly object[]): string | undefined {
  const steps = through.map((each) => ({ step: 'a', ...each }));
  return compareRuns([{ step: 'a', ...direct }], steps).get('a')?.kind;
}

describe('the comparison', () => {
  it('takes a labelled value that is shown for a difference, whatever else is said', () => {
    const shown = { step: 'a', result: [['ada@example.com', 71234, '1815-12-10', 'Ada']] };
    const hidden = { step: 'a', result: [['*****', null, null, 'Ada']] };
    const half = { step: 'a', result: [['*****', 71234, null, 'Ada']] };
    expect([shown, hidden, half].map((through) => compareRuns([shown], [through]).get('a')?.kind)).toEqual([
      'different',
      'masked',
      'different',
    ]);
    expect(masked('1 | ada@example.com | 71234')).toBe('1 | ***** | (null)');
  });

  it('takes another error, another type and a step that is missing for differences', () => {
    expect(kind(failed('22012', 'division by zero'), [failed('22012', 'division by zero')])).toBe('equal');
    expect(kind(failed('22012', 'division by zero'), [failed('22012', 'other')])).toBe('different');
    expect(kind({ result: 1 }, [{ result: '1' }])).toBe('different');
    expect(kind({ result: 1 }, [])).toBe('different');
    expect(kind({ result: 1 }, [failed('0A000', 'chaperone: no such thing (NotAnalysable). Do not retry')])).toBe('refused');
    expect(kind({ result: 1 }, [failed('XX000', 'connection lost')])).toBe('different');
  });
});

it('docs/reference/postgresql-clients.md says what came out', () => {
  const text = renderPage(golden(), EXPECTED);
  if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(PAGE, text);
  expect(readFileSync(PAGE, 'utf8')).toBe(text);
});
