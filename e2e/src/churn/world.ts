import { setTimeout as sleep } from 'node:timers/promises';
import { SYSTEM } from '../harness/installation.ts';
import { AGENTS, DATA, type Shop } from '../harness/shop.ts';
import { type Phase, sortOf, type Window } from './judge.ts';
import { KINDS, type Source, type Seen } from './model.ts';
import { NodeLogs } from './node-logs.ts';
import type { Step } from './plan.ts';
import { partLine } from './parts-log.ts';
import { seenBy } from './traffic.ts';

/** What may be asked again, since it was not done: the API server is away, or does not reach its webhook. */
const AWAY =
  /connection refused|connection reset|unexpected EOF|: EOF|TLS handshake timeout|http2: |was refused|etcdserver|client rate limiter|Unable to connect|ServiceUnavailable|failed calling webhook|apiserver not ready|context deadline exceeded/;
const AWAY_MS = 90_000;
const LOOK_MS = 5_000;
const READ_MS = 500;

/** How much a container uses, as the kubelet counts it. */
export interface Used {
  readonly pod: string;
  readonly container: string;
  readonly mib: number;
}

/** The installation under change: everything that is seen of it, and what was done to it when. */
export class World implements Disposable {
  readonly shop: Shop;
  readonly seen: Seen[] = [];
  readonly windows: Window[] = [];
  readonly phases: Phase[] = [];
  /** Lines below the level of an error, by container and what they say: how often. */
  readonly warned = new Map<string, number>();
  /** Answers of agents by pod. */
  readonly answered = new Map<string, number>();
  /** What the proxy signs in with now. */
  password: string;
  readonly #began = Date.now();
  readonly #last = new Map<string, Seen>();
  readonly #logs = new NodeLogs([SYSTEM, AGENTS]);
  readonly #ends = new Map<string, string>();
  readonly #stopped = new AbortController();
  #changing: Promise<unknown> = Promise.resolve();

  constructor(shop: Shop, password: string) {
    this.shop = shop;
    this.password = password;
  }

