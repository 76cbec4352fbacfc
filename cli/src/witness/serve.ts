import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  MAX_NOTE_BYTES,
  orUndefined,
  parseAddCheckpoint,
  parseCheckpoint,
  parseNote,
  type WitnessAnswer,
} from '@chaperone/evidence';
import type { Witness } from './witness.ts';

/** A note, and behind it a size and 63 hashes. */
const MAX_BODY_BYTES = MAX_NOTE_BYTES + 4096;
/** Whoever asks is a log or two. */
const MAX_CONNECTIONS = 64;
/** Characters of an origin that are repeated. */
const MAX_ORIGIN = 253;
const REQUEST_TIMEOUT_MS = 10_000;

export interface ServeOptions {
  readonly witness: Witness;
  /** Of each request that was decided: what became of it, and the log that it says it is of. Nothing in it is secret. */
  readonly onAnswer: (answer: WitnessAnswer, asked: string | undefined) => void;
  readonly onError: (error: unknown) => void;
}

/** A witness over HTTP, as C2SP tlog-witness says: `POST /add-checkpoint`. `GET /healthz` is for whoever watches over it. */
export function createWitnessServer(options: ServeOptions): Server {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    serve(options, request, response).catch((error: unknown) => {
      options.onError(error);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

async function serve({ witness, onAnswer }: ServeOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url } = request;
  if (url === '/healthz') return void response.writeHead(method === 'GET' ? 200 : 405).end();
  if (url !== '/add-checkpoint') return void response.writeHead(404).end();
  if (method !== 'POST') return void response.writeHead(405, { allow: 'POST' }).end();
  const body = await bodyOf(request);
  // What is sent on is not read, so the connection is of no more use.
  if (body === undefined) return void response.writeHead(413, { connection: 'close' }).end();
  const answer = await witness.answer(body);
  onAnswer(answer, originOf(body));
  const type = answer.status === 409 ? { 'content-type': 'text/x.tlog.size' } : { 'content-type': 'text/plain; charset=utf-8' };
  response.writeHead(answer.status, 'body' in answer ? type : {}).end('body' in answer ? answer.body : WHY[answer.status]);
}

/** For people: programs go by the status. */
const WHY: Readonly<Record<400 | 403 | 404 | 422, string>> = {
  400: 'this is no request to add a checkpoint\n',
  403: 'no key that this witness was told of signed the checkpoint\n',
  404: 'this witness was told of no log with this origin; its policy needs the line log of it\n',
  422: 'the proof does not show that the log goes on from what this witness has cosigned\n',
};

/** What a request says that it is of, of which nothing was verified; undefined where it cannot be read. */
function originOf(body: Buffer): string | undefined {
  const origin = orUndefined(() => parseCheckpoint(parseNote(parseAddCheckpoint(body).checkpoint).text).origin);
  return origin?.slice(0, MAX_ORIGIN);
}

/** Undefined where it is too large. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
