import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  COUNTER_FILE,
  type Counter,
  type CounterStatement,
  createEpoch,
  encodeNkey,
  generateSigner,
  MAX_PENDING,
  newSessionId,
  type PodIdentity,
  segmentOf,
  signRegistration,
  verifyCounterStatement,
} from '@chaperone/evidence';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PodCounter, readStatement } from './pod-counter.ts';
import { MemoryLog } from './receipts.test-support.ts';
import { agent, closing, opening } from './records.test-support.ts';
import { createRecording } from './recording.ts';

const enrolment = generateSigner();
const trust = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
const LINK = '0'.repeat(64);
const HOUR = 3_600_000;

/** A pod, and who keeps its counters: takes, refuses or keeps quiet. */
async function aPod() {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const nkey = generateSigner();
  const registered = { nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 };
  const identity: PodIdentity = { nkey, registration: signRegistration(registered, enrolment) };
  const said: Counter[] = [];
  const keeper = { mode: 'takes' as 'takes' | 'refuses' | 'is silent' };
  const tell = async (statement: CounterStatement): Promise<void> => {
    said.push(verifyCounterStatement(statement, trust).counter);
    if (keeper.mode === 'refuses') throw new Error('refused');
    if (keeper.mode === 'is silent') await new Promise(() => undefined);
  };
  const at = 1_790_000_000_000;
  const epoch = createEpoch(identity, 1, at);
  const runDirectory = directory.path;
  const clock = { now: () => at, monotonic: () => performance.now() };
  const start = (timings: ConstructorParameters<typeof PodCounter>[0]['timings'] = {}): PodCounter => {
    const { registration } = identity;
    const options = {
      runDirectory,
      origin: 'test',
      nkey: registered.nkey,
      registration,
      epoch: () => ({ epoch, at }),
      clock,
      tell,
    };
    const counter = new PodCounter({ ...options, timings: { intervalMs: HOUR, idleMs: HOUR, ...timings } });
    onTestFinished(() => counter.stop());
    return counter;
  };
  return { directory: directory.path, identity, said, keeper, tell, start };
}

