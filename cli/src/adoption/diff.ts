import { readObjects } from '@chaperone/sidecar';
import { EXIT } from '../errors.ts';
import { age, counted, type Io, table, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import type { Paint } from '../paint.ts';
import { Comparison, type Difference, type UntoldGroup } from './difference.ts';
import { seenActions, type SessionCount, type SessionSource, type Wanted } from './seen.ts';
import { type Outcome, Side } from './side.ts';
import { WHY } from './why.ts';

export interface DiffOptions {
  /** Directories or files of manifests. */
  readonly before: string;
  readonly after: string;
  readonly wanted: Wanted;
  /** Of the agents; absent: not known. */
  readonly labels: Readonly<Record<string, string>> | undefined;
  readonly output: 'table' | DocumentOutput;
  readonly paint: Paint;
}

/** Of `policy diff`: as of diff. What cannot be told is no sameness. */
const DIFF_EXIT = { same: EXIT.ok, differs: 1, trouble: 2 } as const;

/**
 * Judges what was recorded by two sets of policies and says where they differ.
 * @returns the exit code: 0 where every action was judged alike, 1 where some were not, 2 where none was judged otherwise and of some,
 *   or of some sessions, it cannot be told
 */
export async function diffPolicies(sources: AsyncIterable<SessionSource>, options: DiffOptions, io: Io): Promise<number> {
  const { before, after, labels, wanted } = options;
  const [old, fresh] = [await readObjects(before), await readObjects(after)];
  const comparison = new Comparison(new Side(old, fresh, labels), new Side(fresh, old, labels));
  const sessions: SessionCount = { read: 0, unread: new Map() };
  for await (const seen of seenActions(sources, wanted, sessions)) comparison.take(seen);
  if (options.output === 'table') await writeText(comparison, sessions, options.paint, io);
  else await writeDocument(io, options.output, documentOf(comparison, sessions));
  if (comparison.differences.length > 0) return DIFF_EXIT.differs;
  return comparison.untold.length > 0 || sessions.unread.size > 0 ? DIFF_EXIT.trouble : DIFF_EXIT.same;
}

function documentOf({ same, differences, untold, beside }: Comparison, { read, unread }: SessionCount): object {
  return {
    same: same.actions,
    sameByOtherRule: same.byOther,
    differences,
    untold,
    notCompared: beside,
    sessions: { read, unread: [...unread].map(([why, count]) => ({ why, count })) },
  };
}

async function writeText(comparison: Comparison, sessions: SessionCount, paint: Paint, io: Io): Promise<void> {
  const { differences, untold } = comparison;
  const rows = differences.map((each) => [outcomeText(each.was), outcomeText(each.wouldBe), ...lineText(each, io.now())]);
  if (rows.length > 0)
    await writeLine(
      io.out,
      table(['WAS', 'WOULD BE', ...LINE], rows, (cell, head) => paint(styleOf(cell, head), cell)),
    );
  if (untold.length > 0) {
    if (rows.length > 0) await writeLine(io.out, '');
    await writeLine(
      io.out,
      table(
        ['CANNOT BE TOLD', ...LINE],
        untold.map((each) => [WHY[each.why], ...lineText(each, io.now())]),
      ),
    );
  }
  if (rows.length > 0 || untold.length > 0) await writeLine(io.out, '');
  for (const line of summaryText(comparison, sessions)) await writeLine(io.out, line);
}

function summaryText({ same, differences, untold, beside }: Comparison, { read, unread }: SessionCount): string[] {
  const opened = sum(differences.filter(({ opens }) => opens));
  const by = same.byOther === 0 ? '' : ` (${same.byOther} by another rule or for another reason)`;
  return [
    `${counted(read, 'session')}: ${counted(same.actions, 'action')} judged alike${by}, ${sum(differences)} otherwise, of these ${opened} let through further than before; ${sum(untold)} cannot be told.`,
    ...[...unread].map(([why, count]) => `${counted(count, 'session')} not read, or not whole: ${why}.`),
    ...(beside.length === 0 ? [] : [`They differ in ${beside.join(', ')} too, which is not compared.`]),
  ];
}

/** Actions of all lines. */
function sum(list: readonly { readonly count: number }[]): number {
  return list.reduce((total, { count }) => total + count, 0);
}

const LINE = ['COUNT', 'LAST', 'RESOURCE', 'ACTION', 'SESSIONS'];

function lineText({ count, lastSeen, resource, action, sessions }: Difference | UntoldGroup, now: number): string[] {
  return [String(count), age(lastSeen, now), resource, action, sessions.join(', ')];
}

const STYLES = { allow: 'bad', audit: 'warn', approve: 'warn' } as const;

/** What is let through from now on is what somebody has to look at. */
function styleOf(cell: string, head: string): 'bad' | 'warn' | undefined {
  const word = cell.split(' ', 1)[0] ?? '';
  return head === 'WOULD BE' && Object.hasOwn(STYLES, word) ? STYLES[word as keyof typeof STYLES] : undefined;
}

/** `allow`, `deny by never (DeniedByRule)`, `deny (NoRuleAllows)`. */
function outcomeText({ word, code, rule }: Outcome): string {
  return `${word}${rule === undefined ? '' : ` by ${rule}`}${code === 'Allowed' ? '' : ` (${code})`}`;
}
