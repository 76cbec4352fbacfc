import { MAX_REQUEST_TEXT } from '@chaperone/api';
import { type Access, type Caller, type GrantedResource, type Whereabouts } from '@chaperone/policy';
import { resolveByLookup } from '../../capture/dial.ts';
import { TokenError, type Verified } from '../../identity/index.ts';
import type { SessionRecorder } from '../../recording/recorder.ts';
import { accessOf } from '../../session/access-of.ts';
import { ActionRecords } from '../../session/action-records.ts';
import type { Ending } from '../../session/index.ts';
import type { SessionContext } from '../../session/sessions.ts';
import { Approval } from '../../session/approval.ts';
import type { Refusal } from '../../session/refusal.ts';
import { Shown } from '../../session/shown.ts';
import { AGENT } from '../wire/algorithms.ts';
import type { AuthQuestion } from '../wire/auth-server.ts';
import { OPEN_FAILURE } from '../wire/channel-messages.ts';
import type { Offer, Room } from '../wire/channels.ts';
import type { Connection } from '../wire/connection.ts';
import { DISCONNECT } from '../wire/error.ts';
import { type ForwardContext, serveForward } from './forward.ts';
import type { HostKey } from './host-key.ts';
import { Program } from './program.ts';
import { isProtected } from './protected.ts';
import { connect } from './socket.ts';
import { textOf } from './texts.ts';
import type { Turns } from './turns.ts';
import { Upstream, type UpstreamError } from './upstream.ts';

export interface SshContext extends SessionContext {
  /** Who this proxy is to agents. */
  readonly hostKey: HostKey;
  /** What the windows of all sessions take. */
  readonly memory: Room;
  /** One for all sessions with the host. */
  readonly turns: Turns;
  /** How the host was found; undefined: somebody is signed in. */
  readonly reached: (resource: GrantedResource, error: UpstreamError | undefined) => void;
}

/** What a connection takes while nothing goes through it: its socket's buffers, a packet that is not whole yet. */
const CONNECTION_BYTES = 64 * 1024;
/** Half of OpenSSH's LoginGraceTime: programs answer at once, and a person may have a token to find. */
const LOGIN_MS = 60_000;
const ANYTHING = ['none', 'publickey', 'password', 'keyboard-interactive'] as const;

/** OpenSSH lets nobody type more, and no helper give more (readpass.c). */
const CUT_BYTES = 1_023;
const TOKEN = {
  prompt: 'Token: ',
  more: { bytes: CUT_BYTES, prompt: (from: number) => `Token from character ${from} on, if it goes on: ` },
} as const;

const WANTED = 'chaperone: this host asks for a token of whoever this agent acts for; give it as the password (TokenRequired).';
/** `ssh -R` (RFC 4254, section 7.1; OpenSSH's PROTOCOL, section 2.4). */
const BACKWARD: ReadonlySet<string> = new Set(['tcpip-forward', 'streamlocal-forward@openssh.com']);
const NOTHING_BACK: Refusal = {
  code: 'NeverAllowed',
  reason: 'nothing goes from the host to the agent',
  instead: 'leave out -R, which no rule can allow',
};

/** Whom an agent is let in as, and with what it may do. */
interface Admitted {
  readonly resource: GrantedResource;
  readonly recorder: SessionRecorder;
  readonly caller: Caller | undefined;
}

/** Serves one SSH connection from its first byte to its last. */
export async function serveSsh(context: SshContext): Promise<void> {
  const hasRoom = context.memory.take(CONNECTION_BYTES);
  try {
    await new SshSession(context).serve(hasRoom);
  } finally {
    if (hasRoom) context.memory.free(CONNECTION_BYTES);
  }
}

class Refused extends Error {
  readonly ending: Ending;
  constructor(ending: Ending) {
    super(ending.code);
    this.ending = ending;
  }
}

class SshSession {
  readonly #c: SshContext;
  readonly #over = Promise.withResolvers<undefined>();
  readonly #programs = new Set<Program>();
  #agent: Connection | undefined;
  #upstream: Upstream | undefined;
  #admitted: Admitted | undefined;
  #records: ActionRecords | undefined;
  #forward: ForwardContext | undefined;
  #ended: Ending | undefined;
  /** It asked for what is never forwarded, and was not told why not. */
  #askedBackward = false;
  /** Bytes of all its channels, both ways. */
  #bytes = 0;
  #admitting: Promise<void> = Promise.resolve();
  /** What is judged, held or about to run. */
  readonly #work = new Set<Promise<boolean>>();
  #activeAt: number;

  constructor(context: SshContext) {
    this.#c = context;
    this.#activeAt = context.clock.monotonic();
  }

