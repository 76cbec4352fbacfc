import { SESSION_KILL_LIFE_MS, SessionKill, type SessionKillStatus } from '@chaperone/api';
import { isSessionOf } from '@chaperone/evidence';
import { apply, Informer, isNotFound, KINDS, type Kube, pathOf } from '@chaperone/kube';
import type { Kill, SidecarHub } from '../sidecars/hub.ts';
import type { PodIdentity } from '../sidecars/identity.ts';

/** A sidecar that was not connected is told when it is, if that is soon: sessions of one that was gone for longer end by themselves. */
const RETOLD_MS = 15 * 60 * 1000;

export interface KillsOptions {
  readonly kube: Kube;
  readonly hub: Pick<SidecarHub, 'kill'>;
  readonly now?: () => number;
  readonly onError: (error: unknown) => void;
}

/** Ends the sessions that people name in SessionKills, and clears those away that were sent long ago. Of the leader only. */
export class Kills {
  readonly #o: KillsOptions;
  readonly #informer: Informer<SessionKill>;
  readonly #now: () => number;
  /** What this leader wrote of each, by NAMESPACE/NAME: the end of a session may be told before the informer has it. */
  readonly #written = new Map<string, Promise<SessionKillStatus>>();

  constructor(options: KillsOptions) {
    this.#o = options;
    this.#now = options.now ?? Date.now;
    const { kube, onError } = options;
    this.#informer = new Informer({ kube, kind: KINDS.sessionKills, parse: (object) => SessionKill.parse(object), onError });
    this.#informer.onChange(({ before, after }) => {
      if (after === undefined && before !== undefined) this.#written.delete(keyOf(before));
      if (after?.status?.at === undefined && after !== undefined) this.#send(after).catch(onError);
    });
  }

  async start(): Promise<void> {
    await this.#informer.start().synced;
  }

  async stop(): Promise<void> {
    await this.#informer.stop();
  }

  /** What a sidecar of this namespace is told when it connects. */
  of(namespace: string): Kill[] {
    return this.#informer
      .list()
      .filter(({ metadata }) => metadata.namespace === namespace && this.#age(metadata.creationTimestamp) < RETOLD_MS)
      .map(killOf);
  }

  /** A pod says that a session of its is over: whoever ended it is told. Of a session that another pod made it changes nothing. */
  async closed({ namespace, podUid }: Pick<PodIdentity, 'namespace' | 'podUid'>, session: string): Promise<void> {
    if (!isSessionOf(session, podUid)) return;
    for (const kill of this.#informer.list()) {
      if (kill.metadata.namespace !== namespace || kill.spec.session !== session) continue;
      const status = (await this.#written.get(keyOf(kill))) ?? kill.status;
      if (status?.at !== undefined && status.endedAt === undefined)
        await this.#write(kill, { ...status, endedAt: new Date(this.#now()).toISOString() });
    }
  }

  /** Deletes what is over. */
  async sweep(): Promise<void> {
    for (const { metadata } of this.#informer.list()) {
      if (this.#age(metadata.creationTimestamp) < SESSION_KILL_LIFE_MS) continue;
      const path = pathOf(KINDS.sessionKills, { namespace: metadata.namespace, name: metadata.name });
      await this.#o.kube.request({ method: 'DELETE', path }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }

  async #send(kill: SessionKill): Promise<void> {
    const sent = this.#o.hub.kill(kill.metadata.namespace ?? '', killOf(kill));
    await this.#write(kill, { sent, at: new Date(this.#now()).toISOString() });
  }

  async #write(kill: SessionKill, status: SessionKillStatus): Promise<void> {
    const { namespace = '', name } = kill.metadata;
    const key = keyOf(kill);
    const at = { namespace, name, subresource: 'status' } as const;
    const written = apply(this.#o.kube, KINDS.sessionKills, at, { status }).then(() => status);
    this.#written.set(key, written);
    await written.catch((error: unknown) => {
      this.#written.delete(key);
      throw error;
    });
  }

  #age(createdAt: string | undefined): number {
    return this.#now() - Date.parse(createdAt ?? '1970-01-01T00:00:00Z');
  }
}

function keyOf({ metadata }: SessionKill): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** The agent is told why, and not by whom; the session's record keeps both. */
function killOf({ spec: { session, reason, by } }: SessionKill): Kill {
  return { session, reason: `a person ended it: ${reason}`, by };
}
