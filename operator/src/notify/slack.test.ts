import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@chaperone/kube/fake-api-server';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CHANNEL, type FakeSlack, startFakeSlack } from './fake-slack.test-support.ts';
import { createAddressGuard } from './guard.ts';
import { anAccessRequest, became, requestName } from './request.test-support.ts';
import { SlackClient } from './slack-client.ts';
import { messageOf } from './slack-message.ts';
import { SlackNotices, type SlackNoticesOptions } from './slack.ts';
import { slackText } from './slack-text.ts';
import type { Outcome } from './webhook.ts';

const CONSOLE = 'https://chaperone.corp.example';
let slack: FakeSlack;
const closing: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  slack = await startFakeSlack();
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await slack.close();
});

function notices(mods: Partial<SlackNoticesOptions> = {}, token = (): Promise<string> => Promise.resolve('xoxb-good')) {
  const outcomes: Outcome[] = [];
  const errors: unknown[] = [];
  const ups: boolean[] = [];
  const stopping = new AbortController();
  const client = new SlackClient({
    token,
    mayDial: createAddressGuard({ allowLoopback: true }),
    signal: stopping.signal,
    apiUrl: slack.apiUrl,
    hooksOrigin: slack.origin,
  });
  const made = new SlackNotices({
    client,
    channel: CHANNEL,
    consoleUrl: CONSOLE,
    onOutcome: (outcome) => outcomes.push(outcome),
    onUp: (up) => ups.push(up),
    onError: (error) => errors.push(error),
    backoffMs: 20,
    lookMs: 20,
    ...mods,
  });
  closing.push(async () => {
    stopping.abort();
    await made.stop();
  });
  return { notices: made, outcomes, errors, ups };
}

const shown = (index = 0): string => JSON.stringify(slack.messages[index]?.blocks);

describe('a message', () => {
  test('says who wants what, where, by which rule and until when; it can be denied, and opened to approve', async () => {
    const { notices: made, outcomes, ups } = notices();
    const now = Date.now();
    const request = anAccessRequest({ now });
    made.changed(request);
    await eventually(() => expect(outcomes).toEqual(['sent']));
    const clock = request.spec.expiresAt.slice(11, 19);
    expect(slack.messages[0]).toMatchObject({
      text: 'support-agent asks: UPDATE on public.tickets',
      args: { channel: CHANNEL, mrkdwn: false, parse: 'none', link_names: false, unfurl_links: false, unfurl_media: false },
    });
    const [header, section, actions] = slack.messages[0]?.blocks ?? [];
    expect(header).toEqual({ type: 'header', text: { type: 'plain_text', text: 'UPDATE on public.tickets', emoji: false } });
    expect(((section?.['fields'] ?? []) as { text: string }[]).map(({ text }) => text)).toEqual([
      'Agent\nagents/support-agent',
      'Resource\ndata/orders-db',
      'Purpose\nanswer support tickets',
      'Rule\nagents/support-agent · fix',
      expect.stringMatching(new RegExp(`^Time\\n(4|5) min left, until ${clock}Z$`)),
      'Approvals\n0/1',
      `Request\n${request.metadata.name}`,
      'Digest\n9c1f-44ab',
    ]);
    const [open, deny, ...others] = (actions?.['elements'] ?? []) as Record<string, string>[];
    expect(others).toEqual([]);
    expect(open).toMatchObject({ action_id: 'chaperone_open', url: `${CONSOLE}/requests/agents/${request.metadata.name}` });
    expect(open?.['value']).toBeUndefined();
    expect(deny).toMatchObject({ action_id: 'chaperone_deny' });
    expect(JSON.parse(deny?.['value'] ?? '')).toEqual({
      namespace: 'agents',
      name: request.metadata.name,
      uid: request.metadata.uid,
      digest: request.spec.digest,
    });
    expect(JSON.stringify(slack.messages)).not.toContain('CANARY');
    expect(ups.at(-1)).toBe(true);
  });

  test.each([
    ['Approved', 'Approve', 'Approved by bob@corp.example at 12:04:07Z. It has not run yet.'],
    ['Denied', 'Deny', 'Denied by bob@corp.example at 12:04:07Z. It did not run.'],
    ['Ran', 'Approve', 'Approved by bob@corp.example at 12:04:07Z. It ran.'],
    ['Expired', undefined, 'Expired: nobody decided in time. It never ran.'],
    ['Voided', undefined, 'What it was about changed meanwhile. It did not run; the agent has to ask again.'],
  ] as const)('of what is %s has no button any more, and says so', async (state, decision, text) => {
    const { notices: made, outcomes } = notices();
    const request = anAccessRequest();
    made.changed(request);
    await eventually(() => expect(outcomes).toEqual(['sent']));
    const at = '2026-01-01T12:04:07Z';
    const by = 'bob@corp.example';
    const given = decision === undefined ? [] : [{ name: 'd', decision, by, at, counted: true, reason: 'CANARY' }];
    const decisions = [...given, { name: 'e', decision: 'Deny' as const, by: 'mallory', at, counted: false, why: 'no' }];
    made.changed(became(request, state, { decisions, result: 'CANARY' }));
    await eventually(() => expect(outcomes).toEqual(['sent', 'sent']));
    expect(slack.messages).toHaveLength(1);
    expect(slack.messages[0]?.blocks.at(-1)).toMatchObject({ type: 'section', text: { text } });
    for (const gone of ['button', 'CANARY', 'mallory', 'chaperone_deny']) expect(shown()).not.toContain(gone);
  });

  test('is not written for what is over already, and not again for what did not change', async () => {
    const { notices: made, outcomes } = notices();
    const request = anAccessRequest();
    made.changed(became(anAccessRequest({ name: requestName(1) }), 'Denied'));
    made.changed(request);
    made.changed(request);
    await eventually(() => expect(outcomes).toEqual(['sent']));
    made.changed({ ...request, metadata: { ...request.metadata, resourceVersion: '9' } });
    await sleep(100);
    expect(slack.calls).toHaveLength(1);
  });

  test('is known to the next leader, who changes it and writes no other', async () => {
    const marks: string[] = [];
    const first = notices({ remember: (_request, mark) => Promise.resolve(void marks.push(mark)) });
    const request = anAccessRequest();
    first.notices.changed(request);
    await eventually(() => expect(marks).toEqual([`${CHANNEL}/${slack.messages[0]?.ts}`]));
    const annotations = { 'chaperone.dev/slack-message': marks[0] ?? '' };
    const marked = { ...request, metadata: { ...request.metadata, annotations } };
    const second = notices();
    second.notices.changed(marked);
    await sleep(50);
    expect(slack.calls).toHaveLength(1);
    second.notices.changed(became(marked, 'Denied'));
    await eventually(() => expect(second.outcomes).toEqual(['sent']));
    expect(slack.messages.map(({ updates }) => updates)).toEqual([1]);
    expect(shown()).not.toContain('button');
  });
});

