import { setTimeout as sleep } from 'node:timers/promises';
import { jetstream, type JetStreamClient } from '@nats-io/jetstream';
import {
  type Authenticator,
  connect,
  headers,
  type MsgHdrs,
  type NatsConnection,
  type TlsOptions,
} from '@nats-io/transport-node';
import type { Logger } from './outbox.ts';
import type { Delivery, Sent } from './recorder.ts';

/** How long one PubAck may take before the segment counts as not delivered. */
const PUBLISH_TIMEOUT_MS = 10_000;
const RECONNECT_WAIT_MS = 500;
const RECONNECT_JITTER_MS = 1_000;

export interface NatsDeliveryOptions {
  readonly servers: readonly string[];
  /** The pod's public nkey: names the subjects that this sidecar may use. */
  readonly nkey: string;
  /** Asked at every connect, so that renewed credentials are used. */
  readonly authenticator?: Authenticator;
  readonly tls?: TlsOptions;
  readonly logger: Logger;
}

/**
 * Delivery over JetStream: `evidence.<nkey>.<session>` with Nats-Msg-Id `<session>:<number>`, receipts on `receipt.<nkey>`.
 * Connects in the background and for ever; until then deliveries reject. A segment that the broker knows already is followed
 * by an empty message that asks the collector for a receipt of the segment whose number Chaperone-Ask says.
 */
export function createNatsDelivery(options: NatsDeliveryOptions): Delivery {
  return new NatsDelivery(options);
}

interface Broker {
  readonly connection: NatsConnection;
  readonly client: JetStreamClient;
  /** Aborts what is under way when the connection breaks; undefined while there is none. */
  up: AbortController | undefined;
}

class NatsDelivery implements Delivery {
  readonly #options: NatsDeliveryOptions;
  readonly #listeners: ((receipt: Uint8Array) => void)[] = [];
  readonly #awaiting: (() => void)[] = [];
  readonly #closing = Promise.withResolvers<void>();
  readonly #running: Promise<void>;
  #broker: Broker | undefined;
  #closed = false;

  constructor(options: NatsDeliveryOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Keeps a connection until closed; the client itself reconnects, this covers its first connect and its giving up. */
  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        const connection = await this.#connect();
        this.#broker = { connection, client: jetstream(connection), up: new AbortController() };
        void this.#watch(this.#broker);
        this.#returned();
        await Promise.race([connection.closed(), this.#closing.promise]);
        if (!connection.isClosed()) await connection.close();
      } catch (error) {
        this.#options.logger.warn('the broker cannot be reached', { cause: error instanceof Error ? error.name : 'unknown' });
      }
      this.#broker = undefined;
      if (!this.#closed) await Promise.race([sleep(RECONNECT_WAIT_MS * (1 + Math.random())), this.#closing.promise]);
    }
  }

  /** An answer to what was sent over a broken connection never comes: deliveries fail at once, and again until it is back. */
  async #watch(broker: Broker): Promise<void> {
    for await (const { type } of broker.connection.status()) {
      if (type === 'disconnect') {
        broker.up?.abort();
        broker.up = undefined;
      } else if (type === 'reconnect') {
        broker.up = new AbortController();
        this.#returned();
      }
    }
    broker.up?.abort();
    broker.up = undefined;
  }

  #returned(): void {
    for (const listener of this.#awaiting) listener();
  }

  async #connect(): Promise<NatsConnection> {
    const { nkey, servers, authenticator, tls } = this.#options;
    const connection = await connect({
      servers: [...servers],
      name: 'chaperone-sidecar',
      inboxPrefix: `_INBOX.${nkey}`,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      reconnectJitter: RECONNECT_JITTER_MS,
      reconnectJitterTLS: RECONNECT_JITTER_MS,
      ignoreAuthErrorAbort: true,
      ...(authenticator === undefined ? {} : { authenticator }),
      ...(tls === undefined ? {} : { tls }),
    });
    connection.subscribe(`receipt.${nkey}`, {
      callback: (error, message) => {
        if (error !== null) this.#options.logger.warn('receipts cannot be heard', { cause: error.name });
        else for (const listener of this.#listeners) listener(message.data);
      },
    });
    return connection;
  }

  async deliver(segment: Buffer, { session, number, held }: Sent): Promise<void> {
    const up = this.#broker?.up?.signal;
    if (this.#broker === undefined || up === undefined) throw new Error('the broker is not connected');
    const { client } = this.#broker;
    const subject = `evidence.${this.#options.nkey}.${session}`;
    const timeout = PUBLISH_TIMEOUT_MS;
    const options = { msgID: `${session}:${number}`, timeout, headers: saying(held) };
    const ack = await unlessAborted(client.publish(subject, segment, options), up);
    if (!ack.duplicate) return;
    const ask = saying(held);
    ask.set('Chaperone-Ask', String(number));
    await unlessAborted(client.publish(subject, new Uint8Array(), { timeout, headers: ask }), up);
  }

  onReceipt(listener: (receipt: Uint8Array) => void): void {
    this.#listeners.push(listener);
  }

  onReturn(listener: () => void): void {
    this.#awaiting.push(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#closing.resolve();
    await this.#running;
  }
}

/** Chaperone-Held: how large the log is that the receipt has to go on from. */
function saying(held: number): MsgHdrs {
  const said = headers();
  said.set('Chaperone-Held', String(held));
  return said;
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(new Error('the connection to the broker broke'));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
