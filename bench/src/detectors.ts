import { type Detector, DETECTORS } from '@chaperone/api';
import { detect, detectorBits } from '@chaperone/sidecar';
import { spread } from './statistics.ts';

const CELLS = 200_000;
const SEED = 20_261_128;

/** The same numbers on every machine (a linear congruential generator; Numerical Recipes' constants). */
function numbers(): (below: number) => number {
  let state = SEED;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const FIRST = ['Ada', 'Grace', 'Jean-Luc', 'Zoë', 'Muhammad', 'Olga', 'Li'];
const LAST = ['Lovelace', 'Hopper', 'Nguyen', 'García', 'O’Neill', 'Schmidt', 'Okafor'];
const WORDS = 'the order was sent to another address and came back since nobody was there when it arrived on Monday'.split(' ');

/** Cells as tables hold them, each kind as often: names, mails, sentences, numbers and times, JSON. Mean length 44 bytes. */
function cell(at: number, below: (limit: number) => number): string {
  const pick = (from: readonly string[]): string => from[below(from.length)] ?? '';
  const day = `2026-${String(1 + below(12)).padStart(2, '0')}-${String(1 + below(28)).padStart(2, '0')}`;
  switch (at % 5) {
    case 0:
      return `${pick(FIRST)} ${pick(LAST)}`;
    case 1:
      return `${pick(FIRST)}.${pick(LAST)}${below(1000)}@mail.example.com`.toLowerCase();
    case 2:
      return Array.from({ length: 8 + below(12) }, () => pick(WORDS)).join(' ');
    case 3:
      return below(2) === 0 ? String(below(1e9) / 100) : `${day} 10:${10 + below(50)}:00.${below(1e6)}+00`;
    default:
      return JSON.stringify({ id: below(1e6), status: 'open', at: day, tags: [pick(WORDS), pick(WORDS)], paid: below(2) === 0 });
  }
}

/** Cells one behind the other in one Buffer, as they come from a server. */
function cells(): { all: Buffer[]; bytes: number } {
  const below = numbers();
  const texts = Array.from({ length: CELLS }, (_, at) => Buffer.from(cell(at, below)));
  const joined = Buffer.concat(texts);
  let at = 0;
  const all = texts.map(({ length }) => joined.subarray(at, (at += length)));
  return { all, bytes: joined.length };
}

/** What one writes first: a regular expression per detector, over the cell as a string, without any check of sums. */
const NAIVE: Readonly<Record<Detector, RegExp>> = {
  'credit-card': /\b(?:\d[ -]?){12,18}\d\b/,
  email: /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/,
  iban: /\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}\b/,
  ssn: /\b\d{3}[- ]\d{2}[- ]\d{4}\b/,
  phone: /(?:\+\d[\d .-]{7,18}\d|\(?\b\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b)/,
  'aws-access-key': /\bA(?:KI|SI|BI)A[A-Z0-9]{16}\b/,
  'github-token': /\b(?:gh[pousr]_|github_pat_)\w{36,}/,
  'google-api-key': /\bAIza[\w-]{35}/,
  'slack-token': /\b(?:xox[a-z]|xapp)-[\w-]{10,}/,
  'api-key': /\b(?:sk-[\w-]{20,}|[sr]k_(?:live|test)_\w{16,}|whsec_\w{24,})/,
  jwt: /\beyJ[\w-]+\.[\w-]*\.[\w-]*/,
  'private-key': /-----BEGIN [A-Z ]*PRIVATE KEY/,
};

const FEW: readonly Detector[] = ['credit-card', 'email', 'ssn'];

/** Seconds of this thread's CPU: on a shared machine the clock measures the others too. */
function cpuSeconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
}

/**
 * MB per CPU second that the detectors look through, in turn with the regular expressions in the same rounds; as lines for people:
 * the median with the least and the greatest.
 */
export function detectorFigures(rounds: number): string[] {
  const { all, bytes } = cells();
  const ready = detectorBits(DETECTORS);
  const few = detectorBits(FEW);
  const patterns = Object.values(NAIVE);
  const contestants: Readonly<Record<string, (value: Buffer) => boolean>> = {
    [`${DETECTORS.length} detectors`]: (value) => detect(value, ready).length > 0,
    [`${FEW.length} detectors`]: (value) => detect(value, few).length > 0,
    [`${patterns.length} regular expressions`]: (value) => {
      const text = value.toString('utf8');
      return patterns.some((pattern) => pattern.test(text));
    },
  };
  const seen = new Map(Object.keys(contestants).map((name) => [name, { speeds: [] as number[], found: 0 }]));
  // The first round is not counted: code that is not compiled yet is not what serves all day.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, finds] of Object.entries(contestants)) {
      const begin = cpuSeconds();
      const found = countOf(all, finds);
      const speed = bytes / 1e6 / (cpuSeconds() - begin);
      const figures = seen.get(name);
      if (figures === undefined || round === 0) continue;
      figures.speeds.push(speed);
      figures.found = found;
    }
  }
  const shown = [...seen].map(([name, { speeds, found }]) => {
    const { median, min, max } = spread(speeds) ?? { median: 0, min: 0, max: 0 };
    return `${name.padEnd(24)}${median.toFixed(0).padStart(5)} MB/s (${min.toFixed(0)} to ${max.toFixed(0)}), ${found} cells with a find`;
  });
  return [`${CELLS} cells of ${(bytes / CELLS).toFixed(0)} bytes on average, per second of CPU, ${rounds} rounds`, ...shown];
}

function countOf(values: readonly Buffer[], finds: (value: Buffer) => boolean): number {
  let found = 0;
  for (const value of values) if (finds(value)) found++;
  return found;
}
