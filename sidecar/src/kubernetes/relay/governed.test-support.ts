import { type AddressInfo, createServer, type Socket } from 'node:net';
import { AccessPolicy, type PolicyRule, ProtectedResource } from '@chaperone/api';
import { testAuthority } from '@chaperone/testing';
import {
  type ClusterFacts,
  type Credential,
  compileAccess,
  type GrantedResource,
  type Snapshot,
  type Whereabouts,
  withHashKeys,
} from '@chaperone/policy';
import type { RecordBody } from '@chaperone/evidence';
import type { Tracer } from '@chaperone/policy/tracing';
import { createGuard } from '../../capture/guard.ts';
import type { ControlPlane, Observation } from '../../control/control-plane.ts';
import { EmbeddedDesk } from '../../control/embedded-desk.ts';
import { type Logger, systemClock } from '../../platform.ts';
import type { Durability, Recording } from '../../recording/recorder.ts';
import { createSessions, type Ending, type Sessions } from '../../session/sessions.ts';

const AGENT = { namespace: 'agents', serviceAccount: 'bot', podUid: 'u-1', labels: {}, annotations: {} };
const HASH_SECRET = Buffer.alloc(32, 7);
const NAME = { namespace: 'data', name: 'cluster' };

export interface Spec {
  /** HOST:PORT of the API server, and who signed its certificate. */
  readonly upstream: string;
  readonly ca: string;
  readonly credential: Partial<Credential>;
  readonly rules: readonly (Partial<PolicyRule> & Pick<PolicyRule, 'name' | 'effect'>)[];
  readonly kubernetes?: object;
  readonly sensitive?: readonly object[];
  /** A labelled field that no API server would have let in. */
  readonly unreadable?: string;
  /** What the owner grants beside all operations. */
  readonly grant?: object;
  /** What the policy says beside its rules: reveal, masking. */
  readonly policy?: object;
  readonly limits?: object;
  readonly identity?: object;
  readonly local?: boolean;
  readonly tracer?: Tracer;
  /** What the cluster has of Chaperone; absent: it has none. */
  readonly cluster?: ClusterFacts;
  /** Where resources of others are. */
  readonly elsewhere?: readonly Whereabouts[];
}

export interface Governed extends AsyncDisposable {
  readonly port: number;
  /** By whom our certificate is signed. */
  readonly ca: string;
  readonly records: readonly { readonly record: RecordBody; readonly durability: Durability }[];
  readonly logged: readonly string[];
  /** What the owner of the resource is told of the API server. */
  readonly reported: readonly Observation[];
  readonly sessions: Sessions;
  readonly desk: EmbeddedDesk;
  setRules(rules: Spec['rules']): void;
  setCluster(cluster: ClusterFacts): void;
  /** Ends all sessions, as the control plane would. */
  end(ending: Ending): void;
  failRecording(): void;
  /** Records of one type, in order. */
  of<T extends RecordBody['type']>(type: T): Extract<RecordBody, { type: T }>[];
}

