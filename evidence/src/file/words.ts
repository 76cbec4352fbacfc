import type { GivenOrder } from '../api.ts';
import { timeOf } from '../time.ts';
import type { FileSessionVerdict, FileVerdict, LogSummary, SinceVerdict } from './verify-file.ts';

/*
 * Verdicts as sentences: the command line and the page say the same.
 */
type Word = FileSessionVerdict['verdict'];
/** sound: all is well · endless: right so far, and no end is seen · the others: what is wrong. */
export type VerdictClass = 'sound' | 'endless' | 'incomplete' | 'notWitnessed' | 'altered';
const CLASS: Readonly<Record<Word, VerdictClass>> = {
  complete: 'sound',
  erased: 'sound',
  open: 'endless',
  interrupted: 'endless',
  'gap declared': 'incomplete',
  incomplete: 'incomplete',
  'not exported': 'incomplete',
  missing: 'incomplete',
  'not witnessed': 'notWitnessed',
  'not in the log': 'notWitnessed',
  altered: 'altered',
};

/** What a session's verdict means for whoever looks at one thing alone. */
export function classOf(word: Word): VerdictClass {
  return CLASS[word];
}

/** One word of a file: whoever reads no more must not take for proven what is not. */
export function fileWord({ verdict, log }: FileVerdict): FileVerdict['verdict'] | 'not witnessed' {
  return verdict === 'sound' && log?.quorum === 'missing' ? 'not witnessed' : verdict;
}

/** What follows {@link fileWord}. It holds what the file says, which may be anything: whoever shows it makes it visible. */
export function fileFindings({ verdict, break: found, log, counters = [], readings = [] }: FileVerdict): string {
  if (found !== undefined)
    return `${found.member === undefined ? '' : `${found.member}: `}${found.message} (${found.code}); nothing is said of its sessions`;
  const unnamed = counters.reduce((sum, { more }) => sum + more, 0);
  const uncounted = unnamed === 0 ? '' : `; pods had ${unnamed} more unfinished sessions than they named`;
  const read = readings.length === 0 ? '' : `; ${entries(readings.length)} of who read evidence`;
  const about = log === undefined ? '' : logFindings(log) + uncounted + read;
  return verdict === 'empty' ? `it holds no evidence (EvidenceIncomplete); ${about}` : about;
}

function logFindings({ origin, size, quorum, witnesses, since, range }: LogSummary): string {
  const names = Object.keys(witnesses);
  const by = names.length === 0 ? 'no witness' : names.join(', ');
  return [
    `log ${origin} of ${entries(size)}, cosigned by ${by}${quorum === 'met' ? '' : ', which is fewer than the policy asks for (QuorumMissing)'}`,
    ...(range === undefined ? [] : [rangeFindings(range)]),
    ...(since === undefined ? [] : [SINCE[since.verdict](since, size)]),
  ].join('; ');
}

function rangeFindings({ from, to, first, last }: NonNullable<LogSummary['range']>): string {
  const times = first === null || last === null ? '' : `, of ${timeOf(first)} to ${timeOf(last)}`;
  return `every entry from ${from} to ${to - 1} is here${times}`;
}

const SINCE: Readonly<Record<SinceVerdict['verdict'], (since: SinceVerdict, size: number) => string>> = {
  'append-only': ({ size }) => `append-only since the ${entries(size)} of the kept checkpoint`,
  rewritten: ({ size }) => `the first ${entries(size)} are not those of the kept checkpoint (EvidenceAltered)`,
  'not proven': ({ size }, here) =>
    size > here
      ? `the kept checkpoint is of ${entries(size)}, and this file of ${here}: give the one that the export was given (ProofInvalid)`
      : `nothing in the file says whether it goes on from the ${entries(size)} of the kept checkpoint; export it with --since (ProofInvalid)`,
};

function entries(number: number): string {
  return counted(number, 'entry', 'entries');
}

function counted(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** Who gave an order, when and why, as far as that is still known. */
export function givenBy({ at, by, reason, entry }: Omit<GivenOrder, 'kind'>): string {
  const why = reason === undefined ? '' : `: ${reason}`;
  return `${timeOf(at)} by ${by ?? 'somebody who was forgotten'}${why} (entry ${entry} of the log)`;
}

/** Of what the file has nothing. */
const ABSENT: Partial<Record<Word, (verdict: FileSessionVerdict) => string>> = {
  'not exported': ({ logged = 0 }) => `the log has ${entries(logged)} of it, and the file has none (EvidenceIncomplete)`,
  missing: ({ agent }) =>
    `pod ${agent?.pod ?? agent?.serviceAccount ?? ''} of ${agent?.namespace ?? ''} counted it, and nothing of it is in the log up to here (EvidenceIncomplete)`,
  erased: ({ logged = 0 }) => `the log has ${entries(logged)} of it, and the file has none`,
};

/**
 * What follows the word of a session's verdict; as hostile as {@link fileFindings}.
 * @param insist - how to have a session without its end refused
 */
export function sessionFindings(verdict: FileSessionVerdict, insist?: string): string {
  return findings(verdict, insist) + contentsOf(verdict);
}

function findings(verdict: FileSessionVerdict, insist: string | undefined): string {
  const { segments, records, counters, agent } = verdict;
  const absent = ABSENT[verdict.verdict];
  if (absent !== undefined) return absent(verdict);
  const size = `${counted(records, 'record')}, ${counted(segments, 'segment')}`;
  if (verdict.break !== undefined) {
    const { segment, record, message, code } = verdict.break;
    const where = record === undefined ? `segment ${segment}` : `record ${record} in segment ${segment}`;
    return `${where}: ${message}; all before it is intact (${size}) (${BREAK_CODES[verdict.verdict] ?? code})`;
  }
  const signed = agent === undefined ? '' : `, signed for ${agent.namespace}/${agent.pod ?? agent.serviceAccount}`;
  const masked = `${counted(counters.masked, 'value')} masked`;
  const dropped = counters.dropped > 0 ? `, ${counted(counters.dropped, 'record')} dropped` : '';
  const hint = verdict.verdict === 'open' && insist !== undefined ? ` (${insist})` : '';
  const end = (NO_END[verdict.verdict] ?? '') + hint;
  return `${size}${signed}; ${counted(counters.actions, 'action')}, ${counters.denied} denied, ${masked}${dropped}${end}`;
}

const BREAK_CODES: Partial<Record<Word, string>> = { incomplete: 'EvidenceIncomplete', altered: 'EvidenceAltered' };

/** What of it nobody has looked at, and why. */
function contentsOf({ contents, break: found, erasure, segments }: FileSessionVerdict): string {
  if (erasure !== undefined) {
    const left =
      contents === 'verified'
        ? 'its key is here all the same'
        : 'headers and counts are proven, what was recorded cannot be read from here';
    return `; erased ${givenBy(erasure)}${segments === 0 ? '' : `: ${left}`}`;
  }
  const isSealed = contents === 'sealed' && found === undefined && segments > 0;
  return isSealed ? '; what the records say is sealed and was not looked at' : '';
}

/** What a sound beginning says nothing of. */
const NO_END: Partial<Record<Word, string>> = {
  open: '; no end is seen: the session goes on, its end has not arrived, or segments after these were cut off, which these cannot tell',
  interrupted: '; no end is seen: the recording process ended before the session did',
  'not witnessed': '; fewer witnesses than the policy asks for have cosigned the log (QuorumMissing)',
};
