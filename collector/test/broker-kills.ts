import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  encodeNkey,
  encodeNkeySeed,
  formatPolicy,
  generateSigner,
  newSessionId,
  noteSigner,
  parsePolicy,
  parseRecipient,
  signerFromSeed,
  signRegistration,
} from '@chaperone/evidence';
import { eventually, seededRandom, temporaryDirectory } from '@chaperone/testing';
import { connect, nkeyAuthenticator } from '@nats-io/transport-node';
import { createNatsDelivery } from '../../sidecar/src/recording/delivery-nats.ts';
import { createRecording } from '../../sidecar/src/recording/recording.ts';
import { createTokenAccess } from '../src/access.ts';
import { createCollector } from '../src/collector.ts';
import { startConsumer } from '../src/consumer.ts';
import { reader, readers, silent } from '../src/evidence.fixture.ts';
import { DeliveryModel } from './delivery-model.ts';
import { type Frame, type Moment, TappedNats } from './tapped-nats.ts';

/*
 * node broker-kills.ts --seed N --paths N --random N
 *
 * Records sessions through a spool, a real broker on its disk and a collector, and kills the broker with SIGKILL at each step of what it
 * does for a segment, then (`--random`) at steps and moments by chance, with its disk as it was, cut short, or emptied. The steps are
 * shared out among `--paths`, which go side by side. Prints a line of JSON for each fault that it found, and one that counts at the end.
 */
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    paths: { type: 'string', default: '1' },
    random: { type: 'string', default: '0' },
  },
});
const ORIGIN = 'test';
const SESSIONS_AT_ONCE = 1;
const NOTES = 12;
const CATCHES_UP_WITHIN_MS = 60_000;

/** What becomes of the broker's files while it is dead. Cut: what the last file of the stream said last is gone, as when the power goes. */
type Disk = 'kept' | 'cut' | 'zeroed' | 'emptied';
interface Step extends Moment {
  readonly name: string;
  /** Begins with a broker that has nothing, not even its stream. */
  readonly anew?: true;
  /** The collector reaches no broker until it is killed. */
  readonly unfetched?: true;
  readonly disk?: Disk;
}

const says = (text: string) => (frame: Frame) => frame.body.includes(text);
const sent = (subject: string) => (frame: Frame) => frame.verb.endsWith('PUB') && frame.subject.startsWith(subject);
const handed = (subject: string) => (frame: Frame) => frame.verb.endsWith('MSG') && frame.subject.startsWith(subject);
const isAsk = says('Chaperone-Ask');
const up = { link: 'sidecar', way: 'up', passes: false } as const;
const down = { ...up, way: 'down' } as const;
const fetchUp = { ...up, link: 'collector' } as const;
const fetchDown = { ...down, link: 'collector' } as const;

/** In the order in which a segment and its receipt meet them. */
const STEPS: readonly Step[] = [
  { name: 'before its stream is made', ...fetchUp, anew: true, is: sent('$JS.API.STREAM.CREATE') },
  { name: 'after its stream is made', ...fetchDown, anew: true, is: says('stream_create_response') },
  { name: 'before its consumer is made', ...fetchUp, anew: true, is: sent('$JS.API.CONSUMER.CREATE.EVIDENCE') },
  { name: 'before it is told of a segment', ...up, is: sent('evidence.') },
  { name: 'while it stores one', ...up, is: sent('evidence.'), passes: true },
  { name: 'while it stores one, of which the disk keeps a part', ...up, is: sent('evidence.'), passes: true, disk: 'cut' },
  { name: 'before it says that it has one', ...down, is: says('"stream":"EVIDENCE"') },
  { name: 'after it said so, before it is fetched', ...down, is: says('"stream":"EVIDENCE"'), passes: true, unfetched: true },
  {
    name: 'the same, and its disk loses the end',
    ...down,
    is: says('"stream":"EVIDENCE"'),
    passes: true,
    unfetched: true,
    disk: 'cut',
  },
  {
    name: 'the same, and its disk loses all',
    ...down,
    is: says('"stream":"EVIDENCE"'),
    passes: true,
    unfetched: true,
    disk: 'emptied',
  },
  { name: 'while it hands one out', ...fetchDown, is: handed('evidence.') },
  { name: 'before it is told that one was taken', ...fetchUp, is: sent('$JS.ACK.EVIDENCE') },
  { name: 'while it notes that one was taken', ...fetchUp, is: sent('$JS.ACK.EVIDENCE'), passes: true },
  { name: 'the same, and its stream loses the end', ...fetchUp, is: sent('$JS.ACK.EVIDENCE'), passes: true, disk: 'cut' },
  { name: 'before it is told of a receipt', ...fetchUp, is: sent('receipt.') },
  { name: 'while it passes a receipt on', ...down, is: handed('receipt.') },
  { name: 'while it is asked for a receipt again', ...up, is: isAsk, unfetched: true },
];

