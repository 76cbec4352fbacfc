import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ApiError, createTransport } from '@chaperone/kube';
import { findCluster } from '@chaperone/kube/find-cluster';
import { postJson } from '@chaperone/kube/post';
import { otlpSender, Tracer } from '@chaperone/policy/tracing';
import { parseConfig } from './config.ts';
import { createMetrics } from './metrics.ts';
import { startOperator } from './operator.ts';

/** A line of JSON. Errors are told by class, code and message; none of ours carries a payload. */
function log(level: 'info' | 'error', message: string, error?: unknown): void {
  const cause = error instanceof Error ? { error: error.name, message: error.message } : {};
  const code = error instanceof ApiError ? { status: error.status, reason: error.reason } : {};
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level, event: message, ...cause, ...code })}\n`);
}

/** Endpoints of a pod that stops are gone from every node after about this long; the pod gets 30 s. */
const DRAIN_MS = 4_000;
/** For the last traces. */
const TRACES_MS = 1_000;

async function main(): Promise<void> {
  const config = parseConfig(process.env);
  const metrics = createMetrics();
  const kube = createTransport({
    config: await findCluster(process.env),
    userAgent: 'chaperone-operator',
    onRequest: (verb, code) => metrics.kubeRequests.inc({ verb, code }),
  });
  const natsCa = config.nats.caFile === undefined ? undefined : await readFile(config.nats.caFile, 'utf8');
  const { tracing } = config;
  const tracer =
    tracing &&
    new Tracer({
      send: otlpSender(tracing.endpoint, postJson),
      ratio: tracing.ratio,
      random: randomBytes,
      resource: {
        'service.name': 'chaperone-operator',
        'k8s.cluster.name': config.clusterName,
        'k8s.namespace.name': config.namespace,
        'k8s.pod.name': config.pod.name,
        'k8s.pod.uid': config.pod.uid,
      },
      onTrouble: (trouble) => log('info', trouble === undefined ? 'traces are taken' : `traces are not taken: ${trouble}`),
    });
  const operator = await startOperator({
    tracer,
    kube,
    config,
    metrics,
    natsCa,
    drainMs: DRAIN_MS,
    onError: (error) => log('error', 'failed', error),
  });
  log('info', 'started');
  const stop = (): void => {
    log('info', 'stopping');
    operator.stop().then(
      async () => {
        await tracer?.stop(TRACES_MS);
        kube.close();
        process.exit(0);
      },
      (error: unknown) => {
        log('error', 'could not stop in order', error);
        process.exit(1);
      },
    );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

main().catch((error: unknown) => {
  log('error', 'could not start', error);
  process.exit(1);
});
