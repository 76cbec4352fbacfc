import { readManifests } from '@chaperone/api';
import { parseDocument } from 'yaml';
import { describe, expect, test } from 'vitest';
import {
  AUDITING,
  type Body,
  compared,
  keptIo,
  manifests,
  Recorder,
  type Said,
  sessionOf,
  sources,
  type Spoken,
} from './adoption.test-support.ts';
import { suggestPolicy } from './suggest.ts';

const OPTIONS = {
  agent: { namespace: 'agents', serviceAccount: 'support-agent' },
  name: 'suggested',
  exact: false,
  includeApproved: false,
};
const audited = new Recorder(AUDITING);
const PROTOCOLS = ['postgres', 'ssh', 'kubernetes', 'tcp'] as const;

type Bodies = Partial<Record<Spoken, readonly (Body | Said)[]>>;
const sessionsOf = (bodies: Bodies): ReturnType<typeof sessionOf>[] =>
  PROTOCOLS.flatMap((protocol) => (bodies[protocol] === undefined ? [] : [sessionOf({ protocol, bodies: bodies[protocol] })]));

async function suggested(bodies: Bodies, more: Partial<typeof OPTIONS> = {}): Promise<string> {
  const { io, out } = keptIo();
  await suggestPolicy(sources(sessionsOf(bodies)), { ...OPTIONS, ...more }, io);
  expect(readManifests([{ path: 'suggested.yaml', text: out() }]).problems).toEqual([]);
  return out();
}

/** The rules of a text, without what all have. */
function rulesIn(text: string): object[] {
  const { spec } = parseDocument(text).toJS() as { spec: { rules: object[] } };
  return spec.rules;
}

/** Of each pair. */
function pairs<A, B, R>(one: readonly A[], other: readonly B[], made: (a: A, b: B) => R): R[] {
  return one.flatMap((a) => other.map((b) => made(a, b)));
}

/** All that there is to do in a small world. */
function world(): Record<Spoken, Body[]> {
  const relations = ['public.tickets', 'public.orders', 'audit."odd.name"'];
  return {
    postgres: [
      ...pairs(['select', 'insert', 'update', 'delete'], relations, (verb, object) => audited.sql([verb, object])),
      ...pairs(relations, relations, (one, other) => audited.sql(['insert', one], ['select', other])),
      ...['public.f', 'public.g'].map((object) => audited.sql(['execute', object])),
    ],
    ssh: [
      ...pairs(['ls', 'cat', '/bin/cat', 'df'], ['', ' -l', ' app-1', ' app-1 app-2', ' -l app-1'], (program, rest) =>
        audited.ssh({ command: `${program}${rest}` }),
      ),
      ...pairs(['read', 'write', 'list', 'delete'] as const, ['/srv/a', '/srv/b', '/srv/sub/a', '/etc/a'], (operation, path) =>
        audited.ssh({ file: { operation, path } }),
      ),
      ...['db:5432', 'db:5433', 'web:5432'].map((forward) => audited.ssh({ forward })),
    ],
    kubernetes: pairs(['pods', 'services'], ['shop', 'shop-2'], (resource, namespace) => [
      ...pairs(['get', 'delete'], ['web-1', 'web-2'], (verb, name) => audited.kubernetes(verb, name, resource, namespace)),
      ...['list', 'watch'].map((verb) => audited.kubernetes(verb, '', resource, namespace)),
    ]).flat(),
    tcp: [audited.tcp('model-api.data.svc')],
  };
}

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('a suggested policy', () => {
  test.each([1, 2, 3, 4, 5])('allows what was seen, and none of what was not (seed %i)', async (seed) => {
    const random = randomOf(seed);
    const share = 0.1 + random() * 0.7;
    const [seen, others]: [Record<string, Body[]>, Record<string, Body[]>] = [{}, {}];
    for (const [protocol, all] of Object.entries(world()))
      for (const body of all) ((random() < share ? seen : others)[protocol] ??= []).push(body);
    const text = await suggested(seen, { exact: true });

    const again = await compared([AUDITING, text], sessionsOf(seen));
    expect(again.untold).toEqual([]);
    expect(again.differences.filter(({ wouldBe }) => wouldBe.word === 'deny')).toEqual([]);

    const beside = await compared([AUDITING, text], sessionsOf(others));
    const told = new Set(
      Object.values(seen).flatMap((list) =>
        list.map(({ effects }) => JSON.stringify(effects.map(({ verb, object }) => [verb, object]))),
      ),
    );
    // An INSERT … SELECT is two rights, and whoever has both has it.
    const isBoth = ({ effects }: Body): boolean =>
      effects.every(({ verb, object }) => told.has(JSON.stringify([[verb, object]])) || holds(seen, verb, object));
    const unseen = Object.values(others)
      .flat()
      .filter((body) => !isBoth(body)).length;
    const denied = beside.differences.filter(({ wouldBe }) => wouldBe.word === 'deny').reduce((sum, { count }) => sum + count, 0);
    expect(denied).toBe(unseen);
  });
});

