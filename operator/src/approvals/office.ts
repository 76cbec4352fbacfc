import { AccessRequest, type AccessPolicy, ApprovalDecision, type RequestState } from '@chaperone/api';
import { isGranting, isOpen } from '@chaperone/api/requests';
import { type Change, Informer, isConflict, keyOf, KINDS, type Kube, type KubeObject } from '@chaperone/kube';
import { accessIn, askedOf, type GenerationOf, givenOf, type Grant, grantOf, type StreamLine } from '@chaperone/policy';
import { type QueueMetrics, WorkQueue } from '../kube/queue.ts';
import { isAlive } from '../sidecars/governed.ts';
import type { SidecarHub } from '../sidecars/hub.ts';
import { Refusal } from '../sidecars/refusal.ts';
import { decideRequest, overSince, type RequestFacts } from './decide.ts';
import { Contents } from './contents.ts';
import { ApprovalDesk, requestView } from './desk.ts';
import { atOf, RequestStore } from './store.ts';

/** A pod whose sidecar is away for longer waits for nothing any more. */
const ABSENT_MS = 30_000;
/** Sidecars find a new leader within this time: they may wait for an address that is gone, and for their next try. */
const RETURN_MS = 120_000;
/** What is over is kept for people to look at; what nobody was asked for, since it was granted before, for a shorter time. */
const KEPT_MS = 24 * 3_600_000;
const KEPT_GRANTED_MS = 3_600_000;
/** A decision on what is not there: its author may look for the reason. */
const ORPHAN_MS = 3_600_000;
/** Informers may bring a decision before its request. */
const LAG_MS = 2_000;
/** Deletions in one sweep. */
const MAX_SWEPT = 200;
/** Clocks that wait longer than this look again in between. */
const MAX_WAIT_MS = 3_600_000;
const CONFLICT_MS = 20;
const UNREAD_MS = 100;

export interface ApprovalMetrics {
  /** Requests that are not over. */
  open(count: number): void;
  became(outcome: RequestState): void;
  /** Seconds from question to decision. */
  decided(seconds: number): void;
}

export interface ApprovalOfficeOptions {
  readonly kube: Kube;
  readonly hub: Pick<SidecarHub, 'snapshotOf' | 'has' | 'tell'>;
  readonly pods: Pick<Informer<KubeObject>, 'get' | 'onChange'>;
  readonly policies: Pick<Informer<AccessPolicy>, 'get' | 'onChange'>;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly metrics?: ApprovalMetrics | undefined;
  readonly queueMetrics?: QueueMetrics | undefined;
  /** Called with every request, whenever it changes. */
  readonly onRequest?: ((request: AccessRequest) => void) | undefined;
  /** Where people decide with a signature, if they can. */
  readonly decideOrigin?: string | undefined;
  readonly onError: (error: unknown) => void;
}

/** Requests for approval during one term of office: counts decisions, tells sidecars, and ends what nobody waits for. */
export class ApprovalOffice {
  readonly desk: ApprovalDesk;
  readonly #o: ApprovalOfficeOptions;
  readonly #store: RequestStore;
  readonly #contents = new Contents();
  readonly #generationOf: GenerationOf;
  readonly #requests: Informer<AccessRequest>;
  readonly #decisions: Informer<ApprovalDecision>;
  readonly #queue: WorkQueue;
  /** Keys of decisions by the key of the request that they are on. */
  readonly #on = new Map<string, Set<string>>();
  /** Requests, by pod. */
  readonly #ofPod = new Map<string, Set<string>>();
  /** Those that are not over, by pod. */
  readonly #open = new Map<string, Set<string>>();
  /** Those of which the same may run again, by pod. */
  readonly #granting = new Map<string, Set<string>>();
  /** Since when a pod's sidecar is away. */
  readonly #absent = new Map<string, number>();
  readonly #since: number;
  #subscriptions: (() => void)[] = [];

