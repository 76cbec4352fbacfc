import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where `scripts/test-programs` and `e2e/cluster/build` leave what they build. */
const BUILT = [join(import.meta.dirname, '../../.tools/bin'), '/var/lib/local-cluster/bin'];

/** Path of a program on PATH or among those that were built for tests; undefined where it is missing. */
export function findProgram(name: string): string | undefined {
  const places = [...(process.env['PATH'] ?? '').split(delimiter), ...BUILT];
  return places.map((place) => join(place, name)).find((file) => existsSync(file));
}

/** Path of what `scripts/chart-peers` built: Helm 3 or promtool; undefined where it is missing. */
export function chartPeer(name: 'helm' | 'promtool'): string | undefined {
  const file = join(import.meta.dirname, '../../.cache/chart-peers', name);
  return existsSync(file) ? file : undefined;
}
