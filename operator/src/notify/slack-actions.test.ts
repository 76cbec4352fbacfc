import { connect } from 'node:net';
import { eventually } from '@chaperone/kube/fake-api-server';
import type { AccessRequest } from '@chaperone/api';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { aSlackUser, type FakeSlack, type PressedRequest, signAsSlack, startFakeSlack } from './fake-slack.test-support.ts';
import { anAccessRequest, became, REQUEST } from './request.test-support.ts';
import { anApp, JANE } from './slack-app.test-support.ts';
import { SLACK_PATH } from './slack-listener.ts';
import { slackSignature, SlackVerifier } from './slack-signature.ts';

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

const whispered = (): string => JSON.stringify(slack.whispers.at(-1) ?? {});
const bob = (): void => void slack.users.set('U0BOB', aSlackUser('U0BOB', 'bob@corp.example'));
const ago = (seconds: number): number => Math.floor(Date.now() / 1000) - seconds;
const nothing = (): void => {
  expect(app.decisions).toEqual([]);
  expect(slack.whispers).toEqual([]);
  expect(slack.calls.filter(({ method }) => method === 'users.info')).toEqual([]);
};

describe('the signature', () => {
  const DOCUMENTED =
    'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c';

  test('is that of the example in Slack’s documentation', () => {
    expect(slackSignature('8f742231b10e8888abcd99yyyzzz85a5', '1531420618', Buffer.from(DOCUMENTED))).toBe(
      'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
    );
  });

  test('is taken once within five minutes, by either secret while one is replaced', () => {
    const body = Buffer.from('payload={}');
    const verifier = new SlackVerifier();
    const at = 1_800_000_000;
    const refuse = (secret: string, seconds: number, secrets: string): string | undefined =>
      verifier.refuse(
        { timestamp: `${at}`, signature: slackSignature(secret, `${at}`, body), body },
        secrets,
        (at + seconds) * 1000,
      );
    expect(refuse('old', 301, 'new\nold')).toBe('TooOld');
    expect(refuse('old', -301, 'new\nold')).toBe('TooOld');
    expect(refuse('other', 0, 'new\nold')).toBe('Forged');
    expect(refuse('other', 0, '')).toBe('Forged');
    expect(refuse('', 0, ' ')).toBe('Forged');
    expect(refuse('old', -300, 'new\nold')).toBeUndefined();
    expect(refuse('old', 299, 'new\nold')).toBe('Seen');
    expect(refuse('new', 300, 'new\nold')).toBeUndefined();
    expect(refuse('new', 300, 'new\nold')).toBe('Seen');
  });
});