  constructor(options: ApprovalOfficeOptions) {
    this.#o = options;
    const { kube, signal, policies, hub, now, onError, queueMetrics } = options;
    this.#since = now();
    this.#store = new RequestStore(kube, signal, options.decideOrigin);
    this.#generationOf = (policy) => policies.get(`${policy.namespace}/${policy.name}`)?.metadata.generation;
    this.#requests = new Informer({ kube, kind: KINDS.accessRequests, parse: (each) => AccessRequest.parse(each), onError });
    this.#decisions = new Informer({
      kube,
      kind: KINDS.approvalDecisions,
      parse: (each) => ApprovalDecision.parse(each),
      onError,
    });
    this.#requests.onChange((change) => this.#requestChanged(change));
    this.#decisions.onChange((change) => this.#decisionChanged(change));
    this.#queue = new WorkQueue({
      name: 'approvals',
      work: (key) => this.#work(key),
      workers: 4,
      onError: (_key, error) => onError(error),
      ...(queueMetrics === undefined ? {} : { metrics: queueMetrics }),
    });
    this.desk = new ApprovalDesk({
      store: this.#store,
      contents: this.#contents,
      hub,
      known: (at) => {
        if (!this.#ready()) throw new Refusal('Unavailable', 'requests for approval have not been read yet');
        return this.#requests.get(keyOf({ metadata: at }));
      },
      ofPod: (podUid) => [...(this.#ofPod.get(podUid) ?? [])].flatMap((key) => this.#requests.get(key) ?? []),
      generationOf: this.#generationOf,
      now,
    });
  }

  /** Begins. It does not wait for the first lists: without them nobody is asked and nothing is decided, and all else works. */
  open(): void {
    const { pods, policies } = this.#o;
    this.#requests.start();
    this.#decisions.start();
    this.#subscriptions = [
      pods.onChange(({ before }) => this.podChanged(before?.metadata.uid ?? '')),
      policies.onChange(({ key }) => this.#policyChanged(key)),
    ];
  }

  #ready(): boolean {
    return this.#requests.hasSynced && this.#decisions.hasSynced;
  }

  async close(): Promise<void> {
    for (const unsubscribe of this.#subscriptions) unsubscribe();
    await Promise.all([this.#queue.stop(), this.#requests.stop(), this.#decisions.stop()]);
  }

  /** What a stream begins with: every request of the pod that is not over. */
  greeting(podUid: string): StreamLine[] {
    return [...(this.#open.get(podUid) ?? [])].flatMap((key) => {
      const request = this.#requests.get(key);
      return request === undefined ? [] : [this.#line(request)];
    });
  }

  /** The pod, or its sidecar, came or went. */
  podChanged(podUid: string): void {
    for (const index of [this.#open, this.#granting]) for (const key of index.get(podUid) ?? []) this.#queue.add(key);
  }

  /** Removes what was over for long, and decisions on nothing. */
  async sweep(): Promise<void> {
    if (!this.#ready()) return;
    const now = this.#o.now();
    const over = this.#requests.list().filter((request) => now - (overSince(request) ?? now) > keptMs(request));
    const orphans = this.#decisions
      .list()
      .filter((decision) => !this.#requests.get(requestKey(decision)) && this.#ageOf(decision) > ORPHAN_MS);
    for (const decision of orphans.slice(0, MAX_SWEPT)) await this.#store.remove(KINDS.approvalDecisions, decision);
    for (const request of over.slice(0, MAX_SWEPT)) {
      for (const decision of this.#decisionsOn(keyOf(request))) await this.#store.remove(KINDS.approvalDecisions, decision);
      await this.#store.remove(KINDS.accessRequests, request);
    }
    for (const podUid of this.#absent.keys()) if (!this.#open.has(podUid)) this.#absent.delete(podUid);
  }

  #requestChanged(change: Change<AccessRequest>): void {
    const { key, before, after } = change;
    this.#note(change);
    this.#queue.add(key);
    this.#measure(before, after);
    // Before its status is written a request is nothing that somebody waits for.
    if (after?.status?.state === undefined) return;
    this.#o.hub.tell(after.spec.agent.podUid ?? '', this.#line(after));
    this.#o.onRequest?.(after);
  }

  /** Which requests a pod has, and which of them are open; what is kept beside one goes with it. */
  #note({ key, before, after }: Change<AccessRequest>): void {
    if (before !== undefined)
      for (const index of [this.#ofPod, this.#open, this.#granting]) remove(index, before.spec.agent.podUid ?? '', key);
    if (after !== undefined) for (const index of this.#indexesOf(after)) add(index, after.spec.agent.podUid ?? '', key);
    if (after === undefined || !isOpen(after.status?.state)) this.#contents.forget((after ?? before)?.metadata.uid ?? '');
  }

  #indexesOf({ status = {} }: AccessRequest): Map<string, Set<string>>[] {
    return [
      this.#ofPod,
      ...(isOpen(status.state) ? [this.#open] : []),
      ...(isGranting(status, this.#o.now()) ? [this.#granting] : []),
    ];
  }

  #measure(before: AccessRequest | undefined, after: AccessRequest | undefined): void {
    const { metrics, now } = this.#o;
    metrics?.open([...this.#open.values()].reduce((count, keys) => count + keys.size, 0));
    const state = after?.status?.state;
    if (before === undefined || after === undefined || state === undefined || state === 'Pending') return;
    if (before.status?.state === state) return;
    metrics?.became(state);
    if (state === 'Approved' || state === 'Denied') metrics?.decided((now() - this.#createdAt(after)) / 1000);
  }

  #decisionChanged({ key, before, after }: Change<ApprovalDecision>): void {
    if (before !== undefined) remove(this.#on, requestKey(before), key);
    if (after !== undefined) add(this.#on, requestKey(after), key);
    const changed = after ?? before;
    if (changed !== undefined) this.#queue.add(requestKey(changed));
  }

  #policyChanged(policy: string): void {
    for (const keys of [...this.#open.values(), ...this.#granting.values()])
      for (const key of keys)
        if (this.#requests.get(key)?.spec.rules.some((rule) => keyOf({ metadata: rule.policy }) === policy)) this.#queue.add(key);
  }

  async #work(key: string): Promise<number | undefined> {
    if (!this.#ready()) return UNREAD_MS;
    const request = this.#requests.get(key);
    const decisions = this.#decisionsOn(key);
    if (request === undefined) return await this.#unknown(decisions);
    // Whoever created it writes the first status at once.
    const young = LAG_MS - this.#ageOf(request);
    if (request.status?.state === undefined && young > 0) return young;
    const gone = isOpen(request.status?.state) ? this.#gone(request) : undefined;
    const facts = this.#factsOf(request, decisions, gone === 0);
    const { status, told } = decideRequest(facts);
    try {
      if (status !== undefined) await this.#store.write(request, status);
    } catch (error) {
      if (isConflict(error)) return CONFLICT_MS;
      throw error;
    }
    for (const { decision, status: said } of told) await this.#store.tell(atOf(decision), said);
    if (!isOpen((status ?? request.status)?.state)) return undefined;
    return Math.min(Math.max(Date.parse(request.spec.expiresAt) - facts.now, 0) + 1, gone ?? MAX_WAIT_MS, MAX_WAIT_MS);
  }

  #factsOf(request: AccessRequest, decisions: readonly ApprovalDecision[], gone: boolean): RequestFacts {
    const { hub, now } = this.#o;
    const { agent, resource } = request.spec;
    return {
      request,
      decisions,
      generationOf: this.#generationOf,
      grant: this.#grantOf(request, now()),
      gone,
      podGone: this.#isPodGone(request),
      access: accessIn(hub.snapshotOf(agent.podUid ?? ''), resource),
      now: now(),
    };
  }

  /** What a request was granted with, if that stands. Before it runs the desk asks the API server once more. */
  #grantOf({ metadata: { namespace }, spec: { grantedBy = '' } }: AccessRequest, now: number): Grant | undefined {
    const key = keyOf({ metadata: { namespace, name: grantedBy } });
    const granting = this.#requests.get(key);
    if (granting === undefined) return undefined;
    return grantOf(grantedBy, askedOf(granting), granting.status ?? {}, this.#decisionsOn(key).map(givenOf), now);
  }

  async #unknown(decisions: readonly ApprovalDecision[]): Promise<number | undefined> {
    const fresh = decisions.filter(({ status }) => status?.counted === undefined);
    const young = fresh.map((decision) => LAG_MS - this.#ageOf(decision)).filter((left) => left > 0);
    if (young.length > 0) return Math.max(...young);
    const why = 'there is no request of this name in this namespace';
    for (const decision of fresh) await this.#store.tell(atOf(decision), { counted: false, why });
    return undefined;
  }

  /** ms until nobody waits for the request any more: 0 now; undefined while somebody does. */
  #gone(request: AccessRequest): number | undefined {
    const { hub, now } = this.#o;
    const podUid = request.spec.agent.podUid ?? '';
    if (this.#isPodGone(request)) return 0;
    if (hub.has(podUid)) {
      // Whoever was here is away from the moment on at which it is missed.
      this.#absent.set(podUid, Number.POSITIVE_INFINITY);
      return undefined;
    }
    const seen = this.#absent.get(podUid) ?? this.#since + RETURN_MS;
    const since = seen === Number.POSITIVE_INFINITY ? now() : seen;
    this.#absent.set(podUid, since);
    return Math.max(0, since + ABSENT_MS - now());
  }

  #isPodGone({ metadata: { namespace = '' }, spec: { agent } }: AccessRequest): boolean {
    const pod = this.#o.pods.get(`${namespace}/${agent.pod ?? ''}`);
    return pod === undefined || pod.metadata.uid !== (agent.podUid ?? '') || !isAlive(pod);
  }

  #decisionsOn(key: string): ApprovalDecision[] {
    return [...(this.#on.get(key) ?? [])].flatMap((each) => this.#decisions.get(each) ?? []);
  }

  #line(request: AccessRequest): StreamLine {
    return { type: 'request', request: requestView(request, this.#o.now()) };
  }

  #createdAt({ metadata }: Pick<AccessRequest, 'metadata'>): number {
    return Date.parse(metadata.creationTimestamp ?? '');
  }
  #ageOf(object: Pick<AccessRequest, 'metadata'>): number {
    return this.#o.now() - this.#createdAt(object);
  }
}

function keptMs({ spec }: AccessRequest): number {
  return spec.grantedBy === undefined ? KEPT_MS : KEPT_GRANTED_MS;
}

function requestKey({ metadata: { namespace }, spec: { request } }: ApprovalDecision): string {
  return keyOf({ metadata: { namespace, name: request } });
}

function add(index: Map<string, Set<string>>, of: string, key: string): void {
  index.set(of, (index.get(of) ?? new Set()).add(key));
}
function remove(index: Map<string, Set<string>>, of: string, key: string): void {
  const keys = index.get(of);
  keys?.delete(key);
  if (keys?.size === 0) index.delete(of);
}
