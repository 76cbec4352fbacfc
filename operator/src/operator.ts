import { createServer, type Server as HttpsServer } from 'node:https';
import { isIP } from 'node:net';
import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { selectsAgent } from '@chaperone/policy';
import type { Tracer } from '@chaperone/policy/tracing';
import { getObject, Informer, KINDS, type Kube, type KubeObject } from '@chaperone/kube';
import { Authority, CA_SECRET, readState } from './ca/authority.ts';
import { SERVICE_CERTIFICATES, serviceNames } from './ca/service-certificates.ts';
import { ServingCertificate } from './ca/serving.ts';
import { closeServer } from './close-server.ts';
import type { Config } from './config.ts';
import { createDecide } from './decide/server.ts';
import { ServedPair } from './decide/served-pair.ts';
import { createHealthServer } from './health.ts';
import {
  buildProfile,
  type CaptureMode,
  type InjectionConfig,
  operatorCaOf,
  PROFILE_NAME,
  readCaptureMode,
} from './injection/profile.ts';
import type { Pod } from './injection/pod.ts';
import { EventRecorder } from './kube/events.ts';
import { type LeaderOptions, runElection } from './kube/leader.ts';
import { lead } from './lead.ts';
import type { Metrics } from './metrics.ts';
import { agentOf, refusePod } from './sidecars/governed.ts';
import { TokenReviewer } from './sidecars/identity.ts';
import { createSidecarServer, type Term } from './sidecars/server.ts';
import { attestDeny, readRequest } from './notify/attest.ts';
import { createSlackActions } from './notify/notifier.ts';
import { createSlackListener } from './notify/slack-listener.ts';
import { createPublicServer } from './public-server.ts';
import { LEAD_TIMES, type LeadTimes } from './term.ts';
import { createWebhook } from './webhook/handler.ts';
import { unhealthyConditions } from './unhealthy.ts';
import { traceReview, tracedQueue } from './tracing.ts';
import { followWorld, type World } from './world.ts';

const LEASE = 'chaperone-operator';

export interface OperatorOptions {
  readonly kube: Kube;
  readonly config: Config;
  readonly metrics: Metrics;
  /** PEM, where NATS has a CA of its own. */
  readonly natsCa: string | undefined;
  readonly onError: (error: unknown) => void;
  /** Absent: nothing is traced. */
  readonly tracer?: Tracer | undefined;
  /** How long admission is still answered after stop(): until nobody sends reviews here any more. Default: 0. */
  readonly drainMs?: number;
  /** Default: {@link LEAD_TIMES}. */
  readonly times?: LeadTimes;
  /** Default: that of {@link runElection}. */
  readonly election?: Pick<LeaderOptions, 'leaseMs' | 'renewDeadlineMs' | 'retryMs'>;
}
export interface Operator {
  readonly servers: {
    readonly sidecars: HttpsServer;
    readonly webhook: HttpsServer;
    readonly health: Server;
    /** Where Slack is used. */
    readonly slack: HttpsServer | undefined;
    /** Where people decide with a signature, if they can. */
    readonly decide: HttpsServer | undefined;
  };
  /** Resolves when the election has ended. */
  stop(): Promise<void>;
}

