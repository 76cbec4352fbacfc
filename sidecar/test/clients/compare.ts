import type { Step } from './programs/step.ts';

/** What became of a step through the proxy, measured by what it does without. */
export type Outcome =
  | { readonly kind: 'equal' }
  /** Equal, but for what is labelled: that is masked. */
  | { readonly kind: 'masked' }
  /** Refused with one of our codes. */
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'different' };

/** Labelled values of {@link file://./schema.ts}: text has a mask; of numbers and dates nothing can be shown but NULL. */
const TEXT = /(ada|grace|alan)@example\.com/gi;
const OTHER = /71234|82345|93456|1815-12-10|1906-12-09|1912-06-23/g;
/** As some clients give a whole value: with the time of day, or decimals. */
const OTHER_ALONE = new RegExp(`^(${OTHER.source})(T00:00:00\\.000Z|\\.0)?$`);
/** How a mask and NULL are written within longer text: as psql is told to, as COPY does, and as COPY does in CSV. */
const STYLES = [
  { mask: '*****', absent: '(null)' },
  { mask: '*****', absent: '\\N' },
  { mask: '"*****"', absent: '' },
];

/** A result as it has to be where all that is labelled is masked. */
export function masked(value: unknown, style = STYLES[0]): unknown {
  if (typeof value === 'number') return OTHER_ALONE.test(String(value)) ? null : value;
  if (typeof value === 'string') {
    if (OTHER_ALONE.test(value)) return null;
    return value.replaceAll(TEXT, style?.mask ?? '').replaceAll(OTHER, style?.absent ?? '');
  }
  if (Array.isArray(value)) return value.map((each) => masked(each, style));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, masked(each, style)]));
}

const REFUSAL = /chaperone: .*?\((\w+)\)/s;

function compare(direct: Step, proxied: Step | undefined): Outcome {
  const text = JSON.stringify(proxied);
  const expected = STYLES.map((style) => JSON.stringify(masked(direct, style)));
  if (expected.includes(text)) return { kind: text === JSON.stringify(direct) ? 'equal' : 'masked' };
  const code = REFUSAL.exec(proxied?.error?.message ?? '')?.[1];
  return code === undefined ? { kind: 'different' } : { kind: 'refused', code };
}

/** Outcomes by step. Both runs have to have taken the same steps, each once. */
export function compareRuns(direct: readonly Step[], proxied: readonly Step[]): Map<string, Outcome> {
  const names = direct.map(({ step }) => step);
  const repeated = names.filter((name, at) => names.indexOf(name) !== at);
  const more = proxied.map(({ step }) => step).filter((name) => !names.includes(name));
  if (repeated.length + more.length > 0)
    throw new Error(`steps that are not once in both runs: ${[...repeated, ...more].join(', ')}`);
  return new Map(
    direct.map((step) => [
      step.step,
      compare(
        step,
        proxied.find((other) => other.step === step.step),
      ),
    ]),
  );
}
