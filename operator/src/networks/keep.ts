import { isDeepStrictEqual } from 'node:util';
import { apply, Informer, isNotFound, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';
import { type Dialled, MANAGED_BY, NETWORK_POLICY, type NetworkFacts, networkPolicySpec, tracesAt } from './policy.ts';
import { readServices } from './services.ts';

/** Services are asked for again after this: their pods may have other labels or ports by then. */
const ASK_AGAIN_MS = 25_000;

export interface NetworksOptions {
  readonly kube: Kube;
  /** Undefined: none is written, and those that were are removed. */
  readonly facts: Omit<NetworkFacts, 'dialled' | 'services'> | undefined;
  readonly signal: AbortSignal;
  readonly now: () => number;
  /** The object of this namespace is another than it was. */
  readonly onChange: (namespace: string) => void;
  readonly onError: (error: unknown) => void;
}

/** Keeps one NetworkPolicy in every governed namespace, as {@link networkPolicySpec} says, and none anywhere else. */
export class Networks {
  readonly #options: NetworksOptions;
  readonly #informer: Informer<KubeObject>;
  readonly #asked = new Map<string, { readonly text: string; readonly at: number; readonly spec: object }>();

  constructor(options: NetworksOptions) {
    this.#options = options;
    const { kube, onError } = options;
    this.#informer = new Informer({
      kube,
      kind: KINDS.networkPolicies,
      fieldSelector: `metadata.name=${NETWORK_POLICY}`,
      parse: (object) => object,
      onError,
    });
    this.#informer.onChange(({ key }) => options.onChange(key.split('/')[0] ?? ''));
  }

  /** Resolves once what is there is known. */
  async start(): Promise<void> {
    await this.#informer.start().synced;
  }
  async stop(): Promise<void> {
    await this.#informer.stop();
  }
  /** Namespaces that have one of ours. */
  get namespaces(): string[] {
    return this.#informer
      .list()
      .filter(isOurs)
      .map(({ metadata }) => metadata.namespace ?? '');
  }

  /** @param dialled - undefined: the namespace is not governed */
  async keep(namespace: string, dialled: readonly Dialled[] | undefined): Promise<void> {
    const { facts, kube, signal } = this.#options;
    const current = this.#informer.get(`${namespace}/${NETWORK_POLICY}`);
    if (facts === undefined || dialled === undefined) {
      this.#asked.delete(namespace);
      if (current !== undefined && isOurs(current)) await remove(kube, namespace, signal);
      return;
    }
    const spec = await this.#spec(namespace, facts, dialled);
    if (current !== undefined && isOurs(current) && isDeepStrictEqual(current.spec, spec)) return;
    await apply(
      kube,
      KINDS.networkPolicies,
      { namespace, name: NETWORK_POLICY },
      { metadata: { labels: MANAGED_BY }, spec },
      { signal },
    );
  }

  async #spec(namespace: string, facts: NonNullable<NetworksOptions['facts']>, dialled: readonly Dialled[]): Promise<object> {
    const { kube, signal, now } = this.#options;
    const text = JSON.stringify(dialled);
    const known = this.#asked.get(namespace);
    if (known?.text === text && now() - known.at < ASK_AGAIN_MS) return known.spec;
    const spec = networkPolicySpec({
      ...facts,
      dialled,
      services: await readServices(kube, [...dialled, ...tracesAt(facts.config)], signal),
    });
    this.#asked.set(namespace, { text, at: now(), spec });
    return spec;
  }
}

const isOurs = ({ metadata }: KubeObject): boolean =>
  metadata.labels?.['app.kubernetes.io/managed-by'] === MANAGED_BY['app.kubernetes.io/managed-by'];

async function remove(kube: Kube, namespace: string, signal: AbortSignal): Promise<void> {
  try {
    await kube.request({ method: 'DELETE', path: pathOf(KINDS.networkPolicies, { namespace, name: NETWORK_POLICY }), signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
