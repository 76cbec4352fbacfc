import { setTimeout as sleep } from 'node:timers/promises';
import type { Chaperone } from './chaperone.ts';
import { connect } from './client.ts';
import type { Path } from './path.ts';
import { memoryKiB } from './proc.ts';
import { type Spread, spread } from './statistics.ts';

/** Sessions opened and closed before counting, so that code and pools that all sessions share do not count as theirs. */
const WARM_SESSIONS = 30;
const SETTLE_MS = 2_000;

export interface Footprint {
  readonly idleKiB: number;
  readonly perSessionKiB: number;
  readonly sessions: number;
}

export interface SidecarFigures {
  readonly startMs: Spread | undefined;
  readonly footprint: Footprint;
}

/** Resident memory of the process in between: idle after its start, and what each session that sits idle adds. */
export async function footprint(path: Path, sessions: number): Promise<Footprint> {
  const { pid } = path;
  if (pid === undefined) throw new Error('there is no process in between');
  await sleep(SETTLE_MS);
  const idleKiB = memoryKiB(pid).now;
  await held(path, WARM_SESSIONS, () => Promise.resolve());
  await sleep(SETTLE_MS);
  const before = memoryKiB(pid).now;
  const after = await held(path, sessions, async () => {
    await sleep(SETTLE_MS);
    return memoryKiB(pid).now;
  });
  return { idleKiB, perSessionKiB: (after - before) / sessions, sessions };
}

/** Holds sessions that have run one statement each. */
async function held<T>(path: Path, count: number, use: () => Promise<T>): Promise<T> {
  const open: Awaited<ReturnType<typeof connect>>[] = [];
  try {
    for (let at = 0; at < count; at++) {
      const client = await connect(path);
      open.push(client);
      await client.query(`SELECT abalance FROM accounts WHERE aid = ${at + 1}`);
    }
    return await use();
  } finally {
    await Promise.all(open.map((client) => client.end()));
  }
}

/** Starts the program several times, each with an empty data directory, and looks at the last one's memory. */
export async function sidecarFigures(
  start: (at: number) => Promise<Chaperone>,
  options: { starts: number; sessions: number },
): Promise<SidecarFigures> {
  const startMs: number[] = [];
  for (let at = 1; at < options.starts; at++) {
    await using chaperone = await start(at);
    startMs.push(chaperone.startMs);
  }
  await using chaperone = await start(0);
  startMs.push(chaperone.startMs);
  return { startMs: spread(startMs), footprint: await footprint(chaperone.plain, options.sessions) };
}
