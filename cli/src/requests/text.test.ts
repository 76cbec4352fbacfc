import type { AccessRequest, CountedDecision, RequestSpec, RequestStatus } from '@chaperone/api';
import { typedObject } from '@chaperone/api/requests';
import { describe, expect, test } from 'vitest';
import { demandDigest } from '../commands/decide.ts';
import type { CliError } from '../errors.ts';
import { aRequest } from './api-server.test-support.ts';
import { demandName, type Person } from './desk.ts';
import { outcomeOf, signatureNeeded } from './outcome.ts';
import { effectCell, left, notAsked, overText, promptLines, takesPlainWord, wholeLines } from './text.ts';

const NAME = 'ar-7f3kq2mzt4hcnw5e';
const NOW = Date.parse('2026-01-01T12:04:07Z');
const EXPIRES = '2026-01-01T12:08:19Z';
const jane: Person = { user: 'jane@corp', groups: ['dba', 'system:authenticated'] };

function aHeld(spec: Partial<RequestSpec> = {}, status: RequestStatus = {}): AccessRequest {
  const request = aRequest(NAME, { expiresAt: EXPIRES, ...spec });
  return { ...request, status: { ...request.status, ...status } };
}
const [rule] = aHeld().spec.rules;
if (rule === undefined) throw new Error('a request has a rule');
const answered = (mods: Partial<CountedDecision> = {}): CountedDecision => ({
  name: 'own',
  decision: 'Approve',
  by: 'jane@corp',
  at: '2026-01-01T12:02:07Z',
  counted: true,
  ...mods,
});
const executed = [
  { type: 'Executed', status: 'True' as const, reason: 'Ran', message: 'it ran', lastTransitionTime: '2026-01-01T12:04:07Z' },
];

test('what is to run is shown beside the prompt in few lines', () => {
  const onBehalfOf = { issuer: 'https://id.corp', user: 'mira@corp' };
  const agent = { ...aHeld().spec.agent, onBehalfOf };
  const content = { columns: ['id', 'status'], rows: [['4411', null]] };
  expect(promptLines(aHeld({ agent, transaction: true }, { asked: 3 }), { person: jane, content }, NOW)).toEqual([
    'Agent     agents/support-agent-6d9 · purpose "answer support tickets" · on behalf of mira@corp (verified by https://id.corp)      expires in 4m12s',
    'Runs      UPDATE public.tickets SET status = $1 WHERE id = $2        on data/orders-db',
    "          $1 = 'closed' · $2 = 4411",
    'Effect    update public.tickets · 1 row matched when it was asked for · part of an open transaction, whose locks are held meanwhile',
    '          id    status',
    '          4411  NULL',
    'Again     the agent asked for the very same 3 times while it was pending',
    'Digest    9c1f-44ab · rule "fix", generation 12 · needs 1 of group dba, you are asked',
  ]);
});

test('what may run again is shown with ? for each value, and what nobody sees in it is written out', () => {
  const templateText = 'UPDATE public.tickets SET status = ? WHERE id = ?\u202e';
  const lines = promptLines(aHeld({ templateText }), { person: jane, grantFor: 1_800 }, NOW);
  expect(lines.slice(-4)).toEqual([
    'For       30m00s: this agent may run the same again with any other values, without anybody being asked',
    '          UPDATE public.tickets SET status = ? WHERE id = ?\\u{202e}',
    '          what shows it: chaperone grants ls',
    `          what ends it: chaperone grants revoke ${NAME}`,
  ]);
  expect(promptLines(aHeld({ templateText }), { person: jane }, NOW).join('\n')).not.toContain('= ?');
});

