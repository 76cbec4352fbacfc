import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Cluster } from '../harness/cluster.ts';
import { AGENTS } from '../harness/shop.ts';

/** A request that waits for people, as a client that watches saw it first. */
export interface Shown {
  readonly name: string;
  readonly uid: string;
  readonly digest: string;
  /** ms since 1970 */
  readonly at: number;
}

const FIELDS = ['.metadata.name', '.metadata.uid', '.spec.digest', '.spec.agent.pod', '.status.state'];
const TIMEOUT_MS = 30_000;

/** `kubectl get accessrequests --watch`, with the time at which each request was printed as Pending. */
export class RequestWatch implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #seen = new Set<string>();
  readonly #waiting = new Map<string, (shown: Shown) => void>();
  /** Rejects once kubectl ends, as it does where the API server gives up a watch that lags. */
  readonly #ended: Promise<never>;

  constructor(cluster: Cluster) {
    const line = `${FIELDS.map((field) => `{${field}}`).join(' ')}{"\\n"}`;
    this.#child = cluster.begin(['get', 'accessrequests', '-n', AGENTS, '--watch', '-o', `jsonpath=${line}`]);
    const { promise, reject } = Promise.withResolvers<never>();
    this.#ended = promise;
    promise.catch(() => undefined);
    this.#child.on('exit', (status) => reject(new Error(`kubectl get --watch ended with ${status}`)));
    createInterface({ input: this.#child.stdout }).on('line', (text) => this.#take(text, Date.now()));
  }

  /** The next request of a pod that nobody has seen so far. */
  async next(pod: string): Promise<Shown> {
    const { promise, resolve, reject } = Promise.withResolvers<Shown>();
    this.#waiting.set(pod, resolve);
    const late = setTimeout(() => reject(new Error(`no request of ${pod} within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
    return await Promise.race([promise, this.#ended]).finally(() => clearTimeout(late));
  }

  #take(text: string, at: number): void {
    const [name = '', uid = '', digest = '', pod = '', state] = text.split(' ');
    if (state !== 'Pending' || this.#seen.has(name)) return;
    this.#seen.add(name);
    this.#waiting.get(pod)?.({ name, uid, digest, at });
    this.#waiting.delete(pod);
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }
}
