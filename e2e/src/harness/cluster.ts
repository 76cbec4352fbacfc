import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { demand, type Result, run } from './run.ts';

export const ROOT = join(import.meta.dirname, '../../..');
const SCRIPTS = join(ROOT, 'e2e/cluster');
const LOCAL_BINARIES = join(process.env['CLUSTER_DIR'] ?? '/var/lib/local-cluster', 'bin');

const WEBHOOK_MS = 30_000;

export interface Places {
  readonly nodeName: string;
  readonly node: string;
  readonly apiServer: string;
}

/** A cluster that tests may do anything to. */
export class Cluster {
  readonly #env: Record<string, string>;
  /** Whether images are loaded by e2e/cluster (true) or by kind. */
  readonly local: boolean;

  private constructor(kubeconfig: string, local: boolean) {
    this.local = local;
    this.#env = {
      KUBECONFIG: kubeconfig,
      PATH: `${existsSync(LOCAL_BINARIES) ? `${LOCAL_BINARIES}:` : ''}${process.env['PATH'] ?? ''}`,
    };
  }

  /** The cluster that E2E_KUBECONFIG names (kind, say), or the one of e2e/cluster, built and started where it is not. */
  static async start(): Promise<Cluster> {
    const given = process.env['E2E_KUBECONFIG'];
    if (given !== undefined && given !== '') return new Cluster(given, false);
    await demand(join(SCRIPTS, 'build'), [], { timeoutMs: 1_800_000 });
    const kubeconfig = (await demand(join(SCRIPTS, 'up'), [], { timeoutMs: 180_000 })).trim().split('\n').at(-1) ?? '';
    return new Cluster(kubeconfig, true);
  }

  /** Runs kubectl, with folders of `path` before those of PATH; a refusal is a result, not an error. */
  kubectl(args: readonly string[], input?: object | string, path = ''): Promise<Result> {
    const env = { ...this.#env, PATH: `${path}${path === '' ? '' : ':'}${this.#env['PATH'] ?? ''}` };
    return run('kubectl', args, { env, input: typeof input === 'object' ? JSON.stringify(input) : input });
  }

  /** The file by which everything may be done. */
  get kubeconfig(): string {
    return this.#env['KUBECONFIG'] ?? '';
  }

  /** A kubectl that goes on until somebody ends it. */
  begin(args: readonly string[]): ChildProcessWithoutNullStreams {
    return spawn('kubectl', args, { env: { ...process.env, ...this.#env } });
  }

  /** Runs kubectl, which must succeed, once the webhook can be reached. @returns Standard output. */
  async demand(args: readonly string[], input?: object | string): Promise<string> {
    const { status, stdout, stderr } = await this.#reaching(args, input);
    if (status !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${status}: ${stderr.slice(-4_000)}`);
    return stdout;
  }

  /**
   * A webhook that could not be reached is asked again, as controllers do: after a rollout the node's rules may still lead to a
   * replica that is gone.
   */
  async #reaching(args: readonly string[], input?: object | string): Promise<Result> {
    const end = Date.now() + WEBHOOK_MS;
    for (;;) {
      const result = await this.kubectl(args, input);
      if (result.status === 0 || !result.stderr.includes('failed calling webhook') || Date.now() > end) return result;
      await sleep(1_000);
    }
  }

  /** Runs the command line of this checkout, as `kubectl chaperone` would. */
  chaperone(...args: readonly string[]): Promise<Result> {
    // Evidence of a `chaperone up` on this host would be preferred to the cluster's.
    const env = { ...this.#env, XDG_STATE_HOME: join(ROOT, '.cache/e2e-state') };
    return run(process.execPath, [join(ROOT, 'cli/src/main.ts'), ...args], { env });
  }

  /** Sends a signal to one container's first process from the node. Only where the cluster is on this host. */
  async signal(pod: string, namespace: string, container: string, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const path = `{range .status.initContainerStatuses[*]}{.name}={.containerID}{"\\n"}{end}{range .status.containerStatuses[*]}{.name}={.containerID}{"\\n"}{end}`;
    const lines = (await this.demand(['get', 'pod', pod, '-n', namespace, '-o', `jsonpath=${path}`])).split('\n');
    const id = lines.find((line) => line.startsWith(`${container}=`))?.split('//')[1];
    if (id === undefined) throw new Error(`${namespace}/${pod} has no container ${container}`);
    await this.#ctr('tasks', 'kill', '-s', signal, id);
  }

  /** Runs a program of the node, with all rights, in the network namespace of a pod. Only where the cluster is on this host. */
  async inNetworkOf(pod: string, namespace: string, ...command: readonly string[]): Promise<string> {
    const path = 'jsonpath={.status.containerStatuses[0].containerID}';
    const id = (await this.demand(['get', 'pod', pod, '-n', namespace, '-o', path])).split('//')[1] ?? '';
    const tasks = (await this.#ctr('tasks', 'ls')).split('\n').map((line) => line.split(/\s+/));
    const pid = tasks.find(([task]) => task === id)?.[1];
    if (pid === undefined) throw new Error(`${namespace}/${pod} has no process`);
    return await demand('nsenter', [`--target=${pid}`, '--net', ...command], { env: this.#env });
  }

  /** Gives an image one name more. Where the cluster is kind's, it was loaded under both names. */
  async tagImage(image: string, name: string): Promise<void> {
    if (this.local) await this.#ctr('images', 'tag', '--force', image, name);
  }

  #ctr(...args: readonly string[]): Promise<string> {
    const socket = join(LOCAL_BINARIES, '../run/containerd.sock');
    return demand('ctr', ['-a', socket, '-n', 'k8s.io', ...args], { env: this.#env });
  }

  /** A node by name and address, and the API server's address as pods know it. */
  async places(): Promise<Places> {
    const node = '{.items[0].metadata.name} {.items[0].status.addresses[?(@.type=="InternalIP")].address}';
    const [nodeName = '', nodeAddress = ''] = (await this.demand(['get', 'nodes', '-o', `jsonpath=${node}`])).split(' ');
    const service = ['get', 'service', 'kubernetes', '-n', 'default', '-o', 'jsonpath={.spec.clusterIP}'];
    return { nodeName, node: nodeAddress, apiServer: await this.demand(service) };
  }

  helm(args: readonly string[]): Promise<string> {
    return demand('helm', args, { env: this.#env });
  }

  /** Applies objects as they are now, whoever wrote them before. */
  apply(objects: object | string): Promise<string> {
    return this.demand(['apply', '--server-side', '--force-conflicts', '-f', '-'], objects);
  }

  /** What the API server says to an object that is not stored, once the webhook can be reached. */
  dryRun(object: object, args: readonly string[] = []): Promise<Result> {
    return this.#reaching(['create', '--dry-run=server', '-o', 'json', ...args, '-f', '-'], object);
  }

  /** A fresh namespace with `labels` and `annotations`, after one of the same name is gone. */
  async namespace(
    name: string,
    labels: Readonly<Record<string, string>> = {},
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await this.demand(['delete', 'namespace', name, '--ignore-not-found', '--wait=true', '--timeout=120s']);
    await this.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels, annotations } });
  }
}

/** Governed, under the strictest standard that Kubernetes has; it takes capture from the node. */
export const RESTRICTED = { 'chaperone.dev/inject': 'enabled', 'pod-security.kubernetes.io/enforce': 'restricted' } as const;
export const GOVERNED = { 'chaperone.dev/inject': 'enabled', 'pod-security.kubernetes.io/enforce': 'privileged' } as const;
