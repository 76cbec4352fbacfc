import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { request } from 'node:https';
import { join } from 'node:path';
import { type Certified, testAuthority } from './certificates.ts';
import { findProgram } from './programs.ts';
import { eventually, freePort, temporaryDirectory } from './temporary.ts';

const ETCD = findProgram('etcd');
const API_SERVER = findProgram('kube-apiserver');
export const KUBECTL = findProgram('kubectl');
/** The server needs some ten seconds of a processor to start. */
const START_MS = 180_000;
/** Undefined where a program that is needed is missing. */
export const hasApiServer = ETCD !== undefined && API_SERVER !== undefined && KUBECTL !== undefined;

export interface ApiServer extends AsyncDisposable {
  /** HOST:PORT */
  readonly address: string;
  readonly ca: string;
  /** Of one that may do everything. */
  readonly token: string;
  /** A certificate by which somebody of this name signs in. */
  readonly client: (name: string, options?: { notAfter?: Date }) => Promise<Certified>;
  /** Signs tokens of ServiceAccounts; PEM, PKCS#8. */
  readonly tokenKey: string;
  /** A kubeconfig, JSON, for a server that is before it or is it. */
  kubeconfig(server: string, ca: string, namespace: string): string;
  /** Kills kube-apiserver and starts it anew, with all that etcd holds: what watches from before ask for is too old for it. */
  restart(): Promise<void>;
}

/** kube-apiserver before an etcd of its own. */
export async function startApiServer(host = '127.0.0.1'): Promise<ApiServer> {
  const directory = await temporaryDirectory();
  const [clientPort, peerPort, port] = await Promise.all([freePort(), freePort(), freePort()]);
  const at = (name: string): string => join(directory.path, name);
  const authority = await testAuthority();
  const leaf = await authority.issue([host]);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const tokenKey = privateKey.export({ type: 'pkcs8', format: 'pem' });
  const token = 'admin-token';
  writeFileSync(at('tls.crt'), leaf.certificate);
  writeFileSync(at('tls.key'), leaf.key);
  writeFileSync(at('ca.crt'), authority.ca);
  writeFileSync(at('sa.key'), tokenKey);
  writeFileSync(at('tokens.csv'), `${token},admin,1,system:masters\n`);
  const children: ChildProcess[] = [];
  let said = '';
  const run = (program: string, args: readonly string[]): ChildProcess => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (data: Buffer) => {
      said = (said + data.toString()).slice(-4_000);
    });
    children.push(child);
    return child;
  };
  const etcd = `http://127.0.0.1:${clientPort}`;
  const peers = `http://127.0.0.1:${peerPort}`;
  run(ETCD ?? '', [
    `--data-dir=${at('etcd')}`,
    `--listen-client-urls=${etcd}`,
    `--advertise-client-urls=${etcd}`,
    `--listen-peer-urls=${peers}`,
    `--initial-advertise-peer-urls=${peers}`,
    `--initial-cluster=default=${peers}`,
    '--unsafe-no-fsync',
  ]);
  const serve = (): ChildProcess => run(API_SERVER ?? '', flags);
  const flags = [
    `--etcd-servers=${etcd}`,
    `--bind-address=${host}`,
    `--secure-port=${port}`,
    `--tls-cert-file=${at('tls.crt')}`,
    `--tls-private-key-file=${at('tls.key')}`,
    `--token-auth-file=${at('tokens.csv')}`,
    `--client-ca-file=${at('ca.crt')}`,
    '--authorization-mode=RBAC',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${at('sa.key')}`,
    `--service-account-signing-key-file=${at('sa.key')}`,
    '--disable-admission-plugins=ServiceAccount',
    '--kubelet-preferred-address-types=InternalIP',
    `--cert-dir=${at('certs')}`,
  ];
  let server = serve();
  const ready = async (): Promise<true | undefined> => {
    if (children.some(({ exitCode }) => exitCode !== null)) throw new Error(said);
    const asked = request({
      host,
      port,
      path: '/readyz',
      ca: authority.ca,
      headers: { authorization: `Bearer ${token}` },
    });
    asked.end();
    const [answer] = (await once(asked, 'response')) as [{ statusCode?: number; resume: () => void }];
    answer.resume();
    return answer.statusCode === 200 ? true : undefined;
  };
  try {
    await eventually(`kube-apiserver`, ready, START_MS);
  } catch (error) {
    for (const child of children) child.kill('SIGKILL');
    throw new Error(said, { cause: error });
  }
  return {
    address: `${host}:${port}`,
    ca: authority.ca,
    token,
    tokenKey,
    client: (name, options) => authority.issue([name], options),
    kubeconfig: (url, ca, namespace) =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'c', cluster: { server: url, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
        users: [{ name: 'u', user: { token } }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace } }],
        'current-context': 'x',
      }),
    restart: async () => {
      const closed = once(server, 'close');
      server.kill('SIGKILL');
      await closed;
      server = serve();
      await eventually(`kube-apiserver`, ready, START_MS);
    },
    [Symbol.asyncDispose]: async () => {
      const closed = children
        .filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
        .map((child) => once(child, 'close'));
      for (const child of children.toReversed()) child.kill('SIGKILL');
      await Promise.all(closed);
      await directory[Symbol.asyncDispose]();
    },
  };
}
