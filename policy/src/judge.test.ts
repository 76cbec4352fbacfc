import type { PolicyRule, Statement } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Access, AccessRule } from './access.ts';
import type { Action, Effect } from './action.ts';
import { anAccess, anAccessRule, anEffect } from './builders.ts';
import { allowedHere } from './hint.ts';
import { judge } from './judge.ts';
import { covers, touches } from './rule.ts';

const READ: Partial<PolicyRule> = { sql: { statements: ['select'], relations: ['public.tickets', 'public.customers'] } };
const FIX: Partial<PolicyRule> = {
  name: 'fix',
  effect: 'RequireApproval',
  sql: { statements: ['update'], relations: ['public.tickets'] },
  approval: { approvers: { groups: ['dba'] }, minimum: 1, timeout: '5m', mode: 'hold', reason: 'optional' },
};
const NEVER: Partial<PolicyRule> = {
  name: 'never',
  effect: 'Deny',
  sql: { statements: ['drop', 'truncate'] },
  message: 'Use migrations.',
};
const ACCESS = anAccess([READ, FIX, NEVER]);

const action = (...effects: Effect[]): Action => ({ effects });
const codeOf = (access: Access, ...effects: Effect[]): string => judge(access, action(...effects)).code;

describe('judge', () => {
  it.each<[string, Effect[], string, string, string?]>([
    [
      'a covered read',
      [anEffect('select', 'public.tickets')],
      'allow Allowed',
      'SELECT on public.tickets is allowed by rule "read"',
      'read',
    ],
    [
      'a held write',
      [anEffect('update', 'public.tickets')],
      'approve ApprovalPending',
      'UPDATE on public.tickets needs approval by rule "fix"',
      'fix',
    ],
    [
      'an uncovered write',
      [anEffect('update', 'public.customers')],
      'deny NoRuleAllows',
      'UPDATE on public.customers is not covered by any rule',
    ],
    [
      'a denied verb',
      [anEffect('drop', 'public.tickets', { kind: 'other' })],
      'deny DeniedByRule',
      'DROP on public.tickets is denied by rule "never"',
      'never',
    ],
    [
      'a denied verb without object',
      [anEffect('truncate', '', { kind: 'other' })],
      'deny DeniedByRule',
      'TRUNCATE is denied by rule "never"',
      'never',
    ],
    [
      'one uncovered effect among covered ones',
      [anEffect('select', 'public.tickets'), anEffect('update', 'public.tickets'), anEffect('select', 'public.secrets')],
      'deny NoRuleAllows',
      'SELECT on public.secrets is not covered by any rule',
    ],
    [
      'a held effect among allowed ones',
      [anEffect('select', 'public.tickets'), anEffect('update', 'public.tickets')],
      'approve ApprovalPending',
      'UPDATE on public.tickets needs approval by rule "fix"',
      'fix',
    ],
    ['no effects at all', [], 'allow Allowed', 'It touches no object'],
    [
      'a view with what it reads inside',
      [anEffect('select', 'public.tickets'), anEffect('select', 'public.secrets', { via: 'view' })],
      'allow Allowed',
      'SELECT on public.secrets is allowed',
    ],
    [
      'a nested effect',
      [anEffect('select', 'public.tickets'), anEffect('delete', 'public.tickets', { via: 'nested' })],
      'deny NoRuleAllows',
      'DELETE on public.tickets is not covered by any rule',
    ],
  ])('%s', (_, effects, expected, reason, rule) => {
    const verdict = judge(ACCESS, action(...effects));
    expect(`${verdict.verdict} ${verdict.code}`).toBe(expected);
    expect(verdict.reason).toBe(reason);
    expect(verdict.rule).toBe(rule);
  });

  it('hands on what the author of the deciding rule wants to say, and whose it is', () => {
    const verdict = judge(ACCESS, action(anEffect('drop', 'public.tickets')));
    expect(verdict).toMatchObject({ message: 'Use migrations.', policy: { namespace: 'agents', name: 'support-agent' } });
  });

  it('lists every effect with its own verdict', () => {
    const { effects } = judge(ACCESS, action(anEffect('select', 'public.tickets'), anEffect('update', 'public.tickets')));
    expect(effects).toEqual([
      { verb: 'select', object: 'public.tickets', via: 'direct', verdict: 'allow', rule: 'read' },
      { verb: 'update', object: 'public.tickets', via: 'direct', verdict: 'approve', rule: 'fix' },
    ]);
  });

  it('denies what cannot be analysed, whatever rules say', () => {
    const verdict = judge(anAccess([{ sql: undefined }], { mode: 'Audit' }), { effects: [], notAnalysable: 'DO runs code' });
    expect(verdict).toMatchObject({ verdict: 'deny', code: 'NotAnalysable', reason: 'This cannot be judged: DO runs code' });
    expect(codeOf(ACCESS, anEffect('select', 'public.tickets', { via: 'view' }))).toBe('NotAnalysable');
  });

  it('denies an action without effects where nothing is allowed', () => {
    expect(codeOf(anAccess([NEVER]))).toBe('NoRuleAllows');
    expect(codeOf({ ...ACCESS, rules: [] })).toBe('NoRuleAllows');
  });

  it('denies what rules cover and the owner does not grant', () => {
    const access = { ...ACCESS, ceiling: { statements: ['select'] } };
    expect(judge(access, action(anEffect('update', 'public.tickets')))).toMatchObject({
      verdict: 'deny',
      code: 'NotGranted',
      reason: 'UPDATE on public.tickets is beyond what the owner of data/orders-db grants',
    });
    expect(codeOf(access, anEffect('drop', 'public.tickets'))).toBe('DeniedByRule');
    expect(codeOf(access, anEffect('delete', 'public.tickets'))).toBe('NoRuleAllows');
  });

  it('denies what needs an approval that nobody can give', () => {
    const access = anAccess([{ ...FIX, approval: undefined }, { sql: undefined }]);
    expect(judge(access, action(anEffect('update', 'public.tickets')))).toMatchObject({
      verdict: 'deny',
      code: 'DeniedByRule',
      reason: 'UPDATE on public.tickets needs approval by rule "fix", which names nobody who could approve',
    });
  });

  describe('in Audit', () => {
    const audit: Access = { ...ACCESS, mode: 'Audit' };
    it.each([
      ['NoRuleAllows', anEffect('update', 'public.customers')],
      ['DeniedByRule', anEffect('drop', 'public.tickets')],
      ['ApprovalPending', anEffect('update', 'public.tickets')],
    ])('allows and tells %s', (code, effect) => {
      const verdict = judge(audit, action(effect));
      expect(verdict).toMatchObject({ verdict: 'allow', code: 'Allowed', wouldDeny: { code } });
      expect(verdict.wouldDeny?.reason).toBe(judge(ACCESS, action(effect)).reason);
    });
    it('never relaxes the grant of the owner', () => {
      const access: Access = { ...audit, ceiling: { statements: ['select'] } };
      for (const verb of ['update', 'drop', 'delete'])
        expect(judge(access, action(anEffect('select', 'public.x'), anEffect(verb, 'public.tickets')))).toMatchObject({
          verdict: 'deny',
          code: 'NotGranted',
        });
    });
    it('tells nothing where Enforce would have allowed', () => {
      expect(judge(audit, action(anEffect('select', 'public.tickets')))).not.toHaveProperty('wouldDeny');
    });
  });
});

