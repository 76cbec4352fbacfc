import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  formatPolicy,
  type KeyHolder,
  NO_WITNESSES,
  noteSigner,
  parsePolicy,
  type Signer,
  RememberingTrust,
  type Trust,
  type VerifierKey,
  x25519Holder,
} from '@chaperone/evidence';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Access } from './access.ts';
import { createApi } from './api.ts';
import { createDoor } from './console/door.ts';
import type { SignIn } from './console/sign-in.ts';
import type { StaticFiles } from './console/static-files.ts';
import type { IndexEngine } from './evidence-index/engine.ts';
import { type CounterSource, NO_COUNTERS } from './counters/source.ts';
import { EvidenceIndex } from './evidence-index/evidence-index.ts';
import { Exporter } from './export.ts';
import { Ingest, type IngestOutcome, type Logger, type Sender } from './ingest.ts';
import { DirectoryStore, Objects, type ObjectStore } from './objects/index.ts';
import { openFile } from './evidence-index/open-file.ts';
import { openSeed } from './keys/seed.ts';
import { SessionKeys } from './keys/session-keys.ts';
import { openLogKey } from './log/key.ts';
import { type Ask, Receipts } from './log/receipts.ts';
import { createWitnessMetrics } from './log/metrics.ts';
import { Witnesses } from './log/witnesses.ts';
import { logStored, Sequencer } from './log/sequencer.ts';
import { TransparencyLog } from './log/transparency-log.ts';
import { Orders } from './orders/orders.ts';
import { type RetentionClasses, startRetention } from './orders/retention.ts';
import type { PolicySource } from './policies/source.ts';
import { Readings } from './readings/readings.ts';
import { type ReindexResult, reindex } from './reindex.ts';
import type { RequestSource } from './requests/source.ts';
import { Sessions } from './sessions.ts';
import type { SinkSettings } from './sinks/settings.ts';
import { Sinks, type SinksOptions } from './sinks/sinks.ts';
import { EventSource } from './sinks/source.ts';

export interface CollectorOptions {
  /** Holds objects/ and index.sqlite. One process at a time: a second one fails to open the index. */
  readonly directory: string;
  /** Where objects are kept, closed with the collector. Default: objects/ in the directory. */
  readonly store?: ObjectStore;
  /** Signs checkpoints of the log, which has the origin's name. Default: a key in the directory, made at the first start. */
  readonly logKey?: Signer;
  /** A checkpoint of the log that somebody kept, a signed note: a log that does not go on from it is not opened. */
  readonly since?: Buffer | undefined;
  /** Who cosigns checkpoints: the lines of a C2SP tlog-policy behind the log's own. Default: nobody. */
  readonly witnesses?: { readonly lines: string; readonly intervalMs: number };
  /** Who unwraps the sessions' data keys, the first being whom new ones are wrapped to. Default: a key in the directory, made at the first start. */
  readonly readers?: readonly KeyHolder[];
  /** Where the index is, closed with the collector. Default: index.sqlite in the directory. */
  readonly index?: IndexEngine;
  readonly trust: Trust;
  readonly access: Access;
  readonly logger: Logger;
  /** The page for people, and how they sign in; without it the API is all there is. */
  readonly console?: {
    readonly files: StaticFiles;
    readonly signIn: SignIn;
    readonly now: () => number;
    /** What a command line needs beside a verb to reach this collector, told to whoever is signed in. */
    readonly place?: string;
  };
  /** How long sessions of a class are kept before they are erased. Default: for ever, but for classes whose name is a time. */
  readonly retention?: RetentionClasses;
  readonly now?: () => number;
  /** What else is not ready, as a sentence. */
  readonly notReady?: () => string | undefined;
  /** Requests for approval, where there are any. */
  readonly requests?: RequestSource;
  /** What pods counted, where this collector cannot write. */
  readonly counters?: CounterSource;
  /** Policies and resources, where they are known here. */
  readonly policies?: PolicySource;
  /** Where events go. Default: nowhere. */
  readonly sinks?: readonly SinkSettings[];
  /** Readings of one exported period. Default: as many as a file may name. */
  readonly maxReadings?: number;
  /** How sinks are opened and timed, for tests. */
  readonly sinkOptions?: Pick<SinksOptions, 'open' | 'times' | 'random'>;
}

export interface Collector {
  /** To whom the data keys of sessions are to be wrapped, so that this collector takes them. */
  readonly recipients: readonly string[];
  /** See {@link Ingest}. What it resolves with as stored survives a power loss. */
  ingest(parcel: Buffer, sender?: Sender): Promise<IngestOutcome>;
  /** Asks for a receipt of a segment, which {@link Collector.onReceipt} hears when the log proves that it has it. */
  ask(ask: Ask): void;
  /** Hears every receipt and whose it is; returns what ends that. */
  onReceipt(listener: (nkey: string, receipt: Buffer) => void): () => void;
  /** Resolves when every receipt that can be given was. */
  receipted(): Promise<void>;
  /** The key that signs the log's checkpoints. */
  readonly logKey: VerifierKey;
  /** Erases what was kept for long enough, as it does by itself every hour; resolves with how many sessions that were. */
  expire(): Promise<number>;
  reindex(): Promise<ReindexResult>;
  /** Every row of the index in a fixed order, to compare two indexes. */
  dump(): Promise<unknown>;
  /** The HTTP API, and the console where there is one: a function from Request to Response, for any server. */
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly registry: Registry;
  close(): Promise<void>;
}

/**
 * Opens the store in `directory` (made where it is missing; the index built anew where it is damaged or of another version), and its log.
 * @throws IndexError, LogError, StoreError, EvidenceError MalformedPolicy
 */