const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

/** What a disk keeps of the last file of the stream, and of what the broker derived from it. */
function damage(store: string, disk: Disk, random: () => number): void {
  if (disk === 'kept') return;
  if (disk === 'emptied') return rmSync(store, { recursive: true, force: true });
  const messages = join(store, 'jetstream/$G/streams/EVIDENCE/msgs');
  // It may have been killed before it made one.
  if (!existsSync(messages)) {
    if (existsSync(store) && !existsSync(join(store, 'jetstream'))) throw new Error(`${store} is not laid out as it was`);
    return;
  }
  const [last] = readdirSync(messages)
    .filter((name) => name.endsWith('.blk'))
    .toSorted((a, b) => parseInt(b, 10) - parseInt(a, 10));
  if (last === undefined) return;
  const block = join(messages, last);
  const { size } = statSync(block);
  const kept = size - Math.ceil(random() * Math.min(size, 16_384));
  if (disk === 'cut') truncateSync(block, kept);
  else writeFileSync(block, readFileSync(block).fill(0, kept));
  if (random() < 0.5) rmSync(join(messages, 'index.db'), { force: true });
}

const by = (seed: Buffer) => nkeyAuthenticator(new TextEncoder().encode(encodeNkeySeed(seed)));

/** Sidecar, broker and collector, and what is known of them. */
async function openPath(directory: string) {
  const [pod, collecting, log, enrolling] = [randomBytes(32), randomBytes(32), generateSigner(), generateSigner()];
  const [podNkey, collectorNkey] = [pod, collecting].map((seed) => encodeNkey(signerFromSeed(seed).publicKey)) as [
    string,
    string,
  ];
  const agent = { namespace: 'agents', serviceAccount: 'bot' };
  const trust = { origin: ORIGIN, enrolmentKeys: [enrolling.publicKey.toString('base64url')] };
  const policy = parsePolicy(Buffer.from(formatPolicy(noteSigner(ORIGIN, log).key)));
  const spool = join(directory, 'spool');
  const model = new DeliveryModel({ spool, trust, policy });
  const broker = await TappedNats.start(directory, { sidecar: podNkey, collector: collectorNkey }, model.watch);
  const collector = await createCollector({
    directory: join(directory, 'store'),
    trust,
    logKey: log,
    readers,
    access: createTokenAccess('t'),
    logger: silent,
  });
  const connection = await connect({
    servers: broker.url('collector'),
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    reconnectJitter: 50,
    authenticator: by(collecting),
  });
  const stream = { replicas: 1, maxAgeMs: 3_600_000, maxBytes: -1, ackWaitMs: 1_000 };
  const consumer = startConsumer({ connection, collector, stream, logger: silent });
  const recording = await createRecording({
    directory: spool,
    runDirectory: join(directory, 'run'),
    identity: {
      nkey: signerFromSeed(pod),
      registration: signRegistration({ nkey: podNkey, agent, origin: ORIGIN, issuedAt: 1 }, enrolling),
    },
    recipients: () => [parseRecipient(reader.name)],
    delivery: createNatsDelivery({ servers: [broker.url('sidecar')], nkey: podNkey, authenticator: by(pod), logger: silent }),
    logPolicy: () => policy,
    tellCounter: () => Promise.resolve(),
    limits: { sealAfterMs: 200, redeliverAfterMs: 1_000 },
    logger: silent,
  });

  async function recordOne(): Promise<void> {
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    const resource = { namespace: 'data', name: 'orders-db', protocol: 'postgres' as const };
    const client = { address: '127.0.0.1:1', tls: false };
    await recorder.append(
      { type: 'session.open', session, agent, resource, purpose: 'tests', policies: [], mode: 'Enforce', client },
      'synced',
    );
    const messages: string[] = [];
    model.promised.set(session, messages);
    for (let number = 0; number < NOTES; number++) {
      const message = `note ${number} `.repeat(20);
      await recorder.append({ type: 'note', code: 'Test', message }, number % 3 === 0 ? 'synced' : 'written');
      messages.push(message);
      await sleep(50);
    }
    await recorder.append(
      { type: 'session.close', code: 'Closed', reason: 'done', actions: 0, denied: 0, maskedValues: 0 },
      'synced',
    );
    await recorder.close();
  }
  const stopping = new AbortController();
  const sessions = Array.from({ length: SESSIONS_AT_ONCE }, async () => {
    while (!stopping.signal.aborted) await recordOne();
  });
  return {
    broker,
    model,
    collector,
    /** Ends the sessions, and waits until all of it has its receipt. */
    async settle(): Promise<void> {
      stopping.abort();
      await Promise.all(sessions);
      const { unacknowledged } = await recording.flush(CATCHES_UP_WITHIN_MS);
      if (unacknowledged > 0) model.faults.push(`${unacknowledged} segments have no receipt after ${CATCHES_UP_WITHIN_MS} ms`);
      model.look();
    },
    async close(): Promise<void> {
      stopping.abort();
      await Promise.allSettled(sessions);
      await recording.stop();
      await consumer.stop();
      await connection.close();
      await collector.close();
      await broker.stop();
    },
  };
}
type Path = Awaited<ReturnType<typeof openPath>>;

