import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Access, Caller, GrantedResource } from '@chaperone/policy';
import { TokenError, type Verified } from '../../identity/index.ts';
import type { SessionRecorder } from '../../recording/recorder.ts';
import { accessOf } from '../../session/access-of.ts';
import { ActionRecords } from '../../session/action-records.ts';
import { Approval } from '../../session/approval.ts';
import type { Ending } from '../../session/index.ts';
import type { Memory } from '../../session/memory.ts';
import type { SessionContext } from '../../session/sessions.ts';
import { Shown } from '../../session/shown.ts';
import type { Watch } from '../../tcp/watch.ts';
import { type RawRequest, type Surroundings, surroundingsOf } from '../actions/index.ts';
import { FieldError, type Plans } from '../masking/index.ts';
import { isForThisMachine, MAX_AT_ONCE, secure, serveHttp } from './accept.ts';
import { Exchange, type ExchangeOptions, RefusedRequest, type RelayContext } from './exchange.ts';
import type { Refusals } from './refusals.ts';
import { Upgrade } from './upgrade.ts';
import { Upstream } from './upstream.ts';

export interface KubernetesContext extends SessionContext {
  readonly memory: Memory;
  readonly refusals: Refusals;
  readonly plans: Plans;
  /** One for all sessions: whoever owns the resource hears how its upstream is found. */
  readonly watch: Pick<Watch, 'reached' | 'failed' | 'signedIn'>;
}

/** A session that ended has so long to say why. */
const LINGER_MS = 1000;
const BEARER = /^bearer +([!-~]+) *$/i;

/** Serves one connection to an API server from its first byte to its last: one session, whatever it asks for. */
export function serveKubernetes(context: KubernetesContext): Promise<void> {
  return new KubernetesSession(context).serve();
}

interface Admitted {
  readonly context: RelayContext;
  readonly recorder: SessionRecorder;
  readonly access: () => Access;
  /** Of the token with which it began; later requests bring the same. */
  readonly token: string;
}

class KubernetesSession {
  readonly #c: KubernetesContext;
  readonly #exchanges = new Map<Exchange | Upgrade, Promise<void>>();
  readonly #options: ExchangeOptions;
  #socket: Socket | undefined;
  #admitting: Promise<Admitted> | undefined;
  #admitted: Admitted | undefined;
  #upstream: Upstream | undefined;
  #ended: Ending | undefined;
  #activeAt: number;
  #bytes = 0;
  #maxBytes = Infinity;

