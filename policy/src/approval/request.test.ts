import {
  AccessRequest,
  type ApprovalDecision,
  type CountedDecision,
  REQUEST_STATES,
  type RequestState,
  type RequestStatus,
} from '@chaperone/api';
import { isOpen } from '@chaperone/api/requests';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anAccess, anAgent } from '../builders.ts';
import { AskLimit, MAX_ASKED, MAX_OPEN, WINDOW_MS } from './flood.ts';
import { givenOf } from './objects.ts';
import { Question, RequestView, sealAction, type SealedAction } from './question.ts';
import { counted, ended, looked, release, requestOf, viewOf } from './request.ts';
import { aRequest, decisionOn } from './request.test-support.ts';

const CROWD = 70;

const NOW = Date.parse('2026-01-01T00:01:30Z');
const LATE = Date.parse('2026-01-01T00:05:00.001Z');
/** As the cluster has it, with the operator's note. */
const decisionVia = (via?: string): ApprovalDecision => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ApprovalDecision',
  metadata: { name: 'd', ...(via !== undefined && { annotations: { 'chaperone.dev/attested-by': via } }) },
  spec: decisionOn(aRequest()).spec,
});
const FIX = {
  name: 'fix',
  effect: 'RequireApproval',
  sql: { statements: ['update'], relations: ['public.tickets'] },
  approval: {
    approvers: { groups: ['dba'] },
    minimum: 2,
    all: ['sec'],
    timeout: '5m',
    mode: 'hold',
    reason: 'required',
    escalation: { after: '2m', approvers: { users: ['boss'] } },
  },
} as const;
const access = (approval: object = {}) =>
  anAccess([{ ...FIX, sql: { ...FIX.sql }, approval: { ...FIX.approval, ...approval } } as never]);
const POLICY = { namespace: 'agents', name: 'support-agent' };

function aQuestion(mods: Partial<Question> = {}): Question {
  const { session, action, resource, protocol, sentence, effects, text, textBytes, transaction, digest } = aRequest().spec;
  return Question.parse({
    name: `ar-${'a'.repeat(16)}`,
    session,
    action,
    resource,
    protocol,
    sentence,
    effects,
    text,
    textBytes,
    transaction,
    digest,
    asks: [{ policy: POLICY, rule: 'fix' }],
    ...mods,
  });
}

describe('what a question becomes', () => {
  it('is a request that names whom the rule in force asks, and until when', () => {
    const made = requestOf(aQuestion(), anAgent({ pod: 'bot-1', podUid: 'pod-1' }), access(), NOW);
    expect(made).toMatchObject({
      ok: true,
      spec: {
        agent: { serviceAccount: 'support-agent', pod: 'bot-1', podUid: 'pod-1' },
        mode: 'hold',
        expiresAt: '2026-01-01T00:06:30.000Z',
        rules: [
          {
            policy: POLICY,
            generation: 1,
            rule: 'fix',
            groups: ['dba'],
            users: [],
            minimum: 2,
            all: ['sec'],
            reason: true,
            escalation: { at: '2026-01-01T00:03:30.000Z', groups: [], users: ['boss'] },
          },
        ],
      },
    });
    const spec = made.ok ? made.spec : undefined;
    const object = {
      apiVersion: 'chaperone.dev/v1alpha1',
      kind: 'AccessRequest',
      metadata: { name: 'x', namespace: 'agents' },
      spec,
    };
    expect(AccessRequest.safeParse(object).error).toBeUndefined();
  });
  it.each<[string, object, boolean, string]>([
    ['as long as the rule says', {}, false, '2026-01-01T00:06:30.000Z'],
    ['a minute at most while locks are held', {}, true, '2026-01-01T00:02:30.000Z'],
    ['as long as the rule says for locks', { transactionTimeout: '3m' }, true, '2026-01-01T00:04:30.000Z'],
    ['never longer for locks than without', { timeout: '10s', transactionTimeout: '3m' }, true, '2026-01-01T00:01:40.000Z'],
  ])('it waits %s', (_, approval, transaction, expiresAt) => {
    expect(requestOf(aQuestion({ transaction }), anAgent(), access(approval), NOW)).toMatchObject({ spec: { expiresAt } });
  });
  it.each<[string, Partial<Question>]>([
    ['does not exist', { asks: [{ policy: POLICY, rule: 'other' }] }],
    ['is of another policy', { asks: [{ policy: { ...POLICY, name: 'other' }, rule: 'fix' }] }],
    [
      'is one of several',
      {
        asks: [
          { policy: POLICY, rule: 'fix' },
          { policy: POLICY, rule: 'other' },
        ],
      },
    ],
  ])('is nothing where a rule that asks %s', (_, mods) => {
    expect(requestOf(aQuestion(mods), anAgent(), access(), NOW)).toMatchObject({
      ok: false,
      refusal: { code: 'ApprovalUnavailable' },
    });
  });
  it('a rule that allows is none that asks', () => {
    const allowing = anAccess([{ name: 'fix', sql: { statements: ['update'], relations: ['**'] } }]);
    expect(requestOf(aQuestion(), anAgent(), allowing, NOW).ok).toBe(false);
  });
});

