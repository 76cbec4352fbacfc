import type { PolicyRule } from '@chaperone/api';
import { plain, type Words } from '@chaperone/api/requests';
import { describe, expect, test } from 'vitest';
import { approvalLines, callerWords, limitLines, maskWords, recordingLines, ruleWords, selectsWords } from './rule-words.ts';

const RULE: PolicyRule = { name: 'r', effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' } };
const aRule = (mods: Partial<PolicyRule>): PolicyRule => ({ ...RULE, ...mods });
const foreign = (words: Words): string[] => words.flatMap((word) => (typeof word === 'string' ? [] : [word.foreign]));

describe('a rule reads as', () => {
  test.each<[Partial<PolicyRule>, string]>([
    [{ sql: { statements: ['select'], relations: ['public.tickets'] } }, 'Allows SELECT on public.tickets of '],
    [
      { sql: { statements: ['select', 'update'], relations: ['public.tickets', 'public.*'] } },
      'Allows SELECT, UPDATE on public.tickets, public.* of ',
    ],
    [{ sql: { statements: ['*'], relations: ['**'] } }, 'Allows every statement on every relation of '],
    [{}, 'Allows everything on '],
    [{ effect: 'Deny' }, 'Denies everything on '],
    [{ effect: 'Deny', sql: { statements: ['drop', 'grant'] } }, 'Denies DROP, GRANT on anything of '],
    [{ effect: 'Deny', sql: { relations: ['public.pay'] } }, 'Denies every statement on public.pay of '],
    [{ effect: 'Deny', sql: { statements: ['*'] } }, 'Denies everything on '],
    [
      { effect: 'RequireApproval', sql: { statements: ['update'], relations: ['public.orders'] } },
      'Asks before UPDATE on public.orders of ',
    ],
    [
      { sql: { statements: ['select'], columns: ['public.t.a', 'public.t.b'] } },
      'Allows SELECT on columns public.t.a, public.t.b of ',
    ],
    [
      { sql: { statements: ['select'], relations: ['public.t'], columns: ['public.t.a'] } },
      'Allows SELECT on columns public.t.a within public.t of ',
    ],
    [{ sql: { statements: ['select'], columns: ['**'] } }, 'Allows SELECT on every column of '],
    [{ sql: { statements: ['execute'], functions: ['public.bonus'] } }, 'Allows EXECUTE on functions public.bonus of '],
    [
      { sql: { statements: ['select', 'execute'], relations: ['**'], functions: ['**'] } },
      'Allows SELECT, EXECUTE on every relation and every function of ',
    ],
    [{ ssh: { commands: ['ls **', 'tail /var/log/*'] } }, 'Allows commands ls **, tail /var/log/* on '],
    [
      { effect: 'Deny', ssh: { files: { paths: ['/srv/app/secrets/**'] } } },
      'Denies everything with files /srv/app/secrets/** on ',
    ],
    [
      { ssh: { files: { operations: ['read', 'list'], paths: ['/srv/**'] }, subsystems: ['netconf'], forward: ['db:5432'] } },
      'Allows READ, LIST files /srv/** and subsystems netconf and connections to db:5432 on ',
    ],
    [{ effect: 'RequireApproval', ssh: { shell: true } }, 'Asks before shells and terminals on '],
    [
      { kubernetes: { verbs: ['get', 'list'], resources: ['pods', 'pods/log'], namespaces: ['shop'], names: ['web-*'] } },
      'Allows GET, LIST of pods, pods/log in namespaces shop named web-* on ',
    ],
    [
      {
        kubernetes: {
          verbs: ['exec'],
          resources: ['pods/exec'],
          commands: ['ls **'],
          files: { operations: ['read'], paths: ['/srv/**'] },
        },
      },
      'Allows EXEC of pods/exec, with commands ls ** and READ files /srv/** on ',
    ],
    [
      { kubernetes: { verbs: ['portforward'], resources: ['pods/portforward'], ports: [8080, 9090] } },
      'Allows PORTFORWARD of pods/portforward, with ports 8080, 9090 on ',
    ],
    [{ effect: 'Deny', kubernetes: { resources: ['secrets'] } }, 'Denies every verb of secrets on '],
    [{ kubernetes: { nonResourcePaths: ['/version'] } }, 'Allows paths /version on '],
  ])('%j: %s', (mods, said) => {
    expect(plain(ruleWords(aRule(mods)))).toBe(said);
  });

  test('names that somebody else chose are told apart from our words', () => {
    const rule = aRule({ sql: { statements: ['select', 'run it' as 'select'], relations: ['public.a, everything'] } });
    expect(foreign(ruleWords(rule))).toEqual(['run it', 'public.a, everything']);
  });

  test('about callers only where it says so', () => {
    expect(callerWords(RULE)).toEqual([]);
    const rule = aRule({ onBehalfOf: { users: ['mira@corp'], groups: ['support'] } });
    expect(plain(callerWords(rule))).toBe(', for callers by their token: group support or user mira@corp');
  });
});

type Approval = NonNullable<PolicyRule['approval']>;
const approval = (mods: Partial<Approval> = {}): Approval => ({
  approvers: { groups: ['dba'] },
  minimum: 1,
  timeout: '5m',
  mode: 'hold',
  reason: 'optional',
  ...mods,
});

describe('an approval reads as', () => {
  const held = 'waits 5m at most, no longer than 60s within a transaction; the connection is held';
  test.each<[string, Partial<Approval>, readonly string[]]>([
    ['one of a group', {}, ['needs 1 of group dba', held]],
    [
      'two, of several',
      { minimum: 2, approvers: { groups: ['dba', 'sre'], users: ['jane@corp'] } },
      ['needs 2 of groups dba, sre or user jane@corp', held],
    ],
    ['also one of each', { all: ['sec', 'legal'] }, ['needs 1 of group dba, and one of each of sec, legal', held]],
    ['one of each alone', { approvers: {}, all: ['sec'] }, ['needs one of each of sec', held]],
    ['more than one of each', { approvers: {}, all: ['sec'], minimum: 3 }, ['needs 3 people, one of each of sec', held]],
    ['signed', { assurance: 'signed' }, ['needs 1 of group dba, signed', held]],
    ['by passkey', { assurance: 'passkey' }, ['needs 1 of group dba, signed by passkey', held]],
    [
      'times and mode of its own',
      { timeout: '1h', transactionTimeout: '10s', mode: 'retry' },
      ['needs 1 of group dba', 'waits 1h at most, 10s within a transaction; the agent is told at once, and repeats it'],
    ],
    [
      'all else that it may say',
      { escalation: { after: '2m', approvers: { groups: ['leads'] } }, reason: 'required', maxGrant: '30m' },
      [
        'needs 1 of group dba',
        held,
        'after 2m also group leads',
        'a decision needs a reason',
        'may be approved for up to 30m: the same again, with other values',
      ],
    ],
    ['a denial, where it names nobody', { approvers: {} }, ['names nobody who may approve, so it denies']],
  ])('%s', (_, mods, lines) => {
    expect(approvalLines(aRule({ effect: 'RequireApproval', approval: approval(mods) })).map(plain)).toEqual(lines);
  });

  test('a denial, where there is none', () => {
    expect(approvalLines(aRule({ effect: 'RequireApproval' })).map(plain)).toEqual([
      'names nobody who may approve, so it denies',
    ]);
    expect(approvalLines(RULE)).toEqual([]);
  });
});

test.each([
  [{ podSelector: {} }, 'every pod'],
  [{ podSelector: { matchLabels: { app: 'bot', tier: 'web' } } }, 'app=bot, tier=web'],
  [{ serviceAccounts: ['bot'] }, 'every pod as ServiceAccount bot'],
  [{ podSelector: { matchLabels: { app: 'bot' } }, serviceAccounts: ['a', 'b'] }, 'app=bot, as ServiceAccounts a, b'],
])('a policy that selects %j speaks of %s', (agents, said) => {
  expect(plain(selectsWords(agents))).toBe(said);
});

test('a line of a list names few of them, and counts the others', () => {
  const agents = { podSelector: { matchLabels: { a: '1', b: '2', c: '3' } }, serviceAccounts: ['x', 'y', 'z'] };
  expect(plain(selectsWords(agents, 2))).toBe('a=1, b=2 + 1 more, as ServiceAccounts x, y + 1 more');
});

test.each([
  [{ redact: {} }, 'replaced whole'],
  [{ null: {} }, 'as NULL'],
  [{ hash: {} }, 'as a hash: equal values look equal'],
  [{ partial: { last: 4 } }, 'but for the last 4 characters'],
  [{ partial: { first: 2, last: 4 } }, 'but for the first 2 and the last 4 characters'],
])('what is masked by %j is shown %s', (strategy, said) => {
  expect(maskWords(strategy)).toBe(said);
});

test('limits are said one by one, and none where there is none', () => {
  expect(limitLines()).toEqual([]);
  expect(limitLines({ rowsPerStatement: 10_000, bytes: '100Mi', idle: '10m', connections: 20 })).toEqual([
    '10,000 rows per statement',
    '100Mi bytes per session, both ways',
    '10m of silence',
    '20 sessions at once, of one pod on one resource',
  ]);
});

test('recording says what holds by default, and nothing of results where none is kept', () => {
  expect(recordingLines()).toEqual([
    'an action runs once its record is on disk',
    'commands and masked results are kept',
    'of a result 1,000 rows and 1Mi bytes at most',
  ]);
  expect(recordingLines({ mode: 'strict', content: 'metadata', retention: 'long' })).toEqual([
    'an action runs once its record is at the broker',
    'no command and no result is kept',
    'retention class long',
  ]);
  expect(recordingLines({ fileBytes: '64Ki', keys: 'typed' }).slice(3)).toEqual([
    'of a file that goes by ssh 64Ki bytes at most',
    'what is typed into a terminal is kept, passwords too',
  ]);
});
