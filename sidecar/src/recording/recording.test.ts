import { randomBytes } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type DataKey,
  encodeNkey,
  generateSigner,
  newSessionId,
  openSegment,
  parseSegment,
  type PodIdentity,
  type RecordBody,
  type Recipient,
  segmentOf,
  signRegistration,
  verifyChain,
} from '@chaperone/evidence';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MemoryLog } from './receipts.test-support.ts';
import { agent, closing, opening } from './records.test-support.ts';
import type { Delivery, Sent } from './recorder.ts';
import { createRecording, type RecordingLimits, type SpoolRecording } from './recording.ts';

const enrolment = generateSigner();
const trust = { origin: 'test', enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const logger = { info: () => undefined, warn: () => undefined, error: () => undefined };

function anIdentity(): PodIdentity {
  const nkey = generateSigner();
  const registration = { nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 };
  return { nkey, registration: signRegistration(registration, enrolment) };
}

/** Reads every session. */
const keys = new Map<string, DataKey>();
const reader: Recipient = {
  name: 'test',
  wrap: (key) => {
    keys.set(key.session, key);
    return Buffer.from('wrapped');
  },
};
function open(segment: Buffer) {
  const key = keys.get(parseSegment(segment).header.session);
  if (key === undefined) throw new Error('nobody has the key');
  return openSegment(segment, key);
}

/** A transport that keeps what it gets, and can be told to fail, to keep quiet, or to answer with receipts. */
class Transport implements Delivery {
  readonly got = new Map<string, Map<number, Buffer>>();
  mode: 'receipts' | 'silent' | 'down' = 'receipts';
  deliveries = 0;
  refused = 0;
  log = new MemoryLog();
  #held = 0;
  #listener: (receipt: Uint8Array) => void = () => undefined;
  comeBack: () => void = () => undefined;

  deliver(parcel: Buffer, { session, number, held }: Sent): Promise<void> {
    if (this.mode === 'down') {
      this.refused++;
      return Promise.reject(new Error('down'));
    }
    this.deliveries++;
    const segment = segmentOf(parcel);
    const segments = this.got.get(session) ?? new Map<number, Buffer>();
    this.got.set(session, segments.set(number, segment));
    this.log.add(segment);
    this.#held = Math.max(this.#held, held);
    if (this.mode === 'receipts') this.acknowledge({ session, number });
    return Promise.resolve();
  }
  acknowledge(place: { session: string; number: number }): void {
    const receipt = this.log.receipt([place], this.#held);
    this.#held = this.log.size;
    this.#listener(receipt);
  }
  onReceipt(listener: (receipt: Uint8Array) => void): void {
    this.#listener = listener;
  }
  onReturn(listener: () => void): void {
    this.comeBack = listener;
  }
  say(receipt: Uint8Array): void {
    this.#listener(receipt);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  segments(session: string): Buffer[] {
    return [...(this.got.get(session) ?? new Map<number, Buffer>())].toSorted(([a], [b]) => a - b).map(([, bytes]) => bytes);
  }
}

async function aSpool(limits: Partial<RecordingLimits> = {}) {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const identity = anIdentity();
  const transport = new Transport();
  const paths = { directory: join(directory.path, 'spool'), runDirectory: join(directory.path, 'run') };
  let processes = 0;
  let killed = 0;
  /** What one process sends and hears; nothing once it was killed, though it runs on here. */
  const wire = (): Delivery => {
    const own = ++processes;
    return {
      deliver: (parcel, sent) => (own <= killed ? Promise.reject(new Error('killed')) : transport.deliver(parcel, sent)),
      onReceipt: (listener) => transport.onReceipt((receipt) => (own <= killed ? undefined : listener(receipt))),
      onReturn: (listener) => transport.onReturn(listener),
      close: () => Promise.resolve(),
    };
  };
  const start = async (
    mods: Partial<RecordingLimits & { identity: PodIdentity; random: () => number }> = {},
  ): Promise<SpoolRecording> => {
    const recording = await createRecording({
      ...paths,
      identity: mods.identity ?? identity,
      delivery: wire(),
      logPolicy: () => transport.log.policy,
      tellCounter: () => Promise.resolve(),
      recipients: () => [reader],
      ...(mods.random && { random: mods.random }),
      limits: { sealAfterMs: 100, redeliverAfterMs: 60, ...limits, ...mods },
      logger,
    });
    onTestFinished(() => recording.stop());
    return recording;
  };
  /** The files as they are on disk at this moment: what a process that is killed now leaves. */
  const crash = (): void => {
    killed = processes;
    cpSync(paths.directory, `${paths.directory}-after`, { recursive: true });
    paths.directory = `${paths.directory}-after`;
  };
  const journal = (number = 0): string => join(paths.directory, `${number}.journal`);
  return { paths, transport, start, crash, identity, journal };
}

const action = (number: number, verdict: 'allow' | 'deny' = 'allow', text = `select ${number}`): RecordBody => ({
  type: 'action',
  action: number,
  text,
  bytes: text.length,
  verdict,
  code: 'Allowed',
  reason: 'test',
  effects: [],
});

describe('a recorded session', () => {
  test('arrives complete, is freed on its receipt, and leaves nothing behind', async () => {
    const { start, transport, paths } = await aSpool();
    const recording = await start();
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'synced');
    for (let at = 0; at < 50; at++) await recorder.append(action(at, at % 5 === 0 ? 'deny' : 'allow'), 'written');
    await recorder.append(closing, 'synced');
    await recorder.close();
    expect(await recording.flush(2000)).toEqual({ unacknowledged: 0 });
    expect(verifyChain(session, transport.segments(session), trust)).toMatchObject({
      verdict: 'complete',
      records: 52,
      counters: { actions: 50, denied: 10, masked: 0, dropped: 0 },
    });
    await eventually('an empty spool', () => (readdirSync(paths.directory).length === 0 ? true : undefined));
    expect(recording.status()).toMatchObject({ usedBytes: 0, sessions: 0, unacknowledged: 0 });
  });

  test('is sealed while it goes on, by time and by size, as one chain', async () => {
    const { start, transport } = await aSpool();
    const recording = await start();
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'written');
    await eventually('a segment by time', () => (transport.segments(session).length === 1 ? true : undefined));
    await Promise.all(
      Array.from({ length: 60 }, (_, at) => recorder.append(action(at, 'allow', `select '${'x'.repeat(20_000)}'`), 'synced')),
    );
    await recorder.append(closing, 'written');
    await recorder.close();
    await recording.flush(2000);
    const segments = transport.segments(session);
    expect(segments.length).toBeGreaterThan(3);
    expect(verifyChain(session, segments, trust)).toMatchObject({ verdict: 'complete', records: 62 });
  });

  test('that its owner lets go without a closing record is interrupted, not complete', async () => {
    const { start, transport } = await aSpool();
    const recording = await start();
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'written');
    await recorder.close();
    await recording.flush(2000);
    expect(verifyChain(session, transport.segments(session), trust).verdict).toBe('interrupted');
    await expect(recorder.append(action(1), 'written')).rejects.toMatchObject({ code: 'RecordingFailed' });
  });

  test.each([
    ['a first record that does not open the session', action(0)],
    ['an opening of another session', opening('s-aaaaaaaaaaaaaaaa')],
    ['a record of another shape', { ...action(0), bytes: 1.5 }],
  ])('takes no %s', async (_, body) => {
    const { start } = await aSpool();
    const recording = await start();
    const recorder = await recording.open(newSessionId(), 'p');
    await expect(recorder.append(body, 'written')).rejects.toMatchObject({ code: 'RecordingFailed' });
  });
});

