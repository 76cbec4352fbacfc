import { createHash } from 'node:crypto';
import { type AccessRequest, type RequestState, shortDigest, visible } from '@chaperone/api';

export const NEWS_TYPES = ['request.created', 'request.decided', 'request.expired'] as const;
export type NewsType = (typeof NEWS_TYPES)[number];

/** `request.expired` is every end that no person brought about; `data.state` says which. */
const TYPE_OF: Readonly<Record<RequestState, NewsType>> = {
  Pending: 'request.created',
  Approved: 'request.decided',
  Denied: 'request.decided',
  Released: 'request.decided',
  Ran: 'request.decided',
  Failed: 'request.decided',
  Expired: 'request.expired',
  Withdrawn: 'request.expired',
  Voided: 'request.expired',
};

/** One thing to tell. */
export interface News {
  /** The same for the same news, whichever replica tells it. */
  readonly id: string;
  readonly type: NewsType;
  /** UID of the request. */
  readonly about: string;
  /** JSON. */
  readonly body: string;
  /** Nobody needs to hear it after this, ms since 1970. */
  readonly until: number;
}

/** Longest time in which delivery is tried. */
export const DELIVERY_MS = 15 * 60_000;

export const stateOf = ({ status }: AccessRequest): RequestState => status?.state ?? 'Pending';
export const newsType = (request: AccessRequest): NewsType => TYPE_OF[stateOf(request)];
export const agentOf = ({ metadata, spec }: AccessRequest): string => `${metadata.namespace ?? ''}/${spec.agent.serviceAccount}`;

/**
 * The news that a request is in its state, for machines outside: who, where, until when, and our own words for what. Nothing of
 * statement, values, rows or result: they may hold data.
 */
export function newsOf(request: AccessRequest, now: number): News {
  const { metadata, spec, status } = request;
  const { namespace = '', name, uid = '' } = metadata;
  const type = newsType(request);
  const id = `msg_${createHash('sha256')
    .update(JSON.stringify([uid, type]))
    .digest('base64url')
    .slice(0, 32)}`;
  const body = JSON.stringify({
    type,
    timestamp: new Date(now).toISOString(),
    data: {
      namespace,
      name,
      uid,
      state: stateOf(request),
      sentence: visible(spec.sentence),
      resource: `${spec.resource.namespace}/${spec.resource.name}`,
      agent: agentOf(request),
      expiresAt: spec.expiresAt,
      digest: shortDigest(spec.digest),
      votes: status?.votes ?? `0/${Math.max(...spec.rules.map(({ minimum }) => minimum))}`,
    },
  });
  const expires = type === 'request.created' ? Date.parse(spec.expiresAt) : Number.POSITIVE_INFINITY;
  return { id, type, about: uid, body, until: Math.min(now + DELIVERY_MS, expires) };
}

/** A new leader tells what ended while nobody led. */
const LAPSE_MS = 60_000;
const MAX_REMEMBERED = 10_000;

/** Which news of which request was told already. Bounded: whoever is forgotten is told again, under the same id. */
export class Told {
  readonly #told = new Map<string, Set<NewsType>>();
  readonly #since: number;

  constructor(startedAt: number) {
    this.#since = startedAt;
  }

  /** Whether this is news; if so, it is none from now on. */
  take(request: AccessRequest): boolean {
    const uid = request.metadata.uid ?? '';
    const type = newsType(request);
    const before = this.#told.get(uid);
    if (before?.has(type) === true) return false;
    this.#told.delete(uid);
    this.#told.set(uid, (before ?? new Set()).add(type));
    const oldest = this.#told.keys().next();
    if (this.#told.size > MAX_REMEMBERED && oldest.done === false) this.#told.delete(oldest.value);
    return before !== undefined || isFresh(request, this.#since);
  }
}

/** Whether a request waits, or was decided after `startedAt` or so little before that nobody may have told it. */
export function isFresh(request: AccessRequest, startedAt: number, lapseMs = LAPSE_MS): boolean {
  const { status, metadata } = request;
  const since = Date.parse(status?.decidedAt ?? metadata.creationTimestamp ?? '');
  return stateOf(request) === 'Pending' || since >= startedAt - lapseMs;
}