/** One replica: answers admission, takes part in the election, and serves sidecars while it leads. */
export async function startOperator(options: OperatorOptions): Promise<Operator> {
  const { kube, config, metrics, onError } = options;
  const authority = new Authority();
  const listeners = new Set<() => void>();
  const world = followWorld({ kube, onError, onChange: () => listeners.forEach((listener) => listener()) });
  let term: Term | undefined;
  let listening = false;
  // A lease that a removed installation left behind names a leader that will never write the CA.
  let led = false;
  const stop = new AbortController();

  const health = createHealthServer({ registry: metrics.registry, ready: () => listening && led, alive: () => true });
  await listen(health, config.ports.health);
  const forbiddenRanges = [...new Set([...(await ownAddresses(kube, config)), ...config.forbiddenRanges])].toSorted();
  const injection = (operatorCa: string): InjectionConfig => ({
    ...config.injection,
    operatorAddress: `${config.services.sidecars}.${config.namespace}.svc:8443`,
    operatorCa,
    ranges: config.ranges,
    forbiddenRanges,
  });
  /** Admission accepts a bundle before the profile injects it, so pods get that of the profile; one of another CA led nowhere. */
  const acceptedCa = (): string => {
    const profile = world.profiles.get(PROFILE_NAME);
    const accepted = profile === undefined ? [] : [operatorCaOf(profile.spec), ...(profile.spec.operatorCas ?? [])];
    return accepted.find((ca) => ca !== undefined && authority.isIn(ca)) ?? authority.bundle(Date.now());
  };
  const caSecret = followAuthority(kube, config.namespace, authority, onError);
  await world.start();

  const events = new EventRecorder({ kube, instance: config.pod.name, onError });
  const electing = runElection(
    {
      kube,
      namespace: config.namespace,
      name: LEASE,
      identity: `${config.pod.name}_${config.pod.uid}`,
      onError,
      onLeader: () => (led = true),
      ...options.election,
    },
    stop.signal,
    async (signal) => {
      metrics.leader.set(1);
      try {
        await lead(
          {
            kube,
            config,
            world,
            authority,
            events,
            natsCa: options.natsCa,
            queueMetrics: options.tracer === undefined ? metrics.queue : tracedQueue(metrics.queue, options.tracer),
            approvalMetrics: metrics.approvals,
            notifyMetrics: metrics.notify,
            onCountersFull: (namespace) => metrics.countersRefused.inc({ namespace }),
            forbiddenRanges,
            profile: () => buildProfile(injection(authority.bundle(Date.now()))),
            times: options.times ?? LEAD_TIMES,
            onTerm: (next) => {
              term = next;
              led ||= next !== undefined;
            },
            onWorldChange: (listener) => {
              listeners.add(listener);
              return () => listeners.delete(listener);
            },
            onError,
          },
          signal,
        );
      } finally {
        metrics.leader.set(0);
      }
    },
  );

  // Another replica may be the one that makes the CA.
  const loaded = Promise.withResolvers<void>();
  authority.onChange(() => loaded.resolve());
  if (authority.ready) loaded.resolve();
  await loaded.promise;

  const serving = new ServingCertificate({ authority, names: servingNames(config), onError });
  const tls = await serving.start();
  const reviewer = new TokenReviewer(kube);
  const sidecars = createSidecarServer({
    tls,
    term: () => term,
    reviewer,
    examine: (identity) => {
      const pod = world.pods.get(`${identity.namespace}/${identity.pod}`);
      const namespace = world.namespaces.get(identity.namespace);
      return { pod, refusal: refusePod({ identity, pod, namespace, profiles: world.profiles.list() }) };
    },
    onError,
  });
  const review = createWebhook({
    config: () => injection(acceptedCa()),
    devices: config.devices,
    facts: (namespace, pod) => namespaceFacts(world, config.captureMode, namespace, pod),
    onDenied: (owner, note) => void events.emit(owner, { type: 'Warning', reason: 'AgentPodRejected', action: 'Admit', note }),
    onReview: (reviewed) => {
      const { result, durationMs } = reviewed;
      if (options.tracer !== undefined) traceReview(options.tracer, reviewed);
      metrics.webhookRequests.inc({ webhook: 'pods', result });
      metrics.webhookDuration.observe({ webhook: 'pods' }, durationMs / 1000);
    },
  });
  const webhook = createServer({ ...tls, minVersion: 'TLSv1.2' }, (request, response) => {
    // The API server holds its connections; one that stops leads it to another replica with each answer.
    if (!listening) response.setHeader('connection', 'close');
    review(request, response);
  });
  webhook.headersTimeout = 5_000;
  webhook.requestTimeout = 10_000;
  webhook.keepAliveTimeout = 65_000;
  webhook.on('clientError', (_error, socket) => socket.destroy());
  webhook.on('tlsClientError', (_error, socket) => socket.destroy());
  const slack =
    config.notify.slack === undefined
      ? undefined
      : createPublicServer(
          tls,
          createSlackListener(
            createSlackActions(config.notify.slack, {
              read: (at) => readRequest(kube, at),
              decide: (decision) => attestDeny(kube, decision),
              forbidden: forbiddenRanges,
              metrics: metrics.notify,
              signal: stop.signal,
              onError,
            }),
          ),
        );
  const pair = config.decide?.tls && new ServedPair(config.decide.tls, onError);
  const decide =
    config.decide &&
    createPublicServer(
      (await pair?.start()) ?? tls,
      createDecide({
        kube,
        config: config.decide,
        namespace: config.namespace,
        events,
        leads: () => term !== undefined,
        contentOf: (request) => (term === undefined ? 'another operator leads now' : term.approvals.contentOf(request)),
        onError,
      }),
    );
  const own = [sidecars, webhook, ...(slack === undefined ? [] : [slack])];
  const open = decide === undefined ? own : [...own, decide];
  for (const server of pair === undefined ? open : own) serving.attach(server);
  if (decide !== undefined) pair?.attach(decide);
  await listen(sidecars, config.ports.sidecars);
  await listen(webhook, config.ports.webhook);
  if (slack !== undefined) await listen(slack, config.ports.slack);
  if (decide !== undefined) await listen(decide, config.ports.decide);
  listening = true;

  const sampler = setInterval(() => {
    sample(metrics, world, term, serving);
    metrics.spansDropped.set(options.tracer?.dropped ?? 0);
  }, 10_000).unref();
  return {
    servers: { sidecars, webhook, health, slack, decide },
    stop: async () => {
      listening = false;
      clearInterval(sampler);
      serving.stop();
      pair?.stop();
      stop.abort();
      await electing;
      await sleep(options.drainMs ?? 0);
      await Promise.all([...open, health].map((server) => closeServer(server)));
      await Promise.all([caSecret.stop(), world.stop()]);
    },
  };
}

