import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { eventually } from '@chaperone/kube/fake-api-server';
import { temporaryDirectory, testAuthority } from '@chaperone/testing';
import { Webhook as Receiver } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NotifyConfig } from './config.ts';
import {
  aSlackUser,
  CHANNEL,
  type FakeSlack,
  type PressedRequest,
  SIGNING_SECRET,
  startFakeSlack,
  TEAM,
} from './fake-slack.test-support.ts';
import { createSlackActions, Notifier, type NotifierOptions } from './notifier.ts';
import { anAccessRequest, became } from './request.test-support.ts';
import { REASON_BLOCK } from './slack-modal.ts';
import { readSecret } from './secrets.ts';
import type { ChatDecision } from './slack-actions.ts';

const SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
const NEXT = `whsec_${Buffer.alloc(24, 8).toString('base64')}`;

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let slack: FakeSlack;
let server: Server;
let ca: string;
const received: { headers: Record<string, string>; body: string }[] = [];

beforeEach(async () => {
  directory = await temporaryDirectory();
  slack = await startFakeSlack();
  const authority = await testAuthority();
  const { certificate, key } = await authority.issue(['127.0.0.1']);
  ca = authority.ca;
  server = createServer({ cert: certificate, key }, (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      received.push({ headers: request.headers as Record<string, string>, body: Buffer.concat(parts).toString() });
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  received.splice(0);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await slack.close();
  await directory[Symbol.asyncDispose]();
});

/** Secrets as the kubelet mounts them: links into a directory that is exchanged in one step. */
async function mount(generation: string, files: Record<string, string>): Promise<void> {
  await mkdir(join(directory.path, generation));
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory.path, generation, name), text);
  await symlink(generation, join(directory.path, '..data_tmp'));
  await rename(join(directory.path, '..data_tmp'), join(directory.path, '..data'));
}
const file = (name: string): string => join(directory.path, '..data', name);

function options() {
  const told: string[] = [];
  const pressed: string[] = [];
  const errors: unknown[] = [];
  const made = {
    config: NotifyConfig.parse({
      webhooks: [{ url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, secretFile: file('hook') }],
      slack: {
        channel: CHANNEL,
        team: TEAM,
        tokenFile: file('token'),
        signingSecretFile: file('signing'),
        consoleUrl: 'https://chaperone.corp.example',
      },
    }),
    forbidden: [],
    metrics: {
      told: (channel: string, outcome: string) => told.push(`${channel} ${outcome}`),
      slackUp: () => undefined,
      pressed: (result: string) => pressed.push(result),
    },
    onError: (error: unknown) => errors.push(error),
    transport: { allowLoopback: true, ca, slackApi: slack.apiUrl, slackHooks: slack.origin },
  } satisfies NotifierOptions;
  return { made, told, pressed, errors };
}

test('a request is told to both, denied in one, and over on both', async () => {
  await mount('1', { hook: SECRET, token: 'xoxb-good\n', signing: `${SIGNING_SECRET}\n` });
  const { made, told, pressed, errors } = options();
  const notifier = new Notifier(made);
  const stopping = new AbortController();
  const request = anAccessRequest();
  const decisions: ChatDecision[] = [];
  const actions = createSlackActions(made.config.slack as NonNullable<NotifyConfig['slack']>, {
    ...made,
    signal: stopping.signal,
    read: () => Promise.resolve(request),
    decide: (decision) => {
      decisions.push(decision);
      return Promise.resolve({ ok: true });
    },
  });
  slack.users.set('U0JANE', aSlackUser('U0JANE', 'jane@corp.example'));

  notifier.changed(request);
  await eventually(() => expect(told.toSorted()).toEqual(['slack sent', 'webhook sent']));
  const handle = ({ headers, body }: PressedRequest) =>
    actions.handle({
      method: 'POST',
      contentType: headers['content-type'],
      timestamp: headers['x-slack-request-timestamp'],
      signature: headers['x-slack-signature'],
      body: Buffer.from(body),
    });
  expect(await handle(slack.press(slack.messages[0]?.ts ?? '', 'chaperone_deny', 'U0JANE'))).toEqual({ status: 200 });
  await actions.idle();
  expect(await handle(slack.submit('V0', { [REASON_BLOCK]: 'no' }))).toMatchObject({ status: 200 });
  await actions.idle();
  expect([pressed, decisions.map(({ by }) => by)]).toEqual([['Opened', 'Denied'], ['jane@corp.example']]);

  const at = '2026-01-01T12:04:07Z';
  const counted = { name: 'd', decision: 'Deny' as const, by: 'jane@corp.example', at, counted: true };
  notifier.changed(became(request, 'Denied', { decisions: [counted] }));
  await eventually(() => expect(told).toHaveLength(4));
  expect(JSON.stringify(slack.messages[0]?.blocks)).toContain('Denied by jane@corp.example at 12:04:07Z');
  const events = received.map(
    (each) => new Receiver(SECRET).verify(each.body, each.headers) as { type: string; data: { state: string } },
  );
  expect(events.map(({ type, data }) => [type, data.state])).toEqual([
    ['request.created', 'Pending'],
    ['request.decided', 'Denied'],
  ]);
  expect(errors).toEqual([]);
  stopping.abort();
  await notifier.stop();
});

