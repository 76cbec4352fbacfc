import { type AlgorithmSet, MARKERS, UPSTREAM_LEGACY } from './algorithms.ts';
import { Exchange, type Finished } from './exchange.ts';
import { PacketReader, PacketWriter } from './packet.ts';
import { clientOptions, End, HOST_KEY, type PairOptions, serverOptions } from './pair.test-support.ts';
import { Transport } from './transport.ts';

/** What a transport waits for, from the beginning to keys that are exchanged anew. */
export const STAGES = ['ident', 'start', 'share', 'newKeys', 'open', 'authenticated', 'share again', 'newKeys again'] as const;
export type Stage = (typeof STAGES)[number];

const IDENT = 'SSH-2.0-Rogue';

export interface RogueOptions extends PairOptions {
  /** What the rogue offers. */
  readonly offers?: AlgorithmSet;
  /** What the rogue's first KEXINIT says that it understands. Absent: all. */
  readonly markers?: readonly string[];
  /** Whether the rogue's KEXINITs announce a guess. */
  readonly guesses?: boolean;
}

/** The other side of a transport, which says what it is told to, in packets that are right. */
export class Rogue {
  readonly end = new End();
  readonly target: Transport;
  /** Messages of the target. */
  readonly heard: Buffer[] = [];
  readonly writer = new PacketWriter();
  readonly #reader = new PacketReader();
  readonly #role: 'client' | 'server';
  readonly #options: RogueOptions;
  #exchange: Exchange | undefined;
  #finished: Finished | undefined;
  #targetIdent = '';
  #targetInit: Buffer | undefined;
  /** What is to be sent next: a client's share, a server's reply. */
  #share: Buffer | undefined;
  readonly #client = { role: 'client', hostKey: { kind: 'pinned', keys: [HOST_KEY.blob] } } as const;
  readonly #server = { role: 'server', hostKeys: [HOST_KEY] } as const;

  /** @param role of the rogue; the target has the other */
  constructor(role: 'client' | 'server', options: RogueOptions = {}) {
    this.#role = role;
    this.#options = options;
    this.target = new Transport(role === 'client' ? serverOptions(this.end, options) : clientOptions(this.end, options));
    const line = Buffer.concat(this.end.sent);
    const at = line.indexOf('\n') + 1;
    this.#targetIdent = line.toString('latin1', 0, at).trim();
    this.end.sent.splice(0, this.end.sent.length, line.subarray(at));
  }

  get strict(): boolean {
    return this.#options.markers === undefined || this.#options.markers.some((name) => name.includes('strict'));
  }

  /** Does what a right one does until the target waits for `stage`. */
  to(stage: Stage): this {
    const steps: Record<Stage, () => void> = {
      ident: () => {},
      start: () => this.target.receive(Buffer.from(`${IDENT}\r\n`)),
      share: () => this.kexInit(),
      newKeys: () => this.share(),
      open: () => this.newKeys(),
      authenticated: () => (this.#role === 'client' ? this.target.send(Buffer.of(52)) : this.say(Buffer.of(52))),
      'share again': () => this.kexInit(),
      'newKeys again': () => this.share(),
    };
    for (const one of STAGES.slice(0, STAGES.indexOf(stage) + 1)) steps[one]();
    this.hear();
    return this;
  }

  /** Sends one message. */
  say(...parts: Buffer[]): void {
    const packet: Buffer[] = [];
    this.writer.write(parts, (bytes) => packet.push(Buffer.from(bytes)));
    this.target.receive(Buffer.concat(packet));
  }

  kexInit(): void {
    const all = Object.values(MARKERS[this.#role]);
    const markers = this.#finished === undefined ? (this.#options.markers ?? all) : [];
    const side = this.#role === 'client' ? this.#client : this.#server;
    this.#exchange = new Exchange(side, this.#options.offers ?? UPSTREAM_LEGACY, markers);
    const { init } = this.#exchange;
    if (this.#options.guesses) init[init.length - 5] = 1;
    this.#begin();
    this.say(init);
  }

  /** Sends the rogue's share. */
  share(): void {
    this.hear();
    if (this.#share !== undefined) this.say(this.#share);
    this.#share = undefined;
    this.hear();
  }

  newKeys(): void {
    this.say(Buffer.of(21));
    this.writer.rekey((this.#finished as Finished).sealer, this.strict);
  }

  /** Reads all that the target has sent. */
  hear(): void {
    for (const chunk of this.end.sent.splice(0)) {
      this.#reader.push(chunk);
      for (let payload = this.#reader.next(); payload !== undefined; payload = this.#reader.next()) this.#take(payload);
    }
  }

  #take(payload: Buffer): void {
    this.heard.push(payload);
    if (payload[0] === 20) {
      this.#targetInit = payload;
      this.#begin();
    }
    if (payload[0] === 21) this.#reader.rekey((this.#finished as Finished).opener, this.strict);
    if (payload[0] !== 30 && payload[0] !== 31) return;
    this.#finished = this.#exchange?.finish(payload, this.#finished?.sessionId);
    this.#share = this.#finished?.reply;
  }

  /** Once both KEXINITs are there. */
  #begin(): void {
    if (this.#exchange === undefined || this.#targetInit === undefined) return;
    const own = { client: IDENT, server: this.#targetIdent };
    const idents = this.#role === 'client' ? own : { client: own.server, server: own.client };
    this.#share = this.#exchange.begin(this.#targetInit, idents).share;
    this.#targetInit = undefined;
  }
}
