import { setTimeout as sleep } from 'node:timers/promises';
import type { AccessPolicy, InjectionProfile } from '@chaperone/api';
import { signRegistration } from '@chaperone/evidence';
import { Informer, keyOf, KINDS, type Kube, type KubeObject } from '@chaperone/kube';
import { type ClusterFacts, credentialSource } from '@chaperone/policy';
import { AddressBook } from './addresses/address-book.ts';
import { type ApprovalMetrics, ApprovalOffice } from './approvals/office.ts';
import { rememberMessage } from './notify/attest.ts';
import { Notifier, type NotifyMetrics } from './notify/notifier.ts';
import type { Authority } from './ca/authority.ts';
import { leafIssuer } from './ca/leaves.ts';
import { ensureServiceCertificates } from './ca/service-certificates.ts';
import { CA_CONFIG_MAP, publishCa, publishWebhookCa, WEBHOOK_CONFIGURATION } from './ca/publish.ts';
import type { Config } from './config.ts';
import { Kills } from './kills/kills.ts';
import { type EventRecorder, regardingOf } from './kube/events.ts';
import { type QueueMetrics, WorkQueue } from './kube/queue.ts';
import { ensureNatsAuth, sidecarJwt } from './nats/auth.ts';
import { ensureLogPolicy } from './nats/log-policy.ts';
import { ensureTrust } from './nats/trust.ts';
import { Networks } from './networks/keep.ts';
import { dialledFrom } from './networks/policy.ts';
import { Observations, withSourceName } from './observations.ts';
import { decidePolicy } from './policies/decide.ts';
import { gatherPolicy, resourcesOf } from './policies/facts.ts';
import { type AssessedResource, assessResources, restoreAddresses } from './resources/assess.ts';
import { isSameLogin } from './resources/source.ts';
import { Sources } from './resources/sources.ts';
import { PodCounters } from './sidecars/counters.ts';
import { Comparison, sentenceOf } from './sidecars/comparison.ts';
import { askCollector } from './sidecars/held.ts';
import { Enrolments } from './sidecars/enrolments.ts';
import { GOVERNED_SINCE, hasEnded, isAlive, isGoverned } from './sidecars/governed.ts';
import { ensureHashSecret } from './sidecars/hash-secret.ts';
import { clusterFacts } from './sidecars/cluster.ts';
import { SidecarHub } from './sidecars/hub.ts';
import { waitingSidecar } from './sidecars/waiting.ts';
import type { Term } from './sidecars/server.ts';
import { isSameSpec, policyStatus, resourceStatus, Statuses } from './statuses.ts';
import { during, keepAuthority, type LeadTimes, natsCa, publishLeader, sealNamespace, writeProfile } from './term.ts';
import type { World } from './world.ts';

/** Changes within this time are looked at together; a push takes at most 1 s. */
const GATHER_MS = 50;
/** When a resource is looked at again whose credentials have not been heard of. */
const SECRETS_RETRY_MS = 250;

export interface LeadOptions {
  readonly kube: Kube;
  readonly config: Config;
  readonly world: World;
  readonly authority: Authority;
  readonly events: EventRecorder;
  readonly queueMetrics?: QueueMetrics;
  readonly approvalMetrics?: ApprovalMetrics;
  readonly notifyMetrics: NotifyMetrics;
  /** Addresses and CIDRs that no notice is sent to. */
  readonly forbiddenRanges: readonly string[];
  readonly natsCa: string | undefined;
  readonly profile: () => InjectionProfile;
  /** Called with the term when sidecars may be answered, with undefined when no more. */
  readonly onTerm: (term: Term | undefined) => void;
  /** Subscribes to changes of the world for the length of the term. */
  readonly onWorldChange: (listener: () => void) => () => void;
  /** What a pod of this namespace counted has no room any more. */
  readonly onCountersFull?: (namespace: string) => void;
  readonly now?: () => number;
  readonly times: LeadTimes;
  readonly onError: (error: unknown) => void;
}

