import { type AlgorithmSet, MARKERS, type Negotiated } from './algorithms.ts';
import { byte, Reader, string, uint32 } from './data.ts';
import { DISCONNECT, type DisconnectReason, SshError } from './error.ts';
import { Exchange, type Finished, type Side } from './exchange.ts';
import { encodeExtInfo, parseExtInfo } from './ext-info.ts';
import { IDENT, IdentReader } from './ident.ts';
import { MESSAGE } from './messages.ts';
import { MAX_PACKET, PacketReader, PacketWriter, type Traffic } from './packet.ts';

/** When keys are exchanged anew: whichever comes first, in either direction. */
export interface RekeyLimits {
  readonly bytes: number;
  readonly packets: number;
  readonly ms: number;
}

/** RFC 4253, section 9: a gigabyte or an hour. RFC 4344, section 3.1: no later than 2^31 packets. */
export const REKEY: RekeyLimits = { bytes: 2 ** 30, packets: 2 ** 31, ms: 3_600_000 };

/**
 * New keys that the other side asks for after less than `bytes` both ways are early; one is forgotten every `ms`, and more than `most`
 * end the connection. An exchange costs about a millisecond, and RFC 4253, section 9, sets no least time between two of them.
 */
export const EARLY = { bytes: 64 * 1024, most: 64, ms: 10_000 };

/** An exchange of keys may take no longer, from the first tick in it: as OpenSSH's LoginGraceTime. */
export const EXCHANGE_MS = 120_000;

/** What waits for new keys: more ends the connection, so who sends much stops while the transport is `busy`. */
export const MAX_QUEUED = { messages: 4_096, bytes: 2 * 1024 * 1024 };

export interface Events {
  /**
   * To be sent to the other side, in order; gone when this returns. While it is not sent, `receive` should wait: what comes in can
   * cause as much to go out.
   */
  output(bytes: Buffer): void;
  /**
   * A message of the layers above (5, 6, 50 to 127), whole, never empty. Nothing touches it again; but data of channels (94 and 95) is
   * gone when this returns.
   */
  onPayload(payload: Buffer): void;
  /** The first keys are there. */
  onReady(): void;
  /** Keys were exchanged anew and what waited is sent: `busy` is over. */
  onResume?(): void;
  /** Once, and nothing else after it. Undefined where either side ended the connection as it should be. Must not throw. */
  onEnd(error: SshError | undefined): void;
}

interface Settings extends Events {
  readonly algorithms: AlgorithmSet;
  /** Our identification, without CR and LF. */
  readonly ident?: string;
  readonly rekey?: Partial<RekeyLimits>;
}
export type ServerOptions = Settings & Side & { readonly role: 'server' };
/** There is none without a check of the host key. */
export type ClientOptions = Settings & Side & { readonly role: 'client' };

/**
 * By what the other side must send next:
 * - `ident`: its identification; `start`: its first KEXINIT;
 * - `share`, `newKeys`: its part of the exchange that its KEXINIT has begun;
 * - `open`: any message that is not part of an exchange, or the KEXINIT of the next one;
 * - `ended`: nothing, and nothing is heard or sent.
 */
type State = 'ident' | 'start' | 'share' | 'newKeys' | 'open' | 'ended';

/** Numbers of RFC 4250, section 4.1.1. */
const isOfExchange = (type: number): boolean => type >= 20 && type <= 49;
const isShare = (type: number): boolean => type >= 30 && type <= 49;
const isOfService = (type: number): boolean =>
  type === MESSAGE.serviceRequest || type === MESSAGE.serviceAccept || (type >= 50 && type <= 127);
const isChatter = (type: number): boolean => type === MESSAGE.ignore || type === MESSAGE.unimplemented || type === MESSAGE.debug;

/**
 * The transport layer of one connection, either side of it (RFC 4253): bytes come in by `receive`, messages go out by `send`.
 * No socket and no clock. No method throws but the constructor: whatever is wrong ends this connection. To be called from
 * `onPayload`, `onReady` and `onResume` as from outside, never from `output`.
 */
