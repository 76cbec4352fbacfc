import type { Socket } from 'node:net';
import { type GrantedResource, judge, type Verdict } from '@chaperone/policy';
import { connectTo, DialError, permittedAddresses } from '../capture/dial.ts';
import type { DialGuard } from '../capture/guard.ts';
import type { Clock, Logger } from '../platform.ts';
import type { Durability, SessionRecorder } from '../recording/recorder.ts';
import { type ClientHello, decodeClientHello } from './client-hello.ts';
import { createProofs, ProofError, type Proofs } from './proof.ts';
import { closeSoon, splice } from './splice.ts';
import type { Watch } from './watch.ts';

const HELLO_TIMEOUT_MS = 10_000;
/** Name resolution, our own handshake and the connection, together. */
const UPSTREAM_TIMEOUT_MS = 15_000;
/** How often the bytes of a long connection are recorded. */
const BYTES_INTERVAL_MS = 60_000;
/** RFC 8446 §6: fatal alerts, sent before any key exists. */
const ALERT = { accessDenied: 49, internalError: 80, unrecognizedName: 112 } as const;

export interface Ending {
  readonly code: string;
  readonly reason: string;
  /** The person who ended it: for its record alone. */
  readonly by?: string;
}

/** What serving one connection needs; the session's room gives it. */
export interface TcpContext {
  readonly socket: Socket;
  /** The resource as the snapshot in force has it; undefined once the agent may no longer use it. */
  readonly resource: () => GrantedResource | undefined;
  /** Opens the session's record. Nothing goes upstream before it resolves. */
  readonly open: (client: { tls: boolean }) => Promise<SessionRecorder>;
  readonly guard: DialGuard;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly admit: () => boolean;
  readonly onEnd: (end: (ending: Ending) => void, idleMs: () => number) => void;
  /** One for all sessions: whoever owns the resource hears how its upstream is found. */
  readonly watch: Watch;
  /** One for all sessions; without it every connection proves its upstream anew. */
  readonly proofs?: Proofs;
  /** Resolves upstream names; the system's resolver by default. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

/**
 * Serves one connection of protocol tcp: not inspected, but not anonymous either. The agent's TLS must name one of the
 * resource's `hosts` in the clear, and the address that is dialled has shown a certificate for that name to us; then both
 * directions are copied as they are. Sends one of its own TLS alerts where it refuses. Records the verdict, host, bytes and
 * times, and nothing of what is inside.
 *
 * The name outside an encrypted ClientHello says nothing about the name inside, so such a hello is refused, GREASE included.
 *
 * @returns How it ended. Codes: Closed, LimitReached, SessionEnded, NotGranted, NoRuleAllows, DeniedByRule, NotAnalysable,
 * ResourceNotReady, TooManyConnections, TLSUntrusted, the codes of DialError, RecordingBlocked.
 */
export async function serveTcp(context: TcpContext): Promise<Ending> {
  const session = new TcpSession(context);
  try {
    return await session.serve();
  } finally {
    closeSoon(context.socket);
  }
}

/** A connection that ends before its first byte goes upstream. */
class Refusal extends Error {
  readonly ending: Ending;
  readonly alert: number;
  constructor(code: string, reason: string, alert: number = ALERT.accessDenied) {
    super(code);
    this.ending = { code, reason };
    this.alert = alert;
  }
}

class TcpSession {
  readonly #c: TcpContext;
  readonly #abort = new AbortController();
  #ended: Ending | undefined;
  #activeAt: number;
  #recorder: SessionRecorder | undefined;
  #denied = 0;
  #actions = 0;

  constructor(context: TcpContext) {
    this.#c = context;
    this.#activeAt = context.clock.monotonic();
  }

  async serve(): Promise<Ending> {
    const { socket, onEnd, clock } = this.#c;
    socket.on('error', () => socket.destroy());
    onEnd(
      (ending) => this.#end(ending),
      () => clock.monotonic() - this.#activeAt,
    );
    let ending: Ending;
    try {
      const first = await readHello(socket);
      await this.#open(first !== undefined);
      ending = await this.#serveHello(first);
    } catch (error) {
      ending = this.#explain(error);
    }
    await this.#close(ending);
    return ending;
  }