  /** @param hasRoom - whether there is memory for it; otherwise it is told so */
  async serve(hasRoom: boolean): Promise<void> {
    const { socket, clock, hostKey, memory, resource, onEnd } = this.#c;
    const [certified, plain] = hostKey.signers(namesOf(resource(), this.#c.local), clock.now());
    if (certified === undefined || plain === undefined) throw new Error('there is no host key');
    const demands = resource()?.access.identity !== undefined;
    this.#agent = connect(
      socket,
      {
        role: 'server',
        room: memory,
        algorithms: AGENT,
        hostKeys: [certified, plain],
        // Keys are no tokens, and each that a client offers would use up a try.
        methods: demands ? ['none', 'password', 'keyboard-interactive'] : ANYTHING,
        ...TOKEN,
        // Before anybody can give one: so it blames nobody.
        ...(demands && { banner: `${WANTED}\n` }),
        loginGraceMs: LOGIN_MS,
        onQuestion: (question) => this.#question(question),
        onAuthenticated: () => undefined,
        onOffer: (offer) => this.#offer(offer),
        onGlobal: ({ name, reply }) => {
          // Nothing is forwarded from the host toward the agent, and the answer has no place for a word.
          if (BACKWARD.has(name)) this.#askedBackward = true;
          reply?.({ isGranted: false });
        },
        onEnd: () => this.#over.resolve(undefined),
      },
      () => clock.monotonic(),
    );
    onEnd(
      (ending) => this.#end(ending),
      () => clock.monotonic() - this.#activeAt,
      () => {
        for (const program of this.#programs) program.check();
      },
    );
    if (!hasRoom) this.#end({ code: 'TooManyConnections', reason: '' });
    await this.#over.promise;
    // Whoever leaves while it is let in leaves a record all the same.
    await this.#admitting;
    await Promise.allSettled(this.#work);
    this.#ended ??= { code: 'AgentClosed', reason: 'the agent closed the connection' };
    this.#upstream?.end();
    await this.#close();
  }

  /** Lets the agent in, or tells it why not. The pod is its identity: a key or password opens nothing, but for a token where one is demanded. */
  #question(question: AuthQuestion): void {
    this.#admitting = this.#admit(question).then(
      (answer) => this.#agent?.answer(question.id, answer),
      (error: unknown) => this.#end(explain(error)),
    );
  }

  async #admit(question: AuthQuestion): Promise<'accept' | 'reject'> {
    const { snapshot, resource: current, admit, open, agent, holds, clock } = this.#c;
    if (question.method === 'publickey' && !question.isProved) return 'reject';
    if (snapshot() === undefined) throw new Refused({ code: 'PolicyStale', reason: 'the policy was not renewed in time' });
    const resource = current();
    if (resource === undefined)
      throw new Refused({ code: 'SessionEnded', reason: 'the right to use this resource was withdrawn' });
    const verified = await this.#verify(resource.access, question);
    if (verified === 'reject') return 'reject';
    if (!admit()) throw new Refused({ code: 'TooManyConnections', reason: '' });
    if (resource.notReady !== undefined)
      throw new Refused({ code: 'ResourceNotReady', reason: `it is not ready (${resource.notReady.code})` });
    const application = this.#agent?.peerIdent.slice(0, 64);
    const recorder = await open({ tls: false, ...(application !== undefined && { application }) }, verified);
    const caller = verified?.caller;
    this.#admitted = { resource, recorder, caller };
    const access = accessOf(() => current()?.access ?? resource.access, caller);
    const records = new ActionRecords(recorder, access, (error) => this.#fault(error));
    this.#records = records;
    this.#upstream = new Upstream({
      resource,
      guard: this.#c.guard,
      clock,
      room: this.#c.memory,
      onReady: () => this.#c.reached(resource, undefined),
      onEnd: (error) => this.#upstreamEnded(resource, error),
    });
    const { session } = recorder;
    const { username: account = '' } = resource.credentials ?? {};
    const upstream = `${resource.upstream.host}:${resource.upstream.port}`;
    const shown = new Shown(access);
    const onBehalfOf = caller && { issuer: caller.issuer, user: caller.user };
    this.#forward = {
      session,
      access,
      records,
      approval: new Approval({
        protocol: 'ssh',
        session,
        access,
        agent,
        onBehalfOf,
        account,
        upstream,
        masked: (text) => shown.text(text),
        // All that a request holds, wherever it is read: a command that is longer is no command but a script.
        maxRead: MAX_REQUEST_TEXT,
        holds,
        records,
        clock,
      }),
      shown,
      track: (work) => this.#track(work),
      openUpstream: this.#upstream.open,
      turns: this.#c.turns,
      hostIdent: () => this.#upstream?.ident ?? '',
      whyNot: () => this.#upstream?.error?.message,
      clock,
      leftMs: this.#c.leftMs,
      gone: this.#over.promise,
      onFault: (error) => this.#fault(error),
      onActivity: (bytes = 0) => this.#active(bytes, access().limits.bytes),
      isProtected: (address) =>
        isProtected(address, { resources: this.#allResources(), here: resource.upstream.host }, (name) =>
          resolveByLookup(this.#c.guard.absolute?.(name) ?? name),
        ),
    };
    return 'accept';
  }