describe('columns', () => {
  const some: Partial<PolicyRule> = { sql: { relations: ['public.t'], columns: ['public.t.a', 'public.t.b'] } };
  const only: Partial<PolicyRule> = { sql: { columns: ['public.t.a'] } };
  const noSsn: Partial<PolicyRule> = { name: 'no', effect: 'Deny', sql: { columns: ['**.ssn'] } };
  const ask: Partial<PolicyRule> = { ...FIX, sql: { columns: ['**.ssn'] } };
  const whole: Partial<PolicyRule> = { name: 'whole', sql: { relations: ['public.t'] } };
  it.each<[string, Partial<PolicyRule>[], string[] | undefined, string]>([
    ['all of them covered', [some], ['public.t.a', 'public.t.b'], 'Allowed'],
    ['one of them not covered', [some], ['public.t.a', 'public.t.c'], 'NoRuleAllows'],
    ['unknown', [some], undefined, 'NoRuleAllows'],
    ['none touched, relation named', [some], [], 'Allowed'],
    ['none touched, relation not named', [only], [], 'NoRuleAllows'],
    ['one denied', [whole, noSsn], ['public.t.a', 'public.t.ssn'], 'DeniedByRule'],
    ['none denied', [whole, noSsn], ['public.t.a'], 'Allowed'],
    ['unknown under a Deny', [whole, noSsn], undefined, 'DeniedByRule'],
    ['one to be approved', [whole, ask], ['public.t.a', 'public.t.ssn'], 'ApprovalPending'],
    ['one to be approved and the rest not covered', [ask], ['public.t.a', 'public.t.ssn'], 'NoRuleAllows'],
    ['unknown under RequireApproval', [whole, ask], undefined, 'ApprovalPending'],
  ])('%s', (_, rules, columns, expected) => {
    expect(codeOf(anAccess(rules), anEffect('select', 'public.t', columns ? { columns } : {}))).toBe(expected);
  });
});