test('secrets are those that stand in the files when they are used', async () => {
  await mount('1', { hook: SECRET, token: 'xoxb-good', signing: 'x' });
  const { made, told } = options();
  const notifier = new Notifier(made);
  const request = anAccessRequest();
  notifier.changed(request);
  await eventually(() => expect(told).toHaveLength(2));
  await mount('2', { hook: `${NEXT}\n${SECRET}\n`, token: 'xoxb-next', signing: 'x' });
  slack.token = 'xoxb-next';
  notifier.changed(became(request, 'Expired'));
  await eventually(() => expect(told).toEqual(Array(4).fill(expect.stringContaining('sent'))));
  const last = received[1];
  for (const secret of [SECRET, NEXT])
    expect(new Receiver(secret).verify(last?.body ?? '', last?.headers ?? {})).toMatchObject({ type: 'request.expired' });
  await notifier.stop();
});

test('without any secret nothing is sent, nothing is thrown, and what is said of it holds none', async () => {
  await mount('1', { hook: 'whsec_CANARYCANARY', token: '', signing: '' });
  const { made, errors } = options();
  const notifier = new Notifier(made);
  notifier.changed(anAccessRequest());
  await eventually(() => expect(errors.length).toBeGreaterThan(0));
  await notifier.stop();
  expect([received, slack.calls]).toEqual([[], []]);
  for (const error of errors) {
    expect(error).toMatchObject({ code: 'SecretInvalid' });
    expect((error as Error).message).not.toMatch(/CANARY|hook$/);
  }
});

test('what waits is given up at once at the end', async () => {
  await mount('1', { hook: SECRET, token: 'xoxb-good', signing: 'x' });
  slack.limit('chat.postMessage', 100, 300);
  const { made } = options();
  const notifier = new Notifier(made);
  notifier.changed(anAccessRequest());
  await eventually(() => expect(slack.calls).toHaveLength(1));
  const begun = Date.now();
  await notifier.stop();
  expect(Date.now() - begun).toBeLessThan(100_000);
  notifier.changed(anAccessRequest({ name: `ar-${'b'.repeat(16)}` }));
  expect(slack.calls).toHaveLength(1);
});

describe('a file', () => {
  test('that is missing, empty or too long is no secret', async () => {
    await mount('1', { empty: ' \n', long: 'x'.repeat(5_000) });
    await expect(readSecret(file('none'), 'it')).rejects.toMatchObject({ message: 'it cannot be read (ENOENT)' });
    await expect(readSecret(file('empty'), 'it')).rejects.toMatchObject({ message: 'it is empty' });
    await expect(readSecret(file('long'), 'it')).rejects.toMatchObject({ code: 'SecretInvalid' });
  });
});

describe('the configuration', () => {
  const good = { channel: 'C012', team: 'T012', tokenFile: '/t', signingSecretFile: '/s', consoleUrl: 'https://c.example/x' };

  test('says who people are by their address, unless told otherwise', () => {
    expect(NotifyConfig.parse({})).toEqual({ webhooks: [] });
    expect(NotifyConfig.parse({ slack: good }).slack).toMatchObject({ user: '{email}', groups: {} });
  });

  test.each<[string, object]>([
    ['an unencrypted webhook', { webhooks: [{ url: 'http://x.example/', secretFile: '/s' }] }],
    ['a webhook with a password', { webhooks: [{ url: 'https://a:b@x.example/', secretFile: '/s' }] }],
    ['a webhook without a secret', { webhooks: [{ url: 'https://x.example/' }] }],
    ['a webhook with a secret in it', { webhooks: [{ url: 'https://x.example/', secretFile: '/s', secret: 'whsec_x' }] }],
    ['a script', { webhooks: [{ url: 'javascript:alert(1)', secretFile: '/s' }] }],
    ['a channel by its name', { slack: { ...good, channel: '#approvals' } }],
    ['no workspace', { slack: { ...good, team: undefined } }],
    ['a console without encryption', { slack: { ...good, consoleUrl: 'http://c.example' } }],
    ['a console with a query', { slack: { ...good, consoleUrl: 'https://c.example/?a=b' } }],
    ['one name for everybody', { slack: { ...good, user: 'admin' } }],
    ['two addresses in a name', { slack: { ...good, user: '{email}{email}' } }],
    ['a name of the system', { slack: { ...good, user: 'system:{email}' } }],
    ['a group of the system', { slack: { ...good, groups: { 'system:masters': 'S012' } } }],
    ['a user group by its name', { slack: { ...good, groups: { dba: '@dba' } } }],
  ])('refuses %s', (_name, config) => expect(NotifyConfig.safeParse(config).success).toBe(false));
});
