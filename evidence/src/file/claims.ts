import { type Counter, CounterStatement, verifyCounterStatement } from '../counter.ts';
import { EvidenceError } from '../errors.ts';
import type { SessionJudge } from '../judge.ts';
import type { Registration, Trust } from '../keys.ts';
import type { VerifiedSegment } from '../verify.ts';
import { MAX_COUNTERS } from './layout.ts';
import type { FileSessionVerdict } from './verify-file.ts';

/** What one pod said of itself last, as far as the file has it. */
export interface PodCount {
  readonly agent: Registration['agent'];
  /** ms since 1970, by the pod's clock. */
  readonly at: number;
  readonly opened: number;
  readonly sealed: number;
  /** Sessions that were not wholly in the log then; of these it named all but `more`. */
  readonly pending: number;
  readonly more: number;
}

interface Claim {
  readonly segments: number;
  readonly agent: Registration['agent'];
}

/**
 * What pods counted: which sessions have to be here, and how much of each. What a pod says of the session of another counts for nothing
 * where a segment of it is here, which says whose it is.
 */
export class Claims {
  readonly counted: PodCount[] = [];
  readonly #trust: Trust;
  /** By session and nkey. */
  readonly #claims = new Map<string, Map<string, Claim>>();
  /** By nkey. */
  readonly #links = new Map<string, NonNullable<Counter['last']>>();
  /** nkeys of sessions. */
  readonly #signers = new Map<string, string>();
  #nkey = '';

  constructor(trust: Trust) {
    this.#trust = trust;
  }

  /** Takes the next counter. Throws EvidenceError MalformedBundle, LimitExceeded, and what {@link verifyCounterStatement} throws. */
  take(index: number, bytes: Buffer): void {
    if (index !== this.counted.length) throw new EvidenceError('MalformedBundle', 'a counter stands where another belongs');
    if (index >= MAX_COUNTERS) throw new EvidenceError('LimitExceeded', 'there are too many counters');
    const { counter, agent } = verifyCounterStatement(parseStatement(bytes), this.#trust);
    if (counter.nkey <= this.#nkey) throw new EvidenceError('MalformedBundle', 'counters do not follow by their keys');
    this.#nkey = counter.nkey;
    const { nkey, opened, sealed, pending, more, clock, last } = counter;
    this.counted.push({ agent, at: clock.wall, opened, sealed, pending: pending.length + more, more });
    for (const [session, segments] of pending)
      this.#claims.set(session, (this.#claims.get(session) ?? new Map<string, Claim>()).set(nkey, { segments, agent }));
    if (last !== null) this.#links.set(nkey, last);
  }

  /** Throws EvidenceError ChainBroken for a segment that its pod counted as another one. */
  check({ header, link, signer }: VerifiedSegment): void {
    this.#signers.set(header.session, signer.nkey);
    const counted = this.#links.get(signer.nkey);
    if (counted?.session === header.session && counted.number === header.number && counted.link !== link)
      throw new EvidenceError('ChainBroken', 'the pod counted another segment of this number');
  }

  /** Says of a session what its pod counted and the file has not. */
  claim(judge: SessionJudge): void {
    const claims = this.#claims.get(judge.session);
    const signer = this.#signers.get(judge.session);
    const claim = signer === undefined ? lastOf(claims) : claims?.get(signer);
    const { segments } = judge.verdict;
    if (claim !== undefined && segments < Math.max(claim.segments, 1))
      judge.fail(new EvidenceError('SegmentMissing', `segment ${segments} is missing; the pod counted ${claim.segments}`));
  }

  /** Sessions that pods counted, of which there is nothing. */
  missing(isHere: (session: string) => boolean): FileSessionVerdict[] {
    return [...this.#claims].flatMap(([session, claims]) => {
      const agent = lastOf(claims)?.agent;
      if (agent === undefined || isHere(session)) return [];
      const counters = { actions: 0, denied: 0, masked: 0, dropped: 0 };
      return [{ session, verdict: 'missing', segments: 0, records: 0, contents: 'sealed', agent, counters }];
    });
  }
}

/** That of the last counter. */
function lastOf(claims: ReadonlyMap<string, Claim> | undefined): Claim | undefined {
  return [...(claims?.values() ?? [])].at(-1);
}

function parseStatement(bytes: Buffer): CounterStatement {
  try {
    return CounterStatement.parse(JSON.parse(bytes.toString()));
  } catch (cause) {
    throw new EvidenceError('MalformedBundle', 'a counter cannot be read', { cause });
  }
}
