import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  encodeNkey,
  generateSigner,
  newSessionId,
  outputRecords,
  parseRecipient,
  type RecordBody,
  segmentOf,
  signRegistration,
  x25519Holder,
} from '@chaperone/evidence';
import { createRecording } from '@chaperone/sidecar';
import { MemoryLog } from './memory-log.ts';
import { memoryKiB } from './proc.ts';
import { spread } from './statistics.ts';

/** As many as the load of short statements with most clients. */
const SESSIONS = 16;
const IDLE_SESSIONS = 500;
/** What one sidecar serves on two cores, spread over the sessions. */
const PER_SECOND = 4000;
const SECONDS = 2;
/** Statements one behind the other in every session, as fast as they are recorded. */
const STATEMENTS = 2000;
/** What one leaves in the journal, about. */
const STATEMENT_BYTES = 860;
const OUTPUT_MIB = 48;
const PIECE_BYTES = 32 * 1024;
const MIB = 1024 * 1024;

type Recording = Awaited<ReturnType<typeof createRecording>>;
type Recorder = Awaited<ReturnType<Recording['open']>>;
type Durability = Parameters<Recorder['append']>[1];

const agent = { namespace: 'agents', serviceAccount: 'bot' };
const reader = parseRecipient(x25519Holder(Buffer.alloc(32, 1)).name);
const logger = { info: () => undefined, warn: () => undefined, error: (message: string) => process.stderr.write(`${message}\n`) };

/** What the log in memory took, which stands in for a collector in another process. */
let standInMicros = 0;

function micros({ user, system }: NodeJS.CpuUsage): number {
  return user + system;
}

/** The real recorder over a spool on disk; what it delivers is in a log in memory at once, which proves it. */
async function start(directory: string): Promise<Recording> {
  const nkey = generateSigner();
  const registration = { nkey: encodeNkey(nkey.publicKey), agent, origin: 'bench', issuedAt: 1 };
  const listeners: ((receipt: Uint8Array) => void)[] = [];
  const log = new MemoryLog('bench');
  const { policy } = log;
  return await createRecording({
    directory: join(directory, 'spool'),
    runDirectory: join(directory, 'run'),
    identity: { nkey, registration: signRegistration(registration, generateSigner()) },
    recipients: () => [reader],
    delivery: {
      deliver: async (parcel) => {
        const from = process.threadCpuUsage();
        const receipt = log.receiptOf(segmentOf(parcel));
        standInMicros += micros(process.threadCpuUsage(from));
        for (const listen of listeners) listen(receipt);
      },
      onReceipt: (listener) => void listeners.push(listener),
      close: () => Promise.resolve(),
    },
    logPolicy: () => policy,
    tellCounter: () => Promise.resolve(),
    logger,
  });
}

async function openSession(recording: Recording): Promise<Recorder> {
  const session = newSessionId();
  const recorder = await recording.open(session, 'p');
  const opening: RecordBody = {
    type: 'session.open',
    session,
    agent,
    resource: { namespace: 'data', name: 'orders-db', protocol: 'postgres' },
    purpose: 'bench',
    policies: [{ namespace: 'agents', name: 'support-agent', generation: 1 }],
    mode: 'Enforce',
    client: { address: '10.0.0.1', tls: false },
  };
  await recorder.append(opening, 'synced');
  return recorder;
}

async function closeSession(recorder: Recorder): Promise<void> {
  const totals = { actions: 0, denied: 0, maskedValues: 0 };
  await recorder.append({ type: 'session.close', code: 'AgentClosed', reason: '', ...totals }, 'written');
  await recorder.close();
}

/** A recorder that keeps nothing: what the load itself costs. */
const NOBODY: Recorder = { session: '', append: () => Promise.resolve(), close: () => Promise.resolve() };

