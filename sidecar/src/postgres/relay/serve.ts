import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { SessionContext } from '../../session/sessions.ts';
import type { SessionRecorder } from '../../recording/recorder.ts';
import { type Caller, type GrantedResource } from '@chaperone/policy';
import type { Verified } from '../../identity/index.ts';
import type { StatementParser } from '../actions/index.ts';
import { AcceptError, type AcceptedCancel, type AcceptedSession, acceptAgent, greet } from './accept.ts';
import { identifyCaller } from './caller.ts';
import { type CancelRegistry, type CancelTarget, sendCancel } from './cancel.ts';
import { type Database, DatabaseError } from './database.ts';
import { accessOf } from '../../session/access-of.ts';
import type { Ending } from '../../session/index.ts';
import type { Memory } from '../../session/memory.ts';
import { startParameters } from './pinned.ts';
import { selfTest } from './self-test.ts';
import { Relay } from './relay.ts';
import { ServerReads } from './server-reads.ts';
import { READ_BY, shownParameter } from './server-side.ts';
import { fatalText } from './texts.ts';
import { connectUpstream, majorOf, type Upstream } from './upstream.ts';
import { UpstreamError } from './upstream-error.ts';

const HANDSHAKE_TIMEOUT_MS = 15_000;

export interface PostgresContext extends SessionContext {
  readonly database: Database;
  readonly parser: StatementParser;
  readonly cancels: CancelRegistry;
  readonly memory: Memory;
}

/** A session that could not begin: said to the agent as FATAL. */
class Refused extends Error {
  readonly ending: Ending;
  constructor(ending: Ending) {
    super(ending.code);
    this.ending = ending;
  }
}

/** Serves one PostgreSQL connection from its first byte to its last. */
export async function servePostgres(context: PostgresContext): Promise<void> {
  const begun = await begin(context);
  if (begun === undefined) return;
  const { relay, session } = begun;
  const ending = await relay.run();
  await session.append({ type: 'session.close', ...ending, ...relay.totals }, 'written');
}

/** Apart from what follows, so that nothing of the login stays for as long as the session. Undefined: there is no session. */
async function begin(
  context: PostgresContext,
): Promise<{ readonly relay: Relay; readonly session: SessionRecorder } | undefined> {
  const secureContext = context.secureContext();
  const accepted = await acceptAgent(context.socket, {
    ...(secureContext === undefined ? {} : { tls: { secureContext } }),
    handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
  }).catch((error: unknown) => {
    if (error instanceof AcceptError) return undefined;
    throw error;
  });
  if (accepted?.kind === 'cancel') await passCancel(accepted, context);
  if (accepted?.kind !== 'session') return undefined;
  let session: SessionRecorder | undefined;
  try {
    const start = admit(context, accepted);
    const caller = await identifyCaller(start.resource.access, accepted, context);
    if (!caller.ok) throw new Refused(caller.ending);
    session = await openSession(context, accepted, caller.verified);
    const relay = await join(context, { ...accepted, rest: caller.rest }, { ...start, caller: caller.verified?.caller }, session);
    context.onEnd(
      (ending) => relay.end(ending),
      () => relay.idleMs(),
      (limits) => relay.check(limits),
    );
    return { relay, session };
  } catch (error) {
    const ending = explain(error);
    accepted.socket.end(fatalText(ending, session?.session));
    await session?.append({ type: 'session.close', ...ending, actions: 0, denied: 0, maskedValues: 0 }, 'written');
    if (!(error instanceof Refused || error instanceof DatabaseError || error instanceof UpstreamError)) throw error;
    return undefined;
  }
}

type Canceller = Pick<PostgresContext, 'cancels' | 'guard' | 'logger'>;

async function passCancel({ socket, key }: AcceptedCancel, { cancels, guard, logger }: Canceller): Promise<void> {
  const outcome = await cancels.cancel(key, guard);
  // Somebody guesses keys.
  if (outcome === 'unknown') logger.warn('cancel request with an unknown key', { address: socket.remoteAddress ?? 'unknown' });
  socket.destroySoon();
}

export interface RefusedContext extends Canceller {
  readonly socket: Socket;
  readonly secureContext: SecureContext | undefined;
  readonly ending: Ending;
}

/**
 * Hears an agent out up to its startup packet, and says why there is no session. What cancels is no session, and frees one: it is
 * served. Never rejects.
 */
export async function refusePostgres({ socket, secureContext, ending, ...canceller }: RefusedContext): Promise<void> {
  try {
    const accepted = await acceptAgent(socket, {
      ...(secureContext === undefined ? {} : { tls: { secureContext } }),
      handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
    });
    if (accepted.kind === 'cancel') await passCancel(accepted, canceller);
    else accepted.socket.end(fatalText(ending));
  } catch {
    // It left, or said what no client says: nobody is there to be told.
  }
}

