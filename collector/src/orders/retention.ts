import { parseDuration, UnitError } from '@chaperone/api';
import type { EvidenceIndex } from '../evidence-index/evidence-index.ts';
import { DEFAULT_RETENTION } from '../evidence-index/rows.ts';
import type { Logger } from '../ingest.ts';
import type { Orders } from './orders.ts';

/** Milliseconds by class. `minimum` is no class: nothing is erased before, whatever its class. */
export type RetentionClasses = Readonly<Record<string, number>>;

const SWEEP_MS = 3_600_000;
/** Sessions that one sweep erases of one class; the rest is for the next. */
const MAX_ERASED = 1_000;
const HOUR_MS = 3_600_000;
/** What erasures by time are signed with in place of a person. */
const BY = 'chaperone:retention';

/** How long a class is kept; a name that is a time, as `30d`, says so itself. Undefined: for ever, since nobody said how long. */
export function lifeOf(name: string, classes: RetentionClasses): number | undefined {
  const life = Object.hasOwn(classes, name) ? classes[name] : namedTime(name);
  return life === undefined ? undefined : Math.max(life, classes['minimum'] ?? 0);
}

function namedTime(name: string): number | undefined {
  try {
    return parseDuration(name);
  } catch (error) {
    if (error instanceof UnitError) return undefined;
    throw error;
  }
}

interface RetentionOptions {
  readonly index: EvidenceIndex;
  readonly orders: Pick<Orders, 'give'>;
  readonly classes: RetentionClasses;
  readonly now: () => number;
  readonly logger: Logger;
}

export interface Retention {
  /** Erases what was kept for long enough and is not on hold; resolves with how many sessions that were. */
  sweep(): Promise<number>;
  /** Resolves when no sweep is under way any more. */
  stop(): Promise<void>;
}

/** Sweeps every hour, the first time an hour after the start, so that a clock that is wrong at a start can be seen. */
export function startRetention(options: RetentionOptions): Retention {
  let stopped = false;
  let last: Promise<unknown> = Promise.resolve();
  const sweep = (): Promise<number> => {
    const next = last.then(() => sweepOnce(options, () => stopped));
    last = next.catch(() => undefined);
    return next;
  };
  const timer = setInterval(() => {
    sweep().catch((error: unknown) => {
      options.logger.error('what was kept for long enough could not be erased', {
        cause: error instanceof Error ? error.message : 'unknown',
      });
    });
  }, SWEEP_MS).unref();
  return {
    sweep,
    async stop() {
      stopped = true;
      clearInterval(timer);
      await last;
    },
  };
}

async function sweepOnce({ index, orders, classes, now, logger }: RetentionOptions, isOver: () => boolean): Promise<number> {
  const held = [...(await index.leaves.standing()).held];
  let erased = 0;
  for (const name of await index.retentions()) {
    const life = lifeOf(name, classes);
    if (life === undefined) {
      if (name !== DEFAULT_RETENTION)
        logger.warn('nobody says how long a class of sessions is kept; it is kept', { retention: name });
      continue;
    }
    for (const session of await index.expired(name, now() - life, held, MAX_ERASED)) {
      if (isOver()) return erased;
      await orders.give('erasure', session, { by: BY, reason: `retention class ${name}: kept for ${life / HOUR_MS} hours` });
      erased++;
    }
  }
  return erased;
}
