import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { type AlgorithmSet, UPSTREAM_LEGACY } from './algorithms.ts';
import type { AuthAnswer, AuthQuestion } from './auth-server.ts';
import type { Channel, ChannelHandler, ChannelRequest, Stream } from './channel.ts';
import type { GlobalRequest, Offer, Room } from './channels.ts';
import { type ClientSettings, Connection, type ServerSettings } from './connection.ts';
import type { SshError } from './error.ts';
import { type Signer, signerOf } from './keys.ts';

/** Of memory there is enough. */
export const ROOM: Room = { take: () => true, free: () => {} };
export const HOST_KEY: Signer = signerOf(generateKeyPairSync('ed25519').privateKey);
export const USER_KEY: Signer = signerOf(generateKeyPairSync('ed25519').privateKey);

/** All that one side of a connection tells. */
export class Told {
  readonly out: Buffer[] = [];
  readonly users: string[] = [];
  readonly questions: AuthQuestion[] = [];
  readonly offers: Offer[] = [];
  readonly globals: GlobalRequest[] = [];
  readonly ends: (SshError | undefined)[] = [];

  readonly events = {
    output: (bytes: Buffer): unknown => this.out.push(Buffer.from(bytes)),
    onAuthenticated: (user: string): unknown => this.users.push(user),
    onQuestion: (question: AuthQuestion): unknown => this.questions.push(question),
    onOffer: (offer: Offer): unknown => this.offers.push(offer),
    onGlobal: (request: GlobalRequest): unknown => this.globals.push(request),
    onEnd: (error: SshError | undefined): unknown => this.ends.push(error),
  };
}

export interface PairOptions {
  readonly algorithms?: AlgorithmSet;
  readonly client?: Partial<ClientSettings>;
  readonly server?: Partial<ServerSettings>;
  /** Cuts what one side sent into what the other receives. Absent: as it was sent. */
  readonly cut?: (bytes: Buffer) => Iterable<Buffer>;
  /** Absent: everybody is let in. */
  readonly decide?: (question: AuthQuestion) => AuthAnswer;
}

/** A client and a server of ours, joined in memory: nothing moves but by {@link pump}. */
export class ConnectionPair {
  readonly atClient = new Told();
  readonly atServer = new Told();
  readonly client: Connection;
  readonly server: Connection;
  readonly #options: PairOptions;

  constructor(options: PairOptions = {}) {
    this.#options = options;
    const { algorithms = UPSTREAM_LEGACY } = options;
    this.client = new Connection({
      role: 'client',
      room: ROOM,
      algorithms,
      hostKey: { kind: 'pinned', keys: [HOST_KEY.blob] },
      user: 'alice',
      credentials: [{ method: 'publickey', signer: USER_KEY }],
      ...this.atClient.events,
      ...options.client,
    });
    this.server = new Connection({
      role: 'server',
      room: ROOM,
      algorithms,
      hostKeys: [HOST_KEY],
      methods: ['publickey', 'password', 'keyboard-interactive'],
      ...this.atServer.events,
      ...options.server,
    });
  }

  /** Carries what both have sent, and decides what is asked, until neither says more. */
  pump(): void {
    const { cut = (bytes): Iterable<Buffer> => [bytes], decide = (): AuthAnswer => 'accept' } = this.#options;
    for (;;) {
      const toServer = Buffer.concat(this.atClient.out.splice(0));
      const toClient = Buffer.concat(this.atServer.out.splice(0));
      const questions = this.atServer.questions.splice(0);
      if (toServer.length + toClient.length + questions.length === 0) return;
      for (const chunk of cut(toServer)) this.server.receive(chunk);
      for (const chunk of cut(toClient)) this.client.receive(chunk);
      for (const question of questions) this.server.answer(question.id, decide(question));
    }
  }
}

/** Keeps all that comes on a channel, and gives the window back at once. */
export class Sink implements ChannelHandler {
  readonly data: Record<Stream, Buffer[]> = { data: [], stderr: [] };
  readonly requests: ChannelRequest[] = [];
  readonly events: string[] = [];
  channel: Channel | undefined;

  onData(data: Buffer, stream: Stream): void {
    this.data[stream].push(Buffer.from(data));
    this.channel?.consumed(data.length);
  }
  onEof(): void {
    this.events.push('eof');
  }
  onRequest(request: ChannelRequest): void {
    this.requests.push(request);
    this.events.push(request.name);
  }
  onClose(): void {
    this.events.push('close');
  }
  text(stream: Stream): Buffer {
    return Buffer.concat(this.data[stream]);
  }
}

/** A session that the client of `pair` has opened and the server accepted: both ends. */
export function session(pair: ConnectionPair): { client: Channel; atClient: Sink; server: Channel; atServer: Sink } {
  const atClient = new Sink();
  const atServer = new Sink();
  pair.client.open('session', Buffer.alloc(0), atClient, (result) => {
    if (result.kind === 'opened') atClient.channel = result.channel;
  });
  pair.pump();
  atServer.channel = pair.atServer.offers.pop()?.accept(atServer);
  pair.pump();
  if (atClient.channel === undefined || atServer.channel === undefined) throw new Error('no session was opened');
  return { client: atClient.channel, atClient, server: atServer.channel, atServer };
}

/** Pieces of random lengths, most of them short. */
export function* shreds(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const [a, b] = randomBytes(2) as unknown as [number, number];
    const length = 1 + (a < 200 ? b % 40 : b * 200);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}
