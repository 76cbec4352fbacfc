import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  encodeNkey,
  formatReceipt,
  generateSigner,
  newSessionId,
  noteSigner,
  parsePolicy,
  parseRecipient,
  formatPolicy,
  cosigner,
  formatVerifierKey,
  KEY_TYPE,
  segmentOf,
  signRegistration,
  type TrustPolicy,
  x25519Holder,
} from '@chaperone/evidence';
import { eventually, temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MemoryLog } from './receipts.test-support.ts';
import { agent, closing, opening } from './records.test-support.ts';
import type { Delivery, Sent } from './recorder.ts';
import { createRecording, type SpoolRecording } from './recording.ts';

const enrolment = generateSigner();
const reader = parseRecipient(x25519Holder(Buffer.alloc(32, 1)).name);

/** Takes every segment and says what a test makes of it. */
class Collector implements Delivery {
  answer: (segment: Buffer, sent: Sent) => Uint8Array | undefined = () => undefined;
  readonly sent: Sent[] = [];
  #listener: (receipt: Uint8Array) => void = () => undefined;

  deliver(parcel: Buffer, sent: Sent): Promise<void> {
    this.sent.push(sent);
    const receipt = this.answer(segmentOf(parcel), sent);
    if (receipt !== undefined) this.#listener(receipt);
    return Promise.resolve();
  }
  onReceipt(listener: (receipt: Uint8Array) => void): void {
    this.#listener = listener;
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

const honestly =
  (log: MemoryLog): Collector['answer'] =>
  (segment, { session, number, held }) => {
    log.add(segment);
    return log.receipt([{ session, number }], held);
  };

async function aSidecar() {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const nkey = generateSigner();
  const registration = signRegistration({ nkey: encodeNkey(nkey.publicKey), agent, origin: 'test', issuedAt: 1 }, enrolment);
  const spool = join(directory.path, 'spool');
  const collector = new Collector();
  const log = new MemoryLog();
  for (let at = 0; at < 10; at++) log.addEntry(Buffer.from(`entry ${at}`));
  const said: { message: string; fields: Record<string, unknown> }[] = [];
  const note = (message: string, fields: Record<string, unknown> = {}): void => void said.push({ message, fields });
  const trusted: { policy: TrustPolicy | undefined } = { policy: log.policy };
  const start = async (): Promise<SpoolRecording> => {
    const recording = await createRecording({
      directory: spool,
      runDirectory: join(directory.path, 'run'),
      identity: { nkey, registration },
      recipients: () => [reader],
      delivery: collector,
      logPolicy: () => trusted.policy,
      tellCounter: () => Promise.resolve(),
      limits: { sealAfterMs: 10_000, redeliverAfterMs: 60 },
      logger: { info: note, warn: note, error: note },
    });
    onTestFinished(() => recording.stop());
    return recording;
  };
  /** One whole session, and the segments that it left in the spool when the collector had its chance. */
  const record = async (recording: SpoolRecording, withinMs = 100): Promise<string[]> => {
    const session = newSessionId();
    const recorder = await recording.open(session, 'p');
    await recorder.append(opening(session), 'synced');
    await recorder.append(closing, 'synced');
    await recorder.close();
    await eventually('the delivery', () => (collector.sent.some((sent) => sent.session === session) ? true : undefined));
    const left = (): string[] =>
      readdirSync(spool).filter((name) => name.startsWith(session) && statSync(join(spool, name)).size > 0);
    // What has its receipt is freed a moment later.
    const { unacknowledged } = await recording.flush(withinMs);
    if (unacknowledged === 0) await eventually('an empty spool', () => (left().length === 0 ? true : undefined));
    return left();
  };
  return { spool, log, collector, said, trusted, start, record };
}

type Lie = (log: MemoryLog, segment: Buffer, sent: Sent) => Uint8Array;
/** Proofs of the honest log, changed. */
const changed =
  (
    change: (
      proofs: Parameters<typeof formatReceipt>[0],
      log: MemoryLog,
      sent: Sent,
    ) => Partial<Parameters<typeof formatReceipt>[0]>,
  ): Lie =>
  (log, segment, sent) => {
    log.add(segment);
    const { session, number, held } = sent;
    const proofs = log.proofs([{ session, number }], held);
    return formatReceipt({ ...proofs, ...change(proofs, log, sent) });
  };
const dropped: Lie = (log, _, { session, number, held }) => log.receipt([{ session, number }], held);
/** The log that a forger with this key tells another story in. */
const another = (log: MemoryLog, signer = log.signer): MemoryLog => {
  const other = new MemoryLog(signer);
  while (other.size <= log.size) other.addEntry(Buffer.from(`other ${other.size}`));
  return other;
};

describe('a collector that gives a receipt', () => {
  test.each<[what: string, code: string, lie: Lie]>([
    ['and drops the segment', 'ProofInvalid', dropped],
    [
      'for an entry at the end of the log',
      'ProofInvalid',
      changed(({ entries }, log) => ({ entries: entries.map((each) => ({ ...each, index: log.size })) })),
    ],
    [
      'for an entry far beyond it',
      'ProofInvalid',
      changed(({ entries }) => ({ entries: entries.map((each) => ({ ...each, index: 2 ** 53 - 1 })) })),
    ],
    ['without a proof', 'ProofInvalid', changed(({ entries }) => ({ entries: entries.map((each) => ({ ...each, path: [] })) }))],
    [
      'of another tree with the same key',
      'LogForked',
      (log, segment, { session, number, held }) => {
        const other = another(log);
        other.add(segment);
        return other.receipt([{ session, number }], held);
      },
    ],
    [
      'of another tree, and no proof that it is the same log',
      'ConsistencyMissing',
      (log, segment, { session, number }) => {
        const other = another(log);
        other.add(segment);
        return other.receipt([{ session, number }], 0);
      },
    ],
    [
      'of a tree of the same size',
      'LogForked',
      (log, segment, { session, number }) => {
        const other = new MemoryLog(log.signer);
        while (other.size < log.size - 1) other.addEntry(Buffer.from(`other ${other.size}`));
        other.add(segment);
        return other.receipt([{ session, number }], 0);
      },
    ],
    [
      'of an older checkpoint',
      'CheckpointOlder',
      (log, _, { session, number }) => formatReceipt({ ...log.proofs([{ session, number }], 0), checkpoint: log.note(5) }),
    ],
    [
      'by another key',
      'NoteUnsigned',
      (log, segment, { session, number, held }) => {
        const other = another(log, noteSigner('test', generateSigner()));
        other.add(segment);
        return other.receipt([{ session, number }], held);
      },
    ],
    ['of another origin', 'OriginMismatch', changed((_, log) => ({ checkpoint: log.note(log.size, [log.signer], 'elsewhere') }))],
    ['that is larger than any', 'LimitExceeded', () => Buffer.alloc(1024 * 1024, 0x20)],
    ['that is none', 'MalformedReceipt', () => Buffer.from('{"session":"s-aaaaaaaaaaaaaaaa","number":7,"digest":""}')],
  ])('%s is not believed: the spool stays, and %s is said', async (_, code, lie) => {
    const { log, collector, said, start, record } = await aSidecar();
    collector.answer = honestly(log);
    const recording = await start();
    expect(await record(recording, 5_000)).toHaveLength(0);
    const size = recording.status().log.size;
    collector.answer = (segment, sent) => lie(log, segment, sent);
    expect(await record(recording)).toHaveLength(1);
    expect(recording.status()).toMatchObject({ unacknowledged: 1, log: { problem: { code } } });
    expect(recording.status().log.refused.get(code)).toBeGreaterThan(0);
    expect(said.filter(({ message }) => message === 'a receipt is not believed; the spool is kept').at(-1)?.fields).toMatchObject(
      { code },
    );
    // The honest log is believed again, and what was not freed is.
    const isForked = code === 'LogForked';
    collector.answer = honestly(log);
    await eventually('the receipt', () => (recording.status().unacknowledged === 0 ? true : undefined));
    expect(recording.status().log.size).toBeGreaterThan(size);
    expect(recording.status().log.problem?.code).toBe(isForked ? code : undefined);
  });

  test.each<[string, (log: MemoryLog) => MemoryLog]>([
    ['forked', (log) => another(log)],
    ['rolled back', (log) => new MemoryLog(log.signer)],
  ])('of a log that was %s while the sidecar was away is caught, and both checkpoints are kept in a file', async (how, make) => {
    const { log, collector, said, spool, start, record } = await aSidecar();
    collector.answer = honestly(log);
    const first = await start();
    await record(first, 5_000);
    await first.stop();
    const other = make(log);
    collector.answer = honestly(other);
    if (how === 'rolled back')
      collector.answer = (segment, { session, number }) => {
        other.add(segment);
        return other.receipt([{ session, number }], 0);
      };
    const second = await start();
    expect(second.status().log.size).toBe(log.size);
    expect(await record(second)).toHaveLength(1);
    const code = how === 'forked' ? 'LogForked' : 'CheckpointOlder';
    const file = join(spool, `log.${code}.json`);
    await eventually('the file', () => (existsSync(file) ? true : undefined));
    const kept = JSON.parse(readFileSync(file, 'utf8')) as { held: string; shown: string };
    expect(kept.held).toBe(log.note());
    expect(kept.shown).toBe(other.note());
    expect(said.find(({ fields }) => fields['held'] !== undefined)?.fields).toMatchObject({ code, path: file, ...kept });
  });

  test('frees nothing while nobody has said which log is believed, and says so', async () => {
    const { log, collector, trusted, start, record } = await aSidecar();
    trusted.policy = undefined;
    collector.answer = honestly(log);
    const recording = await start();
    expect(await record(recording)).toHaveLength(1);
    expect(recording.status().log.problem).toMatchObject({
      code: 'LogKeyUnknown',
      message: 'the key of the evidence log is not known yet: receipts cannot be verified, and no evidence leaves the spool',
    });
    trusted.policy = log.policy;
    await eventually('the receipt', () => (recording.status().unacknowledged === 0 ? true : undefined));
  });

  test('without the witnesses that are asked for frees nothing until they have cosigned', async () => {
    const { log, collector, trusted, start, record } = await aSidecar();
    const witness = cosigner('witness.example', KEY_TYPE.cosignature, generateSigner(), 1_700_000_000);
    const lines = `witness w ${formatVerifierKey(witness.key)}\nquorum w\n`;
    trusted.policy = parsePolicy(Buffer.from(formatPolicy(log.signer.key, lines)));
    collector.answer = honestly(log);
    const recording = await start();
    expect(await record(recording)).toHaveLength(1);
    expect(recording.status().log.problem).toMatchObject({ code: 'QuorumMissing' });
    collector.answer = (segment, { session, number, held }) => {
      log.add(segment);
      const checkpoint = log.note(log.size, [log.signer, witness]);
      return formatReceipt({ ...log.proofs([{ session, number }], held), checkpoint });
    };
    await eventually('the receipt', () => (recording.status().unacknowledged === 0 ? true : undefined));
  });
});

test('a checkpoint that was kept and cannot be read is not forgotten: the sidecar does not start', async () => {
  const { log, collector, spool, start, record } = await aSidecar();
  collector.answer = honestly(log);
  const recording = await start();
  await record(recording);
  await recording.stop();
  writeFileSync(join(spool, '../run/log.checkpoint'), 'damaged');
  await expect(start()).rejects.toMatchObject({ code: 'RecordingFailed' });
});
