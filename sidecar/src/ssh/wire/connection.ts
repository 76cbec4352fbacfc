import type { AlgorithmSet, Negotiated } from './algorithms.ts';
import { AuthClient, type AuthCredential } from './auth-client.ts';
import { type AuthAnswer, type AuthQuestion, AuthServer, type AuthServerOptions } from './auth-server.ts';
import type { ChannelHandler } from './channel.ts';
import { CHANNEL } from './channel-messages.ts';
import {
  Channels,
  type GlobalAnswer,
  type GlobalRequest,
  KEEPALIVE,
  type Offer,
  type OpenResult,
  type Room,
} from './channels.ts';
import { DISCONNECT, type DisconnectReason, SshError } from './error.ts';
import type { HostKeyCheck } from './host-key.ts';
import type { Signer } from './keys.ts';
import { type RekeyLimits, Transport } from './transport.ts';

/** What a connection tells. */
export interface ConnectionEvents {
  /** To be sent to the other side, in order. To be stored only: nothing of the connection is called from here but {@link Connection.setWritable}. */
  output(bytes: Buffer): void;
  /** Somebody was let in, or we were. Channels may be opened from now on. */
  onAuthenticated(user: string): void;
  onOffer(offer: Offer): void;
  onGlobal(request: GlobalRequest): void;
  /** Once, and last; all channels were told before. Undefined where either side ended it as it should be. */
  onEnd(error: SshError | undefined): void;
}

interface Settings extends ConnectionEvents {
  /** Memory that its windows take, shared with others. */
  readonly room: Room;
  readonly algorithms: AlgorithmSet;
  readonly ident?: string;
  readonly rekey?: Partial<RekeyLimits>;
  /** From the first tick until somebody is in. Default: {@link LOGIN_GRACE_MS} */
  readonly loginGraceMs?: number;
  /** How long the other side may be silent before it is asked whether it is there. */
  readonly keepAliveMs?: number;
}

/** We are the server. */
export interface ServerSettings extends Settings, Pick<AuthServerOptions, 'methods' | 'banner' | 'prompt' | 'more'> {
  readonly role: 'server';
  readonly hostKeys: readonly [Signer, ...Signer[]];
  /** To be answered by {@link Connection.answer}, whenever. */
  onQuestion(question: AuthQuestion): void;
}

/** We are the client. There is none without a check of the host key. */
export interface ClientSettings extends Settings {
  readonly role: 'client';
  readonly hostKey: HostKeyCheck;
  readonly user: string;
  readonly credentials: readonly AuthCredential[];
}

/** As OpenSSH's LoginGraceTime. */
export const LOGIN_GRACE_MS = 120_000;
export const KEEP_ALIVE_MS = 30_000;
/** Questions that stay without any sign of life before the other side is taken for gone. */
const MAX_UNANSWERED = 3;
const OF_CHANNELS: ReadonlySet<number> = new Set(Object.values(CHANNEL));
const NOTHING = Buffer.alloc(0);

/**
 * One SSH connection, either side of it: transport, login and channels. Bytes, ticks and decisions come in; bytes and events go
 * out. No socket and no clock. No method throws but the constructor: whatever is wrong, our own faults included, ends this
 * connection and no other.
 */
export class Connection {
  readonly #settings: ServerSettings | ClientSettings;
  readonly #transport: Transport;
  readonly #channels: Channels;
  #auth: AuthServer | AuthClient | undefined;
  #isAuthenticated = false;
  #isWritable = true;
  #hasEnded = false;
  #fault: SshError | undefined;
  #bornMs: number | undefined;
  #hasHeard = true;
  #heardMs = 0;
  #unanswered = 0;

