import type { AccessRequest } from '@chaperone/api';
import { HOSTILE_TEXTS } from '../../api/src/hostile-corpus.test-support.ts';
import { aRequest, type Requests } from '../../collector/src/requests/requests.fixture.ts';

const SECOND = 1_000;
const inTime = (ms: number): string => new Date(Date.now() + ms).toISOString();
const ago = (ms: number): string => inTime(-ms);

const rule = (mods: object = {}): AccessRequest['spec']['rules'][number] => ({ ...RULE, ...mods });
const [RULE] = aRequest().spec.rules as [AccessRequest['spec']['rules'][number]];
const approve = (by: string, mods: object = {}): NonNullable<NonNullable<AccessRequest['status']>['decisions']>[number] => ({
  name: `d-${by}`,
  decision: 'Approve',
  by,
  at: ago(20 * SECOND),
  counted: true,
  ...mods,
});
const done = (
  state: 'Ran' | 'Failed' | 'Denied' | 'Expired' | 'Withdrawn' | 'Voided' | 'Released',
  mods: object = {},
): NonNullable<AccessRequest['status']> => ({
  state,
  votes: state === 'Denied' || state === 'Expired' ? '0/1' : '1/1',
  decidedAt: ago(90 * SECOND),
  decisions: [approve('jon@corp', { reason: 'ticket 4412' })],
  ...mods,
});

/** Requests of every kind and in every state, by what is special about each. */
export function requestsOf(requests: Requests): Record<string, AccessRequest> {
  const world: Record<string, AccessRequest> = {
    update: aRequest({
      preview: { count: 3 },
      spec: {
        text: "UPDATE tickets SET status = $1, note = 'done\u202e'\nWHERE customer_id = $2\n  AND status <> 'closed'",
        textBytes: 96,
        parameters: ["'closed'", '<masked: pii.customer>'],
        transaction: true,
        expiresAt: inTime(52 * SECOND),
        agent: {
          serviceAccount: 'support-agent',
          pod: 'support-agent-6d9f7',
          purpose: 'answer support tickets',
          onBehalfOf: { issuer: 'https://login.corp', user: 'ana@corp' },
        },
        effects: [
          { verb: 'update', object: 'public.tickets', via: 'direct', verdict: 'approve', rule: 'fix' },
          { verb: 'select', object: 'public.tickets', via: 'direct', verdict: 'allow', rule: 'read' },
        ],
        rules: [rule({ reason: true })],
      },
    }),
    delete: aRequest({
      preview: { count: 4812 },
      spec: {
        text: 'DELETE FROM sessions WHERE seen < now() - interval $1',
        textBytes: 53,
        parameters: ["'30 days'"],
        effects: [{ verb: 'delete', object: 'public.sessions', via: 'direct', verdict: 'approve', rule: 'sweep' }],
        agent: { serviceAccount: 'release-bot', pod: 'release-bot-1', purpose: 'nightly clean-up' },
        rules: [rule({ rule: 'sweep', minimum: 2 })],
        expiresAt: inTime(245 * SECOND),
      },
      status: { state: 'Pending', votes: '1/2', decisions: [approve('jon@corp', { reason: 'agreed in 4410' })] },
    }),
    schema: aRequest({
      preview: { why: 'a change of tables meets no rows' },
      spec: {
        text: 'ALTER TABLE orders ADD COLUMN note text',
        textBytes: 39,
        effects: [{ verb: 'alter', object: 'public.orders', via: 'direct', verdict: 'approve', rule: 'schema' }],
        agent: { serviceAccount: 'migration-agent', purpose: '' },
        mode: 'retry',
        expiresAt: inTime(540 * SECOND),
      },
    }),
    others: aRequest({
      spec: { rules: [rule({ groups: ['sec'], users: ['bob@corp'] })], expiresAt: inTime(3_900 * SECOND) },
    }),
    given: aRequest({
      spec: { rules: [rule({ minimum: 2 })], expiresAt: inTime(400 * SECOND) },
      status: { state: 'Pending', votes: '1/2', decisions: [approve('maria@corp')] },
    }),
    approved: aRequest({ spec: { mode: 'retry' }, status: { ...done('Ran'), state: 'Approved' } }),
    released: aRequest({ status: done('Released') }),
    ran: aRequest({ status: done('Ran', { result: 'UPDATE 1' }) }),
    failed: aRequest({ status: done('Failed', { result: 'ERROR: deadlock detected' }) }),
    denied: aRequest({
      status: done('Denied', { decisions: [approve('jon@corp', { decision: 'Deny', reason: 'wrong ticket, 4412 is meant' })] }),
    }),
    expired: aRequest({ spec: { expiresAt: ago(60 * SECOND) }, status: done('Expired', { decisions: [] }) }),
    withdrawn: aRequest({ status: done('Withdrawn', { decisions: [] }) }),
    voided: aRequest({ status: done('Voided') }),
    grantable: aRequest({
      spec: {
        ...GRANTABLE,
        rules: [rule({ grant: 43_200 }), rule({ rule: 'audit', grant: 43_200, minimum: 2 })],
        expiresAt: inTime(280 * SECOND),
      },
    }),
    hostile: hostileRequest(HOSTILE_TEXTS['an image that fails'] ?? '', 'half a pair'),
    long: aRequest({
      spec: {
        text: `select '${'x'.repeat(8_182)}'`,
        textBytes: 90_000,
        effects: Array.from({ length: 64 }, (_, at) => ({
          verb: 'update',
          object: `a_schema_with_a_long_name.a_table_whose_name_is_as_long_as_names_can_be_in_this_world_${at}`,
          via: 'view',
          verdict: 'approve' as const,
          rule: 'a-rule-with-a-rather-long-name-too',
        })),
        parameters: Array.from({ length: 64 }, (_, at) => `'value ${at}'`),
        rules: Array.from({ length: 12 }, (_, at) =>
          rule({
            rule: `rule-${at}`,
            groups: Array.from({ length: 12 }, (__, group) => `team-${group}`),
            all: ['sec', 'legal'],
            minimum: 3,
          }),
        ),
        agent: { serviceAccount: 'a'.repeat(63), pod: 'b'.repeat(200), purpose: 'c '.repeat(250) },
        expiresAt: inTime(86_400 * SECOND),
      },
    }),
  };
  for (const request of Object.values(world)) requests.put(request);
  requests.contents.set(nameOf(world['update']), {
    columns: ['id', 'status', 'note', 'email'],
    rows: [
      ['811', 'open', null, '*****'],
      ['812', 'open', '', '*****'],
      ['840', 'open', 'calls after 18:00 UTC only', '*****'],
    ],
  });
  return world;
}