test.each<[string, RequestStatus['preview'], string]>([
  [
    'that nobody looked at its rows is said, and why',
    { why: 'this agent asked too often' },
    'Effect    update public.tickets · nobody looked at the rows that it meets: this agent asked too often',
  ],
  [
    'of what nobody counted the upstream’s own guess is said, and why it is one',
    { estimate: 1200, why: 'it takes too long' },
    'Effect    update public.tickets · about 1200 rows expected · nobody looked at the rows that it meets: it takes too long',
  ],
  [
    'of what has no rows to count the guess is all there is',
    { estimate: 1 },
    'Effect    update public.tickets · about 1 row expected',
  ],
])('%s', (_, preview, shown) => {
  expect(promptLines(aHeld({}, { preview }), { person: jane }, NOW)).toContain(shown);
});

test('a statement that the request has not whole is shown whole where that is known', () => {
  const request = aHeld({ text: 'x'.repeat(8192), textBytes: 8194 });
  expect(wholeLines(request, undefined, NOW).join()).toContain('these are the first 8192 characters');
  expect(wholeLines(request, { text: `${'x'.repeat(8192)}\u202eb` }, NOW)).toContain(`Runs      ${'x'.repeat(8192)}\\u{202e}b`);
  expect(wholeLines(request, { text: 'whole' }, NOW).join()).not.toContain('these are the first');
});

test('what it meets is said to be looked at while it may be, and for no longer', () => {
  const request = aHeld({}, { preview: undefined });
  const asked = Date.parse(request.metadata.creationTimestamp ?? '');
  const looking = (now: number): boolean => wholeLines(request, undefined, now).join('\n').includes('being looked at');
  expect([asked, asked + 2_999, asked + 3_000, asked - 1].map(looking)).toEqual([true, true, false, false]);
  const over = { ...request, status: { ...request.status, state: 'Withdrawn' as const } };
  expect(wholeLines(over, undefined, asked).join('\n')).not.toContain('being looked at');
});

test.each<[string, Partial<RequestSpec>, string]>([
  ['a long statement is cut, and said to be', { text: 'x'.repeat(401) }, '          401 characters; v shows all of them'],
  [
    'a statement that the request itself cuts is said to be cut',
    { text: 'x'.repeat(8192), textBytes: 20_000 },
    '          these are the first 8192 characters of a statement of 20000 bytes',
  ],
  [
    'text that nobody would see is written out',
    { text: 'a\u202e\u001b[2Jb' },
    'Runs      a\\u{202e}\\u{1b}[2Jb        on data/orders-db',
  ],
  [
    'many values are counted',
    { parameters: Array.from({ length: 10 }, (_, at) => String(at)) },
    '          $1 = 0 · $2 = 1 · $3 = 2 · $4 = 3 · $5 = 4 · $6 = 5 · $7 = 6 · $8 = 7 · 2 more',
  ],
  [
    'what the agent did before is told, of which a denial is one',
    {
      recent: [
        { at: '2026-01-01T11:59:58.120Z', sentence: 'SELECT on public.tickets', verdict: 'allow', result: 'SELECT 12' },
        { at: '2026-01-01T11:59:59.120Z', sentence: 'DROP on public.\u202etmp', verdict: 'deny' },
      ],
    },
    'Before    11:59:58Z SELECT on public.tickets: SELECT 12',
  ],
  [
    'what needs the approval is among the effects that are named',
    {
      effects: [
        ...Array.from({ length: 7 }, (_, at) => ({ verb: 'select', object: `t${at}`, via: 'direct', verdict: 'allow' as const })),
        { verb: 'update', object: 'u', via: 'direct', verdict: 'approve' },
      ],
    },
    'Effect    update u, select t0, select t1, select t2, select t3, select t4, 2 more · 1 row matched when it was asked for',
  ],
  [
    'that there may be more values than a request shows is said',
    { parameters: Array.from({ length: 64 }, () => 'v') },
    '          a request shows 64 values; there may be more',
  ],
  [
    'who else may decide later is said',
    {
      rules: [
        {
          ...rule,
          groups: ['dba', 'sre'],
          users: ['eve'],
          minimum: 2,
          all: ['sec'],
          reason: true,
          escalation: { at: '2026-01-01T12:06:00Z', groups: [], users: ['boss'] },
        },
      ],
    },
    'Digest    9c1f-44ab · rule "fix", generation 12 · needs 2 of groups dba, sre or user eve, and one of each of sec, from 2026-01-01 12:06:00Z also of user boss, with a reason, you are asked',
  ],
  [
    'who is not asked is told',
    { rules: [{ ...rule, groups: ['sre'] }] },
    'Digest    9c1f-44ab · rule "fix", generation 12 · needs 1 of group sre, you are not asked',
  ],
])('%s', (_, spec, line) => {
  expect(promptLines(aHeld(spec), { person: jane }, NOW)).toContain(line);
});

