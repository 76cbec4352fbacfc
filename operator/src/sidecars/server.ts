import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import {
  AckRequest,
  CaptureRequest,
  ClosedRequest,
  CounterRequest,
  CONTROL_PATHS,
  CONTROL_PROTOCOLS,
  type ControlErrorCode,
  EndRequest,
  EnrolRequest,
  enrolmentProof,
  type EnrolResponse,
  MAX_CONTROL_BYTES,
  LookedRequest,
  type NatsAccess,
  NatsRequest,
  Question,
  ReleaseRequest,
  ReportRequest,
  type SignedRegistration,
  type StreamLine,
} from '@chaperone/policy';
import { decodeNkey, verifySignature } from '@chaperone/evidence';
import type { KubeObject } from '@chaperone/kube';
import type { ApprovalDesk } from '../approvals/desk.ts';
import { importPublicKey } from '../ca/pem.ts';
import type { Kills } from '../kills/kills.ts';
import { boundConnections } from '../bound-connections.ts';
import { Shares } from '../shares.ts';
import { body, LargeBodies } from './bodies.ts';
import type { Comparison } from './comparison.ts';
import type { PodCounters } from './counters.ts';
import type { Enrolments } from './enrolments.ts';
import { agentOf, type PodRefusal } from './governed.ts';
import type { SidecarHub, StreamSink } from './hub.ts';
import type { PodIdentity } from './identity.ts';
import { Refusal } from './refusal.ts';

const MAX_STREAMS = 20_000;
/** Under way at once, shared between pods: each has more than a sidecar needs, and some send slowly. */
export const MAX_PENDING_REQUESTS = 256;
/** Whose pod is not known yet, shared between addresses. */
const MAX_UNKNOWN_REQUESTS = 256;
/** How often what is late is looked for; as long as this a request may last beyond its time. */
const LATE_CHECK_MS = 1_000;
/** From a connection to the end of its handshake. */
const HANDSHAKE_MS = 10_000;
const HEARTBEAT_MS = 30_000;
/** What a slow reader may owe before its stream is cut; it connects again and gets the newest snapshot alone. */
const MAX_BACKLOG_BYTES = 2 * MAX_CONTROL_BYTES;
const RETRY_AFTER_SECONDS = 2;

const STATUS: Record<ControlErrorCode, number> = {
  NotLeader: 503,
  NotEnrolled: 409,
  Unauthenticated: 401,
  PodNotGoverned: 403,
  PodNotInjected: 403,
  NkeyMismatch: 403,
  ApprovalUnavailable: 409,
  RequestUnknown: 404,
  CounterRefused: 409,
  CountersFull: 503,
  ProtocolUnsupported: 400,
  Malformed: 400,
  TooLarge: 413,
  Busy: 503,
  Unavailable: 503,
};

export interface SidecarServerOptions {
  readonly tls: { key: string; cert: string };
  /** Undefined while another replica leads. */
  readonly term: () => Term | undefined;
  readonly reviewer: { review(token: string): Promise<PodIdentity | undefined> };
  /** The pod as the informer knows it, and why it may not take part. */
  readonly examine: (identity: PodIdentity) => { pod: KubeObject | undefined; refusal: PodRefusal | undefined };
  readonly heartbeatMs?: number;
  readonly onError?: (error: unknown) => void;
}
/** What a replica answers with while it leads. */
export interface Term {
  readonly enrolments: Pick<Enrolments, 'bind' | 'nkeyOf'>;
  readonly hub: SidecarHub;
  readonly counters: Pick<PodCounters, 'enrolled' | 'take' | 'fill'>;
  readonly comparison: Pick<Comparison, 'shortfalls' | 'unansweredSeconds'> | undefined;
  readonly approvals: Pick<ApprovalDesk, 'ask' | 'looked' | 'release' | 'ended' | 'contentOf'>;
  readonly kills: Pick<Kills, 'closed'>;
  readonly origin: string;
  /** Who reads what sidecars record. */
  readonly recipients: readonly string[];
  readonly register: (nkey: string, identity: PodIdentity) => SignedRegistration;
  readonly nats: (nkey: string) => Promise<NatsAccess>;
}

