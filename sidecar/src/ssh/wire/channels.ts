import { Channel, type ChannelHandler, type ChannelHost, MAX_DATA, type Peer, readPeer } from './channel.ts';
import { CHANNEL, OPEN_FAILURE } from './channel-messages.ts';
import { boolean, byte, Reader, string, uint32 } from './data.ts';
import { SshError } from './error.ts';
import { Replies } from './replies.ts';

/** Open, asked for, and offered, together. */
export const MAX_CHANNELS = 256;
/**
 * Bytes that a peer may send ahead on a channel: at first, and at most, which is enough for a long way. The windows of all channels of
 * a connection grow until they are `all` together.
 */
export const WINDOW = { first: 64 * 1024, widest: 2 * 1024 * 1024, all: 16 * 1024 * 1024 };
/** Texts of a refusal that came, in bytes. */
const MAX_TEXT = 1024;
/**
 * What OpenSSH says of its own host keys and asks about them (PROTOCOL, section 2.5). Passed on, it would teach clients the keys of
 * another host than the one they speak with.
 */
const OF_HOST_KEYS: ReadonlySet<string> = new Set(['hostkeys-00@openssh.com', 'hostkeys-prove-00@openssh.com']);
/** Asks whether we are there (PROTOCOL of OpenSSH's clients and servers); any answer says so. */
export const KEEPALIVE = 'keepalive@openssh.com';

export interface OpenRefusal {
  /** RFC 4254, section 5.1; any number. */
  readonly code: number;
  readonly text: string;
}

/** A channel that the peer wants to open. It waits for one of the two, as long as need be. */
export interface Offer {
  readonly type: string;
  /** What follows what all types have, for the parser of the type. */
  readonly payload: Buffer;
  /** Opens it. Where it is too late for that the channel is closed already, and its handler told so. */
  accept(handler: ChannelHandler, payload?: Buffer): Channel;
  refuse(refusal: OpenRefusal): void;
}

export type OpenResult =
  | { readonly kind: 'opened'; readonly channel: Channel; readonly payload: Buffer }
  | ({ readonly kind: 'refused' } & OpenRefusal);

/** `payload` of an answer that grants is what the request says of it, such as a port. */
export type GlobalAnswer = { readonly isGranted: boolean; readonly payload?: Buffer };

/** A request to the connection as a whole (RFC 4254, section 4). */
export interface GlobalRequest {
  readonly name: string;
  readonly payload: Buffer;
  /** Absent where no answer is wanted. Answers leave in the order of their requests. */
  readonly reply?: (answer: GlobalAnswer) => void;
}

/** Memory that many connections share. */
export interface Room {
  /** False: there is none, and nothing was taken. */
  take(bytes: number): boolean;
  free(bytes: number): void;
}

export interface ChannelsOptions {
  /** What windows are taken of: without it none grows, and no channel opens. */
  readonly room: Room;
  readonly guard: (entry: () => void) => void;
  readonly send: (parts: readonly Buffer[]) => void;
  /** Whether data may go out now. Once it is true again, {@link Channels.resume} is called. */
  readonly isWritable: () => boolean;
  readonly onOffer: (offer: Offer) => void;
  readonly onGlobal: (request: GlobalRequest) => void;
}

interface Asked {
  readonly handler: ChannelHandler;
  readonly onResult: (result: OpenResult) => void;
}

/** The channels of one connection, either side of it (RFC 4254). */
export class Channels {
  readonly #options: ChannelsOptions;
  readonly #host: ChannelHost;
  /** By our number. Numbers are given once, so that a message that comes late never means another channel. */
  readonly #channels = new Map<number, Channel>();
  readonly #asked = new Map<number, Asked>();
  /** The peer's numbers: of what is open, and of what it offers. */
  readonly #remotes = new Set<number>();
  /** Channels that have something to send, the one that waits longest first. */
  readonly #ready = new Set<Channel>();
  readonly #awaited: ((answer: GlobalAnswer) => void)[] = [];
  readonly #replies: Replies<GlobalAnswer>;
  #offers = 0;
  #next = 0;
  /** The sum of the windows that we gave. */
  #window = 0;
  #isOver = false;
  #isResuming = false;

