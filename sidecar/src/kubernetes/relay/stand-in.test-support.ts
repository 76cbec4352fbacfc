import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { testAuthority } from '@chaperone/testing';
import type { Governed } from './governed.test-support.ts';

export type Answering = (request: IncomingMessage, response: ServerResponse) => void;

/** In place of an API server: answers each request as it was told last. */
export interface StandIn extends AsyncDisposable {
  /** HOST:PORT */
  readonly address: string;
  readonly ca: string;
  /** Requests since it was told how to answer; their bodies are not kept. */
  readonly seen: readonly IncomingMessage[];
  /** Has it answer so from now on, and forgets what it was asked. */
  answers(how: Answering): void;
  /** Breaks all its connections, and listens no more. */
  stop(): Promise<void>;
  /** Listens again where it did. */
  start(): Promise<void>;
}

export const answering =
  (status: number, headers: Record<string, string>, body = ''): Answering =>
  (_, response) =>
    response.writeHead(status, headers).end(body);
export const asJson = (value: unknown): Answering =>
  answering(200, { 'content-type': 'application/json' }, JSON.stringify(value));

export async function startStandIn(): Promise<StandIn> {
  const authority = await testAuthority();
  const leaf = await authority.issue(['127.0.0.1']);
  let answer: Answering = asJson({ kind: 'ConfigMapList', items: [] });
  let seen: IncomingMessage[] = [];
  const server = createServer({ cert: leaf.certificate, key: leaf.key }, (request, response) => {
    seen.push(request);
    request.resume();
    answer(request, response);
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const stop = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    ca: authority.ca,
    get seen() {
      return seen;
    },
    answers: (how) => {
      answer = how;
      seen = [];
    },
    stop,
    start: () => listen(port),
    [Symbol.asyncDispose]: async () => {
      if (server.listening) await stop();
    },
  };
}

export interface Got {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** Of a Status: its causes. */
  readonly codes: readonly string[];
}

export interface Asking {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** One request on a connection of its own. */
export async function askThrough(
  { port, ca }: Governed,
  target: string,
  { method = 'GET', headers = {}, body }: Asking = {},
): Promise<Got> {
  const request = httpsRequest({ host: '127.0.0.1', port, ca, method, path: target, headers, agent: false });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk as string;
  const causes = text.startsWith('{"kind":"Status"')
    ? (JSON.parse(text) as { details?: { causes?: { reason: string }[] } }).details?.causes
    : undefined;
  return { status: response.statusCode ?? 0, headers: response.headers, text, codes: (causes ?? []).map(({ reason }) => reason) };
}
