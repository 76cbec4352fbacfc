import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { AgentCode } from '@chaperone/api';
import { newSessionId, type RecordBody } from '@chaperone/evidence';
import {
  type Access,
  type Agent,
  canonicalJson,
  type GrantedResource,
  type SealedAction,
  type Snapshot,
  type TokenDemand,
} from '@chaperone/policy';
import type { Tracer } from '@chaperone/policy/tracing';
import type { DialGuard } from '../capture/guard.ts';
import { MAX_CONNECTIONS_PER_RESOURCE } from '../capture/listener.ts';
import type { ControlPlane } from '../control/control-plane.ts';
import { IssuerKeys, type Verified, verifyToken } from '../identity/index.ts';
import type { Clock, Logger } from '../platform.ts';
import { StatementParser } from '../postgres/actions/index.ts';
import { refusePostgres, servePostgres } from '../postgres/relay/serve.ts';
import { Database, labelsOf } from '../postgres/relay/database.ts';
import { CancelRegistry } from '../postgres/relay/cancel.ts';
import { Memory } from './memory.ts';
import type { Recording, SessionRecorder } from '../recording/recorder.ts';
import { Holds } from './holds.ts';
import { Logins } from './logins.ts';
import { Recent } from './recent.ts';
import { traced } from './traced.ts';
import { createProofs, type Proofs } from '../tcp/proof.ts';
import { serveTcp } from '../tcp/relay.ts';
import type { HostKey } from '../ssh/relay/host-key.ts';
import { Plans } from '../kubernetes/masking/index.ts';
import { Refusals } from '../kubernetes/relay/refusals.ts';
import { serveKubernetes } from '../kubernetes/relay/serve.ts';
import { serveSsh } from '../ssh/relay/serve.ts';
import { Turns } from '../ssh/relay/turns.ts';
import { createWatch, type Watch } from '../tcp/watch.ts';

/** Sessions at once; each holds an upstream connection. */
const MAX_SESSIONS = 1000;
/** SSH connections to a resource on which nobody is let in yet, as OpenSSH's MaxStartups: a quarter of those that it may have. */
const MAX_LOGINS = MAX_CONNECTIONS_PER_RESOURCE / 4;
/** Connections that are being told so at once; more are reset. */
const MAX_REFUSING = 32;
const CHECK_INTERVAL_MS = 1000;
/** A session that was silent for this long has nothing under way. */
const QUIET_MS = 500;
/** What large messages, prepared statements and SSH's windows of all sessions may take: a quarter of what the sidecar may use. */
const MEMORY_BYTES = 96 * 1024 * 1024;
/** After this an agent that does not read how its session ended is cut off. */
const LINGER_MS = 5000;

export interface SessionsOptions {
  readonly control: ControlPlane;
  readonly recording: Recording;
  readonly guard: DialGuard;
  /** Of sessions with the API server of the own cluster, which no other may dial. Default: guard */
  readonly apiGuard?: DialGuard;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Who this proxy is to clients of SSH; without one, no session of SSH opens. */
  readonly hostKey?: HostKey | undefined;
  /** Absent: nothing is traced. */
  readonly tracer?: Tracer | undefined;
  /** Agents and proxy are one machine: what comes from its loopback needs no TLS. Default: false */
  readonly local?: boolean;
  /** Reads SQL for others too, and is closed by whoever gives it. Absent: one of its own. */
  readonly parser?: StatementParser;
}

/** How a session ended, for its agent and for its record. */
export interface Ending {
  readonly code: AgentCode | 'AgentClosed';
  /** Empty where the code says it all. */
  readonly reason: string;
  /** The person who ended it: for its record alone. */
  readonly by?: string;
}

