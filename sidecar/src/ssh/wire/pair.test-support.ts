import { generateKeyPairSync } from 'node:crypto';
import { type AlgorithmSet, UPSTREAM_LEGACY } from './algorithms.ts';
import { CIPHERS, type CipherName, MACS, type MacName, type Protection } from './ciphers.ts';
import type { SshError } from './error.ts';
import { type Signer, signerOf } from './keys.ts';
import { type ClientOptions, type Events, type RekeyLimits, type ServerOptions, Transport } from './transport.ts';

/** Every way to protect packets. */
export const PROTECTIONS: readonly Protection[] = (Object.keys(CIPHERS) as CipherName[]).flatMap((cipher): Protection[] =>
  CIPHERS[cipher].aead ? [{ cipher }] : (Object.keys(MACS) as MacName[]).map((mac) => ({ cipher, mac })),
);

export const nameOf = (protection?: Protection): string =>
  protection === undefined ? 'no keys' : [protection.cipher, protection.mac].filter(Boolean).join(' and ');

export const HOST_KEY: Signer = signerOf(generateKeyPairSync('ed25519').privateKey);

/** What both ends of a pair may be built otherwise with. */
export interface PairOptions {
  readonly algorithms?: AlgorithmSet;
  readonly rekey?: Partial<RekeyLimits>;
  readonly client?: Partial<ClientOptions>;
  readonly server?: Partial<ServerOptions>;
  /** Cuts what one end sent into what the other end receives. Absent: as it was sent. */
  readonly cut?: (bytes: Buffer) => Iterable<Buffer>;
}

/** One end, and all that it says. */
export class End implements Events {
  readonly sent: Buffer[] = [];
  readonly payloads: Buffer[] = [];
  /** Copies of all that went out. */
  readonly log: Buffer[] = [];
  ready = 0;
  resumed = 0;
  ended: { readonly error: SshError | undefined }[] = [];
  react: (payload: Buffer) => void = () => {};

  output(bytes: Buffer): void {
    const copy = Buffer.from(bytes);
    this.sent.push(copy);
    this.log.push(copy);
  }

  onPayload(payload: Buffer): void {
    this.payloads.push(Buffer.from(payload));
    this.react(payload);
  }

  onReady(): void {
    this.ready++;
  }

  onResume(): void {
    this.resumed++;
  }

  onEnd(error: SshError | undefined): void {
    this.ended.push({ error });
  }
}

/** The events of `end`, as options have them. */
const eventsOf = (end: End): Events => ({
  output: (bytes) => end.output(bytes),
  onPayload: (payload) => end.onPayload(payload),
  onReady: () => end.onReady(),
  onResume: () => end.onResume(),
  onEnd: (error) => end.onEnd(error),
});

export function serverOptions(end: End, { algorithms = UPSTREAM_LEGACY, rekey, server }: PairOptions = {}): ServerOptions {
  const base: ServerOptions = { role: 'server', ...eventsOf(end), algorithms, hostKeys: [HOST_KEY] };
  return { ...base, ...(rekey && { rekey }), ...server };
}

export function clientOptions(end: End, { algorithms = UPSTREAM_LEGACY, rekey, client }: PairOptions = {}): ClientOptions {
  const hostKey = { kind: 'pinned', keys: [HOST_KEY.blob] } as const;
  const base: ClientOptions = { role: 'client', ...eventsOf(end), algorithms, hostKey };
  return { ...base, ...(rekey && { rekey }), ...client };
}

/** A client and a server, joined in memory: nothing moves but by `pump`. */
export class Pair {
  readonly atClient = new End();
  readonly atServer = new End();
  readonly client: Transport;
  readonly server: Transport;
  readonly #cut: (bytes: Buffer) => Iterable<Buffer>;

  constructor(options: PairOptions = {}) {
    this.client = new Transport(clientOptions(this.atClient, options));
    this.server = new Transport(serverOptions(this.atServer, options));
    this.#cut = options.cut ?? ((bytes) => [bytes]);
  }

  /** Carries what both have sent until neither says more. */
  pump(): void {
    while (this.atClient.sent.length + this.atServer.sent.length > 0) {
      this.carry(this.atClient, this.server);
      this.carry(this.atServer, this.client);
    }
  }

  /** Carries what `from` has sent until now. */
  carry(from: End, to: Transport): void {
    const bytes = Buffer.concat(from.sent.splice(0));
    for (const chunk of this.#cut(bytes)) to.receive(chunk);
  }

  /** To where a user is accepted, without any proof: both sides take it from what the messages are. */
  authenticate(): void {
    this.pump();
    this.server.send(Buffer.of(52));
    this.pump();
  }
}

/** Pieces of `size` bytes. */
export function* pieces(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
