import { AccessPolicy, ProtectedResource } from '@chaperone/api';
import { Informer, type Kube, KINDS } from '@chaperone/kube';
import { notHeard } from '../heard.ts';
import type { PolicySource } from './source.ts';

export interface ClusterPoliciesOptions {
  readonly kube: Kube;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

/** Policies and resources of a cluster as they are now; nothing of them is written from here. */
export class ClusterPolicies implements PolicySource {
  readonly #policies: Informer<AccessPolicy>;
  readonly #resources: Informer<ProtectedResource>;
  readonly #now: () => number;

  constructor({ kube, now, onError }: ClusterPoliciesOptions) {
    this.#now = now;
    // One that cannot be read is left out and reported.
    const policies = { kind: KINDS.accessPolicies, parse: (object: unknown) => AccessPolicy.parse(object) };
    const resources = { kind: KINDS.protectedResources, parse: (object: unknown) => ProtectedResource.parse(object) };
    this.#policies = new Informer({ ...policies, kube, onError, now });
    this.#resources = new Informer({ ...resources, kube, onError, now });
  }

  start(): this {
    this.#policies.start();
    this.#resources.start();
    return this;
  }
  async stop(): Promise<void> {
    await Promise.all([this.#policies.stop(), this.#resources.stop()]);
  }

  notReady(): string | undefined {
    return notHeard('policies and resources', [this.#policies, this.#resources], this.#now());
  }
  policies(): readonly AccessPolicy[] {
    return this.#policies.list();
  }
  resources(): readonly ProtectedResource[] {
    return this.#resources.list();
  }
}