/** What a point select of one row leaves: its verdict before it runs, and what became of it. */
async function statement(recorder: Recorder, action: number, durability: Durability): Promise<void> {
  const text = `SELECT abalance FROM pgbench_accounts WHERE aid = ${action};`;
  const effect = { verb: 'select', object: 'public.pgbench_accounts', via: 'direct', verdict: 'allow', rule: 'read' } as const;
  const verdict = { verdict: 'allow', code: 'Allowed', rule: 'read', reason: 'allowed by the rule read' } as const;
  await recorder.append({ type: 'action', action, text, bytes: text.length + 6, ...verdict, effects: [effect] }, durability);
  void recorder.append(
    {
      type: 'done',
      action,
      tag: 'SELECT 1',
      rows: 1,
      bytes: 15,
      digest: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      truncated: false,
      maskedValues: 0,
      durationMs: 0.42 + action,
      result: { columns: [{ name: 'abalance', type: 23 }], masked: [], rows: [[`t:${action}`]] },
    },
    'soon',
  );
}

interface Cost {
  /** Of this process, all its threads, user and system, without the log's. */
  readonly cpuMicros: number;
  readonly ms: number;
}

async function costOf(work: () => Promise<void>): Promise<Cost> {
  const [before, standIn, from] = [process.cpuUsage(), standInMicros, performance.now()];
  await work();
  return { cpuMicros: micros(process.cpuUsage(before)) - (standInMicros - standIn), ms: performance.now() - from };
}

/** What the disk takes for as many bytes as a millisecond's statements leave, appended and synced one after another, ms each. */
async function bareSyncs(directory: string): Promise<number[]> {
  const file = await open(join(directory, 'bare'), 'w');
  const bytes = randomBytes((PER_SECOND / 1000) * STATEMENT_BYTES);
  const took: number[] = [];
  try {
    for (const since = performance.now(); performance.now() - since < SECONDS * 1000; ) {
      const from = performance.now();
      await file.write(bytes);
      await file.datasync();
      took.push(performance.now() - from);
    }
  } finally {
    await file.close();
  }
  return took;
}

/** Statements at the pace of a busy sidecar, each in a turn of its own; how long each waited for its record, ms. */
async function paced(recorders: readonly Recorder[], durability: Durability): Promise<number[]> {
  const waits: number[] = [];
  const pending: Promise<void>[] = [];
  const total = PER_SECOND * SECONDS;
  const since = performance.now();
  for (let sent = 0; sent < total; ) {
    await sleep(1);
    const due = Math.min(total, Math.floor(((performance.now() - since) / 1000) * PER_SECOND));
    for (; sent < due; sent++) {
      const recorder = recorders[sent % recorders.length] ?? NOBODY;
      const from = performance.now();
      pending.push(statement(recorder, sent, durability).then(() => void waits.push(performance.now() - from)));
    }
  }
  await Promise.all(pending);
  return waits;
}

async function asFastAsPossible(recorders: readonly Recorder[], durability: Durability): Promise<void> {
  await Promise.all(
    recorders.map(async (recorder) => {
      for (let action = 0; action < STATEMENTS; action++) {
        // A statement of its own comes with a turn of its own.
        await new Promise(setImmediate);
        await statement(recorder, action, durability);
      }
    }),
  );
}

/** What a command prints, in the pieces that SSH brings; a mebibyte is waited for before the next begins. */
async function output(recorder: Recorder, piece: Buffer): Promise<void> {
  for (let mib = 0; mib < OUTPUT_MIB; mib++) {
    const appended: Promise<void>[] = [];
    for (let bytes = 0; bytes < MIB; bytes += piece.length)
      for (const record of outputRecords(0, 'stdout', piece)) appended.push(recorder.append(record, 'soon'));
    await Promise.all(appended);
    await new Promise(setImmediate);
  }
}

function quantile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * part)] ?? Number.NaN;
}

function shown(values: readonly number[], digits = 1): string {
  const { median, min, max } = spread(values) ?? { median: Number.NaN, min: Number.NaN, max: Number.NaN };
  return `${median.toFixed(digits)} [${min.toFixed(digits)}–${max.toFixed(digits)}]`;
}

class Figures {
  readonly #seen = new Map<string, number[]>();

  add(name: string, value: number): void {
    this.#seen.set(name, [...(this.#seen.get(name) ?? []), value]);
  }

  lines(): string[] {
    return [...this.#seen].map(
      ([name, values]) => `${name.padEnd(64)}${shown(values, values.some((value) => value < 10) ? 2 : 0)}`,
    );
  }
}

const DURABILITIES = ['soon', 'written', 'synced'] as const;

