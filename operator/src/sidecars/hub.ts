import { randomBytes } from 'node:crypto';
import {
  type Agent,
  type CaptureRequest,
  type ClusterFacts,
  digestOf,
  type ResourceObservation,
  type Snapshot,
  type StreamLine,
} from '@chaperone/policy';
import { compileContent, namesOf, type SnapshotContent } from './compile.ts';
import type { AccessPolicy } from '@chaperone/api';
import type { ResourceState } from './compile.ts';

/** The certificate of one sidecar's key for these names. */
export interface LeafIssuer {
  issue(publicKey: string, names: readonly string[]): Promise<{ certificate: string; renewAt: number; issuer: unknown }>;
  readonly issuer: unknown;
  bundle(): string;
}
/** An order to end one session: its agent reads the reason, and its record keeps who gave it. */
export interface Kill {
  readonly session: string;
  readonly reason: string;
  readonly by: string;
}
export interface HubOptions {
  readonly leaves: LeafIssuer;
  /** All of one moment. The same array for the same policies: what is known of it is kept once for all sidecars. */
  readonly world: () => {
    policies: readonly AccessPolicy[];
    states: ReadonlyMap<string, ResourceState>;
    cluster: ClusterFacts;
  };
  /** What hash masks are keyed by, {@link ensureHashSecret}. */
  readonly hashSecret: Buffer;
  readonly validForMs: number;
  readonly now?: () => number;
  /** Acknowledgements, arrivals and departures: what Programmed is made of. */
  readonly onChange?: (agent: Agent) => void;
  /** What a stream is told beside the snapshot when it is connected. */
  readonly greeting?: (podUid: string) => readonly StreamLine[];
  /** Sessions that were ended lately: a sidecar that was not connected is told when it is. */
  readonly kills?: (namespace: string) => readonly Kill[];
  /** A sidecar said whether capture is proven, and it is news. */
  readonly onCapture?: (agent: Agent, seen: CaptureRequest) => void;
  readonly onObservation?: (observation: ResourceObservation) => void;
  readonly onError?: (error: unknown) => void;
}
export interface StreamSink {
  send(line: StreamLine): void;
  end(): void;
}
/** Generations of policies by their UID: one that was deleted and made anew under its name is another. */
type Generations = ReadonlyMap<string, number>;

interface Sidecar {
  readonly agent: Agent;
  readonly publicKey: string;
  leaf: { names: string; certificate: string; renewAt: number; issuer: unknown } | undefined;
  snapshot: Snapshot | undefined;
  /** The policies that the snapshot was made of, whether it holds anything of them or not. */
  madeOf: Generations;
  acknowledged: string | undefined;
  /** Whether its capture is proven, as it says; undefined until it has said it. */
  capture: CaptureRequest | undefined;
  heardAt: number;
  sink: StreamSink | undefined;
  building: Promise<Snapshot> | undefined;
  again: boolean;
}

