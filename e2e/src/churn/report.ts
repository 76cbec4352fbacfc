import { type Judgement, sortOf } from './judge.ts';
import { KINDS, type Kind, LANES, type Seen } from './model.ts';

export interface Run {
  readonly date: string;
  readonly commit: string;
  readonly seed: number;
  readonly minutes: number;
  /** Steps that were begun. */
  readonly steps: readonly { readonly kind: Kind }[];
  readonly judgement: Judgement;
  readonly evidence: { readonly sessions: number; readonly actions: number; readonly verdicts: ReadonlyMap<string, number> };
  /** Of each container that is there all the time, in the beginning and in the end. */
  readonly mib: readonly { readonly container: string; readonly before: number; readonly after: number }[];
  readonly warned: ReadonlyMap<string, number>;
  readonly loads: readonly [number, number];
}

export const HEAD = [
  'date',
  'commit',
  'seed',
  'minutes',
  'steps',
  'answers',
  'sessions',
  'actions',
  'verdicts',
  'explained',
  'unexplained',
  'load',
];

const sum = (counts: Iterable<number>): number => [...counts].reduce((all, each) => all + each, 0);
const line = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [line(head), line(head.map(() => '---')).replaceAll(' ', ''), ...rows.map(line)].join('\n');
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ').replaceAll('`', "'");

/** A line of the table of all runs. */
export function row({ date, commit, seed, minutes, steps, judgement, evidence, loads }: Run): string[] {
  const explained = sum([...judgement.explained.values()].map((counts) => sum(counts.values())));
  const verdicts = [...evidence.verdicts].map(([verdict, count]) => `${count} ${verdict}`).join(', ');
  const counts = [seed, minutes, steps.length, judgement.right, evidence.sessions, evidence.actions];
  const load = loads.map((each) => each.toFixed(0)).join('–');
  return [date, commit, ...counts.map(String), verdicts, String(explained), String(judgement.unexplained.length), load];
}

/** What was done and seen, as the page shows it of one run. */
export function describe(run: Run): string {
  const { judgement, steps, mib, warned } = run;
  const kinds = LANES.flatMap((lane) => (Object.keys(KINDS) as Kind[]).filter((kind) => KINDS[kind].lane === lane));
  const done = kinds.map((kind) => {
    const seen = [...(judgement.explained.get(kind) ?? [])].toSorted(([, one], [, other]) => other - one);
    const what = seen.map(([each, count]) => `${count} × \`${cell(each)}\``).join('; ');
    return [KINDS[kind].does, steps.filter((each) => each.kind === kind).length, what || '–'];
  });
  const begun = sum((judgement.explained.get('begun') ?? new Map<string, number>()).values());
  return [
    table(['step', 'times', 'what it explains of what was seen'], done),
    `Before their first answer new agents were refused a session ${begun} times.`,
    table(
      ['container', 'MiB before', 'MiB after'],
      mib.map(({ container, before, after }) => [container, before, after]),
    ),
    warned.size === 0
      ? 'No part logged a warning.'
      : table(
          ['warning', 'times'],
          [...warned].map(([what, count]) => [`\`${cell(what)}\``, count]),
        ),
    judgement.unexplained.length === 0
      ? 'Nothing is unexplained.'
      : table(['unexplained', 'times', 'first'], unexplained(judgement.unexplained)),
  ].join('\n\n');
}

const MOST_ROWS = 60;
function unexplained(seen: readonly Seen[]): (string | number)[][] {
  const sorts = new Map<string, { count: number; first: number }>();
  for (const { source, name, what, from } of seen) {
    const sort = `${source} ${sortOf(name)}: ${sortOf(what)}`;
    const found = sorts.get(sort) ?? { count: 0, first: from };
    sorts.set(sort, { ...found, count: found.count + 1 });
  }
  return [...sorts]
    .slice(0, MOST_ROWS)
    .map(([sort, { count, first }]) => [`\`${cell(sort)}\``, count, new Date(first).toISOString().slice(11, 19)]);
}
