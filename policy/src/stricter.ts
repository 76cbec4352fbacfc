import type { AccessPolicy, MaskStrategy, RecordingContent, RecordingMode } from '@chaperone/api';
import type { Access } from './access.ts';
import { canonicalJson, compare } from './canonical.ts';
import { PolicyError } from './errors.ts';
import { byteCount, durationMs } from './units.ts';

type Spec = AccessPolicy['spec'];
type Strategy = 'redact' | 'null' | 'hash' | 'partial';

/** Weakest first. What a policy leaves unsaid counts as the default where the other values would be weaker than it. */
const RECORDING: readonly RecordingMode[] = ['bestEffort', 'durable', 'strict'];
const CONTENT: readonly RecordingContent[] = ['metadata', 'commands', 'results'];
const INFERENCE = ['allow', 'limit', 'deny'] as const;
const STRATEGIES: readonly Strategy[] = ['partial', 'hash', 'null', 'redact'];

const DEFAULT_RECORDING = { mode: 'durable', content: 'results', rows: 1_000, bytes: 2 ** 20, retention: 'default' } as const;

/** The last of `order` that occurs in `said`. */
function strictest<T>(order: readonly T[], said: readonly T[], otherwise: T): T {
  return order.findLast((value) => said.includes(value)) ?? otherwise;
}

function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}

function lowest(values: readonly (number | undefined)[]): number | undefined {
  const said = present(values);
  return said.length === 0 ? undefined : Math.min(...said);
}

export function strictestInference(specs: readonly Spec[]): Access['inference'] {
  return strictest(
    INFERENCE,
    specs.map((spec) => spec.inference),
    'limit',
  );
}

export function strictestLimits(specs: readonly Spec[]): Access['limits'] {
  const all = specs.map((spec) => spec.limits ?? {});
  const count = (name: 'rowsPerStatement' | 'rows' | 'connections'): number | undefined => lowest(all.map((each) => each[name]));
  const size = (name: 'bytesPerStatement' | 'bytes'): number | undefined =>
    lowest(present(all.map((each) => each[name])).map(byteCount));
  const time = (
    name: 'statementDuration' | 'shellDuration' | 'sessionDuration' | 'idle' | 'idleInTransaction',
  ): number | undefined => lowest(present(all.map((each) => each[name])).map(durationMs));
  const limits: Access['limits'] = {
    rowsPerStatement: count('rowsPerStatement'),
    bytesPerStatement: size('bytesPerStatement'),
    statementDurationMs: time('statementDuration'),
    shellDurationMs: time('shellDuration'),
    rows: count('rows'),
    bytes: size('bytes'),
    sessionDurationMs: time('sessionDuration'),
    idleMs: time('idle'),
    idleInTransactionMs: time('idleInTransaction'),
    connections: count('connections'),
  };
  return Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined));
}

/**
 * The more evidence the stricter: mode and content of the strictest policy, most rows and bytes kept, and never below the
 * owner's `floors`. bestEffort holds only where every policy asks for it.
 */
export function strictestRecording(specs: readonly Spec[], floors: readonly RecordingMode[]): Access['recording'] {
  const said = specs.map((spec) => spec.recording ?? {});
  const highest = (values: readonly (number | undefined)[], otherwise: number): number =>
    Math.max(...(present(values).length === 0 ? [otherwise] : present(values)));
  const fileBytes = highest(present(said.map((each) => each.fileBytes)).map(byteCount), 0);
  return {
    mode: strictest(RECORDING, [...said.map((each) => each.mode ?? DEFAULT_RECORDING.mode), ...floors], DEFAULT_RECORDING.mode),
    content: strictest(
      CONTENT,
      said.map((each) => each.content ?? DEFAULT_RECORDING.content),
      DEFAULT_RECORDING.content,
    ),
    rows: highest(
      said.map((each) => each.rows),
      DEFAULT_RECORDING.rows,
    ),
    bytes: highest(present(said.map((each) => each.bytes)).map(byteCount), DEFAULT_RECORDING.bytes),
    ...(fileBytes > 0 && { fileBytes }),
    ...(said.some((each) => each.keys === 'typed') && { keys: 'typed' as const }),
    retention: longestRetention(present(said.map((each) => each.retention))),
  };
}

/**
 * A retention class of the collector. Classes whose names are times (`30d`) compare by them; which of two other names is
 * the longer only the collector knows, so policies must agree. What is stated goes before `default`.
 */
function longestRetention(said: readonly string[]): string {
  const stated = [...new Set(said)].filter((each) => each !== DEFAULT_RECORDING.retention).toSorted(compare);
  const [first = DEFAULT_RECORDING.retention, ...others] = stated;
  return others.reduce((held, each) => (durationMs(each) > durationMs(held) ? each : held), first);
}

/** Labels with the strictest strategy that any policy names for them: redact > null > hash > partial. */
export function strictestMasking(specs: readonly Spec[]): Access['masking'] {
  const byLabel = new Map<string, MaskStrategy>();
  for (const { label, strategy } of specs.flatMap((spec) => spec.masking)) {
    const one = only(strategy);
    const held = byLabel.get(label);
    if (!held || stricter(one, held)) byLabel.set(label, one);
  }
  return Object.fromEntries([...byLabel].toSorted(([a], [b]) => compare(a, b)));
}

/** Which of the four a strategy names; none or several: the strictest. */
export function strategyName(strategy: MaskStrategy): Strategy {
  const named = STRATEGIES.filter((name) => strategy[name] !== undefined);
  return named.at(-1) ?? 'redact';
}

function only(strategy: MaskStrategy): MaskStrategy {
  const name = strategyName(strategy);
  if (name !== 'partial') return { [name]: {} };
  const { first = 0, last = 0 } = strategy.partial ?? {};
  if (first < 0 || last < 0) throw new PolicyError('PolicyInvalid', 'a partial mask shows a negative number of characters');
  // What shows nothing is left out, as the API has it: a snapshot is checked by the same schema.
  return first + last === 0
    ? { redact: {} }
    : { partial: { ...(first === 0 ? {} : { first }), ...(last === 0 ? {} : { last }) } };
}

function rank(each: MaskStrategy): number {
  return STRATEGIES.indexOf(strategyName(each));
}

function shown({ partial }: MaskStrategy): number {
  return (partial?.first ?? 0) + (partial?.last ?? 0);
}

function stricter(a: MaskStrategy, b: MaskStrategy): boolean {
  if (rank(a) !== rank(b)) return rank(a) > rank(b);
  if (shown(a) !== shown(b)) return shown(a) < shown(b);
  return compare(canonicalJson(a), canonicalJson(b)) < 0;
}
