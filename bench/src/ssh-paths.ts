import { randomFillSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasSshd, startSshd, type TestSshd } from '@chaperone/testing';
import { reachable, startSidecar } from './alone.ts';
import { startListening, startRelay } from './bare.ts';
import type { Collected } from './collected.ts';
import type { FloorTarget } from './ssh-floor.ts';

/**
 * One way to the same sshd. `direct`: none between; `bare`: a relay in Node that only pipes; `floor`: one that
 * opens and seals what goes through it by our transport, and nothing else; `metadata`: the sidecar where the policy
 * keeps neither commands nor output; `results`: as policies are by default, 1 MiB of output kept;
 * `detectors`: the same, and three detectors look through what is shown.
 */
export const SSH_SLOTS = ['direct', 'bare', 'floor', 'metadata', 'results', 'detectors'] as const;
export type SshSlot = (typeof SSH_SLOTS)[number];

export interface SshPath {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Options of ssh and scp, but for the port. */
  readonly options: readonly string[];
  /** The process in between, if any. */
  readonly pid: number | undefined;
}

export interface SshWorld extends AsyncDisposable {
  readonly paths: Readonly<Record<SshSlot, SshPath>>;
  /** The host's: files that are there, and a directory for files that are put there. */
  readonly files: { readonly random: string; readonly text: string; readonly area: string };
  /** The sidecar's process. */
  readonly pid: number;
}

const PORT = 22;
const MIB = 1024 * 1024;
const LINE = 'INFO 2026-11-28T12:00:00Z request 4711 of alice@example.com from 192.0.2.17 took 12 ms and gave {"rows": 17}\n';
const POLICIES: Readonly<Record<Exclude<SshSlot, 'direct' | 'bare' | 'floor'>, string>> = {
  metadata: '{content: metadata}',
  results: '{content: results}',
  detectors: '{content: results}',
};

/** Starts all of them, with files of `mib` MiB at the host. Needs root. @throws Error */
export async function startSshWorld(
  directory: string,
  options: { mib: number; collected: Collected; flags?: readonly string[] },
): Promise<SshWorld> {
  if (!hasSshd) throw new Error('there is no sshd, or no root to run it');
  const host = reachable();
  await using started = new AsyncDisposableStack();
  const sshd = started.use(await startSshd([`ListenAddress ${host}`, 'MaxSessions 1000']));
  const area = join(sshd.directory, 'area');
  await mkdir(area);
  const files = { random: join(area, 'random'), text: join(area, 'text'), area };
  await writeFile(files.random, randomFillSync(Buffer.alloc(options.mib * MIB)));
  await writeFile(files.text, Buffer.alloc(options.mib * MIB, LINE));
  const manifests = manifestsOf(sshd, host, area);
  const { collected, flags = [] } = options;
  const sidecar = started.use(await startSidecar(join(directory, 'sidecar'), { manifests, collected, flags }));
  const { port, hostKey, user, privateKey } = sshd;
  const relay = started.use(await startRelay({ host, port }));
  const target: FloorTarget = { host, port, hostKey, user, privateKey };
  const floor = started.use(await startListening([join(import.meta.dirname, 'ssh-floor.ts'), JSON.stringify(target)]));
  const key = join(sshd.directory, 'agent');
  const settings = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'BatchMode=yes'];
  const common = {
    user: sshd.user,
    options: ['-F', 'none', '-c', 'aes128-gcm@openssh.com', ...settings.flatMap((setting) => ['-o', setting])],
  };
  const withKey = { ...common, options: [...common.options, '-o', 'IdentitiesOnly=yes', '-i', key] };
  const ours = (name: SshSlot): SshPath => ({ ...common, host: sidecar.addressOf(name), port: PORT, pid: sidecar.pid });
  const all = started.move();
  return {
    paths: {
      direct: { ...withKey, host, port: sshd.port, pid: undefined },
      bare: { ...withKey, host: '127.0.0.1', port: relay.port, pid: relay.pid },
      floor: { ...common, host: '127.0.0.1', port: floor.port, pid: floor.pid },
      metadata: ours('metadata'),
      results: ours('results'),
      detectors: ours('detectors'),
    },
    files,
    pid: sidecar.pid,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function manifestsOf(sshd: TestSshd, host: string, area: string): string {
  const each = Object.entries(POLICIES).flatMap(([name, recording]) => [
    `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${name}, namespace: data}
spec:
  protocol: ssh
  hosts: [${name}]
  port: ${PORT}
  upstream: {address: "${host}:${sshd.port}"}
  credentials: {secretRef: {name: bench-key}}
  ssh: {hostKeys: ["${sshd.hostKey}"]}${name === 'detectors' ? DETECTORS : ''}
  grantedTo: [{namespace: agents, operations: [exec, subsystem, read, write, list]}]
`,
    `
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ${name}, namespace: agents}
spec:
  agents: {podSelector: {matchLabels: {app: bench}}}
  purpose: measure what the proxy costs
  rules:
    - {name: run, effect: Allow, resource: {namespace: data, name: ${name}}, ssh: {commands: [echo **, cat **, "true"]}}
    - {name: files, effect: Allow, resource: {namespace: data, name: ${name}}, ssh: {files: {operations: [read, write, list], paths: ["${area}/**"]}}}
  recording: ${recording}
`,
  ]);
  const secret = `
apiVersion: v1
kind: Secret
metadata:
  name: bench-key
  namespace: data
  annotations: {chaperone.dev/upstream: "${host}:${sshd.port}"}
stringData:
  username: ${sshd.user}
  ssh-privatekey: |
    ${sshd.privateKey.trimEnd().replaceAll('\n', '\n    ')}
`;
  return [...each, secret].join('---');
}

const DETECTORS = `
  sensitive:
    - {label: found.card, detector: credit-card}
    - {label: found.mail, detector: email}
    - {label: found.ssn, detector: ssn}`;
