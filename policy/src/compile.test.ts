import { RECORDING_MODES } from '@chaperone/api';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Access } from './access.ts';
import { anAccess, aPolicy, aResource, aRule, anAgent, ORDERS } from './builders.ts';
import { compileAccess, type CompileInput } from './compile.ts';
import { isRevealed, strategyFor } from './mask.ts';

const compiled = (input: Partial<CompileInput> = {}) =>
  compileAccess({ agent: anAgent(), policies: [aPolicy()], resource: aResource(), ...input });

function access(input: Partial<CompileInput> = {}): Access {
  const result = compiled(input);
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result.access;
}

const code = (input: Partial<CompileInput>): string => {
  const result = compiled(input);
  return result.ok ? 'ok' : result.code;
};

/** One access of several policies that all name the resource. */
const merged = (...specs: object[]): Access =>
  access({ policies: specs.map((spec, index) => aPolicy(spec, { name: `p${index}` })) });

describe('what a sidecar is sent', () => {
  it.each<[string, object]>([
    ['the last characters', { partial: { last: 4 } }],
    ['the first characters', { partial: { first: 2 } }],
    ['both ends', { partial: { first: 1, last: 1 } }],
    ['nothing at all', { redact: {} }],
  ])('a mask that shows %s keeps its form and fits the schema', (_, strategy) => {
    const result = merged({ masking: [{ label: 'pii.ssn', strategy }] });
    expect(result.masking).toEqual({ 'pii.ssn': strategy });
    expect(Access.parse(result)).toEqual(result);
  });
});

describe('which policies select an agent', () => {
  it.each<[string, object, string]>([
    ['no selector', {}, 'ok'],
    ['an empty podSelector', { podSelector: {} }, 'ok'],
    ['its label', { podSelector: { matchLabels: { app: 'support-agent' } } }, 'ok'],
    ['a label it lacks', { podSelector: { matchLabels: { app: 'support-agent', tier: 'x' } } }, 'AgentNotSelected'],
    ['a label that every object inherits', { podSelector: { matchLabels: { constructor: 'x' } } }, 'AgentNotSelected'],
    ['its ServiceAccount', { serviceAccounts: ['other', 'support-agent'] }, 'ok'],
    ['another ServiceAccount', { serviceAccounts: ['other'] }, 'AgentNotSelected'],
    ['an empty list of ServiceAccounts', { serviceAccounts: [] }, 'AgentNotSelected'],
    [
      'its label and another ServiceAccount',
      { podSelector: { matchLabels: { app: 'support-agent' } }, serviceAccounts: ['other'] },
      'AgentNotSelected',
    ],
  ])('a policy with %s', (_, agents, expected) => {
    expect(code({ policies: [aPolicy({ agents })] })).toBe(expected);
  });

  it('a policy of another namespace never does', () => {
    expect(code({ policies: [aPolicy({}, { namespace: 'data' })] })).toBe('AgentNotSelected');
  });

  it('a policy whose rules name other resources gives no access and adds nothing', () => {
    const other = aPolicy(
      { rules: [aRule({ resource: { ...ORDERS, name: 'else' } })], reveal: ['pii.ssn'], limits: { rowsPerStatement: 1 } },
      { name: 'other' },
    );
    expect(code({ policies: [other] })).toBe('ResourceNotNamed');
    const resource = aResource({ grantedTo: [{ namespace: 'agents', reveal: ['pii.ssn'] }] });
    expect(access({ policies: [aPolicy(), other], resource })).toEqual(access({ resource }));
  });

  it('rules about other resources are left out', () => {
    const rules = [aRule(), aRule({ name: 'else', resource: { ...ORDERS, namespace: 'agents' } })];
    expect(access({ policies: [aPolicy({ rules })] }).rules.map((rule) => rule.name)).toEqual(['read']);
  });
});