const GRANTABLE: Partial<AccessRequest['spec']> = {
  text: "update tickets set status = 'closed' where id = 811",
  template: 'b'.repeat(64),
  templateText: 'update tickets set status = ? where id = ?',
  rules: [rule({ grant: 1_800 })],
};

/** What people granted, by what is special about it. */
export function grantsIn(requests: Requests): Record<string, AccessRequest> {
  const granting = (untilMs: number, mods: object = {}, spec: Partial<AccessRequest['spec']> = {}): AccessRequest =>
    requests.put(
      aRequest({
        spec: { ...GRANTABLE, ...spec },
        status: done('Ran', {
          grantedUntil: inTime(untilMs),
          decisions: [approve('jon@corp', { reason: 'ticket 4412', grantFor: 1_800 })],
          ...mods,
        }),
      }),
    );
  const world = {
    used: granting(1_391 * SECOND),
    soon: granting(42 * SECOND, {}, { agent: { serviceAccount: 'release-bot', purpose: '' } }),
    waits: granting(900 * SECOND, { state: 'Approved' }, { mode: 'retry', rules: [rule({ grant: 1_800, reason: true })] }),
    foreign: granting(1_000 * SECOND, {}, { rules: [rule({ grant: 1_800, groups: ['sec'] })] }),
    over: granting(-100 * SECOND),
    revoked: granting(600 * SECOND, {
      revokedBy: 'ann@corp',
      decisions: [
        approve('jon@corp', { grantFor: 1_800 }),
        approve('ann@corp', { decision: 'Deny', reason: 'ticket closed', at: ago(5 * SECOND) }),
      ],
    }),
    denied: granting(600 * SECOND, { state: 'Denied' }),
  };
  for (let use = 0; use < 3; use++)
    requests.put(aRequest({ spec: { ...GRANTABLE, grantedBy: world.used.metadata.name }, status: done('Ran') }));
  return world;
}

/** A grant of which everything that an agent or a person chose is hostile. */
export function hostileGrant(text: string): AccessRequest {
  const asked = hostileRequest(text, 'x');
  const short = (most: number): string => (text === '' ? 'x' : text.slice(0, most));
  return {
    ...asked,
    spec: {
      ...asked.spec,
      template: 'b'.repeat(64),
      templateText: text.slice(0, 8_192),
      rules: [rule({ rule: short(63), grant: 1_800 })],
    },
    status: done('Ran', {
      grantedUntil: inTime(600 * SECOND),
      decisions: [approve(short(256), { reason: short(1_024), grantFor: 1_800 })],
    }),
  };
}

function nameOf(request: AccessRequest | undefined): string {
  return request?.metadata.name ?? '';
}

/** A request of which everything that an agent, a database or a person chose is hostile. */
export function hostileRequest(text: string, name: string): AccessRequest {
  const short = (most: number): string => (text === '' ? 'x' : text.slice(0, most));
  return aRequest({
    preview: { why: short(256) },
    spec: {
      text: text.slice(0, 8_192),
      textBytes: 8_192,
      sentence: short(512),
      parameters: [short(256), name],
      effects: [{ verb: short(64), object: short(400), via: short(16), verdict: 'approve', rule: short(63) }],
      agent: {
        serviceAccount: 'support-agent',
        pod: 'pod-1',
        purpose: short(512),
        onBehalfOf: { issuer: short(512), user: short(256) },
      },
      rules: [rule({ rule: short(63), groups: ['dba', short(256)], users: [short(256)], all: [short(256)] })],
    },
    status: {
      state: 'Pending',
      votes: '1/2',
      decisions: [approve(short(256), { reason: short(1024) }), approve('x', { counted: false, why: short(256) })],
    },
  });
}

/** Many that wait, of many agents. @param alike - as many ask for the same with other values, one after the other */
export function manyRequests(requests: Requests, count: number, alike = 1): AccessRequest[] {
  return Array.from({ length: count }, (_, at) =>
    requests.put(
      aRequest({
        spec: {
          ...(alike > 1 && sameAs(Math.floor(at / alike), at)),
          agent: agentOf(Math.floor(at / alike)),
          effects: [
            { verb: 'update', object: `public.table_${Math.floor(at / alike)}`, via: 'direct', verdict: 'approve', rule: 'fix' },
          ],
          expiresAt: inTime((600 + at) * SECOND),
        },
      }),
    ),
  );
}

const agentOf = (number: number): AccessRequest['spec']['agent'] => ({
  serviceAccount: `agent-${number % 50}`,
  pod: `agent-${number % 50}-1`,
  purpose: 'x',
});

const sameAs = (group: number, at: number): Partial<AccessRequest['spec']> => ({
  template: group.toString(16).padStart(64, '0'),
  text: `update table_${group} set a = ${at} where id = ${at}`,
});