describe('Deny', () => {
  test('is never an approval: no button of ours approves, and an action of that name does nothing', async () => {
    const actions = JSON.stringify(slack.messages[0]?.blocks.at(-1));
    expect(actions.match(/"action_id":"[^"]*"/g)).toEqual(['"action_id":"chaperone_open"', '"action_id":"chaperone_deny"']);
    const { value } = JSON.parse(actions.slice(actions.indexOf('{"type":"button","style"'), -2)) as { value: string };
    for (const action_id of ['chaperone_open', 'chaperone_approve', 'approve', 'Approve'])
      expect(await app.press(JANE, { payload: { actions: [{ type: 'button', action_id, value }] } })).toBe(200);
    expect(app.results).toEqual(['Ignored', 'Ignored', 'Ignored', 'Ignored']);
    expect([app.decisions, slack.whispers]).toEqual([[], []]);
  });

  test.each(['Approved', 'Pending'] as const)('still works on what is %s', async (state) => {
    app.state.request = became(anAccessRequest(), state);
    await app.deny();
    expect(app.decisions).toHaveLength(1);
  });

  test.each([
    ['Denied', 'It did not run.'],
    ['Expired', 'It never ran.'],
    ['Ran', 'It ran.'],
    ['Voided', 'ask again.'],
  ] as const)('of what is %s is answered to the person alone', async (state, text) => {
    app.state.request = became(anAccessRequest(), state);
    expect(await app.press()).toBe(200);
    expect(app.decisions).toEqual([]);
    expect(slack.whispers).toHaveLength(1);
    expect(whispered()).toContain(`${REQUEST} is already decided.`);
    expect(whispered()).toContain(text);
    expect(whispered()).toContain('"response_type":"ephemeral"');
    expect(app.results).toEqual(['Late']);
  });

  test.each<[string, AccessRequest | undefined]>([
    ['there is no more', undefined],
    ['is another of the same name', { ...anAccessRequest(), metadata: { ...anAccessRequest().metadata, uid: 'another' } }],
    ['has another digest', anAccessRequest({ spec: { digest: 'b'.repeat(64) } })],
  ])('of what %s denies nothing', async (_name, request) => {
    app.state.request = request;
    await app.press();
    expect(app.decisions).toEqual([]);
    expect(whispered()).toContain('There is nothing to deny');
  });

  test('by somebody whom no rule asks says who may', async () => {
    slack.users.set('U0BOB', aSlackUser('U0BOB', 'bob@corp.example'));
    await app.press('U0BOB');
    expect(app.decisions).toEqual([]);
    expect(whispered()).toContain('Not denied: the rule does not ask this person. It asks group dba, jane@corp.example.');
    expect(app.results).toEqual(['Refused']);
  });

  test('by the person behind the agent is refused', async () => {
    const agent = { ...anAccessRequest().spec.agent, onBehalfOf: { issuer: 'i', user: 'jane@corp.example' } };
    app.state.request = anAccessRequest({ spec: { agent } });
    await app.press();
    expect(app.decisions).toEqual([]);
    expect(whispered()).toContain('nobody decides on a request of their own');
  });
});

describe('groups', () => {
  test('are those that Slack’s user groups stand for, where a rule asks for them', async () => {
    await app.close();
    app = await anApp(slack, {}, { groups: { dba: 'S0DBA', other: 'S0OTHER' } });
    bob();
    slack.usergroups.set('S0DBA', ['U0BOB']).set('S0OTHER', ['U0BOB']);
    await app.deny('U0BOB');
    expect(app.decisions).toEqual([expect.objectContaining({ by: 'bob@corp.example', groups: ['dba'] })]);
    // At the press, and anew when the window is sent.
    expect(slack.calls.filter(({ method }) => method === 'usergroups.users.list')).toHaveLength(2);
  });

  test('that the person is not in give no right', async () => {
    await app.close();
    app = await anApp(slack, {}, { groups: { dba: 'S0DBA' } });
    bob();
    slack.usergroups.set('S0DBA', ['U0SOMEBODY']);
    await app.press('U0BOB');
    expect(app.decisions).toEqual([]);
  });

  test('that Slack does not tell give no right either', async () => {
    await app.close();
    app = await anApp(slack, {}, { groups: { dba: 'S0GONE' } });
    bob();
    await app.press('U0BOB');
    expect(app.decisions).toEqual([]);
    expect(whispered()).toContain('Slack did not say who you are');
  });
});

describe('people', () => {
  test.each<[string, Record<string, unknown>, string]>([
    ['of another workspace', { team_id: 'T0OTHER' }, 'of another workspace'],
    ['without a workspace', { team_id: undefined }, 'of another workspace'],
    ['strangers of a shared channel', { is_stranger: true }, 'of another workspace'],
    ['that are another account', { id: 'U0OTHER' }, 'of another workspace'],
    ['that are guests', { is_restricted: true }, 'guests'],
    ['that are guests of one channel', { is_ultra_restricted: true }, 'guests'],
    ['of whom nothing says that they are no guests', { is_restricted: undefined }, 'guests'],
    ['that were only invited', { is_invited_user: true }, 'guests'],
    ['that are deactivated', { deleted: true }, 'deactivated'],
    ['that are bots', { is_bot: true }, 'programs'],
    ['that are workflows', { is_workflow_bot: true }, 'programs'],
    ['whose address is not confirmed', { is_email_confirmed: false }, 'not confirmed'],
    ['of whose address nothing is said', { is_email_confirmed: undefined }, 'not confirmed'],
    ['without an address', { profile: {} }, 'no e-mail address'],
    ['whose address hides something', { profile: { email: 'jane@corp.example\u200b' } }, 'no e-mail address'],
    ['whose address only looks like one', { profile: { email: 'jаne@corp.example' } }, 'no e-mail address'],
    ['whose address is a name of the system', { profile: { email: 'system:masters' } }, 'no e-mail address'],
  ])('%s deny nothing', async (_name, mods, text) => {
    slack.users.set(JANE, aSlackUser(JANE, 'jane@corp.example', mods));
    expect(await app.press()).toBe(200);
    expect(app.decisions).toEqual([]);
    expect(whispered()).toContain(text);
    expect(app.results).toEqual(['Refused']);
  });

  test('whom Slack does not know deny nothing', async () => {
    await app.press('U0NOBODY');
    expect(app.decisions).toEqual([]);
    expect(app.results).toEqual(['Failed']);
  });

  test('have in the cluster the name that the configuration makes of their address', async () => {
    await app.close();
    app = await anApp(slack, {}, { user: 'oidc:{email}' });
    const [rule] = anAccessRequest().spec.rules;
    if (rule !== undefined)
      app.state.request = anAccessRequest({ spec: { rules: [{ ...rule, users: ['oidc:$&@corp.example'] }] } });
    slack.users.set(JANE, aSlackUser(JANE, '$&@corp.example'));
    await app.deny();
    expect(app.decisions).toEqual([expect.objectContaining({ by: 'oidc:$&@corp.example' })]);
  });
});

const pressed = (mods = {}): PressedRequest => slack.press(app.ts, 'chaperone_deny', JANE, mods);

describe('what is not Slack’s, or not of our workspace,', () => {
  test.each<[string, () => Partial<PressedRequest>, string]>([
    ['signed by somebody else', () => pressed({ secret: 'other' }), 'Forged'],
    ['not signed', () => ({ ...pressed(), headers: { 'content-type': 'application/x-www-form-urlencoded' } }), 'NotSigned'],
    ['altered', () => ({ ...pressed(), body: pressed().body.replace('9c1f44ab', '9c1f44ac') }), 'Forged'],
    ['longer by a byte', () => ({ ...pressed(), body: `${pressed().body}&` }), 'Forged'],
    ['six minutes old', () => pressed({ timestamp: ago(360) }), 'TooOld'],
    ['of the future', () => pressed({ timestamp: ago(-360) }), 'TooOld'],
    [
      'given another time',
      () => ({
        ...pressed({ timestamp: ago(360) }),
        headers: { ...pressed({ timestamp: ago(360) }).headers, 'x-slack-request-timestamp': `${ago(0)}` },
      }),
      'Forged',
    ],
    [
      'signed by an older scheme',
      () => ({ ...pressed(), headers: { ...pressed().headers, 'x-slack-signature': 'v1=00' } }),
      'NotSigned',
    ],
  ])('%s is refused', async (_name, request, result) => {
    expect(await app.send(request())).toBe(401);
    expect(app.results).toEqual([result]);
    nothing();
  });

  test('is taken once: the same again is refused', async () => {
    const request = pressed();
    expect(await app.send(request)).toBe(200);
    expect(await app.send(request)).toBe(401);
    expect(app.results).toEqual(['Opened', 'Seen']);
    expect(slack.views).toHaveLength(1);
  });

  test.each<[string, Record<string, unknown>]>([
    ['of another workspace', { team: { id: 'T0OTHER', domain: 'x' } }],
    ['of no workspace', { team: null }],
    ['by somebody of another workspace', { user: { id: JANE, team_id: 'T0OTHER' } }],
    ['in another channel', { channel: { id: 'C0OTHER', name: 'x' } }],
    ['of another kind', { type: 'message_action' }],
    ['that says it is a window', { type: 'view_submission' }],
    ['with two actions', { actions: [1, 2].map(() => ({ type: 'button', action_id: 'chaperone_deny', value: '{}' })) }],
    ['with another value', { actions: [{ type: 'button', action_id: 'chaperone_deny', value: '{"namespace":"agents"}' }] }],
    ['with no value', { actions: [{ type: 'button', action_id: 'chaperone_deny' }] }],
  ])('a press %s does nothing', async (_name, payload) => {
    expect(await app.press(JANE, { payload })).toBe(200);
    expect(app.results).toEqual(['Ignored']);
    nothing();
  });

  test('an answer goes to Slack alone, whatever the payload names', async () => {
    slack.users.set(JANE, aSlackUser(JANE, 'jane@corp.example', { is_bot: true }));
    for (const response_url of ['http://169.254.169.254/', 'https://hooks.slack.com.evil.example/', 'https://evil.example/', 'x'])
      await app.press(JANE, { payload: { response_url } });
    expect(slack.whispers).toEqual([]);
    expect(app.errors).toHaveLength(4);
    expect(app.errors).toEqual(Array(4).fill(expect.objectContaining({ code: 'AddressForbidden' })));
  });

  test.each<[string, () => Partial<PressedRequest>, number]>([
    ['no JSON', () => signAsSlack('payload=%7B'), 400],
    ['two payloads', () => signAsSlack('payload=%7B%7D&payload=%7B%7D'), 400],
    ['no payload', () => signAsSlack('x=1'), 400],
    ['nothing', () => signAsSlack(''), 400],
    ['20,000 levels', () => signAsSlack(`payload=${encodeURIComponent('['.repeat(20_000))}`), 400],
    [
      'JSON itself',
      () => ({ ...signAsSlack('{}'), headers: { ...signAsSlack('{}').headers, 'content-type': 'application/json' } }),
      415,
    ],
  ])('%s is refused, though signed', async (_name, request, status) => {
    expect(await app.send(request())).toBe(status);
    expect(app.results).toEqual(['Malformed']);
    nothing();
  });

  test('another path or method is refused', async () => {
    expect(await app.send(pressed(), '/')).toBe(404);
    expect(await app.send(pressed(), `${SLACK_PATH}?x`)).toBe(404);
    expect(await app.send({}, SLACK_PATH, 'GET')).toBe(405);
    nothing();
  });

  test('more than 64 KiB are not read', async () => {
    expect(await app.send(signAsSlack(`payload=${'x'.repeat(64 * 1024)}`))).toBe(413);
    nothing();
  });

  test('more than 64 KiB are not read where no length is announced', async () => {
    const socket = connect(app.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (part) => (answer += part.toString())).on('error', () => undefined);
    socket.write(`POST ${SLACK_PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`);
    for (let index = 0; index < 80; index += 1) socket.write(`400\r\n${'x'.repeat(1024)}\r\n`);
    await eventually(() => expect(answer).toMatch(/^HTTP\/1.1 413 [^]*connection: close/i));
    await eventually(() => expect(socket.destroyed || socket.readableEnded).toBe(true));
    socket.destroy();
    nothing();
  });

  test('nothing is taken without a signing secret', async () => {
    await app.close();
    app = await anApp(slack, { signingSecret: () => Promise.reject(new Error('no file')) });
    expect(await app.press()).toBe(503);
    expect(app.results).toEqual(['NoSecret']);
    nothing();
  });

  test('more than 16 at once are told to come again', async () => {
    await app.close();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    app = await anApp(slack, { read: () => promise });
    const statuses: number[] = [];
    const sent = Array.from({ length: 20 }, (_, index) =>
      app.send(pressed({ payload: { trigger_id: `${index}` } })).then((status) => statuses.push(status)),
    );
    await eventually(() => expect(app.results).toEqual(Array(4).fill('Busy')));
    resolve(undefined);
    await Promise.all(sent);
    expect(statuses.filter((status) => status === 503)).toHaveLength(4);
  });
});