test.each<[string, string]>([
  ['a command', 'what it would do is not tried before it runs'],
  ['a shell', 'what is typed into it is not judged; it is recorded, and its time is limited'],
])('of %s nothing is said about rows, values and templates', (_, why) => {
  const request = aHeld({ protocol: 'ssh', text: 'shell', template: '9c1f44ab'.padEnd(64, '0') }, { preview: { why } });
  const lines = wholeLines(request, undefined, NOW);
  expect(lines).toContain(`Note      ${why}`);
  expect(lines.join('\n')).not.toMatch(/row|template/i);
});

test('who approved already is said beside the prompt', () => {
  const request = aHeld({}, { votes: '1/2', decisions: [answered(), answered({ by: 'bob', counted: false })] });
  expect(promptLines(request, { person: jane }, NOW)).toContain('Votes     1 of 2 so far: approved by jane@corp');
});

test('the whole has every value, effect, answer and the whole digest', () => {
  const parameters = Array.from({ length: 64 }, (_, at) => `v${at}`);
  const decisions = [
    answered({ reason: 'ok\u202e' }),
    answered({ by: 'bob', counted: false, why: 'the rule does not ask this person' }),
  ];
  const lines = wholeLines(aHeld({ parameters, text: 'y'.repeat(5000) }, { decisions, result: 'UPDATE 1' }), undefined, NOW);
  for (const line of [
    `Runs      ${'y'.repeat(5000)}`,
    '          $64 = v63',
    'Effects   update public.tickets (direct): approve by rule "fix"',
    `Digest    9c1f-44ab (${'9c1f44ab'.padEnd(64, '0')})`,
    'Answers   Approve by jane@corp at 2026-01-01T12:02:07Z: "ok\\u{202e}"',
    '          Approve by bob at 2026-01-01T12:02:07Z (does not count: the rule does not ask this person)',
    'Result    UPDATE 1',
  ])
    expect(lines).toContain(line);
});

test.each<[string, Partial<RequestSpec>, string]>([
  ['one effect', {}, 'update:public.tickets'],
  [
    'blanks in a name',
    { effects: [{ verb: 'update', object: 'public."a b"', via: 'direct', verdict: 'approve' }] },
    'update:public."a␣b"',
  ],
  [
    'more than two',
    { effects: ['a', 'b', 'c'].map((object) => ({ verb: 'drop', object, via: 'direct', verdict: 'approve' as const })) },
    'drop:a,drop:b,+1',
  ],
  ...(
    [
      ['configmaps settings in shop', 'configmaps:shop/settings'],
      ['configmaps in shop', 'configmaps:shop/*'],
      ['nodes node-1', 'nodes:node-1'],
      ['nodes', 'nodes'],
      ['deployments.apps/scale web in shop', 'deployments.apps/scale:shop/web'],
      ['pods/exec web in shop: cat /etc/hostname', 'pods/exec:shop/web:␣cat␣/etc/hostname'],
    ] as const
  ).map(([object, cell]): [string, Partial<RequestSpec>, string] => [
    `${object} of the Kubernetes API`,
    { protocol: 'kubernetes', effects: [{ verb: 'patch', object, via: 'direct', verdict: 'approve' }] },
    `patch:${cell}`,
  ]),
  ['none', { effects: [], sentence: 'an action without effects' }, 'an␣action␣without␣effects'],
])('a cell has no blanks: %s', (_, spec, cell) => {
  expect(effectCell(aHeld(spec))).toBe(cell);
});