interface Start {
  readonly resource: GrantedResource;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Everything that can be refused before anybody is dialled. */
function admit(context: PostgresContext, accepted: AcceptedSession): Start {
  if (context.snapshot() === undefined) throw new Refused({ code: 'PolicyStale', reason: 'the policy was not renewed in time' });
  const resource = context.resource();
  if (resource === undefined) throw new Refused({ code: 'SessionEnded', reason: 'the right to use this resource was withdrawn' });
  if (!context.admit())
    throw new Refused({ code: 'TooManyConnections', reason: 'the policy allows no more sessions on this resource at once' });
  if (resource.notReady !== undefined)
    throw new Refused({ code: 'ResourceNotReady', reason: `it is not ready (${resource.notReady.code})` });
  const { database } = resource.postgres ?? { database: '' };
  const start = startParameters(accepted.parameters, database, resource.access.searchPath);
  if (!start.ok) throw new Refused(start);
  return { resource, parameters: start.parameters };
}

async function openSession(
  context: PostgresContext,
  accepted: AcceptedSession,
  verified: Verified | undefined,
): Promise<SessionRecorder> {
  const application = accepted.parameters.get('application_name');
  const tls = accepted.socket !== context.socket;
  try {
    return await context.open({ tls, ...(application === undefined ? {} : { application: application.slice(0, 64) }) }, verified);
  } catch (error) {
    if (error instanceof Error && error.name === 'RecordingError')
      throw new Refused({ code: 'RecordingBlocked', reason: 'what happens here can not be recorded' });
    throw error;
  }
}

async function join(
  context: PostgresContext,
  accepted: AcceptedSession,
  start: Start & { readonly caller: Caller | undefined },
  session: SessionRecorder,
): Promise<Relay> {
  const { database, parser, cancels, memory, clock, logger } = context;
  parser.warm();
  await database.ready();
  const reads = new ServerReads();
  const upstream = await dial(context, start, reads);
  const { socket: server, key, parameters } = upstream;
  accepted.socket.once('close', () => server.destroy());
  const major = majorOf(upstream);
  try {
    await database.readyFor(major);
    const passed = await selfTest(upstream, reads);
    database.tested(passed);
    if (!passed)
      throw new Refused({
        code: 'ResourceNotReady',
        reason: 'the server or a pooler before it drops the settings that judging needs (PoolerDropsOptions)',
      });
  } catch (error) {
    server.destroy();
    throw error;
  }
  let relay: Relay | undefined;
  const here = (): boolean => relay?.giveUp() === true;
  const cancel = cancels.register({ upstream: cancelAddress(start.resource), key, here }, accepted.protocolMinor);
  const { processId } = cancel;
  server.once('close', () => cancels.forget(processId));
  accepted.socket.write(greet({ parameters: shownOf(parameters), key: cancel }));
  const access = accessOf(() => context.resource()?.access ?? start.resource.access, start.caller);
  relay = new Relay({
    agent: accepted.socket,
    early: accepted.rest,
    server,
    reported: reportedOf(parameters),
    reads,
    major,
    parser,
    memory,
    database,
    access,
    session,
    clock,
    log: logger,
    interrupt: () => interrupt(context, start.resource, key),
    holds: context.holds,
    connect: async () => {
      const own = new ServerReads();
      return { upstream: await dial(context, start, own), reads: own };
    },
    approval: {
      agent: context.agent,
      onBehalfOf: start.caller && { issuer: start.caller.issuer, user: start.caller.user },
      database: start.resource.postgres?.database ?? '',
      role: start.resource.credentials?.username ?? '',
      settings: () => settingsOf(start.parameters),
    },
  });
  return relay;
}

function shownOf(parameters: Upstream['parameters']): Map<string, string> {
  return new Map([...parameters].filter(([name]) => shownParameter(name)));
}

function reportedOf(parameters: Upstream['parameters']): Map<string, string> {
  return new Map([...READ_BY].map((name) => [name, parameters.get(name) ?? '']));
}

/** But for names by which a server shows sessions, which mean nothing and differ. */
function settingsOf({ application_name: _name, ...parameters }: Start['parameters']): string {
  return JSON.stringify(Object.entries(parameters).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function interrupt({ guard, logger }: PostgresContext, resource: GrantedResource, key: Upstream['key']): void {
  if (key === undefined) return;
  sendCancel({ ...cancelAddress(resource), guard }, key).catch(() => logger.warn('a statement could not be cancelled'));
}

/** A server that asks every connection for a certificate asks those that cancel too. */
function cancelAddress({ upstream, credentials }: GrantedResource): CancelTarget['upstream'] {
  return { ...upstream, client: credentials?.client };
}

async function dial(context: PostgresContext, { resource, parameters }: Start, { onread }: ServerReads): Promise<Upstream> {
  const { upstream, credentials, postgres } = resource;
  if (credentials === undefined) throw new Refused({ code: 'ResourceNotReady', reason: 'the resource has no credential' });
  try {
    const connection = await connectUpstream({
      ...upstream,
      ...credentials,
      authentication: postgres?.authentication ?? ['scram'],
      parameters,
      guard: context.guard,
      onread,
    });
    context.database.dialled(resource);
    return connection;
  } catch (error) {
    // The catalogue may have been read a moment ago, with what was right then.
    context.database.dialled(resource, error);
    throw error;
  }
}

function explain(error: unknown): Ending {
  if (error instanceof Refused) return error.ending;
  if (error instanceof DatabaseError) return { code: error.code, reason: error.message };
  if (error instanceof UpstreamError) return { code: 'ResourceNotReady', reason: `${error.message} (${error.code})` };
  return { code: 'InternalFault', reason: 'this proxy met a fault of its own' };
}
