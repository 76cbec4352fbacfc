import { userInfo } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Collector } from '@chaperone/collector';
import type { ManifestControl, Sessions } from '@chaperone/sidecar';
import { END_WAIT_MS } from '../requests/desk.ts';

/** ended: it is over now · told: it is to end, and has not yet · over: it had ended before · unknown: there never was such a session here. */
export type Killed = 'ended' | 'told' | 'over' | 'unknown';

const CHECK_MS = 20;

export interface Order {
  readonly session: string;
  /** Its agent reads it. */
  readonly reason: string;
  /** Whom the person at this machine plays. */
  readonly by?: string | undefined;
}

export interface KillingOptions {
  readonly control: Pick<ManifestControl, 'kill'>;
  readonly collector: Pick<Collector, 'fetch'>;
  /** The bearer token of the collector's API. */
  readonly token: string;
}

/** Ends sessions of this `chaperone up`. */
export class Killing {
  readonly #o: KillingOptions;
  /** Those that may be open; none before the first agent can connect. */
  sessions: Pick<Sessions, 'has'> | undefined;

  constructor(options: KillingOptions) {
    this.#o = options;
  }

  /** Ends one that is open, and waits for some seconds until it is over. Of one that is not, the evidence says whether it ever was; throws where it cannot be asked. */
  async kill({ session, reason, by = `local:${userInfo().username}` }: Order): Promise<Killed> {
    const { control, collector, token } = this.#o;
    const { sessions } = this;
    if (sessions?.has(session) === true) {
      control.kill(session, `a person ended it: ${reason}`, by);
      for (const until = performance.now() + END_WAIT_MS; performance.now() < until; await delay(CHECK_MS))
        if (!sessions.has(session)) return 'ended';
      return 'told';
    }
    const headers = { authorization: `Bearer ${token}` };
    const { status } = await collector.fetch(new Request(`http://localhost/v1/sessions/${session}`, { headers }));
    if (status === 200) return 'over';
    if (status === 404) return 'unknown';
    throw new Error(`the collector answers ${status}`);
  }
}
