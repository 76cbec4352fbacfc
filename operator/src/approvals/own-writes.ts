import type { AccessRequest } from '@chaperone/api';

/** An informer brings a write within moments; what it did not bring by then was removed. */
const KEPT_MS = 10_000;
const MAX_KEPT = 1024;

/**
 * What this process wrote and its informer may not have brought yet, so that whoever asks twice within a moment is told of what is there.
 * As client-go's MutationCache: the greater resourceVersion is the newer one.
 */
export class OwnWrites {
  readonly #written = new Map<string, { readonly request: AccessRequest; readonly at: number }>();

  add(request: AccessRequest, now: number): void {
    const uid = request.metadata.uid ?? '';
    this.#written.delete(uid);
    this.#written.set(uid, { request, at: now });
    for (const [oldest, { at }] of this.#written) {
      if (this.#written.size <= MAX_KEPT && now - at <= KEPT_MS) break;
      this.#written.delete(oldest);
    }
  }

  /** The pod's requests: as the informer has them, or as they were written later. */
  over(known: readonly AccessRequest[], podUid: string, now: number): AccessRequest[] {
    const newest = new Map(known.map((request) => [request.metadata.uid ?? '', request]));
    for (const [uid, { request, at }] of this.#written) {
      if (request.spec.agent.podUid !== podUid || now - at > KEPT_MS) continue;
      const informed = newest.get(uid);
      if (informed === undefined || isNewer(request, informed)) newest.set(uid, request);
    }
    return [...newest.values()];
  }
}

function isNewer(a: AccessRequest, b: AccessRequest): boolean {
  return Number(a.metadata.resourceVersion) > Number(b.metadata.resourceVersion);
}
