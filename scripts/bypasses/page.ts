import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Bypass, CATALOGUE, linesOf, NODE_FILES } from './catalogue.ts';

export const PAGE = 'docs/security/bypasses.md';
export const RESULTS = join(import.meta.dirname, 'results.json');

export const OUTCOMES = ['passed', 'failed', 'skipped'] as const;
export type Outcome = (typeof OUTCOMES)[number];
/** By file, then by title: what came of each test of the catalogue when it last ran. */
export type Results = Readonly<Record<string, Readonly<Record<string, Outcome>>>>;

export const readResults = (): Results => JSON.parse(readFileSync(RESULTS, 'utf8')) as Results;

interface Seen {
  readonly file: string;
  readonly title: string;
  readonly outcome: Outcome;
}

/** Every test of one line, as it last ran. */
export function seenOf(id: number, results: Results): Seen[] {
  return Object.entries(results).flatMap(([file, titles]) =>
    Object.entries(titles)
      .filter(([title]) => title.split(' > ').some((part) => linesOf(part).includes(id)))
      .map(([title, outcome]) => ({ file, title, outcome })),
  );
}

export type Mode = 'pod' | 'node';
type State = 'closed' | 'open' | 'documented' | 'not tried' | 'same';

/**
 * One word for a line in one capture mode. What failed is open, whatever else holds. In mode `node` a line that was not tried there is
 * the `same` as in mode `pod`: admission, the sidecar and the operator do not know the mode, and the rules are the same bytes.
 */
export function stateOf(bypass: Bypass, results: Results, mode: Mode): State {
  const seen = seenOf(bypass.id, results).filter(({ file }) => NODE_FILES.includes(file) === (mode === 'node'));
  if (seen.some(({ outcome }) => outcome === 'failed')) return 'open';
  if (seen.some(({ outcome }) => outcome === 'passed')) return 'closed';
  if (mode === 'node') return 'same';
  return bypass.closedBy.includes('documented') ? 'documented' : 'not tried';
}

const LOUD: ReadonlySet<State> = new Set<State>(['open', 'not tried']);

function row(bypass: Bypass, results: Results): string {
  const seen = seenOf(bypass.id, results);
  const files = Map.groupBy(seen, ({ file }) => file);
  const tests = [...files].map(([file, each]) => `\`${basename(file).replace(/\.(test|e2e)\.ts$/, '')}\` ${each.length}`);
  const words = (mode: Mode): string => {
    const state = stateOf(bypass, results, mode);
    const own = seen.filter(({ file }) => NODE_FILES.includes(file) === (mode === 'node'));
    const skipped = own.filter(({ outcome }) => outcome === 'skipped').length;
    return `${LOUD.has(state) ? `**${state}**` : state}${skipped === 0 ? '' : `, ${skipped} not tried there`}`;
  };
  const by = bypass.closedBy.filter((one) => one !== 'documented').join(', ') || '–';
  return `| ${bypass.id} | ${bypass.tried} | ${by} | ${bypass.how} | ${words('pod')} | ${words('node')} | ${tests.join(', ') || '–'} |`;
}

/** The page, from the catalogue and what its tests showed. */
export function page(results: Results): string {
  return `# Ways around the proxy, and what closes each

Written by the tests that try them: each run of one writes down what came of it, and \`npm run generate\` makes this page of that. What runs on
a cluster tries from inside an agent's container, or asks the API server; beside most attempts stands the same one by a pod that is not
governed, which gets through. Mode *pod* is the default: \`chaperone-init\` writes the rules. In mode *node* an agent of the node does, in a
namespace that enforces Pod Security \`restricted\` ([how to choose](../guides/capture.md)); *same*: what closes the line does not know the
mode, and the rules are the same bytes (\`sidecar/src/node/agent.test.ts\`). \`chaperone up\` has no capture: whoever can reach an upstream
past it does.

| # | tried | closed by | how | mode pod | mode node | tests |
|---|---|---|---|---|---|---|
${CATALOGUE.map((bypass) => row(bypass, results)).join('\n')}

*admission*: policies in the API server, which hold while everything of ours is down. *rules*: nftables in the pod's network namespace, written
before any code of the agent runs. *guard*: what the sidecar refuses to dial. *DNS*: the sidecar's. *identity*: whom the operator and the
upstream believe. *operator*: what it programs, and what a pod has to prove at its start. *Kubernetes*: what the cluster does by itself; the test
says when it does not any more. *documented*: stays open in part; the line says what closes it.

Tests of one line: \`node scripts/e2e.ts -t '13 '\` on a cluster, and \`npx vitest run sidecar/src/capture -t '13 '\`.
`;
}