describe('the grant of the owner', () => {
  it.each<[string, object[], string]>([
    ['none', [], 'NotGranted'],
    ['another namespace', [{ namespace: 'shop' }], 'NotGranted'],
    ['another ServiceAccount', [{ namespace: 'agents', serviceAccounts: ['x'] }], 'NotGranted'],
    ['an empty list', [{ namespace: 'agents', serviceAccounts: [] }], 'NotGranted'],
    ['the namespace', [{ namespace: 'agents' }], 'ok'],
    ['the ServiceAccount', [{ namespace: 'agents', serviceAccounts: ['support-agent'] }], 'ok'],
  ])('to %s', (_, grantedTo, expected) => {
    expect(code({ resource: aResource({ grantedTo }) })).toBe(expected);
  });

  it('allows select where it names no statements, and adds up', () => {
    expect(access().ceiling.statements).toEqual(['select']);
    const grantedTo = [{ namespace: 'agents' }, { namespace: 'agents', statements: ['update', 'select'] }];
    expect(access({ resource: aResource({ grantedTo }) }).ceiling.statements).toEqual(['select', 'update']);
  });

  it('permits at most what a policy asks to reveal', () => {
    const resource = aResource({ grantedTo: [{ namespace: 'agents', reveal: ['pii.email', 'pii.phone'] }] });
    const both = access({ resource, policies: [aPolicy({ reveal: ['pii.email', 'pii.ssn'] })] });
    expect(both.reveal).toEqual(['pii.email']);
    expect(isRevealed(both, 'pii.email')).toBe(true);
    expect(isRevealed(both, 'pii.ssn')).toBe(false);
    expect(access({ policies: [aPolicy({ reveal: ['pii.email'] })] }).reveal).toEqual([]);
  });

  it('sets a floor under recording', () => {
    const grantedTo = [{ namespace: 'agents', recording: { minimum: 'strict' } }, { namespace: 'agents' }];
    const policies = [aPolicy({ recording: { mode: 'bestEffort' } })];
    expect(access({ resource: aResource({ grantedTo }), policies }).recording.mode).toBe('strict');
    expect(access({ policies }).recording.mode).toBe('bestEffort');
  });
});

const shownAs = (strategy: object): unknown => strategyFor(merged({ masking: [{ label: 'l', strategy }] }), 'l');

describe('where policies differ', () => {
  it('the stricter strategy holds', () => {
    const strategies = [{ partial: { last: 4 } }, { partial: { first: 1, last: 4 } }, { hash: {} }, { null: {} }, { redact: {} }];
    const strictestFirst = [4, 3, 2, 0, 1];
    for (const [rank, a] of strictestFirst.entries())
      for (const b of strictestFirst.slice(rank)) {
        const masking = (index: number): object => ({ masking: [{ label: 'l', strategy: strategies[index] }] });
        const expected = strategies[a];
        expect(strategyFor(merged(masking(a), masking(b)), 'l')).toMatchObject(expected ?? {});
        expect(strategyFor(merged(masking(b), masking(a)), 'l')).toEqual(strategyFor(merged(masking(a), masking(b)), 'l'));
      }
  });

  it('a label without a strategy is redacted, also one named as a property of every object', () => {
    expect(strategyFor(access(), 'pii.ssn')).toEqual({ redact: {} });
    expect(strategyFor(access(), 'constructor')).toEqual({ redact: {} });
  });

  it('a strategy that names none or several is the strictest of them', () => {
    expect(shownAs({})).toEqual({ redact: {} });
    expect(shownAs({ partial: { last: 4 }, hash: {} })).toEqual({ hash: {} });
  });

  it('lower limits and more evidence hold', () => {
    const both = merged(
      {
        limits: {
          rowsPerStatement: 10,
          bytes: '1Mi',
          idle: '10m',
          idleInTransaction: '1m',
          statementDuration: '30s',
          shellDuration: '30m',
          rows: 100,
          connections: 5,
        },
        recording: { mode: 'durable', content: 'commands', rows: 5, bytes: '1Ki', fileBytes: '1Ki', retention: '30d' },
        inference: 'allow',
      },
      {
        limits: {
          rowsPerStatement: 20,
          sessionDuration: '1h',
          idle: '5m',
          bytesPerStatement: '10Ki',
          statementDuration: '1m',
          shellDuration: '20m',
          rows: 99,
          connections: 6,
        },
        recording: { mode: 'strict', content: 'metadata', rows: 9, fileBytes: '2Ki', keys: 'typed', retention: '1d' },
        inference: 'deny',
      },
    );
    expect(both.limits).toEqual({
      rowsPerStatement: 10,
      bytesPerStatement: 10_240,
      statementDurationMs: 30_000,
      shellDurationMs: 1_200_000,
      rows: 99,
      bytes: 1_048_576,
      sessionDurationMs: 3_600_000,
      idleMs: 300_000,
      idleInTransactionMs: 60_000,
      connections: 5,
    });
    expect(both.recording).toEqual({
      mode: 'strict',
      content: 'commands',
      rows: 9,
      bytes: 1024,
      fileBytes: 2048,
      keys: 'typed',
      retention: '30d',
    });
    expect(both.inference).toBe('deny');
  });

  it('what one leaves unsaid does not weaken the default', () => {
    expect(merged({ recording: { mode: 'bestEffort' } }, {}).recording).toEqual({
      mode: 'durable',
      content: 'results',
      rows: 1000,
      bytes: 1_048_576,
      retention: 'default',
    });
    expect(merged({ inference: 'allow' }, {}).inference).toBe('limit');
    expect(merged({}, { recording: { retention: 'legal' } }).recording.retention).toBe('legal');
    expect(merged({}, {}).disclosure).toBe('full');
    expect(merged({ disclosure: 'code' }, {}).disclosure).toBe('code');
  });

  it('names of retention classes that do not compare refuse the access', () => {
    const policies = ['legal', 'short'].map((retention) => aPolicy({ recording: { retention } }, { name: retention }));
    expect(code({ policies })).toBe('PolicyInvalid');
  });

  it.each<[string, string[], boolean, string]>([
    ['Audit where the owner lets it', ['Audit'], true, 'Audit'],
    ['Enforce where the owner does not', ['Audit'], false, 'Enforce'],
    ['Enforce where one policy enforces', ['Audit', 'Enforce'], true, 'Enforce'],
  ])('%s', (_, modes, allowAudit, expected) => {
    const policies = modes.map((enforcement, index) => aPolicy({ enforcement }, { name: `p${index}` }));
    expect(access({ policies, resource: aResource({ allowAudit }) }).mode).toBe(expected);
  });

  it('a policy that enforces makes the agent Enforce on resources it does not name, too', () => {
    const elsewhere = aPolicy({ rules: [] }, { name: 'z' });
    const policies = [aPolicy({ enforcement: 'Audit' }), elsewhere];
    expect(access({ policies, resource: aResource({ allowAudit: true }) }).mode).toBe('Enforce');
  });
});