describe('functions and other objects', () => {
  const call = anEffect('execute', 'public.f', { kind: 'function' });
  const schema = anEffect('drop', 'app', { kind: 'other' });
  it.each<[string, Partial<PolicyRule>[], Effect, string]>([
    ['a rule without a selector permits no function', [{ sql: undefined }], call, 'NoRuleAllows'],
    ['a rule for relations permits no function', [{ sql: { relations: ['**'] } }], call, 'NoRuleAllows'],
    ['a rule that names it permits it', [{ sql: { functions: ['public.f'] } }], call, 'Allowed'],
    [
      'a rule for other statements does not',
      [{ sql: { statements: ['select'], functions: ['public.f'] } }],
      call,
      'NoRuleAllows',
    ],
    [
      'a rule for functions permits no relation',
      [{ sql: { functions: ['**'] } }],
      anEffect('select', 'public.t'),
      'NoRuleAllows',
    ],
    [
      'a Deny of everything denies it',
      [{ sql: { functions: ['**'] } }, { name: 'd', effect: 'Deny', sql: undefined }],
      call,
      'DeniedByRule',
    ],
    [
      'a Deny of relations does not',
      [{ sql: { functions: ['**'] } }, { name: 'd', effect: 'Deny', sql: { relations: ['**'] } }],
      call,
      'Allowed',
    ],
    ['a rule without relations permits a schema', [{ sql: { statements: ['drop'] } }], schema, 'Allowed'],
    ['a rule for relations permits no schema', [{ sql: { relations: ['**'] } }], schema, 'NoRuleAllows'],
    [
      'a Deny of relations holds for a schema that may hold them',
      [{ sql: { statements: ['drop'] } }, { name: 'd', effect: 'Deny', sql: { relations: ['app.x'] } }],
      schema,
      'DeniedByRule',
    ],
  ])('%s', (_, rules, effect, expected) => {
    expect(codeOf(anAccess(rules), effect)).toBe(expected);
  });

  it('a pattern that cannot be read permits nothing and denies everything', () => {
    const sql = { relations: ['a..b'] };
    const effect = anEffect('select', 'public.t');
    expect(codeOf({ ...ACCESS, rules: [anAccessRule({ sql })] }, effect)).toBe('NoRuleAllows');
    expect(codeOf({ ...ACCESS, rules: [anAccessRule(), anAccessRule({ effect: 'Deny', sql })] }, effect)).toBe('DeniedByRule');
  });
});

const list = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { maxLength: 3 });

const withRules = (given: readonly AccessRule[], as: Access['mode'] = 'Enforce'): Access => ({
  ...ACCESS,
  rules: [...given],
  mode: as,
});

