import { array, assert, asyncProperty, constant, constantFrom, oneof, tuple } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Governed, startGoverned } from './governed.test-support.ts';
import { type Heard, RawClient, say } from './raw-client.test-support.ts';

const CANARY = 'canary-4402';
const SCHEMA = `
create table people (id int primary key, name text not null, ssn text not null);
insert into people select g, 'name ' || g, '${CANARY}' from generate_series(1, 5) g;
create table log (n int primary key deferrable initially deferred);
grant select on people to agent_role;
grant select, insert, delete on log to agent_role;
create role raw_role login;
grant select on people to raw_role;
grant select, insert, delete on log to raw_role;`;
const POLICY = {
  rules: [
    {
      name: 'all',
      effect: 'Allow',
      resource: { namespace: 'data', name: 'orders-db' },
      sql: { statements: ['select', 'insert', 'delete'], relations: ['public.people', 'public.log'] },
    },
  ],
};
const LABELLED = { sensitive: [{ label: 'pii.ssn', columns: ['public.people.ssn'] }] };
const TIMEOUT_MS = 120_000;
/** Conversations of one property. */
const RUNS = 60;

const { parse, bind, describe: described, execute, close, sync, query } = say;
const TEXTS = [
  'select name from people order by id',
  'select id, ssn from people',
  'select 1 / (id - 2) as n from people order by id',
  'insert into log values (1)',
  'insert into log values (1), (1)',
  'begin',
  'commit',
  'rollback',
  'savepoint s',
  'rollback to s',
  'select nothing from people',
  'delete from log',
  '',
];
const names = constantFrom('', '', 'a', 'b');
const texts = constantFrom(...TEXTS);

/** One message of an agent; `toString` is what a failing run prints. */
interface Message {
  readonly bytes: Buffer;
  readonly toString: () => string;
}
const message = (label: string, bytes: Buffer): Message => ({ bytes, toString: () => label });

const messages = oneof(
  { weight: 4, arbitrary: tuple(texts, names).map(([text, name]) => message(`P(${name}: ${text})`, parse(text, name))) },
  { weight: 4, arbitrary: tuple(names, names).map(([name, portal]) => message(`B(${name} → ${portal})`, bind(name, portal))) },
  {
    weight: 4,
    arbitrary: tuple(names, constantFrom(0, 0, 1, 3)).map(([portal, rows]) =>
      message(`E(${portal}, ${rows})`, execute(portal, rows)),
    ),
  },
  {
    weight: 2,
    arbitrary: tuple(constantFrom('statement' as const, 'portal' as const), names).map(([kind, name]) =>
      message(`D(${kind} ${name})`, described(kind, name)),
    ),
  },
  {
    weight: 1,
    arbitrary: tuple(constantFrom('statement' as const, 'portal' as const), names).map(([kind, name]) =>
      message(`C(${kind} ${name})`, close(kind, name)),
    ),
  },
  { weight: 1, arbitrary: constant(message('H', say.flush())) },
  { weight: 3, arbitrary: constant(message('S', sync())) },
  { weight: 2, arbitrary: texts.map((text) => message(`Q(${text})`, query(text))) },
  {
    weight: 1,
    arbitrary: tuple(texts, texts, texts).map((three) => message(`Q(${three.join('; ')})`, query(three.join('; ')))),
  },
);
/** What is sent, cut into writes of one or more messages. */
const conversations = array(array(messages, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 5 });

const LAST_WORD = 'that was all';
const END = ['rollback', 'delete from log', `select '${LAST_WORD}' as said`].map((text) => [query(text)]);

async function converse(client: RawClient, groups: readonly (readonly Message[])[]): Promise<Heard[]> {
  const all = [...groups.map((group) => group.map(({ bytes }) => bytes)), [sync()], ...END];
  for (const group of all) {
    client.send(...group);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return client.until((heard) => heard.at(-1)?.[0] === 'Z' && heard.some(([type, value]) => type === 'D' && value === LAST_WORD));
}

/** In an aborted transaction the server names the transaction or the portal as what is missing; we name the portal. */
const NO_PORTAL: ReadonlySet<string> = new Set(['25P02', '34000', '55000']);

/** Without the texts of errors, which are filtered, and without notices. */
function comparable(heard: readonly Heard[]): Heard[] {
  return heard
    .filter(([type]) => type !== 'N')
    .map((each): Heard => (each[0] === 'E' ? ['E', NO_PORTAL.has(each[1] ?? '') ? 'no portal' : (each[1] ?? '')] : each));
}

/**
 * Of a utility statement that failed in a transaction the server keeps the unnamed portal, which it describes as one without rows and
 * never runs; we have forgotten it, and say so where the server says NoData. What comes up to Sync has no effect in both.
 */
function withoutFailedPortals(heard: readonly Heard[], expected: readonly Heard[]): (readonly Heard[])[] {
  const at = heard.findIndex(([type, code], index) => code === 'no portal' && type === 'E' && expected[index]?.[0] === 'n');
  if (at === -1) return [heard, expected];
  const upToSync = (of: readonly Heard[]): number => of.slice(at).findIndex(([type]) => type === 'Z');
  return [heard.toSpliced(at, upToSync(heard)), expected.toSpliced(at, upToSync(expected))];
}

let plain: Governed;
let labelled: Governed;
beforeAll(async () => {
  [plain, labelled] = await Promise.all([
    startGoverned(
      { schema: SCHEMA, policy: POLICY },
      { hba: ['host orders raw_role 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256'] },
    ),
    startGoverned({ schema: SCHEMA, policy: POLICY, resource: LABELLED }),
  ]);
});
afterAll(async () => {
  await plain?.[Symbol.asyncDispose]();
  await labelled?.[Symbol.asyncDispose]();
});

describe('any order of messages', () => {
  it('is answered as the server itself answers it', { timeout: TIMEOUT_MS }, async () => {
    const leftBehind = 'begin; rollback to s; select name from people order by id';
    const known = [[message('Q', query(leftBehind)), message('D', described('portal', '')), message('E', execute('', 0))]];
    await assert(
      asyncProperty(conversations, async (groups) => {
        await using direct = await RawClient.open(plain.postgres.port, { user: 'raw_role' });
        await using agent = await RawClient.open(plain.port);
        const expected = await converse(direct, groups);
        const heard = await converse(agent, groups);
        const [ours, theirs] = withoutFailedPortals(comparable(heard), comparable(expected));
        expect(ours).toEqual(theirs);
      }),
      { numRuns: RUNS, examples: [[known]] },
    );
  });

  it('never shows a masked value', { timeout: TIMEOUT_MS }, async () => {
    await assert(
      asyncProperty(conversations, async (groups) => {
        await using agent = await RawClient.open(labelled.port);
        await converse(agent, groups);
        expect(agent.text).not.toContain(CANARY);
      }),
      { numRuns: RUNS },
    );
  });
});
