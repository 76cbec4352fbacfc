import { PassThrough } from 'node:stream';
import { Reader, string, uint32, uint64 } from '../wire/data.ts';
import { PacketStream, packet, TYPE } from '../wire/sftp.ts';
import { type Bridged, bridge, type BridgeOptions } from './files.test-support.ts';

export interface Reply {
  readonly type: number;
  /** Of STATUS; else undefined. */
  readonly code: number | undefined;
  /** Of STATUS, NAME (the first one), HANDLE and DATA. */
  readonly text: string;
  readonly rest: Buffer;
}

export const NO_ATTRIBUTES = uint32(0);

/** A client that says whatever it is told, through the machine to a real server. */
export class RawClient {
  readonly bridged: Bridged;
  readonly input = new PassThrough();
  readonly output = new PassThrough();
  /** In the order in which they came, by id. */
  readonly order: number[] = [];
  #id = 0;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  readonly #packets = new PacketStream();

  constructor(options: BridgeOptions) {
    this.bridged = bridge(this.input, this.output, options);
    this.output.on('data', (chunk: Buffer) => {
      this.#packets.push(chunk);
      for (let next = this.#packets.next(); next; next = this.#packets.next()) this.#receive(next);
    });
    this.input.write(packet(TYPE.init, uint32(3)));
  }

  request(type: number, ...fields: readonly Buffer[]): Promise<Reply> {
    const id = this.#id++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.input.write(packet(type, uint32(id), ...fields));
    });
  }

  extended(name: string, ...fields: readonly Buffer[]): Promise<Reply> {
    return this.request(TYPE.extended, string(name), ...fields);
  }

  open(path: string, flags: number): Promise<Reply> {
    return this.request(TYPE.open, string(path), uint32(flags), NO_ATTRIBUTES);
  }

  /** What a file holds, or the code of the failure. */
  async get(path: string): Promise<string | number> {
    const opened = await this.open(path, 1);
    if (opened.code !== undefined) return opened.code;
    const read = await this.request(TYPE.read, string(opened.text), uint64(0n), uint32(32_768));
    await this.request(TYPE.close, string(opened.text));
    return read.text;
  }

  async end(): Promise<unknown> {
    this.input.end();
    return this.bridged.ended;
  }

  #receive(bytes: Buffer): void {
    const type = bytes[0] ?? 0;
    if (type === TYPE.version) return;
    const reader = new Reader(bytes, 1);
    const id = reader.uint32();
    const rest = Buffer.from(bytes.subarray(5));
    this.order.push(id);
    const code = type === TYPE.status ? reader.uint32() : undefined;
    if (type === TYPE.name) reader.uint32();
    const hasText = type !== TYPE.attrs && type !== TYPE.extendedReply;
    this.#waiting.get(id)?.({ type, code, text: hasText ? reader.string().toString('latin1') : '', rest });
    this.#waiting.delete(id);
  }
}
