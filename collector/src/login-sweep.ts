import { isConflict, isNotFound, type Kube, KINDS, pathOf } from '@chaperone/kube';
import { z } from 'zod';
import type { Logger } from './ingest.ts';

/** Twice as long as a login is believed: no clock difference makes us remove one that counts. */
const OLD_MS = 20 * 60_000;
const EVERY_MS = 10 * 60_000;
/** Of one round; the next takes the rest. */
const MAX_LISTED = 500;

const LoginList = z.object({
  items: z.array(z.object({ metadata: z.object({ name: z.string(), uid: z.string(), creationTimestamp: z.coerce.date() }) })),
});

export interface LoginSweepOptions {
  readonly kube: Kube;
  readonly logger: Logger;
  readonly now?: () => number;
  readonly everyMs?: number;
}

/** Removes EvidenceLogins that nobody believes any more: a command line that was killed leaves its own. Never rejects. */
export async function sweepLogins({ kube, logger, now = Date.now }: LoginSweepOptions): Promise<void> {
  try {
    const found = await kube.request({ path: pathOf(KINDS.evidenceLogins), query: { limit: MAX_LISTED } });
    for (const { metadata } of LoginList.parse(found).items) {
      if (now() - metadata.creationTimestamp.getTime() < OLD_MS) continue;
      const { name, uid } = metadata;
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } };
      // Its author deleted it meanwhile, or it is another of the same name.
      await kube.request({ method: 'DELETE', path: pathOf(KINDS.evidenceLogins, { name }), body }).catch((error: unknown) => {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      });
    }
  } catch (error) {
    logger.warn('ended logins could not be removed', { cause: error instanceof Error ? error.name : 'unknown' });
  }
}

/** Sweeps now and then until `stop`, one round at a time. */
export function startLoginSweep(options: LoginSweepOptions): { stop(): void } {
  let running = false;
  const round = (): void => {
    if (running) return;
    running = true;
    void sweepLogins(options).finally(() => {
      running = false;
    });
  };
  round();
  const timer = setInterval(round, options.everyMs ?? EVERY_MS).unref();
  return { stop: () => clearInterval(timer) };
}