  #end(ending: Ending): void {
    this.#ended ??= ending;
    this.#abort.abort();
    closeSoon(this.#c.socket);
  }

  async #open(tls: boolean): Promise<void> {
    try {
      this.#recorder = await this.#c.open({ tls });
    } catch {
      throw new Refusal('RecordingBlocked', 'what happens here cannot be recorded', ALERT.internalError);
    }
  }

  async #serveHello(first: { hello: ClientHello; head: Buffer } | undefined): Promise<Ending> {
    const resource = this.#c.resource();
    if (resource === undefined) throw new Refusal('SessionEnded', 'the right to use this resource was withdrawn');
    if (resource.access.identity !== undefined)
      throw new Refusal('TokenRequired', 'the policy demands a token, and this protocol cannot carry one');
    if (!this.#c.admit()) throw new Refusal('TooManyConnections', 'the policy allows no more connections at once');
    const durability = durabilityOf(resource);
    const verdict = judgeHello(resource, first?.hello);
    await this.#record(verdict, first?.head.length ?? 0, durability);
    if (verdict.verdict !== 'allow' || first?.hello.serverName === undefined) {
      const alert = verdict.code === 'NotGranted' ? ALERT.unrecognizedName : ALERT.accessDenied;
      throw new Refusal(verdict.code, verdict.reason, first === undefined ? NaN : alert);
    }
    const host = first.hello.serverName;
    const upstream = await this.#dial(resource, host).catch((error: unknown) => {
      // A session that was ended, or is refused by us, says nothing about the upstream.
      if (!this.#abort.signal.aborted && !(error instanceof Refusal)) this.#c.watch.failed(resource, host, error);
      throw error;
    });
    this.#c.watch.reached(resource);
    const relayed = splice({
      agent: this.#c.socket,
      upstream,
      maxBytes: resource.access.limits.bytes,
      head: first.head,
      onActivity: () => {
        this.#activeAt = this.#c.clock.monotonic();
      },
    });
    const bytes = this.#countBytes(host, relayed);
    const how = await relayed.done;
    await bytes.finish();
    if (this.#ended !== undefined) return this.#ended;
    return how === 'ended'
      ? { code: 'Closed', reason: 'the connection ended' }
      : { code: 'LimitReached', reason: 'the connection reached the bytes that its policy allows' };
  }

  async #record(verdict: Verdict, bytes: number, durability: Durability): Promise<void> {
    this.#actions += 1;
    if (verdict.verdict !== 'allow') this.#denied += 1;
    const { code, reason, rule, wouldDeny } = verdict;
    try {
      await this.#recorder?.append(
        {
          type: 'action',
          action: 0,
          bytes,
          verdict: verdict.verdict,
          code,
          reason,
          effects: verdict.effects.map((effect) => ({ ...effect })),
          ...(rule === undefined ? {} : { rule }),
          ...(wouldDeny === undefined ? {} : { wouldDeny: { code: wouldDeny.code, reason: wouldDeny.reason } }),
        },
        durability,
      );
    } catch {
      throw new Refusal('RecordingBlocked', 'what happens here cannot be recorded', ALERT.internalError);
    }
  }

  /** The address that was judged and proven is the address that is connected to. */
  async #dial(resource: GrantedResource, serverName: string): Promise<Socket> {
    const { guard, clock, resolve, proofs = createProofs({ clock }) } = this.#c;
    const { host, port, tls } = resource.upstream;
    if (tls.mode === 'disable')
      throw new Refusal('TLSUntrusted', 'protocol tcp needs upstream.tls.mode verify-full, so that the name can be proven');
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(UPSTREAM_TIMEOUT_MS)]);
    const addresses = await permittedAddresses({ host, port, guard, signal, ...(resolve === undefined ? {} : { resolve }) });
    let last: unknown;
    for (const address of addresses) {
      try {
        await proofs.prove({ address, port, serverName, ca: tls.ca }, signal);
        return await connectTo(address, port, signal);
      } catch (error) {
        last = error;
        if (signal.aborted) break;
      }
    }
    throw last;
  }

  /** Records what went through since the last time, every minute and at the end. A record that fails ends the connection. */
  #countBytes(host: string, relayed: { sent: number; received: number }): { finish(): Promise<void> } {
    let told = { sent: 0, received: 0 };
    const tell = async (durability: Durability): Promise<void> => {
      const { sent, received } = relayed;
      const since = { sent: sent - told.sent, received: received - told.received };
      told = { sent, received };
      await this.#recorder?.append({ type: 'bytes', host, ...since }, durability);
    };
    const failed = (): void => this.#end({ code: 'RecordingBlocked', reason: 'what happens here cannot be recorded' });
    const timer = setInterval(() => {
      if (relayed.sent + relayed.received > told.sent + told.received) tell('written').catch(failed);
    }, BYTES_INTERVAL_MS).unref();
    return {
      finish: async () => {
        clearInterval(timer);
        await tell('synced').catch(failed);
      },
    };
  }

  #explain(error: unknown): Ending {
    const refusal = error instanceof Refusal ? error : undefined;
    const alert = refusal?.alert ?? ALERT.internalError;
    if (!Number.isNaN(alert) && this.#c.socket.writable) this.#c.socket.end(alertRecord(alert));
    if (this.#ended !== undefined) return this.#ended;
    if (refusal !== undefined) return refusal.ending;
    if (error instanceof DialError || error instanceof ProofError) return { code: error.code, reason: error.message };
    const system = error instanceof Error && 'syscall' in error;
    if (!system) this.#c.logger.error('tcp session failed', { error: error instanceof Error ? error.name : 'unknown' });
    return { code: 'UpstreamUnreachable', reason: 'the upstream cannot be reached' };
  }

  async #close(ending: Ending): Promise<void> {
    try {
      const totals = { actions: this.#actions, denied: this.#denied, maskedValues: 0 };
      await this.#recorder?.append({ type: 'session.close', ...ending, ...totals }, 'written');
    } catch {
      this.#c.logger.warn('the end of a session could not be recorded', { session: this.#recorder?.session });
    }
  }
}

