import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, isExpired } from './errors.ts';
import { type KubeObject, pathOf, type ResourceKind } from './objects.ts';
import type { Kube } from './transport.ts';

const PAGE = 500;
/** A list that needs more pages than this is not one that we can hold. */
const MAX_PAGES = 400;

export interface Timings {
  readonly idleMs: number;
  readonly minWatchSeconds: number;
  readonly maxWatchSeconds: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly relistMs: number;
}
export const TIMINGS: Timings = {
  // API servers send bookmarks every 60 to 62 s; a shorter limit would drop every quiet watch.
  idleMs: 75_000,
  minWatchSeconds: 240,
  maxWatchSeconds: 480,
  minBackoffMs: 500,
  maxBackoffMs: 30_000,
  relistMs: 600_000,
};

export interface Selection {
  readonly kind: ResourceKind;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}
export interface ListWatchOptions extends Selection {
  readonly kube: Kube;
  readonly signal: AbortSignal;
  readonly timings?: Timings;
  readonly now?: () => number;
  readonly random?: () => number;
  /** All there is, after each list. */
  readonly onList: (items: readonly KubeObject[]) => void;
  readonly onEvent: (type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubeObject) => void;
  /** Any sign of life, bookmarks included. */
  readonly onAlive?: () => void;
  readonly onError?: (error: ApiError) => void;
}

/**
 * Lists, then watches, until the signal aborts; never gives up. A watch that ends well goes on from its last resourceVersion at
 * once, as does one that a watchdog dropped for its silence; 410 lists again; anything else waits with jitter (Retry-After is
 * honoured) and lists again. Everything is listed again every `relistMs`, against events that were silently missed.
 */
export async function listWatch(options: ListWatchOptions): Promise<void> {
  const timings = options.timings ?? TIMINGS;
  const random = options.random ?? Math.random;
  const now = options.now ?? Date.now;
  let failures = 0;

  while (!options.signal.aborted) {
    try {
      let version = await list(options);
      failures = 0;
      const relistAt = now() + timings.relistMs;
      while (now() < relistAt && !options.signal.aborted) {
        version = await watchOnce(options, timings, version, relistAt - now());
      }
    } catch (error) {
      if (options.signal.aborted) return;
      const fault = error instanceof ApiError ? error : new ApiError(0, 'Protocol', 'the list or watch failed', { cause: error });
      options.onError?.(fault);
      if (isExpired(fault) && failures === 0) {
        failures = 1;
        continue;
      }
      const wait = Math.min(timings.maxBackoffMs, timings.minBackoffMs * 2 ** Math.min(failures, 10)) * (0.5 + random() / 2);
      failures += 1;
      await pause(Math.max(wait, fault.retryAfterMs ?? 0), options.signal);
    }
  }
}

async function list(options: ListWatchOptions): Promise<string> {
  const items: KubeObject[] = [];
  let next: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer = await options.kube.request<{
      items?: KubeObject[] | null;
      metadata?: { resourceVersion?: string; continue?: string };
    }>({
      path: pathOf(options.kind, { namespace: options.namespace }),
      query: { ...selectors(options), limit: PAGE, continue: next },
      signal: options.signal,
    });
    items.push(...(answer.items ?? []));
    next = answer.metadata?.continue === '' ? undefined : answer.metadata?.continue;
    if (next === undefined) {
      const version = answer.metadata?.resourceVersion;
      if (version === undefined) throw new ApiError(0, 'Protocol', 'a list has no resourceVersion');
      options.onAlive?.();
      options.onList(items);
      return version;
    }
  }
  throw new ApiError(0, 'TooLarge', `a list has more than ${MAX_PAGES * PAGE} objects`);
}

async function watchOnce(options: ListWatchOptions, timings: Timings, from: string, leftMs: number): Promise<string> {
  const random = options.random ?? Math.random;
  const spread = timings.minWatchSeconds + random() * (timings.maxWatchSeconds - timings.minWatchSeconds);
  let version = from;
  let seen = false;
  const events = options.kube.watch({
    path: pathOf(options.kind, { namespace: options.namespace }),
    query: {
      ...selectors(options),
      resourceVersion: from,
      allowWatchBookmarks: true,
      timeoutSeconds: Math.max(1, Math.ceil(Math.min(spread, leftMs / 1000))),
    },
    signal: options.signal,
    idleMs: timings.idleMs,
  });
  const started = performance.now();
  try {
    for await (const event of events) {
      seen = true;
      options.onAlive?.();
      if (event.type === 'ERROR') throw streamError(event.object);
      const next = event.object.metadata?.resourceVersion;
      if (next === undefined) throw new ApiError(0, 'Protocol', 'a watch event has no resourceVersion');
      if (event.type !== 'BOOKMARK') options.onEvent(event.type, event.object);
      version = next;
    }
  } catch (error) {
    // Silence may be a dead connection or a quiet server without bookmarks; either way nothing was missed before `version`.
    if (!(error instanceof ApiError) || error.reason !== 'Timeout') throw error;
  }
  // A server that ends each watch at once would be asked in a tight loop.
  if (!seen && performance.now() - started < timings.minBackoffMs) await pause(timings.minBackoffMs, options.signal);
  return version;
}

function streamError(status: KubeObject): ApiError {
  const { code, reason, message } = status as { code?: unknown; reason?: unknown; message?: unknown };
  return new ApiError(
    typeof code === 'number' ? code : 0,
    typeof reason === 'string' ? reason : 'Unknown',
    typeof message === 'string' ? message : 'the watch ended with an error',
  );
}

function selectors(of: Selection): Record<string, string> {
  return {
    ...(of.labelSelector === undefined ? {} : { labelSelector: of.labelSelector }),
    ...(of.fieldSelector === undefined ? {} : { fieldSelector: of.fieldSelector }),
  };
}

/** Waits, or returns early when the signal aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
