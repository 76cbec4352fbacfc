import { join } from 'node:path';
import {
  encodeNkey,
  generateSigner,
  newSessionId,
  parseRecipient,
  segmentOf,
  signRegistration,
  verifyChain,
  x25519Holder,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { MemoryLog } from '../src/recording/receipts.test-support.ts';
import type { SessionRecorder } from '../src/recording/recorder.ts';
import { createRecording } from '../src/recording/recording.ts';
import { agent, closing, opening } from '../src/recording/records.test-support.ts';

/*
 * node sidecar/test/many-sessions.ts [COUNT]: so many sessions are open at once and record in turn, over a spool on disk with the default
 * limits, while evidence is delivered. Prints one line of JSON: how many arrived complete and in order, and what memory the process took at
 * most beside the segments that arrived, the log in memory included. Fails where one did not.
 */
const COUNT = Number(process.argv[2] ?? 10_000);
if (!Number.isSafeInteger(COUNT) || COUNT < 1) throw new Error('how many sessions is a number of at least 1');
const ROUNDS = 2;
/** Who opens at once, as a listener's queue would have it. */
const AT_ONCE = 100;
const MIB = 1024 * 1024;

await using directory = await temporaryDirectory();
const enrolment = generateSigner();
const trust = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const nkey = generateSigner();
const registration = { nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 };
const log = new MemoryLog();
/** The segments of each session, in the order in which they came. */
const arrived = new Map<string, Buffer[]>();
let [most, shown] = [0, 0];
const listeners: ((receipt: Uint8Array) => void)[] = [];
const held = (): number => process.memoryUsage().rss - [...arrived.values()].flat().reduce((sum, { length }) => sum + length, 0);

const recording = await createRecording({
  directory: join(directory.path, 'spool'),
  runDirectory: join(directory.path, 'run'),
  identity: { nkey, registration: signRegistration(registration, enrolment) },
  delivery: {
    deliver: (parcel, place) => {
      const segment = segmentOf(parcel);
      arrived.set(place.session, [...(arrived.get(place.session) ?? []), Buffer.from(segment)]);
      log.add(segment);
      // From what the recorder was shown last.
      const receipt = log.receipt([{ session: place.session, number: place.number }], shown);
      shown = log.size;
      for (const listen of listeners) listen(receipt);
      return Promise.resolve();
    },
    onReceipt: (listener) => void listeners.push(listener),
    close: () => Promise.resolve(),
  },
  logPolicy: () => log.policy,
  tellCounter: () => Promise.resolve(),
  recipients: () => [parseRecipient(x25519Holder(Buffer.alloc(32, 1)).name)],
  logger: {
    info: () => undefined,
    warn: () => undefined,
    error: (message, fields) => void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`),
  },
});
const before = process.memoryUsage().rss;
const started = performance.now();
const recorders: SessionRecorder[] = [];
/** Does something with every session, some at once. */
async function each(act: (at: number) => Promise<void>): Promise<void> {
  for (let at = 0; at < COUNT; at += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, COUNT - at) }, (_, place) => act(at + place)));
    most = Math.max(most, held());
  }
}
await each(async (at) => {
  const session = newSessionId();
  const recorder = await recording.open(session, 'p');
  recorders[at] = recorder;
  await recorder.append(opening(session), 'synced');
  await recording.counted();
});
const open = recording.status().sessions;
for (let round = 0; round < ROUNDS; round++)
  await each(async (at) => recorders[at]?.append({ type: 'note', code: 'Test', message: `round ${round}` }, 'written'));
await each(async (at) => {
  await recorders[at]?.append(closing, 'written');
  await recorders[at]?.close();
});
const { unacknowledged } = await recording.flush(60_000);
const seconds = (performance.now() - started) / 1000;
const { usedBytes } = recording.status();
await recording.stop();
const complete = recorders.filter(({ session }) => {
  const { verdict, records } = verifyChain(session, arrived.get(session) ?? [], trust);
  return verdict === 'complete' && records === ROUNDS + 2;
}).length;
const line = { sessions: COUNT, open, complete, unacknowledged, seconds: Math.round(seconds) };
process.stdout.write(
  `${JSON.stringify({ ...line, mib: Math.round((most - before) / MIB), spoolMib: Math.round(usedBytes / MIB) })}\n`,
);
process.exitCode = open === COUNT && complete === COUNT && unacknowledged === 0 ? 0 : 1;
