import { AccessPolicy, InjectionProfile, ProtectedResource } from '@chaperone/api';
import { Informer, KINDS, type Kube, type KubeObject, type ResourceKind } from '@chaperone/kube';
import { SecretView } from './resources/secrets.ts';
import { type ContainerStatus, SIDECAR_NAME } from './sidecars/waiting.ts';

/** What every replica follows. */
export interface World {
  readonly pods: Informer<KubeObject>;
  readonly namespaces: Informer<KubeObject>;
  readonly resources: Informer<ProtectedResource>;
  readonly policies: Informer<AccessPolicy>;
  readonly profiles: Informer<InjectionProfile>;
  readonly secrets: NamedSecrets;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface WorldOptions {
  readonly kube: Kube;
  readonly onChange: () => void;
  readonly onError?: (error: unknown) => void;
}

export function followWorld(options: WorldOptions): World {
  const { kube, onChange, onError } = options;
  const follow = <T>(kind: ResourceKind, parse: (object: KubeObject) => T | undefined): Informer<T> => {
    const informer = new Informer<T>({ kube, kind, parse, ...(onError === undefined ? {} : { onError }) });
    informer.onChange(onChange);
    return informer;
  };
  const pods = follow(KINDS.pods, trimPod);
  const namespaces = follow(KINDS.namespaces, trim);
  // What the schema refuses takes part in nothing; admission has told its author why.
  const resources = follow(KINDS.protectedResources, (object) => ProtectedResource.parse(object));
  const policies = follow(KINDS.accessPolicies, (object) => AccessPolicy.parse(object));
  const profiles = follow(KINDS.injectionProfiles, (object) => InjectionProfile.parse(object));
  const secrets = new NamedSecrets(options);
  const informers = [pods, namespaces, resources, policies, profiles];
  return {
    pods,
    namespaces,
    resources,
    policies,
    profiles,
    secrets,
    start: async () => {
      for (const informer of informers) informer.start();
      await Promise.all(informers.map((informer) => informer.synced));
    },
    stop: async () => {
      await Promise.all([...informers.map((informer) => informer.stop()), secrets.stop()]);
    },
  };
}

/** Managed fields are half of an object and nobody here reads them. */
function trim(object: KubeObject): KubeObject {
  const { managedFields: _fields, ...metadata } = object.metadata;
  return { ...object, metadata };
}
function trimPod(object: KubeObject): KubeObject {
  const { phase, initContainerStatuses = [] } = (object.status ?? {}) as {
    phase?: unknown;
    initContainerStatuses?: ContainerStatus[];
  };
  const sidecar = initContainerStatuses.filter(({ name }) => name === SIDECAR_NAME);
  return { ...trim(object), status: { phase, initContainerStatuses: sidecar } };
}

const UNREADABLE_MS = 5_000;

/**
 * The Secrets that resources name, each watched by its name, so that the operator neither needs nor holds any other. Values stay
 * in memory.
 */
export class NamedSecrets {
  readonly #options: WorldOptions;
  readonly #informers = new Map<string, { informer: Informer<SecretView>; since: number }>();
  readonly #stopping = new Set<Promise<void>>();

  constructor(options: WorldOptions) {
    this.#options = options;
  }

  /** Follows exactly these (NAMESPACE/NAME) from now on. */
  want(keys: ReadonlySet<string>): void {
    for (const [key, { informer }] of this.#informers) {
      if (keys.has(key)) continue;
      this.#informers.delete(key);
      const stopping = informer.stop().finally(() => this.#stopping.delete(stopping));
      this.#stopping.add(stopping);
    }
    for (const key of keys) if (!this.#informers.has(key)) this.#follow(key);
  }
  get(key: string): SecretView | undefined {
    return this.#informers.get(key)?.informer.get(key);
  }
  /** False until a first answer came: absent is not known yet. One that cannot be read counts as absent after a while. */
  known(key: string): boolean {
    const followed = this.#informers.get(key);
    if (followed === undefined) return false;
    return followed.informer.hasSynced || performance.now() - followed.since > UNREADABLE_MS;
  }
  async stop(): Promise<void> {
    this.want(new Set());
    await Promise.all(this.#stopping);
  }

  #follow(key: string): void {
    const [namespace = '', name = ''] = key.split('/', 2);
    const { kube, onChange, onError } = this.#options;
    const informer = new Informer<SecretView>({
      kube,
      kind: KINDS.secrets,
      namespace,
      fieldSelector: `metadata.name=${name}`,
      parse: (object) => new SecretView(object),
      ...(onError === undefined ? {} : { onError }),
    });
    informer.onChange(onChange);
    // An absent Secret changes nothing, but is known from now on.
    informer.synced.then(onChange, () => undefined);
    this.#informers.set(key, { informer: informer.start(), since: performance.now() });
  }
}