test.each<[string, RequestStatus['preview'], string | undefined]>([
  ['of one row needs no name', { count: 1 }, undefined],
  ['of 100 rows needs none', { count: 100 }, undefined],
  ['of 101 rows needs it', { count: 101 }, 'public.tickets'],
  ['of rows that nobody counted needs it', { why: 'x' }, 'public.tickets'],
  ['that nobody looked at needs it', undefined, 'public.tickets'],
])('an action %s', (_, preview, object) => {
  expect(typedObject(aHeld({}, { preview }))).toBe(object);
});

test.each<[string, Partial<RequestSpec>, string | undefined]>([
  [
    'that changes what there is needs it',
    { effects: [{ verb: 'drop', object: 'public.t', via: 'direct', verdict: 'approve' }] },
    'public.t',
  ],
])('an action %s', (_, spec, object) => {
  expect(typedObject(aHeld(spec))).toBe(object);
});

test.each([
  [0, '0s'],
  [-5, '0s'],
  [1, '1s'],
  [59_001, '1m00s'],
  [252_000, '4m12s'],
  [3_600_000, '1h00m'],
])('%d ms are left as %s', (ms, text) => {
  expect(left(ms)).toBe(text);
});

test('a Deny that ended what a request grants is told as that, and one that denied the request is not', () => {
  const denial = answered({ decision: 'Deny', by: 'ann' });
  const told = (status: RequestStatus): string =>
    wholeLines(aHeld({}, { ...status, decisions: [denial] }), undefined, NOW).join('\n');
  expect(told({ state: 'Ran', revokedBy: 'ann' })).toContain('Answers   Revoked by ann at ');
  expect(told({ state: 'Ran', revokedBy: 'bob' })).toContain('Answers   Deny by ann at ');
  expect(told({ state: 'Denied', revokedBy: 'ann' })).toContain('Answers   Deny by ann at ');
});

describe('an approval that has to be signed', () => {
  const signed = aHeld({ rules: [{ ...rule, assurance: 'signed' }] });
  const page = 'https://decide.corp/decide/agents/ar-7f3kq2mzt4hcnw5e';

  test('is said beside the prompt, and of an answer that is', () => {
    expect(promptLines(signed, { person: jane }, NOW)).toContain(
      'Digest    9c1f-44ab · rule "fix", generation 12 · needs 1 of group dba, signed, you are asked',
    );
    expect(wholeLines(aHeld({}, { decisions: [answered({ assurance: 'passkey' })] }), undefined, NOW)).toContain(
      'Answers   Approve by jane@corp at 2026-01-01T12:02:07Z (by passkey)',
    );
  });

  test.each<[string, AccessRequest, boolean]>([
    ['one that every rule wants', signed, false],
    ['one that another rule does not want', aHeld({ rules: [{ ...rule, assurance: 'passkey' }, rule] }), true],
    ['one that nobody wants', aHeld(), true],
  ])('takes the API server’s word or not: %s', (_, request, expected) => {
    expect(takesPlainWord(request, jane, NOW)).toBe(expected);
  });

  test('leads to the page where it is made', () => {
    const metadata = { ...signed.metadata, annotations: { 'chaperone.dev/decide-page': page } };
    expect(signatureNeeded({ ...signed, metadata })).toMatchObject({ code: 'SignatureNeeded', fix: [`open ${page}`] });
    expect(signatureNeeded(signed).fix.join()).toContain('there is no such page here');
    expect(wholeLines({ ...signed, metadata }, undefined, NOW)).toContain(`Page      ${page}`);
  });
});