describe('durability', () => {
  test('written: the record is in the file when the promise resolves, readable by the next process', async () => {
    const { start, transport, crash } = await aSpool({ sealAfterMs: 60_000 });
    const recording = await start();
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'written');
    await recorder.append(action(0), 'written');
    crash();
    const next = await start();
    expect(await next.flush(2000)).toEqual({ unacknowledged: 0 });
    const [segment = Buffer.alloc(0)] = transport.segments(session);
    expect(open(segment).records).toMatchObject([{ type: 'session.open' }, { type: 'action', action: 0 }]);
    expect(open(segment).header.flags.toSorted()).toEqual(['open', 'torn']);
    expect(verifyChain(session, [segment], trust).verdict).toBe('interrupted');
  });

  test('stored: the promise waits for the broker, and rejects when it does not take the record in time', async () => {
    const { start, transport } = await aSpool({ sealAfterMs: 60_000, storedTimeoutMs: 300 });
    const recording = await start();
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    transport.mode = 'silent';
    await recorder.append(opening(session), 'stored');
    expect(transport.segments(session)).toHaveLength(1);
    transport.mode = 'down';
    await expect(recorder.append(action(0), 'stored')).rejects.toMatchObject({ code: 'RecordingFailed' });
    transport.mode = 'receipts';
    await recorder.append(action(1), 'stored');
    await recorder.append(closing, 'stored');
    await recording.flush(3000);
    expect(verifyChain(session, transport.segments(session), trust)).toMatchObject({ verdict: 'complete', records: 4 });
  });
});

