import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, testAuthority } from '@chaperone/testing';
import { Agent } from './agent.ts';
import { type Cluster, GOVERNED, RESTRICTED, ROOT } from './cluster.ts';
import type { Installation } from './installation.ts';

export const DATA = 'data';
export const AGENTS = 'agents';
/** A namespace that is not governed: what a colleague's pod, or an attacker's, sees from outside. */
export const OUTSIDE = 'outside';
export const CREDENTIAL = { username: 'support_agent', password: 'only-the-proxy-knows-this' } as const;
/** Values that no agent may ever see. */
export const SECRETS = /123-45-6789|987-65-4320|219-09-9999|4111111111111111|5500005555555559|only-the-proxy-knows-this/;

const example = (name: string): string => readFileSync(join(ROOT, 'examples/quickstart', name), 'utf8');
const secret = (namespace: string, name: string, stringData: object, annotations: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace, annotations },
  stringData,
});

const SETUP = `create role ${CREDENTIAL.username} login password '${CREDENTIAL.password}';
alter role ${CREDENTIAL.username} set log_min_messages = fatal;
create database orders;
\\connect orders
`;

/** A data owner's database, a platform team's policy and one agent's pod, as examples/quickstart has them. */
export class Shop {
  readonly installation: Installation;
  readonly cluster: Cluster;
  readonly #capture: 'pod' | 'node';

  /** `capture`: who writes the rules of agents; by the node, their namespace enforces Pod Security `restricted`. */
  constructor(installation: Installation, capture: 'pod' | 'node' = 'pod') {
    this.#capture = capture;
    this.installation = installation;
    this.cluster = installation.cluster;
  }