test('a message that the last leader could not change is changed by the next one, unless that is long ago', async () => {
  const first = notices();
  const requests = [5, 20].map((_, index) => anAccessRequest({ name: requestName(index) }));
  for (const request of requests) first.notices.changed(request);
  await eventually(() => expect(first.outcomes).toEqual(['sent', 'sent']));
  const second = notices();
  for (const [index, minutes] of [5, 20].entries()) {
    const request = requests[index] ?? anAccessRequest();
    const annotations = { 'chaperone.dev/slack-message': `${CHANNEL}/${slack.messages[index]?.ts}` };
    const decidedAt = new Date(Date.now() - minutes * 60_000).toISOString();
    second.notices.changed(became({ ...request, metadata: { ...request.metadata, annotations } }, 'Denied', { decidedAt }));
  }
  await eventually(() => expect(second.outcomes).toEqual(['sent']));
  await sleep(50);
  expect(slack.messages.map(({ updates }) => updates)).toEqual([1, 0]);
});

const HOSTILE: readonly (readonly [string, string, string])[] = [
  ['a mention', '<!channel> hi', '&lt;!channel&gt; hi'],
  ['a link', '<https://evil.example|Approve>', '&lt;https://evil.example|Approve&gt;'],
  ['an escaped escape', '&lt;!here&gt;', '&amp;lt;!here&amp;gt;'],
  ['right to left', 'a\u202egpj.exe', 'a\\u{202e}gpj.exe'],
  ['zero width', 'DELE\u200bTE\u2060 \u{e0041}', 'DELE\\u{200b}TE\\u{2060} \\u{e0041}'],
  ['lines', 'x\n✓ Approved by jon\r\u2028y', 'x\\n✓ Approved by jon\\r\\u{2028}y'],
  ['terminal', '\u001b]8;;x\u0007', '\\u{1b}]8;;x\\u{7}'],
  ['half a letter', 'a\ud800b', 'a\\u{d800}b'],
];

