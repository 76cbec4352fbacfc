import type { IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { ApprovalDecision } from '@chaperone/api';
import { KINDS } from '@chaperone/kube';
import { testAuthority } from '@chaperone/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type FakeApiServer, startFakeApiServer } from '@chaperone/kube/fake-api-server';
import { attestDeny, readRequest, rememberMessage } from './attest.ts';
import {
  aSlackUser,
  CHANNEL,
  type FakeSlack,
  type PressedRequest,
  SIGNING_SECRET,
  startFakeSlack,
  TEAM,
} from './fake-slack.test-support.ts';
import { createAddressGuard } from './guard.ts';
import { anAccessRequest, REQUEST } from './request.test-support.ts';
import { SlackActions } from './slack-actions.ts';
import { SlackClient } from './slack-client.ts';
import { createPublicServer } from '../public-server.ts';
import { createSlackListener, SLACK_PATH } from './slack-listener.ts';
import { messageOf } from './slack-message.ts';
import { REASON_BLOCK } from './slack-modal.ts';

const CONSOLE = 'https://chaperone.corp.example';
let api: FakeApiServer;
let slack: FakeSlack;
beforeEach(async () => {
  [api, slack] = await Promise.all([startFakeApiServer(), startFakeSlack()]);
  api.put(KINDS.accessRequests, anAccessRequest());
});
afterEach(async () => {
  await Promise.all([api.close(), slack.close()]);
});

const posted = (plural: string): Record<string, unknown>[] =>
  api.asked.flatMap(({ method, url, body }) => (method === 'POST' && url.pathname.endsWith(`/${plural}`) && body ? [body] : []));

/** Answers reviews with this status, as an API server does. */
function reviewsSay(status: object): void {
  api.intercept = ({ method, url, body }, response) => {
    if (method !== 'POST' || !url.pathname.endsWith('/subjectaccessreviews')) return false;
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ ...body, status }));
    return true;
  };
}

/** A press of Deny by jane and its window with a reason, over TLS, through everything down to the API server. */
async function deny(): Promise<{ said: string; results: string[]; errors: unknown[] }> {
  const results: string[] = [];
  const errors: unknown[] = [];
  const client = new SlackClient({
    token: () => Promise.resolve('xoxb-good'),
    mayDial: createAddressGuard({ allowLoopback: true }),
    signal: new AbortController().signal,
    apiUrl: slack.apiUrl,
    hooksOrigin: slack.origin,
  });
  const actions = new SlackActions({
    config: { channel: CHANNEL, team: TEAM, user: '{email}', groups: { dba: 'S0DBA' }, consoleUrl: CONSOLE },
    signingSecret: () => Promise.resolve(SIGNING_SECRET),
    client,
    read: (at) => readRequest(api.kube, at),
    decide: (decision) => attestDeny(api.kube, decision),
    onResult: (result) => results.push(result),
    onError: (error) => errors.push(error),
  });
  slack.users.set('U0JANE', aSlackUser('U0JANE', 'jane@corp.example'));
  slack.usergroups.set('S0DBA', ['U0JANE']);
  const request = await readRequest(api.kube, { namespace: 'agents', name: REQUEST });
  if (request === undefined) throw new Error('there is no request');
  const { ts } = await client.write('chat.postMessage', { channel: CHANNEL, ...messageOf(request, CONSOLE, Date.now()) });
  const authority = await testAuthority();
  const { certificate, key } = await authority.issue(['127.0.0.1']);
  const server = createPublicServer({ cert: certificate, key }, createSlackListener(actions));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const send = async ({ headers, body }: PressedRequest): Promise<{ status: number; type: string; body: string }> => {
    const options = { host: '127.0.0.1', port, path: SLACK_PATH, method: 'POST', headers, ca: authority.ca, agent: false };
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      requestHttps(options).on('response', resolve).on('error', reject).end(body);
    });
    const said = { status: answer.statusCode ?? 0, type: answer.headers['content-type'] ?? '', body: await text(answer) };
    await actions.idle();
    return said;
  };
  await send(slack.press(ts, 'chaperone_deny', 'U0JANE'));
  const [view] = slack.views;
  if (view === undefined) throw new Error('no window was opened');
  slack.answered(view.id, await send(slack.submit(view.id, { [REASON_BLOCK]: 'wrong ticket' })));
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return { said: JSON.stringify([view.view.blocks, view.errors]), results, errors };
}

test('a Deny in Slack becomes a decision of the person, after the API server said that they may', async () => {
  reviewsSay({ allowed: true });
  expect(await deny()).toMatchObject({ results: ['Opened', 'Denied'], errors: [] });
  expect(posted('subjectaccessreviews').map(({ spec }) => spec)).toEqual([
    {
      user: 'jane@corp.example',
      groups: ['dba', 'system:authenticated'],
      resourceAttributes: {
        namespace: 'agents',
        group: 'chaperone.dev',
        version: 'v1alpha1',
        resource: 'approvaldecisions',
        verb: 'create',
      },
    },
  ]);
  const [decision, ...more] = posted('approvaldecisions').map((each) => ApprovalDecision.parse(each));
  expect(more).toEqual([]);
  expect(decision?.spec).toEqual({
    request: REQUEST,
    requestUid: anAccessRequest().metadata.uid,
    digest: anAccessRequest().spec.digest,
    decision: 'Deny',
    by: 'jane@corp.example',
    groups: ['dba'],
    reason: 'wrong ticket',
  });
  expect(decision?.metadata).toMatchObject({ namespace: 'agents', annotations: { 'chaperone.dev/attested-by': 'slack' } });
});

test.each<[string, object]>([
  ['does not allow it', { allowed: false }],
  ['denies it', { allowed: true, denied: true }],
  ['says nothing', {}],
  ['says something else', { allowed: 'true' }],
])('where the API server %s there is no decision, and the person hears it', async (_name, status) => {
  reviewsSay(status);
  const { said, ...rest } = await deny();
  expect(rest).toEqual({ results: ['Opened', 'Refused'], errors: [] });
  expect(posted('approvaldecisions')).toEqual([]);
  expect(said).toContain('jane@corp.example may not create approvaldecisions in agents');
});

test('where the API server fails there is no decision, and nobody is told that there is', async () => {
  api.intercept = ({ url }, response) => {
    if (!url.pathname.endsWith('/subjectaccessreviews')) return false;
    response.writeHead(500, { 'content-type': 'application/json' }).end('{"kind":"Status","code":500}');
    return true;
  };
  const { said, results, errors } = await deny();
  expect([results, errors.length]).toEqual([['Opened', 'Failed'], 1]);
  expect(posted('approvaldecisions')).toEqual([]);
  expect(said).toContain('Not denied: the cluster did not take it');
});

test('the message of a request is noted on it, and on no other of its name', async () => {
  await rememberMessage(api.kube, anAccessRequest(), `${CHANNEL}/1.2`);
  const request = await readRequest(api.kube, { namespace: 'agents', name: REQUEST });
  expect(request?.metadata.annotations).toEqual({ 'chaperone.dev/slack-message': `${CHANNEL}/1.2` });
  expect(api.asked.find(({ method }) => method === 'PATCH')?.body).toMatchObject({ metadata: { uid: request?.metadata.uid } });
  await rememberMessage(api.kube, anAccessRequest({ name: `ar-${'c'.repeat(16)}` }), 'x');
  expect(await readRequest(api.kube, { namespace: 'agents', name: `ar-${'c'.repeat(16)}` })).toBeUndefined();
});
