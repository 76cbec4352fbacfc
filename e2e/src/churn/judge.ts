import { KINDS, type Kind, type KindOfStep, type Seen } from './model.ts';

/** A step from its beginning until what it did is over. */
export interface Window {
  readonly kind: Kind | 'begun';
  readonly subject: string;
  readonly from: number;
  readonly to: number;
}
/** For so long these answers, and no others, are right: what was changed is in force. */
export interface Phase {
  readonly from: number;
  readonly to: number;
  readonly answers: Readonly<Record<string, string>>;
}
export interface Judgement {
  /** Answers of agents that were as they should be. */
  readonly right: number;
  /** By kind of step and what was seen: how often. */
  readonly explained: ReadonlyMap<Window['kind'], ReadonlyMap<string, number>>;
  readonly unexplained: readonly Seen[];
}
export interface Judged {
  readonly seen: readonly Seen[];
  readonly windows: readonly Window[];
  readonly phases: readonly Phase[];
  /** By query: what an agent says of it where nothing is changed. */
  readonly answers: Readonly<Record<string, string>>;
  /** What nobody may ever say. */
  readonly secrets: RegExp;
}

/** Tells what a model explains from what nothing does. */
export function judge({ seen, windows, phases, answers, secrets }: Judged): Judgement {
  let right = 0;
  const explained = new Map<Window['kind'], Map<string, number>>();
  const unexplained: Seen[] = [];
  for (const each of seen) {
    const leaks = secrets.test(each.what);
    if (!leaks && isRight(each, phases, answers)) {
      right += 1;
      continue;
    }
    const window = leaks ? undefined : explain(windows, each);
    if (window === undefined) unexplained.push(each);
    else count(explained, window.kind, each);
  }
  return { right, explained, unexplained };
}

/** The latest step that explains what was seen; undefined where none does. */
export function explain(windows: readonly Window[], seen: Seen): Window | undefined {
  return windows.findLast(
    (window) =>
      window.from <= seen.to && seen.from <= window.to && signsOf(window.kind).some((sign) => shows(sign, window, seen)),
  );
}

const signsOf = (kind: Window['kind']): KindOfStep['explains'] => (kind === 'begun' ? BEGINNING : KINDS[kind].explains);
/** A pod that is ready is served within a minute. */
const BEGINNING: KindOfStep['explains'] = [{ source: 'agent', name: '$', what: /^unopened / }];

function shows(sign: KindOfStep['explains'][number], { subject }: Window, { source, name, what }: Seen): boolean {
  return sign.source === source && isOf(name, (sign.name ?? '').replace('$', subject)) && sign.what.test(what);
}

/** Whether a pod is the one that is named, or made by it; `pod-1` is not of `pod-12`. */
const isOf = (pod: string, owner: string): boolean =>
  owner === '' || pod === owner || (/^[-/]/.test(pod.slice(owner.length)) && pod.startsWith(owner));

/** Whether an agent saw what it should: while a change is in force what that brings, else what is always so. */
function isRight({ source, what, from, to }: Seen, phases: readonly Phase[], answers: Judged['answers']): boolean {
  if (source !== 'agent') return false;
  const query = what.slice(0, Math.max(0, what.indexOf(' ')));
  const phase = phases.find((each) => each.from <= from && to <= each.to && each.answers[query] !== undefined);
  return what === `${query} ${(phase?.answers ?? answers)[query]}`;
}

/** What is the same but for names, numbers, and what was sent or meant. */
export const sortOf = (text: string): string =>
  text
    .replaceAll(/="[^"]*"/g, '=…')
    .replaceAll(/[\w-]*\d[\w.:-]*/g, '…')
    .slice(0, 160);

function count(into: Map<Window['kind'], Map<string, number>>, kind: Window['kind'], { source, what }: Seen): void {
  const counts = into.get(kind) ?? new Map<string, number>();
  const sort = `${source}: ${sortOf(what)}`;
  counts.set(sort, (counts.get(sort) ?? 0) + 1);
  into.set(kind, counts);
}
