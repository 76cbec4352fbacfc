import { createTransport, inCluster, Informer, keyOf, KINDS, type KubeObject, pause } from '@chaperone/kube';
import { Gauge, Registry } from 'prom-client';
import { parseInitArgs } from '../capture/init.ts';
import { ruleset } from '../capture/rules.ts';
import { startHealth, watchLag } from '../health/server.ts';
import { createLogger } from '../log.ts';
import { systemClock } from '../platform.ts';
import { NodeAgent } from './agent.ts';
import { capturedPod } from './pods.ts';

/** Between two turns while a pod waits; its sidecar takes longer to start. */
const WAITING_MS = 200;
/** Between two turns else: a sandbox that was made anew is found by then. */
const IDLE_MS = 1_000;
const HEALTH_PORT = 8080;
const GOVERNED = 'chaperone.dev/inject=enabled';

/**
 * The node's agent: writes the rules of pods that have no chaperone-init. Arguments are those of chaperone-init that are not a pod's;
 * the environment says which node this is (NODE_NAME, NODE_ADDRESSES) and how the API server is reached.
 */
async function main(given: readonly string[], environment: Readonly<Record<string, string | undefined>>): Promise<void> {
  const node = environment['NODE_NAME'] ?? '';
  if (!/^[a-z0-9.-]{1,253}$/.test(node)) throw new Error('NODE_NAME is no name of a node');
  const args = [...given, `--node-addresses=${environment['NODE_ADDRESSES'] ?? ''}`];
  // What is wrong for every pod is wrong at once.
  ruleset(parseInitArgs(args, { names: [], gateways: [] }));
  const logger = createLogger(
    'info',
    (line) => process.stderr.write(line),
    () => systemClock.now(),
  );
  const onError = (error: unknown): void =>
    logger.warn('the API server cannot be followed', { problem: error instanceof Error ? error.message : 'unknown' });
  const kube = createTransport({ config: inCluster(environment), userAgent: 'chaperone-node' });
  const namespaces = new Informer({ kube, kind: KINDS.namespaces, labelSelector: GOVERNED, parse: keyOf, onError });
  const pods = new Informer({
    kube,
    kind: KINDS.pods,
    fieldSelector: `spec.nodeName=${node}`,
    parse: (pod: KubeObject) => pod,
    onError,
  });
  const isGoverned = (namespace: string): boolean => namespaces.get(namespace) !== undefined;
  const hasSynced = (): boolean => pods.hasSynced && namespaces.hasSynced;
  const agent = new NodeAgent({
    args,
    logger,
    pods: () =>
      hasSynced()
        ? pods
            .list()
            .map((pod) => capturedPod(pod, isGoverned))
            .filter((pod) => pod !== undefined)
        : undefined,
  });
  const lag = watchLag(() => systemClock.monotonic());
  const health = await startHealth({
    port: HEALTH_PORT,
    starting: () => (hasSynced() ? undefined : 'the API server has not been heard'),
    unready: () => undefined,
    lagMs: () => lag.lagMs(),
    registry: registryOf(agent),
  });
  namespaces.start();
  pods.start();
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  while (!stop.signal.aborted) {
    agent.turn();
    await pause(agent.counts.waiting > 0 ? WAITING_MS : IDLE_MS, stop.signal);
  }
  lag.stop();
  await Promise.all([health.stop(), namespaces.stop(), pods.stop()]);
  kube.close();
}

function registryOf(agent: NodeAgent): Registry {
  const registry = new Registry();
  const gauge = (name: string, help: string, read: () => number): void => {
    const own = new Gauge({
      name,
      help,
      registers: [],
      collect() {
        this.set(read());
      },
    });
    registry.registerMetric(own);
  };
  gauge('chaperone_node_pods_captured', 'Pods of this node whose rules the agent wrote or found.', () => agent.counts.captured);
  gauge('chaperone_node_pods_waiting', 'Pods of this node that wait for their rules.', () => agent.counts.waiting);
  gauge('chaperone_node_failures', 'Attempts to write rules that failed since the agent started.', () => agent.counts.failures);
  return registry;
}

if (import.meta.main) {
  main(process.argv.slice(2), process.env).catch((error: unknown) => {
    process.stderr.write(`chaperone-node: ${error instanceof Error ? error.message : 'unknown failure'}\n`);
    process.exitCode = 1;
  });
}