  async #verify({ identity }: Access, question: AuthQuestion): Promise<Verified | 'reject' | undefined> {
    if (identity === undefined) return undefined;
    if (question.method !== 'password' && question.method !== 'keyboard-interactive') return 'reject';
    const { method, password } = question;
    if (password === '') throw new Refused({ code: 'TokenRequired', reason: 'the password is empty' });
    try {
      return await this.#c.verify(password, identity);
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      this.#c.logger.warn('a token was not accepted', { code: error.code });
      const isCut = method === 'password' && Buffer.byteLength(password) === CUT_BYTES;
      throw new Refused({
        // The issuer's fault, which no other token mends.
        code: error.code === 'IssuerUnavailable' ? 'ResourceNotReady' : 'TokenRejected',
        reason: isCut
          ? `${error.message}; OpenSSH cuts it at ${CUT_BYTES} bytes, and by keyboard-interactive is asked for the rest`
          : error.message,
      });
    }
  }

  #allResources(): readonly Whereabouts[] {
    const { resources = [], elsewhere = [] } = this.#c.snapshot() ?? {};
    return [...resources, ...elsewhere];
  }

  #track(work: Promise<unknown>): void {
    const settled: Promise<boolean> = work.then(
      () => this.#work.delete(settled),
      () => this.#work.delete(settled),
    );
    this.#work.add(settled);
  }

  #active(bytes: number, most = Infinity): void {
    this.#activeAt = this.#c.clock.monotonic();
    this.#bytes += bytes;
    if (this.#bytes > most) this.#end({ code: 'SessionEnded', reason: `it carried the ${most} bytes that its policy allows` });
  }

  #offer(offer: Offer): void {
    const context = this.#forward;
    if (context === undefined) return offer.refuse({ code: OPEN_FAILURE.administrativelyProhibited, text: 'not permitted' });
    context.onActivity();
    if (offer.type === 'session') {
      const program = new Program(context, (handler) => offer.accept(handler));
      this.#programs.add(program);
      if (this.#askedBackward) program.tell(textOf(context.access(), NOTHING_BACK, { unit: 'forward', reference: '' }).line);
      this.#askedBackward = false;
      void program.over.then(() => this.#programs.delete(program));
      return undefined;
    }
    if (offer.type !== 'direct-tcpip')
      return offer.refuse({ code: OPEN_FAILURE.unknownChannelType, text: 'chaperone: this is not forwarded' });
    this.#track(serveForward(context, offer).catch((error: unknown) => this.#fault(error)));
    return undefined;
  }

  #upstreamEnded(resource: GrantedResource, error: UpstreamError): void {
    if (this.#ended !== undefined) return;
    this.#c.reached(resource, error);
    if (error.code === 'UpstreamUnreachable') this.#end({ code: 'ResourceNotReady', reason: error.message });
  }

  /** A record that failed, or a fault of ours: nothing goes on that cannot be recorded. */
  #fault(error: unknown): void {
    const isRecording = error instanceof Error && error.name === 'RecordingError';
    if (!isRecording) this.#c.logger.error('an SSH session failed', { error: error instanceof Error ? error.name : 'Error' });
    this.#end(
      isRecording
        ? { code: 'RecordingBlocked', reason: 'what happens here cannot be recorded' }
        : { code: 'InternalFault', reason: '' },
    );
  }

  #end(ending: Ending): void {
    if (this.#ended !== undefined) return;
    this.#ended = ending;
    const { line } = this.#lineOf(ending);
    for (const program of this.#programs) program.end(line, ending);
    this.#agent?.disconnect(DISCONNECT.byApplication, line);
  }

  #lineOf({ code, reason }: Ending): { line: string } {
    const access = this.#admitted?.resource.access ?? this.#c.resource()?.access;
    if (access === undefined || code === 'AgentClosed') return { line: `chaperone: ${reason} (${code})` };
    const reference = this.#admitted?.recorder.session ?? '';
    return textOf(access, { code, ...(reason !== '' && { reason }) }, { unit: 'command', reference, isOver: true });
  }

  async #close(): Promise<void> {
    const records = this.#records;
    if (records === undefined) return;
    const { code = 'AgentClosed', reason = '', by } = this.#ended ?? {};
    const how = { code, reason, ...(by !== undefined && { by }) };
    await this.#admitted?.recorder.append({ type: 'session.close', ...how, ...records.totals }, 'written');
  }
}

/** All by which a client may call the resource. */
function namesOf(resource: GrantedResource | undefined, isLocal: boolean): string[] {
  const { hosts = [], addresses = [] } = resource ?? {};
  const virtual = addresses.flatMap(({ ipv4, ipv6 }) => (ipv6 === undefined ? [ipv4] : [ipv4, ipv6]));
  return [...new Set([...hosts, ...virtual, ...(isLocal ? ['localhost', '127.0.0.1', '::1'] : [])])];
}

function explain(error: unknown): Ending {
  if (error instanceof Refused) return error.ending;
  if (error instanceof Error && error.name === 'RecordingError')
    return { code: 'RecordingBlocked', reason: 'what happens here cannot be recorded' };
  return { code: 'InternalFault', reason: '' };
}