/** A proxy before an API server, with all that a sidecar has, and records kept in memory. */
export async function startGoverned(spec: Spec): Promise<Governed> {
  const authority = await testAuthority();
  const leaf = await authority.issue(['localhost', '127.0.0.1']);
  let generation = 1;
  const snapshotOf = (rules: Spec['rules']): Snapshot => ({
    revision: '1',
    agent: AGENT,
    resources: [build(spec, rules, generation++)],
    inboundPorts: [],
    ...(spec.cluster && { cluster: spec.cluster }),
    ...(spec.elsewhere && { elsewhere: [...spec.elsewhere] }),
    certificate: leaf.certificate,
    ca: authority.ca,
    validForMs: 60_000,
  });
  let snapshot = snapshotOf(spec.rules);
  const changed: ((snapshot: Snapshot) => void)[] = [];
  const revoked: Parameters<ControlPlane['onRevoke']>[0][] = [];
  const records: Governed['records'][number][] = [];
  const logged: string[] = [];
  const reported: Observation[] = [];
  const note = (event: string, fields?: object): void => void logged.push(JSON.stringify({ event, ...fields }));
  const logger: Logger = { info: note, warn: note, error: note };
  const desk = new EmbeddedDesk({ snapshot: () => snapshot, clock: systemClock });
  const control: ControlPlane = {
    approvals: desk,
    current: () => snapshot,
    onSnapshot: (listener) => void changed.push(listener),
    onRevoke: (listener) => void revoked.push(listener),
    report: (observation) => void reported.push(observation),
    tlsKey: leaf.key,
    stop: async () => undefined,
  };
  let isFailing = false;
  const recording: Recording = {
    open: async (session) => ({
      session,
      append: async (record, durability) => {
        if (isFailing) throw Object.assign(new Error('no space left'), { name: 'RecordingError' });
        records.push({ record: structuredClone(record), durability });
      },
      close: async () => undefined,
    }),
    counted: async () => undefined,
    flush: async () => ({ unacknowledged: 0 }),
    stop: async () => undefined,
  };
  const sessions = createSessions({
    control,
    recording,
    guard: createGuard({ allowLoopback: true, forbidden: [], virtual: [] }),
    clock: systemClock,
    logger,
    local: spec.local ?? false,
    tracer: spec.tracer,
  });
  const server = createServer({ noDelay: true, pauseOnConnect: true }, (socket: Socket) => {
    const [resource] = snapshot.resources;
    if (resource !== undefined) sessions.accept(socket, resource);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    ca: authority.ca,
    records,
    logged,
    reported,
    sessions,
    desk,
    setRules: (rules) => {
      snapshot = snapshotOf(rules);
      for (const listener of changed) listener(snapshot);
    },
    setCluster: (cluster) => {
      snapshot = { ...snapshot, cluster };
      for (const listener of changed) listener(snapshot);
    },
    end: ({ code, reason }) => {
      for (const listener of revoked) listener({ code: code as 'SessionEnded', reason });
    },
    failRecording: () => {
      isFailing = true;
    },
    of: <T extends RecordBody['type']>(type: T) =>
      records.flatMap(({ record }) => (record.type === type ? [record as Extract<RecordBody, { type: T }>] : [])),
    [Symbol.asyncDispose]: async () => {
      server.close();
      await sessions.stop();
    },
  };
}

function build(spec: Spec, rules: Spec['rules'], generation: number): GrantedResource {
  const kubernetes = { identity: 'credential' as const, authentication: 'token' as const, ...spec.kubernetes };
  const resource = ProtectedResource.parse({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'ProtectedResource',
    metadata: { ...NAME, generation: 1 },
    spec: {
      protocol: 'kubernetes',
      hosts: ['cluster'],
      port: 6443,
      upstream: { address: spec.upstream },
      credentials: { secretRef: { name: 'cluster-agent' } },
      kubernetes,
      sensitive: [{ label: 'pii.email', detector: 'email' }, ...(spec.sensitive ?? [])],
      grantedTo: [{ namespace: 'agents', operations: ['*'], ...spec.grant }],
    },
  });
  const policy = AccessPolicy.parse({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name: 'bot', namespace: 'agents', generation },
    spec: {
      agents: { podSelector: {} },
      purpose: 'test',
      rules: rules.map((rule) => ({ resource: NAME, ...rule })),
      ...spec.policy,
      ...(spec.limits && { limits: spec.limits }),
      ...(spec.identity && { identity: spec.identity }),
    },
  });
  const compiled = compileAccess({ agent: AGENT, policies: [policy], resource });
  if (!compiled.ok) throw new Error(`${compiled.code}: ${compiled.message}`);
  const [host = '', port = ''] = spec.upstream.split(':');
  if (spec.unreadable !== undefined) compiled.access.sensitive.push({ label: 'x', columns: [], fields: [spec.unreadable] });
  return {
    access: withHashKeys(compiled.access, HASH_SECRET),
    hosts: ['cluster'],
    port: 6443,
    upstream: { host, port: Number(port), tls: { mode: 'verify-full', ca: spec.ca } },
    credentials: { username: '', ...spec.credential },
    kubernetes,
    addresses: [],
  };
}
