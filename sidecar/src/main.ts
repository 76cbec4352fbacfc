import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Code, CODES } from '@chaperone/api';
import { encodeNkey } from '@chaperone/evidence';
import { postJson } from '@chaperone/kube/post';
import type { Snapshot } from '@chaperone/policy';
import { otlpSender, Tracer } from '@chaperone/policy/tracing';
import { startDenyListener } from './capture/deny.ts';
import { searchDomains, startDns } from './capture/dns.ts';
import { createGuard } from './capture/guard.ts';
import { createListeners, type Listeners } from './capture/listener.ts';
import { lastWords } from './capture/last-words.ts';
import { errorCode } from './capture/missing-family.ts';
import { RESERVED_PORT, reservedAddress } from './capture/rules.ts';
import { type CaptureState, OwnLook, watchCapture } from './capture/watch.ts';
import { readConfig, type SidecarConfig } from './config.ts';
import { keepBrokerAccess } from './control/broker.ts';
import { openOperatorControl, type OperatorControl } from './control/operator.ts';
import { keepOperatorCa, readOperatorCa } from './control/operator-ca.ts';
import { openPodKey } from './control/pod-key.ts';
import { whileCaptured } from './control/while-captured.ts';
import { createMetrics, type Metrics } from './health/metrics.ts';
import { startHealth, watchLag } from './health/server.ts';
import { createLogger } from './log.ts';
import { type Logger, systemClock } from './platform.ts';
import { createNatsDelivery } from './recording/delivery-nats.ts';
import { createRecording, type SpoolRecording } from './recording/recording.ts';
import { openHostKey, publishAuthority } from './ssh/relay/host-key.ts';
import { createSessions, type Sessions } from './session/index.ts';

const VERSION = '0.1.0';
/** The kubelet leaves at least 2 s of grace: evidence that is not out by then waits in the spool for the next start. */
const FLUSH_MS = 1_500;
const TERMINATION_LOG = '/dev/termination-log';
/** Between two looks whether the virtual range is routed. */
const ROUTED_MS = 200;
const NO_POLICY = 'the policy has not arrived';
const NO_RULES = 'the rules of this pod are not there yet';

/** Why the sidecar could not start, or the agent was not let in. */
class StartError extends Error {
  override readonly name = 'StartError';
  readonly code: Code;
  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A sidecar in a cluster, from its configuration to its end. */
class Sidecar {
  readonly #config: SidecarConfig;
  readonly #logger: Logger;
  readonly #stops: (() => Promise<void> | void)[] = [];
  readonly #metrics: Metrics;
  #control: OperatorControl | undefined;
  #recording: SpoolRecording | undefined;
  #sessions: Sessions | undefined;
  readonly #tracer: Tracer | undefined;
  #capture: CaptureState = { problem: 'the sidecar has not looked at its capture yet' };
  #onCapture: (state: CaptureState) => void = () => undefined;
  #looked = false;
  #wasProven = false;
  readonly #startedAt = systemClock.monotonic();
  #starting: string | undefined = NO_POLICY;

