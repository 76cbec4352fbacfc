import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import { kept } from '../../lent.ts';
import type { DialGuard } from '../../capture/guard.ts';
import { type CancelKey, encodeCancelRequest, type ProtocolMinor } from '../wire/index.ts';
import { UpstreamError } from './upstream-error.ts';
import { happens, openTransport, type UpstreamAddress } from './upstream-transport.ts';

/** The session that a key stands for: where its database is and the database's own key. */
export interface CancelTarget {
  readonly upstream: Omit<UpstreamAddress, 'guard'>;
  /** Undefined: the database gave none, so there is nothing to cancel with. */
  readonly key: CancelKey | undefined;
  /** Asked first; true: what was to be cancelled never reached the database, and is cancelled. */
  readonly here?: () => boolean;
}

/** sent: the database was told · busy: one for this session is on its way · unknown: no session has this key. */
export type CancelOutcome = 'sent' | 'busy' | 'unknown' | 'failed';

interface Entry {
  readonly secret: Buffer;
  readonly target: CancelTarget;
  busy: boolean;
}

/** What a server gives: 4 bytes in protocol 3.0, 32 since 3.2. */
const SECRET_BYTES: Readonly<Record<ProtocolMinor, number>> = { 0: 4, 2: 32 };
const MAX_PROCESS_ID = 2 ** 31;
const TIMEOUT_MS = 10_000;

/**
 * Keys that agents may cancel with. An agent never sees the database's own key: with it, it could cancel sessions of others from
 * anywhere. Process id and secret are both random, so a guess has 63 bits to find where protocol 3.0 has 32 for the secret.
 */
export class CancelRegistry {
  readonly #entries = new Map<number, Entry>();
  readonly #timeoutMs: number;

  constructor(options: { timeoutMs?: number } = {}) {
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  /** Sessions that can be cancelled. */
  get size(): number {
    return this.#entries.size;
  }

  /** A new key for a session, of the length that the agent's protocol has; `forget` its process id when the session ends. */
  register(target: CancelTarget, minor: ProtocolMinor = 0): CancelKey {
    let processId: number;
    do processId = randomInt(1, MAX_PROCESS_ID);
    while (this.#entries.has(processId));
    const secret = randomBytes(SECRET_BYTES[minor]);
    this.#entries.set(processId, { secret, target, busy: false });
    return { processId, secret: kept(secret) };
  }

  forget(processId: number): void {
    this.#entries.delete(processId);
  }

  /**
   * Passes an agent's CancelRequest on. Never rejects: the protocol has no answer to it. `unknown` is worth an alert: somebody
   * guesses keys.
   */
  async cancel(key: CancelKey, guard: DialGuard): Promise<CancelOutcome> {
    const entry = this.#find(key);
    if (entry === undefined) return 'unknown';
    const { upstream, key: real, here } = entry.target;
    if (here?.() === true) return 'sent';
    if (real === undefined) return 'failed';
    // One dial at a time per session: a stream of requests must not become a stream of connections to the database.
    if (entry.busy) return 'busy';
    entry.busy = true;
    try {
      await sendCancel({ ...upstream, guard }, real, { timeoutMs: this.#timeoutMs });
      return 'sent';
    } catch (error) {
      if (error instanceof UpstreamError) return 'failed';
      throw error;
    } finally {
      entry.busy = false;
    }
  }

  #find(key: CancelKey): Entry | undefined {
    const entry = this.#entries.get(key.processId);
    if (entry === undefined || key.secret.length !== entry.secret.length) return undefined;
    return timingSafeEqual(entry.secret, key.secret) ? entry : undefined;
  }
}

/**
 * Asks a database to cancel what the session of `key` runs, over TLS where the session uses it. Resolves when the database has
 * read the request and closed; whether something was cancelled nobody says.
 * @throws UpstreamError
 */
export async function sendCancel(
  address: UpstreamAddress,
  key: CancelKey,
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<void> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  const { socket } = await openTransport(address, signal);
  try {
    const close = happens(socket, 'close', signal);
    socket.resume();
    socket.write(encodeCancelRequest(key));
    await close;
  } catch (error) {
    if (error instanceof UpstreamError) throw error;
    throw new UpstreamError('UpstreamUnreachable', 'the database closed the connection', { cause: error });
  } finally {
    socket.destroy();
  }
}
