import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { AccessPolicy, ProtectedResource } from '@chaperone/api';
import type { RecordBody } from '@chaperone/evidence';
import {
  type Agent,
  compileAccess,
  type Credential,
  type GrantedResource,
  protocolSettings,
  type Snapshot,
  withHashKeys,
} from '@chaperone/policy';
import { startPostgres, testAuthority, type TestAuthority, type TestPostgres } from '@chaperone/testing';
import { Client, type ClientConfig } from 'pg';
import type { Tracer } from '@chaperone/policy/tracing';
import { createGuard } from '../../capture/guard.ts';
import { EmbeddedDesk } from '../../control/embedded-desk.ts';
import type { ControlPlane, Observation, Revoked } from '../../control/control-plane.ts';
import { type Clock, type Logger, systemClock } from '../../platform.ts';
import type { Durability, Recording } from '../../recording/recorder.ts';
import { createSessions, type Sessions } from '../../session/index.ts';
import { StatementParser } from '../actions/index.ts';

export const CREDENTIAL = { username: 'agent_role', password: 'only-the-proxy-knows' };
/** Of all proxies of a process: its thread takes longer to start than most tests do. */
const PARSER = new StatementParser();
const UNHURRIED: Clock = { ...systemClock, after: () => systemClock.after(1) };
/** What hash masks are keyed by, the same in all tests. */
const HASH_SECRET = Buffer.alloc(32, 11);
export const AGENT: Agent = {
  namespace: 'agents',
  serviceAccount: 'support-agent',
  pod: 'bot-1',
  podUid: 'u-1',
  labels: {},
  annotations: {},
};

/** A policy of one rule, which allows this. */
export const allowing = (sql: object): object => ({
  rules: [{ name: 'all', effect: 'Allow', resource: { namespace: 'data', name: 'orders-db' }, sql }],
});

export interface Spec {
  readonly schema: string;
  readonly resource?: object;
  readonly policy: object;
  readonly acceptServerLogVolume?: boolean;
  /** Absent: the system's, with refusals that are never held back. */
  readonly clock?: Clock;
  /** What sessions see of the control plane. Absent: all of it. */
  readonly through?: (control: ControlPlane) => ControlPlane;
  /** As of an embedded proxy. */
  readonly local?: boolean;
  readonly tracer?: Tracer;
  /** HOST:PORT in place of the server's, such as that of a pooler; spoken to without TLS. */
  readonly upstream?: string;
}

export interface Recorded {
  readonly record: RecordBody;
  readonly durability: Durability;
}

/** A real PostgreSQL with this proxy before it: what the relay is tested through. */
export interface Governed extends AsyncDisposable {
  readonly postgres: TestPostgres;
  readonly port: number;
  readonly ca: string;
  /** Signed the server's certificate; those of clients where `clients` says so. */
  readonly authority: TestAuthority;
  readonly records: Recorded[];
  readonly observations: Observation[];
  readonly logged: string[];
  readonly sessions: Sessions;
  /** Where people are asked. */
  readonly desk: EmbeddedDesk;
  /** An agent's connection through the proxy. */
  connect(options?: ClientConfig): Promise<Client>;
  /** The superuser's own connection, past the proxy. */
  direct(): Promise<Client>;
  /** Puts another policy in force, as the control plane would. */
  setPolicy(policy: object): void;
  /** Ends sessions, as the control plane would. */
  revoke(revoked: Revoked): void;
  /** Sessions that were told to be over, with the last record at that time. */
  readonly closed: readonly (readonly [session: string, last: string | undefined])[];
  /** The operator hands out another credential; undefined: the Secret is gone. */
  setCredentials(credentials: Credential | undefined): void;
  /** The owner changes the resource, as far as `resource` says. */
  setResource(resource: object): void;
  /** Another proxy, that knows nothing yet, before the same server. */
  anew(changes?: Partial<Spec>): Promise<Governed>;
  /** From now on connections find no room, as at the limit of the listener. */
  fill(): void;
  /** Makes every later record fail, as a full disk does. */
  failRecording(): void;
  /** From now on nobody takes the counter of a session. */
  failCounting(): void;
}