describe('purpose', () => {
  const purposeFrom = { annotation: 'chaperone.dev/purpose', required: true };
  it('comes from the policy, or from the pod', () => {
    expect(access({ policies: [aPolicy({ purpose: 'answer tickets' })] }).purpose).toBe('answer tickets');
    const agent = anAgent({ annotations: { 'chaperone.dev/purpose': ' close\n\u001b[31m books ' } });
    expect(access({ agent, policies: [aPolicy({ purposeFrom })] }).purpose).toBe('close [31m books');
  });

  it('is refused where it is required and missing or blank', () => {
    expect(code({ policies: [aPolicy({ purposeFrom })] })).toBe('PurposeMissing');
    const agent = anAgent({ annotations: { 'chaperone.dev/purpose': ' \t' } });
    expect(code({ agent, policies: [aPolicy({ purposeFrom })] })).toBe('PurposeMissing');
    expect(access({ policies: [aPolicy({ purpose: 'p', purposeFrom: { ...purposeFrom, required: false } })] }).purpose).toBe('p');
  });

  it('is bounded and well formed', () => {
    const agent = anAgent({ annotations: { 'chaperone.dev/purpose': `a${'😀'.repeat(500)}` } });
    const { purpose } = access({ agent, policies: [aPolicy({ purposeFrom })] });
    expect(purpose.length).toBe(200);
    expect(purpose.isWellFormed()).toBe(true);
  });
});

it.each([
  ['30m', 1800],
  ['90s', 90],
  ['7d', 43_200],
  ['59s', undefined],
])('of maxGrant %s people may grant %s seconds: a minute at least, 12 hours at most', (maxGrant, seconds) => {
  const how = { minimum: 1, timeout: '5m', mode: 'hold', reason: 'optional' } as const;
  const approval = { ...how, approvers: { groups: ['dba'] }, maxGrant };
  const { rules } = anAccess([{ effect: 'RequireApproval', approval }]);
  expect(rules[0]?.approval?.grantSeconds).toBe(seconds);
});

describe('values that cannot be read', () => {
  it.each<[string, object]>([
    ['a duration', { limits: { idle: 'soon' } }],
    ['a byte count', { limits: { bytes: '1 MB' } }],
    ['a glob', { rules: [aRule({ sql: { relations: ['public..x'] } })] }],
    ['an empty selector', { rules: [aRule({ effect: 'Deny', sql: { relations: [] } })] }],
    ['a negative mask', { masking: [{ label: 'l', strategy: { partial: { last: -1 } } }] }],
    [
      'an approval timeout',
      {
        rules: [
          aRule({
            effect: 'RequireApproval',
            approval: { approvers: {}, minimum: 1, timeout: 'x', mode: 'hold', reason: 'optional' },
          }),
        ],
      },
    ],
  ])('%s refuses the access', (_, spec) => {
    expect(code({ policies: [aPolicy(spec)] })).toBe('PolicyInvalid');
  });
});

