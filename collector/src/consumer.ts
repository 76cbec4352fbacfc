import { SESSION_ID } from '@chaperone/evidence';
import {
  AckPolicy,
  type Consumer,
  type ConsumerMessages,
  DiscardPolicy,
  type JsMsg,
  JetStreamApiError,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream';
import { type NatsConnection, nanos } from '@nats-io/transport-node';
import type { Collector } from './collector.ts';
import type { Logger } from './ingest.ts';

const STREAM = 'EVIDENCE';
const DURABLE = 'collector';
/** Segments are at most 1 MiB: a batch is at most 16 MiB in flight. */
const BATCH = 16;
const FETCH_MS = 2_000;
const DUPLICATE_WINDOW_MS = 600_000;
const MAX_BACKOFF_MS = 5_000;

export interface StreamLimits {
  readonly replicas: number;
  readonly maxAgeMs: number;
  /** -1: as much as the broker's account may hold. */
  readonly maxBytes: number;
  /** A message that was not acknowledged by then is delivered again: how long a crash of ours delays what it held. */
  readonly ackWaitMs: number;
}

export interface ConsumerOptions {
  readonly connection: NatsConnection;
  readonly collector: Pick<Collector, 'ingest' | 'ask' | 'onReceipt' | 'receipted'>;
  readonly stream: StreamLimits;
  readonly logger: Logger;
}

export interface EvidenceConsumer {
  /** A sentence while evidence cannot be fetched. */
  notReady(): string | undefined;
  /** Ends after the message under way. */
  stop(): Promise<void>;
}

/**
 * Takes segments from the stream EVIDENCE into the collector: a message is acknowledged after its segment is stored and
 * never otherwise, except one that can never be stored. Receipts go to `receipt.<nkey>`. Never gives up.
 */
export function startConsumer(options: ConsumerOptions): EvidenceConsumer {
  const loop = new FetchLoop(options);
  const { connection, collector } = options;
  const silence = collector.onReceipt((nkey, receipt) => connection.publish(`receipt.${nkey}`, receipt));
  const running = loop.run();
  return {
    notReady: () => loop.problem,
    async stop() {
      loop.stop();
      await running;
      await collector.receipted();
      silence();
    },
  };
}

class FetchLoop {
  readonly #options: ConsumerOptions;
  #batch: ConsumerMessages | undefined;
  #wake: (() => void) | undefined;
  #stopped = false;
  problem: string | undefined = 'the evidence stream has not been reached yet';

  constructor(options: ConsumerOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#stopped = true;
    this.#batch?.stop();
    this.#wake?.();
  }

  async run(): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      try {
        const consumer = await this.#consumer();
        this.problem = undefined;
        while (!this.#stopped) {
          await this.#fetch(consumer);
          failures = 0;
        }
      } catch (error) {
        failures++;
        this.problem = 'evidence cannot be fetched from the broker';
        this.#options.logger.warn(this.problem, { failures, cause: error instanceof Error ? error.name : 'unknown' });
        await this.#pause(Math.min(MAX_BACKOFF_MS, 100 * 2 ** Math.min(failures, 10)));
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#stopped) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, ms).unref();
    });
  }

  /** Finds the stream and the durable consumer, and makes them where they are missing and we may. */
  async #consumer(): Promise<Consumer> {
    const { connection, stream } = this.#options;
    const manager = await jetstreamManager(connection);
    if (await isMissing(manager.streams.info(STREAM)))
      await manager.streams.add({
        name: STREAM,
        subjects: ['evidence.>'],
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        discard: DiscardPolicy.New,
        deny_delete: true,
        deny_purge: true,
        max_age: nanos(stream.maxAgeMs),
        max_bytes: stream.maxBytes,
        duplicate_window: nanos(Math.min(DUPLICATE_WINDOW_MS, stream.maxAgeMs)),
        num_replicas: stream.replicas,
      });
    if (await isMissing(manager.consumers.info(STREAM, DURABLE)))
      await manager.consumers.add(STREAM, {
        durable_name: DURABLE,
        ack_policy: AckPolicy.Explicit,
        ack_wait: nanos(stream.ackWaitMs),
        max_ack_pending: BATCH * 4,
        filter_subject: 'evidence.>',
      });
    return jetstream(connection).consumers.get(STREAM, DURABLE);
  }

  async #fetch(consumer: Consumer): Promise<void> {
    const batch = await consumer.fetch({ max_messages: BATCH, expires: FETCH_MS });
    this.#batch = batch;
    const failures: unknown[] = [];
    try {
      // Side by side, since they share what a commit of the log costs.
      const taken: Promise<void>[] = [];
      for await (const message of batch) {
        taken.push(this.#take(message).catch((error: unknown) => void failures.push(error)));
        if (message.info.pending === 0) await Promise.all(taken.splice(0));
      }
      await Promise.all(taken);
    } finally {
      this.#batch = undefined;
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Stores one message, and asks for its receipt. Rejects where our own store fails: the message then comes again. */
  async #take(message: JsMsg): Promise<void> {
    const [, nkey, session, ...more] = message.subject.split('.');
    if (nkey === undefined || session === undefined || more.length > 0 || !SESSION_ID.test(session)) {
      message.term('SubjectMalformed');
      return;
    }
    const { collector } = this.#options;
    const held = numberIn(message, 'Chaperone-Held') ?? 0;
    // An empty message asks for the receipt again.
    let number = numberIn(message, 'Chaperone-Ask');
    if (message.data.length > 0) {
      const outcome = await collector.ingest(Buffer.from(message.data), { nkey, session });
      if (outcome.kind === 'refused') {
        message.term(outcome.code);
        return;
      }
      number = outcome.number;
    }
    message.ack();
    if (number !== undefined) collector.ask({ nkey, session, number, held });
  }
}

/** A number that a sidecar said in a header; undefined where it said none. */
function numberIn({ headers }: JsMsg, name: string): number | undefined {
  const text = headers?.get(name) ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

async function isMissing(info: Promise<unknown>): Promise<boolean> {
  try {
    await info;
    return false;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.status === 404) return true;
    throw error;
  }
}
