import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Cluster } from '../harness/cluster.ts';

/** Somebody's way to the API server that is open already: `kubectl proxy`, in their name. */
export class Person implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #origin: string;

  private constructor(child: ChildProcessWithoutNullStreams, origin: string) {
    this.#child = child;
    this.#origin = origin;
  }

  /** `as`: kubectl's flags of impersonation. */
  static async at(cluster: Cluster, ...as: readonly string[]): Promise<Person> {
    const child = cluster.begin(['proxy', '--port=0', ...as]);
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    return new Person(child, `http://${line.split(' ').at(-1) ?? ''}`);
  }

  /** Creates an object. @throws Error with what the API server says */
  async post(path: string, object: object): Promise<void> {
    const body = JSON.stringify(object);
    const response = await fetch(`${this.#origin}${path}`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    const said = await response.text();
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${said.slice(0, 1_000)}`);
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }
}
