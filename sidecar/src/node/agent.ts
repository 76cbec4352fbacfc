import {
  CaptureError,
  hasLoopback6,
  hasRules,
  IF_INET6,
  installCapture,
  parseInitArgs,
  readDevices,
  routeRanges,
  type Run,
  runInside,
} from '../capture/init.ts';
import { RuleInputError } from '../capture/rules.ts';
import type { Logger } from '../platform.ts';
import type { CapturedPod } from './pods.ts';
import { findSandboxes, isThere, type Sandbox, SandboxError, withNetwork } from './processes.ts';

export interface AgentOptions {
  /** What is the installation's and the node's: arguments of chaperone-init. */
  readonly args: readonly string[];
  /** The pods of this node as the API server has them now; undefined before it was heard. */
  readonly pods: () => readonly CapturedPod[] | undefined;
  readonly logger: Logger;
  /** Where the node's processes are. Default: /proc */
  readonly proc?: string;
  /** Milliseconds that only grow. */
  readonly monotonic?: () => number;
}

/** After a failure that pod is left alone for so long. */
const AGAIN_MS = 1_000;
/** A turn that took so long leaves the rest to the next: whoever asks for the agent's health is answered in between. */
const TURN_MS = 1_000;

/** Writes each pod's rules once its network is there, and never over rules that are. */
export class NodeAgent {
  readonly #options: AgentOptions;
  readonly #proc: string;
  readonly #monotonic: () => number;
  readonly #captured = new Map<string, Sandbox>();
  readonly #failed = new Map<string, { readonly at: number; readonly message: string; readonly times: number }>();
  #waiting = 0;
  #failures = 0;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#proc = options.proc ?? '/proc';
    this.#monotonic = options.monotonic ?? (() => performance.now());
  }

  /** Pods with rules, pods that wait for theirs, and attempts that failed since the start. */
  get counts(): { readonly captured: number; readonly waiting: number; readonly failures: number } {
    return { captured: this.#captured.size, waiting: this.#waiting, failures: this.#failures };
  }

  /** Looks once at every pod, and writes what is missing. What fails is tried again at a later turn, and logged when it fails again. Never throws. */
  turn(): void {
    const pods = this.#options.pods();
    if (pods === undefined) return;
    const known = new Set(pods.map(({ uid }) => uid));
    for (const memory of [this.#captured, this.#failed]) for (const uid of memory.keys()) if (!known.has(uid)) memory.delete(uid);
    const missing = pods.filter((pod) => !this.#isCaptured(pod));
    this.#waiting = missing.length;
    if (missing.length === 0) return;
    const until = this.#monotonic() + TURN_MS;
    const sandboxes = findSandboxes(new Set(missing.map(({ uid }) => uid)), this.#proc);
    for (const pod of missing) {
      if (this.#monotonic() > until) return;
      const sandbox = sandboxes.get(pod.uid);
      if (sandbox !== undefined && !this.#isRecentFailure(pod)) this.#capture(pod, sandbox);
    }
  }

  #isCaptured({ uid }: CapturedPod): boolean {
    const sandbox = this.#captured.get(uid);
    if (sandbox === undefined || isThere(sandbox, this.#proc)) return sandbox !== undefined;
    this.#captured.delete(uid);
    return false;
  }

  #isRecentFailure({ uid }: CapturedPod): boolean {
    const failed = this.#failed.get(uid);
    return failed !== undefined && this.#monotonic() - failed.at < AGAIN_MS;
  }

  #capture(pod: CapturedPod, sandbox: Sandbox): void {
    try {
      const outcome = withNetwork(pod.uid, sandbox, this.#proc, (network) =>
        captureNetwork(pod, this.#options.args, runInside(network)),
      );
      this.#captured.set(pod.uid, sandbox);
      this.#failed.delete(pod.uid);
      this.#waiting -= 1;
      this.#options.logger.info(outcome === 'kept' ? 'the rules of a pod are there' : 'the rules of a pod are written', {
        pod: pod.name,
        uid: pod.uid,
      });
    } catch (error) {
      this.#failures += 1;
      const known = error instanceof CaptureError || error instanceof SandboxError || error instanceof RuleInputError;
      const message = known ? error.message : 'unknown failure';
      const before = this.#failed.get(pod.uid);
      const times = before?.message === message ? before.times + 1 : 1;
      // Once may be a container that is just being made.
      if (times === 2)
        this.#options.logger.error('the rules of a pod are not written; its agent does not start', {
          pod: pod.name,
          uid: pod.uid,
          code: known ? error.code : 'CaptureNotInstalled',
          problem: message,
        });
      this.#failed.set(pod.uid, { at: this.#monotonic(), message, times });
    }
  }
}

/** Arguments of chaperone-init for one pod. */
export function argsOf({ inboundPorts, probedPorts }: CapturedPod, args: readonly string[]): string[] {
  return [...args, `--inbound-ports=${inboundPorts}`, `--probed-ports=${probedPorts}`];
}

/**
 * Does what chaperone-init does, in the network namespace that `run` runs in. Rules that are there stay as they are; the agent that
 * wrote them may have ended before it came to the routes.
 * @throws CaptureError RuleInputError
 */
function captureNetwork(pod: CapturedPod, args: readonly string[], run: Run): 'written' | 'kept' {
  const input = parseInitArgs(argsOf(pod, args), readDevices(run));
  const addresses = run('cat', [IF_INET6]);
  const hasIpv6 = addresses.status === 0 && hasLoopback6(addresses.output);
  if (!hasRules(run)) {
    installCapture({ input, run, hasIpv6 });
    return 'written';
  }
  routeRanges({ input, run, hasIpv6 });
  return 'kept';
}