describe('the judge as a whole', () => {
  const verb = fc.constantFrom<Statement>('select', 'update', 'drop', 'execute');
  const name = fc.constantFrom('public.a', 'public.b', 'app.a');
  const pattern = fc.constantFrom('public.a', 'public.*', '**', 'app.a', 'a..b');
  const column = fc.constantFrom('public.a.x', 'public.a.y', 'public.b.x');
  const effect: fc.Arbitrary<Effect> = fc
    .record({
      verb,
      object: fc.oneof(name, fc.constant('')),
      via: fc.constantFrom('direct', 'view', 'function', 'nested'),
      kind: fc.constantFrom('relation', 'function', 'other'),
      columns: fc.option(list(column), { nil: undefined }),
    })
    .map(({ columns, ...rest }) => ({ ...rest, ...(columns && { columns }) }));
  const rule = fc
    .record({
      name: fc.constantFrom('r1', 'r2', 'r3'),
      effect: fc.constantFrom('Allow', 'RequireApproval', 'Deny'),
      approvers: fc.subarray(['dba']),
      sql: fc.option(
        fc.record(
          {
            statements: list(verb),
            relations: list(pattern),
            columns: list(fc.oneof(column, pattern)),
            functions: list(pattern),
          },
          { requiredKeys: [] },
        ),
        { nil: undefined },
      ),
    })
    .map(({ sql, approvers, ...rest }) =>
      anAccessRule({
        ...rest,
        ...(sql && { sql }),
        approval: {
          groups: approvers,
          users: [],
          minimum: 1,
          all: [],
          timeoutMs: 1,
          transactionTimeoutMs: 1,
          mode: 'hold',
          reason: false,
        },
      }),
    );
  const rules = fc.array(rule, { maxLength: 6 });
  const effects = fc.array(effect, { maxLength: 4 });
  const mode = fc.constantFrom<Access['mode']>('Enforce', 'Audit');
  const RANK = { allow: 0, approve: 1, deny: 2 };
  const rankOf = (given: readonly AccessRule[], of: readonly Effect[]): number =>
    RANK[judge(withRules(given), { effects: of }).verdict];

  it('minds neither the order of rules nor that of effects', () => {
    fc.assert(
      fc.property(rules, effects, mode, (given, of, as) => {
        const { effects: _, ...one } = judge(withRules(given, as), { effects: of });
        const { effects: __, ...other } = judge(withRules(given.toReversed(), as), { effects: of.toReversed() });
        expect(other).toEqual(one);
      }),
      { numRuns: 500 },
    );
  });

  it('never grows milder with one more Deny', () => {
    fc.assert(
      fc.property(rules, effects, rule, (given, of, more) => {
        expect(rankOf([...given, { ...more, effect: 'Deny' }], of)).toBeGreaterThanOrEqual(rankOf(given, of));
      }),
      { numRuns: 1_000 },
    );
  });

  it('never grows milder with one Allow less', () => {
    fc.assert(
      fc.property(rules, effects, rule, (given, of, more) => {
        expect(rankOf(given, of)).toBeGreaterThanOrEqual(rankOf([...given, { ...more, effect: 'Allow' }], of));
      }),
      { numRuns: 1_000 },
    );
  });

  it('never grows milder with one more effect', () => {
    fc.assert(
      fc.property(rules, fc.array(effect, { minLength: 1, maxLength: 4 }), effect, (given, of, more) => {
        fc.pre(of.some(({ via }) => via !== 'view'));
        expect(rankOf(given, [...of, more])).toBeGreaterThanOrEqual(rankOf(given, of));
      }),
      { numRuns: 1_000 },
    );
  });

  it('a rule touches whatever it covers, unless no column is read', () => {
    fc.assert(
      fc.property(rule, effect, (one, of) => {
        if (covers(one, of) && of.columns?.length !== 0) expect(touches(one, of)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('allowedHere', () => {
  it('says in few words what the agent may do', () => {
    expect(allowedHere(ACCESS)).toEqual([
      'SELECT on public.customers, public.tickets',
      'UPDATE on public.tickets after approval',
    ]);
  });

  it.each<[string, Partial<PolicyRule>[], string[]]>([
    ['nothing', [NEVER], []],
    ['anything', [{ sql: undefined }], ['* on any relation']],
    ['a verb denied everywhere', [{ sql: { statements: ['drop', 'select'], relations: ['a.b'] } }, NEVER], ['SELECT on a.b']],
    ['a function', [{ sql: { functions: ['public.f'], statements: ['execute'] } }], ['EXECUTE on public.f']],
    [
      'many relations',
      [{ sql: { statements: ['select'], relations: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] } }],
      ['SELECT on a, b, c, d, e and 2 more'],
    ],
  ])('%s', (_, rules, expected) => {
    expect(allowedHere(anAccess(rules))).toEqual(expected);
  });

  it.each<[string, PolicyRule['approval']]>([
    ['has no approval', undefined],
    ['names nobody', { approvers: {} } as never],
  ])('does not promise approval by a rule that %s, nor what it denies', (_, approval) => {
    const selector = { sql: { statements: ['update' as const], relations: ['public.tickets'] } };
    const asks = { name: 'fix', effect: 'RequireApproval' as const, ...(approval !== undefined && { approval }) };
    expect(allowedHere(anAccess([{ ...asks, ...selector }]))).toEqual([]);
    expect(allowedHere(anAccess([selector, { ...asks, sql: { statements: ['update'] } }]))).toEqual([]);
  });

  it('leaves out what the owner does not grant, and stops at five', () => {
    expect(allowedHere({ ...ACCESS, ceiling: { statements: ['select'] } })).toHaveLength(1);
    const statements: Statement[] = ['select', 'insert', 'update', 'delete', 'merge', 'lock', 'copy'];
    expect(allowedHere(anAccess([{ sql: { statements, relations: ['a.b'] } }]))).toHaveLength(5);
  });
});
