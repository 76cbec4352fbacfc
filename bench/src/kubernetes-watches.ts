import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { KUBERNETES_SLOTS, type KubernetesSlot, type Paths, PODS, type Target } from './kubernetes-paths.ts';
import { memoryKiB, micros } from './proc.ts';
import { shown, type Spread, spread } from './statistics.ts';

const WATCHES = 200;
const EVENTS_PER_SECOND = 1_000;
const SECONDS = 10;

/** Resident memory of the process in between. */
export interface Watches {
  readonly count: number;
  readonly beforeKiB: number;
  readonly withKiB: number;
}

/** With watches that each had an event, each on a connection of its own, beside what there was with none. */
export async function liveWatches({ get, at: { pid = Number.NaN } }: Target): Promise<Watches> {
  const beforeKiB = memoryKiB(pid).now;
  const open: IncomingMessage[] = [];
  for (let at = 0; at < WATCHES; at++) {
    const response = await get(`${PODS}?watch=true&resourceVersion=0`);
    await once(response, 'data');
    open.push(response);
  }
  const withKiB = memoryKiB(pid).now;
  for (const response of open) response.destroy();
  return { count: WATCHES, beforeKiB, withKiB };
}

/** How long after they were sent the events of a second came, ms. */
export interface Lag {
  readonly first: Spread | undefined;
  readonly last: Spread | undefined;
}

/** One watch by each path in turn, whose events are sent at a steady pace. */
export async function pacedWatches(paths: Paths): Promise<Readonly<Record<KubernetesSlot, Lag>>> {
  const lags: [KubernetesSlot, Lag][] = [];
  for (const slot of KUBERNETES_SLOTS) lags.push([slot, await lagOf(paths[slot])]);
  return Object.fromEntries(lags) as Record<KubernetesSlot, Lag>;
}

async function lagOf({ get }: Target): Promise<Lag> {
  const response = await get(`${PODS}?watch=true&resourceVersion=${EVENTS_PER_SECOND}&timeoutSeconds=${SECONDS}`);
  const lags: number[] = [];
  let rest = '';
  for await (const part of response as AsyncIterable<Buffer>) {
    const now = micros();
    const lines = (rest + part.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) lags.push((now - Number(/"resourceVersion":"(\d+)"/.exec(line)?.[1])) / 1_000);
  }
  if (lags.length !== EVENTS_PER_SECOND * SECONDS) throw new Error(`${lags.length} events came`);
  return { first: spread(lags.slice(0, EVENTS_PER_SECOND)), last: spread(lags.slice(-EVENTS_PER_SECOND)) };
}

export function watchesText(slot: KubernetesSlot, { count, beforeKiB, withKiB }: Watches): string {
  return `${count} watches, ${slot}: ${mib(beforeKiB)} MiB before, ${mib(withKiB)} with them, ${((withKiB - beforeKiB) / count).toFixed(0)} KiB each`;
}

export function pacedText(lags: Readonly<Record<KubernetesSlot, Lag>>): string[] {
  return Object.entries(lags).map(
    ([slot, { first, last }]) =>
      `${EVENTS_PER_SECOND} events a second, ${slot}: ${shown(first)} ms in the first second, ${shown(last)} in the last of ${SECONDS}`,
  );
}

const mib = (kiB: number): string => (kiB / 1024).toFixed(0);
