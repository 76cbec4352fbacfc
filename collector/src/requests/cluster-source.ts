import { AccessRequest } from '@chaperone/api';
import { Informer, type Kube, KINDS } from '@chaperone/kube';
import type { RequestSource } from './source.ts';

/** An API server says that it lives once a minute; what was heard longer ago may be untrue by now. */
const HEARD_MS = 180_000;

export interface ClusterRequestsOptions {
  readonly kube: Kube;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

/** Requests of a cluster as they are now. They are read here and decided on elsewhere: whatever holds this, nobody's word goes through it. */
export class ClusterRequests implements RequestSource {
  readonly #informer: Informer<AccessRequest>;
  readonly #now: () => number;

  constructor({ kube, now, onError }: ClusterRequestsOptions) {
    this.#now = now;
    // One that cannot be read is left out and reported.
    this.#informer = new Informer({ kube, kind: KINDS.accessRequests, parse: (each) => AccessRequest.parse(each), onError, now });
  }

  start(): this {
    this.#informer.start();
    return this;
  }
  stop(): Promise<void> {
    return this.#informer.stop();
  }

  notReady(): string | undefined {
    if (!this.#informer.hasSynced) return 'requests for approval have not been read yet';
    const silent = this.#now() - this.#informer.lastEventAt;
    if (silent <= HEARD_MS) return undefined;
    return `the API server has not been heard for ${Math.round(silent / 1000)} s; requests may have changed`;
  }
  list(): readonly AccessRequest[] {
    return this.#informer.list();
  }
  watch(tell: (request: AccessRequest) => void): () => void {
    return this.#informer.onChange(({ after }) => {
      if (after !== undefined) tell(after);
    });
  }
  viewer({ user, groups }: Parameters<RequestSource['viewer']>[0]): ReturnType<RequestSource['viewer']> {
    return { user, groups };
  }
}
