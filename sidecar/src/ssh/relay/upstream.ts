import type { GrantedResource } from '@chaperone/policy';
import { dialUpstream, DialError } from '../../capture/dial.ts';
import type { DialGuard } from '../../capture/guard.ts';
import type { Clock } from '../../platform.ts';
import { UPSTREAM, UPSTREAM_LEGACY } from '../wire/algorithms.ts';
import type { AuthCredential } from '../wire/auth-client.ts';
import { withCertificate } from '../wire/cert.ts';
import type { Room } from '../wire/channels.ts';
import type { Connection } from '../wire/connection.ts';
import { DISCONNECT, SshError } from '../wire/error.ts';
import type { HostKeyCheck } from '../wire/host-key.ts';
import { parsePrivateKey } from '../wire/private-key.ts';
import { OPEN_FAILURE } from '../wire/channel-messages.ts';
import { kept } from '../../lent.ts';
import type { OpenUpstream } from './program-context.ts';
import { Reads } from './reads.ts';
import { connect } from './socket.ts';

/** To be found, to answer and to let somebody in. */
const DIAL_TIMEOUT_MS = 10_000;

/** Why nobody is signed in upstream; the message may be shown to an agent. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly code: DialError['code'] | 'CredentialsRejected' | 'HostKeyMismatch';

  constructor(code: UpstreamError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface UpstreamOptions {
  readonly resource: GrantedResource;
  readonly guard: DialGuard;
  readonly clock: Clock;
  readonly room: Room;
  /** It ended, or never began. */
  readonly onEnd: (error: UpstreamError) => void;
  /** Somebody is signed in. */
  readonly onReady: () => void;
}

/** The server's side of a session: dialled once, signed in with the owner's credential, never told anything of the agent's. */
export class Upstream {
  readonly #o: UpstreamOptions;
  readonly #abort = new AbortController();
  #connection: Connection | undefined;
  /** Somebody is signed in, or never will be. */
  readonly #settled = Promise.withResolvers<undefined>();
  #isReady = false;
  #error: UpstreamError | undefined;
  #waiting: (() => void)[] = [];

  constructor(options: UpstreamOptions) {
    this.#o = options;
    this.#dial().catch((error: unknown) => this.#fail(asUpstreamError(error)));
    // It cannot fail.
    void this.#watchTime();
  }

