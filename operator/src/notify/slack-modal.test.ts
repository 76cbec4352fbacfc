import type { AccessRequest } from '@chaperone/api';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { aSlackUser, type FakeSlack, startFakeSlack } from './fake-slack.test-support.ts';
import { anAccessRequest, became, REQUEST } from './request.test-support.ts';
import { anApp, CONSOLE, JANE, REASON } from './slack-app.test-support.ts';
import { REASON_BLOCK } from './slack-modal.ts';

let slack: FakeSlack;
let app: Awaited<ReturnType<typeof anApp>>;
beforeEach(async () => {
  slack = await startFakeSlack();
  app = await anApp(slack);
});
afterEach(async () => {
  await app.close();
  await slack.close();
});
const seen = (): string => JSON.stringify(slack.views.at(-1)?.view ?? {});
const wantsReason = (reason: boolean): AccessRequest =>
  anAccessRequest({ spec: { rules: anAccessRequest().spec.rules.map((rule) => ({ ...rule, reason })) } });

describe('Deny', () => {
  test('opens a window that says what it is about and asks why, and denies nothing yet', async () => {
    await app.press();
    expect(app.results).toEqual(['Opened']);
    expect([app.decisions, slack.whispers]).toEqual([[], []]);
    expect(slack.views).toHaveLength(1);
    for (const word of [
      'agents/support-agent',
      'UPDATE on public.tickets',
      'data/orders-db',
      REQUEST,
      '9c1f-44ab',
      'The agent reads it',
    ])
      expect(seen()).toContain(word);
    expect(seen()).not.toContain('CANARY');
  });

  test('is recorded with the reason when the window is sent, and the window says so', async () => {
    const { state, errors } = await app.deny();
    const { metadata, spec } = anAccessRequest();
    expect(app.decisions).toEqual([
      {
        request: { namespace: 'agents', name: REQUEST },
        uid: metadata.uid,
        digest: spec.digest,
        decision: 'Deny',
        by: 'jane@corp.example',
        groups: [],
        reason: REASON,
      },
    ]);
    expect([state, errors]).toEqual(['open', {}]);
    expect(seen()).toContain(`Your Deny of ${REQUEST} is recorded, as jane@corp.example. agents/support-agent is told.`);
    expect(app.results).toEqual(['Opened', 'Denied']);
  });

  test('wants a reason where the rule does: Slack asks for one, and one without a word does not count', async () => {
    app.state.request = wantsReason(true);
    await app.press();
    await expect(app.submit('')).rejects.toThrow('required input is empty');
    const { errors } = await app.submit(' … ');
    expect(errors[REASON_BLOCK]).toContain('Not denied: the rule wants a reason.');
    expect(app.decisions).toEqual([]);
    await app.submit(` ${REASON} `);
    expect(app.decisions).toEqual([expect.objectContaining({ reason: REASON })]);
    expect(app.results).toEqual(['Opened', 'Refused', 'Denied']);
  });

  test('needs none where no rule that asks the person wants one', async () => {
    const [rule = { groups: [], users: [] }] = wantsReason(true).spec.rules;
    const other = { ...anAccessRequest().spec.rules[0], ...rule, users: ['bob@corp.example'], groups: [] };
    app.state.request = anAccessRequest({ spec: { rules: [...anAccessRequest().spec.rules, other as never] } });
    await app.deny(JANE, '');
    expect(app.decisions).toEqual([expect.objectContaining({ decision: 'Deny', reason: undefined })]);
  });

  test.each([
    ['longer than a decision has room for', 'x'.repeat(1025)],
    ['of two lines', 'one\ntwo'],
  ])('for a reason %s is not recorded, and may be written anew', async (_name, reason) => {
    await app.press();
    expect((await app.submit(reason)).errors[REASON_BLOCK]).toContain('write the reason on one line');
    expect(app.decisions).toEqual([]);
    await app.submit();
    expect(app.decisions).toHaveLength(1);
  });
});

describe('while the window is open', () => {
  test.each<[string, AccessRequest | undefined, string, string]>([
    ['was decided', became(anAccessRequest(), 'Denied'), 'is already decided. Denied', 'Late'],
    ['ran', became(anAccessRequest(), 'Ran'), 'is already decided. Approved. It ran.', 'Late'],
    ['expired', became(anAccessRequest(), 'Expired'), 'It never ran.', 'Late'],
    [
      'ran out of time a moment ago',
      anAccessRequest({ spec: { expiresAt: '2020-01-01T00:00:00Z' } }),
      'it came too late',
      'Refused',
    ],
    ['is gone', undefined, 'There is nothing to deny', 'Late'],
    [
      'became another',
      { ...anAccessRequest(), metadata: { ...anAccessRequest().metadata, uid: 'another' } },
      'nothing to deny',
      'Late',
    ],
    ['asks for something else', anAccessRequest({ spec: { digest: 'b'.repeat(64) } }), 'There is nothing to deny', 'Late'],
  ])('what %s is not denied, and the window says so', async (_name, request, text, result) => {
    await app.press();
    app.state.request = request;
    const { errors, state } = await app.submit();
    expect(errors[REASON_BLOCK]).toContain(text);
    expect([state, app.decisions]).toEqual(['open', []]);
    expect(app.results).toEqual(['Opened', result]);
  });

  test('somebody who became a guest denies nothing', async () => {
    await app.press();
    slack.users.set(JANE, aSlackUser(JANE, 'jane@corp.example', { is_restricted: true }));
    expect((await app.submit()).errors[REASON_BLOCK]).toBe('Not denied: guests of this workspace decide nothing here.');
    expect(app.decisions).toEqual([]);
  });

  test('the cluster may take the right away, or fail, and the window says what it knows', async () => {
    app.state.verdict = { ok: false, why: 'jane@corp.example may not create approvaldecisions in agents' };
    expect((await app.deny()).errors[REASON_BLOCK]).toContain('Not denied: jane@corp.example may not create');
    await app.close();
    app = await anApp(slack, { decide: () => Promise.reject(new Error('secret detail')) });
    const { errors } = await app.deny();
    expect(errors[REASON_BLOCK]).toBe(
      `Not denied: the cluster did not take it. Try again, or open ${CONSOLE}/requests/agents/${REQUEST}`,
    );
    expect(app.results).toEqual(['Opened', 'Failed']);
  });

  test('an answer that takes longer than Slack waits claims nothing, and is recorded all the same', async () => {
    await app.close();
    const { promise, resolve } = Promise.withResolvers<{ ok: true }>();
    app = await anApp(slack, { decide: () => promise, patienceMs: 50 });
    expect((await app.deny()).errors[REASON_BLOCK]).toContain('It may be denied yet');
    resolve({ ok: true });
    await app.idle();
    expect(app.results).toEqual(['Opened', 'Denied']);
  });
});

