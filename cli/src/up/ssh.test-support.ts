import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, startSshd, temporaryDirectory, type TestSshd } from '@chaperone/testing';
import { run, Up } from '../program.test-support.ts';

export interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** What an agent runs, and what it said so far. */
export class Talk {
  readonly child: ChildProcess;
  readonly ended: Promise<Said>;
  out = '';
  err = '';

  constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(program, args, { stdio: 'pipe', env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...env } });
    this.child.stdin?.on('error', () => undefined);
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.out += text));
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.err += text));
    this.ended = once(this.child, 'close').then(([code]) => ({ code: code as number | null, out: this.out, err: this.err }));
  }

  type(text: string): void {
    this.child.stdin?.write(text);
  }

  /** Waits until it has said that. */
  async says(what: string | RegExp): Promise<void> {
    const isSaid = (said: string): boolean => (typeof what === 'string' ? said.includes(what) : what.test(said));
    await eventually(`${what}`, () => (isSaid(this.out) || isSaid(this.err) ? true : undefined)).catch(() => {
      throw new Error(`it did not say ${what}, but ${JSON.stringify([this.out, this.err])}`);
    });
  }
}

interface Request {
  readonly metadata: { name: string; namespace: string; uid: string };
  readonly spec: { text: string; digest: string; session: string; agent: { onBehalfOf?: unknown } };
  readonly status?: { state?: string; result?: string };
}

export interface OpenSession {
  readonly name: string;
  readonly state: string;
}

/** An sshd, and `chaperone up` before it. */
export interface SshWorld extends AsyncDisposable {
  readonly sshd: TestSshd;
  readonly data: string;
  readonly folder: string;
  /** Arguments of ssh up to the command, for a resource by its name. */
  readonly to: (resource: string, ...options: string[]) => string[];
  /** For scp and sftp: what makes them go there. */
  readonly options: (resource: string) => string[];
  /** A link that signs a browser in to the console. */
  readonly console: string;
  /** The file of all manifests. */
  readonly manifest: string;
  readonly requests: () => Promise<Request[]>;
  /** The newest first. */
  readonly sessions: () => Promise<OpenSession[]>;
  /** Waits for a request whose text has that in it, or is so, and approves it. */
  readonly approve: (text: string | ((text: string) => boolean)) => Promise<Request>;
  /** Records of all sessions, the newest session first. */
  readonly records: () => Promise<Record<string, unknown>[][]>;
  /** Waits for the records of the newest session or of the named one, once it has ended and they hold up to `done`. */
  readonly session: (done: (records: Record<string, unknown>[]) => boolean, name?: string) => Promise<Record<string, unknown>[]>;
  readonly chaperone: (...args: string[]) => ReturnType<typeof run>;
}

const GRANT = 'operations: [exec, shell, forward, subsystem, read, write, list, delete]';

/**
 * The host as resources and the login to it, in YAML, before what policies say.
 * @param names - of the resources, all of them the same host
 * @param grant - what agents are granted
 */
export function hostManifests(sshd: TestSshd, names: readonly string[] = ['build'], grant = GRANT): string {
  const resource = (name: string): string => `apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${name}, namespace: data}
spec:
  protocol: ssh
  hosts: [${name}]
  port: 22
  upstream: {address: "127.0.0.1:${sshd.port}"}
  credentials: {secretRef: {name: host-agent}}
  ssh: {hostKeys: ["${sshd.hostKey}"]}
  sensitive: [{label: pci.card, detector: credit-card}]
  grantedTo: [{namespace: agents, ${grant}}]
---
`;
  return `${names.map(resource).join('')}apiVersion: v1
kind: Secret
metadata: {name: host-agent, namespace: data}
stringData:
  username: ${sshd.user}
  ssh-privatekey: |
    ${sshd.privateKey.trimEnd().replaceAll('\n', '\n    ')}
---
`;
}

/**
 * @param resources - names of resources, all the same host
 * @param policies - what follows, in YAML
 */
export async function startSshWorld(resources: readonly string[], policies: (sshd: TestSshd) => string): Promise<SshWorld> {
  const folder = await temporaryDirectory('chaperone-ssh-');
  const sshd = await startSshd();
  const [data, manifests] = [join(folder.path, 'data'), join(folder.path, 'manifests')];
  await mkdir(manifests);
  await writeFile(join(manifests, 'ssh.yaml'), `${hostManifests(sshd, resources)}${policies(sshd)}`);
  const up = await Up.start(manifests, data);
  const chaperone = (...args: string[]): ReturnType<typeof run> => run([...args, '--data', data]);
  const port = (name: string): string =>
    up.ready.resources.find((each) => each.resource === `data/${name}`)?.address.split(':')[1] ?? '';
  const settings = [`UserKnownHostsFile=${join(data, 'known_hosts')}`, 'StrictHostKeyChecking=yes'];
  const common = ['-F', 'none', ...settings.flatMap((setting) => ['-o', setting])];
  const { url, token } = JSON.parse(await readFile(join(data, 'collector.json'), 'utf8')) as { url: string; token: string };
  const http = async <T>(path: string, body?: object): Promise<T> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const response = await fetch(`${url}${path}`, { headers, ...(body && { method: 'POST', body: JSON.stringify(body) }) });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as T;
  };
  const requests = async (): Promise<Request[]> => (await http<{ items: Request[] }>('/v1/requests')).items;
  const sessions = async (): Promise<OpenSession[]> => (await http<{ items: OpenSession[] }>('/v1/sessions')).items;
  const recordsOf = async (name: string): Promise<Record<string, unknown>[]> =>
    (await http<{ items: Record<string, unknown>[] }>(`/v1/sessions/${name}/records?limit=1000`)).items;
  return {
    sshd,
    data,
    folder: folder.path,
    to: (name, ...options) => [...common, ...options, '-p', port(name), 'bot@127.0.0.1'],
    options: (name) => [...common, '-o', `Port=${port(name)}`],
    console: up.ready.console,
    manifest: join(manifests, 'ssh.yaml'),
    requests,
    sessions,
    approve: async (text) => {
      const isMeant = typeof text === 'string' ? (asked: string): boolean => asked.includes(text) : text;
      const request = await eventually(`a request of ${typeof text === 'string' ? text : 'that text'}`, async () =>
        (await requests()).find(({ status, spec }) => status?.state === 'Pending' && isMeant(spec.text)),
      );
      const { metadata, spec } = request;
      const body = { requestUid: metadata.uid, digest: spec.digest, decision: 'Approve' };
      await http(`/v1/requests/${metadata.namespace}/${metadata.name}/decisions`, body);
      return request;
    },
    records: async () => Promise.all((await sessions()).map(({ name }) => recordsOf(name))),
    session: (done, name) =>
      eventually('a session that ended', async () => {
        const meant = name ?? (await sessions())[0]?.name;
        const records = meant === undefined ? [] : await recordsOf(meant);
        return records.at(-1)?.['type'] === 'session.close' && done(records) ? records : undefined;
      }),
    chaperone,
    [Symbol.asyncDispose]: async () => {
      await up[Symbol.asyncDispose]();
      await sshd[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}
