import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A stand-in for Slack that speaks what docs.slack.dev documents: chat.postMessage, chat.update, users.info, usergroups.users.list,
 * views.open, response URLs, rate limits, presses of buttons, and windows that are sent. It refuses what Slack documents as refused, by Slack's names.
 */
export interface FakeSlack {
  readonly apiUrl: string;
  readonly origin: string;
  token: string;
  /** Messages as they stand in the channel now, in the order of their writing. */
  readonly messages: Message[];
  /** Calls by method, refused ones too. */
  readonly calls: { readonly method: string; readonly status: number; readonly error: string | undefined }[];
  /** What was posted to response URLs. */
  readonly whispers: Record<string, unknown>[];
  readonly users: Map<string, Record<string, unknown>>;
  readonly usergroups: Map<string, string[]>;
  /** Windows in the order of their opening. */
  readonly views: OpenView[];
  /** For how long a press may open one; Slack says 3 seconds. */
  triggerMs: number;
  /** The next calls of a method are refused with 429 and this many seconds. */
  limit(method: string, calls: number, seconds: number): void;
  /** All calls fail with this status until it is undefined. */
  down: number | undefined;
  /** What the user sends by pressing a button of a message: the request that Slack would make. */
  press(ts: string, actionId: string, userId: string, mods?: PressMods): PressedRequest;
  /** What the user sends with a window, by block: the request that Slack would make. Slack itself keeps one back that misses a word. */
  submit(viewId: string, values: Readonly<Record<string, string>>, mods?: PressMods): PressedRequest;
  /** What the user sees of the answer to a window that was sent. @throws Error where it is not as documented */
  answered(viewId: string, answer: { readonly status: number; readonly type: string; readonly body: string }): void;
  close(): Promise<void>;
}
export interface Message {
  readonly ts: string;
  readonly thread_ts: string | undefined;
  text: string;
  blocks: Record<string, unknown>[];
  readonly args: Record<string, unknown>;
  updates: number;
}
export interface OpenView {
  readonly id: string;
  readonly user: string;
  view: View;
  state: 'open' | 'closed' | 'failed';
  /** Below its inputs, by block. */
  errors: Record<string, string>;
}
export interface View {
  readonly blocks: Record<string, unknown>[];
  readonly [field: string]: unknown;
}
export interface PressMods {
  readonly secret?: string;
  readonly timestamp?: number;
  readonly payload?: Record<string, unknown>;
}
export interface PressedRequest {
  readonly headers: Record<string, string>;
  readonly body: string;
}

export const TEAM = 'T0TEAM';
export const CHANNEL = 'C0CHAN';
export const SIGNING_SECRET = '8f742231b10e8888abcd99yyyzzz85a5';

/** users.info's user object, as documented for a full member. */
export function aSlackUser(id: string, email: string, mods: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id,
    team_id: TEAM,
    name: id.toLowerCase(),
    deleted: false,
    real_name: 'Jane',
    profile: { real_name: 'Jane', email, team: TEAM },
    is_admin: false,
    is_owner: false,
    is_primary_owner: false,
    is_restricted: false,
    is_ultra_restricted: false,
    is_bot: false,
    is_app_user: false,
    is_email_confirmed: true,
    updated: 1_502_138_686,
    ...mods,
  };
}

class Refusal extends Error {}
const refuse = (error: string): never => {
  throw new Refusal(error);
};

