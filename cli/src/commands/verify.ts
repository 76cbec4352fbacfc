import { readFile } from 'node:fs/promises';
import { visible } from '@chaperone/api/text';
import { type BundleEntry, EvidenceError, type GivenOrder, readBundle, type SessionVerdict } from '@chaperone/evidence';
import { CliError, EXIT, fileUnread } from '../errors.ts';
import { counted, writeLine } from '../io.ts';
import { isStream, type StreamOutput, writeNext } from '../output.ts';
import type { Paint, Style } from '../paint.ts';
import type { ProgramOptions } from '../program.ts';
import { givenBy } from './sessions.ts';

/** Verdicts that say that all is well as far as it goes; every other one ends the command with 3. */
const SOUND: ReadonlySet<SessionVerdict['verdict']> = new Set(['complete', 'open', 'interrupted']);

/** The segments of an exported file, of every session in it or of the one whose name begins so. */
export async function readEvidenceFile(path: string, name: string | undefined): Promise<BundleEntry[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileUnread(path, error);
  });
  const entries = entriesOf(path, text);
  if (name === undefined) return entries;
  const found = entries.filter(({ session }) => session.startsWith(name));
  const sessions = [...new Set(found.map(({ session }) => session))];
  if (sessions.length === 0)
    throw new CliError('NotFound', `${path} holds no session ${name}`, {
      exit: EXIT.notFound,
      why: `the file has ${counted(new Set(entries.map(({ session }) => session)).size, 'session')}, and none whose name begins so; exit code 5`,
      fix: ['leave the name out to verify all that it has'],
    });
  if (sessions.length > 1)
    throw new CliError('AmbiguousName', `${name} fits ${sessions.length} sessions: ${sessions.slice(0, 10).join(', ')}`, {
      exit: EXIT.usage,
    });
  return found;
}

function entriesOf(path: string, text: string): BundleEntry[] {
  try {
    const { entries } = readBundle(text);
    if (entries.length > 0) return entries;
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new CliError('MalformedBundle', `${path}: ${error.message}`, { cause: error, exit: EXIT.checkSaysNo });
  }
  throw new CliError('EvidenceIncomplete', `${path} holds no evidence`, { exit: EXIT.checkSaysNo });
}

export interface ReportOptions {
  readonly output: 'table' | StreamOutput;
  readonly paint: Paint;
  /** Anything but a session from its beginning to its end is a no. */
  readonly complete: boolean;
  /** By which what the records said was made unreadable. */
  readonly erasure?: GivenOrder | undefined;
}

/** Says a line for each session; the exit code is set before the first one is written. */
export async function report(
  verdicts: readonly SessionVerdict[],
  { output, paint, complete, erasure }: ReportOptions,
  { io, exit }: Pick<ProgramOptions, 'io' | 'exit'>,
): Promise<void> {
  const good = ({ verdict }: SessionVerdict): boolean => (complete ? verdict === 'complete' : SOUND.has(verdict));
  exit(verdicts.length > 0 && verdicts.every(good) ? EXIT.ok : EXIT.checkSaysNo);
  for (const verdict of verdicts) {
    if (isStream(output)) await writeNext(io, output, erasure === undefined ? verdict : { ...verdict, erasure });
    else {
      const word = paint(styleOf(verdict), verdict.verdict);
      await writeLine(
        io.out,
        `${visible(verdict.session)}  ${word}: ${visible(findings(verdict))}${visible(contentsOf(verdict, erasure))}`,
      );
    }
  }
}

function styleOf({ verdict }: SessionVerdict): Style {
  if (!SOUND.has(verdict)) return 'bad';
  return verdict === 'complete' ? 'good' : 'warn';
}

/** What follows the word of the verdict. */
function findings(verdict: SessionVerdict): string {
  const { segments, records, counters, agent } = verdict;
  const size = `${counted(records, 'record')}, ${counted(segments, 'segment')}`;
  if (verdict.break !== undefined) {
    const { segment, record, message } = verdict.break;
    const where = record === undefined ? `segment ${segment}` : `record ${record} in segment ${segment}`;
    const code = verdict.verdict === 'incomplete' ? 'EvidenceIncomplete' : 'EvidenceAltered';
    return `${where}: ${message}; all before it is intact (${size}) (${code})`;
  }
  const signed = agent === undefined ? '' : `, signed for ${agent.namespace}/${agent.pod ?? agent.serviceAccount}`;
  const masked = `${counted(counters.masked, 'value')} masked`;
  const dropped = counters.dropped > 0 ? `, ${counted(counters.dropped, 'record')} dropped` : '';
  const end = NO_END[verdict.verdict] ?? '';
  return `${size}${signed}; ${counted(counters.actions, 'action')}, ${counters.denied} denied, ${masked}${dropped}${end}`;
}

/** What of it nobody has looked at, and why. */
function contentsOf({ contents, break: found }: SessionVerdict, erasure: GivenOrder | undefined): string {
  if (erasure !== undefined) return `; erased ${givenBy(erasure)}: headers and counts are proven, what was recorded is gone`;
  return contents === 'sealed' && found === undefined ? '; what the records say is sealed and was not looked at' : '';
}

/** What a sound beginning says nothing of. */
const NO_END: Partial<Record<SessionVerdict['verdict'], string>> = {
  open: '; no end is seen: the session goes on, its end has not arrived, or segments after these were cut off, which these cannot tell (--complete to insist on an end)',
  interrupted: '; no end is seen: the recording process ended before the session did',
};