describe('after a crash', () => {
  test('every session is sealed under a newer epoch; what a crash cut short is left out', async () => {
    const { start, transport, crash, journal } = await aSpool({ sealAfterMs: 60_000 });
    const recording = await start();
    const [whole, cut, empty] = [newSessionId(), newSessionId(), newSessionId()];
    for (const session of [whole, cut]) {
      const recorder = await recording.open(session, 'p');
      await recorder.append(opening(session), 'written');
      for (let at = 0; at < 5; at++) await recorder.append(action(at), 'written');
    }
    await recording.open(empty, 'p');
    crash();
    truncateSync(journal(), readFileSync(journal()).length - 7);
    const next = await start();
    await next.flush(2000);
    expect(verifyChain(whole, transport.segments(whole), trust)).toMatchObject({ verdict: 'interrupted', records: 6 });
    expect(verifyChain(cut, transport.segments(cut), trust)).toMatchObject({ verdict: 'interrupted', records: 5 });
    expect(transport.got.has(empty)).toBe(false);
    expect(next.status()).toMatchObject({ unreadable: 0, unacknowledged: 0 });
  });

  test('a frame that is damaged costs the records in it; whose it may have been declare a gap, and its file is kept', async () => {
    const { start, transport, crash, paths, journal } = await aSpool({ sealAfterMs: 60_000 });
    const recording = await start();
    const [hit, silent, later] = [newSessionId(), newSessionId(), newSessionId()];
    const recorders = await Promise.all([hit, silent, later].map((session) => recording.open(session, 'p')));
    for (const recorder of recorders) await recorder.append(opening(recorder.session), 'written');
    for (let at = 0; at < 4; at++) await recorders[0]?.append(action(at), 'written');
    await recorders[2]?.append(action(0), 'written');
    crash();
    const bytes = readFileSync(journal());
    const fifth = frameOffset(bytes, 4);
    bytes[fifth + 12] = (bytes[fifth + 12] ?? 0) ^ 1;
    writeFileSync(journal(), bytes);
    const next = await start();
    await next.flush(2000);
    const verdict = (session: string) => verifyChain(session, transport.segments(session), trust);
    // The third of the five is lost with the two behind it, since a segment has no holes.
    expect(verdict(hit)).toMatchObject({ verdict: 'gap declared', records: 2, counters: { dropped: 3 } });
    expect(verdict(silent)).toMatchObject({ verdict: 'gap declared', records: 1, counters: { dropped: 1 } });
    expect(verdict(later)).toMatchObject({ verdict: 'interrupted', records: 2, counters: { dropped: 0 } });
    expect(next.status()).toMatchObject({ unreadable: 1 });
    await eventually('set aside', () => (readdirSync(paths.directory).includes('0.journal.unreadable') ? true : undefined));
  });

  test('a chain goes on over the crash, whether its earlier segments are still here or freed', async () => {
    for (const mode of ['receipts', 'silent'] as const) {
      const { start, transport, crash } = await aSpool({ sealAfterMs: 60_000, redeliverAfterMs: 60_000 });
      transport.mode = mode;
      const recording = await start();
      const session = newSessionId();
      const recorder = await recording.open(session, 'p');
      await recorder.append(opening(session), 'stored');
      await recorder.append(action(0), 'stored');
      if (mode === 'receipts') await eventually('freed', () => (recording.status().unacknowledged === 0 ? true : undefined));
      crash();
      transport.mode = 'receipts';
      await (await start()).flush(2000);
      const segments = transport.segments(session);
      expect(segments).toHaveLength(3);
      expect(verifyChain(session, segments, trust)).toMatchObject({ verdict: 'interrupted', records: 2 });
    }
  });

  test('one file that cannot be read is set aside and said; all others arrive', async () => {
    const { start, transport, crash, paths } = await aSpool({ sealAfterMs: 60_000, redeliverAfterMs: 60_000 });
    transport.mode = 'down';
    const recording = await start();
    const sessions = [newSessionId(), newSessionId(), newSessionId()];
    for (const session of sessions) {
      const recorder = await recording.open(session, 'p');
      await recorder.append(opening(session), 'synced');
      await recorder.append(closing, 'synced');
      await recorder.close();
    }
    crash();
    const [bad = '', ...good] = sessions;
    writeFileSync(join(paths.directory, `${bad}.0.seg`), 'damaged');
    transport.mode = 'receipts';
    const next = await start();
    expect(await next.flush(2000)).toEqual({ unacknowledged: 0 });
    for (const session of good) expect(verifyChain(session, transport.segments(session), trust).verdict).toBe('complete');
    await eventually('set aside', () => (readdirSync(paths.directory).join() === `${bad}.0.seg.unreadable` ? true : undefined));
    expect(next.status()).toMatchObject({ unreadable: 1 });
  });

  test('records of another pod are set aside, not signed', async () => {
    const { start, transport, crash } = await aSpool({ sealAfterMs: 60_000 });
    const recording = await start();
    const session = newSessionId();
    await (await recording.open(session, 'p')).append(opening(session), 'synced');
    crash();
    const next = await start({ identity: anIdentity() });
    await next.flush(500);
    expect(transport.got.size).toBe(0);
    expect(next.status().unreadable).toBe(1);
  });
});

