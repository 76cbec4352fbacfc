import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { getRequestListener } from '@hono/node-server';
import { x25519Holder } from '@chaperone/evidence';
import { createTransport } from '@chaperone/kube';
import { findCluster } from '@chaperone/kube/find-cluster';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import { createCollector } from './collector.ts';
import { type CollectorConfig, readConfig } from './config.ts';
import { createOidcSignIn } from './console/oidc/sign-in.ts';
import { NO_SIGN_IN, type SignIn } from './console/sign-in.ts';
import { CONSOLE_DIRECTORY, loadStaticFiles } from './console/static-files.ts';
import { ClusterCounters } from './counters/cluster-source.ts';
import { type EvidenceConsumer, startConsumer } from './consumer.ts';
import type { IndexEngine } from './evidence-index/engine.ts';
import type { Logger } from './ingest.ts';
import { readSeeds } from './keys/seed.ts';
import { readLogKey } from './log/key.ts';
import { createLoginAccess, createLoginServer } from './login-access.ts';
import { startLoginSweep } from './login-sweep.ts';
import type { ObjectStore } from './objects/index.ts';
import { ClusterPolicies } from './policies/cluster-source.ts';
import { ClusterRequests } from './requests/cluster-source.ts';

/** One JSON object per line on standard output. */
function createLogger(): Logger {
  return { info: writeLine('info'), warn: writeLine('warn'), error: writeLine('error') };
}

function writeLine(level: string): Logger['info'] {
  return (message, fields) => {
    process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`);
  };
}

const TLS_CHECK_MS = 30_000;
const readTls = (files: { certificate: string; key: string }) => ({
  cert: readFileSync(files.certificate),
  key: readFileSync(files.key),
});

/** Without a provider the page says what does the same. */
async function signInOf({ oidc, saml }: CollectorConfig, logger: Logger): Promise<SignIn> {
  if (oidc !== undefined) return createOidcSignIn(oidc, { now: Date.now, logger });
  if (saml === undefined) return NO_SIGN_IN;
  // An XML parser is in the process of nobody who does not need one.
  const { createSamlSignIn } = await import('./console/saml/sign-in.ts');
  return createSamlSignIn(saml, { now: Date.now, logger });
}

/** Amazon's client is in the process of nobody who keeps objects in a directory. */
async function storeOf({ s3 }: CollectorConfig): Promise<{ store?: ObjectStore }> {
  if (s3 === undefined) return {};
  const { S3Store } = await import('./objects/s3-store.ts');
  return { store: await S3Store.open(s3) };
}

/** Likewise the driver of PostgreSQL. */
async function indexOf({ postgres }: CollectorConfig): Promise<{ index?: IndexEngine }> {
  if (postgres === undefined) return {};
  const { openPostgres } = await import('./evidence-index/postgres.ts');
  return { index: await openPostgres(postgres) };
}

async function run(environment: Record<string, string | undefined>, logger: Logger): Promise<void> {
  const config = readConfig(environment);
  const kube = createTransport({ config: await findCluster(environment), userAgent: 'chaperone-collector' });
  const copies = {
    kube,
    now: Date.now,
    onError: (error: unknown) =>
      logger.warn('what the console shows of the cluster cannot be read', {
        cause: error instanceof Error ? error.message : 'unknown',
      }),
  };
  const requests = new ClusterRequests(copies).start();
  const policies = new ClusterPolicies(copies).start();
  let consumer: EvidenceConsumer | undefined;
  const files = await loadStaticFiles(CONSOLE_DIRECTORY);
  if (files === undefined) logger.warn('the console is not part of this collector');
  const signIn = await signInOf(config, logger);
  const collector = await createCollector({
    directory: config.directory,
    ...(await storeOf(config)),
    ...(await indexOf(config)),
    ...(config.logKeyFile === undefined ? {} : { logKey: readLogKey(config.logKeyFile) }),
    since: config.since,
    ...(config.witnesses === undefined ? {} : { witnesses: config.witnesses }),
    ...(config.readerKeyFile === undefined ? {} : { readers: readSeeds(config.readerKeyFile).map(x25519Holder) }),
    retention: config.retention,
    sinks: config.sinks,
    trust: config.trust,
    access: createLoginAccess(createLoginServer(kube)),
    logger,
    requests,
    policies,
    ...(config.namespace === undefined ? {} : { counters: new ClusterCounters(kube, config.namespace) }),
    ...(files === undefined ? {} : { console: { files, signIn, now: Date.now } }),
    notReady: () => (consumer === undefined ? 'the broker is not connected yet' : consumer.notReady()),
  });
  const sweep = startLoginSweep({ kube, logger });
  let tls = readTls(config.tls);
  const listener = getRequestListener(collector.fetch);
  const server = createServer({ ...tls, minVersion: 'TLSv1.2' }, (request, response) => void listener(request, response));
  server.listen(config.listen.port, config.listen.host);
  // The operator renews the certificate, and the kubelet brings it within about a minute.
  const renewal = setInterval(() => {
    try {
      const next = readTls(config.tls);
      if (next.cert.equals(tls.cert)) return;
      server.setSecureContext(next);
      tls = next;
      logger.info('the certificate was renewed');
    } catch (error) {
      logger.warn('the certificate cannot be read again', { cause: error instanceof Error ? error.name : 'unknown' });
    }
  }, TLS_CHECK_MS).unref();

  const { credentials, tls: brokerTls } = config.nats;
  const connection = await connect({
    servers: [...config.nats.servers],
    name: 'chaperone-collector',
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(() => readFileSync(credentials)) }),
    ...(brokerTls === undefined ? {} : { tls: brokerTls }),
  });
  const running = startConsumer({ connection, collector, stream: config.stream, logger });
  consumer = running;
  logger.info('the collector takes evidence in', { port: config.listen.port });

  const stop = async (): Promise<void> => {
    clearInterval(renewal);
    sweep.stop();
    await Promise.all([requests.stop(), policies.stop()]);
    server.close();
    server.closeIdleConnections();
    await running.stop();
    await connection.drain();
    await collector.close();
    kube.close();
    process.exit(0);
  };
  process.once('SIGTERM', () => void stop());
  process.once('SIGINT', () => void stop());
}

const logger = createLogger();
run(process.env, logger).catch((error: unknown) => {
  logger.error(error instanceof Error ? error.message : 'the collector could not start');
  process.exit(1);
});
