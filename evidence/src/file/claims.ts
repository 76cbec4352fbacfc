import { CounterStatement, verifyCounterStatement } from '../counter.ts';
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

/** What pods counted: which sessions have to be here, and how much of each. */
export class Claims {
  readonly counted: PodCount[] = [];
  readonly #trust: Trust;
  readonly #claims = new Map<string, { readonly segments: number; readonly agent: Registration['agent'] }>();
  readonly #links = new Map<string, { readonly number: number; readonly link: string }>();
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
    const { opened, sealed, pending, more, clock, last } = counter;
    this.counted.push({ agent, at: clock.wall, opened, sealed, pending: pending.length + more, more });
    for (const [session, segments] of pending) this.#claims.set(session, { segments, agent });
    if (last !== null) this.#links.set(last.session, last);
  }

  /** Throws EvidenceError ChainBroken for a segment that its pod counted as another one. */
  check({ header, link }: VerifiedSegment): void {
    const counted = this.#links.get(header.session);
    if (counted?.number === header.number && counted.link !== link)
      throw new EvidenceError('ChainBroken', 'the pod counted another segment of this number');
  }

  /** Says of a session what its pod counted and the file has not. */
  claim(judge: SessionJudge): void {
    const claim = this.#claims.get(judge.session);
    const { segments } = judge.verdict;
    if (claim !== undefined && segments < Math.max(claim.segments, 1))
      judge.fail(new EvidenceError('SegmentMissing', `segment ${segments} is missing; the pod counted ${claim.segments}`));
  }

  /** Sessions that pods counted, of which there is nothing. */
  missing(isHere: (session: string) => boolean): FileSessionVerdict[] {
    return [...this.#claims]
      .filter(([session]) => !isHere(session))
      .map(([session, { agent }]) => ({
        session,
        verdict: 'missing',
        segments: 0,
        records: 0,
        contents: 'sealed',
        agent,
        counters: { actions: 0, denied: 0, masked: 0, dropped: 0 },
      }));
  }
}

function parseStatement(bytes: Buffer): CounterStatement {
  try {
    return CounterStatement.parse(JSON.parse(bytes.toString()));
  } catch (cause) {
    throw new EvidenceError('MalformedBundle', 'a counter cannot be read', { cause });
  }
}
