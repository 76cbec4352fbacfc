import { setTimeout as sleep } from 'node:timers/promises';
import type { Question, RequestView } from '@chaperone/policy';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { eventually, type FakeApiServer } from '@chaperone/kube/fake-api-server';
import { KINDS } from '@chaperone/kube';
import { AGENTS, type OpenStream, putAgentPod, reviewsTokens } from '../operator.test-support.ts';
import { askingCluster, POLICY, refusesStatus, RESOURCE, told } from './asking.test-support.ts';

const cluster = askingCluster();
const { approved, ask, call, connect, decide, enrol, putPolicy, question, release, requestAt, stateOf } = cluster;
let api: FakeApiServer;
let me = '';
let other = '';
let bot: OpenStream;

beforeAll(async () => {
  api = await cluster.open();
});
beforeEach(async () => {
  ({ me, other, bot } = await cluster.renew());
});
afterEach(() => {
  api.intercept = reviewsTokens;
});
afterAll(() => cluster.close());

describe('a request', () => {
  test('that nobody decided expires in time, and cannot be approved any more', async () => {
    const asked = question({ rule: 'quick' });
    await ask(asked);
    expect(stateOf(asked.name)).toBe('Pending');
    await eventually(() => expect(told(bot, asked.name).at(-1)?.state).toBe('Expired'));
    expect(Date.now()).toBeGreaterThan(Date.parse(requestAt(asked.name).spec.expiresAt));
    decide(asked.name);
    await sleep(50);
    expect((await release(asked)).body).toMatchObject({ state: 'Expired' });
  });

  test('that was approved and not used in time expires too', async () => {
    const asked = await approved({ rule: 'quick' });
    await eventually(() => expect(stateOf(asked.name)).toBe('Expired'));
    expect((await release(asked)).body).toMatchObject({ state: 'Expired' });
  });

  test('that does not wait answers the same action with its denial, until it expires', async () => {
    const asked = question({ rule: 'later' });
    expect(await ask(asked)).toMatchObject({ state: 'Pending', mode: 'retry' });
    decide(asked.name, { decision: 'Deny' });
    await eventually(() => expect(stateOf(asked.name)).toBe('Denied'));
    expect(await ask(question({ rule: 'later', digest: asked.digest }))).toMatchObject({ name: asked.name, state: 'Denied' });
  });

  test('is released once, however often and at once that is asked', async () => {
    const asked = await approved();
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => release(asked)));
    const states = answers.map(({ body }) => (body as RequestView).state);
    expect(states.toSorted()).toEqual(['Released', 'Voided', 'Voided', 'Voided', 'Voided']);
    expect(stateOf(asked.name)).toBe('Released');
    expect((await release(asked)).body).toMatchObject({ state: 'Voided' });
    const end = { name: asked.name, state: 'Ran', result: 'UPDATE 1' };
    expect((await call('POST', '/v1/ended', me, end)).status).toBe(204);
    expect(requestAt(asked.name).status).toMatchObject({
      state: 'Ran',
      result: 'UPDATE 1',
      conditions: [
        { type: 'Decided', status: 'True' },
        { type: 'Executed', status: 'True', message: 'it ran: UPDATE 1' },
      ],
    });
    expect((await release(asked)).body).toMatchObject({ state: 'Voided' });
  });

  test('never ran because its pod says so: it was not released', async () => {
    const asked = await approved();
    expect((await call('POST', '/v1/ended', me, { name: asked.name, state: 'Ran' })).status).toBe(204);
    expect(stateOf(asked.name)).toBe('Approved');
  });

  test('is voided by a release that is for something else', async () => {
    const asked = await approved();
    const changed = { ...asked, digest: 'e'.repeat(64) };
    expect((await release(changed)).body).toMatchObject({ state: 'Voided' });
    expect(stateOf(asked.name)).toBe('Voided');
    expect((await release(asked)).body).toMatchObject({ state: 'Voided' });
  });

  test('is not released over a Deny that no informer has brought yet', async () => {
    const asked = await approved();
    const deny = {
      request: asked.name,
      requestUid: requestAt(asked.name).metadata.uid,
      digest: asked.digest,
      decision: 'Deny',
      by: 'ann',
      groups: ['dba'],
    };
    // Lists show it, watches do not.
    api.intercept = (entry, response, request) => {
      if (!entry.url.pathname.endsWith('/approvaldecisions')) return reviewsTokens(entry, response, request);
      const metadata = { namespace: AGENTS, name: 'unseen', creationTimestamp: new Date().toISOString() };
      const item = { apiVersion: 'chaperone.dev/v1alpha1', kind: 'ApprovalDecision', metadata, spec: deny };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: [item] }));
      return true;
    };
    expect((await release(asked)).body).toMatchObject({ state: 'Denied' });
    expect(stateOf(asked.name)).toBe('Denied');
  });

  test('whose release could not be written down does not run', async () => {
    const asked = await approved();
    api.intercept = refusesStatus;
    expect(await release(asked)).toMatchObject({ status: 503, body: { code: 'Unavailable' } });
    expect(stateOf(asked.name)).toBe('Approved');
  });

  test('is voided as soon as its policy is another, or gone', async () => {
    const changed = await approved();
    putPolicy({ purpose: 'answer tickets, better' });
    await eventually(() => expect(told(bot, changed.name).at(-1)?.state).toBe('Voided'));
    expect((await release(changed)).body).toMatchObject({ state: 'Voided' });
    const current = await eventuallyAsked();
    api.remove(KINDS.accessPolicies, POLICY);
    await eventually(() => expect(told(bot, current.name).at(-1)?.state).toBe('Voided'));
    putPolicy();
    await ask(await eventuallyAsked());
  });

  test('is withdrawn with its pod, and with a pod that ended', async () => {
    putAgentPod(api, 'brief');
    await enrol('brief');
    const [first, second] = [question(), question()];
    await ask(first, 'brief');
    await ask(second, 'brief');
    decide(second.name);
    await eventually(() => expect(stateOf(second.name)).toBe('Approved'));
    api.remove(KINDS.pods, { namespace: AGENTS, name: 'brief' });
    await eventually(() => expect([stateOf(first.name), stateOf(second.name)]).toEqual(['Withdrawn', 'Withdrawn']));
  });

  test('is told to every stream of its pod that begins, until it is over', async () => {
    const [open, over] = [question(), question()];
    await ask(open, other);
    await ask(over, other);
    await call('POST', '/v1/ended', other, { name: over.name, state: 'Withdrawn' });
    await eventually(() => expect(stateOf(over.name)).toBe('Withdrawn'));
    await sleep(50);
    const stream = await connect(other);
    await eventually(() => expect(told(stream, open.name)).toMatchObject([{ state: 'Pending' }]));
    expect(told(stream, over.name)).toEqual([]);
    await call('POST', '/v1/ended', other, { name: open.name, state: 'Withdrawn' });
  });

  test('waits on under another operator, which releases what the first has approved, once', async () => {
    const pending = question();
    await ask(pending, other);
    const done = await approved({}, other);
    const used = await approved({}, other);
    expect((await release(used, other)).body).toMatchObject({ state: 'Released' });
    await cluster.stop();
    decide(pending.name);
    await cluster.start('operator-1');
    await eventually(async () =>
      expect((await call('POST', '/v1/ask', other, pending)).body).toMatchObject({ code: 'NotEnrolled' }),
    );
    await enrol(other);
    const stream = await connect(other);
    await eventually(() => expect(told(stream, pending.name).at(-1)?.state).toBe('Approved'));
    expect(await ask(pending, other)).toMatchObject({ name: pending.name, state: 'Approved' });
    expect((await release(done, other)).body).toMatchObject({ state: 'Released' });
    expect((await release(used, other)).body).toMatchObject({ state: 'Voided' });
    expect((await release(pending, other)).body).toMatchObject({ state: 'Released' });
  });
});