describe('the seal of an action', () => {
  const sealed: SealedAction = {
    agent: { namespace: 'agents', serviceAccount: 'bot', podUid: 'p' },
    onBehalfOf: { issuer: 'i', user: 'u' },
    resource: { namespace: 'data', name: 'orders-db', generation: 1 },
    access: 'd',
    protocol: 'postgres',
    text: 'update t set a = $1',
    bound: { values: ['YQ=='], types: [25], formats: [0] },
    state: { searchPath: 'public', role: 'x', transaction: 'none' },
  };
  it.each<[string, Partial<SealedAction>]>([
    ['statement', { text: 'update t set a = $1 ' }],
    ['bound value', { bound: { values: ['Yg=='], types: [25], formats: [0] } }],
    ['type of a bound value', { bound: { values: ['YQ=='], types: [23], formats: [0] } }],
    ['format of a bound value', { bound: { values: ['YQ=='], types: [25], formats: [1] } }],
    ['search path', { state: { ...sealed.state, searchPath: 'other' } }],
    ['role', { state: { ...sealed.state, role: 'y' } }],
    ['transaction', { state: { ...sealed.state, transaction: 'open' } }],
    ['resource', { resource: { ...sealed.resource, name: 'other' } }],
    ['resource’s generation', { resource: { ...sealed.resource, generation: 2 } }],
    ['pod', { agent: { ...sealed.agent, podUid: 'q' } }],
    ['ServiceAccount', { agent: { ...sealed.agent, serviceAccount: 'q' } }],
    ['person behind it', { onBehalfOf: { issuer: 'i', user: 'v' } }],
    ['policy', { access: 'e' }],
    ['protocol', { protocol: 'mysql' }],
  ])('is another one where the %s is', (_, mods) => {
    expect(sealAction({ ...sealed, ...mods })).not.toBe(sealAction(sealed));
  });
  it('is the same for the same, whatever the order of its members', () => {
    const { text, ...rest } = sealed;
    expect(sealAction({ ...rest, text })).toBe(sealAction(sealed));
  });
});

const status = (state: RequestState): RequestStatus => ({ state, votes: '0/1', decisions: [] });
const generation = (): number => 1;

