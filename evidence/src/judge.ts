import type { DataKey } from './data-key.ts';
import { EvidenceError } from './errors.ts';
import { type Registration, RememberingTrust, type Trust } from './keys.ts';
import { type VerifiedSegment, verifyLink, verifySegment } from './verify.ts';

/**
 * complete: opened, closed, nothing missing · open: sound so far, no end seen · interrupted: sound, but its recording process
 * ended before the session did · gap declared: sound, and says itself that records were dropped · incomplete: segments are
 * missing · altered: something does not match what was signed · not in the log: sound so far, and the log does not prove a segment.
 */
export type Verdict = 'complete' | 'open' | 'interrupted' | 'gap declared' | 'incomplete' | 'altered' | 'not in the log';

/** The first thing that is wrong. `record` is the record's `seq`, where one record can be named. */
export interface Break {
  readonly segment: number;
  readonly record?: number;
  readonly code: string;
  readonly message: string;
}

export interface SessionVerdict<Word extends string = Verdict> {
  readonly session: string;
  readonly verdict: Word;
  /** Sound segments and records before the first break, or all. */
  readonly segments: number;
  readonly records: number;
  /** Whether the records were read and are those that were signed, or nobody had the key to look. */
  readonly contents: 'verified' | 'sealed';
  readonly agent?: Registration['agent'];
  readonly break?: Break;
  readonly counters: { readonly actions: number; readonly denied: number; readonly masked: number; readonly dropped: number };
}

const NOTHING = { actions: 0, denied: 0, masked: 0, dropped: 0 };

/**
 * Judges one session from its segments, one after another, trusting nothing but `trust`; its records too where its data key is there,
 * and without it all but what they say. What comes after the first break is not looked at. Whether later segments exist that nobody handed over cannot be told here; a session without its end is never complete.
 */
export class SessionJudge {
  readonly session: string;
  readonly #trust: Trust;
  #key: DataKey | undefined;
  #previous: VerifiedSegment | undefined;
  #break: Break | undefined;
  #segments = 0;
  #records = 0;

  constructor(session: string, trust: Trust, key?: DataKey) {
    this.session = session;
    this.#trust = trust;
    this.#key = key;
  }

  /** Has the records of the segments that follow read too. */
  unlock(key: DataKey): void {
    this.#key = key;
  }

  /**
   * Takes the next segment.
   * @param bytes - none where it is known of and gone
   * @param prove - what else has to hold of it; throws EvidenceError
   * @param number - under which it was handed over
   */
  take(bytes: Buffer, prove: (segment: VerifiedSegment) => void = () => undefined, number = this.#segments): void {
    if (this.#break !== undefined) return;
    try {
      this.#checkNumber(number);
      if (bytes.length === 0) throw new EvidenceError('SegmentMissing', `segment ${number} is missing`);
      const segment = verifySegment(bytes, this.#trust, this.#key);
      if (segment.header.session !== this.session)
        throw new EvidenceError('SegmentMisplaced', 'a segment of another session stands here');
      this.#checkNumber(segment.header.number);
      if (this.#previous !== undefined) verifyLink(this.#previous, segment);
      prove(segment);
      this.#previous = segment;
      this.#records += segment.header.records.count;
      this.#segments++;
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      this.fail(error);
    }
  }

  /** Says what is wrong with the segment that comes next, where nothing was wrong before. */
  fail({ code, message, record }: EvidenceError): void {
    const at = record === undefined ? {} : { record: this.#records + record };
    this.#break ??= { segment: this.#segments, ...at, code, message };
  }

  #checkNumber(number: number): void {
    const next = this.#segments;
    if (number > next)
      throw new EvidenceError('SegmentMissing', `segment ${next} is missing; segment ${number} stands in its place`);
    if (number < next) throw new EvidenceError('SegmentMisplaced', `segment ${number} stands where ${next} belongs`);
  }

  get verdict(): SessionVerdict {
    const last = this.#previous;
    return {
      session: this.session,
      verdict: this.#break === undefined ? endOf(last) : wordOf(this.#break),
      segments: this.#segments,
      records: this.#records,
      contents: this.#key === undefined ? 'sealed' : 'verified',
      ...(last === undefined ? {} : { agent: last.signer.agent }),
      ...(this.#break === undefined ? {} : { break: this.#break }),
      counters: last?.header.counters ?? NOTHING,
    };
  }
}

function wordOf({ code }: Break): Verdict {
  if (code === 'SegmentMissing') return 'incomplete';
  return code === 'NotLogged' ? 'not in the log' : 'altered';
}

function endOf(last: VerifiedSegment | undefined): Verdict {
  if (last === undefined) return 'incomplete';
  if (last.header.counters.dropped > 0) return 'gap declared';
  if (last.header.flags.includes('close')) return 'complete';
  return last.header.flags.includes('torn') ? 'interrupted' : 'open';
}

/** The verdict on a session of which all segments are at hand, in order. Never throws for bad evidence. */
export function verifyChain(session: string, segments: Iterable<Buffer>, trust: Trust, key?: DataKey): SessionVerdict {
  const judge = new SessionJudge(session, new RememberingTrust(trust), key);
  for (const bytes of segments) judge.take(bytes);
  return judge.verdict;
}