/** One term of office: sets up what is set up once, then keeps statuses, namespaces and sidecars in step until the signal aborts. */
export async function lead(options: LeadOptions, signal: AbortSignal): Promise<void> {
  const { config, authority } = options;
  const kube = during(options.kube, signal);
  const now = options.now ?? Date.now;
  await keepAuthority(options, kube, 'unknown');
  const { origin, enrolment, recipients } = await ensureTrust(kube, config.namespace, config);
  let log: string | undefined;
  /** A key that somebody else keeps may come later; sidecars ask for it again. */
  const findLog = async (): Promise<void> => {
    log ??= await ensureLogPolicy(kube, config.namespace, origin, config.log);
  };
  await findLog().catch(options.onError);
  const seeds = await ensureNatsAuth(kube, config.namespace);
  const hashSecret = await ensureHashSecret(kube, config.namespace);
  await ensureServiceCertificates(kube, config.namespace, authority, now());
  const office = new Office(options, signal, { hashSecret, origin });
  try {
    await office.open();
    options.onTerm({
      enrolments: office.enrolments,
      hub: office.hub,
      counters: office.counters,
      comparison: office.comparison,
      approvals: office.approvals.desk,
      kills: office.kills,
      origin,
      recipients,
      register: (nkey, { namespace, serviceAccount, pod, podUid }) =>
        signRegistration({ nkey, agent: { namespace, serviceAccount, pod, podUid }, origin, issuedAt: now() }, enrolment),
      nats: async (nkey) => ({
        url: config.nats.url,
        ...(await sidecarJwt(seeds, nkey, now())),
        ...natsCa(options, now()),
        ...(log === undefined ? {} : { log }),
        recipients: [...recipients],
      }),
    });
    await publishLeader(options, 'sidecars', signal);
    if (config.decide !== undefined) await publishLeader(options, 'decide', signal);
    while (!signal.aborted) {
      await sleep(options.times.tickMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
      await findLog().catch(options.onError);
      await office.tick().catch(options.onError);
    }
  } finally {
    options.onTerm(undefined);
    await office.close();
  }
}

const parse = (object: KubeObject): KubeObject => object;

class Office {
  readonly hub: SidecarHub;
  readonly enrolments: Enrolments;
  readonly counters: PodCounters;
  /** Undefined where there is no collector to ask. */
  readonly comparison: Comparison | undefined;
  readonly approvals: ApprovalOffice;
  readonly #notifier: Notifier;
  readonly kills: Kills;
  readonly #options: LeadOptions;
  readonly #signal: AbortSignal;
  readonly #now: () => number;
  readonly #book: AddressBook;
  readonly #sources: Sources;
  /** Resources whose credentials were not heard of when everything was looked at last. */
  #unheard: ReadonlySet<string> = new Set();
  readonly #observations = new Observations();
  readonly #queue: WorkQueue;
  readonly #caMaps: Informer<KubeObject>;
  readonly #webhooks: Informer<KubeObject>;
  readonly #networks: Networks;
  readonly #statuses: Statuses;
  #states: ReadonlyMap<string, AssessedResource> = new Map();
  #policies: readonly AccessPolicy[] = [];
  #cluster: ClusterFacts;
  /** Pods whose sidecar has not let the agent in for long. */
  #waiting: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #subscriptions: (() => void)[] = [];

  constructor(options: LeadOptions, signal: AbortSignal, { hashSecret, origin }: { hashSecret: Buffer; origin: string }) {
    this.#options = options;
    this.#signal = signal;
    this.#now = options.now ?? Date.now;
    const { kube, config, world, onError } = options;
    this.#book = new AddressBook(config.ranges);
    this.#sources = new Sources({ secrets: world.secrets, vault: config.vault, onChange: () => this.changed(), onError });
    this.#statuses = new Statuses({ ...options, signal });
    this.#cluster = clusterFacts(config.namespace, [], []);
    this.enrolments = new Enrolments(kube, config.namespace);
    const policiesOf = (podUid: string): string[] => this.hub.policiesOf(podUid);
    this.counters = new PodCounters({
      kube,
      namespace: config.namespace,
      origin,
      policiesOf,
      now: this.#now,
      onFull: (agent) => {
        options.onCountersFull?.(agent.namespace);
        const why = `the pods of namespace ${agent.namespace} have no more room for it`;
        options.events.warnPod(agent, 'CountersFull', 'Count', `what this pod counts of its evidence is not kept, since ${why}`);
      },
      onError,
    });
    this.hub = new SidecarHub({
      leaves: leafIssuer(options.authority, this.#now),
      world: () => ({ policies: this.#policies, states: this.#states, cluster: this.#cluster }),
      hashSecret,
      validForMs: config.validForMs,
      now: this.#now,
      greeting: (podUid) => this.approvals.greeting(podUid),
      kills: (namespace) => this.kills.of(namespace),
      onChange: ({ namespace, podUid = '' }) => {
        this.approvals.podChanged(podUid);
        for (const policy of world.policies.list())
          if (policy.metadata.namespace === namespace) this.#add('policy', keyOf(policy));
      },
      onCapture: (agent, { proven, message = '' }) => {
        if (!proven) options.events.warnPod(agent, 'CaptureNotProven', 'Watch', message);
      },
      onObservation: (observation) => {
        const state = this.#states.get(`${observation.resource.namespace}/${observation.resource.name}`);
        if (state === undefined) return;
        const named = withSourceName(observation, state.resource);
        if (this.#observations.record(named, this.#basis(state.resource))) this.changed();
      },
      onError,
    });
    this.kills = new Kills({ kube, hub: this.hub, now: this.#now, onError });
    this.comparison = config.collectorUrl === undefined ? undefined : this.#newComparison(config.collectorUrl);
    this.#notifier = new Notifier({
      config: config.notify,
      forbidden: options.forbiddenRanges,
      metrics: options.notifyMetrics,
      remember: (request, mark) => rememberMessage(kube, request, mark),
      onError,
    });
    this.approvals = new ApprovalOffice({
      onRequest: (request) => this.#notifier.changed(request),
      kube,
      hub: this.hub,
      pods: world.pods,
      policies: world.policies,
      signal,
      now: this.#now,
      metrics: options.approvalMetrics,
      queueMetrics: options.queueMetrics,
      decideOrigin: config.decide?.url,
      onError,
    });
    this.#queue = new WorkQueue({
      name: 'operator',
      work: (key) => this.#work(key),
      workers: 4,
      onError: (_key, error) => onError(error),
      ...(options.queueMetrics === undefined ? {} : { metrics: options.queueMetrics }),
    });
    this.#caMaps = new Informer({
      kube,
      kind: KINDS.configMaps,
      fieldSelector: `metadata.name=${CA_CONFIG_MAP}`,
      parse,
      onError,
    });
    this.#caMaps.onChange(({ key }) => this.#add('namespace', key.split('/')[0] ?? ''));
    const named = `metadata.name=${WEBHOOK_CONFIGURATION}`;
    this.#webhooks = new Informer({ kube, kind: KINDS.mutatingWebhooks, fieldSelector: named, parse, onError });
    this.#webhooks.onChange(() => this.#add('webhook', ''));
    this.#networks = new Networks({
      kube,
      facts: config.networks && {
        config: config.networks,
        system: { namespace: config.namespace, operatorPort: config.ports.sidecars, natsUrl: config.nats.url },
        forbidden: options.forbiddenRanges,
      },
      signal,
      now: this.#now,
      onChange: (namespace) => this.#add('namespace', namespace),
      onError,
    });
  }

  #newComparison(url: string): Comparison {
    const { world, events, onError } = this.#options;
    return new Comparison({
      counters: this.counters,
      ask: askCollector(url, () => this.#bundle()),
      now: this.#now,
      onChange: ({ agent }, shortfall) => {
        for (const policy of world.policies.list())
          if (policy.metadata.namespace === agent.namespace) this.#add('policy', keyOf(policy));
        if (shortfall !== undefined) events.warnPod(agent, 'EvidenceMissing', 'Compare', sentenceOf(shortfall));
      },
      onError,
    });
  }

  async open(): Promise<void> {
    const { world, kube } = this.#options;
    restoreAddresses(this.#book, world.resources.list());
    this.#sources.want(world.resources.list());
    await Promise.all([this.#caMaps.start().synced, this.#webhooks.start().synced, this.#networks.start(), this.#secretsKnown()]);
    for (const resource of world.resources.list()) this.#observations.restore(resource, this.#basis(resource));
    const pods = new Set(world.pods.list().map((pod) => pod.metadata.uid));
    await this.enrolments.load((uid) => pods.has(uid));
    await this.counters.load((uid) => pods.has(uid));
    await writeProfile(during(kube, this.#signal), this.#options.profile());
    this.approvals.open();
    this.comparison?.start();
    await this.kills.start();
    this.#look();
    this.#subscriptions = [
      this.#options.onWorldChange(() => this.changed()),
      world.pods.onChange(({ before, after }) => this.#podChanged(before, after)),
      this.#options.authority.onChange(() => this.changed()),
    ];
  }

  async close(): Promise<void> {
    for (const unsubscribe of this.#subscriptions) unsubscribe();
    clearTimeout(this.#timer);
    this.hub.close();
    await Promise.all([
      this.#queue.stop(),
      this.approvals.close(),
      this.kills.stop(),
      this.comparison?.stop(),
      this.counters.close(),
      this.#caMaps.stop(),
      this.#webhooks.stop(),
      this.#networks.stop(),
      this.#sources.close(),
    ]);
  }

  changed(): void {
    if (this.#signal.aborted) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#look();
    }, GATHER_MS);
  }

  async tick(): Promise<void> {
    const { config, authority } = this.#options;
    const kube = during(this.#options.kube, this.#signal);
    await keepAuthority(this.#options, kube, this.#webhooks.get(WEBHOOK_CONFIGURATION));
    await ensureServiceCertificates(kube, config.namespace, authority, this.#now());
    await writeProfile(kube, this.#options.profile());
    await this.approvals.sweep();
    await this.kills.sweep();
    this.counters.sweep();
    this.changed();
  }

  /** A pod that waits for its sidecar says nothing itself; it is told once. */
  async #tellWaiting(): Promise<void> {
    const waiting = new Map<string, { pod: KubeObject; note: string }>();
    for (const pod of this.#governedPods().filter(isAlive)) {
      const { uid = '' } = pod.metadata;
      const note = waitingSidecar(pod, { now: this.#now(), enrolled: this.hub.has(uid) });
      if (note !== undefined) waiting.set(uid, { pod, note });
    }
    const fresh = [...waiting].filter(([uid]) => !this.#waiting.has(uid));
    this.#waiting = new Set(waiting.keys());
    for (const [, { pod, note }] of fresh) {
      const event = { type: 'Warning', reason: 'SidecarNotReady', action: 'Start', note } as const;
      await this.#options.events.emit(regardingOf({ ...KINDS.pods, metadata: pod.metadata }), event);
    }
  }

  /** The login of a resource is another than before: sessions that open from now on use it. */
  async #tellRotated(before: ReadonlyMap<string, AssessedResource>): Promise<void> {
    for (const [key, { resource, credentials }] of this.#states) {
      const old = before.get(key);
      const name = credentialSource(resource);
      if (name === undefined || old === undefined || name !== credentialSource(old.resource)) continue;
      if (credentials === undefined || old.credentials === undefined || isSameLogin(credentials, old.credentials)) continue;
      const note = `${name} changed; sessions that open from now on use it`;
      const event = { type: 'Normal', reason: 'CredentialRotated', action: 'Reconcile', note } as const;
      await this.#options.events.emit(regardingOf(resource), event);
    }
  }

  async #secretsKnown(): Promise<void> {
    const { resources } = this.#options.world;
    const missing = (): boolean => resources.list().some((resource) => !this.#sources.known(resource));
    while (missing() && !this.#signal.aborted) await sleep(20);
  }

  #basis(resource: AssessedResource['resource']): string {
    const { uid = '', generation = 0 } = resource.metadata;
    return `${uid}/${generation}/${this.#sources.find(resource)?.view?.version ?? ''}`;
  }

  /** Looks at everything: cheap, pure but for the address book, and never out of step with itself. */
  #look(): void {
    if (this.#signal.aborted) return;
    const { world, config } = this.#options;
    const resources = world.resources.list();
    this.#sources.want(resources);
    this.#unheard = new Set(resources.filter((resource) => !this.#sources.known(resource)).map(keyOf));
    this.#observations.retain(new Set(resources.map(keyOf)));
    const before = this.#states;
    this.#cluster = clusterFacts(config.namespace, world.namespaces.list(), resources);
    this.#policies = world.policies.list();
    this.#states = assessResources({
      resources,
      namespace: (name) => world.namespaces.get(name),
      secret: (key) => world.secrets.get(key),
      credential: (resource) => this.#sources.find(resource),
      hostPatterns: config.hostPatterns,
      book: this.#book,
      observations: new Map(
        resources.map((resource) => [keyOf(resource), this.#observations.of(resource, this.#basis(resource))]),
      ),
      now: this.#now(),
    });
    this.#removeUngoverned();
    // An event that cannot be written is reported and nothing waits for it.
    void this.#tellRotated(before);
    void this.#tellWaiting();
    for (const key of this.#states.keys()) this.#add('resource', key);
    for (const namespace of world.namespaces.list()) if (isGoverned(namespace)) this.#add('namespace', keyOf(namespace));
    this.#add('namespace', config.namespace);
    for (const namespace of this.#networks.namespaces) this.#add('namespace', namespace);
    this.#add('webhook', '');
    // Programmed is about the snapshots of this moment, so these come first.
    this.#refreshSidecars().catch(this.#options.onError);
  }

  async #refreshSidecars(): Promise<void> {
    await this.hub.refresh();
    for (const policy of this.#options.world.policies.list()) this.#add('policy', keyOf(policy));
  }

  #podChanged(before: KubeObject | undefined, after: KubeObject | undefined): void {
    const uid = before?.metadata.uid;
    if (this.#signal.aborted || uid === undefined) return;
    if (after !== undefined && after.metadata.uid === uid && isAlive(after)) return;
    this.hub.remove(uid, 'the pod was deleted or has ended');
    const gone = after === undefined || after.metadata.uid !== uid;
    if (gone) this.enrolments.forget(uid).catch(this.#options.onError);
    // One that ends still brings its evidence out.
    if (gone || hasEnded(after)) this.counters.gone(uid);
  }

  #removeUngoverned(): void {
    const { world } = this.#options;
    for (const pod of world.pods.list()) {
      const { uid, namespace } = pod.metadata;
      if (uid !== undefined && this.hub.has(uid) && !isGoverned(world.namespaces.get(namespace ?? ''))) {
        this.hub.remove(uid, `namespace ${namespace ?? ''} is governed no more`);
      }
    }
  }

  #add(kind: 'resource' | 'policy' | 'namespace' | 'webhook', key: string): void {
    this.#queue.add(`${kind}:${key}`);
  }

  async #work(item: string): Promise<number | undefined> {
    const key = item.slice(item.indexOf(':') + 1);
    switch (item.slice(0, item.indexOf(':'))) {
      case 'resource':
        return await this.#resource(key);
      case 'policy':
        return await this.#policy(key);
      case 'namespace':
        return await this.#namespace(key);
      default:
        await publishWebhookCa(this.#options.kube, this.#bundle(), this.#webhooks.get(WEBHOOK_CONFIGURATION), this.#signal);
        return undefined;
    }
  }

  async #resource(key: string): Promise<number | undefined> {
    const state = this.#states.get(key);
    const current = this.#options.world.resources.get(key);
    if (state === undefined || current === undefined || !isSameSpec(current, state.resource)) return undefined;
    if (this.#unheard.has(key)) {
      if (this.#sources.known(current)) this.changed();
      return SECRETS_RETRY_MS;
    }
    const policies = this.#options.world.policies.list().filter((policy) => resourcesOf(policy).includes(key)).length;
    const status = resourceStatus({ ...state, resource: current }, policies, this.#now());
    return await this.#statuses.write(KINDS.protectedResources, current, status);
  }

  async #policy(key: string): Promise<undefined> {
    const policy = this.#options.world.policies.get(key);
    if (policy === undefined) return;
    // Nothing is said of a resource before its Secrets were heard of; everything is looked at again then.
    if (resourcesOf(policy).some((each) => this.#unheard.has(each))) return;
    const now = this.#now();
    const { injection, decide } = this.#options.config;
    const pods = this.#governedPods();
    const shortfalls = this.comparison?.shortfalls() ?? [];
    const [image, signing] = [injection.image, decide !== undefined];
    const facts = gatherPolicy({ policy, resources: this.#states, pods, hub: this.hub, image, signing, shortfalls, now });
    await this.#statuses.write(KINDS.accessPolicies, policy, policyStatus(policy, decidePolicy(facts), now));
  }

  #governedPods(): KubeObject[] {
    const { world } = this.#options;
    return world.pods.list().filter((pod) => isGoverned(world.namespaces.get(pod.metadata.namespace ?? '')));
  }

  async #namespace(name: string): Promise<undefined> {
    const { kube, config, world } = this.#options;
    const namespace = world.namespaces.get(name);
    const governed = isGoverned(namespace) && namespace?.metadata.deletionTimestamp === undefined;
    if (governed && namespace?.metadata.annotations?.[GOVERNED_SINCE] === undefined)
      await sealNamespace(kube, name, { now: this.#now(), signal: this.#signal });
    if (governed || name === config.namespace)
      await publishCa(kube, name, this.#bundle(), this.#caMaps.get(`${name}/${CA_CONFIG_MAP}`), this.#signal);
    const resources = new Map([...this.#states].map(([key, { resource }]) => [key, resource]));
    await this.#networks.keep(name, governed ? dialledFrom(name, world.policies.list(), resources) : undefined);
  }

  #bundle(): string {
    return this.#options.authority.bundle(this.#now());
  }
}