/** What a protocol needs to serve one connection. */
export interface SessionContext {
  readonly socket: Socket;
  /** The resource as the snapshot in force has it; undefined once the agent may no longer use it. */
  readonly resource: () => GrantedResource | undefined;
  readonly snapshot: () => Snapshot | undefined;
  /** Opens the session's record; nothing may go upstream before it resolves. */
  readonly open: (client: { tls: boolean; application?: string }, verified?: Verified) => Promise<SessionRecorder>;
  /** Verifies a token against what the access demands; throws TokenError. */
  readonly verify: (token: string, demands: readonly TokenDemand[]) => Promise<Verified>;
  /** As {@link SessionsOptions.local}. */
  readonly local: boolean;
  /** Our leaf for the agent's side; undefined: none is in force. */
  readonly secureContext: () => SecureContext | undefined;
  readonly guard: DialGuard;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Who connects. */
  readonly agent: SealedAction['agent'];
  /** Where actions wait for people. */
  readonly holds: Holds;
  /** Counts this connection among the agent's sessions on the resource. False: there are as many as the policy allows. */
  readonly admit: () => boolean;
  /** How long the session may go on, by its limits and the token of its caller, ms; Infinity: nothing bounds it. */
  readonly leftMs: () => number;
  /** Registers how to end the session, and what holds it to limits that only its protocol knows; called at most once. */
  readonly onEnd: (end: (ending: Ending) => void, idleMs: () => number, check?: (limits: Access['limits']) => void) => void;
}

/** Of a resource, what ends its sessions when it changes. */
interface Terms {
  /** What the owner says is sensitive. */
  readonly labels: string;
  /** What upstream connections are opened with. */
  readonly credentials: string;
  /** Which tokens are demanded. */
  readonly demands: string;
}

interface Live {
  readonly resource: string;
  /** As they were when the session began. */
  readonly terms: Terms;
  readonly startedAt: number;
  /** When the token of its caller ends; wall clock. */
  untilMs: number;
  session: string | undefined;
  admitted: boolean;
  /** Somebody is let in, or it is over. */
  readonly begun: () => void;
  end: (ending: Ending) => void;
  idleMs: () => number;
  check: (limits: Access['limits']) => void;
}

export interface Sessions {
  /** Takes over an accepted connection to `resource`. */
  accept(socket: Socket, resource: GrantedResource): void;
  /** Tells an agent, as far as its protocol can, that there is no room for another connection. */
  refuse(socket: Socket, resource: GrantedResource): void;
  /** Ends every session and waits for their records. */
  stop(): Promise<void>;
  readonly open: number;
  /** Whether a session is open here. */
  has(session: string): boolean;
}

export function createSessions(options: SessionsOptions): Sessions {
  return new SessionTable(options);
}

class SessionTable implements Sessions {
  readonly #o: SessionsOptions;
  readonly #live = new Map<Live, Promise<void>>();
  readonly #logins = new Map<string, Logins>();
  readonly #databases = new Map<string, Database>();
  readonly #turns = new Map<string, Turns>();
  readonly #cancels = new CancelRegistry();
  readonly #parser: StatementParser;
  readonly #memory = new Memory(MEMORY_BYTES);
  readonly #holds: Holds;
  readonly #recent: Recent;
  readonly #refusals: Refusals;
  readonly #plans = new Plans();
  /** Read once for all sessions of a resource: each of them is held to these every second. */
  readonly #terms = new WeakMap<GrantedResource, Terms>();
  readonly #issuers: IssuerKeys;
  readonly #proofs: Proofs;
  readonly #watch: Watch;
  readonly #timer: NodeJS.Timeout;
  #leaf: { readonly certificate: string; readonly context: SecureContext } | undefined;
  #stopping = false;
  #refusing = 0;

