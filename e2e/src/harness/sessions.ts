import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@chaperone/testing';
import type { Cluster } from './cluster.ts';
import { AGENTS } from './shop.ts';

export interface SessionRow {
  readonly name: string;
  readonly agent: { readonly pod: string };
  readonly actions: number;
  readonly denied: number;
  readonly state: string;
  readonly evidence: string;
  /** ms since 1970, by the pod's clock: this host's. */
  readonly startedAt: number;
}

/** Sessions as `kubectl chaperone sessions ls` lists them. */
export async function listSessions(cluster: Cluster, ...args: readonly string[]): Promise<readonly SessionRow[]> {
  const { status, stdout, stderr } = await cluster.chaperone('sessions', 'ls', '-A', '-o', 'json', '--limit', '0', ...args);
  if (status !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as { items: SessionRow[] }).items;
}

/** Runs `during`, in which one session begins and ends, and waits until its evidence is complete. */
export async function sessionOf(cluster: Cluster, during: () => Promise<unknown>): Promise<SessionRow> {
  const began = Date.now();
  await during();
  const [session] = await arrivedSince(cluster, began, 1);
  if (session === undefined) throw new Error('no session arrived');
  return session;
}

/** The sessions that began at or after `since`, once they are `count` or more, all have ended and all of their evidence is there. */
export async function arrivedSince(
  cluster: Cluster,
  since: number,
  count: number,
  timeoutMs = 60_000,
): Promise<readonly SessionRow[]> {
  return await eventually(
    `${count} sessions to arrive`,
    async () => {
      const rows = (await listSessions(cluster)).filter(({ startedAt }) => startedAt >= since);
      if (rows.length >= count && rows.every(({ state, evidence }) => state === 'ended' && evidence === 'received')) return rows;
      await sleep(500);
      throw new Error(`so far: ${rows.map(({ name, state, evidence }) => `${name} ${state} ${evidence}`).join(', ') || 'none'}`);
    },
    timeoutMs,
  );
}

/** Of the sessions since then, the name of the one in which a command ran: kubectl looks at a pod by a connection of its own. */
export async function sessionWithCommand(cluster: Cluster, since: number): Promise<string> {
  return await eventually(
    'a session with a command',
    async () => {
      for (const { name } of await arrivedSince(cluster, since, 1)) {
        const { stdout } = await cluster.chaperone('sessions', 'show', name, '-n', AGENTS, '-o', 'json');
        const { commands = [] } = JSON.parse(stdout) as { commands?: readonly object[] };
        if (commands.length > 0) return name;
      }
      return undefined;
    },
    60_000,
  );
}
