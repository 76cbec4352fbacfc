/**
 * Run by mutants.test.ts as a program: judges what was recorded of a server with copies of this room, and says on standard output,
 * for each copy, what it let through.
 *
 *     node replay.test-support.ts RECORDING FOLDER…
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { deserialize } from 'node:v8';
import type { Access } from '@chaperone/policy';
import type * as Masking from './index.ts';
import type { Expected } from './testdata/mutants.ts';

/** One statement as a server answered it. */
export interface Recorded {
  readonly sql: string;
  readonly tree: string;
  readonly fields: readonly Masking.ResultField[];
  /** For each column, whether a labelled value stood in it. */
  readonly holds: readonly boolean[];
  /** A labelled value stood in its error. */
  readonly inError: boolean;
  readonly expected: Expected | undefined;
}
export interface Recording {
  readonly major: number;
  readonly catalog: readonly (readonly (string | null)[])[];
  readonly access: Access;
  readonly statements: readonly Recorded[];
}

/** What is wrong with a copy's decision; undefined where it is at least as strict as it must be. */
function wrong(
  masking: typeof Masking,
  catalog: Masking.Catalog,
  { major, access }: Recording,
  one: Recorded,
): string | undefined {
  const { tree, expected } = one;
  let analysis: Masking.Analysis;
  try {
    analysis = masking.analyse(masking.parseTree(tree, major), catalog, major);
  } catch (error) {
    if (error instanceof masking.TreeError) return undefined;
    return 'it fell over';
  }
  if (expected === 'unread') return 'it was read';
  if (analysis.refused !== undefined) return undefined;
  return undecided(masking, analysis, access, expected) ?? shown(masking, analysis, access, one);
}

/** What of the probes is not as it must be. */
function undecided(
  masking: typeof Masking,
  analysis: Masking.Analysis,
  access: Access,
  expected: Expected | undefined,
): string | undefined {
  if (expected === 'refused') return 'it was not refused';
  if (expected === 'inference' && masking.judgeInference(analysis, { ...access, inference: 'limit' }) === undefined)
    return 'it tells';
  if (expected === 'explain') return masking.judgeExplain(analysis, access) === undefined ? 'its plan is shown' : undefined;
  if (expected?.startsWith('effect ') === true) {
    const said = analysis.effects.some(({ verb, object }) => expected === `effect ${verb} ${object}`);
    return said ? undefined : 'an effect is not said';
  }
  return expected === 'write' && masking.judgeWrites(analysis, access) === undefined ? 'it was written' : undefined;
}

/** What of a result or an error is shown though a labelled value stood there. */
function shown(masking: typeof Masking, analysis: Masking.Analysis, access: Access, one: Recorded): string | undefined {
  const { fields, holds, inError, expected } = one;
  if (masking.judgeWrites(analysis, access) !== undefined) return undefined;
  if (inError) return analysis.touchesLabelled ? undefined : 'its error is shown';
  const plan = masking.planResult({ analysis, fields, access });
  if (plan.kind === 'refuse') return undefined;
  if (expected === 'masked' && plan.masks[0] === undefined) return 'it is not masked';
  return holds.some((held, at) => held && plan.masks[at] === undefined) ? 'a column is not masked' : undefined;
}

async function main([file = '', ...folders]: readonly string[]): Promise<void> {
  const recording = deserialize(readFileSync(file)) as Recording;
  const verdicts: (string | null)[] = [];
  for (const folder of folders) {
    const masking = (await import(pathToFileURL(join(folder, 'src/postgres/masking/index.ts')).href)) as typeof Masking;
    const catalog = await masking.loadCatalog(() => Promise.resolve(recording.catalog), recording.access.sensitive);
    let verdict: string | null = null;
    for (const one of recording.statements) {
      const why = wrong(masking, catalog, recording, one);
      if (why !== undefined) {
        verdict = `${why}: ${one.sql}`;
        break;
      }
    }
    verdicts.push(verdict);
  }
  process.stdout.write(JSON.stringify(verdicts));
}

if (import.meta.main) await main(process.argv.slice(2));