/** One kill; resolves when a segment that was sealed after it is proved. */
async function round({ broker, model }: Path, step: Step, random: () => number): Promise<void> {
  if (step.anew) {
    await broker.kill();
    damage(broker.nats.store, 'emptied', random);
  }
  if (step.unfetched) broker.leave('collector');
  const killed = broker.killedAt(step);
  if (step.anew) await broker.up();
  const late = AbortSignal.timeout(CATCHES_UP_WITHIN_MS);
  await Promise.race([killed, once(late, 'abort').then(() => Promise.reject(new Error('the step never came')))]);
  model.look();
  damage(broker.nats.store, step.disk ?? 'kept', random);
  // Some are killed again while they read what they have.
  if (random() < 0.3) {
    broker.nats.spawn();
    await sleep(random() * 100);
    await broker.nats.kill();
  }
  await broker.up();
  await proved(model);
}

/** Waits for a receipt of something that was not sent before: a receipt of what was may have been on its way already. */
async function proved(model: DeliveryModel): Promise<void> {
  const before = model.sent;
  await eventually('a receipt', () => (model.provedAfter(before) ? true : undefined), CATCHES_UP_WITHIN_MS);
}

/** Any step, with a disk of any kind, or any moment. */
function anyStep(random: () => number): Step {
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
  const disk = pick<Disk>(['kept', 'kept', 'cut', 'zeroed', 'emptied']);
  if (random() < 0.7) {
    const step = pick(STEPS);
    return { ...step, passes: random() < 0.5, disk };
  }
  let messages = Math.floor(random() * 200);
  const moment = { link: pick(['sidecar', 'collector'] as const), way: pick(['up', 'down'] as const), passes: random() < 0.5 };
  return { name: `after ${messages} messages`, ...moment, is: () => messages-- <= 0, disk };
}

async function run(at: number, steps: readonly Step[]): Promise<number> {
  const random = seededRandom(Number(values.seed) + at);
  await using directory = await temporaryDirectory();
  const path = await openPath(directory.path);
  let tried = 0;
  const went: string[] = [];
  const all = [...steps, ...Array.from({ length: Number(values.random) }, () => anyStep(random))];
  try {
    await proved(path.model);
    for (const step of all) {
      went.push(`${step.name} (${step.disk ?? 'kept'})`);
      await round(path, step, random);
      tried++;
    }
    await path.settle();
    await path.model.judge(path.collector);
  } catch (error) {
    path.model.faults.push(String(error));
  }
  if (path.model.faults.length > 0) say({ path: at, went, found: path.model.faults });
  await path.close();
  return tried;
}

const paths = Number(values.paths);
const counts = await Promise.all(
  Array.from({ length: paths }, (_, at) =>
    run(
      at,
      STEPS.filter((_step, number) => number % paths === at),
    ),
  ),
);
say({ tried: counts.reduce((sum, count) => sum + count, 0) });
process.exit(0);
