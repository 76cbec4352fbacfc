import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  encodeNkey,
  EpochCertificate,
  generateSigner,
  newSessionId,
  parseSegment,
  segmentOf,
  signRegistration,
  verifyChain,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { expect, onTestFinished, test } from 'vitest';
import { MemoryLog } from './receipts.test-support.ts';
import { createRecording, type RecordingOptions, type SpoolRecording } from './recording.ts';
import { agent, closing, opening } from './records.test-support.ts';

const HOUR = 3_600_000;
const enrolment = generateSigner();
const trust = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };

async function aSpool(options: Partial<RecordingOptions> = {}) {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const nkey = generateSigner();
  const registration = { nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 };
  const identity = { nkey, registration: signRegistration(registration, enrolment) };
  const log = new MemoryLog();
  const segments = new Map<string, Buffer[]>();
  const listeners: ((receipt: Uint8Array) => void)[] = [];
  const start = async (place: string, sealAfterMs = HOUR): Promise<SpoolRecording> => {
    const recording = await createRecording({
      directory: join(place, 'spool'),
      runDirectory: join(place, 'run'),
      identity,
      delivery: {
        deliver: (parcel, { session, number, held }) => {
          const segment = segmentOf(parcel);
          const own = segments.get(session) ?? [];
          own[number] = segment;
          segments.set(session, own);
          log.add(segment);
          listeners.at(-1)?.(log.receipt([{ session, number }], held));
          return Promise.resolve();
        },
        onReceipt: (listener) => void listeners.push(listener),
        close: () => Promise.resolve(),
      },
      logPolicy: () => log.policy,
      recipients: () => [{ name: 'test', wrap: () => Buffer.from('wrapped') }],
      logger,
      tellCounter: () => Promise.resolve(),
      limits: { sealAfterMs },
      ...options,
    });
    onTestFinished(() => recording.stop());
    return recording;
  };
  return { path: directory.path, start, segments };
}

/** Where the clock stands before, and where it is set to while records wait to be sealed. */
test.each([
  ['stands', 0],
  ['goes on by a moment', 1],
  ['goes back by a moment', -1],
  ['goes on by hours', 5 * HOUR],
  ['goes back by hours', -5 * HOUR],
  ['goes on by a hundred years', 876_000 * HOUR],
  ['goes back before 1970', -876_000 * HOUR],
])(
  'a clock that %s while a session is recorded costs no evidence: each segment is sealed within the time of its key',
  async (_, by) => {
    let [wall, passed] = [Date.UTC(2026, 10, 30), 0];
    const { start, path, segments } = await aSpool({ clock: { now: () => wall, monotonic: () => passed++ } });
    const recording = await start(path);
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'synced');
    await recording.flush(5_000);
    for (let step = 0; step < 3; step++) {
      await recorder.append({ type: 'note', code: 'Test', message: `before ${step}` }, 'written');
      wall += by;
      await recorder.append({ type: 'note', code: 'Test', message: `after ${step}` }, 'written');
      wall -= step === 1 ? 2 * by : 0;
      expect(await recording.flush(5_000)).toEqual({ unacknowledged: 0 });
    }
    await recorder.append(closing, 'synced');
    await recorder.close();
    await recording.flush(5_000);
    const found = segments.get(session) ?? [];
    expect(verifyChain(session, found, trust)).toMatchObject({ verdict: 'complete', segments: 5, records: 8 });
    const epochs = found.map((segment) => EpochCertificate.parse(JSON.parse(parseSegment(segment).header.certificate.body)));
    // A key is used on while the clock is within its time.
    expect(new Set(epochs.map(({ epoch }) => epoch)).size > 1).toBe(Math.abs(by) > HOUR || by < 0);
  },
);

test('a clock that is set back again and again makes no key last: what counts is time that passed, too', async () => {
  let [wall, passed] = [HOUR, 0];
  const { start, path, segments } = await aSpool({ clock: { now: () => wall, monotonic: () => passed } });
  const recording = await start(path);
  const session = newSessionId();
  const recorder = await recording.open(session, 'p');
  await recorder.append(opening(session), 'synced');
  for (let step = 0; step < 5; step++) {
    [wall, passed] = [HOUR + step, passed + HOUR / 2];
    await recorder.append({ type: 'note', code: 'Test', message: '' }, 'written');
    await recording.flush(5_000);
  }
  await recorder.close();
  const epochs = (segments.get(session) ?? []).map(
    (segment) => EpochCertificate.parse(JSON.parse(parseSegment(segment).header.certificate.body)).epoch,
  );
  expect([epochs[0], epochs.at(-1)]).toEqual([1, 2]);
});

test('a spool that is slow to read is read whole: nothing of it is removed before its records are sealed', async () => {
  const { start, path, segments } = await aSpool();
  const recording = await start(path);
  const session = newSessionId();
  const recorder = await recording.open(session, 'p');
  await recorder.append(opening(session), 'synced');
  const after = join(path, 'after');
  for (const name of ['spool', 'run']) cpSync(join(path, name), join(after, name), { recursive: true });
  // One more file of the journal, of which nothing can be read until somebody writes to it.
  execFileSync('mkfifo', [join(after, 'spool/1.journal')]);
  const starting = start(after, 80);
  // As long as several sweeps.
  await sleep(200);
  expect(existsSync(join(after, 'spool/0.journal'))).toBe(true);
  writeFileSync(join(after, 'spool/1.journal'), '');
  const again = await starting;
  expect(await again.flush(5_000)).toEqual({ unacknowledged: 0 });
  expect(verifyChain(session, segments.get(session) ?? [], trust)).toMatchObject({ verdict: 'interrupted', records: 1 });
});
