import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { testAuthority } from './certificates.ts';
import { findProgram } from './programs.ts';
import { type Ran, runProgram } from './run.ts';
import { temporaryDirectory } from './temporary.ts';

/** Built by scripts/kubernetes-peers out of the modules of kube-apiserver and of kubelets. */
const PROGRAM = join(import.meta.dirname, '../../.cache/kubernetes-peers/pods');
const KUBECTL = findProgram('kubectl');
/** Each kubectl that is here; they differ in how they open connections. */
export const KUBECTLS = [
  ...new Set([KUBECTL, '/var/lib/local-cluster/bin/kubectl'].filter((path) => path !== undefined && existsSync(path))),
] as readonly string[];
export const hasPods = existsSync(PROGRAM) && KUBECTL !== undefined;

export interface Pods extends AsyncDisposable {
  /** HOST:PORT */
  readonly address: string;
  readonly ca: string;
}

/** An API server with a kubelet behind it that has every pod; what is executed there runs on this machine. */
export async function startPods(environment: Readonly<Record<string, string>> = {}, host = '127.0.0.1'): Promise<Pods> {
  const directory = await temporaryDirectory();
  const authority = await testAuthority();
  const leaf = await authority.issue([host]);
  const [certificate, key] = [join(directory.path, 'tls.crt'), join(directory.path, 'tls.key')];
  writeFileSync(certificate, leaf.certificate);
  writeFileSync(key, leaf.key);
  const child = spawn(PROGRAM, [certificate, key, host], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, ...environment },
  });
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    address: `${host}:${port.toString().trim()}`,
    ca: authority.ca,
    [Symbol.asyncDispose]: async () => {
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
      await directory[Symbol.asyncDispose]();
    },
  };
}

export interface At {
  readonly port: number;
  readonly ca: string;
  readonly directory: string;
  /** Default: one that no API server knows */
  readonly token?: string;
}

/** A kubeconfig of a server on this machine, with the namespace shop. */
export function configOf({ port, ca, directory, token = 'of-the-agent' }: At): string {
  const config = join(directory, `config-${port}`);
  const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  writeFileSync(
    config,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: { token } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'shop' } }],
      'current-context': 'x',
    }),
  );
  return config;
}

/** A kubectl that talks to such a server. */
export function kubectlOf(
  program: string,
  at: At,
): (args: readonly string[], input?: string, environment?: Readonly<Record<string, string>>) => Promise<Ran> {
  const config = configOf(at);
  return (args, input, environment) =>
    runProgram(program, ['--kubeconfig', config, '--cache-dir', join(at.directory, 'cache'), ...args], input, environment);
}