  /** Says who we are at once. @throws SshError where the settings leave no way to prove who the server is */
  constructor(settings: ServerSettings | ClientSettings) {
    this.#settings = settings;
    this.#channels = new Channels({
      room: settings.room,
      guard: (entry) => this.#guard(entry),
      send: (parts) => this.#transport.send(...parts),
      isWritable: () => this.#isWritable && !this.#transport.busy,
      onOffer: (offer) => settings.onOffer(offer),
      onGlobal: (request) => settings.onGlobal(request),
    });
    const { algorithms, ident, rekey } = settings;
    this.#transport = new Transport({
      algorithms,
      ...(ident !== undefined && { ident }),
      ...(rekey !== undefined && { rekey }),
      ...(settings.role === 'server'
        ? { role: 'server', hostKeys: settings.hostKeys }
        : { role: 'client', hostKey: settings.hostKey }),
      output: (bytes) => settings.output(bytes),
      onPayload: (payload) => this.#receive(payload),
      onReady: () => this.#login(),
      onResume: () => this.#channels.resume(),
      onEnd: (error) => this.#end(error),
    });
  }

  /** What the other side calls itself, printable; empty before it has said so. */
  get peerIdent(): string {
    return this.#transport.peerIdent;
  }

  /** What is agreed on; undefined before keys are there. */
  get negotiated(): Negotiated | undefined {
    return this.#transport.negotiated;
  }

  /** The server's key or certificate, proved; undefined before keys are there. */
  get hostKey(): Buffer | undefined {
    return this.#transport.hostKey;
  }

  get isAuthenticated(): boolean {
    return this.#isAuthenticated;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Bytes as they come in, cut anywhere. */
  receive(chunk: Buffer): void {
    this.#hasHeard = true;
    this.#transport.receive(chunk);
  }

  /** Time passes: to be called every few seconds, and first when the connection begins. */
  tick(nowMs: number): void {
    this.#guard(() => {
      this.#bornMs ??= nowMs;
      const { loginGraceMs = LOGIN_GRACE_MS } = this.#settings;
      if (!this.#isAuthenticated && nowMs - this.#bornMs > loginGraceMs)
        throw new SshError('nobody was let in in time', DISCONNECT.noMoreAuthMethods);
      this.#transport.tick(nowMs);
      this.#keepAlive(nowMs);
    });
  }

  /** Decides a question of {@link ServerSettings.onQuestion}. */
  answer(id: number, answer: AuthAnswer): void {
    this.#guard(() => {
      if (this.#auth instanceof AuthServer) this.#auth.answer(id, answer);
    });
  }

  /** Says whether more should go out. While it should not, data waits; answers and the like do not. */
  setWritable(isWritable: boolean): void {
    this.#isWritable = isWritable;
    if (isWritable) this.#guard(() => this.#channels.resume());
  }

  /** Asks the other side to open a channel. `onResult` is told what became of it. */
  open(type: string, payload: Buffer, handler: ChannelHandler, onResult: (result: OpenResult) => void): void {
    this.#channels.open(type, payload, handler, onResult);
  }

  /** Sends a request to the connection as a whole. @param onReply told the answer. Absent: none is asked for */
  global(name: string, payload: Buffer, onReply?: (answer: GlobalAnswer) => void): void {
    this.#channels.global(name, payload, onReply);
  }

  /** Ends the connection. @param text in our own words: the other side may show it */
  disconnect(reason: DisconnectReason, text: string): void {
    this.#transport.disconnect(reason, text);
  }

  /** What carried the connection is gone. */
  lose(): void {
    this.#fault ??= new SshError('the connection was lost', DISCONNECT.connectionLost);
    this.#transport.disconnect(DISCONNECT.connectionLost, this.#fault.message);
  }

  #guard(entry: () => void): void {
    try {
      entry();
    } catch (cause) {
      this.#fault ??= cause instanceof SshError ? cause : new SshError('a fault of our own', DISCONNECT.byApplication, { cause });
      this.#transport.disconnect(this.#fault.reason, this.#fault.message);
    }
  }

  #login(): void {
    const settings = this.#settings;
    const base = { sessionId: this.#transport.sessionId ?? NOTHING, send: (payload: Buffer) => this.#transport.send(payload) };
    if (settings.role === 'server') {
      const { methods, banner, prompt, more } = settings;
      this.#auth = new AuthServer({
        ...base,
        methods,
        ...(banner !== undefined && { banner }),
        ...(prompt !== undefined && { prompt }),
        ...(more !== undefined && { more }),
        onQuestion: (question) => settings.onQuestion(question),
        onAuthenticated: (user) => this.#admit(user),
      });
      return;
    }
    const { user, credentials } = settings;
    const client = new AuthClient({
      ...base,
      user,
      credentials,
      signatureAlgorithms: () => this.#transport.peerSignatureAlgorithms,
      onAuthenticated: () => this.#admit(user),
    });
    this.#auth = client;
    client.start();
  }

  #admit(user: string): void {
    this.#isAuthenticated = true;
    this.#settings.onAuthenticated(user);
  }

  #receive(payload: Buffer): void {
    const message = payload[0] as number;
    if (!this.#isAuthenticated || message < CHANNEL.globalRequest) return this.#auth?.receive(payload);
    if (OF_CHANNELS.has(message)) return this.#channels.receive(payload);
    return this.#transport.unimplemented();
  }

  #keepAlive(nowMs: number): void {
    const { keepAliveMs = KEEP_ALIVE_MS } = this.#settings;
    if (this.#hasHeard) {
      this.#hasHeard = false;
      this.#heardMs = nowMs;
      this.#unanswered = 0;
    }
    if (!this.#isAuthenticated || nowMs - this.#heardMs < keepAliveMs * (this.#unanswered + 1)) return;
    if (this.#unanswered === MAX_UNANSWERED) throw new SshError('the other side is gone', DISCONNECT.connectionLost);
    this.#unanswered++;
    this.#channels.global(KEEPALIVE, NOTHING, () => {});
  }

  #end(error: SshError | undefined): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#auth = undefined;
    this.#channels.abandon();
    this.#settings.onEnd(this.#fault ?? error);
  }
}