function holds(seen: Record<string, Body[]>, verb: string, object: string): boolean {
  return Object.values(seen).some((list) =>
    list.some(({ effects }) => effects.some((each) => each.verb === verb && each.object === object)),
  );
}

test('relations that are used alike share a rule, which says how often and when last', async () => {
  const text = await suggested({
    postgres: [
      audited.sql(['select', 'public.tickets']),
      audited.sql(['select', 'public.orders'], ['update', 'public.orders']),
      audited.sql(['select', 'public.customers'], ['update', 'public.customers']),
      audited.sql(['execute', 'public.refund']),
    ],
  });
  expect(text).toMatchInlineSnapshot(`
    "# Covers 4 of 4 actions in 1 session of agents/support-agent, 1970-01-01T00:00:01Z to 1970-01-01T00:00:01Z.
    # It has rules alone: masking, reveal, limits, recording and columns are for you to add.
    # Where three names or more differ in one part, * stands for that part (--exact: never).
    apiVersion: chaperone.dev/v1alpha1
    kind: AccessPolicy
    metadata:
      name: suggested
      namespace: agents
    spec:
      agents:
        serviceAccounts: [support-agent]
      rules:
        # 2 actions, the last 1970-01-01T00:00:01Z
        # of these 2 by Audit alone: NoRuleAllows
        - name: select-update
          effect: Allow
          resource: {namespace: data, name: orders-db}
          sql:
            statements: [select, update]
            relations: [public.customers, public.orders]
        # 1 action, the last 1970-01-01T00:00:01Z
        - name: select
          effect: Allow
          resource: {namespace: data, name: orders-db}
          sql:
            statements: [select]
            relations: [public.tickets]
        # 1 action, the last 1970-01-01T00:00:01Z
        # of these 1 by Audit alone: NoRuleAllows
        - name: execute
          effect: Allow
          resource: {namespace: data, name: orders-db}
          sql:
            statements: [execute]
            functions: [public.refund]
    "
  `);
});

const said = (of: number, state: string, by = 'jane@corp'): Said => ({ of, state, by });

describe('what is not covered is said, and why', () => {
  const enforced = new Recorder(
    manifests(`agents: {serviceAccounts: [support-agent]}
rules:
  - {name: read, effect: Allow, resource: {namespace: data, name: orders-db}, sql: {statements: [select], relations: ["public.*"]}}
  - {name: fix, effect: RequireApproval, resource: {namespace: data, name: orders-db}, sql: {statements: [update, delete], relations: ["public.*"]}, approval: {approvers: {groups: [dba]}}}
  - {name: x, effect: Deny, resource: {namespace: data, name: web-3}}
  - {name: y, effect: Deny, resource: {namespace: data, name: staging}}
  - {name: z, effect: Deny, resource: {namespace: data, name: model-api}}`),
  );
  const held: (Body | Said)[] = [
    enforced.sql(['select', 'public.orders']),
    enforced.sql(['select', 'public.orders'], ['update', 'public.orders']),
    said(1, 'Released'),
    enforced.sql(['delete', 'public.orders']),
    said(3, 'Denied'),
    enforced.sql(['delete', 'public.tickets']),
    enforced.sql(['insert', 'public.tickets']),
    enforced.sql(['update', 'public.tickets']),
    said(7, 'Released', 'joe\nkind: Secret'),
  ];

  test('denied, held and approved actions are no part of it', async () => {
    const text = await suggested({ postgres: held });
    expect(rulesIn(text)).toMatchObject([{ name: 'select', effect: 'Allow', sql: { relations: ['public.orders'] } }]);
    expect(text.match(/^# +\dx .*$/gm)).toEqual([
      '#   1x DELETE on public.orders, on data/orders-db, the last 1970-01-01T00:00:01Z: held by a rule, and not approved',
      '#   1x DELETE on public.tickets, on data/orders-db, the last 1970-01-01T00:00:01Z: held by a rule, and not approved',
      '#   1x INSERT on public.tickets, on data/orders-db, the last 1970-01-01T00:00:01Z: denied (NoRuleAllows)',
      '#   1x SELECT on public.orders, UPDATE on public.orders, on data/orders-db, the last 1970-01-01T00:00:01Z: approved by people (--include-approved)',
      '#   1x UPDATE on public.tickets, on data/orders-db, the last 1970-01-01T00:00:01Z: approved by people (--include-approved)',
    ]);
  });

  test('what people approved asks those who did, and holds nothing that was allowed', async () => {
    const text = await suggested({ postgres: held }, { includeApproved: true });
    expect(rulesIn(text)).toMatchObject([
      { name: 'select', effect: 'Allow' },
      {
        name: 'ask-update',
        effect: 'RequireApproval',
        sql: { statements: ['update'], relations: ['public.orders'] },
        approval: { approvers: { users: ['jane@corp'] } },
      },
    ]);
    // Its only approver has a name that no policy takes.
    expect(text).toContain(
      'UPDATE on public.tickets, on data/orders-db, the last 1970-01-01T00:00:01Z: nobody is known whom a rule could ask',
    );
  });

  test.each<[string, Body, string]>([
    ['a shell', audited.ssh({ shell: true }), 'no rule can name it'],
    ['a command that cannot be read', audited.ssh({ command: 'ls $(cat x)' }), 'no rule can name it'],
    ['a blank within a word', audited.ssh({ command: "grep 'a b' x" }), 'no rule can name it'],
    ['an empty word', audited.ssh({ command: "grep '' x" }), 'no rule can name it'],
    ['a word of other letters', audited.ssh({ command: 'cat é' }), 'no rule can name it'],
    ['a star', audited.ssh({ command: "ls '*'" }), 'a value in it may be masked'],
    [
      'a path too long for a pattern',
      audited.ssh({ file: { operation: 'read', path: `/${'x'.repeat(300)}` } }),
      'no rule can name it',
    ],
    ['a text that was cut', { ...audited.ssh({ command: 'ls -l' }), text: 'ls' }, 'its text was not kept whole'],
  ])('%s', async (_, body, why) => {
    const text = await suggested({ ssh: [audited.ssh({ command: 'df' }), body] });
    expect(rulesIn(text)).toMatchObject([{ ssh: { commands: ['df'] } }]);
    expect(text).toMatch(new RegExp(`^# +1x .*: ${why}$`, 'm'));
  });

  test('where nothing can be covered there is no policy', async () => {
    await expect(suggested({ ssh: [audited.ssh({ shell: true })] })).rejects.toMatchObject({ code: 'NotFound', exit: 5 });
    await expect(suggested({})).rejects.toMatchObject({ code: 'NotFound', exit: 5 });
  });
});