function build(spec: Spec, address: string, ca: string, generation: number): GrantedResource {
  const resource = ProtectedResource.parse({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'ProtectedResource',
    metadata: { name: 'orders-db', namespace: 'data', generation: 1 },
    spec: {
      protocol: 'postgres',
      hosts: ['orders-db'],
      port: 5432,
      upstream: { address, tls: { mode: 'verify-full' } },
      credentials: { secretRef: { name: 'orders-db-agent' } },
      postgres: { database: 'orders' },
      grantedTo: [{ namespace: 'agents', statements: ['*'], reveal: ['pii.email'] }],
      ...spec.resource,
    },
  });
  const policy = AccessPolicy.parse({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name: 'support-agent', namespace: 'agents', generation },
    spec: { agents: { podSelector: {} }, purpose: 'test', ...spec.policy },
  });
  const compiled = compileAccess({ agent: AGENT, policies: [policy], resource });
  if (!compiled.ok) throw new Error(`${compiled.code}: ${compiled.message}`);
  const [host = '', port = ''] = address.split(':');
  return {
    access: withHashKeys(compiled.access, HASH_SECRET),
    hosts: ['orders-db'],
    port: 5432,
    upstream: { host, port: Number(port), tls: spec.upstream === undefined ? { mode: 'verify-full', ca } : { mode: 'disable' } },
    ...protocolSettings(resource.spec),
    postgres: {
      database: 'orders',
      acceptServerLogVolume: spec.acceptServerLogVolume ?? false,
      autoPrepare: resource.spec.postgres?.autoPrepare ?? true,
      authentication: resource.spec.postgres?.authentication ?? ['scram'],
    },
    addresses: [],
  };
}

export async function startGoverned(
  spec: Spec,
  options: { package?: string; hba?: readonly string[]; clients?: boolean } = {},
): Promise<Governed> {
  const authority = await testAuthority();
  const postgres = await startPostgres({
    ...options,
    tls: await authority.issue(['127.0.0.1', 'localhost']),
    ...(options.clients === true ? { clientAuthority: authority.ca } : {}),
  });
  const admin = new Client({
    host: postgres.host,
    port: postgres.port,
    ...postgres.superuser,
    database: 'postgres',
    ssl: { ca: authority.ca },
  });
  await admin.connect();
  // Copied as files, which 14 does in any case: to log each page takes five times as long.
  await admin.query(`create database orders${postgres.major > 14 ? ' strategy file_copy' : ''}`);
  await admin.query(`create role ${CREDENTIAL.username} login password '${CREDENTIAL.password}'`);
  await admin.query(`alter role ${CREDENTIAL.username} set log_min_messages = fatal`);
  await admin.end();
  const open: Client[] = [];
  const direct = async (): Promise<Client> => {
    const client = new Client({
      host: postgres.host,
      port: postgres.port,
      ...postgres.superuser,
      database: 'orders',
      ssl: { ca: authority.ca },
    });
    open.push(client);
    await client.connect();
    return client;
  };
  const owner = await direct();
  await owner.query(spec.schema);
  await owner.end();
  const stop = async (): Promise<void> => {
    for (const client of open) await client.end().catch(() => undefined);
    await postgres.stop();
  };
  return govern(spec, { postgres, authority, direct, stop });
}

interface Server {
  readonly postgres: TestPostgres;
  readonly authority: TestAuthority;
  readonly direct: () => Promise<Client>;
  readonly stop: () => Promise<void>;
}

