import type { GivenReading } from '../api.ts';
import { EvidenceError, orUndefined } from '../errors.ts';
import { decodeLeaf, type Leaf } from '../log/leaf.ts';
import { leafHash } from '../merkle.ts';
import { openReading, type ReadingLeafStatement } from '../reading.ts';
import { MAX_READINGS } from './layout.ts';

/** What a file says of who read evidence: entries of its range, and readings with their texts. */
export class FileReadings {
  readonly #isByLog: (leaf: Leaf) => boolean;
  readonly #found = new Map<number, GivenReading>();
  #last = -1;
  #taken = 0;

  constructor(isByLog: (leaf: Leaf) => boolean) {
    this.#isByLog = isByLog;
  }

  /** Takes an entry of the range, of whatever kind; one that the log did not sign says nothing. */
  remember(leaf: Leaf, index: number): void {
    if (leaf.kind === 'read' && this.#isByLog(leaf)) this.#found.set(index, said(leaf.statement, index));
  }

  /**
   * Takes a member.
   * @param prove - throws EvidenceError NotLogged unless the log has an entry with this hash at the index
   * @throws EvidenceError
   */
  take(index: number, bytes: Buffer, prove: (hash: Buffer) => void): void {
    if (index <= this.#last) throw new EvidenceError('MalformedBundle', 'readings do not follow by their entries');
    this.#last = index;
    if (this.#taken++ >= MAX_READINGS) throw new EvidenceError('LimitExceeded', 'there are too many readings');
    const end = bytes.length < 2 ? Number.POSITIVE_INFINITY : 2 + bytes.readUInt16BE();
    if (end > bytes.length) throw new EvidenceError('MalformedBundle', 'a reading ends within its entry');
    const [entry, text] = [bytes.subarray(2, end), bytes.subarray(end)];
    const leaf = orUndefined(() => decodeLeaf(entry));
    if (leaf?.kind !== 'read') throw new EvidenceError('MalformedLeaf', 'what should be a reading is another entry');
    if (!this.#isByLog(leaf)) throw new EvidenceError('SignatureInvalid', 'the log did not sign a reading');
    prove(leafHash(entry));
    const { statement } = leaf;
    this.#found.set(index, { ...said(statement, index), ...(text.length === 0 ? {} : who(text, statement)) });
  }

  /** In the order of their entries. */
  get all(): GivenReading[] {
    return [...this.#found.values()].toSorted((a, b) => a.entry - b.entry);
  }
}

function said({ session, way, at }: ReadingLeafStatement, entry: number): GivenReading {
  return { ...(session === null ? {} : { session }), way, at, entry };
}

function who(text: Buffer, statement: ReadingLeafStatement): Pick<GivenReading, 'by' | 'period'> {
  const { by, period } = openReading(text, statement);
  return { by, ...(period === undefined ? {} : { period }) };
}
