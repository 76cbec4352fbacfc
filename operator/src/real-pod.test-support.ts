import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { getObject, KINDS } from '@chaperone/kube';
import { eventually, findProgram, temporaryDirectory } from '@chaperone/testing';
import type { EnvVar } from './injection/pod.ts';
import { PORTS } from './injection/profile.ts';
import { AGENTS } from './operator.test-support.ts';
import { Joint, type RealCluster, type Replica } from './real-cluster.test-support.ts';

const SIDECAR = join(import.meta.dirname, '../../sidecar/src');
const AGENT = join(import.meta.dirname, 'real-agent.test-support.ts');
const SIDECAR_UID = 24_601;
const AGENT_UID = 1000;
const OPERATOR_NAME = 'chaperone-operator.chaperone-system.svc';
const OPERATOR_PORT = 8443;

/** Network namespaces need root, and these programs. */
export const canRunPods =
  process.getuid?.() === 0 && ['ip', 'nft', 'nsenter', 'setpriv', 'unshare'].every((name) => findProgram(name) !== undefined);

function sh(script: string): string {
  const { status, stderr, stdout } = spawnSync('sh', ['-ec', script], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}

interface Injected {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env?: readonly EnvVar[];
}

/** What an agent's session answered: rows as the client has them, or the error that it was given. */
export interface Told {
  readonly rows?: readonly Readonly<Record<string, unknown>>[];
  readonly error?: string;
}

/**
 * What a kubelet makes of an agent's pod, on this machine: a network namespace with the rules that its chaperone-init writes, its
 * sidecar as a process, and an agent who knows a database by its name alone. Whatever the agent may reach is at `host`.
 */
export class RealPod implements AsyncDisposable {
  /** This machine, as the pod sees it. */
  readonly host: string;
  /** All that the sidecar's process wrote. */
  sidecarSaid = '';
  /** How sessions of the agent ended, by their name. */
  readonly ended = new Map<string, string>();
  readonly #namespace: string;
  readonly #link: string;
  readonly #address: string;
  readonly #children: ChildProcess[] = [];
  readonly #asked = new Map<number, (told: Told) => void>();
  #directory: Awaited<ReturnType<typeof temporaryDirectory>> | undefined;
  #operator: Joint | undefined;
  #agent: ChildProcess | undefined;
  #asks = 0;

  /** The network alone, so that servers can listen at `host`. */
  constructor() {
    const { pid } = process;
    const net = `10.${200 + ((pid >> 14) & 31)}.${(pid >> 6) & 255}`;
    this.host = `${net}.${(pid & 63) * 4 + 1}`;
    this.#address = `${net}.${(pid & 63) * 4 + 2}`;
    this.#namespace = `chap-reach-${pid}`;
    this.#link = `chap${pid}`;
    sh(`ip netns add ${this.#namespace}
      ip link add ${this.#link} type veth peer name eth0 netns ${this.#namespace}
      ip addr add ${this.host}/30 dev ${this.#link}; ip link set ${this.#link} up
      ip -n ${this.#namespace} link set lo up; ip -n ${this.#namespace} link set eth0 up
      ip -n ${this.#namespace} addr add ${this.#address}/30 dev eth0
      ip -n ${this.#namespace} route add default via ${this.host}
      nsenter --net=/run/netns/${this.#namespace} sysctl -qw net.ipv4.ip_unprivileged_port_start=0`);
  }

  /** Creates the pod through the API server, and starts what was injected. Resolves once the agent may start. */
  async start(cluster: RealCluster, leader: Replica, name: string): Promise<void> {
    const pod = await cluster.createPod(name);
    this.#directory = await temporaryDirectory();
    await chmod(this.#directory.path, 0o755);
    for (const own of ['run', 'spool', 'ssh']) {
      await mkdir(this.path(own));
      await chown(this.path(own), SIDECAR_UID, SIDECAR_UID);
    }
    await writeFile(this.path('token'), cluster.tokenOf(pod));
    await writeFile(this.path('hosts'), `127.0.0.1 localhost\n${this.host} ${OPERATOR_NAME}\n`);
    await writeFile(this.path('resolv.conf'), 'nameserver 10.96.0.10\nsearch agents.svc.cluster.local svc.cluster.local\n');
    this.#operator = new Joint();
    const { port } = leader.operator.servers.sidecars.address() as AddressInfo;
    this.#operator.targets = [{ host: '127.0.0.1', port }];
    await this.#operator.listen({ host: this.host, port: OPERATOR_PORT });

    const [init, sidecar] = (pod.spec as { initContainers: Injected[] }).initContainers;
    const args = (init?.args ?? []).map((arg) => arg.replace(/\$\(NODE_ADDRESSES\)/, this.host).replace(/\$\(\w+\)/, ''));
    const installed = spawnSync(...this.#inside('root', [process.execPath, join(SIDECAR, 'capture/init.ts'), ...args]), {
      encoding: 'utf8',
    });
    if (installed.status !== 0) throw new Error(`no rules: ${installed.stderr}`);
    const injected = (sidecar?.env ?? []).flatMap(({ name: key, value }) => (value === undefined ? [] : [[key, value]]));
    const env = {
      PATH: process.env['PATH'],
      ...(Object.fromEntries(injected) as Record<string, string>),
      CHAPERONE_TOKEN_FILE: this.path('token'),
      CHAPERONE_RUN_DIRECTORY: this.path('run'),
      CHAPERONE_SPOOL_DIRECTORY: this.path('spool'),
      CHAPERONE_SSH_DIRECTORY: this.path('ssh'),
    };
    const child = this.#spawn(SIDECAR_UID, [join(SIDECAR, 'main.ts')], env);
    child.stderr?.on('data', (text: Buffer) => (this.sidecarSaid += text.toString()));
    await eventually('the sidecar to let its agent start', () => this.#isStarted(), 60_000).catch((cause: unknown) => {
      throw new Error(this.sidecarSaid, { cause });
    });
    const ca = await getObject(cluster.kube, KINDS.configMaps, { namespace: AGENTS, name: 'chaperone-ca' });
    await writeFile(this.path('ca.crt'), (ca?.data as Record<string, string> | undefined)?.['ca.crt'] ?? '');
    this.#startAgent();
  }

  /** A file or folder of the pod. */
  path(name: string): string {
    return join(this.#directory?.path ?? '', name);
  }

  /** Lets the agent run a statement in a session of this name with the database at `host`, which it opens first where there is none. */
  async ask(session: string, host: string, sql: string): Promise<Told> {
    const id = ++this.#asks;
    const answered = new Promise<Told>((resolve) => this.#asked.set(id, resolve));
    this.#agent?.stdin?.write(`${JSON.stringify({ id, session, host, sql })}\n`);
    return await answered;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    const closed = ended.map((child) => once(child, 'exit'));
    for (const child of ended) child.kill('SIGKILL');
    await Promise.all(closed);
    this.#operator?.[Symbol.dispose]();
    sh(`ip link del ${this.#link}; ip netns del ${this.#namespace}`);
    await this.#directory?.[Symbol.asyncDispose]();
  }

  #startAgent(): void {
    this.#agent = this.#spawn(AGENT_UID, [AGENT, this.path('ca.crt')], { PATH: process.env['PATH'] });
    createInterface({ input: this.#agent.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const { id, session, ended, ...told } = JSON.parse(line) as Told & { id?: number; session?: string; ended?: string };
      if (ended !== undefined) this.ended.set(session ?? '', ended);
      if (id === undefined) return;
      this.#asked.get(id)?.(told);
      this.#asked.delete(id);
    });
  }

  /** The kubelet's own question, from the node. */
  #isStarted(): Promise<true | undefined> {
    return new Promise((resolve, reject) => {
      get({ host: this.#address, port: PORTS.probe, path: '/startz' }, (response) => {
        response.resume();
        resolve(response.statusCode === 200 ? true : undefined);
      }).on('error', reject);
    });
  }

  #spawn(uid: number, command: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
    const child = spawn(...this.#inside(uid, [process.execPath, ...command]), { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#children.push(child);
    return child;
  }

  /** A command in the pod, with the files that a kubelet writes. */
  #inside(user: number | 'root', command: readonly string[]): [string, string[]] {
    const mounts = ['hosts', 'resolv.conf'].map((name) => `mount --bind ${this.path(name)} /etc/${name}`).join(' && ');
    const drop =
      user === 'root' ? '' : `setpriv --reuid=${user} --regid=${user} --clear-groups --inh-caps=-all --bounding-set=-all`;
    const script = `${mounts} && exec ${drop} "$@"`;
    return ['nsenter', [`--net=/run/netns/${this.#namespace}`, 'unshare', '--mount', 'sh', '-ec', script, 'sh', ...command]];
  }
}