async function oneRound(directory: string, figures: Figures | undefined): Promise<void> {
  const recording = await start(directory);
  const recorders = await Promise.all(Array.from({ length: SESSIONS }, () => openSession(recording)));
  const nobody = recorders.map(() => NOBODY);
  const idle = await costOf(async () => void (await paced(nobody, 'soon')));
  const empty = await costOf(() => asFastAsPossible(nobody, 'soon'));
  for (const durability of DURABILITIES) {
    let waits: number[] = [];
    const { cpuMicros } = await costOf(async () => {
      waits = await paced(recorders, durability);
    });
    figures?.add(`statements at ${PER_SECOND}/s, ${durability}: CPU µs each`, (cpuMicros - idle.cpuMicros) / waits.length);
    if (durability !== 'soon') {
      figures?.add(`statements at ${PER_SECOND}/s, ${durability}: wait ms, p50`, quantile(waits, 0.5));
      figures?.add(`statements at ${PER_SECOND}/s, ${durability}: wait ms, p99`, quantile(waits, 0.99));
    }
    if (durability === 'synced') {
      const floor = quantile(await bareSyncs(directory), 0.99);
      figures?.add('bare write and fdatasync, one after another: ms, p99', floor);
      figures?.add(`statements at ${PER_SECOND}/s, synced: wait p99 as a multiple of that`, quantile(waits, 0.99) / floor);
    }
    await recording.flush(10_000);
    const full = await costOf(() => asFastAsPossible(recorders, durability));
    const count = STATEMENTS * SESSIONS;
    figures?.add(`statements as fast as they go, ${durability}: CPU µs each`, (full.cpuMicros - empty.cpuMicros) / count);
    figures?.add(`statements as fast as they go, ${durability}: each second`, (count / full.ms) * 1000);
    await recording.flush(10_000);
  }
  const [recorder = NOBODY] = recorders;
  for (const [name, piece] of [
    ['text', Buffer.from('2026-11-30 08:00:00 GET /v1/orders/4711 200 12ms\n'.repeat(700)).subarray(0, PIECE_BYTES)],
    ['binary', randomBytes(PIECE_BYTES)],
  ] as const) {
    const { cpuMicros, ms } = await costOf(async () => {
      await output(recorder, piece);
      await recording.flush(10_000);
    });
    figures?.add(`output of ${name}: CPU ms per MiB`, cpuMicros / 1000 / OUTPUT_MIB);
    figures?.add(`output of ${name}: MB/s`, (OUTPUT_MIB * MIB) / ms / 1000);
  }
  figures?.add('resident memory after these, MiB', memoryKiB(process.pid).now / 1024);
  await Promise.all(recorders.map(closeSession));
  await recording.flush(10_000);
  await recording.stop();
}

/** What a session costs that records its opening and then waits; in a process that did nothing before. */
async function idleSessions(directory: string, figures: Figures): Promise<void> {
  const recording = await start(directory);
  const before = memoryKiB(process.pid).now;
  const { cpuMicros } = await costOf(async () => {
    const recorders: Recorder[] = [];
    for (let at = 0; at < IDLE_SESSIONS; at++) recorders.push(await openSession(recording));
    await recording.flush(10_000);
    figures.add('idle session: KiB', (memoryKiB(process.pid).now - before) / IDLE_SESSIONS);
    await Promise.all(recorders.map(closeSession));
    await recording.flush(10_000);
  });
  figures.add('session with nothing in it: CPU µs', cpuMicros / IDLE_SESSIONS);
  await recording.stop();
}

/** What recording costs, alone: no protocol, no collector. As lines for people. Needs a disk below `parent`. */
export async function recordingFigures(rounds: number, parent: string): Promise<string[]> {
  const figures = new Figures();
  const within = async (act: (directory: string) => Promise<void>): Promise<void> => {
    const directory = await mkdtemp(join(parent, 'recording-'));
    try {
      await act(directory);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  };
  await mkdir(parent, { recursive: true });
  await within((directory) => idleSessions(directory, figures));
  // The first round is not counted: code that is not compiled yet is not what serves all day.
  for (let round = 0; round <= rounds; round++) await within((directory) => oneRound(directory, round > 0 ? figures : undefined));
  return [`Recording alone, ${SESSIONS} sessions, ${rounds} rounds: median [least–most]`, ...figures.lines()];
}
