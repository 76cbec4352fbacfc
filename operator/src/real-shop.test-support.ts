import { KINDS, type KubeObject, pathOf } from '@chaperone/kube';
import { startPostgres, testAuthority, type TestPostgres } from '@chaperone/testing';
import { Client } from 'pg';
import { AGENTS } from './operator.test-support.ts';
import { RealCluster, type Replica } from './real-cluster.test-support.ts';
import { RealPod, type Told } from './real-pod.test-support.ts';

export const USER = 'support_agent';
const SECRET = { namespace: 'data', name: 'orders-db-agent' };
const POLICY = { namespace: AGENTS, name: 'support' };
const RULE = { effect: 'Allow', sql: { statements: ['select'], relations: ['**'] } };
/** The other one keeps sessions when the password changes. */
const RESOURCES = ['orders', 'kept'] as const;
export type Resource = (typeof RESOURCES)[number];

/** A real API server and operator, a real database behind two resources, and an agent's pod on this machine with its sidecar. */
export class RealShop implements AsyncDisposable {
  readonly pod: RealPod;
  readonly cluster: RealCluster;
  readonly postgres: TestPostgres;
  readonly leader: Replica;
  readonly #owner: Client;

  private constructor(parts: Pick<RealShop, 'pod' | 'cluster' | 'postgres' | 'leader'>, owner: Client) {
    this.pod = parts.pod;
    this.cluster = parts.cluster;
    this.postgres = parts.postgres;
    this.leader = parts.leader;
    this.#owner = owner;
  }

  static async open(password: string): Promise<RealShop> {
    const pod = new RealPod();
    const authority = await testAuthority();
    const [cluster, postgres] = await Promise.all([
      RealCluster.start(),
      startPostgres({
        tls: await authority.issue(['orders.data.svc']),
        settings: { listen_addresses: `127.0.0.1,${pod.host}` },
        hba: ['host all all 127.0.0.1/32 scram-sha-256', 'hostssl orders all 0.0.0.0/0 scram-sha-256'],
      }),
    ]);
    const { host, port, superuser } = postgres;
    const owner = new Client({ host, port, ...superuser, database: 'postgres' });
    await owner.connect();
    await owner.query(`create role ${USER} login password '${password}'`);
    // What an agent's statements make the server say is not for its log: else the resource is not suitable.
    await owner.query(`alter role ${USER} set log_min_messages = fatal`);
    await owner.query('create database orders');
    const address = `${pod.host}:${port}`;
    const annotations = { 'chaperone.dev/upstream': address };
    const stringData = { username: USER, password };
    await cluster.create(KINDS.secrets, { metadata: { ...SECRET, annotations }, stringData });
    const metadata = { namespace: 'data', name: 'orders-ca' };
    await cluster.create(KINDS.secrets, { metadata, stringData: { 'ca.crt': authority.ca } });
    for (const name of RESOURCES) {
      const spec = {
        protocol: 'postgres',
        hosts: [`${name}.data.svc`],
        port: 5432,
        upstream: { address, tls: { mode: 'verify-full', serverName: 'orders.data.svc', caRef: { name: metadata.name } } },
        credentials: { secretRef: { name: SECRET.name }, ...(name === 'kept' && { onRotation: 'keep' }) },
        postgres: { database: 'orders' },
        grantedTo: [{ namespace: AGENTS }],
      };
      await cluster.create(KINDS.protectedResources, { metadata: { namespace: 'data', name }, spec });
    }
    const rules = RESOURCES.map(ruleOf);
    await cluster.create(KINDS.accessPolicies, { metadata: POLICY, spec: { agents: { serviceAccounts: ['support'] }, rules } });
    const leader = await cluster.startReplica('one');
    await cluster.admits();
    await pod.start(cluster, leader, 'bot');
    return new RealShop({ pod, cluster, postgres, leader }, owner);
  }

  /** Lets the agent say who it is to the database, in a session of this name. */
  ask(session: string, resource: Resource = 'orders'): Promise<Told> {
    return this.pod.ask(session, `${resource}.data.svc`, 'select current_user as who');
  }
  async passwordInDatabase(password: string): Promise<void> {
    await this.#owner.query(`alter role ${USER} password '${password}'`);
  }
  passwordInSecret(password: string): Promise<KubeObject> {
    return this.#patch(pathOf(KINDS.secrets, SECRET), { stringData: { password } });
  }
  /** The agent may use these, and no other. */
  grant(resources: readonly Resource[]): Promise<KubeObject> {
    return this.#patch(pathOf(KINDS.accessPolicies, POLICY), { spec: { rules: resources.map(ruleOf) } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owner.end();
    await this.pod[Symbol.asyncDispose]();
    await Promise.all([this.cluster[Symbol.asyncDispose](), this.postgres.stop()]);
  }

  #patch(path: string, body: object): Promise<KubeObject> {
    return this.cluster.kube.request({ method: 'PATCH', path, contentType: 'application/merge-patch+json', body });
  }
}

const ruleOf = (name: Resource): object => ({ name, ...RULE, resource: { namespace: 'data', name } });
