import type { SinkStatus } from '@chaperone/evidence';
import type { Registry } from 'prom-client';
import type { Logger } from '../ingest.ts';
import type { TransparencyLog } from '../log/transparency-log.ts';
import type { ObjectStore } from '../objects/index.ts';
import { Delivery, type DeliveryOptions } from './delivery.ts';
import { openBucket } from './kinds/bucket.ts';
import { openNats } from './kinds/nats.ts';
import { openOtlp } from './kinds/otlp.ts';
import { openSplunk } from './kinds/splunk.ts';
import { openSyslog } from './kinds/syslog.ts';
import { openWebhook } from './kinds/webhook.ts';
import { createSinkMetrics } from './metrics.ts';
import { kindOfSink, type SinkSettings } from './settings.ts';
import type { Sink } from './sink.ts';
import type { EventSource } from './source.ts';
import { knownSinks, StateStore } from './state.ts';

export interface SinksOptions {
  readonly settings: readonly SinkSettings[];
  readonly source: EventSource;
  readonly store: ObjectStore;
  readonly origin: string;
  readonly log: () => Promise<TransparencyLog>;
  readonly checkpoint: DeliveryOptions['checkpoint'];
  readonly registry: Registry;
  readonly logger: Logger;
  readonly now: () => number;
  readonly random?: () => number;
  /** Opens a sink. Default: the kind that its settings name. */
  readonly open?: (settings: SinkSettings, origin: string, now: () => number) => Sink;
  /** Times, for tests. */
  readonly times?: Pick<DeliveryOptions, 'lingerMs' | 'retryMs'>;
}

/** The sink that settings name; nothing is dialled before there is something to deliver. */
export function openSink({ syslog, splunk, otlp, webhook, nats, s3 }: SinkSettings, origin: string, now: () => number): Sink {
  if (syslog !== undefined) return openSyslog({ ...syslog.address, ...syslog });
  if (splunk !== undefined) return openSplunk(splunk);
  if (otlp !== undefined) return openOtlp(otlp, origin, now);
  if (webhook !== undefined) return openWebhook(webhook, now);
  if (nats !== undefined) return openNats(nats);
  if (s3 !== undefined) return openBucket(s3, now);
  throw new TypeError('a sink without a kind was let in');
}

interface Running {
  readonly settings: SinkSettings;
  readonly delivery: Delivery;
}

/** All sinks of a collector, each with a cursor of its own, so that none waits for another. */
export class Sinks {
  readonly #o: SinksOptions;
  readonly #running: ReadonlyMap<string, Running>;
  readonly #reading = new Set<Promise<unknown>>();
  #pausing: Promise<unknown> = Promise.resolve();

  constructor(options: SinksOptions) {
    this.#o = options;
    const { settings, source, store, origin, log, checkpoint, registry, logger, now, times } = options;
    // Where store or log cannot be read, other metrics say so, and these stay what they were.
    const metrics = createSinkMetrics(registry, () => this.#gauges().catch(() => []));
    const deliveries = settings.map((sink): [string, Running] => {
      const { name, content, maxText, start } = sink;
      const delivery = new Delivery({
        name,
        sink: (options.open ?? openSink)(sink, origin, now),
        source,
        state: new StateStore(store, name, now),
        map: { origin, content, maxText },
        start,
        log,
        checkpoint,
        reading: (work) => this.#read(work),
        onOutcome: metrics.outcome(name),
        logger,
        now,
        random: options.random ?? Math.random,
        ...times,
      });
      return [name, { settings: sink, delivery }];
    });
    this.#running = new Map(deliveries);
  }

  start(): void {
    for (const { delivery } of this.#running.values()) delivery.start();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ delivery }) => delivery.stop()));
  }

  /** Does something to the index while no sink reads it. */
  paused<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#pausing.then(async () => {
      await Promise.allSettled(this.#reading);
      return work();
    });
    this.#pausing = done.catch(() => undefined);
    return done;
  }

  async #read<T>(work: () => Promise<T>): Promise<T> {
    for (let pausing; pausing !== this.#pausing; await pausing) pausing = this.#pausing;
    const reading = work();
    this.#reading.add(reading);
    try {
      return await reading;
    } finally {
      this.#reading.delete(reading);
    }
  }

  /** Those that are configured, then those that once were. */
  async list(): Promise<SinkStatus[]> {
    const found = [...this.#running.values()].map((each) => this.#status(each));
    const { store, now } = this.#o;
    const { size } = (await this.#o.log()).head;
    for (const name of await knownSinks(store)) {
      if (this.#running.has(name)) continue;
      const state = await new StateStore(store, name, now).load();
      if (state === undefined) continue;
      const { leaf, delivered, dead } = state;
      const status = { name, state: 'off', cursor: leaf, size, lagSeconds: 0, delivered, deadLetters: dead } as const;
      found.push(Promise.resolve(status));
    }
    return Promise.all(found);
  }

  /** Sends a sink's dead letters again; undefined where no sink has this name. Rejects with SinkError. */
  resend(name: string): Promise<number> | undefined {
    return this.#running.get(name)?.delivery.resend();
  }

  async #status({ settings, delivery }: Running): Promise<SinkStatus> {
    const { cursor, delivered, deadLetters, error } = delivery.status();
    const { size } = (await this.#o.log()).head;
    const state = error !== undefined ? 'failing' : cursor < size ? 'delivering' : 'waiting';
    return {
      name: settings.name,
      kind: kindOfSink(settings),
      content: settings.content,
      state,
      cursor,
      size,
      lagSeconds: await this.#lag(cursor, size),
      delivered,
      deadLetters: [...deadLetters],
      ...(error === undefined ? {} : { error }),
    };
  }

  async #lag(cursor: number, size: number): Promise<number> {
    if (cursor >= size) return 0;
    const { source, log, now } = this.#o;
    const at = await this.#read(async () => source.arrivedAt(await log(), cursor));
    return at === undefined ? 0 : Math.max(0, (now() - at) / 1_000);
  }

  async #gauges(): Promise<{ name: string; lagEntries: number; lagSeconds: number; deadLetters: number }[]> {
    const found = await Promise.all([...this.#running.values()].map((each) => this.#status(each)));
    return found.map(({ name, cursor, size, lagSeconds, deadLetters }) => ({
      name,
      lagEntries: Math.max(0, size - cursor),
      lagSeconds,
      deadLetters: deadLetters.length,
    }));
  }
}