  constructor(context: KubernetesContext) {
    this.#c = context;
    this.#activeAt = context.clock.monotonic();
    this.#options = {
      admit: (raw) => this.#admit(raw),
      memory: context.memory,
      onFault: (error) => this.#fault(error),
      access: () => this.#admitted?.access(),
    };
  }

  async serve(): Promise<void> {
    const { socket, clock, local, onEnd } = this.#c;
    onEnd(
      (ending) => this.#end(ending),
      () => clock.monotonic() - this.#activeAt,
      () => this.#check(),
    );
    const secured = await secure(socket, { secureContext: this.#c.secureContext(), local });
    if (secured === undefined) return;
    this.#socket = secured;
    if (this.#ended === undefined)
      await serveHttp(secured, {
        request: (request, response) => this.#take(new Exchange(request, response, this.#options)),
        upgrade: (request, upgraded, head) => this.#take(new Upgrade(request, upgraded, head, this.#options)),
      });
    await Promise.all(this.#exchanges.values());
    // Whoever leaves while it is let in leaves a record all the same.
    await this.#admitting?.catch(() => undefined);
    this.#upstream?.close();
    await this.#close();
  }

  #take(exchange: Exchange | Upgrade): void {
    this.#active(0);
    if (this.#ended !== undefined) exchange.end(refusalOfEnding(this.#ended));
    // Nobody that speaks HTTP/1.1 has more, and of HTTP/2 none was told that it may.
    else if (this.#exchanges.size >= MAX_AT_ONCE) exchange.end({ code: 'TooManyConnections', status: 429 });
    const served = exchange.serve().finally(() => this.#exchanges.delete(exchange));
    this.#exchanges.set(exchange, served);
  }

  /** Lets in whoever asks first; who asks later has to be the same. */
  async #admit(raw: RawRequest): Promise<RelayContext> {
    if (this.#ended !== undefined) throw new RefusedRequest(refusalOfEnding(this.#ended));
    if (this.#socket === this.#c.socket && !isForThisMachine(raw))
      throw new RefusedRequest({ code: 'ProtocolViolation', reason: 'without TLS its host must be this machine', status: 403 });
    const token = this.#c.resource()?.access.identity === undefined ? '' : tokenOf(raw);
    this.#admitting ??= this.#letIn(token, applicationOf(raw));
    try {
      const { context, token: first } = await this.#admitting;
      if (first !== digestOf(token))
        throw new RefusedRequest({ code: 'TokenRejected', reason: 'the connection began with another token; open a new one' });
      return context;
    } catch (error) {
      // The answer would stay the same.
      this.#finish();
      throw error;
    }
  }

  async #letIn(token: string, application: string | undefined): Promise<Admitted> {
    const { snapshot, resource: current, admit, open, agent, holds, clock, guard, watch } = this.#c;
    const first = snapshot();
    if (first === undefined) throw refused('PolicyStale', 'the policy was not renewed in time');
    const resource = current();
    if (resource === undefined) throw refused('SessionEnded', 'the right to use this resource was withdrawn');
    const verified = await this.#verify(resource.access, token);
    if (!admit()) throw refused('TooManyConnections', 'the policy allows no more sessions on this resource at once');
    if (resource.notReady !== undefined) throw refused('ResourceNotReady', `it is not ready (${resource.notReady.code})`);
    this.#readFields(resource.access);
    const upstream = new Upstream({
      resource,
      agent,
      guard,
      reached: (error) => (error === undefined ? watch.reached(resource) : watch.failed(resource, serverNameOf(resource), error)),
    });
    this.#upstream = upstream;
    const client = { tls: this.#socket !== this.#c.socket, ...(application !== undefined && { application }) };
    const recorder = await open(client, verified);
    const access = accessOf(() => current()?.access ?? resource.access, verified?.caller);
    this.#maxBytes = access().limits.bytes ?? Infinity;
    const records = new ActionRecords(recorder, access, (error) => this.#fault(error));
    const shown = new Shown(access);
    let told = { by: first, surroundings: surroundingsOf(first, resource) };
    // A snapshot that is not in force any more ends the session; until then it counts.
    const surroundings = (): Surroundings => {
      const by = snapshot() ?? told.by;
      if (by !== told.by) told = { by, surroundings: surroundingsOf(by, resource) };
      return told.surroundings;
    };
    const context: RelayContext = {
      session: recorder.session,
      access,
      plan: () => this.#c.plans.of(access()),
      surroundings,
      records,
      approval: new Approval({
        protocol: 'kubernetes',
        session: recorder.session,
        access,
        agent,
        onBehalfOf: callerOf(verified?.caller),
        account: resource.kubernetes?.identity ?? '',
        upstream: `${resource.upstream.host}:${resource.upstream.port}`,
        masked: (text) => shown.text(text),
        holds,
        records,
        clock,
      }),
      shown,
      upstream,
      refusals: this.#c.refusals,
      clock,
      onBytes: (bytes) => this.#active(bytes),
      leftMs: this.#c.leftMs,
      signedIn: (isAccepted) =>
        isAccepted
          ? undefined
          : watch.signedIn(resource, { code: 'CredentialsRejected', message: 'the API server answers 401 to the credential' }),
    };
    this.#admitted = { context, recorder, access, token: digestOf(token) };
    return this.#admitted;
  }

  async #verify({ identity }: Access, token: string): Promise<Verified | undefined> {
    if (identity === undefined) return undefined;
    if (token === '') throw refused('TokenRequired', 'there is none');
    try {
      return await this.#c.verify(token, identity);
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      // The issuer's fault, which no other token mends.
      throw refused(error.code === 'IssuerUnavailable' ? 'ResourceNotReady' : 'TokenRejected', error.message);
    }
  }

  /** Where labelled fields cannot be read nothing could be masked. */
  #readFields(access: Access): void {
    try {
      this.#c.plans.of(access);
    } catch (error) {
      throw error instanceof FieldError ? refused('ResourceNotReady', error.message) : error;
    }
  }

  #active(bytes: number): void {
    this.#activeAt = this.#c.clock.monotonic();
    this.#bytes += bytes;
    if (this.#bytes > this.#maxBytes)
      this.#end({ code: 'SessionEnded', reason: `it carried the ${this.#maxBytes} bytes that its policy allows` });
  }

  #check(): void {
    this.#maxBytes = this.#admitted?.access().limits.bytes ?? Infinity;
    for (const exchange of this.#exchanges.keys()) exchange.check();
  }

  /** A record that failed, or a fault of ours: nothing goes on that cannot be recorded. */
  #fault(error: unknown): void {
    const isRecording = error instanceof Error && error.name === 'RecordingError';
    if (!isRecording)
      this.#c.logger.error('a session of the Kubernetes API failed', { error: error instanceof Error ? error.name : 'Error' });
    this.#end(
      isRecording
        ? { code: 'RecordingBlocked', reason: 'what happens here cannot be recorded' }
        : { code: 'InternalFault', reason: '' },
    );
  }

  #end(ending: Ending): void {
    if (this.#ended !== undefined) return;
    this.#ended = ending;
    for (const exchange of this.#exchanges.keys()) exchange.end(refusalOfEnding(ending));
    this.#finish();
  }

  /** Closes the connection once what was answered is out, or was not read in time. */
  #finish(): void {
    const socket = this.#socket ?? this.#c.socket;
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
    void Promise.all(this.#exchanges.values()).then(() => socket.end());
  }

  async #close(): Promise<void> {
    if (this.#admitted === undefined) return;
    const { code = 'AgentClosed', reason = 'the agent closed the connection', by } = this.#ended ?? {};
    const { recorder, context } = this.#admitted;
    const how = { code, reason, ...(by !== undefined && { by }) };
    await recorder.append({ type: 'session.close', ...how, ...context.records.totals }, 'written');
  }
}

function refused(code: Exclude<Ending['code'], 'AgentClosed'>, reason: string): RefusedRequest {
  return new RefusedRequest({ code, reason });
}

function refusalOfEnding({ code, reason }: Ending): RefusedRequest['refusal'] {
  return { code: code === 'AgentClosed' ? 'SessionEnded' : code, ...(reason !== '' && { reason }) };
}

function callerOf(caller: Caller | undefined): { issuer: string; user: string } | undefined {
  return caller && { issuer: caller.issuer, user: caller.user };
}

function serverNameOf({ upstream: { host, tls } }: GrantedResource): string {
  return tls.serverName ?? host;
}

/** The one bearer token of a request; '' where there is none, or more than one. */
function tokenOf({ headers }: RawRequest): string {
  const [first, ...more] = headers.filter(([name]) => name.toLowerCase() === 'authorization');
  return first === undefined || more.length > 0 ? '' : (BEARER.exec(first[1])?.[1] ?? '');
}

/** What the client says that it is: kubectl/v1.34.1 (linux/amd64) kubernetes/93248f9. */
function applicationOf({ headers }: RawRequest): string | undefined {
  return headers.find(([name]) => name.toLowerCase() === 'user-agent')?.[1].slice(0, 64);
}

function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