/** The HTTPS server that sidecars talk to. Contract: policy/src/control.ts. Only the leader answers. */
export function createSidecarServer(options: SidecarServerOptions): Server {
  const load: Load = {
    unknown: new Shares(MAX_UNKNOWN_REQUESTS),
    pending: new Shares(MAX_PENDING_REQUESTS),
    large: new LargeBodies(),
  };
  const heartbeat = setInterval(() => options.term()?.hub.heartbeat(), options.heartbeatMs ?? HEARTBEAT_MS).unref();
  const limits = { maxHeaderSize: 32 * 1024, connectionsCheckingInterval: LATE_CHECK_MS, handshakeTimeout: HANDSHAKE_MS };
  const server = createServer({ ...options.tls, minVersion: 'TLSv1.3', ...limits }, (request, response) => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    serve(options, request, response, load).catch((error: unknown) => answerError(options, response, error));
  });
  boundConnections(server, MAX_STREAMS * 2);
  server.requestTimeout = 15_000;
  server.headersTimeout = 10_000;
  server.keepAliveTimeout = 60_000;
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('close', () => clearInterval(heartbeat));
  return server;
}

interface Load {
  readonly unknown: Shares;
  readonly pending: Shares;
  readonly large: LargeBodies;
}

async function serve(
  options: SidecarServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
  { unknown, pending, large }: Load,
): Promise<void> {
  const term = options.term();
  if (term === undefined) throw new Refusal('NotLeader', 'this replica does not lead');
  const route = `${request.method ?? ''} ${request.url ?? ''}`;
  const token = /^Bearer ([\w.-]+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (token === undefined) throw new Refusal('Unauthenticated', 'no bearer token');
  const { identity, pod } = await authenticate(options, token, unknown.take(request.socket.remoteAddress ?? ''));
  using place = pending.take(identity.podUid);
  if (place === undefined) throw new Refusal('Busy', 'too many requests at once');
  await ofPod(route, { options, term }, { identity, pod, token }, { request, response, large });
}

interface Caller {
  readonly identity: PodIdentity;
  readonly pod: KubeObject;
  readonly token: string;
}
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly large: LargeBodies;
}

async function ofPod(
  route: string,
  { options, term }: { readonly options: SidecarServerOptions; readonly term: Term },
  caller: Caller,
  exchange: Exchange,
): Promise<void> {
  const { identity } = caller;
  const { request, response } = exchange;
  switch (route) {
    case `POST ${CONTROL_PATHS.enrol}`:
      return answer(response, await enrol(options, term, caller, await body(request, EnrolRequest)));
    case `GET ${CONTROL_PATHS.stream}`:
      return stream(term.hub, identity, response);
    case `POST ${CONTROL_PATHS.ack}`: {
      const { revision } = await body(request, AckRequest);
      return done(response, term.hub.ack(identity.podUid, revision));
    }
    case `POST ${CONTROL_PATHS.report}`: {
      const { observations } = await body(request, ReportRequest);
      return done(response, term.hub.report(identity.podUid, observations));
    }
    case `POST ${CONTROL_PATHS.capture}`:
      return done(response, term.hub.captured(identity.podUid, await body(request, CaptureRequest)));
    case `POST ${CONTROL_PATHS.counter}`: {
      if (!term.hub.has(identity.podUid)) throw new Refusal('NotEnrolled', 'enrol first');
      term.counters.take(identity.podUid, await body(request, CounterRequest));
      return done(response, true);
    }
    case `POST ${CONTROL_PATHS.nats}`: {
      const { nkey } = await body(request, NatsRequest);
      const known = term.hub.has(identity.podUid) ? term.enrolments.nkeyOf(identity.podUid) : undefined;
      if (known === undefined) throw new Refusal('NotEnrolled', 'enrol first');
      if (known !== nkey) throw new Refusal('NkeyMismatch', 'the pod is enrolled with another nkey');
      return answer(response, await term.nats(nkey));
    }
    default:
      return ofPeople(route, term, identity, exchange);
  }
}

/** What people decide: actions that wait for them, and sessions that they end. */
async function ofPeople(
  route: string,
  { approvals, hub, kills }: Term,
  identity: PodIdentity,
  { request, response, large }: Exchange,
): Promise<void> {
  switch (route) {
    case `POST ${CONTROL_PATHS.ask}`:
      return answer(response, await approvals.ask(identity, await body(request, Question)));
    case `POST ${CONTROL_PATHS.looked}`:
      if (!hub.has(identity.podUid)) throw new Refusal('NotEnrolled', 'enrol first');
      await approvals.looked(identity, await large.read(identity.podUid, request, LookedRequest));
      return done(response, true);
    case `POST ${CONTROL_PATHS.release}`:
      return answer(response, await approvals.release(identity, await body(request, ReleaseRequest)));
    case `POST ${CONTROL_PATHS.ended}`:
      await approvals.ended(identity, await body(request, EndRequest));
      return done(response, true);
    case `POST ${CONTROL_PATHS.closed}`:
      if (!hub.has(identity.podUid)) throw new Refusal('NotEnrolled', 'enrol first');
      await kills.closed(identity, (await body(request, ClosedRequest)).session);
      return done(response, true);
    default:
      throw new Refusal('Malformed', 'no such request');
  }
}

