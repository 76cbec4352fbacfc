import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { visible } from '@chaperone/api/text';
import {
  EvidenceError,
  type FileSessionVerdict,
  type FileTrust,
  type FileVerdict,
  type LogSummary,
  parsePolicy,
  type SinceVerdict,
  type TrustPolicy,
  verifyEvidence,
} from '@chaperone/evidence';
import type { CollectorClient } from '../collector/client.ts';
import { CliError, EXIT, fileUnread, usage } from '../errors.ts';
import { counted, time, writeLine } from '../io.ts';
import { isStream, type StreamOutput, writeNext } from '../output.ts';
import type { Paint, Style } from '../paint.ts';
import type { ProgramOptions } from '../program.ts';
import { givenBy } from './sessions.ts';

/** Bytes of a file that are read at once. */
const READ_BYTES = 1024 * 1024;

type Word = FileSessionVerdict['verdict'];
/** What each verdict means for whoever looks at the exit code alone. */
const CLASS: Readonly<Record<Word, 'sound' | 'endless' | 'incomplete' | 'notWitnessed' | 'altered'>> = {
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

/** The bytes of a file. Throws CliError NotFound where it cannot be read. */
export async function* evidenceFile(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: READ_BYTES }) as AsyncIterable<Buffer>;
  } catch (error) {
    throw fileUnread(path, error);
  }
}

/** Throws CliError for a file that cannot be read or is no policy. */
export async function readPolicy(path: string): Promise<TrustPolicy> {
  const bytes = await contentOf(path);
  try {
    return parsePolicy(bytes);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw usage(`${path} is not a trust policy: ${error.message}`, error);
  }
}

/** What a collector says of its own log, without witnesses. */
export async function ownPolicy(client: Pick<CollectorClient, 'logKey'>): Promise<TrustPolicy> {
  return parsePolicy(Buffer.from(`log ${(await client.logKey()).trim()}\nquorum none\n`));
}

export function contentOf(path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw fileUnread(path, error);
  });
}

/** What {@link verifyEvidence} says. Throws CliError SignatureInvalid where the kept checkpoint is not one of a log that is believed. */
export async function judge(source: AsyncIterable<Uint8Array>, trust: FileTrust): Promise<FileVerdict> {
  try {
    return await verifyEvidence(source, trust);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new CliError('SignatureInvalid', `the checkpoint that was kept: ${error.message}`, {
      cause: error,
      exit: EXIT.checkSaysNo,
    });
  }
}

export interface ReportOptions {
  /** What was verified, where that is a file. */
  readonly file?: string;
  readonly output: 'table' | StreamOutput;
  readonly paint: Paint;
  /** Anything but a session from its beginning to its end is a no. */
  readonly complete: boolean;
  /** Sessions that the file leaves out whole are no no. */
  readonly partial: boolean;
}

/** Altered before not proven before incomplete: what weighs most is what the exit code says. */
function exitOf(found: FileVerdict, { complete, partial }: Pick<ReportOptions, 'complete' | 'partial'>): number {
  const words = found.sessions.filter(({ verdict }) => !partial || verdict !== 'not exported');
  const classes = new Set(words.map(({ verdict }) => CLASS[verdict]));
  const since = found.log?.since?.verdict;
  if (found.verdict === 'altered' || since === 'rewritten' || classes.has('altered')) return EXIT.checkSaysNo;
  if (found.log?.quorum === 'missing' || since === 'not proven' || classes.has('notWitnessed')) return EXIT.notWitnessed;
  if (found.verdict === 'empty' || classes.has('incomplete') || (complete && classes.has('endless'))) return EXIT.incomplete;
  return EXIT.ok;
}

/** Says a line of the file, where it is one, and one for each session; the exit code is set before the first one is written. */
export async function report(
  found: FileVerdict,
  options: ReportOptions,
  { io, exit }: Pick<ProgramOptions, 'io' | 'exit'>,
): Promise<void> {
  exit(exitOf(found, options));
  const { output, paint, file } = options;
  const { sessions, ...about } = found;
  const isSaid = file !== undefined || found.verdict !== 'sound';
  // Whoever reads one word of it must not take for proven what is not.
  const isWitnessed = found.verdict !== 'sound' || found.log?.quorum !== 'missing';
  const word = isWitnessed ? found.verdict : 'not witnessed';
  if (isStream(output)) {
    if (isSaid) await writeNext(io, output, { ...(file === undefined ? {} : { file }), ...about, verdict: word });
    for (const each of sessions) await writeNext(io, output, each);
    return;
  }
  if (isSaid) {
    const painted = paint(word === 'sound' ? 'good' : 'bad', word);
    await writeLine(io.out, `${visible(file ?? 'the evidence')}  ${painted}: ${visible(fileFindings(found))}`);
  }
  for (const each of sessions) {
    const painted = paint(styleOf(each), each.verdict);
    await writeLine(io.out, `${visible(each.session)}  ${painted}: ${visible(findings(each))}${visible(contentsOf(each))}`);
  }
}

function fileFindings({ verdict, break: found, log, counters = [], readings = [] }: FileVerdict): string {
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
  const times = first === null || last === null ? '' : `, of ${time(first)} to ${time(last)}`;
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
  return `${number} ${number === 1 ? 'entry' : 'entries'}`;
}

function styleOf({ verdict }: FileSessionVerdict): Style {
  const found = CLASS[verdict];
  if (found === 'sound') return 'good';
  return found === 'endless' ? 'warn' : 'bad';
}

/** Of what the file has nothing. */
const ABSENT: Partial<Record<Word, (verdict: FileSessionVerdict) => string>> = {
  'not exported': ({ logged = 0 }) => `the log has ${entries(logged)} of it, and the file has none (EvidenceIncomplete)`,
  missing: ({ agent }) =>
    `pod ${agent?.pod ?? agent?.serviceAccount ?? ''} of ${agent?.namespace ?? ''} counted it, and nothing of it is in the log up to here (EvidenceIncomplete)`,
  erased: ({ logged = 0 }) => `the log has ${entries(logged)} of it, and the file has none`,
};

/** What follows the word of the verdict. */
function findings(verdict: FileSessionVerdict): string {
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
  const end = NO_END[verdict.verdict] ?? '';
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
  open: '; no end is seen: the session goes on, its end has not arrived, or segments after these were cut off, which these cannot tell (--complete to insist on an end)',
  interrupted: '; no end is seen: the recording process ended before the session did',
  'not witnessed': '; fewer witnesses than the policy asks for have cosigned the log (QuorumMissing)',
};
