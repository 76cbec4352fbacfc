import { z } from 'zod';
import { NotifyError } from './errors.ts';
import type { AddressGuard } from './guard.ts';
import { type Answer, post } from './http.ts';
import { parseJson } from './json.ts';
import { slackText } from './slack-text.ts';

export const SLACK_API = 'https://slack.com/api/';
export const SLACK_HOOKS = 'https://hooks.slack.com';
/** A user group of 20,000 is a long answer. */
const MAX_ANSWER_BYTES = 1 << 20;
const MAX_RETRY_S = 300;

/** What a header can hold. */
const TOKEN = /^[\x21-\x7e]{1,512}$/;

const Reply = z.looseObject({ ok: z.boolean(), error: z.string().optional() });
/** Slack does not take the token, or not for this: only people can mend that. */
const TOKEN_ERRORS = new Set([
  'invalid_auth',
  'not_authed',
  'account_inactive',
  'token_revoked',
  'token_expired',
  'no_permission',
  'missing_scope',
  'not_allowed_token_type',
  'org_login_required',
  'team_access_not_granted',
  'access_denied',
]);
const PASSING_ERRORS = new Set(['ratelimited', 'internal_error', 'fatal_error', 'service_unavailable', 'request_timeout']);

/**
 * - `retry`: later may help
 * - `token`: nothing helps until somebody changes the token or what it may do
 * - `refused`: this call never succeeds
 */
export type SlackFailure = 'retry' | 'token' | 'refused';

export class SlackError extends NotifyError {
  readonly failure: SlackFailure;
  readonly retryAfterMs: number | undefined;

  constructor(failure: SlackFailure, message: string, retryAfterMs?: number, options?: ErrorOptions) {
    super(failure === 'retry' ? 'Unreachable' : 'Refused', message, options);
    this.failure = failure;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface SlackClientOptions {
  /** As the file has it now. */
  readonly token: () => Promise<string>;
  readonly mayDial: AddressGuard;
  readonly signal: AbortSignal;
  /** Default: {@link SLACK_API} */
  readonly apiUrl?: string | undefined;
  /** Default: {@link SLACK_HOOKS} */
  readonly hooksOrigin?: string | undefined;
}

/** Slack's Web API, as far as notices need it. Once Slack does not take a token, that one is not shown to it again. */
export class SlackClient {
  readonly #options: SlackClientOptions;
  #rejected: { readonly token: string; readonly error: SlackError } | undefined;

  constructor(options: SlackClientOptions) {
    this.#options = options;
  }

  /** Whether there is a token that Slack has not refused. */
  async usable(): Promise<boolean> {
    const token = await this.#options.token().catch(() => undefined);
    return token !== undefined && TOKEN.test(token) && token !== this.#rejected?.token;
  }

  /** chat.postMessage and chat.update. @throws SlackError, NotifyError SecretInvalid */
  async write(method: 'chat.postMessage' | 'chat.update', args: Readonly<Record<string, unknown>>): Promise<{ ts: string }> {
    const reply = await this.#call(method, JSON.stringify(args), 'application/json; charset=utf-8');
    return read(method, z.looseObject({ ts: z.string().regex(/^\d{1,12}\.\d{1,12}$/) }), reply);
  }

  /** Opens a window before whoever pressed a button; Slack takes a trigger once, within 3 seconds. @throws SlackError, NotifyError SecretInvalid */
  async open(triggerId: string, view: object): Promise<void> {
    const args = JSON.stringify({ trigger_id: triggerId, view });
    await this.#call('views.open', args, 'application/json; charset=utf-8');
  }

  /** Methods that read take forms, not JSON. @throws SlackError, NotifyError SecretInvalid */
  async ask<T>(
    method: 'users.info' | 'usergroups.users.list',
    args: Readonly<Record<string, string>>,
    shape: z.ZodType<T>,
  ): Promise<T> {
    const reply = await this.#call(method, new URLSearchParams(args).toString(), 'application/x-www-form-urlencoded');
    return read(method, shape, reply);
  }

  /** Answers whoever pressed a button, and nobody else. @throws NotifyError AddressForbidden, SlackError */
  async whisper(responseUrl: string, text: string): Promise<void> {
    const url = URL.parse(responseUrl);
    if (url === null || url.origin !== (this.#options.hooksOrigin ?? SLACK_HOOKS))
      throw new NotifyError('AddressForbidden', 'a response_url is not of Slack');
    const safe = slackText(text, 3000);
    const block = { type: 'section', text: { type: 'plain_text', text: safe, emoji: false } };
    const body = JSON.stringify({ response_type: 'ephemeral', replace_original: false, text: safe, blocks: [block] });
    const answer = await this.#post(url, body, { 'content-type': 'application/json; charset=utf-8' });
    if (answer.status !== 200) throw new SlackError('refused', `a response_url answered ${answer.status}`);
  }

  async #call(method: string, body: string, contentType: string): Promise<unknown> {
    const token = await this.#options.token();
    if (token === this.#rejected?.token) throw this.#rejected.error;
    if (!TOKEN.test(token)) throw new NotifyError('SecretInvalid', 'the token of Slack has another form');
    const url = new URL(method, this.#options.apiUrl ?? SLACK_API);
    const answer = await this.#post(url, body, { 'content-type': contentType, authorization: `Bearer ${token}` });
    try {
      return parseReply(method, answer);
    } catch (error) {
      if (error instanceof SlackError && error.failure === 'token') this.#rejected = { token, error };
      throw error;
    }
  }

  async #post(url: URL, body: string, headers: Record<string, string>): Promise<Answer> {
    const { mayDial, signal } = this.#options;
    try {
      return await post({ url, body, headers, mayDial, signal, maxBytes: MAX_ANSWER_BYTES });
    } catch (error) {
      if (error instanceof NotifyError && error.code === 'Unreachable')
        throw new SlackError('retry', error.message, undefined, { cause: error });
      throw error;
    }
  }
}

function parseReply(method: string, { status, retryAfter, body, truncated }: Answer): unknown {
  const wait = retryAfter === undefined ? undefined : Math.min(retryAfter, MAX_RETRY_S) * 1000;
  if (status === 429 || status >= 500) throw new SlackError('retry', `${method} answered ${status}`, wait);
  const reply = truncated ? undefined : Reply.safeParse(parseJson(body.toString('utf8'))).data;
  if (status !== 200 || reply === undefined)
    throw new SlackError('refused', `${method} answered ${status} with what is not documented`);
  if (reply.ok) return reply;
  const { error = '' } = reply;
  const name = /^[a-z_]{1,64}$/.test(error) ? error : 'an undocumented error';
  const failure = TOKEN_ERRORS.has(error) ? 'token' : PASSING_ERRORS.has(error) ? 'retry' : 'refused';
  throw new SlackError(failure, `${method} answered ${name}`, wait);
}

function read<T>(method: string, shape: z.ZodType<T>, reply: unknown): T {
  const parsed = shape.safeParse(reply);
  if (!parsed.success) throw new SlackError('refused', `${method} answered what is not documented`);
  return parsed.data;
}