async function authenticate(
  options: SidecarServerOptions,
  token: string,
  unknown: Disposable | undefined,
): Promise<{ identity: PodIdentity; pod: KubeObject }> {
  using place = unknown;
  if (place === undefined) throw new Refusal('Busy', 'too many requests at once');
  const identity = await options.reviewer.review(token);
  if (identity === undefined) throw new Refusal('Unauthenticated', 'the token is not one of a running pod for this audience');
  const { pod, refusal } = options.examine(identity);
  if (refusal !== undefined || pod === undefined) {
    throw new Refusal(refusal?.code ?? 'Unauthenticated', refusal?.message ?? 'the pod does not exist');
  }
  return { identity, pod };
}

async function enrol(
  options: SidecarServerOptions,
  term: Term,
  { identity, pod, token }: Caller,
  request: EnrolRequest,
): Promise<EnrolResponse> {
  if (!CONTROL_PROTOCOLS.includes(request.protocol)) {
    throw new Refusal('ProtocolUnsupported', `this operator speaks protocol ${CONTROL_PROTOCOLS.join(' and ')}`);
  }
  if (!provesNkey(request, token)) throw new Refusal('NkeyMismatch', 'the nkey did not sign this enrolment');
  await importPublicKey(request.tlsPublicKey).catch(() => {
    throw new Refusal('Malformed', 'tlsPublicKey is not a P-256 key in PEM');
  });
  if (!(await term.enrolments.bind(identity.podUid, request.nkey))) {
    throw new Refusal('NkeyMismatch', 'the pod has another nkey, or the nkey another pod');
  }
  const registration = term.register(request.nkey, identity);
  const nats = await term.nats(request.nkey);
  // The pod may have gone, or this replica's term ended, while this was written down.
  const still = options.examine(identity);
  if (still.refusal !== undefined) throw new Refusal(still.refusal.code, still.refusal.message);
  if (options.term() !== term) throw new Refusal('NotLeader', 'this replica leads no more');
  const agent = { ...agentOf(pod), podUid: identity.podUid };
  term.counters.enrolled(identity.podUid, request.nkey, registration);
  const snapshot = await term.hub.enrol(agent, request.tlsPublicKey);
  return { protocol: request.protocol, origin: term.origin, registration, recipients: [...term.recipients], nats, snapshot };
}

function provesNkey(request: EnrolRequest, token: string): boolean {
  try {
    const message = enrolmentProof(token, request.tlsPublicKey);
    return verifySignature(decodeNkey(request.nkey), message, Buffer.from(request.nkeyProof, 'base64'));
  } catch {
    return false;
  }
}

function stream(hub: SidecarHub, identity: PodIdentity, response: ServerResponse): void {
  if (hub.streams >= MAX_STREAMS) throw new Refusal('Busy', 'too many streams');
  if (!hub.has(identity.podUid)) throw new Refusal('NotEnrolled', 'enrol first');
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  response.flushHeaders();
  const sink: StreamSink = {
    send: (line: StreamLine) => {
      if (response.writableLength > MAX_BACKLOG_BYTES) response.destroy();
      else response.write(`${JSON.stringify(line)}\n`);
    },
    end: () => response.end(),
  };
  response.on('close', () => hub.detach(identity.podUid, sink));
  hub.attach(identity.podUid, sink);
}

function answer(response: ServerResponse, value: object): void {
  const text = JSON.stringify(value);
  if (Buffer.byteLength(text) > MAX_CONTROL_BYTES) throw new Refusal('TooLarge', 'the policies of this pod are too large');
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(text);
}

function done(response: ServerResponse, known: boolean): void {
  if (!known) throw new Refusal('NotEnrolled', 'enrol first');
  response.writeHead(204).end();
}

function answerError(options: SidecarServerOptions, response: ServerResponse, error: unknown): void {
  const refusal = error instanceof Refusal ? error : new Refusal('Unavailable', 'something that this needs is not available');
  if (!(error instanceof Refusal)) options.onError?.(error);
  if (response.headersSent) return void response.destroy();
  const status = STATUS[refusal.code];
  response.writeHead(status, {
    'content-type': 'application/json',
    // The rest of a body that was not read must not be taken for the next request.
    connection: 'close',
    ...(status === 503 ? { 'retry-after': String(RETRY_AFTER_SECONDS) } : {}),
  });
  response.end(JSON.stringify({ code: refusal.code, message: refusal.message }));
}