  /** Reads logs and looks at containers until this is disposed of. */
  follow(): void {
    void this.#until(READ_MS, () => this.#read());
    void this.#until(LOOK_MS, () => this.#look());
  }
  async #until(everyMs: number, act: () => unknown): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      try {
        await act();
      } catch (error) {
        this.note('step', 'follow', String(error));
      }
      await sleep(everyMs);
    }
  }

  note(source: Source, name: string, what: string, from = Date.now(), to = from): void {
    this.seen.push({ source, name, what, from, to });
  }

  /** What an agent said last. */
  last(pod: string): Seen | undefined {
    return this.#last.get(pod);
  }

  /** Runs kubectl until the API server answers; that it did not at once is noted. Whatever is asked may be asked twice. */
  async kubectl(args: readonly string[], input?: object | string): Promise<string> {
    const end = Date.now() + AWAY_MS;
    for (;;) {
      const from = Date.now();
      const { status, stdout, stderr } = await this.shop.cluster.kubectl(args, input);
      if (status === 0) return stdout;
      const what = `${args.slice(0, 3).join(' ')}: ${stderr.trim().slice(-300)}`;
      if (!AWAY.test(stderr) || Date.now() > end) throw new Error(what);
      this.note('kubectl', args[0] ?? '', what, from, Date.now());
      await sleep(1_000);
    }
  }
  async apply(objects: object | string): Promise<void> {
    await this.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], objects);
  }
  async json<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl(['get', ...args, '-o', 'json'])) as T;
  }

  /** Whoever gives the database another password, or another database, does so alone. */
  async alone<T>(act: () => Promise<T>): Promise<T> {
    const mine = this.#changing.then(act);
    this.#changing = mine.catch(() => undefined);
    return await mine;
  }

  /** Does a step, and opens its window from before it until a while after it. */
  async do({ kind, subject }: Step, act: () => Promise<unknown>): Promise<void> {
    const window: { -readonly [key in keyof Window]: Window[key] } = {
      kind,
      subject,
      from: Date.now(),
      to: Number.MAX_SAFE_INTEGER,
    };
    this.windows.push(window);
    process.stdout.write(`${new Date().toISOString()} ${kind} ${subject}\n`);
    try {
      await act();
    } catch (error) {
      const { message, cause } = error as Error;
      this.note('step', kind, `${message}${cause instanceof Error ? ` (${cause.message})` : ''}`, window.from, Date.now());
    }
    window.to = Date.now() + KINDS[kind].afterMs;
  }

  /** Opens a window for a pod that begins; @returns what closes it. */
  begins(subject: string): () => void {
    const window: { -readonly [key in keyof Window]: Window[key] } = {
      kind: 'begun',
      subject,
      from: Date.now(),
      to: Number.MAX_SAFE_INTEGER,
    };
    this.windows.push(window);
    return () => {
      window.to = Date.now();
    };
  }

  #read(): void {
    for (const { namespace, pod, container, at, text } of this.#logs.read()) {
      if (at < this.#began) continue;
      const seen = namespace === AGENTS && container === 'bot' ? seenBy(pod, text) : partLine({ pod, container, at, text });
      if (seen === undefined) {
        if (container === 'bot') this.note('log', `${pod}/${container}`, text, at);
        continue;
      }
      if ('warning' in seen) this.#warn(sortOf(seen.warning));
      else {
        this.seen.push(seen);
        if (seen.source !== 'agent') continue;
        this.#last.set(pod, seen);
        if (!/^unopened|lost/.test(seen.what)) this.answered.set(pod, (this.answered.get(pod) ?? 0) + 1);
      }
    }
  }

  #warn(sort: string): void {
    this.warned.set(sort, (this.warned.get(sort) ?? 0) + 1);
  }

  /** Containers that ended, and why. */
  async #look(): Promise<void> {
    for (const namespace of [SYSTEM, AGENTS, DATA]) {
      const { items } = JSON.parse(await this.kubectl(['get', 'pods', '-n', namespace, '-o', 'json'])) as { items: PodStatus[] };
      for (const { metadata, status } of items)
        for (const each of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])])
          this.#lookAt(metadata, each);
    }
  }
  #lookAt({ name, uid }: PodStatus['metadata'], { name: container, lastState, restartCount }: ContainerStatus): void {
    const { terminated } = lastState ?? {};
    if (restartCount === 0 || terminated === undefined) return;
    const key = `${uid}/${container}`;
    if (this.#ends.get(key) === terminated.finishedAt) return;
    this.#ends.set(key, terminated.finishedAt);
    const at = Date.parse(terminated.finishedAt);
    if (at < this.#began) return;
    // Told in whole seconds.
    this.note('ended', name, `${container}: ${terminated.reason} ${terminated.exitCode}`, at, at + 1_000);
  }

  /** What each container of ours uses now. */
  async used(): Promise<Used[]> {
    const { nodeName } = await this.shop.cluster.places();
    const { pods } = JSON.parse(await this.kubectl(['get', '--raw', `/api/v1/nodes/${nodeName}/proxy/stats/summary`])) as Summary;
    return pods
      .filter(({ podRef: { namespace } }) => namespace === SYSTEM || namespace === AGENTS)
      .flatMap(({ podRef, containers = [] }) =>
        containers.map(({ name, memory }) => ({
          pod: podRef.name,
          container: name,
          mib: Math.round((memory?.workingSetBytes ?? 0) / 2 ** 20),
        })),
      );
  }

  [Symbol.dispose](): void {
    this.#stopped.abort();
    this.#logs[Symbol.dispose]();
  }
}

interface ContainerStatus {
  readonly name: string;
  readonly restartCount: number;
  readonly lastState?: {
    readonly terminated?: { readonly reason: string; readonly exitCode: number; readonly finishedAt: string };
  };
}
interface PodStatus {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}
interface Summary {
  readonly pods: readonly {
    readonly podRef: { readonly namespace: string; readonly name: string };
    readonly containers?: readonly { readonly name: string; readonly memory?: { readonly workingSetBytes?: number } }[];
  }[];
}