  /** The three namespaces anew, with nothing in them but who agents are. */
  async place(): Promise<void> {
    const labels = this.#capture === 'node' ? RESTRICTED : GOVERNED;
    const agents = this.cluster.namespace(AGENTS, labels, { 'chaperone.dev/capture': this.#capture });
    await Promise.all([this.cluster.namespace(DATA), agents, this.cluster.namespace(OUTSIDE)]);
    await this.cluster.apply({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'support-agent', namespace: AGENTS },
    });
    await this.cluster.demand(['wait', '--for=create', 'configmap/chaperone-ca', '-n', AGENTS, '--timeout=30s']);
  }

  /** That, with the database running and resource and policy applied; no agent yet. */
  async open(): Promise<void> {
    await this.place();
    await this.#database();
    await this.setSecret(CREDENTIAL.password);
    await this.cluster.demand(['apply', '-f', '-'], this.resource());
    await this.cluster.demand(['apply', '-f', '-'], example('policy.yaml'));
  }

  async close(): Promise<void> {
    await this.cluster.demand(['delete', 'namespace', DATA, AGENTS, OUTSIDE, '--ignore-not-found', '--wait=false']);
  }

  /** The example, with the address that the database has here. */
  resource(): string {
    return example('resource.yaml')
      .replace('hosts: [orders-db]', 'hosts: [orders-db, orders.data.svc]')
      .replace('127.0.0.1:54329', 'orders.data.svc:5432');
  }

  policy(): string {
    return example('policy.yaml');
  }

  /** What the proxy signs in with. */
  async setSecret(password: string): Promise<void> {
    const bound = { 'chaperone.dev/upstream': 'orders.data.svc:5432' };
    await this.cluster.apply(secret(DATA, 'orders-db-agent', { ...CREDENTIAL, password }, bound));
  }

  async #database(): Promise<void> {
    const authority = await testAuthority('orders CA');
    const leaf = await authority.issue(['orders.data.svc']);
    const labels = { app: 'orders' };
    const server = {
      superuser: 'superuser-secret',
      'tls.crt': leaf.certificate,
      'tls.key': leaf.key,
      'setup.sql': SETUP + example('shop.sql'),
    };
    const container = {
      name: 'postgres',
      image: this.installation.image('database'),
      ports: [{ containerPort: 5432 }],
      securityContext: { runAsUser: 65_534, runAsGroup: 65_534 },
      readinessProbe: {
        exec: { command: ['psql', '-h', '/tmp', '-U', 'postgres', '-d', 'orders', '-c', 'select 1 from tickets'] },
        periodSeconds: 1,
        // A loaded host starts no psql within the second that is the default, and an unready database is no upstream.
        timeoutSeconds: 15,
        failureThreshold: 10,
      },
      volumeMounts: [{ name: 'server', mountPath: '/etc/orders' }],
    };
    await this.cluster.apply({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        secret(DATA, 'orders-server', server),
        secret(DATA, 'orders-ca', { 'ca.crt': authority.ca }),
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'orders', namespace: DATA },
          spec: {
            selector: { matchLabels: labels },
            template: {
              metadata: { labels },
              spec: { containers: [container], volumes: [{ name: 'server', secret: { secretName: 'orders-server' } }] },
            },
          },
        },
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'orders', namespace: DATA },
          spec: { selector: labels, ports: [{ port: 5432 }] },
        },
      ],
    });
    await this.cluster.demand(['rollout', 'status', 'deployment/orders', '-n', DATA, '--timeout=120s']);
  }

  /** A pod that knows nothing of Chaperone but a numeric user. */
  agentPod(name: string, namespace: string = AGENTS): object {
    const user = this.#capture === 'node' ? { runAsUser: 1000, runAsNonRoot: true } : { runAsUser: 1000 };
    const container = { name: 'bot', image: this.installation.image('agent'), securityContext: user };
    const account = namespace === AGENTS ? { serviceAccountName: 'support-agent' } : {};
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels: { app: 'support-agent' } },
      spec: { ...account, containers: [container], terminationGracePeriodSeconds: 1 },
    };
  }

  /**
   * Starts that pod, and waits until it is ready. After an upgrade a replica of the operator that is about to end may still inject by
   * what it knew, which admission refuses; controllers ask again.
   */
  async startAgent(name: string, namespace: string = AGENTS): Promise<Agent> {
    const create = async (): Promise<true> => {
      await this.cluster.demand(['create', '-f', '-'], this.agentPod(name, namespace));
      return true;
    };
    await eventually(`admission of ${name}`, create);
    const ready = ['wait', '--for=condition=Ready', `pod/${name}`, '-n', namespace, '--timeout=120s'];
    await this.cluster.demand(ready).catch(async (cause: unknown) => {
      const { stdout } = await this.cluster.kubectl(['describe', 'pod', name, '-n', namespace]);
      const logs = await this.cluster.kubectl(['logs', name, '-n', namespace, '--all-containers', '--tail=20']);
      throw new Error(`${name} did not become ready:\n${stdout.slice(-3_000)}\n${logs.stdout}`, { cause });
    });
    return new Agent(this.cluster, name, namespace);
  }

  /** Waits until every listed resource or policy has the condition. */
  async condition(object: string, namespace: string, condition: string, timeoutMs = 60_000): Promise<void> {
    await this.cluster.demand([
      'wait',
      `--for=condition=${condition}`,
      object,
      '-n',
      namespace,
      `--timeout=${timeoutMs / 1000}s`,
    ]);
  }

  /** The addresses that orders-db has in every agent's pod. */
  async virtualAddress(): Promise<{ readonly ipv4: string; readonly ipv6: string | undefined }> {
    const json = await this.cluster.demand(['get', 'protectedresource', 'orders-db', '-n', DATA, '-o', 'json']);
    const { status } = JSON.parse(json) as { status: { addresses: { ipv4: string; ipv6?: string }[] } };
    const [first] = status.addresses;
    if (first === undefined) throw new Error('orders-db has no address');
    return { ipv4: first.ipv4, ipv6: first.ipv6 };
  }

  /** Where the database itself is. */
  async address(kind: 'service' | 'pod'): Promise<string> {
    const [what, path] =
      kind === 'service'
        ? [['service', 'orders'], '{.spec.clusterIP}']
        : [['pod', '-l', 'app=orders'], '{.items[0].status.podIP}'];
    return await this.cluster.demand(['get', ...what, '-n', DATA, '-o', `jsonpath=${path}`]);
  }
}