/** The verdict on a connection by its hello; undefined: it was none. */
export function judgeHello(resource: GrantedResource, hello: ClientHello | undefined): Verdict {
  if (resource.notReady !== undefined) return deny('ResourceNotReady', `it is not ready (${resource.notReady.code})`);
  if (hello === undefined) return deny('NotAnalysable', 'the connection does not begin with a TLS ClientHello');
  if (hello.encrypted) return deny('NotAnalysable', 'the TLS ClientHello is encrypted, so the name that is meant cannot be seen');
  const { serverName } = hello;
  if (serverName === undefined) return deny('NotAnalysable', 'the TLS ClientHello carries no server name');
  if (!resource.hosts.some((host) => host.toLowerCase() === serverName))
    return deny('NotGranted', 'the server name is not a host of this resource');
  const verdict = judge(resource.access, { effects: [{ verb: 'connect', object: serverName, via: 'direct', kind: 'other' }] });
  if (verdict.verdict !== 'approve') return verdict;
  return {
    ...verdict,
    verdict: 'deny',
    code: 'DeniedByRule',
    reason: 'a connection of protocol tcp cannot wait for an approval',
  };
}

function deny(code: string, reason: string): Verdict {
  return { verdict: 'deny', code, reason, effects: [] };
}

function durabilityOf({ access }: GrantedResource): Durability {
  const { mode } = access.recording;
  return mode === 'strict' ? 'stored' : mode === 'durable' ? 'synced' : 'written';
}

function alertRecord(description: number): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, description]);
}

/** Reads until the hello is whole. Undefined: it is none, did not come in time, or the client went. */
function readHello(socket: Socket): Promise<{ hello: ClientHello; head: Buffer } | undefined> {
  return new Promise((resolve) => {
    let head = Buffer.alloc(0);
    const end = (result: { hello: ClientHello; head: Buffer } | undefined): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off('data', read).off('end', gone).off('close', gone);
      resolve(result);
    };
    const gone = (): void => end(undefined);
    const read = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const decoded = decodeClientHello(head);
      if (decoded.kind === 'hello') end({ hello: decoded.hello, head });
      else if (decoded.kind === 'foreign') end(undefined);
    };
    const timer = setTimeout(gone, HELLO_TIMEOUT_MS);
    socket.on('data', read).on('end', gone).on('close', gone);
    if (socket.destroyed) gone();
  });
}
