import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@chaperone/testing';
import { RealShop } from './real-shop.test-support.ts';

const PATIENCE_MS = 30_000;

/**
 * `node reach.test-support.ts ROUNDS`: how long after an object was written an agent feels it, in ms: from a policy that takes a right away
 * to the end of the session that had it, as its client hears it; from a Secret with another password to a session that was opened with it.
 * A line of JSON.
 */
if (import.meta.main) {
  const rounds = Number(process.argv[2] ?? 50);
  await using shop = await RealShop.open('password-0');
  const [withdrawn, rotated]: [number[], number[]] = [[], []];
  const opens = async (session: string): Promise<true | undefined> => {
    const told = await shop.ask(session);
    return 'rows' in told ? true : undefined;
  };
  for (let round = 0; round < rounds; round++) {
    let tries = 0;
    await eventually('a session', () => opens(`${round}-${tries++}`), PATIENCE_MS);
    const session = `${round}-${tries - 1}`;
    let began = performance.now();
    await shop.grant(['kept']);
    while (!shop.pod.ended.has(session)) await sleep(1);
    withdrawn.push(performance.now() - began);
    await shop.grant(['orders', 'kept']);
    await eventually('the right to be there again', () => opens(`${round}-again-${tries++}`), PATIENCE_MS);
    await shop.passwordInDatabase(`password-${round + 1}`);
    began = performance.now();
    await shop.passwordInSecret(`password-${round + 1}`);
    while ((await opens(`${round}-dial-${tries++}`)) === undefined);
    rotated.push(performance.now() - began);
  }
  process.stdout.write(`${JSON.stringify({ rounds, withdrawn: shares(withdrawn), rotated: shares(rotated) })}\n`);
}

/** Median, 99th percentile and the most. */
function shares(took: readonly number[]): { medianMs: number; p99Ms: number; mostMs: number } {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { medianMs: at(0.5), p99Ms: at(0.99), mostMs: at(1) };
}
