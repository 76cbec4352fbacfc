import { Receipt } from '@chaperone/evidence';
import { jetstream, type JetStreamClient } from '@nats-io/jetstream';
import { type Authenticator, connect, headers, type NatsConnection, type TlsOptions } from '@nats-io/transport-node';
import type { Logger } from './outbox.ts';
import type { Delivery } from './recorder.ts';

/** How long one PubAck may take before the segment counts as not delivered. */
const PUBLISH_TIMEOUT_MS = 10_000;
const RECONNECT_WAIT_MS = 500;
const RECONNECT_JITTER_MS = 1_000;
/** A receipt is a few hundred bytes. */
const MAX_RECEIPT_BYTES = 4096;

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
 * by an empty message that asks the collector to say its receipt again.
 */
export function createNatsDelivery(options: NatsDeliveryOptions): Delivery {
  const { nkey, logger } = options;
  const listeners: ((receipt: Receipt) => void)[] = [];
  const connecting = connect({
    servers: [...options.servers],
    name: 'chaperone-sidecar',
    inboxPrefix: `_INBOX.${nkey}`,
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: RECONNECT_JITTER_MS,
    reconnectJitterTLS: RECONNECT_JITTER_MS,
    ignoreAuthErrorAbort: true,
    ...(options.authenticator === undefined ? {} : { authenticator: options.authenticator }),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
  });
  let broker: { connection: NatsConnection; client: JetStreamClient } | undefined;
  let closed = false;
  const ready = connecting.then(
    (connection) => {
      if (closed) void connection.close();
      connection.subscribe(`receipt.${nkey}`, {
        callback: (error, message) => {
          const receipt = error === null ? parseReceipt(message.data) : undefined;
          if (receipt === undefined) logger.warn('a receipt could not be read');
          else for (const listener of listeners) listener(receipt);
        },
      });
      broker = { connection, client: jetstream(connection) };
    },
    (error: unknown) => {
      if (!closed) logger.error('the broker cannot be reached', { cause: error instanceof Error ? error.name : 'unknown' });
    },
  );
  return {
    async deliver(segment, { session, number }) {
      if (broker === undefined || broker.connection.isClosed()) throw new Error('the broker is not connected');
      const subject = `evidence.${nkey}.${session}`;
      const ack = await broker.client.publish(subject, segment, {
        msgID: `${session}:${number}`,
        timeout: PUBLISH_TIMEOUT_MS,
      });
      if (ack.duplicate) {
        const ask = headers();
        ask.set('Chaperone-Ask', 'receipt');
        await broker.client.publish(subject, new Uint8Array(), { timeout: PUBLISH_TIMEOUT_MS, headers: ask });
      }
    },
    onReceipt: (listener) => void listeners.push(listener),
    async close() {
      closed = true;
      await broker?.connection.close();
      if (broker !== undefined) await ready;
    },
  };
}

function parseReceipt(data: Uint8Array): Receipt | undefined {
  if (data.length > MAX_RECEIPT_BYTES) return undefined;
  try {
    return Receipt.parse(JSON.parse(Buffer.from(data).toString()));
  } catch {
    return undefined;
  }
}