describe('the spool', () => {
  test('sends again until a receipt comes, and frees nothing on the word of the broker alone', async () => {
    const { start, transport, paths } = await aSpool();
    transport.mode = 'silent';
    const recording = await start();
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'synced');
    await recorder.append(closing, 'synced');
    await recorder.close();
    await eventually('a second delivery', () => (transport.deliveries >= 2 ? true : undefined));
    expect(await recording.flush(50)).toEqual({ unacknowledged: 1 });
    expect(recording.status().unacknowledged).toBe(1);
    expect(readdirSync(paths.directory)).toContain(`${session}.0.seg`);
    transport.acknowledge({ session, number: 0 });
    await eventually('freed', () => (recording.status().unacknowledged === 0 ? true : undefined));
  });

  test('is sent soon after the transport works again, however long it did not', async () => {
    const { start, transport } = await aSpool();
    transport.mode = 'down';
    const recording = await start();
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'synced');
    await recorder.append(closing, 'synced');
    await recorder.close();
    // Were the wait to double each time, so many would take half a minute.
    await eventually('many attempts', () => (transport.refused >= 14 ? true : undefined));
    transport.mode = 'silent';
    // That many failures do not make the wait for a receipt longer either.
    await eventually('it, twice', () => (transport.deliveries >= 2 ? true : undefined));
    transport.acknowledge({ session, number: 0 });
    await eventually('freed', () => (recording.status().unacknowledged === 0 ? true : undefined));
  });

  test('is sent again soon after the transport came back, which may have lost what it took, and when the process ends', async () => {
    const { start, transport } = await aSpool({ redeliverAfterMs: 60_000 });
    transport.mode = 'silent';
    const recording = await start({ random: () => 0 });
    const recorder = await recording.open('s-aaaaaaaaaaaaaaaa', 'p');
    await recorder.append(opening('s-aaaaaaaaaaaaaaaa'), 'stored');
    expect(transport.deliveries).toBe(1);
    transport.comeBack();
    await eventually('it, again', () => (transport.deliveries === 2 ? true : undefined));
    transport.mode = 'receipts';
    expect(await recording.flush(30_000)).toEqual({ unacknowledged: 0 });
    expect(transport.deliveries).toBe(3);
  });

  test('is asked for again soon where a receipt goes on from a tree that is held no more', async () => {
    const { start, transport } = await aSpool({ redeliverAfterMs: 60_000, sealAfterMs: 60_000 });
    const recording = await start({ random: () => 0 });
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'stored');
    await recorder.append(action(0), 'stored');
    await eventually('both freed', () => (recording.status().unacknowledged === 0 ? true : undefined));
    transport.mode = 'silent';
    await recorder.append(action(1), 'stored');
    expect(transport.deliveries).toBe(3);
    transport.mode = 'receipts';
    transport.say(transport.log.receipt([{ session, number: 2 }], 1));
    await eventually('freed', () => (recording.status().unacknowledged === 0 ? true : undefined));
    expect([transport.deliveries, recording.status().log.refused.get('ConsistencyMissing')]).toEqual([4, 1]);
  });

  test('refuses sessions at 80 % and records at 95 %, still takes the end of a session, and opens again when freed', async () => {
    const maxBytes = 4 * 1024 * 1024;
    const { start, transport } = await aSpool({ maxBytes, sealAfterMs: 60_000 });
    transport.mode = 'down';
    const recording = await start();
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'written');
    const fill = async (part: number): Promise<void> => {
      while (recording.status().usedBytes < maxBytes * part)
        await recorder.append(action(0, 'allow', randomBytes(15_000).toString('hex')), 'synced');
    };
    await fill(0.8);
    await expect(recording.open(newSessionId(), 'p')).rejects.toMatchObject({ code: 'RecordingBlocked' });
    await expect(fill(1.5)).rejects.toMatchObject({ code: 'RecordingBlocked' });
    expect(recording.status().usedBytes).toBeLessThan(maxBytes);
    await recorder.append(closing, 'synced');
    await recorder.close();
    transport.mode = 'receipts';
    await recording.flush(5000);
    expect(verifyChain(session, transport.segments(session), trust).verdict).toBe('complete');
    await eventually('room', () => (recording.status().usedBytes < maxBytes * 0.8 ? true : undefined));
    await expect(recording.open(newSessionId(), 'p')).resolves.toBeDefined();
  });

  test('a session that is silent holds no file of the journal for long, and is found after a crash', async () => {
    const { start, transport, crash, paths } = await aSpool({ maxBytes: 4 * 1024 * 1024, sealAfterMs: 80 });
    const recording = await start();
    const [silent, busy] = await Promise.all([newSessionId(), newSessionId()].map((session) => recording.open(session, 'p')));
    for (const recorder of [silent, busy]) await recorder?.append(opening(recorder.session), 'synced');
    const journals = (): string[] => readdirSync(paths.directory).filter((name) => name.endsWith('.journal'));
    await eventually('the first file to go', async () => {
      await busy?.append(action(0, 'allow', randomBytes(15_000).toString('hex')), 'synced');
      return journals().includes('0.journal') ? undefined : true;
    });
    await eventually('no more files than are needed', () => (journals().length <= 2 ? true : undefined));
    await eventually('all to be received', () => (recording.status().unacknowledged === 0 ? true : undefined));
    crash();
    const next = await start();
    expect(await next.flush(2000)).toEqual({ unacknowledged: 0 });
    for (const session of [silent?.session ?? '', busy?.session ?? ''])
      expect(verifyChain(session, transport.segments(session), trust).verdict).toBe('interrupted');
  });

  test('holds many sessions in bounded memory', async () => {
    const { start, transport } = await aSpool({ maxBufferedBytes: 256 * 1024, sealAfterMs: 60_000 });
    const recording = await start();
    const recorders = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const session = newSessionId();
        const recorder = await recording.open(session, 'p');
        await recorder.append(opening(session), 'written');
        for (let at = 0; at < 10; at++) await recorder.append(action(at, 'allow', 'y'.repeat(10_000)), 'written');
        return recorder;
      }),
    );
    await eventually('early segments', () => (transport.got.size >= 10 ? true : undefined));
    for (const recorder of recorders) {
      await recorder.append(closing, 'written');
      await recorder.close();
    }
    await recording.flush(3000);
    for (const { session } of recorders)
      expect(verifyChain(session, transport.segments(session), trust)).toMatchObject({ verdict: 'complete', records: 12 });
  });

  test('a file system that fails cuts the session; what was written still arrives', async () => {
    const { start, transport, paths } = await aSpool({ sealAfterMs: 50 });
    const recording = await start();
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'synced');
    // The segment cannot be written where a directory of its name is already there.
    mkdirSync(join(paths.directory, `${session}.0.seg.tmp`));
    await eventually('the cut', async () => {
      const failed = await recorder.append(action(0), 'synced').then(
        () => false,
        () => true,
      );
      return failed ? true : undefined;
    });
    await recorder.close();
    rmSync(join(paths.directory, `${session}.0.seg.tmp`), { recursive: true });
    // While the spool cannot be read at all, recovery waits too.
    renameSync(paths.directory, `${paths.directory}-away`);
    await sleep(500);
    expect(transport.got.has(session)).toBe(false);
    renameSync(`${paths.directory}-away`, paths.directory);
    await eventually('arrival', () => (transport.got.has(session) ? true : undefined));
    expect(verifyChain(session, transport.segments(session), trust)).toMatchObject({ verdict: 'interrupted' });
  });
});

