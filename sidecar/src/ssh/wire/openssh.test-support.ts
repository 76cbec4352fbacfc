import { existsSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { boolean, byte, Reader, string, uint32 } from './data.ts';
import type { SshError } from './error.ts';
import type { Signer } from './keys.ts';
import type { Events, Transport } from './transport.ts';

const PATHS = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin'];
const programs = (name: string): string | undefined => PATHS.map((path) => `${path}/${name}`).find((path) => existsSync(path));
export const SSH = programs('ssh');
export const SSHD = programs('sshd');

/** Bytes in one CHANNEL_DATA. */
const PIECE = 32_000;
const WINDOW = 0x7fff_ffff;

/** What one connection came to. */
export interface Outcome {
  readonly transport: Transport;
  readonly rekeys: number;
  readonly received: Buffer;
  readonly error: SshError | undefined;
}

/** The one channel of a connection: what it sends goes out as the other side's window and exchanges of keys allow. */
class Channel {
  readonly received: Buffer[] = [];
  readonly #transport: Transport;
  #window = 0;
  #waiting: Buffer[] = [];
  #atEnd: Buffer[][] = [];

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += PIECE) this.#waiting.push(bytes.subarray(at, at + PIECE));
    this.flush();
  }

  /** Sends `messages` behind all that is written. */
  end(...messages: Buffer[][]): void {
    this.#atEnd = messages;
    this.flush();
  }

  adjust(bytes: number): void {
    this.#window += bytes;
    this.flush();
  }

  flush(): void {
    while (this.#waiting.length > 0) {
      const [piece] = this.#waiting as [Buffer];
      if (this.#transport.busy || this.#window < piece.length) return;
      this.#window -= piece.length;
      this.#waiting.shift();
      this.#transport.send(byte(94), uint32(0), uint32(piece.length), piece);
    }
    for (const message of this.#atEnd.splice(0)) this.#transport.send(...message);
  }
}

/** One side of a connection, in few words. */
export interface Talk {
  readonly onReady?: (transport: Transport) => void;
  /** @param type of the message. @param fields what is behind it */
  readonly onMessage: (type: number, fields: Reader, transport: Transport, channel: Channel) => void;
}

/** A server that lets everybody in, and whose every command is `cat`. */
export const ECHO: Talk = {
  onMessage(type, fields, transport, channel) {
    switch (type) {
      case 5:
        return transport.send(byte(6), string(fields.string()));
      case 50:
        return transport.send(byte(52));
      case 90:
        fields.string();
        fields.uint32();
        channel.adjust(fields.uint32());
        return transport.send(byte(91), uint32(0), uint32(0), uint32(WINDOW), uint32(PIECE));
      case 93:
        fields.uint32();
        return channel.adjust(fields.uint32());
      case 94:
        fields.uint32();
        return channel.write(Buffer.from(fields.string()));
      case 96:
        return channel.end(
          [byte(98), uint32(0), string('exit-status'), boolean(false), uint32(0)],
          [byte(96), uint32(0)],
          [byte(97), uint32(0)],
        );
      case 98:
        fields.uint32();
        fields.string();
        return fields.boolean() ? transport.send(byte(99), uint32(0)) : undefined;
    }
  },
};

/** A client that logs in as `user` by `key`, sends `bytes` to `cat`, and keeps what comes back. */
export const cat = (user: string, key: Signer, bytes: Buffer): Talk => ({
  onReady: (transport) => transport.send(byte(5), string('ssh-userauth')),
  onMessage(type, fields, transport, channel) {
    switch (type) {
      case 6: {
        const algorithm = key.algorithms[0] as string;
        const names = [user, 'ssh-connection', 'publickey'].map(string);
        const request = Buffer.concat([byte(50), ...names, boolean(true), string(algorithm), string(key.blob)]);
        const signed = Buffer.concat([string(transport.sessionId as Buffer), request]);
        return transport.send(request, string(key.sign(algorithm, signed)));
      }
      case 52:
        return transport.send(byte(90), string('session'), uint32(0), uint32(WINDOW), uint32(PIECE));
      case 91:
        fields.bytes(8);
        channel.adjust(fields.uint32());
        transport.send(byte(98), uint32(0), string('exec'), boolean(false), string('cat'));
        channel.write(bytes);
        return channel.end([byte(96), uint32(0)]);
      case 93:
        fields.uint32();
        return channel.adjust(fields.uint32());
      case 94:
        fields.uint32();
        return void channel.received.push(Buffer.from(fields.string()));
      case 97:
        transport.send(byte(97), uint32(0));
        return transport.disconnect(11, 'done');
    }
  },
});

/** Joins a transport with two streams, until either side ends. */
export function run(
  { input, output }: { input: Readable; output: Writable },
  make: (events: Events) => Transport,
  talk: Talk,
): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  let rekeys = 0;
  const finish = (error?: SshError): void => {
    output.end();
    resolve({ transport, rekeys, error, received: Buffer.concat(channel.received) });
  };
  const transport: Transport = make({
    output: (bytes) => void output.write(Buffer.from(bytes)),
    onReady: () => talk.onReady?.(transport),
    onResume: () => {
      rekeys++;
      channel.flush();
    },
    onPayload: (payload) => talk.onMessage(payload[0] as number, new Reader(payload, 1), transport, channel),
    onEnd: finish,
  });
  const channel = new Channel(transport);
  input.on('data', (chunk: Buffer) => transport.receive(chunk));
  input.on('end', () => finish());
  for (const stream of [input, output]) stream.on('error', () => finish());
  return promise;
}