  constructor(options: SessionsOptions) {
    this.#o = options;
    this.#parser = options.parser ?? new StatementParser();
    const { clock, logger, control } = options;
    this.#recent = new Recent(clock);
    this.#refusals = new Refusals(clock);
    this.#holds = new Holds({ approvals: control.approvals, clock, logger, recent: this.#recent });
    this.#issuers = new IssuerKeys(options);
    this.#proofs = createProofs({ clock: options.clock });
    this.#watch = createWatch({ clock: options.clock, report: (seen) => options.control.report(seen) });
    options.control.onRevoke(({ code, reason, session, by }) =>
      this.#revoke({ code, reason, ...(by !== undefined && { by }) }, session),
    );
    options.control.onSnapshot(() => this.#check());
    this.#timer = setInterval(() => this.#check(), CHECK_INTERVAL_MS).unref();
  }

  get open(): number {
    return this.#live.size;
  }

  has(session: string): boolean {
    return [...this.#live.keys()].some((live) => live.session === session);
  }

  accept(socket: Socket, resource: GrantedResource): void {
    socket.on('error', () => socket.destroy());
    if (this.#stopping) {
      socket.destroy();
      return;
    }
    if (this.#live.size >= MAX_SESSIONS) return this.refuse(socket, resource);
    const live: Live = {
      resource: keyOf(resource),
      terms: this.#termsOf(resource),
      startedAt: this.#o.clock.monotonic(),
      untilMs: Infinity,
      session: undefined,
      admitted: false,
      begun: this.#begin(resource, () => live.end({ code: 'TooManyConnections', reason: '' })),
      // Until its protocol knows how to say why.
      end: () => socket.destroy(),
      idleMs: () => 0,
      check: () => undefined,
    };
    const served = this.#serve(socket, resource, live)
      .catch((error: unknown) => this.#o.logger.error('session failed', { error: error instanceof Error ? error.name : 'Error' }))
      .finally(() => {
        closeSoon(socket);
        live.begun();
        this.#live.delete(live);
      });
    this.#live.set(live, served);
  }

  refuse(socket: Socket, { access }: GrantedResource): void {
    socket.on('error', () => socket.destroy());
    if (this.#stopping || this.#refusing >= MAX_REFUSING || access.resource.protocol !== 'postgres') {
      socket.resetAndDestroy();
      return;
    }
    this.#refusing++;
    const ending: Ending = { code: 'TooManyConnections', reason: '' };
    const { guard, logger } = this.#o;
    void refusePostgres({ socket, secureContext: this.#secureContext(), ending, cancels: this.#cancels, guard, logger }).finally(
      () => {
        this.#refusing--;
        closeSoon(socket);
      },
    );
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    this.#revoke({ code: 'SessionEnded', reason: 'the proxy is stopping' });
    await Promise.all(this.#live.values());
    if (this.#o.parser === undefined) await this.#parser.close();
  }

  async #serve(socket: Socket, resource: GrantedResource, live: Live): Promise<void> {
    const { control, guard, apiGuard = guard, clock, logger, hostKey, local = false } = this.#o;
    const key = keyOf(resource);
    let known: { readonly snapshot: Snapshot | undefined; readonly resource: GrantedResource | undefined } | undefined;
    // Asked for several times for every statement.
    const current = (): GrantedResource | undefined => {
      const snapshot = control.current();
      if (known?.snapshot !== snapshot || known === undefined)
        known = { snapshot, resource: snapshot?.resources.find((other) => keyOf(other) === key) };
      return known.resource;
    };
    let recorder: SessionRecorder | undefined;
    const context: SessionContext = {
      socket,
      resource: current,
      snapshot: () => control.current(),
      open: async (client, verified) => {
        live.untilMs = verified?.untilMs ?? Infinity;
        recorder = this.#recent.watched(await this.#open(socket, resource, client, verified));
        live.session = recorder.session;
        live.begun();
        return recorder;
      },
      verify: (token, demands) => verifyToken(token, demands, { keys: this.#issuers, nowMs: clock.now() }),
      local,
      secureContext: () => this.#secureContext(),
      guard,
      clock,
      logger,
      agent: sealedAgent(control.current()?.agent),
      holds: this.#holds,
      admit: () => this.#admit(live, current()?.access.limits.connections),
      leftMs: () => {
        const { sessionDurationMs = Infinity } = current()?.access.limits ?? {};
        return Math.min(sessionDurationMs - (clock.monotonic() - live.startedAt), live.untilMs - clock.now());
      },
      onEnd: (end, idleMs, check) => {
        live.end = end;
        live.idleMs = idleMs;
        if (check !== undefined) live.check = check;
      },
    };
    try {
      const { protocol } = resource.access.resource;
      if (protocol === 'postgres')
        await servePostgres({
          ...context,
          database: this.#database(key, () => current() ?? resource),
          parser: this.#parser,
          cancels: this.#cancels,
          memory: this.#memory,
        });
      else if (protocol === 'tcp') await serveTcp({ ...context, proofs: this.#proofs, watch: this.#watch });
      else if (protocol === 'kubernetes')
        await serveKubernetes({
          ...context,
          guard: resource.kubernetes?.own === true ? apiGuard : guard,
          memory: this.#memory,
          watch: this.#watch,
          refusals: this.#refusals,
          plans: this.#plans,
        });
      else if (protocol === 'ssh' && hostKey !== undefined)
        await serveSsh({
          ...context,
          hostKey,
          turns: this.#turnsOf(key),
          memory: this.#memory,
          reached: (host, error) => this.#watch.signedIn(host, error),
        });
      else socket.destroy();
    } finally {
      await recorder?.close();
    }
  }

  /** @returns what says that somebody is let in, or that it is over */
  #begin(resource: GrantedResource, drop: () => void): () => void {
    if (resource.access.resource.protocol !== 'ssh') return () => undefined;
    const key = keyOf(resource);
    const logins = this.#logins.get(key) ?? new Logins(MAX_LOGINS);
    this.#logins.set(key, logins);
    return logins.begin(drop);
  }

  #turnsOf(key: string): Turns {
    const known = this.#turns.get(key) ?? new Turns();
    this.#turns.set(key, known);
    return known;
  }

  #admit(live: Live, limit = Infinity): boolean {
    const others = [...this.#live.keys()].filter(({ admitted, resource }) => admitted && resource === live.resource);
    live.admitted = others.length < limit;
    return live.admitted;
  }

  async #open(
    socket: Socket,
    resource: GrantedResource,
    client: { tls: boolean; application?: string },
    verified: Verified | undefined,
  ): Promise<SessionRecorder> {
    const { access } = resource;
    const agent = this.#o.control.current()?.agent;
    if (agent === undefined) throw new Error('no snapshot is in force');
    const session = newSessionId(agent.podUid);
    const recorder = await this.#o.recording.open(session, access.digest);
    const { namespace, serviceAccount, pod, podUid } = agent;
    const sinceMs = this.#o.clock.now();
    const record: Extract<RecordBody, { type: 'session.open' }> = {
      type: 'session.open',
      session,
      agent: { namespace, serviceAccount, ...(pod === undefined ? {} : { pod }), ...(podUid === undefined ? {} : { podUid }) },
      resource: { namespace: access.resource.namespace, name: access.resource.name, protocol: access.resource.protocol },
      purpose: access.purpose,
      ...(verified === undefined ? {} : { onBehalfOf: verified.caller }),
      policies: access.policies.map((policy) => ({ ...policy })),
      mode: access.mode,
      retention: access.recording.retention,
      client: { address: socket.remoteAddress ?? 'unknown', ...client },
    };
    const { mode } = access.recording;
    const durability = mode === 'strict' ? 'stored' : mode === 'durable' ? 'synced' : 'written';
    const counted = mode === 'bestEffort' ? undefined : this.#o.recording.counted();
    try {
      await Promise.all([recorder.append(record, durability), counted]);
      const { tracer, clock } = this.#o;
      return tracer === undefined ? recorder : traced(recorder, { tracer, clock, sinceMs, opened: record });
    } catch (error) {
      const totals = { actions: 0, denied: 0, maskedValues: 0 };
      const reason = 'the session could not be recorded and counted as its policy demands';
      // Whether it can still be said or not, it is over.
      await recorder
        .append({ type: 'session.close', code: 'RecordingBlocked', reason, ...totals }, 'soon')
        .catch(() => recorder.close());
      throw error;
    }
  }

  /** Made once per certificate: reading a key for every connection costs more than the handshake. */
  #secureContext(): SecureContext | undefined {
    const { control } = this.#o;
    const certificate = control.current()?.certificate;
    if (certificate === undefined) return undefined;
    if (this.#leaf?.certificate !== certificate) {
      const context = createSecureContext({ cert: certificate, key: control.tlsKey, minVersion: 'TLSv1.2' });
      this.#leaf = { certificate, context };
    }
    return this.#leaf.context;
  }

  #database(key: string, resource: () => GrantedResource): Database {
    const known = this.#databases.get(key);
    if (known !== undefined) return known;
    const made = new Database({
      resource,
      guard: this.#o.guard,
      report: (seen) => this.#o.control.report(seen),
      clock: this.#o.clock,
      log: this.#o.logger,
    });
    this.#databases.set(key, made);
    return made;
  }

  #termsOf(resource: GrantedResource): Terms {
    const known = this.#terms.get(resource);
    if (known !== undefined) return known;
    const { access, credentials } = resource;
    const terms = {
      labels: labelsOf(resource),
      credentials: JSON.stringify(credentials),
      demands: canonicalJson(access.identity ?? []),
    };
    this.#terms.set(resource, terms);
    return terms;
  }

  #revoke(ending: Ending, session?: string): void {
    for (const [live, served] of this.#live) {
      if (session !== undefined && live.session !== session) continue;
      live.end(ending);
      // Its record has its end by then, and nothing of it reaches the upstream any more.
      if (session !== undefined) void served.then(() => this.#o.control.closed?.(session));
    }
  }

  /** Ends what is over; holds the others to their limits. */
  #check(): void {
    const snapshot = this.#o.control.current();
    const resources = new Map(snapshot?.resources.map((resource) => [keyOf(resource), resource]) ?? []);
    for (const live of this.#live.keys()) {
      const resource = resources.get(live.resource);
      const reason = this.#over(live, resource, snapshot === undefined);
      if (reason !== undefined) live.end({ code: 'SessionEnded', reason });
      else if (resource !== undefined) live.check(resource.access.limits);
    }
  }

  /** Why its right, its duration or its idle time no longer allows a session; `stale`: nobody says now what there is. */
  #over(live: Live, resource: GrantedResource | undefined, stale: boolean): string | undefined {
    if (this.#o.clock.now() >= live.untilMs) return 'the token of its caller has expired; connect again with a fresh one';
    if (resource === undefined) return stale ? undefined : 'the right to use this resource was withdrawn';
    const terms = this.#termsOf(resource);
    if (terms.demands !== live.terms.demands) return 'the policies demand another token; connect again';
    // Statements prepared under the old labels hold plans that know nothing of the new ones.
    if (terms.labels !== live.terms.labels) return 'the owner changed what is sensitive; connect again';
    if (isReplaced(resource, terms, live.terms) && live.idleMs() > QUIET_MS)
      return 'the credential of the resource was replaced; connect again';
    const { sessionDurationMs, idleMs } = resource.access.limits;
    if (sessionDurationMs !== undefined && this.#o.clock.monotonic() - live.startedAt > sessionDurationMs)
      return 'the session reached the time that its policy allows';
    if (idleMs !== undefined && live.idleMs() > idleMs) return 'the session was idle for longer than its policy allows';
    return undefined;
  }
}

/** A credential that is gone, or that nobody can read, is not another one: nothing new opens, and what is open goes on (docs/adr/0009). */
function isReplaced({ credentials, notReady, onRotation }: GrantedResource, terms: Terms, before: Terms): boolean {
  const isUnknown = credentials === undefined && notReady !== undefined;
  return !isUnknown && terms.credentials !== before.credentials && onRotation !== 'keep';
}

function closeSoon(socket: Socket): void {
  socket.destroySoon();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(timer));
}

function keyOf(resource: GrantedResource): string {
  return `${resource.access.resource.namespace}/${resource.access.resource.name}`;
}

function sealedAgent(agent: Agent | undefined): SealedAction['agent'] {
  return { namespace: agent?.namespace ?? '', serviceAccount: agent?.serviceAccount ?? '', podUid: agent?.podUid };
}