/** Appends until the file system takes no more. */
function fillUp(path: string, size: number): void {
  let room = true;
  while (room)
    try {
      writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
    } catch {
      room = false;
    }
}

test.runIf(process.getuid?.() === 0)(
  'a disk that is full refuses sessions, cuts those that write, and serves again once there is room',
  async () => {
    const { start, transport, paths } = await aSpool({});
    mkdirSync(paths.directory, { mode: 0o700 });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=0700', 'tmpfs', paths.directory]);
    try {
      const recording = await start();
      const [before, idle] = [newSessionId(), newSessionId()];
      const writing = await recording.open(before, 'p');
      await writing.append(opening(before), 'synced');
      const silent = await recording.open(idle, 'p');
      await silent.append(opening(idle), 'synced');
      await eventually('the silent one to be sealed', () => (transport.got.has(idle) ? true : undefined));
      const junk = join(paths.directory, 'junk');
      for (const size of [4096, 1]) fillUp(junk, size);
      const opened = async (): Promise<void> => {
        const session = newSessionId();
        await (await recording.open(session, 'p')).append(opening(session), 'synced');
      };
      // What the journal's last block has room for may still be taken.
      await eventually('a session that is refused', () =>
        opened().then(
          () => undefined,
          () => true,
        ),
      );
      for (let time = 0; time < 3; time++) {
        // What was freed meanwhile is taken.
        for (const size of [4096, 1]) fillUp(junk, size);
        await expect(opened()).rejects.toMatchObject({ name: 'RecordingError' });
      }
      await expect(
        (async () => {
          for (let at = 0; at < 200; at++) await writing.append(action(at), 'synced');
        })(),
      ).rejects.toMatchObject({ name: 'RecordingError' });
      // Where its file has ended, a silent session has nowhere to say that it goes on, and need not.
      await sleep(100);
      rmSync(junk);
      const after = newSessionId();
      const later = await recording.open(after, 'p');
      await later.append(opening(after), 'synced');
      await silent.append(action(0), 'synced');
      await Promise.all([writing, silent, later].map(async (each) => each.close()));
      const verdicts = (): string[] =>
        [before, idle, after].map((each) => verifyChain(each, transport.segments(each), trust).verdict);
      await eventually('the end of each', () => (verdicts().every((verdict) => verdict === 'interrupted') ? true : undefined));
      await recording.stop();
    } finally {
      execFileSync('umount', ['--lazy', paths.directory]);
    }
  },
);

/** Where frame `index` of a spool file begins. */
function frameOffset(bytes: Buffer, index: number): number {
  let at = 24;
  for (let frame = 0; frame < index; frame++) at += 8 + bytes.readUInt32BE(at);
  return at;
}
