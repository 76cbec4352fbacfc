import { once } from 'node:events';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { Nats } from './nats.ts';

/** One message or line of NATS's protocol, as it travels; `subject` is empty in lines that have none. */
export interface Frame {
  readonly verb: string;
  readonly subject: string;
  /** Of headers and payload. */
  readonly body: Buffer;
  readonly bytes: Buffer;
}

/** What of one direction is whole. <https://docs.nats.io/reference/reference-protocols/nats-protocol> */
class Frames {
  #buffer: Buffer = Buffer.alloc(0);

  *take(chunk: Buffer): Generator<Frame> {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    for (;;) {
      const line = this.#buffer.indexOf('\r\n');
      if (line < 0) return;
      const [verb = '', subject = '', ...more] = this.#buffer.toString('latin1', 0, line).split(' ');
      const carries = /^H?(PUB|MSG)$/.test(verb);
      const body = line + 2;
      const end = carries ? body + Number(more.at(-1)) + 2 : body;
      if (this.#buffer.length < end) return;
      const bytes = this.#buffer.subarray(0, end);
      this.#buffer = this.#buffer.subarray(end);
      yield { verb, subject: carries ? subject : '', body: bytes.subarray(body, carries ? end - 2 : end), bytes };
    }
  }
}

export type Link = 'sidecar' | 'collector';

/** A message on a link between the broker (`up`: toward it) and one of its clients, at which the broker is to die. */
export interface Moment {
  readonly link: Link;
  readonly way: 'up' | 'down';
  readonly is: (frame: Frame) => boolean;
  /** Whether it still gets where it goes. */
  readonly passes: boolean;
}

/**
 * A real broker that is killed with SIGKILL as a message comes by: what its clients say passes through here, message by message.
 * From the moment on nothing passes any more; then the broker is dead, and connections break.
 */
export class TappedNats {
  readonly nats: Nats;
  /** Sees every message that passes, before it does. */
  readonly watch: (link: Link, way: 'up' | 'down', frame: Frame) => void;
  readonly #servers = new Map<Link, Server>();
  readonly #sockets = new Map<Socket, Link>();
  readonly #away = new Set<Link>();
  #armed: (Moment & { readonly reached: () => void }) | undefined;
  #frozen = false;

  private constructor(nats: Nats, watch: TappedNats['watch']) {
    this.nats = nats;
    this.watch = watch;
  }

  static async start(directory: string, keys: Record<Link, string>, watch: TappedNats['watch']): Promise<TappedNats> {
    const tapped = new TappedNats(await Nats.start(directory, keys.sidecar, keys.collector), watch);
    for (const link of ['sidecar', 'collector'] as const) {
      const server = createServer((client) => tapped.#join(link, client));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      tapped.#servers.set(link, server);
    }
    return tapped;
  }

  url(link: Link): string {
    const address = this.#servers.get(link)?.address();
    return `nats://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  }

  /** Waits for the moment; the broker is dead when this resolves. */
  async killedAt(moment: Moment): Promise<void> {
    await new Promise<void>((reached) => (this.#armed = { ...moment, reached }));
    await this.kill();
  }

  async kill(): Promise<void> {
    this.#frozen = true;
    await this.nats.kill();
    this.#cut();
  }

  /** Nobody reaches the broker by this link until it starts again. */
  leave(link: Link): void {
    this.#away.add(link);
    this.#cut(link);
  }

  async up(): Promise<void> {
    this.#away.clear();
    this.#frozen = false;
    await this.nats.up();
  }

  #cut(link?: Link): void {
    for (const [socket, of] of this.#sockets) if (link === undefined || of === link) socket.destroy();
  }

  async stop(): Promise<void> {
    await this.kill();
    for (const server of this.#servers.values()) server.close();
  }

  #join(link: Link, client: Socket): void {
    if (this.#frozen || this.#away.has(link)) return void client.destroy();
    const broker = createConnection(this.nats.port, '127.0.0.1');
    const pair = [client, broker] as const;
    for (const socket of pair) {
      this.#sockets.set(socket, link);
      socket.setNoDelay();
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        for (const each of pair) each.destroy();
      });
    }
    const pass = (way: 'up' | 'down', to: Socket): ((chunk: Buffer) => void) => {
      const frames = new Frames();
      return (chunk) => {
        for (const frame of frames.take(chunk)) this.#pass(link, way, frame, to);
      };
    };
    client.on('data', pass('up', broker));
    broker.on('data', pass('down', client));
  }

  #pass(link: Link, way: 'up' | 'down', frame: Frame, to: Socket): void {
    if (this.#frozen || this.#away.has(link)) return;
    const armed = this.#armed;
    if (armed === undefined || armed.link !== link || armed.way !== way || !armed.is(frame)) {
      this.watch(link, way, frame);
      to.write(frame.bytes);
      return;
    }
    this.#armed = undefined;
    this.#frozen = true;
    if (!armed.passes) return armed.reached();
    this.watch(link, way, frame);
    to.write(frame.bytes, () => armed.reached());
  }
}
