import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What is done to one connection when the proxy sends the trigger. */
export interface Meddling {
  /** Said to the proxy at once. */
  readonly inject?: Buffer;
  /** Nothing of the server passes from here on. */
  readonly silence?: boolean;
  /** The connection is cut after `inject`. */
  readonly cut?: boolean;
  /** Told what the proxy says, from the trigger on. */
  readonly heard?: (chunk: Buffer) => void;
  /** Bytes of the server's answers are changed. */
  readonly change?: (chunk: Buffer) => Buffer;
}

/** Text in a statement that makes the meddler act. */
export const TRIGGER = 'meddle';

/** Stands between the proxy and its server, and acts as a server that was taken over would, from the trigger on. */
export class Meddler implements AsyncDisposable {
  meddling: Meddling = {};
  /** Connections that ask for trees: those of agents' sessions. */
  sessions = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: number) {
    this.#server = createServer((from) => this.#join(from, connect({ port: target, host: '127.0.0.1' })));
  }

  static async before(target: number): Promise<Meddler> {
    const meddler = new Meddler(target);
    await new Promise<void>((resolve) => meddler.#server.listen(0, '127.0.0.1', resolve));
    return meddler;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #join(from: Socket, to: Socket): void {
    let acting: Meddling | undefined;
    let session = false;
    for (const socket of [from, to]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        from.destroy();
        to.destroy();
        this.#sockets.delete(socket);
        if (socket === from && session) this.sessions--;
      });
    }
    from.on('data', (chunk: Buffer) => {
      if (!session && chunk.includes('debug_print_rewritten')) {
        session = true;
        this.sessions++;
      }
      if (acting === undefined && chunk.includes(TRIGGER)) {
        acting = this.meddling;
        if (acting.inject !== undefined) from.write(acting.inject);
        if (acting.cut === true) from.end();
      }
      acting?.heard?.(chunk);
      to.write(chunk);
    });
    to.on('data', (chunk: Buffer) => {
      if (acting?.silence !== true) from.write(acting?.change?.(chunk) ?? chunk);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** Any message, well-formed or not. */
export function raw(type: string, ...parts: readonly (Buffer | string | number)[]): Buffer {
  const content = Buffer.concat(
    parts.map((part) => {
      if (typeof part !== 'number') return Buffer.from(part);
      const word = Buffer.alloc(2);
      word.writeInt16BE(part);
      return word;
    }),
  );
  const bytes = Buffer.alloc(5 + content.length);
  bytes.write(type);
  bytes.writeInt32BE(4 + content.length, 1);
  content.copy(bytes, 5);
  return bytes;
}

/** A DataRow of text values. */
export function row(...values: readonly string[]): Buffer {
  return raw('D', values.length, ...values.flatMap((value) => [0, value.length, value]));
}