describe('a request that is over', () => {
  const decidedAt = '2026-01-01T12:02:07Z';
  const deny = answered({ decision: 'Deny', by: 'bob@corp', reason: 'wrong ticket' });
  test.each<[RequestStatus, string]>([
    [{ state: 'Denied', decidedAt, decisions: [answered(), deny] }, 'was denied 2m ago by bob@corp ("wrong ticket")'],
    [{ state: 'Expired', decidedAt, votes: '0/1' }, 'expired at 12:08:19Z with 0/1 approvals; it never ran'],
    [{ state: 'Withdrawn', decidedAt }, 'was withdrawn 2m ago: the agent left before anybody decided'],
    [{ state: 'Voided', decidedAt }, 'was voided 2m ago: what it was about changed meanwhile; it did not run'],
    [{ state: 'Released', decidedAt, decisions: [answered()] }, 'was approved 2m ago by jane@corp and runs'],
    [
      { state: 'Ran', decidedAt, decisions: [answered(), answered({ by: 'bob' })], result: 'UPDATE 1' },
      'was approved 2m ago by jane@corp, bob and ran: UPDATE 1',
    ],
    [
      { state: 'Failed', decidedAt, decisions: [answered()], result: 'deadlock' },
      'was approved 2m ago by jane@corp, ran and failed: deadlock',
    ],
    [{ state: 'Approved', decidedAt, decisions: [answered({ counted: false })] }, 'was approved 2m ago'],
  ])('%j is said in a sentence', (status, text) => {
    expect(overText(aHeld({}, status), NOW)).toBe(`${NAME} ${text}`);
  });
});

describe('what became of an answer', () => {
  const retry: Partial<RequestSpec> = { mode: 'retry' };
  const at = new Date(NOW).toTimeString().slice(0, 8);
  test.each<[string, RequestStatus, string, number, boolean, Partial<RequestSpec>?]>([
    ['one of two', { state: 'Pending', votes: '1/2' }, 'approved (1 of 2): waits for one more', 0, true],
    ['one of four', { state: 'Pending', votes: '1/4' }, 'approved (1 of 4): waits for 3 more', 0, true],
    [
      'enough, but not of a group',
      { state: 'Pending', votes: '2/2' },
      'approved (2 of 2): waits for one of each of sec',
      0,
      true,
      { rules: [{ ...rule, all: ['sec'] }] },
    ],
    ['not run yet', { state: 'Approved', votes: '1/1' }, 'approved (1 of 1): it has not run yet', 0, false],
    [
      'to be repeated',
      { state: 'Approved', votes: '1/1' },
      'approved (1 of 1): it runs when the agent repeats it',
      0,
      true,
      retry,
    ],
    ['running', { state: 'Released', votes: '1/1' }, 'approved (1 of 1): it runs', 0, false],
    [
      'ran',
      { state: 'Ran', votes: '1/1', result: 'UPDATE 1', conditions: executed },
      `approved (1 of 1) · ran at ${at}: UPDATE 1`,
      0,
      true,
    ],
    [
      'failed',
      { state: 'Failed', votes: '1/1', result: 'deadlock', conditions: executed },
      `approved (1 of 1) · failed at ${at}: deadlock`,
      0,
      true,
    ],
    [
      'the agent left',
      { state: 'Withdrawn', votes: '1/2' },
      `approved (1 of 2), and it does not run: ${NAME} was withdrawn: the agent left before anybody decided`,
      6,
      true,
    ],
    [
      'expired',
      { state: 'Expired', votes: '1/2' },
      `approved (1 of 2), and it does not run: ${NAME} expired at 12:08:19Z with 1/2 approvals; it never ran`,
      6,
      true,
    ],
  ])('%s', (_, status, said, exit, final, spec = {}) => {
    const request = aHeld(spec, { ...status, decisions: [answered()] });
    expect(outcomeOf(request, 'own', 'Approve', NOW)).toEqual({ said, exit, final });
  });

  test.each<[string, string, number]>([
    ['the rule does not ask this person', 'NotAnApprover', 4],
    ['nobody decides on a request of their own', 'NotAnApprover', 4],
    ['the rule wants a reason', 'Usage', 2],
    ['it came too late', 'RequestExpired', 6],
    ['it names another digest than what was asked for', 'DigestMismatch', 3],
    ['it is about another request of this name', 'DigestMismatch', 3],
    ['something that this version does not know', 'NotAnApprover', 4],
  ])('does not count: %s', (why, code, exit) => {
    const request = aHeld({}, { decisions: [answered({ counted: false, why })] });
    expect(outcomeOf(request, 'own', 'Approve', NOW)).toMatchObject({
      exit,
      final: true,
      error: { code, message: `does not count: ${why}` },
    });
  });

  test('is not known before somebody counted it, and nothing where all was over by then', () => {
    expect(outcomeOf(aHeld(), 'own', 'Deny', NOW)).toBeUndefined();
    expect(outcomeOf(aHeld({}, { state: 'Ran' }), 'own', 'Deny', NOW)).toMatchObject({
      exit: 6,
      error: { code: 'AlreadyDecided' },
    });
    expect(outcomeOf(aHeld({}, { state: 'Expired' }), 'own', 'Deny', NOW)).toMatchObject({
      exit: 6,
      error: { code: 'RequestExpired' },
    });
    const denied = aHeld({}, { state: 'Denied', decisions: [answered({ decision: 'Deny' })] });
    expect(outcomeOf(denied, 'own', 'Deny', NOW)).toEqual({ said: 'denied', exit: 0, final: true });
  });
});