  constructor(config: SidecarConfig, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
    this.#tracer = startTracer(config, logger);
    this.#metrics = createMetrics({
      sessions: () => this.#sessions?.open ?? 0,
      spoolFill: () => {
        const status = this.#recording?.status();
        return status === undefined ? 0 : status.usedBytes / status.maxBytes;
      },
      unreceiptedMs: () => this.#recording?.status().oldestUnacknowledgedMs ?? 0,
      policyFresh: () => this.#control?.current() !== undefined,
      captureProven: () => this.#capture.problem === undefined,
      receiptsRefused: () => this.#recording?.status().log.refused ?? new Map(),
      logSize: () => this.#recording?.status().log.size ?? 0,
      spansDropped: () => this.#tracer?.dropped,
    });
  }

  /** Receipts that are refused are no reason: whoever sends them would then say which agents are ready. */
  #logUnknown(): string | undefined {
    const problem = this.#recording?.status().log.problem;
    return problem?.code === 'LogKeyUnknown' ? problem.message : undefined;
  }

  /** Why the agent has not been let in yet. */
  get starting(): { code: Code; message: string } | undefined {
    const { problem: unproven } = this.#capture;
    if (this.#starting === undefined && !this.#wasProven) return { code: 'CaptureNotProven', message: unproven ?? '' };
    if (this.#starting === undefined) return undefined;
    const problem = this.#control?.problem;
    if (problem === undefined) return { code: 'SidecarNotReady', message: this.#starting };
    if (problem.code !== 'OperatorUnreachable') return { code: codeOf(problem) ?? 'EnrolmentRefused', message: problem.message };
    const seconds = Math.round((systemClock.monotonic() - this.#startedAt) / 1_000);
    const operator = new URL(this.#config.operatorUrl).host;
    return { code: 'OperatorUnreachable', message: `operator ${operator} did not answer in ${seconds} s (${problem.message})` };
  }

  /** Refusing comes first: the deny listener and DNS stand before there is anything to grant. */
  async start(): Promise<void> {
    const { runDirectory } = this.#config;
    const lag = watchLag(() => systemClock.monotonic());
    const health = await startHealth({
      port: this.#config.probePort,
      starting: () => this.starting?.message,
      unready: () =>
        this.#capture.problem ?? (this.#control?.current() === undefined ? 'the policy is stale' : this.#logUnknown()),
      lagMs: () => lag.lagMs(),
      registry: this.#metrics.registry,
    });
    this.#stops.push(
      () => lag.stop(),
      () => health.stop(),
    );
    const listeners = createListeners({
      mode: 'virtual',
      onConnection: (socket, resource) => {
        const { namespace, name, protocol } = resource.access.resource;
        this.#metrics.accepted(`${namespace}/${name}`, protocol);
        if (this.#sessions === undefined) socket.destroy();
        else this.#sessions.accept(socket, resource);
      },
      onFull: (socket, resource) => {
        if (this.#sessions === undefined) socket.destroy();
        else this.#sessions.refuse(socket, resource);
      },
      onRefused: (code) => this.#metrics.denied(code),
    });
    this.#stops.push(() => listeners.stop());
    await this.#startRefusing(listeners);
    const nkey = await openPodKey(runDirectory);
    const { operatorUrl, operatorCa, tokenFile } = this.#config;
    const control = openOperatorControl({
      url: operatorUrl,
      ca: await readOperatorCa(runDirectory, operatorCa),
      onCa: (bundle) =>
        void keepOperatorCa(runDirectory, bundle).catch((error: unknown) =>
          this.#logger.warn('the certificate authority cannot be kept for a restart', { cause: why(error) }),
        ),
      tokenFile,
      version: VERSION,
      nkey,
      clock: systemClock,
      logger: this.#logger,
    });
    this.#control = control;
    this.#stops.push(() => control.stop());
    const { nats, registration, recipients } = await control.enrolled();
    const broker = keepBrokerAccess({ first: nats, recipients, renew: () => control.nats(), nkey, logger: this.#logger });
    const delivery = createNatsDelivery({
      servers: nats.url.split(','),
      nkey: encodeNkey(nkey.publicKey),
      authenticator: broker.authenticator,
      ...(nats.ca === undefined ? {} : { tls: broker.tls }),
      logger: this.#logger,
    });
    this.#stops.push(
      () => broker.stop(),
      () => delivery.close(),
    );
    this.#recording = await createRecording({
      directory: this.#config.spoolDirectory,
      runDirectory,
      identity: { nkey, registration },
      recipients: broker.recipients,
      delivery,
      logPolicy: broker.logPolicy,
      tellCounter: (statement) => control.tellCounter(statement),
      clock: systemClock,
      logger: this.#logger,
    }).catch((cause: unknown) => {
      throw new StartError('SpoolUnusable', `the spool cannot be read or written${why(cause)}`, { cause });
    });
    const { ranges, forbidden, apiServer, sshDirectory } = this.#config;
    const hostKey = await openHostKey(runDirectory);
    await publishAuthority(join(sshDirectory, 'known_hosts'), hostKey);
    const virtual = [ranges.ipv4, ranges.ipv6];
    const search = await searchList();
    const guard = createGuard({ allowLoopback: false, forbidden: [...forbidden, ...apiServer], virtual, search });
    const apiGuard = createGuard({ allowLoopback: false, forbidden, virtual, search });
    const guarded = whileCaptured(control, () => this.#capture.problem === undefined);
    this.#sessions = createSessions({
      control: guarded.control,
      recording: this.#recording,
      guard,
      apiGuard,
      clock: systemClock,
      logger: this.#logger,
      hostKey,
      tracer: this.#tracer,
    });
    this.#onCapture = (state) => {
      guarded.changed(state);
      control.tellCapture({ proven: state.problem === undefined, ...(state.problem && { message: state.problem }) });
    };
    if (this.#looked) this.#onCapture(this.#capture);
    control.onSnapshot((snapshot) => void this.#apply(listeners, snapshot));
  }

  async #startRefusing(listeners: Listeners): Promise<void> {
    const { ranges, denyPort, dnsPort, selfPort, runDirectory } = this.#config;
    const nonce = randomBytes(16).toString('hex');
    const onDenied = (): void => this.#metrics.denied('NotGranted');
    const reservedHost = reservedAddress(ranges.ipv4);
    const own = new OwnLook({ port: selfPort, reserved: reservedHost });
    const answers = { nonce, own: own.question, onDenied };
    const deny = await startDenyListener({ port: denyPort, ...answers });
    const reserved = await this.#whenRouted(() => startDenyListener({ hosts: [reservedHost], port: RESERVED_PORT, ...answers }));
    const dns = await startDns({ port: dnsPort, search: await searchList(), index: () => listeners.index });
    const watch = watchCapture({ look: own.look, onChange: (state) => this.#captureChanged(state), wait });
    for (const one of [deny, reserved, dns, watch]) this.#stops.push(() => one.stop());
    // Renamed into place, so that chaperone-verify reads all of it or none; it runs as another user.
    const path = join(runDirectory, 'nonce');
    await writeFile(`${path}.new`, `${nonce}\n`, { mode: 0o644 });
    await rename(`${path}.new`, path);
  }

  /**
   * Listens at a virtual address as soon as there can be one: a node agent may come later than the sidecar. Routes come after the
   * rules. Whoever waits for the sidecar ends it, as the kubelet does after a minute.
   */
  async #whenRouted<T>(listen: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const listener = await listen();
        this.#starting = NO_POLICY;
        return listener;
      } catch (error) {
        if (errorCode(error) !== 'EADDRNOTAVAIL') throw error;
        if (this.#starting === NO_POLICY) this.#logger.warn(NO_RULES);
        this.#starting = NO_RULES;
        await wait(ROUTED_MS, new AbortController().signal);
      }
    }
  }

  #captureChanged(state: CaptureState): void {
    this.#capture = state;
    this.#looked = true;
    if (state.problem === undefined) this.#wasProven = true;
    else this.#logger.error('capture is not proven', { code: 'CaptureNotProven', problem: state.problem });
    this.#onCapture(state);
  }

  async #apply(listeners: Listeners, snapshot: Snapshot): Promise<void> {
    const { failed } = await listeners.apply(snapshot);
    for (const { endpoint, code } of failed)
      this.#logger.warn('a resource cannot be listened for', {
        resource: `${endpoint.resource.namespace}/${endpoint.resource.name}`,
        port: endpoint.port,
        code,
      });
    const [first] = failed;
    if (this.#starting !== undefined && first !== undefined)
      this.#starting = `port ${first.endpoint.port} of ${first.endpoint.resource.namespace}/${first.endpoint.resource.name} cannot be listened on`;
    else this.#starting = undefined;
  }

  /** Stops accepting, ends sessions, brings evidence out as far as time allows. */
  async stop(): Promise<void> {
    await this.#sessions?.stop();
    await Promise.all([this.#recording?.flush(FLUSH_MS), this.#tracer?.stop(FLUSH_MS)]);
    await this.#recording?.stop();
    for (const stop of this.#stops.toReversed()) await stop();
  }
}

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const logger = createLogger(
    config.logLevel,
    (line) => process.stderr.write(line),
    () => systemClock.now(),
  );
  const sidecar = new Sidecar(config, logger);
  let stopping = false;
  const terminate = async (): Promise<void> => {
    stopping = true;
    const waiting = sidecar.starting;
    if (waiting !== undefined)
      lastWords(
        `chaperone-sidecar: ${waiting.message}; the agent waits rather than start ungoverned (${waiting.code})`,
        TERMINATION_LOG,
      );
    await sidecar.stop();
    process.exit(0);
  };
  process.once('SIGTERM', () => void terminate());
  process.once('SIGINT', () => void terminate());
  await sidecar.start().catch((error: unknown) => {
    // What stopping interrupts is no failure; the last words are those about what was waited for.
    if (!stopping) throw error;
  });
}

/** Spans of this pod's sidecar; undefined where nobody asked for any. */
function startTracer({ tracing, pod }: SidecarConfig, logger: Logger): Tracer | undefined {
  if (tracing === undefined) return undefined;
  return new Tracer({
    send: otlpSender(tracing.endpoint, postJson),
    ratio: tracing.ratio,
    random: randomBytes,
    resource: {
      'service.name': 'chaperone-sidecar',
      'service.version': VERSION,
      'k8s.namespace.name': pod.namespace,
      'k8s.pod.name': pod.name,
      'k8s.pod.uid': pod.uid,
    },
    onTrouble: (trouble) =>
      trouble === undefined ? logger.info('traces are taken') : logger.warn('traces are not taken', { cause: trouble }),
  });
}

/** Of this pod's resolver, as the kubelet wrote it. */
async function searchList(): Promise<string[]> {
  return searchDomains(await readFile('/etc/resolv.conf', 'utf8'));
}

/** Resolves after this time, or when the signal aborts. */
async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

/** The code of an error where it is one of the table's. */
function codeOf(error: unknown): Code | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && Object.hasOwn(CODES, code) ? (code as Code) : undefined;
}

/** What the system says of a failure, such as ENOSPC. */
function why(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? ` (${code})` : '';
}

if (import.meta.main)
  main().catch((error: unknown) => {
    const message = error instanceof Error ? error.message.replaceAll('\n', '; ') : 'unknown failure';
    lastWords(`chaperone-sidecar: ${message} (${codeOf(error) ?? 'InternalFault'})`, TERMINATION_LOG);
    process.exit(1);
  });