describe('the counter of a pod', () => {
  test('is taken before a session goes on, and names what is not whole in the log', async () => {
    const { start, said } = await aPod();
    const counter = start();
    const [a, b] = [newSessionId(), newSessionId()];
    counter.opened(a);
    await counter.taken();
    expect(said.at(-1)).toMatchObject({ number: 1, opened: 1, newest: a, sealed: 0, last: null, pending: [[a, 0]], more: 0 });
    counter.sealed(a, 0, LINK);
    counter.opened(b);
    await counter.taken();
    expect(said.at(-1)).toMatchObject({
      number: 2,
      opened: 2,
      newest: b,
      sealed: 1,
      pending: [
        [a, 1],
        [b, 0],
      ],
    });
    expect(said.at(-1)?.last).toEqual({ session: a, number: 0, link: LINK });
    counter.settled(a);
    counter.lost(b);
    counter.settled(b);
    await counter.stop();
    expect(said.at(-1)).toMatchObject({ number: 3, pending: [[b, 0]] });
  });

  test('costs many sessions that open at once few statements, and names the newest of them', async () => {
    const { start, said } = await aPod();
    const counter = start();
    const sessions = Array.from({ length: 1_000 }, () => newSessionId());
    await Promise.all(
      sessions.map((session) => {
        counter.opened(session);
        return counter.taken();
      }),
    );
    expect(said.length).toBeLessThanOrEqual(2);
    expect(said.at(-1)).toMatchObject({ opened: 1_000, more: 1_000 - MAX_PENDING });
    expect(said.at(-1)?.pending.map(([session]) => session)).toEqual(sessions.slice(-MAX_PENDING));
  });

  test('that nobody takes refuses the session within its time, and is said again until somebody does', async () => {
    const { start, said, keeper } = await aPod();
    keeper.mode = 'refuses';
    const counter = start({ patienceMs: 100 });
    counter.opened(newSessionId());
    await expect(counter.taken()).rejects.toMatchObject({ name: 'RecordingError', code: 'RecordingBlocked' });
    const waits = start({ patienceMs: HOUR });
    waits.opened(newSessionId());
    const taken = waits.taken();
    await eventually('a statement', () => expect(said.length).toBeGreaterThan(2));
    keeper.mode = 'takes';
    await taken;
  });

  test('that gets no answer refuses the session too', async () => {
    const { start, keeper } = await aPod();
    const counter = start({ patienceMs: 50, stopMs: 50 });
    keeper.mode = 'is silent';
    counter.opened(newSessionId());
    await expect(counter.taken()).rejects.toMatchObject({ code: 'RecordingBlocked' });
    keeper.mode = 'takes';
  });

  test('is said again and again while something is pending', async () => {
    const { start, said } = await aPod();
    const counter = start({ intervalMs: 20 });
    counter.opened(newSessionId());
    await eventually('a statement', () => expect(said.length).toBeGreaterThan(3));
    expect(said.map(({ number }) => number)).toEqual(said.map((_, at) => at + 1));
  });

  test('counts on after a crash, and from nothing where nobody can read what was said', async () => {
    const { start, said, directory } = await aPod();
    const [a, b] = [newSessionId(), newSessionId()];
    const first = start();
    first.opened(a);
    await first.taken();
    const second = start();
    second.opened(b);
    await second.taken();
    expect(said.at(-1)).toMatchObject({
      number: 2,
      opened: 2,
      pending: [
        [a, 0],
        [b, 0],
      ],
    });
    const path = join(directory, COUNTER_FILE);
    expect(readStatement(path)?.counter.body).toBe(JSON.stringify(said.at(-1)));
    writeFileSync(path, readFileSync(path, 'utf8').replace('"opened', '"0pened'));
    const third = start();
    third.opened(a);
    await third.taken();
    expect(said.at(-1)).toMatchObject({ number: 1, opened: 1 });
    rmSync(path);
    expect(readStatement(path)).toBeUndefined();
  });
});

test('a recording counts sessions, segments and receipts', async () => {
  const { directory, identity, said, tell } = await aPod();
  const log = new MemoryLog();
  let listener: ((receipt: Uint8Array) => void) | undefined;
  let isAnswering = false;
  const start = () =>
    createRecording({
      directory: join(directory, 'spool'),
      runDirectory: join(directory, 'run'),
      identity,
      recipients: () => [{ name: 'test', wrap: () => Buffer.from('wrapped') }],
      delivery: {
        deliver: async (parcel, { session, number, held }) => {
          log.add(segmentOf(parcel));
          if (isAnswering) listener?.(log.receipt([{ session, number }], held));
        },
        onReceipt: (listen) => {
          listener = listen;
        },
        close: () => Promise.resolve(),
      },
      logPolicy: () => log.policy,
      tellCounter: tell,
      counterTimings: { intervalMs: 20 },
      limits: { sealAfterMs: 40, redeliverAfterMs: 40 },
      logger: silent,
    });
  const recording = await start();
  const session = newSessionId();
  const recorder = await recording.open(session, 'p');
  await Promise.all([recorder.append(opening(session), 'written'), recording.counted()]);
  expect(said.at(-1)).toMatchObject({ opened: 1, newest: session, pending: [[session, 0]] });
  await eventually('a statement', () => expect(said.at(-1)).toMatchObject({ sealed: 1, pending: [[session, 1]] }));
  await recorder.append(closing, 'synced');
  await recorder.close();
  await eventually('a statement', () => expect(said.at(-1)).toMatchObject({ sealed: 2, pending: [[session, 2]] }));
  await recording.stop();
  isAnswering = true;
  const again = await start();
  onTestFinished(() => again.stop());
  await eventually('a statement', () => expect(said.at(-1)).toMatchObject({ opened: 1, sealed: 2, pending: [], more: 0 }));
});