test('who is not asked reads whom to ask, without groups of the system', () => {
  const person = { user: 'bob', groups: ['dev', 'system:authenticated', 'oncall'] };
  expect(notAsked(aHeld(), person)).toBe(`${NAME} needs group dba; you are bob, your groups: dev, oncall`);
  expect(notAsked(aHeld(), { user: 'bob', groups: [] })).toBe(`${NAME} needs group dba; you are bob, your groups: none`);
});

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'taken';
  } catch (error) {
    return (error as CliError).code;
  }
}

describe('what is typed', () => {
  test.each([
    ['ar-7f3k', 'taken'],
    [NAME, 'taken'],
    [`accessrequest/${NAME}`, 'taken'],
    [`accessrequests.chaperone.dev/${NAME}`, 'taken'],
    ['ar-', 'taken'],
    ['ar-7F3K', 'Usage'],
    [`${NAME}a`, 'Usage'],
    ['s-7hq2', 'Usage'],
    ['../ar-7f3k', 'Usage'],
    ['', 'Usage'],
  ])('%j as a name is %s', (typed, expected) => {
    expect(codeOf(() => demandName(typed))).toBe(expected);
  });

  const whole = aHeld().spec.digest;
  test.each([
    ['9c1f-44ab', 'taken'],
    ['9C1F-44AB', 'taken'],
    ['9c1f44ab', 'taken'],
    [whole, 'taken'],
    ['9c1f-44ac', 'DigestMismatch'],
    [`${whole.slice(0, 63)}1`, 'DigestMismatch'],
    ['9c1f', 'Usage'],
    [whole.slice(0, 63), 'Usage'],
    ['9c1f-44ab-0000', 'Usage'],
    ['', 'Usage'],
  ])('%j as a digest is %s', (typed, expected) => {
    expect(codeOf(() => demandDigest(aHeld(), typed))).toBe(expected);
  });
});

