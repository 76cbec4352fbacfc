import { eventually } from '@chaperone/testing';
import type { Cluster } from './cluster.ts';

export interface SessionRow {
  readonly name: string;
  readonly agent: { readonly pod: string };
  readonly actions: number;
  readonly denied: number;
  readonly state: string;
  readonly evidence: string;
}

/** Sessions as `kubectl chaperone sessions ls` lists them. */
export async function listSessions(cluster: Cluster, ...args: readonly string[]): Promise<readonly SessionRow[]> {
  const { status, stdout, stderr } = await cluster.chaperone('sessions', 'ls', '-A', '-o', 'json', '--limit', '0', ...args);
  if (status !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as { items: SessionRow[] }).items;
}

/** Runs `during`, and waits until a session that was not there before has ended and its evidence is complete. */
export async function sessionOf(cluster: Cluster, during: () => Promise<unknown>): Promise<SessionRow> {
  const before = new Set((await listSessions(cluster)).map(({ name }) => name));
  await during();
  return await arrived(cluster, before);
}

/** The first session that is not among `before`, once it has ended. */
export async function arrived(cluster: Cluster, before: ReadonlySet<string>, timeoutMs = 60_000): Promise<SessionRow> {
  const fresh = async (): Promise<SessionRow | undefined> =>
    (await listSessions(cluster).catch(() => [])).find(({ name, state }) => !before.has(name) && state === 'ended');
  return await eventually('a session to arrive', fresh, timeoutMs);
}
