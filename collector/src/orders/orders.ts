import { randomBytes } from 'node:crypto';
import {
  EvidenceError,
  type GivenOrder,
  type Order,
  openOrder,
  type OrderKind,
  sealOrder,
  type Signer,
} from '@chaperone/evidence';
import type { EvidenceIndex } from '../evidence-index/evidence-index.ts';
import type { OrderRow } from '../evidence-index/leaves.ts';
import type { Ingest, Logger } from '../ingest.ts';
import type { SessionKeys } from '../keys/session-keys.ts';
import type { Sequencer } from '../log/sequencer.ts';
import type { ObjectStore } from '../objects/index.ts';

/** An order that contradicts what stands. */
export class OrderError extends Error {
  override readonly name = 'OrderError';
  readonly code = 'OrderRefused';
}

export interface OrdersOptions {
  readonly store: ObjectStore;
  readonly index: EvidenceIndex;
  readonly keys: SessionKeys;
  readonly sequencer: Sequencer;
  readonly ingest: Pick<Ingest, 'alone'>;
  /** The log's. */
  readonly signer: Signer;
  readonly now: () => number;
  readonly logger: Logger;
}

/**
 * Erasures and holds. An order's text, with who gave it and why, is an object that can be destroyed; then its entry is in the log, which is
 * the moment at which it is in force; then what it demands is done, and done again at the next start where a crash came between.
 */
export class Orders {
  readonly #o: OrdersOptions;

  constructor(options: OrdersOptions) {
    this.#o = options;
  }

  /**
   * Resolves when the order is in the log and, of an erasure, nothing is left by which this collector could read the session. After a
   * rejection it may be in force all the same: look.
   * @throws OrderError, LogError, StoreError
   */
  give(kind: OrderKind, session: string, { by, reason }: Pick<Order, 'by' | 'reason'>): Promise<GivenOrder> {
    const { store, sequencer, signer, now, logger } = this.#o;
    return this.#o.ingest.alone(async () => {
      // So that all that is in the log is known here.
      await sequencer.log();
      await this.#check(kind, session);
      const at = now();
      const order: Order = { kind, session, by, reason, at, salt: randomBytes(16).toString('hex') };
      const { text, digest, leaf } = sealOrder(order, signer);
      await store.replace(nameOf(digest), text, at, undefined);
      const entry = await sequencer.addOrder(leaf);
      if (kind === 'erasure') await this.#erase(session);
      logger.info('an order was given', { kind, session, entry });
      return { kind, at, entry, by, reason };
    });
  }

  async #check(kind: OrderKind, session: string): Promise<void> {
    const { erased, held } = await this.#o.index.leaves.standing([session]);
    if (erased.has(session)) {
      if (kind === 'erasure') await this.#erase(session);
      throw new OrderError(`${session} was erased before`);
    }
    if (kind === 'release') {
      if (!held.has(session)) throw new OrderError(`${session} is not on hold`);
      return;
    }
    if (held.has(session))
      throw new OrderError(kind === 'hold' ? `${session} is on hold already` : `${session} is on hold and must not be erased`);
  }

  /** The key first: without it nothing else can be read again. */
  async #erase(session: string): Promise<void> {
    await this.#o.keys.destroy(session);
    await this.#o.index.erase(session);
  }

  /** Does what orders in the log demand and a crash left undone. */
  async settle(): Promise<void> {
    for (const session of await this.#o.index.unsettled()) {
      await this.#erase(session);
      this.#o.logger.info('a session was erased, as the log says', { session });
    }
  }

  /** What was ordered about a session, the first first; who and why where that was not destroyed. */
  async of(session: string): Promise<GivenOrder[]> {
    return Promise.all((await this.#o.index.leaves.orders({ session })).map((row) => this.#read(row)));
  }

  /** What was ordered about sessions of these namespaces, the newest first. */
  async newest(namespaces: readonly string[], limit: number): Promise<(GivenOrder & { readonly session: string })[]> {
    const rows = await this.#o.index.leaves.newestOrders(namespaces, limit);
    return Promise.all(rows.map(async (row) => ({ session: row.session, ...(await this.#read(row)) })));
  }

  /** The order by which a session was erased: its entry of the log, and its text where that was not destroyed. */
  async erasureOf(session: string): Promise<{ readonly entry: number; readonly text?: Buffer } | undefined> {
    const row = (await this.#o.index.leaves.orders({ session })).find(({ kind }) => kind === 'erasure');
    if (row === undefined) return undefined;
    const found = await this.#textOf(row);
    return { entry: row.leaf, ...(found === undefined ? {} : { text: found.text }) };
  }

  async #read(row: OrderRow): Promise<GivenOrder> {
    const { kind, at, leaf: entry } = row;
    const found = await this.#textOf(row);
    return { kind, at, entry, ...(found === undefined ? {} : { by: found.order.by, reason: found.order.reason }) };
  }

  /** Undefined where it was destroyed or is another one. */
  async #textOf({ kind, session, digest, leaf: entry }: OrderRow): Promise<{ text: Buffer; order: Order } | undefined> {
    const found = await this.#o.store.get(nameOf(digest));
    if (found === undefined) return undefined;
    try {
      const order = openOrder(found.bytes, digest);
      if (order.session === session && order.kind === kind) return { text: found.bytes, order };
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.#o.logger.error('the text of an order is not what the log says', { session, entry, code: error.code });
    }
    return undefined;
  }
}

/** Not created but replaced: what is created may be locked, and who it was may have to be forgotten too. */
function nameOf(digest: string): string {
  return `orders/${digest.slice(0, 2)}/${digest}`;
}