describe('the compiled access', () => {
  const RULES = [
    aRule(),
    aRule({ name: 'never', effect: 'Deny', sql: { statements: ['drop'] }, message: 'No.' }),
    aRule({ name: 'fix', effect: 'RequireApproval', sql: { statements: ['update'] } }),
  ];
  const LABELS = ['a', 'b', 'c'];
  const strategy = fc.constantFrom(
    { redact: {} },
    { hash: {} },
    { null: {} },
    { partial: { first: 2 } },
    { partial: { last: 2 } },
  );
  const spec = fc.record({
    rules: fc.shuffledSubarray(RULES, { minLength: 1 }),
    reveal: fc.subarray(LABELS),
    inference: fc.constantFrom('allow', 'limit', 'deny'),
    enforcement: fc.constantFrom('Audit', 'Enforce'),
    purpose: fc.constantFrom('one', 'two'),
    masking: fc.array(fc.record({ label: fc.constantFrom(...LABELS), strategy }), { maxLength: 4 }),
    recording: fc.record(
      { mode: fc.constantFrom(...RECORDING_MODES), retention: fc.constantFrom('default', '1d', '24h', '2d'), rows: fc.nat(9) },
      { requiredKeys: [] },
    ),
  });
  const policies = fc
    .array(spec, { minLength: 1, maxLength: 4 })
    .map((specs) => specs.map((each, i) => aPolicy(each, { name: `p${i}` })));
  const resource = aResource({ grantedTo: [{ namespace: 'agents', reveal: ['a', 'b'] }], allowAudit: true });

  it('follows its own schema, or no sidecar would take it', () => {
    fc.assert(
      fc.property(policies, (given) => {
        const result = access({ policies: given, resource });
        expect(Access.parse(JSON.parse(JSON.stringify(result)))).toEqual(result);
      }),
    );
  });

  it('is the same in any order of policies and rules', () => {
    fc.assert(
      fc.property(policies, fc.infiniteStream(fc.nat()), (given, random) => {
        const shuffle = <T>(items: readonly T[]): T[] =>
          items
            .map((item) => ({ item, at: random.next().value }))
            .toSorted((a, b) => a.at - b.at)
            .map(({ item }) => item);
        const shuffled = shuffle(given).map((policy) => ({
          ...policy,
          spec: { ...policy.spec, rules: shuffle(policy.spec.rules), masking: shuffle(policy.spec.masking) },
        }));
        expect(access({ policies: shuffled, resource })).toEqual(access({ policies: given, resource }));
      }),
    );
  });

  it('never reveals more than the grant, nor weakens with one more policy', () => {
    const strictness = ['partial', 'hash', 'null', 'redact'];
    fc.assert(
      fc.property(policies, spec, (given, one) => {
        const before = access({ policies: given, resource });
        const after = access({ policies: [...given, aPolicy(one, { name: 'z' })], resource });
        expect(after.reveal.every((label) => label === 'a' || label === 'b')).toBe(true);
        expect(RECORDING_MODES.indexOf(after.recording.mode)).toBeGreaterThanOrEqual(
          RECORDING_MODES.indexOf(before.recording.mode),
        );
        for (const label of Object.keys(before.masking)) {
          const rank = (value: object): number => strictness.indexOf(Object.keys(value)[0] ?? '');
          expect(rank(strategyFor(after, label))).toBeGreaterThanOrEqual(rank(strategyFor(before, label)));
        }
        if (before.mode === 'Enforce') expect(after.mode).toBe('Enforce');
      }),
    );
  });

  it('has another digest when anything that matters differs', () => {
    const base = access({ resource });
    const others = [
      { reveal: ['a'] },
      { inference: 'deny' },
      { masking: [{ label: 'a', strategy: { hash: {} } }] },
      { rules: [aRule({ sql: { relations: ['public.x'] } })] },
      { limits: { rowsPerStatement: 3 } },
      { purpose: 'other' },
    ].map((each) => access({ policies: [aPolicy(each)], resource }));
    const digests = new Set([base, ...others].map(({ digest }) => digest));
    expect(digests.size).toBe(others.length + 1);
    expect(base.digest).toMatch(/^[0-9a-f]{64}$/);
  });

  it('of a tcp resource grants connecting and no statements', () => {
    const tcp = access({ resource: aResource({ protocol: 'tcp', postgres: undefined }) });
    expect(tcp.ceiling.statements).toEqual(['connect']);
    expect(tcp.searchPath).toEqual([]);
  });
});
