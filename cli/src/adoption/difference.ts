import { type Access, describeEffect } from '@chaperone/policy';
import { CliError } from '../errors.ts';
import type { SeenAction } from './seen.ts';
import type { Outcome, Side, Unjudged, Word } from './side.ts';

/** Actions that are alike and change alike. */
export interface Difference {
  readonly resource: string;
  readonly action: string;
  readonly was: Outcome;
  readonly wouldBe: Outcome;
  /** It lets through more than before. */
  readonly opens: boolean;
  count: number;
  /** ms since 1970 */
  lastSeen: number;
  /** The first of those that have one. */
  readonly sessions: string[];
}

/** Actions of which nobody can tell. */
export type UntoldGroup = Pick<Difference, 'resource' | 'action' | 'count' | 'lastSeen' | 'sessions'> & {
  readonly why: Unjudged;
};

/** Sessions that are named of a line. */
const MAX_SESSIONS = 5;
/** Lines of an answer, far more than anybody reads; what has more is to be narrowed. */
const MAX_LINES = 20_000;
/** Characters of what a line says of an action. */
const MAX_ACTION = 200;

/** From what lets nothing through to what lets through without asking. */
const RANK: Readonly<Record<Word, number>> = { deny: 0, approve: 1, audit: 2, allow: 3 };

/** What of an access bears on what happens to an action, beside its rules. */
const BESIDE = [
  'reveal',
  'sensitive',
  'masking',
  'inference',
  'limits',
  'recording',
  'identity',
  'disclosure',
  'searchPath',
] as const;

/** Gathers what two sides say of the same actions. Memory is bounded by the kinds of difference, not by the actions. */
export class Comparison {
  readonly #old: Side;
  readonly #new: Side;
  readonly #differences = new Map<string, Difference>();
  readonly #untold = new Map<string, UntoldGroup>();
  readonly #beside = new Set<string>();
  /** Accesses that were compared with the other side's of the same agent, resource and purpose. */
  readonly #compared = new WeakSet<Access>();
  /** Judged alike by both; `byOther` of them by another rule or for another reason. */
  readonly same = { actions: 0, byOther: 0 };

  constructor(before: Side, after: Side) {
    this.#old = before;
    this.#new = after;
  }

  /** Throws CliError LimitReached. */
  take(seen: SeenAction): void {
    const [was, wouldBe] = [this.#old.judge(seen), this.#new.judge(seen)];
    this.#compare(this.#old.accessOf(seen), this.#new.accessOf(seen));
    if (typeof was === 'string') return this.#miss(seen, was);
    if (typeof wouldBe === 'string') return this.#miss(seen, wouldBe);
    if (was.word !== wouldBe.word) return this.#differ(seen, was, wouldBe);
    this.same.actions++;
    if (was.rule !== wouldBe.rule || was.code !== wouldBe.code) this.same.byOther++;
    return undefined;
  }

  /** What opens comes first, since that is the danger; then what is most frequent. */
  get differences(): readonly Difference[] {
    return [...this.#differences.values()].toSorted(
      (a, b) => Number(b.opens) - Number(a.opens) || b.count - a.count || (a.action < b.action ? -1 : 1),
    );
  }
  get untold(): readonly UntoldGroup[] {
    return [...this.#untold.values()].toSorted((a, b) => b.count - a.count || (a.action < b.action ? -1 : 1));
  }
  /** Fields that differ beside rules, and are not judged here. */
  get beside(): readonly string[] {
    return [...this.#beside].toSorted();
  }

  #compare(before: Access | undefined, after: Access | undefined): void {
    if (before === undefined || after === undefined || this.#compared.has(before)) return;
    this.#compared.add(before);
    for (const field of BESIDE) if (JSON.stringify(before[field]) !== JSON.stringify(after[field])) this.#beside.add(field);
    if (approvalsOf(before) !== approvalsOf(after)) this.#beside.add('approval');
  }

  #differ(seen: SeenAction, was: Outcome, wouldBe: Outcome): void {
    const { resource, action } = lineOf(seen);
    const opens = RANK[wouldBe.word] > RANK[was.word];
    const made = (): Difference => ({ resource, action, was, wouldBe, opens, count: 0, lastSeen: 0, sessions: [] });
    tally(this.#differences, JSON.stringify([resource, action, was, wouldBe]), made, seen);
  }

  #miss(seen: SeenAction, why: Unjudged): void {
    const { resource, action } = lineOf(seen);
    const made = (): UntoldGroup => ({ resource, action, why, count: 0, lastSeen: 0, sessions: [] });
    tally(this.#untold, JSON.stringify([resource, action, why]), made, seen);
  }
}

/** Whom its rules ask, and for how many answers. */
function approvalsOf({ rules }: Access): string {
  const asked = new Set(rules.flatMap(({ approval }) => (approval === undefined ? [] : [JSON.stringify(approval)])));
  return JSON.stringify([...asked].toSorted());
}

function tally<T extends Pick<Difference, 'count' | 'lastSeen' | 'sessions'>>(
  groups: Map<string, T>,
  key: string,
  made: () => T,
  { at, session }: SeenAction,
): void {
  const group = groups.get(key) ?? made();
  if (groups.size >= MAX_LINES && !groups.has(key))
    throw new CliError('LimitReached', `more than ${MAX_LINES} kinds of action differ; narrow them by --agent or --since`);
  groups.set(key, group);
  group.count++;
  group.lastSeen = Math.max(group.lastSeen, at);
  if (group.sessions.length < MAX_SESSIONS && !group.sessions.includes(session)) group.sessions.push(session);
}

/** `SELECT on public.tickets, UPDATE on public.tickets`. What a view reads within is not judged, and not said. */
function lineOf({ effects, resource, code }: SeenAction): { resource: string; action: string } {
  const own = effects.filter(({ via }) => via !== 'view').map(describeEffect);
  const action = own.length === 0 ? `nothing that is named (${code})` : [...new Set(own)].join(', ');
  const shown = action.length > MAX_ACTION ? `${action.slice(0, MAX_ACTION - 1)}…` : action;
  return { resource: `${resource.namespace}/${resource.name}`, action: shown };
}