export class Transport {
  readonly #options: ServerOptions | ClientOptions;
  readonly #limits: RekeyLimits;
  readonly #ident: string;
  readonly #identReader: IdentReader;
  readonly #reader = new PacketReader();
  readonly #writer = new PacketWriter();
  readonly #output: (bytes: Buffer) => void;
  #state: State = 'ident';
  #peerIdent = '';
  /** From our KEXINIT to the other side's NEWKEYS. */
  #exchange: Exchange | undefined;
  #finished: Omit<Finished, 'reply'> | undefined;
  /** Between our KEXINIT and our NEWKEYS nothing else goes out. */
  #busy = true;
  #queue: (readonly Buffer[])[] = [];
  #queuedBytes = 0;
  #ready = false;
  #strict = false;
  #peerTakesExtInfo = false;
  /** What an EXT_INFO may be: the first message under new keys, or the last before USERAUTH_SUCCESS (RFC 8308, section 2.4). */
  #extInfo: 'first' | 'succeeds' | undefined;
  #peerSignatureAlgorithms: readonly string[] | undefined;
  #authenticated = false;
  #exchangeSinceMs: number | undefined;
  #keysSinceMs: number | undefined;
  #early = 0;
  #earlySinceMs: number | undefined;

  /** Says who we are at once. @throws SshError where the options leave no way to prove who the server is */
  constructor(options: ServerOptions | ClientOptions) {
    this.#options = options;
    this.#output = (bytes) => options.output(bytes);
    this.#limits = { ...REKEY, ...options.rekey };
    this.#ident = options.ident ?? IDENT;
    this.#identReader = new IdentReader(options.role === 'client');
    const exchange = this.#newExchange();
    options.output(Buffer.from(`${this.#ident}\r\n`, 'latin1'));
    this.#offer(exchange);
  }

  /** The first exchange hash (RFC 4253, section 7.2); undefined before `onReady`. */
  get sessionId(): Buffer | undefined {
    return this.#finished?.sessionId;
  }

  /** What is agreed on now; undefined before `onReady`. */
  get negotiated(): Negotiated | undefined {
    return this.#finished?.negotiated;
  }

  /** The server's key or certificate, proved; undefined before `onReady`. */
  get hostKey(): Buffer | undefined {
    return this.#finished?.hostKey;
  }

  /** Whether both sides number packets anew with each key, so that none can be cut out before the first (CVE-2023-48795). */
  get strict(): boolean {
    return this.#strict;
  }

  /** The other side's identification, printable; empty before it has come. */
  get peerIdent(): string {
    return this.#peerIdent;
  }

  /** What the server says that it takes as signatures of users (`server-sig-algs`); undefined where it has not. */
  get peerSignatureAlgorithms(): readonly string[] | undefined {
    return this.#peerSignatureAlgorithms;
  }

  /** Whether what is sent now waits for keys. It is bounded ({@link MAX_QUEUED}). */
  get busy(): boolean {
    return this.#busy;
  }