describe('a request', () => {
  const asked = aRequest();
  it('is pending, then approved, and says so in its conditions', () => {
    const pending = counted(asked, {}, [], NOW);
    expect(pending).toMatchObject({
      state: 'Pending',
      votes: '0/1',
      conditions: [
        { type: 'Decided', status: 'False', reason: 'Pending' },
        { type: 'Executed', status: 'False' },
      ],
    });
    const approved = counted(asked, pending, [decisionOn(asked, { groups: ['dba'] })], NOW + 1000);
    expect(approved).toMatchObject({ state: 'Approved', votes: '1/1', decidedAt: '2026-01-01T00:01:31.000Z' });
    expect(approved.conditions?.[0]).toMatchObject({ status: 'True', lastTransitionTime: '2026-01-01T00:01:31.000Z' });
    expect(approved.conditions?.[1]).toEqual({ ...pending.conditions?.[1], reason: 'Approved', message: 'it has not run yet' });
  });
  it('expires, approved or not, and does not run then', () => {
    expect(counted(asked, {}, [], LATE).state).toBe('Expired');
    expect(counted(asked, {}, [decisionOn(asked, { groups: ['dba'] })], LATE).state).toBe('Expired');
    expect(release(asked, status('Approved'), asked.spec.digest, LATE, generation)).toEqual({ ok: false, state: 'Expired' });
  });
  it('that was denied in time is denied, however late that is seen', () => {
    expect(counted(asked, {}, [decisionOn(asked, { groups: ['dba'], decision: 'Deny' })], LATE).state).toBe('Denied');
  });
  it.each<[string, RequestState, string, number | undefined]>([
    ['pending', 'Pending', asked.spec.digest, 1],
    ['denied', 'Denied', asked.spec.digest, 1],
    ['expired', 'Expired', asked.spec.digest, 1],
    ['withdrawn', 'Withdrawn', asked.spec.digest, 1],
    ['released already', 'Released', asked.spec.digest, 1],
    ['ran already', 'Ran', asked.spec.digest, 1],
    ['approved for another digest', 'Approved', 'f'.repeat(64), 1],
    ['approved under another generation of its policy', 'Approved', asked.spec.digest, 2],
    ['approved under a policy that is gone', 'Approved', asked.spec.digest, undefined],
  ])('that is %s is not released', (_, state, digest, now) => {
    expect(release(asked, status(state), digest, NOW, () => now).ok).toBe(false);
  });
  it('that is approved is released once', () => {
    const first = release(asked, status('Approved'), asked.spec.digest, NOW, generation);
    expect(first).toMatchObject({ ok: true, status: { state: 'Released' } });
    expect(first.ok && release(asked, first.status, asked.spec.digest, NOW, generation)).toEqual({
      // Whoever hears Released runs it.
      ok: false,
      state: 'Voided',
    });
  });
  it('says once what it would meet, of the rows no more than how many, and keeps that through all that comes', () => {
    const { digest } = asked.spec;
    const preview = { estimate: 4, count: 3, columns: ['id'], rows: [['811']] };
    const known = looked(asked, counted(asked, {}, [], NOW), { digest, preview });
    expect(known?.preview).toEqual({ estimate: 4, count: 3 });
    expect(looked(asked, known ?? {}, { digest, preview: { count: 4 } })).toBeUndefined();
    const approved = counted(asked, known ?? {}, [decisionOn(asked, { groups: ['dba'] })], NOW);
    const freed = release(asked, approved, digest, NOW, generation);
    const ran = freed.ok ? ended(asked, freed.status, { state: 'Ran' }, NOW) : undefined;
    expect([approved.preview, ran?.preview]).toEqual([known?.preview, known?.preview]);
  });
  it.each(['Withdrawn', 'Voided'] as const)('that is %s says when, or when it was decided before', (state) => {
    expect(ended(asked, { state: 'Pending' }, { state }, NOW)?.decidedAt).toBe('2026-01-01T00:01:30.000Z');
    const decidedAt = '2026-01-01T00:01:00.000Z';
    expect(ended(asked, { state: 'Approved', decidedAt }, { state }, NOW)?.decidedAt).toBe(decidedAt);
  });
  it.each<[string, RequestState, string]>([
    ['what it would meet is for another digest', 'Pending', 'f'.repeat(64)],
    ...REQUEST_STATES.filter((state) => !isOpen(state)).map((state): [string, RequestState, string] => [
      `it is over: ${state}`,
      state,
      asked.spec.digest,
    ]),
  ])('does not change where %s', (_, state, digest) => {
    expect(looked(asked, status(state), { digest, preview: { count: 1 } })).toBeUndefined();
  });
  it('tells the one who asked the decisions that count, and how long is left', () => {
    const known = counted(asked, {}, [decisionOn(asked, { groups: ['dba'], reason: 'fine' }), decisionOn(asked)], NOW);
    expect(viewOf('ar-1', asked, known, Date.parse('2026-01-01T00:00:00Z'), NOW)).toEqual({
      name: 'ar-1',
      digest: asked.spec.digest,
      state: 'Approved',
      mode: 'hold',
      expiresInMs: 210_000,
      timeoutMs: 300_000,
      decisions: [{ by: 'jane', decision: 'Approve', reason: 'fine', at: '2026-01-01T00:01:00Z', assurance: 'kubernetes' }],
    });
  });
  it('tells how sure a decision is and which way it came, and nothing where that is not known', () => {
    const known = { by: 'jane', decision: 'Deny', at: '2026-01-01T00:01:00Z', counted: true, name: 'd' } as const;
    const view = (decision: Partial<CountedDecision>): unknown =>
      viewOf('ar-1', asked, { state: 'Denied', decisions: [{ ...known, ...decision }] }, NOW, NOW).decisions[0];
    expect(view({ assurance: 'passkey', via: 'page' })).toMatchObject({ assurance: 'passkey', via: 'page' });
    // An operator before this one wrote it.
    expect(view({})).toEqual({ by: 'jane', decision: 'Deny', at: '2026-01-01T00:01:00Z' });
  });
  it.each<[string, object]>([
    ['an older operator', {}],
    ['a newer one, with words that are new', { assurance: 'notarized', via: 'fax', seal: 'x' }],
  ])('is understood from %s', (_, more) => {
    const decision = { by: 'jane', decision: 'Approve', at: '2026-01-01T00:01:00Z', ...more };
    const view = viewOf(`ar-${'a'.repeat(16)}`, asked, { state: 'Approved' }, NOW, NOW);
    expect(RequestView.parse({ ...view, decisions: [decision] }).decisions).toMatchObject([{ by: 'jane' }]);
  });
  it('takes the way of a decision from the operator’s note, if it knows it', () => {
    expect(['slack', 'page', 'fax', undefined].map((via) => givenOf(decisionVia(via)).via)).toEqual([
      'slack',
      'page',
      undefined,
      undefined,
    ]);
  });
  it('never leaves a state in which it is over, whatever happens', () => {
    type Event = (state: RequestStatus) => RequestStatus;
    const event = fc.constantFrom<Event>(
      (now) => counted(asked, now, [decisionOn(asked, { groups: ['dba'] })], NOW),
      (now) => counted(asked, now, [decisionOn(asked, { groups: ['dba'], decision: 'Deny' })], NOW),
      (now) => counted(asked, now, [], LATE),
      (now) => {
        const freed = release(asked, now, asked.spec.digest, NOW, generation);
        return freed.ok ? freed.status : now;
      },
      ...(['Withdrawn', 'Voided', 'Ran', 'Failed'] as const).map(
        (state): Event =>
          (now) =>
            ended(asked, now, { state }, NOW) ?? now,
      ),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (events) => {
        let now: RequestStatus = {};
        let releases = 0;
        for (const step of events) {
          const next = step(now);
          if (!isOpen(now.state) && now.state !== 'Released') expect(next).toBe(now);
          if (next.state === 'Released' && now.state !== 'Released') releases++;
          if (next.state === 'Ran' && now.state !== 'Ran') expect(now.state).toBe('Released');
          now = next;
        }
        expect(releases).toBeLessThanOrEqual(1);
      }),
    );
  });
});

describe('an agent that keeps asking', () => {
  it('is told so after some requests in a minute, and may go on later', () => {
    const limit = new AskLimit();
    for (let at = 0; at < MAX_ASKED; at++) expect(limit.spend('a', 0, at)).toBeUndefined();
    expect(limit.spend('a', 0, 100)).toBe('it asked people 10 times within a minute');
    expect(limit.spend('b', 0, 100)).toBeUndefined();
    expect(limit.spend('a', 0, WINDOW_MS + 10)).toBeUndefined();
  });
  it('is told so while many of its requests wait', () => {
    expect(new AskLimit().spend('a', MAX_OPEN, 0)).toBe('20 of its requests wait for people already');
  });
});

it('says who approved, however many answers do not count', () => {
  const asked = aRequest();
  const crowd = Array.from({ length: CROWD }, (_, at) => decisionOn(asked, { by: `nobody-${at}`, groups: [] }));
  const { state, decisions = [] } = counted(asked, {}, [...crowd, decisionOn(asked, { by: 'jane', groups: ['dba'] })], NOW);
  expect([state, decisions.length, decisions[0]?.by]).toEqual(['Approved', 64, 'jane']);
});
