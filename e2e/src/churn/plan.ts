import { seededRandom } from '@chaperone/testing';
import { KINDS, type Kind, LANES, type Lane } from './model.ts';

/** One thing that is done to the installation. */
export interface Step {
  /** Not before this, ms from the beginning; a lane does one step after the other. */
  readonly atMs: number;
  readonly kind: Kind;
  /** The workload that it makes, or does something to; empty where the kind says enough. */
  readonly subject: string;
}

/** Between the beginnings of two steps of a lane, ms. */
const PACE_MS: Readonly<Record<Lane, number>> = { agents: 15_000, rules: 20_000, parts: 20_000 };
/** More workloads than this are not there at once, beside the one that is there all the time. */
const MOST_WORKLOADS = 6;
const MAKES: ReadonlySet<Kind> = new Set(['pod-made', 'deployment-made']);

/**
 * The steps of each lane for so long. The same seed gives the same plan, of which a shorter time has the beginning; each kind comes once
 * before any comes again.
 */
export function plan(seed: number, minutes: number): Readonly<Record<Lane, readonly Step[]>> {
  const of = (lane: Lane, at: number) => [lane, laneOf(lane, minutes * 60_000, seededRandom(seed * LANES.length + at))] as const;
  return Object.fromEntries(LANES.map(of)) as Record<Lane, Step[]>;
}

function laneOf(lane: Lane, ms: number, random: () => number): Step[] {
  const kinds = (Object.keys(KINDS) as Kind[]).filter((kind) => KINDS[kind].lane === lane);
  const steps: Step[] = [];
  const living: string[] = [];
  let bag: Kind[] = [];
  for (let atMs = 0; atMs < ms; atMs += PACE_MS[lane]) {
    if (bag.length === 0) bag = shuffled(kinds, random);
    const kind = possible(bag, living.length);
    bag = bag.filter((each) => each !== kind);
    steps.push({ atMs, kind, subject: subjectOf(kind, { living, number: steps.length + 1, random }) });
  }
  return steps;
}

/** The next of the bag that can be done: nothing is ended where nothing is, and nothing is made where there is enough. */
function possible(bag: readonly Kind[], living: number): Kind {
  const found = bag.find((kind) => {
    if (MAKES.has(kind)) return living < MOST_WORKLOADS;
    return kind === 'agent-ended' || kind === 'sidecar-killed' ? living > 0 : true;
  });
  if (found !== undefined) return found;
  return living < MOST_WORKLOADS ? 'pod-made' : 'agent-ended';
}

function subjectOf(kind: Kind, { living, number, random }: { living: string[]; number: number; random: () => number }): string {
  if (MAKES.has(kind) || kind === 'job-run') {
    const name = `${kind.slice(0, kind.indexOf('-'))}-${number}`;
    if (MAKES.has(kind)) living.push(name);
    return name;
  }
  const at = Math.floor(random() * living.length);
  if (kind === 'agent-ended') return living.splice(at, 1)[0] ?? '';
  return kind === 'sidecar-killed' ? (living[at] ?? '') : '';
}

function shuffled<T>(of: readonly T[], random: () => number): T[] {
  return of
    .map((each) => [random(), each] as const)
    .toSorted(([one], [other]) => one - other)
    .map(([, each]) => each);
}
