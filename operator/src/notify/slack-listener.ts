import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { MAX_ACTION_BYTES, type SlackActions, type SlackResponse } from './slack-actions.ts';

/** The only path; Slack's "Request URL" ends with it. */
export const SLACK_PATH = '/slack/actions';

/** Hands what Slack posts to {@link SlackActions}, whole or not at all. */
export function createSlackListener(actions: Pick<SlackActions, 'handle'>): RequestListener {
  return (request, response) => {
    response.on('error', () => undefined);
    answer(actions, request).then(
      (said) => say(request, response, said),
      () => response.destroy(),
    );
  };
}

type Said = SlackResponse | { readonly status: 404; readonly body?: undefined };

async function answer(actions: Pick<SlackActions, 'handle'>, request: IncomingMessage): Promise<Said> {
  if (request.url !== SLACK_PATH) return { status: 404 };
  const body = await readWhole(request);
  if (body === undefined) return { status: 413 };
  return await actions.handle({
    method: request.method ?? '',
    contentType: request.headers['content-type'],
    timestamp: one(request.headers['x-slack-request-timestamp']),
    signature: one(request.headers['x-slack-signature']),
    body,
  });
}

function say(request: IncomingMessage, response: ServerResponse, { status, body }: Said): void {
  // What was not read of a request would be read as the next one.
  if (!request.complete) response.setHeader('connection', 'close');
  const bytes = Buffer.from(body === undefined ? '' : JSON.stringify(body));
  if (body !== undefined) response.setHeader('content-type', 'application/json; charset=utf-8');
  response.writeHead(status, { 'content-length': bytes.length }).end(bytes);
}

const one = (header: string | string[] | undefined): string | undefined => (typeof header === 'string' ? header : undefined);

async function readWhole(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_ACTION_BYTES) return undefined;
  const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
  const parts: Buffer[] = [];
  let bytes = 0;
  request.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes <= MAX_ACTION_BYTES) {
      parts.push(part);
      return;
    }
    request.pause();
    resolve(undefined);
  });
  request.on('end', () => resolve(Buffer.concat(parts)));
  request.on('error', reject);
  return await promise;
}