const told = (): void => {
  expect(JSON.stringify(slack.whispers)).toContain(
    `Not denied: Slack opened no window for the reason. Try again, or open ${CONSOLE}/requests/agents/${REQUEST}`,
  );
  expect([slack.views, app.decisions, app.results]).toEqual([[], [], ['Failed']]);
};

describe('where no window opens, nothing is denied and the person is told', () => {
  test('because the press is too old', async () => {
    slack.triggerMs = 0;
    await app.press();
    expect(slack.calls.at(-1)).toMatchObject({ method: 'views.open', error: 'expired_trigger_id' });
    told();
  });

  test.each([
    ['names a trigger that is not Slack’s', { trigger_id: '1.2.other' }],
    ['names none', { trigger_id: undefined }],
  ])('because the press %s', async (_name, payload) => {
    await app.press(JANE, { payload });
    told();
  });

  test('because Slack fails', async () => {
    slack.limit('views.open', 1, 30);
    await app.press();
    told();
  });

  test('because another replica opened it with the same press', async () => {
    const other = await anApp(slack);
    const pressed = slack.press(app.ts, 'chaperone_deny', JANE);
    await other.send(pressed);
    await app.send(pressed);
    await other.close();
    expect(slack.views).toHaveLength(1);
    expect([other.results, app.results, app.decisions]).toEqual([['Opened'], ['Failed'], []]);
  });
});

const ours = (): Record<string, unknown> => {
  const open = slack.views.at(-1);
  const state = { values: { [REASON_BLOCK]: { reason: { type: 'plain_text_input', value: REASON } } } };
  return { id: open?.id, ...open?.view, state };
};

const metadata = (mods: object): string =>
  JSON.stringify({ ...(JSON.parse(String(ours()['private_metadata'])) as object), ...mods });

describe('a window that is not ours', () => {
  test.each<[string, () => Record<string, unknown>]>([
    ['of another workspace', () => ({ team: { id: 'T0OTHER', domain: 'x' } })],
    ['of no workspace', () => ({ team: null })],
    ['by somebody of another workspace', () => ({ user: { id: JANE, team_id: 'T0OTHER' } })],
    ['by nobody', () => ({ user: undefined })],
    ['that was closed', () => ({ type: 'view_closed' })],
    ['of another name', () => ({ view: { ...ours(), callback_id: 'chaperone_approve' } })],
    ['that is no modal', () => ({ view: { ...ours(), type: 'home' } })],
    ['about nothing', () => ({ view: { ...ours(), private_metadata: '' } })],
    ['about more', () => ({ view: { ...ours(), private_metadata: metadata({ decision: 'Approve' }) } })],
    ['about a path', () => ({ view: { ...ours(), private_metadata: metadata({ name: '../secrets' }) } })],
    ['without its input', () => ({ view: { ...ours(), state: { values: {} } } })],
    [
      'with another input',
      () => ({ view: { ...ours(), state: { values: { [REASON_BLOCK]: { reason: { type: 'x', value: 'y' } } } } } }),
    ],
  ])('%s does nothing', async (_name, payload) => {
    await app.press();
    const { state } = await app.submit(REASON, { payload: payload() });
    expect([state, app.decisions, app.results]).toEqual(['closed', [], ['Opened', 'Ignored']]);
  });

  test.each([
    ['names another request', { name: `ar-${'b'.repeat(16)}`, uid: 'uid-other' }],
    ['names another digest', { digest: 'b'.repeat(64) }],
  ])('that %s than there is denies nothing', async (_name, mods) => {
    await app.press();
    const { errors } = await app.submit(REASON, { payload: { view: { ...ours(), private_metadata: metadata(mods) } } });
    expect(errors[REASON_BLOCK]).toContain('There is nothing to deny');
    expect(app.decisions).toEqual([]);
  });

  test.each([
    ['is forged', { secret: 'other' }, 'Forged'],
    ['is six minutes old', { timestamp: Math.floor(Date.now() / 1000) - 360 }, 'TooOld'],
  ])('that %s is refused', async (_name, mods, result) => {
    await app.press();
    const { state } = await app.submit(REASON, mods);
    expect([state, app.decisions, app.results]).toEqual(['failed', [], ['Opened', result]]);
  });

  test('is taken once: the same again is refused', async () => {
    await app.press();
    const sent = slack.submit('V0', { [REASON_BLOCK]: REASON });
    expect(await app.send(sent)).toBe(200);
    expect(await app.send(sent)).toBe(401);
    expect(app.results).toEqual(['Opened', 'Denied', 'Seen']);
    expect(app.decisions).toHaveLength(1);
  });
});