export async function createCollector(options: CollectorOptions): Promise<Collector> {
  const { directory, logger } = options;
  const trust = new RememberingTrust(options.trust);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const store = options.store ?? new DirectoryStore(join(directory, 'objects'));
  const objects = new Objects(store);
  const logKey = options.logKey ?? (await openLogKey(directory));
  const signer = noteSigner(trust.origin, logKey);
  const readers = options.readers ?? [x25519Holder(await openSeed(join(directory, 'reader.key')))];
  const keys = new SessionKeys(store, readers);
  const index = new EvidenceIndex(options.index ?? openFile(join(directory, 'index.sqlite'), logger));
  const openLog = (): Promise<TransparencyLog> => TransparencyLog.open({ store, signer, now: Date.now, since: options.since });
  const sequencer = new Sequencer({ index, logger, open: openLog });
  const { lines, intervalMs } = options.witnesses ?? { lines: NO_WITNESSES, intervalMs: 60_000 };
  const witnesses = await Witnesses.open({
    policy: parsePolicy(Buffer.from(formatPolicy(signer.key, lines))),
    intervalMs,
    store,
    open: () => sequencer.log(),
    onPublished: () => receipts.published(),
    now: Date.now,
    monotonic: () => performance.now(),
    logger,
  });
  const receipts: Receipts = new Receipts({
    index,
    logger,
    open: async () => {
      const log = await sequencer.log();
      return { log, published: witnesses.published(log) };
    },
  });
  const ingest = new Ingest({ objects, keys, index, trust, logger, sequencer });
  const now = options.now ?? Date.now;
  const orders = new Orders({ store, index, keys, sequencer, ingest, signer: logKey, now, logger });
  const readings = new Readings({ store, index, sequencer, signer: logKey, now, logger });
  const settle = (): Promise<void> => orders.settle();
  const rebuild = (): Promise<ReindexResult> =>
    sequencer.paused(() => reindex({ objects, keys, index, trust, logger, log: openLog, settle }, ingest));
  try {
    if (index.empty) await rebuild();
    await sequencer.log();
    await logStored({ index, objects, trust, sequencer, logger });
    await orders.settle();
  } catch (error) {
    await index.close();
    store.close();
    throw error;
  }

  const retention = startRetention({ index, orders, classes: options.retention ?? {}, now, logger });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  createWitnessMetrics(registry, witnesses);
  const segments = new Counter({
    name: 'chaperone_collector_segments_total',
    help: 'Segments taken in, by result: stored, duplicate, or the code of the refusal.',
    labelNames: ['result'],
    registers: [registry],
  });
  const ready = new Gauge({
    name: 'chaperone_collector_ready',
    help: '1 while the collector takes evidence in.',
    registers: [registry],
    collect() {
      this.set(options.notReady?.() === undefined ? 1 : 0);
    },
  });
  const sinks = new Sinks({
    settings: options.sinks ?? [],
    source: new EventSource({ index, objects, keys, orders, readings, trust }),
    store,
    origin: signer.key.name,
    log: () => sequencer.log(),
    checkpoint: (log) => newestOf(log, witnesses),
    registry,
    logger,
    now,
    ...options.sinkOptions,
  });
  sinks.start();
  const shown = {
    log: () => sequencer.log(),
    published: (log: TransparencyLog) => witnesses.published(log),
  };
  const api = createApi({
    sessions: new Sessions({ index, objects, keys, orders, readings }),
    exporter: new Exporter({
      index,
      objects,
      keys,
      orders,
      readings,
      ...shown,
      trust,
      counters: options.counters ?? NO_COUNTERS,
      maxReadings: options.maxReadings,
      now,
    }),
    orders,
    readings,
    sinks,
    log: { ...shown, key: signer.key },
    access: options.access,
    origin: trust.origin,
    logger,
    notReady: () => options.notReady?.(),
    metrics: () => registry.metrics(),
    requests: options.requests,
    policies: options.policies,
    now: options.console?.now ?? Date.now,
  });
  const fetch =
    options.console === undefined
      ? (request: Request) => api.fetch(request)
      : createDoor({
          ...options.console,
          api: (request, signedIn) => api.fetch(request, signedIn === undefined ? {} : { signedIn }),
          access: options.access,
          requests: options.requests !== undefined,
          policies: options.policies !== undefined,
          origin: trust.origin,
        });
  return {
    recipients: readers.slice(0, 1).map(({ name }) => name),
    async ingest(parcel, sender) {
      const outcome = await ingest.ingest(parcel, sender);
      segments.inc({ result: outcome.kind === 'refused' ? outcome.code : outcome.kind });
      return outcome;
    },
    ask: (ask) => receipts.ask(ask),
    onReceipt: (listener) => receipts.onReceipt(listener),
    receipted: () => receipts.idle(),
    logKey: signer.key,
    expire: () => retention.sweep(),
    reindex: () => ingest.alone(() => sinks.paused(rebuild)),
    dump: () => index.dump(),
    fetch,
    registry,
    async close() {
      ready.reset();
      await retention.stop();
      await sinks.stop();
      await witnesses.stop();
      await receipts.idle();
      await ingest.alone(() => index.close());
      store.close();
    },
  };
}

/** The log's checkpoint of now, with cosignatures where those of now are there: a receiver is a witness of sorts, and need not wait for others. */
function newestOf(log: TransparencyLog, witnesses: Witnesses): Buffer {
  const published = witnesses.published(log);
  return published?.head.size === log.head.size ? published.note : log.checkpoint;
}
