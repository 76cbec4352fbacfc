import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  decodeNkeySeed,
  newSessionId,
  noteSigner,
  parseRecipient,
  Registration,
  type Signed,
  signerFromSeed,
  trustIn,
} from '@chaperone/evidence';
import { reader } from '../src/evidence.fixture.ts';
import { nkeyAuthenticator } from '@nats-io/transport-node';
import { createNatsDelivery } from '../../sidecar/src/recording/delivery-nats.ts';
import { createRecording } from '../../sidecar/src/recording/recording.ts';

/**
 * A sidecar's recording of its own, to be killed: node recording-process.ts SETTINGS.json. Records short sessions until
 * SIGTERM, and prints `{session, seq}` after each record that it was promised; then flushes and prints `{flushed}`.
 */
const settings = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as {
  url: string;
  spool: string;
  run: string;
  podSeed: string;
  registration: Signed;
  logSeed: string;
};
const write = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };
const { nkey, agent } = Registration.parse(JSON.parse(settings.registration.body));
const logPolicy = trustIn(noteSigner('test', signerFromSeed(Buffer.from(settings.logSeed, 'base64'))).key);
const authenticator = nkeyAuthenticator(new TextEncoder().encode(settings.podSeed));
const recording = await createRecording({
  directory: settings.spool,
  runDirectory: settings.run,
  identity: { nkey: signerFromSeed(decodeNkeySeed(settings.podSeed)), registration: settings.registration },
  recipients: () => [parseRecipient(reader.name)],
  delivery: createNatsDelivery({ servers: [settings.url], nkey, authenticator, logger }),
  logPolicy: () => logPolicy,
  tellCounter: () => Promise.resolve(),
  limits: { sealAfterMs: 100, redeliverAfterMs: 400 },
  logger,
});
const stopping = new AbortController();
process.on('SIGTERM', () => stopping.abort());

async function recordOne(): Promise<void> {
  const session = newSessionId();
  const recorder = await recording.open(session, 'p');
  let seq = 0;
  const append = async (record: Parameters<typeof recorder.append>[0]): Promise<void> => {
    await recorder.append(record, seq % 3 === 0 ? 'synced' : 'written');
    write({ session, seq: seq++ });
  };
  await append({
    type: 'session.open',
    session,
    agent,
    resource: { namespace: 'data', name: 'orders-db', protocol: 'postgres' },
    purpose: 'tests',
    policies: [],
    mode: 'Enforce',
    client: { address: '127.0.0.1:1', tls: false },
  });
  for (let number = 0; number < 20; number++) {
    await append({ type: 'note', code: 'Test', message: `note ${number} `.repeat(20) });
    await sleep(8);
  }
  await append({ type: 'session.close', code: 'Closed', reason: 'done', actions: 0, denied: 0, maskedValues: 0 });
  await recorder.close();
}

async function recordMany(): Promise<void> {
  while (!stopping.signal.aborted) await recordOne();
}
await Promise.all([recordMany(), recordMany(), recordMany()]);
let flushed = await recording.flush(2000);
for (let attempt = 0; flushed.unacknowledged > 0 && attempt < 90; attempt++) flushed = await recording.flush(1000);
write({ flushed: flushed.unacknowledged });
await recording.stop();
process.exit(0);