function followAuthority(
  kube: Kube,
  namespace: string,
  authority: Authority,
  onError: (error: unknown) => void,
): Informer<KubeObject> {
  const secret = new Informer({
    kube,
    kind: KINDS.secrets,
    namespace,
    fieldSelector: `metadata.name=${CA_SECRET}`,
    parse: (object: KubeObject) => object,
    onError,
  });
  let reading: Promise<void> = Promise.resolve();
  secret.onChange(({ after }) => {
    if (after !== undefined) reading = reading.then(() => authority.use(readState(after))).catch(onError);
  });
  return secret.start();
}

/** Addresses of Chaperone's own Services: fixed for as long as the Services exist, so that all replicas inject the same. */
async function ownAddresses(kube: Kube, { services, namespace }: Config): Promise<string[]> {
  const names = [...Object.values(services), ...SERVICE_CERTIFICATES.map(({ service }) => service)];
  const found = await Promise.all(names.map((name) => getObject(kube, KINDS.services, { namespace, name })));
  return found
    .flatMap((service) => (service?.spec as { clusterIPs?: string[] } | undefined)?.clusterIPs ?? [])
    .filter((address) => isIP(address) !== 0);
}

function servingNames({ services, namespace, pod }: Config): string[] {
  return [...Object.values(services).flatMap((service) => serviceNames(service, namespace)), pod.ip];
}

function namespaceFacts(world: World, captureMode: CaptureMode, namespace: string, pod: Pod) {
  const annotations = world.namespaces.get(namespace)?.metadata.annotations;
  const user = Number(annotations?.['chaperone.dev/default-run-as-user']);
  // At admission a pod may have no name yet and its namespace only in the request.
  const agent = agentOf({ ...pod, metadata: { ...pod.metadata, name: pod.metadata.name ?? '', namespace } });
  const selecting = world.policies.list().filter((policy) => selectsAgent(policy, agent));
  return {
    ...(Number.isInteger(user) && user > 0 ? { defaultRunAsUser: user } : {}),
    capture: readCaptureMode(annotations, captureMode),
    inboundPorts: [...new Set(selecting.flatMap((policy) => policy.spec.inbound?.ports ?? []))].toSorted((a, b) => a - b),
  };
}

function sample(metrics: Metrics, world: World, term: Term | undefined, serving: ServingCertificate): void {
  metrics.sidecars.set({ state: 'enrolled' }, term?.hub.size ?? 0);
  metrics.sidecars.set({ state: 'connected' }, term?.hub.streams ?? 0);
  metrics.sidecars.set({ state: 'unproven' }, term?.hub.unproven ?? 0);
  sampleEvidence(metrics, term);
  if (serving.expiresAt !== undefined) metrics.certificateExpiry.set(serving.expiresAt / 1000);
  const { pods, namespaces, resources, policies, profiles } = world;
  metrics.unhealthy(term === undefined ? [] : unhealthyConditions([...resources.list(), ...policies.list()]));
  for (const [kind, informer] of Object.entries({ pods, namespaces, resources, policies, profiles })) {
    metrics.informerLastEvent.set({ kind }, informer.lastEventAt / 1000);
    metrics.informerRelists.set({ kind }, informer.relists);
  }
}

function sampleEvidence(metrics: Metrics, term: Term | undefined): void {
  metrics.evidenceMissing.set(term?.comparison?.shortfalls().length ?? 0);
  metrics.countersFill.set(term?.counters.fill ?? 0);
  metrics.evidenceNotCompared.set(term?.comparison?.unansweredSeconds ?? 0);
}

async function listen(server: Server | HttpsServer, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
