import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from './client.ts';
import type { Path } from './path.ts';
import { memoryKiB, resetPeak } from './proc.ts';
import { type Spread, spread } from './statistics.ts';

/** Sessions opened and closed before counting, so that code and pools that all sessions share do not count as theirs. */
const WARM_SESSIONS = 30;
const SETTLE_MS = 2_000;
/** An agent may have 256 connections to one resource. */
const MAX_PER_PATH = 250;
/** Dialled at once: connections that have said nothing yet are few by the listener's own limit. */
const AT_ONCE = 8;

export interface Footprint {
  /** After the start, before any session. */
  readonly idleKiB: number;
  /** After the first sessions have come and gone: with the SQL parser's thread, where there is one. */
  readonly usedKiB: number;
  readonly perSessionKiB: number;
  readonly sessions: number;
}

/** As much as one message may have, but for the rest of the message. */
const LARGE_BIND_BYTES = 63 * 1024 * 1024;
const BIND_ROUNDS = 5;

export interface SidecarFigures {
  readonly startMs: Spread | undefined;
  readonly footprint: Footprint;
  /** The most that it takes while one large Bind message after the other goes through it. */
  readonly bindPeakKiB: number;
}

/** A process in between. */
export interface Started extends AsyncDisposable {
  /** Until it is ready to serve; undefined where nobody waits for it. */
  readonly startMs?: number;
  readonly paths: readonly Path[];
}

/** Resident memory of the process in between: idle after its start, and what each session that sits idle adds. */
export async function footprint(paths: readonly Path[], wanted: number): Promise<Footprint> {
  const sessions = Math.min(wanted, MAX_PER_PATH * paths.length);
  const pid = paths[0]?.pid;
  if (pid === undefined) throw new Error('there is no process in between');
  await sleep(SETTLE_MS);
  const idleKiB = memoryKiB(pid).now;
  await held(paths, WARM_SESSIONS, () => Promise.resolve());
  await sleep(SETTLE_MS);
  const usedKiB = memoryKiB(pid).now;
  const after = await held(paths, sessions, async () => {
    await sleep(SETTLE_MS);
    return memoryKiB(pid).now;
  });
  return { idleKiB, usedKiB, perSessionKiB: (after - usedKiB) / sessions, sessions };
}

/** Holds sessions that have run one statement each, spread over the paths, and asks each once more before they end. */
async function held<T>(paths: readonly Path[], count: number, use: () => Promise<T>): Promise<T> {
  const open: Awaited<ReturnType<typeof connect>>[] = [];
  const ask = (client: (typeof open)[number], at: number): Promise<unknown> =>
    client.query(`SELECT abalance FROM accounts WHERE aid = ${at + 1}`);
  try {
    for (let at = 0; at < count; at += AT_ONCE) {
      const next = Array.from({ length: Math.min(AT_ONCE, count - at) }, async (_, offset) => {
        const path = paths[(at + offset) % paths.length];
        if (path === undefined) return;
        const client = await connect(path);
        open.push(client);
        await ask(client, at + offset);
      });
      await Promise.all(next);
    }
    const result = await use();
    for (const [at, client] of open.entries()) await ask(client, at);
    return result;
  } finally {
    await Promise.all(open.map((client) => client.end()));
  }
}

async function bindPeak([path]: readonly Path[]): Promise<number> {
  if (path?.pid === undefined) throw new Error('there is no process in between');
  // The sessions before have ended for their clients, and not yet for all who count them.
  await sleep(SETTLE_MS);
  resetPeak(path.pid);
  const values = [Buffer.alloc(LARGE_BIND_BYTES, 'a')];
  for (let round = 0; round < BIND_ROUNDS; round++) {
    const client = await connect(path);
    try {
      await client.query({ text: 'SELECT abalance FROM accounts WHERE aid = 1 AND octet_length($1) > 0', values });
    } finally {
      await client.end();
    }
  }
  return memoryKiB(path.pid).peak;
}

/** Starts the program several times, each with an empty data directory, and looks at the last one's memory. */
export async function sidecarFigures(
  start: (at: number) => Promise<Started>,
  options: { starts: number; sessions: number },
): Promise<SidecarFigures> {
  const startMs: number[] = [];
  for (let at = 1; at < options.starts; at++) {
    await using started = await start(at);
    startMs.push(started.startMs ?? Number.NaN);
  }
  await using started = await start(0);
  startMs.push(started.startMs ?? Number.NaN);
  return {
    startMs: spread(startMs.filter((ms) => !Number.isNaN(ms))),
    footprint: await footprint(started.paths, options.sessions),
    bindPeakKiB: await bindPeak(started.paths),
  };
}
