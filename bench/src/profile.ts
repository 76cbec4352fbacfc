import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(import.meta.dirname, '../..');

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/**
 * The functions that used most time themselves, as shares of all that was not idle, from the largest profile of a folder
 * (each thread writes its own). Start and warm-up, the first `skipMs`, are left out.
 */
export function selfTimes(folder: string, { count, skipMs }: { count: number; skipMs: number }): string[] {
  const texts = readdirSync(folder)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => readFileSync(join(folder, name), 'utf8'));
  const largest = texts.toSorted((a, b) => b.length - a.length)[0];
  if (largest === undefined) throw new Error('no profile was written');
  const profile = JSON.parse(largest) as CpuProfile;
  const names = new Map(profile.nodes.map((node) => [node.id, nameOf(node.callFrame)]));
  const micros = new Map<string, number>();
  let elapsed = 0;
  for (const [at, id] of profile.samples.entries()) {
    const delta = profile.timeDeltas[at] ?? 0;
    elapsed += delta;
    if (elapsed < skipMs * 1000) continue;
    const name = names.get(id) ?? '';
    micros.set(name, (micros.get(name) ?? 0) + delta);
  }
  micros.delete('(idle)');
  const total = [...micros.values()].reduce((sum, time) => sum + time, 0);
  return [...micros]
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, count)
    .map(([name, time]) => `${((time / total) * 100).toFixed(1).padStart(5)} %  ${name}`);
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const file = url.startsWith('file:') ? relative(root, fileURLToPath(url)).replace(/^.*node_modules/, 'node_modules') : url;
  return `${name}  ${file}:${lineNumber + 1}`;
}