export async function startFakeSlack(): Promise<FakeSlack> {
  const limits = new Map<string, { calls: number; seconds: number }>();
  let last = 1_700_000_000;
  const triggers = new Map<string, { readonly at: number; readonly user: string; used: boolean }>();
  const viewAt = (id: string): OpenView => {
    const found = fake.views.find((each) => each.id === id);
    if (found?.state !== 'open') throw new Error(`no window ${id} is open`);
    return found;
  };
  const messageAt = (ts: unknown): Message => fake.messages.find((each) => each.ts === ts) ?? refuse('message_not_found');

  const methods: Record<string, (args: Record<string, unknown>, form: boolean) => Record<string, unknown>> = {
    'chat.postMessage': (args) => {
      const { text, thread_ts } = args as { text?: string; thread_ts?: string };
      if (args['channel'] !== CHANNEL) refuse('channel_not_found');
      if (text === undefined || text === '') refuse('no_text');
      if (thread_ts !== undefined) messageAt(thread_ts);
      const blocks = readBlocks(args['blocks']);
      const ts = `${(last += 1)}.000100`;
      fake.messages.push({ ts, thread_ts, text: text ?? '', blocks, args, updates: 0 });
      return { channel: CHANNEL, ts, message: { type: 'message', text, blocks, ts } };
    },
    'chat.update': (args) => {
      if (args['channel'] !== CHANNEL) refuse('channel_not_found');
      const message = messageAt(args['ts']);
      message.text = String(args['text']);
      message.blocks = readBlocks(args['blocks']);
      message.updates += 1;
      return { channel: CHANNEL, ts: message.ts, text: message.text, message: {} };
    },
    'views.open': ({ trigger_id, view }, form) => {
      const trigger = triggers.get(String(trigger_id)) ?? refuse('invalid_trigger_id');
      if (trigger.used) refuse('exchanged_trigger_id');
      if (Date.now() - trigger.at >= fake.triggerMs) refuse('expired_trigger_id');
      // Within a form it is JSON once more.
      if (form || !isView(view)) return refuse('invalid_arguments');
      trigger.used = true;
      const id = `V${fake.views.length}`;
      fake.views.push({ id, user: trigger.user, view, state: 'open', errors: {} });
      return { view: { id, team_id: TEAM, ...view, state: { values: {} }, hash: '1.abc', root_view_id: id } };
    },
    'users.info': ({ user }, form) => {
      if (!form) refuse('invalid_arguments');
      return { user: fake.users.get(String(user)) ?? refuse('user_not_found') };
    },
    'usergroups.users.list': ({ usergroup }, form) => {
      if (!form) refuse('invalid_arguments');
      return { users: fake.usergroups.get(String(usergroup)) ?? refuse('no_such_subteam') };
    },
  };

  const callMethod = (method: string, request: IncomingMessage, body: string): [number, Record<string, unknown>, number?] => {
    if (fake.down !== undefined) return [fake.down, {}];
    const limited = limits.get(method);
    if (limited !== undefined && limited.calls > 0) {
      limited.calls -= 1;
      return [429, { ok: false, error: 'ratelimited' }, limited.seconds];
    }
    try {
      if (request.headers.authorization === undefined) refuse('not_authed');
      if (request.headers.authorization !== `Bearer ${fake.token}`) refuse('invalid_auth');
      const type = request.headers['content-type']?.split(';')[0];
      const form = type === 'application/x-www-form-urlencoded';
      if (!form && type !== 'application/json') refuse('invalid_post_type');
      const args = form ? Object.fromEntries(new URLSearchParams(body)) : (JSON.parse(body) as Record<string, unknown>);
      const answer = methods[method] ?? (() => refuse('unknown_method'));
      return [200, { ok: true, ...answer(args, form) }];
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      // Slack says most errors with 200.
      return [200, { ok: false, error: error.message }];
    }
  };

  const serve = (request: IncomingMessage, response: ServerResponse, body: string): void => {
    const path = request.url ?? '';
    if (path.startsWith('/actions/')) {
      fake.whispers.push(JSON.parse(body) as Record<string, unknown>);
      response.writeHead(200).end('ok');
      return;
    }
    const method = path.slice('/api/'.length);
    const [status, answer, seconds] = callMethod(method, request, body);
    fake.calls.push({ method, status, error: answer['error'] as string | undefined });
    response.setHeader('content-type', 'application/json; charset=utf-8');
    if (seconds !== undefined) response.setHeader('retry-after', `${seconds}`);
    response.writeHead(status);
    response.end(JSON.stringify(answer));
  };

  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => serve(request, response, Buffer.concat(parts).toString('utf8')));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const fake: FakeSlack = {
    apiUrl: `${origin}/api/`,
    origin,
    token: 'xoxb-good',
    messages: [],
    calls: [],
    whispers: [],
    users: new Map(),
    usergroups: new Map(),
    views: [],
    triggerMs: 3_000,
    limit: (method, calls, seconds) => void limits.set(method, { calls, seconds }),
    down: undefined,
    press: (ts, actionId, userId, mods = {}) => {
      const message = messageAt(ts);
      const element = message.blocks
        .flatMap((block) => (block['elements'] ?? []) as Record<string, unknown>[])
        .find((each) => each['action_id'] === actionId);
      const trigger = `${triggers.size + 1}.333649436676.d8c1bb837935619ccad0f624c448ffb3`;
      triggers.set(trigger, { at: Date.now(), user: userId, used: false });
      const payload = {
        type: 'block_actions',
        user: { id: userId, username: userId.toLowerCase(), name: userId.toLowerCase(), team_id: TEAM },
        api_app_id: 'A0APP',
        token: 'deprecated',
        container: { type: 'message', message_ts: ts, channel_id: CHANNEL, is_ephemeral: false },
        trigger_id: trigger,
        team: { id: TEAM, domain: 'corp' },
        enterprise: null,
        is_enterprise_install: false,
        channel: { id: CHANNEL, name: 'approvals' },
        message: { type: 'message', ts, text: message.text, blocks: message.blocks },
        state: { values: {} },
        response_url: `${origin}/actions/${TEAM}/1/abc`,
        actions: [
          {
            action_id: actionId,
            block_id: 'b',
            text: element?.['text'],
            value: element?.['value'],
            style: element?.['style'],
            type: 'button',
            action_ts: '1.2',
          },
        ],
        ...mods.payload,
      };
      return signAsSlack(new URLSearchParams({ payload: JSON.stringify(payload) }).toString(), mods);
    },
    submit: (viewId, values, mods = {}) => {
      const { view, user } = viewAt(viewId);
      const inputs = view.blocks.filter(({ type }) => type === 'input');
      const state = inputs.map((block) => {
        const { action_id, type } = block['element'] as { action_id: string; type: string };
        const value = values[String(block['block_id'])] ?? '';
        if (value === '' && block['optional'] !== true) throw new Error('Slack sends no window whose required input is empty');
        return [block['block_id'], { [action_id]: { type, value: value === '' ? null : value } }];
      });
      const payload = {
        type: 'view_submission',
        team: { id: TEAM, domain: 'corp' },
        user: { id: user, username: user.toLowerCase(), name: user.toLowerCase(), team_id: TEAM },
        api_app_id: 'A0APP',
        token: 'deprecated',
        trigger_id: `${viewId}.333649436676.d8c1bb837935619ccad0f624c448ffb3`,
        view: { id: viewId, team_id: TEAM, ...view, state: { values: Object.fromEntries(state) }, hash: '1.abc' },
        response_urls: [],
        is_enterprise_install: false,
        enterprise: null,
        ...mods.payload,
      };
      return signAsSlack(new URLSearchParams({ payload: JSON.stringify(payload) }).toString(), mods);
    },
    answered: (viewId, { status, type, body }) => {
      const open = viewAt(viewId);
      open.errors = {};
      if (status !== 200) open.state = 'failed';
      else if (body === '') open.state = 'closed';
      else apply(open, type, JSON.parse(body) as Record<string, unknown>);
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

/** Signs as docs.slack.dev says, by code of its own. */
export function signAsSlack(
  body: string,
  { secret = SIGNING_SECRET, timestamp = Math.floor(Date.now() / 1000) }: PressMods = {},
): PressedRequest {
  const mac = createHmac('sha256', secret).update(`v0:${timestamp}:${body}`, 'utf8').digest('hex');
  return {
    body,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': `${timestamp}`,
      'x-slack-signature': `v0=${mac}`,
    },
  };
}

/** What an app answers to a window (docs.slack.dev, "Modals", response actions). */
function apply(open: OpenView, type: string, { response_action, errors, view, ...rest }: Record<string, unknown>): void {
  const inputs = open.view.blocks.filter((block) => block['type'] === 'input').map((block) => block['block_id']);
  const texts = Object.entries((errors ?? {}) as Record<string, unknown>);
  const isOfInputs = texts.length > 0 && texts.every(([block, text]) => inputs.includes(block) && typeof text === 'string');
  if (type.split(';')[0] !== 'application/json' || Object.keys(rest).length > 0)
    throw new Error('an answer is JSON, and no more');
  if (response_action === 'errors' && isOfInputs && view === undefined) open.errors = Object.fromEntries(texts) as never;
  else if (response_action === 'update' && isView(view) && errors === undefined) open.view = view;
  else throw new Error(`no such answer: ${String(response_action)}`);
}

/** The limits of a view object; one with inputs has a button that sends it. */
function isView(view: unknown): view is View {
  const { type, title, submit, close, blocks, callback_id, private_metadata, ...rest } = (view ?? {}) as Record<string, unknown>;
  if (type !== 'modal' || Object.keys(rest).length > 0 || !Array.isArray(blocks)) return false;
  const all = blocks as Record<string, unknown>[];
  const isSent = submit !== undefined || all.every((block) => block['type'] !== 'input');
  const isNamed = [title, submit ?? title, close ?? title].every((text) => isText(text, 24) && isPlain(text));
  const isOfLength = all.length >= 1 && all.length <= 100 && isShort(callback_id, 255) && isShort(private_metadata, 3000);
  return isSent && isNamed && isOfLength && all.every((block) => (block['type'] === 'input' ? isInput(block) : isBlock(block)));
}

function isInput({ block_id, label, element, optional = false }: Record<string, unknown>): boolean {
  const { type, action_id, max_length = 3000 } = (element ?? {}) as Record<string, unknown>;
  const isOfLength = typeof max_length === 'number' && max_length >= 1 && max_length <= 3000;
  const isNamed = typeof block_id === 'string' && isShort(block_id, 255) && isShort(action_id, 255);
  return (
    type === 'plain_text_input' && isOfLength && isNamed && isText(label, 2000) && isPlain(label) && typeof optional === 'boolean'
  );
}

function isPlain(text: unknown): boolean {
  return (text as { readonly type?: unknown }).type === 'plain_text';
}

/** Block Kit's limits, as documented for each block and element. */
function readBlocks(blocks: unknown): Record<string, unknown>[] {
  if (!Array.isArray(blocks) || blocks.length > 50) return refuse('invalid_blocks');
  if (!(blocks as Record<string, unknown>[]).every(isBlock)) refuse('invalid_blocks');
  return blocks as Record<string, unknown>[];
}

function isBlock(block: Record<string, unknown>): boolean {
  const fields = (block['fields'] ?? []) as unknown[];
  const elements = (block['elements'] ?? []) as Record<string, unknown>[];
  if (block['type'] === 'header') return isText(block['text'], 150);
  if (block['type'] === 'actions') return elements.length >= 1 && elements.length <= 25 && elements.every(isButton);
  if (block['type'] !== 'section' || fields.length > 10) return false;
  return fields.length > 0 ? fields.every((field) => isText(field, 2000)) : isText(block['text'], 3000);
}

function isButton(each: Record<string, unknown>): boolean {
  const shorts = isShort(each['action_id'], 255) && isShort(each['value'], 2000) && isShort(each['url'], 3000);
  return each['type'] === 'button' && isText(each['text'], 75) && shorts;
}

function isText(text: unknown, max: number): boolean {
  const { type, text: value } = (text ?? {}) as { type?: string; text?: string };
  return (type === 'plain_text' || type === 'mrkdwn') && value !== undefined && value.length >= 1 && value.length <= max;
}

function isShort(value: unknown, max: number): boolean {
  return value === undefined || (typeof value === 'string' && value.length <= max);
}
