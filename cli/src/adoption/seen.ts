import type { SessionRecord } from '@chaperone/evidence';
import type { Caller } from '@chaperone/policy';
import { type Recorded, recordedActions } from '@chaperone/sidecar';

type Open = SessionRecord & { type: 'session.open' };
type Judged = SessionRecord & { type: 'action' };

/** One recorded action, with what of its session bears on how it is judged. */
export interface SeenAction {
  readonly session: string;
  /** When, ms since 1970. */
  readonly at: number;
  readonly agent: { readonly namespace: string; readonly serviceAccount: string };
  readonly resource: Open['resource'];
  readonly purpose: string;
  readonly caller: Caller | undefined;
  readonly verdict: Judged['verdict'];
  readonly code: string;
  readonly wouldDeny: Judged['wouldDeny'];
  readonly effects: Judged['effects'];
  readonly recorded: Recorded;
  /** Of one that a rule held: whether people let it run, and who approved. */
  readonly released?: { readonly by: readonly string[] };
}

/** A session and what is known of it, or why nobody could read it. */
export type SessionSource =
  | {
      readonly session: string;
      readonly records: AsyncIterable<SessionRecord> | Iterable<SessionRecord>;
      readonly isIncomplete: boolean;
    }
  | { readonly session: string; readonly unread: string };

/** Which sessions are looked at. */
export interface Wanted {
  readonly agent?: { readonly namespace: string; readonly serviceAccount: string };
  /** Begun at this time or later, ms since 1970. */
  readonly since?: number;
}

/** How many sessions were read, and of those that were not, or not whole, why and how many. */
export interface SessionCount {
  read: number;
  readonly unread: Map<string, number>;
}

/** Held actions of one session that are remembered until their approval is read; of more it is said that nobody approved. */
const MAX_HELD = 10_000;

/** Every action of the wanted sessions, in order but for those that were held, which follow at the end of their session. */
export async function* seenActions(
  sources: AsyncIterable<SessionSource>,
  wanted: Wanted,
  count: SessionCount,
): AsyncGenerator<SeenAction> {
  const miss = (why: string): void => void count.unread.set(why, (count.unread.get(why) ?? 0) + 1);
  for await (const source of sources) {
    if ('unread' in source) {
      miss(source.unread);
      continue;
    }
    const session = new Session(source.session, wanted);
    for await (const record of source.records) {
      const seen = session.take(record);
      if (seen !== undefined) yield seen;
      if (session.isOther) break;
    }
    if (session.isOther) continue;
    yield* session.held();
    if (session.isKnown) count.read++;
    if (source.isIncomplete || !session.isKnown) miss(INCOMPLETE);
  }
}

export const INCOMPLETE = 'some of its evidence is missing';

class Session {
  readonly #name: string;
  readonly #wanted: Wanted;
  #open: Open | undefined;
  readonly #held = new Map<number, SeenAction>();

  constructor(name: string, wanted: Wanted) {
    this.#name = name;
    this.#wanted = wanted;
  }

  /** Not one of those that are wanted. */
  get isOther(): boolean {
    const { agent, since = 0 } = this.#wanted;
    if (this.#open === undefined) return false;
    const own = this.#open.agent;
    const isAgents = agent === undefined || (agent.namespace === own.namespace && agent.serviceAccount === own.serviceAccount);
    return !isAgents || this.#open.at < since;
  }

  get isKnown(): boolean {
    return this.#open !== undefined;
  }

  take(record: SessionRecord): SeenAction | undefined {
    if (record.type === 'session.open') this.#open ??= record;
    if (record.type === 'approval') this.#approved(record);
    if (record.type !== 'action' || this.#open === undefined || this.isOther) return undefined;
    const seen = this.#seen(record, this.#open);
    if (record.verdict !== 'approve' || this.#held.size >= MAX_HELD) return seen;
    this.#held.set(record.action, seen);
    return undefined;
  }

  held(): Iterable<SeenAction> {
    return this.#held.values();
  }

  #seen(record: Judged, { agent, resource, purpose, onBehalfOf }: Open): SeenAction {
    const { at, verdict, code, wouldDeny, effects } = record;
    const recorded = recordedActions(record, resource.protocol);
    const { namespace, serviceAccount } = agent;
    return {
      session: this.#name,
      at,
      agent: { namespace, serviceAccount },
      resource,
      purpose,
      caller: onBehalfOf,
      verdict,
      code,
      wouldDeny,
      effects,
      recorded,
    };
  }

  #approved({ action, state, decisions }: SessionRecord & { type: 'approval' }): void {
    const seen = this.#held.get(action);
    if (seen === undefined || state !== 'Released') return;
    const by = decisions.filter(({ decision }) => decision === 'Approve').map((decision) => decision.by);
    this.#held.set(action, { ...seen, released: { by } });
  }
}
