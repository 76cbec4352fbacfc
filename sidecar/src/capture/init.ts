import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { lastWords } from './last-words.ts';
import { type RuleInput, RuleInputError, routes, ruleset } from './rules.ts';

/** Capture could not be set up; the message is a sentence for whoever describes the pod. */
export class CaptureError extends Error {
  override readonly name = 'CaptureError';
  readonly code = 'CaptureNotInstalled';
}

/** Runs a program with `input` on its standard input, in the network namespace that is meant. */
export type Run = (program: string, args: readonly string[], input?: string) => { status: number | null; output: string };

const LIMITS = { encoding: 'utf8', timeout: 20_000, maxBuffer: 1 << 20 } as const;

export const runProgram: Run = (program, args, input) => resultOf(spawnSync(program, args, { ...LIMITS, input }));

/** Runs programs in the network namespace that descriptor `namespace` holds open. */
export const runInside =
  (namespace: number): Run =>
  (program, args, input) => {
    const inside = ['--net=/proc/self/fd/3', '--', program, ...args];
    return resultOf(spawnSync('nsenter', inside, { ...LIMITS, input, stdio: ['pipe', 'pipe', 'pipe', namespace] }));
  };

function resultOf(result: SpawnSyncReturns<string>): ReturnType<Run> {
  return { status: result.status, output: result.error?.message ?? `${result.stderr}${result.stdout}`.trim() };
}

export interface InstallOptions {
  readonly input: RuleInput;
  readonly run?: Run;
  /** Whether this network namespace has IPv6. */
  readonly hasIpv6?: boolean;
}

/**
 * Routes the virtual ranges to `lo` and installs the rules. Rules come first, so a failure in between leaves a pod that
 * reaches nothing. Repeating it changes nothing.
 * @returns Whether frames around the IP stack are dropped too; an older kernel cannot, and admission denies NET_RAW anyway.
 * @throws CaptureError
 */
export function installCapture({ input, run = runProgram, hasIpv6 = true }: InstallOptions): { guardsFrames: boolean } {
  const guardsFrames = (input.egressDevices ?? []).length > 0 && run('nft', ['-c', '-f', '-'], ruleset(input)).status === 0;
  // A table of an earlier run would drop every packet that does not carry its mark.
  if (!guardsFrames) run('nft', ['delete', 'table', 'netdev', 'chaperone']);
  const text = ruleset(guardsFrames ? input : { ...input, egressDevices: [] });
  demand(run('nft', ['-f', '-'], text), 'nft did not accept the rules');
  // A node whose modules are missing has been seen to accept rules without effect.
  if (!hasRules(run)) throw new CaptureError('the rules are not there after nft accepted them');
  routeRanges({ input, run, hasIpv6 });
  return { guardsFrames };
}

/** Routes the virtual ranges to `lo`; again where they are. @throws CaptureError */
export function routeRanges({ input, run = runProgram, hasIpv6 = true }: InstallOptions): void {
  const paths = routes(input.ranges);
  demand(run('ip', paths.ipv4), 'the virtual range could not be routed');
  if (hasIpv6) demand(run('ip', paths.ipv6), 'the virtual IPv6 range could not be routed');
}

/** Whether the rules are in this network namespace: all of them or none, as they are written in one transaction. */
export function hasRules(run: Run): boolean {
  return run('nft', ['list', 'chain', 'inet', 'chaperone', 'out_filter']).status === 0;
}

function demand({ status, output }: ReturnType<Run>, what: string): void {
  if (status !== 0) throw new CaptureError(`${what}: ${output.split('\n')[0]?.slice(0, 200) ?? ''}`);
}

const OPTIONS = {
  uid: { type: 'string', default: '24601' },
  'ipv4-range': { type: 'string', default: '240.240.0.0/16' },
  'ipv6-range': { type: 'string', default: '2001:2::/48' },
  'dns-port': { type: 'string', default: '15053' },
  'deny-port': { type: 'string', default: '15001' },
  'probe-port': { type: 'string', default: '15021' },
  'self-port': { type: 'string', default: '15011' },
  'inbound-ports': { type: 'string', default: '' },
  'probed-ports': { type: 'string', default: '' },
  'node-addresses': { type: 'string', default: '' },
} as const;