  /** Bytes as they come in, cut anywhere. They are not looked at any more when this returns. */
  receive(chunk: Buffer): void {
    this.#guard(() => {
      let rest = chunk;
      if (this.#state === 'ident') {
        const read = this.#identReader.read(chunk);
        if (read === undefined) return;
        this.#peerIdent = read.ident;
        this.#state = 'start';
        rest = read.rest;
      }
      this.#reader.push(rest);
      while (!this.#hasEnded()) {
        const payload = this.#reader.next();
        if (payload === undefined) break;
        const type = payload[0] as number;
        this.#handle(type, payload);
        if (type === MESSAGE.channelData || type === MESSAGE.channelExtendedData) this.#reader.free();
      }
      this.#rekeyIfDue();
    });
  }

  /**
   * Sends one message of the layers above, in parts; its first byte is its number. While the transport is `busy` they wait as they are,
   * so they are not changed or freed afterwards.
   */
  send(...parts: readonly Buffer[]): void {
    this.#guard(() => {
      if (!isOfService(parts[0]?.[0] ?? 0)) throw new SshError('a message that is not for the transport to send');
      this.#sendOrQueue(parts);
      this.#rekeyIfDue();
    });
  }

  /** Answers the message that `onPayload` was called with last: we do not know it (RFC 4253, section 11.4). */
  unimplemented(): void {
    this.#guard(() => this.#sendOrQueue([byte(MESSAGE.unimplemented), uint32(this.#reader.sequence)]));
  }

  /** Time passes: to be called every few seconds. */
  tick(nowMs: number): void {
    this.#guard(() => {
      if (this.#exchange !== undefined) {
        this.#exchangeSinceMs ??= nowMs;
        if (nowMs - this.#exchangeSinceMs > EXCHANGE_MS) throw new SshError('no keys in time', DISCONNECT.keyExchangeFailed);
      }
      this.#keysSinceMs ??= nowMs;
      this.#forgetEarly(nowMs);
      this.#rekeyIfDue(nowMs);
    });
  }

  /** Ends the connection. @param text in our own words: the other side may show it */
  disconnect(reason: DisconnectReason, text: string): void {
    this.#guard(() => {
      this.#sayGoodbye(reason, text);
      this.#end(undefined);
    });
  }

  #guard(step: () => void): void {
    if (this.#hasEnded()) return;
    try {
      step();
    } catch (cause) {
      if (this.#hasEnded()) return;
      const error = cause instanceof SshError ? cause : new SshError('a fault of our own', DISCONNECT.byApplication, { cause });
      this.#sayGoodbye(error.reason, error.message);
      this.#end(error);
    }
  }

  #hasEnded(): boolean {
    return this.#state === 'ended';
  }

  #sayGoodbye(reason: DisconnectReason, text: string): void {
    try {
      this.#transmit([byte(MESSAGE.disconnect), uint32(reason), string(text), string('')]);
    } catch {
      // The connection ends anyway, and for a reason of its own.
    }
  }

  #end(error: SshError | undefined): void {
    this.#state = 'ended';
    this.#exchange = undefined;
    this.#queue = [];
    try {
      this.#options.onEnd(error);
    } catch {
      // Said at onEnd: there is nobody left to tell.
    }
  }

  #handle(type: number, payload: Buffer): void {
    if (type === MESSAGE.disconnect) return this.#disconnected(payload);
    if (this.#state === 'open') return this.#handleOpen(type, payload);
    if (this.#state === 'start' && type === MESSAGE.kexInit) return this.#begin(payload);
    if (this.#state === 'share' && isShare(type)) return this.#finish(payload);
    if (this.#state === 'newKeys' && type === MESSAGE.newKeys) return this.#useNewKeys(payload);
    // RFC 4253, section 7.1, allows these. Before the first keys nobody sends them but who wants packets miscounted.
    if (this.#ready && isChatter(type)) return;
    throw new SshError('a message that has no place in a key exchange');
  }

  #handleOpen(type: number, payload: Buffer): void {
    const extInfo = this.#extInfo;
    this.#extInfo = undefined;
    if (extInfo === 'succeeds' && type !== MESSAGE.userauthSuccess) throw misplaced();
    if (isChatter(type)) return;
    if (isOfService(type)) return this.#deliver(type, payload);
    if (type === MESSAGE.extInfo) return this.#learn(payload, extInfo);
    if (type === MESSAGE.kexInit && this.#authenticated) return this.#beginAnew(payload);
    if (isOfExchange(type) || type === MESSAGE.pong) throw misplaced();
    if (type === MESSAGE.ping) return this.#answerPing(payload);
    this.unimplemented();
  }

  #deliver(type: number, payload: Buffer): void {
    if (type === MESSAGE.userauthSuccess && this.#options.role === 'client') this.#openUp();
    this.#options.onPayload(payload);
  }

  /** The other side is somebody: longer packets are heard, and keys exchanged anew (OpenSSH does not, before). */
  #openUp(): void {
    this.#authenticated = true;
    this.#reader.maxBytes = MAX_PACKET;
  }

  #learn(payload: Buffer, place: 'first' | 'succeeds' | undefined): void {
    if (place === undefined) {
      if (this.#options.role === 'server' || this.#authenticated) throw misplaced();
      this.#extInfo = 'succeeds';
    }
    this.#peerSignatureAlgorithms = parseExtInfo(payload) ?? this.#peerSignatureAlgorithms;
  }

  #answerPing(payload: Buffer): void {
    const reader = new Reader(payload, 1);
    const data = reader.string();
    reader.end();
    this.#sendOrQueue([byte(MESSAGE.pong), string(data)]);
  }

  #disconnected(payload: Buffer): void {
    const reason = new Reader(payload, 1).uint32();
    const error = new SshError('the other side ended the connection', DISCONNECT.connectionLost);
    this.#end(reason === DISCONNECT.byApplication ? undefined : error);
  }

  #newExchange(): Exchange {
    const markers = this.#ready ? [] : Object.values(MARKERS[this.#options.role]);
    return new Exchange(this.#options, this.#options.algorithms, markers);
  }

  #offer(exchange: Exchange): Exchange {
    this.#exchange = exchange;
    this.#busy = true;
    this.#transmit([exchange.init]);
    return exchange;
  }

  /** Where we have not asked for it ourselves it may be too often. */
  #beginAnew(payload: Buffer): void {
    const isEarly = this.#exchange === undefined && this.#reader.traffic.bytes + this.#writer.traffic.bytes < EARLY.bytes;
    if (isEarly && ++this.#early > EARLY.most)
      throw new SshError('new keys are asked for too often', DISCONNECT.keyExchangeFailed);
    this.#begin(payload);
  }

  #forgetEarly(nowMs: number): void {
    this.#earlySinceMs ??= nowMs;
    const forgotten = Math.floor((nowMs - this.#earlySinceMs) / EARLY.ms);
    this.#early = Math.max(0, this.#early - forgotten);
    this.#earlySinceMs += forgotten * EARLY.ms;
  }

  #begin(payload: Buffer): void {
    const exchange = this.#exchange ?? this.#offer(this.#newExchange());
    const { role } = this.#options;
    const idents =
      role === 'client' ? { client: this.#ident, server: this.#peerIdent } : { client: this.#peerIdent, server: this.#ident };
    const { peer, share } = exchange.begin(payload, idents);
    if (!this.#ready) {
      const markers = MARKERS[role === 'client' ? 'server' : 'client'];
      this.#strict = peer.kex.includes(markers.strict);
      this.#peerTakesExtInfo = peer.kex.includes(markers.extInfo);
    }
    if (share !== undefined) this.#transmit([share]);
    this.#state = 'share';
  }

  #finish(payload: Buffer): void {
    const all = (this.#exchange as Exchange).finish(payload, this.sessionId);
    if (all === undefined) return;
    const { reply, ...finished } = all;
    if (reply !== undefined) this.#transmit([reply]);
    this.#transmit([byte(MESSAGE.newKeys)]);
    this.#writer.rekey(finished.sealer, this.#strict);
    this.#finished = finished;
    this.#state = 'newKeys';
    this.#busy = false;
    if (!this.#ready && this.#peerTakesExtInfo) this.#transmit([encodeExtInfo(this.#options.role)]);
    for (const parts of this.#queue) this.#transmit(parts);
    this.#queue = [];
    this.#queuedBytes = 0;
    if (this.#ready) this.#options.onResume?.();
  }

  #useNewKeys(payload: Buffer): void {
    new Reader(payload, 1).end();
    this.#reader.rekey((this.#finished as Omit<Finished, 'reply'>).opener, this.#strict);
    this.#exchange = undefined;
    this.#exchangeSinceMs = undefined;
    this.#keysSinceMs = undefined;
    this.#extInfo = 'first';
    this.#state = 'open';
    if (this.#ready) return;
    this.#ready = true;
    this.#options.onReady();
  }

  #rekeyIfDue(nowMs?: number): void {
    if (this.#state !== 'open' || this.#busy || !this.#authenticated) return;
    const { bytes, packets, ms } = this.#limits;
    const isOver = (traffic: Traffic): boolean => traffic.bytes >= bytes || traffic.packets >= packets;
    const isLate = nowMs !== undefined && this.#keysSinceMs !== undefined && nowMs - this.#keysSinceMs >= ms;
    if (isLate || isOver(this.#reader.traffic) || isOver(this.#writer.traffic)) this.#offer(this.#newExchange());
  }

  #sendOrQueue(parts: readonly Buffer[]): void {
    if (!this.#busy) return this.#transmit(parts);
    this.#queue.push(parts);
    for (const part of parts) this.#queuedBytes += part.length;
    if (this.#queue.length > MAX_QUEUED.messages || this.#queuedBytes > MAX_QUEUED.bytes)
      throw new SshError('more waits for new keys than may', DISCONNECT.byApplication);
  }

  #transmit(parts: readonly Buffer[]): void {
    this.#writer.write(parts, this.#output);
    if (parts[0]?.[0] === MESSAGE.userauthSuccess && this.#options.role === 'server') this.#openUp();
  }
}

const misplaced = (): SshError => new SshError('a message that has no place here');