  /** Opens a channel as soon as somebody is signed in. */
  readonly open: OpenUpstream = (type, payload, handler, onResult) => {
    if (this.#error !== undefined)
      return onResult({ kind: 'refused', code: OPEN_FAILURE.connectFailed, text: this.#error.message });
    if (this.#isReady) return this.#connection?.open(type, payload, handler, onResult);
    this.#waiting.push(() => this.open(type, payload, handler, onResult));
    return undefined;
  };

  /** Why it is not there; undefined: it is, or may be yet. */
  get error(): UpstreamError | undefined {
    return this.#error;
  }

  /** What the host calls itself; empty before it has said so. */
  get ident(): string {
    return this.#connection?.peerIdent ?? '';
  }

  end(): void {
    this.#stop(new UpstreamError('UpstreamUnreachable', 'the session is over'));
  }

  async #watchTime(): Promise<void> {
    await Promise.race([this.#settled.promise, this.#o.clock.after(DIAL_TIMEOUT_MS)]);
    if (!this.#isReady) this.#stop(new UpstreamError('UpstreamTimeout', 'the host did not answer in time'));
  }

  #stop(error: UpstreamError): void {
    this.#fail(error);
    this.#abort.abort();
    this.#connection?.disconnect(DISCONNECT.byApplication, error.message);
  }

  async #dial(): Promise<void> {
    const { resource, guard, clock, room } = this.#o;
    const { host, port } = resource.upstream;
    const check = hostKeyCheck(resource, clock.now());
    const credentials = credentialsOf(resource);
    const reads = new Reads();
    const { onread } = reads;
    const socket = await dialUpstream({ host, port, guard, timeoutMs: DIAL_TIMEOUT_MS, signal: this.#abort.signal, onread });
    if (this.#abort.signal.aborted) return void socket.destroy();
    this.#connection = connect(
      socket,
      {
        role: 'client',
        room,
        algorithms: resource.ssh?.algorithms === 'legacy' ? UPSTREAM_LEGACY : UPSTREAM,
        hostKey: check,
        user: resource.credentials?.username ?? '',
        credentials,
        onAuthenticated: () => this.#ready(),
        // A server opens nothing toward its client here: no forwards, no agent, no X11.
        onOffer: (offer) => offer.refuse({ code: OPEN_FAILURE.administrativelyProhibited, text: 'not permitted' }),
        onGlobal: ({ reply }) => reply?.({ isGranted: false }),
        onEnd: (error) => this.#fail(asUpstreamError(error ?? new Error('ended'))),
      },
      () => clock.monotonic(),
      reads,
    );
    return undefined;
  }

  #ready(): void {
    this.#isReady = true;
    this.#settled.resolve(undefined);
    this.#o.onReady();
    for (const open of this.#waiting.splice(0)) open();
  }

  #fail(error: UpstreamError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#settled.resolve(undefined);
    for (const open of this.#waiting.splice(0)) open();
    this.#o.onEnd(error);
  }
}

function hostKeyCheck({ ssh, upstream }: GrantedResource, nowMs: number): HostKeyCheck {
  const [key, ...keys] = blobs(ssh?.hostKeys ?? []);
  if (key !== undefined) return { kind: 'pinned', keys: [key, ...keys] };
  const [authority, ...authorities] = blobs(ssh?.hostAuthorities ?? []);
  if (authority === undefined) throw new UpstreamError('HostKeyMismatch', 'no host key of the host is known');
  return { kind: 'certified', authorities: [authority, ...authorities], host: upstream.host, nowMs };
}

/** Public keys as known_hosts has them: type and base64. */
function blobs(lines: readonly string[]): Buffer[] {
  return lines.map((line) => kept(Buffer.from(line.split(' ')[1] ?? '', 'base64')));
}

/** What was named, in that order, and nothing weaker. */
function credentialsOf({ ssh, credentials }: GrantedResource): AuthCredential[] {
  if (credentials === undefined) throw new UpstreamError('CredentialsRejected', 'the resource has no credential');
  return (ssh?.authentication ?? []).flatMap((way): AuthCredential[] => {
    if (way === 'publickey') return [{ method: 'publickey', signer: signerFrom(credentials.ssh) }];
    const { password } = credentials;
    if (password === undefined) return [];
    return [
      { method: 'password', password },
      { method: 'keyboard-interactive', password },
    ];
  });
}

function signerFrom(files: NonNullable<GrantedResource['credentials']>['ssh']) {
  try {
    const signer = parsePrivateKey(files?.key ?? '');
    const certificate = files?.certificate;
    return certificate === undefined ? signer : withCertificate(signer, Buffer.from(certificate.split(/\s+/)[1] ?? '', 'base64'));
  } catch (cause) {
    throw new UpstreamError('CredentialsRejected', 'the private key of the resource, or its certificate, cannot be used', {
      cause,
    });
  }
}

function asUpstreamError(error: unknown): UpstreamError {
  if (error instanceof UpstreamError) return error;
  if (error instanceof DialError) return new UpstreamError(error.code, error.message, { cause: error });
  const reason = error instanceof SshError ? error.reason : undefined;
  if (reason === DISCONNECT.hostKeyNotVerifiable)
    return new UpstreamError('HostKeyMismatch', 'the host is not the one that its owner named', { cause: error });
  if (reason === DISCONNECT.noMoreAuthMethods)
    return new UpstreamError('CredentialsRejected', 'the host does not take the credential of the resource', { cause: error });
  return new UpstreamError('UpstreamUnreachable', 'the connection to the host ended', { cause: error });
}