describe('hostile text', () => {
  test.each(HOSTILE)('%s is shown and does nothing', (_name, text, safe) => expect(slackText(text, 3000)).toBe(safe));

  test('is cut between letters, never within an escape', () => {
    expect(slackText('<<<<', 9)).toBe('&lt;&lt;…');
    expect(slackText('ab\u202e', 9)).toBe('ab…');
    expect(slackText('😀😀😀', 4)).toBe('😀…');
    expect(slackText('\ud83d', 7)).toBe('…');
  });

  test.each(HOSTILE)(
    '%s in every field leaves Slack no markup, no button and no invisible letter',
    async (_name, hostile, safe) => {
      const { notices: made, outcomes } = notices();
      const request = anAccessRequest({
        spec: {
          sentence: hostile,
          agent: { serviceAccount: hostile, purpose: hostile },
          resource: { namespace: hostile, name: hostile },
          rules: [{ ...anAccessRequest().spec.rules[0], rule: hostile, policy: { namespace: hostile, name: hostile } }] as never,
        },
        status: { state: 'Pending', votes: hostile },
      });
      made.changed(request);
      await eventually(() => expect(outcomes).toEqual(['sent']));
      const decided = { name: 'd', decision: 'Deny' as const, by: hostile, at: hostile, counted: true };
      const before = shown();
      made.changed(became(request, 'Denied', { decisions: [decided] }));
      await eventually(() => expect(outcomes).toEqual(['sent', 'sent']));
      for (const face of [before, shown(), JSON.stringify(slack.messages[0]?.text)]) {
        expect(face).not.toMatch(/[<>]|mrkdwn|"emoji":true/);
        // Line breaks of ours alone stand in fields, written by JSON as \n.
        expect(face.replaceAll('\\n', '')).not.toMatch(/[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u);
        expect(face).toContain(JSON.stringify(safe).slice(1, -1));
      }
      const texts = slack.messages[0]?.blocks.flatMap((block) => (block['fields'] ?? []) as { text: string }[]) ?? [];
      expect(texts.filter(({ text }) => text.split('\n').length !== 2)).toEqual([]);
    },
  );

  test('of any length fits into what Slack takes', async () => {
    const { notices: made, outcomes } = notices();
    const long = '\u202e'.repeat(512);
    made.changed(
      anAccessRequest({
        spec: {
          sentence: long,
          agent: { serviceAccount: 'a'.repeat(253), purpose: long },
          rules: Array.from({ length: 16 }, (_, index) => ({
            ...(anAccessRequest().spec.rules[0] as never as Record<string, never>),
            rule: `r${index}${'x'.repeat(60)}`,
            policy: { namespace: 'n'.repeat(63), name: 'p'.repeat(253) },
          })) as never,
        },
      }),
    );
    await eventually(() => expect(outcomes).toEqual(['sent']));
    const [first] = (slack.messages[0]?.blocks ?? []) as { type: string; text: { text: string } }[];
    expect(first?.type).toBe('section');
    expect(first?.text.text).toMatch(/^(\\u\{202e\})+…$/);
  });

  test('a console at any path leads to the request, and nowhere else', () => {
    const request = anAccessRequest({ name: '../../x?y#z' });
    expect(JSON.stringify(messageOf(request, `${CONSOLE}/c/`, 0).blocks)).toContain(
      `"${CONSOLE}/c/requests/agents/..%2F..%2Fx%3Fy%23z"`,
    );
  });
});

describe('a flood', () => {
  test('of one agent is one thread of ten and a count; another agent is heard', async () => {
    const { notices: made } = notices();
    for (let index = 0; index < 25; index += 1) made.changed(anAccessRequest({ name: requestName(index) }));
    made.changed(anAccessRequest({ name: requestName(99), spec: { agent: { serviceAccount: 'other', purpose: 'x' } } }));
    await eventually(() => expect(slack.messages).toHaveLength(12));
    await eventually(() => expect(JSON.stringify(slack.messages)).toContain('15 more of agents/support-agent within a minute'));
    const [first, ...rest] = slack.messages;
    const own = rest.filter(({ text }) => text !== 'other asks: UPDATE on public.tickets');
    expect(first?.thread_ts).toBeUndefined();
    expect(new Set(own.map((each) => each.thread_ts))).toEqual(new Set([first?.ts]));
    expect(slack.messages.filter(({ text }) => text.startsWith('support-agent asks'))).toHaveLength(10);
    expect(slack.messages.find(({ text }) => text.startsWith('other'))?.thread_ts).toBeUndefined();
    const more = slack.messages.find(({ text }) => text.includes('15 more'));
    expect(JSON.stringify(more?.blocks)).not.toContain('chaperone_deny');
  });

  test('is over after a minute', async () => {
    let clock = Date.now();
    const { notices: made, outcomes } = notices({ now: () => clock });
    made.changed(anAccessRequest({ name: requestName(0) }));
    await eventually(() => expect(outcomes).toHaveLength(1));
    clock += 60_000;
    made.changed(anAccessRequest({ name: requestName(1) }));
    await eventually(() => expect(outcomes).toHaveLength(2));
    expect(slack.messages.map(({ thread_ts }) => thread_ts)).toEqual([undefined, undefined]);
  });
});

describe('Slack', () => {
  test('that limits is left alone as long as it says, and nothing is lost', async () => {
    const { notices: made, outcomes } = notices();
    slack.limit('chat.postMessage', 1, 1);
    const begun = Date.now();
    for (let index = 0; index < 3; index += 1) made.changed(anAccessRequest({ name: requestName(index) }));
    await eventually(() => expect(outcomes).toEqual(['sent', 'sent', 'sent']));
    expect(Date.now() - begun).toBeGreaterThanOrEqual(990);
    expect(slack.calls.map(({ status }) => status)).toEqual([429, 200, 200, 200]);
  });

  test('that is down hears what is so when it is back, once', async () => {
    const { notices: made, outcomes, ups } = notices();
    slack.down = 503;
    const request = anAccessRequest();
    made.changed(request);
    await eventually(() => expect(slack.calls.length).toBeGreaterThan(2));
    expect(ups).toEqual([false]);
    made.changed(became(request, 'Pending', { votes: '1/2' }));
    slack.down = undefined;
    await eventually(() => expect(outcomes).toEqual(['sent']));
    expect(slack.messages).toHaveLength(1);
    expect(shown()).toContain('1/2');
    expect(ups).toEqual([false, true]);
  });

  test('that stays down is not told what expired meanwhile', async () => {
    const { notices: made, outcomes } = notices();
    slack.down = 500;
    made.changed(anAccessRequest({ spec: { expiresAt: new Date(Date.now() + 200).toISOString() } }));
    await eventually(() => expect(outcomes).toEqual(['failed']));
    slack.down = undefined;
    const { length } = slack.calls;
    await sleep(200);
    expect(slack.calls).toHaveLength(length);
  });

  test('that is not there at all is tried again', async () => {
    const { notices: made, errors } = notices();
    await slack.close();
    made.changed(anAccessRequest({ spec: { expiresAt: new Date(Date.now() + 150).toISOString() } }));
    await eventually(() => expect(errors).toEqual([expect.objectContaining({ failure: 'retry' })]));
  });

  test('that revoked the token is asked once, until there is another one; then it hears what still waits', async () => {
    let token = 'xoxb-revoked';
    const { notices: made, outcomes, errors, ups } = notices({}, () => Promise.resolve(token));
    for (let index = 0; index < 5; index += 1) made.changed(anAccessRequest({ name: requestName(index) }));
    await eventually(() => expect(outcomes).toHaveLength(5));
    await sleep(200);
    expect(slack.calls).toEqual([{ method: 'chat.postMessage', status: 200, error: 'invalid_auth' }]);
    expect(ups).toEqual([false]);
    expect(errors).toEqual([expect.objectContaining({ failure: 'token', message: 'chat.postMessage answered invalid_auth' })]);
    made.changed(anAccessRequest({ name: requestName(7) }));
    await sleep(100);
    expect(slack.calls).toHaveLength(1);
    token = 'xoxb-good';
    await eventually(() => expect(slack.messages).toHaveLength(6));
    expect(ups.at(-1)).toBe(true);
  });

  test('is not asked without a token, nor with one that could be more than a header', async () => {
    const { notices: made, outcomes, errors } = notices({}, () => Promise.resolve('xoxb-\r\nx: y'));
    made.changed(anAccessRequest());
    await eventually(() => expect(outcomes).toEqual(['failed']));
    expect(errors).toEqual([expect.objectContaining({ code: 'SecretInvalid' })]);
    await sleep(100);
    expect(slack.calls).toEqual([]);
  });

  test('that does not know the channel is asked once for each request, and that shows', async () => {
    const { notices: made, outcomes, ups } = notices({ channel: 'C0OTHER' });
    made.changed(anAccessRequest());
    await eventually(() => expect(outcomes).toEqual(['failed']));
    await sleep(100);
    expect(slack.calls).toHaveLength(1);
    expect(ups).toEqual([false]);
  });

  test('where somebody removed the message: others go on', async () => {
    const { notices: made, outcomes, ups } = notices();
    const request = anAccessRequest();
    made.changed(request);
    await eventually(() => expect(outcomes).toEqual(['sent']));
    slack.messages.splice(0);
    made.changed(became(request, 'Denied'));
    made.changed(anAccessRequest({ name: requestName(2), spec: { agent: { serviceAccount: 'other', purpose: 'x' } } }));
    await eventually(() => expect(outcomes).toEqual(['sent', 'failed', 'sent']));
    expect(ups.at(-1)).toBe(true);
  });
});
