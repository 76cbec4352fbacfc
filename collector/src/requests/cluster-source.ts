import { AccessRequest } from '@chaperone/api';
import { Informer, type Kube, KINDS } from '@chaperone/kube';
import { notHeard } from '../heard.ts';
import type { RequestSource } from './source.ts';

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
    return notHeard('requests for approval', [this.#informer], this.#now());
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
