import { readFileSync } from 'node:fs';
import { signerFromSeed } from '@chaperone/evidence';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { createTokenAccess } from '../src/access.ts';
import { createCollector } from '../src/collector.ts';
import { startConsumer } from '../src/consumer.ts';
import { readers } from '../src/evidence.fixture.ts';

/** A collector of its own, to be killed: node collector-process.ts SETTINGS.json */
const settings = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as {
  url: string;
  store: string;
  collectorSeed: string;
  logSeed: string;
  trust: { origin: string; enrolmentKeys: string[] };
};
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
const collector = await createCollector({
  directory: settings.store,
  trust: settings.trust,
  logKey: signerFromSeed(Buffer.from(settings.logSeed, 'base64')),
  readers,
  access: createTokenAccess('token'),
  logger,
});
const connection = await connect({
  servers: settings.url,
  waitOnFirstConnect: true,
  maxReconnectAttempts: -1,
  reconnectTimeWait: 100,
  reconnectJitter: 50,
  authenticator: nkeyAuthenticator(new TextEncoder().encode(settings.collectorSeed)),
});
const stream = { replicas: 1, maxAgeMs: 3_600_000, maxBytes: -1, ackWaitMs: 1_000 };
const consumer = startConsumer({ connection, collector, stream, logger });
process.on('SIGTERM', () => {
  void consumer
    .stop()
    .then(() => collector.close())
    .then(() => process.exit(0));
});