test('names in evidence stay names: none ends a comment, a text or a document', async () => {
  const hostile = [
    '\n---\nkind: Secret',
    '\r\nspec: {}',
    '# x',
    "'",
    '\\"\n',
    ': {[]}',
    '&a !!js/function x',
    '\u2028kind: Secret',
    '\u0085kind: Secret',
    '\u001b[31m',
    '\u202e',
    '\ud800',
    '\0',
    '../../etc',
    'null',
  ];
  const bodies = hostile.map((name) => audited.sql(['select', `public.${name}`]));
  const marked = bodies.map((body) => ({
    ...body,
    wouldDeny: { code: 'DeniedByRule', reason: '', rule: body.effects[0]?.object ?? '' },
  }));
  const held = bodies.map((body) => ({ ...body, verdict: 'deny' as const, code: body.effects[0]?.object ?? '' }));
  const text = await suggested({ postgres: [...marked, ...held, audited.sql(['select', 'public.tickets'])] });
  // eslint-disable-next-line no-control-regex
  expect(text).not.toMatch(/[\0-\t\v-\x1f\x7f-\x9f\u2028\u2029\u202e\ud800-\udfff]/);
  const documents = text.split(/^---$/m);
  expect(documents).toHaveLength(1);
  const { policies } = readManifests([{ path: 'x', text }]);
  const relations = policies.flatMap(({ spec }) => spec.rules.flatMap(({ sql }) => sql?.relations ?? []));
  const possible = new Set(['public.tickets', ...hostile.map((name) => `public.${name}`)]);
  expect(relations.filter((name) => !possible.has(name))).toEqual([]);
  expect(relations).toContain('public.: {[]}');
  const lines = text.split('\n').filter((line) => !/^ *(#|- |[a-zA-Z]+:|$)/.test(line));
  expect(lines).toEqual([]);
});

test('a policy that would have too many rules becomes several, which add up', async () => {
  const names = Array.from({ length: 70 }, (_, at) => `ns${String.fromCharCode(97 + (at % 26))}x${at}`);
  const bodies = names.map((namespace, at) => audited.kubernetes('get', `n${at}x`, 'pods', namespace));
  const text = await suggested({ kubernetes: bodies });
  const { policies } = readManifests([{ path: 'x', text }]);
  expect(policies.map(({ metadata, spec }) => [metadata.name, spec.rules.length])).toEqual([
    ['suggested', 64],
    ['suggested-2', 6],
  ]);
  expect(await compared([AUDITING, text], sessionsOf({ kubernetes: bodies }))).toMatchObject({ untold: [], same: 0 });
});