/** A request under the policy in force: the pod is given it a moment after the policy changed. */
async function eventuallyAsked(): Promise<Question> {
  const asked = question();
  await eventually(async () => {
    const fresh = question({ digest: asked.digest });
    const { status, body } = await call('POST', '/v1/ask', me, fresh);
    expect(status).toBe(200);
    Object.assign(asked, { name: (body as RequestView).name });
    await sleep(60);
    expect(stateOf(asked.name)).toBe('Pending');
  });
  return asked;
}

const end = (asked: Question): Promise<unknown> =>
  call('POST', '/v1/ended', me, { name: asked.name, state: 'Ran', result: 'UPDATE 1' });
describe('what was granted', () => {
  const TEMPLATE = 'e'.repeat(64);
  const again = () => question({ rule: 'often', template: TEMPLATE });

  async function granted(): Promise<Question> {
    const asked = again();
    await ask(asked);
    decide(asked.name, { grantFor: 600 });
    await eventually(() => expect(stateOf(asked.name)).toBe('Approved'));
    expect((await release(asked)).body).toMatchObject({ state: 'Released' });
    await end(asked);
    return asked;
  }

  test('runs again without anybody being asked, more often than people could be, and says with whose approval', async () => {
    const first = await granted();
    expect(Date.parse(requestAt(first.name).status?.grantedUntil ?? '') - Date.now()).toBeGreaterThan(590_000);
    for (let n = 0; n < 15; n += 1) {
      const next = again();
      expect(await ask(next)).toMatchObject({ state: 'Approved', grantedBy: first.name, decisions: [{ by: 'jane' }] });
      expect((await release(next)).body).toMatchObject({ state: 'Released' });
      expect((await release(next)).body, 'once').toMatchObject({ state: 'Voided' });
      await end(next);
      expect(requestAt(next.name).spec.grantedBy).toBe(first.name);
    }
  });

  test('is for that agent’s pod and that template alone', async () => {
    await granted();
    expect(await ask(again(), other)).toMatchObject({ state: 'Pending' });
    expect(await ask(question({ rule: 'often', template: 'f'.repeat(64) }))).toMatchObject({ state: 'Pending' });
    expect(await ask(question({ rule: 'often' }))).toMatchObject({ state: 'Pending' });
    expect(await ask(question({ rule: 'fix', template: TEMPLATE }))).toMatchObject({ state: 'Pending' });
  });

  test('ends with a Deny of somebody whom the rule asks, which says that it counts', async () => {
    const first = await granted();
    const stranger = decide(first.name, { decision: 'Deny', by: 'eve', groups: [] });
    await eventually(() => expect(cluster.decisionAt(stranger).status?.counted).toBe(false));
    expect(await ask(again())).toMatchObject({ state: 'Approved' });
    const denial = decide(first.name, { decision: 'Deny', by: 'ann', reason: 'enough' });
    expect(await ask(again())).toMatchObject({ state: 'Pending' });
    await eventually(() => expect(cluster.decisionAt(denial).status?.counted).toBe(true));
    expect(requestAt(first.name).status).toMatchObject({ state: 'Ran', revokedBy: 'ann' });
  });

  test('that ends between question and release does not run', async () => {
    const first = await granted();
    const next = again();
    expect(await ask(next)).toMatchObject({ state: 'Approved' });
    decide(first.name, { decision: 'Deny', by: 'ann' });
    expect((await release(next)).body).toMatchObject({ state: 'Pending' });
  });

  test('ends with its policy', async () => {
    const first = await granted();
    putPolicy({ purpose: 'answer tickets, well' });
    await eventually(() =>
      expect(requestAt(first.name).status?.grantEnded).toEqual({ at: expect.any(String), why: 'its policy changed' }),
    );
    await eventually(async () => expect(await ask(again())).toMatchObject({ state: 'Pending' }));
    putPolicy();
  });

  const OTHER = { namespace: AGENTS, name: 'other' };
  function putOther(): void {
    const rules = [{ name: 'never', effect: 'Deny', resource: RESOURCE, sql: { statements: ['drop'] } }];
    api.put(KINDS.accessPolicies, {
      metadata: OTHER,
      spec: { agents: { serviceAccounts: ['support'] }, purpose: 'more', rules },
    });
  }
  test.each<[string, () => void, string]>([
    ['another policy on its resource', () => putOther(), 'the resource, or another policy on it, changed'],
    ['its pod', () => api.remove(KINDS.pods, { namespace: AGENTS, name: me }), 'its pod is gone'],
  ])('ends with %s, and says so', async (_, change, why) => {
    const first = await granted();
    change();
    await eventually(() => expect(requestAt(first.name).status?.grantEnded?.why).toBe(why));
    expect(requestAt(first.name).status?.state).toBe('Ran');
    api.remove(KINDS.accessPolicies, OTHER);
  });

  test('is not there where one who approved meant once only', async () => {
    const asked = again();
    await ask(asked);
    decide(asked.name);
    await eventually(() => expect(stateOf(asked.name)).toBe('Approved'));
    await release(asked);
    await end(asked);
    expect(await ask(again())).toMatchObject({ state: 'Pending' });
  });
});