/**
 * Arguments of chaperone-init. Lists are comma separated. They are part of the pod as it was admitted:
 * `--inbound-ports` are the ports that policies named at that moment (operator, from `spec.inbound`), `--probed-ports` those of
 * the pod's own kubelet probes, `--node-addresses` where this node's kubelet probes from (status.hostIPs); the pod's default
 * gateways are added, which is what bridge networks show instead.
 * @throws RuleInputError
 */
export function parseInitArgs(
  args: readonly string[],
  devices: { names: readonly string[]; gateways: readonly string[] },
): RuleInput {
  const values = readArgs(args);
  return {
    uid: number(values.uid),
    ranges: { ipv4: values['ipv4-range'], ipv6: values['ipv6-range'] },
    dnsPort: number(values['dns-port']),
    denyPort: number(values['deny-port']),
    probePort: number(values['probe-port']),
    selfPort: number(values['self-port']),
    inboundPorts: list(values['inbound-ports']).map(number),
    probedPorts: list(values['probed-ports']).map(number),
    nodeAddresses: [...list(values['node-addresses']), ...devices.gateways],
    egressDevices: devices.names,
    egressMark: Math.max(1, randomBytes(4).readUInt32BE()),
  };
}

function list(text: string): string[] {
  return text.split(',').filter((part) => part !== '');
}

function number(text: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : NaN;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function readArgs(args: readonly string[]): Record<keyof typeof OPTIONS, string> {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true }).values;
  } catch (error) {
    throw new RuleInputError(error instanceof Error ? error.message : 'the arguments cannot be read');
  }
}

/** Devices that lead out of this network namespace, and its default gateways. @throws CaptureError */
export function readDevices(run: Run = runProgram): { names: string[]; gateways: string[] } {
  const links = run('ip', ['-j', 'link', 'show']);
  demand(links, 'the devices of the pod cannot be listed');
  const gateways = [['-4'], ['-6']].flatMap((family) => {
    const { status, output } = run('ip', [...family, '-j', 'route', 'show', 'default']);
    return status === 0 ? rows(output).map(({ gateway }) => gateway) : [];
  });
  return {
    names: rows(links.output)
      .map(({ ifname }) => ifname)
      .filter(isText)
      .filter((name) => name !== 'lo'),
    gateways: gateways.filter(isText),
  };
}

function rows(json: string): Record<string, unknown>[] {
  const parsed: unknown = json === '' ? [] : JSON.parse(json);
  return Array.isArray(parsed) ? (parsed as Record<string, unknown>[]) : [];
}

/** Entry point of chaperone-init. @returns The exit status. */
export function main(args: readonly string[], terminationLog = '/dev/termination-log'): number {
  try {
    const input = parseInitArgs(args, readDevices());
    const { guardsFrames } = installCapture({
      input,
      hasIpv6: existsSync(IF_INET6) && hasLoopback6(readFileSync(IF_INET6, 'utf8')),
    });
    process.stderr.write(
      `chaperone-init: capture is installed${guardsFrames ? '' : ' (no netdev egress hook on this kernel)'}\n`,
    );
    return 0;
  } catch (error) {
    const known = error instanceof CaptureError || error instanceof RuleInputError;
    const code = known ? error.code : 'CaptureNotInstalled';
    const message = error instanceof Error ? error.message : 'unknown failure';
    lastWords(`chaperone-init: ${message}; the agent does not start ungoverned (${code})`, terminationLog);
    return 1;
  }
}

/** The IPv6 addresses of the network namespace of whoever reads it; absent where the kernel has no IPv6. */
export const IF_INET6 = '/proc/self/net/if_inet6';

/** Whether `lo` is among the addresses of {@link IF_INET6}. */
export function hasLoopback6(addresses: string): boolean {
  return addresses.split('\n').some((line) => line.endsWith(' lo'));
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
