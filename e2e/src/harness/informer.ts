import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Agent } from './agent.ts';
import { type Cluster, ROOT } from './cluster.ts';
import { AGENTS } from './shop.ts';

interface Held {
  readonly version: string;
  readonly data: Readonly<Record<string, string>>;
}
/** What caches of client-go hold, by name. */
export interface Cached {
  readonly configMaps: Readonly<Record<string, Held>>;
  readonly secrets: Readonly<Record<string, Held>>;
  /** Why watches ended, where they did not end in good order. */
  readonly faults: readonly string[];
  /** Objects that were added, changed or deleted. */
  readonly events: number;
}

/** Built by scripts/kubernetes-peers. */
const PROGRAM = join(ROOT, '.cache/kubernetes-peers/client-go');

/** A program with informers of ConfigMaps and Secrets of one namespace. */
export class Informer {
  readonly #child: ChildProcessWithoutNullStreams;
  #said = '';

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
    child.stderr.resume();
  }

  /** Beside all of this, as who may do everything. */
  static beside(cluster: Cluster, namespace: string): Informer {
    return new Informer(spawn(PROGRAM, [cluster.kubeconfig, namespace]));
  }

  /** In the agent's container, with in-cluster configuration. */
  static async within(cluster: Cluster, agent: Agent, namespace: string): Promise<Informer> {
    await cluster.demand(['cp', PROGRAM, `${AGENTS}/${agent.name}:/tmp/informer`, '-c', 'bot']);
    return new Informer(agent.begin('/tmp/informer', '', namespace));
  }

  get isSynced(): boolean {
    return this.#said.startsWith('synced\n');
  }

  /** Ends it once it holds a ConfigMap and a Secret named "last". @returns all that it holds */
  async end(): Promise<Cached> {
    this.#child.stdin.end();
    if (this.#child.exitCode === null) await once(this.#child, 'close');
    return JSON.parse(this.#said.slice('synced\n'.length)) as Cached;
  }
}