async function govern(spec: Spec, behind: Server): Promise<Governed> {
  const { postgres, authority, direct } = behind;
  const leaf = await authority.issue(['orders-db', 'localhost', '127.0.0.1']);
  const address = spec.upstream ?? `127.0.0.1:${postgres.port}`;
  let held: Credential | undefined = CREDENTIAL;
  let generation = 1;
  const snapshotOf = (policy: object, resource: object = spec.resource ?? {}): Snapshot => ({
    revision: '1',
    agent: AGENT,
    resources: [
      { ...build({ ...spec, policy, resource }, address, authority.ca, generation), ...(held && { credentials: held }) },
    ],
    inboundPorts: [],
    certificate: leaf.certificate,
    ca: authority.ca,
    validForMs: 60_000,
  });
  let snapshot = snapshotOf(spec.policy);
  const listeners: ((snapshot: Snapshot) => void)[] = [];
  const observations: Observation[] = [];
  const revocations: ((revoked: Revoked) => void)[] = [];
  const closed: [string, string | undefined][] = [];
  const records: Recorded[] = [];
  const desk = new EmbeddedDesk({ snapshot: () => snapshot, clock: systemClock });
  const control: ControlPlane = {
    approvals: desk,
    current: () => snapshot,
    onSnapshot: (listener) => void listeners.push(listener),
    onRevoke: (listener) => void revocations.push(listener),
    closed: (session) => void closed.push([session, records.at(-1)?.record.type]),
    report: (seen) => void observations.push(seen),
    tlsKey: leaf.key,
    stop: async () => undefined,
  };
  let failing = false;
  let uncounted = false;
  const recording: Recording = {
    open: async (session) => ({
      session,
      append: async (record, durability) => {
        if (failing) throw Object.assign(new Error('no space left'), { name: 'RecordingError' });
        records.push({ record: structuredClone(record), durability });
      },
      close: async () => undefined,
    }),
    counted: async () => {
      if (uncounted) throw Object.assign(new Error('not counted'), { name: 'RecordingError' });
    },
    flush: async () => ({ unacknowledged: 0 }),
    stop: async () => undefined,
  };
  const logged: string[] = [];
  const note = (event: string, fields?: Readonly<Record<string, unknown>>): void =>
    void logged.push(JSON.stringify({ event, ...fields }));
  const logger: Logger = { info: note, warn: note, error: note };
  const sessions = createSessions({
    control: spec.through?.(control) ?? control,
    recording,
    guard: createGuard({ allowLoopback: true, forbidden: [], virtual: [] }),
    clock: spec.clock ?? UNHURRIED,
    logger,
    local: spec.local ?? false,
    parser: PARSER,
    tracer: spec.tracer,
  });
  let full = false;
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true, pauseOnConnect: true }, (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    const resource = snapshot.resources[0];
    if (resource === undefined) socket.destroy();
    else if (full) sessions.refuse(socket, resource);
    else sessions.accept(socket, resource);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const clients: Client[] = [];
  return {
    postgres,
    port,
    ca: authority.ca,
    authority,
    records,
    observations,
    logged,
    sessions,
    desk,
    direct,
    connect: async (more = {}) => {
      const client = new Client({ host: '127.0.0.1', port, user: 'bot', password: 'anything', database: 'orders', ...more });
      client.on('error', () => undefined);
      clients.push(client);
      await client.connect();
      return client;
    },
    setPolicy: (policy) => {
      generation++;
      snapshot = snapshotOf(policy);
      for (const listener of listeners) listener(snapshot);
    },
    revoke: (revoked) => {
      for (const listener of revocations) listener(revoked);
    },
    closed,
    setCredentials: (credentials) => {
      held = credentials;
      const notReady = { code: 'CredentialsNotFound', message: 'its Secret does not exist' };
      const now = credentials === undefined ? { notReady } : { credentials };
      snapshot = {
        ...snapshot,
        resources: snapshot.resources.map(({ credentials: _before, notReady: _why, ...each }) => ({ ...each, ...now })),
      };
      for (const listener of listeners) listener(snapshot);
    },
    setResource: (resource) => {
      snapshot = snapshotOf(spec.policy, resource);
      for (const listener of listeners) listener(snapshot);
    },
    anew: (changes = {}) => govern({ ...spec, ...changes }, { ...behind, stop: async () => undefined }),
    fill: () => {
      full = true;
    },
    failRecording: () => {
      failing = true;
    },
    failCounting: () => {
      uncounted = true;
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) await client.end().catch(() => undefined);
      const gone = once(server.close(), 'close');
      await sessions.stop();
      // A client that nobody closed does not keep the server.
      for (const socket of sockets) socket.destroy();
      await gone;
      await behind.stop();
    },
  };
}
