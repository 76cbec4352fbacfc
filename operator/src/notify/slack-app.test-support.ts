import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { AccessRequest } from '@chaperone/api';
import {
  aSlackUser,
  CHANNEL,
  type FakeSlack,
  type OpenView,
  type PressedRequest,
  type PressMods,
  SIGNING_SECRET,
  TEAM,
} from './fake-slack.test-support.ts';
import { createAddressGuard } from './guard.ts';
import { anAccessRequest } from './request.test-support.ts';
import { type ChatDecision, type ChatVerdict, SlackActions, type SlackActionsOptions } from './slack-actions.ts';
import { SlackClient } from './slack-client.ts';
import { createSlackListener, SLACK_PATH } from './slack-listener.ts';
import { messageOf } from './slack-message.ts';
import { REASON_BLOCK } from './slack-modal.ts';

export const CONSOLE = 'https://chaperone.corp.example';
export const JANE = 'U0JANE';
export const REASON = 'wrong ticket, 4412 is meant';

/** The whole app behind a real port, with a request that waits and its message in the channel. */
export async function anApp(
  slack: FakeSlack,
  mods: Partial<SlackActionsOptions> = {},
  config: Partial<SlackActionsOptions['config']> = {},
) {
  slack.users.set(JANE, slack.users.get(JANE) ?? aSlackUser(JANE, 'jane@corp.example'));
  const decisions: ChatDecision[] = [];
  const results: string[] = [];
  const errors: unknown[] = [];
  const state: { request: AccessRequest | undefined; verdict: ChatVerdict } = {
    request: anAccessRequest(),
    verdict: { ok: true },
  };
  const stopping = new AbortController();
  const client = new SlackClient({
    token: () => Promise.resolve('xoxb-good'),
    mayDial: createAddressGuard({ allowLoopback: true }),
    signal: stopping.signal,
    apiUrl: slack.apiUrl,
    hooksOrigin: slack.origin,
  });
  const actions = new SlackActions({
    config: { channel: CHANNEL, team: TEAM, user: '{email}', groups: {}, consoleUrl: CONSOLE, ...config },
    signingSecret: () => Promise.resolve(SIGNING_SECRET),
    client,
    read: () => Promise.resolve(state.request),
    decide: (decision) => {
      decisions.push(decision);
      return Promise.resolve(state.verdict);
    },
    onResult: (result) => results.push(result),
    onError: (error) => errors.push(error),
    ...mods,
  });
  const { text, blocks } = messageOf(anAccessRequest(), CONSOLE, Date.now());
  const { ts } = await client.write('chat.postMessage', { channel: CHANNEL, text, blocks });
  const server = createServer(createSlackListener(actions));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const post = ({ headers = {}, body = '' }: Partial<PressedRequest>, path: string, method: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}${path}`, { method, headers, ...(method === 'GET' ? {} : { body }) });
  const send = async (pressed: Partial<PressedRequest>, path = SLACK_PATH, method = 'POST'): Promise<number> => {
    const { status } = await post(pressed, path, method);
    await actions.idle();
    return status;
  };
  const press = (userId = JANE, pressMods: PressMods = {}): Promise<number> =>
    send(slack.press(ts, 'chaperone_deny', userId, pressMods));
  /** Sends the newest window, with what was written into it. @returns It, as the person sees it then. */
  const submit = async (reason = REASON, submitMods: PressMods = {}): Promise<OpenView> => {
    const view = slack.views.at(-1);
    if (view === undefined) throw new Error('no window was opened');
    const response = await post(slack.submit(view.id, { [REASON_BLOCK]: reason }, submitMods), SLACK_PATH, 'POST');
    const type = response.headers.get('content-type') ?? '';
    slack.answered(view.id, { status: response.status, type, body: await response.text() });
    return view;
  };
  return {
    ts,
    port,
    state,
    decisions,
    results,
    errors,
    send,
    press,
    submit,
    idle: () => actions.idle(),
    deny: async (userId = JANE, reason = REASON): Promise<OpenView> => {
      await press(userId);
      return await submit(reason);
    },
    close: async () => {
      stopping.abort();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