  constructor(options: ChannelsOptions) {
    this.#options = options;
    this.#replies = new Replies(({ isGranted, payload = Buffer.alloc(0) }) =>
      options.send(isGranted ? [byte(CHANNEL.requestSuccess), payload] : [byte(CHANNEL.requestFailure)]),
    );
    this.#host = {
      guard: options.guard,
      send: options.send,
      isFree: () => this.#ready.size === 0 && !this.#isResuming && options.isWritable(),
      schedule: (channel) => {
        this.#ready.add(channel);
        this.resume();
      },
      widen: (size) => this.#widen(size),
      release: (channel) => this.#release(channel),
    };
  }

  /** A message of the connection protocol. @throws SshError */
  receive(payload: Buffer): void {
    const reader = new Reader(payload, 1);
    const message = payload[0] as number;
    switch (message) {
      case CHANNEL.globalRequest:
        return this.#receiveGlobal(reader);
      case CHANNEL.requestSuccess:
      case CHANNEL.requestFailure:
        return this.#receiveGlobalReply(message, reader);
      case CHANNEL.open:
        return this.#receiveOpen(reader);
      case CHANNEL.openConfirmation:
        return this.#receiveConfirmation(reader);
      case CHANNEL.openFailure:
        return this.#receiveOpenFailure(reader);
      default: {
        const channel = this.#channels.get(reader.uint32());
        if (channel === undefined) throw new SshError('a message to a channel that is not open');
        return channel.receive(message, reader);
      }
    }
  }

  /** Asks the peer to open a channel. `onResult` is told what became of it; of a connection that is over, that it is refused. */
  open(type: string, payload: Buffer, handler: ChannelHandler, onResult: (result: OpenResult) => void): void {
    this.#options.guard(() => {
      if (this.#isOver) return onResult({ kind: 'refused', code: OPEN_FAILURE.connectFailed, text: 'the connection is over' });
      if (this.#count() >= MAX_CHANNELS) return onResult({ kind: 'refused', ...TOO_MANY });
      if (!this.#takeWindow(WINDOW.first)) return onResult({ kind: 'refused', ...NO_ROOM });
      const local = this.#next++;
      this.#asked.set(local, { handler, onResult });
      return this.#options.send([
        byte(CHANNEL.open),
        string(type),
        uint32(local),
        uint32(WINDOW.first),
        uint32(MAX_DATA),
        payload,
      ]);
    });
  }

  /** Sends a request to the connection as a whole. @param onReply told the answer. Absent: none is asked for */
  global(name: string, payload: Buffer, onReply?: (answer: GlobalAnswer) => void): void {
    this.#options.guard(() => {
      if (this.#isOver) return onReply?.({ isGranted: false });
      if (onReply !== undefined) this.#awaited.push(onReply);
      return this.#options.send([byte(CHANNEL.globalRequest), string(name), boolean(onReply !== undefined), payload]);
    });
  }

  /** Sends what waits, as long as anything may go: one message of each channel in turn. */
  resume(): void {
    // What is told of one message may lead to the next: it then waits for its turn.
    if (this.#isResuming) return;
    this.#isResuming = true;
    try {
      for (const channel of this.#ready) {
        if (!this.#options.isWritable()) return;
        this.#ready.delete(channel);
        if (channel.step()) this.#ready.add(channel);
      }
    } finally {
      this.#isResuming = false;
    }
  }

  /** The connection is over: tells every channel, and everybody who waits for an answer. */
  abandon(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#ready.clear();
    for (const channel of this.#channels.values()) this.#options.guard(() => channel.abandon());
    for (const { onResult } of this.#asked.values())
      this.#options.guard(() => onResult({ kind: 'refused', code: OPEN_FAILURE.connectFailed, text: 'the connection is over' }));
    for (const onReply of this.#awaited) this.#options.guard(() => onReply({ isGranted: false }));
    this.#channels.clear();
    this.#asked.clear();
    this.#awaited.length = 0;
    this.#freeWindow(this.#window);
  }

  #receiveGlobal(reader: Reader): void {
    const name = reader.ascii();
    const isAnswered = reader.boolean();
    const answer = isAnswered ? this.#replies.owe() : undefined;
    if (name === KEEPALIVE || OF_HOST_KEYS.has(name)) return answer?.({ isGranted: false });
    const request = { name, payload: reader.rest() };
    if (answer === undefined) return this.#options.onGlobal(request);
    return this.#options.onGlobal({ ...request, reply: (given) => this.#options.guard(() => answer(given)) });
  }

  #receiveGlobalReply(message: number, reader: Reader): void {
    const onReply = this.#awaited.shift();
    if (onReply === undefined) throw new SshError('an answer that nobody asked for');
    onReply({ isGranted: message === CHANNEL.requestSuccess, payload: reader.rest() });
  }

  #receiveOpen(reader: Reader): void {
    const type = reader.ascii();
    const peer = readPeer(reader);
    const { remote } = peer;
    if (this.#remotes.has(remote)) throw new SshError('a channel with the number of another');
    if (this.#count() >= MAX_CHANNELS) return this.#refuse(remote, TOO_MANY);
    if (!this.#takeWindow(WINDOW.first)) return this.#refuse(remote, NO_ROOM);
    this.#remotes.add(remote);
    this.#offers++;
    let isOpen = true;
    const decide = (decision: () => void): void =>
      this.#options.guard(() => {
        if (!isOpen || this.#isOver) return;
        isOpen = false;
        this.#offers--;
        decision();
      });
    return this.#options.onOffer({
      type,
      payload: reader.rest(),
      accept: (handler, payload = Buffer.alloc(0)) => {
        let accepted: Channel | undefined;
        decide(() => {
          accepted = this.#accept(peer, handler, payload);
        });
        return accepted ?? this.#closed(peer, handler);
      },
      refuse: (refusal) =>
        decide(() => {
          this.#remotes.delete(remote);
          this.#freeWindow(WINDOW.first);
          this.#refuse(remote, refusal);
        }),
    });
  }

  #accept(peer: Peer, handler: ChannelHandler, payload: Buffer): Channel {
    const local = this.#next++;
    const channel = new Channel(local, peer, WINDOW.first, this.#host, handler);
    this.#channels.set(local, channel);
    const fields = [peer.remote, local, WINDOW.first, MAX_DATA].map(uint32);
    this.#options.send([byte(CHANNEL.openConfirmation), ...fields, payload]);
    return channel;
  }

  #closed(peer: Peer, handler: ChannelHandler): Channel {
    const channel = new Channel(this.#next, peer, 0, this.#host, handler);
    this.#options.guard(() => channel.abandon());
    return channel;
  }

  #refuse(remote: number, { code, text }: OpenRefusal): void {
    this.#options.send([byte(CHANNEL.openFailure), uint32(remote), uint32(code), string(text), string('')]);
  }

  #receiveConfirmation(reader: Reader): void {
    const local = reader.uint32();
    const { handler, onResult } = this.#takeAsked(local);
    const peer = readPeer(reader);
    if (this.#remotes.has(peer.remote)) throw new SshError('a channel with the number of another');
    this.#remotes.add(peer.remote);
    const channel = new Channel(local, peer, WINDOW.first, this.#host, handler);
    this.#channels.set(local, channel);
    onResult({ kind: 'opened', channel, payload: reader.rest() });
  }

  #receiveOpenFailure(reader: Reader): void {
    const { onResult } = this.#takeAsked(reader.uint32());
    const code = reader.uint32();
    const text = reader.string();
    reader.string();
    reader.end();
    this.#freeWindow(WINDOW.first);
    onResult({ kind: 'refused', code, text: text.subarray(0, MAX_TEXT).toString('utf8') });
  }

  #takeAsked(local: number): Asked {
    const asked = this.#asked.get(local);
    if (asked === undefined) throw new SshError('an answer about a channel that nobody asked for');
    this.#asked.delete(local);
    return asked;
  }

  #release(channel: Channel): void {
    this.#channels.delete(channel.local);
    this.#remotes.delete(channel.remote);
    this.#ready.delete(channel);
    this.#freeWindow(channel.windowSize);
  }

  #widen(size: number): number {
    const bytes = Math.min(size, WINDOW.widest - size, WINDOW.all - this.#window);
    return bytes > 0 && this.#takeWindow(bytes) ? bytes : 0;
  }

  #takeWindow(bytes: number): boolean {
    const isTaken = this.#options.room.take(bytes);
    if (isTaken) this.#window += bytes;
    return isTaken;
  }

  #freeWindow(bytes: number): void {
    this.#window -= bytes;
    this.#options.room.free(bytes);
  }

  #count(): number {
    return this.#channels.size + this.#asked.size + this.#offers;
  }
}

const NO_ROOM: OpenRefusal = { code: OPEN_FAILURE.resourceShortage, text: 'no memory for another channel' };
const TOO_MANY: OpenRefusal = { code: OPEN_FAILURE.resourceShortage, text: 'too many channels' };
