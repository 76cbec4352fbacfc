import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryDirectory } from '@chaperone/testing';
import type { Cluster } from './cluster.ts';
import { AGENTS, DATA, type Shop } from './shop.ts';

/** As agents call it. */
export const HOST = 'web-1.corp';
export const CARD = '4111 1111 1111 1111';

/** Programs and files of the host, as its owner put them there. */
const SETUP = `
cat >/usr/local/bin/report <<'END'
#!/bin/sh
echo 'two of three'
echo 'one is late' >&2
exit 3
END
cat >/usr/local/bin/release <<'END'
#!/bin/sh
echo "$1" >>/srv/app/released
echo "released $1"
END
chmod +x /usr/local/bin/report /usr/local/bin/release
su deploy -c 'git init -q --bare -b main /srv/git/app.git'
touch /srv/app/released && chown deploy /srv/app/released
su deploy -c 'echo paid with ${CARD}, thank you >/srv/app/receipt.txt'
echo 'not for agents' >/srv/private/note.txt
`;

/** A data owner's host with OpenSSH, in a pod; what it is as a resource, and what the shop's agents may do there. */
export class Host {
  readonly #cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Starts it. The shop's namespaces are there. */
  static async start(shop: Shop): Promise<Host> {
    const { cluster } = shop;
    const [server, agent] = await Promise.all([newKey(), newKey()]);
    const files = { host_key: server.private, authorized_keys: agent.public };
    const metadata = { name: 'web-1', namespace: DATA };
    const labels = { app: 'web-1' };
    const container = {
      name: 'sshd',
      image: shop.installation.image('host'),
      readinessProbe: { tcpSocket: { port: 22 }, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 10 },
      volumeMounts: [{ name: 'keys', mountPath: '/etc/host' }],
    };
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'v1', kind: 'Secret', metadata: { ...metadata, name: 'web-1-keys' }, stringData: files },
        {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { ...metadata, labels },
          spec: {
            containers: [container],
            volumes: [{ name: 'keys', secret: { secretName: 'web-1-keys' } }],
            terminationGracePeriodSeconds: 1,
          },
        },
        { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ port: 22 }] } },
        {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { ...metadata, name: 'web-1-agent', annotations: { 'chaperone.dev/upstream': 'web-1.data.svc:22' } },
          type: 'kubernetes.io/ssh-auth',
          stringData: { username: 'deploy', 'ssh-privatekey': agent.private },
        },
        resource('web-1', 22, server.public),
        resource('web-1-again', 2222, server.public),
        POLICY,
      ],
    });
    await cluster.demand(['wait', '--for=condition=Ready', 'pod/web-1', '-n', DATA, '--timeout=90s']);
    const host = new Host(cluster);
    await host.run(SETUP);
    return host;
  }

  /** Runs a script there as its owner, beside all of this; it must succeed. @returns Standard output. */
  run(script: string): Promise<string> {
    return this.#cluster.demand(['exec', '-i', 'web-1', '-n', DATA, '--', 'sh', '-se'], script);
  }

  /** Puts a file there that agents may read. */
  async write(path: string, content: string): Promise<void> {
    await this.#cluster.demand(['exec', '-i', 'web-1', '-n', DATA, '--', 'sh', '-c', `cat >${path}`], content);
  }

  /** Has it show another host key than before, and waits until it does. */
  async showKey(which: 'its own' | 'a new one'): Promise<void> {
    const make = which === 'its own' ? 'cat /etc/host/host_key >$key' : `rm $key && ssh-keygen -q -N '' -t ed25519 -f $key`;
    await this.run(`key=/etc/ssh/host_key
      ${make}
      kill -HUP 1
      shown=$(ssh-keygen -y -f $key | cut -d' ' -f2)
      until ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | grep -qF "$shown"; do sleep 0.1; done`);
  }

  /** What its sshd logged. */
  log(): Promise<string> {
    return this.#cluster.demand(['logs', 'web-1', '-n', DATA]);
  }
}

async function newKey(): Promise<{ readonly private: string; readonly public: string }> {
  await using folder = await temporaryDirectory('chaperone-key-');
  const path = join(folder.path, 'key');
  await promisify(execFile)('ssh-keygen', ['-q', '-N', '', '-C', '', '-t', 'ed25519', '-f', path]);
  return { private: await readFile(path, 'utf8'), public: (await readFile(`${path}.pub`, 'utf8')).trim() };
}

const resource = (name: string, port: number, hostKey: string) => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ProtectedResource',
  metadata: { name, namespace: DATA },
  spec: {
    protocol: 'ssh',
    hosts: [HOST],
    port,
    upstream: { address: 'web-1.data.svc:22' },
    credentials: { secretRef: { name: 'web-1-agent' } },
    ssh: { hostKeys: [hostKey] },
    sensitive: [{ label: 'pci.card', detector: 'credit-card' }],
    grantedTo: [{ namespace: AGENTS, operations: ['exec', 'shell', 'read', 'write', 'list'] }],
  },
});

const web1 = { namespace: DATA, name: 'web-1' };
const approval = { approvers: { groups: ['sre'] }, timeout: '2m' };
const POLICY = {
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: { name: 'operator-agent', namespace: AGENTS },
  spec: {
    agents: { serviceAccounts: ['support-agent'] },
    purpose: 'keep web-1 running',
    rules: [
      {
        name: 'look',
        effect: 'Allow',
        resource: web1,
        ssh: { commands: ['report', 'cat /srv/app/*', 'sleep *', 'git-upload-pack /srv/git/*', 'git-receive-pack /srv/git/*'] },
      },
      { name: 'look-again', effect: 'Allow', resource: { ...web1, name: 'web-1-again' }, ssh: { commands: ['report'] } },
      { name: 'release', effect: 'RequireApproval', resource: web1, ssh: { commands: ['release *'] }, approval },
      { name: 'terminal', effect: 'RequireApproval', resource: web1, ssh: { shell: true }, approval },
      {
        name: 'never',
        effect: 'Deny',
        resource: web1,
        ssh: { commands: ['rm **'] },
        message: 'Files are removed by the nightly job.',
      },
      {
        name: 'files',
        effect: 'Allow',
        resource: web1,
        ssh: { files: { operations: ['read', 'write', 'list'], paths: ['/srv/app/**', '/srv/git/**'] } },
      },
    ],
  },
} as const;