describe('a request to the Kubernetes API', () => {
  const text = 'PATCH /api/v1/namespaces/shop/configmaps/a\ndata:\n  a: "2\u202e"';
  const held = { verb: 'patch', object: 'configmaps a in shop', via: 'direct', verdict: 'approve' as const, rule: 'fix' };
  const spec = { protocol: 'kubernetes', text, parameters: [], effects: [held], sentence: 'PATCH on configmaps a in shop' };
  const change = ['  data:', '-   a: "1"', '+   a: "2"'];

  test('is shown in lines, with what it changes', () => {
    expect(promptLines(aHeld(spec, { preview: {} }), { person: jane, content: { change } }, NOW).slice(1, 9)).toEqual([
      'Runs      PATCH /api/v1/namespaces/shop/configmaps/a        on data/orders-db',
      '          data:',
      '            a: "2\\u{202e}"',
      'Effect    patch configmaps a in shop · tried as a dry run when it was asked for',
      '            data:',
      '          -   a: "1"',
      '          +   a: "2"',
      'Digest    9c1f-44ab · rule "fix", generation 12 · needs 1 of group dba, you are asked',
    ]);
    const whole = wholeLines(aHeld(spec, { preview: {} }), { change }, NOW);
    expect(whole).toContain('Change    tried as a dry run when it was asked for');
    expect(whole).toContain('          +   a: "2"');
  });

  test.each<[state: string, status: RequestStatus, content: object | undefined, isSaid: boolean]>([
    ['is over', { preview: {}, state: 'Ran' }, undefined, true],
    ['is over and still shown', { preview: {}, state: 'Ran' }, { change }, false],
    ['is over and was not tried', { preview: { why: 'x' }, state: 'Ran' }, undefined, false],
    ['waits', { preview: {}, state: 'Pending' }, undefined, false],
  ])('that %s says where its change is, or does not need to', (_, status, content, isSaid) => {
    const asked = aHeld(spec, status);
    const where = `          the record of its session has the difference: chaperone sessions show ${asked.spec.session}`;
    expect(wholeLines(asked, content, NOW).includes(where)).toBe(isSaid);
  });

  test.each<[sentence: string, client: string | undefined]>([
    ['PATCH on configmaps a in shop: kubectl apply, run 1f2e3d4c', 'Client    kubectl apply, run 1f2e3d4c, by its own word'],
    ['PATCH on configmaps a in shop', undefined],
    ['PATCH on configmaps a in shop: approved by jane, run 1f2e3d4c', undefined],
  ])('says which run of kubectl it is of, where one is said in the form that kubectl has: %s', (sentence, client) => {
    const lines = wholeLines(aHeld({ ...spec, sentence }), undefined, NOW);
    expect(lines.find((each) => each.startsWith('Client'))).toBe(client);
  });

  test('has no values beside it, where it may run again', () => {
    const until = '2026-01-01T12:34:07Z';
    const asked = aHeld({ ...spec, template: 'ab'.repeat(32), templateText: text }, { preview: {}, grantedUntil: until });
    const shown = [...promptLines(asked, { person: jane, grantFor: 1_800 }, NOW), ...wholeLines(asked, undefined, NOW)];
    expect(shown).toContain('For       30m00s: this agent may run the very same again, without anybody being asked');
    expect(shown).toContain('Template  abab-abab-abab-abab, which seals it to run again');
    expect(shown).toContain(`Grants    the very same again, until ${until}`);
    expect(shown.join('\n')).not.toMatch(/values|rows|statement/);
  });

  test('of many lines says how to see the others', () => {
    const long = `PUT /x\n${'a: b\n'.repeat(30)}`;
    const shown = promptLines(aHeld({ ...spec, text: long }), { person: jane }, NOW);
    expect(shown.filter((each) => each.trim() === 'a: b')).toHaveLength(20);
    expect(shown).toContain(`          ${long.length} characters; v shows all of them`);
  });

  test.each<[what: string, preview: RequestStatus['preview'], words: string, typed: string | undefined]>([
    ['was tried', {}, 'tried as a dry run when it was asked for', undefined],
    ['meets some objects', { count: 7 }, '7 objects matched when it was asked for', undefined],
    ['meets many', { count: 500 }, '500 objects matched when it was asked for', held.object],
    ['could not be tried', { why: 'refused (409)' }, 'not previewed: refused (409)', held.object],
  ])('that %s says so, and is approved by a letter where that is known and little', (_, preview, words, typed) => {
    const request = aHeld(spec, { preview });
    expect(wholeLines(request, undefined, NOW)).toContain(`Change    ${words}`);
    expect(typedObject(request)).toBe(typed);
  });
});
