import { userInfo } from 'node:os';
import type { Collector } from '@chaperone/collector';
import type { ManifestControl, Sessions } from '@chaperone/sidecar';

/** told: it ends now · over: it had ended before · unknown: there never was such a session here. */
export type Killed = 'told' | 'over' | 'unknown';

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

  /** Ends one that is open. Of one that is not, the evidence says whether it ever was; throws where it cannot be asked. */
  async kill({ session, reason, by = `local:${userInfo().username}` }: Order): Promise<Killed> {
    const { control, collector, token } = this.#o;
    if (this.sessions?.has(session) === true) {
      control.kill(session, `somebody who may ended it: ${reason}`, by);
      return 'told';
    }
    const headers = { authorization: `Bearer ${token}` };
    const { status } = await collector.fetch(new Request(`http://localhost/v1/sessions/${session}`, { headers }));
    if (status === 200) return 'over';
    if (status === 404) return 'unknown';
    throw new Error(`the collector answers ${status}`);
  }
}