/** Who is enrolled, what each was told and what each has acknowledged. Lives in the leader's memory only. */
export class SidecarHub {
  readonly #options: HubOptions;
  readonly #sidecars = new Map<string, Sidecar>();
  /** Digests of content with passwords in it must not be guessable by those who see revisions. */
  readonly #salt = randomBytes(32).toString('base64');
  readonly #generations = new WeakMap<readonly AccessPolicy[], Generations>();
  readonly #now: () => number;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  get size(): number {
    return this.#sidecars.size;
  }
  get streams(): number {
    return [...this.#sidecars.values()].filter((sidecar) => sidecar.sink !== undefined).length;
  }
  /** Sidecars that say that capture is not proven. */
  get unproven(): number {
    return [...this.#sidecars.values()].filter(({ capture }) => capture?.proven === false).length;
  }
  has(podUid: string): boolean {
    return this.#sidecars.has(podUid);
  }
  /** What the pod was given last; undefined for one that is not enrolled. */
  snapshotOf(podUid: string): Snapshot | undefined {
    return this.#sidecars.get(podUid)?.snapshot;
  }
  /** Names of the policies that are in force for a pod. */
  policiesOf(podUid: string): string[] {
    const resources = this.#sidecars.get(podUid)?.snapshot?.resources ?? [];
    return [...new Set(resources.flatMap(({ access }) => access.policies.map(({ name }) => name)))];
  }
  /** Says something to one pod, if its stream is connected. */
  tell(podUid: string, line: StreamLine): void {
    this.#sidecars.get(podUid)?.sink?.send(line);
  }

  /** Takes a sidecar in and returns its first snapshot. One that was in already starts anew. */
  async enrol(agent: Agent & { podUid: string }, publicKey: string): Promise<Snapshot> {
    this.#sidecars.get(agent.podUid)?.sink?.end();
    const sidecar: Sidecar = {
      agent,
      publicKey,
      leaf: undefined,
      snapshot: undefined,
      madeOf: new Map(),
      acknowledged: undefined,
      capture: undefined,
      heardAt: this.#now(),
      sink: undefined,
      building: undefined,
      again: false,
    };
    this.#sidecars.set(agent.podUid, sidecar);
    try {
      return await this.#update(sidecar);
    } catch (error) {
      if (this.#sidecars.get(agent.podUid) === sidecar) this.#sidecars.delete(agent.podUid);
      throw error;
    }
  }

  /** Connects a stream; the one before it, if any, ends. Returns false for a pod that is not enrolled. */
  attach(podUid: string, sink: StreamSink): boolean {
    const sidecar = this.#sidecars.get(podUid);
    if (sidecar === undefined) return false;
    sidecar.sink?.end();
    sidecar.sink = sink;
    this.#heard(sidecar);
    if (sidecar.snapshot !== undefined) sink.send({ type: 'snapshot', snapshot: sidecar.snapshot });
    for (const line of this.#options.greeting?.(podUid) ?? []) sink.send(line);
    for (const kill of this.#options.kills?.(sidecar.agent.namespace) ?? [])
      sink.send({ type: 'revoke', code: 'SessionEnded', ...kill });
    this.#refreshOne(sidecar);
    return true;
  }
  detach(podUid: string, sink: StreamSink): void {
    const sidecar = this.#sidecars.get(podUid);
    if (sidecar?.sink !== sink) return;
    sidecar.sink = undefined;
    this.#options.onChange?.(sidecar.agent);
  }

  ack(podUid: string, revision: string): boolean {
    const sidecar = this.#sidecars.get(podUid);
    if (sidecar === undefined) return false;
    sidecar.acknowledged = revision;
    this.#heard(sidecar);
    return true;
  }

  captured(podUid: string, seen: CaptureRequest): boolean {
    const sidecar = this.#sidecars.get(podUid);
    if (sidecar === undefined) return false;
    const isNews = sidecar.capture?.proven !== seen.proven || sidecar.capture.message !== seen.message;
    sidecar.capture = seen;
    this.#heard(sidecar);
    if (isNews) this.#options.onCapture?.(sidecar.agent, seen);
    return true;
  }

  /** Takes over what a sidecar saw, of resources that it was granted; the rest is ignored. */
  report(podUid: string, observations: readonly ResourceObservation[]): boolean {
    const sidecar = this.#sidecars.get(podUid);
    if (sidecar === undefined) return false;
    const granted = new Set(
      (sidecar.snapshot?.resources ?? []).map(({ access }) => `${access.resource.namespace}/${access.resource.name}`),
    );
    for (const observation of observations) {
      const { namespace, name } = observation.resource;
      if (granted.has(`${namespace}/${name}`)) this.#options.onObservation?.(observation);
    }
    return true;
  }

  /** Something changed: every sidecar whose snapshot differs gets a new one. Resolves when all are built. */
  async refresh(): Promise<void> {
    for (const sidecar of this.#sidecars.values()) this.#refreshOne(sidecar);
    await Promise.allSettled([...this.#sidecars.values()].flatMap(({ building }) => building ?? []));
  }
  heartbeat(): void {
    for (const sidecar of this.#sidecars.values()) {
      if (sidecar.sink === undefined) continue;
      // A snapshot that could not be renewed is not kept alive either.
      if (sidecar.snapshot !== undefined && sidecar.building === undefined) {
        sidecar.sink.send({ type: 'heartbeat', validForMs: this.#options.validForMs });
      }
      this.#refreshOne(sidecar);
    }
  }

  /** Ends one session, of whichever agent of the namespace has it. @returns how many sidecars were told */
  kill(namespace: string, kill: Kill): number {
    const told = [...this.#sidecars.values()].filter(({ agent, sink }) => agent.namespace === namespace && sink !== undefined);
    for (const { sink } of told) sink?.send({ type: 'revoke', code: 'SessionEnded', ...kill });
    return told.length;
  }

  /** Ends everything of a pod at once: it was deleted, or is governed no more. */
  remove(podUid: string, reason: string): void {
    const sidecar = this.#sidecars.get(podUid);
    if (sidecar === undefined) return;
    this.#sidecars.delete(podUid);
    sidecar.sink?.send({ type: 'revoke', code: 'SessionEnded', reason });
    sidecar.sink?.end();
    this.#options.onChange?.(sidecar.agent);
  }
  close(): void {
    for (const sidecar of this.#sidecars.values()) sidecar.sink?.end();
    this.#sidecars.clear();
  }

  /** Whether this pod's sidecar runs this generation of this very policy, and when it was last heard. */
  stateOf(
    podUid: string,
    policy: { readonly uid: string; readonly generation: number },
  ): { current: boolean; heardAt: number | undefined; capture: CaptureRequest | undefined } {
    const sidecar = this.#sidecars.get(podUid);
    if (sidecar === undefined) return { current: false, heardAt: undefined, capture: undefined };
    const { snapshot, acknowledged, madeOf } = sidecar;
    const isRun = snapshot !== undefined && acknowledged === snapshot.revision;
    return {
      current: isRun && madeOf.get(policy.uid) === policy.generation,
      heardAt: sidecar.heardAt,
      capture: sidecar.capture,
    };
  }

  #heard(sidecar: Sidecar): void {
    sidecar.heardAt = this.#now();
    this.#options.onChange?.(sidecar.agent);
  }

  #refreshOne(sidecar: Sidecar): void {
    if (sidecar.building !== undefined) {
      sidecar.again = true;
      return;
    }
    this.#update(sidecar).catch((error: unknown) => this.#options.onError?.(error));
  }

  async #update(sidecar: Sidecar): Promise<Snapshot> {
    sidecar.building ??= this.#build(sidecar).finally(() => {
      sidecar.building = undefined;
      if (!sidecar.again) return;
      sidecar.again = false;
      this.#refreshOne(sidecar);
    });
    return await sidecar.building;
  }

  async #build(sidecar: Sidecar): Promise<Snapshot> {
    const { policies, states, cluster } = this.#options.world();
    const { hashSecret } = this.#options;
    const content = compileContent(sidecar.agent, policies, states, { hashSecret, cluster });
    const certificate = await this.#certificate(sidecar, content);
    const ca = this.#options.leaves.bundle();
    const { validForMs } = this.#options;
    const revision = digestOf({ salt: this.#salt, content, certificate, ca, validForMs });
    sidecar.madeOf = this.#generationsOf(policies);
    if (sidecar.snapshot?.revision === revision) return sidecar.snapshot;
    const snapshot = { revision, ...content, certificate, ca, validForMs };
    sidecar.snapshot = snapshot;
    sidecar.sink?.send({ type: 'snapshot', snapshot });
    this.#options.onChange?.(sidecar.agent);
    return snapshot;
  }

  #generationsOf(policies: readonly AccessPolicy[]): Generations {
    const known =
      this.#generations.get(policies) ??
      new Map(policies.map(({ metadata: { uid = '', generation = 0 } }) => [uid, generation] as const));
    this.#generations.set(policies, known);
    return known;
  }

  async #certificate(sidecar: Sidecar, content: SnapshotContent): Promise<string> {
    const { leaves } = this.#options;
    const names = namesOf(content);
    const key = names.join(' ');
    const { leaf } = sidecar;
    if (leaf?.names === key && leaf.issuer === leaves.issuer && this.#now() < leaf.renewAt) return leaf.certificate;
    const issued = await leaves.issue(sidecar.publicKey, names);
    sidecar.leaf = { names: key, ...issued };
    return issued.certificate;
  }
}
