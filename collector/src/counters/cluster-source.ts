import { COUNTER_MAPS, StoredCounter } from '@chaperone/evidence';
import { getObject, KINDS, type Kube } from '@chaperone/kube';
import type { CounterSource, KeptStatement } from './source.ts';

/** ConfigMaps that are read at once. */
const AT_ONCE = 8;

/** What the operator keeps in its ConfigMaps, which this ServiceAccount may get and not write. What cannot be read there is left out. */
export class ClusterCounters implements CounterSource {
  readonly #kube: Kube;
  readonly #namespace: string;

  constructor(kube: Kube, namespace: string) {
    this.#kube = kube;
    this.#namespace = namespace;
  }

  async list(): Promise<readonly KeptStatement[]> {
    const found: KeptStatement[] = [];
    for (let at = 0; at < COUNTER_MAPS.length; at += AT_ONCE) {
      const maps = COUNTER_MAPS.slice(at, at + AT_ONCE).map((name) => this.#read(name));
      found.push(...(await Promise.all(maps)).flat());
    }
    return found;
  }

  async #read(name: string): Promise<KeptStatement[]> {
    const map = await getObject(this.#kube, KINDS.configMaps, { namespace: this.#namespace, name });
    return Object.values((map?.data ?? {}) as Record<string, string>).flatMap((text) => {
      const stored = StoredCounter.safeParse(jsonOf(text));
      if (!stored.success) return [];
      const { registration, certificate, counter, receivedAt } = stored.data;
      return [{ statement: { registration, certificate, counter }, receivedAt }];
    });
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
