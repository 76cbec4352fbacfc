import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A stand-in for Slack that speaks what docs.slack.dev documents: chat.postMessage, chat.update, users.info, usergroups.users.list,
 * response URLs, rate limits, and presses of buttons. It refuses what Slack documents as refused, by Slack's names.
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
  /** The next calls of a method are refused with 429 and this many seconds. */
  limit(method: string, calls: number, seconds: number): void;
  /** All calls fail with this status until it is undefined. */
  down: number | undefined;
  /** What the user sends by pressing a button of a message: the request that Slack would make. */
  press(ts: string, actionId: string, userId: string, mods?: PressMods): PressedRequest;
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
    limit: (method, calls, seconds) => void limits.set(method, { calls, seconds }),
    down: undefined,
    press: (ts, actionId, userId, mods = {}) => {
      const message = messageAt(ts);
      const element = message.blocks
        .flatMap((block) => (block['elements'] ?? []) as Record<string, unknown>[])
        .find((each) => each['action_id'] === actionId);
      const payload = {
        type: 'block_actions',
        user: { id: userId, username: userId.toLowerCase(), name: userId.toLowerCase(), team_id: TEAM },
        api_app_id: 'A0APP',
        token: 'deprecated',
        container: { type: 'message', message_ts: ts, channel_id: CHANNEL, is_ephemeral: false },
        trigger_id: '12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3',
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
