import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The first process of a pod, and the network namespace that it is in. */
export interface Sandbox {
  readonly pid: number;
  /** When it started, in the kernel's ticks: with the number of the process it is one process for ever. */
  readonly startedAt: number;
  /** As the kernel names it: `net:[4026532281]`. */
  readonly network: string;
  /** Whether somebody else is in that namespace too: it is then the node's, or that of another pod. */
  readonly shared: boolean;
}

/** The namespace is not, or not any more, the one that was meant. */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
  readonly code = 'CaptureNotInstalled';
}

/** How cgroups name pods: `pod` and the UID, which the driver `systemd` writes with underscores. */
const POD = /pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?![0-9a-zA-Z_-])/g;

/** UIDs of pods in the text of /proc/PID/cgroup, of each hierarchy the outermost first. */
export function podsOf(cgroup: string): string[] {
  return [...cgroup.matchAll(POD)].map(([, uid = '']) => uid.replaceAll('_', '-'));
}

/**
 * Finds the oldest process of each pod: the one that holds its namespaces, or, where a runtime keeps them without one, the sidecar.
 * An agent comes after those, and cannot leave its pod's cgroup.
 * @param proc - The /proc that shows the node's processes.
 */
export function findSandboxes(uids: ReadonlySet<string>, proc: string): ReadonlyMap<string, Sandbox> {
  const oldest = new Map<string, Sandbox>();
  const dwellers = new Map<string, Set<string | undefined>>();
  const depth = ownDepth(proc);
  for (const entry of readdirSync(proc)) {
    if (!/^[1-9]\d{0,9}$/.test(entry)) continue;
    const uid = podOf(Number(entry), proc, depth);
    const found = readSandbox(Number(entry), proc);
    if (found === undefined) continue;
    dwellers.set(found.network, (dwellers.get(found.network) ?? new Set()).add(uid));
    if (uid === undefined || !uids.has(uid)) continue;
    const other = oldest.get(uid);
    if (other === undefined || isOlder(found, other)) oldest.set(uid, found);
  }
  const isShared = ({ network }: Sandbox): boolean => (dwellers.get(network)?.size ?? 0) > 1;
  return new Map([...oldest].map(([uid, sandbox]) => [uid, { ...sandbox, shared: isShared(sandbox) }]));
}

/** Whether that process is still there, in that namespace. */
export function isThere({ pid, startedAt, network }: Sandbox, proc: string): boolean {
  const now = readSandbox(pid, proc);
  return now?.startedAt === startedAt && now.network === network;
}

/**
 * Opens the network namespace of a pod and hands the descriptor over; it stays that namespace, whatever becomes of the process.
 * @throws SandboxError where the process is another one by now, belongs to another pod, or others are in its network: the node, say.
 */
export function withNetwork<T>(uid: string, sandbox: Sandbox, proc: string, use: (descriptor: number) => T): T {
  if (sandbox.shared) throw new SandboxError('others than the pod are in its network; it may be the one of the node');
  const descriptor = openNetwork(sandbox, proc);
  try {
    const inode = /^net:\[(\d+)\]$/.exec(sandbox.network)?.[1];
    if (String(fstatSync(descriptor).ino) !== inode) throw new SandboxError('the pod has another network by now');
    // Looked at after it was opened: nobody can have come in between.
    if (!isThere(sandbox, proc) || podOf(sandbox.pid, proc, ownDepth(proc)) !== uid)
      throw new SandboxError('the first process of the pod has ended');
    return use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function openNetwork({ pid }: Sandbox, proc: string): number {
  try {
    return openSync(`${proc}/${pid}/ns/net`, 'r');
  } catch (cause) {
    throw new SandboxError('the network of the pod cannot be opened', { cause });
  }
}

const isOlder = (one: Sandbox, other: Sandbox): boolean =>
  one.startedAt < other.startedAt || (one.startedAt === other.startedAt && one.pid < other.pid);

/**
 * The pod that a process is of, by every hierarchy that says one. Where a node is itself a pod, as far inside as we are; what is named further
 * inside is what that pod calls cgroups of its own.
 */
function podOf(pid: number, proc: string, depth: number): string | undefined {
  const [uid, ...others] = new Set(chainsOf(pid, proc).map((chain) => chain[depth]));
  return others.length === 0 ? uid : undefined;
}

/** Pods around the one that we are in, as our own cgroup shows them; none where it is all that we see. */
function ownDepth(proc: string): number {
  return Math.max(1, ...chainsOf('self', proc).map(({ length }) => length)) - 1;
}

/** Of each hierarchy in which a process is in a pod. */
function chainsOf(pid: number | 'self', proc: string): string[][] {
  const lines = read(() => readFileSync(`${proc}/${pid}/cgroup`, 'utf8'))?.split('\n') ?? [];
  return lines.map(podsOf).filter(({ length }) => length > 0);
}

function readSandbox(pid: number, proc: string): Sandbox | undefined {
  const stat = read(() => readFileSync(`${proc}/${pid}/stat`, 'utf8'));
  const network = read(() => readlinkSync(`${proc}/${pid}/ns/net`));
  // proc_pid_stat(5): the 22nd field; the second is a name in parentheses, which may hold anything.
  const startedAt = Number(stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  return network === undefined || !Number.isInteger(startedAt) ? undefined : { pid, startedAt, network, shared: false };
}

/** Processes end while they are looked at. */
function read(get: () => string): string | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}
