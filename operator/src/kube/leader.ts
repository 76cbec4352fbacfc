export interface LeaderOptions {
  readonly kube: Kube;
  readonly namespace: string;
  readonly name: string;
  /** Unique per process, such as pod name and UID. */
  readonly identity: string;
  readonly leaseMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryMs?: number;
  /** Monotonic milliseconds. */
  readonly monotonic?: () => number;
  /** Wall clock, only written into the Lease for people. */
  readonly now?: () => number;
  readonly onError?: (error: unknown) => void;
  /** Called whenever another process is seen to renew the lease: it leads, and lives. */
  readonly onLeader?: () => void;
}

interface LeaseSpec {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  acquireTime?: string;
  renewTime?: string;
  leaseTransitions?: number;
}
interface Seen {
  readonly version: string;
  /** When this version was first seen here: clocks of other nodes are not believed. */
  readonly at: number;
}

const microTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');

/**
 * Takes part in the election on a Lease until `signal` aborts. `lead` runs while this process leads; its signal aborts when the
 * lease was not renewed for `renewDeadlineMs`, before another process may take it after `leaseMs`. The lease is given back only
 * after `lead` returned.
 */
export async function runElection(
  options: LeaderOptions,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { leaseMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000, monotonic = () => performance.now() } = options;
  const candidate = new Candidate(options, leaseMs, Math.min(renewDeadlineMs, leaseMs) / 2, monotonic);

  while (!signal.aborted) {
    if (!(await candidate.tryHold(signal))) {
      await pause(retryMs, signal);
      continue;
    }
    const term = new AbortController();
    const leading = lead(AbortSignal.any([signal, term.signal])).catch((error: unknown) => {
      options.onError?.(error);
      term.abort();
    });
    // A timer of its own: a renewal that hangs must not keep a leader in office.
    let deadline = setTimeout(() => term.abort(), renewDeadlineMs);
    const over = AbortSignal.any([signal, term.signal]);
    while (!over.aborted) {
      await pause(retryMs, over);
      if (over.aborted) break;
      const asked = monotonic();
      if (await candidate.tryHold(over)) {
        clearTimeout(deadline);
        deadline = setTimeout(() => term.abort(), renewDeadlineMs - (monotonic() - asked));
      } else if (candidate.lost) term.abort();
    }
    clearTimeout(deadline);
    term.abort();
    await leading;
    await candidate.release();
    // Whoever could not lead lets others try first.
    await pause(retryMs, signal);
  }
}

class Candidate {
  readonly #options: LeaderOptions;
  readonly #leaseMs: number;
  readonly #timeoutMs: number;
  readonly #monotonic: () => number;
  #seen: Seen | undefined;
  /** Somebody else was seen to hold the lease. */
  lost = false;

  constructor(options: LeaderOptions, leaseMs: number, timeoutMs: number, monotonic: () => number) {
    this.#options = options;
    this.#leaseMs = leaseMs;
    this.#timeoutMs = timeoutMs;
    this.#monotonic = monotonic;
  }

  /** Acquires or renews; false if another holds it or nothing can be said. */
  async tryHold(signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#tryHold(signal);
    } catch (error) {
      if (!isConflict(error) && !signal.aborted) this.#options.onError?.(error);
      return false;
    }
  }

  async #tryHold(signal: AbortSignal): Promise<boolean> {
    const { kube, namespace, name, identity } = this.#options;
    const lease = await getObject(kube, KINDS.leases, { namespace, name }, { signal, timeoutMs: this.#timeoutMs });
    if (lease === undefined) {
      await kube.request({
        method: 'POST',
        path: pathOf(KINDS.leases, { namespace }),
        body: this.#body({}, undefined),
        signal,
        timeoutMs: this.#timeoutMs,
      });
      this.lost = false;
      return true;
    }
    const spec = (lease.spec ?? {}) as LeaseSpec;
    if (spec.holderIdentity !== identity && spec.holderIdentity && !this.#expired(lease, spec)) {
      this.lost = true;
      return false;
    }
    await kube.request({
      method: 'PUT',
      path: pathOf(KINDS.leases, { namespace, name }),
      body: this.#body(spec, lease.metadata.resourceVersion),
      signal,
      timeoutMs: this.#timeoutMs,
    });
    this.lost = false;
    return true;
  }

  #expired(lease: KubeObject, spec: LeaseSpec): boolean {
    const version = lease.metadata.resourceVersion ?? '';
    if (this.#seen?.version !== version) {
      if (this.#seen !== undefined) this.#options.onLeader?.();
      this.#seen = { version, at: this.#monotonic() };
    }
    const duration = Math.max(1, spec.leaseDurationSeconds ?? this.#leaseMs / 1000) * 1000;
    return this.#monotonic() - this.#seen.at >= duration;
  }

  #body(before: LeaseSpec, resourceVersion: string | undefined): object {
    const { namespace, name, identity } = this.#options;
    const time = microTime((this.#options.now ?? Date.now)());
    const held = before.holderIdentity === identity;
    return {
      apiVersion: KINDS.leases.apiVersion,
      kind: KINDS.leases.kind,
      metadata: { namespace, name, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(this.#leaseMs / 1000),
        acquireTime: held ? (before.acquireTime ?? time) : time,
        renewTime: time,
        leaseTransitions: (before.leaseTransitions ?? 0) + (held ? 0 : 1),
      },
    };
  }

  /** Lets another take over at once. Best effort: without it the lease runs out. */
  async release(): Promise<void> {
    const { kube, namespace, name, identity } = this.#options;
    try {
      const lease = await getObject(kube, KINDS.leases, { namespace, name }, { timeoutMs: this.#timeoutMs });
      const spec = (lease?.spec ?? {}) as LeaseSpec;
      if (lease === undefined || spec.holderIdentity !== identity) return;
      await kube.request({
        method: 'PUT',
        path: pathOf(KINDS.leases, { namespace, name }),
        body: {
          ...this.#body(spec, lease.metadata.resourceVersion),
          spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1 },
        },
        timeoutMs: this.#timeoutMs,
      });
    } catch (error) {
      this.#options.onError?.(error);
    }
  }
}
import { getObject, isConflict, KINDS, type Kube, type KubeObject, pathOf, pause } from '@chaperone/kube';
